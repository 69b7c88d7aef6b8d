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

/// The rights of the app in a SQL server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rights {
    /// The app owns its databases and everything in them. This is the default.
    #[default]
    Owner,
    /// The app has all rights of the server's administrator.
    Admin,
}

/// `external`: the server of a service that others run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct External {
    /// The host at which the app reaches the server.
    pub host: String,
    /// The port. If it is `None`, it is the default port of the service's kind.
    pub port: Option<u16>,
    /// The database. Redis and Valkey do not have one.
    pub database: Option<String>,
    /// The role that owns the app's data, if there is an administrator's login. Otherwise the name of the app's own
    /// login.
    pub username: Option<String>,
    /// The secret with the login.
    pub login: ExternalLogin,
}

/// The name of the secret that opens an external server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExternalLogin {
    /// A URL with the login of the server's administrator.
    Admin(String),
    /// The password of the app's own login.
    Password(String),
}

impl ExternalLogin {
    /// Returns the key that names the secret.
    #[must_use]
    pub fn key(&self) -> &'static str {
        match self {
            Self::Admin(_) => "admin",
            Self::Password(_) => "password",
        }
    }

    /// Returns the secret's name.
    #[must_use]
    pub fn secret(&self) -> &str {
        match self {
            Self::Admin(name) | Self::Password(name) => name,
        }
    }
}

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
    /// The rights of the app.
    pub rights: Rights,
    /// Extensions that PostgreSQL makes for the app.
    pub extensions: Vec<String>,
    /// Further databases, besides the first one.
    pub databases: Vec<String>,
    /// The server, if others run it.
    pub external: Option<External>,
}

const KNOWN: &[&str] =
    &["kind", "version", "image", "primary", "database", "databases", "rights", "extensions", "variables", "external"];
const EXTERNAL: &[&str] = &["host", "port", "database", "username", "admin", "password"];
/// Databases that servers or the tools keep for themselves.
const RESERVED: &[&str] = &["postgres", "template0", "template1", "mysql", "sys", "information_schema", "prun_load"];

/// The rule of [`is_database`].
const DATABASE: &str = "be letters, digits and `_`, begin with a letter and have at most 63 characters";

fn is_database(name: &str) -> bool {
    name.len() <= 63 && !name.starts_with('_') && names::is_variable(name)
}

impl External {
    fn read(table: &Table<'_>, kind: Kind) -> Result<Self, Located> {
        let host = table
            .checked("host", "be a host's name or address", |host| {
                !host.is_empty()
                    && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':'))
            })?
            .ok_or_else(|| table.missing("host"))?;
        let port = table.number("port", 1..=65535, "be a port: 1 to 65535")?;
        let database = table.checked("database", "be letters, digits, `_` and `-`", |name| {
            (1..=63).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
        })?;
        let username = table.checked("username", "be letters, digits, `_`, `-`, `.` and `@`", |name| {
            (1..=63).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'@'))
        })?;
        let login = match (table.string("admin")?, table.string("password")?) {
            (Some(_), Some(_)) => return Err(table.conflict("admin", "password", "both open the server; choose one")),
            (Some(admin), None) => ExternalLogin::Admin(admin.value),
            (None, Some(password)) => ExternalLogin::Password(password.value),
            (None, None) => return Err(table.missing("password")),
        };
        let is_admin = matches!(login, ExternalLogin::Admin(_));
        match kind.family() {
            Family::Sql | Family::Mongo if database.is_none() => return Err(table.missing("database")),
            Family::Sql | Family::Mongo if username.is_none() && !is_admin => return Err(table.missing("username")),
            Family::Redis if database.is_some() => {
                return Err(table.conflict("database", "host", "exclude each other: databases there are numbers"));
            }
            Family::Redis if is_admin => {
                let why = "exclude each other: its logins are not kept; name the app's own in `password`";
                return Err(table.conflict("admin", "host", why));
            }
            Family::Sql | Family::Mongo | Family::Redis => {}
        }
        Ok(Self { host, port: port.and_then(|port| u16::try_from(port).ok()), database, username, login })
    }
}

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
            database: table.checked("database", DATABASE, is_database)?,
            variables,
            rights: table.choice("rights", &["owner", "admin"], &[Rights::Owner, Rights::Admin])?.unwrap_or_default(),
            extensions: extensions(&table)?,
            databases: databases(&table)?,
            external: match table.table("external")? {
                Some((external, span)) => {
                    Some(External::read(&Table::open(&table.path("external"), external, span, EXTERNAL)?, kind)?)
                }
                None => None,
            },
        };
        if service.version.is_some() && service.image.is_some() {
            return Err(table.conflict("version", "image", "both choose the image; choose one"));
        }
        if service.database.is_some() && kind.family() == Family::Redis {
            return Err(table.conflict("database", "kind", "exclude each other: databases there are numbers"));
        }
        if kind != Kind::Postgres && !service.extensions.is_empty() {
            return Err(table.conflict("extensions", "kind", "exclude each other: PostgreSQL alone has extensions"));
        }
        if kind.family() != Family::Sql {
            for key in ["rights", "databases"] {
                if table.get(key).is_some() {
                    return Err(table.conflict(key, "kind", "exclude each other: SQL servers alone have them"));
                }
            }
        }
        if service.external.is_some() {
            for key in ["database", "databases", "rights", "extensions"] {
                if table.get(key).is_some() {
                    let why = "exclude each other: prun makes nothing in a server that others run";
                    return Err(table.conflict(key, "external", why));
                }
            }
        }
        Ok(service)
    }
}

fn extensions(table: &Table<'_>) -> Result<Vec<String>, Located> {
    let mut names = Vec::new();
    for name in table.strings("extensions")?.unwrap_or_default() {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        if name.value.is_empty() || name.value.len() > 63 || !name.value.bytes().all(fits) {
            return Err(broken(&table.path("extensions"), "hold names of extensions such as \"pgcrypto\"", name.span));
        }
        names.push(name.value);
    }
    Ok(names)
}

fn databases(table: &Table<'_>) -> Result<Vec<String>, Located> {
    let first = table.string("database")?.map(|at| at.value);
    let mut names: Vec<String> = Vec::new();
    for name in table.strings("databases")?.unwrap_or_default() {
        let path = table.path("databases");
        if !is_database(&name.value) {
            return Err(broken(
                &path,
                "hold names: letters, digits and `_`, a letter first, at most 63 of them",
                name.span,
            ));
        }
        let twice = names.iter().chain(&first).any(|other| other.eq_ignore_ascii_case(&name.value));
        if twice || RESERVED.contains(&name.value.as_str()) {
            return Err(broken(&path, "hold each name once, and none that a server has for itself", name.span));
        }
        names.push(name.value);
    }
    Ok(names)
}

/// Returns true if a text is an image tag, by the rule of the distribution specification.
#[must_use]
pub fn is_tag(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && !text.starts_with(['.', '-'])
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}
