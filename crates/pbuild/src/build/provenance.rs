//! The provenance in `--metadata-file`, in the form in which buildx writes it.
//!
//! A build without secrets has a record in the engine, and its provenance is there. A build with secrets has no record.
//! Its provenance is the document that the engine attached to the image, if this process can read that.
//!
//! Source: buildx 0.29 `build/provenance.go`; BuildKit `solver/llbsolver/provenance/types`.

use serde_json::{Map, Value, json};

use super::scene::Scene;
use crate::audit::attached::Attached;
use crate::plan::comma_separated::truth;

/// The key of the provenance in the file. With several platforms, the platform follows after a slash.
pub(super) const KEY: &str = "buildx.build.provenance";
/// The variable that chooses the detail.
const VARIABLE: &str = "BUILDX_METADATA_PROVENANCE";
/// The form that buildx writes. Newer forms are translated into it.
const OLD_FORM: &str = "https://slsa.dev/provenance/v0.2";

/// How much of the provenance the file gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    /// Nothing.
    Nothing,
    /// The sources and the parameters of the build.
    Least,
    /// Everything that BuildKit noted, with the steps.
    Most,
}

impl Detail {
    /// Returns the choice of the environment.
    pub(super) fn of_process() -> Self {
        Self::of(std::env::var(VARIABLE).ok().as_deref())
    }

    fn of(word: Option<&str>) -> Self {
        match word {
            Some("max") => Self::Most,
            Some("disabled") => Self::Nothing,
            // As with buildx, any other word stands for the least.
            Some(word) if truth(word) == Some(false) => Self::Nothing,
            Some(_) | None => Self::Least,
        }
    }

    /// Reads the provenance from the engine's record of a build. Returns the entries for the file.
    pub(super) async fn of_record(self, scene: &Scene<'_>, reference: &str) -> Vec<(String, Value)> {
        if self == Self::Nothing {
            return Vec::new();
        }
        match scene.site.builder.provenance(reference).await {
            Ok(found) => found
                .into_iter()
                .map(|found| (key(found.platform.as_deref()), self.told(&found.form, found.document)))
                .collect(),
            Err(error) => {
                let why = format!("{error}");
                scene.edge.stderr.warning(&format!("the metadata file has no provenance: {why}"));
                Vec::new()
            }
        }
    }

    /// Reads the provenance that the engine attached to an image. Returns the entries for the file. Every document was
    /// searched with the image; if one holds a value all the same, it is left out.
    pub(super) async fn of_image(self, scene: &Scene<'_>, image: &str) -> Vec<(String, Value)> {
        let Some(engine) = scene.site.engine().filter(|_| self != Self::Nothing) else { return Vec::new() };
        // Without a content store that this process can read, no documents were attached.
        let Some(attached) = Attached::of(engine).await else { return Vec::new() };
        let found = match attached.provenance(image) {
            Ok(found) => found,
            Err(error) => {
                scene.edge.stderr.warning(&format!("the metadata file has no provenance: {error}"));
                return Vec::new();
            }
        };
        let mut entries = Vec::new();
        for found in found {
            let document = self.told(&found.form, found.document);
            let held = scene.secrets.redactor.labels_in(document.to_string().as_bytes()).join(", ");
            if held.is_empty() {
                entries.push((key(found.platform.as_deref()), document));
            } else {
                scene.edge.stderr.warning(&format!("the metadata file has no provenance, which would hold {held}"));
            }
        }
        entries
    }

    /// Makes the document for the file.
    fn told(self, form: &str, document: Value) -> Value {
        let mut document = if form == OLD_FORM { document } else { translated(&document) };
        if let Some(fields) = document.as_object_mut().filter(|_| self == Self::Least) {
            fields.remove("buildConfig");
            fields.remove("metadata");
        }
        document
    }
}

fn key(platform: Option<&str>) -> String {
    platform.map_or_else(|| KEY.to_owned(), |platform| format!("{KEY}/{platform}"))
}

/// Translates provenance of the form `v1` into the form `v0.2`, as buildx does.
fn translated(document: &Value) -> Value {
    let definition = &document["buildDefinition"];
    let (outside, inside) = (&definition["externalParameters"], &definition["internalParameters"]);
    let details = &document["runDetails"];
    let materials: Vec<Value> = definition["resolvedDependencies"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|one| filled([("uri", &one["uri"]), ("digest", &one["digest"])]))
        .collect();
    let mut environment = inside.as_object().cloned().unwrap_or_default();
    environment.remove("buildConfig");
    let platform = environment.remove("builderPlatform").unwrap_or_default();
    environment.insert("platform".to_owned(), platform);
    let source = &outside["configSource"];
    let mut told = json!({
        "builder": { "id": details["builder"]["id"].as_str().unwrap_or_default() },
        "buildType": "https://mobyproject.org/buildkit@v1",
        "invocation": {
            "configSource":
                filled([("uri", &source["uri"]), ("digest", &source["digest"]), ("entryPoint", &source["path"])]),
            "parameters": outside["request"].as_object().cloned().unwrap_or_default(),
            "environment": environment,
        },
    });
    if !materials.is_empty() {
        told["materials"] = Value::Array(materials);
    }
    if inside["buildConfig"].is_object() {
        told["buildConfig"] = inside["buildConfig"].clone();
    }
    let metadata = &details["metadata"];
    if metadata.is_object() {
        let complete = &metadata["buildkit_completeness"];
        let yes = |value: &Value| value.as_bool().unwrap_or(false);
        let mut old = filled([
            ("buildInvocationID", &metadata["invocationID"]),
            ("buildStartedOn", &metadata["startedOn"]),
            ("buildFinishedOn", &metadata["finishedOn"]),
            ("https://mobyproject.org/buildkit@v1#hermetic", &metadata["buildkit_hermetic"]),
        ]);
        old["completeness"] = json!({
            "parameters": yes(&complete["request"]),
            "environment": true,
            "materials": yes(&complete["resolvedDependencies"]),
        });
        old["reproducible"] = json!(yes(&metadata["buildkit_reproducible"]));
        old["https://mobyproject.org/buildkit@v1#metadata"] =
            metadata["buildkit_metadata"].as_object().cloned().unwrap_or_default().into();
        told["metadata"] = old;
    }
    told
}

/// Makes an object of the fields that have a value.
fn filled<const N: usize>(fields: [(&str, &Value); N]) -> Value {
    let fields = fields.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(fields.map(|(key, value)| (key.to_owned(), value.clone())).collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_variable_are_buildx_s() {
        for (word, detail) in [
            (None, Detail::Least),
            (Some("min"), Detail::Least),
            (Some("max"), Detail::Most),
            (Some("disabled"), Detail::Nothing),
            (Some("false"), Detail::Nothing),
            (Some("0"), Detail::Nothing),
            (Some("true"), Detail::Least),
            (Some("perhaps"), Detail::Least),
        ] {
            assert_eq!(Detail::of(word), detail, "{word:?}");
        }
    }

    #[test]
    fn the_least_has_no_steps_and_the_newer_form_is_translated() {
        let old = json!({ "buildType": "t", "buildConfig": { "llbDefinition": [] }, "metadata": {}, "materials": [] });
        assert_eq!(Detail::Least.told(OLD_FORM, old.clone()), json!({ "buildType": "t", "materials": [] }));
        assert_eq!(Detail::Most.told(OLD_FORM, old.clone()), old);
        let new = json!({
            "buildDefinition": {
                "externalParameters": {
                    "configSource": { "path": "Dockerfile" }, "request": { "frontend": "dockerfile.v0" },
                },
                "internalParameters": { "builderPlatform": "linux/amd64", "buildConfig": { "digestMapping": {} } },
                "resolvedDependencies": [{ "uri": "pkg:docker/a", "digest": { "sha256": "1" }, "name": "left out" }],
            },
            "runDetails": {
                "builder": { "id": "" },
                "metadata": {
                    "invocationID": "i", "startedOn": "s", "finishedOn": "f",
                    "buildkit_completeness": { "request": true }, "buildkit_metadata": { "vcs": {} },
                },
            },
        });
        let least = json!({
            "builder": { "id": "" },
            "buildType": "https://mobyproject.org/buildkit@v1",
            "materials": [{ "uri": "pkg:docker/a", "digest": { "sha256": "1" } }],
            "invocation": {
                "configSource": { "entryPoint": "Dockerfile" },
                "parameters": { "frontend": "dockerfile.v0" },
                "environment": { "platform": "linux/amd64" },
            },
        });
        assert_eq!(Detail::Least.told("https://slsa.dev/provenance/v1", new.clone()), least);
        let most = Detail::Most.told("https://slsa.dev/provenance/v1", new);
        assert_eq!(most["buildConfig"], json!({ "digestMapping": {} }));
        assert_eq!(most["metadata"]["completeness"]["parameters"], true);
        assert_eq!(most["metadata"]["https://mobyproject.org/buildkit@v1#metadata"], json!({ "vcs": {} }));
    }
}
