//! The results of a solve: lazy states, and the metadata that an exporter needs.

use std::collections::{BTreeMap, HashMap};

use bollard_buildkit_proto::moby::buildkit::v1::frontend::{self, result};
use pllb::Definition;

/// The results that a frontend made of its input.
#[derive(Clone, Debug, Default)]
pub struct Solved {
    /// The metadata that the exporter needs besides the files: `containerimage.config`, `refs.platforms`, …
    pub metadata: BTreeMap<String, Vec<u8>>,
    /// The files.
    pub files: Files,
    /// The attestations, such as lists of parts, which are passed on unchanged.
    attestations: HashMap<String, frontend::Attestations>,
}

/// The files that a frontend made.
#[derive(Clone, Debug, Default)]
pub enum Files {
    /// No files, for example for a check.
    #[default]
    Nothing,
    /// One state.
    Single(Reference),
    /// One state for each platform, such as `linux/arm64`.
    Platforms(BTreeMap<String, Reference>),
}

/// A state of files, which the engine knows by its identity.
#[derive(Clone, Debug)]
pub struct Reference {
    /// The state's identity; empty for an empty state (`FROM scratch` without further steps).
    pub id: String,
    /// The graph that makes the state, as long as the state is lazy.
    pub definition: Option<Definition>,
}

/// The files of one platform, which will be returned as a part of the result.
#[derive(Clone, Debug)]
pub struct PreparedResult {
    /// The platform; `None` if the build is for one platform only.
    pub platform: Option<String>,
    /// The very state that will be returned.
    pub reference: Reference,
    /// The graph that makes the state.
    pub definition: Definition,
}

/// A cache other than the engine's own, as `--cache-from` and `--cache-to` describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheEntry {
    /// The kind: `registry`, `inline`, `gha`, …
    pub kind: String,
    /// The attributes of the kind, for example `ref`.
    pub attributes: BTreeMap<String, String>,
}

impl CacheEntry {
    pub(crate) fn to_option(&self) -> frontend::CacheOptionsEntry {
        frontend::CacheOptionsEntry { r#type: self.kind.clone(), attrs: self.attributes.clone().into_iter().collect() }
    }
}

impl Solved {
    /// Lists the states that the build made, each with its platform. The platform is `None` if the build has only
    /// one. The list is empty if the build made nothing.
    pub fn references_mut(&mut self) -> Vec<(Option<String>, &mut Reference)> {
        match &mut self.files {
            Files::Nothing => Vec::new(),
            Files::Single(reference) => vec![(None, reference)],
            Files::Platforms(platforms) => {
                platforms.iter_mut().map(|(platform, reference)| (Some(platform.clone()), reference)).collect()
            }
        }
    }

    pub(crate) fn from_response(response: frontend::SolveResponse) -> Result<Self, tonic::Status> {
        let result = response.result.ok_or_else(|| tonic::Status::internal("a solve has no result"))?;
        let reference = |reference: frontend::Ref| Reference { id: reference.id, definition: reference.def };
        let files = match result.result {
            None => Files::Nothing,
            Some(result::Result::Ref(single)) => Files::Single(reference(single)),
            Some(result::Result::Refs(map)) => {
                Files::Platforms(map.refs.into_iter().map(|(platform, single)| (platform, reference(single))).collect())
            }
            Some(result::Result::RefDeprecated(_) | result::Result::RefsDeprecated(_)) => {
                let message = "the engine's BuildKit returns results in a form of before 2019";
                return Err(tonic::Status::unimplemented(message));
            }
        };
        Ok(Self { metadata: result.metadata.into_iter().collect(), files, attestations: result.attestations })
    }

    pub(crate) fn into_result(self) -> frontend::Result {
        let reference = |reference: Reference| frontend::Ref { id: reference.id, def: None };
        let files = match self.files {
            Files::Nothing => None,
            Files::Single(single) => Some(result::Result::Ref(reference(single))),
            Files::Platforms(platforms) => Some(result::Result::Refs(frontend::RefMap {
                refs: platforms.into_iter().map(|(platform, single)| (platform, reference(single))).collect(),
            })),
        };
        frontend::Result {
            metadata: self.metadata.into_iter().collect(),
            attestations: self.attestations,
            result: files,
        }
    }
}
