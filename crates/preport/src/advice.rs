//! Makes a sentence of a finding, and another one with advice on it.

use pscan::{Finding, Place};

/// The advice on any file. A file that one step writes and a later step deletes is still in the image.
const SAME_STEP: &str = "a file that one step writes stays in its layer, so remove it in the same RUN";

/// The advice to remove the file in the same step, as the second half of a sentence.
const SAME_STEP_SHORT: &str = "remove the file in the same RUN";

/// Returns a sentence, without its full stop: which secret is where, and which instruction wrote it.
#[must_use]
pub fn sentence(finding: &Finding) -> String {
    let mut text = finding.label();
    for name in finding.same_value() {
        text.push_str(&format!(" (= {name})"));
    }
    text.push_str(" is in ");
    if let Some(layer) = finding.layer() {
        text.push_str(&format!("layer {layer}, "));
    }
    text.push_str(&format!("{}, {}", finding.place(), finding.form()));
    if let Some(platform) = finding.image() {
        text.push_str(&format!(", {platform}"));
    }
    if finding.times() > 1 {
        text.push_str(&format!(", {} times", finding.times()));
    }
    if let Some(later) = finding.deleted_in() {
        text.push_str(&format!("; deleted in layer {later}, which leaves it readable"));
    }
    if let Some(instruction) = instruction(finding) {
        text.push_str(&format!("; written by `{}`", shortened(&instruction)));
    }
    text
}

/// Returns a sentence, without its full stop, with advice on removing a finding.
#[must_use]
pub fn advice(finding: &Finding) -> String {
    let name = finding.secret().as_str();
    match finding.place() {
        Place::File { path, .. } | Place::Header { path, .. } => advice_on_file(finding, path),
        Place::Document { pointer: Some(pointer), .. } if pointer.starts_with("/config") => {
            format!("ENV, LABEL and CMD are public; use ${name} in RUN alone")
        }
        Place::Document { .. } if keyword(finding) == Some("ARG") => {
            "leave the ARG and its --build-arg out; every RUN has the variable".to_owned()
        }
        Place::Document { .. } if matches!(keyword(finding), Some("ENV" | "LABEL")) => {
            format!("ENV, LABEL and CMD are public; use ${name} in RUN alone")
        }
        Place::Document { .. } if keyword(finding) == Some("RUN") => {
            format!("write ${name} into the Dockerfile instead of the value; every RUN has the variable")
        }
        Place::Document { .. } => {
            "leave the value out of the Dockerfile and of build arguments; RUN has the variable".to_owned()
        }
        Place::Bytes { .. } | Place::GzipHeader { .. } | Place::Packed { .. } => {
            format!("find what the step does with ${name}, and leave it out of the image")
        }
    }
}

/// Returns the advice on a value in a file. Most tools that keep a credential in a file accept it in another way,
/// too.
fn advice_on_file(finding: &Finding, path: &str) -> String {
    let name = finding.secret().as_str();
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    match file {
        "pip.conf" => format!("pass it for one command: PIP_INDEX_URL=…${name}… pip install …, with no pip.conf"),
        ".npmrc" => {
            format!("write ${{{name}}} into .npmrc, which npm reads from the environment, instead of the value")
        }
        ".yarnrc.yml" => {
            format!("write ${{{name}}} into .yarnrc.yml, which yarn reads from the environment, instead of the value")
        }
        ".pypirc" => format!("pass it for one command: TWINE_PASSWORD=${name} twine upload …, with no .pypirc"),
        "auth.json" => format!("pass it for one command: COMPOSER_AUTH=…${name}… composer install"),
        "settings.xml" => {
            format!(
                "write ${{env.{name}}} into settings.xml, which Maven reads from the environment, instead of the value"
            )
        }
        "gradle.properties" => {
            format!("pass it for one command: ORG_GRADLE_PROJECT_…=${name} gradle …, and leave it out of the file")
        }
        "credentials.toml" | "credentials" if folder.ends_with(".cargo") => {
            format!("pass it for one command: CARGO_REGISTRIES_…_TOKEN=${name} cargo …, with no cargo login")
        }
        "config.json" if folder.ends_with(".docker") => {
            format!("docker login keeps what it is given; log in outside of the build, or {SAME_STEP_SHORT}")
        }
        ".netrc" | ".git-credentials" => {
            format!(
                "pass it for one command, for example git -c http.extraHeader=…${name}… or curl -H …${name}…; {SAME_STEP}"
            )
        }
        "config" if is_of_git(folder) => {
            format!(
                "the clone URL with its token is kept in .git; remove .git in the same RUN, or leave the token out of the URL and pass it for one command: git -c http.extraHeader=…${name}… clone …"
            )
        }
        ".gitmodules" => {
            format!(
                "leave the token out of the URL in .gitmodules, and pass it for one command: git -c http.extraHeader=…${name}… submodule update …"
            )
        }
        _ if is_ssh_key(folder, file) => {
            "lend the key instead of copying it: RUN --mount=type=ssh …, and pbuild build --ssh default=KEYFILE"
                .to_owned()
        }
        ".bash_history" | ".ash_history" | ".python_history" | ".lesshst" => {
            format!("shell histories keep what was typed; {SAME_STEP}")
        }
        _ if (file == ".env" || file.starts_with(".env.")) && matches!(keyword(finding), Some("COPY" | "ADD")) => {
            format!("list {file} in .dockerignore; at run time prun gives the variables")
        }
        _ if file == ".env" || file.starts_with(".env.") => {
            format!("write no {file} in the build; at run time prun gives the variables")
        }
        _ if finding.deleted_in().is_some() => SAME_STEP.to_owned(),
        _ if is_bundle(file) => format!(
            "bundlers copy what they read of the environment into what they write: run this one without ${name} (`steps` in app.toml), and read the value when the app runs"
        ),
        _ => format!("pass ${name} to the one command that needs it, and write nothing that holds it; {SAME_STEP}"),
    }
}

/// Returns the instruction that wrote a finding, in the syntax of a Dockerfile. The history also has the build
/// arguments, which precede the command.
pub(crate) fn instruction(finding: &Finding) -> Option<String> {
    finding.instruction().map(without_arguments)
}

/// Removes the build arguments from a line of history.
pub(crate) fn without_arguments(text: &str) -> String {
    const SHELL: &str = " /bin/sh -c ";
    let command = text.strip_prefix("RUN |").and_then(|rest| rest.split_once(SHELL)).map(|(_, command)| command);
    command.map_or_else(|| text.to_owned(), |command| format!("RUN {command}"))
}

/// Returns the keyword of the instruction that a finding came from.
fn keyword(finding: &Finding) -> Option<&str> {
    finding.instruction()?.split_whitespace().next()
}

/// Whether git keeps the configuration of a repository or of a submodule in this folder.
fn is_of_git(folder: &str) -> bool {
    let below = format!("/{folder}/");
    below.ends_with("/.git/") || below.contains("/.git/modules/")
}

/// Whether a file is a private key in the folder and with the name that ssh uses.
fn is_ssh_key(folder: &str, file: &str) -> bool {
    folder.ends_with(".ssh") && file.starts_with("id_")
}

/// Whether a file has an extension that bundlers use for the files of browsers.
fn is_bundle(file: &str) -> bool {
    let kind = file.rsplit_once('.').map(|(_, kind)| kind);
    matches!(kind, Some("js" | "mjs" | "cjs" | "map" | "css" | "html"))
}

/// Shortens an instruction to its beginning, which is enough to recognize it.
fn shortened(instruction: &str) -> String {
    const LONGEST: usize = 200;
    if instruction.chars().count() <= LONGEST {
        return instruction.to_owned();
    }
    instruction.chars().take(LONGEST - 1).chain(['…']).collect()
}
