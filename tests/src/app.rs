//! A small app and its project, for tests of `prun`.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use ptest::{Canary, Engine, Outcome, Scene, Tool};

use crate::ImageName;

/// The time that an expected event may take.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The app's command: a web server that finishes its open requests and ends when it receives a signal.
const SERVER: &str = r#"["sh", "-c", "trap 'sleep 0.3; exit 0' TERM; httpd -f -p 8080 -h /www & wait"]"#;

/// The project of one test: an image, a scene with its manifest, a port. Dropping it removes all of them.
pub struct App<'engine> {
    /// The engine.
    pub engine: &'engine Engine,
    /// The scene in which prun runs, with its oracle.
    pub scene: Scene,
    /// The project's name.
    pub project: String,
    /// The port of the engine's machine that the app may publish.
    pub port: u16,
    /// The app's image.
    pub image: ImageName<'engine>,
}

impl<'engine> App<'engine> {
    /// Makes the app's image: a web server that answers `/healthz` and runs as a user without rights.
    ///
    /// # Panics
    ///
    /// Panics if the engine cannot make the image.
    #[must_use]
    pub fn new(engine: &'engine Engine, test: &str) -> Self {
        static COUNT: AtomicU16 = AtomicU16::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let process = std::process::id();
        let app = Self {
            engine,
            scene: Scene::on(engine),
            project: format!("{test}-{process}-{count}"),
            // The port belongs to the engine's own network, so it cannot clash with ports of this machine.
            port: 20_000 + u16::try_from(process % 2000).expect("less than 2000") * 20 + count % 20,
            image: ImageName::new(engine, test),
        };
        let files = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(files.path().join("www")).expect("a folder in a new folder");
        std::fs::write(files.path().join("www/healthz"), "ok\n").expect("a file in a new folder");
        let container = format!("{}-image", app.project);
        engine.docker(&["create", "--name", &container, "busybox", "true"]);
        let www = files.path().join("www").display().to_string();
        engine.docker(&["cp", &www, &format!("{container}:/")]);
        let command = format!("CMD {SERVER}");
        let changes = ["--change", &command, "--change", "EXPOSE 8080", "--change", "USER 1000"];
        engine.docker(&[&["commit"][..], &changes, &[container.as_str(), app.image.as_str()]].concat());
        engine.docker(&["rm", &container]);
        app
    }

    /// Writes the manifest and trusts it. The name, the image and the port are added before `rest`.
    pub fn manifest(&self, rest: &str) {
        let head = format!("name = \"{}\"\nimage = \"{}\"\n", self.project, self.image.as_str());
        self.scene.write("app.toml", head + &rest.replace("@PORT@", &self.port.to_string()));
        // Some tests need a broken manifest, so a failure is ignored. The error is reported when the manifest is
        // used.
        self.prun(&["trust"]).run();
    }

    /// Makes a tool that runs `prun` in the project's folder.
    pub fn prun(&self, words: &[&str]) -> Tool<'_> {
        self.scene.prun().args(words)
    }

    /// Returns a digest of a variable of the app. `prun exec` computes the digest inside the instance, so the value
    /// is not shown.
    ///
    /// # Panics
    ///
    /// Panics if there is no instance.
    #[track_caller]
    #[must_use]
    pub fn digest_of(&self, variable: &str) -> String {
        let script = format!("printf %s \"${variable}\" | sha256sum | cut -d' ' -f1");
        let outcome = self.prun(&["exec", "--", "sh", "-c", &script]).run();
        outcome.expect_code(0);
        outcome.stdout().trim().to_owned()
    }

    /// Returns the digest that [`App::digest_of`] returns for this value.
    #[must_use]
    pub fn digest(value: &[u8]) -> String {
        ptest::sha256(value).trim_start_matches("sha256:").to_owned()
    }

    /// Adds a generated value to the oracle, so that all later checks search for it.
    ///
    /// # Panics
    ///
    /// Panics if instances do not get this variable.
    #[track_caller]
    pub fn register(&self, variable: &str) -> Canary {
        let outcome = self.prun(&["injected", "--reveal", variable]).may_show_values().run();
        outcome.expect_code(0);
        self.scene.oracle().register(variable, outcome.stdout().trim_end().as_bytes())
    }

    /// Requests a path and returns the whole answer, or an empty text if the app does not answer.
    #[must_use]
    pub fn get(&self, path: &str) -> String {
        self.try_get(path).unwrap_or_default()
    }

    fn try_get(&self, path: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect((self.engine.address(), self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: app\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// Returns the names of the project's containers, running or not.
    #[must_use]
    pub fn containers(&self) -> Vec<String> {
        let filter = format!("label=io.prun.project={}", self.project);
        let output = self.engine.docker(&["ps", "--all", "--format", "{{.Names}}", "--filter", &filter]);
        let mut names: Vec<String> = String::from_utf8_lossy(&output).lines().map(str::to_owned).collect();
        names.sort();
        names
    }

    /// Returns the names of the project's app containers without the project's name. For example, `1.1` is instance 1
    /// of generation 1.
    #[must_use]
    pub fn instances(&self) -> Vec<String> {
        let filter = [format!("label=io.prun.project={}", self.project), "label=io.prun.role=app".to_owned()];
        let output = self.engine.docker(&[
            "ps",
            "--all",
            "--format",
            "{{.Names}}",
            "--filter",
            &filter[0],
            "--filter",
            &filter[1],
        ]);
        let prefix = format!("{}.", self.project);
        let mut names: Vec<String> =
            String::from_utf8_lossy(&output).lines().map(|name| name.trim_start_matches(&prefix).to_owned()).collect();
        names.sort();
        names
    }

    /// Returns the names of the project's volumes.
    #[must_use]
    pub fn volumes(&self) -> Vec<String> {
        let filter = format!("label=io.prun.project={}", self.project);
        let output = self.engine.docker(&["volume", "ls", "--quiet", "--filter", &filter]);
        String::from_utf8_lossy(&output).lines().map(str::to_owned).collect()
    }

    /// Searches everything that the engine shows about the project for canaries: inspections, changed files, logs,
    /// and an exported and a committed instance.
    ///
    /// # Panics
    ///
    /// Panics if a canary is found.
    #[track_caller]
    pub fn check_what_the_engine_tells(&self) {
        let oracle = self.scene.oracle();
        for container in self.containers() {
            oracle.check_bytes(&format!("inspect of {container}"), &self.engine.docker(&["inspect", &container]));
            oracle.check_bytes(&format!("diff of {container}"), &self.engine.docker(&["diff", &container]));
            let logs = self.engine.try_docker(&["logs", &container]);
            oracle.check_bytes(&format!("logs of {container}"), &[logs.stdout, logs.stderr].concat());
        }
        for volume in self.volumes() {
            oracle.check_bytes(&format!("volume {volume}"), &self.engine.docker(&["volume", "inspect", &volume]));
        }
        for instance in self.instances() {
            let container = format!("{}.{instance}", self.project);
            oracle.check_bytes("docker export", &self.engine.docker(&["export", &container]));
            let committed = ImageName::new(self.engine, "committed");
            self.engine.docker(&["commit", &container, committed.as_str()]);
            oracle.check_bytes("docker commit", &committed.told_by_the_engine());
            oracle.check_bytes("docker save", &self.engine.docker(&["save", committed.as_str()]));
        }
    }

    /// Waits until a condition is true. Returns false if it does not become true within [`PATIENCE`].
    #[must_use]
    pub fn becomes(&self, condition: impl Fn() -> bool) -> bool {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if condition() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    }

    /// Starts the project.
    ///
    /// # Panics
    ///
    /// Panics if the project does not start.
    #[track_caller]
    pub fn start(&self) -> Outcome {
        let outcome = self.prun(&["start"]).run();
        outcome.expect_code(0);
        outcome
    }
}

impl Drop for App<'_> {
    /// Removes the app's containers by label with docker itself, so that nothing is left even if prun fails.
    fn drop(&mut self) {
        // The containers are removed one by one, because Docker 20.10 can deadlock when containers of one network end
        // at the same time.
        for container in self.containers() {
            let _ = self.engine.try_docker(&["rm", "--force", "--volumes", &container]);
        }
        for volume in self.volumes() {
            let _ = self.engine.try_docker(&["volume", "rm", &volume]);
        }
        let _ = self.engine.try_docker(&["network", "rm", &self.project]);
    }
}
