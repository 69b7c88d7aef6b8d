//! The delivered variables, and how they are merged with the container's own.

use alloc::vec::Vec;

/// Splits a delivered file into its `NAME=VALUE` entries. Each entry ends in a NUL byte.
///
/// Returns `None` if the file is incomplete: its last byte is not a NUL, or an entry has no name.
#[must_use]
pub fn parse(delivered: &[u8]) -> Option<Vec<&[u8]>> {
    let Some((0, _)) = delivered.split_last() else {
        return delivered.is_empty().then(Vec::new);
    };
    let entries: Vec<&[u8]> = delivered[..delivered.len() - 1].split(|byte| *byte == 0).collect();
    entries.iter().all(|entry| entry.iter().position(|byte| *byte == b'=').is_some_and(|at| at > 0)).then_some(entries)
}

/// Makes the environment of the app. The container's variables come first, in their order and without those that a
/// delivered variable replaces; the delivered variables follow.
#[must_use]
pub fn merge<'a>(inherited: &[&'a [u8]], delivered: &[&'a [u8]]) -> Vec<&'a [u8]> {
    let replaced = |entry: &[u8]| delivered.iter().any(|other| name(other) == name(entry));
    inherited.iter().filter(|entry| !replaced(entry)).chain(delivered).copied().collect()
}

/// Returns the value of the variable `wanted`.
#[must_use]
pub fn value<'a>(environment: &[&'a [u8]], wanted: &[u8]) -> Option<&'a [u8]> {
    environment.iter().find(|entry| name(entry) == wanted).and_then(|entry| entry.get(wanted.len() + 1..))
}

fn name(entry: &[u8]) -> &[u8] {
    entry.split(|byte| *byte == b'=').next().unwrap_or(entry)
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_byte_of_a_value_survives() {
        let file = b"A=\0B= two  words \0C=line\nline\r\n\0D='\"$`\\=\xff\0";
        let entries = parse(file).unwrap();
        assert_eq!(entries, [&b"A="[..], b"B= two  words ", b"C=line\nline\r\n", b"D='\"$`\\=\xff"]);
        assert_eq!(value(&entries, b"D"), Some(&b"'\"$`\\=\xff"[..]));
        assert_eq!(value(&entries, b"E"), None);
    }

    #[test]
    fn a_file_that_is_not_whole_is_refused() {
        assert_eq!(parse(b""), Some(vec![]));
        for broken in [&b"A=1"[..], b"A=1\0B=2", b"A\0", b"=1\0", b"\0", b"A=1\0\0"] {
            assert_eq!(parse(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn a_delivered_name_replaces_the_containers_whatever_looks_alike() {
        let merged = merge(&[b"PATH=/bin", b"DB=x", b"DB_HOST=old", b"DB_HOSTS=y"], &[b"DB_HOST=db"]);
        assert_eq!(merged, [&b"PATH=/bin"[..], b"DB=x", b"DB_HOSTS=y", b"DB_HOST=db"]);
    }

    proptest! {
        #[test]
        fn what_is_joined_is_parsed(values in proptest::collection::vec("[A-Z]{1,8}=[^\0]{0,20}", 0..8)) {
            let mut file = Vec::new();
            for value in &values {
                file.extend_from_slice(value.as_bytes());
                file.push(0);
            }
            let parsed = parse(&file).unwrap();
            prop_assert_eq!(parsed, values.iter().map(|value| value.as_bytes()).collect::<Vec<_>>());
        }

        #[test]
        fn a_cut_file_never_gives_a_shortened_value(cut in 0_usize..40) {
            let file = b"FIRST=0123456789\0SECOND=0123456789\0THIRD=1\0";
            if let Some(entries) = parse(&file[..cut]) {
                for entry in entries {
                    prop_assert!(file.split(|byte| *byte == 0).any(|whole| whole == entry));
                }
            }
        }
    }
}
