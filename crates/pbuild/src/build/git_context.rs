//! A git context that has submodules and for which the user gives a token. BuildKit uses the token only for the
//! repository itself, so this machine clones the repository with its submodules, and the files are sent like those of
//! a folder.
//!
//! Git reads the credentials from a file in this process's memory, which git inherits. Git sends them only to the
//! hosts that they are for. They are not in an argument, not in a variable and not on a disk. Nothing of a repository
//! runs on this machine: no hook, no filter, and no helper of the user. A repository without submodules, or one that
//! this machine cannot reach, is left to the engine.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command as Program, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use psecret::Secret;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::{FdFlags, fcntl_setfd};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::Command;
use zeroize::Zeroizing;

use super::message::quoted;
use crate::edge::{Edge, Failure};
use crate::plan::BuildPlan;
use crate::secrets::Secrets;

/// How long this machine tries to reach the host. Perhaps only the engine can reach it.
const PATIENCE: Duration = Duration::from_secs(3);
/// The build argument with which BuildKit keeps the `.git` folder in the context.
const KEEP_GIT: &str = "BUILDKIT_CONTEXT_KEEP_GIT_DIR";
/// The variables that name a proxy. With a proxy, a direct connection to the host says nothing, so it is not tried.
const PROXIES: [&str; 6] = ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];

/// A cloned repository on this machine. Its folder is removed when this value is dropped.
#[derive(Debug)]
pub(crate) struct GitClone(#[expect(dead_code, reason = "the folder goes when it is dropped")] TempDir);

/// The parts of a git context's address.
#[derive(Debug, PartialEq, Eq)]
struct Address {
    repository: String,
    /// The scheme and the host, followed by a slash.
    origin: String,
    host: String,
    port: u16,
    reference: Option<String>,
    folder: Option<String>,
}

impl Address {
    /// Reads `https://HOST/PATH.git[#REFERENCE[:FOLDER]]`. Returns `None` for an address that only BuildKit
    /// understands.
    fn parse(text: &str) -> Option<Self> {
        let (repository, fragment) = text.split_once('#').map_or((text, ""), |(repository, rest)| (repository, rest));
        let (scheme, rest) = repository.split_once("://")?;
        let usual = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return None,
        };
        if !repository.ends_with(".git") || repository.contains(['?', '\n', ' ']) {
            return None;
        }
        let authority = rest.split('/').next()?;
        let is_usual = |c: char| c.is_ascii_alphanumeric() || ".-_:[]".contains(c);
        // An address with a login needs no credentials from pbuild.
        if authority.is_empty() || !authority.chars().all(is_usual) {
            return None;
        }
        let (host, port) = match authority.rsplit_once(':').filter(|(_, port)| !port.contains(']')) {
            Some((host, port)) => (host, port.parse().ok()?),
            None => (authority, usual),
        };
        let (reference, folder) = fragment.split_once(':').map_or((fragment, ""), |(one, other)| (one, other));
        // Git would read such a reference as a flag, or as two references.
        if reference.starts_with('-') || reference.contains([':', '\n', ' ']) {
            return None;
        }
        let filled = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Some(Self {
            repository: repository.to_owned(),
            origin: format!("{scheme}://{authority}/"),
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port,
            reference: filled(reference),
            folder: filled(folder.trim_matches('/')),
        })
    }
}

/// Clones the context of a build if it is a git repository with submodules and the user gives a token for it. The
/// folder of the clone then becomes the context of `plan`.
///
/// # Errors
/// Returns an error if the command is cancelled.
pub(super) async fn clone(plan: &mut BuildPlan, secrets: &Secrets, edge: &Edge) -> Result<Option<GitClone>, Failure> {
    let Some(address) = plan.context_address().and_then(Address::parse) else { return Ok(None) };
    let credentials = credentials(&address, secrets.delivered());
    // pbuild does not clone from an address that contains a secret's value: the guard refuses that build later.
    if credentials.is_empty() || secrets.redactor.redact(&address.repository) != address.repository {
        return Ok(None);
    }
    let Ok(settings) = settings(&credentials) else { return Ok(None) };
    let cloning = fetched(&address, &settings);
    let clone = match edge.cancellation.unless_cancelled(cloning).await? {
        Ok(Some(clone)) => clone,
        Ok(None) => return Ok(None),
        Err(said) => {
            edge.stderr.warning(&format!(
                "the submodules of {} could not be fetched by this machine: {}; the engine tries, without the token",
                address.repository,
                quoted(&secrets.redactor.redact(&said))
            ));
            return Ok(None);
        }
    };
    let keeps_git = plan.has_switch(KEEP_GIT);
    match plan.adopt(clone.path(), address.folder.as_deref()) {
        Ok(()) => {}
        Err(outside) => {
            edge.stderr.warning(&format!("{}: {outside}; the engine fetches it", address.repository));
            return Ok(None);
        }
    }
    if !keeps_git {
        forget_git(clone.path());
    }
    edge.fact("context", &format!("{} with its submodules, cloned by this machine", address.repository));
    Ok(Some(GitClone(clone)))
}

/// A header that git sends to one origin.
struct Credential {
    origin: String,
    header: Zeroizing<String>,
}

/// Makes the headers of the secrets: for the repository's own origin, and for the hosts with which the names of
/// secrets end. The names and forms are BuildKit's.
fn credentials<'a>(address: &Address, secrets: impl Iterator<Item = &'a Secret>) -> Vec<Credential> {
    let credential = |secret: &Secret| {
        let name = secret.name().as_str();
        let (is_header, host) = match (name.strip_prefix("GIT_AUTH_HEADER"), name.strip_prefix("GIT_AUTH_TOKEN")) {
            (Some(host), _) => (true, host),
            (None, Some(host)) => (false, host),
            (None, None) => return None,
        };
        let origin = match host.strip_prefix('.') {
            Some(host) => format!("https://{host}/"),
            None if host.is_empty() => address.origin.clone(),
            None => return None,
        };
        let header = if is_header { header(secret)? } else { basic(secret)? };
        Some(Credential { origin, header })
    };
    secrets.filter(|secret| secret.scope().in_build()).filter_map(credential).collect()
}

/// Writes git's configuration into a file that exists only in memory.
fn settings(credentials: &[Credential]) -> io::Result<File> {
    let escaped = |text: &str| Zeroizing::new(text.replace('\\', "\\\\").replace('"', "\\\""));
    let mut file = File::from(memfd_create("git-settings", MemfdFlags::CLOEXEC)?);
    for Credential { origin, header } in credentials {
        let section = format!("[http \"{}\"]\n\textraHeader = ", *escaped(origin));
        let value = Zeroizing::new(format!("\"{}\"\n", *escaped(header)));
        file.write_all(section.as_bytes())?;
        file.write_all(value.as_bytes())?;
    }
    Ok(file)
}

#[expect(clippy::disallowed_methods, reason = "door 22: git sends the header to the host of the context")]
fn header(secret: &Secret) -> Option<Zeroizing<String>> {
    line(secret.value().expose()).map(|value| Zeroizing::new(format!("Authorization: {}", *value)))
}

#[expect(clippy::disallowed_methods, reason = "door 23: git sends the token to the host of the context")]
fn basic(secret: &Secret) -> Option<Zeroizing<String>> {
    let pair = line(secret.value().expose()).map(|value| Zeroizing::new(format!("x-access-token:{}", *value)))?;
    let encoded = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
    Some(Zeroizing::new(format!("Authorization: basic {}", *encoded)))
}

/// Returns a value that fits into one line of a header. Returns `None` for any other value, which is left to the
/// engine.
fn line(value: &[u8]) -> Option<Zeroizing<String>> {
    let text = std::str::from_utf8(value).ok()?.trim_end_matches('\n');
    (!text.is_empty() && !text.chars().any(char::is_control)).then(|| Zeroizing::new(text.to_owned()))
}

/// Fetches a repository and its submodules. Returns `None` if the repository has no submodules, which the engine can
/// fetch as well, or if this machine cannot fetch the repository itself.
async fn fetched(address: &Address, settings: &File) -> Result<Option<TempDir>, String> {
    let proxied = PROXIES.iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
    let reaching = TcpStream::connect((address.host.as_str(), address.port));
    if !proxied && !matches!(tokio::time::timeout(PATIENCE, reaching).await, Ok(Ok(_))) {
        return Ok(None);
    }
    // Only the user may read the folder.
    let mut builder = tempfile::Builder::new();
    builder.prefix("pbuild-git-").permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
    let Ok(place) = builder.tempdir() else { return Ok(None) };
    let git = Git { folder: place.path(), settings };
    let reference = address.reference.as_deref().unwrap_or("HEAD");
    let fetch = ["fetch", "--quiet", "--no-tags", "--depth=1", "--filter=blob:none", "origin", reference];
    for words in [&["init", "--quiet"][..], &["remote", "add", "origin", &address.repository], &fetch] {
        if git.run(words).await.is_err() {
            return Ok(None);
        }
    }
    match git.run(&["ls-tree", "--name-only", "FETCH_HEAD", "--", ".gitmodules"]).await {
        Ok(listed) if !listed.trim().is_empty() => {}
        _ => return Ok(None),
    }
    git.run(&["checkout", "--quiet", "--detach", "FETCH_HEAD"]).await?;
    git.run(&["submodule", "--quiet", "update", "--init", "--recursive", "--depth=1"]).await?;
    Ok(Some(place))
}

/// Git in a folder, with pbuild's settings and without the user's configuration.
struct Git<'a> {
    folder: &'a Path,
    settings: &'a File,
}

impl Git<'_> {
    /// Runs git, and returns what it prints. If git fails, returns the last line of its error output.
    async fn run(&self, words: &[&str]) -> Result<String, String> {
        let mut program = Program::new("git");
        pengine::scrub(&mut program);
        // Inside of a git hook, git's variables point to another repository and its files.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"GIT_")) {
            program.env_remove(name);
        }
        program
            .args(["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "protocol.file.allow=never"])
            .args(words)
            .current_dir(self.folder)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", format!("/proc/self/fd/{}", self.settings.as_raw_fd()))
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ALLOW_PROTOCOL", "https:http")
            .env_remove("SSH_ASKPASS");
        program.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let told = |error: io::Error| error.to_string();
        // A child process inherits the settings file only between these two calls of `fcntl_setfd`. No other program
        // may be started in between, because it would inherit the file, too.
        fcntl_setfd(self.settings, FdFlags::empty()).map_err(|error| told(error.into()))?;
        let started = Command::from(program).kill_on_drop(true).spawn();
        fcntl_setfd(self.settings, FdFlags::CLOEXEC).map_err(|error| told(error.into()))?;
        let output = started.map_err(told)?.wait_with_output().await.map_err(told)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("git failed").to_owned())
    }
}

/// Removes the `.git` folders of a repository and of its submodules, because a context has only the files.
fn forget_git(folder: &Path) {
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        let git: PathBuf = folder.join(".git");
        let _ = std::fs::remove_file(&git);
        let _ = std::fs::remove_dir_all(&git);
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open.push(entry.path());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_repository_is_taken_apart() {
        let address = Address::parse("https://git.example:8443/team/app.git#main:services/web").unwrap();
        assert_eq!(
            address,
            Address {
                repository: "https://git.example:8443/team/app.git".to_owned(),
                origin: "https://git.example:8443/".to_owned(),
                host: "git.example".to_owned(),
                port: 8443,
                reference: Some("main".to_owned()),
                folder: Some("services/web".to_owned()),
            }
        );
        let plain = Address::parse("http://127.0.0.1/app.git").unwrap();
        assert_eq!((plain.port, plain.reference, plain.folder), (80, None, None));
        for others in [
            "git@github.com:a/b.git",
            "https://github.com/a/b/archive/main.tar.gz",
            "https://user:secret@host/a.git",
            "https://host/a.git#--upload-pack=x",
            "https://host/a.git?ref=main",
            "ssh://host/a.git",
            "github.com/a/b",
        ] {
            assert_eq!(Address::parse(others), None, "{others}");
        }
    }

    #[test]
    fn git_reads_the_settings_and_has_them_for_their_origin_alone() {
        let header = Zeroizing::new(r#"Authorization: basic a"b\c"#.to_owned());
        let origin = "https://git.example/".to_owned();
        let settings = settings(&[Credential { origin, header }]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let git = Git { folder: folder.path(), settings: &settings };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let ask = |url: &str| runtime.block_on(git.run(&["config", "--get-urlmatch", "http.extraHeader", url]));
        assert_eq!(ask("https://git.example/team/app.git").unwrap(), "Authorization: basic a\"b\\c\n");
        assert!(ask("https://other.example/app.git").is_err() && ask("http://git.example/app.git").is_err());
    }

    #[test]
    fn a_value_that_is_no_line_is_no_header() {
        assert_eq!(line(b"token\n").as_deref().map(String::as_str), Some("token"));
        for wrong in [&b""[..], b"one\ntwo", b"\xff", b"a\rb"] {
            assert!(line(wrong).is_none());
        }
    }

    #[test]
    fn a_context_keeps_the_files_and_not_the_repositories() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join(".git/modules/lib")).unwrap();
        std::fs::create_dir_all(folder.path().join("lib")).unwrap();
        std::fs::write(folder.path().join("lib/.git"), "gitdir: ../.git/modules/lib").unwrap();
        std::fs::write(folder.path().join("lib/greeting"), "hello").unwrap();
        forget_git(folder.path());
        assert!(!folder.path().join(".git").exists() && !folder.path().join("lib/.git").exists());
        assert!(folder.path().join("lib/greeting").exists());
    }

    proptest::proptest! {
        #[test]
        fn no_address_breaks_the_reading(text in "(https?://)?.{0,40}(\\.git)?(#.{0,20})?") {
            if let Some(address) = Address::parse(&text) {
                proptest::prop_assert!(!address.origin.contains(['"', '\n', '@']));
            }
        }
    }
}
