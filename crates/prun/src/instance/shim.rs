//! The program that starts before the app in each instance, embedded in prun.

use sha2::{Digest, Sha256};

/// The program: a static file that runs in every Linux image of its architecture.
pub(crate) const PROGRAM: &[u8] = include_bytes!(env!("PRUN_SHIM"));

/// The shim's architecture, by Rust's name.
const ARCHITECTURE: &str = env!("PRUN_SHIM_ARCHITECTURE");

/// Returns twelve hex digits of its digest. They are part of its file name, so that a newer prun puts its own beside
/// it.
#[must_use]
pub(crate) fn digest() -> String {
    base16ct::lower::encode_string(&Sha256::digest(PROGRAM)[..6])
}

/// Returns its file name in the home volume.
#[must_use]
pub(crate) fn file_name() -> String {
    format!("shim-{}", digest())
}

/// Returns its path inside a container of the app.
#[must_use]
pub(crate) fn path() -> String {
    format!("{}/{}", pshim::HOME, file_name())
}

/// Whether the shim runs in images of an architecture, by the engine's name.
#[must_use]
pub(crate) fn runs_on(architecture: &str) -> bool {
    match ARCHITECTURE {
        "x86_64" => matches!(architecture, "amd64" | "x86_64"),
        "aarch64" => matches!(architecture, "arm64" | "aarch64"),
        other => architecture == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entrypoint_is_a_small_static_program() {
        assert!(PROGRAM.starts_with(b"\x7fELF"));
        assert!(PROGRAM.len() <= 500 * 1024, "{} bytes", PROGRAM.len());
        // Type EXEC: neither shared nor position independent, so that it needs no loader.
        assert_eq!(PROGRAM[16], 2);
    }

    #[test]
    fn it_names_no_folder_of_the_machine_that_built_it() {
        let folder = env!("CARGO_MANIFEST_DIR").as_bytes();
        assert!(!PROGRAM.windows(folder.len()).any(|window| window == folder));
    }
}
