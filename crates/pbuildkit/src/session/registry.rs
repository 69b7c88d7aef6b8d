//! Registry credentials, from the places where docker keeps them.
//!
//! BuildKit requests the user and password for a host, and then talks to the registry on its own. Sources: docker/cli
//! `cli/config/credentials` and `cli/config/memorystore` (`DOCKER_AUTH_CONFIG`, since 28.3),
//! docker/docker-credential-helpers (protocol of the helper programs).

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bollard_buildkit_proto::moby::filesync::v1::auth_server::Auth;
use bollard_buildkit_proto::moby::filesync::v1::{
    CredentialsRequest, CredentialsResponse, FetchTokenRequest, FetchTokenResponse, GetTokenAuthorityRequest,
    GetTokenAuthorityResponse, VerifyTokenAuthorityRequest, VerifyTokenAuthorityResponse,
};
use pengine::{DockerConfiguration, RegistryEntry};
use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tonic::{Request, Response, Status};

/// The time that a credential helper may take; it may have to ask the user.
const HELPER_PATIENCE: Duration = Duration::from_secs(60);
/// The host name that BuildKit uses for Docker Hub, and the key that docker uses for it.
const HUB_HOST: &str = "registry-1.docker.io";
const HUB_KEY: &str = "https://index.docker.io/v1/";

/// The variable that holds credentials in the form of `config.json`. GitLab's runners set it.
const VARIABLE: &str = "DOCKER_AUTH_CONFIG";

/// The sources of registry credentials. They are read for each request, and never kept.
#[derive(Clone, Debug)]
pub struct Registries {
    docker_folder: Option<PathBuf>,
    environment: fn(&str) -> Option<String>,
}

#[derive(Deserialize)]
struct HelperAnswer {
    #[serde(default, rename = "Username")]
    user: String,
    #[serde(default, rename = "Secret")]
    secret: String,
}

impl Registries {
    /// Makes a source without credentials, so that every registry is accessed anonymously.
    #[must_use]
    pub fn anonymous() -> Self {
        Self { docker_folder: None, environment: |_| None }
    }

    /// Makes a source of the docker client's credentials: those in `DOCKER_AUTH_CONFIG`, or else those in
    /// `config.json` of the client's folder and of the helpers that the file names.
    #[must_use]
    pub fn of_docker(folder: Option<PathBuf>) -> Self {
        Self { docker_folder: folder, environment: |name| std::env::var(name).ok() }
    }

    /// Returns the user and the password for a registry's host. Both are empty for anonymous access. Only the user is
    /// empty if the password is a token.
    ///
    /// # Errors
    ///
    /// Returns a message about docker's configuration, or about the helper program that it names.
    pub async fn login(&self, host: &str) -> Result<(String, String), String> {
        let answer = self.credentials(host).await.map_err(|status| status.message().to_owned())?;
        Ok((answer.username, answer.secret))
    }

    async fn credentials(&self, host: &str) -> Result<CredentialsResponse, Status> {
        let key = if host == HUB_HOST { HUB_KEY } else { host };
        if let Some(entry) = self.of_variable(key)? {
            return Ok(of_entry(entry));
        }
        let Some(folder) = &self.docker_folder else { return Ok(CredentialsResponse::default()) };
        let mut configuration =
            DockerConfiguration::read(folder).map_err(|error| Status::unavailable(error.to_string()))?;
        let helper = configuration.credential_helpers.get(key).or(configuration.credentials_store.as_ref());
        if let Some(helper) = helper.filter(|helper| !helper.is_empty()) {
            return ask_helper(helper, key).await;
        }
        Ok(take_entry(&mut configuration, key).map(of_entry).unwrap_or_default())
    }

    /// Returns the entry for a registry in `DOCKER_AUTH_CONFIG`.
    fn of_variable(&self, key: &str) -> Result<Option<RegistryEntry>, Status> {
        let Some(text) = (self.environment)(VARIABLE).filter(|text| !text.is_empty()) else { return Ok(None) };
        // The parser's own message may quote the text, which holds credentials.
        let mut configuration: DockerConfiguration = serde_json::from_str(&text).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            Status::unavailable(format!(
                "{VARIABLE} is no JSON of docker's, at line {line}, column {column}: write {{\"auths\": {{…}}}}, or unset it"
            ))
        })?;
        Ok(take_entry(&mut configuration, key))
    }
}

/// Removes and returns the entry of a registry, by docker's key for the registry.
fn take_entry(configuration: &mut DockerConfiguration, key: &str) -> Option<RegistryEntry> {
    configuration.auths.remove(key).or_else(|| {
        // In files written by hand, a key may have a scheme or a path, such as `https://registry.example/v2/`.
        let keys: Vec<String> = configuration.auths.keys().cloned().collect();
        let found = keys.into_iter().find(|candidate| host_of(candidate) == key)?;
        configuration.auths.remove(&found)
    })
}

fn host_of(key: &str) -> &str {
    let rest = key.split_once("://").map_or(key, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

fn of_entry(entry: RegistryEntry) -> CredentialsResponse {
    if !entry.identity_token.is_empty() {
        // An empty user name tells BuildKit that the secret is a token.
        return CredentialsResponse { username: String::new(), secret: entry.identity_token };
    }
    let pair = STANDARD.decode(entry.auth.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    match pair.as_deref().and_then(|pair| pair.split_once(':')) {
        Some((user, password)) => CredentialsResponse {
            username: user.to_owned(),
            // Like docker, this removes the zero bytes with which old versions padded the password.
            secret: password.trim_end_matches('\0').to_owned(),
        },
        None => CredentialsResponse { username: entry.username, secret: entry.password },
    }
}

async fn ask_helper(name: &str, key: &str) -> Result<CredentialsResponse, Status> {
    let failed = |what: &str| Status::unavailable(format!("docker-credential-{name} {what}"));
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')) {
        return Err(Status::unavailable("the name of a credential helper is not valid"));
    }
    let mut command = Command::new(format!("docker-credential-{name}"));
    pengine::scrub(command.as_std_mut());
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
        // The protocol reports "not found" as a failure with this text. The registry may still allow anonymous
        // access.
        let text = String::from_utf8_lossy(&output.stdout);
        if text.contains("credentials not found") {
            return Ok(CredentialsResponse::default());
        }
        return Err(failed("failed"));
    }
    let answer: HelperAnswer =
        serde_json::from_slice(&output.stdout).map_err(|_| failed("did not answer with JSON"))?;
    let user = if answer.user == "<token>" { String::new() } else { answer.user };
    Ok(CredentialsResponse { username: user, secret: answer.secret })
}

#[tonic::async_trait]
impl Auth for Registries {
    async fn credentials(&self, request: Request<CredentialsRequest>) -> Result<Response<CredentialsResponse>, Status> {
        Registries::credentials(self, &request.into_inner().host).await.map(Response::new)
    }

    async fn fetch_token(&self, _: Request<FetchTokenRequest>) -> Result<Response<FetchTokenResponse>, Status> {
        // After this error, BuildKit requests the credentials and fetches the token itself.
        Err(Status::unavailable("tokens are fetched by BuildKit"))
    }

    async fn get_token_authority(
        &self,
        _: Request<GetTokenAuthorityRequest>,
    ) -> Result<Response<GetTokenAuthorityResponse>, Status> {
        Err(Status::unavailable("tokens are fetched by BuildKit"))
    }

    async fn verify_token_authority(
        &self,
        _: Request<VerifyTokenAuthorityRequest>,
    ) -> Result<Response<VerifyTokenAuthorityResponse>, Status> {
        Err(Status::unavailable("tokens are fetched by BuildKit"))
    }
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
        let answer = registries.credentials(host).await.unwrap();
        (answer.username, answer.secret)
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
        assert_eq!(registries.login("a.example").await.unwrap().0, "var");
        assert_eq!(registries.login("b.example").await.unwrap().0, "file");
        let alone = Registries { docker_folder: None, ..registries };
        assert_eq!(alone.login("a.example").await.unwrap().0, "var");
        assert_eq!(alone.login("b.example").await.unwrap().0, "");
        let broken = of(|_| Some("{\"auths\": {\"a.example\": {\"auth\": hunter22".to_owned()));
        let error = broken.login("a.example").await.unwrap_err();
        assert!(error.contains("DOCKER_AUTH_CONFIG") && !error.contains("hunter"), "{error}");
        assert_eq!(of(|_| Some(String::new())).login("a.example").await.unwrap().0, "file");
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
        assert_eq!(lookup(&configuration, HUB_HOST).await, pair("hub", "secret"));
        assert_eq!(lookup(&configuration, "old.example").await, pair("u", "p"));
        assert_eq!(lookup(&configuration, "token.example").await, pair("", "t"));
        assert_eq!(lookup(&configuration, "other.example").await, pair("", ""));
    }

    #[tokio::test]
    async fn a_helper_s_name_cannot_lead_to_another_program() {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("config.json"), r#"{"credsStore": "../../bin/true"}"#).unwrap();
        let answer = Registries::of_docker(Some(folder.path().into())).credentials("r.example").await;
        assert_eq!(answer.unwrap_err().code(), tonic::Code::Unavailable);
    }

    #[tokio::test]
    async fn without_docker_s_folder_every_registry_sees_a_stranger() {
        let answer = Registries::anonymous().credentials("registry.example").await.unwrap();
        assert_eq!(answer, CredentialsResponse::default());
    }
}
