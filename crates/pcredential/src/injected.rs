//! The variables that an app gets from its services.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::credential::ServiceCredential;
use crate::error::InjectedError;
use crate::kind::{Family, ServiceKind};
use crate::ledger::ServiceRecord;
use crate::variable_set::{Part, VariableSet};

/// A variable that prun sets from a service.
#[derive(Debug)]
pub struct InjectedVariable<'a> {
    name: String,
    service: &'a str,
    value: InjectedValue<'a>,
    shape: Shape,
}

/// The place where the app finds the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// The value is in the variable.
    Variable,
    /// The value is in a file, and the variable holds the path of the file.
    File,
}

/// The value of an injected variable.
pub enum InjectedValue<'a> {
    /// A value that is not secret: a host, a port or a name.
    Public(String),
    /// The credential of a service.
    Credential(&'a ServiceCredential),
    /// A text that contains the credential of a service, such as a URL.
    Composed(ServiceCredential),
}

impl InjectedVariable<'_> {
    /// Returns the name of the variable.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the name of the service that the variable comes from.
    #[must_use]
    pub fn service(&self) -> &str {
        self.service
    }

    /// Returns the place where the app finds the value.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Returns the value of the variable.
    #[must_use]
    pub fn value(&self) -> &InjectedValue<'_> {
        &self.value
    }
}

impl InjectedValue<'_> {
    /// Returns the confidential value without exposing it, or `None` if the value is public.
    #[must_use]
    pub fn confidential(&self) -> Option<&ServiceCredential> {
        match self {
            Self::Public(_) => None,
            Self::Credential(credential) => Some(credential),
            Self::Composed(credential) => Some(credential),
        }
    }
}

impl fmt::Debug for InjectedValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Public(text) => write!(f, "Public({text})"),
            Self::Credential(_) => f.write_str("Credential"),
            Self::Composed(_) => f.write_str("Composed"),
        }
    }
}

/// The characters that must be encoded in a URL's user name, password or path: all except the unreserved ones of RFC
/// 3986.
const RESERVED_IN_URL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Returns the variables of services, in the order in which the services were added.
///
/// In each family, one service owns the standard names: the service in `primary` that belongs to the family, or else
/// the service that was added first. All other services use their own name as a prefix: `reports` sets
/// `REPORTS_HOST`. `primary` lists the services that `app.toml` marks as primary, and `sets` the additional sets of
/// names that `app.toml` requests, by service.
///
/// # Errors
///
/// Returns an [`InjectedError`] if two services of a family are primary, if a primary service does not exist, or if
/// two services would set the same variable.
pub fn injected<'a, 'p>(
    services: impl IntoIterator<Item = &'a ServiceRecord>,
    primary: impl IntoIterator<Item = &'p str>,
    sets: &[(&str, VariableSet)],
) -> Result<Vec<InjectedVariable<'a>>, InjectedError> {
    let services: Vec<&ServiceRecord> = services.into_iter().collect();
    let owners = Owners::find(&services, primary)?;
    let mut variables: Vec<InjectedVariable<'a>> = Vec::new();
    for service in services {
        let mut own = of_service(service, owners.owns(service));
        for (_, set) in sets.iter().filter(|(name, _)| *name == service.name()) {
            own.extend(of_set(service, *set, &own));
        }
        for (name, value, shape) in own {
            if let Some(other) = variables.iter().find(|variable| variable.name == name) {
                // A set may contain a name that the service already has.
                if other.service == service.name() {
                    continue;
                }
                return Err(InjectedError::Clash {
                    first: other.service.to_owned(),
                    second: service.name().to_owned(),
                    variable: name,
                });
            }
            variables.push(InjectedVariable { name, service: service.name(), value, shape });
        }
    }
    Ok(variables)
}

/// The services that own the standard names of their families.
struct Owners<'a>(Vec<&'a ServiceRecord>);

impl<'a> Owners<'a> {
    fn find<'p>(
        services: &[&'a ServiceRecord],
        primary: impl IntoIterator<Item = &'p str>,
    ) -> Result<Self, InjectedError> {
        let mut owners: Vec<&ServiceRecord> = Vec::new();
        for name in primary {
            let service = services
                .iter()
                .find(|service| service.name() == name)
                .ok_or_else(|| InjectedError::UnknownPrimary { service: name.to_owned() })?;
            let family = service.kind().family();
            if let Some(other) = owners.iter().find(|owner| owner.kind().family() == family) {
                return Err(InjectedError::TwoPrimaries {
                    first: other.name().to_owned(),
                    second: service.name().to_owned(),
                    variables: family.variables(),
                });
            }
            owners.push(service);
        }
        for service in services {
            if !owners.iter().any(|owner| owner.kind().family() == service.kind().family()) {
                owners.push(service);
            }
        }
        Ok(Self(owners))
    }

    fn owns(&self, service: &ServiceRecord) -> bool {
        self.0.iter().any(|owner| owner.name() == service.name())
    }
}

type Named<'a> = (String, InjectedValue<'a>, Shape);

/// Returns the variables that a set adds to a service's own variables.
fn of_set<'a>(service: &'a ServiceRecord, set: VariableSet, own: &[Named<'a>]) -> Vec<Named<'a>> {
    let part = |part: Part| match part {
        Part::Host => InjectedValue::Public(service.host().to_owned()),
        Part::Port => InjectedValue::Public(service.port().to_string()),
        Part::Database => InjectedValue::Public(service.database().unwrap_or_default().to_owned()),
        Part::Username => InjectedValue::Public(service.username()),
        Part::Password => InjectedValue::Credential(service.credential()),
    };
    let in_file = |(name, value, _): &Named<'a>| {
        let value = match value {
            InjectedValue::Public(_) => return None,
            InjectedValue::Credential(credential) => InjectedValue::Credential(credential),
            InjectedValue::Composed(credential) => InjectedValue::Composed(credential.again()),
        };
        Some((format!("{name}_FILE"), value, Shape::File))
    };
    match set {
        VariableSet::Named => of_service(service, false),
        VariableSet::Files => own.iter().filter_map(in_file).collect(),
        VariableSet::Libpq | VariableSet::Postgres | VariableSet::Mysql => {
            let names = set.fixed().iter();
            names.map(|(of, name)| ((*name).to_owned(), part(*of), Shape::Variable)).collect()
        }
    }
}

fn of_service(service: &ServiceRecord, standard: bool) -> Vec<Named<'_>> {
    let family = service.kind().family();
    let (prefix, url) = match (standard, family) {
        (true, Family::Sql) => ("DB".to_owned(), "DATABASE_URL".to_owned()),
        (true, Family::Redis) => ("REDIS".to_owned(), "REDIS_URL".to_owned()),
        (true, Family::Mongo) => ("MONGO".to_owned(), "MONGO_URL".to_owned()),
        (false, _) => {
            let prefix = prefix(service.name());
            let url = format!("{prefix}_URL");
            (prefix, url)
        }
    };
    let public = |part: &str, value: String| (format!("{prefix}_{part}"), InjectedValue::Public(value));
    let mut variables = vec![public("HOST", service.host().to_owned()), public("PORT", service.port().to_string())];
    if let Some(database) = service.database() {
        variables.push(public("DATABASE", database.to_owned()));
        variables.push(public("USERNAME", service.username()));
    }
    variables.push((format!("{prefix}_PASSWORD"), InjectedValue::Credential(service.credential())));
    if let Some(connection) = service.kind().connection() {
        variables.push(public("CONNECTION", connection.to_owned()));
    }
    variables.push((url, InjectedValue::Composed(connection_url(service, service.database()))));
    // The names are those of Rails: the database `cable` of the standard service has CABLE_DATABASE_URL.
    for database in &service.terms().databases {
        let before = if standard { String::new() } else { format!("{prefix}_") };
        let name = format!("{before}{}_DATABASE_URL", database.to_ascii_uppercase().replace('-', "_"));
        variables.push((name, InjectedValue::Composed(connection_url(service, Some(database)))));
    }
    variables.into_iter().map(|(name, value)| (name, value, Shape::Variable)).collect()
}

/// Makes the prefix of variable names from a service's name: `read-replica` becomes `READ_REPLICA`.
fn prefix(service: &str) -> String {
    let mut prefix: String = service
        .chars()
        .map(|character| if character.is_ascii_alphanumeric() { character.to_ascii_uppercase() } else { '_' })
        .collect();
    if !prefix.starts_with(|first: char| first.is_ascii_alphabetic()) {
        prefix.insert(0, '_');
    }
    prefix
}

#[expect(clippy::disallowed_methods, reason = "door 37: a connection URL holds the password")]
fn connection_url(service: &ServiceRecord, database: Option<&str>) -> ServiceCredential {
    ServiceCredential::from_text(url_with(service, database, service.credential().expose()))
}

fn url_with(service: &ServiceRecord, database: Option<&str>, password: &str) -> String {
    let encode = |text: &str| utf8_percent_encode(text, RESERVED_IN_URL).to_string();
    let user = match service.kind() {
        // The URL does not name the default user, because a name would break clients from the time before Redis had
        // users.
        ServiceKind::Redis | ServiceKind::Valkey => {
            Some(service.username()).filter(|name| name != "default").unwrap_or_default()
        }
        ServiceKind::Postgres | ServiceKind::Mysql | ServiceKind::Mariadb | ServiceKind::Mongodb => service.username(),
    };
    let database = database.map(|database| format!("/{}", encode(database))).unwrap_or_default();
    let (scheme, host, port) = (service.kind().scheme(), service.host(), service.port());
    format!("{scheme}://{}:{}@{host}:{port}{database}", encode(&user), encode(password))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Ledger, NewService};

    fn ledger(services: &[(&str, ServiceKind)]) -> Ledger {
        let mut ledger = Ledger::new("shop");
        for (name, kind) in services {
            let (image, volume) = ("image", "volume");
            ledger.add(NewService { name, kind: *kind, image, volume, database: None, created: 0 });
        }
        ledger
    }

    fn names(ledger: &Ledger, primary: &[&str]) -> Vec<String> {
        let variables = injected(ledger.services(), primary.iter().copied(), &[]).unwrap();
        variables.iter().map(|variable| variable.name().to_owned()).collect()
    }

    #[test]
    fn the_standard_names_are_exactly_these() {
        let ledger = ledger(&[
            ("db", ServiceKind::Postgres),
            ("cache", ServiceKind::Valkey),
            ("documents", ServiceKind::Mongodb),
        ]);
        assert_eq!(
            names(&ledger, &[]),
            [
                "DB_HOST",
                "DB_PORT",
                "DB_DATABASE",
                "DB_USERNAME",
                "DB_PASSWORD",
                "DB_CONNECTION",
                "DATABASE_URL",
                "REDIS_HOST",
                "REDIS_PORT",
                "REDIS_PASSWORD",
                "REDIS_URL",
                "MONGO_HOST",
                "MONGO_PORT",
                "MONGO_DATABASE",
                "MONGO_USERNAME",
                "MONGO_PASSWORD",
                "MONGO_URL",
            ]
        );
    }

    #[test]
    fn the_first_of_a_family_owns_its_names_unless_another_is_primary() {
        let ledger = ledger(&[("db", ServiceKind::Postgres), ("old-shop", ServiceKind::Mysql)]);
        let first = names(&ledger, &[]);
        assert!(first.contains(&"DB_HOST".to_owned()) && first.contains(&"OLD_SHOP_HOST".to_owned()), "{first:?}");
        assert!(first.contains(&"OLD_SHOP_URL".to_owned()));

        let variables = injected(ledger.services(), ["old-shop"], &[]).unwrap_err();
        // The service that lost the standard names is called `db`, so its prefix would make the same names.
        assert_eq!(
            variables,
            InjectedError::Clash {
                first: "db".to_owned(),
                second: "old-shop".to_owned(),
                variable: "DB_HOST".to_owned()
            }
        );
    }

    #[test]
    fn primary_moves_the_standard_names() {
        let ledger = ledger(&[("shop", ServiceKind::Postgres), ("reports", ServiceKind::Postgres)]);
        let variables = injected(ledger.services(), ["reports"], &[]).unwrap();
        let host = variables.iter().find(|variable| variable.name() == "DB_HOST").unwrap();
        assert_eq!(host.service(), "reports");
        assert!(variables.iter().any(|variable| variable.name() == "SHOP_HOST"));
    }

    #[test]
    fn two_primaries_of_one_family_are_named() {
        let ledger = ledger(&[("a", ServiceKind::Postgres), ("b", ServiceKind::Mariadb), ("c", ServiceKind::Redis)]);
        assert!(injected(ledger.services(), ["a", "c"], &[]).is_ok());
        let error = injected(ledger.services(), ["a", "b"], &[]).unwrap_err();
        assert_eq!(error.to_string(), "services `a` and `b` are both primary for DB_*");
        assert!(matches!(injected(ledger.services(), ["gone"], &[]), Err(InjectedError::UnknownPrimary { .. })));
    }

    #[test]
    fn urls_are_made_for_every_kind() {
        for (kind, expected) in [
            (ServiceKind::Postgres, "postgresql://shop_a:PW@it:5432/shop"),
            (ServiceKind::Mysql, "mysql://shop:PW@it:3306/shop"),
            (ServiceKind::Mariadb, "mysql://shop:PW@it:3306/shop"),
            (ServiceKind::Redis, "redis://:PW@it:6379"),
            (ServiceKind::Valkey, "redis://:PW@it:6379"),
            (ServiceKind::Mongodb, "mongodb://shop_a:PW@it:27017/shop"),
        ] {
            let ledger = ledger(&[("it", kind)]);
            let service = &ledger.services()[0];
            assert_eq!(url_with(service, service.database(), "p@ss/word").replace("p%40ss%2Fword", "PW"), expected);
            let url = connection_url(service, service.database());
            assert_eq!(url.len(), expected.len() - "PW".len() + service.credential().len());
        }
    }

    #[test]
    fn sets_add_names_and_take_none_away() {
        let ledger = ledger(&[("db", ServiceKind::Postgres), ("other", ServiceKind::Postgres)]);
        let asked = [
            ("db", VariableSet::Libpq),
            ("db", VariableSet::Postgres),
            ("db", VariableSet::Named),
            ("db", VariableSet::Files),
        ];
        let variables = injected(ledger.services(), None, &asked).unwrap();
        let names: Vec<&str> = variables.iter().map(InjectedVariable::name).collect();
        assert_eq!(
            names[..21],
            [
                "DB_HOST",
                "DB_PORT",
                "DB_DATABASE",
                "DB_USERNAME",
                "DB_PASSWORD",
                "DB_CONNECTION",
                "DATABASE_URL",
                "PGHOST",
                "PGPORT",
                "PGDATABASE",
                "PGUSER",
                "PGPASSWORD",
                "POSTGRES_HOST",
                "POSTGRES_PORT",
                "POSTGRES_DB",
                "POSTGRES_USER",
                "POSTGRES_PASSWORD",
                "DB_URL",
                "DB_PASSWORD_FILE",
                "DATABASE_URL_FILE",
                "PGPASSWORD_FILE",
            ]
        );
        let files = variables.iter().filter(|variable| variable.shape() == Shape::File);
        assert!(files.clone().count() > 3 && files.clone().all(|variable| variable.name().ends_with("_FILE")));
        // Two services that would set the same variable are an error, even if both sets were requested.
        let clash = [("db", VariableSet::Libpq), ("other", VariableSet::Libpq)];
        let error = injected(ledger.services(), None, &clash).unwrap_err();
        assert_eq!(error.to_string(), "services `db` and `other` would both set PGHOST");
    }

    #[test]
    fn debug_shows_no_confidential_value() {
        let ledger = ledger(&[("db", ServiceKind::Postgres)]);
        let variables = injected(ledger.services(), None, &[]).unwrap();
        let sealed: serde_json::Value = serde_json::from_slice(&ledger.seal()).unwrap();
        let value = sealed["services"][0]["credential"].as_str().unwrap();
        assert!(!format!("{variables:?}").contains(value));
    }
}
