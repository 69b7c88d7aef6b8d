//! Decides, from the manifest and the secrets, what the steps of one graph get.

use std::collections::BTreeMap;

use papp::Inject;
use pcli::FoundManifest;
use pllb::{Plan, PlannedSecret, SecretShape, StepPattern};
use psecret::Delivery;

use crate::secrets::Secrets;

/// Plans which steps get which secrets.
pub(super) fn plan(secrets: &Secrets, found: Option<&FoundManifest>) -> Plan {
    let manifest = found.map(|found| &found.manifest);
    let injected = manifest.is_none_or(|manifest| manifest.build.inject == Inject::All);
    let planned = secrets.delivered().filter(|secret| injected && secret.scope().in_build()).map(|secret| {
        let name = secret.name().as_str();
        let declared = manifest.and_then(|manifest| manifest.secret(name));
        PlannedSecret {
            steps: declared
                .map(|declared| declared.steps.iter().map(|text| StepPattern::new(text)).collect())
                .unwrap_or_default(),
            shape: match secret.delivery() {
                Delivery::Variable => SecretShape::Variable,
                Delivery::File => SecretShape::File,
            },
            ..PlannedSecret::variable(name)
        }
    });
    Plan {
        secrets: planned.collect(),
        configuration: configuration(found),
        bindings: secrets.binding.shared_digests(secrets.delivered()),
    }
}

/// Returns the public variables that the manifest gives to every step.
pub(super) fn configuration(found: Option<&FoundManifest>) -> Vec<(String, String)> {
    found.map(|found| found.manifest.environment.clone()).unwrap_or_default()
}

/// Lists the lines of the manifest that declare the secrets, for errors.
pub(super) fn places(found: Option<&FoundManifest>) -> BTreeMap<String, String> {
    let place = |found: &FoundManifest, secret: &papp::Secret| format!("{}:{}", found.path.display(), secret.line);
    let declared = found.into_iter().flat_map(|found| found.manifest.secrets.iter().map(move |secret| (found, secret)));
    declared.map(|(found, secret)| (secret.name.clone(), place(found, secret))).collect()
}
