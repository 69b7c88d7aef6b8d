//! The program that starts before the app in each instance, embedded in prun.

use sha2::{Digest, Sha256};

/// The program for one platform: a static file that runs in every Linux image of that architecture.
struct Entrypoint {
    program: &'static [u8],
    platform: &'static str,
}

/// The program for each platform that this prun was built for.
static ENTRYPOINTS: &[Entrypoint] = include!(concat!(env!("OUT_DIR"), "/entrypoints.rs"));

/// Returns the program for an architecture, in the engine's spelling, or `None` if this prun does not have one.
#[must_use]
pub(crate) fn program(architecture: &str) -> Option<&'static [u8]> {
    let architecture = match architecture {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let runs = |entrypoint: &&Entrypoint| entrypoint.platform.strip_prefix("linux/") == Some(architecture);
    ENTRYPOINTS.iter().find(runs).map(|entrypoint| entrypoint.program)
}

/// Returns twelve hex digits of the digest of all [`ENTRYPOINTS`]. They are a part of the program's file name, so a
/// newer prun puts its program beside the older one.
#[must_use]
pub(crate) fn digest() -> String {
    let mut digest = Sha256::new();
    ENTRYPOINTS.iter().for_each(|entrypoint| digest.update(entrypoint.program));
    base16ct::lower::encode_string(&digest.finalize()[..6])
}

/// Returns the program's file name in the home volume.
#[must_use]
pub(crate) fn file_name() -> String {
    format!("shim-{}", digest())
}

/// Returns the program's path inside a container of the app.
#[must_use]
pub(crate) fn path() -> String {
    format!("{}/{}", pshim::HOME, file_name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entrypoints_are_small_static_programs_that_name_no_folder_of_this_machine() {
        for Entrypoint { program, platform } in ENTRYPOINTS {
            assert!(program.starts_with(b"\x7fELF"), "{platform}");
            assert!(program.len() <= 500 * 1024, "{platform}: {} bytes", program.len());
            // The file's type is EXEC: it is neither shared nor position independent, so it needs no loader.
            assert_eq!(program[16], 2, "{platform}");
            let folder = env!("CARGO_MANIFEST_DIR").as_bytes();
            assert!(!program.windows(folder.len()).any(|window| window == folder), "{platform}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn there_is_an_entrypoint_for_engines_of_this_programs_own_kind_by_both_names() {
        let names = match std::env::consts::ARCH {
            "x86_64" => ["amd64", "x86_64"],
            "aarch64" => ["arm64", "aarch64"],
            other => [other; 2],
        };
        for name in names {
            assert!(program(name).is_some(), "{name}");
        }
        assert!(program("unheard-of").is_none());
    }
}
