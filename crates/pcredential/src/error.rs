//! The errors of services and their ledger.

/// Why no set of injected variables can be made.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InjectedError {
    /// Two services of one family are both marked primary.
    #[error("services `{first}` and `{second}` are both primary for {variables}")]
    TwoPrimaries {
        /// The one added first.
        first: String,
        /// The other.
        second: String,
        /// The variables that both would own, such as `DB_*`.
        variables: &'static str,
    },
    /// Two services would set the same variable.
    #[error("services `{first}` and `{second}` would both set {variable}")]
    Clash {
        /// The one added first.
        first: String,
        /// The other.
        second: String,
        /// The variable.
        variable: String,
    },
    /// The service that should be primary does not exist.
    #[error("service `{service}` is marked primary but does not exist")]
    UnknownPrimary {
        /// The name.
        service: String,
    },
}

/// Why a sealed ledger cannot be used. No message holds any of its bytes.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// The bytes are not those that [`Ledger::seal`](crate::Ledger::seal) writes.
    #[error("the ledger of services is damaged at line {line}, column {column}")]
    Damaged {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// A newer version wrote it.
    #[error("the ledger of services has version {found}; this program reads {known}")]
    Newer {
        /// The ledger's version.
        found: u32,
        /// The newest that we know.
        known: u32,
    },
}
