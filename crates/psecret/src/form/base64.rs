//! Base64 of a value that begins anywhere in the encoded stream.

use ::base64::Engine as _;
use ::base64::engine::general_purpose::{STANDARD, URL_SAFE};
use zeroize::Zeroizing;

use super::{Edge, Form, Maker, Shape};
use crate::searchability::SHORTEST_FULL;

pub(super) fn add(made: &mut Maker, value: &[u8]) {
    add_both(made, Form::Base64, Form::Base64Url, value);
}

/// Adds base64 of an encoded value, in either alphabet.
pub(super) fn add_nested(made: &mut Maker, form: Form, encoded: &[u8]) {
    add_both(made, form, form, encoded);
}

fn add_both(made: &mut Maker, standard: Form, url: Form, value: &[u8]) {
    for (form, url) in [(standard, false), (url, true)] {
        made.add_shape(Shape::wrapped(form, encode(value, url)));
        for alignment in 0..3 {
            made.add_shape(core(form, value, alignment, url));
        }
    }
}

/// Adds base64 of base64 in which the value begins anywhere. For example, JSON has a user name and a password encoded
/// as one text, and Kubernetes encodes the JSON again.
pub(super) fn add_twice(made: &mut Maker, value: &[u8]) {
    add_nested(made, Form::Base64OfBase64, &whole(value));
    for url in [false, true] {
        for alignment in 0..3 {
            let inner = core(Form::Base64, value, alignment, url);
            // The outer base64 has the standard alphabet only, as in Kubernetes: each shape makes the search's tables
            // larger.
            for outer in (0..3).filter(|_| inner.len() >= SHORTEST_FULL) {
                made.add_shape(core(Form::Base64OfBase64, &inner.bytes, outer, false));
            }
        }
    }
}

/// Encodes the whole value with padding, in the standard alphabet.
pub(super) fn whole(value: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(encode(value, false))
}

fn encode(value: &[u8], url: bool) -> Vec<u8> {
    if url { URL_SAFE.encode(value) } else { STANDARD.encode(value) }.into_bytes()
}

/// Makes the base64 characters that the value alone determines if `alignment` other bytes precede it in its group.
/// The edges of the shape are the bits that the value determines of the two characters beside these.
///
/// Character `k` carries the bits `6k..6k+6` of the stream, and the value has the bits `8a..8(a+n)`.
fn core(form: Form, value: &[u8], alignment: usize, url: bool) -> Shape {
    let mut padded = Zeroizing::new(vec![0; alignment]);
    padded.extend_from_slice(value);
    let encoded = Zeroizing::new(encode(&padded, url));
    let (begin, end) = (8 * alignment, 8 * padded.len());
    let (first, behind) = (begin.div_ceil(6), end / 6);
    let edge = |at: usize, mask: u8| encoded.get(at).and_then(|character| Edge::of(*character, mask));
    let before = begin % 6;
    let after = end % 6;
    Shape {
        before: if before == 0 { None } else { edge(first - 1, 0x3f >> before) },
        after: if after == 0 { None } else { edge(behind, 0x3f & !(0x3f >> after)) },
        ..Shape::wrapped(form, encoded.get(first..behind).unwrap_or_default().to_vec())
    }
}
