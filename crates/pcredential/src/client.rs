//! Commands of the clients in a service's own container: their arguments, their standard input, and the meaning of
//! their output.

use rand::TryRng;
use rand::rngs::SysRng;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::ledger::{Phase, ServiceRecord};
use crate::rotation::Which;
use crate::scram;

/// A command for the service's container, with the rules that judge its result.
pub struct Probe {
    pub(crate) command: Vec<String>,
    pub(crate) input: Zeroizing<Vec<u8>>,
    pub(crate) done: Sign,
    pub(crate) refused: &'static [&'static str],
}

/// The sign by which a command reports success.
#[derive(Clone, Copy)]
pub(crate) enum Sign {
    /// The program exits with code 0.
    Success,
    /// The program prints one of these words, whatever its exit code is.
    Says(&'static [&'static str]),
}

/// The result of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// The command succeeded.
    Done,
    /// The service answered, but does not accept the credential.
    Refused,
    /// The service does not answer yet, or its answer decides nothing.
    NotYet,
}

impl Probe {
    /// Returns the program and its arguments, which hold no secret.
    #[must_use]
    pub fn command(&self) -> &[String] {
        &self.command
    }

    /// Returns the program's standard input, which may hold a password.
    #[must_use]
    pub fn input(&self) -> &[u8] {
        &self.input
    }

    /// Judges the program's exit code and its whole output.
    #[must_use]
    pub fn judge(&self, code: i64, output: &[u8]) -> Login {
        let says = |words: &[&str]| words.iter().any(|word| contains(output, word.as_bytes()));
        let done = match self.done {
            Sign::Success => code == 0,
            Sign::Says(words) => says(words),
        };
        if done {
            Login::Done
        } else if says(self.refused) {
            Login::Refused
        } else {
            Login::NotYet
        }
    }
}

impl std::fmt::Debug for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Probe({:?})", self.command)
    }
}

pub(crate) fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}

/// Makes a command that runs a script in MongoDB's shell. The shell reads the script as a file, so it neither echoes
/// the script nor keeps it in its history, and ends at the first error.
pub(crate) fn mongo(service: &ServiceRecord, script: Zeroizing<Vec<u8>>) -> Probe {
    let url = format!("mongodb://{}/", service.name());
    Probe {
        command: words(&["mongosh", "--quiet", "--norc", &url, "--file", "/dev/stdin"]),
        input: script,
        done: Sign::Success,
        refused: &["Authentication failed", "authentication failed"],
    }
}

/// Makes a command that runs a script in PostgreSQL's shell. The script runs as the superuser, whom the server
/// accepts on its own socket without a password.
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

/// Makes a command with an option file that holds both the login and the statement, because there is only one
/// standard input.
#[expect(clippy::disallowed_methods, reason = "door 40: the administrator of MySQL and MariaDB logs in")]
pub(crate) fn mysql(service: &ServiceRecord, client: &str, statement: &str) -> Probe {
    let (superuser, administrator) = (service.superuser(), service.administrator().expose());
    Probe {
        command: words(&[client, "--defaults-extra-file=/dev/stdin", "--batch"]),
        input: text(format!(
            "[client]\nuser={superuser}\npassword={administrator}\n[mysql]\nexecute=\"SET SESSION sql_log_off = 1; {statement}\"\n"
        )),
        done: Sign::Success,
        refused: &["ERROR 1045"],
    }
}

/// Makes the command that creates the app's user in imported data, or updates the user.
#[expect(clippy::disallowed_methods, reason = "door 53: MySQL and MariaDB are told the app's password")]
pub(crate) fn mysql_user(service: &ServiceRecord, client: &str) -> Probe {
    let (user, database) = (service.username(), service.database().unwrap_or_default());
    let password = service.credential().expose();
    let statements = Zeroizing::new(format!(
        "CREATE DATABASE IF NOT EXISTS {database}; CREATE USER IF NOT EXISTS '{user}'@'%' IDENTIFIED BY '{password}'; \
         ALTER USER '{user}'@'%' IDENTIFIED BY '{password}'; GRANT ALL ON {database}.* TO '{user}'@'%';"
    ));
    mysql(service, client, &statements)
}

/// Makes the script that creates the app's roles. It sends a verifier instead of the password, so that no log of
/// statements can hold the password.
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
        // In imported data, the tables of other roles become the app's.
        if service.phase() == Phase::Imported { adoption(owner) } else { String::new() }
    ))
}

/// Makes the statements that give a role everything in the database, except for objects of extensions and identity
/// columns.
fn adoption(owner: &str) -> String {
    let outside = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = o.oid AND d.deptype IN ('a', 'i', 'e'))";
    format!(
        "SELECT format('ALTER SCHEMA %I OWNER TO {owner}', nspname) FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'public') \\gexec
SELECT format('ALTER TABLE %I.%I OWNER TO {owner}', n.nspname, o.relname) FROM pg_class o JOIN pg_namespace n ON n.oid = o.relnamespace WHERE o.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND {outside} \\gexec
SELECT format('ALTER ROUTINE %s OWNER TO {owner}', o.oid::regprocedure) FROM pg_proc o JOIN pg_namespace n ON n.oid = o.pronamespace WHERE {outside} \\gexec
"
    )
}

/// Makes the script that creates or updates the app's user in the app's own database.
#[expect(clippy::disallowed_methods, reason = "door 36: MongoDB's shell gets both passwords on its standard input")]
pub(crate) fn mongo_user(service: &ServiceRecord, which: Which) -> Zeroizing<Vec<u8>> {
    // MongoDB accepts only the password itself, and no verifier.
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

/// Returns the hash of a password in the format of access lists.
pub(crate) fn sha256(password: &str) -> String {
    format!("#{}", base16ct::lower::encode_string(&Sha256::digest(password)))
}
