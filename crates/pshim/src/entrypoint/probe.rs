//! Health checks over the engine's network.

use pshim::http;

use crate::system::{self, Poll};
use crate::{network, say};

/// How long one check may take, in milliseconds.
const PATIENCE: u64 = 5000;
const UNHEALTHY: u8 = 1;

/// Connects to a port, and returns exit code 0 if something listens.
pub(crate) fn tcp(host: &[u8], port: u16) -> u8 {
    match open(host, port) {
        Some(socket) => {
            system::close(socket);
            0
        }
        None => UNHEALTHY,
    }
}

/// Sends an HTTP request, and returns exit code 0 if the status is healthy.
pub(crate) fn http(host: &[u8], port: u16, path: &[u8]) -> u8 {
    let Some(socket) = open(host, port) else { return UNHEALTHY };
    system::write_all(socket, &http::request(host, path));
    let deadline = system::milliseconds() + PATIENCE;
    let mut answer = [0; http::ENOUGH];
    let mut length = 0;
    loop {
        if let Some(status) = http::status(&answer[..length]) {
            let digits = alloc::format!("{status}");
            say(&[b"HTTP status ", digits.as_bytes()]);
            return if http::is_healthy(status) { 0 } else { UNHEALTHY };
        }
        let left = deadline.saturating_sub(system::milliseconds());
        if left == 0 {
            say(&[b"no answer within 5 seconds"]);
            return UNHEALTHY;
        }
        let _ = system::poll(&mut [Poll::for_read(socket)], Some(left));
        match system::read(socket, &mut answer[length..]) {
            Ok(0) => {
                say(&[b"the answer is no HTTP"]);
                return UNHEALTHY;
            }
            Ok(count) => length += count,
            Err(system::EAGAIN) => {}
            Err(_) => {
                say(&[b"the connection broke off"]);
                return UNHEALTHY;
            }
        }
    }
}

fn open(host: &[u8], port: u16) -> Option<i32> {
    let Some(address) = network::resolve(host) else {
        say(&[b"the network knows no ", host]);
        return None;
    };
    let socket = network::connect(address, port, PATIENCE).ok();
    if socket.is_none() {
        say(&[b"nothing listens on the port"]);
    }
    socket
}
