//! A store of Amazon's protocol s3 for one test, as far as caches need it.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use ptest::Engine;

use crate::relay::own_address;

/// A store with one bucket, at an address that the engine reaches. It runs as long as the test.
#[derive(Debug)]
pub struct Bucket {
    address: SocketAddr,
    objects: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
}

impl Bucket {
    /// Starts an empty store.
    ///
    /// # Panics
    ///
    /// Panics if there is no port.
    #[must_use]
    pub fn start(engine: &Engine) -> Self {
        let listener = TcpListener::bind((own_address(engine), 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let objects = Arc::default();
        let shared = Arc::clone(&objects);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let objects = Arc::clone(&shared);
                std::thread::spawn(move || while answer(&client, &objects).is_some() {});
            }
        });
        Self { address, objects }
    }

    /// Returns the value of `--cache-to` and `--cache-from`.
    #[must_use]
    pub fn cache(&self) -> String {
        let keys = "access_key_id=test,secret_access_key=of-the-test,region=us-east-1";
        format!("type=s3,bucket=caches,name=shop,endpoint_url=http://{},use_path_style=true,{keys}", self.address)
    }

    /// Returns the names of all objects.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// Returns the content of an object.
    ///
    /// # Panics
    ///
    /// Panics if there is no such object.
    #[must_use]
    pub fn object(&self, name: &str) -> Vec<u8> {
        let objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        objects.get(name).unwrap_or_else(|| panic!("no {name} in the bucket")).clone()
    }

    /// Returns the content of all objects.
    #[must_use]
    pub fn files(&self) -> Vec<u8> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner).values().flatten().copied().collect()
    }
}

/// Answers one request. Returns `None` at the end of the connection.
fn answer(client: &TcpStream, objects: &Mutex<BTreeMap<String, Vec<u8>>>) -> Option<()> {
    let mut reader = BufReader::new(client);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?, words.next()?);
    let name = target.split('?').next()?.replace("%3A", ":");
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((key, value)) = line.trim().split_once(':') else { break };
        headers.insert(key.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    if headers.get("expect").is_some_and(|word| word == "100-continue") {
        (&mut &*client).write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let mut objects = objects.lock().unwrap_or_else(PoisonError::into_inner);
    let (status, body) = match (method, objects.get(&name)) {
        ("PUT", _) => {
            objects.insert(name, body);
            ("200 OK", Vec::new())
        }
        ("GET" | "HEAD", None) => ("404 Not Found", b"<Error><Code>NoSuchKey</Code></Error>".to_vec()),
        (_, Some(object)) => {
            let range = headers.get("range").and_then(|range| range.strip_prefix("bytes="));
            let from = range.and_then(|range| range.split('-').next()?.parse().ok()).unwrap_or(0);
            let status = if range.is_some() { "206 Partial Content" } else { "200 OK" };
            (status, object.get(from..).unwrap_or_default().to_vec())
        }
        _ => ("400 Bad Request", Vec::new()),
    };
    drop(objects);
    let date = "Last-Modified: Tue, 01 Dec 2026 12:00:00 GMT";
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{date}\r\nETag: \"0\"\r\n\r\n", body.len());
    (&mut &*client).write_all(head.as_bytes()).ok()?;
    if method != "HEAD" {
        (&mut &*client).write_all(&body).ok()?;
    }
    Some(())
}
