//! The frontend that a Dockerfile asks for. A frontend image may come from anywhere, and its graph decides which
//! commands get the secrets, so only known frontend images get any.

/// The repositories of the frontends that Docker itself publishes.
const KNOWN: [&str; 2] = ["docker/dockerfile", "docker/dockerfile-upstream"];

/// Reads the image after `# syntax=`, if the Dockerfile names one.
///
/// The rules are those of BuildKit's `parser.DetectSyntax`: directives are at the top, before anything else, except
/// that a `#!` line may come first. `//` works as well as `#`. A JSON object with the key `syntax` is also accepted.
pub(crate) fn frontend_image(dockerfile: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(dockerfile);
    let text = text.trim_start_matches('\u{feff}');
    let text = match text.strip_prefix("#!") {
        Some(rest) => rest.split_once('\n').map_or("", |(_, rest)| rest),
        None => text,
    };
    for marker in ["#", "//"] {
        for line in text.lines() {
            let Some((name, value)) = line.trim().strip_prefix(marker).and_then(|rest| rest.split_once('=')) else {
                break;
            };
            let name = name.trim();
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                break;
            }
            if name.eq_ignore_ascii_case("syntax") {
                // The words after the image's name are arguments for the image.
                return value.split_whitespace().next().map(str::to_owned);
            }
        }
    }
    let document = serde_json::Deserializer::from_str(text).into_iter::<serde_json::Value>().next()?.ok()?;
    document.get("syntax")?.as_str()?.split_whitespace().next().map(str::to_owned)
}

/// Returns whether Docker publishes the frontend.
pub(crate) fn is_known(image: &str) -> bool {
    let image = image.strip_prefix("docker.io/").or_else(|| image.strip_prefix("index.docker.io/")).unwrap_or(image);
    let repository = image.split(['@', ':']).next().unwrap_or(image);
    KNOWN.contains(&repository)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_image_wherever_buildkit_finds_it() {
        for text in [
            "# syntax=docker/dockerfile:1\nFROM x",
            "#syntax = docker/dockerfile:1",
            "\u{feff}# SYNTAX=docker/dockerfile:1 --flag\nFROM x",
            "# escape=`\n# syntax=docker/dockerfile:1\n",
            "#!/usr/bin/env pbuild\n# syntax=docker/dockerfile:1\n",
            "// syntax=docker/dockerfile:1\nFROM x",
            "{\"syntax\": \"docker/dockerfile:1\"}",
        ] {
            assert_eq!(frontend_image(text.as_bytes()).as_deref(), Some("docker/dockerfile:1"), "{text:?}");
        }
    }

    #[test]
    fn a_late_directive_is_a_comment_f2() {
        for text in
            ["FROM x\n# syntax=evil", "\n# syntax=evil", "# hello there\n# syntax=evil", "# a b=c\n# syntax=evil", ""]
        {
            assert_eq!(frontend_image(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn only_dockers_own_frontends_are_known() {
        for image in [
            "docker/dockerfile:1",
            "docker.io/docker/dockerfile:1.10@sha256:00",
            "docker/dockerfile-upstream:master",
            "docker/dockerfile",
        ] {
            assert!(is_known(image), "{image}");
        }
        for image in [
            "evil/dockerfile:1",
            "registry.example/docker/dockerfile:1",
            "docker/dockerfile2",
            "localhost:5000/docker/dockerfile",
        ] {
            assert!(!is_known(image), "{image}");
        }
    }
}
