//! The acceptance suite, which tests rules, workflows and command lines on real engines.
//!
//! This page holds the second of the three locks between the two types of secrets, because no crate of the product
//! may depend on both types. A function of the build accepts a user secret:
//!
//! ```
//! fn serve_to_build(_: psecret::UserSecret) {}
//! fn serve_to_service(_: pcredential::ServiceCredential) {}
//!
//! serve_to_build(psecret::UserSecret::new(b"a user's own".to_vec()));
//! serve_to_service(pcredential::ServiceCredential::generate());
//! ```
//!
//! It does not accept a service credential in any form. The next two examples differ from the first one only in the
//! type of the argument:
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
mod bucket;
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
pub use bucket::Bucket;
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

/// Makes one test for each engine flavour from a function that takes an engine.
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

/// Makes one test for each kind of service from a function that takes a service.
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

/// An image name that only one test uses. The image of this name is removed when the test ends, even if the test
/// fails.
#[derive(Debug)]
pub struct ImageName<'engine> {
    engine: &'engine Engine,
    name: String,
}

impl<'engine> ImageName<'engine> {
    /// Makes a fresh name that contains the name of the test.
    #[must_use]
    pub fn new(engine: &'engine Engine, test: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self { engine, name: format!("pbuild-test/{test}:{}-{count}", std::process::id()) }
    }

    /// Returns the name with its tag.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// Returns true if the engine has an image of this name.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.engine.try_docker(&["image", "inspect", &self.name]).status.success()
    }

    /// Returns the output of `docker image inspect` and of `docker history` for the image.
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

/// Checks a condition repeatedly. Returns true as soon as it holds, or false if it does not hold within the time.
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

/// Lists the ids of the records of the engine's builder whose descriptions contain the text.
#[must_use]
pub fn records(engine: &Engine, text: &str) -> Vec<String> {
    let listed = engine.buildx(&["du", "--verbose"]);
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let id = |record: &str| Some(record.lines().find_map(|line| line.strip_prefix("ID:"))?.trim().to_owned());
    // A description may have several lines, so records are separated by blank lines.
    listed.split("\n\n").filter(|record| record.contains(text)).filter_map(id).collect()
}

/// Removes one record of the engine's builder.
///
/// # Panics
/// Panics if the engine does not remove it.
pub fn prune(engine: &Engine, id: &str) {
    let pruned = engine.buildx(&["prune", "--all", "--force", "--filter", &format!("id={id}")]);
    assert!(pruned.status.success(), "{}", String::from_utf8_lossy(&pruned.stderr));
}

/// Returns true if a scanner runs in a builder and sees this file in its first state.
///
/// # Panics
///
/// Panics if `/proc` cannot be read.
#[must_use]
pub fn scanner_of(file: &str) -> bool {
    let file = format!("/states/1/{file}");
    Process::all().any(|process| process.command() == b"/plook\0" && process.file(&file).exists())
}

/// The words that pbuild prints if the builder itself could not search the result.
pub const WHOLE: &str = "searching the whole image";

/// Makes a tool that builds the scene's project with one secret, `TOKEN`, and plain progress.
pub fn build<'scene>(scene: &'scene Scene, image: &ImageName<'_>, token: &Canary, more: &[&str]) -> Tool<'scene> {
    let tool = scene.pbuild().args(["build", "--progress", "plain", "-t", image.as_str(), "--secret", "id=TOKEN"]);
    tool.args(more).arg(".").env("TOKEN", token.text())
}
