//! The forwarder's list, which says which instances take the connections and packets to which port.
//!
//! ```text
//! every 2000                                    milliseconds between two checks of an instance
//! tcp 8080 shop-1 80                            PROTOCOL LISTEN HOST PORT
//! check 80 5000 shop.example /healthz           PORT MILLISECONDS HOST PATH, of the instance above
//! header X-Forwarded-Proto: https               of the check above
//! proxy                                         of the instance above
//! end
//! ```
//!
//! If the last line is missing, the list was read while it was being written.

use alloc::string::String;
use alloc::vec::Vec;

use crate::number::{number, port};

/// How many milliseconds lie between two checks of an instance if the list does not say so.
pub const PAUSE: u32 = 2000;

/// The line that begins a connection of which no client is known (PROXY protocol, version 1).
pub const UNKNOWN_CLIENT: &[u8] = b"PROXY UNKNOWN\r\n";

/// The protocol of a published port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Connections.
    Tcp,
    /// Packets.
    Udp,
}

/// The whole list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List<'a> {
    /// How many milliseconds lie between two checks of an instance.
    pub pause: u32,
    /// The instances, those of one port in the order of their turns.
    pub targets: Vec<Target<'a>>,
}

/// An instance that takes connections or packets to one port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// The protocol of both ports.
    pub protocol: Protocol,
    /// The port on which the forwarder listens.
    pub listen: u16,
    /// The instance's name on the network.
    pub host: &'a [u8],
    /// The instance's port.
    pub port: u16,
    /// The health check of the instance, if it has one that works over the network.
    pub check: Option<Check<'a>>,
    /// Whether each connection begins with the client's address, in the PROXY protocol.
    pub proxy: bool,
}

/// An HTTP request that a healthy instance answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check<'a> {
    /// The instance's port that is asked.
    pub port: u16,
    /// How long the whole exchange may take, in milliseconds.
    pub patience: u32,
    /// The name in the `Host` header.
    pub host: &'a [u8],
    /// The path and query.
    pub path: &'a [u8],
    /// Further headers: lines of the list that each begin with `header `.
    headers: &'a [u8],
}

impl<'a> Check<'a> {
    /// Makes a check without further headers.
    #[must_use]
    pub fn new(port: u16, patience: u32, host: &'a [u8], path: &'a [u8]) -> Self {
        Self { port, patience, host, path, headers: b"" }
    }

    /// Iterates over the further headers, each a line without its end.
    pub fn headers(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.headers.split(|byte| *byte == b'\n').filter_map(|line| line.strip_prefix(HEADER))
    }
}

const HEADER: &[u8] = b"header ";

/// Reads a port of the forwarder's command line: `80`, or `53/udp`.
#[must_use]
pub fn listened(text: &[u8]) -> Option<(Protocol, u16)> {
    match text.strip_suffix(b"/udp") {
        Some(text) => Some((Protocol::Udp, port(text)?)),
        None => Some((Protocol::Tcp, port(text)?)),
    }
}

/// Reads a list. Returns `None` if the list is incomplete or malformed.
#[must_use]
pub fn parse(list: &[u8]) -> Option<List<'_>> {
    let mut rest = list.strip_suffix(b"end\n").filter(|rest| rest.is_empty() || rest.ends_with(b"\n"))?;
    // The program's memory is only given back in the reverse order, so the list gets its room at once.
    let lines = rest.iter().filter(|byte| **byte == b'\n').count();
    let mut read = List { pause: PAUSE, targets: Vec::with_capacity(lines) };
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let line = &rest[..end];
        let after = &rest[end + 1..];
        let (kind, words) = match line.iter().position(|byte| *byte == b' ') {
            Some(blank) => (&line[..blank], &line[blank + 1..]),
            None => (line, &b""[..]),
        };
        match kind {
            b"every" => read.pause = number(words).filter(|pause| *pause > 0)?,
            b"tcp" => read.targets.push(target(Protocol::Tcp, words)?),
            b"udp" => read.targets.push(target(Protocol::Udp, words)?),
            b"check" => read.targets.last_mut()?.check = Some(check(words)?),
            b"header" => {
                // All lines of one check stand behind each other, so they are one piece of the list.
                let check = read.targets.last_mut()?.check.as_mut()?;
                let before = check.headers.len();
                let at = list.len() - b"end\n".len() - rest.len();
                check.headers = list.get(at.checked_sub(before)?..at + end + 1)?;
                if !check.headers.starts_with(HEADER) {
                    return None;
                }
            }
            b"proxy" if words.is_empty() => read.targets.last_mut()?.proxy = true,
            _ => return None,
        }
        rest = after;
    }
    Some(read)
}

fn target(protocol: Protocol, words: &[u8]) -> Option<Target<'_>> {
    let mut words = words.split(|byte| *byte == b' ');
    let (listen, host, to) = (port(words.next()?)?, words.next()?, port(words.next()?)?);
    let is_whole = !host.is_empty() && words.next().is_none();
    is_whole.then_some(Target { protocol, listen, host, port: to, check: None, proxy: false })
}

fn check(words: &[u8]) -> Option<Check<'_>> {
    let mut words = words.splitn(4, |byte| *byte == b' ');
    let check = Check::new(port(words.next()?)?, number(words.next()?)?, words.next()?, words.next()?);
    (!check.host.is_empty() && check.path.starts_with(b"/")).then_some(check)
}

/// Writes one target in the form that [`parse`] reads. Host names must not have blanks, and no text may have line ends.
pub fn write(list: &mut String, target: &Target<'_>, headers: &[String]) {
    let protocol = match target.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    };
    let text = |bytes| String::from_utf8_lossy(bytes);
    list.push_str(&alloc::format!("{protocol} {} {} {}\n", target.listen, text(target.host), target.port));
    if target.proxy {
        list.push_str("proxy\n");
    }
    if let Some(Check { port, patience, host, path, .. }) = target.check {
        list.push_str(&alloc::format!("check {port} {patience} {} {}\n", text(host), text(path)));
        headers.iter().for_each(|header| list.push_str(&alloc::format!("header {header}\n")));
    }
}

impl List<'_> {
    /// Returns the place at which the health of a target is noted: that of the first target of the same instance with the
    /// same check. An instance with several ports is asked once, and is left out of all of them at the same time.
    #[must_use]
    pub fn place_of_health(&self, place: usize) -> usize {
        let Some(target) = self.targets.get(place).filter(|target| target.check.is_some()) else { return place };
        let is_same = |other: &Target<'_>| other.host == target.host && other.check == target.check;
        self.targets.iter().position(is_same).unwrap_or(place)
    }
}

/// Finds the targets of one port, with the places of their health, beginning with the target whose turn it is.
pub fn in_turn<'l, 'a>(
    list: &'l List<'a>,
    protocol: Protocol,
    listen: u16,
    turn: usize,
) -> impl Iterator<Item = (usize, &'l Target<'a>)> + use<'l, 'a> {
    let of_port = move || {
        let is_of_port =
            move |(_, target): &(usize, &Target<'_>)| target.protocol == protocol && target.listen == listen;
        list.targets.iter().enumerate().filter(is_of_port).map(|(place, target)| (list.place_of_health(place), target))
    };
    let first = turn.checked_rem(of_port().count()).unwrap_or(0);
    of_port().skip(first).chain(of_port().take(first))
}

/// Computes a number that tells one list from another. It is never zero (FNV-1a).
#[must_use]
pub fn fingerprint(bytes: &[u8]) -> u64 {
    Fingerprint::default().with(bytes).value()
}

/// A [`fingerprint`] of bytes that come in pieces.
#[derive(Clone, Copy, Debug)]
pub struct Fingerprint(u64);

impl Default for Fingerprint {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fingerprint {
    /// Adds the next bytes.
    #[must_use]
    pub fn with(self, bytes: &[u8]) -> Self {
        Self(bytes.iter().fold(self.0, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)))
    }

    /// Returns the number.
    #[must_use]
    pub fn value(self) -> u64 {
        self.0.max(1)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    const LIST: &[u8] = b"every 500\n\
        tcp 8080 shop-1 80\nproxy\ncheck 81 5000 shop.example /up?full=1 x\nheader A: b c\nheader D: e\n\
        tcp 8443 shop-2 443\n\
        udp 53 shop-2 5353\nend\n";

    fn plain(protocol: Protocol, listen: u16, host: &[u8], port: u16) -> Target<'_> {
        Target { protocol, listen, host, port, check: None, proxy: false }
    }

    #[test]
    fn every_line_is_understood() {
        let list = parse(LIST).unwrap();
        assert_eq!((list.pause, list.targets.len()), (500, 3));
        let check = list.targets[0].check.unwrap();
        assert_eq!(
            (check.port, check.patience, check.host, check.path),
            (81, 5000, &b"shop.example"[..], &b"/up?full=1 x"[..])
        );
        assert_eq!(check.headers().collect::<Vec<_>>(), [&b"A: b c"[..], b"D: e"]);
        assert!(list.targets[0].proxy);
        assert_eq!(list.targets[1], plain(Protocol::Tcp, 8443, b"shop-2", 443));
        assert_eq!(list.targets[2], plain(Protocol::Udp, 53, b"shop-2", 5353));
        assert_eq!(parse(b"end\n"), Some(List { pause: PAUSE, targets: vec![] }));
    }

    #[test]
    fn what_is_written_is_parsed() {
        let mut text = String::from("every 500\n");
        let check = Some(Check::new(81, 5000, b"shop.example", b"/up?full=1 x"));
        let headers = [String::from("A: b c"), String::from("D: e")];
        write(&mut text, &Target { check, proxy: true, ..plain(Protocol::Tcp, 8080, b"shop-1", 80) }, &headers);
        write(&mut text, &plain(Protocol::Tcp, 8443, b"shop-2", 443), &[]);
        write(&mut text, &plain(Protocol::Udp, 53, b"shop-2", 5353), &[]);
        text.push_str("end\n");
        assert_eq!(text.as_bytes(), LIST);
    }

    #[test]
    fn a_list_cut_anywhere_is_refused() {
        for end in 0..LIST.len() {
            assert_eq!(parse(&LIST[..end]), None);
        }
        for broken in [
            &b"tcp 0 a 1\nend\n"[..],
            b"tcp 1 a\nend\n",
            b"tcp 1  1\nend\n",
            b"tcp 1 a 1 b\nend\n",
            b"1 a 1\nend\n",
            b"check 1 1 a /\nend\n",
            b"tcp 1 a 1\nheader A: b\nend\n",
            b"tcp 1 a 1\ncheck 1 1 a x\nend\n",
            b"tcp 1 a 1\ncheck 1 1 a /\nproxy\nheader A: b\nheader A: c\nend\nend",
            b"every 0\nend\n",
            b"tcp 1 a 1end\n",
        ] {
            assert_eq!(parse(broken), None, "{}", broken.escape_ascii());
        }
    }

    #[test]
    fn every_instance_has_its_turn() {
        let list = parse(b"tcp 80 a 1\ntcp 81 x 1\nudp 80 u 1\ntcp 80 b 1\nend\n").unwrap();
        let hosts =
            |turn| in_turn(&list, Protocol::Tcp, 80, turn).map(|(at, target)| (at, target.host)).collect::<Vec<_>>();
        assert_eq!(hosts(0), [(0, &b"a"[..]), (3, b"b")]);
        assert_eq!(hosts(1), [(3, &b"b"[..]), (0, b"a")]);
        assert_eq!(hosts(2), hosts(0));
        assert_eq!(in_turn(&list, Protocol::Udp, 80, 7).count(), 1);
        assert_eq!(in_turn(&list, Protocol::Tcp, 82, 0).count(), 0);
    }

    #[test]
    fn an_instance_with_several_ports_has_one_health() {
        let list =
            b"tcp 80 a 1\ncheck 1 5 h /\ntcp 80 b 1\ncheck 1 5 h /\nudp 53 a 5\ncheck 1 5 h /\nudp 54 a 6\nend\n";
        let list = parse(list).unwrap();
        assert_eq!([0, 1, 2, 3].map(|place| list.place_of_health(place)), [0, 1, 0, 3]);
        assert_eq!(in_turn(&list, Protocol::Udp, 53, 0).next().map(|(place, _)| place), Some(0));
    }

    #[test]
    fn lists_are_told_apart_in_whatever_pieces_they_come() {
        assert_ne!(fingerprint(b"end\n"), fingerprint(b"tcp 80 a 1\nend\n"));
        assert_eq!(
            Fingerprint::default().with(b"tcp 80 ").with(b"a 1\nend\n").value(),
            fingerprint(b"tcp 80 a 1\nend\n")
        );
    }
}
