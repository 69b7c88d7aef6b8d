//! Values of several lines, such as PEM keys.

use ::base64::Engine as _;
use ::base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::{Form, Layout, Maker, Shape};
use crate::part::private;
use crate::searchability::SHORTEST_FULL;

/// The shortest run of letters and digits by which a line counts as key material.
const TELLING_RUN: usize = 16;

pub(super) fn add(made: &mut Maker, value: &[u8]) {
    if !value.contains(&b'\n') {
        return;
    }
    let with_lf = without_cr(value);
    made.add(Form::LineEnds, with_crlf(&with_lf));
    made.add(Form::LineEnds, with_lf.trim_ascii().to_vec());
    made.add(Form::LineEnds, with_crlf(with_lf.trim_ascii()));
    made.add(Form::LineEnds, with_lf.to_vec());
    if all(value).next().is_some() {
        made.add_shape(Shape { layout: Layout::Lines, ..Shape::exact(Form::Indented, bare(&with_lf)) });
    }
    let telling = all(value).filter(|line| is_telling(line) && !is_of_every_key(line));
    for line in private::without_public_half(value, telling.collect()) {
        made.add(Form::Line, line.to_vec());
    }
    if let Some(body) = pem_body(value) {
        if let Ok(der) = STANDARD.decode(body.as_slice()) {
            made.add(Form::Der, der);
        }
        made.add_shape(Shape::wrapped(Form::Joined, body.to_vec()));
    }
}

/// Makes the variants of a value of several lines with LF and with CRLF.
pub(super) fn with_other_ends(value: &[u8]) -> impl Iterator<Item = Zeroizing<Vec<u8>>> {
    let lf = value.contains(&b'\n').then(|| without_cr(value));
    let crlf = lf.as_ref().map(|lf| Zeroizing::new(with_crlf(lf)));
    lf.into_iter().chain(crlf)
}

/// Returns the lines of a value that has several lines, trimmed. Lines of fewer than 8 bytes and PEM headers are left
/// out (S10).
pub(crate) fn all(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let several = value.trim_ascii().contains(&b'\n');
    value
        .split(|b| *b == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(move |line| several && line.len() >= SHORTEST_FULL && !line.starts_with(b"-----"))
}

/// Whether a line looks like key material, and not like prose, a field name or an address. Key material has a run of
/// letters and digits with both cases and digits, or a run of twice that length with two of the three, such as hex
/// digits.
fn is_telling(line: &[u8]) -> bool {
    let of_key = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    line.split(|b| !of_key(b)).any(|run| {
        let classes = [u8::is_ascii_lowercase, u8::is_ascii_uppercase, u8::is_ascii_digit];
        match classes.iter().filter(|class| run.iter().any(*class)).count() {
            3 => run.len() >= TELLING_RUN,
            2 => run.len() >= 2 * TELLING_RUN,
            _ => false,
        }
    })
}

/// The first characters of every OpenSSH key without a passphrase: its magic, no cipher, no derivation, one key.
const OPENSSH_BEGINNING: &[u8] = b"b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAAB";

/// Whether a line is the same in every OpenSSH key without a passphrase, such as each machine's host keys, and so
/// cannot identify one key. The first line of such a key is no wider than a line of PEM, and ends before the name of
/// the key's kind does (OpenSSH `PROTOCOL.key`).
fn is_of_every_key(line: &[u8]) -> bool {
    const WIDEST: usize = 76;
    line.starts_with(OPENSSH_BEGINNING) && line.len() <= WIDEST
}

/// Trims the blanks around each line, and drops empty lines.
fn bare(value: &[u8]) -> Vec<u8> {
    let lines = value.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(&b'\n')
}

fn without_cr(value: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(value.len()));
    for (at, byte) in value.iter().enumerate() {
        if !(*byte == b'\r' && value.get(at + 1) == Some(&b'\n')) {
            out.push(*byte);
        }
    }
    out
}

fn with_crlf(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() + value.len() / 32);
    for byte in value {
        if *byte == b'\n' {
            out.push(b'\r');
        }
        out.push(*byte);
    }
    out
}

/// Joins the base64 text between the first pair of PEM boundaries (RFC 7468).
fn pem_body(value: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut lines = value.split(|b| *b == b'\n').map(<[u8]>::trim_ascii);
    lines.find(|line| line.starts_with(b"-----BEGIN "))?;
    let mut body = Zeroizing::new(Vec::with_capacity(value.len()));
    for line in lines {
        if line.starts_with(b"-----END ") {
            return Some(body);
        }
        // The headers of the old encrypted form (RFC 1421) precede the body.
        if !line.contains(&b':') {
            body.extend_from_slice(line);
        }
    }
    None
}
