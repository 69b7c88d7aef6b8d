//! A cache in a bucket of an object store that speaks Amazon's protocol.
//!
//! Sources: BuildKit `cache/remotecache/s3` (names of objects, attributes) and `cache/remotecache/v1` (what the
//! document of a cache says of its layers); the API reference of Amazon's object store, "Authenticating Requests:
//! Using the Authorization Header (AWS Signature Version 4)". Blobs are objects that are named by their digests. The
//! document is written last, under each of its names.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::header::{CONTENT_LENGTH, LAST_MODIFIED};
use http::{Method, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use pimage::Digest;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::audit::registry::RegistryError;
use crate::audit::registry::connection::{Connections, Plain, Upload};
use crate::audit::registry::upload::{self, Arrival, Fault};
use crate::files::blob::{BlobError, FileBlob};
use crate::plan::{CacheError, comma_separated};

/// The largest object that can be sent in one piece, in bytes.
const LARGEST_OBJECT: u64 = 5 << 30;
/// The age after which an object is written again, so that a rule that removes old objects does not remove it. The
/// value is BuildKit's.
const TOUCHED: Duration = Duration::from_hours(24);
/// The number of attempts at a request whose failure may be temporary.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);
/// The bytes of a path that are not percent-encoded.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// A bucket, and the names under which a cache is kept in it.
#[derive(PartialEq, Eq)]
pub(super) struct Bucket {
    name: String,
    region: String,
    /// The address of the store, without a slash at its end; `None` for Amazon's own store.
    endpoint: Option<String>,
    path_style: bool,
    blobs: String,
    manifests: String,
    names: Vec<String>,
    keys: Keys,
}

#[derive(PartialEq, Eq)]
struct Keys {
    id: String,
    secret: Zeroizing<String>,
    session: Option<Zeroizing<String>>,
}

/// The reasons why a bucket does not accept a cache. No message holds a key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BucketError {
    /// The store cannot be reached, or its answer is not valid.
    #[error("{0}")]
    Connection(RegistryError),
    /// The store does not accept the keys.
    #[error("the bucket denies access")]
    Denied,
    /// The store has no such bucket.
    #[error("there is no such bucket")]
    NoBucket,
    /// The store answers with another HTTP status.
    #[error("the bucket answers with HTTP {0}")]
    Status(u16),
    /// A blob is too large for one request.
    #[error("a layer of {0} bytes is larger than what is sent in one piece")]
    TooLarge(u64),
    /// The address of the bucket is not valid.
    #[error("the endpoint is no address")]
    Address,
    /// A blob has changed since it was searched.
    #[error(transparent)]
    Blob(BlobError),
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bucket({self})")
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "type=s3,bucket={},name={}", self.name, self.names.join(";"))
    }
}

impl Bucket {
    /// Reads the attributes. For missing ones, reads the variables that BuildKit would read from its own environment.
    ///
    /// # Errors
    /// Returns an error about the first attribute that is missing.
    pub(super) fn of(
        attributes: &BTreeMap<String, String>,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, CacheError> {
        let value = |name: &str| attributes.get(name).filter(|value| !value.is_empty()).cloned();
        let required = |name: &'static str, variable: &'static str| {
            let missing = CacheError::Bucket { attribute: name, variable };
            value(name).or_else(|| environment(variable)).filter(|value| !value.is_empty()).ok_or(missing)
        };
        let prefix = value("prefix").unwrap_or_default();
        let part = |name: &str, usual: &str| format!("{prefix}{}", attributes.get(name).map_or(usual, String::as_str));
        Ok(Self {
            name: required("bucket", "AWS_BUCKET")?,
            region: required("region", "AWS_REGION")?,
            endpoint: value("endpoint_url").map(|url| url.trim_end_matches('/').to_owned()),
            path_style: value("use_path_style").and_then(|value| comma_separated::truth(&value)) == Some(true),
            blobs: part("blobs_prefix", "blobs/"),
            manifests: part("manifests_prefix", "manifests/"),
            names: value("name").unwrap_or_else(|| "buildkit".to_owned()).split(';').map(str::to_owned).collect(),
            keys: Keys {
                id: required("access_key_id", "AWS_ACCESS_KEY_ID")?,
                secret: required("secret_access_key", "AWS_SECRET_ACCESS_KEY")?.into(),
                session: value("session_token").map(Zeroizing::new),
            },
        })
    }

    /// Writes a blob, unless the bucket has it and it was written not long ago.
    ///
    /// # Errors
    /// Returns an error if the bucket does not accept the blob, or if the file has changed.
    pub(super) async fn blob(&self, blob: &FileBlob) -> Result<Arrival, BucketError> {
        let key = format!("{}{}", self.blobs, blob.digest);
        let nothing = || (Upload::of_bytes(Bytes::new()), Fault::default());
        let answer = self.request(&Method::HEAD, &key, 0, &Digest::of(b""), nothing).await?;
        match answer.status() {
            status if status.is_success() && is_fresh(&answer) => return Ok(Arrival::WasThere),
            status if status.is_success() || status == StatusCode::NOT_FOUND => {}
            status => return Err(refused(status)),
        }
        if blob.size > LARGEST_OBJECT {
            return Err(BucketError::TooLarge(blob.size));
        }
        let body = || {
            let fault = Fault::default();
            (upload::body(blob, 0, &fault), fault)
        };
        let answer = self.request(&Method::PUT, &key, blob.size, &blob.digest, body).await?;
        accepted(&answer).map(|()| Arrival::Sent)
    }

    /// Writes the document of a cache under all of its names. Every blob that the document lists must be in the
    /// bucket already.
    ///
    /// # Errors
    /// Returns an error if the bucket does not accept the document.
    pub(super) async fn document(&self, document: &[u8]) -> Result<(), BucketError> {
        for name in &self.names {
            let key = format!("{}{name}", self.manifests);
            let body = || (Upload::of_bytes(Bytes::copy_from_slice(document)), Fault::default());
            let digest = Digest::of(document);
            accepted(&self.request(&Method::PUT, &key, document.len() as u64, &digest, body).await?)?;
        }
        Ok(())
    }

    async fn request(
        &self,
        method: &Method,
        key: &str,
        length: u64,
        digest: &Digest,
        body: impl Fn() -> (Upload, Fault),
    ) -> Result<Response<Incoming>, BucketError> {
        let uri = self.uri(key)?;
        let host = uri.authority().ok_or(BucketError::Address)?.to_string();
        let connections = Connections::new(&host, Plain::Asked).map_err(BucketError::Connection)?;
        let mut failures = 0;
        loop {
            let (Upload { body, taken }, fault) = body();
            let mut request = Request::builder().method(method).uri(&uri).header(CONTENT_LENGTH, length);
            for (name, value) in self.signed(method, uri.path(), &host, digest.hex(), Timestamp::now()) {
                request = request.header(name, &*value);
            }
            let request = request.body(body).map_err(|_| BucketError::Address)?;
            let answer = connections.send_upload(&uri, request, &taken).await;
            if let Some(error) = fault.take() {
                return Err(BucketError::Blob(error));
            }
            let passes = match &answer {
                Ok(answer) => answer.status().is_server_error() || answer.status() == StatusCode::TOO_MANY_REQUESTS,
                Err(RegistryError::Unreachable(kind)) => *kind != std::io::ErrorKind::ConnectionRefused,
                Err(error) => matches!(error, RegistryError::Silent),
            };
            failures += 1;
            if !passes || failures == ATTEMPTS {
                return answer.map_err(BucketError::Connection);
            }
            tokio::time::sleep(PAUSE * failures).await;
        }
    }

    fn uri(&self, key: &str) -> Result<Uri, BucketError> {
        let amazon = || format!("https://s3.{}.amazonaws.com", self.region);
        let endpoint = self.endpoint.clone().unwrap_or_else(amazon);
        let key = utf8_percent_encode(key, KEPT);
        // BuildKit uses the path style only for stores with their own address.
        let address = match (self.path_style && self.endpoint.is_some(), endpoint.split_once("://")) {
            (true, _) => format!("{endpoint}/{}/{key}", self.name),
            (false, Some((scheme, host))) => format!("{scheme}://{}.{host}/{key}", self.name),
            (false, None) => return Err(BucketError::Address),
        };
        address.parse().map_err(|_| BucketError::Address)
    }

    /// Makes the headers that name the sender and sign the request.
    fn signed(
        &self,
        method: &Method,
        path: &str,
        host: &str,
        body: &str,
        now: Timestamp,
    ) -> Vec<(&'static str, Zeroizing<String>)> {
        let time = now.strftime("%Y%m%dT%H%M%SZ").to_string();
        let day = &time[..8];
        let mut headers: Vec<(&'static str, Zeroizing<String>)> = vec![
            ("host", host.to_owned().into()),
            ("x-amz-content-sha256", body.to_owned().into()),
            ("x-amz-date", time.clone().into()),
        ];
        if let Some(session) = &self.keys.session {
            headers.push(("x-amz-security-token", session.clone()));
        }
        let listed: Zeroizing<String> =
            headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect::<String>().into();
        let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
        let canonical = Zeroizing::new(format!("{method}\n{path}\n\n{}\n{names}\n{body}", *listed));
        let scope = format!("{day}/{}/s3/aws4_request", self.region);
        let hashed = Digest::of(canonical.as_bytes());
        let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hashed.hex());
        let first = Zeroizing::new(format!("AWS4{}", *self.keys.secret));
        let mut key = keyed(first.as_bytes(), day);
        for part in [self.region.as_str(), "s3", "aws4_request"] {
            key = keyed(&*key, part);
        }
        let signature = base16ct::lower::encode_string(&*keyed(&*key, &text));
        let credential = format!("{}/{scope}", self.keys.id);
        let authorization =
            format!("AWS4-HMAC-SHA256 Credential={credential},SignedHeaders={names},Signature={signature}");
        headers.push(("authorization", authorization.into()));
        headers
    }
}

fn keyed(key: &[u8], text: &str) -> Zeroizing<[u8; 32]> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text.as_bytes());
    Zeroizing::new(mac.finalize().into_bytes().into())
}

/// Returns whether an object was written not long ago. An object without a time is not fresh, so it is written again.
fn is_fresh(answer: &Response<Incoming>) -> bool {
    let written = answer.headers().get(LAST_MODIFIED).and_then(|value| value.to_str().ok());
    let written = written.and_then(|text| jiff::fmt::rfc2822::parse(text).ok());
    written.is_some_and(|written| Timestamp::now().duration_since(written.timestamp()).unsigned_abs() < TOUCHED)
}

fn accepted(answer: &Response<Incoming>) -> Result<(), BucketError> {
    match answer.status() {
        status if status.is_success() => Ok(()),
        status => Err(refused(status)),
    }
}

fn refused(status: StatusCode) -> BucketError {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => BucketError::Denied,
        StatusCode::NOT_FOUND => BucketError::NoBucket,
        status => BucketError::Status(status.as_u16()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::sync::{Arc, Mutex};

    use super::*;

    fn bucket(more: &[(&str, &str)]) -> Result<Bucket, CacheError> {
        let usual = [("bucket", "examplebucket"), ("region", "us-east-1"), ("access_key_id", "AKIAIOSFODNN7EXAMPLE")];
        let secret = [("secret_access_key", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")];
        let all = usual.iter().chain(&secret).chain(more);
        Bucket::of(&all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(), |_| None)
    }

    /// The expected signature was made by Python's botocore for the same request.
    #[test]
    fn a_request_is_signed_as_others_sign_it() {
        let bucket = bucket(&[]).unwrap();
        let now = "2013-05-24T00:00:00Z".parse().unwrap();
        let empty = Digest::of(b"");
        let headers = bucket.signed(
            &Method::HEAD,
            "/blobs/sha256%3Aab",
            "examplebucket.s3.us-east-1.amazonaws.com",
            empty.hex(),
            now,
        );
        let signature = headers.iter().find(|(name, _)| *name == "authorization").map(|(_, value)| value.to_string());
        assert_eq!(
            signature.as_deref(),
            Some(
                "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=host;x-amz-content-sha256;x-amz-date,Signature=4898b3525e9254d54f5d11a3608d02ae72f6bc1c43c5d9beccf3d938ffcd101c"
            )
        );
        assert!(headers.iter().any(|(name, value)| *name == "x-amz-date" && value.as_str() == "20130524T000000Z"));
    }

    #[test]
    fn objects_are_where_buildkit_looks_for_them() {
        let uri = |more: &[(&str, &str)], key: &str| bucket(more).unwrap().uri(key).unwrap().to_string();
        assert_eq!(uri(&[], "blobs/sha256:ab"), "https://examplebucket.s3.us-east-1.amazonaws.com/blobs/sha256%3Aab");
        let own = ("endpoint_url", "http://127.0.0.1:5000/");
        assert_eq!(uri(&[own, ("use_path_style", "true")], "a b"), "http://127.0.0.1:5000/examplebucket/a%20b");
        assert_eq!(uri(&[own], "x"), "http://examplebucket.127.0.0.1:5000/x");
        let named = bucket(&[("prefix", "team/"), ("name", "one;two"), ("blobs_prefix", "layers/")]).unwrap();
        assert_eq!((named.blobs.as_str(), named.manifests.as_str()), ("team/layers/", "team/manifests/"));
        assert_eq!(named.to_string(), "type=s3,bucket=examplebucket,name=one;two");
    }

    #[test]
    fn what_a_bucket_needs_is_asked_for_and_no_key_is_shown() {
        let none = Bucket::of(&BTreeMap::new(), |_| None);
        assert!(matches!(none, Err(CacheError::Bucket { attribute: "bucket", variable: "AWS_BUCKET" })));
        let all = Bucket::of(&BTreeMap::new(), |name| Some(format!("value-of-{name}"))).unwrap();
        assert_eq!(all.region, "value-of-AWS_REGION");
        assert!(!format!("{all:?} {all}").contains("SECRET"), "{all:?}");
    }

    /// The objects of a store, by their paths.
    type Objects = Mutex<BTreeMap<String, Vec<u8>>>;

    /// Starts a store that serves one request after the other and accepts everything that is signed.
    fn store() -> (String, Arc<Objects>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let objects = Arc::new(Objects::default());
        let kept = Arc::clone(&objects);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                serve(stream, &kept);
            }
        });
        (address, objects)
    }

    fn serve(mut stream: TcpStream, objects: &Objects) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            reader.read_until(b'\n', &mut head).ok()?;
        }
        let head = String::from_utf8(head).ok()?;
        let field = |name: &str| {
            head.lines().find_map(|line| line.split_once(": ").filter(|(key, _)| key.eq_ignore_ascii_case(name)))
        };
        let mut words = head.split(' ');
        let (method, path) = (words.next()?, words.next()?.to_owned());
        let signed = field("authorization").is_some_and(|(_, value)| value.starts_with("AWS4-HMAC-SHA256 Credential="));
        let mut objects = objects.lock().ok()?;
        let now = Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT");
        let fresh = format!("200 OK\r\nLast-Modified: {now}");
        let answer = match method {
            _ if !signed || path.contains("denied") => "403 Forbidden".to_owned(),
            "HEAD" if objects.get(&path).is_some_and(|object| object == b"old") => {
                "200 OK\r\nLast-Modified: Wed, 21 Oct 2015 07:28:00 GMT".to_owned()
            }
            "HEAD" => {
                if objects.contains_key(&path) {
                    fresh
                } else {
                    "404 Not Found".to_owned()
                }
            }
            "PUT" => {
                let mut bytes = vec![0; field("content-length")?.1.parse().ok()?];
                reader.read_exact(&mut bytes).ok()?;
                assert_eq!(field("x-amz-content-sha256")?.1, Digest::of(&bytes).hex());
                objects.insert(path, bytes);
                "200 OK".to_owned()
            }
            _ => "405 Method Not Allowed".to_owned(),
        };
        let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        stream.write_all(answer.as_bytes()).ok()
    }

    #[test]
    fn a_bucket_gets_what_it_lacks_and_what_is_old_there() {
        let (address, objects) = store();
        let more = [("endpoint_url", address.as_str()), ("use_path_style", "true"), ("name", "one;two")];
        let bucket_of = |name: &str| bucket(&[&more[..], &[("bucket", name)]].concat()).unwrap();
        let own = bucket_of("own");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("blob");
        std::fs::write(&path, "a layer").unwrap();
        let blob = FileBlob { path: path.clone(), digest: Digest::of(b"a layer"), size: 7 };
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        assert_eq!(runtime.block_on(own.blob(&blob)).unwrap(), Arrival::Sent);
        assert_eq!(runtime.block_on(own.blob(&blob)).unwrap(), Arrival::WasThere);
        let key = format!("/own/blobs/sha256%3A{}", blob.digest.hex());
        assert_eq!(objects.lock().unwrap().insert(key.clone(), b"old".to_vec()).unwrap(), b"a layer");
        assert_eq!(runtime.block_on(own.blob(&blob)).unwrap(), Arrival::Sent);
        runtime.block_on(own.document(b"{}")).unwrap();
        let keys: Vec<String> = objects.lock().unwrap().keys().cloned().collect();
        assert_eq!(keys, [key, "/own/manifests/one".to_owned(), "/own/manifests/two".to_owned()]);

        assert!(matches!(runtime.block_on(bucket_of("denied").blob(&blob)), Err(BucketError::Denied)));
        std::fs::write(&path, "another").unwrap();
        assert!(matches!(runtime.block_on(bucket_of("new").blob(&blob)), Err(BucketError::Blob(_))));
        assert!(objects.lock().unwrap().keys().all(|key| !key.starts_with("/new/")));
    }
}
