//! How a text lays a shape out, and the characters at its edges.

/// How a text may lay the bytes of a [`Shape`](super::Shape) out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layout {
    /// As they are.
    Exact,
    /// Each character as it is or under any escape, as [`spelling`](crate::spelling) reads it.
    Spelled,
    /// In one line or wrapped, as encoders do: between any two characters a line may break, in whatever column, with
    /// whatever indentation, also as an escape within a string. A blank stands for such a break or for blanks. `+`, `/`
    /// and `=` may be escaped as JSON and URLs escape them, and the padding may be missing.
    Wrapped,
    /// Lines: each line feed stands for one line end or several, of any kind, with any blanks around them.
    Lines,
}

/// A character of base64 that the value shares with a neighbour: only some of its six bits are the value's.
///
/// It has no `Debug`: the bits are plaintext.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    mask: u8,
    bits: u8,
}

impl Edge {
    /// Makes the edge that has the bits of a character in the places of the mask.
    pub(super) fn of(character: u8, mask: u8) -> Option<Self> {
        Some(Self { mask, bits: sextet(character)? & mask })
    }

    /// Whether the character, of either alphabet, has the value's bits.
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
        // `V` is 21, 010101.
        let edge = Edge::of(b'V', 0b00_1111).unwrap();
        let admitted: String = (0..=255).filter(|byte| edge.admits(*byte)).map(char::from).collect();
        assert_eq!(admitted, "1FVl");
        assert!(Edge::of(b'=', 0b11).is_none());
    }
}
