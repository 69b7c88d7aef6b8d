//! Reads the logins of registries from the places where docker keeps them.
//!
//! Sources: docker/cli `cli/config/credentials` and `cli/config/memorystore` (`DOCKER_AUTH_CONFIG`, since 28.3),
//! docker/docker-credential-helpers (protocol of the helper programs).

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bollard::auth::DockerCredentials;
use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::configuration::{DockerConfiguration, RegistryEntry};
use crate::error::EngineError;
use crate::inherited;

/// How long a credential helper may take. It may ask the user.
const HELPER_PATIENCE: Duration = Duration::from_secs(60);
/// The key under which docker keeps the login of Docker Hub.
const HUB_KEY: &str = "https://index.docker.io/v1/";
/// The hosts of Docker Hub, as image names and BuildKit write them.
const HUB_HOSTS: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];

/// The variable that holds credentials in the form of `config.json`, as GitLab's runners set it.
const VARIABLE: &str = "DOCKER_AUTH_CONFIG";

/// The sources of registry logins. They are read each time a registry asks for a login, and the logins are not kept.
#[derive(Clone, Debug)]
pub struct Registries {
    docker_folder: Option<PathBuf>,
    environment: fn(&str) -> Option<String>,
}

/// A login of a registry. It does not implement `Debug`, because it holds credentials.
#[derive(Default)]
pub struct RegistryLogin {
    /// The user. The text is empty without a login, or if the secret is a token.
    pub user: String,
    /// The password, or a token of the registry's token service. The text is empty without a login.
    pub secret: String,
}

impl RegistryLogin {
    /// Returns whether there is no login, so that the registry treats the client as a stranger.
    #[must_use]
    pub fn is_of_a_stranger(&self) -> bool {
        self.secret.is_empty()
    }

    /// Converts the login to the form that engines accept for a push or a pull.
    #[must_use]
    pub fn into_docker(self, host: &str) -> DockerCredentials {
        let Self { user, secret } = self;
        // A secret without a user is a token for the registry's token service.
        let credentials = if user.is_empty() {
            DockerCredentials { identitytoken: (!secret.is_empty()).then_some(secret), ..DockerCredentials::default() }
        } else {
            DockerCredentials { username: Some(user), password: Some(secret), ..DockerCredentials::default() }
        };
        DockerCredentials { serveraddress: Some(host.to_owned()), ..credentials }
    }
}

/// The reason why a login cannot be read. No message holds a part of a login.
#[derive(Debug, thiserror::Error)]
pub enum RegistryLoginError {
    /// The docker client's configuration cannot be used.
    #[error(transparent)]
    Configuration(#[from] EngineError),
    /// The variable does not hold the JSON that docker's client would write.
    #[error(
        "{VARIABLE} is no JSON of docker's, at line {line}, column {column}: write {{\"auths\": {{…}}}}, or unset it"
    )]
    Variable {
        /// The line, from 1.
        line: usize,
        /// The column.
        column: usize,
    },
    /// A credential helper's name would start another program.
    #[error("the name of a credential helper is not valid")]
    HelperName,
    /// A credential helper fails.
    #[error("docker-credential-{name} {failure}")]
    Helper {
        /// The part of the program's name after `docker-credential-`.
        name: String,
        /// What the helper did.
        failure: &'static str,
    },
}

#[derive(Deserialize)]
struct HelperAnswer {
    #[serde(default, rename = "Username")]
    user: String,
    #[serde(default, rename = "Secret")]
    secret: String,
}

impl Registries {
    /// Makes an empty set of credentials, with which every registry treats the client as a stranger.
    #[must_use]
    pub fn anonymous() -> Self {
        Self { docker_folder: None, environment: |_| None }
    }

    /// Uses the credentials of docker's client. `DOCKER_AUTH_CONFIG` comes first, then the `config.json` in `folder`
    /// and the helpers that the file names.
    #[must_use]
    pub fn of_docker(folder: Option<PathBuf>) -> Self {
        Self { docker_folder: folder, environment: |name| std::env::var(name).ok() }
    }

    /// Finds the login for a registry's host. All names of Docker Hub share one login.
    ///
    /// # Errors
    ///
    /// Returns an error if docker's configuration is not valid, or if the helper program that it names fails.
    pub async fn login(&self, host: &str) -> Result<RegistryLogin, RegistryLoginError> {
        let key = if HUB_HOSTS.contains(&host) { HUB_KEY } else { host };
        if let Some(entry) = self.of_variable(key)? {
            return Ok(of_entry(entry));
        }
        let Some(folder) = &self.docker_folder else { return Ok(RegistryLogin::default()) };
        let mut configuration = DockerConfiguration::read(folder)?;
        let helper = configuration.credential_helpers.get(key).or(configuration.credentials_store.as_ref());
        if let Some(helper) = helper.filter(|helper| !helper.is_empty()) {
            return ask_helper(helper, key).await;
        }
        Ok(take_entry(&mut configuration, key).map(of_entry).unwrap_or_default())
    }

    /// Returns the registry's entry in `DOCKER_AUTH_CONFIG`.
    fn of_variable(&self, key: &str) -> Result<Option<RegistryEntry>, RegistryLoginError> {
        let Some(text) = (self.environment)(VARIABLE).filter(|text| !text.is_empty()) else { return Ok(None) };
        // The parser's message is not used, because it may quote the text, which holds credentials.
        let mut configuration: DockerConfiguration = serde_json::from_str(&text)
            .map_err(|error| RegistryLoginError::Variable { line: error.line(), column: error.column() })?;
        Ok(take_entry(&mut configuration, key))
    }
}

/// Returns the registry at the beginning of an image's name, or Docker Hub's if there is none. A first part without a
/// dot or a port is not a host, unless it is `localhost`.
#[must_use]
pub fn registry_of(image: &str) -> &str {
    named_host(image).unwrap_or(HUB_HOSTS[0])
}

/// Returns the host that the name of an image begins with, if it has one.
#[must_use]
pub fn named_host(image: &str) -> Option<&str> {
    let (host, _) = image.split_once('/')?;
    (host.contains(['.', ':']) || host == "localhost" || host.starts_with('[')).then_some(host)
}

/// Takes the entry of a registry, by docker's key for it.
fn take_entry(configuration: &mut DockerConfiguration, key: &str) -> Option<RegistryEntry> {
    configuration.auths.remove(key).or_else(|| {
        // Files that a user wrote may have keys with a scheme or a path, such as `https://registry.example/v2/`.
        let keys: Vec<String> = configuration.auths.keys().cloned().collect();
        let found = keys.into_iter().find(|candidate| host_of(candidate) == key)?;
        configuration.auths.remove(&found)
    })
}

fn host_of(key: &str) -> &str {
    let rest = key.split_once("://").map_or(key, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

fn of_entry(entry: RegistryEntry) -> RegistryLogin {
    if !entry.identity_token.is_empty() {
        // An empty user tells that the secret is a token.
        return RegistryLogin { user: String::new(), secret: entry.identity_token };
    }
    let pair = STANDARD.decode(entry.auth.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    match pair.as_deref().and_then(|pair| pair.split_once(':')) {
        Some((user, password)) => RegistryLogin {
            user: user.to_owned(),
            // Docker strips the NULs that old versions added as padding.
            secret: password.trim_end_matches('\0').to_owned(),
        },
        None => RegistryLogin { user: entry.username, secret: entry.password },
    }
}

async fn ask_helper(name: &str, key: &str) -> Result<RegistryLogin, RegistryLoginError> {
    let failed = |failure| RegistryLoginError::Helper { name: name.to_owned(), failure };
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')) {
        return Err(RegistryLoginError::HelperName);
    }
    let mut command = Command::new(format!("docker-credential-{name}"));
    inherited::scrub(command.as_std_mut());
    let mut child = command
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|_| failed("cannot be started"))?;
    let work = async {
        if let Some(mut input) = child.stdin.take() {
            input.write_all(key.as_bytes()).await?;
        }
        child.wait_with_output().await
    };
    let output = match tokio::time::timeout(HELPER_PATIENCE, work).await {
        Ok(output) => output.map_err(|_| failed("cannot be read"))?,
        Err(_) => return Err(failed("does not answer")),
    };
    if !output.status.success() {
        // A helper reports a missing login with a failure and this text. The registry may still be open to all.
        let text = String::from_utf8_lossy(&output.stdout);
        if text.contains("credentials not found") {
            return Ok(RegistryLogin::default());
        }
        return Err(failed("failed"));
    }
    let answer: HelperAnswer =
        serde_json::from_slice(&output.stdout).map_err(|_| failed("did not answer with JSON"))?;
    let user = if answer.user == "<token>" { String::new() } else { answer.user };
    Ok(RegistryLogin { user, secret: answer.secret })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    async fn lookup(configuration: &str, host: &str) -> (String, String) {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("config.json"), configuration).unwrap();
        let registries = Registries { environment: |_| None, ..Registries::of_docker(Some(folder.path().into())) };
        let login = registries.login(host).await.unwrap();
        (login.user, login.secret)
    }

    #[tokio::test]
    async fn the_variable_goes_before_the_file() {
        let folder = TempDir::new().unwrap();
        let file =
            format!(r#"{{"auths": {{"a.example": {{"auth": "{0}"}}, "b.example": {{"auth": "{0}"}}}}}}"#, "ZmlsZTpx");
        fs::write(folder.path().join("config.json"), file).unwrap();
        let of = |environment| Registries { environment, ..Registries::of_docker(Some(folder.path().into())) };
        let registries = of(|name| {
            let text = format!(
                r#"{{"auths": {{"https://a.example/v2/": {{"auth": "{}"}}}}, "credHelpers": {{}}}}"#,
                "dmFyOnE="
            );
            (name == VARIABLE).then_some(text)
        });
        assert_eq!(registries.login("a.example").await.unwrap().user, "var");
        assert_eq!(registries.login("b.example").await.unwrap().user, "file");
        let alone = Registries { docker_folder: None, ..registries };
        assert_eq!(alone.login("a.example").await.unwrap().user, "var");
        assert_eq!(alone.login("b.example").await.unwrap().user, "");
        let broken = of(|_| Some("{\"auths\": {\"a.example\": {\"auth\": hunter22".to_owned()));
        let Err(error) = broken.login("a.example").await else { panic!("the variable is broken") };
        let error = error.to_string();
        assert!(error.contains("DOCKER_AUTH_CONFIG") && !error.contains("hunter"), "{error}");
        assert_eq!(of(|_| Some(String::new())).login("a.example").await.unwrap().user, "file");
    }

    #[tokio::test]
    async fn finds_what_docker_login_wrote() {
        let configuration = format!(
            r#"{{"auths": {{"registry.example:5000": {{"auth": "{}"}}, "{HUB_KEY}": {{"auth": "{}"}},
                "https://old.example/v2/": {{"username": "u", "password": "p"}},
                "token.example": {{"auth": "", "identitytoken": "t"}}}}}}"#,
            STANDARD.encode("me:pass:word"),
            STANDARD.encode("hub:secret"),
        );
        let pair = |user: &str, password: &str| (user.to_owned(), password.to_owned());
        assert_eq!(lookup(&configuration, "registry.example:5000").await, pair("me", "pass:word"));
        for hub in HUB_HOSTS {
            assert_eq!(lookup(&configuration, hub).await, pair("hub", "secret"));
        }
        assert_eq!(lookup(&configuration, "old.example").await, pair("u", "p"));
        assert_eq!(lookup(&configuration, "token.example").await, pair("", "t"));
        assert_eq!(lookup(&configuration, "other.example").await, pair("", ""));
    }

    #[tokio::test]
    async fn a_helper_s_name_cannot_lead_to_another_program() {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("config.json"), r#"{"credsStore": "../../bin/true"}"#).unwrap();
        let registries = Registries { environment: |_| None, ..Registries::of_docker(Some(folder.path().into())) };
        assert!(matches!(registries.login("r.example").await, Err(RegistryLoginError::HelperName)));
    }

    #[tokio::test]
    async fn without_docker_s_folder_every_registry_sees_a_stranger() {
        let login = Registries::anonymous().login("registry.example").await.unwrap();
        assert!(login.user.is_empty() && login.secret.is_empty());
    }

    #[test]
    fn an_image_s_name_says_its_registry() {
        for (image, host) in [
            ("shop", "docker.io"),
            ("team/shop:1", "docker.io"),
            ("docker.io/library/postgres:17", "docker.io"),
            ("r.example:5000/a/b:2", "r.example:5000"),
            ("localhost/shop@sha256:00", "localhost"),
            ("[::1]:5000/shop", "[::1]:5000"),
        ] {
            assert_eq!(registry_of(image), host, "{image}");
        }
    }
}
