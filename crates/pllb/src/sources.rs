//! Makes definitions of sources: an image by its name, or a file of the client.

use std::collections::BTreeMap;

use bollard_buildkit_proto::pb;
use prost::Message as _;

use crate::digest;

/// Makes the graph of an image's files, for the builder's own platform.
#[must_use]
pub fn image(name: &str) -> pb::Definition {
    source(format!("docker-image://{}", complete(name)), BTreeMap::new())
}

/// Makes the graph of one file in a local folder that the client offers under this name.
#[must_use]
pub fn local_file(folder: &str, file: &str) -> pb::Definition {
    let attributes = [
        ("local.followpaths".to_owned(), serde_list(file)),
        // The hint differs from that of the whole folder, because each transfer would otherwise remove the files of
        // the other one.
        ("local.sharedkeyhint".to_owned(), format!("{folder}-{file}")),
    ];
    source(format!("local://{folder}"), attributes.into())
}

/// Writes a JSON list with one text.
fn serde_list(text: &str) -> String {
    let escaped: String =
        text.chars().flat_map(|c| if matches!(c, '"' | '\\') { vec!['\\', c] } else { vec![c] }).collect();
    format!("[\"{escaped}\"]")
}

/// Completes an image name with the parts that docker lets users leave out.
fn complete(name: &str) -> String {
    let first = name.split('/').next().unwrap_or_default();
    let has_host = name.contains('/') && (first.contains(['.', ':']) || first == "localhost");
    let whole = match (has_host, name.contains('/')) {
        (true, _) => name.to_owned(),
        (false, true) => format!("docker.io/{name}"),
        (false, false) => format!("docker.io/library/{name}"),
    };
    let tagged = whole.contains('@') || whole.rsplit('/').next().is_some_and(|last| last.contains(':'));
    if tagged { whole } else { format!("{whole}:latest") }
}

fn source(identifier: String, attrs: BTreeMap<String, String>) -> pb::Definition {
    let operation = pb::op::Op::Source(pb::SourceOp { identifier, attrs });
    let made = pb::Op { op: Some(operation), ..pb::Op::default() }.encode_to_vec();
    let input = pb::Input { digest: digest(&made), index: 0 };
    let end = pb::Op { inputs: vec![input], ..pb::Op::default() }.encode_to_vec();
    pb::Definition { def: vec![made, end], ..pb::Definition::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain;

    #[test]
    fn names_are_completed_as_docker_does() {
        for (name, whole) in [
            ("busybox", "docker.io/library/busybox:latest"),
            ("pbuild/frontend:1", "docker.io/pbuild/frontend:1"),
            ("localhost/a", "localhost/a:latest"),
            ("127.0.0.1:5000/a/b:1", "127.0.0.1:5000/a/b:1"),
            ("registry.example/a@sha256:00", "registry.example/a@sha256:00"),
        ] {
            assert_eq!(complete(name), whole);
            assert_eq!(chain(&image(name)).unwrap().base.unwrap().identifier, format!("docker-image://{whole}"));
        }
    }

    #[test]
    fn one_file_of_a_folder_is_asked_for() {
        let definition = local_file("context", "app.toml");
        assert_eq!(chain(&definition).unwrap().base.unwrap().identifier, "local://context");
        let Some(pb::op::Op::Source(source)) = pb::Op::decode(definition.def[0].as_slice()).unwrap().op else {
            panic!("a source")
        };
        assert_eq!(source.attrs["local.followpaths"], r#"["app.toml"]"#);
    }
}
