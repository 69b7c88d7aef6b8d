//! The commands that rotate a credential. They run inside the service's container: one enables the next credential,
//! the other revokes the old one.
//!
//! Both may be repeated in any state that an interrupted run can leave, and the credential of the instances is valid
//! at every moment. If the server accepts a hash or a verifier, the statement holds that instead of the password.
//! MySQL and MongoDB accept only the password itself. The statement for MySQL is kept out of the server's log, and is
//! sent through the server's own socket.

use sha1::{Digest, Sha1};
use zeroize::Zeroizing;

use crate::client::{
    Hopeless, Probe, Sign, address, mongo, mongo_user, mysql, postgres, postgres_roles, sha256, text, words,
};
use crate::kind::ServiceKind;
use crate::ledger::ServiceRecord;
use crate::quote;
use crate::rotation::Which;

/// The word that Redis prints after all earlier commands.
const FINISHED: &str = "prun: finished";

/// Returns the command that makes the service accept the next credential in addition to the current one.
#[must_use]
pub fn enable(service: &ServiceRecord) -> Probe {
    match service.kind() {
        ServiceKind::Postgres => postgres(service, postgres_roles(service, Which::Next)),
        ServiceKind::Mongodb => mongo(service, mongo_user(service, Which::Next)),
        ServiceKind::Mysql => mysql(service, "mysql", None, &mysql_both(service)),
        ServiceKind::Mariadb => mysql(service, "mariadb", None, &native(service, &[Which::Next, Which::Current])),
        ServiceKind::Redis => access_list(service, "redis-cli", ""),
        ServiceKind::Valkey => access_list(service, "valkey-cli", ""),
    }
}

/// Returns the command that makes the service accept only the next credential.
#[must_use]
pub fn revoke(service: &ServiceRecord) -> Probe {
    match service.kind() {
        ServiceKind::Postgres => postgres(service, postgres_revocation(service)),
        ServiceKind::Mongodb => mongo(service, mongo_revocation(service)),
        ServiceKind::Mysql => mysql(service, "mysql", None, &mysql_next(service)),
        ServiceKind::Mariadb => mysql(service, "mariadb", None, &native(service, &[Which::Next])),
        ServiceKind::Redis => access_list(service, "redis-cli", "resetpass "),
        ServiceKind::Valkey => access_list(service, "valkey-cli", "resetpass "),
    }
}

/// Revokes the old login. Sessions of the old login name are ended, because their credential no longer exists.
fn postgres_revocation(service: &ServiceRecord) -> Zeroizing<Vec<u8>> {
    let user = service.username_of(Which::Current);
    // The administrator of an external server may not have this right. The login is revoked all the same.
    let may_fail = if service.external().is_some() { "\\set ON_ERROR_STOP off\n" } else { "" };
    text(format!(
        "SELECT 'ALTER ROLE {user} NOLOGIN PASSWORD NULL' FROM pg_roles WHERE rolname = '{user}' \\gexec
{may_fail}SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = '{user}' \\g /dev/null
"
    ))
}

#[expect(clippy::disallowed_methods, reason = "door 39: MongoDB's administrator removes the old user")]
fn mongo_revocation(service: &ServiceRecord) -> Zeroizing<Vec<u8>> {
    let database = quote::script(service.database().unwrap_or_default());
    let user = quote::script(&service.username_of(Which::Current));
    let superuser = quote::script(service.superuser());
    text(format!(
        "db.getSiblingDB('admin').auth({superuser}, {})
const app = db.getSiblingDB({database})
app.getUser({user}) && app.dropUser({user})
",
        *Zeroizing::new(quote::script(service.administrator().expose()))
    ))
}

/// Makes MySQL accept both passwords. The current password is first made the only primary one; otherwise, a
/// repetition would retain the next password and lose the current one.
#[expect(clippy::disallowed_methods, reason = "door 49: MySQL is told both passwords")]
fn mysql_both(service: &ServiceRecord) -> Zeroizing<String> {
    let user = service.username();
    Zeroizing::new(format!(
        "ALTER USER '{user}'@'%' IDENTIFIED BY '{}'; ALTER USER '{user}'@'%' IDENTIFIED BY '{}' RETAIN CURRENT PASSWORD;",
        service.credential_of(Which::Current).expose(),
        service.credential_of(Which::Next).expose()
    ))
}

#[expect(clippy::disallowed_methods, reason = "door 50: MySQL is told the new password")]
fn mysql_next(service: &ServiceRecord) -> Zeroizing<String> {
    let user = service.username();
    Zeroizing::new(format!(
        "ALTER USER '{user}'@'%' IDENTIFIED BY '{}'; ALTER USER '{user}'@'%' DISCARD OLD PASSWORD;",
        service.credential_of(Which::Next).expose()
    ))
}

/// Makes the statement that a server executes at its start to set the administrator's password itself, because nobody
/// can log in.
#[expect(
    clippy::disallowed_methods,
    reason = "door 54: MySQL and MariaDB read their administrator's new password once"
)]
pub(crate) fn mysql_reset(service: &ServiceRecord) -> Zeroizing<Vec<u8>> {
    text(format!(
        "ALTER USER {}@'localhost' IDENTIFIED BY '{}';\n",
        quote::mysql_text(service.superuser()),
        service.administrator().expose()
    ))
}

/// Makes the statement that lets MariaDB accept these passwords. MariaDB has no second password, but a user may have
/// several ways to log in.
#[expect(clippy::disallowed_methods, reason = "door 51: MariaDB gets hashes made from the passwords")]
fn native(service: &ServiceRecord, which: &[Which]) -> String {
    let ways: Vec<String> = which
        .iter()
        .map(|which| {
            let hash = Sha1::digest(Sha1::digest(service.credential_of(*which).expose()));
            let hex = base16ct::upper::encode_string(&hash);
            format!("mysql_native_password USING '*{hex}'")
        })
        .collect();
    format!("ALTER USER '{}'@'%' IDENTIFIED VIA {};", service.username(), ways.join(" OR "))
}

/// Logs in with the password that the server accepts now, and sets the hashes of the passwords that are valid
/// afterwards.
#[expect(clippy::disallowed_methods, reason = "door 52: Redis and Valkey are logged in to and get hashes")]
fn access_list(service: &ServiceRecord, client: &str, before: &str) -> Probe {
    let login: String =
        service.credentials().map(|credential| format!("AUTH default {}\n", credential.expose())).collect();
    let hashes: Vec<String> = service.valid().map(|credential| sha256(credential.expose())).collect();
    Probe {
        command: [words(&[client]), address(service, "-h", "-p")].concat(),
        input: text(format!("{login}ACL SETUSER default {before}{}\nECHO \"{FINISHED}\"\n", hashes.join(" "))),
        done: Sign::Says(&[FINISHED]),
        refused: &["NOAUTH"],
        hopeless: Hopeless::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ledger, NewService, Stage};

    fn rotating(kind: ServiceKind, step: Stage) -> Ledger {
        let mut ledger = Ledger::new("shop");
        ledger.add(NewService { name: "it", kind, image: "image", volume: "volume", database: None, created: 0 });
        ledger.begin_rotation("it");
        ledger.advance("it", step);
        ledger
    }

    /// Returns the values of three credentials: the administrator's, the current and the next one.
    fn values(ledger: &Ledger) -> [String; 3] {
        let sealed: serde_json::Value = serde_json::from_slice(&ledger.seal()).unwrap();
        let service = &sealed["services"][0];
        [&service["administrator"], &service["credential"], &service["pending"]["credential"]]
            .map(|value| value.as_str().unwrap().to_owned())
    }

    fn input(probe: &Probe) -> String {
        String::from_utf8(probe.input().to_vec()).unwrap()
    }

    #[test]
    fn r9_no_password_stands_in_an_argument() {
        for kind in ServiceKind::ALL {
            let ledger = rotating(kind, Stage::Revoking);
            let service = &ledger.services()[0];
            for probe in [enable(service), revoke(service)] {
                assert!(values(&ledger).iter().all(|value| !format!("{probe:?}").contains(value)), "{kind}");
            }
        }
    }

    #[test]
    fn r9_servers_that_take_a_hash_never_hear_the_password_in_a_statement() {
        for kind in [ServiceKind::Postgres, ServiceKind::Mariadb] {
            let ledger = rotating(kind, Stage::Publishing);
            let [_, current, next] = values(&ledger);
            for probe in [enable(&ledger.services()[0]), revoke(&ledger.services()[0])] {
                assert!(!input(&probe).contains(&current) && !input(&probe).contains(&next), "{kind}");
            }
        }
        let ledger = rotating(ServiceKind::Valkey, Stage::Publishing);
        let [_, current, next] = values(&ledger);
        let text = input(&enable(&ledger.services()[0]));
        let statement = text.lines().find(|line| line.starts_with("ACL")).unwrap();
        assert!(!statement.contains(&current) && !statement.contains(&next));
    }

    #[test]
    fn an_access_list_has_both_hashes_until_the_old_one_is_revoked() {
        let hashes = |step| {
            let ledger = rotating(ServiceKind::Redis, step);
            let text = input(&revoke(&ledger.services()[0]));
            text.lines().find(|line| line.starts_with("ACL")).unwrap().matches('#').count()
        };
        assert_eq!([Stage::Enabling, Stage::Publishing, Stage::Revoking].map(hashes), [2, 2, 1]);
    }

    #[test]
    fn mariadbs_hash_is_the_servers_own() {
        // The hash is the result of `SELECT PASSWORD('secret')` on a server.
        let hash = Sha1::digest(Sha1::digest("secret"));
        assert_eq!(base16ct::upper::encode_string(&hash), "14E65567ABDB5135D0CFD9A70B3032C179A49EE7");
    }
}
