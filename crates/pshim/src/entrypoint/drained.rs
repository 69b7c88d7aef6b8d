//! Waits until the forwarder has no connection to instances that are about to be removed.

use alloc::vec::Vec;

use pshim::sockets;

use crate::{network, system};

/// How often the connections are looked at, in milliseconds.
const LOOK: u64 = 50;

/// Waits at most `patience` milliseconds. Returns 0 in any case: what is still open then ends with its instance.
pub(crate) fn drained(patience: u64, instances: &[&[u8]]) -> u8 {
    let deadline = system::milliseconds() + patience;
    let addresses: Vec<[u8; 4]> = instances.iter().filter_map(|instance| network::resolve(instance)).collect();
    while system::milliseconds() < deadline {
        let connections = system::read_file(sockets::FILE).unwrap_or_default();
        let is_open = |line: &[u8]| addresses.iter().any(|address| sockets::is_connected(line, *address));
        if !connections.split(|byte| *byte == b'\n').any(is_open) {
            break;
        }
        system::sleep(LOOK);
    }
    0
}
