//! Whether a value can be searched for without too many chance hits.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::LazyLock;

use crate::UserSecret;

/// The words that occur in any image and any log, one per line, in lower case.
const COMMON_WORDS: &str = include_str!("common_words.txt");

/// Values shorter than this are not searched for at all.
const SHORTEST_WEAK: usize = 4;

/// Values of this length or more are searched for in every form.
pub(crate) const SHORTEST_FULL: usize = 8;

/// How far a search can protect a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Searchability {
    /// The value has no bytes. It is never searched for.
    Empty,
    /// The value is not searched for and not redacted. The tools warn about it.
    Unprotected(Unprotected),
    /// The value has 4 to 7 bytes. It is searched for as a whole token only, but redacted everywhere.
    Weak,
    /// The value has 8 bytes or more. It is searched for in every form.
    Full,
}

/// The reason why a value cannot be searched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unprotected {
    /// The value has 1 to 3 bytes.
    TooShort,
    /// The value is a word of the shipped list, in any case.
    CommonWord,
}

impl fmt::Display for Unprotected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooShort => "too short",
            Self::CommonWord => "a common word",
        })
    }
}

impl Searchability {
    /// Judges a value without the blanks and line ends around it.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "door 1: the policy looks at the value's length and words")]
    pub fn of(secret: &UserSecret) -> Self {
        Self::of_bytes(secret.expose())
    }

    pub(crate) fn of_bytes(value: &[u8]) -> Self {
        static WORDS: LazyLock<BTreeSet<&[u8]>> = LazyLock::new(|| {
            COMMON_WORDS.lines().map(str::trim).filter(|word| !word.is_empty()).map(str::as_bytes).collect()
        });
        if value.is_empty() {
            return Self::Empty;
        }
        let trimmed = value.trim_ascii();
        if trimmed.len() < SHORTEST_WEAK {
            return Self::Unprotected(Unprotected::TooShort);
        }
        // No listed word is longer than this, so no lower-case copy of a longer value is needed.
        if trimmed.len() <= 32 {
            let lower = zeroize::Zeroizing::new(trimmed.to_ascii_lowercase());
            if WORDS.contains(lower.as_slice()) {
                return Self::Unprotected(Unprotected::CommonWord);
            }
        }
        if trimmed.len() < SHORTEST_FULL { Self::Weak } else { Self::Full }
    }

    /// Whether the value is searched for at all.
    #[must_use]
    pub fn is_searched(self) -> bool {
        matches!(self, Self::Weak | Self::Full)
    }
}

impl fmt::Display for Searchability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("empty"),
            Self::Unprotected(why) => write!(f, "unprotected: {why}"),
            Self::Weak => f.write_str("weak"),
            Self::Full => f.write_str("full"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &str) -> Searchability {
        Searchability::of(&UserSecret::new(value.as_bytes().to_vec()))
    }

    #[test]
    fn length_decides_s1_s2_s4_s6() {
        assert_eq!(of(""), Searchability::Empty);
        for short in ["a", "abc", " abc \n", "\n"] {
            assert_eq!(of(short), Searchability::Unprotected(Unprotected::TooShort), "{short:?}");
        }
        for weak in ["q7xz", "q7xz1k9", "  q7xz1k9\n"] {
            assert_eq!(of(weak), Searchability::Weak, "{weak:?}");
        }
        assert_eq!(of("q7xz1k9v"), Searchability::Full);
    }

    #[test]
    fn common_words_are_not_searched_in_any_case_s5() {
        for word in ["password", "Password", "true", "postgres", "admin", "localhost", "production", "LOCALHOST\n"] {
            assert_eq!(of(word), Searchability::Unprotected(Unprotected::CommonWord), "{word}");
        }
        assert_eq!(of("password9x"), Searchability::Full);
    }

    #[test]
    fn the_list_is_lower_case_sorted_and_searchable() {
        let words: Vec<&str> = COMMON_WORDS.lines().collect();
        assert!(words.len() > 150);
        assert!(words.is_sorted());
        for word in words {
            assert!(word.len() >= SHORTEST_WEAK && word.len() <= 32 && word == word.to_ascii_lowercase(), "{word}");
        }
    }
}
