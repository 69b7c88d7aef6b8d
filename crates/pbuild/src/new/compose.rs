//! The app and its services, as a compose file describes them. Values of variables that could be secret are not kept.

use std::path::{Component, Path};

use papp::{Kind, Port, Volume, VolumeSource};

use super::interpolation::Interpolated;
use super::names::{Family, looks_secret};
use super::yaml::{Yaml, YamlError};

/// Names of compose files, the first that exists counts.
pub(super) const FILES: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"];

/// The source of a variable's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum VariableSource {
    /// A text of the compose file itself, of a name that does not look secret.
    Text(String),
    /// A text of the compose file that may be secret; it is not kept.
    Hidden,
    /// The value of another variable.
    Variable(String),
    /// The variable of the same name in the environment.
    Itself,
}

/// A database or cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServiceDraft {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) version: Option<String>,
    pub(super) image: Option<String>,
    pub(super) database: Option<String>,
}

impl ServiceDraft {
    pub(super) fn family(&self) -> Family {
        match self.kind.family() {
            papp::Family::Sql => Family::Sql,
            papp::Family::Redis => Family::Redis,
            papp::Family::Mongo => Family::Mongo,
        }
    }
}

/// The parts of a compose file that were understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Composition {
    pub(super) name: Option<String>,
    pub(super) image: Option<String>,
    pub(super) dockerfile: Option<String>,
    pub(super) target: Option<String>,
    pub(super) arguments: Vec<(String, VariableSource)>,
    pub(super) environment: Vec<(String, VariableSource)>,
    pub(super) env_files: Vec<String>,
    pub(super) services: Vec<ServiceDraft>,
    pub(super) ports: Vec<String>,
    pub(super) volumes: Vec<String>,
    pub(super) health: Option<Vec<String>>,
    /// The things that were not taken over, with the reasons.
    pub(super) left_out: Vec<String>,
}

impl Composition {
    /// Reads a compose file. `has_value` says whether an env file gives a variable a value.
    pub(super) fn read(text: &str, has_value: &dyn Fn(&str) -> bool) -> Result<Self, YamlError> {
        let yaml = Yaml::read(text)?;
        let mut reader = Reader { has_value, found: Self::default() };
        reader.found.name = yaml.get("name").and_then(|name| reader.plain(name));
        let services = yaml.get("services").map(Yaml::entries).unwrap_or_default();
        let own = reader.own(services);
        for (name, service) in services {
            if own == Some(name) {
                reader.app(service);
            } else {
                reader.service(name, service);
            }
        }
        Ok(reader.found)
    }
}

struct Reader<'a> {
    has_value: &'a dyn Fn(&str) -> bool,
    found: Composition,
}

impl Reader<'_> {
    /// Returns a text in which no value of a variable takes part. A NUL character, which a manifest cannot hold, makes
    /// it none.
    fn plain(&self, yaml: &Yaml) -> Option<String> {
        Interpolated::read(&yaml.text()?).plain(self.has_value).filter(|text| !text.contains('\0'))
    }

    /// Returns what [`Self::plain`] does, but nothing for an empty text.
    fn filled(&self, yaml: &Yaml) -> Option<String> {
        self.plain(yaml).filter(|text| !text.is_empty())
    }

    fn leave_out(&mut self, what: impl Into<String>) {
        self.found.left_out.push(what.into());
    }

    /// Finds the service that is built from this folder; of several, a service that publishes ports.
    fn own<'y>(&mut self, services: &'y [(String, Yaml)]) -> Option<&'y String> {
        let here = |(_, service): &&(String, Yaml)| {
            let build = service.get("build")?;
            let context = build.get("context").unwrap_or(build).text().unwrap_or_else(|| ".".to_owned());
            Path::new(&context).components().all(|part| part == Component::CurDir).then_some(())
        };
        let built: Vec<&(String, Yaml)> = services.iter().filter(|entry| here(entry).is_some()).collect();
        let own = built.iter().find(|(_, service)| service.get("ports").is_some()).or(built.first())?;
        for (name, _) in built.iter().filter(|(name, _)| *name != own.0) {
            self.leave_out(format!("service {name} is built from this folder too; `{}` was taken for the app", own.0));
        }
        Some(&own.0)
    }

    fn app(&mut self, service: &Yaml) {
        self.found.image = service.get("image").and_then(|image| self.plain(image));
        if let Some(build) = service.get("build") {
            self.found.dockerfile = build.get("dockerfile").and_then(|file| self.filled(file));
            self.found.target = build.get("target").and_then(|target| self.filled(target));
            self.found.arguments = build.get("args").map(|given| self.pairs(given)).unwrap_or_default();
            if build.get("dockerfile_inline").is_some() {
                self.leave_out("dockerfile_inline: move it to a Dockerfile");
            }
        }
        self.found.environment = service.get("environment").map(|given| self.pairs(given)).unwrap_or_default();
        for file in service.get("env_file").map(Yaml::items).unwrap_or_default() {
            if let Some(path) = self.plain(file.get("path").unwrap_or(file)) {
                self.found.env_files.push(path);
            }
        }
        for port in service.get("ports").map(Yaml::items).unwrap_or_default() {
            self.port(port);
        }
        for volume in service.get("volumes").map(Yaml::items).unwrap_or_default() {
            self.volume(volume);
        }
        if let Some(check) = service.get("healthcheck") {
            self.health(check);
        }
        for key in ["command", "entrypoint"] {
            if service.get(key).is_some() {
                self.leave_out(format!("{key}: prun starts what the image says (CMD, ENTRYPOINT)"));
            }
        }
    }

    /// Reads variables in both spellings: `NAME: value` and `- NAME=value`.
    fn pairs(&self, yaml: &Yaml) -> Vec<(String, VariableSource)> {
        let given = |name: &str, text: Option<String>| match text {
            None => VariableSource::Itself,
            Some(text) => {
                let read = Interpolated::read(&text);
                match (read.variable(), read.plain(self.has_value)) {
                    (Some(variable), None) if variable == name => VariableSource::Itself,
                    (Some(variable), None) => VariableSource::Variable(variable.to_owned()),
                    (_, Some(plain)) if !looks_secret(name) && !holds_credentials(&plain) && !plain.contains('\0') => {
                        VariableSource::Text(plain)
                    }
                    _ => VariableSource::Hidden,
                }
            }
        };
        match yaml {
            Yaml::Map(entries) => {
                entries.iter().map(|(name, value)| (name.clone(), given(name, value.text()))).collect()
            }
            other => other
                .items()
                .iter()
                .filter_map(Yaml::text)
                .map(|item| match item.split_once('=') {
                    Some((name, value)) => (name.to_owned(), given(name, Some(value.to_owned()))),
                    None => (item.clone(), VariableSource::Itself),
                })
                .collect(),
        }
    }

    fn port(&mut self, yaml: &Yaml) {
        let field = |key: &str| yaml.get(key).and_then(|value| self.plain(value));
        let text = match yaml {
            Yaml::Map(_) => field("target").map(|target| {
                let protocol = field("protocol").filter(|protocol| protocol == "udp").map_or("", |_| "/udp");
                let host = field("published").map(|port| format!("{port}:")).unwrap_or_default();
                let address = field("host_ip").map(|address| format!("{address}:")).unwrap_or_default();
                format!("{address}{host}{target}{protocol}")
            }),
            other => self.plain(other),
        };
        match text {
            Some(text) if Port::parse(&text).is_some_and(|port| !port.udp) => self.found.ports.push(text),
            Some(text) => self.leave_out(format!("port {text:?}: prun publishes single TCP ports")),
            None => self.leave_out("a port that an env file decides: write it below [run]"),
        }
    }

    fn volume(&mut self, yaml: &Yaml) {
        let field = |key: &str| yaml.get(key).and_then(|value| self.plain(value));
        let text = match yaml {
            Yaml::Map(_) => field("source").zip(field("target")).map(|(source, target)| format!("{source}:{target}")),
            other => self.plain(other),
        };
        match text.as_deref().map(|text| (text, Volume::parse(text))) {
            Some((text, Some(Volume { source: VolumeSource::Named(_), .. }))) => {
                self.found.volumes.push(text.to_owned());
            }
            Some((text, Some(_))) => self.leave_out(format!(
                "volume {text:?}: a folder of this machine, often for development alone; if the app needs it, write it below [run]"
            )),
            Some((text, None)) => self.leave_out(format!("volume {text:?}")),
            None => self.leave_out("a volume that cannot be written as SOURCE:TARGET"),
        }
    }

    fn health(&mut self, yaml: &Yaml) {
        let disabled = matches!(yaml.get("disable"), Some(Yaml::Boolean(true)));
        let Some(test) = yaml.get("test").filter(|_| !disabled) else { return };
        let words: Option<Vec<String>> = test.items().iter().map(|word| self.plain(word)).collect();
        let shell = |script: &str| vec!["sh".to_owned(), "-c".to_owned(), script.to_owned()];
        match (test, words.as_deref()) {
            (Yaml::Text(_), Some([script])) => self.found.health = Some(shell(script)),
            (_, Some([kind, script])) if kind == "CMD-SHELL" => self.found.health = Some(shell(script)),
            (_, Some([kind, command @ ..])) if kind == "CMD" && !command.is_empty() => {
                self.found.health = Some(command.to_vec());
            }
            (_, Some([kind, ..])) if kind == "NONE" => {}
            _ => self.leave_out("healthcheck: write it below [run]"),
        }
    }

    fn service(&mut self, name: &str, service: &Yaml) {
        let image = service.get("image").and_then(Yaml::text);
        let Some(image) = image.filter(|_| service.get("build").is_none()) else {
            self.leave_out(format!("service {name}: prun starts the app, databases and caches"));
            return;
        };
        let read = Interpolated::read(&image);
        // The kind is known even where an env file decides the tag: the name stands before the variables.
        let plain = read.plain(self.has_value);
        let known = plain.clone().unwrap_or_else(|| image.split("${").next().unwrap_or_default().to_owned());
        let Some((kind, official)) = kind_of(&known) else {
            self.leave_out(format!("service {name}: prun has no kind of service for its image"));
            return;
        };
        let tag = known.rsplit_once('/').map_or(known.as_str(), |(_, last)| last).split_once(':').map(|(_, tag)| tag);
        let (mut version, mut other) = (None, None);
        match (&plain, tag) {
            (None, _) => self.leave_out(format!("the version of service {name}, which an env file decides")),
            (Some(plain), _) if !papp::is_reference(plain) => {
                self.leave_out(format!("service {name}: its `image` is not the name of an image"));
                return;
            }
            (Some(plain), tag)
                if !official || plain.contains('@') || tag.is_some_and(|tag| !tag.is_empty() && !papp::is_tag(tag)) =>
            {
                other = Some(plain.clone());
            }
            (Some(_), None | Some("latest" | "")) => {
                self.leave_out(format!(
                    "service {name} has no version in its tag; write one, so that data and server stay fit"
                ));
            }
            (Some(_), Some(tag)) => version = Some(tag.to_owned()),
        }
        let database = self.database(kind, service);
        let label = self.free_label(name);
        if label != name {
            self.leave_out(format!(
                "the name of service {name}, which became {label}; apps find it by DB_HOST and the like"
            ));
        }
        self.found.services.push(ServiceDraft { name: label, kind, version, image: other, database });
    }

    /// Makes a host name for a service that no other service has yet: different names in Compose may lead to the same
    /// host name.
    fn free_label(&self, name: &str) -> String {
        let label = label(name);
        let is_free = |label: &String| self.found.services.iter().all(|service| service.name != *label);
        let short: String = label.chars().take(28).collect();
        let numbered = (2_u32..).map(|number| format!("{short}-{number}"));
        std::iter::once(label).chain(numbered).find(is_free).unwrap_or_default()
    }

    fn database(&self, kind: Kind, service: &Yaml) -> Option<String> {
        let variable = match kind {
            Kind::Postgres => "POSTGRES_DB",
            Kind::MySql => "MYSQL_DATABASE",
            Kind::MariaDb => "MARIADB_DATABASE",
            Kind::MongoDb => "MONGO_INITDB_DATABASE",
            Kind::Redis | Kind::Valkey => return None,
        };
        let pairs = self.pairs(service.get("environment")?);
        let given = |wanted: &str| pairs.iter().find(|(name, _)| name == wanted).map(|(_, given)| given);
        let found = given(variable).or_else(|| given("MYSQL_DATABASE").filter(|_| kind == Kind::MariaDb))?;
        let VariableSource::Text(name) = found else { return None };
        let plain = |c: char| c == '_' || c.is_ascii_alphanumeric();
        (name.len() <= 63 && name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(plain))
            .then(|| name.clone())
    }
}

/// Tells by an image's name which kind of service it is, and whether it is the official image.
fn kind_of(image: &str) -> Option<(Kind, bool)> {
    let name = image.split('@').next().unwrap_or_default();
    let (path, last) = name.rsplit_once('/').map_or(("", name), |(path, last)| (path, last));
    let last = last.split(':').next().unwrap_or_default();
    let kind = match last {
        "postgres" => Kind::Postgres,
        "mysql" => Kind::MySql,
        "mariadb" => Kind::MariaDb,
        "redis" => Kind::Redis,
        "valkey" => Kind::Valkey,
        "mongo" => Kind::MongoDb,
        _ => return None,
    };
    // Images that others made under the name have other entrypoints.
    let official = match kind {
        Kind::Valkey => matches!(path, "valkey" | "docker.io/valkey"),
        Kind::Postgres | Kind::MySql | Kind::MariaDb | Kind::Redis | Kind::MongoDb => {
            matches!(path, "" | "library" | "docker.io/library" | "docker.io")
        }
    };
    let is_registry = path.contains(['.', ':']) || path.starts_with("localhost");
    (official || is_registry).then_some((kind, official))
}

/// Whether a text is a URL with a password in it.
pub(super) fn holds_credentials(text: &str) -> bool {
    let Some((_, rest)) = text.split_once("://") else { return false };
    rest.split(['/', '?', '#'])
        .next()
        .and_then(|authority| authority.rsplit_once('@'))
        .is_some_and(|(user, _)| user.contains(':'))
}

/// Turns a name into one that a host can have.
fn label(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    let text: String =
        lower.chars().map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' }).collect();
    let text = text.trim_start_matches(|c: char| !c.is_ascii_lowercase());
    let text: String = text.chars().take(32).collect();
    let text = text.trim_end_matches('-');
    if text.is_empty() { "service".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Composition {
        Composition::read(text, &|name| name == "SET").unwrap()
    }

    const FULL: &str = r#"
name: shop
services:
  web:
    image: shop:1
    build:
      context: .
      target: runtime
      args: { NODE_VERSION: 22, NPM_TOKEN: "${NPM_TOKEN}", MODE: "${SET:-x}" }
    environment:
      - NODE_ENV=production
      - API_TOKEN=c4n4ry-9f3b27e1
      - OTHER=${SET}
      - DATABASE_URL=postgres://shop:c4n4ry-9f3b27e1@db/shop
      - BARE
    env_file: [.env, {path: web.env, required: false}]
    ports: ["3000:3000", "${PORT:-8080}:80", "53:53/udp", "3000-3001:3000-3001", {target: 9, published: 90, host_ip: 127.0.0.1}]
    volumes: ["uploads:/srv/uploads", ".:/app", "/app/node_modules"]
    healthcheck: { test: ["CMD-SHELL", "curl -f http://localhost:3000/$$x"] }
    command: npm run dev
  db:
    image: postgres:${PG:-17}
    environment: { POSTGRES_DB: shop, POSTGRES_PASSWORD: c4n4ry-9f3b27e1 }
  Cache_1: { image: "valkey/valkey:8" }
  worker: { build: . }
  mail: { image: mailhog/mailhog }
  old: { image: "registry.example:5000/mysql:8@sha256:00" }
  any: { image: mongo }
  env: { image: "redis:${SET}" }
  other: { image: "bitnami/redis:7" }
"#;

    #[test]
    fn takes_over_what_is_plain_and_names_the_rest() {
        let found = read(FULL);
        assert_eq!(
            (found.name.as_deref(), found.image.as_deref(), found.target.as_deref()),
            (Some("shop"), Some("shop:1"), Some("runtime"))
        );
        let text = |text: &str| VariableSource::Text(text.to_owned());
        assert_eq!(
            found.arguments,
            [
                ("NODE_VERSION".into(), text("22")),
                ("NPM_TOKEN".into(), VariableSource::Itself),
                ("MODE".into(), VariableSource::Variable("SET".into()))
            ]
        );
        assert_eq!(
            found.environment,
            [
                ("NODE_ENV".into(), text("production")),
                ("API_TOKEN".into(), VariableSource::Hidden),
                ("OTHER".into(), VariableSource::Variable("SET".into())),
                ("DATABASE_URL".into(), VariableSource::Hidden),
                ("BARE".into(), VariableSource::Itself),
            ]
        );
        assert_eq!(found.env_files, [".env", "web.env"]);
        assert_eq!(found.ports, ["3000:3000", "8080:80", "127.0.0.1:90:9"]);
        assert_eq!(found.volumes, ["uploads:/srv/uploads"]);
        assert_eq!(
            found.health.as_deref(),
            Some(&["sh".to_owned(), "-c".into(), "curl -f http://localhost:3000/$x".into()][..])
        );
        let services: Vec<_> = found
            .services
            .iter()
            .map(|s| (s.name.as_str(), s.kind, s.version.as_deref(), s.image.as_deref(), s.database.as_deref()))
            .collect();
        assert_eq!(
            services,
            [
                ("db", Kind::Postgres, Some("17"), None, Some("shop")),
                ("cache-1", Kind::Valkey, Some("8"), None, None),
                ("old", Kind::MySql, None, Some("registry.example:5000/mysql:8@sha256:00"), None),
                ("any", Kind::MongoDb, None, None, None),
                ("env", Kind::Redis, None, None, None),
            ]
        );
        let left_out = found.left_out.join("\n");
        for said in [
            "53:53/udp",
            "3000-3001",
            "\".:/app\"",
            "/app/node_modules",
            "command",
            "worker",
            "mail",
            "service any has no version",
            "version of service env",
            "service other",
        ] {
            assert!(left_out.contains(said), "{said}: {left_out}");
        }
        assert!(!format!("{found:?}").contains("c4n4ry"));
    }

    #[test]
    fn a_file_without_an_app_or_of_another_folder_has_no_app() {
        assert_eq!(read("services: {db: {image: 'mysql:8'}}").ports, [""; 0]);
        assert!(read("services: {web: {build: ./web, ports: ['1:1']}}").ports.is_empty());
        assert!(read("services: {web: {build: './', ports: ['1:1']}}").ports.len() == 1);
        assert_eq!(read(""), Composition::default());
        assert_eq!(read("- a\n- b"), Composition::default());
    }

    #[test]
    fn a_name_becomes_a_host_name() {
        for (name, expected) in [("db", "db"), ("My_DB.1", "my-db-1"), ("1db", "db"), ("_", "service"), ("a-", "a")] {
            assert_eq!(label(name), expected);
        }
    }
}
