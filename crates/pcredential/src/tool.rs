//! Commands for users who look into a service, copy its data, or load data into it. They run inside the service's
//! container.
//!
//! They have the rights of the service's administrator. Their password is in a file in memory, which the first
//! command of the shell opens and removes. The client reads the password from the open file, so neither an argument
//! nor the environment of the engine's command holds it.

use zeroize::Zeroizing;

use crate::client::{Probe, address, adoption, mongo_url, mysql, postgres_administrator, postgres_in, text, words};
use crate::kind::{Family, ServiceKind};
use crate::ledger::ServiceRecord;
use crate::quote;

/// The database into which MySQL and MariaDB load new data, before the new data replaces the old.
pub const SCRATCH: &str = "prun_load";

/// A command, and the login that it reads from a file.
pub struct Tool {
    command: Vec<String>,
    login: Option<Zeroizing<Vec<u8>>>,
}

/// The reader of a service's shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// A person at a terminal.
    Person,
    /// A script on standard input. The first error ends it.
    Script,
}

impl Tool {
    /// Returns the program and its arguments, which hold no secret.
    #[must_use]
    pub fn command(&self) -> &[String] {
        &self.command
    }

    /// Returns the content of the file with the login, if the command needs one.
    #[must_use]
    pub fn login(&self) -> Option<&[u8]> {
        self.login.as_ref().map(|login| login.as_slice())
    }
}

impl std::fmt::Debug for Tool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tool({:?})", self.command)
    }
}

/// Opens the file with the login and removes it, before the client begins.
const OPEN: &str = "exec 3<\"$0\"; rm -f \"$0\"; exec \"$@\"";
/// Does the same for clients that take a password from their environment. Only the client gets this environment.
const OPEN_LIST: &str = "REDISCLI_AUTH=$(cat \"$0\"); rm -f \"$0\"; export REDISCLI_AUTH; exec \"$@\"";
/// The name of the file once it is open.
const OPENED: &str = "/dev/fd/3";

/// Makes the command of the client's own shell, with further arguments for the client. `file` is the path at which
/// the login will be.
#[must_use]
pub fn shell(
    service: &ServiceRecord,
    database: Option<&str>,
    arguments: &[String],
    reader: Reader,
    file: &str,
) -> Tool {
    let database = database.or(service.database()).unwrap_or_default();
    match service.kind() {
        ServiceKind::Postgres => {
            let mut command = words(&["psql"]);
            if reader == Reader::Script {
                command.extend(words(&["--no-psqlrc", "--set=ON_ERROR_STOP=1"]));
            }
            command.extend(postgres_login(service));
            command.extend(words(&["--dbname", database]));
            postgres(service, command, arguments, file)
        }
        ServiceKind::Mysql => mysql_tool(service, "mysql", &["--database", database], arguments, file),
        ServiceKind::Mariadb => mysql_tool(service, "mariadb", &["--database", database], arguments, file),
        ServiceKind::Redis => list(service, "redis-cli", arguments, file),
        ServiceKind::Valkey => list(service, "valkey-cli", arguments, file),
        ServiceKind::Mongodb => {
            let url = format!("{}{database}", mongo_url(service));
            let mut command = words(&["sh", "-c", OPEN, file, "mongosh", "--quiet", "--norc", &url]);
            command.extend(words(&["--shell", "--file", OPENED]));
            command.extend_from_slice(arguments);
            Tool { command, login: Some(mongo_login(service)) }
        }
    }
}

/// Makes a command that writes the data of a database to standard output. For Redis and Valkey, that is all of the
/// service's data. Returns `None` for MongoDB.
#[must_use]
pub fn dump(service: &ServiceRecord, database: Option<&str>, file: &str) -> Option<Tool> {
    let database = database.or(service.database()).unwrap_or_default();
    Some(match service.kind() {
        ServiceKind::Postgres => {
            let mut command = words(&["pg_dump", "--no-owner", "--no-privileges"]);
            command.extend(postgres_login(service));
            command.extend(words(&["--dbname", database]));
            postgres(service, command, &[], file)
        }
        ServiceKind::Mysql | ServiceKind::Mariadb => {
            let dumper = mysql_dumper(service.kind());
            mysql_tool(service, dumper[0], &dumper[1..], &words(&[database]), file)
        }
        ServiceKind::Redis => list(service, "redis-cli", &words(&["--rdb", "-"]), file),
        ServiceKind::Valkey => list(service, "valkey-cli", &words(&["--rdb", "-"]), file),
        ServiceKind::Mongodb => return None,
    })
}

/// Makes a command that counts the tables of a database, or the keys of Redis and Valkey. Returns `None` for MongoDB.
#[must_use]
pub fn count(service: &ServiceRecord, database: Option<&str>) -> Option<Probe> {
    let database = database.or(service.database()).unwrap_or_default();
    Some(match service.kind() {
        ServiceKind::Postgres => postgres_in(
            service,
            database,
            text(format!(
                "\\pset tuples_only on\n\\pset format unaligned\nSELECT 'holds ' || count(*) FROM pg_class o JOIN pg_namespace n ON n.oid = o.relnamespace WHERE o.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND {OWN_OBJECTS};\n"
            )),
        ),
        ServiceKind::Mysql | ServiceKind::Mariadb => {
            let name = quote::mysql_text(database);
            let client = if service.kind() == ServiceKind::Mysql { "mysql" } else { "mariadb" };
            let statement =
                format!("SELECT CONCAT('holds ', COUNT(*)) FROM information_schema.tables WHERE table_schema = {name}");
            mysql(service, client, Some(database), &statement)
        }
        ServiceKind::Redis => list_count(service, "redis-cli"),
        ServiceKind::Valkey => list_count(service, "valkey-cli"),
        ServiceKind::Mongodb => return None,
    })
}

/// Reads the number that [`count`] prints.
#[must_use]
pub fn counted(output: &[u8]) -> Option<u64> {
    let output = String::from_utf8_lossy(output);
    let number = |line: &str| line.trim().strip_prefix("holds ")?.parse().ok();
    // Redis and Valkey report the number of keys of each of their numbered databases.
    let keys =
        |line: &str| line.strip_prefix("db")?.split_once(":keys=")?.1.split(',').next()?.trim().parse::<u64>().ok();
    match output.lines().find_map(number) {
        Some(number) => Some(number),
        None if output.contains("# Keyspace") => Some(output.lines().filter_map(keys).sum()),
        None => None,
    }
}

/// The commands of a load, in their order.
pub struct Load {
    /// Makes room for the new data. It does not change the old data.
    pub begin: Option<Probe>,
    /// The bytes before the data.
    pub before: Zeroizing<Vec<u8>>,
    /// Reads the new data from standard input.
    pub take: Tool,
    /// The bytes after the data, which are sent only if all of the data was read.
    pub after: Zeroizing<Vec<u8>>,
    /// What the client prints when it has taken everything, and the bytes that make it keep the data.
    pub agreement: Option<(&'static str, &'static str)>,
    /// Replaces the old data by the new data.
    pub finish: Option<Tool>,
    /// Whether the server ends after that, and the engine starts it again.
    pub restarts: bool,
    /// Removes what an interrupted load leaves.
    pub undo: Option<Probe>,
}

/// Makes the commands that load data into a database, or into all of Redis and Valkey: all of the data, or nothing.
/// They replace the old data. Returns `None` for MongoDB.
#[must_use]
pub fn load(service: &ServiceRecord, database: Option<&str>, files: [&str; 2]) -> Option<Load> {
    let database = database.or(service.database()).unwrap_or_default();
    Some(match service.kind() {
        ServiceKind::Postgres => postgres_load(service, database, files[0]),
        ServiceKind::Mysql => mysql_load(service, "mysql", database, files),
        ServiceKind::Mariadb => mysql_load(service, "mariadb", database, files),
        ServiceKind::Redis => list_load(service, "redis", files),
        ServiceKind::Valkey => list_load(service, "valkey", files),
        ServiceKind::Mongodb => return None,
    })
}

/// The text that PostgreSQL's shell prints when it has taken all of the data.
const TAKEN: &str = "prun: all of the data is there";

/// The condition for objects that belong neither to the server nor to an extension.
const OWN_OBJECTS: &str = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = o.oid AND d.deptype = 'e')";

/// Makes the load for PostgreSQL. Everything happens in one transaction, which only the last line of the input
/// commits. If the data is cut off, or the sender goes away, the server undoes everything.
fn postgres_load(service: &ServiceRecord, database: &str, file: &str) -> Load {
    let mut command = words(&["psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"]);
    command.extend(postgres_login(service));
    command.extend(words(&["--dbname", database, "--file=-"]));
    let drop = |kind: &str, catalogue: &str, name: &str, which: &str| {
        format!(
            "SELECT format('DROP {kind} IF EXISTS %s CASCADE', {name}) FROM {catalogue} WHERE {which} AND {OWN_OBJECTS} \\gexec\n"
        )
    };
    let relation = "pg_class o JOIN pg_namespace n ON n.oid = o.relnamespace";
    let relation_name = "format('%I.%I', n.nspname, o.relname)";
    let mut before = "BEGIN;\nSET LOCAL client_min_messages = 'error';\n".to_owned();
    for (kind, letters) in [
        ("FOREIGN TABLE", "'f'"),
        ("VIEW", "'v'"),
        ("MATERIALIZED VIEW", "'m'"),
        ("TABLE", "'r', 'p'"),
        ("SEQUENCE", "'S'"),
    ] {
        before.push_str(&drop(kind, relation, relation_name, &format!("o.relkind IN ({letters})")));
    }
    before.push_str(&drop(
        "ROUTINE",
        "pg_proc o JOIN pg_namespace n ON n.oid = o.pronamespace",
        "o.oid::regprocedure::text",
        "true",
    ));
    before.push_str(&drop(
        "TYPE",
        "pg_type o JOIN pg_namespace n ON n.oid = o.typnamespace",
        "format('%I.%I', n.nspname, o.typname)",
        "(o.typtype IN ('d', 'e', 'r') OR (o.typtype = 'c' AND EXISTS (SELECT FROM pg_class c WHERE c.oid = o.typrelid AND c.relkind = 'c')))",
    ));
    before.push_str(
        "SELECT format('DROP SCHEMA IF EXISTS %I CASCADE', o.nspname) FROM pg_namespace o WHERE o.nspname !~ '^pg_' AND o.nspname NOT IN ('information_schema', 'public') AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = o.oid AND d.deptype = 'e') \\gexec\nSET LOCAL client_min_messages = 'warning';\n",
    );
    let after = format!("\n{}\\echo {TAKEN}\n", adoption(service.owner()));
    Load {
        begin: None,
        before: text(before),
        take: postgres(service, command, &[], file),
        after: text(after),
        agreement: Some((TAKEN, "COMMIT;\n")),
        finish: None,
        restarts: false,
        undo: None,
    }
}

/// Makes the load for MySQL and MariaDB. They cannot undo a load, so the data is first collected in a database of its
/// own. The commands that move it from there to the right database need no further input, and the last statement
/// removes the extra database.
fn mysql_load(service: &ServiceRecord, client: &str, database: &str, files: [&str; 2]) -> Load {
    let scratch = quote::mysql_name(SCRATCH);
    let dumper = mysql_dumper(service.kind()).join(" ");
    let administrator =
        format!("{} {}", format_args!("--defaults-extra-file={OPENED}"), mysql_address(service).join(" "));
    let (client_words, dumper) =
        (format!("{client} {administrator}"), dumper.replacen(' ', &format!(" {administrator} "), 1));
    let name = quote::mysql_text(database);
    // The new database gets the character set of the old one.
    let swap = format!(
        "exec 3<\"$0\"; rm -f \"$0\"; set -e
made=$({client_words} --batch --skip-column-names --execute=\"SELECT CONCAT('CREATE DATABASE ', '$1', ' CHARACTER SET ', default_character_set_name, ' COLLATE ', default_collation_name) FROM information_schema.schemata WHERE schema_name = $2\")
{client_words} --execute=\"DROP DATABASE $1; $made\"
{{ {dumper} {SCRATCH} && echo 'DROP DATABASE {SCRATCH};'; }} | {client_words} --database=\"$3\"
[ -z \"$({client_words} --batch --skip-column-names --execute=\"SHOW DATABASES LIKE '{SCRATCH}'\")\" ]"
    );
    let command = words(&["sh", "-c", &swap, files[1], &quote::mysql_name(database), &name, database]);
    Load {
        begin: Some(mysql(
            service,
            client,
            None,
            &format!("DROP DATABASE IF EXISTS {scratch}; CREATE DATABASE {scratch};"),
        )),
        before: Zeroizing::default(),
        take: mysql_tool(service, client, &["--database", SCRATCH], &[], files[0]),
        after: Zeroizing::default(),
        agreement: None,
        finish: Some(Tool { command, login: Some(option_file(service)) }),
        restarts: false,
        undo: Some(mysql(service, client, None, &format!("DROP DATABASE IF EXISTS {scratch};"))),
    }
}

/// Makes the load for Redis and Valkey. The file is checked before it replaces the server's own file. The server
/// reads the new file when it restarts, which it does at once.
fn list_load(service: &ServiceRecord, program: &str, files: [&str; 2]) -> Load {
    let client = format!("{program}-cli -h {}", service.host());
    let login = "REDISCLI_AUTH=$(cat \"$0\"); rm -f \"$0\"; export REDISCLI_AUTH; set -e";
    let folder = format!("folder=$({client} --raw config get dir | tail -n 1)");
    let take = format!(
        "{login}; {folder}; umask 022
[ \"$({client} --raw config get appendonly | tail -n 1)\" = no ] || {{ echo 'the server keeps an append-only file, which a dump cannot replace' >&2; exit 1; }}
cat >\"$folder/{SCRATCH}\"
{program}-check-rdb \"$folder/{SCRATCH}\" >/dev/null || {{ echo 'this is no whole dump of {program}' >&2; exit 1; }}"
    );
    let finish = format!(
        "{login}; {folder}; file=$({client} --raw config get dbfilename | tail -n 1)
{client} config set save '' >/dev/null
mv -f \"$folder/{SCRATCH}\" \"$folder/$file\"
{client} shutdown nosave >/dev/null || true"
    );
    let undo = Probe::of_command(words(&[
        "sh",
        "-c",
        // Without a login, the server does not tell its folder. It is the folder in which the server works.
        &format!("rm -f \"$(readlink /proc/1/cwd)/{SCRATCH}\" /data/{SCRATCH}"),
    ]));
    Load {
        begin: None,
        before: Zeroizing::default(),
        take: Tool { command: words(&["sh", "-c", &take, files[0]]), login: Some(plain_login(service)) },
        after: Zeroizing::default(),
        agreement: None,
        finish: Some(Tool { command: words(&["sh", "-c", &finish, files[1]]), login: Some(plain_login(service)) }),
        restarts: true,
        undo: Some(undo),
    }
}

/// Returns the login arguments of PostgreSQL's clients for a user: those of the administrator, or those of the app if
/// prun has no administrator's login.
fn postgres_login(service: &ServiceRecord) -> Vec<String> {
    match service.rotates() {
        true => postgres_administrator(service),
        false => {
            let mut words = address(service, "--host", "--port");
            words.push(format!("--username={}", service.username()));
            words
        }
    }
}

/// Adds the password of an external server. On its own socket, a server accepts the administrator without a password.
#[expect(clippy::disallowed_methods, reason = "door 75: PostgreSQL's clients read a password file in memory")]
fn postgres(service: &ServiceRecord, command: Vec<String>, arguments: &[String], file: &str) -> Tool {
    let command = [&command, arguments].concat();
    if service.external().is_none() {
        return Tool { command, login: None };
    }
    let login = if service.rotates() { service.administrator() } else { service.credential() };
    let line = Zeroizing::new(format!("*:*:*:*:{}\n", *Zeroizing::new(quote::field(login.expose()))));
    let before = words(&["env", &format!("PGPASSFILE={OPENED}")]);
    Tool {
        command: [words(&["sh", "-c", OPEN, file]), before, command].concat(),
        login: Some(Zeroizing::new(line.as_bytes().to_vec())),
    }
}

fn mysql_tool(service: &ServiceRecord, client: &str, own: &[&str], arguments: &[String], file: &str) -> Tool {
    let mut command = words(&["sh", "-c", OPEN, file, client, &format!("--defaults-extra-file={OPENED}")]);
    command.extend(mysql_address(service));
    command.extend(words(own));
    command.extend_from_slice(arguments);
    Tool { command, login: Some(option_file(service)) }
}

fn mysql_address(service: &ServiceRecord) -> Vec<String> {
    match service.external() {
        None => Vec::new(),
        Some(_) => [words(&["--protocol=tcp"]), address(service, "--host", "--port")].concat(),
    }
}

/// Returns the program that dumps a database, with options for a consistent dump that includes routines, triggers and
/// events.
fn mysql_dumper(kind: ServiceKind) -> Vec<&'static str> {
    let options = ["--single-transaction", "--routines", "--triggers", "--events"];
    match kind.family() {
        Family::Sql if kind == ServiceKind::Mysql => {
            [&["mysqldump"][..], &options, &["--no-tablespaces", "--set-gtid-purged=OFF"]].concat()
        }
        Family::Sql | Family::Redis | Family::Mongo => [&["mariadb-dump"][..], &options].concat(),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "door 76: the clients of MySQL and MariaDB read an option file in memory"
)]
fn option_file(service: &ServiceRecord) -> Zeroizing<Vec<u8>> {
    let (user, login) = match service.rotates() {
        true => (service.superuser().to_owned(), service.administrator()),
        false => (service.username(), service.credential()),
    };
    text(format!(
        "[client]\nuser={}\npassword={}\n",
        quote::option(&user),
        *Zeroizing::new(quote::option(login.expose()))
    ))
}

fn list(service: &ServiceRecord, client: &str, arguments: &[String], file: &str) -> Tool {
    let mut command = words(&["sh", "-c", OPEN_LIST, file, client]);
    command.extend(address(service, "-h", "-p"));
    if service.username() != "default" {
        command.extend(words(&["--user", &service.username()]));
    }
    command.extend_from_slice(arguments);
    Tool { command, login: Some(plain_login(service)) }
}

#[expect(
    clippy::disallowed_methods,
    reason = "door 77: the clients of Redis and Valkey get the password from a file in memory"
)]
fn plain_login(service: &ServiceRecord) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(service.credential().expose().into())
}

#[expect(clippy::disallowed_methods, reason = "door 78: Redis and Valkey are asked how many keys they hold")]
fn list_count(service: &ServiceRecord, client: &str) -> Probe {
    let login = Zeroizing::new(quote::argument(service.credential().expose()));
    Probe::of_script(
        [words(&[client]), address(service, "-h", "-p")].concat(),
        text(format!("AUTH {} {}\nINFO keyspace\n", quote::argument(&service.username()), *login)),
    )
}

#[expect(clippy::disallowed_methods, reason = "door 79: MongoDB's shell reads its login from a file in memory")]
fn mongo_login(service: &ServiceRecord) -> Zeroizing<Vec<u8>> {
    let (database, user, login) = match service.rotates() {
        true => ("admin", service.superuser().to_owned(), service.administrator()),
        false => (service.database().unwrap_or_default(), service.username(), service.credential()),
    };
    text(format!(
        "void db.getSiblingDB({}).auth({}, {})\n",
        quote::script(database),
        quote::script(&user),
        *Zeroizing::new(quote::script(login.expose()))
    ))
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

    #[test]
    fn no_password_stands_in_an_argument_of_a_tool() {
        for kind in ServiceKind::ALL {
            let ledger = ledger(kind);
            let service = &ledger.services()[0];
            let sealed: serde_json::Value = serde_json::from_slice(&ledger.seal()).unwrap();
            let values =
                ["administrator", "credential"].map(|name| sealed["services"][0][name].as_str().unwrap().to_owned());
            let mut shown = format!("{:?}", shell(service, None, &[], Reader::Person, "/file"));
            shown.push_str(&format!("{:?} {:?}", dump(service, None, "/file"), count(service, None)));
            if let Some(load) = load(service, None, ["/one", "/two"]) {
                shown.push_str(&format!("{:?} {:?} {:?} {:?}", load.begin, load.take, load.finish, load.undo));
                assert!(values.iter().all(|value| !String::from_utf8_lossy(&load.before).contains(value)));
            }
            assert!(values.iter().all(|value| !shown.contains(value)), "{kind}");
        }
    }

    #[test]
    fn what_servers_say_they_hold_is_counted() {
        assert_eq!(counted(b"holds 12\n"), Some(12));
        assert_eq!(counted(b"OK\n# Keyspace\r\ndb0:keys=3,expires=0,avg_ttl=0\r\ndb4:keys=2,expires=1\r\n"), Some(5));
        assert_eq!(counted(b"OK\n# Keyspace\r\n"), Some(0));
        assert_eq!(counted(b"ERROR"), None);
    }

    #[test]
    fn a_load_into_postgres_ends_well_with_its_last_line_alone() {
        let ledger = ledger(ServiceKind::Postgres);
        let load = load(&ledger.services()[0], None, ["/one", "/two"]).unwrap();
        let (before, after) = (String::from_utf8_lossy(&load.before), String::from_utf8_lossy(&load.after));
        assert!(before.starts_with("BEGIN;\n") && !before.contains("COMMIT"));
        assert!(!after.contains("COMMIT") && after.ends_with(&format!("\\echo {TAKEN}\n")));
        assert_eq!(load.agreement, Some((TAKEN, "COMMIT;\n")));
    }
}
