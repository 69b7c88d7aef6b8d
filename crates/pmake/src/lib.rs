//! Tells a build script which targets it builds for, and from which commit.
//!
//! Both tools embed programs that run on Linux, inside of an engine. By default, these programs are compiled for the
//! target of the tool itself, so that a developer needs only one toolchain. `PBUILD_EMBED` names other targets,
//! separated by blanks; `scripts/release` names all targets that an engine can have.
//!
//! ```
//! let targets = pmake::embedded_targets(Some("x86_64-unknown-linux-musl aarch64-unknown-linux-musl"), "aarch64-apple-darwin");
//! let platforms: Vec<_> = targets.iter().filter_map(|target| pmake::platform(target)).collect();
//! assert_eq!(platforms, ["linux/amd64", "linux/arm64"]);
//! ```

mod commit;

use std::env;
use std::path::Path;

pub use commit::{Commit, Origin};

/// The variable that names the targets of the embedded programs.
pub const EMBED: &str = "PBUILD_EMBED";

/// Returns the targets of the embedded programs: those that the caller names, or else the tool's own target if it is
/// Linux.
///
/// A tool for another system embeds no program by default.
#[must_use]
pub fn embedded_targets(asked_for: Option<&str>, own: &str) -> Vec<String> {
    match asked_for {
        Some(targets) => targets.split_whitespace().map(str::to_owned).collect(),
        None => platform(own).into_iter().map(|_| own.to_owned()).collect(),
    }
}

/// Returns the platform of a target by the engine's name, such as `linux/arm64`, or `None` if the target is not
/// Linux.
#[must_use]
pub fn platform(target: &str) -> Option<String> {
    let (architecture, rest) = target.split_once('-')?;
    let architecture = match architecture {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    rest.contains("linux").then(|| format!("linux/{architecture}"))
}

/// Returns the linker for a target: from the target's variable, or for the tool's own target from cargo's
/// configuration.
#[must_use]
pub fn linker(target: &str) -> Option<String> {
    let name = format!("CARGO_TARGET_{}_LINKER", target.to_uppercase().replace('-', "_"));
    let configured = || (env::var("TARGET").as_deref() == Ok(target)).then(|| env::var("RUSTC_LINKER").ok()).flatten();
    env::var(name).ok().or_else(configured)
}

/// Returns the directives for cargo that set the variable `name` of the package to the version to show, and that
/// repeat this at another commit.
///
/// `root` is the folder of the workspace. The function reads variables of cargo and of the caller.
#[must_use]
pub fn version_directives(name: &str, root: &Path) -> Vec<String> {
    let number = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let mut directives = vec!["cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH".to_owned()];
    let origin = if env::var("PROFILE").as_deref() == Ok("release") {
        let sources = ["Cargo.toml", "Cargo.lock", "crates"].map(|name| root.join(name));
        let watched = sources.into_iter().chain(Commit::traces(root));
        directives.extend(watched.map(|path| format!("cargo::rerun-if-changed={}", path.display())));
        let epoch = env::var("SOURCE_DATE_EPOCH").ok().and_then(|seconds| seconds.parse().ok());
        Commit::of(root).map_or(Origin::Unknown(epoch), Origin::Commit)
    } else {
        Origin::Development
    };
    directives.push(format!("cargo::rustc-env={name}={}", origin.version(&number)));
    directives
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_for_linux_embeds_its_own_target_alone() {
        assert_eq!(embedded_targets(None, "aarch64-unknown-linux-gnu"), ["aarch64-unknown-linux-gnu"]);
    }

    #[test]
    fn a_tool_for_another_system_embeds_what_it_is_told_to() {
        assert!(embedded_targets(None, "aarch64-apple-darwin").is_empty());
        let asked = embedded_targets(Some(" x86_64-unknown-linux-musl "), "aarch64-apple-darwin");
        assert_eq!(asked, ["x86_64-unknown-linux-musl"]);
    }

    #[test]
    fn a_platform_is_named_as_engines_name_it() {
        assert_eq!(platform("x86_64-unknown-linux-musl").as_deref(), Some("linux/amd64"));
        assert_eq!(platform("riscv64gc-unknown-linux-gnu").as_deref(), Some("linux/riscv64gc"));
        assert_eq!(platform("aarch64-apple-darwin"), None);
    }
}
