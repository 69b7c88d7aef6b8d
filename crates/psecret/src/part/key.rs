//! Private keys in every container. A key holds the same numbers in each container, so the numbers are its parts.

use zeroize::Zeroizing;

use ::base64::Engine as _;
use ::base64::engine::general_purpose::STANDARD;

/// Numbers shorter than this are not private: they are versions and exponents.
const SHORTEST_NUMBER: usize = 8;

/// A private number in big-endian order, without leading zeros.
pub(super) type Number = Zeroizing<Vec<u8>>;

/// The key in a file.
pub(super) enum Key {
    /// A private key with its private numbers. The only number of an encrypted key is its encrypted bytes.
    Private(Vec<Number>),
    /// A certificate, a public key or parameters, which are not confidential.
    Public,
}

/// Reads a key in DER or in OpenSSH's format.
pub(super) fn read(bytes: &[u8]) -> Option<Key> {
    if let Some(body) = bytes.strip_prefix(b"openssh-key-v1\0") {
        return openssh(body);
    }
    let mut outer = Der(bytes);
    let (tag, content) = outer.next()?;
    // Up to two bytes may follow the key, because a file may end in a line end.
    (tag == SEQUENCE && outer.0.len() <= 2).then(|| sequence(content, bytes)).flatten()
}

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT: u8 = 0x06;
const SEQUENCE: u8 = 0x30;

/// A reader of the values of a DER encoding, one after the other (X.690).
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (tag, rest) = self.0.split_first()?;
        let (first, mut rest) = rest.split_first()?;
        let mut length = usize::from(*first);
        if length > 0x84 || length == 0x80 {
            return None;
        }
        if length > 0x80 {
            let (bytes, after) = rest.split_at_checked(length - 0x80)?;
            length = bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
            rest = after;
        }
        let (content, after) = rest.split_at_checked(length)?;
        self.0 = after;
        Some((*tag, content))
    }

    fn all(mut self) -> Option<Vec<(u8, &'a [u8])>> {
        let mut values = Vec::new();
        while !self.0.is_empty() && values.len() < 16 {
            values.push(self.next()?);
        }
        Some(values)
    }
}

fn sequence(content: &[u8], whole: &[u8]) -> Option<Key> {
    let values = Der(content).all()?;
    let tags: Vec<u8> = values.iter().map(|(tag, _)| *tag).collect();
    let private = |numbers: &[&[u8]]| Some(Key::Private(numbers.iter().filter_map(|bytes| number(bytes)).collect()));
    match tags.as_slice() {
        // PKCS#1 (RFC 8017): version, n, e, d, p, q, d mod p-1, d mod q-1, the inverse of q.
        [INTEGER, INTEGER, INTEGER, INTEGER, INTEGER, INTEGER, INTEGER, INTEGER, INTEGER, ..] => {
            private(&values[3..9].iter().map(|(_, content)| *content).collect::<Vec<_>>())
        }
        // DSA in OpenSSL's format: version, p, q, g, y, x.
        [INTEGER, INTEGER, INTEGER, INTEGER, INTEGER, INTEGER] => private(&[values[5].1]),
        // SEC 1 (RFC 5915): version, d, the curve, the public point.
        [INTEGER, OCTET_STRING, ..] => private(&[values[1].1]),
        // PKCS#8 (RFC 5958): version, algorithm, the key.
        [INTEGER, SEQUENCE, OCTET_STRING, ..] => {
            let inner = values[2].1;
            match Der(inner).next()? {
                (SEQUENCE, content) => sequence(content, inner),
                // The key of Ed25519 and its relatives (RFC 8410), or the x of DSA.
                (OCTET_STRING | INTEGER, content) => private(&[content]),
                _ => private(&[inner]),
            }
        }
        // Encrypted PKCS#8: an algorithm and bytes. The numbers in the bytes cannot be read.
        [SEQUENCE, OCTET_STRING] => private(&[whole]),
        // Certificates and requests; a public key, with or without its algorithm; parameters.
        [SEQUENCE, SEQUENCE, BIT_STRING]
        | [SEQUENCE, BIT_STRING]
        | [INTEGER, INTEGER]
        | [INTEGER, INTEGER, INTEGER] => Some(Key::Public),
        [OBJECT, ..] => Some(Key::Public),
        _ => None,
    }
}

/// Prepares a number for the search: removes its leading zeros. Returns `None` if it is too short.
pub(super) fn number(bytes: &[u8]) -> Option<Number> {
    let begin = bytes.iter().position(|byte| *byte != 0)?;
    (bytes.len() - begin >= SHORTEST_NUMBER).then(|| Zeroizing::new(bytes[begin..].to_vec()))
}

/// Reads a string that follows its length (RFC 4251).
fn string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let (content, after) = after.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    *rest = after;
    Some(content)
}

/// Reads the body of OpenSSH's format (its `PROTOCOL.key`).
fn openssh(mut body: &[u8]) -> Option<Key> {
    let cipher = string(&mut body)?;
    let _derivation = (string(&mut body)?, string(&mut body)?);
    let (count, mut body) = body.split_first_chunk::<4>()?;
    for _ in 0..u32::from_be_bytes(*count).min(8) {
        string(&mut body)?;
    }
    let private = string(&mut body)?;
    if cipher != b"none" {
        return Some(Key::Private(number(private).into_iter().collect()));
    }
    let mut rest = private.get(8..)?;
    let kind = string(&mut rest)?;
    let mut fields = Vec::new();
    while fields.len() < 6
        && let Some(field) = string(&mut rest)
    {
        fields.push(field);
    }
    let wanted: &[&[u8]] = match (kind, fields.as_slice()) {
        // The fields are n, e, d, the inverse of q, p, q.
        (b"ssh-rsa", [_, _, d, inverse, p, q]) => &[d, inverse, p, q],
        // The fields are the public key, then the seed followed by the public key.
        (b"ssh-ed25519", [_, both, ..]) => &[both.get(..32)?],
        (b"ssh-dss", [_, _, _, _, x, ..]) => &[x],
        // The fields are the curve, the public point, d.
        (_, [_, _, d, ..]) if kind.starts_with(b"ecdsa-sha2-") => &[d],
        _ => return Some(Key::Private(number(private).into_iter().collect())),
    };
    Some(Key::Private(wanted.iter().filter_map(|bytes| number(bytes)).collect()))
}

/// One block between the boundaries of PEM.
pub(super) struct Block {
    /// The block's text with line feeds, whatever its line ends were.
    pub(super) text: Zeroizing<String>,
    /// The key in the block.
    pub(super) key: Key,
}

/// Finds every PEM block in a text, even if its line ends were escaped or replaced by blanks. The second result says
/// whether the text contains anything else.
pub(super) fn pem(text: &str) -> (Vec<Block>, bool) {
    let plain = Zeroizing::new(text.replace("\\r", "").replace("\\n", "\n"));
    let (mut blocks, mut others) = (Vec::new(), false);
    let mut rest = plain.as_str();
    while let Some(at) = rest.find("-----BEGIN ") {
        others |= !rest[..at].trim().is_empty();
        let begin = &rest[at + 11..];
        let Some((label, body)) = begin.split_once("-----") else { break };
        let close = format!("-----END {label}-----");
        let Some((body, after)) = body.split_once(&close) else { break };
        if label.len() > 64 {
            break;
        }
        blocks.push(Block { key: block(label, body), text: written(label, body) });
        rest = after;
    }
    others |= !rest.trim().is_empty();
    (blocks, others)
}

/// Returns the base64 lines of a block, without its headers (RFC 1421).
fn base64_lines(body: &str) -> impl Iterator<Item = &str> {
    body.lines().map(str::trim).filter(|line| !line.contains(':') && !line.starts_with('='))
}

fn block(label: &str, body: &str) -> Key {
    if !label.contains("PRIVATE KEY") {
        return Key::Public;
    }
    let mut joined = Zeroizing::new(String::with_capacity(body.len()));
    base64_lines(body).flat_map(str::split_whitespace).for_each(|word| joined.push_str(word));
    let Ok(bytes) = STANDARD.decode(joined.as_bytes()).map(Zeroizing::new) else { return Key::Private(Vec::new()) };
    match read(&bytes) {
        Some(Key::Private(numbers)) if !body.contains("ENCRYPTED") => Key::Private(numbers),
        _ => Key::Private(number(&bytes).into_iter().collect()),
    }
}

/// Writes a block in PEM's usual layout.
fn written(label: &str, body: &str) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(body.len() + 2 * label.len() + 64));
    text.push_str(&format!("-----BEGIN {label}-----\n"));
    if body.trim().contains('\n') {
        body.trim().lines().for_each(|line| {
            text.push_str(line.trim());
            text.push('\n');
        });
    } else {
        body.split_whitespace().for_each(|word| {
            text.push_str(word);
            text.push('\n');
        });
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

/// Reads the private numbers in the output of `openssl pkey -text` and its older relatives: names, and below them hex
/// digits with colons.
pub(super) fn listed(text: &str) -> Vec<Number> {
    const PRIVATE: [&str; 8] =
        ["privateExponent", "prime1", "prime2", "exponent1", "exponent2", "coefficient", "priv", "prime"];
    let mut numbers = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let Some((name, rest)) = line.split_once(':') else { continue };
        if !PRIVATE.contains(&name.trim()) {
            continue;
        }
        let mut digits = Zeroizing::new(rest.to_owned());
        while let Some(line) = lines.next_if(|line| line.starts_with([' ', '\t']) && is_hex(line)) {
            digits.push_str(line);
        }
        let pairs = digits.split(|c: char| !c.is_ascii_hexdigit()).filter(|pair| pair.len() == 2);
        let bytes: Zeroizing<Vec<u8>> =
            Zeroizing::new(pairs.filter_map(|pair| u8::from_str_radix(pair, 16).ok()).collect());
        numbers.extend(number(&bytes));
    }
    numbers
}

fn is_hex(line: &str) -> bool {
    line.bytes().all(|byte| byte.is_ascii_hexdigit() || b": \t".contains(&byte))
}

/// Reads the private numbers of PuTTY's format, whose private half is base64 of strings like those of OpenSSH.
pub(super) fn putty(text: &str) -> Option<Vec<Number>> {
    if !text.starts_with("PuTTY-User-Key-File-") {
        return None;
    }
    let mut lines = text.lines().skip_while(|line| !line.starts_with("Private-Lines:"));
    let count: usize = lines.next()?.split_once(':')?.1.trim().parse().ok()?;
    let mut joined = Zeroizing::new(String::with_capacity(text.len()));
    lines.take(count).for_each(|line| joined.push_str(line.trim()));
    let bytes = Zeroizing::new(STANDARD.decode(joined.as_bytes()).ok()?);
    if !text.contains("Encryption: none") {
        return Some(number(&bytes).into_iter().collect());
    }
    let mut rest = bytes.as_slice();
    let mut numbers = Vec::new();
    while numbers.len() < 6
        && let Some(field) = string(&mut rest)
    {
        numbers.extend(number(field));
    }
    Some(numbers)
}
