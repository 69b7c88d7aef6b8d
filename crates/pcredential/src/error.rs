//! The errors of services and their ledger.

/// The reason why the injected variables of services cannot be determined.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InjectedError {
    /// Two services of one family are both marked as primary.
    #[error("services `{first}` and `{second}` are both primary for {variables}")]
    TwoPrimaries {
        /// The service that was added first.
        first: String,
        /// The other service.
        second: String,
        /// The variables that both would own, such as `DB_*`.
        variables: &'static str,
    },
    /// Two services would set the same variable.
    #[error("services `{first}` and `{second}` would both set {variable}")]
    Clash {
        /// The service that was added first.
        first: String,
        /// The other service.
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

/// The reason why a sealed ledger cannot be used. No message holds any of its bytes.
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
    /// A newer version of the program wrote the ledger.
    #[error("the ledger of services has version {found}; this program reads {known}")]
    Newer {
        /// The ledger's version.
        found: u32,
        /// The newest version that this program reads.
        known: u32,
    },
}
