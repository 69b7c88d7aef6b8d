//! The data of a running tool with secrets that another process can see.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use ptest::Scene;
use ptest::binaries;

/// A user without special rights. Root can see everything, so a test as root proves nothing.
const NOBODY: u32 = 65_534;

/// A folder that this user owns, with copies of the tools, because the user may not read the original ones.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("a folder of this test's own");
        for tool in ["pbuild", "prun"] {
            fs::copy(binaries().join(tool), folder.path().join(tool)).expect("the tools are built");
        }
        let home = folder.path().join("home");
        fs::create_dir(&home).expect("a folder of this test's own");
        chown(&home, Some(NOBODY), Some(NOBODY)).expect("a folder of this test's own");
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// Returns true if another process of the same user may read a file of a process in `/proc`.
fn may_read(process: u32, file: &str) -> bool {
    let path = format!("/proc/{process}/{file}");
    let looked = as_nobody("head").args(["-c", "1", &path]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    looked.expect("setpriv").success()
}

fn as_nobody(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", program]);
    command
}

/// Starts an engine that accepts connections and never answers. The receiver is notified of each connection.
fn silent_engine(socket: &Path) -> mpsc::Receiver<()> {
    let listener = UnixListener::bind(socket).expect("a folder of this test's own");
    fs::set_permissions(socket, fs::Permissions::from_mode(0o666)).expect("a folder of this test's own");
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for connection in listener.incoming() {
            kept.push(connection);
            if tell.send(()).is_err() {
                return;
            }
        }
    });
    told
}

/// Core files, debuggers and the process table (K12): the tool waits for an engine that does not answer, after it has
/// read all values.
#[test]
fn nobody_of_the_same_user_sees_into_a_tool_that_holds_secrets_k12() {
    let (home, scene) = (Home::new(), Scene::new());
    let told = silent_engine(&home.path("engine.sock"));
    fs::create_dir(home.path("project")).unwrap();
    fs::write(home.path("project/Dockerfile"), "FROM scratch\n").unwrap();
    let (token, file) = (scene.oracle().token("TOKEN"), scene.oracle().token("FILE"));
    let env_file = home.path("home/.env");
    fs::write(&env_file, format!("FILE={}\n", file.text())).unwrap();
    fs::set_permissions(&env_file, fs::Permissions::from_mode(0o600)).unwrap();
    chown(&env_file, Some(NOBODY), Some(NOBODY)).unwrap();

    let mut control = as_nobody("sleep").arg("600").spawn().unwrap();
    for words in [&["pbuild", "build"][..], &["prun", "start"]] {
        let (tool, command) = (home.path(words[0]), words[1]);
        let what = if command == "build" { "." } else { "shop:latest" };
        let mut running = scene
            .tool("setpriv")
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
            .arg(tool)
            .args([command, what, "--secret", "id=TOKEN", "--env-file"])
            .arg(&env_file)
            .current_dir(home.path("project"))
            .env("HOME", home.path("home"))
            .env("XDG_CONFIG_HOME", home.path("home/config"))
            .env("XDG_STATE_HOME", home.path("home/state"))
            .env("DOCKER_HOST", format!("unix://{}", home.path("engine.sock").display()))
            .env("TOKEN", token.text())
            .spawn();
        told.recv_timeout(Duration::from_secs(60)).expect("it asks the engine");
        let process = running.id();
        // The kernel gives the files of a process that is not dumpable to root. The files of the control process
        // belong to its user.
        let owner = |process: u32| fs::metadata(format!("/proc/{process}/environ")).unwrap().uid();
        assert_eq!((owner(process), owner(control.id())), (0, NOBODY), "{words:?}");
        assert!(!may_read(process, "environ") && may_read(control.id(), "environ"), "{words:?}");
        assert!(!may_read(process, "mem") && !may_read(process, "maps"), "{words:?}: no debugger");
        let limits = fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
        let core: Vec<&str> =
            limits.lines().find(|line| line.starts_with("Max core file size")).unwrap().split_whitespace().collect();
        assert_eq!(core[4..6], ["0", "0"], "{words:?}");
        // The environment contains the variable that the caller set, and no other variable and no argument contains a
        // value. The scene samples both during the whole run; this check allows no exception.
        let environment = fs::read(format!("/proc/{process}/environ")).unwrap();
        let given = format!("TOKEN={}", token.text()).into_bytes();
        let others: Vec<u8> =
            environment.split(|byte| *byte == 0).filter(|entry| *entry != given).collect::<Vec<_>>().join(&0);
        scene.oracle().check_bytes("environ", &others);
        scene.oracle().check_bytes("cmdline", &fs::read(format!("/proc/{process}/cmdline")).unwrap());
        running.terminate();
        running.finish();
    }
    control.kill().unwrap();
    control.wait().unwrap();
    // The end of the process must not have written a value either.
    fs::remove_file(&env_file).unwrap();
    scene.oracle().check_dir_except(home.0.path(), &[]);
}

/// Root works in the home of another user, as with `sudo` (K13): no file of root is left in that home, because the
/// user could not change it.
#[test]
fn root_makes_nothing_in_another_user_s_home_k13() {
    let (home, scene) = (Home::new(), Scene::new());
    scene.write("app.toml", "[secrets]\nKEY = { from = { env = \"OTHER\" } }\n");
    for words in [&["secrets", "init"][..], &["trust"]] {
        let outcome = scene
            .pbuild()
            .args(words)
            .env("HOME", home.path("home"))
            .env("XDG_CONFIG_HOME", "")
            .env("XDG_STATE_HOME", "")
            .run();
        assert!([2, 41].contains(&outcome.code()), "{}", outcome.stderr());
        outcome.expect_stderr("belongs to user 65534").expect_stderr("without sudo");
    }
    assert_eq!(fs::read_dir(home.path("home")).unwrap().count(), 0);
    assert!(!scene.project().join("secrets.age").exists());
}
