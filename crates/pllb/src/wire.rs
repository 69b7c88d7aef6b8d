//! Reads protobuf messages field by field, and replaces some of the fields; all other bytes stay as they are.
//!
//! Source: "Encoding" in the protobuf documentation. A tag is a varint of field number and wire type; wire types are
//! varint (0), 64 bit (1), length-delimited (2), group start (3), group end (4) and 32 bit (5). A varint may be
//! longer than necessary; it is read, and kept as it is.

/// The maximal depth of nested groups, which is the limit of the official libraries for messages.
const DEEPEST_GROUP: usize = 100;

/// The largest field number, 2^29 - 1.
const LARGEST_NUMBER: u64 = (1 << 29) - 1;

/// The reason why bytes are not a protobuf message, or not one that can be edited safely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The message ends inside a field.
    #[error("a field is cut short")]
    Truncated,
    /// A varint has more than ten bytes or more than 64 bits.
    #[error("a varint is too long")]
    Varint,
    /// A tag has field number 0, a number past 2^29 - 1, or a wire type that does not exist.
    #[error("a field has an invalid tag")]
    Tag,
    /// A group does not end, ends twice, or nests too deep.
    #[error("a group is malformed")]
    Group,
    /// A field has another wire type than the message's definition.
    #[error("field {number} has an unexpected wire type")]
    Type {
        /// The field's number.
        number: u32,
    },
    /// A field that may occur once occurs again. Libraries interpret this differently, so it is refused.
    #[error("field {number} occurs more than once")]
    Repeated {
        /// The field's number.
        number: u32,
    },
    /// A text is not UTF-8.
    #[error("field {number} is not UTF-8")]
    Text {
        /// The field's number.
        number: u32,
    },
}

/// The content of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A number, a boolean or an enumeration.
    Varint(u64),
    /// Eight bytes in the order of the message.
    Fixed64(&'a [u8]),
    /// A text, bytes, a message or packed numbers.
    Bytes(&'a [u8]),
    /// The fields of a group, without its end.
    Group(&'a [u8]),
    /// Four bytes in the order of the message.
    Fixed32(&'a [u8]),
}

/// One field of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// The field's number.
    pub number: u32,
    /// The field's content.
    pub value: Value<'a>,
    /// All bytes of the field, including its tag.
    pub raw: &'a [u8],
}

impl<'a> Field<'a> {
    /// Returns the bytes of a length-delimited field.
    ///
    /// # Errors
    ///
    /// Returns [`WireError::Type`] if the field is of another type.
    pub fn bytes(&self) -> Result<&'a [u8], WireError> {
        match self.value {
            Value::Bytes(bytes) => Ok(bytes),
            Value::Varint(_) | Value::Fixed64(_) | Value::Group(_) | Value::Fixed32(_) => {
                Err(WireError::Type { number: self.number })
            }
        }
    }

    /// Returns the text of a length-delimited field.
    ///
    /// # Errors
    ///
    /// Returns [`WireError::Type`] if the field is of another type, and [`WireError::Text`] if it is not UTF-8.
    pub fn text(&self) -> Result<&'a str, WireError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| WireError::Text { number: self.number })
    }

    /// Returns the number of a varint field.
    ///
    /// # Errors
    ///
    /// Returns [`WireError::Type`] if the field is of another type.
    pub fn varint(&self) -> Result<u64, WireError> {
        match self.value {
            Value::Varint(number) => Ok(number),
            Value::Bytes(_) | Value::Fixed64(_) | Value::Group(_) | Value::Fixed32(_) => {
                Err(WireError::Type { number: self.number })
            }
        }
    }
}

/// The fields of a message in the order of its bytes. The iterator ends after the first error.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

/// Iterates over a message's fields.
#[must_use]
pub fn fields(message: &[u8]) -> Fields<'_> {
    Fields { rest: message }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = match take_token(&mut self.rest, 0) {
            Ok(Token::Field(field)) => Ok(field),
            Ok(Token::GroupEnd { .. }) => Err(WireError::Group),
            Err(error) => Err(error),
        };
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// Returns the field with this number, if there is one.
///
/// # Errors
///
/// Returns an error if the message is malformed, and [`WireError::Repeated`] if the field occurs more than once.
pub fn single<'a>(message: &'a [u8], number: u32) -> Result<Option<Field<'a>>, WireError> {
    let mut found = None;
    for field in fields(message) {
        let field = field?;
        if field.number == number && found.replace(field).is_some() {
            return Err(WireError::Repeated { number });
        }
    }
    Ok(found)
}

/// The change of one field when a message is rewritten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// The field stays.
    Keep,
    /// The field is removed.
    Remove,
    /// The field is replaced by a length-delimited field with the same number and these bytes.
    Replace(Vec<u8>),
}

/// Copies a message field by field. A field that `edit` keeps is copied byte for byte.
///
/// # Errors
///
/// Returns an error if the message is malformed, or the error of `edit`.
pub fn rewrite<E: From<WireError>>(
    message: &[u8],
    mut edit: impl FnMut(&Field<'_>) -> Result<Edit, E>,
) -> Result<Vec<u8>, E> {
    let mut out = Vec::with_capacity(message.len());
    for field in fields(message) {
        let field = field?;
        match edit(&field)? {
            Edit::Keep => out.extend_from_slice(field.raw),
            Edit::Remove => {}
            Edit::Replace(bytes) => append_bytes(&mut out, field.number, &bytes),
        }
    }
    Ok(out)
}

/// Adds entries to a repeated field of texts, bytes or messages, after the existing entries.
///
/// Readers accept fields in any order, but the place matters: the engine encodes each operation again, with its
/// fields in the order of their numbers, and refers to an operation by the digest of *those* bytes in all its
/// messages (`Op.Marshal` in BuildKit's solver/pb/ops.go). So a message whose fields are in order must stay in order.
///
/// # Errors
///
/// Returns an error if the message is malformed.
pub fn insert_bytes(message: &[u8], number: u32, entries: &[Vec<u8>]) -> Result<Vec<u8>, WireError> {
    let (mut place, mut read) = (0, 0);
    for field in fields(message) {
        let field = field?;
        read += field.raw.len();
        if field.number <= number {
            place = read;
        }
    }
    let mut out = message[..place].to_vec();
    entries.iter().for_each(|entry| append_bytes(&mut out, number, entry));
    out.extend_from_slice(&message[place..]);
    Ok(out)
}

/// Appends a length-delimited field: a text, bytes or a message.
pub fn append_bytes(message: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    append_varint(message, u64::from(number) << 3 | 2);
    append_varint(message, bytes.len() as u64);
    message.extend_from_slice(bytes);
}

fn append_varint(message: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        message.push(number as u8 | 0x80);
        number >>= 7;
    }
    message.push(number as u8);
}

/// The next item of a message.
enum Token<'a> {
    Field(Field<'a>),
    GroupEnd { number: u32 },
}

/// Reads one field or the end of a group from the beginning of `rest`.
fn take_token<'a>(rest: &mut &'a [u8], depth: usize) -> Result<Token<'a>, WireError> {
    let start = *rest;
    let tag = take_varint(rest)?;
    if !(1..=LARGEST_NUMBER).contains(&(tag >> 3)) {
        return Err(WireError::Tag);
    }
    let number = u32::try_from(tag >> 3).map_err(|_| WireError::Tag)?;
    let value = match tag & 7 {
        0 => Value::Varint(take_varint(rest)?),
        1 => Value::Fixed64(take(rest, 8)?),
        2 => {
            let length = usize::try_from(take_varint(rest)?).map_err(|_| WireError::Truncated)?;
            Value::Bytes(take(rest, length)?)
        }
        3 => Value::Group(take_group(rest, number, depth + 1)?),
        4 => return Ok(Token::GroupEnd { number }),
        5 => Value::Fixed32(take(rest, 4)?),
        _ => return Err(WireError::Tag),
    };
    Ok(Token::Field(Field { number, value, raw: &start[..start.len() - rest.len()] }))
}

/// Reads the fields of a group and its end. Returns the bytes of the fields.
fn take_group<'a>(rest: &mut &'a [u8], number: u32, depth: usize) -> Result<&'a [u8], WireError> {
    if depth > DEEPEST_GROUP {
        return Err(WireError::Group);
    }
    let start = *rest;
    loop {
        let inside = start.len() - rest.len();
        match take_token(rest, depth)? {
            Token::Field(_) => {}
            Token::GroupEnd { number: end } if end == number => return Ok(&start[..inside]),
            Token::GroupEnd { .. } => return Err(WireError::Group),
        }
    }
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], WireError> {
    let (taken, after) = rest.split_at_checked(count).ok_or(WireError::Truncated)?;
    *rest = after;
    Ok(taken)
}

fn take_varint(rest: &mut &[u8]) -> Result<u64, WireError> {
    let mut number = 0_u64;
    for position in 0..10 {
        let (byte, after) = rest.split_first().ok_or(WireError::Truncated)?;
        *rest = after;
        let bits = u64::from(byte & 0x7f);
        // The tenth byte can only contain the 64th bit.
        if position == 9 && bits > 1 {
            return Err(WireError::Varint);
        }
        number |= bits << (7 * position);
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(WireError::Varint)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;

    use super::*;

    fn walk(message: &[u8]) -> Result<Vec<(u32, Value<'_>)>, WireError> {
        fields(message).map(|field| field.map(|field| (field.number, field.value))).collect()
    }

    #[test]
    fn every_wire_type_is_walked() {
        let message = [
            0x08, 0x96, 0x01, // 1: varint 150
            0x11, 1, 2, 3, 4, 5, 6, 7, 8, // 2: 64 bit
            0x1a, 2, b'h', b'i', // 3: bytes
            0x23, 0x08, 0x01, 0x2b, 0x2c, 0x24, // 4: group with a varint and an empty group
            0x35, 1, 2, 3, 4, // 6: 32 bit
        ];
        let expected = vec![
            (1, Value::Varint(150)),
            (2, Value::Fixed64(&[1, 2, 3, 4, 5, 6, 7, 8])),
            (3, Value::Bytes(b"hi")),
            (4, Value::Group(&[0x08, 0x01, 0x2b, 0x2c])),
            (6, Value::Fixed32(&[1, 2, 3, 4])),
        ];
        assert_eq!(walk(&message), Ok(expected));
    }

    #[test]
    fn what_is_no_message_is_an_error() {
        assert_eq!(walk(&[0x08]), Err(WireError::Truncated));
        assert_eq!(walk(&[0x1a, 3, 1, 2]), Err(WireError::Truncated));
        assert_eq!(walk(&[0x1a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]), Err(WireError::Truncated));
        assert_eq!(walk(&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]), Err(WireError::Varint));
        assert_eq!(walk(&[0x00, 0x00]), Err(WireError::Tag));
        assert_eq!(walk(&[0x0e]), Err(WireError::Tag));
        assert_eq!(walk(&[0x80, 0x80, 0x80, 0x80, 0x10, 0]), Err(WireError::Tag));
        assert_eq!(walk(&[0x23, 0x2c]), Err(WireError::Group));
        assert_eq!(walk(&[0x24]), Err(WireError::Group));
        assert_eq!(walk(&[0x23]), Err(WireError::Truncated));
        assert_eq!(walk(&[0x23; 200]), Err(WireError::Group));
    }

    #[test]
    fn an_overlong_varint_is_kept_as_it_is() {
        let message = [0x88, 0x80, 0x00, 0x81, 0x00];
        assert_eq!(walk(&message), Ok(vec![(1, Value::Varint(1))]));
        assert_eq!(rewrite(&message, |_| Ok::<_, WireError>(Edit::Keep)), Ok(message.to_vec()));
    }

    #[test]
    fn a_field_that_may_occur_once_is_not_guessed_at() {
        assert_eq!(single(&[0x08, 1, 0x10, 2, 0x08, 3], 1), Err(WireError::Repeated { number: 1 }));
        let found = single(&[0x08, 1, 0x10, 2], 2).unwrap().unwrap();
        assert_eq!(found.varint(), Ok(2));
        assert_eq!(found.bytes(), Err(WireError::Type { number: 2 }));
    }

    #[derive(Clone, PartialEq, Message)]
    struct Sample {
        #[prost(uint64, tag = "1")]
        number: u64,
        #[prost(string, repeated, tag = "2")]
        texts: Vec<String>,
        #[prost(bytes = "vec", tag = "536870911")]
        bytes: Vec<u8>,
        #[prost(fixed32, tag = "17")]
        fixed: u32,
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_fields_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut raw = Vec::new();
            let mut failed = false;
            for field in fields(&bytes) {
                match field {
                    Ok(field) => raw.extend_from_slice(field.raw),
                    Err(_) => failed = true,
                }
            }
            prop_assert!(bytes.starts_with(&raw));
            prop_assert_eq!(!failed, raw.len() == bytes.len());
        }

        #[test]
        fn another_librarys_message_is_read_and_edited(
            number in any::<u64>(), texts in prop::collection::vec(".{0,12}", 0..4),
            bytes in prop::collection::vec(any::<u8>(), 0..300), fixed in any::<u32>(),
        ) {
            let sample = Sample { number, texts, bytes, fixed };
            let encoded = sample.encode_to_vec();
            let kept = rewrite(&encoded, |_| Ok::<_, WireError>(Edit::Keep)).unwrap();
            prop_assert_eq!(&kept, &encoded);
            let edited = rewrite(&encoded, |field| {
                Ok::<_, WireError>(match field.number {
                    2 => Edit::Replace(format!("{}!", field.text()?).into_bytes()),
                    17 => Edit::Remove,
                    _ => Edit::Keep,
                })
            }).unwrap();
            let edited = insert_bytes(&edited, 2, &[b"last".to_vec(), b"very last".to_vec()]).unwrap();
            let mut expected = sample;
            expected.fixed = 0;
            expected.texts.iter_mut().for_each(|text| text.push('!'));
            expected.texts.extend(["last".to_owned(), "very last".to_owned()]);
            // The fields are in order, so the other library writes the same bytes.
            prop_assert_eq!(edited, expected.encode_to_vec());
        }
    }
}
