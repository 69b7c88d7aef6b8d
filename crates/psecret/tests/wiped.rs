//! Values are wiped when they are dropped: afterwards, the test searches all memory of its process for them.
//!
//! The values are made from a masked copy, and the search compares with this copy, so that it does not find itself.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};

use psecret::UserSecret;

/// The length of a value: longer than the small allocations of the test's reader, so that these do not reuse freed
/// values.
const LENGTH: usize = 900;

/// The number of bytes at the beginning of freed memory that an allocator may overwrite.
const HEAD: usize = 64;

/// The number of values: so many that some of them would survive later allocations if they were not wiped.
const COUNT: usize = 32;

/// The mask of the pattern, so that memory contains the pattern only in masked form.
const MASK: u8 = 0xa5;

fn masked() -> Vec<u8> {
    (0..LENGTH).map(|at| u8::try_from((at * 37 + 11) % 251).expect("less than 251") ^ MASK).collect()
}

/// Counts the occurrences of the unmasked pattern, without its head, in writable memory.
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
        // The buffer is a copy, too, which must not be found in the next range.
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
    // There may be more than `COUNT`, because the search may also find its own buffer.
    assert!(sightings(&masked) >= COUNT, "the search finds values that live");
    drop(secrets);
    assert_eq!(sightings(&masked), 0);
    // The same bytes without the type stay in memory, which shows that the search looks into freed memory, too.
    drop(std::hint::black_box(values()));
    assert!(sightings(&masked) >= 1, "freed memory is searched");
}
