//! The commands that check whether a service answers, create the app's role, and log in. They run inside the
//! service's container.
//!
//! Passwords go to the standard input of the service's own client, and never into its arguments or environment. Every
//! login uses the service's name on the network, for two reasons: some servers accept every login on the loopback
//! address, and the temporary server of an image's first start listens only on its socket.

use zeroize::Zeroizing;

use crate::client::{
    Hopeless, Sign, address, mongo, mongo_url, mongo_user, mysql_user, postgres, postgres_roles, text, words,
};
use crate::kind::ServiceKind;
use crate::ledger::{Phase, ServiceRecord, Terms};
use crate::quote;
use crate::rotation::Which;

pub use crate::client::{Login, Probe};

/// Returns the command that checks whether the service answers on the network.
#[must_use]
pub fn reach(service: &ServiceRecord) -> Probe {
    let (command, done) = match service.kind() {
        ServiceKind::Postgres => {
            ([words(&["pg_isready", "--quiet"]), address(service, "--host", "--port")].concat(), Sign::Success)
        }
        ServiceKind::Mysql => (mysql_ping(service, "mysqladmin"), Sign::Success),
        ServiceKind::Mariadb => (mysql_ping(service, "mariadb-admin"), Sign::Success),
        ServiceKind::Redis => (list_ping(service, "redis-cli"), Sign::Says(&["PONG", "NOAUTH"])),
        ServiceKind::Valkey => (list_ping(service, "valkey-cli"), Sign::Says(&["PONG", "NOAUTH"])),
        ServiceKind::Mongodb => {
            (words(&["mongosh", "--quiet", "--norc", &mongo_url(service), "--eval", "db.hello().ok"]), Sign::Success)
        }
    };
    Probe { command, input: Zeroizing::default(), done, refused: &[], hopeless: Hopeless::Never }
}

fn mysql_ping(service: &ServiceRecord, client: &str) -> Vec<String> {
    [words(&[client, "--protocol=tcp"]), address(service, "--host", "--port"), words(&["ping"])].concat()
}

fn list_ping(service: &ServiceRecord, client: &str) -> Vec<String> {
    [words(&[client]), address(service, "-h", "-p"), words(&["ping"])].concat()
}

/// Returns the command that creates the app's role and its rights, if the image does not do so. It can run
/// repeatedly.
///
/// PostgreSQL and MongoDB get one of two login names, so that a second name can replace the first without a failed
/// login. Everything that the app creates in PostgreSQL belongs to a role that cannot log in, under either login
/// name.
#[must_use]
pub fn provision(service: &ServiceRecord) -> Option<Probe> {
    if !service.rotates() {
        return None;
    }
    // On a fresh volume, the image has made the user. On a volume with older data, it has not.
    let is_made = service.phase() == Phase::Sealed && *service.terms() == Terms::default();
    match service.kind() {
        ServiceKind::Postgres => {
            let mut script = postgres_roles(service, Which::Current);
            if service.stage().is_some() {
                let next = postgres_roles(service, Which::Next);
                script = Zeroizing::new(
                    [reconnected(service).as_bytes(), &next, reconnected(service).as_bytes(), &script].concat(),
                );
            }
            Some(postgres(service, script))
        }
        ServiceKind::Mongodb => Some(mongo(service, mongo_user(service, Which::Current))),
        ServiceKind::Mysql if !is_made => Some(mysql_user(service, "mysql")),
        ServiceKind::Mariadb if !is_made => Some(mysql_user(service, "mariadb")),
        ServiceKind::Mysql | ServiceKind::Mariadb | ServiceKind::Redis | ServiceKind::Valkey => None,
    }
}

/// Returns the line that reconnects to the app's first database, after extensions were made in other databases.
fn reconnected(service: &ServiceRecord) -> String {
    match service.external() {
        None => format!("\\connect {}\n", quote::name(service.database().unwrap_or_default())),
        Some(_) => String::new(),
    }
}

/// Returns the command that logs in over the network with one of the app's credentials.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "door 34: a login needs the password, on the client's standard input")]
pub fn login(service: &ServiceRecord, which: Which) -> Probe {
    let user = service.username_of(which);
    let database = service.database().unwrap_or_default();
    let secret = service.credential_of(which).expose();
    let sql = |client: &str| {
        let mut command = words(&[client, "--defaults-extra-file=/dev/stdin", "--protocol=tcp"]);
        command.extend(address(service, "--host", "--port"));
        command.extend(words(&["--batch", "--execute=select 1", database]));
        Probe {
            command,
            input: text(format!(
                "[client]\nuser={}\npassword={}\n",
                quote::option(&user),
                *Zeroizing::new(quote::option(secret))
            )),
            done: Sign::Success,
            refused: &["ERROR 1045", "ERROR 1698", "ERROR 1044"],
            hopeless: Hopeless::MysqlError,
        }
    };
    let list = |client: &str| Probe {
        command: [words(&[client]), address(service, "-h", "-p")].concat(),
        input: text(format!("AUTH {} {}\nPING\n", quote::argument(&user), *Zeroizing::new(quote::argument(secret)))),
        done: Sign::Says(&["PONG"]),
        refused: &["WRONGPASS", "NOAUTH", "invalid password", "without any password configured"],
        hopeless: Hopeless::Never,
    };
    match service.kind() {
        // If standard input is not a terminal, the client reads the password from it.
        ServiceKind::Postgres => {
            let mut command = words(&["psql", "--no-psqlrc", "--quiet", "--password"]);
            command.extend(address(service, "--host", "--port"));
            command.extend(words(&["--username", &user, "--dbname", database, "--command=select 1"]));
            Probe {
                command,
                input: text(format!("{secret}\n")),
                done: Sign::Success,
                refused: &["password authentication failed", "is not permitted to log in"],
                hopeless: Hopeless::PostgresScript,
            }
        }
        ServiceKind::Mysql => sql("mysql"),
        ServiceKind::Mariadb => sql("mariadb"),
        ServiceKind::Redis => list("redis-cli"),
        ServiceKind::Valkey => list("valkey-cli"),
        ServiceKind::Mongodb => {
            let (database, user) = (quote::script(database), quote::script(&user));
            let secret = Zeroizing::new(quote::script(secret));
            mongo(service, text(format!("db.getSiblingDB({database}).auth({user}, {})\n", *secret)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::contains;
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
        let cases: &[(ServiceKind, i64, &str, Login)] = &[
            (ServiceKind::Postgres, 0, " ?column? \n 1\n", Login::Done),
            (
                ServiceKind::Postgres,
                2,
                "psql: error: connection to server at \"it\" (10.0.0.2), port 5432 failed: FATAL:  password authentication failed for user \"shop_a\"",
                Login::Refused,
            ),
            (ServiceKind::Postgres, 2, "FATAL:  the database system is starting up", Login::NotYet),
            (ServiceKind::Postgres, 2, "could not connect to server: Connection refused", Login::NotYet),
            (ServiceKind::Mysql, 0, "1\n1\n", Login::Done),
            (ServiceKind::Mysql, 1, "ERROR 1045 (28000): Access denied for user 'shop'@'it'", Login::Refused),
            (
                ServiceKind::Mysql,
                1,
                "ERROR 2003 (HY000): Can't connect to MySQL server on 'it:3306' (111)",
                Login::NotYet,
            ),
            (ServiceKind::Valkey, 0, "OK\nPONG\n", Login::Done),
            (
                ServiceKind::Valkey,
                0,
                "WRONGPASS invalid username-password pair or user is disabled.\nNOAUTH Authentication required.\n",
                Login::Refused,
            ),
            (ServiceKind::Redis, 1, "Could not connect to Redis at it:6379: Connection refused", Login::NotYet),
            (ServiceKind::Redis, 0, "LOADING Redis is loading the dataset in memory", Login::NotYet),
            (ServiceKind::Mongodb, 0, "", Login::Done),
            (ServiceKind::Mongodb, 1, "MongoServerError: Authentication failed.", Login::Refused),
            (ServiceKind::Mongodb, 1, "MongoNetworkError: connect ECONNREFUSED 10.0.0.2:27017", Login::NotYet),
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
