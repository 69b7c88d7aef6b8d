//! What is run inside a service's container to see whether it answers, to make the app's role, and to log in.
//!
//! Passwords go to the standard input of the service's own client, never into its arguments or its environment. Every
//! login goes to the service's name on the network: on the loopback address some servers trust everybody, and the
//! temporary server of an image's first start answers on its socket alone.

use rand::TryRng;
use rand::rngs::SysRng;
use zeroize::Zeroizing;

use crate::change;
use crate::kind::ServiceKind;
use crate::ledger::{Phase, ServiceRecord};
use crate::rotation::Which;
use crate::scram;

/// One command for the service's container, and how to judge what came back.
pub struct Probe {
    pub(crate) command: Vec<String>,
    pub(crate) input: Zeroizing<Vec<u8>>,
    pub(crate) done: Sign,
    pub(crate) refused: &'static [&'static str],
}

/// How a command says that it did its work.
#[derive(Clone, Copy)]
pub(crate) enum Sign {
    /// It ends with code 0.
    Success,
    /// It says one of these words, whatever its code.
    Says(&'static [&'static str]),
}

/// What a probe found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It worked.
    Done,
    /// The service answered, and does not take this credential.
    Refused,
    /// The service does not answer yet, or not in a way that decides anything.
    NotYet,
}

impl Probe {
    /// The program and its arguments; no secret is among them.
    #[must_use]
    pub fn command(&self) -> &[String] {
        &self.command
    }

    /// What the program reads from its standard input; it may hold a password.
    #[must_use]
    pub fn input(&self) -> &[u8] {
        &self.input
    }

    /// Judges the program's exit code and all that it wrote.
    #[must_use]
    pub fn judge(&self, code: i64, output: &[u8]) -> Verdict {
        let says = |words: &[&str]| words.iter().any(|word| contains(output, word.as_bytes()));
        let done = match self.done {
            Sign::Success => code == 0,
            Sign::Says(words) => says(words),
        };
        if done {
            Verdict::Done
        } else if says(self.refused) {
            Verdict::Refused
        } else {
            Verdict::NotYet
        }
    }
}

impl std::fmt::Debug for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Probe({:?})", self.command)
    }
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}

/// Whether the service answers on the network.
#[must_use]
pub fn reach(service: &ServiceRecord) -> Probe {
    let host = service.name();
    let (command, done) = match service.kind() {
        ServiceKind::Postgres => (words(&["pg_isready", "--quiet", "--host", host]), Sign::Success),
        ServiceKind::Mysql => (words(&["mysqladmin", "--protocol=tcp", "--host", host, "ping"]), Sign::Success),
        ServiceKind::Mariadb => (words(&["mariadb-admin", "--protocol=tcp", "--host", host, "ping"]), Sign::Success),
        ServiceKind::Redis => (words(&["redis-cli", "-h", host, "ping"]), Sign::Says(&["PONG", "NOAUTH"])),
        ServiceKind::Valkey => (words(&["valkey-cli", "-h", host, "ping"]), Sign::Says(&["PONG", "NOAUTH"])),
        ServiceKind::Mongodb => {
            let url = format!("mongodb://{host}/");
            (words(&["mongosh", "--quiet", "--norc", &url, "--eval", "db.hello().ok"]), Sign::Success)
        }
    };
    Probe { command, input: Zeroizing::default(), done, refused: &[] }
}

/// Makes the app's role and rights where the image does not; may be repeated.
///
/// PostgreSQL and MongoDB get a login name of which there can be two, so that one can replace the other without a
/// failed login. What the app creates in PostgreSQL belongs to a role without login, whichever of the two it used.
#[must_use]
pub fn provision(service: &ServiceRecord) -> Option<Probe> {
    match service.kind() {
        ServiceKind::Postgres => Some(postgres(service, postgres_roles(service, Which::Current))),
        ServiceKind::Mongodb => Some(mongo(service, mongo_user(service, Which::Current))),
        // On a fresh volume the image has made the user; on data that was there it has not.
        ServiceKind::Mysql if service.phase() != Phase::Sealed => Some(change::mysql_user(service, "mysql")),
        ServiceKind::Mariadb if service.phase() != Phase::Sealed => Some(change::mysql_user(service, "mariadb")),
        ServiceKind::Mysql | ServiceKind::Mariadb | ServiceKind::Redis | ServiceKind::Valkey => None,
    }
}

/// Logs in over the network with one of the app's credentials.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "door 34: a login needs the password, on the client's standard input")]
pub fn login(service: &ServiceRecord, which: Which) -> Probe {
    let host = service.name();
    let user = service.username_of(which);
    let database = service.database().unwrap_or_default();
    let secret = service.credential_of(which).expose();
    let sql = |client: &str| Probe {
        command: words(&[
            client,
            "--defaults-extra-file=/dev/stdin",
            "--protocol=tcp",
            "--host",
            host,
            "--batch",
            "--execute=select 1",
            database,
        ]),
        input: text(format!("[client]\nuser={user}\npassword={secret}\n")),
        done: Sign::Success,
        refused: &["ERROR 1045", "ERROR 1698", "ERROR 1044"],
    };
    let list = |client: &str| Probe {
        command: words(&[client, "-h", host]),
        input: text(format!("AUTH {user} {secret}\nPING\n")),
        done: Sign::Says(&["PONG"]),
        refused: &["WRONGPASS", "NOAUTH", "invalid password", "without any password configured"],
    };
    match service.kind() {
        // Without a terminal the client reads the password from its standard input.
        ServiceKind::Postgres => Probe {
            command: words(&[
                "psql",
                "--no-psqlrc",
                "--quiet",
                "--password",
                "--host",
                host,
                "--username",
                &user,
                "--dbname",
                database,
                "--command=select 1",
            ]),
            input: text(format!("{secret}\n")),
            done: Sign::Success,
            refused: &["password authentication failed", "does not exist", "is not permitted to log in"],
        },
        ServiceKind::Mysql => sql("mysql"),
        ServiceKind::Mariadb => sql("mariadb"),
        ServiceKind::Redis => list("redis-cli"),
        ServiceKind::Valkey => list("valkey-cli"),
        ServiceKind::Mongodb => {
            mongo(service, text(format!("db.getSiblingDB('{database}').auth('{user}', '{secret}')\n")))
        }
    }
}

/// A script for MongoDB's shell. Read as a file it is echoed nowhere and kept in no history, and the first error ends it.
pub(crate) fn mongo(service: &ServiceRecord, script: Zeroizing<Vec<u8>>) -> Probe {
    let url = format!("mongodb://{}/", service.name());
    Probe {
        command: words(&["mongosh", "--quiet", "--norc", &url, "--file", "/dev/stdin"]),
        input: script,
        done: Sign::Success,
        refused: &["Authentication failed", "authentication failed"],
    }
}

/// A script for PostgreSQL's shell, as the superuser, whom the server knows on its own socket without a password.
pub(crate) fn postgres(service: &ServiceRecord, script: Zeroizing<Vec<u8>>) -> Probe {
    Probe {
        command: words(&[
            "psql",
            "--no-psqlrc",
            "--quiet",
            "--set=ON_ERROR_STOP=1",
            &format!("--username={}", service.superuser()),
            "--no-password",
            "--dbname",
            service.database().unwrap_or_default(),
            "--file=-",
        ]),
        input: script,
        done: Sign::Success,
        refused: &[],
    }
}

/// Ends in a verifier, so that no log of statements can hold the password.
#[expect(clippy::disallowed_methods, reason = "door 35: PostgreSQL gets a verifier made from the password")]
pub(crate) fn postgres_roles(service: &ServiceRecord, which: Which) -> Zeroizing<Vec<u8>> {
    let owner = service.owner();
    let database = service.database().unwrap_or_default();
    let user = service.username_of(which);
    let mut salt = [0; 16];
    SysRng.try_fill_bytes(&mut salt).expect("the kernel gives random numbers, or nothing may be started");
    let verifier = scram::verifier(service.credential_of(which).expose().as_bytes(), &salt);
    text(format!(
        "SET log_statement = 'none';
SET log_min_error_statement = 'panic';
SELECT 'CREATE ROLE {owner} NOLOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{owner}') \\gexec
SELECT 'CREATE ROLE {user} LOGIN IN ROLE {owner}' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{user}') \\gexec
ALTER ROLE {user} LOGIN PASSWORD '{verifier}';
ALTER ROLE {user} IN DATABASE \"{database}\" SET role = '{owner}';
ALTER DATABASE \"{database}\" OWNER TO {owner};
{}",
        // What others made there is the app's from now on.
        if service.phase() == Phase::Imported { adoption(owner) } else { String::new() }
    ))
}

/// Makes a role the owner of everything in the database but what extensions and identity columns own.
fn adoption(owner: &str) -> String {
    let outside = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = o.oid AND d.deptype IN ('a', 'i', 'e'))";
    format!(
        "SELECT format('ALTER SCHEMA %I OWNER TO {owner}', nspname) FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'public') \\gexec
SELECT format('ALTER TABLE %I.%I OWNER TO {owner}', n.nspname, o.relname) FROM pg_class o JOIN pg_namespace n ON n.oid = o.relnamespace WHERE o.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND {outside} \\gexec
SELECT format('ALTER ROUTINE %s OWNER TO {owner}', o.oid::regprocedure) FROM pg_proc o JOIN pg_namespace n ON n.oid = o.pronamespace WHERE {outside} \\gexec
"
    )
}

/// The app's user lives in the app's own database.
#[expect(clippy::disallowed_methods, reason = "door 36: MongoDB's shell gets both passwords on its standard input")]
pub(crate) fn mongo_user(service: &ServiceRecord, which: Which) -> Zeroizing<Vec<u8>> {
    // Unlike the others, MongoDB takes no verifier.
    let database = service.database().unwrap_or_default();
    let user = service.username_of(which);
    let (superuser, administrator) = (service.superuser(), service.administrator().expose());
    let secret = service.credential_of(which).expose();
    text(format!(
        "db.getSiblingDB('admin').auth('{superuser}', '{administrator}')
const app = db.getSiblingDB('{database}')
const roles = [{{ role: 'dbOwner', db: '{database}' }}]
app.getUser('{user}') ? app.updateUser('{user}', {{ pwd: '{secret}', roles }}) : app.createUser({{ user: '{user}', pwd: '{secret}', roles }})
"
    ))
}

pub(crate) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

pub(crate) fn text(text: String) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(text.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Ledger, NewService};

    fn ledger(kind: ServiceKind) -> Ledger {
        let mut ledger = Ledger::new("shop");
        ledger.add(NewService { name: "it", kind, image: "image", volume: "volume", database: None, created: 0 });
        ledger
    }

    fn values(ledger: &Ledger) -> [String; 2] {
        let sealed: serde_json::Value = serde_json::from_slice(&ledger.seal()).unwrap();
        ["administrator", "credential"].map(|name| sealed["services"][0][name].as_str().unwrap().to_owned())
    }

    #[test]
    fn r9_no_password_stands_in_an_argument() {
        for kind in ServiceKind::ALL {
            let ledger = ledger(kind);
            let service = &ledger.services()[0];
            for probe in
                [Some(reach(service)), provision(service), Some(login(service, Which::Current))].into_iter().flatten()
            {
                let shown = format!("{probe:?}");
                assert!(values(&ledger).iter().all(|value| !shown.contains(value)), "{kind}");
            }
        }
    }

    #[test]
    fn r9_postgres_never_gets_the_password_itself() {
        let ledger = ledger(ServiceKind::Postgres);
        let script = provision(&ledger.services()[0]).unwrap();
        let text = String::from_utf8(script.input().to_vec()).unwrap();
        assert!(text.contains("PASSWORD 'SCRAM-SHA-256$4096:"));
        assert!(values(&ledger).iter().all(|value| !text.contains(value)));
    }

    #[test]
    fn every_login_goes_over_the_network_with_the_password_on_stdin() {
        for kind in ServiceKind::ALL {
            let ledger = ledger(kind);
            let probe = login(&ledger.services()[0], Which::Current);
            assert!(probe.command().iter().any(|word| word == "it" || word.contains("//it/")), "{probe:?}");
            let [_, credential] = values(&ledger);
            assert!(contains(probe.input(), credential.as_bytes()), "{kind}");
        }
    }

    #[test]
    fn what_real_servers_answer_is_judged() {
        let cases: &[(ServiceKind, i64, &str, Verdict)] = &[
            (ServiceKind::Postgres, 0, " ?column? \n 1\n", Verdict::Done),
            (
                ServiceKind::Postgres,
                2,
                "psql: error: connection to server at \"it\" (10.0.0.2), port 5432 failed: FATAL:  password authentication failed for user \"shop_a\"",
                Verdict::Refused,
            ),
            (ServiceKind::Postgres, 2, "FATAL:  the database system is starting up", Verdict::NotYet),
            (ServiceKind::Postgres, 2, "could not connect to server: Connection refused", Verdict::NotYet),
            (ServiceKind::Mysql, 0, "1\n1\n", Verdict::Done),
            (ServiceKind::Mysql, 1, "ERROR 1045 (28000): Access denied for user 'shop'@'it'", Verdict::Refused),
            (
                ServiceKind::Mysql,
                1,
                "ERROR 2003 (HY000): Can't connect to MySQL server on 'it:3306' (111)",
                Verdict::NotYet,
            ),
            (ServiceKind::Valkey, 0, "OK\nPONG\n", Verdict::Done),
            (
                ServiceKind::Valkey,
                0,
                "WRONGPASS invalid username-password pair or user is disabled.\nNOAUTH Authentication required.\n",
                Verdict::Refused,
            ),
            (ServiceKind::Redis, 1, "Could not connect to Redis at it:6379: Connection refused", Verdict::NotYet),
            (ServiceKind::Redis, 0, "LOADING Redis is loading the dataset in memory", Verdict::NotYet),
            (ServiceKind::Mongodb, 0, "", Verdict::Done),
            (ServiceKind::Mongodb, 1, "MongoServerError: Authentication failed.", Verdict::Refused),
            (ServiceKind::Mongodb, 1, "MongoNetworkError: connect ECONNREFUSED 10.0.0.2:27017", Verdict::NotYet),
        ];
        for (kind, code, output, expected) in cases {
            let ledger = ledger(*kind);
            assert_eq!(
                login(&ledger.services()[0], Which::Current).judge(*code, output.as_bytes()),
                *expected,
                "{kind}: {output}"
            );
        }
    }
}
