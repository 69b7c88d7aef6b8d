//! The name of a secret.

use std::fmt;

use crate::SecretError;

/// The length of the longest valid name, in bytes.
const LONGEST: usize = 255;

/// The name of a secret. BuildKit asks for a secret by its name. If the secret is delivered as a variable, the
/// variable has the same name.
///
/// A name is any text that an environment can carry as a name: one to 255 bytes without `=`, blanks or control
/// characters. Docker accepts ids such as `npm-token`, which no shell can read as a variable;
/// [`SecretName::is_variable`] recognizes the names that a shell can read.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretName(String);

impl SecretName {
    /// Parses a name.
    ///
    /// # Errors
    ///
    /// Returns [`SecretError::Name`] if the text is empty, longer than 255 bytes, or contains `=`, a blank or a
    /// control character. The error does not contain the text, because it may be a value that was put in the name's
    /// place.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let forbidden = |c: char| c == '=' || c.is_whitespace() || c.is_control();
        if text.is_empty() || text.len() > LONGEST || text.contains(forbidden) {
            return Err(SecretError::Name);
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a shell can read a variable with this name: `[A-Za-z_][A-Za-z0-9_]*` (POSIX, 3.216 Name).
    #[must_use]
    pub fn is_variable(&self) -> bool {
        let mut bytes = self.0.bytes();
        bytes.next().is_some_and(|b| b == b'_' || b.is_ascii_alphabetic())
            && bytes.all(|b| b == b'_' || b.is_ascii_alphanumeric())
    }

    /// Whether a variable of this name changes how programs run, not only which data they have (D16).
    #[must_use]
    pub fn steers_programs(&self) -> bool {
        const STEERING: [&str; 24] = [
            "PATH",
            "HOME",
            "IFS",
            "ENV",
            "BASH_ENV",
            "SHELL",
            "PYTHONPATH",
            "NODE_OPTIONS",
            "PERL5OPT",
            "RUBYOPT",
            "JAVA_TOOL_OPTIONS",
            // Most `DOCKER_*` variables are registry credentials, such as DOCKER_PASSWORD. The names below change how
            // docker's client or BuildKit runs.
            "DOCKER_API_VERSION",
            "DOCKER_BUILDKIT",
            "DOCKER_CERT_PATH",
            "DOCKER_CONFIG",
            "DOCKER_CONTEXT",
            "DOCKER_CUSTOM_HEADERS",
            "DOCKER_DEFAULT_PLATFORM",
            "DOCKER_HOST",
            "DOCKER_TLS",
            "DOCKER_TLS_VERIFY",
            "BUILDKIT_COLORS",
            "BUILDKIT_HOST",
            "BUILDKIT_PROGRESS",
        ];
        STEERING.contains(&self.as_str())
            || ["LD_", "DYLD_", "DOCKER_CONTENT_TRUST"].iter().any(|prefix| self.0.starts_with(prefix))
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretName({})", self.0)
    }
}

impl AsRef<str> for SecretName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_an_environment_can_name_d15() {
        for good in ["A", "NPM_TOKEN", "_x", "1A", "A-B", "npm-token", "a.b"] {
            assert_eq!(SecretName::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "A B", "A=", "A\0", "A\n", "\u{feff}\u{85}", &"x".repeat(256)] {
            assert!(SecretName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn knows_which_names_a_shell_can_read_d15() {
        let variable = |text: &str| SecretName::parse(text).unwrap().is_variable();
        assert!(variable("NPM_TOKEN") && variable("_") && variable("a1"));
        assert!(!variable("1A") && !variable("A-B") && !variable("Ä"));
    }

    #[test]
    fn knows_which_names_steer_programs_d16() {
        let steers = |text: &str| SecretName::parse(text).unwrap().steers_programs();
        assert!(steers("PATH") && steers("LD_PRELOAD") && steers("DOCKER_HOST"));
        assert!(!steers("PATHS") && !steers("NPM_TOKEN"));
        for credential in ["DOCKER_AUTH_CONFIG", "DOCKER_PASSWORD", "DOCKER_HUB_TOKEN", "BUILDKITE_TOKEN"] {
            assert!(!steers(credential), "{credential}");
        }
    }
}
