//! What is run inside a service's container to see whether it answers, to make the app's role, and to log in.
//!
//! Passwords go to the standard input of the service's own client, never into its arguments or its environment. Every
//! login goes to the service's name on the network: on the loopback address some servers trust everybody, and the
//! temporary server of an image's first start answers on its socket alone.

use rand::TryRng;
use rand::rngs::SysRng;
use zeroize::Zeroizing;

use crate::kind::ServiceKind;
use crate::ledger::ServiceRecord;
use crate::scram;

/// One command for the service's container, and how to judge what came back.
pub struct Probe {
    command: Vec<String>,
    input: Zeroizing<Vec<u8>>,
    done: Sign,
    refused: &'static [&'static str],
}

/// How a command says that it did its work.
#[derive(Clone, Copy)]
enum Sign {
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

/// A line that is said only by a script of ours that ran to its end; the script spells it in two halves, so that a
/// client that echoes its input does not say it.
const FINISHED: &str = "prun: finished";

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
        ServiceKind::Postgres => Some(Probe {
            command: words(&[
                "psql",
                "--no-psqlrc",
                "--quiet",
                "--set=ON_ERROR_STOP=1",
                "--username=postgres",
                "--no-password",
                "--dbname",
                service.database().unwrap_or_default(),
                "--file=-",
            ]),
            input: postgres_roles(service),
            done: Sign::Success,
            refused: &[],
        }),
        ServiceKind::Mongodb => Some(Probe {
            command: words(&["mongosh", "--quiet", "--norc"]),
            input: mongo_user(service),
            done: Sign::Says(&[FINISHED]),
            refused: &["Authentication failed"],
        }),
        ServiceKind::Mysql | ServiceKind::Mariadb | ServiceKind::Redis | ServiceKind::Valkey => None,
    }
}

/// Logs in over the network with the app's credential.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "door 34: a login needs the password, on the client's standard input")]
pub fn login(service: &ServiceRecord) -> Probe {
    let host = service.name();
    let user = service.username();
    let database = service.database().unwrap_or_default();
    let secret = service.credential().expose();
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
        ServiceKind::Mongodb => Probe {
            command: words(&["mongosh", "--quiet", "--norc", &format!("mongodb://{host}/{database}")]),
            input: text(format!("db.auth('{user}', '{secret}').ok && print('prun:' + ' finished')\n")),
            done: Sign::Says(&[FINISHED]),
            refused: &["Authentication failed"],
        },
    }
}

/// Ends in a verifier, so that no log of statements can hold the password.
#[expect(clippy::disallowed_methods, reason = "door 35: PostgreSQL gets a verifier made from the password")]
fn postgres_roles(service: &ServiceRecord) -> Zeroizing<Vec<u8>> {
    let owner = service.owner();
    let database = service.database().unwrap_or_default();
    let user = service.username();
    let mut salt = [0; 16];
    SysRng.try_fill_bytes(&mut salt).expect("the kernel gives random numbers, or nothing may be started");
    let verifier = scram::verifier(service.credential().expose().as_bytes(), &salt);
    text(format!(
        "SET log_statement = 'none';
SET log_min_error_statement = 'panic';
SELECT 'CREATE ROLE {owner} NOLOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{owner}') \\gexec
SELECT 'CREATE ROLE {user} LOGIN IN ROLE {owner}' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{user}') \\gexec
ALTER ROLE {user} LOGIN PASSWORD '{verifier}';
ALTER ROLE {user} IN DATABASE \"{database}\" SET role = '{owner}';
ALTER DATABASE \"{database}\" OWNER TO {owner};
"
    ))
}

/// One statement a line, because the shell reads lines. The app's user lives in the app's own database.
#[expect(clippy::disallowed_methods, reason = "door 36: MongoDB's shell gets both passwords on its standard input")]
fn mongo_user(service: &ServiceRecord) -> Zeroizing<Vec<u8>> {
    // Unlike the others, MongoDB takes no verifier.
    let database = service.database().unwrap_or_default();
    let user = service.username();
    let administrator = service.administrator().expose();
    let secret = service.credential().expose();
    text(format!(
        "db.getSiblingDB('admin').auth('root', '{administrator}').ok
const app = db.getSiblingDB('{database}')
const roles = [{{ role: 'dbOwner', db: '{database}' }}]
app.getUser('{user}') ? app.updateUser('{user}', {{ pwd: '{secret}', roles }}) : app.createUser({{ user: '{user}', pwd: '{secret}', roles }})
app.getUser('{user}') && print('prun:' + ' finished')
"
    ))
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn text(text: String) -> Zeroizing<Vec<u8>> {
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
            for probe in [Some(reach(service)), provision(service), Some(login(service))].into_iter().flatten() {
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
            let probe = login(&ledger.services()[0]);
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
            (ServiceKind::Mongodb, 0, "prun: finished\n", Verdict::Done),
            (ServiceKind::Mongodb, 0, "MongoServerError: Authentication failed.", Verdict::Refused),
        ];
        for (kind, code, output, expected) in cases {
            let ledger = ledger(*kind);
            assert_eq!(login(&ledger.services()[0]).judge(*code, output.as_bytes()), *expected, "{kind}: {output}");
        }
    }

    #[test]
    fn a_shell_that_echoes_its_input_has_not_finished() {
        let ledger = ledger(ServiceKind::Mongodb);
        for probe in [login(&ledger.services()[0]), provision(&ledger.services()[0]).unwrap()] {
            assert_eq!(probe.judge(0, probe.input()), Verdict::NotYet);
        }
    }
}
