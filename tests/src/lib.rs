//! The acceptance suite: rules, flows and command lines, tried on real engines.
//!
//! The second of the three locks stands here, because no crate of the product may see both types. A function of the
//! build takes a user secret:
//!
//! ```
//! fn serve_to_build(_: psecret::UserSecret) {}
//! fn serve_to_service(_: pcredential::ServiceCredential) {}
//!
//! serve_to_build(psecret::UserSecret::new(b"a user's own".to_vec()));
//! serve_to_service(pcredential::ServiceCredential::generate());
//! ```
//!
//! and no service credential, in no shape. These two differ from the twin above in the argument's type alone:
//!
//! ```compile_fail,E0308
//! fn serve_to_build(_: psecret::UserSecret) {}
//!
//! serve_to_build(pcredential::ServiceCredential::generate());
//! ```
//!
//! ```compile_fail,E0277
//! fn serve_to_build(_: impl Into<psecret::UserSecret>) {}
//!
//! serve_to_build(pcredential::ServiceCredential::generate());
//! ```

mod app;
mod docker;
mod git;
mod plugins;
mod private;
mod registry;
mod relay;
pub mod service;
mod session;
mod shop;
mod tokens;
mod wheels;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use ptest::{Canary, Engine, Process, Scene, Tool};

pub use app::{App, PATIENCE};
pub use docker::{Docker, FRONTEND, Said};
pub use git::GitServer;
pub use plugins::Plugins;
pub use private::Private;
pub use registry::{Registry, named};
pub use relay::{BuilderRelay, SERVER};
pub use session::Session;
pub use shop::{Index, example};
pub use tokens::{TokenRequest, TokenService};
pub use wheels::Wheels;

/// Makes one test for each engine flavour out of a function that takes the engine.
#[macro_export]
macro_rules! on_every_engine {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[test]
            fn modern() {
                super::$name(&ptest::Engine::get(ptest::Flavour::Modern));
            }

            #[test]
            fn containerd() {
                super::$name(&ptest::Engine::get(ptest::Flavour::Containerd));
            }

            #[test]
            fn old() {
                super::$name(&ptest::Engine::get(ptest::Flavour::Old));
            }
        }
    )+};
}

/// Makes one test for each kind of service out of a function that takes it.
#[macro_export]
macro_rules! each_service {
    ($test:ident: $($name:ident => $service:expr),+ $(,)?) => {
        mod $test {
            $(
                #[test]
                fn $name() {
                    super::$test($service);
                }
            )+
        }
    };
}

/// A name that one test alone uses; the image under it is removed when the test ends, whatever came of it.
#[derive(Debug)]
pub struct ImageName<'engine> {
    engine: &'engine Engine,
    name: String,
}

impl<'engine> ImageName<'engine> {
    /// Makes a fresh name that says which test it belongs to.
    #[must_use]
    pub fn new(engine: &'engine Engine, test: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self { engine, name: format!("pbuild-test/{test}:{}-{count}", std::process::id()) }
    }

    /// The name with its tag.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// Whether the engine knows an image by this name.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.engine.try_docker(&["image", "inspect", &self.name]).status.success()
    }

    /// Asks for `docker image inspect` of the image, and `docker history` after it.
    #[must_use]
    pub fn told_by_the_engine(&self) -> Vec<u8> {
        let mut told = self.engine.docker(&["image", "inspect", &self.name]);
        told.extend(self.engine.docker(&["history", "--no-trunc", &self.name]));
        told
    }

    /// Runs a container of the image, and returns its output.
    #[must_use]
    pub fn run(&self, command: &[&str]) -> String {
        let arguments = [&["run", "--rm", "--network", "none", self.name.as_str()][..], command].concat();
        String::from_utf8_lossy(&self.engine.docker(&arguments)).into_owned()
    }
}

impl Drop for ImageName<'_> {
    fn drop(&mut self) {
        let _ = self.engine.try_docker(&["image", "rm", "--force", &self.name]);
    }
}

/// Whether something is so within a time, looked at again and again.
pub fn becomes(within: Duration, condition: impl Fn() -> bool) -> bool {
    let began = Instant::now();
    while began.elapsed() < within {
        if condition() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    condition()
}

/// Lists the ids of the records of the engine's builder whose description holds the text.
#[must_use]
pub fn records(engine: &Engine, text: &str) -> Vec<String> {
    let listed = engine.buildx(&["du", "--verbose"]);
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let id = |record: &str| Some(record.lines().find_map(|line| line.strip_prefix("ID:"))?.trim().to_owned());
    // A description may have several lines.
    listed.split("\n\n").filter(|record| record.contains(text)).filter_map(id).collect()
}

/// Removes one record of the engine's builder.
///
/// # Panics
/// When the engine does not.
pub fn prune(engine: &Engine, id: &str) {
    let pruned = engine.buildx(&["prune", "--all", "--force", "--filter", &format!("id={id}")]);
    assert!(pruned.status.success(), "{}", String::from_utf8_lossy(&pruned.stderr));
}

/// Whether a scanner runs in a builder and sees a file in one of its states.
///
/// # Panics
///
/// When `/proc` cannot be read.
#[must_use]
pub fn scanner_of(file: &str) -> bool {
    let file = format!("/states/1/{file}");
    Process::all().any(|process| process.command() == b"/plook\0" && process.file(&file).exists())
}

/// The words of a build when the builder itself could not prove anything.
pub const WHOLE: &str = "searching the whole image";

/// Makes a build of the scene's project with one secret, `TOKEN`, and plain progress.
pub fn build<'scene>(scene: &'scene Scene, image: &ImageName<'_>, token: &Canary, more: &[&str]) -> Tool<'scene> {
    let tool = scene.pbuild().args(["build", "--progress", "plain", "-t", image.as_str(), "--secret", "id=TOKEN"]);
    tool.args(more).arg(".").env("TOKEN", token.text())
}
