//! Makes the summary of each layer.

use std::collections::HashSet;

use pimage::{Contents, Fault, Kind};
use psecret::Redactor;

use crate::finding::Finding;
use crate::report::{LayerState, LayerSummary};
use crate::show;

/// The maximal number of layers that are listed one by one.
const MOST_LAYERS: usize = 10_000;

pub(super) fn summaries(redactor: &Redactor, contents: &Contents, findings: &[Finding]) -> Vec<LayerSummary> {
    let images: Vec<_> = contents.images().iter().filter(|image| image.kind() == Kind::Image).collect();
    let several = images.len() > 1;
    // A layer whose digest or size does not match was still searched.
    let broken: HashSet<_> = contents
        .problems()
        .iter()
        .filter(|problem| !matches!(problem.fault(), Fault::WrongDigest | Fault::WrongDiffId | Fault::WrongSize))
        .filter_map(pimage::Problem::blob)
        .collect();
    let mut summaries = Vec::new();
    for image in images {
        let platform = image.platform().map(|platform| show::text(redactor, platform));
        for (at, layer) in image.layers().iter().enumerate() {
            if summaries.len() == MOST_LAYERS {
                return summaries;
            }
            let blob = layer.blob();
            let mut summary = LayerSummary {
                platform: platform.clone(),
                number: at + 1,
                diff_id: layer.diff_id().map(ToString::to_string),
                bytes: blob.map_or(0, |blob| contents.blob(blob).bytes()),
                instruction: layer.created_by().map(|line| show::instruction(redactor, line)),
                state: LayerState::NotSearched,
                leaks: 0,
            };
            summary.leaks = summary.count(findings, several);
            summary.state = match blob {
                Some(_) if summary.leaks > 0 => LayerState::Leak,
                Some(blob) if broken.contains(&blob) => LayerState::NotSearched,
                Some(blob) if contents.blob(blob).is_recalled() => LayerState::Remembered,
                Some(_) => LayerState::Searched,
                None => LayerState::NotSearched,
            };
            summaries.push(summary);
        }
    }
    summaries
}
