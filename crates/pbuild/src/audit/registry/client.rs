//! Requests to one registry: connections, credentials and redirections.

use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LOCATION, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use pengine::{Environment, Registries};
use pimage::BlobRequest;
use zeroize::Zeroizing;

use super::connection::{Connections, Plain, Upload};
use super::error::RegistryError;
use super::reference::ImageReference;

/// The largest number of redirections. A registry redirects once to its storage; more redirections than this are a
/// circle.
const MOST_REDIRECTIONS: usize = 5;
/// The longest answer with a token that is read, in bytes.
const LARGEST_ANSWER: usize = 1 << 20;

const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// A client of one registry, for one image.
pub(super) struct Client {
    reference: ImageReference,
    registries: Registries,
    connections: Connections,
    /// The value of the `Authorization` header that the last login gave.
    authorization: Mutex<Option<Zeroizing<String>>>,
}

impl Client {
    pub(super) fn new(reference: &ImageReference) -> Result<Self, RegistryError> {
        let folder = Environment::of_process().docker_folder();
        let plain = if reference.is_loopback() { Plain::OfThisMachine } else { Plain::Never };
        Ok(Self {
            reference: reference.clone(),
            registries: Registries::of_docker(folder),
            connections: Connections::new(reference.host(), plain)?,
            authorization: Mutex::new(None),
        })
    }

    /// Fetches a manifest by tag or digest, and returns it with its media type.
    pub(super) async fn manifest(
        &self,
        version: &str,
        most: usize,
    ) -> Result<(Vec<u8>, Option<String>), RegistryError> {
        let response = self.fetch(&format!("manifests/{version}")).await?;
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).map(str::to_owned);
        if kind.as_deref().is_some_and(|kind| kind.contains("docker.distribution.manifest.v1")) {
            return Err(RegistryError::SchemaOne);
        }
        let body = Limited::new(response.into_body(), most).collect().await;
        let bytes = body.map_err(|_| RegistryError::Protocol("a manifest that is cut or too long"))?;
        // Parameters may follow the media type after a semicolon.
        let kind = kind.and_then(|kind| kind.split(';').next().map(|kind| kind.trim().to_owned()));
        Ok((bytes.to_bytes().to_vec(), kind.filter(|kind| kind.contains("manifest") || kind.contains("index"))))
    }

    /// Requests a blob. The caller reads its bytes from the response as they arrive.
    pub(super) async fn blob(&self, wanted: &BlobRequest) -> Result<Response<Incoming>, RegistryError> {
        let kind = if wanted.manifest { "manifests" } else { "blobs" };
        self.fetch(&format!("{kind}/{}", wanted.digest)).await
    }

    /// Sends a request with the present credentials. If the registry demands a login, logs in and sends the request
    /// once more.
    async fn fetch(&self, path: &str) -> Result<Response<Incoming>, RegistryError> {
        let path = format!("/v2/{}/{path}", self.reference.repository());
        let response = self.follow(&path).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return checked(response, false);
        }
        let known = self.log_in(&response).await?;
        checked(self.follow(&path).await?, known)
    }

    /// Sends a request that may write, with the present credentials. If the registry demands a login, logs in and
    /// sends the request once more. Does not follow redirections. Credentials are sent only to the registry's own
    /// host.
    pub(super) async fn exchange(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &[(HeaderName, String)],
        mut upload: impl FnMut() -> Upload,
    ) -> Result<Response<Incoming>, RegistryError> {
        let response = self.write(method, uri, headers, upload()).await?;
        if response.status() != StatusCode::UNAUTHORIZED || !self.is_own(uri) {
            return Ok(response);
        }
        let known = self.log_in(&response).await?;
        let response = self.write(method, uri, headers, upload()).await?;
        match response.status() {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(RegistryError::Denied { known }),
            _ => Ok(response),
        }
    }

    async fn write(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &[(HeaderName, String)],
        Upload { body, taken }: Upload,
    ) -> Result<Response<Incoming>, RegistryError> {
        let authorization = self.authorization.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if let Some(authorization) = authorization.filter(|_| self.is_own(uri)) {
            request = request.header(AUTHORIZATION, secret_header(&authorization)?);
        }
        let request = request.body(body).map_err(|_| RegistryError::Protocol("a name"))?;
        self.connections.send_upload(uri, request, &taken).await
    }

    fn is_own(&self, uri: &Uri) -> bool {
        uri.authority().is_some_and(|authority| authority.as_str() == self.reference.host())
    }

    /// Returns the reference that this client reads or writes.
    pub(super) fn reference(&self) -> &ImageReference {
        &self.reference
    }

    /// Sends a request and follows redirections. Credentials are sent only to the registry's own host.
    async fn follow(&self, path: &str) -> Result<Response<Incoming>, RegistryError> {
        let authorization = self.authorization.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut uri = self.uri(path)?;
        for _ in 0..MOST_REDIRECTIONS {
            let mut request = Request::get(&uri).header(ACCEPT, MANIFESTS);
            if let Some(authorization) = authorization.as_ref().filter(|_| self.is_own(&uri)) {
                request = request.header(AUTHORIZATION, secret_header(authorization)?);
            }
            let response = self
                .connections
                .send(&uri, request.body(Full::default()).map_err(|_| RegistryError::Protocol("a name"))?)
                .await?;
            if !response.status().is_redirection() {
                return Ok(response);
            }
            let target = response.headers().get(LOCATION).and_then(|target| target.to_str().ok());
            let target = target.ok_or(RegistryError::Protocol("a redirection to nowhere"))?;
            uri = resolved(&uri, target)?;
        }
        Err(RegistryError::Protocol("redirections in a circle"))
    }

    /// Logs in as the registry's challenge demands, and returns whether docker had credentials for the registry.
    async fn log_in(&self, refusal: &Response<Incoming>) -> Result<bool, RegistryError> {
        let login = self.registries.login(self.reference.host()).await;
        let login = login.map_err(|error| RegistryError::Credentials(error.to_string()))?;
        let (user, secret) = (Zeroizing::new(login.user), Zeroizing::new(login.secret));
        let known = !secret.is_empty();
        let challenges = refusal.headers().get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let challenges: Vec<Challenge> = challenges.flat_map(Challenge::parse).collect();
        let authorization = if let Some(bearer) = challenges.iter().find(|challenge| challenge.scheme == "bearer") {
            let token = self.token(bearer, &user, &secret, known).await?;
            Zeroizing::new(format!("Bearer {}", *token))
        } else if challenges.iter().any(|challenge| challenge.scheme == "basic") && known && !user.is_empty() {
            basic(&user, &secret)
        } else {
            return Err(RegistryError::Denied { known });
        };
        *self.authorization.lock().unwrap_or_else(PoisonError::into_inner) = Some(authorization);
        Ok(known)
    }

    /// Gets a token from the registry's token service. If the credentials have no user name, the secret is a refresh
    /// token.
    async fn token(
        &self,
        challenge: &Challenge,
        user: &str,
        secret: &str,
        known: bool,
    ) -> Result<Zeroizing<String>, RegistryError> {
        let realm = challenge.get("realm").ok_or(RegistryError::Protocol("a challenge without a realm"))?;
        let scope = format!("repository:{}:pull", self.reference.repository());
        let mut pairs = vec![("scope", challenge.get("scope").unwrap_or(&scope))];
        if let Some(service) = challenge.get("service") {
            pairs.push(("service", service));
        }
        let refreshes = known && user.is_empty();
        if refreshes {
            pairs.extend([("grant_type", "refresh_token"), ("client_id", "pbuild"), ("refresh_token", secret)]);
        }
        let form = encoded(&pairs);
        let address = if refreshes {
            realm.to_owned()
        } else {
            format!("{realm}{}{}", if realm.contains('?') { "&" } else { "?" }, *form)
        };
        let uri: Uri = address.parse().map_err(|_| RegistryError::Protocol("a realm that is no address"))?;
        let mut request = Request::builder().uri(&uri);
        let mut body = Full::default();
        if refreshes {
            request = request.method(Method::POST).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
            body = Full::new(Bytes::from(form.as_bytes().to_vec()));
        } else if known {
            request = request.header(AUTHORIZATION, secret_header(&basic(user, secret))?);
        }
        let request = request.body(body).map_err(|_| RegistryError::Protocol("a realm that is no address"))?;
        let response = self.connections.send(&uri, request).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST => {
                return Err(RegistryError::Denied { known });
            }
            status => return Err(RegistryError::Status(status.as_u16())),
        }
        let answer = Limited::new(response.into_body(), LARGEST_ANSWER).collect().await;
        let answer =
            Zeroizing::new(answer.map_err(|_| RegistryError::Protocol("a token that is cut"))?.to_bytes().to_vec());
        let answer: serde_json::Value =
            serde_json::from_slice(&answer).map_err(|_| RegistryError::Protocol("a token that is not JSON"))?;
        let token = answer["token"].as_str().or_else(|| answer["access_token"].as_str());
        token.map(|token| Zeroizing::new(token.to_owned())).ok_or(RegistryError::Protocol("an answer without a token"))
    }

    /// Makes the URI of a path of this registry.
    pub(super) fn uri(&self, path: &str) -> Result<Uri, RegistryError> {
        let address = format!("https://{}{path}", self.reference.host());
        address.parse().map_err(|_| RegistryError::Protocol("a name that is no address"))
    }
}

fn checked(response: Response<Incoming>, known: bool) -> Result<Response<Incoming>, RegistryError> {
    match response.status() {
        StatusCode::OK => Ok(response),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(RegistryError::Denied { known }),
        StatusCode::NOT_FOUND => Err(RegistryError::NotFound),
        status => Err(RegistryError::Status(status.as_u16())),
    }
}

/// Resolves the target of a redirection against the address that redirects. The connection later refuses an address
/// without TLS.
pub(super) fn resolved(from: &Uri, target: &str) -> Result<Uri, RegistryError> {
    let nowhere = || RegistryError::Protocol("a redirection to nowhere");
    let target: Uri = target.parse().map_err(|_| nowhere())?;
    if target.authority().is_some() {
        return Ok(target);
    }
    let mut parts = from.clone().into_parts();
    parts.path_and_query = target.into_parts().path_and_query;
    Uri::from_parts(parts).map_err(|_| nowhere())
}

fn basic(user: &str, secret: &str) -> Zeroizing<String> {
    let pair = Zeroizing::new(format!("{user}:{secret}"));
    Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())))
}

fn secret_header(value: &str) -> Result<HeaderValue, RegistryError> {
    let mut header =
        HeaderValue::from_str(value).map_err(|_| RegistryError::Credentials("they are no text".to_owned()))?;
    header.set_sensitive(true);
    Ok(header)
}

/// Encodes pairs as `application/x-www-form-urlencoded`, in a buffer that is erased and never copied.
fn encoded(pairs: &[(&str, &str)]) -> Zeroizing<String> {
    let most = pairs.iter().map(|(key, value)| key.len() + 3 * value.len() + 2).sum();
    let mut form = form_urlencoded::Serializer::new(String::with_capacity(most));
    Zeroizing::new(form.extend_pairs(pairs).finish())
}

/// One challenge of `WWW-Authenticate`: a scheme and its parameters.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Challenge {
    /// The scheme, in lower case.
    pub(crate) scheme: String,
    /// The names of the parameters, in lower case, and their values.
    pub(crate) parameters: Vec<(String, String)>,
}

impl Challenge {
    /// Parses all challenges of one header. Returns none if the header does not follow the grammar.
    pub(crate) fn parse(header: &str) -> Vec<Self> {
        let parameter =
            |(name, value): (&str, http_auth::ParamValue<'_>)| (name.to_ascii_lowercase(), value.to_unescaped());
        let challenge = |challenge: http_auth::ChallengeRef<'_>| Self {
            scheme: challenge.scheme.to_ascii_lowercase(),
            parameters: challenge.params.into_iter().map(parameter).collect(),
        };
        http_auth::parse_challenges(header).unwrap_or_default().into_iter().map(challenge).collect()
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        let bearer =
            r#"Bearer realm="https://auth.example/token",service="r.example",scope="repository:a/b:pull,push""#;
        let [challenge] = &Challenge::parse(bearer)[..] else { panic!("one challenge") };
        assert_eq!(challenge.scheme, "bearer");
        assert_eq!(challenge.get("realm"), Some("https://auth.example/token"));
        assert_eq!(challenge.get("scope"), Some("repository:a/b:pull,push"));
        assert_eq!(Challenge::parse("Basic realm=\"a \\\"b\\\"\"")[0].get("realm"), Some("a \"b\""));
        let both = Challenge::parse("Basic realm=\"a\", Bearer realm=\"https://b\",service=\"c\"");
        assert_eq!(both.iter().map(|one| one.scheme.as_str()).collect::<Vec<_>>(), ["basic", "bearer"]);
        assert_eq!(Challenge::parse("Bearer realm=\"open"), []);
    }

    #[test]
    fn a_redirection_is_resolved_against_where_it_came_from() {
        let from: Uri = "https://r.example/v2/a/blobs/x".parse().unwrap();
        assert_eq!(resolved(&from, "/other?x=1").unwrap().to_string(), "https://r.example/other?x=1");
        assert_eq!(resolved(&from, "https://s.example/b").unwrap().to_string(), "https://s.example/b");
    }

    #[test]
    fn forms_are_encoded() {
        assert_eq!(
            encoded(&[("scope", "repository:a/b:pull"), ("x", "é &")]).as_str(),
            "scope=repository%3Aa%2Fb%3Apull&x=%C3%A9+%26"
        );
    }

    proptest::proptest! {
        #[test]
        fn no_challenge_breaks_the_reading(text in ".{0,80}") {
            drop(Challenge::parse(&text));
        }
    }
}
