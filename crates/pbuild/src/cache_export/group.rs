//! The cache exports that a user asked for, grouped by what BuildKit can write in one export.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use pgateway::CacheEntry;

use super::destination::Destination;
use crate::plan::{CacheError, Caches, comma_separated};

/// The attributes that say where a cache goes, and nothing about its content.
const OF_PLACE: [&str; 3] = ["dest", "ref", "tag"];
/// The attributes that say what is in a cache. BuildKit has the same ones for folders and registries.
const OF_CONTENT: [&str; 8] = [
    "mode",
    "compression",
    "compression-level",
    "force-compression",
    "oci-mediatypes",
    "image-manifest",
    "oci-artifact",
    "ignore-error",
];

/// One export of BuildKit, and the destinations of the cache that it writes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Group {
    attributes: BTreeMap<String, String>,
    destinations: Vec<Destination>,
}

impl fmt::Display for Group {
    /// Names the destinations in the spelling of the flags.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, destination) in self.destinations.iter().enumerate() {
            write!(f, "{}{destination}", if at == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl Group {
    /// Groups the exports that carry states. An inline cache carries none and is left out.
    ///
    /// # Errors
    /// Returns an error about the first flag whose cache cannot be searched before it is exported, or that has no
    /// destination.
    pub(crate) fn of(caches: &Caches) -> Result<Vec<Self>, CacheError> {
        let mut groups: Vec<Self> = Vec::new();
        for entry in caches.exports().iter().filter(|entry| entry.kind != "inline") {
            let destination = Destination::of(entry)?;
            // For a bucket, only these two attributes describe the cache's content. Every other attribute says where
            // the bucket is.
            let is_bucket = matches!(destination, Destination::Bucket(_));
            let of_content = |name: &str| match is_bucket {
                true => ["mode", "ignore-error"].contains(&name),
                false => OF_CONTENT.contains(&name),
            };
            let known = |name: &str| is_bucket || OF_PLACE.contains(&name) || of_content(name);
            if let Some(name) = entry.attributes.keys().find(|name| !known(name)) {
                return Err(CacheError::Attribute { kind: entry.kind.clone(), name: name.clone() });
            }
            let attributes = entry.attributes.iter().filter(|(name, _)| of_content(name));
            let attributes = attributes.map(|(name, value)| (name.clone(), value.clone())).collect();
            match groups.iter_mut().find(|group| group.attributes == attributes) {
                Some(group) => group.destinations.push(destination),
                None => groups.push(Self { attributes, destinations: vec![destination] }),
            }
        }
        Ok(groups)
    }

    /// Returns the text by which a later build finds the folder of this export again.
    pub(super) fn key(&self) -> String {
        self.attributes.iter().map(|(name, value)| format!("{name}={value}\n")).collect()
    }

    pub(super) fn is_max(&self) -> bool {
        self.attributes.get("mode").is_some_and(|mode| mode.eq_ignore_ascii_case("max"))
    }

    pub(super) fn ignores_errors(&self) -> bool {
        self.attributes.get("ignore-error").and_then(|value| comma_separated::truth(value)) == Some(true)
    }

    pub(super) fn destinations(&self) -> &[Destination] {
        &self.destinations
    }

    /// Returns BuildKit's cache entry for this export: into a folder of this process.
    pub(super) fn entry(&self, folder: &Path) -> CacheEntry {
        let mut attributes = self.attributes.clone();
        attributes.insert("dest".to_owned(), folder.display().to_string());
        CacheEntry { kind: "local".to_owned(), attributes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::build::CacheOptions;

    fn groups(to: &[&str]) -> Result<Vec<Group>, CacheError> {
        let cache_to = to.iter().map(|text| (*text).to_owned()).collect();
        let options = CacheOptions { cache_to, ..CacheOptions::default() };
        Group::of(&Caches::parse(&options, &BTreeMap::new(), |_| None)?)
    }

    #[test]
    fn exports_of_the_same_content_are_one_export_of_buildkit() {
        let groups = groups(&[
            "type=registry,ref=r.example/a:1,mode=max",
            "type=inline",
            "type=local,dest=/x,mode=max",
            "r.example/b",
            "type=registry,ref=r.example/c,mode=max,compression=zstd",
        ])
        .unwrap();
        let shown: Vec<String> = groups.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "type=registry,ref=r.example/a:1, type=local,dest=/x",
                "type=registry,ref=r.example/b",
                "type=registry,ref=r.example/c"
            ]
        );
        assert_eq!(groups.iter().map(Group::is_max).collect::<Vec<_>>(), [true, false, true]);
        let entry = groups[2].entry(Path::new("/private"));
        assert_eq!((entry.kind.as_str(), entry.attributes.len()), ("local", 3));
        assert_eq!((&*entry.attributes["dest"], &*entry.attributes["compression"]), ("/private", "zstd"));
        assert_ne!(groups[0].key(), groups[2].key());
    }

    #[test]
    fn a_cache_that_cannot_be_searched_first_is_refused() {
        for wrong in ["type=gha,token=t,url=http://x", "type=azblob,name=x", "type=other", "type=registry"] {
            assert!(groups(&[wrong]).is_err(), "{wrong}");
        }
        for wrong in ["type=registry,ref=UPPER/x", "type=local,dest=/x,speed=high"] {
            assert!(groups(&[wrong]).is_err(), "{wrong}");
        }
        assert!(groups(&["type=local,dest=/x,ignore-error=true"]).unwrap()[0].ignores_errors());
    }
}
