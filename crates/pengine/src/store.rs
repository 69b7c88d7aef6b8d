//! The builders that `docker buildx create` made, and the one that `docker buildx use` chose.
//!
//! Formats: docker/buildx `store` (`instances/NAME`, `current`, `defaults/<first 20 digits of sha256 of a context>`).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::configuration::read_json;
use crate::error::EngineError;
use crate::platform;

/// The folder in which docker describes builders.
#[derive(Debug)]
pub(crate) struct BuilderStore(PathBuf);

/// A builder as docker described it when it was created.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Instance {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) driver: String,
    #[serde(default)]
    pub(crate) nodes: Vec<Node>,
}

/// One node of a builder.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Node {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) endpoint: String,
    // This is null if there are no options.
    pub(crate) driver_opts: Option<BTreeMap<String, String>>,
    // This is null if the owner has configured no platforms.
    platforms: Option<Vec<Platform>>,
}

/// A platform in the form of OCI's image specification.
#[derive(Debug, Deserialize)]
struct Platform {
    os: String,
    architecture: String,
    #[serde(default)]
    variant: String,
}

impl Node {
    /// Returns the platforms that the owner configured, in their normal spelling.
    pub(crate) fn platforms(&self) -> Vec<String> {
        let text = |platform: &Platform| {
            let Platform { os, architecture, variant } = platform;
            platform::normal(&[os, architecture, variant].map(String::as_str).join("/"))
        };
        self.platforms.iter().flatten().map(text).collect()
    }

    pub(crate) fn option(&self, name: &str) -> Option<&str> {
        let value = self.driver_opts.as_ref()?.get(name)?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }
}

/// The builder that the last `docker buildx use` chose.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct Current {
    key: String,
    name: String,
    global: bool,
}

impl BuilderStore {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }

    /// Reads a builder by its name. The case of letters does not matter, as for docker.
    pub(crate) fn instance(&self, name: &str) -> Result<Option<Instance>, EngineError> {
        let name = name.to_ascii_lowercase();
        let is_name = name.starts_with(|first: char| first.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
        if !is_name {
            return Ok(None);
        }
        read_json(&self.0.join("instances").join(name))
    }

    /// Returns the names of all builders.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.join("instances")).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// Reads the builder in use for a docker context. The context is identified by its name, or the default context
    /// by its address.
    ///
    /// A builder that was removed in the meantime is ignored, as docker does.
    pub(crate) fn current(&self, context: &str) -> Result<Option<Instance>, EngineError> {
        let current: Current = read_json(&self.0.join("current"))?.unwrap_or_default();
        if !current.name.is_empty() && (current.global || current.key == context) {
            let instance = self.instance(&current.name)?;
            if instance.is_some() || current.key == context {
                return Ok(instance);
            }
        }
        let id = base16ct::lower::encode_string(&Sha256::digest(context)[..10]);
        match fs::read_to_string(self.0.join("defaults").join(id)) {
            Ok(name) => self.instance(name.trim()),
            Err(_) => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    const HERE: &str = "unix:///var/run/docker.sock";

    fn store(files: &[(&str, &str)]) -> (TempDir, BuilderStore) {
        let folder = TempDir::new().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let store = BuilderStore::new(folder.path().to_owned());
        (folder, store)
    }

    fn current(files: &[(&str, &str)], context: &str) -> Option<String> {
        let far = ("instances/far", r#"{"Name":"far","Driver":"remote","Nodes":[]}"#);
        let near = ("instances/near", r#"{"Name":"near","Driver":"remote","Nodes":[]}"#);
        let (_folder, store) = store(&[&[far, near], files].concat());
        store.current(context).unwrap().map(|instance| instance.name)
    }

    #[test]
    fn the_builder_in_use_is_that_of_its_context_unless_it_is_for_all() {
        assert_eq!(current(&[], HERE), None);
        let here = [("current", r#"{"Key":"unix:///var/run/docker.sock","Name":"far","Global":false}"#)];
        assert_eq!(current(&here, HERE).as_deref(), Some("far"));
        assert_eq!(current(&here, "other"), None);
        let all = [("current", r#"{"Key":"x","Name":"far","Global":true}"#)];
        assert_eq!(current(&all, "other").as_deref(), Some("far"));
        let gone = [("current", r#"{"Key":"other","Name":"gone","Global":true}"#)];
        assert_eq!(current(&gone, "other"), None);
        // The first 20 digits of `printf %s other | sha256sum`.
        let default = ("defaults/d9298a10d1b0735837dc", "near");
        assert_eq!(current(&[here[0], default], "other").as_deref(), Some("near"));
    }

    #[test]
    fn a_broken_file_is_named_and_not_quoted() {
        let (folder, store) = store(&[("instances/far", "{\"Name\": hunter22")]);
        let message = store.instance("FAR").unwrap_err().to_string();
        assert!(message.contains(folder.path().join("instances/far").to_str().unwrap()), "{message}");
        assert!(!message.contains("hunter22"), "{message}");
        assert!(store.instance("../far").unwrap().is_none());
        assert_eq!(store.names(), ["far"]);
    }
}
