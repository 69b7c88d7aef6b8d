//! Makes the names of layers and documents on the page. The map, the tables and the filters must use the same names.

use pscan::{Finding, LayerSummary, Report};

/// Returns the name of a layer, with its platform if the report is about several platforms.
pub(super) fn layer_name(report: &Report, layer: &LayerSummary) -> String {
    layer_key(layer.platform().filter(|_| report.platforms().len() > 1), layer.number())
}

/// Returns the name of the layer or document that contains a finding.
pub(super) fn finding_key(finding: &Finding) -> String {
    match (finding.layer(), finding.place().document()) {
        (Some(layer), _) => layer_key(finding.image(), layer),
        (None, Some(document)) => document.to_owned(),
        (None, None) => "archive".to_owned(),
    }
}

fn layer_key(platform: Option<&str>, layer: usize) -> String {
    platform.map_or_else(|| format!("layer {layer}"), |platform| format!("layer {layer} of {platform}"))
}
