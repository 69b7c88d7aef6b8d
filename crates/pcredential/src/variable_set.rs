//! Additional sets of variable names for a service, for apps that do not read the standard names.

use crate::kind::ServiceKind;

/// A set of names that an app can request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VariableSet {
    /// `PGHOST`, `PGPORT`, `PGDATABASE`, `PGUSER`, `PGPASSWORD`, which PostgreSQL's own clients read.
    Libpq,
    /// `POSTGRES_HOST`, `POSTGRES_PORT`, `POSTGRES_DB`, `POSTGRES_USER`, `POSTGRES_PASSWORD`.
    Postgres,
    /// `MYSQL_HOST`, `MYSQL_PORT`, `MYSQL_DATABASE`, `MYSQL_USER`, `MYSQL_PASSWORD`.
    Mysql,
    /// The standard names with the service's own name as a prefix.
    Named,
    /// `NAME_FILE` with the path of a file, for each confidential variable of the service.
    Files,
}

/// The parts of a login for which a set has names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Host,
    Port,
    Database,
    Username,
    Password,
}

impl VariableSet {
    /// All sets, in the order in which help lists them.
    pub const ALL: [Self; 5] = [Self::Libpq, Self::Postgres, Self::Mysql, Self::Named, Self::Files];

    /// Finds a set by its name in `app.toml`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|set| set.as_str() == name)
    }

    /// Returns the name of the set in `app.toml`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Libpq => "PG*",
            Self::Postgres => "POSTGRES_*",
            Self::Mysql => "MYSQL_*",
            Self::Named => "NAME_*",
            Self::Files => "*_FILE",
        }
    }

    /// Returns true if services of this kind have the set.
    #[must_use]
    pub fn fits(self, kind: ServiceKind) -> bool {
        match self {
            Self::Libpq | Self::Postgres => kind == ServiceKind::Postgres,
            Self::Mysql => matches!(kind, ServiceKind::Mysql | ServiceKind::Mariadb),
            Self::Named | Self::Files => true,
        }
    }

    /// Returns the parts and names of a set whose names are the same for all services.
    pub(crate) fn fixed(self) -> &'static [(Part, &'static str)] {
        match self {
            Self::Libpq => &[
                (Part::Host, "PGHOST"),
                (Part::Port, "PGPORT"),
                (Part::Database, "PGDATABASE"),
                (Part::Username, "PGUSER"),
                (Part::Password, "PGPASSWORD"),
            ],
            Self::Postgres => &[
                (Part::Host, "POSTGRES_HOST"),
                (Part::Port, "POSTGRES_PORT"),
                (Part::Database, "POSTGRES_DB"),
                (Part::Username, "POSTGRES_USER"),
                (Part::Password, "POSTGRES_PASSWORD"),
            ],
            Self::Mysql => &[
                (Part::Host, "MYSQL_HOST"),
                (Part::Port, "MYSQL_PORT"),
                (Part::Database, "MYSQL_DATABASE"),
                (Part::Username, "MYSQL_USER"),
                (Part::Password, "MYSQL_PASSWORD"),
            ],
            Self::Named | Self::Files => &[],
        }
    }
}
