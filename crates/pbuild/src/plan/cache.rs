//! Caches outside of the engine: `--cache-from`, `--cache-to`.
//!
//! Anybody may have written an imported cache. Its results are used for steps, and the gate searches the states that
//! come of them, not their cache keys. An exported cache leaves the builder, and the gate has not searched it:
//! BuildKit's exporter takes the newest result that it knows under each key, which another build may have made, and
//! with `mode=max` it takes the results of all stages. So a build with secrets fetches its caches to this machine and
//! searches them first ([`crate::cache_export`]). Only the inline cache is exported at once: it names the image's own
//! layers and carries no state.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use pbuildkit::{ContentStore, ContentStores};
use pgateway::CacheEntry;
use serde_json::Value;

use crate::command::build::CacheOptions;
use crate::oci_layout::{self, DEFAULT_TAG};
use crate::plan::comma_separated;

/// The mistakes in a flag of a cache. Each message names the flag.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum CacheError {
    /// The value does not follow the grammar.
    #[error("invalid {flag} {text:?}: write the name of an image, or type=TYPE with NAME=VALUE pairs between commas")]
    Format {
        /// The flag.
        flag: &'static str,
        /// The flag's value.
        text: String,
    },
    /// The flag of a cache in a folder does not name the folder.
    #[error("{flag} type=local: {attribute} is required")]
    NoFolder {
        /// The flag.
        flag: &'static str,
        /// `src` or `dest`.
        attribute: &'static str,
    },
    /// The flag of a cache in a registry does not name the cache.
    #[error("--cache-to type=registry: ref is required")]
    NoReference,
    /// The name of a cache in a registry is not valid.
    #[error("--cache-to type=registry,ref={text}: {problem}")]
    Reference {
        /// The name.
        text: String,
        /// The mistake in the name.
        problem: String,
    },
    /// A bucket lacks an attribute that it needs.
    #[error("--cache-to type=s3: {attribute} is required, or the variable {variable}")]
    Bucket {
        /// The attribute.
        attribute: &'static str,
        /// The variable that can replace the attribute.
        variable: &'static str,
    },
    /// An attribute is not supported where pbuild itself exports the cache.
    #[error("--cache-to type={kind}: {name} is not possible in a build with secrets")]
    Attribute {
        /// The kind of cache.
        kind: String,
        /// The attribute.
        name: String,
    },
    /// Only BuildKit can write a cache of this kind, so pbuild could not search it first.
    #[error("--cache-to type={kind} would carry results that are not searched for secrets")]
    Unsearched {
        /// The kind of cache.
        kind: String,
    },
}

/// The caches of a build, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Caches {
    imports: Vec<CacheEntry>,
    exports: Vec<CacheEntry>,
    /// A sentence for each folder that cannot be read. As with docker, such a cache is left out with a warning.
    left_out: Vec<String>,
}

/// The attribute that names a folder to read from.
const SOURCE: &str = "src";
/// The attribute that names a folder to write to.
const DESTINATION: &str = "dest";
/// The key of the builder's answer that describes the written cache (BuildKit `exporter/containerimage/exptypes`).
const WRITTEN: &str = "cache.manifest";

impl Caches {
    /// Reads the flags. `environment` returns the variables of GitHub's runners about their cache.
    ///
    /// # Errors
    /// Returns a [`CacheError`] that names the flag.
    pub(crate) fn parse(
        options: &CacheOptions,
        build_arguments: &BTreeMap<String, String>,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, CacheError> {
        let entries = |flag: &'static str, texts: &[String]| -> Result<Vec<CacheEntry>, CacheError> {
            let mut entries = Vec::new();
            for text in texts {
                // One value may hold several comma-separated fields if all of them are names of images.
                match comma_separated::fields(text) {
                    Some(names) if !text.is_empty() && names.iter().all(|name| !name.contains('=')) => {
                        entries.extend(names.into_iter().map(|name| registry(&name)));
                    }
                    _ => entries.extend(entry(flag, text, &environment)?),
                }
            }
            Ok(entries)
        };
        let (mut imports, mut left_out) = (Vec::new(), Vec::new());
        for mut import in entries("--cache-from", &options.cache_from)? {
            match settle_folder(&mut import)? {
                None => imports.push(import),
                Some(why) => left_out.push(why),
            }
        }
        let mut exports = entries("--cache-to", &options.cache_to)?;
        let no_folder = |entry: &&CacheEntry| is_local(entry) && folder(entry, DESTINATION).is_none();
        if exports.iter().any(|entry| no_folder(&entry)) {
            return Err(CacheError::NoFolder { flag: "--cache-to", attribute: DESTINATION });
        }
        let inline = build_arguments.get("BUILDKIT_INLINE_CACHE").and_then(|value| comma_separated::truth(value));
        if inline == Some(true) {
            exports.push(CacheEntry { kind: "inline".to_owned(), attributes: BTreeMap::new() });
        }
        Ok(Self { imports, exports, left_out })
    }

    /// Returns the caches that are read.
    pub(crate) fn imports(&self) -> &[CacheEntry] {
        &self.imports
    }

    /// Returns the caches that are written.
    pub(crate) fn exports(&self) -> &[CacheEntry] {
        &self.exports
    }

    /// Returns the caches that are written into the image itself.
    pub(crate) fn inline(&self) -> impl Iterator<Item = &CacheEntry> {
        self.exports.iter().filter(|entry| entry.kind == "inline")
    }

    /// Returns a sentence for each cache in a folder that is not read.
    pub(crate) fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// Returns the folders that the engine reads from.
    pub(crate) fn sources(&self) -> ContentStores {
        let reads = self.imports.iter().filter_map(|entry| folder(entry, SOURCE));
        ContentStores(reads.map(|path| named(path, ContentStore::readable(PathBuf::from(path)))).collect())
    }

    /// Returns the folders that the engine writes to, including those that it also reads.
    pub(crate) fn destinations(&self) -> ContentStores {
        let writes = self.exports.iter().filter_map(|entry| folder(entry, DESTINATION));
        ContentStores(writes.map(|path| named(path, ContentStore::writable(PathBuf::from(path)))).collect())
    }

    /// Adds the tags to the caches in folders after a successful build. `answer` is the builder's answer.
    ///
    /// # Errors
    /// Returns the folder that cannot be written to, and the cause.
    pub(crate) fn tag_folders(&self, answer: &BTreeMap<String, String>) -> Result<(), (PathBuf, io::Error)> {
        let Some(Ok(written)) = answer.get(WRITTEN).map(|text| serde_json::from_str::<Value>(text)) else {
            return Ok(());
        };
        for entry in &self.exports {
            let Some(path) = folder(entry, DESTINATION) else { continue };
            let tag = entry.attributes.get("tag").map_or(DEFAULT_TAG, String::as_str);
            oci_layout::put(Path::new(path), written.clone(), tag).map_err(|error| (PathBuf::from(path), error))?;
        }
        Ok(())
    }

    /// Returns the attributes of all caches without the credentials, which may hold secrets.
    pub(crate) fn attributes(&self) -> impl Iterator<Item = (&String, &String)> {
        let all = self.imports.iter().chain(&self.exports).flat_map(|entry| &entry.attributes);
        all.filter(|(name, _)| !CREDENTIALS.contains(&name.as_str()))
    }
}

/// The attributes that are credentials.
const CREDENTIALS: [&str; 4] = ["token", "secret_access_key", "session_token", "account_key"];

/// Names a folder by the path in the flag, because the engine asks for it by that name.
fn named(path: &str, store: ContentStore) -> (String, ContentStore) {
    (format!("local:{path}"), store)
}

fn is_local(entry: &CacheEntry) -> bool {
    entry.kind == "local"
}

/// Returns the folder of a cache, if the cache is in a folder.
fn folder<'entry>(entry: &'entry CacheEntry, attribute: &str) -> Option<&'entry str> {
    let path = entry.attributes.get(attribute).filter(|_| is_local(entry));
    path.map(String::as_str).filter(|path| !path.is_empty())
}

/// Finds the digest of the cache in a folder and adds it to the entry, because the engine does not accept a tag.
/// Returns a sentence with the reason if there is no digest.
fn settle_folder(entry: &mut CacheEntry) -> Result<Option<String>, CacheError> {
    if !is_local(entry) {
        return Ok(None);
    }
    let Some(path) = folder(entry, SOURCE).map(str::to_owned) else {
        return Err(CacheError::NoFolder { flag: "--cache-from", attribute: SOURCE });
    };
    if entry.attributes.get("digest").is_some_and(|digest| !digest.is_empty()) {
        return Ok(None);
    }
    let tag = entry.attributes.get("tag").map_or(DEFAULT_TAG, String::as_str);
    let why = match oci_layout::digest_of(Path::new(&path), tag) {
        Ok(Some(digest)) => {
            entry.attributes.insert("digest".to_owned(), digest);
            return Ok(None);
        }
        Ok(None) => format!("there is no tag {tag:?}"),
        Err(error) => error.to_string(),
    };
    Ok(Some(format!("--cache-from type=local,src={path} is left out: {why}")))
}

fn registry(name: &str) -> CacheEntry {
    CacheEntry { kind: "registry".to_owned(), attributes: [("ref".to_owned(), name.to_owned())].into() }
}

/// Parses one entry. Returns `None` if the entry would have no effect, as GitHub's cache outside of its runners.
fn entry(
    flag: &'static str,
    text: &str,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Option<CacheEntry>, CacheError> {
    let wrong = || CacheError::Format { flag, text: text.to_owned() };
    let mut attributes: BTreeMap<String, String> =
        comma_separated::pairs(text).map_err(|_| wrong())?.into_iter().collect();
    let kind = attributes.remove("type").ok_or_else(wrong)?;
    match kind.as_str() {
        "gha" => {
            // docker's client adds the runner's variables, too, so that a step of a workflow need not repeat them.
            let mut add = |name: &str, variables: &[&str]| {
                let value = variables.iter().find_map(|variable| environment(variable));
                if let (false, Some(value)) = (attributes.contains_key(name), value) {
                    attributes.insert(name.to_owned(), value);
                }
            };
            add("token", &["ACTIONS_RUNTIME_TOKEN"]);
            add("url_v2", &["ACTIONS_RESULTS_URL"]);
            add("url", &["ACTIONS_CACHE_URL", "ACTIONS_RESULTS_URL"]);
            if !attributes.contains_key("token") || !attributes.contains_key("url") {
                return Ok(None);
            }
        }
        "s3" => {
            for (name, variable) in [
                ("access_key_id", "AWS_ACCESS_KEY_ID"),
                ("secret_access_key", "AWS_SECRET_ACCESS_KEY"),
                ("session_token", "AWS_SESSION_TOKEN"),
            ] {
                if let (false, Some(value)) = (attributes.contains_key(name), environment(variable)) {
                    attributes.insert(name.to_owned(), value);
                }
            }
        }
        _ => {}
    }
    Ok(Some(CacheEntry { kind, attributes }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(from: &[&str], to: &[&str]) -> Result<Caches, CacheError> {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let options = CacheOptions { cache_from: owned(from), cache_to: owned(to) };
        Caches::parse(&options, &BTreeMap::new(), |name| {
            (name != "AWS_SESSION_TOKEN").then(|| format!("value-of-{name}"))
        })
    }

    fn shown(entries: &[CacheEntry]) -> Vec<String> {
        let pairs = |entry: &CacheEntry| -> Vec<String> {
            entry.attributes.iter().map(|(name, value)| format!(",{name}={value}")).collect()
        };
        entries.iter().map(|entry| format!("{}{}", entry.kind, pairs(entry).concat())).collect()
    }

    #[test]
    fn caches_are_spelled_as_docker_spells_them() {
        let caches = parse(&["r.example/a:1,r.example/b", "type=registry,ref=c"], &["type=inline"]).unwrap();
        assert_eq!(
            shown(&caches.imports),
            ["registry,ref=r.example/a:1", "registry,ref=r.example/b", "registry,ref=c"]
        );
        assert_eq!(shown(&caches.exports), ["inline"]);
        let github = shown(&parse(&["type=gha,scope=x"], &[]).unwrap().imports);
        assert_eq!(github.len(), 1);
        assert!(github[0].contains("token=value-of-ACTIONS_RUNTIME_TOKEN") && github[0].contains("scope=x"));
        assert!(shown(&parse(&[], &["type=s3,bucket=b"]).unwrap().exports)[0].contains("secret_access_key=value-of"));
        for wrong in ["", "mode=max", "type=registry,loose"] {
            assert!(matches!(parse(&[], &[wrong]), Err(CacheError::Format { flag: "--cache-to", .. })), "{wrong}");
        }
    }

    #[test]
    fn a_cache_in_a_folder_is_found_by_its_tag() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().display().to_string();
        let (from, to) = (format!("type=local,src={path}"), format!("type=local,dest={path},tag=main"));
        let before = parse(&[&from], &[&to]).unwrap();
        assert_eq!((before.imports.len(), before.left_out.len()), (0, 1), "nothing is there yet");
        assert!(before.destinations().0[&format!("local:{path}")].writable);
        let answer =
            |digest: &str| BTreeMap::from([(WRITTEN.to_owned(), json!({"digest": digest, "size": 2}).to_string())]);
        before.tag_folders(&answer("sha256:1")).unwrap();
        assert_eq!(parse(&[&from], &[]).unwrap().left_out.len(), 1, "it has another tag");
        let found = parse(&[&format!("{from},tag=main")], &[]).unwrap();
        assert_eq!(found.imports[0].attributes["digest"], "sha256:1");
        assert!(!found.sources().0[&format!("local:{path}")].writable);
        assert!(matches!(
            parse(&["type=local"], &[]),
            Err(CacheError::NoFolder { flag: "--cache-from", attribute: "src" })
        ));
        assert!(matches!(
            parse(&[], &["type=local"]),
            Err(CacheError::NoFolder { flag: "--cache-to", attribute: "dest" })
        ));
    }

    #[test]
    fn outside_of_a_runner_github_s_cache_is_left_out() {
        let options = CacheOptions { cache_from: vec!["type=gha".into()], cache_to: vec!["type=gha,mode=max".into()] };
        assert_eq!(Caches::parse(&options, &BTreeMap::new(), |_| None), Ok(Caches::default()));
    }

    #[test]
    fn a_build_argument_asks_for_a_cache_in_the_image() {
        let argument = [("BUILDKIT_INLINE_CACHE".to_owned(), "1".to_owned())].into();
        let inline = Caches::parse(&CacheOptions::default(), &argument, |_| None).unwrap();
        assert_eq!(shown(&inline.exports), ["inline"]);
    }

    #[test]
    fn a_credential_is_none_of_the_attributes_that_are_looked_at() {
        let caches = parse(&[], &["type=gha,token=t,scope=s"]).unwrap();
        assert!(caches.attributes().all(|(name, _)| name != "token"));
        assert!(caches.attributes().any(|(name, _)| name == "scope"));
    }
}
