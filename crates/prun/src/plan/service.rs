//! A service of the plan.

use pcredential::{External, Rights, ServiceKind, Terms, VariableSet};

use crate::plan::error::PlanError;

/// A service of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlannedService {
    /// The service's name.
    pub(crate) name: String,
    /// The service's kind.
    pub(crate) kind: ServiceKind,
    /// The image, if the user chose one.
    pub(crate) image: Option<String>,
    /// The database's name, if the user chose one.
    pub(crate) database: Option<String>,
    /// Whether the service fills the standard variables of its kind.
    pub(crate) primary: bool,
    /// Further sets of variables that the service fills.
    pub(crate) sets: Vec<VariableSet>,
    /// The rights of the app, and the databases and extensions that are made for it.
    pub(crate) terms: Terms,
    /// The server, if others run it.
    pub(crate) external: Option<PlannedExternal>,
}

/// A server that others run, as the manifest describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlannedExternal {
    /// The server's address, and how prun may deal with the server.
    pub(crate) server: External,
    /// The secret with the login that prun uses at the server.
    pub(crate) login: papp::ExternalLogin,
}

impl PlannedExternal {
    fn of_manifest(external: &papp::External, kind: ServiceKind) -> Self {
        let server = External {
            host: external.host.clone(),
            port: external.port.unwrap_or_else(|| kind.port()),
            username: external.username.clone(),
            administered: matches!(external.login, papp::ExternalLogin::Admin(_)),
        };
        Self { server, login: external.login.clone() }
    }
}

impl PlannedService {
    /// Plans a service of the manifest.
    ///
    /// # Errors
    ///
    /// Returns [`PlanError`] if the service's kind does not exist, or does not have the variables that the service is
    /// to fill.
    pub(crate) fn of_manifest(service: &papp::Service) -> Result<Self, PlanError> {
        let kind = ServiceKind::parse(service.kind.as_str())
            .ok_or_else(|| PlanError::DeclaredKind { service: service.name.clone() })?;
        let image =
            service.image.clone().or_else(|| service.version.as_deref().map(|version| kind.image(Some(version))));
        let sets: Vec<VariableSet> = service.variables.iter().filter_map(|name| VariableSet::parse(name)).collect();
        if let Some(set) = sets.iter().find(|set| !set.fits(kind)) {
            let (service, set, line) = (service.name.clone(), *set, service.line);
            return Err(PlanError::VariablesOfKind { service, kind, set, line });
        }
        Ok(Self {
            name: service.name.clone(),
            kind,
            image,
            database: service.database.clone().or_else(|| service.external.as_ref()?.database.clone()),
            primary: service.primary,
            sets,
            terms: Terms {
                rights: match service.rights {
                    papp::Rights::Owner => Rights::Owner,
                    papp::Rights::Admin => Rights::Admin,
                },
                extensions: service.extensions.clone(),
                databases: service.databases.clone(),
            },
            external: service.external.as_ref().map(|external| PlannedExternal::of_manifest(external, kind)),
        })
    }

    /// Reads `KIND[:VERSION][=NAME]`.
    ///
    /// # Errors
    ///
    /// Returns [`PlanError`] for a kind that does not exist or a name that cannot be used.
    pub(crate) fn of_flag(text: &str) -> Result<Self, PlanError> {
        let (kind, name) = text.split_once('=').map_or((text, None), |(kind, name)| (kind, Some(name)));
        let (kind, version) = kind.split_once(':').map_or((kind, None), |(kind, version)| (kind, Some(version)));
        let Some(kind) = ServiceKind::parse(kind) else {
            return Err(PlanError::OrderedKind { flag: text.to_owned(), kind: kind.to_owned() });
        };
        let default = match kind {
            ServiceKind::Postgres | ServiceKind::Mysql | ServiceKind::Mariadb => "db",
            ServiceKind::Redis | ServiceKind::Valkey => "cache",
            ServiceKind::Mongodb => "mongo",
        };
        let name = name.unwrap_or(default);
        if !is_label(name) {
            return Err(PlanError::ServiceName { flag: text.to_owned(), name: name.to_owned() });
        }
        let image = version.map(|version| kind.image(Some(version)));
        Ok(Self {
            name: name.to_owned(),
            kind,
            image,
            database: None,
            primary: false,
            sets: Vec::new(),
            terms: Terms::default(),
            external: None,
        })
    }
}

/// Writes a service as `KIND[:VERSION]=NAME`. The version is written if the service has one.
#[must_use]
pub(crate) fn full_name(service: &PlannedService) -> String {
    let version = service.image.as_deref().and_then(|image| image.rsplit_once(':')).map(|(_, version)| version);
    match version {
        Some(version) => format!("{}:{version}={}", service.kind, service.name),
        None => format!("{}={}", service.kind, service.name),
    }
}

fn is_label(name: &str) -> bool {
    name.len() <= 40
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}
