//! The names and values in a project's env files.

use std::path::{Path, PathBuf};

use super::names::looks_secret;
use psecret::{Dialect, EnvFile, EnvValue, Inputs, Searchability, SecretError, SecretName, UserSecret};

/// One variable of an env file.
#[derive(Debug)]
pub(super) struct Variable {
    pub(super) name: SecretName,
    /// The path of the env file, as the manifest will name it.
    pub(super) file: PathBuf,
    value: UserSecret,
}

impl Variable {
    /// Returns whether the value is not empty.
    pub(super) fn is_set(&self) -> bool {
        !self.value.is_empty()
    }

    /// Returns how far a search could protect the value.
    pub(super) fn searchability(&self) -> Searchability {
        Searchability::of(&self.value)
    }

    /// Returns whether the value is a URL with a password, whatever the name is.
    #[expect(clippy::disallowed_methods, reason = "door 62: a URL with a password is a secret whatever its name")]
    pub(super) fn holds_credentials(&self) -> bool {
        std::str::from_utf8(self.value.expose()).is_ok_and(super::compose::holds_credentials)
    }

    /// Returns whether neither the name nor the value looks confidential.
    pub(super) fn looks_public(&self) -> bool {
        psecret::looks_public(self.name.as_str(), &self.value)
    }

    /// Returns the value as text for the manifest. The user has declared it public.
    #[expect(clippy::disallowed_methods, reason = "door 63: the user called the value public, so the manifest gets it")]
    pub(super) fn public_text(&self) -> Option<String> {
        String::from_utf8(self.value.expose().to_vec()).ok()
    }
}

/// The variables of a project's env files. A variable of a later file replaces one of the same name in an earlier
/// file.
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

    /// Returns the value of a variable that can only be a port, or an address at which a port is published: digits,
    /// dots and colons, and not more of them than an address has.
    #[expect(
        clippy::disallowed_methods,
        reason = "door 72: a port is public, and nothing but digits, dots and colons gets out"
    )]
    pub(super) fn address(&self, name: &str) -> Option<String> {
        const LONGEST: usize = "255.255.255.255:65535".len();
        let value = self.get(name)?.value.expose();
        let fits = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'.' | b':');
        let is_address = !value.is_empty() && value.len() <= LONGEST && value.iter().all(fits);
        // A number whose name looks secret counts as secret.
        (is_address && !looks_secret(name)).then(|| String::from_utf8_lossy(value).into_owned())
    }

    /// Returns whether a variable has a value that is not empty.
    pub(super) fn has_value(&self, name: &str) -> bool {
        self.get(name).is_some_and(Variable::is_set)
    }
}
