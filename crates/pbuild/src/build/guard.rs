//! The guard checks everything that becomes part of the image without a step, before anything runs: build arguments,
//! labels, the text of the steps, and the image's configuration. A secret in any of these is a mistake of the user,
//! and not of a step.

use std::collections::BTreeMap;
use std::path::Path;

use pllb::SourceMap;
use psecret::Redactor;

use crate::output::Outputs;
use crate::plan::{Extras, SettledPlan};

/// The places where a secret's value would end up in the image.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum GuardError {
    /// A build argument, which history and provenance keep.
    #[error("the value of --build-arg {argument} holds secret {}", list(secrets))]
    BuildArgument {
        /// The argument's name.
        argument: String,
        /// The secrets' names.
        secrets: Vec<String>,
    },
    /// A label.
    #[error("the value of --label {label} holds secret {}", list(secrets))]
    Label {
        /// The label's name, redacted.
        label: String,
        /// The secrets' names.
        secrets: Vec<String>,
    },
    /// An attribute of an output, of a cache or of an attestation, or an annotation.
    #[error("the value of {name} in {flag} holds secret {}", list(secrets))]
    Attribute {
        /// The flag.
        flag: &'static str,
        /// The attribute's name, redacted.
        name: String,
        /// The secrets' names.
        secrets: Vec<String>,
    },
    /// The address of a context, which the engine shows and provenance keeps.
    #[error("the address of {context} holds secret {}", list(secrets))]
    Address {
        /// The context, redacted.
        context: String,
        /// The secrets' names.
        secrets: Vec<String>,
    },
    /// An instruction of the Dockerfile.
    #[error("{file}:{line} holds the value of secret {}", list(secrets))]
    Instruction {
        /// The Dockerfile's name.
        file: String,
        /// The line, from 1.
        line: usize,
        /// The secrets' names.
        secrets: Vec<String>,
    },
    /// The image's configuration: ENV, LABEL, CMD …
    #[error("{} the value of secret {} ({})", author.holds(), list(secrets), pointers.join(", "))]
    Configuration {
        /// The author of the text.
        author: Author,
        /// The secrets' names.
        secrets: Vec<String>,
        /// The places in the configuration, as JSON pointers.
        pointers: Vec<String>,
    },
}

/// The author of a text in an image's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Author {
    /// The base image, in its configuration or its history.
    Base,
    /// This build.
    Build,
}

impl Author {
    fn holds(self) -> &'static str {
        match self {
            Self::Base => "the base image's configuration holds",
            Self::Build => "the image's configuration would hold",
        }
    }
}

/// The key of the base image's configuration; the frontend returns it beside the configuration of the image.
const BASE_CONFIGURATION: &str = "containerimage.base.config";

fn list(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn labels(redactor: &Redactor, bytes: &[u8]) -> Option<Vec<String>> {
    let found = redactor.labels_in(bytes);
    (!found.is_empty()).then(|| found.into_iter().map(str::to_owned).collect())
}

/// Checks everything that is about to be sent and that others can read: build arguments, labels, addresses, the
/// attributes of outputs, caches and attestations, and the text of the Dockerfile if it is on this machine.
///
/// # Errors
/// Returns an error about the first place that holds a secret's value in any form.
pub(super) fn check(
    plan: &SettledPlan,
    Extras { attestations, caches }: &Extras,
    outputs: &Outputs,
    dockerfile: Option<&[u8]>,
    redactor: &Redactor,
) -> Result<(), GuardError> {
    check_plan(plan, redactor)?;
    check_attributes("--annotation", attestations.annotations(), redactor)?;
    check_attributes("--attest", attestations.attributes(), redactor)?;
    check_attributes("--output", outputs.attributes(), redactor)?;
    check_attributes("--cache-from/--cache-to", caches.attributes(), redactor)?;
    dockerfile.map_or(Ok(()), |text| check_dockerfile(&plan.dockerfile_path(), text, redactor))
}

/// Checks build arguments, labels and addresses.
fn check_plan(plan: &SettledPlan, redactor: &Redactor) -> Result<(), GuardError> {
    for (name, value) in plan.build_arguments() {
        if let Some(secrets) = labels(redactor, value.as_bytes()) {
            return Err(GuardError::BuildArgument { argument: redactor.redact(name), secrets });
        }
    }
    for (name, value) in plan.labels() {
        if let Some(secrets) = labels(redactor, format!("{name}={value}").as_bytes()) {
            return Err(GuardError::Label { label: redactor.redact(name), secrets });
        }
    }
    check_addresses(plan.attributes(), redactor)
}

/// Refuses attributes of outputs, caches and annotations that hold a value, because images, caches and provenance
/// show these attributes.
fn check_attributes<'a>(
    flag: &'static str,
    attributes: impl IntoIterator<Item = (&'a String, &'a String)>,
    redactor: &Redactor,
) -> Result<(), GuardError> {
    for (name, value) in attributes {
        if let Some(secrets) = labels(redactor, format!("{name}={value}").as_bytes()) {
            return Err(GuardError::Attribute { flag, name: redactor.redact(name), secrets });
        }
    }
    Ok(())
}

/// Checks the addresses of the main context, of the named contexts and of the checkout's git remote.
fn check_addresses(attributes: &BTreeMap<String, String>, redactor: &Redactor) -> Result<(), GuardError> {
    for (key, address) in attributes {
        let context = match key.strip_prefix("context") {
            Some("") => "the context".to_owned(),
            Some(name) if name.starts_with(':') => format!("--build-context {}", redactor.redact(&name[1..])),
            None if key == "vcs:source" => "the git remote".to_owned(),
            _ => continue,
        };
        if let Some(secrets) = labels(redactor, format!("{key}={address}").as_bytes()) {
            return Err(GuardError::Address { context, secrets });
        }
    }
    Ok(())
}

/// Checks the whole text of the Dockerfile, with its comments, because history and provenance show it.
fn check_dockerfile(path: &Path, text: &[u8], redactor: &Redactor) -> Result<(), GuardError> {
    let Some(secrets) = labels(redactor, text) else { return Ok(()) };
    // No single line holds a value of several lines; in this case the error names the file's first line.
    let inner = text.split(|byte| *byte == b'\n').position(|line| !redactor.labels_in(line).is_empty());
    let file = redactor.redact(&path.display().to_string());
    Err(GuardError::Instruction { file, line: inner.unwrap_or(0) + 1, secrets })
}

/// Checks the lines that the steps were made from, for a Dockerfile that is not on this machine.
///
/// # Errors
/// Returns an error about the first instruction that holds a secret's value in any form.
pub(crate) fn check_source(source: &SourceMap, redactor: &Redactor) -> Result<(), GuardError> {
    for (_, lines) in source.iter() {
        if let Some(secrets) = labels(redactor, lines.text.join("\n").as_bytes()) {
            let inner = lines.text.iter().position(|line| !redactor.labels_in(line.as_bytes()).is_empty());
            let line = lines.first + inner.unwrap_or(0);
            return Err(GuardError::Instruction { file: redactor.redact(&lines.file), line, secrets });
        }
    }
    Ok(())
}

/// Checks the image configurations that the frontend returned, one for each platform.
///
/// # Errors
/// Returns an error if one of them holds a secret's value in any form.
pub(crate) fn check_metadata(metadata: &BTreeMap<String, Vec<u8>>, redactor: &Redactor) -> Result<(), GuardError> {
    for (key, bytes) in metadata.iter().filter(|(key, _)| key.starts_with("containerimage.config")) {
        let Some(mut secrets) = labels(redactor, bytes) else { continue };
        let mut pointers = Vec::new();
        if let Ok(document) = serde_json::from_slice::<serde_json::Value>(bytes) {
            places(&document, String::new(), redactor, &mut pointers);
        }
        if pointers.is_empty() {
            pointers.push(key.clone());
        }
        secrets.sort();
        // In a build for several platforms, both keys end with the platform.
        let platform = key.trim_start_matches("containerimage.config");
        let base = metadata.get(&format!("{BASE_CONFIGURATION}{platform}"));
        let is_of_base = base
            .and_then(|base| labels(redactor, base))
            .is_some_and(|of_base| secrets.iter().all(|secret| of_base.contains(secret)));
        let author = if is_of_base { Author::Base } else { Author::Build };
        return Err(GuardError::Configuration { author, secrets, pointers });
    }
    Ok(())
}

fn places(value: &serde_json::Value, pointer: String, redactor: &Redactor, found: &mut Vec<String>) {
    match value {
        serde_json::Value::String(text) if !redactor.labels_in(text.as_bytes()).is_empty() => found.push(pointer),
        serde_json::Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                places(item, format!("{pointer}/{index}"), redactor, found);
            }
        }
        serde_json::Value::Object(entries) => {
            for (name, entry) in entries {
                let escaped = redactor.redact(name).replace('~', "~0").replace('/', "~1");
                if !redactor.labels_in(name.as_bytes()).is_empty() {
                    found.push(format!("{pointer}/{escaped}"));
                }
                places(entry, format!("{pointer}/{escaped}"), redactor, found);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use psecret::{RedactorBuilder, SecretName, UserSecret};

    use super::*;

    const VALUE: &str = "tok-4f9a1c77d2";

    fn redactor() -> Redactor {
        let name = SecretName::parse("TOKEN").expect("a name");
        RedactorBuilder::new().secret(&name, &UserSecret::new(VALUE.into())).build().expect("a redactor")
    }

    #[test]
    fn a_configuration_with_the_value_names_the_place_and_not_the_value() {
        let config = serde_json::json!({"config": {"Env": ["A=b", format!("URL=http://u:{VALUE}@h")]}});
        let metadata = BTreeMap::from([("containerimage.config".to_owned(), config.to_string().into_bytes())]);
        let error = check_metadata(&metadata, &redactor()).expect_err("a leak");
        assert_eq!(
            error,
            GuardError::Configuration {
                author: Author::Build,
                secrets: vec!["TOKEN".into()],
                pointers: vec!["/config/Env/1".into()]
            }
        );
        assert!(!error.to_string().contains(VALUE));
    }

    #[test]
    fn a_value_that_the_base_brings_is_the_base_s() {
        let config = serde_json::json!({"history": [{"created_by": format!("RUN echo {VALUE}")}]}).to_string();
        let with = |platform: &str, base: &str| {
            BTreeMap::from([
                (format!("containerimage.config{platform}"), config.clone().into_bytes()),
                (format!("containerimage.base.config{platform}"), base.to_owned().into_bytes()),
            ])
        };
        for platform in ["", "/linux/arm64"] {
            let error = check_metadata(&with(platform, &config), &redactor()).expect_err("a leak");
            assert!(error.to_string().starts_with("the base image's configuration holds the value"), "{error}");
            let error = check_metadata(&with(platform, "{}"), &redactor()).expect_err("a leak");
            assert!(error.to_string().starts_with("the image's configuration would hold the value"), "{error}");
        }
    }

    #[test]
    fn an_address_with_the_value_is_refused_and_not_shown() {
        let url = format!("https://me:{VALUE}@git.example/x.git");
        for (key, shown) in [("context", "the context"), ("context:more", "--build-context more")] {
            let error = check_addresses(&BTreeMap::from([(key.to_owned(), url.clone())]), &redactor()).expect_err(key);
            assert_eq!(error, GuardError::Address { context: shown.into(), secrets: vec!["TOKEN".into()] });
            assert!(!error.to_string().contains(VALUE));
        }
        let clean = [("context", "https://git.example/x.git"), ("build-arg:context", &url)];
        let clean = clean.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(check_addresses(&BTreeMap::from(clean), &redactor()), Ok(()));
    }

    #[test]
    fn a_clean_configuration_passes() {
        let config =
            serde_json::json!({"config": {"Env": ["PATH=/usr/bin"]}, "history": [{"created_by": "RUN echo $TOKEN"}]});
        let metadata = BTreeMap::from([("containerimage.config".to_owned(), config.to_string().into_bytes())]);
        assert_eq!(check_metadata(&metadata, &redactor()), Ok(()));
    }
}
