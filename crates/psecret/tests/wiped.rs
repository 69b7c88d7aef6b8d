//! Values are wiped when they are dropped: looked for in all of this process's memory afterwards.
//!
//! The value is made from a masked copy and looked for by it, so that the search does not find itself.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};

use psecret::UserSecret;

/// More than the reader's own small allocations need, so that they leave freed ones alone.
const LENGTH: usize = 900;

/// What an allocator may write over the beginning of memory that was freed.
const HEAD: usize = 64;

/// How many values there are; of those that are not wiped some survive what is allocated next.
const COUNT: usize = 32;

/// What hides the pattern: it stands in memory only so.
const MASK: u8 = 0xa5;

fn masked() -> Vec<u8> {
    (0..LENGTH).map(|at| u8::try_from((at * 37 + 11) % 251).expect("less than 251") ^ MASK).collect()
}

/// Counts how often the unmasked pattern, without its head, stands in memory that can be written to.
fn sightings(masked: &[u8]) -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("our own maps");
    let masked = &masked[HEAD..];
    let mut memory = File::open("/proc/self/mem").expect("our own memory");
    let mut seen = 0;
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let range = line.split(' ').next().expect("a range");
        let (start, end) = range.split_once('-').expect("a range has two ends");
        let [start, end] = [start, end].map(|text| u64::from_str_radix(text, 16).expect("an address"));
        let mut bytes = vec![0; usize::try_from(end - start).expect("it fits")];
        if memory.seek(SeekFrom::Start(start)).is_err() || memory.read_exact(&mut bytes).is_err() {
            continue;
        }
        let found = |window: &&[u8]| window.iter().zip(masked).all(|(byte, hidden)| byte ^ MASK == *hidden);
        seen += bytes.windows(masked.len()).filter(found).count();
        // What was read is a copy too; it must not be met in the next range.
        bytes.fill(0);
        std::hint::black_box(&bytes);
    }
    seen
}

fn value(masked: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(masked.len());
    bytes.extend(masked.iter().map(|byte| byte ^ MASK));
    bytes
}

#[test]
fn a_dropped_value_is_nowhere_in_memory() {
    let masked = masked();
    let values = || (0..COUNT).map(|_| value(&masked)).collect::<Vec<_>>();
    let secrets: Vec<UserSecret> = values().into_iter().map(UserSecret::new).collect();
    // More where the search meets its own buffer.
    assert!(sightings(&masked) >= COUNT, "the search finds values that live");
    drop(secrets);
    assert_eq!(sightings(&masked), 0);
    // The same bytes without the type stay where they were, so the search looks into freed memory too.
    drop(std::hint::black_box(values()));
    assert!(sightings(&masked) >= 1, "freed memory is searched");
}
