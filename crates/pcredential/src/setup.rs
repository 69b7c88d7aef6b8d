//! The environment, files and arguments of a service's container, in the form that the official images expect.
//!
//! The environment and the arguments hold no credential, because `docker inspect` would show it. Credentials are in
//! files, which the environment or the arguments name.

use zeroize::Zeroizing;

use crate::change;
use crate::client::sha256;
use crate::credential::ServiceCredential;
use crate::kind::ServiceKind;
use crate::ledger::{Phase, ServiceRecord};

/// The environment, files and arguments of a service's container.
pub struct Setup {
    environment: Vec<(String, String)>,
    files: Vec<SecretFile>,
    command: Option<Vec<String>>,
}

/// A file that a service reads. It must be on a tmpfs that only this service sees.
pub struct SecretFile {
    name: &'static str,
    content: Zeroizing<Vec<u8>>,
}

impl Setup {
    /// Returns the variables, which hold no secrets. Some of them name the files.
    #[must_use]
    pub fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    /// Returns the files.
    #[must_use]
    pub fn files(&self) -> &[SecretFile] {
        &self.files
    }

    /// Returns the arguments that replace the image's own, if the image must be told about a file.
    #[must_use]
    pub fn command(&self) -> Option<&[String]> {
        self.command.as_deref()
    }
}

impl SecretFile {
    /// Returns the file's name in the directory of the files.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name
    }

    /// Returns the file's content, which must be written to a place that only the service can read.
    #[must_use]
    pub fn content(&self) -> &[u8] {
        &self.content
    }
}

impl std::fmt::Debug for SecretFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SecretFile({})", self.name)
    }
}

const ADMINISTRATOR: &str = "administrator";
const APP: &str = "app";
const CONFIGURATION: &str = "server.conf";
const RESET: &str = "reset.sql";

/// Makes the setup of a service's container. `directory` is the path of the files in the container.
#[must_use]
pub fn setup(service: &ServiceRecord, directory: &str) -> Setup {
    let path = |file: &str| format!("{directory}/{file}");
    let configuration = path(CONFIGURATION);
    let name = service.database().unwrap_or_default().to_owned();
    let (environment, files, command) = match service.kind() {
        // The app's own roles are created after the start, so that there can be two of them (see `provision`).
        ServiceKind::Postgres => (
            vec![
                ("POSTGRES_USER", "postgres".to_owned()),
                ("POSTGRES_PASSWORD_FILE", path(ADMINISTRATOR)),
                ("POSTGRES_DB", name),
            ],
            vec![plain(ADMINISTRATOR, service.administrator())],
            None,
        ),
        ServiceKind::Mysql => (
            vec![
                ("MYSQL_ROOT_PASSWORD_FILE", path(ADMINISTRATOR)),
                ("MYSQL_ROOT_HOST", "localhost".to_owned()),
                ("MYSQL_DATABASE", name),
                ("MYSQL_USER", service.username()),
                ("MYSQL_PASSWORD_FILE", path(APP)),
            ],
            vec![plain(ADMINISTRATOR, service.administrator()), plain(APP, service.credential())],
            None,
        ),
        ServiceKind::Mariadb => (
            vec![
                ("MARIADB_ROOT_PASSWORD_FILE", path(ADMINISTRATOR)),
                ("MARIADB_ROOT_HOST", "localhost".to_owned()),
                ("MARIADB_DATABASE", name),
                ("MARIADB_USER", service.username()),
                ("MARIADB_PASSWORD_FILE", path(APP)),
            ],
            vec![plain(ADMINISTRATOR, service.administrator()), plain(APP, service.credential())],
            None,
        ),
        // The official images accept no password in the environment (docker-library/redis#46, #176), so the server
        // reads it from a configuration file.
        ServiceKind::Redis => (Vec::new(), vec![access_list(service)], Some(["redis-server", configuration.as_str()])),
        ServiceKind::Valkey => {
            (Vec::new(), vec![access_list(service)], Some(["valkey-server", configuration.as_str()]))
        }
        ServiceKind::Mongodb => (
            vec![
                ("MONGO_INITDB_ROOT_USERNAME", "root".to_owned()),
                ("MONGO_INITDB_ROOT_PASSWORD_FILE", path(ADMINISTRATOR)),
                ("MONGO_INITDB_DATABASE", name),
            ],
            vec![plain(ADMINISTRATOR, service.administrator())],
            None,
        ),
    };
    let (mut files, mut command) = (files, command);
    // The administrator's password is unknown, so the server itself sets a new one, which it reads from a file on the
    // tmpfs.
    let server = match service.kind() {
        ServiceKind::Mysql => Some("mysqld"),
        ServiceKind::Mariadb => Some("mariadbd"),
        ServiceKind::Postgres | ServiceKind::Redis | ServiceKind::Valkey | ServiceKind::Mongodb => None,
    };
    let option = format!("--init-file={}", path(RESET));
    if let Some(server) = server.filter(|_| service.phase() == Phase::Resetting) {
        files.push(SecretFile { name: RESET, content: change::mysql_reset(service) });
        command = Some([server, &option]);
    }
    Setup {
        environment: environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        files,
        command: command.map(|words: [&str; 2]| words.map(str::to_owned).to_vec()),
    }
}

#[expect(clippy::disallowed_methods, reason = "door 32: the service reads its first password from a file on a tmpfs")]
fn plain(name: &'static str, credential: &ServiceCredential) -> SecretFile {
    SecretFile { name, content: Zeroizing::new(credential.expose().into()) }
}

/// Makes the server's list of logins. The list holds hashes of all passwords that are valid now, so that a restart in
/// the middle of a rotation refuses no instance. The passwords themselves never enter the service's container.
#[expect(clippy::disallowed_methods, reason = "door 33: the access list of Redis and Valkey holds the password's hash")]
fn access_list(service: &ServiceRecord) -> SecretFile {
    let hashes: Vec<String> = service.valid().map(|credential| sha256(credential.expose())).collect();
    let content = format!("user default on {} ~* &* +@all\n", hashes.join(" "));
    SecretFile { name: CONFIGURATION, content: Zeroizing::new(content.into_bytes()) }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::ledger::{Ledger, NewService};

    fn record(kind: ServiceKind) -> Ledger {
        let mut ledger = Ledger::new("shop");
        ledger.add(NewService { name: "it", kind, image: "image", volume: "volume", database: None, created: 0 });
        ledger
    }

    fn values(ledger: &Ledger) -> [String; 2] {
        let sealed: serde_json::Value = serde_json::from_slice(&ledger.seal()).unwrap();
        let service = &sealed["services"][0];
        ["administrator", "credential"].map(|name| service[name].as_str().unwrap().to_owned())
    }

    #[test]
    fn r12_no_value_stands_in_the_environment_or_in_the_arguments() {
        for kind in ServiceKind::ALL {
            let ledger = record(kind);
            let setup = setup(&ledger.services()[0], "/run/prun");
            let shown = format!("{:?} {:?} {:?}", setup.environment(), setup.command(), setup.files());
            for value in values(&ledger) {
                assert!(!shown.contains(&value), "{kind}");
            }
        }
    }

    #[test]
    fn every_file_that_is_named_is_there() {
        for kind in ServiceKind::ALL {
            let ledger = record(kind);
            let setup = setup(&ledger.services()[0], "/run/prun");
            let named: Vec<&str> = setup
                .environment()
                .iter()
                .map(|(_, value)| value.as_str())
                .chain(setup.command().into_iter().flatten().map(String::as_str))
                .filter_map(|word| word.strip_prefix("/run/prun/"))
                .collect();
            let there: Vec<&str> = setup.files().iter().map(SecretFile::name).collect();
            assert_eq!(named, there, "{kind}");
        }
    }

    #[test]
    fn the_access_list_holds_the_hash_and_not_the_password() {
        let ledger = record(ServiceKind::Valkey);
        let setup = setup(&ledger.services()[0], "/run/prun");
        let text = String::from_utf8(setup.files()[0].content().to_vec()).unwrap();
        let [_, credential] = values(&ledger);
        let hex = base16ct::lower::encode_string(&Sha256::digest(&credential));
        assert_eq!(text, format!("user default on #{hex} ~* &* +@all\n"));
    }
}
