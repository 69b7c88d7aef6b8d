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

use std::sync::atomic::{AtomicU32, Ordering};

use ptest::Engine;

pub use app::{App, PATIENCE};

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

/// A name that one test alone uses; the image under it is removed when the test ends, whatever came of it.
#[derive(Debug)]
pub struct ImageName<'engine> {
    engine: &'engine Engine,
    name: String,
}

impl<'engine> ImageName<'engine> {
    /// A fresh name that says which test it belongs to.
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

    /// What `docker image inspect` says, and `docker history` after it.
    #[must_use]
    pub fn told_by_the_engine(&self) -> Vec<u8> {
        let mut told = self.engine.docker(&["image", "inspect", &self.name]);
        told.extend(self.engine.docker(&["history", "--no-trunc", &self.name]));
        told
    }

    /// What a container of the image prints.
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
