//! `[services]`: the databases and caches that an app uses.

use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;

use crate::error::{Lines, Located};
use crate::names;
use crate::table::{Table, as_table, broken};

/// The kind of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// PostgreSQL.
    Postgres,
    /// MySQL.
    MySql,
    /// MariaDB.
    MariaDb,
    /// Redis.
    Redis,
    /// Valkey.
    Valkey,
    /// MongoDB.
    MongoDb,
}

/// A family of kinds whose services share the same injected names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// `DB_*`.
    Sql,
    /// `REDIS_*`.
    Redis,
    /// `MONGO_*`.
    Mongo,
}

/// The names of the kinds in a manifest.
pub(crate) const KINDS: &[&str] = &["postgres", "mysql", "mariadb", "redis", "valkey", "mongodb"];

impl Kind {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Self; 6] = [Self::Postgres, Self::MySql, Self::MariaDb, Self::Redis, Self::Valkey, Self::MongoDb];

    /// Finds a kind by its name in a manifest and after `--service`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Returns the kind's name in a manifest.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::MySql => "mysql",
            Self::MariaDb => "mariadb",
            Self::Redis => "redis",
            Self::Valkey => "valkey",
            Self::MongoDb => "mongodb",
        }
    }

    /// Returns the family of names that the kind injects.
    #[must_use]
    pub fn family(self) -> Family {
        match self {
            Self::Postgres | Self::MySql | Self::MariaDb => Family::Sql,
            Self::Redis | Self::Valkey => Family::Redis,
            Self::MongoDb => Family::Mongo,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The sets of additional variable names, as a manifest spells them.
pub(crate) const VARIABLE_SETS: &[&str] = &["PG*", "POSTGRES_*", "MYSQL_*", "NAME_*", "*_FILE"];

/// A declared service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The service's name, which is also the host name that the app uses.
    pub name: String,
    /// The line that declares the service, from 1.
    pub line: usize,
    /// The service's kind.
    pub kind: Kind,
    /// The version of the service, which is a tag of the kind's official image.
    pub version: Option<String>,
    /// An image that replaces the official one.
    pub image: Option<String>,
    /// True if the service owns the standard names of its family.
    pub primary: bool,
    /// The name of the database. If it is `None`, the tools choose a name.
    pub database: Option<String>,
    /// The sets of additional variable names, as `app.toml` spells them: `PG*`, `POSTGRES_*`, `MYSQL_*`, `NAME_*`,
    /// `*_FILE`.
    pub variables: Vec<String>,
}

const KNOWN: &[&str] = &["kind", "version", "image", "primary", "database", "variables"];

impl Service {
    pub(crate) fn read(
        services: &Table<'_>,
        name: &str,
        name_span: Range<usize>,
        value: &Spanned<DeValue<'_>>,
        lines: &Lines,
    ) -> Result<Self, Located> {
        let path = services.path(name);
        if !names::is_label(name) {
            return Err(broken(&path, names::LABEL, name_span));
        }
        let line = lines.line(name_span.start);
        let (table, span) = as_table(&path, value)?;
        let table = Table::open(&path, table, span, KNOWN)?;
        let kind = table.choice("kind", KINDS, &Kind::ALL)?.ok_or_else(|| table.missing("kind"))?;
        let mut variables = Vec::new();
        for set in table.strings("variables")?.unwrap_or_default() {
            if !VARIABLE_SETS.contains(&set.value.as_str()) {
                let rule = "hold sets of names: \"PG*\", \"POSTGRES_*\", \"MYSQL_*\", \"NAME_*\", \"*_FILE\"";
                return Err(broken(&table.path("variables"), rule, set.span));
            }
            variables.push(set.value);
        }
        let service = Self {
            name: name.to_owned(),
            line,
            kind,
            version: table.checked("version", "be an image tag such as \"17\"", is_tag)?,
            image: table.checked("image", names::REFERENCE, names::is_reference)?,
            primary: table.boolean("primary")?.is_some_and(|at| at.value),
            database: table.checked(
                "database",
                "be letters, digits and `_`, begin with a letter and have at most 63 characters",
                |name| name.len() <= 63 && !name.starts_with('_') && names::is_variable(name),
            )?,
            variables,
        };
        if service.version.is_some() && service.image.is_some() {
            return Err(table.conflict("version", "image", "both choose the image; choose one"));
        }
        if service.database.is_some() && kind.family() == Family::Redis {
            return Err(table.conflict("database", "kind", "exclude each other: databases there are numbers"));
        }
        Ok(service)
    }
}

/// Returns true if a text is an image tag, by the rule of the distribution specification.
#[must_use]
pub fn is_tag(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && !text.starts_with(['.', '-'])
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}
