//! The names that a project's env files give values to.

use std::path::{Path, PathBuf};

use super::names::looks_secret;
use psecret::{Dialect, EnvFile, EnvValue, Inputs, Searchability, SecretError, SecretName, UserSecret};

/// One name of an env file.
#[derive(Debug)]
pub(super) struct Variable {
    pub(super) name: SecretName,
    /// The file, as the manifest will call it.
    pub(super) file: PathBuf,
    value: UserSecret,
}

impl Variable {
    /// Whether the variable has a value that is not empty.
    pub(super) fn is_set(&self) -> bool {
        !self.value.is_empty()
    }

    /// How far a search could protect the value.
    pub(super) fn searchability(&self) -> Searchability {
        Searchability::of(&self.value)
    }

    /// Whether the value is a URL with a password in it, whatever the name says.
    #[expect(clippy::disallowed_methods, reason = "door 62: a URL with a password is a secret whatever its name")]
    pub(super) fn holds_credentials(&self) -> bool {
        std::str::from_utf8(self.value.expose()).is_ok_and(super::compose::holds_credentials)
    }

    /// Whether neither the name nor the value says that it is confidential.
    pub(super) fn looks_public(&self) -> bool {
        psecret::looks_public(self.name.as_str(), &self.value)
    }

    /// Returns the value as text for the manifest: the user called it public.
    #[expect(clippy::disallowed_methods, reason = "door 63: the user called the value public, so the manifest gets it")]
    pub(super) fn public_text(&self) -> Option<String> {
        String::from_utf8(self.value.expose().to_vec()).ok()
    }
}

/// The names and values of a project's env files; a name in a later file replaces that of an earlier one.
#[derive(Debug, Default)]
pub(super) struct Variables(Vec<Variable>);

impl Variables {
    /// Reads one more file of the folder, by the rules of Compose.
    pub(super) fn add(&mut self, folder: &Path, file: &Path) -> Result<(), SecretError> {
        let mut nobody = std::io::empty();
        let mut inputs = Inputs::new(&|_| None, &mut nobody);
        self.take(EnvFile::read(&folder.join(file), Dialect::Dotenv, &mut inputs)?, file);
        Ok(())
    }

    /// Adds the names and values of a file that was read. Entries without a value are left out.
    pub(super) fn take(&mut self, read: EnvFile, file: &Path) {
        for entry in read.into_entries() {
            let EnvValue::Literal(value) = entry.value else { continue };
            self.0.retain(|known| known.name != entry.name);
            self.0.push(Variable { name: entry.name, file: file.to_owned(), value });
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Variable> {
        self.0.iter().find(|variable| variable.name.as_str() == name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Variable> {
        self.0.iter()
    }

    /// Returns the value of a variable that can be nothing but a port or an address to publish one at: digits, dots and colons, and
    /// no more of them than an address has.
    #[expect(
        clippy::disallowed_methods,
        reason = "door 72: a port is public, and nothing but digits, dots and colons gets out"
    )]
    pub(super) fn address(&self, name: &str) -> Option<String> {
        const LONGEST: usize = "255.255.255.255:65535".len();
        let value = self.get(name)?.value.expose();
        let fits = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'.' | b':');
        let is_address = !value.is_empty() && value.len() <= LONGEST && value.iter().all(fits);
        // A number that is called a secret is one.
        (is_address && !looks_secret(name)).then(|| String::from_utf8_lossy(value).into_owned())
    }

    /// Whether a name has a value.
    pub(super) fn has_value(&self, name: &str) -> bool {
        self.get(name).is_some_and(Variable::is_set)
    }
}
