//! The page's server. It speaks HTTP on one port of 127.0.0.1 and answers one request on each connection. Everything
//! that a stranger could send, hold open or leave unread is limited.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use psecret::{LONGEST_SECRET, UserSecret};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use zeroize::Zeroizing;

use super::guard::{self, Admission, Keys};
use super::{Asked, End, Errand, News, Question, Reason, Request, render};

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
const ICON: &str = include_str!("icon.svg");

/// How long a client may take for the head of its request, and for its body.
const SLOW: Duration = Duration::from_secs(5);
/// How long a connection without the key may live in total.
const LIFE: Duration = Duration::from_secs(15);
/// How many connections may be open. For a further one, the oldest connection without the key is closed.
const MOST: usize = 64;
/// The largest head of a request, in bytes.
const HEAD: usize = 16 << 10;
/// The largest body of a question, in bytes. The value of a secret may be longer.
const QUESTION: usize = 1 << 10;
/// The pause between two signs of life ([`signs_of_life`]).
const SIGN: Duration = Duration::from_secs(5);

/// The headers of every answer. The answer is not cached, not framed and not read by another page, and it loads
/// nothing from any other place.
const HEADERS: [(HeaderName, &str); 9] = [
    (header::CACHE_CONTROL, "no-store"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-embedder-policy"), "require-corp"),
    (HeaderName::from_static("permissions-policy"), "clipboard-write=(self), camera=(), geolocation=(), microphone=()"),
];

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// The state of the page that its server needs. Clones share it.
#[derive(Clone)]
pub(crate) struct Page(Arc<Shared>);

struct Shared {
    address: String,
    keys: Mutex<Keys>,
    /// Counts the pages that were opened, so that an older page learns that it is closed.
    opened: watch::Sender<u64>,
    requests: mpsc::Sender<Request>,
}

impl Page {
    /// Makes the page of `address`, which is `127.0.0.1:PORT`. Its questions go to `requests`.
    #[must_use]
    pub(crate) fn new(address: String, requests: mpsc::Sender<Request>) -> Self {
        Self(Arc::new(Shared { address, keys: Mutex::default(), opened: watch::Sender::new(0), requests }))
    }

    /// Makes the address that opens the page once. An address that was made before does not open the page any more.
    pub(crate) fn link(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("http://{}/#{}", self.0.address, *self.keys().token()))
    }

    /// Returns a receiver that changes when a page was opened.
    #[must_use]
    pub(crate) fn opened(&self) -> watch::Receiver<u64> {
        self.0.opened.subscribe()
    }

    fn keys(&self) -> MutexGuard<'_, Keys> {
        self.0.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves connections until the task is dropped.
    pub(crate) async fn serve(self, listener: TcpListener) {
        let mut open = Connections::default();
        loop {
            match listener.accept().await {
                Ok((stream, _)) => open.take(&self, stream),
                // The process has probably too many open files. Some connections end in a moment.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }
}

/// The open connections, the oldest first. The flag of each tells whether it has shown the key.
#[derive(Default)]
struct Connections(VecDeque<(AbortHandle, Arc<AtomicBool>)>);

impl Connections {
    fn take(&mut self, page: &Page, stream: TcpStream) {
        self.0.retain(|(task, _)| !task.is_finished());
        if self.0.len() >= MOST {
            // A stranger who holds many connections open must not keep the page out.
            let stranger = self.0.iter().position(|(_, known)| !known.load(Ordering::Relaxed));
            if let Some((task, _)) = self.0.remove(stranger.unwrap_or(0)) {
                task.abort();
            }
        }
        let known = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(serve_one(page.clone(), stream, Arc::clone(&known)));
        self.0.push_back((task.abort_handle(), known));
    }
}

/// Serves the single request of a connection.
async fn serve_one(page: Page, stream: TcpStream, known: Arc<AtomicBool>) {
    let service = service_fn(|request: http::Request<Incoming>| {
        let (page, known) = (page.clone(), Arc::clone(&known));
        async move {
            let (parts, body) = request.into_parts();
            Ok::<_, Infallible>(page.answer(&parts, body, &known).await)
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(SLOW)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    // An error here means that the client went away or did not send HTTP. There is no one to report it to.
    let ended = tokio::time::timeout(LIFE, &mut connection).await.is_ok();
    if !ended && known.load(Ordering::Relaxed) {
        let _ = connection.await;
    }
}

impl Page {
    async fn answer(&self, request: &Parts, body: Incoming, known: &AtomicBool) -> Response<Body> {
        let path = request.uri.path();
        match guard::admit(request, &self.0.address) {
            Err(refusal @ guard::Refusal::Method) => plain(StatusCode::METHOD_NOT_ALLOWED, refusal.words()),
            Err(refusal) => plain(StatusCode::FORBIDDEN, refusal.words()),
            Ok(Admission::File) => file(path),
            Ok(Admission::Question) if path == "/enter" => self.enter(body).await,
            Ok(Admission::Question) => {
                // The receiver is made before the check of the key, so that the page cannot miss that another page
                // takes its place.
                let opened = self.opened();
                let checked = self.keys().check(&request.headers);
                if let Err(refusal) = checked {
                    return plain(StatusCode::FORBIDDEN, refusal.words());
                }
                known.store(true, Ordering::Relaxed);
                let project = request.headers.get(guard::PROJECT).and_then(|name| name.to_str().ok());
                self.question(path, project.map(str::to_owned), body, opened).await
            }
        }
    }

    async fn enter(&self, body: Incoming) -> Response<Body> {
        let Some(token) = whole(body, QUESTION).await else { return too_much() };
        let mut keys = self.keys();
        match keys.enter(&token) {
            None => plain(StatusCode::FORBIDDEN, "this address opens no page, or has opened one"),
            Some(key) => {
                self.0.opened.send_modify(|count| *count += 1);
                wiped(key.as_bytes().to_vec().into())
            }
        }
    }

    async fn question(
        &self,
        path: &str,
        project: Option<String>,
        body: Incoming,
        opened: watch::Receiver<u64>,
    ) -> Response<Body> {
        let limit = if path == "/set" { LONGEST_SECRET + QUESTION } else { QUESTION };
        let Some(body) = whole(body, limit).await else { return too_much() };
        let words = body.iter().position(|byte| *byte == b'\n').map_or((&body[..], &[][..]), |end| {
            let (first, rest) = body.split_at(end);
            (first, &rest[1..])
        });
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match path {
            "/live" => streamed(signs_of_life(opened)),
            "/look" => self.look(project).await,
            "/value/injected" | "/value/environment" => {
                let reason = if words.0 == b"copy" { Reason::Copy } else { Reason::Reveal };
                let name = text(words.1);
                let of = if path == "/value/injected" { Asked::Injected(name) } else { Asked::Environment(name) };
                self.value(project, of, reason).await
            }
            "/rotate" => self.run_errand(project, Errand::Rotate(text(words.0))).await,
            "/restart" => self.run_errand(project, Errand::Restart).await,
            "/set" => self.run_errand(project, Errand::Set(text(words.0), UserSecret::new(words.1.to_vec()))).await,
            _ => plain(StatusCode::NOT_FOUND, "there is nothing under this address"),
        }
    }

    async fn ask(&self, project: Option<String>, question: Question) -> Result<(), Response<Body>> {
        let request = Request { project, question };
        self.0.requests.send(request).await.map_err(|_| ended())
    }

    async fn look(&self, project: Option<String>) -> Response<Body> {
        let (answer, overview) = oneshot::channel();
        if let Err(response) = self.ask(project, Question::Look(answer)).await {
            return response;
        }
        match overview.await {
            Ok(overview) => content("text/html; charset=utf-8", render::html(&overview).into()),
            Err(_) => ended(),
        }
    }

    async fn value(&self, project: Option<String>, of: Asked, reason: Reason) -> Response<Body> {
        let (answer, value) = oneshot::channel();
        if let Err(response) = self.ask(project, Question::Value { of, reason, answer }).await {
            return response;
        }
        match value.await {
            Ok(Ok(value)) => wiped(value),
            Ok(Err(why)) => plain(StatusCode::CONFLICT, &why),
            Err(_) => ended(),
        }
    }

    async fn run_errand(&self, project: Option<String>, errand: Errand) -> Response<Body> {
        let (news, mut told) = mpsc::unbounded_channel();
        if let Err(response) = self.ask(project, Question::Errand(errand, news)).await {
            return response;
        }
        streamed(stream::poll_fn(move |context| told.poll_recv(context)).map(|news| line_of(&news)))
    }
}

/// Writes a message of an errand as a line of JSON.
fn line_of(news: &News) -> Bytes {
    let json = match news {
        News::Line(text) => serde_json::json!({ "line": text }),
        News::End(End::Done) => serde_json::json!({ "end": "done" }),
        News::End(End::Failed) => serde_json::json!({ "end": "failed" }),
    };
    format!("{json}\n").into()
}

/// Returns a stream of signs of life, which ends when another page takes the place of this one. The page learns from
/// the end of the stream that its server is gone. Another program may take the port then, and must not get what the
/// user types.
fn signs_of_life(opened: watch::Receiver<u64>) -> impl Stream<Item = Bytes> {
    stream::unfold(Some(opened), |opened| async {
        let mut opened = opened?;
        match tokio::time::timeout(SIGN, opened.changed()).await {
            Err(_) => Some((Bytes::from_static(b"alive\n"), Some(opened))),
            Ok(_) => Some((Bytes::from_static(b"replaced\n"), None)),
        }
    })
}

/// Reads a body to its end. Returns `None` if the body is longer than `limit`, or takes too long.
async fn whole(mut body: Incoming, limit: usize) -> Option<Zeroizing<Vec<u8>>> {
    // The buffer has its final size from the start and never moves, so no copy of a value is left in memory.
    let mut bytes = Zeroizing::new(Vec::with_capacity(limit));
    let read = async {
        while let Some(frame) = body.frame().await {
            let frame = frame.ok()?;
            let Some(data) = frame.data_ref() else { continue };
            if bytes.len() + data.len() > limit {
                return None;
            }
            bytes.extend_from_slice(data);
        }
        Some(())
    };
    tokio::time::timeout(SLOW, read).await.ok().flatten()?;
    Some(bytes)
}

fn file(path: &str) -> Response<Body> {
    match path {
        "/" => content("text/html; charset=utf-8", Bytes::from_static(PAGE.as_bytes())),
        "/page.css" => content("text/css; charset=utf-8", Bytes::from_static(STYLE.as_bytes())),
        "/page.js" => content("text/javascript; charset=utf-8", Bytes::from_static(SCRIPT.as_bytes())),
        "/icon.svg" => content("image/svg+xml", Bytes::from_static(ICON.as_bytes())),
        _ => plain(StatusCode::NOT_FOUND, "there is nothing under this address"),
    }
}

fn too_much() -> Response<Body> {
    plain(StatusCode::PAYLOAD_TOO_LARGE, "the request is too long or too slow")
}

fn ended() -> Response<Body> {
    plain(StatusCode::SERVICE_UNAVAILABLE, "prun ui is about to end")
}

fn plain(status: StatusCode, text: &str) -> Response<Body> {
    let body = Full::new(Bytes::from(format!("{text}\n"))).boxed_unsync();
    response(status, "text/plain; charset=utf-8", body)
}

fn content(kind: &'static str, bytes: Bytes) -> Response<Body> {
    response(StatusCode::OK, kind, Full::new(bytes).boxed_unsync())
}

/// Makes an answer from bytes that are wiped when they are sent.
fn wiped(bytes: Zeroizing<Vec<u8>>) -> Response<Body> {
    content("application/octet-stream", Bytes::from_owner(Wiped(bytes)))
}

struct Wiped(Zeroizing<Vec<u8>>);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

fn streamed(lines: impl Stream<Item = Bytes> + Send + 'static) -> Response<Body> {
    let frames = lines.map(|line| Ok::<_, Infallible>(Frame::data(line)));
    response(StatusCode::OK, "application/x-ndjson", StreamBody::new(frames).boxed_unsync())
}

/// Makes an answer with all [`HEADERS`]. Every answer is made here.
fn response(status: StatusCode, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::super::overview::Overview;
    use super::*;

    const VALUE: &str = "c4n4ry-9f3b27e1";

    /// Serves a page, answers its questions with one value, and returns it with its address.
    async fn opened() -> (Page, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (requests, mut questions) = mpsc::channel(8);
        let page = Page::new(address.clone(), requests);
        tokio::spawn(page.clone().serve(listener));
        tokio::spawn(async move {
            while let Some(Request { question, .. }) = questions.recv().await {
                match question {
                    Question::Look(answer) => drop(answer.send(Overview::default())),
                    Question::Value { of: Asked::Injected(name), answer, .. } if name == "KEY" => {
                        drop(answer.send(Ok(Zeroizing::new(VALUE.into()))));
                    }
                    Question::Value { answer, .. } => drop(answer.send(Err("there is none".to_owned()))),
                    Question::Errand(errand, news) => {
                        drop(news.send(News::Line(format!("{errand:?}"))));
                        drop(news.send(News::End(End::Done)));
                    }
                }
            }
        });
        (page, address)
    }

    async fn send(address: &str, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    async fn exchange(address: &str, request: &str) -> String {
        let (mut stream, mut answer) = (send(address, request).await, String::new());
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    fn post(address: &str, path: &str, key: &str, body: &str) -> String {
        let length = body.len();
        format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nOrigin: http://{address}\r\nPrun-Key: {key}\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
    }

    async fn enter(page: &Page, address: &str) -> String {
        let link = page.link();
        let token = link.rsplit('#').next().unwrap();
        let answer = exchange(address, &post(address, "/enter", "", token)).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        answer.rsplit("\r\n").next().unwrap().to_owned()
    }

    #[tokio::test]
    async fn every_answer_has_every_header_and_no_other_page_may_read_it() {
        let (page, address) = opened().await;
        let key = enter(&page, &address).await;
        let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
        let ask = |path: &str, body: &str| post(&address, path, &key, body);
        let other = post(&address, "/look", &key, "").replace("Origin: http://127", "Origin: http://128");
        let requests = [
            (get("/"), 200),
            (get("/page.css"), 200),
            (get("/page.js"), 200),
            (get("/icon.svg"), 200),
            (get("/look"), 404),
            (get("/").replace("Host: ", "Host: x."), 403),
            (format!("OPTIONS /look HTTP/1.1\r\nHost: {address}\r\n\r\n"), 405),
            (other, 403),
            (post(&address, "/look", "a guess", ""), 403),
            (post(&address, "/value/injected", "", "reveal\nKEY"), 403),
            (post(&address, "/enter", "", "a guess"), 403),
            (ask("/enter", &"x".repeat(QUESTION + 1)), 413),
            (ask("/rotate", &"x".repeat(QUESTION + 1)), 413),
            (ask("/look", ""), 200),
            (ask("/value/injected", "reveal\nKEY"), 200),
            (ask("/value/environment", "reveal\nKEY"), 409),
            (ask("/rotate", "db"), 200),
            (ask("/restart", ""), 200),
            (ask("/set", "NAME\nvalue"), 200),
            (ask("/nothing", ""), 404),
        ];
        for (request, status) in requests {
            let answer = exchange(&address, &request).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}\n{answer}");
            let head = answer.split("\r\n\r\n").next().unwrap().to_lowercase();
            for line in [
                "cache-control: no-store\r\n",
                "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                 connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n",
                "x-frame-options: deny\r\n",
                "x-content-type-options: nosniff\r\n",
                "referrer-policy: no-referrer\r\n",
                "cross-origin-opener-policy: same-origin\r\n",
                "cross-origin-resource-policy: same-origin\r\n",
                "cross-origin-embedder-policy: require-corp\r\n",
                "permissions-policy: clipboard-write=(self), ",
                "connection: close\r\n",
            ] {
                assert!(format!("{head}\r\n").contains(&format!("\r\n{line}")), "{line}: {answer}");
            }
            assert!(!head.contains("set-cookie") && !head.contains("access-control"), "{answer}");
            let asked = request.starts_with("POST /value/injected") && status == 200;
            assert_eq!(answer.contains(VALUE), asked, "{request}");
        }
    }

    #[tokio::test]
    async fn an_errand_is_told_line_by_line_and_never_with_the_value() {
        let (page, address) = opened().await;
        let key = enter(&page, &address).await;
        let answer = exchange(&address, &post(&address, "/set", &key, &format!("KEY\n{VALUE}"))).await;
        assert!(answer.contains(r#"{"line":"Set(\"KEY\", UserSecret)"}"#), "{answer}");
        assert!(answer.contains(r#"{"end":"done"}"#) && !answer.contains(VALUE), "{answer}");
    }

    #[tokio::test]
    async fn a_page_learns_that_another_took_its_place() {
        let (page, address) = opened().await;
        let key = enter(&page, &address).await;
        let mut live = send(&address, &post(&address, "/live", &key, "")).await;
        let mut head = [0; 15];
        live.read_exact(&mut head).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 200 OK");
        let newer = enter(&page, &address).await;
        let mut rest = String::new();
        live.read_to_string(&mut rest).await.unwrap();
        assert!(rest.contains("replaced"), "{rest}");
        assert!(exchange(&address, &post(&address, "/look", &key, "")).await.contains(" 403 "));
        assert!(exchange(&address, &post(&address, "/look", &newer, "")).await.contains(" 200 "));
    }

    #[tokio::test]
    async fn the_oldest_connection_without_the_key_makes_room() {
        let (page, _) = opened().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (mut open, mut held) = (Connections::default(), Vec::new());
        for number in 0..2 * MOST {
            held.push(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap());
            open.take(&page, listener.accept().await.unwrap().0);
            if number == 0 {
                open.0[0].1.store(true, Ordering::Relaxed);
            }
        }
        assert_eq!(open.0.len(), MOST);
        let known: Vec<bool> = open.0.iter().map(|(_, known)| known.load(Ordering::Relaxed)).collect();
        assert!(known[0] && !known[1..].contains(&true), "who has the key stays");
    }

    /// Opens more connections than the server keeps, each with half a request. A client with the key is answered, and
    /// stays connected.
    #[tokio::test]
    async fn clients_that_hold_connections_open_keep_nobody_out() {
        let (page, address) = opened().await;
        let key = enter(&page, &address).await;
        let mut live = send(&address, &post(&address, "/live", &key, "")).await;
        live.read_exact(&mut [0; 15]).await.unwrap();
        let mut held = Vec::new();
        for number in 0..3 * MOST {
            held.push(send(&address, "POST /look HTTP/1.1\r\nHost: ").await);
            if number % MOST == 0 {
                assert!(exchange(&address, &post(&address, "/look", &key, "")).await.contains(" 200 "));
            }
        }
        assert!(exchange(&address, &post(&address, "/value/injected", &key, "reveal\nKEY")).await.contains(VALUE));
        enter(&page, &address).await;
        let mut rest = String::new();
        live.read_to_string(&mut rest).await.unwrap();
        assert!(rest.contains("replaced"), "the page's own connection was kept");
    }
}
