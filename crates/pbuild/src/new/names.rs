//! Conclusions from the names of variables and images.

use papp::Kind;

/// The words in a variable's name that show that its value is secret.
const SECRET_WORDS: &[&str] = &[
    "TOKEN",
    "KEY",
    "SECRET",
    "SECRETS",
    "PASSWORD",
    "PASSWD",
    "PASS",
    "PWD",
    "PASSPHRASE",
    "AUTH",
    "CREDENTIAL",
    "CREDENTIALS",
    "DSN",
    "APIKEY",
    "PAT",
    "SALT",
    "PEPPER",
    "LICENSE",
    "LICENCE",
    "CERT",
    "PRIVATE",
    "WEBHOOK",
    "JWT",
];

/// The endings of names whose values are public although one of their words sounds secret.
const PUBLIC_ENDS: &[&str] =
    &["_PUBLIC_KEY", "_KEY_ID", "_TTL", "_EXPIRY", "_LENGTH", "_FILE", "_PATH", "_URL_PATH", "_ENABLED"];

/// The beginnings of names whose values a front end sends to every browser.
const PUBLIC_STARTS: &[&str] = &["NEXT_PUBLIC_", "VITE_", "REACT_APP_", "NUXT_PUBLIC_", "PUBLIC_"];

/// Returns whether a variable's name suggests that its value is secret.
pub(crate) fn looks_secret(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    let is_public = PUBLIC_STARTS.iter().any(|start| upper.starts_with(start))
        || PUBLIC_ENDS.iter().any(|end| upper.ends_with(end));
    !is_public && {
        let mut words = upper.split('_');
        words.any(|word| {
            SECRET_WORDS.contains(&word)
                || ["TOKEN", "SECRET", "PASSWORD", "APIKEY"].iter().any(|end| word.ends_with(end))
        })
    }
}

/// Returns whether BuildKit accepts an argument of this name without a declaration, or sets it itself.
pub(crate) fn is_predefined_argument(name: &str) -> bool {
    const PROXIES: &[&str] = &["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];
    const PLATFORMS: &[&str] = &["PLATFORM", "OS", "OSVERSION", "ARCH", "VARIANT", "STAGE"];
    let platform =
        ["TARGET", "BUILD"].iter().filter_map(|start| name.strip_prefix(start)).any(|rest| PLATFORMS.contains(&rest));
    platform
        || PROXIES.contains(&name.to_ascii_uppercase().as_str())
        || name.starts_with("BUILDKIT_")
        || name == "SOURCE_DATE_EPOCH"
}

/// The groups of services that share the names of injected variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// PostgreSQL, MySQL and MariaDB.
    Sql,
    /// Redis and Valkey.
    Redis,
    /// MongoDB.
    Mongo,
}

/// Lists the variables that prun sets for a service that has the standard names of its family.
pub(crate) fn injected(family: Family) -> &'static [&'static str] {
    match family {
        Family::Sql => {
            &["DB_HOST", "DB_PORT", "DB_DATABASE", "DB_USERNAME", "DB_PASSWORD", "DB_CONNECTION", "DATABASE_URL"]
        }
        Family::Redis => &["REDIS_HOST", "REDIS_PORT", "REDIS_PASSWORD", "REDIS_URL"],
        Family::Mongo => {
            &["MONGO_HOST", "MONGO_PORT", "MONGO_DATABASE", "MONGO_USERNAME", "MONGO_PASSWORD", "MONGO_URL"]
        }
    }
}

/// Other names that apps use for the injected variables: the family, the app's name, and the injected variable with
/// the same meaning.
const ALIASES: &[(Family, &str, &str)] = &[
    (Family::Sql, "DB_USER", "DB_USERNAME"),
    (Family::Sql, "DB_NAME", "DB_DATABASE"),
    (Family::Sql, "DB_PASS", "DB_PASSWORD"),
    (Family::Sql, "DB_URL", "DATABASE_URL"),
    (Family::Sql, "PGHOST", "DB_HOST"),
    (Family::Sql, "PGPORT", "DB_PORT"),
    (Family::Sql, "PGDATABASE", "DB_DATABASE"),
    (Family::Sql, "PGUSER", "DB_USERNAME"),
    (Family::Sql, "PGPASSWORD", "DB_PASSWORD"),
    (Family::Sql, "POSTGRES_HOST", "DB_HOST"),
    (Family::Sql, "POSTGRES_PORT", "DB_PORT"),
    (Family::Sql, "POSTGRES_DB", "DB_DATABASE"),
    (Family::Sql, "POSTGRES_USER", "DB_USERNAME"),
    (Family::Sql, "POSTGRES_PASSWORD", "DB_PASSWORD"),
    (Family::Sql, "MYSQL_HOST", "DB_HOST"),
    (Family::Sql, "MYSQL_PORT", "DB_PORT"),
    (Family::Sql, "MYSQL_DATABASE", "DB_DATABASE"),
    (Family::Sql, "MYSQL_USER", "DB_USERNAME"),
    (Family::Sql, "MYSQL_PASSWORD", "DB_PASSWORD"),
    (Family::Sql, "MARIADB_DATABASE", "DB_DATABASE"),
    (Family::Sql, "MARIADB_USER", "DB_USERNAME"),
    (Family::Sql, "MARIADB_PASSWORD", "DB_PASSWORD"),
    (Family::Mongo, "MONGODB_URI", "MONGO_URL"),
    (Family::Mongo, "MONGODB_URL", "MONGO_URL"),
    (Family::Mongo, "MONGO_URI", "MONGO_URL"),
];

/// The names that in a compose file only the service's own container reads.
const OF_THE_SERVICE: &[&str] = &[
    "MYSQL_ROOT_PASSWORD",
    "MARIADB_ROOT_PASSWORD",
    "MONGO_INITDB_ROOT_USERNAME",
    "MONGO_INITDB_ROOT_PASSWORD",
    "MONGO_INITDB_DATABASE",
    "POSTGRES_INITDB_ARGS",
];

/// Images that are made from an official image and keep its entrypoint.
const DERIVED: &[(&str, Kind)] = &[
    ("postgis/postgis", Kind::Postgres),
    ("imresamu/postgis", Kind::Postgres),
    ("pgvector/pgvector", Kind::Postgres),
    ("ankane/pgvector", Kind::Postgres),
    ("timescale/timescaledb", Kind::Postgres),
    ("timescale/timescaledb-ha", Kind::Postgres),
    ("pgrouting/pgrouting", Kind::Postgres),
    ("citusdata/citus", Kind::Postgres),
    ("redis/redis-stack", Kind::Redis),
    ("redis/redis-stack-server", Kind::Redis),
    ("redislabs/redismod", Kind::Redis),
];

/// Returns the kind of service that an image's name stands for, and whether the image is the official one.
pub(super) fn kind_of(image: &str) -> Option<(Kind, bool)> {
    let name = image.split('@').next().unwrap_or_default();
    let (path, last) = name.rsplit_once('/').map_or(("", name), |(path, last)| (path, last));
    let last = last.split(':').next().unwrap_or_default();
    let plain = path.strip_prefix("docker.io/").unwrap_or(path);
    if let Some((_, kind)) = DERIVED.iter().find(|(known, _)| *known == format!("{plain}/{last}")) {
        return Some((*kind, false));
    }
    let kind = match last {
        "postgres" => Kind::Postgres,
        "mysql" => Kind::MySql,
        "mariadb" => Kind::MariaDb,
        "redis" => Kind::Redis,
        "valkey" => Kind::Valkey,
        "mongo" => Kind::MongoDb,
        _ => return None,
    };
    // Images of the same name from other publishers have other entrypoints.
    let official = match kind {
        Kind::Valkey => matches!(path, "valkey" | "docker.io/valkey"),
        Kind::Postgres | Kind::MySql | Kind::MariaDb | Kind::Redis | Kind::MongoDb => {
            matches!(path, "" | "library" | "docker.io/library" | "docker.io")
        }
    };
    let is_registry = path.contains(['.', ':']) || path.starts_with("localhost");
    (official || is_registry).then_some((kind, official))
}

/// Returns the injected variable that has the same meaning as this name in one of these families.
pub(crate) fn alias(name: &str, families: &[Family]) -> Option<&'static str> {
    ALIASES
        .iter()
        .find(|(family, alias, _)| *alias == name && families.contains(family))
        .map(|(_, _, injected)| *injected)
}

/// Returns whether prun itself sets a variable of this name for a service of these families.
pub(crate) fn is_injected(name: &str, families: &[Family]) -> bool {
    families.iter().any(|family| injected(*family).contains(&name))
}

/// Returns whether a name configures only the container of a service.
pub(crate) fn is_of_the_service(name: &str) -> bool {
    OF_THE_SERVICE.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_what_is_secret() {
        for name in [
            "NPM_TOKEN",
            "APP_KEY",
            "JWT_SECRET",
            "DB_PASSWORD",
            "MAIL_PASSWORD",
            "COMPOSER_AUTH",
            "SENTRY_DSN",
            "github_token",
            "GOOGLE_CREDENTIALS",
            "STRIPE_SECRET_KEY",
            "SECRET_KEY_BASE",
            "AWS_SECRET_ACCESS_KEY",
            "GITHUBTOKEN",
            "SMTP_PASS",
        ] {
            assert!(looks_secret(name), "{name}");
        }
        for name in [
            "PORT",
            "APP_ENV",
            "LOG_LEVEL",
            "NODE_ENV",
            "APP_URL",
            "MONKEY",
            "KEYBOARD",
            "TOKENIZERS_PARALLELISM",
            "AUTHOR",
            "NEXT_PUBLIC_API_KEY",
            "VITE_KEY",
            "AWS_ACCESS_KEY_ID",
            "JWT_TTL",
            "SSL_CERT_FILE",
            "COMPASS",
        ] {
            assert!(!looks_secret(name), "{name}");
        }
    }

    #[test]
    fn images_of_a_family_are_known_by_their_whole_names() {
        for (image, kind) in [
            ("postgres:17", Some((Kind::Postgres, true))),
            ("postgis/postgis:16-3.4", Some((Kind::Postgres, false))),
            ("docker.io/pgvector/pgvector:pg17", Some((Kind::Postgres, false))),
            ("redis/redis-stack-server", Some((Kind::Redis, false))),
            ("registry.example:5000/postgres:17", Some((Kind::Postgres, false))),
            ("somebody/postgres", None),
            ("somebody/postgis", None),
        ] {
            assert_eq!(kind_of(image), kind, "{image}");
        }
    }

    #[test]
    fn buildkit_s_own_arguments_are_known() {
        for name in [
            "TARGETPLATFORM",
            "BUILDARCH",
            "http_proxy",
            "NO_PROXY",
            "BUILDKIT_SYNTAX",
            "SOURCE_DATE_EPOCH",
            "TARGETSTAGE",
        ] {
            assert!(is_predefined_argument(name), "{name}");
        }
        assert!(!is_predefined_argument("TARGET") && !is_predefined_argument("BUILD_NUMBER"));
    }

    #[test]
    fn every_alias_is_an_injected_variable_of_its_family() {
        for (family, alias, meant) in ALIASES {
            assert!(injected(*family).contains(meant), "{alias}");
            assert!(!is_injected(alias, &[*family]), "{alias}");
        }
        assert_eq!(alias("DB_USER", &[Family::Redis]), None);
        assert_eq!(alias("DB_USER", &[Family::Sql]), Some("DB_USERNAME"));
    }
}
