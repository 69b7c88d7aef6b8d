//! Reads the strings of a JSON document, each with its pointer, its place and its meaning.
//!
//! A document is searched twice: as bytes, and string by string in decoded form, because an escape that no form lists
//! (`\u0041`) is decoded like any other. The reader is our own for three reasons: it reads repeated keys, which maps
//! would drop; it knows where each string is; and it does not recurse, so no depth can exhaust the stack.

/// A string or another scalar of a document.
pub(crate) struct Token<'a> {
    /// The range of the string in the document, without its quotes.
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// The decoded text, if it differs from the written text.
    pub(crate) decoded: Option<Vec<u8>>,
    /// The pointer to the value; a key has the pointer of its value.
    pub(crate) pointer: &'a Pointer,
}

/// A JSON pointer (RFC 6901), to which the reader adds and from which it removes steps.
#[derive(Default)]
pub(crate) struct Pointer {
    steps: Vec<Step>,
}

enum Step {
    Key(Vec<u8>),
    Index(u64),
}

impl Pointer {
    /// Returns the pointer's bytes. The keys in it are not redacted.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for step in &self.steps {
            out.push(b'/');
            match step {
                Step::Index(index) => out.extend_from_slice(index.to_string().as_bytes()),
                Step::Key(key) => {
                    for byte in key {
                        match byte {
                            b'~' => out.extend_from_slice(b"~0"),
                            b'/' => out.extend_from_slice(b"~1"),
                            _ => out.push(*byte),
                        }
                    }
                }
            }
        }
        out
    }

    /// Returns the index at a step of the pointer, if it is a step into a list.
    pub(crate) fn index(&self, step: usize) -> Option<usize> {
        match self.steps.get(step)? {
            Step::Index(index) => usize::try_from(*index).ok(),
            Step::Key(_) => None,
        }
    }

    /// Whether a step of the pointer is this key.
    pub(crate) fn is(&self, step: usize, name: &str) -> bool {
        matches!(self.steps.get(step), Some(Step::Key(key)) if key == name.as_bytes())
    }
}

/// Calls `each` for every string and scalar, in order, up to the first fault of the JSON. Keys count as strings.
pub(crate) fn tokens(bytes: &[u8], each: &mut dyn FnMut(&Token<'_>)) {
    let mut at = 0;
    let mut pointer = Pointer::default();
    // `open` has one item for each open list or object: whether its next string is a key.
    let mut open: Vec<bool> = Vec::new();
    let mut object: Vec<bool> = Vec::new();
    while let Some(byte) = bytes.get(at) {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' | b':' => at += 1,
            b'{' | b'[' => {
                let is_object = *byte == b'{';
                object.push(is_object);
                open.push(is_object);
                pointer.steps.push(if is_object { Step::Key(Vec::new()) } else { Step::Index(0) });
                at += 1;
            }
            b'}' | b']' => {
                if object.pop().is_none() {
                    return;
                }
                open.pop();
                pointer.steps.pop();
                at += 1;
            }
            b',' => {
                if let (Some(is_object), Some(expects_key)) = (object.last(), open.last_mut()) {
                    *expects_key = *is_object;
                }
                if let Some(Step::Index(index)) = pointer.steps.last_mut() {
                    *index += 1;
                }
                at += 1;
            }
            b'"' => {
                let Some(end) = string_end(bytes, at + 1) else { return };
                let written = &bytes[at + 1..end];
                let decoded = written.contains(&b'\\').then(|| decode(written));
                if let (Some(expects_key @ true), Some(step)) = (open.last_mut(), pointer.steps.last_mut()) {
                    *expects_key = false;
                    *step = Step::Key(decoded.clone().unwrap_or_else(|| written.to_vec()));
                }
                each(&Token { start: at + 1, end, decoded, pointer: &pointer });
                at = end + 1;
            }
            _ => {
                let scalar = bytes[at..].iter().position(|byte| b",]}: \t\r\n\"[{".contains(byte));
                let end = scalar.map_or(bytes.len(), |length| at + length);
                each(&Token { start: at, end, decoded: None, pointer: &pointer });
                at = end;
            }
        }
    }
}

/// Finds the quote at the end of a string.
fn string_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// Decodes a string. Invalid escapes stay as they are written.
fn decode(written: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(written.len());
    let mut rest = written;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        let (b'\\', Some((escape, after))) = (byte, rest.split_first()) else {
            out.push(*byte);
            continue;
        };
        let plain = match escape {
            b'n' => Some(b'\n'),
            b't' => Some(b'\t'),
            b'r' => Some(b'\r'),
            b'b' => Some(8),
            b'f' => Some(12),
            b'"' | b'\\' | b'/' => Some(*escape),
            _ => None,
        };
        if let Some(plain) = plain {
            out.push(plain);
            rest = after;
        } else if let Some((c, length)) = unicode(rest) {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            rest = &rest[length..];
        } else {
            out.push(b'\\');
        }
    }
    out
}

/// Decodes `uXXXX`, or a surrogate pair `uXXXX\uXXXX`, and returns the character with its length.
fn unicode(rest: &[u8]) -> Option<(char, usize)> {
    let unit = |bytes: &[u8]| {
        let digits = bytes.strip_prefix(b"u")?.get(..4)?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let first = unit(rest)?;
    if let Some(c) = char::from_u32(u32::from(first)) {
        return Some((c, 5));
    }
    let second = unit(rest.get(5..)?.strip_prefix(b"\\")?)?;
    char::decode_utf16([first, second]).next()?.ok().map(|c| (c, 11))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, String)> {
        let mut seen = Vec::new();
        tokens(text.as_bytes(), &mut |token| {
            let meant = token.decoded.clone().unwrap_or_else(|| text.as_bytes()[token.start..token.end].to_vec());
            let pointer = String::from_utf8(token.pointer.bytes()).unwrap();
            seen.push((pointer, String::from_utf8_lossy(&meant).into_owned()));
        });
        seen
    }

    fn pairs(seen: &[(&str, &str)]) -> Vec<(String, String)> {
        seen.iter().map(|(pointer, text)| ((*pointer).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn every_string_has_its_pointer_and_its_meaning() {
        let seen = read(r#"{"config": {"Env": ["A=b", "C=\u0041\ud83d\ude00\n"]}, "a/b~": 17, "e": {}, "l": []}"#);
        let expected = [
            ("/config", "config"),
            ("/config/Env", "Env"),
            ("/config/Env/0", "A=b"),
            ("/config/Env/1", "C=A😀\n"),
            ("/a~1b~0", "a/b~"),
            ("/a~1b~0", "17"),
            ("/e", "e"),
            ("/l", "l"),
        ];
        assert_eq!(seen, pairs(&expected));
    }

    #[test]
    fn repeated_keys_are_all_read() {
        let seen = read(r#"{"a": "first", "a": "second"}"#);
        assert_eq!(seen, pairs(&[("/a", "a"), ("/a", "first"), ("/a", "a"), ("/a", "second")]));
    }

    #[test]
    fn broken_documents_are_read_as_far_as_they_go() {
        assert_eq!(read(r#"{"a": ["b", "c"#), pairs(&[("/a", "a"), ("/a/0", "b")]));
        assert_eq!(read(r#"]]"x""#), []);
        assert_eq!(read(r#"["\ud800", "\q", "\"]"#)[0].1, "\\ud800");
    }

    #[test]
    fn no_depth_exhausts_the_reader() {
        let deep = "[".repeat(100_000) + "\"x\"";
        assert_eq!(read(&deep).len(), 1);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_break_the_reader(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
            tokens(&bytes, &mut |token| assert!(token.start <= token.end && token.end <= bytes.len()));
        }

        #[test]
        fn whatever_serde_writes_is_read_back(text in ".{0,40}") {
            let written = serde_json::json!({"k": [text]}).to_string();
            let seen = read(&written);
            proptest::prop_assert_eq!(&seen[1], &("/k/0".to_owned(), text));
        }
    }
}
