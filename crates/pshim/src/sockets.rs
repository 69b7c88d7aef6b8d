//! The kernel's list of TCP connections (`/proc/net/tcp`, proc_net_tcp(5)), which tells whether an instance still has any.

/// The file with the connections of a container's network.
pub const FILE: &str = "/proc/net/tcp";

/// Returns whether a line of the list is a connection to this address that a process still has. The kernel keeps
/// connections for a while that no process has any more.
#[must_use]
pub fn is_connected(line: &[u8], address: [u8; 4]) -> bool {
    let mut words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    // The columns are: number, own address, other address, state, queues, timer, retransmits, user, timeout, inode.
    let other = words.nth(2).and_then(|word| word.split(|byte| *byte == b':').next()).and_then(hexadecimal);
    let is_listening = words.next() == Some(b"0A");
    let is_kept = words.nth(5).is_some_and(|inode| inode != b"0");
    other == Some(u32::from_ne_bytes(address)) && !is_listening && is_kept
}

/// Reads a number of eight hexadecimal digits. The kernel prints an address as one number of the machine.
fn hexadecimal(word: &[u8]) -> Option<u32> {
    (word.len() == 8).then_some(())?;
    word.iter().try_fold(0, |sum: u32, byte| Some(sum << 4 | (*byte as char).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn connections_are_read_as_the_kernel_writes_them() {
        let line = |state: &str, inode: &str| {
            alloc::format!(
                "   1: 030011AC:1F90 0205A8C0:C350 {state} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1 0000000000000000 20 4 30 10 -1"
            )
        };
        for (state, inode, expected) in
            [("01", "5123", true), ("08", "5123", true), ("06", "0", false), ("0A", "5123", false)]
        {
            assert_eq!(is_connected(line(state, inode).as_bytes(), [192, 168, 5, 2]), expected, "{state}");
            assert!(!is_connected(line(state, inode).as_bytes(), [172, 17, 0, 3]));
        }
        let head = b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
        assert!(!is_connected(head, [0; 4]) && !is_connected(b"", [0; 4]));
    }
}
