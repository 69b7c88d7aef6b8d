//! Reads the app and its services from a compose file. Values of variables that could be secret are not kept.

mod processes;
mod running;

use std::collections::BTreeSet;
use std::path::PathBuf;

use papp::Kind;

use super::apps::{App, Choice, apps, choose};
use super::interpolation::Interpolated;
use super::names::{Family, kind_of, looks_secret};
use super::yaml::{Yaml, YamlError};
pub(super) use processes::{InitDraft, ProcessDraft};

/// The names of compose files. The first one that exists is read.
pub(super) const FILES: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"];

/// The source of a variable's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum VariableSource {
    /// A text of the compose file itself; the variable's name does not look secret.
    Text(String),
    /// A text of the compose file that may be secret, so the text is not kept.
    Hidden,
    /// The value of another variable.
    Variable(String),
    /// The variable of the same name in the environment.
    Itself,
}

/// The source of a secret's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SecretSource {
    /// A variable of the environment.
    Variable(String),
    /// A file of the project.
    File(String),
    /// The compose file does not name a source.
    Unknown,
}

/// A database or a cache.
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

/// The parts of a compose file that `pbuild new` understands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Composition {
    pub(super) name: Option<String>,
    pub(super) image: Option<String>,
    /// The services that are built from folders of the project.
    pub(super) apps: Vec<String>,
    /// The app's context, below the project's folder. It is empty for the folder itself, and if there is no app.
    pub(super) context: PathBuf,
    /// The Dockerfile's path, relative to the context.
    pub(super) dockerfile: Option<String>,
    pub(super) target: Option<String>,
    pub(super) arguments: Vec<(String, VariableSource)>,
    /// The secrets of the app's build, each with the source that the compose file names.
    pub(super) secrets: Vec<(String, SecretSource)>,
    pub(super) environment: Vec<(String, VariableSource)>,
    pub(super) env_files: Vec<String>,
    pub(super) services: Vec<ServiceDraft>,
    /// The processes, the app itself first; none where there is no app.
    pub(super) processes: Vec<ProcessDraft>,
    pub(super) init: Vec<InitDraft>,
    /// The volumes of all processes.
    pub(super) volumes: Vec<String>,
    /// What was not taken over, with the reasons.
    pub(super) left_out: Vec<String>,
}

impl Composition {
    /// Reads a compose file.
    pub(super) fn read(text: &str, choice: Choice<'_>, known: Known<'_>) -> Result<Self, YamlError> {
        let yaml = Yaml::read(text)?;
        let mut reader = Reader { known, of_databases: secrets_of_databases(&yaml), found: Self::default() };
        reader.found.name = yaml.get("name").and_then(|name| reader.plain(name));
        let services = yaml.get("services").map(Yaml::entries).unwrap_or_default();
        let apps = apps(services, &|yaml| reader.plain(yaml));
        let own = choose(&apps, choice);
        let own_service = own.and_then(|own| services.iter().find(|(name, _)| name == own.name));
        if let (Some(own), Some((_, service))) = (own, own_service) {
            reader.app(own, service, yaml.get("secrets"));
        }
        let (one_offs, mut others) = (processes::one_offs(services), Vec::new());
        for (name, service) in services.iter().filter(|(name, _)| own.is_none_or(|own| own.name != name)) {
            let other = apps.iter().find(|app| app.name == name);
            let is_ours =
                own.zip(own_service).is_some_and(|(own, (_, app))| runs_the_image_of(service, other, app, own));
            match other {
                _ if is_ours => others.push((name, service)),
                Some(other) => reader.other_app(own, other),
                None => reader.service(name, service),
            }
        }
        for (name, service) in others {
            let is_one_off = one_offs.contains(name) || processes::is_migration(name, service);
            reader.other_process(name, service, is_one_off);
        }
        match own_service {
            // Beside others of its image the app has a command of its own, too.
            Some((name, service)) if !reader.found.has_one_process() => {
                let command = reader.command(name, service);
                reader.found.processes[0].command = command;
            }
            Some((_, service)) if service.get("command").is_some() => reader.leave_out(
                "command: prun starts what the image says (CMD); another command stands behind `prun start IMAGE`",
            ),
            Some(_) | None => {}
        }
        reader.found.apps = apps.iter().map(|app| app.name.to_owned()).collect();
        Ok(reader.found)
    }
}

/// The facts about variables from the env files.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    /// Returns whether a variable has a value.
    pub(super) has_value: &'a dyn Fn(&str) -> bool,
    /// Returns the value of a variable if the value is only a port or an address.
    pub(super) address: &'a dyn Fn(&str) -> Option<String>,
}

struct Reader<'a> {
    known: Known<'a>,
    /// The secrets that databases and caches get.
    of_databases: BTreeSet<String>,
    found: Composition,
}

impl Reader<'_> {
    /// Returns a text if no value of a variable takes part in it. Returns `None` also for a text with a NUL
    /// character, which a manifest cannot hold.
    fn plain(&self, yaml: &Yaml) -> Option<String> {
        Interpolated::read(&yaml.text()?).plain(self.known.has_value).filter(|text| !text.contains('\0'))
    }

    /// Returns the same text as [`Self::plain`], or `None` if the text is empty.
    fn filled(&self, yaml: &Yaml) -> Option<String> {
        self.plain(yaml).filter(|text| !text.is_empty())
    }

    fn leave_out(&mut self, what: impl Into<String>) {
        self.found.left_out.push(what.into());
    }

    /// Says why another app was left out.
    fn other_app(&mut self, own: Option<&App<'_>>, other: &App<'_>) {
        let name = other.name;
        self.leave_out(match own.filter(|own| own.context == other.context) {
            Some(own) => {
                let folder = if own.is_here() { "this" } else { "that" };
                format!("service {name} is built from {folder} folder too; `{}` was taken for the app", own.name)
            }
            None => format!("service {name} is an app of its own; `pbuild new --service {name}` begins with it"),
        });
    }

    /// Reads the app. `known` are the secrets of the whole file.
    fn app(&mut self, app: &App<'_>, service: &Yaml, known: Option<&Yaml>) {
        self.found.context.clone_from(&app.context);
        self.found.image = service.get("image").and_then(|image| self.plain(image));
        if let Some(build) = service.get("build") {
            self.found.dockerfile = build.get("dockerfile").and_then(|file| self.filled(file));
            self.found.target = build.get("target").and_then(|target| self.filled(target));
            self.found.arguments = build.get("args").map(|given| self.pairs(given)).unwrap_or_default();
            if build.get("dockerfile_inline").is_some() {
                self.leave_out("dockerfile_inline: move it to a Dockerfile");
            }
            for secret in build.get("secrets").map(Yaml::items).unwrap_or_default() {
                self.build_secret(secret, known);
            }
        }
        for secret in service.get("secrets").map(Yaml::items).unwrap_or_default() {
            if let Some(name) = secret.get("source").unwrap_or(secret).text() {
                self.app_secret(&name);
            }
        }
        self.found.environment = service.get("environment").map(|given| self.pairs(given)).unwrap_or_default();
        for file in service.get("env_file").map(Yaml::items).unwrap_or_default() {
            if let Some(path) = self.plain(file.get("path").unwrap_or(file)) {
                self.found.env_files.push(path);
            }
        }
        let process = self.process(&label(app.name), service);
        self.found.processes.push(process);
    }

    /// Says why a secret was left out that Compose mounts into the app. If a database has the secret too, prun makes
    /// the credential. Any other secret must be declared by the user, because the app reads it as a file and would
    /// get a variable.
    fn app_secret(&mut self, name: &str) {
        self.leave_out(match self.of_databases.contains(name) {
            true => format!("secret {name}: a database has it too; prun makes its credentials, and the app gets DB_PASSWORD"),
            false => format!(
                "secret {name} of the app, which Compose mounts as a file: `{name} = {{ scope = \"run\", as = \"file\" }}` below [secrets] does too"
            ),
        });
    }

    /// Reads a secret of the build. An entry is either a name, or a source with the ID that the Dockerfile mounts.
    fn build_secret(&mut self, secret: &Yaml, known: Option<&Yaml>) {
        let Some(source) = secret.get("source").unwrap_or(secret).text() else { return };
        let id = secret.get("target").and_then(Yaml::text).unwrap_or_else(|| source.clone());
        let about = known.and_then(|known| known.get(&source));
        let field = |key: &str| about.and_then(|about| self.filled(about.get(key)?));
        let value = match (field("environment"), field("file")) {
            (Some(variable), _) => SecretSource::Variable(variable),
            (None, Some(file)) => SecretSource::File(file),
            (None, None) => SecretSource::Unknown,
        };
        self.found.secrets.push((id, value));
    }

    /// Reads variables in either spelling: `NAME: value` or `- NAME=value`.
    fn pairs(&self, yaml: &Yaml) -> Vec<(String, VariableSource)> {
        let given = |name: &str, text: Option<String>| match text {
            None => VariableSource::Itself,
            Some(text) => {
                let read = Interpolated::read(&text);
                match (read.variable(), read.plain(self.known.has_value)) {
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

    fn service(&mut self, name: &str, service: &Yaml) {
        let image = service.get("image").and_then(Yaml::text);
        let Some(image) = image.filter(|_| service.get("build").is_none()) else {
            self.leave_out(match service.get("build") {
                Some(_) => format!("service {name}, which is built from elsewhere"),
                None => format!("service {name}: prun starts the app, databases and caches"),
            });
            return;
        };
        let read = Interpolated::read(&image);
        // The kind is known even if an env file decides the tag, because the image's name comes before the first
        // variable.
        let plain = read.plain(self.known.has_value);
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

    /// Makes a host name for a service that no other service has yet. Two different names in Compose may lead to the
    /// same host name, so a number is added if needed.
    fn free_label(&self, name: &str) -> String {
        let label = label(name);
        let found = &self.found;
        let taken = || {
            let services = found.services.iter().map(|service| &service.name);
            let processes = found.processes.iter().map(|process| &process.name);
            services.chain(processes).chain(found.init.iter().map(|init| &init.name))
        };
        let is_free = |label: &String| taken().all(|name| name != label);
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

/// Whether a service runs the image of the app: it names the same one, or is built in the same way.
fn runs_the_image_of(service: &Yaml, build: Option<&App<'_>>, app: &Yaml, own: &App<'_>) -> bool {
    let text = |service: &Yaml, key: &str| service.get(key).and_then(Yaml::text);
    let target = |service: &Yaml| service.get("build").and_then(|build| text(build, "target"));
    match (service.get("build"), build) {
        (None, _) => text(service, "image").is_some_and(|image| text(app, "image") == Some(image)),
        (Some(_), Some(build)) => build.is_built_as(own) && target(service) == target(app),
        (Some(_), None) => false,
    }
}

/// Lists the secrets of the services whose images are databases or caches.
fn secrets_of_databases(yaml: &Yaml) -> BTreeSet<String> {
    let services = yaml.get("services").map(Yaml::entries).unwrap_or_default();
    let is_database =
        |service: &Yaml| service.get("image").and_then(Yaml::text).is_some_and(|image| kind_of(&image).is_some());
    let databases = services.iter().map(|(_, service)| service).filter(|service| is_database(service));
    let secrets = databases.flat_map(|service| service.get("secrets").map(Yaml::items).unwrap_or_default());
    secrets.filter_map(|secret| secret.get("source").unwrap_or(secret).text()).collect()
}

/// Returns whether a text is a URL with a password.
pub(super) fn holds_credentials(text: &str) -> bool {
    let Some((_, rest)) = text.split_once("://") else { return false };
    rest.split(['/', '?', '#'])
        .next()
        .and_then(|authority| authority.rsplit_once('@'))
        .is_some_and(|(user, _)| user.contains(':'))
}

/// Turns a name into a valid host name.
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

    fn known() -> Known<'static> {
        Known {
            has_value: &|name| matches!(name, "SET" | "ADDRESS"),
            address: &|name| (name == "ADDRESS").then(|| "127.0.0.1:8000".to_owned()),
        }
    }

    fn read(text: &str) -> Composition {
        Composition::read(text, Choice::default(), known()).unwrap()
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
        let [app] = found.processes.as_slice() else { panic!("one process") };
        assert_eq!(app.ports, ["3000:3000", "8080:80", "53:53/udp", "127.0.0.1:90:9"]);
        assert_eq!(found.volumes, ["uploads:/srv/uploads"]);
        assert_eq!(
            app.health.as_deref(),
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
    fn a_file_without_an_app_has_no_app() {
        assert!(read("services: {db: {image: 'mysql:8'}}").processes.is_empty());
        assert!(read("services: {web: {build: './', ports: ['1:1']}}").processes[0].ports.len() == 1);
        for elsewhere in ["../web", "/srv/web", "https://git.example/web.git", "git@git.example:web.git"] {
            let found = read(&format!("services: {{web: {{build: '{elsewhere}', ports: ['1:1']}}}}"));
            assert!(found.processes.is_empty() && found.apps.is_empty(), "{elsewhere}");
            assert_eq!(found.left_out, ["service web, which is built from elsewhere"]);
        }
        assert_eq!(read(""), Composition::default());
        assert_eq!(read("- a\n- b"), Composition::default());
    }

    /// A common layout: each app in its own folder, with a proxy in front of them.
    const FOLDERS: &str = r#"
services:
  proxy: { build: proxy, ports: ["80:80"], depends_on: [backend] }
  backend:
    build: { context: ./backend, dockerfile: prod.Dockerfile, secrets: [index_token, { source: npm, target: npmrc }] }
    depends_on: { db: { condition: service_healthy } }
    secrets: [db-password]
  worker: { build: backend }
  frontend: { build: { context: frontend, dockerfile: ../docker/front }, ports: ["3000:3000"] }
  db: { image: "postgres:15", secrets: [root-password] }
secrets:
  index_token: { environment: INDEX_TOKEN }
  npm: { file: ./npmrc.secret }
  db-password: { file: db/password.txt }
"#;

    #[test]
    fn an_app_in_a_folder_of_its_own_is_found() {
        let found = read(FOLDERS);
        assert_eq!((found.context.to_str(), found.dockerfile.as_deref()), (Some("backend"), Some("prod.Dockerfile")));
        assert_eq!(found.apps, ["proxy", "backend", "worker", "frontend"]);
        let secrets = [
            ("index_token".to_owned(), SecretSource::Variable("INDEX_TOKEN".to_owned())),
            ("npmrc".to_owned(), SecretSource::File("./npmrc.secret".to_owned())),
        ];
        assert_eq!(found.secrets, secrets);
        let left_out = found.left_out.join("\n");
        for said in ["--service proxy", "--service frontend", "service worker is built from that folder", "db-password"]
        {
            assert!(left_out.contains(said), "{said}: {left_out}");
        }
        assert_eq!(found.services.len(), 1);
    }

    #[test]
    fn the_user_chooses_among_several_apps() {
        let context = |choice| {
            let found = Composition::read(FOLDERS, choice, known()).unwrap();
            found.context.to_str().unwrap().to_owned()
        };
        assert_eq!(context(Choice { service: Some("frontend"), ..Choice::default() }), "frontend");
        let of_file = |file: &'static str| Choice { dockerfile: Some(std::path::Path::new(file)), ..Choice::default() };
        assert_eq!(context(of_file("backend/prod.Dockerfile")), "backend");
        assert_eq!(context(of_file("docker/front")), "frontend");
        assert_eq!(context(of_file("proxy/Dockerfile")), "proxy");
        assert_eq!(context(of_file("Dockerfile")), "", "it belongs to none of them");
        assert_eq!(context(Choice { service: Some("nobody"), ..Choice::default() }), "");
    }

    #[test]
    fn a_name_becomes_a_host_name() {
        for (name, expected) in [("db", "db"), ("My_DB.1", "my-db-1"), ("1db", "db"), ("_", "service"), ("a-", "a")] {
            assert_eq!(label(name), expected);
        }
    }
}
