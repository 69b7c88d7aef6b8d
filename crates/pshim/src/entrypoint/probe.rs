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

/// Returns 0 if an HTTP request gets a healthy answer, and says what came otherwise.
pub(crate) fn http(request: Request<'_, '_>) -> u8 {
    let bytes = http::request(request.host, request.path, request.headers.iter().copied());
    let first = request.first;
    let place = Place { instance: request.instance, port: request.port, first };
    let patience = u64::from(request.patience);
    match ask(&place, &bytes, patience) {
        Ok(status) => {
            let line = alloc::format!("{}{status}", http::STATUS);
            say(&[line.as_bytes()]);
            return if http::is_healthy(status) { 0 } else { UNHEALTHY };
        }
        Err(Failure::UnknownName) => say(&[b"the network knows no ", request.instance]),
        Err(Failure::NothingListens) => say(&[http::NOTHING_LISTENS.as_bytes()]),
        Err(Failure::Silence) => {
            let time = alloc::format!("no answer within {}.{} s", patience / 1000, patience % 1000 / 100);
            say(&[time.as_bytes()]);
        }
        Err(Failure::Broken) => say(&[b"the connection broke off"]),
        Err(Failure::NoHttp) => say(&[b"the answer is no HTTP"]),
    }
    UNHEALTHY
}

/// Where a request goes.
pub(crate) struct Place<'a> {
    /// The instance's name on the network.
    pub(crate) instance: &'a [u8],
    /// The port.
    pub(crate) port: u16,
    /// The bytes before the request.
    pub(crate) first: &'a [u8],
}

/// Why a request has no answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The network does not know the instance.
    UnknownName,
    /// Nothing accepts the connection.
    NothingListens,
    /// No answer came in time.
    Silence,
    /// The connection broke off.
    Broken,
    /// What came is no HTTP.
    NoHttp,
}

/// Sends a request, and returns the status of the answer. The answer is read to its end, because an app whose
/// connection breaks while it writes may log an error.
pub(crate) fn ask(place: &Place<'_>, request: &[u8], patience: u64) -> Result<u16, Failure> {
    let began = system::milliseconds();
    let address = network::resolve(place.instance).ok_or(Failure::UnknownName)?;
    let socket = network::connect(address, place.port, patience).map_err(|_| Failure::NothingListens)?;
    system::write_all(socket, place.first);
    system::write_all(socket, request);
    let (mut answer, mut buffer) = (http::Answer::default(), [0; 4096]);
    let failure = loop {
        if answer.is_whole() {
            break Failure::NoHttp;
        }
        let left = (began + patience).saturating_sub(system::milliseconds());
        if left == 0 {
            break Failure::Silence;
        }
        let _ = system::poll(&mut [Poll::for_read(socket)], Some(left));
        match system::read(socket, &mut buffer) {
            Ok(0) => break Failure::NoHttp,
            Ok(count) => {
                let mut rest = &buffer[..count];
                while !rest.is_empty() && !answer.is_whole() {
                    rest = &rest[answer.push(rest)..];
                    if answer.is_whole() && answer.is_interim() {
                        answer.restart();
                    }
                }
            }
            Err(system::EAGAIN) => {}
            Err(_) => break Failure::Broken,
        }
    };
    system::close(socket);
    // A body may never end. The status is enough.
    answer.status().ok_or(failure)
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
