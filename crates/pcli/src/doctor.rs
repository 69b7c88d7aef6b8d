//! `doctor`: checks the setup and suggests fixes. This module is the half that both tools share.
//!
//! A tool checks its engine, puts its own findings before these, and prints the list. Nothing in this module needs an
//! engine, and no finding holds a value.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::process::{Command, Stdio};

use psecret::{Inputs, Searchability, Unprotected};
use pvault::Environment;
use serde::Serialize;

use crate::arguments::DoctorRequest;
use crate::git;
use crate::resolve::{Purpose, Untrusted, resolve};
use crate::secrets::Desk;
use crate::trust::{Trusted, acts, acts_on_host};
use crate::{
    FoundManifest, IDENTITY_VARIABLE, ProjectStore, find_manifest, foreign_manifest, identity, identity_path,
    last_builds,
};
use pscreen::words::{broken, counted};
use pscreen::{Diagnostic, Exit, Printer, Terminal, Tone};

/// How well a checked thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// The thing is as it should be.
    Ok,
    /// The thing works, but the user should look at it.
    Warning,
    /// The next build or start would fail, or others can read a secret.
    Problem,
}

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Observation {
    /// How well the thing is.
    pub health: Health,
    /// The thing that was checked: `engine`, `store`, …
    pub about: String,
    /// The result of the check, as text for people.
    pub text: String,
    /// Advice, if the user can do something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// The exit code of a command that would fail because of this problem.
    #[serde(skip)]
    pub exit: Option<Exit>,
}

impl Observation {
    /// Reports a thing that is as it should be.
    #[must_use]
    pub fn ok(about: &str, text: impl Into<String>) -> Self {
        Self { health: Health::Ok, about: about.to_owned(), text: text.into(), advice: None, exit: None }
    }

    /// Reports a thing that the user should look at, with advice.
    #[must_use]
    pub fn warning(about: &str, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { health: Health::Warning, advice: Some(advice.into()), ..Self::ok(about, text) }
    }

    /// Reports an error as a problem, with the error's exit code.
    #[must_use]
    pub fn problem(about: &str, diagnostic: &Diagnostic) -> Self {
        let (title, advice) = diagnostic.title_and_help();
        let advice = (!advice.is_empty()).then(|| advice.join("; "));
        Self { health: Health::Problem, advice, exit: diagnostic.exit(), ..Self::ok(about, title) }
    }
}

/// Checks the project: its manifest, trust, identity, store and secrets. Also finds the secrets that the last builds
/// never used. The request's env files are read with the secrets.
#[must_use]
pub fn look(request: &DoctorRequest, desk: &Desk) -> (Option<FoundManifest>, Vec<Observation>) {
    let purpose = request.purpose;
    let environment = |name: &str| std::env::var_os(name);
    let mut findings = Vec::new();
    let found = match find_manifest(request.config.as_deref(), &[Path::new("")]) {
        Ok(found) => found,
        Err(error) => {
            findings.push(Observation::problem("manifest", &error.diagnostic()));
            return (None, findings);
        }
    };
    match &found {
        Some(found) => findings.push(Observation::ok("manifest", found.path.display().to_string())),
        None => findings.push(match foreign_manifest(request.config.as_deref(), &[Path::new("")]) {
            Some(said) => Observation::warning("manifest", said, "give ours another name, and --config with it"),
            None => Observation::warning("manifest", "there is no app.toml here", "pbuild new writes one"),
        }),
    }
    if let Some(found) = &found {
        findings.extend(trust(found, purpose, &environment));
    }
    let directory = found.as_ref().map_or(Path::new(""), FoundManifest::directory);
    store(directory, &environment, &mut findings);
    secrets(request, found.as_ref(), desk, &mut findings);
    unused(directory, &environment, &mut findings);
    (found, findings)
}

/// Checks the trust in the manifest: how many of the entries that need trust are trusted, and every act of the
/// manifest on the host.
fn trust(found: &FoundManifest, purpose: Purpose, environment: &Environment<'_>) -> Vec<Observation> {
    let trusted = Trusted::remembered(found, environment);
    let acts = acts(&found.manifest);
    let open = acts.iter().filter(|act| !trusted.covers(act)).count();
    let advice = match trusted.danger() {
        Some(danger) => danger.help(&found.path),
        None => format!("look at the manifest, then `{} trust`", purpose.tool()),
    };
    let mut findings = vec![match trusted.danger() {
        Some(danger) => Observation::warning("trust", format!("{}: {danger}", found.path.display()), advice.clone()),
        None if acts.is_empty() => Observation::ok("trust", "the manifest asks for nothing that needs trust"),
        None if open == 0 => {
            Observation::ok("trust", format!("all {} entries that need trust are trusted", acts.len()))
        }
        None => {
            let text = format!("{open} of {} entries that need trust are not trusted", acts.len());
            Observation::warning("trust", text, format!("{advice}; values from flags and the store need none"))
        }
    }];
    findings.extend(acts_on_host(&found.manifest).iter().map(|act| {
        let text = format!("line {}: {}", act.line, act.told);
        if trusted.covers(act) {
            Observation::ok("host", text)
        } else {
            Observation::warning("host", text, advice.clone())
        }
    }));
    findings
}

fn store(directory: &Path, environment: &Environment<'_>, findings: &mut Vec<Observation>) {
    let identity = identity(environment);
    let place = match environment(IDENTITY_VARIABLE) {
        Some(_) => IDENTITY_VARIABLE.to_owned(),
        None => identity_path(environment).map(|path| path.display().to_string()).unwrap_or_default(),
    };
    let store = match ProjectStore::beside(directory, environment) {
        Ok(store) => store,
        Err(error) => return findings.push(Observation::problem("store", &error.diagnostic())),
    };
    let identity = match identity {
        Ok(identity) => {
            findings.push(Observation::ok("identity", place));
            identity
        }
        // A project without a store needs no identity.
        Err(error) if !store.exists() && error.is_closed() => {
            return findings.push(Observation::ok("store", "none; `pbuild secrets init` makes one"));
        }
        Err(error) => return findings.push(Observation::problem("identity", &error.diagnostic())),
    };
    if !store.exists() {
        return findings.push(Observation::ok("store", "none; `pbuild secrets init` makes one"));
    }
    findings.push(match store.read(&identity) {
        Ok(content) => {
            let (secrets, readers) = (content.names().count(), content.recipients().count());
            let (secrets, readers) = (counted(secrets, "secret"), counted(readers, "recipient"));
            Observation::ok("store", format!("{} opens: {secrets}, {readers}", store.path().display()))
        }
        Err(error) => Observation::problem("store", &error.diagnostic()),
    });
    if !git::lacks(store.path().parent().unwrap_or(Path::new("."))).is_empty() {
        let text = "this clone cannot merge two versions of the store";
        findings.push(Observation::warning("git", text, "pbuild secrets init"));
    }
}

fn secrets(request: &DoctorRequest, found: Option<&FoundManifest>, desk: &Desk, findings: &mut Vec<Observation>) {
    let environment = |name: &str| std::env::var_os(name);
    let mut stdin = std::io::stdin();
    let mut inputs = Inputs::new(&environment, &mut stdin);
    // `Purpose::List` looks for values and runs none of the commands that fetch them.
    let resolution = match resolve(&request.sources, found, Purpose::List, &mut inputs, &desk.cancellation) {
        Ok(resolution) => resolution,
        Err(error) => return findings.push(Observation::problem("secrets", &error.diagnostic())),
    };
    findings.extend(
        resolution
            .warnings
            .iter()
            .map(|text| Observation { health: Health::Warning, ..Observation::ok("secrets", text.clone()) }),
    );
    for secret in &resolution.secrets {
        findings.push(searchability(secret));
    }
    let there = resolution.secrets.iter().map(|secret| secret.name().as_str());
    let there: HashSet<&str> = there.chain(resolution.deferred.iter().map(String::as_str)).collect();
    let untrusted: HashMap<&str, &Untrusted> =
        resolution.untrusted.iter().map(|entry| (entry.name.as_str(), entry)).collect();
    let declared = found.into_iter().flat_map(|found| &found.manifest.secrets);
    for secret in declared.filter(|secret| !there.contains(secret.name.as_str())) {
        findings.extend(absent(secret, untrusted.get(secret.name.as_str()).copied(), request.purpose));
    }
}

fn searchability(secret: &psecret::Secret) -> Observation {
    let (about, source) = (secret.name().as_str(), secret.source().to_string());
    match Searchability::of(secret.value()) {
        Searchability::Full => Observation::ok(about, format!("from {source}; searched for in every form")),
        Searchability::Weak => Observation::warning(
            about,
            format!("from {source}; weak: 4 to 7 bytes are found as a whole word only"),
            "use a value of 8 bytes or more",
        ),
        Searchability::Empty => Observation::warning(about, format!("from {source}; empty"), "give it a value"),
        Searchability::Unprotected(why) => {
            let why = match why {
                Unprotected::TooShort => "too short",
                Unprotected::CommonWord => "a common word",
            };
            Observation::warning(
                about,
                format!("from {source}; unprotected: {why}, so it is neither masked nor searched for"),
                "use a longer value; if it is no secret, declare it in [env]",
            )
        }
    }
}

/// Reports a declared secret without a value. Its command fetches the value later, its source needs trust, or the
/// value is missing.
fn absent(declared: &papp::Secret, untrusted: Option<&Untrusted>, purpose: Purpose) -> Option<Observation> {
    let name = declared.name.as_str();
    if let Some(entry) = untrusted {
        let advice = format!("{} trust", purpose.tool());
        return Some(Observation::warning(name, format!("waits for trust: {}", entry.act.told), advice));
    }
    if matches!(declared.from, Some(papp::Origin::Command { .. })) {
        return Some(Observation::ok(name, "fetched by its command when it is needed"));
    }
    let is_needed = match purpose {
        Purpose::Build => declared.in_build(),
        Purpose::Run => declared.in_run(),
        Purpose::Search | Purpose::List => false,
    };
    is_needed.then(|| {
        let advice = format!("pbuild secrets set {name}, or write it into a file of env_files");
        let finding = Observation::warning(name, format!("no value (line {} of the manifest)", declared.line), advice);
        Observation { health: Health::Problem, exit: Some(Exit::SecretMissing), ..finding }
    })
}

/// Reports the secrets that the last builds had and that no command of these builds mentioned.
fn unused(directory: &Path, environment: &Environment<'_>, findings: &mut Vec<Observation>) {
    let builds = last_builds(directory, environment);
    let Some(last) = builds.last() else { return };
    for secret in &last.secrets {
        let uses: Vec<_> =
            builds.iter().flat_map(|build| &build.secrets).filter(|used| used.name == secret.name).collect();
        if uses.iter().all(|used| !used.mentioned) {
            findings.push(Observation::warning(
                &secret.name,
                format!("no command of the last {} builds mentions it", uses.len()),
                "scope = \"run\" if only the app needs it; `pbuild secrets advise` knows more",
            ));
        }
    }
}

/// Lists the files that should be ignored by git and are not. The list is empty outside of a git repository.
#[must_use]
pub fn not_ignored_by_git(folder: &Path, files: &[String]) -> Vec<String> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let git = |words: &[&str]| {
        let mut command = Command::new("git");
        command.args(words).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.env_remove(IDENTITY_VARIABLE).env_remove(crate::CACHE_KEY_VARIABLE).status().ok()?.code()
    };
    if git(&["rev-parse", "--is-inside-work-tree"]) != Some(0) {
        return Vec::new();
    }
    files.iter().filter(|file| git(&["check-ignore", "-q", "--", file]) == Some(1)).cloned().collect()
}

/// Breaks a text into lines that fit on the terminal after an indentation. Without a terminal, the text stays one
/// line.
fn lines(text: &str, indentation: usize) -> Vec<String> {
    match Terminal::size_of_stdout() {
        Some((columns, _)) => broken(text, columns.saturating_sub(indentation).max(20)),
        None => vec![text.to_owned()],
    }
}

/// Prints the report and returns the exit code: the code of the first problem, 2 if that problem has no code of its
/// own, and 0 if there is no problem.
///
/// # Errors
///
/// Returns an error if the report cannot be written as JSON.
pub fn report(findings: &[Observation], json: bool, stdout: &Printer) -> Result<Exit, Diagnostic> {
    if json {
        let document = serde_json::json!({ "version": 1, "findings": findings });
        stdout.line(&document.to_string());
    } else {
        let seen: BTreeSet<usize> = findings.iter().map(|finding| finding.about.chars().count()).collect();
        let width = seen.last().copied().unwrap_or(0);
        for finding in findings {
            let (word, tone) = match finding.health {
                Health::Ok => ("ok", Tone::Good),
                Health::Warning => ("warning", Tone::Doubtful),
                Health::Problem => ("problem", Tone::Bad),
            };
            let indent = 9 + width + 2;
            let blanks = " ".repeat(9 - word.len());
            let mut lines = lines(&finding.text, indent).into_iter();
            let first = lines.next().unwrap_or_default();
            stdout.toned("", tone, word, &format!("{blanks}{:<width$}  {first}", finding.about));
            lines.for_each(|line| stdout.line(&format!("{:indent$}{line}", "")));
            if let Some(advice) = &finding.advice {
                let mut lines = self::lines(advice, indent + 6).into_iter();
                let first = lines.next().unwrap_or_default();
                stdout.toned(&" ".repeat(indent), Tone::Advice, "help:", &format!(" {first}"));
                lines.for_each(|line| stdout.line(&format!("{:1$}{line}", "", indent + 6)));
            }
        }
    }
    let problem = findings.iter().find(|finding| finding.health == Health::Problem);
    Ok(problem.map_or(Exit::Done, |problem| problem.exit.unwrap_or(Exit::Usage)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pscreen::Colour;

    #[test]
    fn the_first_problem_decides_the_code_and_warnings_decide_none() {
        let printer = Printer::new(Box::new(std::io::sink()), Colour::Never);
        let ok = Observation::ok("store", "none");
        let warning = Observation::warning("KEY", "weak", "longer");
        let problem = Observation::problem(
            "engine",
            &Diagnostic::error("none answers", Exit::EngineUnreachable).help("start it"),
        );
        assert_eq!(problem.advice.as_deref(), Some("start it"));
        let code = |findings: &[Observation]| report(findings, false, &printer).unwrap();
        assert_eq!(code(&[ok.clone(), warning.clone()]), Exit::Done);
        assert_eq!(code(&[ok, problem, Observation { health: Health::Problem, ..warning }]), Exit::EngineUnreachable);
    }

    #[test]
    fn what_a_manifest_wants_of_the_host_is_said_line_by_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.toml");
        std::fs::write(&path, "[run]\nvolumes = [\"/:/host\"]\n").unwrap();
        let found = find_manifest(Some(&path), &[]).unwrap().unwrap();
        let environment = |name: &str| (name == "HOME").then(|| folder.path().into());
        let told = || -> Vec<_> {
            let findings = trust(&found, Purpose::Run, &environment);
            findings.into_iter().map(|finding| (finding.health, finding.text, finding.advice)).collect()
        };
        let [(_, summary, advice), (health, host, _)] = &told()[..] else { panic!("a summary and a line") };
        assert_eq!(summary, "1 of 1 entries that need trust are not trusted");
        assert!(advice.as_deref().is_some_and(|advice| advice.contains("`prun trust`")), "{advice:?}");
        assert_eq!(*health, Health::Warning);
        assert_eq!(host, "line 2: the container reads and writes \"/\" of the host, at \"/host\"");
        crate::trust::remember(&found, &environment).unwrap();
        assert!(told().iter().all(|(health, _, _)| *health == Health::Ok));
    }

    #[test]
    fn git_names_what_it_would_take() {
        let folder = tempfile::tempdir().unwrap();
        let files = [".env".to_owned(), ".env.local".to_owned()];
        assert!(not_ignored_by_git(folder.path(), &files).is_empty());
        let made = Command::new("git").args(["init", "-q"]).current_dir(folder.path()).status();
        assert!(made.unwrap().success());
        std::fs::write(folder.path().join(".gitignore"), ".env\n").unwrap();
        assert_eq!(not_ignored_by_git(folder.path(), &files), [".env.local"]);
    }
}
