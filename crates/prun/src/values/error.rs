//! The errors of composing the values of a generation.

use papp::CompositionError;
use pcredential::InjectedError;

/// The reason why the variables of a generation cannot be composed. No message holds a value.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ValuesError {
    /// Two services would set one variable.
    #[error(transparent)]
    Injected(#[from] InjectedError),
    /// A secret and a service would set one variable.
    #[error("secret `{name}` and service `{service}` both set that variable")]
    SecretAndService {
        /// The variable.
        name: String,
        /// The service.
        service: String,
    },
    /// Public configuration and a service would set one variable.
    #[error("[env] `{name}` and service `{service}` both set that variable")]
    ConfigurationAndService {
        /// The variable.
        name: String,
        /// The service.
        service: String,
    },
    /// Composed secrets need each other in a circle, or become too long or too deep.
    #[error(transparent)]
    Composition(#[from] CompositionError),
    /// A composed secret names a variable that does not exist.
    #[error("secret `{secret}` needs `{needs}`, which nothing sets")]
    Needs {
        /// The secret.
        secret: String,
        /// The variable.
        needs: String,
        /// The line of the manifest that declares the secret.
        line: usize,
    },
    /// All variables together are longer than the kernel accepts.
    #[error("the app's environment has {}, and Linux takes {} together", pscreen::words::size(*bytes as u64), pscreen::words::size(*limit as u64))]
    TooLarge {
        /// The length of all variables.
        bytes: usize,
        /// The most bytes that the kernel accepts.
        limit: usize,
        /// The variable with the longest value.
        longest: String,
    },
    /// A secret that is to open an external server does not hold a login.
    #[error("secret `{secret}` is no login for the server of service `{service}`")]
    ExternalLogin {
        /// The service.
        service: String,
        /// The secret.
        secret: String,
        /// The key of the manifest that names the secret.
        key: &'static str,
    },
    /// A secret's value holds the byte 0, which a variable cannot hold.
    #[error("secret `{secret}` holds a NUL, which no variable can")]
    Nul {
        /// The secret.
        secret: String,
        /// The line of the manifest that declares the secret.
        line: usize,
    },
}
