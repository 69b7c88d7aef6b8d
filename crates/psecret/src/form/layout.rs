//! How a text lays out a shape, and the characters at the shape's edges.

/// How a text may lay out the bytes of a [`Shape`](super::Shape).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layout {
    /// The bytes as they are.
    Exact,
    /// Each character as it is, or in any escape that [`spelling`](crate::spelling) reads.
    Spelled,
    /// On one line, or wrapped by an encoder: a line may break between any two characters, with any indentation, and
    /// the line end may also be an escape within a string. A blank in the shape stands for such a break or for
    /// blanks. `+`, `/` and `=` may be escaped as in JSON and URLs, and the padding may be missing.
    Wrapped,
    /// Several lines. Each line feed stands for one or more line ends of any kind, with any blanks around them.
    Lines,
}

/// A character of base64 that the value shares with a neighbouring byte, so the value determines only some of its six
/// bits.
///
/// The type has no `Debug`, because the bits are plaintext.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    mask: u8,
    bits: u8,
}

impl Edge {
    /// Makes the edge with the bits of a character that the mask selects.
    pub(super) fn of(character: u8, mask: u8) -> Option<Self> {
        Some(Self { mask, bits: sextet(character)? & mask })
    }

    /// Whether a character of either alphabet has the bits that the value determines.
    #[must_use]
    pub fn admits(self, character: u8) -> bool {
        sextet(character).is_some_and(|sextet| sextet & self.mask == self.bits)
    }
}

/// Returns the six bits of a character in the standard or the URL alphabet (RFC 4648, sections 4 and 5).
fn sextet(character: u8) -> Option<u8> {
    Some(match character {
        b'A'..=b'Z' => character - b'A',
        b'a'..=b'z' => character - b'a' + 26,
        b'0'..=b'9' => character - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_compares_its_own_bits_alone() {
        // The sextet of `V` is 21, in binary 010101.
        let edge = Edge::of(b'V', 0b00_1111).unwrap();
        let admitted: String = (0..=255).filter(|byte| edge.admits(*byte)).map(char::from).collect();
        assert_eq!(admitted, "1FVl");
        assert!(Edge::of(b'=', 0b11).is_none());
    }
}
