//! The end of a plugin at the request of docker's client.
//!
//! Docker starts its plugins with a socket, in `DOCKER_CLI_PLUGIN_SOCKET`, and closes the socket at the first signal
//! that docker receives (docker/cli `cli-plugins/socket`). Without a terminal, the plugin itself receives no signal.
//! At its third signal, docker kills the plugin with SIGKILL, and the plugin cannot clean up.

use std::ffi::OsStr;
use std::io::{self, Read as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::thread;

use crate::{Cancellation, Ending};

/// The variable in which docker passes the socket.
const SOCKET: &str = "DOCKER_CLI_PLUGIN_SOCKET";

/// Ends the work when docker closes the socket. If docker did not start the tool, nothing happens.
pub(crate) fn follow(cancellation: &Cancellation) {
    let Some(address) = std::env::var_os(SOCKET).filter(|address| !address.is_empty()) else { return };
    // The connection fails if docker has ended already or has no such socket; docker then ends the plugin in another
    // way.
    let Ok(stream) = connect(&address) else { return };
    let cancellation = cancellation.clone();
    thread::spawn(move || {
        wait_for_end(stream);
        cancellation.cancel(Ending::Terminate);
    });
}

/// Connects to an abstract name, which begins with `@`, or to a path.
fn connect(address: &OsStr) -> io::Result<UnixStream> {
    match address.as_bytes().strip_prefix(b"@") {
        Some(name) => UnixStream::connect_addr(&SocketAddr::from_abstract_name(name)?),
        None => UnixStream::connect(address),
    }
}

/// Waits until the other side closes.
fn wait_for_end(mut stream: UnixStream) {
    let mut nothing = [0; 64];
    while matches!(stream.read(&mut nothing), Ok(1..)) {}
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn the_end_of_a_socket_is_noticed() {
        let name = format!("pscreen-test-{}", std::process::id());
        let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let stream = connect(OsStr::new(&format!("@{name}"))).unwrap();
        let waiting = thread::spawn(move || wait_for_end(stream));
        let (other, _) = listener.accept().unwrap();
        assert!(!waiting.is_finished());
        drop(other);
        waiting.join().unwrap();
        assert!(connect(OsStr::new("/nowhere/socket")).is_err());
    }
}
