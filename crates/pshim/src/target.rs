//! The forwarder's list, which says which instances take the connections to which port.
//!
//! The list has lines of `PORT HOST PORT`, and a last line `end`. If the last line is missing, the list was read
//! while it was being written.

use alloc::string::String;
use alloc::vec::Vec;

use crate::number::port;

/// An instance that takes connections to one port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// The port on which the forwarder listens.
    pub listen: u16,
    /// The instance's name on the network.
    pub host: &'a [u8],
    /// The instance's port.
    pub port: u16,
}

/// Reads a list. Returns `None` if the list is incomplete or malformed.
#[must_use]
pub fn parse(list: &[u8]) -> Option<Vec<Target<'_>>> {
    let mut targets = Vec::new();
    for line in list.strip_suffix(b"end\n")?.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let mut words = line.split(|byte| *byte == b' ');
        let target = Target { listen: port(words.next()?)?, host: words.next()?, port: port(words.next()?)? };
        if target.host.is_empty() || words.next().is_some() {
            return None;
        }
        targets.push(target);
    }
    Some(targets)
}

/// Writes a list in the form that [`parse`] reads. Host names must not have blanks.
#[must_use]
pub fn write<'a>(targets: impl IntoIterator<Item = (u16, &'a str, u16)>) -> String {
    let mut list = String::new();
    for (listen, host, port) in targets {
        list.push_str(&alloc::format!("{listen} {host} {port}\n"));
    }
    list.push_str("end\n");
    list
}

/// Lists the targets of one port, beginning with the target whose turn it is.
#[must_use]
pub fn in_turn<'a>(targets: &[Target<'a>], listen: u16, turn: usize) -> Vec<Target<'a>> {
    let mut chosen: Vec<Target<'a>> = targets.iter().filter(|target| target.listen == listen).copied().collect();
    if !chosen.is_empty() {
        let first = turn % chosen.len();
        chosen.rotate_left(first);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_parsed() {
        let list = write([(8080, "shop-1", 80), (8443, "shop-2", 443)]);
        let targets = parse(list.as_bytes()).unwrap();
        assert_eq!(targets.len(), 2);
        assert_eq!(targets[1], Target { listen: 8443, host: b"shop-2", port: 443 });
        assert_eq!(parse(write([]).as_bytes()), Some(Vec::new()));
    }

    #[test]
    fn a_list_cut_anywhere_is_refused() {
        let list = write([(8080, "shop-1", 80), (8443, "shop-2", 443)]);
        for end in 0..list.len() {
            assert_eq!(parse(&list.as_bytes()[..end]), None);
        }
        for broken in [&b"0 a 1\nend\n"[..], b"1 a\nend\n", b"1  1\nend\n", b"1 a 1 b\nend\n"] {
            assert_eq!(parse(broken), None);
        }
    }

    #[test]
    fn every_instance_has_its_turn() {
        let list = write([(80, "a", 1), (81, "x", 1), (80, "b", 1)]);
        let targets = parse(list.as_bytes()).unwrap();
        let first = |turn| in_turn(&targets, 80, turn)[0].host;
        assert_eq!([first(0), first(1), first(2)], [&b"a"[..], b"b", b"a"]);
        assert_eq!(in_turn(&targets, 80, 1).len(), 2);
        assert!(in_turn(&targets, 82, 0).is_empty());
    }
}
