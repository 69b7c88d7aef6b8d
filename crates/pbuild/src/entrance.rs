//! The entrances through which docker's own commands reach pbuild.
//!
//! There are two: the plugin `docker-pbuild`, which `docker build` also calls if docker's alias is installed, and a
//! `docker-buildx` that is a link to pbuild. Both run builds with pbuild and refuse commands that would build without
//! a search. They pass other commands to the real buildx, with arguments, variables and standard input unchanged;
//! only `docker buildx version` is answered by pbuild.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use pcli::plugin::{Call, METADATA, Plugin, PluginError, Start, StartError};
use pengine::Environment;
use pscreen::{Diagnostic, Exit, Printer};
use serde_json::Value;

use crate::buildx::{self, Buildx, BuildxError};
use crate::edge::Explain;

/// pbuild's own plugin.
pub(crate) const OWN: Plugin =
    Plugin { program: "docker-pbuild", name: "pbuild", description: "Build with secrets that stay out of the image" };

/// The plugin buildx, if pbuild is installed in its place.
pub(crate) const BUILDX: Plugin =
    Plugin { program: buildx::PROGRAM, name: "buildx", description: "Build with BuildKit, through pbuild" };

/// Docker's variable that tells a plugin that docker's client started it (docker/cli `cli-plugins/manager`).
const STARTED_BY_DOCKER: &str = "DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND";

/// The variable that tells the restarted pbuild that the caller expects the error messages of buildx.
pub(crate) const IN_PLACE_OF_BUILDX: &str = "PBUILD_IN_PLACE_OF_BUILDX";

/// The reasons why a call cannot be carried out.
#[derive(Debug)]
enum EntranceError {
    Plugin(PluginError),
    Start(StartError),
    Buildx(BuildxError),
    /// A command of buildx that builds without a search.
    Unguarded(String),
    /// An unknown flag, after which a build may follow.
    Unclear(String),
}

impl From<PluginError> for EntranceError {
    fn from(error: PluginError) -> Self {
        Self::Plugin(error)
    }
}

impl From<StartError> for EntranceError {
    fn from(error: StartError) -> Self {
        Self::Start(error)
    }
}

impl From<BuildxError> for EntranceError {
    fn from(error: BuildxError) -> Self {
        Self::Buildx(error)
    }
}

impl EntranceError {
    fn explain(&self) -> Diagnostic {
        match self {
            Self::Plugin(error) => error.diagnostic(),
            Self::Start(error) => error.diagnostic(),
            Self::Buildx(error) => error.explain(),
            Self::Unguarded(command) => {
                Diagnostic::error(format!("`docker buildx {command}` builds without a search for secrets"), Exit::Usage)
                    .help("build with `docker buildx build`; to look into a step, call the real buildx by its path")
            }
            Self::Unclear(flag) => {
                Diagnostic::error(format!("`docker buildx {flag}`: pbuild does not know this flag"), Exit::Usage).help(
                    "behind it may be a build that nobody searches; write the flag behind the command, or leave it out",
                )
            }
        }
    }
}

/// Answers docker if docker started pbuild as one of its plugins. Returns `None` if docker did not. For a command,
/// this process becomes pbuild itself, with docker's flags as variables, or the real buildx. `own_commands` are the
/// names of pbuild's commands.
pub(crate) fn answer(words: impl IntoIterator<Item = OsString>, own_commands: &[&str]) -> Option<Exit> {
    let mut words = words.into_iter();
    let program = words.next();
    let outcome = if OWN.is_called(program.as_deref()) {
        own(words.collect(), own_commands)
    } else if BUILDX.is_called(program.as_deref()) {
        in_place_of_buildx(words.collect())
    } else {
        return None;
    };
    let error = match outcome {
        Ok(answer) => {
            Printer::stdout().line(&answer);
            return Some(Exit::Done);
        }
        Err(error) => error,
    };
    let diagnostic = error.explain();
    Printer::stderr().diagnostic(&diagnostic);
    Some(diagnostic.exit().unwrap_or(Exit::Failed))
}

/// Answers a call of pbuild's own plugin. With the alias, docker calls `pbuild prune` for `docker builder prune`.
fn own(words: Vec<OsString>, own_commands: &[&str]) -> Result<String, EntranceError> {
    let start = match OWN.call(words.iter().cloned())? {
        Call::Metadata => return Ok(OWN.metadata(concat!("v", env!("CARGO_PKG_VERSION")))),
        // Docker's completion scripts read `:0` as "no proposals, complete files instead".
        Call::Completion => return Ok(":0".to_owned()),
        Call::Run(start) => start,
    };
    let command = start.arguments().first();
    let is_own = command.is_none_or(|word| starts_like_a_flag(word) || own_commands.iter().any(|own| word == own));
    match Request::of(start.arguments()) {
        // `Request::of` also knows buildx's short names of builds.
        Request::Build(arguments) if !is_own => return Err(start.calling(arguments).exec(OWN.name).into()),
        Request::Unguarded(command) if !is_own => return Err(EntranceError::Unguarded(command)),
        _ => {}
    }
    if !is_own && let Ok(buildx) = real(&start) {
        let mut handed_on = words;
        handed_on[start.name_at()] = BUILDX.name.into();
        return Err(buildx.become_it(handed_on).into());
    }
    // If there is no buildx, pbuild itself reports that it does not know the command.
    Err(start.exec(OWN.name).into())
}

/// Answers a call of buildx, if pbuild is installed in its place.
fn in_place_of_buildx(words: Vec<OsString>) -> Result<String, EntranceError> {
    if words.first().is_some_and(|word| word == METADATA) {
        return Ok(BUILDX.metadata(&metadata_version(real(&Start::default()).ok().as_ref())));
    }
    let by_docker = std::env::var_os(STARTED_BY_DOCKER).is_some_and(|program| !program.is_empty());
    let start = match by_docker {
        false => Ok(Start::with(words.clone())),
        true => match BUILDX.call(words.iter().cloned()) {
            Ok(Call::Run(start)) => Ok(start),
            Ok(Call::Metadata | Call::Completion) => return Err(real(&Start::default())?.become_it(words).into()),
            Err(error) => Err(error),
        },
    };
    let request = match &start {
        Ok(start) => Request::of(start.arguments()),
        Err(_) => behind_the_name(&words),
    };
    match request {
        Request::Build(arguments) => {
            let start = start?.calling(arguments).setting(IN_PLACE_OF_BUILDX, "1");
            Err(start.exec(OWN.name).into())
        }
        Request::Version => Ok(version(&real(&start.unwrap_or_default())?)?),
        Request::Unguarded(command) => Err(EntranceError::Unguarded(command)),
        Request::Unclear(flag) => Err(EntranceError::Unclear(flag)),
        Request::Other => Err(real(&start.unwrap_or_default())?.become_it(words).into()),
    }
}

/// Reads a command line of docker that has a global flag which only the real buildx knows. The word `buildx` may be
/// the value of such a flag, so every occurrence is tried as the command's name; if any of these readings is a build,
/// the command line counts as a build.
fn behind_the_name(words: &[OsString]) -> Request {
    let names = words.iter().enumerate().filter(|(_, word)| *word == BUILDX.name);
    let mut readings = names.map(|(at, _)| Request::of(&words[at + 1..]));
    readings.find(|request| *request != Request::Other).unwrap_or(Request::Other)
}

/// What a command line asks buildx to do.
#[derive(Debug, PartialEq, Eq)]
enum Request {
    /// A build, as the arguments of pbuild.
    Build(Vec<OsString>),
    /// The question which version of buildx this is.
    Version,
    /// A build that only buildx can do, without a search.
    Unguarded(String),
    /// Perhaps a build: the command follows this flag, which pbuild does not know.
    Unclear(String),
    /// Any other command.
    Other,
}

impl Request {
    /// Reads the arguments after buildx's name: buildx's own flags, a command, and that command's arguments.
    fn of(words: &[OsString]) -> Self {
        let mut builder: Vec<OsString> = Vec::new();
        let mut at = 0;
        while let Some(word) = words.get(at) {
            let text = word.to_str().unwrap_or_default();
            match text {
                "--builder" => {
                    builder.extend(words[at..].iter().take(2).cloned());
                    at += 2;
                }
                _ if text.starts_with("--builder=") => {
                    builder.push(word.clone());
                    at += 1;
                }
                "-D" | "--debug" => at += 1,
                _ if text.starts_with("--debug=") || text.starts_with("-D=") => at += 1,
                "build" | "b" | "bake" | "f" => {
                    let command = if text.starts_with("bu") || text == "b" { "build" } else { "bake" };
                    let own = [OsString::from(command)].into_iter().chain(builder);
                    return Self::Build(own.chain(words[at + 1..].iter().cloned()).collect());
                }
                "version" if words.len() == at + 1 => return Self::Version,
                "debug" | "dap" => return Self::Unguarded(text.to_owned()),
                // The flag may take the next word as its value, so pbuild cannot tell which word is the command.
                _ if text.starts_with('-') && words[at..].iter().any(is_build) => {
                    return Self::Unclear(text.to_owned());
                }
                _ => return Self::Other,
            }
        }
        Self::Other
    }
}

/// Returns whether a word could be a command of buildx that builds.
fn is_build(word: &OsString) -> bool {
    ["build", "b", "bake", "f", "debug", "dap"].iter().any(|command| word == command)
}

fn starts_like_a_flag(word: &OsStr) -> bool {
    word.as_encoded_bytes().starts_with(b"-")
}

/// Finds the real buildx for the docker folder of a call.
fn real(start: &Start) -> Result<Buildx, BuildxError> {
    let named = start.variable("DOCKER_CONFIG").map(PathBuf::from);
    Buildx::find(named.or_else(|| Environment::of_process().docker_folder()).as_deref())
}

/// Returns the answer to `buildx version`: the answer of the real buildx, in which programs look for a number, and
/// pbuild's name.
pub(crate) fn version(buildx: &Buildx) -> Result<String, BuildxError> {
    let answer = buildx.ask(["version".into()].into())?;
    let answer = String::from_utf8_lossy(&answer);
    let first = answer.lines().next().unwrap_or_default().trim().to_owned();
    Ok(format!("{first} (through pbuild {})", env!("CARGO_PKG_VERSION")))
}

/// Returns the version of the plugin that is installed in the place of buildx. Programs compare this version, so it
/// begins with the version of the real buildx.
fn metadata_version(buildx: Option<&Buildx>) -> String {
    let described = buildx.and_then(|buildx| buildx.ask([METADATA.into()].into()).ok());
    let described: Value = described.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    let version = described["Version"].as_str().unwrap_or("0.0.0").trim_start_matches('v');
    let number = version.split(['+', '-', ' ']).next().unwrap_or_default();
    format!("v{number}+pbuild.{}", env!("CARGO_PKG_VERSION"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(words: &[&str]) -> Request {
        Request::of(&words.iter().map(OsString::from).collect::<Vec<_>>())
    }

    fn build(words: &[&str]) -> Request {
        Request::Build(words.iter().map(OsString::from).collect())
    }

    #[test]
    fn builds_are_ours_under_all_of_their_names() {
        assert_eq!(request(&["build", "-t", "x", "."]), build(&["build", "-t", "x", "."]));
        assert_eq!(request(&["b", "."]), build(&["build", "."]));
        assert_eq!(request(&["f", "--print"]), build(&["bake", "--print"]));
        assert_eq!(request(&["--builder", "far", "-D", "bake"]), build(&["bake", "--builder", "far"]));
        assert_eq!(request(&["--builder=far", "build", "."]), build(&["build", "--builder=far", "."]));
        for debug in ["-D=true", "--debug=1", "--debug=F"] {
            assert_eq!(request(&[debug, "build", "."]), build(&["build", "."]), "{debug}");
        }
    }

    #[test]
    fn a_build_behind_an_unknown_flag_is_not_handed_on() {
        let flag = |flag: &str| Request::Unclear(flag.to_owned());
        assert_eq!(request(&["--new", "build", "."]), flag("--new"));
        assert_eq!(request(&["--new=1", "--builder", "x", "f"]), flag("--new=1"));
        assert_eq!(request(&["--new", "ls"]), Request::Other);
        // Here the name `buildx` is also the value of a flag of docker.
        let words = ["--config", "buildx", "--tls", "buildx", "build", "."].map(OsString::from);
        assert_ne!(behind_the_name(&words), Request::Other);
        assert_eq!(behind_the_name(&["--tls", "buildx", "ls"].map(OsString::from)), Request::Other);
    }

    #[test]
    fn everything_else_is_the_real_one_s_but_builds_that_nobody_searches() {
        for words in
            [&["ls"][..], &["imagetools", "create", "build"], &[], &["--help"], &["version", "--help"], &["--builder"]]
        {
            assert_eq!(request(words), Request::Other, "{words:?}");
        }
        assert_eq!(request(&["version"]), Request::Version);
        assert_eq!(request(&["debug", "build", "."]), Request::Unguarded("debug".to_owned()));
        assert_eq!(request(&["dap", "build", "."]), Request::Unguarded("dap".to_owned()));
    }

    #[test]
    fn the_version_begins_with_a_number_where_there_is_no_buildx() {
        assert_eq!(metadata_version(None), format!("v0.0.0+pbuild.{}", env!("CARGO_PKG_VERSION")));
    }
}
