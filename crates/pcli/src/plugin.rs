//! A tool as a plugin of docker's client: `docker pbuild build .` runs `pbuild build .` on the engine that docker's
//! own flags name.
//!
//! Docker starts a plugin with docker's global flags, the plugin's name and the words after that name (docker/cli
//! `cli-plugins/manager`). Each flag that chooses an engine has a variable with the same meaning. The program sets
//! these variables and starts once more, so that no other code has to know that docker called.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use pscreen::{Diagnostic, Exit};

/// The word with which docker asks a plugin to describe itself.
pub const METADATA: &str = "docker-cli-plugin-metadata";

/// A plugin of docker's client.
#[derive(Clone, Copy, Debug)]
pub struct Plugin {
    /// The file name by which docker finds the plugin, such as `docker-pbuild`. The file is a link to the tool.
    pub program: &'static str,
    /// The plugin's name on docker's command line.
    pub name: &'static str,
    /// A description in one line.
    pub description: &'static str,
}

/// The request of a call by docker.
#[derive(Debug, PartialEq, Eq)]
pub enum Call {
    /// Docker asks the plugin to describe itself.
    Metadata,
    /// Docker asks for the words that complete a command line. The answer is to complete file names.
    Completion,
    /// Docker runs a command.
    Run(Start),
}

/// The words and variables with which the tool starts for a command of docker.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Start {
    arguments: Vec<OsString>,
    set: Vec<(&'static str, OsString)>,
    removed: Vec<&'static str>,
    /// The position of the plugin's name among docker's words.
    name_at: usize,
}

/// The reason why a call by docker cannot be run.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PluginError {
    /// A global flag whose effect no variable has.
    #[error("docker's global flag {flag} is not followed")]
    Flag {
        /// The flag.
        flag: String,
    },
    /// A flag has no value, or the plugin's name is missing.
    #[error("docker called its plugin in an unknown way")]
    Unknown,
}

/// The error of a plugin that docker called, and that could not replace itself by the tool.
#[derive(Debug)]
pub struct StartError(pub io::Error);

impl PluginError {
    /// Explains the error to people.
    #[must_use]
    pub fn diagnostic(&self) -> Diagnostic {
        let diagnostic = Diagnostic::from_error(self, Exit::Usage);
        match self {
            Self::Flag { .. } => diagnostic.help(
                "choose the engine by DOCKER_HOST, DOCKER_TLS_VERIFY and DOCKER_CERT_PATH, or by a docker context",
            ),
            Self::Unknown => diagnostic.help("run the tool itself"),
        }
    }
}

impl StartError {
    /// Explains the error to people.
    #[must_use]
    pub fn diagnostic(&self) -> Diagnostic {
        Diagnostic::from_error(&self.0, Exit::Failed).note("while starting once more for docker")
    }
}

impl Plugin {
    /// Returns true if docker started the program, which shows in the program's name.
    #[must_use]
    pub fn is_called(&self, program: Option<&OsStr>) -> bool {
        program.and_then(|program| Path::new(program).file_name()).is_some_and(|name| name == self.program)
    }

    /// Returns the plugin's description for docker, as JSON.
    #[must_use]
    pub fn metadata(&self, version: &str) -> String {
        serde_json::json!({
            "SchemaVersion": "0.1.0",
            "Vendor": "pbuild",
            "Version": version,
            "ShortDescription": self.description,
        })
        .to_string()
    }

    /// Reads docker's command line, without the program's name.
    ///
    /// # Errors
    ///
    /// Returns a [`PluginError`] if the call cannot be run.
    pub fn call(&self, words: impl IntoIterator<Item = OsString>) -> Result<Call, PluginError> {
        let mut words = words.into_iter().enumerate();
        let mut start = Start::default();
        while let Some((at, word)) = words.next() {
            let text = word.to_str().ok_or(PluginError::Unknown)?;
            match text {
                name if name == self.name => {
                    start.name_at = at;
                    start.arguments.extend(words.map(|(_, word)| word));
                    return Ok(Call::Run(start));
                }
                METADATA => return Ok(Call::Metadata),
                "__complete" | "__completeNoDesc" => return Ok(Call::Completion),
                "-D" | "--debug" => continue,
                _ => {}
            }
            let (flag, attached) = flag(text);
            let mut value = || {
                let next = || words.next().map(|(_, word)| word);
                attached.map(OsString::from).or_else(next).ok_or(PluginError::Unknown)
            };
            match flag {
                "--config" => start.set.push(("DOCKER_CONFIG", value()?)),
                "-H" | "--host" => start.set.push(("DOCKER_HOST", value()?)),
                "-c" | "--context" => {
                    start.set.push(("DOCKER_CONTEXT", value()?));
                    // In docker, the flag `--context` wins over `DOCKER_HOST`. The variable `DOCKER_CONTEXT` does
                    // not, so `DOCKER_HOST` is removed.
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
}

/// Splits a flag from an attached value, as in `--host=unix:///s` and `-Hunix:///s`.
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
    /// Makes a start with these words, and without any flag of docker.
    #[must_use]
    pub fn with(arguments: Vec<OsString>) -> Self {
        Self { arguments, ..Self::default() }
    }

    /// Returns the words after the plugin's name.
    #[must_use]
    pub fn arguments(&self) -> &[OsString] {
        &self.arguments
    }

    /// Returns the position of the plugin's name among docker's words.
    #[must_use]
    pub fn name_at(&self) -> usize {
        self.name_at
    }

    /// Returns the value of a variable, if one of docker's flags sets it.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&OsStr> {
        self.set.iter().rev().find(|(set, _)| *set == name).map(|(_, value)| value.as_os_str())
    }

    /// Returns the same start with other words.
    #[must_use]
    pub fn calling(self, arguments: Vec<OsString>) -> Self {
        Self { arguments, ..self }
    }

    /// Returns the same start with one more variable.
    #[must_use]
    pub fn setting(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.set.push((name, value.into()));
        self
    }

    /// Replaces this process by the tool, under the tool's own name. Returns only if that fails.
    #[must_use]
    pub fn exec(self, name: &str) -> StartError {
        let program = match std::env::current_exe() {
            Ok(program) => program,
            Err(error) => return StartError(error),
        };
        let mut command = Command::new(program);
        command.arg0(name).args(self.arguments);
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

    const PLUGIN: Plugin = Plugin { program: "docker-pbuild", name: "pbuild", description: "Builds" };

    fn run(words: &[&str]) -> Result<Call, PluginError> {
        let call = PLUGIN.call(words.iter().map(OsString::from));
        call.map(|call| match call {
            Call::Run(start) => Call::Run(Start { name_at: 0, ..start }),
            other => other,
        })
    }

    fn start(arguments: &[&str], set: &[(&'static str, &str)], removed: &[&'static str]) -> Result<Call, PluginError> {
        Ok(Call::Run(Start {
            arguments: arguments.iter().map(OsString::from).collect(),
            set: set.iter().map(|(name, value)| (*name, OsString::from(value))).collect(),
            removed: removed.to_vec(),
            name_at: 0,
        }))
    }

    #[test]
    fn what_stands_behind_the_name_is_ours() {
        assert_eq!(run(&["pbuild", "build", "-D", "."]), start(&["build", "-D", "."], &[], &[]));
        assert_eq!(run(&["-D", "--log-level", "debug", "-lwarn", "pbuild"]), start(&[], &[], &[]));
    }

    #[test]
    fn the_words_can_be_handed_on_with_another_name() {
        let words = ["--config", "/c", "pbuild", "prune", "-f"].map(OsString::from);
        let Ok(Call::Run(start)) = PLUGIN.call(words.clone()) else { panic!("a command") };
        assert_eq!((start.name_at(), start.arguments()), (2, &words[3..]));
        assert_eq!(start.variable("DOCKER_CONFIG"), Some(OsStr::new("/c")));
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
        let answer: serde_json::Value = serde_json::from_str(&PLUGIN.metadata("v1")).expect("JSON");
        assert_eq!((&answer["SchemaVersion"], &answer["Version"]), (&"0.1.0".into(), &"v1".into()));
        assert!(PLUGIN.is_called(Some(OsStr::new("/x/cli-plugins/docker-pbuild"))));
        assert!(!PLUGIN.is_called(Some(OsStr::new("/usr/bin/pbuild"))) && !PLUGIN.is_called(None));
    }
}
