//! Counts, sizes and times in words, with the same spelling in all tools, lines and reports.

use std::fmt::Display;
use std::time::Duration;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Returns the form of the noun after a number: `layer` after 1, `layers` after any other number.
#[must_use]
pub fn noun<N: PartialEq + From<u8>>(count: N, singular: &str) -> String {
    if count == N::from(1) { singular.to_owned() } else { format!("{singular}s") }
}

/// Writes a number with its noun: `1 layer`, `2 layers`.
#[must_use]
pub fn counted<N: Copy + Display + PartialEq + From<u8>>(count: N, singular: &str) -> String {
    format!("{count} {}", noun(count, singular))
}

/// Writes the first names of a list, and the number of all others: `A, B and 298 more`.
#[must_use]
pub fn listed<N: AsRef<str>>(names: &[N], most: usize) -> String {
    let first: Vec<&str> = names.iter().take(most).map(AsRef::as_ref).collect();
    match names.len().saturating_sub(most) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// Breaks a text between words into lines of at most this many columns. A longer word is cut into pieces.
#[must_use]
pub fn broken(text: &str, columns: usize) -> Vec<String> {
    let (mut lines, mut line, mut width) = (Vec::new(), String::new(), 0);
    for word in text.split(' ') {
        if !line.is_empty() && width + 1 + word.width() > columns {
            lines.push(std::mem::take(&mut line));
            width = 0;
        } else if !line.is_empty() {
            line.push(' ');
            width += 1;
        }
        for character in word.chars() {
            let wide = character.width().unwrap_or(0);
            if width > 0 && width + wide > columns {
                lines.push(std::mem::take(&mut line));
                width = 0;
            }
            line.push(character);
            width += wide;
        }
    }
    lines.push(line);
    lines
}

/// Writes a number of bytes with three digits, in powers of ten as docker does: `174 MB`, `4.96 kB`.
///
/// The number is rounded down, so that no line claims that more bytes were searched than there were.
#[must_use]
pub fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 4] =
        [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    let Some((unit, name)) = UNITS.into_iter().find(|(unit, _)| bytes >= *unit) else {
        return counted(bytes, "byte");
    };
    let (whole, rest) = (bytes / unit, bytes % unit);
    match whole {
        0..10 => format!("{whole}.{:02} {name}", rest * 100 / unit),
        10..100 => format!("{whole}.{} {name}", rest * 10 / unit),
        _ => format!("{whole} {name}"),
    }
}

/// Writes a duration with one digit after the point, rounded to the nearest: `2.5s`.
#[must_use]
pub fn seconds(duration: Duration) -> String {
    format!("{:.1}s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular_and_everything_else_is_plural() {
        assert_eq!([0_usize, 1, 2].map(|count| counted(count, "layer")), ["0 layers", "1 layer", "2 layers"]);
    }

    #[test]
    fn a_long_list_says_how_much_is_left() {
        let names = ["A", "B", "C"];
        assert_eq!([2, 3, 4].map(|most| listed(&names, most)), ["A, B and 1 more", "A, B, C", "A, B, C"]);
    }

    #[test]
    fn a_size_has_three_digits_and_claims_nothing_that_was_not_there() {
        for (bytes, words) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (999, "999 bytes"),
            (1_000, "1.00 kB"),
            (4_969, "4.96 kB"),
            (31_299, "31.2 kB"),
            (999_999, "999 kB"),
            (1_000_000, "1.00 MB"),
            (174_499_999, "174 MB"),
            (3_149_000_000, "3.14 GB"),
            (u64::MAX, "18446744 TB"),
        ] {
            assert_eq!(size(bytes), words);
        }
    }

    #[test]
    fn a_time_is_the_nearest_tenth_of_a_second() {
        for (milliseconds, words) in [(0, "0.0s"), (49, "0.0s"), (960, "1.0s"), (2_460, "2.5s"), (75_310, "75.3s")] {
            assert_eq!(seconds(Duration::from_millis(milliseconds)), words);
        }
    }
}
