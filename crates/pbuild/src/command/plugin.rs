//! `docker pbuild`: pbuild as a plugin of docker's client.
//!
//! Docker finds plugins as programs `docker-NAME` in its plugin folders. It runs one with a single word to hear what it
//! is, and else with its own whole command line: its global flags, the plugin's name, and the rest (docker's
//! `cli-plugins/manager`). The flags that choose an engine become the variables of the same meaning; as nothing is
//! added to the environment of a running pbuild, the program starts once more with them.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

/// The name under which docker finds it: a link to `pbuild`.
pub(crate) const PROGRAM: &str = "docker-pbuild";

/// Docker's name for pbuild.
const NAME: &str = "pbuild";

/// The request of a call by docker.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// The plugin shall describe itself.
    Metadata,
    /// Proposals for a shell; docker's own way of asking, which has files as its answer here.
    Completion,
    /// A command.
    Run(Start),
}

/// How pbuild starts for a command of docker's.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Start {
    arguments: Vec<OsString>,
    set: Vec<(&'static str, OsString)>,
    removed: Vec<&'static str>,
}

/// A global flag of docker's that pbuild cannot follow.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PluginError {
    /// The flag's effect has no variable.
    #[error("docker's global flag {flag} is not followed")]
    Flag {
        /// The flag.
        flag: String,
    },
    /// A flag without its value, or no command of this plugin.
    #[error("docker called its plugin in an unknown way")]
    Unknown,
}

/// Pbuild could not start once more for docker.
#[derive(Debug)]
pub(crate) struct StartError(pub io::Error);

/// Whether docker calls, going by the name of the program.
pub(crate) fn is_plugin(program: Option<&OsStr>) -> bool {
    program.and_then(|program| Path::new(program).file_name()).is_some_and(|name| name == PROGRAM)
}

/// Describes the plugin for docker, as JSON.
pub(crate) fn metadata() -> String {
    serde_json::json!({
        "SchemaVersion": "0.1.0",
        "Vendor": "pbuild",
        "Version": concat!("v", env!("CARGO_PKG_VERSION")),
        "ShortDescription": "Build with secrets that stay out of the image",
    })
    .to_string()
}

/// Reads docker's command line, the program's name left out.
///
/// # Errors
/// [`PluginError`].
pub(crate) fn call(words: impl IntoIterator<Item = OsString>) -> Result<Call, PluginError> {
    let mut words = words.into_iter();
    let mut start = Start::default();
    while let Some(word) = words.next() {
        let text = word.to_str().ok_or(PluginError::Unknown)?;
        match text {
            NAME => {
                start.arguments.extend(words);
                return Ok(Call::Run(start));
            }
            "docker-cli-plugin-metadata" => return Ok(Call::Metadata),
            "__complete" | "__completeNoDesc" => return Ok(Call::Completion),
            "-D" | "--debug" => continue,
            _ => {}
        }
        let (flag, attached) = flag(text);
        let mut value = || attached.map(OsString::from).or_else(|| words.next()).ok_or(PluginError::Unknown);
        match flag {
            "--config" => start.set.push(("DOCKER_CONFIG", value()?)),
            "-H" | "--host" => start.set.push(("DOCKER_HOST", value()?)),
            "-c" | "--context" => {
                start.set.push(("DOCKER_CONTEXT", value()?));
                // With docker the flag goes before this variable; the variable alone goes before the other.
                start.removed.push("DOCKER_HOST");
            }
            "-l" | "--log-level" => drop(value()?),
            "--tlsverify" if attached.is_none_or(|value| value == "true") => {
                start.set.push(("DOCKER_TLS_VERIFY", "1".into()));
            }
            flag if flag.starts_with('-') => return Err(PluginError::Flag { flag: flag.to_owned() }),
            _ => return Err(PluginError::Unknown),
        }
    }
    Err(PluginError::Unknown)
}

/// Splits a flag from the value that is attached to it: `--host=unix:///s`, `-Hunix:///s`.
fn flag(word: &str) -> (&str, Option<&str>) {
    if word.starts_with("--") {
        return word.split_once('=').map_or((word, None), |(flag, value)| (flag, Some(value)));
    }
    match word.split_at_checked(2) {
        Some((flag, value)) if flag.starts_with('-') && !value.is_empty() => {
            (flag, Some(value.strip_prefix('=').unwrap_or(value)))
        }
        _ => (word, None),
    }
}

impl Start {
    /// Becomes pbuild. Returns when that fails.
    pub(crate) fn exec(self) -> StartError {
        let program = match std::env::current_exe() {
            Ok(program) => program,
            Err(error) => return StartError(error),
        };
        let mut command = Command::new(program);
        command.arg0(NAME).args(self.arguments);
        for name in self.removed {
            command.env_remove(name);
        }
        command.envs(self.set);
        StartError(command.exec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(words: &[&str]) -> Result<Call, PluginError> {
        call(words.iter().map(OsString::from))
    }

    fn start(arguments: &[&str], set: &[(&'static str, &str)], removed: &[&'static str]) -> Result<Call, PluginError> {
        Ok(Call::Run(Start {
            arguments: arguments.iter().map(OsString::from).collect(),
            set: set.iter().map(|(name, value)| (*name, OsString::from(value))).collect(),
            removed: removed.to_vec(),
        }))
    }

    #[test]
    fn what_stands_behind_the_name_is_ours() {
        assert_eq!(run(&["pbuild", "build", "-D", "."]), start(&["build", "-D", "."], &[], &[]));
        assert_eq!(run(&["-D", "--log-level", "debug", "-lwarn", "pbuild"]), start(&[], &[], &[]));
    }

    #[test]
    fn flags_that_choose_an_engine_become_variables() {
        let host = [("DOCKER_HOST", "unix:///s")];
        for words in [&["-H", "unix:///s"][..], &["-Hunix:///s"], &["-H=unix:///s"], &["--host=unix:///s"]] {
            assert_eq!(run(&[words, &["pbuild", "doctor"]].concat()), start(&["doctor"], &host, &[]));
        }
        let context = [("DOCKER_CONFIG", "/c"), ("DOCKER_CONTEXT", "far"), ("DOCKER_TLS_VERIFY", "1")];
        let words = ["--config", "/c", "--context", "far", "--tlsverify", "pbuild"];
        assert_eq!(run(&words), start(&[], &context, &["DOCKER_HOST"]));
    }

    #[test]
    fn a_flag_that_is_not_followed_is_named() {
        let named = |flag: &str| Err(PluginError::Flag { flag: flag.to_owned() });
        assert_eq!(run(&["--tlscacert", "/x", "pbuild"]), named("--tlscacert"));
        assert_eq!(run(&["--tlsverify=false", "pbuild"]), named("--tlsverify"));
        assert_eq!(run(&["--tls", "pbuild"]), named("--tls"));
        for words in [&[][..], &["--host"], &["other", "build"]] {
            assert_eq!(run(words), Err(PluginError::Unknown), "{words:?}");
        }
    }

    #[test]
    fn docker_hears_what_it_is() {
        assert_eq!(run(&["docker-cli-plugin-metadata"]), Ok(Call::Metadata));
        let answer: serde_json::Value = serde_json::from_str(&metadata()).expect("JSON");
        assert_eq!((&answer["SchemaVersion"], answer["Vendor"].is_string()), (&"0.1.0".into(), true));
        assert!(is_plugin(Some(OsStr::new("/x/cli-plugins/docker-pbuild"))));
        assert!(!is_plugin(Some(OsStr::new("/usr/bin/pbuild"))) && !is_plugin(None));
    }
}
