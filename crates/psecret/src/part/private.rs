//! The private half of a PEM key, line by line.

use std::collections::HashSet;

use ::base64::Engine as _;
use ::base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::key::{self, Key, Number};

/// The number of bytes of a private number that a line must contain to belong to the private half.
const PIECE: usize = 8;

/// Leaves out the base64 lines that hold only the public half of a key. A public key, a certificate or an
/// `authorized_keys` has the same text if its numbers are aligned to the lines in the same way. If the value is not a
/// PEM key, or the key's numbers cannot be read, all lines stay.
pub(crate) fn without_public_half<'a>(value: &[u8], lines: Vec<&'a [u8]>) -> Vec<&'a [u8]> {
    let Some(numbers) = numbers(value) else { return lines };
    let pieces: HashSet<&[u8]> = numbers.iter().flat_map(|number| number.windows(PIECE)).collect();
    let holds_piece =
        |line: &&[u8]| readings(line).any(|bytes| bytes.windows(PIECE).any(|piece| pieces.contains(piece)));
    lines.into_iter().filter(holds_piece).collect()
}

/// Reads the numbers of all private keys of a text. Returns `None` if there is no key, or if one cannot
/// be read.
fn numbers(value: &[u8]) -> Option<Vec<Number>> {
    let text = std::str::from_utf8(value).ok().filter(|text| text.contains("PRIVATE KEY-----"))?;
    let mut all = Vec::new();
    for block in key::pem(text).0 {
        match block.key {
            Key::Private(numbers) if numbers.is_empty() => return None,
            Key::Private(numbers) => all.extend(numbers),
            Key::Public => {}
        }
    }
    (!all.is_empty()).then_some(all)
}

/// Decodes a line of base64 four times. Its first character may be any of the four of a group, because a line's width
/// need not be a multiple of four (OpenSSH's lines have 70 characters).
fn readings(line: &[u8]) -> impl Iterator<Item = Zeroizing<Vec<u8>>> {
    (0..4).filter_map(move |skipped| {
        let groups = line.get(skipped..)?;
        let groups = &groups[..groups.len() / 4 * 4];
        STANDARD.decode(groups).ok().map(Zeroizing::new)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the lines of a key that are searched for.
    fn lines_of(key: &str) -> Vec<&str> {
        let lines = key.lines().filter(|line| !line.starts_with("-----")).map(str::as_bytes).collect();
        let kept = without_public_half(key.as_bytes(), lines);
        kept.into_iter().map(|line| std::str::from_utf8(line).unwrap()).collect()
    }

    #[test]
    fn the_public_half_of_a_key_is_no_line_of_it() {
        // The keys were made with `openssl` and `ssh-keygen`. The last column lists lines with private numbers, the
        // column before it lines without.
        for (key, public, private) in [
            (include_str!("keys/ec.sec1.pem"), &[1, 2][..], &[0][..]),
            (include_str!("keys/ec.openssh"), &[0, 1, 2, 3, 4], &[5]),
            (include_str!("keys/ed25519.openssh"), &[0, 1], &[2, 3]),
            (include_str!("keys/rsa.openssh"), &[0, 1, 2, 3, 4, 5], &[7, 11]),
            (include_str!("keys/rsa.pkcs1.pem"), &[0, 1, 2], &[3, 12]),
        ] {
            let told = lines_of(key);
            let body: Vec<&str> = key.lines().filter(|line| !line.starts_with("-----")).collect();
            for line in public {
                assert!(!told.contains(&body[*line]), "line {line} of {}", body[0]);
            }
            for line in private {
                assert!(told.contains(&body[*line]), "line {line} of {}", body[0]);
            }
        }
    }

    #[test]
    fn what_cannot_be_read_keeps_its_lines() {
        let encrypted = include_str!("keys/rsa.encrypted.pem");
        let broken = include_str!("keys/rsa.pkcs1.pem").replacen("MII", "MXX", 1);
        for key in [encrypted, &broken] {
            let told = lines_of(key);
            for line in key.lines().filter(|line| !line.starts_with("-----")).take(3) {
                assert!(told.contains(&line), "{line}");
            }
        }
    }
}
