//! What we report when an engine is missing, forbidden, silent, broken, too old or Podman (B1, B2, B3, B5, B6).

use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use pengine::mock::{MockEngine, Reply, well_behaved};
use pengine::{Endpoint, Engine, EngineError};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PATIENCE: Duration = Duration::from_millis(400);

async fn connect(address: &str) -> Result<Engine, EngineError> {
    Engine::connect_within(&Endpoint::plain(address).expect("the address is valid"), PATIENCE).await
}

async fn connect_to<S: Fn(&str) -> Reply + Send + Sync + 'static>(script: S) -> Result<Engine, EngineError> {
    let folder = TempDir::new().expect("a folder can be made");
    let mock = MockEngine::start(&folder.path().join("engine.sock"), script).expect("the socket can be made");
    connect(&mock.address()).await
}

#[tokio::test]
async fn describes_an_engine_that_answers() {
    let engine = connect_to(well_behaved(|_| Reply::Close)).await.unwrap();
    assert!(engine.describe().starts_with("28.5.2 at unix:///"), "{}", engine.describe());
    assert_eq!(engine.api_version().to_string(), "1.51");
}

#[tokio::test]
async fn b1_a_missing_socket_and_a_refused_connection_are_unreachable() {
    let folder = TempDir::new().unwrap();
    let missing = folder.path().join("missing.sock");
    let error = connect(&format!("unix://{}", missing.display())).await.unwrap_err();
    assert!(matches!(error, EngineError::Unreachable { .. }), "{error}");

    let dead = folder.path().join("dead.sock");
    drop(UnixListener::bind(&dead).unwrap());
    let error = connect(&format!("unix://{}", dead.display())).await.unwrap_err();
    assert!(matches!(error, EngineError::Unreachable { .. }), "{error}");
    assert_eq!(error.to_string(), format!("no engine answers at unix://{}", dead.display()));
}

/// The script answers as Podman 4.3 does.
#[tokio::test]
async fn b3_podman_is_known_by_its_components() {
    let script = |head: &str| match head.split(' ').nth(1) {
        Some("/_ping") => Reply::pong("1.41"),
        _ => Reply::ok(r#"{"Components":[{"Name":"Podman Engine","Version":"4.3.1"}],"Version":"4.3.1"}"#),
    };
    let engine = connect_to(script).await.unwrap();
    assert!(engine.is_podman() && engine.describe().starts_with("Podman 4.3.1 at unix:///"), "{engine:?}");
    assert!(!connect_to(well_behaved(|_| Reply::Close)).await.unwrap().is_podman());
}

#[tokio::test]
async fn b5_a_silent_engine_is_given_up_in_time() {
    let started = Instant::now();
    let error = connect_to(|_| Reply::Hang).await.unwrap_err();
    assert!(matches!(error, EngineError::Silent { .. }), "{error}");
    assert!(started.elapsed() < PATIENCE * 5, "{:?}", started.elapsed());
}

#[tokio::test]
async fn what_is_not_an_engine_is_told_apart() {
    let no_version = connect_to(|_| Reply::ok("hello")).await.unwrap_err();
    let not_http = connect_to(|_| Reply::Raw(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec())).await.unwrap_err();
    let not_found = connect_to(|_| Reply::Answer { status: 404, headers: vec![], body: vec![] }).await.unwrap_err();
    for error in [no_version, not_http, not_found] {
        assert!(matches!(error, EngineError::NotAnEngine { .. }), "{error}");
    }
}

#[tokio::test]
async fn b2_an_api_that_is_too_old_is_named_with_what_is_needed() {
    let error =
        connect_to(
            |head| {
                if head.contains("/_ping") { Reply::pong("1.39") } else { Reply::ok(r#"{"Version":"18.09.1"}"#) }
            },
        )
        .await
        .unwrap_err();
    assert!(matches!(error, EngineError::TooOld { .. }), "{error}");
    assert!(error.to_string().contains("1.39") && error.to_string().contains("1.40"), "{error}");
}

#[tokio::test]
async fn b6_an_echoed_request_never_reaches_the_message() {
    let script = well_behaved(|_| Reply::Echo);
    let folder = TempDir::new().unwrap();
    let mock = MockEngine::start(&folder.path().join("engine.sock"), script).unwrap();
    let engine = connect(&mock.address()).await.unwrap();
    let error = engine.hijack("/session", &[("X-Secret-Thing", "canary-71c2")]).await.unwrap_err();
    assert!(mock.requests().iter().any(|head| head.contains("canary-71c2")));
    let text = format!("{error} {error:?}");
    assert!(matches!(error, EngineError::UpgradeRefused { status: 500, .. }), "{text}");
    assert!(!text.contains("canary-71c2"), "{text}");
}

#[tokio::test]
async fn an_answer_cut_at_any_byte_is_an_error_and_never_a_hang() {
    let whole = b"HTTP/1.1 200 OK\r\nApi-Version: 1.51\r\nContent-Length: 2\r\n\r\n".to_vec();
    for end in 0..whole.len() {
        let part = whole[..end].to_vec();
        let outcome = connect_to(move |_| Reply::Raw(part.clone())).await;
        assert!(outcome.is_err(), "cut at {end}");
        assert!(!matches!(outcome, Err(EngineError::Silent { .. })), "cut at {end}");
    }
}

#[tokio::test]
async fn a_connection_that_was_handed_over_carries_bytes_both_ways() {
    let folder = TempDir::new().unwrap();
    let script = well_behaved(|head| {
        assert!(head.starts_with("POST /grpc HTTP/1.1\r\n"), "{head}");
        Reply::upgrade(|mut stream| async move {
            let mut bytes = [0; 4];
            stream.read_exact(&mut bytes).await.unwrap();
            bytes.reverse();
            stream.write_all(&bytes).await.unwrap();
        })
    });
    let mock = MockEngine::start(&folder.path().join("engine.sock"), script).unwrap();
    let engine = connect(&mock.address()).await.unwrap();
    let mut stream = engine.hijack("/grpc", &[]).await.unwrap();
    stream.write_all(b"abcd").await.unwrap();
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"dcba");
}

#[tokio::test]
async fn rest_calls_take_the_same_way() {
    let folder = TempDir::new().unwrap();
    let script = well_behaved(|_| Reply::Answer {
        status: 200,
        headers: vec!["Content-Type: application/json".into()],
        body: br#"{"DriverStatus":[["driver-type","io.containerd.snapshotter.v1"]]}"#.to_vec(),
    });
    let mock = MockEngine::start(&folder.path().join("engine.sock"), script).unwrap();
    let engine = connect(&mock.address()).await.unwrap();
    assert_eq!(engine.image_store().await.unwrap(), pengine::ImageStore::Containerd);
    let last = mock.requests().pop().unwrap();
    assert!(last.starts_with("GET /v1.51/info HTTP/1.1\r\n"), "{last}");
    assert!(last.to_ascii_lowercase().contains("host: docker\r\n"), "{last}");
}
