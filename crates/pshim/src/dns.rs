//! A DNS query to the engine's name server (RFC 1035) for the IPv4 address of a container.

use alloc::vec::Vec;

/// The address of the engine's name server in containers of user-defined networks. It listens on port 53.
pub const SERVER: [u8; 4] = [127, 0, 0, 11];
/// The longest answer over UDP without extensions (RFC 1035, 4.2.1).
pub const LONGEST_ANSWER: usize = 512;

const TYPE_ADDRESS: [u8; 2] = [0, 1];
const CLASS_INTERNET: [u8; 2] = [0, 1];

/// Makes the packet that asks for a name's address. Returns `None` if the text is not a valid name.
#[must_use]
pub fn question(id: u16, name: &[u8]) -> Option<Vec<u8>> {
    let mut packet = Vec::with_capacity(18 + name.len());
    packet.extend_from_slice(&id.to_be_bytes());
    // The flags ask for recursion, and the counts announce one question.
    packet.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split(|byte| *byte == b'.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length))?;
        packet.push(length);
        packet.extend_from_slice(label);
    }
    packet.push(0);
    packet.extend_from_slice(&TYPE_ADDRESS);
    packet.extend_from_slice(&CLASS_INTERNET);
    Some(packet)
}

/// Reads the first IPv4 address in an answer to the question with this id. Returns `None` for any other packet, and
/// for an answer with an error.
#[must_use]
pub fn address(id: u16, answer: &[u8]) -> Option<[u8; 4]> {
    let number = |at: usize| Some(u16::from_be_bytes([*answer.get(at)?, *answer.get(at + 1)?]));
    // The packet must answer this question, and without an error.
    if number(0)? != id || answer.get(2)? & 0x80 == 0 || answer.get(3)? & 0x0f != 0 {
        return None;
    }
    let mut at = 12;
    for _ in 0..number(4)? {
        at = after_name(answer, at)? + 4;
    }
    for _ in 0..number(6)? {
        at = after_name(answer, at)?;
        let length = usize::from(number(at + 8)?);
        let data = answer.get(at + 10..at + 10 + length)?;
        if answer.get(at..at + 2)? == TYPE_ADDRESS
            && answer.get(at + 2..at + 4)? == CLASS_INTERNET
            && let Ok(address) = data.try_into()
        {
            return Some(address);
        }
        at += 10 + length;
    }
    None
}

/// Finds where a name ends: after its closing zero, or after a pointer.
fn after_name(answer: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *answer.get(at)? {
            0 => return Some(at + 1),
            length if length & 0xc0 == 0xc0 => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer(records: &[u8], count: u8) -> Vec<u8> {
        let mut packet = question(7, b"shop-1").unwrap();
        packet[2] = 0x81;
        packet[3] = 0x80;
        packet[7] = count;
        packet.extend_from_slice(records);
        packet
    }

    #[test]
    fn a_question_has_the_shape_of_rfc_1035() {
        let packet = question(0x1234, b"db.local").unwrap();
        assert_eq!(packet, b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x02db\x05local\0\0\x01\0\x01");
        assert_eq!(question(1, b""), None);
        assert_eq!(question(1, b"a..b"), None);
        assert_eq!(question(1, &[b'a'; 64]), None);
    }

    #[test]
    fn the_address_is_found_behind_other_records() {
        let record = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x02";
        assert_eq!(address(7, &answer(record, 1)), Some([10, 0, 0, 2]));
        let mut alias = b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x03\x01b\0".to_vec();
        alias.extend_from_slice(record);
        assert_eq!(address(7, &answer(&alias, 2)), Some([10, 0, 0, 2]));
    }

    #[test]
    fn another_answer_or_an_error_is_none() {
        let record = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x02";
        assert_eq!(address(8, &answer(record, 1)), None);
        let mut failed = answer(record, 1);
        failed[3] = 0x83;
        assert_eq!(address(7, &failed), None);
        assert_eq!(address(7, &answer(b"", 0)), None);
        assert_eq!(address(7, &answer(b"", 1)), None);
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic_or_loop(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut packet = answer(&bytes, 3);
            let _ = address(7, &packet);
            packet[4..].rotate_left(bytes.len() % 8);
            let _ = address(7, &packet);
        }
    }
}
