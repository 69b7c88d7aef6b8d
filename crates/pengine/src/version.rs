//! Versions of the engine's API.

use std::fmt;

/// A version of the engine's REST API, such as 1.51.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiVersion {
    /// The number before the dot.
    pub major: u16,
    /// The number after the dot.
    pub minor: u16,
}

impl ApiVersion {
    /// The oldest API that is supported, the first one in which BuildKit is not experimental (Docker 19.03).
    pub const OLDEST: Self = Self { major: 1, minor: 40 };

    /// Parses a version such as `1.51`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once('.')?;
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares_versions_as_numbers_not_as_text() {
        assert!(ApiVersion::parse("1.9") < ApiVersion::parse("1.41"));
        assert_eq!(ApiVersion::parse("1.41").unwrap().to_string(), "1.41");
    }

    #[test]
    fn refuses_what_is_not_a_version() {
        for text in ["", "1", "1.", ".1", "a.b", "1.2.3", "-1.2"] {
            assert_eq!(ApiVersion::parse(text), None, "{text}");
        }
    }
}
