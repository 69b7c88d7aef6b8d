//! A gzip file that unpacks to itself, so that a program that unpacks nested archives without a limit never ends.
//!
//! The file is a program of two instructions, each five bytes long: `literal` outputs the bytes after it, and
//! `repeat` outputs the last bytes again (after Russ Cox, "Zip Files All The Way Down"). The checksum of the file is
//! also a part of the content that it is computed from.

use flate2::Crc;

/// The length of an instruction.
const UNIT: usize = 5;

/// Makes the header of a stored block, which announces this many bytes.
fn literal(length: usize) -> Vec<u8> {
    let length = u16::try_from(length).unwrap_or_default();
    [&[0][..], &length.to_le_bytes(), &(!length).to_le_bytes()].concat()
}

/// Makes a block of fixed codes that copies the last 17 to 20 bytes, by two lengths whose sum is the distance.
fn repeat(distance: usize) -> Vec<u8> {
    let (mut bits, mut count) = (0_u64, 0);
    let mut put = |value: usize, length: usize| {
        bits |= (value as u64) << count;
        count += length;
    };
    // Codes are stored with their highest bit first, all other values with their lowest bit first.
    let reversed = |value: usize, length: usize| value.reverse_bits() >> (usize::BITS as usize - length);
    put(0b010, 3);
    for length in [10, distance - 10] {
        put(reversed(length - 2, 7), 7);
        put(reversed(8, 5), 5);
        put(distance - 17, 3);
    }
    put(0, 7);
    bits.to_le_bytes()[..UNIT].to_vec()
}

/// Makes the file with a name of one letter and this checksum, which need not be right.
fn claiming(letter: u8, sum: u32) -> Vec<u8> {
    let head = [0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3, letter, 0];
    let (before, zero, one, four) = (literal(head.len() + UNIT), literal(0), literal(UNIT), literal(4 * UNIT));
    let again = repeat(head.len() + UNIT);
    let four_again = repeat(4 * UNIT);
    let length_at = |length: u32| {
        // The tail is the last block, the checksum and the length.
        let tail = [&[1, 0, 0, 0xff, 0xff][..], &sum.to_le_bytes(), &length.to_le_bytes()].concat();
        let behind = literal(UNIT + tail.len());
        let tail_again = repeat(UNIT + tail.len());
        // Read as bytes, these items are the program; run as instructions, they output the same bytes.
        let program: &[&[u8]] = &[
            &head,
            &before, // gives `head`, `before`
            &head,
            &before,
            &again, // gives them again
            &one,   // gives `again`
            &again,
            &one, // gives `one`
            &one,
            &four, // gives `again`, `one`, `one`, `four`
            &again,
            &one,
            &one,
            &four,
            &four_again, // gives them again
            &four,       // gives `four_again`, `four`, `four_again`, `four`
            &four_again,
            &four,
            &four_again,
            &four,
            &four_again, // gives them again
            &four,       // gives `four_again`, `zero`, `zero`, `behind`
            &four_again,
            &zero,
            &zero,
            &behind,
            &four_again, // gives them again
            &zero,       // gives nothing
            &zero,
            &behind, // gives `tail_again`, `tail`
            &tail_again,
            &tail,
            &tail_again, // gives them again
            &tail,
        ];
        program.concat()
    };
    let length = u32::try_from(length_at(0).len()).unwrap_or_default();
    length_at(length)
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// Makes a gzip file that unpacks to itself.
///
/// # Panics
///
/// Panics if no name of one letter gives a file that contains its own checksum. A test would have found that.
#[must_use]
pub fn quine() -> Vec<u8> {
    (b'a'..=b'z').find_map(own).expect("one of the letters has a checksum of its own")
}

/// Makes the file with this letter as its name and with a stored checksum that is the file's real one. Returns `None`
/// if there is no such checksum. A changed bit in the stored checksum always changes the same bits of the real one,
/// whatever the other bits are, so the checksum is the solution of a system of linear equations.
fn own(letter: u8) -> Option<Vec<u8>> {
    let none = checksum(&claiming(letter, 0));
    // There is one equation for each bit in which the real checksum must equal the stored one: its coefficients, and
    // its result.
    let mut rows: Vec<(u32, bool)> = (0..32).map(|bit| (1 << bit, none >> bit & 1 == 1)).collect();
    for claimed in 0..32 {
        let turned = checksum(&claiming(letter, 1 << claimed)) ^ none;
        for (bit, row) in rows.iter_mut().enumerate() {
            row.0 ^= (turned >> bit & 1) << claimed;
        }
    }
    for column in 0..32 {
        let pivot = (column..32).find(|row| rows[*row].0 >> column & 1 == 1)?;
        rows.swap(column, pivot);
        let (coefficients, value) = rows[column];
        for (at, row) in rows.iter_mut().enumerate() {
            if at != column && row.0 >> column & 1 == 1 {
                *row = (row.0 ^ coefficients, row.1 ^ value);
            }
        }
    }
    let sum = rows.iter().enumerate().fold(0, |sum, (bit, (_, value))| sum | u32::from(*value) << bit);
    Some(claiming(letter, sum))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn it_unpacks_to_itself() {
        let packed = quine();
        let mut unpacked = Vec::new();
        flate2::read::MultiGzDecoder::new(packed.as_slice()).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, packed);
    }
}
