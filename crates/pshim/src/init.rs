//! The file in which the init commands are delivered.
//!
//! For each command, the file holds the command's name, its time limit in seconds (0 means no limit), the number of
//! its words, and the words. Each of these fields ends in a NUL byte.

use alloc::vec::Vec;

use crate::number::number;

/// One init command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command<'a> {
    /// The command's name, which marks the lines that the command prints.
    pub name: &'a [u8],
    /// The command's time limit in seconds; 0 means no limit.
    pub limit: u32,
    /// The program and its arguments.
    pub words: Vec<&'a [u8]>,
}

/// Reads the delivered file. Returns `None` if it is incomplete or malformed.
#[must_use]
pub fn parse(file: &[u8]) -> Option<Vec<Command<'_>>> {
    let Some((0, _)) = file.split_last() else {
        return file.is_empty().then(Vec::new);
    };
    let mut fields = file[..file.len() - 1].split(|byte| *byte == 0);
    let mut commands = Vec::new();
    while let Some(name) = fields.next() {
        let limit = number(fields.next()?)?;
        let count = number(fields.next()?).filter(|count| *count > 0)?;
        let words: Option<Vec<&[u8]>> = (0..count).map(|_| fields.next()).collect();
        commands.push(Command { name, limit, words: words? });
    }
    Some(commands)
}

/// Writes a command in the form that [`parse`] reads.
///
/// # Errors
///
/// Returns `None` if a field holds a NUL byte, if there are no words, or if the limit has more than nine digits.
#[must_use]
pub fn write(name: &str, limit: u32, words: &[&str]) -> Option<Vec<u8>> {
    if words.is_empty() || limit > 999_999_999 {
        return None;
    }
    let mut file = Vec::new();
    let numbers = alloc::format!("{limit}\0{}\0", words.len());
    for field in core::iter::once(&name).chain(words) {
        if field.contains('\0') {
            return None;
        }
    }
    file.extend_from_slice(name.as_bytes());
    file.push(0);
    file.extend_from_slice(numbers.as_bytes());
    for word in words {
        file.extend_from_slice(word.as_bytes());
        file.push(0);
    }
    Some(file)
}

#[cfg(test)]
mod tests {
    use alloc::string::String;
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn commands_keep_their_order_and_empty_words() {
        let mut file = write("migrate", 0, &["python3", "-m", ""]).unwrap();
        file.extend(write("warm", 30, &["true"]).unwrap());
        assert_eq!(
            parse(&file).unwrap(),
            [
                Command { name: b"migrate", limit: 0, words: vec![b"python3", b"-m", b""] },
                Command { name: b"warm", limit: 30, words: vec![b"true"] },
            ]
        );
    }

    #[test]
    fn what_cannot_be_written_is_refused() {
        assert_eq!(write("x", 0, &[]), None);
        assert_eq!(write("x", 0, &["a\0b"]), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_parsed(
            name in "[a-z]{1,8}", limit in 0_u32..1000, words in proptest::collection::vec("[^\0]{0,12}", 1..6),
        ) {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let file = write(&name, limit, &words).unwrap();
            let parsed = parse(&file).unwrap();
            prop_assert_eq!(parsed.len(), 1);
            prop_assert_eq!(parsed[0].limit, limit);
            prop_assert_eq!(&parsed[0].words, &words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>());
        }

        #[test]
        fn a_cut_file_is_never_a_shorter_command(cut in 1_usize..20) {
            let file = write("migrate", 5, &["one", "two"]).unwrap();
            let cut = cut.min(file.len() - 1);
            prop_assert_eq!(parse(&file[..file.len() - cut]), None);
        }

        #[test]
        fn no_bytes_at_all_make_it_panic(bytes in proptest::collection::vec(prop_oneof![Just(0_u8), Just(b'1'), any::<u8>()], 0..60)) {
            let _ = parse(&bytes);
        }
    }
}
