//! Base32 of a value that begins anywhere in the encoded stream (RFC 4648, section 6).

use zeroize::Zeroizing;

use super::{Form, Maker, Shape};

const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Adds base32. For each number of bytes before the value in its group, it adds the characters that the value alone
/// determines.
pub(super) fn add(made: &mut Maker, value: &[u8]) {
    for alignment in 0..5 {
        let padded = Zeroizing::new([&[0; 4][..alignment], value].concat());
        let determined = (8 * alignment).div_ceil(5)..8 * padded.len() / 5;
        made.add_shape(Shape::wrapped(Form::Base32, determined.map(|nth| character(&padded, nth)).collect()));
    }
}

/// Encodes character `nth`, which carries the bits `5 * nth` to `5 * nth + 5` of the stream.
fn character(bytes: &[u8], nth: usize) -> u8 {
    let bits = (0..5).map(|bit| 5 * nth + bit).fold(0, |bits, at| {
        let bit = bytes.get(at / 8).map_or(0, |byte| byte >> (7 - at % 8) & 1);
        bits << 1 | usize::from(bit)
    });
    ALPHABET[bits]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_encodes_as_the_standard_says() {
        let encode =
            |text: &[u8]| (0..8 * text.len() / 5).map(|nth| char::from(character(text, nth))).collect::<String>();
        assert_eq!(encode(b"fooba"), "MZXW6YTB");
        assert_eq!(encode(b"foobarfoob"), "MZXW6YTBOJTG633C");
    }
}
