//! The documents that an engine attaches to an image: provenance, lists of packages (SBOM) and annotations.

use std::collections::BTreeMap;

use crate::command::build::AttestationOptions;
use crate::plan::comma_separated;

/// The mistakes in a flag. Each message names the flag.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum AttestationError {
    /// The value of `--attest` is not a list of pairs.
    #[error("invalid --attest {0:?}: write type=TYPE with NAME=VALUE pairs between commas")]
    Format(String),
    /// `--attest` has no type.
    #[error("invalid --attest {0:?}: attestation type not specified")]
    NoKind(String),
    /// The value of `disabled=` is neither true nor false.
    #[error("invalid --attest {0:?}: disabled is true or false")]
    Disabled(String),
    /// The value of `--annotation` is not a pair.
    #[error("invalid --annotation {0:?}: write [TYPE:]NAME=VALUE")]
    Annotation(String),
    /// `--annotation` has a type that does not exist.
    #[error("invalid --annotation: unknown annotation type {0:?}")]
    AnnotationKind(String),
}

/// The documents to attach, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attestations {
    /// The frontend's attributes (`attest:TYPE`) of the documents.
    wanted: BTreeMap<String, String>,
    /// Whether a flag asks for provenance or refuses it.
    provenance_settled: bool,
    /// The exporters' attributes of annotations.
    annotations: BTreeMap<String, String>,
}

/// The results to which the engine attaches documents when it exports them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AttestationReach {
    /// No result.
    Nothing,
    /// Only images (`inline-only`).
    Images,
    /// All results. If a result is files, the documents become files beside them.
    Everything,
}

/// The provenance that docker's own client asks for by default.
const USUAL: &str = "mode=min,inline-only=true";

impl Attestations {
    /// Reads the flags. A later flag replaces an earlier flag of the same type.
    ///
    /// # Errors
    /// Returns an [`AttestationError`] that names the flag.
    pub(crate) fn parse(options: &AttestationOptions) -> Result<Self, AttestationError> {
        let mut attestations = Self::default();
        let short = |kind: &str, text: &Option<String>| {
            text.as_deref().filter(|text| !text.is_empty()).map(|text| match comma_separated::truth(text) {
                Some(wanted) => format!("type={kind},disabled={}", !wanted),
                None => format!("type={kind},{text}"),
            })
        };
        let all = options.attestations.iter().cloned();
        let all = all.chain(short("provenance", &options.provenance)).chain(short("sbom", &options.sbom));
        for text in all {
            attestations.add(&text)?;
        }
        for text in &options.annotations {
            attestations.annotate(text)?;
        }
        Ok(attestations)
    }

    fn add(&mut self, text: &str) -> Result<(), AttestationError> {
        let pairs = comma_separated::pairs(text).map_err(|_| AttestationError::Format(text.to_owned()))?;
        let (mut kind, mut disabled, mut rest) = (None, false, Vec::new());
        for (name, value) in pairs {
            match name.as_str() {
                "type" => kind = Some(value),
                "disabled" => {
                    let wrong = || AttestationError::Disabled(text.to_owned());
                    disabled = comma_separated::truth(&value).ok_or_else(wrong)?;
                }
                _ => rest.push(comma_separated::field(&format!("{name}={value}"))),
            }
        }
        let kind = kind.ok_or_else(|| AttestationError::NoKind(text.to_owned()))?;
        self.provenance_settled |= kind == "provenance";
        let attribute = format!("attest:{kind}");
        match disabled {
            true => drop(self.wanted.remove(&attribute)),
            false => drop(self.wanted.insert(attribute, rest.join(","))),
        }
        Ok(())
    }

    fn annotate(&mut self, text: &str) -> Result<(), AttestationError> {
        let wrong = || AttestationError::Annotation(text.to_owned());
        let (name, value) = text.split_once('=').ok_or_else(wrong)?;
        let (kinds, name) = name.split_once(':').map_or((None, name), |(kinds, name)| (Some(kinds), name));
        if name.is_empty() {
            return Err(wrong());
        }
        let Some(kinds) = kinds else {
            self.annotations.insert(format!("annotation.{name}"), value.to_owned());
            return Ok(());
        };
        for kind in kinds.split(',') {
            let known = ["manifest", "index", "manifest-descriptor", "index-descriptor"];
            let (word, platform) = kind.split_once('[').unwrap_or((kind, "]"));
            if !known.contains(&word) || !platform.ends_with(']') {
                return Err(AttestationError::AnnotationKind(kind.to_owned()));
            }
            self.annotations.insert(format!("annotation-{kind}.{name}"), value.to_owned());
        }
        Ok(())
    }

    /// Returns whether any attestation was asked for. Not every image store can hold attestations.
    pub(crate) fn asked_for(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// Adds the provenance that docker's own client asks for by default, unless a flag asks for provenance or refuses
    /// it, or the environment refuses it: `refused` is the value of `BUILDX_NO_DEFAULT_ATTESTATIONS`.
    pub(crate) fn use_usual(&mut self, refused: Option<&str>) {
        let refused = refused.and_then(comma_separated::truth).unwrap_or(false);
        if !self.provenance_settled && !refused {
            self.wanted.insert("attest:provenance".to_owned(), USUAL.to_owned());
        }
    }

    /// Returns the frontend's attributes of the documents.
    pub(crate) fn attributes(&self) -> &BTreeMap<String, String> {
        &self.wanted
    }

    /// Returns the exporters' attributes of annotations.
    pub(crate) fn annotations(&self) -> &BTreeMap<String, String> {
        &self.annotations
    }

    /// Returns the results to which the engine will attach documents.
    pub(crate) fn reach(&self) -> AttestationReach {
        match self.wanted.values().map(|value| value.contains("inline-only=true")).collect::<Vec<_>>().as_slice() {
            [] => AttestationReach::Nothing,
            inline if inline.iter().all(|inline| *inline) => AttestationReach::Images,
            _ => AttestationReach::Everything,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &[&str]) -> Result<Attestations, AttestationError> {
        use clap::Parser;
        #[derive(Parser)]
        struct Line {
            #[command(flatten)]
            options: AttestationOptions,
        }
        Attestations::parse(&Line::parse_from([&["x"], options].concat()).options)
    }

    fn wanted(options: &[&str]) -> Vec<(String, String)> {
        let mut attestations = parse(options).unwrap();
        attestations.use_usual(None);
        attestations.wanted.into_iter().collect()
    }

    #[test]
    fn a_variable_refuses_what_is_usual_and_nothing_else() {
        for (value, expected) in [("1", 0), ("true", 0), ("0", 1), ("false", 1), ("", 1), ("perhaps", 1)] {
            let mut attestations = parse(&[]).unwrap();
            attestations.use_usual(Some(value));
            assert_eq!(attestations.wanted.len(), expected, "{value:?}");
        }
        let mut attestations = parse(&["--provenance", "mode=max"]).unwrap();
        attestations.use_usual(Some("1"));
        assert_eq!(attestations.wanted.len(), 1);
    }

    #[test]
    fn attestations_mean_what_docker_means() {
        let pair = |kind: &str, value: &str| (format!("attest:{kind}"), value.to_owned());
        assert_eq!(wanted(&[]), [pair("provenance", USUAL)]);
        assert_eq!(wanted(&["--provenance=false"]), []);
        assert_eq!(wanted(&["--provenance", "mode=max"]), [pair("provenance", "mode=max")]);
        assert_eq!(wanted(&["--sbom=true"]), [pair("provenance", USUAL), pair("sbom", "")]);
        let generator = ["--provenance=0", "--attest", "type=sbom,generator=a/b"];
        assert_eq!(wanted(&generator), [pair("sbom", "generator=a/b")]);
        assert_eq!(parse(&["--attest", "mode=max"]), Err(AttestationError::NoKind("mode=max".into())));
        assert!(parse(&["--attest", "type=sbom,disabled=maybe"]).is_err());
    }

    #[test]
    fn documents_are_expected_where_they_will_be() {
        assert_eq!(parse(&[]).unwrap().reach(), AttestationReach::Nothing);
        let mut usual = parse(&[]).unwrap();
        usual.use_usual(None);
        assert_eq!(usual.reach(), AttestationReach::Images);
        assert_eq!(parse(&["--provenance=mode=max"]).unwrap().reach(), AttestationReach::Everything);
    }

    #[test]
    fn annotations_are_told_to_exporters() {
        let annotations = |texts: &[&str]| {
            let options: Vec<&str> = texts.iter().flat_map(|text| ["--annotation", text]).collect();
            parse(&options).map(|attestations| attestations.annotations.into_iter().collect::<Vec<_>>())
        };
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(annotations(&["a.b=c=d"]), Ok(vec![pair("annotation.a.b", "c=d")]));
        assert_eq!(
            annotations(&["index,manifest[linux/amd64]:a=b"]),
            Ok(vec![pair("annotation-index.a", "b"), pair("annotation-manifest[linux/amd64].a", "b")])
        );
        assert!(annotations(&["a"]).is_err() && annotations(&["=b"]).is_err());
        assert_eq!(annotations(&["file:a=b"]), Err(AttestationError::AnnotationKind("file".into())));
    }
}
