//! Docker's own commands that use the frontend image: `docker buildx build`, compose and bake, each in a separate
//! scene.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use ptest::{Canary, Engine, Scene, Tool};

/// The name of the frontend image in a syntax line. `scripts/test` builds it from the workspace and loads it into
/// every engine.
pub const FRONTEND: &str = "pbuild/frontend:1";

/// Docker's commands in one scene.
pub struct Docker<'engine> {
    /// The engine that builds.
    pub engine: &'engine Engine,
    /// The scene, with its project and its canaries.
    pub scene: Scene,
}

impl<'engine> Docker<'engine> {
    /// Makes a scene with an empty project.
    #[must_use]
    pub fn new(engine: &'engine Engine) -> Self {
        Self { engine, scene: Scene::on(engine) }
    }

    /// Writes the Dockerfile with a syntax line that has these words.
    pub fn dockerfile(&self, words: &str, text: &str) {
        self.scene.write("Dockerfile", format!("# syntax={FRONTEND} {words}\n{text}"));
    }

    /// Runs one of docker's programs in the project. `program` is the variable that holds its command line.
    pub fn run(&self, program: &str, arguments: &[&str], variables: &[(&str, &Canary)]) -> Said {
        self.run_with(program, arguments, variables, &[])
    }

    /// Runs one of docker's programs with these bytes on its standard input.
    ///
    /// # Panics
    ///
    /// Panics if the program cannot be run, or if it prints a canary.
    pub fn run_with(&self, program: &str, arguments: &[&str], variables: &[(&str, &Canary)], input: &[u8]) -> Said {
        let mut command = ptest::program(program);
        command.args(arguments).current_dir(self.scene.project());
        command.env("DOCKER_HOST", self.engine.docker_host()).env_remove("DOCKER_CONTEXT");
        // The folder contains the credentials of earlier logins in the scene.
        command.env("DOCKER_CONFIG", self.scene.home().join(".docker"));
        command.env("BUILDX_NO_DEFAULT_ATTESTATIONS", "1").env("SOURCE_DATE_EPOCH", "1700000000");
        for (name, canary) in variables {
            command.env(name, canary.text());
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{program}: {error}"));
        // The program may end without reading all of its input, so errors are ignored.
        let _ = child.stdin.take().expect("a pipe").write_all(input);
        let output = child.wait_with_output().unwrap_or_else(|error| panic!("{program}: {error}"));
        // Docker must not print a value, not even in the message about a leak.
        self.scene.oracle().check_bytes("standard output", &output.stdout);
        self.scene.oracle().check_bytes("standard error", &output.stderr);
        Said(output)
    }

    /// Runs `docker buildx build` in the scene's project, with these variables as secrets.
    pub fn build(&self, arguments: &[&str], secrets: &[(&str, &Canary)]) -> Said {
        self.build_of(".", arguments, secrets, &[])
    }

    /// Builds another context, with these bytes on standard input.
    pub fn build_of(&self, context: &str, arguments: &[&str], secrets: &[(&str, &Canary)], input: &[u8]) -> Said {
        let words = build_words(context, arguments, secrets);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.run_with("PBUILD_TEST_BUILDX", &words, secrets, input)
    }

    /// Makes a tool of the build, which a test can start, interrupt and wait for.
    pub fn building(&self, arguments: &[&str], secrets: &[(&str, &Canary)]) -> Tool<'_> {
        let buildx: Command = ptest::program("PBUILD_TEST_BUILDX");
        let mut tool = self.scene.tool(buildx.get_program()).args(buildx.get_args());
        tool = tool.args(build_words(".", arguments, secrets)).env("BUILDX_NO_DEFAULT_ATTESTATIONS", "1");
        if let Some(engines) = std::env::var_os("PBUILD_ENGINES") {
            tool = tool.env("PBUILD_ENGINES", engines);
        }
        secrets.iter().fold(tool, |tool, (name, canary)| tool.env(name, canary.text()))
    }

    /// Makes a word that no other test uses, so that the build does not use another test's cache.
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

/// The output of one of docker's programs.
pub struct Said(Output);

impl Said {
    /// Returns standard error as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }

    /// Returns standard output as text.
    #[must_use]
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }

    /// Returns the exit code.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.0.status.code()
    }

    /// Checks that the program succeeded.
    ///
    /// # Panics
    ///
    /// Panics if the program failed.
    #[track_caller]
    pub fn passes(self) -> Self {
        assert!(self.0.status.success(), "{}", self.text());
        self
    }

    /// Checks that the program failed.
    ///
    /// # Panics
    ///
    /// Panics if the program succeeded.
    #[track_caller]
    pub fn fails(self) -> Self {
        assert!(!self.0.status.success(), "{}", self.text());
        self
    }

    /// Checks that standard error contains this text.
    ///
    /// # Panics
    ///
    /// Panics if the text is missing.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.text().contains(text), "no {text:?} in\n{}", self.text());
        self
    }

    /// Checks that standard error does not contain this text.
    ///
    /// # Panics
    ///
    /// Panics if the text is present.
    #[track_caller]
    pub fn never_says(self, text: &str) -> Self {
        assert!(!self.text().contains(text), "{text:?} in\n{}", self.text());
        self
    }

    /// Returns the last line of standard error that is not blank.
    #[must_use]
    pub fn last_line(&self) -> String {
        self.text().lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default().to_owned()
    }
}
