//! Base64 of a value that begins anywhere in the encoded stream.

use ::base64::Engine as _;
use ::base64::engine::general_purpose::{STANDARD, URL_SAFE};
use zeroize::Zeroizing;

use super::{Form, Maker};

pub(super) fn add(made: &mut Maker, value: &[u8]) {
    for (form, url) in [(Form::Base64, false), (Form::Base64Url, true)] {
        made.add(form, encode(value, url));
        for alignment in 0..3 {
            made.add(form, core(value, alignment, url));
        }
    }
}

/// Base64 of something already encoded, standard alphabet.
pub(super) fn add_nested(made: &mut Maker, form: Form, encoded: &[u8]) {
    made.add(form, encode(encoded, false));
    for alignment in 0..3 {
        made.add(form, core(encoded, alignment, false));
    }
}

/// The whole value with padding, standard alphabet.
pub(super) fn whole(value: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(encode(value, false))
}

fn encode(value: &[u8], url: bool) -> Vec<u8> {
    if url { URL_SAFE.encode(value) } else { STANDARD.encode(value) }.into_bytes()
}

/// The characters that the value alone determines when `alignment` foreign bytes stand before it in its group.
///
/// Character `k` carries the bits `6k..6k+6` of the stream and the value the bits `8a..8(a+n)`. Only characters wholly
/// inside are kept: those at the edges also carry bits of the neighbours.
fn core(value: &[u8], alignment: usize, url: bool) -> Vec<u8> {
    let mut padded = Zeroizing::new(vec![0; alignment]);
    padded.extend_from_slice(value);
    let first = (8 * alignment).div_ceil(6);
    let end = 8 * padded.len() / 6;
    let encoded = Zeroizing::new(encode(&padded, url));
    encoded.get(first..end).unwrap_or_default().to_vec()
}
