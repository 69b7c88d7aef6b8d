//! The kinds of services, with the facts that are fixed for each kind.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A kind of service for which credentials can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceKind {
    /// PostgreSQL.
    Postgres,
    /// MySQL 8.0.14 or later; older versions have no second password.
    Mysql,
    /// MariaDB.
    Mariadb,
    /// Redis 6.2 or later; older versions have no access lists with channels.
    Redis,
    /// Valkey.
    Valkey,
    /// MongoDB.
    Mongodb,
}

/// A family of services that share one set of variable names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// `DB_*` and `DATABASE_URL`.
    Sql,
    /// `REDIS_*`.
    Redis,
    /// `MONGO_*`.
    Mongo,
}

impl Family {
    /// Returns the variables that the family's primary service owns, in a form for people.
    #[must_use]
    pub fn variables(self) -> &'static str {
        match self {
            Self::Sql => "DB_*",
            Self::Redis => "REDIS_*",
            Self::Mongo => "MONGO_*",
        }
    }
}

impl ServiceKind {
    /// All kinds, in the order in which help lists them.
    pub const ALL: [Self; 6] = [Self::Postgres, Self::Mysql, Self::Mariadb, Self::Redis, Self::Valkey, Self::Mongodb];

    /// Finds a kind by its name in `app.toml` and `--service`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// Returns the name of the kind in `app.toml` and `--service`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
            Self::Mariadb => "mariadb",
            Self::Redis => "redis",
            Self::Valkey => "valkey",
            Self::Mongodb => "mongodb",
        }
    }

    /// Returns the family of services that set the same variable names.
    #[must_use]
    pub fn family(self) -> Family {
        match self {
            Self::Postgres | Self::Mysql | Self::Mariadb => Family::Sql,
            Self::Redis | Self::Valkey => Family::Redis,
            Self::Mongodb => Family::Mongo,
        }
    }

    /// Returns the name of the official image, with the given version or our default version.
    #[must_use]
    pub fn image(self, version: Option<&str>) -> String {
        let (repository, default) = match self {
            Self::Postgres => ("postgres", "17"),
            Self::Mysql => ("mysql", "8.4"),
            Self::Mariadb => ("mariadb", "11.4"),
            Self::Redis => ("redis", "7"),
            Self::Valkey => ("valkey/valkey", "8"),
            Self::Mongodb => ("mongo", "8"),
        };
        format!("{repository}:{}", version.unwrap_or(default))
    }

    /// Returns the TCP port that the service listens on.
    #[must_use]
    pub fn port(self) -> u16 {
        match self {
            Self::Postgres => 5432,
            Self::Mysql | Self::Mariadb => 3306,
            Self::Redis | Self::Valkey => 6379,
            Self::Mongodb => 27017,
        }
    }

    /// Returns the directory of the service's data, for images that declare no volume or several.
    #[must_use]
    pub fn data_directory(self) -> &'static str {
        match self {
            Self::Postgres => "/var/lib/postgresql/data",
            Self::Mysql | Self::Mariadb => "/var/lib/mysql",
            Self::Redis | Self::Valkey => "/data",
            Self::Mongodb => "/data/db",
        }
    }

    /// Returns the value of `DB_CONNECTION`, which is Laravel's name for the driver. Only SQL servers have one.
    #[must_use]
    pub fn connection(self) -> Option<&'static str> {
        match self {
            Self::Postgres => Some("pgsql"),
            Self::Mysql => Some("mysql"),
            Self::Mariadb => Some("mariadb"),
            Self::Redis | Self::Valkey | Self::Mongodb => None,
        }
    }

    /// Returns the scheme of the service's connection URL.
    #[must_use]
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Postgres => "postgresql",
            Self::Mysql | Self::Mariadb => "mysql",
            Self::Redis | Self::Valkey => "redis",
            Self::Mongodb => "mongodb",
        }
    }
}

impl fmt::Display for ServiceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_its_own_name_alone() {
        for kind in ServiceKind::ALL {
            assert_eq!(ServiceKind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(ServiceKind::parse("postgresql"), None);
        assert_eq!(ServiceKind::parse(""), None);
    }

    #[test]
    fn a_version_replaces_only_the_tag() {
        assert_eq!(ServiceKind::Valkey.image(None), "valkey/valkey:8");
        assert_eq!(ServiceKind::Postgres.image(Some("15")), "postgres:15");
    }
}
