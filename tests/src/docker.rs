//! Docker's own doors to the frontend image: `docker buildx build`, compose and bake in a scene of their own.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use ptest::{Canary, Engine, Scene, Tool};

/// The frontend image, as a syntax line names it. `scripts/test` makes it of the workspace and loads it into every engine.
pub const FRONTEND: &str = "pbuild/frontend:1";

/// One docker in one scene.
pub struct Docker<'engine> {
    /// The engine that builds.
    pub engine: &'engine Engine,
    /// Its project and its canaries.
    pub scene: Scene,
}

impl<'engine> Docker<'engine> {
    /// Makes a docker with an empty project.
    #[must_use]
    pub fn new(engine: &'engine Engine) -> Self {
        Self { engine, scene: Scene::on(engine) }
    }

    /// Writes the Dockerfile with a syntax line of these words.
    pub fn dockerfile(&self, words: &str, text: &str) {
        self.scene.write("Dockerfile", format!("# syntax={FRONTEND} {words}\n{text}"));
    }

    /// Runs one of docker's programs, by the variable that names it, in the project.
    pub fn run(&self, program: &str, arguments: &[&str], variables: &[(&str, &Canary)]) -> Said {
        self.run_with(program, arguments, variables, &[])
    }

    /// Runs one of them with these bytes on its standard input.
    ///
    /// # Panics
    ///
    /// When the program cannot be run, or shows a canary.
    pub fn run_with(&self, program: &str, arguments: &[&str], variables: &[(&str, &Canary)], input: &[u8]) -> Said {
        let mut command = ptest::program(program);
        command.args(arguments).current_dir(self.scene.project());
        command.env("DOCKER_HOST", self.engine.docker_host()).env_remove("DOCKER_CONTEXT");
        // What a login left in the scene.
        command.env("DOCKER_CONFIG", self.scene.home().join(".docker"));
        command.env("BUILDX_NO_DEFAULT_ATTESTATIONS", "1").env("SOURCE_DATE_EPOCH", "1700000000");
        for (name, canary) in variables {
            command.env(name, canary.text());
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{program}: {error}"));
        // A program that ends without reading everything is no failure of the test.
        let _ = child.stdin.take().expect("a pipe").write_all(input);
        let output = child.wait_with_output().unwrap_or_else(|error| panic!("{program}: {error}"));
        // Whatever docker shows holds no value, a leak's message least of all.
        self.scene.oracle().check_bytes("standard output", &output.stdout);
        self.scene.oracle().check_bytes("standard error", &output.stderr);
        Said(output)
    }

    /// Runs `docker buildx build` of the scene's project, with these variables as secrets.
    pub fn build(&self, arguments: &[&str], secrets: &[(&str, &Canary)]) -> Said {
        self.build_of(".", arguments, secrets, &[])
    }

    /// Builds another context, with these bytes on standard input.
    pub fn build_of(&self, context: &str, arguments: &[&str], secrets: &[(&str, &Canary)], input: &[u8]) -> Said {
        let words = build_words(context, arguments, secrets);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.run_with("PBUILD_TEST_BUILDX", &words, secrets, input)
    }

    /// Makes the build a tool that can be started, interrupted and waited for.
    pub fn building(&self, arguments: &[&str], secrets: &[(&str, &Canary)]) -> Tool<'_> {
        let buildx: Command = ptest::program("PBUILD_TEST_BUILDX");
        let mut tool = self.scene.tool(buildx.get_program()).args(buildx.get_args());
        tool = tool.args(build_words(".", arguments, secrets)).env("BUILDX_NO_DEFAULT_ATTESTATIONS", "1");
        if let Some(engines) = std::env::var_os("PBUILD_ENGINES") {
            tool = tool.env("PBUILD_ENGINES", engines);
        }
        secrets.iter().fold(tool, |tool, (name, canary)| tool.env(name, canary.text()))
    }

    /// Makes a word that no other test has, so that no other test's cache answers.
    #[must_use]
    pub fn mark(&self, what: &str) -> String {
        format!("{what}-{}-{:?}", std::process::id(), self.engine.flavour())
    }
}

fn build_words(context: &str, arguments: &[&str], secrets: &[(&str, &Canary)]) -> Vec<String> {
    let mut words: Vec<String> = ["build", "--progress", "plain"].map(str::to_owned).to_vec();
    words.extend(secrets.iter().map(|(name, _)| format!("--secret=id={name}")));
    words.extend(arguments.iter().map(|word| (*word).to_owned()));
    words.push(context.to_owned());
    words
}

/// What docker said.
pub struct Said(Output);

impl Said {
    /// Standard error.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }

    /// Standard output.
    #[must_use]
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }

    /// The exit code.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.0.status.code()
    }

    /// Expects success.
    ///
    /// # Panics
    ///
    /// When the program failed, as with all of these.
    #[track_caller]
    pub fn passes(self) -> Self {
        assert!(self.0.status.success(), "{}", self.text());
        self
    }

    /// Expects a failure.
    ///
    /// # Panics
    ///
    /// When the program succeeded.
    #[track_caller]
    pub fn fails(self) -> Self {
        assert!(!self.0.status.success(), "{}", self.text());
        self
    }

    /// Expects this text.
    ///
    /// # Panics
    ///
    /// When it did not.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.text().contains(text), "no {text:?} in\n{}", self.text());
        self
    }

    /// Expects that this text is absent.
    ///
    /// # Panics
    ///
    /// When the program succeeded.
    #[track_caller]
    pub fn never_says(self, text: &str) -> Self {
        assert!(!self.text().contains(text), "{text:?} in\n{}", self.text());
        self
    }

    /// Finds the last line with words.
    #[must_use]
    pub fn last_line(&self) -> String {
        self.text().lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default().to_owned()
    }
}
