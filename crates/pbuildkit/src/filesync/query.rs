//! The engine's request for files of a local.

use percent_encoding::percent_decode_str;
use tonic::metadata::MetadataMap;

/// The engine's request, read from the metadata of the call (BuildKit `session/filesync`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query {
    /// The name of the local.
    pub(crate) local: String,
    pub(crate) include: Vec<String>,
    pub(crate) exclude: Vec<String>,
    /// The paths whose links are followed.
    pub(crate) follow: Vec<String>,
}

impl Query {
    pub(crate) fn of_metadata(metadata: &MetadataMap) -> Self {
        let values = |key: &str| -> Vec<String> {
            let encoded = metadata.get(format!("{key}-encoded")).is_some_and(|value| value.as_bytes() == b"1");
            let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
            let all = metadata.get_all(key).iter().map(|value| text(value.as_bytes()));
            if encoded { all.map(|value| query_decoded(&value)).collect() } else { all.collect() }
        };
        Self {
            local: values("dir-name").into_iter().next().unwrap_or_default(),
            include: values("include-patterns"),
            exclude: values("exclude-patterns"),
            follow: values("followpaths"),
        }
    }
}

/// Decodes text as Go's `url.QueryUnescape` does, in which `+` stands for a blank.
fn query_decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_patterns_and_decodes_only_those_that_say_so() {
        let mut metadata = MetadataMap::new();
        let put = |metadata: &mut MetadataMap, key: &'static str, value: &str| {
            metadata.append(key, value.parse().unwrap());
        };
        put(&mut metadata, "dir-name", "context");
        put(&mut metadata, "include-patterns", "a%20b");
        put(&mut metadata, "exclude-patterns", "caf%C3%A9+x");
        put(&mut metadata, "exclude-patterns", "%21keep");
        put(&mut metadata, "exclude-patterns-encoded", "1");
        let query = Query::of_metadata(&metadata);
        assert_eq!(query.local, "context");
        assert_eq!(query.include, ["a%20b"]);
        assert_eq!(query.exclude, ["café x", "!keep"]);
        assert!(query.follow.is_empty());
    }
}
