//! Commands of the clients in a service's own container: their arguments, their standard input, and the meaning of
//! their output.

use rand::TryRng;
use rand::rngs::SysRng;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::ledger::{Phase, Rights, ServiceRecord};
use crate::quote;
use crate::rotation::Which;
use crate::scram;

/// The error numbers with which MySQL and MariaDB answer while they are busy, start, end or wait for others.
const BUSY: [u32; 9] = [1040, 1041, 1043, 1053, 1129, 1158, 1203, 1205, 1213];

/// A command for the service's container, with the rules that judge its result.
pub struct Probe {
    pub(crate) command: Vec<String>,
    pub(crate) input: Zeroizing<Vec<u8>>,
    pub(crate) done: Sign,
    pub(crate) refused: &'static [&'static str],
    pub(crate) hopeless: Hopeless,
}

/// How a command shows that a later attempt will fail as well.
#[derive(Clone, Copy)]
pub(crate) enum Hopeless {
    /// The command never shows that.
    Never,
    /// PostgreSQL's shell ends with 3 if a statement fails. It ends with 2 if a connection fails, for example because
    /// a name does not exist.
    PostgresScript,
    /// The clients of MySQL and MariaDB print `ERROR` and a number. The numbers of connection errors begin with 20.
    MysqlError,
}

/// The sign by which a command reports success.
#[derive(Clone, Copy)]
pub(crate) enum Sign {
    /// The program exits with code 0.
    Success,
    /// The program prints one of these words. Its exit code does not matter.
    Says(&'static [&'static str]),
}

/// The result of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// The command succeeded.
    Done,
    /// The service answered, but does not accept the credential.
    Refused,
    /// The service answered that it cannot do this, and a later attempt will not help.
    Impossible,
    /// The service does not answer yet, or its answer is not conclusive.
    NotYet,
}

impl Probe {
    /// Makes a probe of a command that ends with 0 if it succeeded.
    pub(crate) fn of_command(command: Vec<String>) -> Self {
        Self::of_script(command, Zeroizing::default())
    }

    /// Makes a probe of a command that reads `input` from its standard input.
    pub(crate) fn of_script(command: Vec<String>, input: Zeroizing<Vec<u8>>) -> Self {
        Self { command, input, done: Sign::Success, refused: &[], hopeless: Hopeless::Never }
    }

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

    /// Judges the program by its exit code and its whole output.
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
        } else if self.hopeless.is_seen(code, output) {
            Login::Impossible
        } else {
            Login::NotYet
        }
    }
}

impl Hopeless {
    fn is_seen(self, code: i64, output: &[u8]) -> bool {
        let output = String::from_utf8_lossy(output);
        match self {
            Self::Never => false,
            Self::PostgresScript => {
                let lacks = |line: &str| {
                    line.contains("FATAL:")
                        && line.ends_with("does not exist")
                        && (line.contains("role ") || line.contains("database "))
                };
                code == 3 || output.lines().any(lacks)
            }
            Self::MysqlError => {
                let number = |line: &str| line.strip_prefix("ERROR ")?.split([' ', ':']).next()?.parse::<u32>().ok();
                output
                    .lines()
                    .filter_map(number)
                    .any(|number| !(2000..3000).contains(&number) && !BUSY.contains(&number))
            }
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
    Probe {
        command: words(&["mongosh", "--quiet", "--norc", &mongo_url(service), "--file", "/dev/stdin"]),
        input: script,
        done: Sign::Success,
        refused: &["Authentication failed", "authentication failed"],
        hopeless: Hopeless::Never,
    }
}

/// Returns the server's address for MongoDB's shell, without a login.
pub(crate) fn mongo_url(service: &ServiceRecord) -> String {
    match service.external() {
        None => format!("mongodb://{}/", service.name()),
        Some(_) => format!("mongodb://{}:{}/", service.host(), service.port()),
    }
}

/// Returns the arguments with which a client finds the server on the network. A service of prun's own has the default
/// port of its kind.
pub(crate) fn address(service: &ServiceRecord, host: &str, port: &str) -> Vec<String> {
    let mut words = words(&[host, service.host()]);
    if service.external().is_some() {
        words.extend([port.to_owned(), service.port().to_string()]);
    }
    words
}

/// Returns the arguments with which PostgreSQL's clients reach the server as its administrator. A service of prun's
/// own is reached on its own socket without a password, an external one over the network with a password.
pub(crate) fn postgres_administrator(service: &ServiceRecord) -> Vec<String> {
    let mut words = match service.external() {
        None => Vec::new(),
        Some(_) => address(service, "--host", "--port"),
    };
    words.push(format!("--username={}", service.superuser()));
    words
}

/// Makes a probe that runs a script in PostgreSQL's shell, in the app's database. On a server of prun's own it runs
/// as the superuser, who needs no password on the socket. On an external server it logs in with the password, which
/// is the line before the script.
pub(crate) fn postgres(service: &ServiceRecord, script: Zeroizing<Vec<u8>>) -> Probe {
    postgres_in(service, service.database().unwrap_or_default(), script)
}

/// Makes the probe of [`postgres`] for another database.
pub(crate) fn postgres_in(service: &ServiceRecord, database: &str, script: Zeroizing<Vec<u8>>) -> Probe {
    let mut command = words(&["psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"]);
    command.extend(postgres_administrator(service));
    let password = if service.external().is_some() { "--password" } else { "--no-password" };
    command.extend(words(&[password, "--dbname", database, "--file=-"]));
    Probe {
        command,
        input: if service.external().is_some() { with_password(service, &script) } else { script },
        done: Sign::Success,
        refused: &["password authentication failed"],
        hopeless: Hopeless::PostgresScript,
    }
}

#[expect(clippy::disallowed_methods, reason = "door 74: the administrator of a PostgreSQL that others run logs in")]
fn with_password(service: &ServiceRecord, script: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new([service.administrator().expose().as_bytes(), b"\n", script].concat())
}

/// Makes a command with an option file that holds both the login and the statement, because both have to share the
/// standard input.
#[expect(clippy::disallowed_methods, reason = "door 40: the administrator of MySQL and MariaDB logs in")]
pub(crate) fn mysql(service: &ServiceRecord, client: &str, database: Option<&str>, statement: &str) -> Probe {
    let mut command = words(&[client, "--defaults-extra-file=/dev/stdin", "--batch", "--skip-column-names"]);
    if service.external().is_some() {
        command.push("--protocol=tcp".to_owned());
        command.extend(address(service, "--host", "--port"));
    }
    // The administrator of an external server may not be allowed to turn off the log.
    let quietly = if service.external().is_some() { "" } else { "SET SESSION sql_log_off = 1; " };
    let statement = Zeroizing::new(format!("{quietly}{statement}"));
    let database = database.map(|database| format!("database={}\n", quote::option(database))).unwrap_or_default();
    Probe {
        command,
        input: text(format!(
            "[client]\nuser={}\npassword={}\n[mysql]\n{database}execute={}\n",
            quote::option(service.superuser()),
            *Zeroizing::new(quote::option(service.administrator().expose())),
            *Zeroizing::new(quote::option(&statement))
        )),
        done: Sign::Success,
        refused: &["ERROR 1045", "ERROR 1698"],
        hopeless: Hopeless::MysqlError,
    }
}

/// Makes the app's user of MySQL or MariaDB, and the user's databases and rights.
#[expect(clippy::disallowed_methods, reason = "door 53: MySQL and MariaDB are told the app's password")]
pub(crate) fn mysql_user(service: &ServiceRecord, client: &str) -> Probe {
    let user = format!("{}@'%'", quote::mysql_text(&service.username()));
    let password = quote::mysql_text(service.credential().expose());
    let mut statements = Zeroizing::new(String::with_capacity(4096));
    if service.phase() != Phase::Proven {
        statements.push_str(&Zeroizing::new(format!(
            "CREATE USER IF NOT EXISTS {user} IDENTIFIED BY {password}; ALTER USER {user} IDENTIFIED BY {password}; "
        )));
    }
    for (at, database) in service.databases().enumerate() {
        if at > 0 {
            statements.push_str(&format!("CREATE DATABASE IF NOT EXISTS {}; ", quote::mysql_name(database)));
        }
        statements.push_str(&format!("GRANT ALL ON {}.* TO {user}; ", quote::mysql_pattern(database)));
    }
    match service.terms().rights {
        Rights::Admin => statements.push_str(&format!("GRANT ALL ON *.* TO {user} WITH GRANT OPTION;")),
        Rights::Owner if service.phase() == Phase::Proven => {
            let statement =
                format!("REVOKE ALL PRIVILEGES ON *.* FROM {user}; REVOKE GRANT OPTION ON *.* FROM {user};");
            statements.push_str(&statement);
        }
        Rights::Owner => {}
    }
    // This names the app's database. If the user mistyped the database of imported data, the command fails.
    mysql(service, client, service.database(), &statements)
}

/// Makes the script that creates the app's roles. It sends a verifier instead of the password, so that no log of
/// statements can hold the password.
#[expect(clippy::disallowed_methods, reason = "door 35: PostgreSQL gets a verifier made from the password")]
pub(crate) fn postgres_roles(service: &ServiceRecord, which: Which) -> Zeroizing<Vec<u8>> {
    let user = service.username_of(which);
    let mut salt = [0; 16];
    SysRng.try_fill_bytes(&mut salt).expect("the kernel gives random numbers, or nothing may be started");
    let verifier = scram::verifier(service.credential_of(which).expose().as_bytes(), &salt);
    let (owner, owner_text) = (quote::name(service.owner()), quote::text(service.owner()));
    let mut script = match service.external() {
        None => "SET log_statement = 'none';\nSET log_min_error_statement = 'panic';\n".to_owned(),
        // Only a superuser may change these settings.
        Some(_) => String::new(),
    };
    if service.external().is_none_or(|external| external.username.is_none()) {
        script.push_str(&format!(
            "SELECT 'CREATE ROLE {owner} NOLOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {owner_text}) \\gexec\n"
        ));
    }
    script.push_str(&format!(
        "SELECT 'CREATE ROLE {user} LOGIN IN ROLE {owner}' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{user}') \\gexec
ALTER ROLE {user} LOGIN PASSWORD '{verifier}';
"
    ));
    for (at, database) in service.databases().enumerate() {
        let (name, named) = (quote::name(database), quote::text(database));
        if at > 0 {
            script.push_str(&format!(
                "SELECT format('CREATE DATABASE %I OWNER {owner}', {named}) WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = {named}) \\gexec\n"
            ));
        }
        script.push_str(&format!("ALTER ROLE {user} IN DATABASE {name} SET role = {owner};\n"));
        match service.external() {
            None => script.push_str(&format!("ALTER DATABASE {name} OWNER TO {owner};\n")),
            Some(external) if external.username.is_none() => script.push_str(&format!(
                "GRANT CONNECT, CREATE, TEMPORARY ON DATABASE {name} TO {owner};\nGRANT USAGE, CREATE ON SCHEMA public TO {owner};\n"
            )),
            Some(_) => {}
        }
    }
    if service.external().is_none() {
        script.push_str(&match service.terms().rights {
            Rights::Admin => format!("ALTER ROLE {owner} SUPERUSER CREATEDB CREATEROLE;\n"),
            Rights::Owner => format!("ALTER ROLE {owner} NOSUPERUSER NOCREATEDB NOCREATEROLE;\n"),
        });
        // In imported data, the app becomes the owner of other roles' tables.
        if service.phase() == Phase::Imported {
            script.push_str(&adoption(service.owner()));
        }
        script.push_str(&extensions(service));
    }
    text(script)
}

/// Returns the statements that make the extensions in each of the app's databases.
fn extensions(service: &ServiceRecord) -> String {
    if service.terms().extensions.is_empty() {
        return String::new();
    }
    let statements: String = service
        .terms()
        .extensions
        .iter()
        .map(|extension| format!("CREATE EXTENSION IF NOT EXISTS {} CASCADE;\n", quote::name(extension)))
        .collect();
    let mut script = String::from("SET client_min_messages = 'warning';\n");
    for (at, database) in service.databases().enumerate() {
        if at > 0 {
            script.push_str(&format!("\\connect {}\n", quote::name(database)));
        }
        script.push_str(&statements);
    }
    script
}

/// Returns the statements that make a role the owner of everything in the database. Objects of extensions and
/// identity columns are left out.
pub(crate) fn adoption(owner: &str) -> String {
    let outside = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = o.oid AND d.deptype IN ('a', 'i', 'e'))";
    let (name, owner) = (quote::name(owner), quote::text(owner));
    let foreign = |column: &str| format!("{column} <> (SELECT oid FROM pg_roles WHERE rolname = {owner})");
    let (schema, relation, routine, type_) =
        (foreign("nspowner"), foreign("o.relowner"), foreign("o.proowner"), foreign("o.typowner"));
    format!(
        "SELECT format('ALTER SCHEMA %I OWNER TO {name}', nspname) FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'public') AND {schema} \\gexec
SELECT format('ALTER TABLE %I.%I OWNER TO {name}', n.nspname, o.relname) FROM pg_class o JOIN pg_namespace n ON n.oid = o.relnamespace WHERE o.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND {relation} AND {outside} \\gexec
SELECT format('ALTER ROUTINE %s OWNER TO {name}', o.oid::regprocedure) FROM pg_proc o JOIN pg_namespace n ON n.oid = o.pronamespace WHERE {routine} AND {outside} \\gexec
SELECT format('ALTER TYPE %I.%I OWNER TO {name}', n.nspname, o.typname) FROM pg_type o JOIN pg_namespace n ON n.oid = o.typnamespace WHERE o.typtype IN ('d', 'e') AND {type_} AND {outside} \\gexec
"
    )
}

/// Makes the script that creates or updates the app's user in the app's own database.
#[expect(clippy::disallowed_methods, reason = "door 36: MongoDB's shell gets both passwords on its standard input")]
pub(crate) fn mongo_user(service: &ServiceRecord, which: Which) -> Zeroizing<Vec<u8>> {
    // MongoDB accepts only the password itself, not a verifier.
    let database = quote::script(service.database().unwrap_or_default());
    let user = quote::script(&service.username_of(which));
    let superuser = quote::script(service.superuser());
    text(format!(
        "db.getSiblingDB('admin').auth({superuser}, {})
const app = db.getSiblingDB({database})
const roles = [{{ role: 'dbOwner', db: {database} }}]
const pwd = {}
app.getUser({user}) ? app.updateUser({user}, {{ pwd, roles }}) : app.createUser({{ user: {user}, pwd, roles }})
",
        *Zeroizing::new(quote::script(service.administrator().expose())),
        *Zeroizing::new(quote::script(service.credential_of(which).expose())),
    ))
}

pub(crate) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

pub(crate) fn text(text: String) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(text.into_bytes())
}

/// Returns the hash of a password in the format of Redis' and Valkey's access lists.
pub(crate) fn sha256(password: &str) -> String {
    format!("#{}", base16ct::lower::encode_string(&Sha256::digest(password)))
}
