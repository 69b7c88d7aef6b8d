//! A token service, which registries name in their challenges. A client with the password gets a signed token for the
//! requested scopes, and other clients get none (distribution, "Token Authentication Specification").

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// The name of the signer, as the registry is configured.
pub(crate) const ISSUER: &str = "pbuild-test-tokens";
/// The service that the tokens are valid for.
pub(crate) const SERVICE: &str = "pbuild-test-registry";

/// A request that the service answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRequest {
    /// The way in which the client requested the token: `basic`, `password`, `refresh_token`, or `nobody`.
    pub way: String,
    /// The requested scopes.
    pub scopes: Vec<String>,
    /// True if the client got a token.
    pub granted: bool,
}

/// The token service, which listens on a port as long as the test runs.
#[derive(Clone, Debug)]
pub struct TokenService {
    address: String,
    signer: Arc<Signer>,
    asked: Arc<Mutex<Vec<TokenRequest>>>,
}

impl TokenService {
    /// Starts the service for one user, at an address of this machine. Writes its key and certificate into the folder
    /// as `token.key` and `token.pem`; the registry must trust the certificate. The password is also the refresh
    /// token.
    #[must_use]
    pub fn start(folder: &Path, host: IpAddr, user: &str, password: &str) -> Self {
        let listener = TcpListener::bind((host, 0)).expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let service = Self { address, signer: Arc::new(Signer::new(folder)), asked: Arc::default() };
        let (own, user, password) = (service.clone(), user.to_owned(), password.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A client that disconnects early must not affect other clients, so errors are ignored.
                let _ = own.answer(client, &user, &password);
            }
        });
        service
    }

    /// Returns the address that the registry's challenge names.
    #[must_use]
    pub fn realm(&self) -> String {
        format!("http://{}/token", self.address)
    }

    /// Returns every request so far.
    #[must_use]
    pub fn asked(&self) -> Vec<TokenRequest> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes a token that allows these scopes, such as `repository:team/shop:pull,push`.
    #[must_use]
    pub fn token(&self, scopes: &[String]) -> String {
        let access: Vec<Value> = scopes
            .iter()
            .filter_map(|scope| {
                let (kind, rest) = scope.split_once(':')?;
                let (name, actions) = rest.rsplit_once(':')?;
                Some(json!({"type": kind, "name": name, "actions": actions.split(',').collect::<Vec<_>>()}))
            })
            .collect();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs();
        self.signer.sign(&json!({
            "iss": ISSUER, "sub": "test", "aud": SERVICE, "access": access, "jti": "1",
            "iat": now, "nbf": now.saturating_sub(10), "exp": now + 300,
        }))
    }

    fn answer(&self, client: TcpStream, user: &str, password: &str) -> std::io::Result<()> {
        let mut reader = BufReader::new(client.try_clone()?);
        let mut first = String::new();
        reader.read_line(&mut first)?;
        let (mut length, mut authorization) = (0, String::new());
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 || line.trim_end().is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').unwrap_or_default();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().unwrap_or(0),
                "authorization" => authorization = value.trim().to_owned(),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let is_form = first.starts_with("POST ");
        let query = first.split(' ').nth(1).and_then(|path| path.split_once('?')).map_or("", |(_, query)| query);
        let pairs = pairs(if is_form { std::str::from_utf8(&body).unwrap_or_default() } else { query });
        let get = |name: &str| pairs.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value);
        let basic = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        let (way, granted) = match get("grant_type") {
            "password" if is_form => ("password", (get("username"), get("password")) == (user, password)),
            "refresh_token" if is_form => ("refresh_token", get("refresh_token") == password),
            _ if authorization.is_empty() => ("nobody", false),
            _ => ("basic", authorization == basic),
        };
        let asked = pairs.iter().filter(|(key, _)| key == "scope").map(|(_, scope)| scope);
        let scopes: Vec<String> = asked.flat_map(|scope| scope.split(' ')).map(str::to_owned).collect();
        let (status, answer) = if granted && get("service") == SERVICE {
            let name = if is_form { "access_token" } else { "token" };
            ("200 OK", json!({name: self.token(&scopes), "expires_in": 300}))
        } else {
            ("401 Unauthorized", json!({"errors": [{"code": "UNAUTHORIZED", "message": "no"}]}))
        };
        let way = way.to_owned();
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(TokenRequest { way, scopes, granted });
        let answer = answer.to_string();
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            answer.len()
        );
        (&client).write_all([head.as_bytes(), answer.as_bytes()].concat().as_slice())
    }
}

/// Splits a query or a form into pairs of decoded keys and values.
fn pairs(text: &str) -> Vec<(String, String)> {
    let meant =
        |text: &str| percent_encoding::percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    text.split('&').filter_map(|pair| pair.split_once('=')).map(|(key, value)| (meant(key), meant(value))).collect()
}

/// An RSA key with its certificate.
#[derive(Debug)]
struct Signer {
    key: PathBuf,
    /// The certificate in the form of a token's header.
    certificate: String,
}

impl Signer {
    fn new(folder: &Path) -> Self {
        let line =
            "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=pbuild-test-tokens -keyout token.key -out token.pem";
        let output = Command::new("openssl").args(line.split(' ')).current_dir(folder).output().expect("openssl runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let pem = fs::read_to_string(folder.join("token.pem")).expect("a certificate");
        let certificate = pem.lines().filter(|line| !line.starts_with('-')).collect();
        Self { key: folder.join("token.key"), certificate }
    }

    /// Makes a JSON web token (RFC 7519) with an RS256 signature.
    fn sign(&self, claims: &Value) -> String {
        let header = json!({"typ": "JWT", "alg": "RS256", "x5c": [self.certificate]});
        let text = [header, claims.clone()].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        let mut openssl = Command::new("openssl")
            .args(["dgst", "-sha256", "-sign"])
            .arg(&self.key)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("openssl runs");
        openssl.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("openssl reads");
        let output = openssl.wait_with_output().expect("openssl ends");
        assert!(output.status.success(), "openssl signs");
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(output.stdout))
    }
}
