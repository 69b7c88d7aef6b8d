//! The kinds of services for tests of `prun`: their images, their variables, and logins without prun.

use std::io::Write as _;
use std::process::{Output, Stdio};

use crate::{App, ImageName};

/// A kind of service, with an image that behaves like the official one.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    /// The name of the kind in `app.toml`.
    pub kind: &'static str,
    /// The name of the image, which `scripts/images` makes from packages.
    pub image: &'static str,
    /// The prefix of the standard variables.
    pub prefix: &'static str,
    /// The name of the service in `app.toml`, which is also its host name.
    pub name: &'static str,
}

/// PostgreSQL.
pub const POSTGRES: Service = Service::new("postgres", "pbuild/postgres:15", "DB", "db");
/// MySQL.
pub const MYSQL: Service = Service::new("mysql", "pbuild/mysql:9", "DB", "db");
/// MariaDB.
pub const MARIADB: Service = Service::new("mariadb", "pbuild/mariadb:10", "DB", "db");
/// Redis.
pub const REDIS: Service = Service::new("redis", "pbuild/redis:7", "REDIS", "cache");
/// Valkey.
pub const VALKEY: Service = Service::new("valkey", "pbuild/valkey:8", "REDIS", "cache");
/// A stand-in for MongoDB. No package contains the server itself, so the tests only use its protocol and its shell.
pub const MONGODB: Service = Service::new("mongodb", "pbuild/mongodb:8", "MONGO", "mongo");

/// The login of an app: a user name, a database and a password.
#[derive(Clone)]
pub struct Login {
    /// The user name.
    pub user: String,
    /// The database, or an empty text if the service has none.
    pub database: String,
    /// The password.
    pub password: String,
}

impl Login {
    /// Returns the same login with another password.
    #[must_use]
    pub fn with(&self, password: &str) -> Self {
        Self { password: password.to_owned(), ..self.clone() }
    }
}

/// A script that logs in repeatedly. When it is asked to end, it finishes the current attempt. The pause between two
/// attempts leaves the machine to the test.
const BUSY: &str = r#"ended=
trap 'ended=1' TERM
while [ -z "$ended" ]; do
    if @LOGIN@ >/tmp/said 2>&1; then echo ok; else echo "failed: $(head -c 200 /tmp/said | tr '\n' ' ')"; fi >>/attempts/$HOSTNAME
    sleep 0.05
done
"#;
/// The script [`BUSY`] for MongoDB. It uses the Python client, because MongoDB's shell takes a second to start.
const BUSY_MONGO: &str = r#"import os, signal, time, pymongo
ended = []
signal.signal(signal.SIGTERM, lambda *_: ended.append(1))
with open("/attempts/" + os.environ["HOSTNAME"], "a", buffering=1) as attempts:
    while not ended:
        try:
            client = pymongo.MongoClient(
                host=os.environ["MONGO_HOST"], port=int(os.environ["MONGO_PORT"]), directConnection=True,
                username=os.environ["MONGO_USERNAME"], password=os.environ["MONGO_PASSWORD"],
                authSource=os.environ["MONGO_DATABASE"], serverSelectionTimeoutMS=5000)
            client[os.environ["MONGO_DATABASE"]].kept.find_one()
            client.close()
            print("ok", file=attempts)
        except Exception as error:
            print("failed:", type(error).__name__, str(error)[:200].replace("\n", " "), file=attempts)
        time.sleep(0.05)
"#;

/// The word that [`Service::put`] stores.
const WORD: &str = "darjeeling-4711";

impl Service {
    const fn new(kind: &'static str, image: &'static str, prefix: &'static str, name: &'static str) -> Self {
        Self { kind, image, prefix, name }
    }

    /// Returns the service's table for `app.toml`.
    #[must_use]
    pub fn table(&self) -> String {
        format!("[services.{}]\nkind = \"{}\"\nimage = \"{}\"\n", self.name, self.kind, self.image)
    }

    /// Returns the variables that an app gets from the service, in the order of the documentation.
    #[must_use]
    pub fn variables(&self) -> Vec<String> {
        let (parts, connection, url): (&[&str], &[&str], _) = match self.prefix {
            "DB" => (&["HOST", "PORT", "DATABASE", "USERNAME", "PASSWORD"], &["CONNECTION"], "DATABASE_URL"),
            "REDIS" => (&["HOST", "PORT", "PASSWORD"], &[], "REDIS_URL"),
            _ => (&["HOST", "PORT", "DATABASE", "USERNAME", "PASSWORD"], &[], "MONGO_URL"),
        };
        let prefixed = parts.iter().chain(connection).map(|part| format!("{}_{part}", self.prefix));
        prefixed.chain([url.to_owned()]).collect()
    }

    /// Returns the name of the variable that holds the password.
    #[must_use]
    pub fn password(&self) -> String {
        format!("{}_PASSWORD", self.prefix)
    }

    /// Returns the name of the variable that holds the URL.
    #[must_use]
    pub fn url(&self) -> String {
        if self.prefix == "DB" { "DATABASE_URL".to_owned() } else { format!("{}_URL", self.prefix) }
    }

    /// Asks prun for the login that an app has now.
    #[must_use]
    pub fn login(&self, app: &App<'_>) -> Login {
        let value = |part: &str| {
            let variable = format!("{}_{part}", self.prefix);
            app.prun(&["injected", "--reveal", &variable]).may_show_values().run().stdout().trim().to_owned()
        };
        let (user, database) = match self.prefix {
            "REDIS" => ("default".to_owned(), String::new()),
            _ => (value("USERNAME"), value("DATABASE")),
        };
        Login { user, database, password: value("PASSWORD") }
    }

    /// Makes a variant of the service's image whose server writes every statement into its log.
    #[must_use]
    pub fn talkative<'engine>(&self, app: &App<'engine>) -> ImageName<'engine> {
        let command = match self.kind {
            "postgres" => "CMD [\"postgres\", \"-c\", \"log_statement=all\"]",
            "mysql" => "CMD [\"mysqld\", \"--general-log=ON\", \"--general-log-file=/var/lib/mysql/all.log\"]",
            "mariadb" => "CMD [\"mariadbd\", \"--general-log=ON\", \"--general-log-file=/var/lib/mysql/all.log\"]",
            _ => "LABEL talkative=as-it-is",
        };
        self.derived(app, "talkative", &[command], None)
    }

    /// Makes an image with the service's own client, which logs in repeatedly with a new connection for each attempt.
    /// It writes one line for each attempt, into a file of `/attempts` for each instance.
    #[must_use]
    pub fn busy_app<'engine>(&self, app: &App<'engine>) -> ImageName<'engine> {
        let script = match self.kind {
            "mongodb" => BUSY_MONGO.to_owned(),
            _ => BUSY.replace("@LOGIN@", match self.kind {
                "postgres" => "PGPASSWORD=$DB_PASSWORD psql -X -q -t -A -w -h $DB_HOST -U $DB_USERNAME -d $DB_DATABASE -c 'select 1'",
                "mysql" => "printf '[client]\\nuser=%s\\npassword=%s\\n' $DB_USERNAME $DB_PASSWORD | mysql --defaults-extra-file=/dev/stdin --protocol=tcp -h $DB_HOST -e 'select 1' $DB_DATABASE",
                "mariadb" => "printf '[client]\\nuser=%s\\npassword=%s\\n' $DB_USERNAME $DB_PASSWORD | mariadb --defaults-extra-file=/dev/stdin --protocol=tcp -h $DB_HOST -e 'select 1' $DB_DATABASE",
                "redis" => "printf 'AUTH default %s\\nPING\\n' $REDIS_PASSWORD | redis-cli -h $REDIS_HOST | grep PONG",
                _ => "printf 'AUTH default %s\\nPING\\n' $REDIS_PASSWORD | valkey-cli -h $REDIS_HOST | grep PONG",
            }),
        };
        let program = if self.kind == "mongodb" { "python3" } else { "bash" };
        let command = format!("ENTRYPOINT [\"{program}\", \"/busy\"]");
        self.derived(app, "busy", &[&command, "CMD []", "STOPSIGNAL SIGTERM"], Some(&script))
    }

    fn derived<'engine>(
        &self,
        app: &App<'engine>,
        name: &str,
        changes: &[&str],
        script: Option<&str>,
    ) -> ImageName<'engine> {
        let image = ImageName::new(app.engine, name);
        let container = format!("{}-{name}", app.project);
        app.engine.docker(&["create", "--name", &container, self.image]);
        if let Some(script) = script {
            let path = app.scene.write("busy", script);
            app.engine.docker(&["cp", &path.display().to_string(), &format!("{container}:/busy")]);
        }
        let mut words = vec!["commit"];
        changes.iter().for_each(|change| words.extend(["--change", change]));
        words.extend([container.as_str(), image.as_str()]);
        app.engine.docker(&words);
        app.engine.docker(&["rm", "--volumes", &container]);
        image
    }

    /// Returns true if a login over the project's network succeeds.
    #[must_use]
    pub fn opens(&self, app: &App<'_>, login: &Login) -> bool {
        let (statement, sign) = match self.prefix {
            "DB" => ("select 'opened'", "opened"),
            "REDIS" => ("ECHO opened", "opened"),
            _ => ("print('opened')", "opened"),
        };
        said(&self.ask(app, login, statement)).contains(sign)
    }

    /// Stores a word, and returns true if that worked.
    #[must_use]
    pub fn put(&self, app: &App<'_>, login: &Login) -> bool {
        let (statement, sign) = match self.prefix {
            "DB" => (
                format!(
                    "create table if not exists kept (word varchar(40)); insert into kept values ('{WORD}'); select 'stored'"
                ),
                "stored",
            ),
            "REDIS" => (format!("SET kept {WORD}"), "OK\nOK"),
            _ => (format!("app.kept.insert_one({{'word': '{WORD}'}}); print('stored')"), "stored"),
        };
        said(&self.ask(app, login, &statement)).contains(sign)
    }

    /// Reads the stored word, and returns true if it is the right one.
    #[must_use]
    pub fn get(&self, app: &App<'_>, login: &Login) -> bool {
        let statement = match self.prefix {
            "DB" => "select word from kept",
            "REDIS" => "GET kept",
            _ => "print(app.kept.find_one()['word'])",
        };
        said(&self.ask(app, login, statement)).contains(WORD)
    }

    /// Returns what PostgreSQL answers to a statement.
    #[must_use]
    pub fn says(&self, app: &App<'_>, login: &Login, statement: &str) -> String {
        said(&self.ask(app, login, statement)).trim().to_owned()
    }

    /// Returns what a PostgreSQL at another address answers, asked from the service's container.
    #[must_use]
    pub fn says_at(&self, app: &App<'_>, host: &str, port: &str, login: &Login, statement: &str) -> String {
        let server = format!("{}-{}", app.project, self.name);
        let words = ["exec", "--interactive", &server, "psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align"];
        let place =
            ["--password", "--host", host, "--port", port, "--username", &login.user, "--dbname", &login.database];
        let words = [&words[..], &place, &["--command", statement]].concat();
        said(&with_input(app, &words, &format!("{}\n", login.password))).trim().to_owned()
    }

    fn ask(&self, app: &App<'_>, login: &Login, statement: &str) -> Output {
        let (host, Login { user, database, password }) = (self.name, login);
        let (words, input): (Vec<&str>, String) = match self.kind {
            "postgres" => (
                vec![
                    "psql",
                    "--no-psqlrc",
                    "--quiet",
                    "--tuples-only",
                    "--no-align",
                    "--password",
                    "--host",
                    host,
                    "--username",
                    user,
                    "--dbname",
                    database,
                    "--command",
                    statement,
                ],
                format!("{password}\n"),
            ),
            "mysql" | "mariadb" => (
                vec![
                    self.kind,
                    "--defaults-extra-file=/dev/stdin",
                    "--protocol=tcp",
                    "--host",
                    host,
                    "--batch",
                    "--skip-column-names",
                    "--execute",
                    statement,
                    database,
                ],
                format!("[client]\nuser={user}\npassword={password}\n"),
            ),
            "redis" => (vec!["redis-cli", "-h", host], format!("AUTH {user} {password}\n{statement}\n")),
            "valkey" => (vec!["valkey-cli", "-h", host], format!("AUTH {user} {password}\n{statement}\n")),
            _ => (
                // The product uses MongoDB's own shell instead, which takes a second to start.
                vec!["python3", "-"],
                format!(
                    "import pymongo\nclient = pymongo.MongoClient(host='{host}', directConnection=True, username='{user}', \
                     password='{password}', authSource='{database}', serverSelectionTimeoutMS=5000)\n\
                     app = client['{database}']\napp.kept.find_one()\n{statement}\n"
                ),
            ),
        };
        // The client runs in the server's own container, which has the clients, but connects over the network: the
        // host name has the same address inside of the container.
        let server = format!("{}-{}", app.project, self.name);
        with_input(app, &[&["exec", "--interactive", server.as_str()][..], &words].concat(), &input)
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs the docker client with a text on its standard input, where no process table shows the text.
fn with_input(app: &App<'_>, words: &[&str], input: &str) -> Output {
    let line = std::env::var("PBUILD_TEST_DOCKER").expect("PBUILD_TEST_DOCKER: run scripts/test");
    let mut docker = line.split_whitespace();
    let mut child = std::process::Command::new(docker.next().expect("a program"))
        .args(docker)
        .args(words)
        .env("DOCKER_HOST", app.engine.docker_host())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the docker client");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("the client reads");
    child.wait_with_output().expect("the client ends")
}
