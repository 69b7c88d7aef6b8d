//! The end that docker's client asks a plugin for.
//!
//! Docker starts its plugins with a socket, in `DOCKER_CLI_PLUGIN_SOCKET`, and closes it at the first signal that it gets
//! (docker/cli `cli-plugins/socket`). Without a terminal no signal comes to the plugin itself, and the third one that docker
//! gets ends the plugin with SIGKILL, which can clean up nothing.

use std::ffi::OsStr;
use std::io::{self, Read as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::thread;

use crate::{Cancellation, Ending};

/// Docker's variable.
const SOCKET: &str = "DOCKER_CLI_PLUGIN_SOCKET";

/// Asks the work to stop when docker does. Without docker, nothing happens.
pub(crate) fn follow(cancellation: &Cancellation) {
    let Some(address) = std::env::var_os(SOCKET).filter(|address| !address.is_empty()) else { return };
    // A docker that is gone already, or that has no such socket, ends us in its own way.
    let Ok(stream) = connect(&address) else { return };
    let cancellation = cancellation.clone();
    thread::spawn(move || {
        wait_for_end(stream);
        cancellation.cancel(Ending::Terminate);
    });
}

/// Connects to an abstract name, `@…`, or to a path.
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
