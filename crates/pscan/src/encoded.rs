//! Base64 of a text that may spell a value with escapes, such as JSON in a Kubernetes secret, a cookie or a token.
//!
//! Such base64 differs from base64 of the value itself at each character that is escaped. So the search looks for
//! base64 of a piece that is never escaped. From there, it decodes the text in both directions and compares the decoded
//! text with the value.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use psecret::spelling::{self, Place, Reach, Rest};
use zeroize::Zeroizing;

use crate::text::{self, Unit};

/// The number of bytes at a pattern's beginning that the piece is taken from, so that the text before the piece is
/// still in memory.
pub(crate) const LONGEST_HEAD: usize = 512;

/// The length of the shortest piece. In every alignment, base64 of it has seven characters that only the piece
/// determines.
const SHORTEST_PIECE: usize = 7;

/// The most characters that are decoded on each side of the piece: four times the length of a value of some hundred
/// bytes.
const MOST_DECODED: usize = 4096;

/// A value and the place of a piece in it, whose base64 is searched for. Wiped when dropped.
pub(crate) struct Encoded {
    value: Zeroizing<Vec<u8>>,
    /// The index in the value at which the piece begins.
    piece: usize,
    /// The number of bytes before the piece in its group of three.
    alignment: usize,
}

impl Encoded {
    /// Makes base64 of the piece of a value in each alignment and alphabet, with the `Encoded` that compares the
    /// rest.
    pub(crate) fn all(value: &[u8]) -> Vec<(Zeroizing<Vec<u8>>, Self)> {
        let letters = longest_run(value, u8::is_ascii_alphanumeric);
        let Some((piece, run)) = letters.or_else(|| longest_run(value, is_rarely_escaped)) else { return Vec::new() };
        let mut all = Vec::new();
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            for alignment in 0..3 {
                let padded = Zeroizing::new([&[0; 2][..alignment], run].concat());
                let characters = Zeroizing::new(engine.encode(padded.as_slice()).into_bytes());
                let determined = first_of(alignment)..8 * padded.len() / 6;
                let bytes = Zeroizing::new(characters[determined].to_vec());
                all.push((bytes, Self { value: Zeroizing::new(value.to_vec()), piece, alignment }));
            }
        }
        all
    }

    /// Returns a key that is equal for two that search for the same text.
    pub(crate) fn key(&self) -> (&[u8], usize, usize) {
        (&self.value, self.piece, self.alignment)
    }

    /// Compares the text before a place, at which a character of the piece is, with the beginning of the value.
    pub(crate) fn backward(&self, text: &[u8], from: Place) -> Option<Place> {
        let decoded = self.decode(text, from, Rest::Over)?;
        let begin = spelling::backward(&self.value, &decoded.bytes, Place::new(self.piece, decoded.piece))?;
        let at = *decoded.places.get(begin.at * 8 / 6)?;
        Some(Place { at, ..from })
    }

    /// Compares the text from a place on, at which a character of the piece is, with the rest of the value.
    pub(crate) fn forward(&self, text: &[u8], from: Place, rest: Rest) -> Reach {
        let Some(decoded) = self.decode(text, from, rest) else { return Reach::Difference };
        let rest = if decoded.goes_on { Rest::MayFollow } else { Rest::Over };
        match spelling::forward(&self.value, &decoded.bytes, Place::new(self.piece, decoded.piece), rest) {
            Reach::End(place) => {
                let last = (place.at * 8).div_ceil(6).saturating_sub(1);
                let at = decoded.places.get(last).map_or(from.at, |at| at + 1);
                Reach::End(Place { at, ..from })
            }
            Reach::Difference => Reach::Difference,
            Reach::Open(_) => Reach::Open(from),
        }
    }

    /// Decodes the base64 around a character of the piece.
    fn decode(&self, text: &[u8], from: Place, rest: Rest) -> Option<Decoded> {
        let most = (self.value.len() * 6 + 64).min(MOST_DECODED);
        // The characters before it are read back to a whole group of the encoding.
        let nth = first_of(self.alignment) + from.character;
        let (mut characters, mut places) = (Zeroizing::new(Vec::new()), Vec::new());
        let mut at = from.at;
        while characters.len() < most {
            match text::previous(text, at) {
                Unit::Char(character, begin) if standard(character).is_some() => {
                    characters.extend(standard(character));
                    places.push(begin);
                    at = begin;
                }
                Unit::Gap { breaks: true, other_side } => at = other_side,
                Unit::Char(..) | Unit::Gap { .. } | Unit::Unknown => break,
            }
        }
        // The decoding must begin with a character whose number is a multiple of four.
        let whole = characters.len().checked_sub((characters.len() + 4 - nth % 4) % 4)?;
        characters.truncate(whole);
        places.truncate(whole);
        characters.reverse();
        places.reverse();
        at = from.at;
        let mut goes_on = false;
        while characters.len() < whole + most {
            match text::next(text, at) {
                Unit::Char(character, end) if standard(character).is_some() => {
                    characters.extend(standard(character));
                    places.push(at);
                    at = end;
                }
                Unit::Gap { breaks: true, other_side } => at = other_side,
                Unit::Char(..) | Unit::Gap { .. } => break,
                Unit::Unknown => {
                    goes_on = rest == Rest::MayFollow;
                    break;
                }
            }
        }
        if characters.len() % 4 == 1 {
            characters.pop();
        }
        let mut bytes = Zeroizing::new(vec![0; characters.len()]);
        let count = LENIENT.decode_slice(characters.as_slice(), &mut bytes).ok()?;
        bytes.truncate(count);
        // The first decoded group precedes the piece's group by `whole / 4` groups of three bytes.
        let piece = (self.alignment + whole / 4 * 3).checked_sub(nth / 4 * 3)?;
        Some(Decoded { bytes, places, piece, goes_on })
    }
}

struct Decoded {
    bytes: Zeroizing<Vec<u8>>,
    /// The index in the text of each decoded character.
    places: Vec<usize>,
    /// The index in `bytes` at which the piece begins.
    piece: usize,
    /// Whether the base64 may continue in the next bytes.
    goes_on: bool,
}

/// A decoder for a piece of longer base64, which may end at any character.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// Finds the longest run of bytes for which `is_of_it` is true, and its index. Returns `None` if it is too short.
fn longest_run(value: &[u8], is_of_it: fn(&u8) -> bool) -> Option<(usize, &[u8])> {
    let head = &value[..value.len().min(LONGEST_HEAD)];
    let run = head.split(|byte| !is_of_it(byte)).max_by_key(|run| run.len())?;
    (run.len() >= SHORTEST_PIECE).then(|| (run.as_ptr().addr() - head.as_ptr().addr(), run))
}

/// Whether hardly any writer of JSON escapes the byte.
fn is_rarely_escaped(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~:,;@!*()?[]{}| ".contains(byte)
}

/// Returns the number of the first base64 character that the piece alone determines, if `alignment` bytes precede the
/// piece in its group.
fn first_of(alignment: usize) -> usize {
    (8 * alignment).div_ceil(6)
}

/// Translates a character of either alphabet into the standard alphabet.
fn standard(character: u8) -> Option<u8> {
    match character {
        b'-' => Some(b'+'),
        b'_' => Some(b'/'),
        b'+' | b'/' => Some(character),
        _ => character.is_ascii_alphanumeric().then_some(character),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_leads_to_what_is_encoded_about_it() {
        let value = b"++a/Kq7Zp2Lw9Xv4Bn=&";
        for before in 0..7 {
            let text = [&b"{\"k\":\""[..before], b"\\u002b+a\\/Kq7Zp2Lw9Xv4Bn\\u003d\\u0026\"}"].concat();
            let text = STANDARD_NO_PAD.encode(&text).into_bytes();
            let seen = Encoded::all(value).into_iter().any(|(bytes, encoded)| {
                let Some(at) = text.windows(bytes.len()).position(|window| window == bytes.as_slice()) else {
                    return false;
                };
                (0..bytes.len()).all(|character| {
                    let place = Place::new(character, at + character);
                    let begin = encoded.backward(&text, place);
                    let reach = encoded.forward(&text, place, Rest::Over);
                    begin.is_some_and(|begin| begin.at == before * 8 / 6) && matches!(reach, Reach::End(_))
                })
            });
            assert!(seen, "{before} bytes before");
        }
    }
}
