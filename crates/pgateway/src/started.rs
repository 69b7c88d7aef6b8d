//! Reads the data that BuildKit gives to a frontend in addition to the bridge: the options in the environment, and
//! the graph of the frontend's own image in a file (BuildKit `frontend/gateway/gateway.go`).

use std::collections::BTreeMap;
use std::path::Path;

use pllb::Definition;
use prost::Message as _;

/// The prefix of the variables with options. A number and `=NAME=VALUE` follow.
const OPTION: &str = "BUILDKIT_FRONTEND_OPT_";

/// The file in which BuildKit 0.10 and later store the graph of the frontend's image.
pub const OWN_IMAGE: &str = "/run/config/buildkit/metadata/frontend.bin";

/// Reads the options of the build, by name, from the environment of a frontend.
#[must_use]
pub fn options_of(environment: impl Iterator<Item = (String, String)>) -> BTreeMap<String, String> {
    environment
        .filter(|(variable, _)| variable.starts_with(OPTION))
        .filter_map(|(_, option)| option.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())))
        .collect()
}

/// Reads the graph that makes the frontend's own image, by digest. Returns `None` if BuildKit did not write the file,
/// or if the file contains no graph. `path` is [`OWN_IMAGE`].
#[must_use]
pub fn own_image(path: &Path) -> Option<Definition> {
    let definition = Definition::decode(std::fs::read(path).ok()?.as_slice()).ok()?;
    (!definition.def.is_empty()).then_some(definition)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_taken_apart_at_their_first_sign() {
        let environment = [
            ("PATH", "/bin"),
            ("BUILDKIT_FRONTEND_OPT_0", "build-arg:A=b=c"),
            ("BUILDKIT_FRONTEND_OPT_1", "cmdline=image NPM_TOKEN"),
            ("BUILDKIT_FRONTEND_OPT_2", "no sign"),
            ("BUILDKIT_SESSION_ID", "x=y"),
        ];
        let options = options_of(environment.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())));
        let expected = [("build-arg:A", "b=c"), ("cmdline", "image NPM_TOKEN")];
        assert!(options.iter().map(|(name, value)| (name.as_str(), value.as_str())).eq(expected));
    }

    #[test]
    fn a_file_that_holds_no_graph_is_no_image() {
        let folder = std::env::temp_dir().join(format!("pgateway-own-image-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("frontend.bin");
        assert!(own_image(&path).is_none(), "there is no file");
        for bytes in [&b""[..], b"\xff\xff\xff"] {
            std::fs::write(&path, bytes).unwrap();
            assert!(own_image(&path).is_none(), "{bytes:?}");
        }
        let graph = Definition { def: vec![vec![1, 2, 3]], ..Definition::default() };
        std::fs::write(&path, graph.encode_to_vec()).unwrap();
        assert_eq!(own_image(&path), Some(graph));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
