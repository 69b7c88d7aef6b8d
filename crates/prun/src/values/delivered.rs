//! A confidential value that an instance gets.

use std::fmt;

use pcredential::ServiceCredential;
use psecret::Secret;
use zeroize::Zeroizing;

/// A confidential value on its way into an instance: a user secret, a service credential, or a text made of several.
///
/// User secrets and service credentials meet here, and only here: nothing turns a delivered value back into one of
/// them. It cannot be printed, cloned or compared. [`Delivered::expose`] is a door, as it is for the other two types.
pub(crate) struct Delivered(Zeroizing<Vec<u8>>);

impl Delivered {
    /// Delivers a value that was composed, or read from the sealed state.
    #[must_use]
    pub(crate) fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    /// Delivers a user's secret.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "door 41: an instance gets the user's secrets")]
    pub(crate) fn of_user(secret: &Secret) -> Self {
        Self(Zeroizing::new(secret.value().expose().to_vec()))
    }

    /// Delivers a service's credential.
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

    /// Returns the plaintext. This is a door: number each call, give its reason, and list it.
    #[must_use]
    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }

    /// How many bytes the value has.
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
