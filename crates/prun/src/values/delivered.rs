//! A confidential value that an instance gets.

use std::fmt;

use pcredential::ServiceCredential;
use psecret::Secret;
use zeroize::Zeroizing;

/// A confidential value on its way into an instance: a user secret, a service credential, or a text composed of
/// several.
///
/// User secrets and service credentials become one type only here, and nothing turns a delivered value back into one
/// of them. A delivered value cannot be printed or compared, and only [`Delivered::again`] copies it.
/// [`Delivered::expose`] is a door, like the `expose` of the other two types.
pub(crate) struct Delivered(Zeroizing<Vec<u8>>);

impl Delivered {
    /// Makes a delivered value from a value that was composed, or read from the sealed state.
    #[must_use]
    pub(crate) fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    /// Makes a delivered value from a user secret.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "door 41: an instance gets the user's secrets")]
    pub(crate) fn of_user(secret: &Secret) -> Self {
        Self(Zeroizing::new(secret.value().expose().to_vec()))
    }

    /// Makes a delivered value from a service credential.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "door 42: an instance gets the credentials of its services")]
    pub(crate) fn of_service(credential: &ServiceCredential) -> Self {
        Self(Zeroizing::new(credential.expose().into()))
    }

    /// Copies the value for another generation. Each copy is wiped when it is dropped.
    #[must_use]
    pub(crate) fn again(&self) -> Self {
        Self(self.0.clone())
    }

    /// Returns the plaintext. This is a door: each call has a number and a reason, and `docs/doors.md` lists it.
    #[must_use]
    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Returns the length of the value in bytes.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Debug for Delivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Delivered")
    }
}
