//! A separate home for one test: folders, an oracle, tools.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::engine::Engine;
use crate::oracle::Oracle;
use crate::run::Tool;

/// The environment of one end-to-end test.
///
/// Every tool runs with this scene's `HOME`, XDG folders and `TMPDIR`, and gets only `PATH` from the caller's
/// environment. The output and the process table of each run are checked, and so are the scene's folders when the
/// scene is dropped.
///
/// ```
/// let scene = ptest::Scene::new();
/// let token = scene.oracle().token("TOKEN");
/// scene.write_secret(".env", format!("TOKEN={}\n", token.text()));
/// let outcome = scene.tool("/bin/echo").arg("hello").run();
/// outcome.expect_code(0).expect_stdout("hello");
/// ```
pub struct Scene {
    root: tempfile::TempDir,
    oracle: Oracle,
    docker_host: Option<String>,
    allowed: Mutex<Vec<PathBuf>>,
}

impl Scene {
    /// Makes a scene without an engine.
    ///
    /// # Panics
    ///
    /// Panics if the scene's folders cannot be made.
    #[must_use]
    pub fn new() -> Self {
        let root = tempfile::Builder::new().prefix("pbuild-test-").tempdir().expect("a temporary folder");
        for folder in ["project", "home/.config", "home/.cache", "home/.local/state", "home/.local/share", "run", "tmp"]
        {
            let path = root.path().join(folder);
            fs::create_dir_all(&path).expect("a folder in a new folder");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("the folder is ours");
        }
        Self { root, oracle: Oracle::new(), docker_host: None, allowed: Mutex::default() }
    }

    /// Makes a scene whose tools use an engine, through `DOCKER_HOST`.
    #[must_use]
    pub fn on(engine: &Engine) -> Self {
        let mut scene = Self::new();
        scene.docker_host = Some(engine.docker_host().to_owned());
        scene
    }

    /// Returns the oracle of this scene's canaries.
    #[must_use]
    pub fn oracle(&self) -> &Oracle {
        &self.oracle
    }

    /// Returns the folder in which tools run.
    #[must_use]
    pub fn project(&self) -> PathBuf {
        self.root.path().join("project")
    }

    /// Returns the folder of `HOME`.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.root.path().join("home")
    }

    /// Returns the folder of `TMPDIR`.
    #[must_use]
    pub fn temporary(&self) -> PathBuf {
        self.root.path().join("tmp")
    }

    /// Writes a file of the project, which must not contain a canary.
    ///
    /// # Panics
    ///
    /// Panics if the file cannot be written.
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.project().join(name);
        fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("a folder of the project");
        fs::write(&path, contents).expect("a file of the project");
        path
    }

    /// Writes a file of the project that contains canaries on purpose. Only its owner may read it.
    ///
    /// # Panics
    ///
    /// Panics if the file cannot be written.
    pub fn write_secret(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.write(name, contents);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("the file is ours");
        self.allow(&path);
        path
    }

    /// Trusts the project's manifest, as its author would.
    ///
    /// # Panics
    ///
    /// Panics if `pbuild trust` fails.
    #[track_caller]
    pub fn trust(&self) {
        self.pbuild().arg("trust").run().expect_code(0);
    }

    /// Declares that a file, or everything below a folder, contains canaries on purpose.
    pub fn allow(&self, path: impl AsRef<Path>) {
        self.allowed.lock().unwrap_or_else(PoisonError::into_inner).push(path.as_ref().to_owned());
    }

    /// Returns the `pbuild` under test.
    pub fn pbuild(&self) -> Tool<'_> {
        self.tool(binaries().join("pbuild"))
    }

    /// Returns the `prun` under test.
    pub fn prun(&self) -> Tool<'_> {
        self.tool(binaries().join("prun"))
    }

    /// Makes a tool from any program, to run in this scene.
    pub fn tool(&self, program: impl Into<PathBuf>) -> Tool<'_> {
        let home = self.home();
        let mut tool = Tool::new(&self.oracle, program.into(), self.project())
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("XDG_CONFIG_HOME", home.join(".config"))
            .env("XDG_CACHE_HOME", home.join(".cache"))
            .env("XDG_STATE_HOME", home.join(".local/state"))
            .env("XDG_DATA_HOME", home.join(".local/share"))
            .env("XDG_RUNTIME_DIR", self.root.path().join("run"))
            .env("TMPDIR", self.temporary())
            .env("HOME", home)
            .env("LANG", "C.UTF-8")
            .env("RUST_BACKTRACE", "1");
        if let Some(docker_host) = &self.docker_host {
            tool = tool.env("DOCKER_HOST", docker_host);
        }
        tool
    }

    /// Fails if the scene's folders contain a canary, except in the files where the test put it. Dropping the scene
    /// does this, too.
    ///
    /// # Panics
    ///
    /// Panics if a canary is found.
    #[track_caller]
    pub fn check(&self) {
        let allowed = self.allowed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.oracle.check_dir_except(self.root.path(), &allowed);
    }
}

impl Default for Scene {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.check();
        }
    }
}

/// Returns the folder of the tools under test: `PBUILD_TEST_BINARIES`, or else the folder that belongs to the test's
/// own executable.
#[must_use]
pub fn binaries() -> PathBuf {
    if let Some(folder) = std::env::var_os("PBUILD_TEST_BINARIES") {
        return folder.into();
    }
    let test = std::env::current_exe().expect("a test is a file");
    let deps = test.parent().expect("a test lies in a folder");
    // Cargo puts tests into the folder `deps`, one level below the tools.
    deps.parent().expect("deps lies in a folder").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(run: impl FnOnce()) -> String {
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).expect_err("the check fails");
        panic.downcast_ref::<String>().cloned().unwrap_or_default()
    }

    #[test]
    fn a_leak_to_stdout_is_seen() {
        let scene = Scene::new();
        let token = scene.oracle().token("TOKEN");
        let said = failure(|| drop(scene.tool("/bin/cat").stdin(token.value()).run()));
        assert!(said.contains("canary TOKEN in stdout") && !said.contains(token.text()), "{said}");
        scene.tool("/bin/cat").stdin(token.value()).may_show_values().run().expect_code(0).expect_stdout(token.text());
    }

    #[test]
    fn a_leak_to_a_command_line_is_seen_and_a_given_variable_is_not_one() {
        let scene = Scene::new();
        let token = scene.oracle().token("TOKEN");
        let said = failure(|| {
            drop(scene.tool("/bin/sh").args(["-c", "sleep 0.2; :", token.text()]).run());
        });
        assert!(said.contains("the cmdline of `sh`"), "{said}");
        let shell = |script: &str| scene.tool("/bin/sh").args(["-c", script]).env("TOKEN", token.text());
        shell("sleep 0.2; :").run().expect_code(0);
        let said = failure(|| drop(shell("COPY=$TOKEN sleep 0.2").run()));
        assert!(said.contains("the environ of `sleep`"), "{said}");
    }

    #[test]
    fn a_leak_to_a_file_is_seen_and_the_tests_own_file_is_not_one() {
        let scene = Scene::new();
        let token = scene.oracle().token("TOKEN");
        scene.write_secret(".env", token.value());
        scene.tool("/bin/sh").args(["-c", "cp .env $TMPDIR/copy"]).run().expect_code(0);
        assert!(failure(|| scene.check()).contains("/tmp/copy"));
        fs::remove_file(scene.temporary().join("copy")).unwrap();
        scene.check();
    }

    #[test]
    fn a_tool_on_a_terminal_sees_one_of_that_width() {
        let scene = Scene::new();
        let outcome = scene.tool("/bin/sh").args(["-c", "stty size; test -t 1"]).on_terminal(132, 40).run();
        outcome.expect_code(0).expect_stdout("40 132");
    }

    #[test]
    fn a_running_tool_can_be_waited_for_and_interrupted() {
        let scene = Scene::new();
        let script = "trap 'echo caught; exit 130' INT; echo ready; while :; do sleep 0.05; done";
        let mut running = scene.tool("/bin/sh").args(["-c", script]).spawn();
        running.wait_for("ready").interrupt();
        running.finish().expect_code(130).expect_stdout("caught");
    }
}
