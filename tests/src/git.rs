//! A repository for one test, which an engine fetches with git's own protocol.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};

use ptest::Engine;

use crate::relay::own_address;

/// A server of one repository with one branch. It runs as long as the test.
#[derive(Debug)]
pub struct GitServer {
    folder: tempfile::TempDir,
    address: SocketAddr,
}

impl GitServer {
    /// Starts a server with an empty repository, at an address that the engine reaches.
    ///
    /// # Panics
    ///
    /// Panics if git is not installed.
    #[must_use]
    pub fn start(engine: &Engine) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let listener = TcpListener::bind((own_address(engine), 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let root = folder.path().to_owned();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let [input, output] = [client.try_clone().expect("a descriptor"), client].map(OwnedFd::from);
                let mut daemon = git(&root, &["daemon", "--inetd", "--export-all"]);
                daemon.arg(format!("--base-path={}", root.display()));
                let Ok(mut child) = daemon.stdin(Stdio::from(input)).stdout(Stdio::from(output)).spawn() else {
                    continue;
                };
                drop(daemon);
                std::thread::spawn(move || child.wait());
            }
        });
        run(folder.path(), &["init", "--quiet", "--initial-branch=main", "shop.git"]);
        Self { folder, address }
    }

    /// Writes these files and commits them.
    ///
    /// # Panics
    ///
    /// Panics if the files cannot be written or committed.
    pub fn commit(&self, files: &[(&str, &str)]) {
        let tree = self.folder.path().join("shop.git");
        for (name, text) in files {
            let place = tree.join(name);
            std::fs::create_dir_all(place.parent().expect("a folder")).expect("a folder of the repository");
            std::fs::write(place, text).expect("a file of the repository");
        }
        run(&tree, &["add", "--all"]);
        run(&tree, &["-c", "user.name=test", "-c", "user.email=test@example.org", "commit", "--quiet", "-m", "files"]);
    }

    /// Returns the build context of the repository's branch.
    #[must_use]
    pub fn context(&self) -> String {
        format!("git://{}/shop.git#main", self.address)
    }
}

/// Makes a git command without the settings of the user who runs the tests.
fn git(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    command.args(arguments).current_dir(folder).env("HOME", folder);
    command.env("GIT_CONFIG_NOSYSTEM", "1").stderr(Stdio::null());
    command
}

fn run(folder: &Path, arguments: &[&str]) {
    assert!(git(folder, arguments).status().expect("git runs").success(), "git {arguments:?}");
}
