//! The quickstarts of the book: each example is a real app, built with packages from a private source, started with its
//! database, and asked for its page. The commands are those of the page, in its order.

use std::fs;
use std::path::{Path, PathBuf};

use acceptance::service::POSTGRES;
use acceptance::{App, ImageName, Private, Wheels};
use ptest::{Engine, Flavour, Outcome};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the root").to_owned()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Copies the files of a folder.
fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a folder of the example") {
        let path = entry.expect("an entry").path();
        let there = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            fs::create_dir_all(&there).expect("a folder of the project");
            copy(&path, &there);
        } else {
            fs::copy(&path, &there).expect("a file of the project");
        }
    }
}

/// Finds the blocks of a kind in a page.
fn blocks<'page>(page: &'page str, kind: &str) -> Vec<&'page str> {
    let fence = format!("```{kind}\n");
    page.split(fence.as_str()).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

/// A search path with the tools under test before all others.
fn path_with_tools() -> String {
    let tools = std::env::var("PBUILD_TEST_BINARIES").expect("run scripts/test");
    format!("{tools}:{}", std::env::var("PATH").expect("a search path"))
}

/// One quickstart: its page, its example, and the project that is made of them.
struct Quickstart<'engine> {
    page: String,
    example: PathBuf,
    app: App<'engine>,
}

impl<'engine> Quickstart<'engine> {
    /// Copies the example, and gives it a manifest with names of this test, on the images that are here.
    fn new(engine: &'engine Engine, name: &str, base: &str, more: &str) -> Self {
        let (page, example) = (format!("docs/quickstart-{name}.md"), root().join("examples").join(name));
        let mut app = App::new(engine, name);
        app.image = ImageName::new(engine, name);
        copy(&example, &app.scene.project());
        let manifest = read(&example.join("app.toml"));
        let lines = manifest.lines().skip_while(|line| !line.starts_with('[')).map(|line| line.to_owned() + "\n");
        let own = lines.collect::<String>().replace("127.0.0.1:8000", "@PORT@").replace("127.0.0.1:3000", "@PORT@");
        let own = own.replace("version = \"17\"", &format!("image = \"{}\"", POSTGRES.image));
        app.manifest(&format!("{own}[build.args]\nBASE = \"{base}\"\n{more}"));
        Self { page: read(&root().join(page)), example, app }
    }

    /// Fails unless each line that the page shows of a file is in the example's.
    fn shows(&self, kind: &str, file: &str) {
        let (shown, there) = (blocks(&self.page, kind), read(&self.example.join(file)));
        assert!(!shown.is_empty(), "the page shows {kind}");
        for line in shown.iter().flat_map(|block| block.lines()).filter(|line| !line.is_empty()) {
            let base = line.strip_prefix("FROM ").is_some_and(|image| there.contains(&format!("ARG BASE={image}\n")));
            assert!(base || there.lines().any(|other| other == line), "the example has no line {line:?}");
        }
    }

    /// Runs the page's commands in their order, and looks at each.
    fn follow(&self, host: &str, variable: (&str, &str), look: impl Fn(&str, &Outcome)) {
        let blocks = blocks(&self.page, "console");
        let commands: Vec<&str> =
            blocks.iter().flat_map(|block| block.lines()).filter_map(|line| line.strip_prefix("$ ")).collect();
        assert!(commands.len() >= 7, "{commands:?}");
        for command in commands {
            let outcome = self.run(command, host, variable);
            outcome.expect_code(0);
            if command == "prun start" {
                outcome.expect_stderr("init      migrate").expect_stderr("healthy   1 of 1 instance");
                self.check_what_is_told();
            }
            look(command, &outcome);
        }
        assert!(self.app.containers().is_empty(), "the page ends with everything down");
    }

    /// Runs a line as a shell does; a build knows the host with the packages.
    fn run(&self, command: &str, host: &str, (name, value): (&str, &str)) -> Outcome {
        let build = command.starts_with("pbuild build");
        let line = if build && !host.is_empty() { format!("{command} --add-host {host}") } else { command.to_owned() };
        self.app.scene.tool("sh").args(["-c", &line]).env("PATH", path_with_tools()).env(name, value).run()
    }

    /// What the engine tells of the containers holds no value.
    fn check_what_is_told(&self) {
        for name in ["DB_PASSWORD", "DATABASE_URL"] {
            self.app.register(name);
        }
        for container in self.app.containers() {
            let told = self.app.engine.docker(&["inspect", &container]);
            self.app.scene.oracle().check_bytes("inspect", &told);
        }
    }
}

/// What the first migration of both apps wrote.
const WRITTEN: &str = "Written by a migration";

#[test]
fn django_is_built_from_a_private_index_and_serves_its_page() {
    let engine = Engine::get(Flavour::Modern);
    // pip takes an index without TLS only if told so.
    let trusted = "[env]\nPIP_TRUSTED_HOST = \"index\"\n";
    let quickstart = Quickstart::new(&engine, "django", "pbuild/python:3", trusted);
    for (kind, file) in [("dockerfile", "Dockerfile"), ("toml", "app.toml"), ("python", "shop/settings.py")] {
        quickstart.shows(kind, file);
    }
    let app = &quickstart.app;
    let token = app.scene.oracle().token("INDEX_TOKEN");
    let index = Wheels::start(&engine, &format!("{}-index", app.project), &token);
    let address = format!("http://build:{}@index:8080/simple", token.text());
    let host = format!("index:{}", index.address());
    quickstart.follow(&host, ("PIP_INDEX_URL", &address), |command, outcome| match command {
        "pbuild build ." => {
            outcome.expect_stderr("PIP_INDEX_URL (with its part password) to `pip *`").expect_stderr("clean");
        }
        "prun start" => {
            app.register("SECRET_KEY");
            let answer = app.get("/");
            assert!(answer.contains(WRITTEN) && answer.contains("sessionid="), "{answer}");
            assert!(app.get("/admin/").contains("302"), "the admin asks who one is");
        }
        "prun exec -- python3 manage.py showmigrations notes" => {
            outcome.expect_stdout("[X] 0001_initial");
        }
        "prun services rotate db" => {
            assert!(app.get("/").contains(WRITTEN), "the same data with another password");
        }
        _ => {}
    });
}

/// And its configuration, cached in a step that sees the key, is no image.
#[test]
fn laravel_is_built_from_a_private_repository_and_serves_its_page() {
    let engine = Engine::get(Flavour::Modern);
    let quickstart = Quickstart::new(&engine, "laravel", "pbuild/php:8", "");
    for (kind, file) in [("dockerfile", "Dockerfile"), ("toml", "app.toml")] {
        quickstart.shows(kind, file);
    }
    let app = &quickstart.app;
    let token = app.scene.oracle().token("COMPOSER_TOKEN");
    let private = Private::start(&engine, &token);
    let project = read(&app.scene.project().join("composer.json"));
    let repositories = "\"repositories\": [{\"type\": \"composer\", \"url\": \"http://private:8080/composer\"}, \
                        {\"packagist.org\": false}],\n    \"config\": {\n        \"secure-http\": false,";
    app.scene.write("composer.json", project.replace("\"config\": {", repositories));
    let login = serde_json::json!({"http-basic": {"private:8080": {"username": "build", "password": token.text()}}})
        .to_string();
    let host = format!("private:{}", private.address());
    quickstart.follow(&host, ("COMPOSER_AUTH", &login), |command, outcome| match command {
        "pbuild build ." => {
            outcome.expect_stderr("to `composer *`").expect_stderr("clean");
        }
        "prun start" => {
            outcome.expect_stderr("init      config");
            app.register("APP_KEY");
            let answer = app.get("/");
            assert!(answer.contains(WRITTEN) && answer.contains("guestbook_session="), "{answer}");
        }
        "prun exec -- php artisan migrate:status" => {
            outcome.expect_stdout("create_entries_table");
        }
        "prun services rotate db" => {
            assert!(app.get("/").contains(WRITTEN), "the same data with another password");
        }
        _ => {}
    });
    let (dockerfile, manifest) = (app.scene.project().join("Dockerfile"), app.scene.project().join("app.toml"));
    app.scene.write("Dockerfile", read(&dockerfile).replace("RUN mkdir", "RUN php artisan config:cache\nRUN mkdir"));
    app.scene.write("app.toml", read(&manifest).replace("APP_KEY = { scope = \"run\" }", "APP_KEY = {}"));
    let leak = quickstart.run("pbuild build .", &host, ("COMPOSER_AUTH", &login));
    leak.expect_code(10).expect_stderr("/srv/bootstrap/cache/config.php").expect_stderr("RUN php artisan config:cache");
}

#[test]
fn rails_compiles_its_assets_with_the_real_key_and_serves_its_page() {
    let engine = Engine::get(Flavour::Modern);
    let quickstart = Quickstart::new(&engine, "rails", "pbuild/ruby:3", "");
    for (kind, file) in [("dockerfile", "Dockerfile"), ("toml", "app.toml"), ("yaml", "config/database.yml")] {
        quickstart.shows(kind, file);
    }
    let app = &quickstart.app;
    quickstart.follow("", ("NOTHING", "more"), |command, outcome| match command {
        "pbuild build ." => {
            outcome.expect_stderr("SECRET_KEY_BASE to 1 step (1 ran)").expect_stderr("clean");
        }
        "prun start" => {
            app.register("SECRET_KEY_BASE");
            let answer = app.get("/");
            for part in [WRITTEN, "journal_session=", "/assets/application-"] {
                assert!(answer.contains(part), "{part}: {answer}");
            }
        }
        "prun exec -- bundle exec rails runner \"puts Entry.count\"" => {
            outcome.expect_stdout("1\n");
        }
        _ => {}
    });
}
