//! Health checks over the engine's network.

use pshim::{Request, http};

use crate::system::{self, Poll};
use crate::{network, say};

/// How long a connection attempt may take, in milliseconds.
const PATIENCE: u64 = 5000;
const UNHEALTHY: u8 = 1;

/// Connects to a port, and returns exit code 0 if something listens.
pub(crate) fn tcp(host: &[u8], port: u16) -> u8 {
    match open(host, port, PATIENCE) {
        Some(socket) => {
            system::close(socket);
            0
        }
        None => UNHEALTHY,
    }
}

/// Returns 0 if an HTTP request gets a healthy answer. The answer is read to its end, because an app whose connection
/// breaks while it writes may log an error.
pub(crate) fn http(request: Request<'_, '_>) -> u8 {
    let began = system::milliseconds();
    let patience = u64::from(request.patience);
    let Some(socket) = open(request.instance, request.port, patience) else { return UNHEALTHY };
    system::write_all(socket, &http::request(request.host, request.path, request.headers.iter().copied()));
    let (mut answer, mut buffer) = (http::Answer::default(), [0; 4096]);
    let broken: Option<&[u8]> = loop {
        if answer.is_whole() {
            break None;
        }
        let left = (began + patience).saturating_sub(system::milliseconds());
        if left == 0 {
            break Some(b"no answer within ");
        }
        let _ = system::poll(&mut [Poll::for_read(socket)], Some(left));
        match system::read(socket, &mut buffer) {
            Ok(0) => break Some(b"the answer is no HTTP"),
            Ok(count) => answer.push(&buffer[..count]),
            Err(system::EAGAIN) => {}
            Err(_) => break Some(b"the connection broke off"),
        }
    };
    // A body may never end. The status is enough.
    match (answer.status(), broken) {
        (Some(status), _) => {
            let line = alloc::format!("{}{status}", http::STATUS);
            say(&[line.as_bytes()]);
            return if http::is_healthy(status) { 0 } else { UNHEALTHY };
        }
        (None, Some(words)) if words.ends_with(b" ") => {
            let time = alloc::format!("{}.{} s", patience / 1000, patience % 1000 / 100);
            say(&[words, time.as_bytes()]);
        }
        (None, Some(words)) => say(&[words]),
        (None, None) => say(&[b"the answer is no HTTP"]),
    }
    UNHEALTHY
}

fn open(host: &[u8], port: u16, patience: u64) -> Option<i32> {
    let Some(address) = network::resolve(host) else {
        say(&[b"the network knows no ", host]);
        return None;
    };
    let socket = network::connect(address, port, patience).ok();
    if socket.is_none() {
        say(&[http::NOTHING_LISTENS.as_bytes()]);
    }
    socket
}
