//! The leak oracle, which makes canaries and finds them.

use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::canary::{self, Canary};
use crate::needles::Needles;
use crate::sweep;
use crate::trace::{Trace, clean, trace};

/// An oracle, which knows a test's canaries in every form, and finds them in files and bytes that the test names.
///
/// If `PBUILD_TEST_CANARIES` names a folder, the oracle records its canaries in it, for the
/// [`sweep()`](crate::sweep()) at the end of the suite. [Planted](Oracle::planted) canaries are not recorded.
#[derive(Default)]
pub struct Oracle {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    canaries: Vec<Canary>,
    needles: Option<Arc<Needles>>,
}

impl Oracle {
    /// Makes an oracle without canaries.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a canary of 32 letters and digits.
    pub fn token(&self, name: &str) -> Canary {
        self.register(name, canary::token())
    }

    /// Makes a canary of 32 letters and digits that the test itself leaves in an engine, without the product, for
    /// example in a base image or in a step of another stage. The sweep does not search for it.
    pub fn planted(&self, name: &str) -> Canary {
        self.know(Canary::new(name, canary::token()))
    }

    /// Makes a canary with quotes, `$`, a backslash, blanks and a letter beyond ASCII.
    pub fn punctuated(&self, name: &str) -> Canary {
        self.register(name, canary::punctuated())
    }

    /// Makes a canary of three lines.
    pub fn multi_line(&self, name: &str) -> Canary {
        self.register(name, canary::multi_line())
    }

    /// Makes a canary that looks like a private key in PEM.
    pub fn key(&self, name: &str) -> Canary {
        self.register(name, canary::key())
    }

    /// Makes a canary from an existing value, such as a credential that a tool generated.
    ///
    /// # Panics
    ///
    /// Panics if the value is shorter than 8 bytes, because it would be found by chance.
    pub fn register(&self, name: &str, value: impl Into<Vec<u8>>) -> Canary {
        let value = value.into();
        assert!(value.trim_ascii().len() >= 8, "the value of canary {name} is too short to be told from chance");
        let canary = Canary::new(name, value);
        sweep::note(&canary);
        self.know(canary)
    }

    fn know(&self, canary: Canary) -> Canary {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.canaries.push(canary.clone());
        state.needles = None;
        canary
    }

    fn needles(&self) -> Arc<Needles> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { canaries, needles } = &mut *state;
        Arc::clone(needles.get_or_insert_with(|| Arc::new(Needles::new(canaries))))
    }

    /// Finds canaries in bytes. Gzip and zstd are unpacked.
    #[must_use]
    pub fn search(&self, label: &str, bytes: &[u8]) -> Vec<Trace> {
        self.needles().search(bytes).into_iter().map(|sighting| trace(sighting, label)).collect()
    }

    /// Finds canaries in a file or below a folder: in names, in targets of links, and in contents. Gzip and zstd are
    /// unpacked.
    ///
    /// `allowed` lists the files and folders in which the test put its canaries on purpose.
    ///
    /// # Panics
    ///
    /// Panics if a file cannot be read, unless the file has just been removed.
    #[must_use]
    pub fn search_files(&self, root: &Path, allowed: &[PathBuf]) -> Vec<Trace> {
        let needles = self.needles();
        let mut traces = Vec::new();
        sweep::walk(root, &mut |path, kind| {
            if allowed.iter().any(|allowed| path.starts_with(allowed)) {
                return;
            }
            let shown = needles.mask(path.as_os_str().as_bytes());
            let name = path.file_name().map(|name| name.as_bytes()).unwrap_or_default();
            let mut seen = needles.search(name);
            sweep::search_content(&needles, path, kind, &mut seen);
            traces.extend(seen.into_iter().map(|sighting| trace(sighting, &shown)));
        });
        traces
    }

    /// Fails if the bytes contain a canary.
    ///
    /// # Panics
    ///
    /// Panics if they contain one. The message names the canary, the form and the place.
    #[track_caller]
    pub fn check_bytes(&self, label: &str, bytes: &[u8]) {
        clean(&self.search(label, bytes));
    }

    /// Fails if a file, or anything below a folder, contains a canary.
    ///
    /// # Panics
    ///
    /// Panics if a canary is found.
    #[track_caller]
    pub fn check_dir(&self, root: &Path) {
        self.check_dir_except(root, &[]);
    }

    /// Checks as [`Self::check_dir`] does, except for the files in which the test itself put canaries.
    ///
    /// # Panics
    ///
    /// Panics if a canary is found in another file.
    #[track_caller]
    pub fn check_dir_except(&self, root: &Path, allowed: &[PathBuf]) {
        clean(&self.search_files(root, allowed));
    }

    /// Fails if the bytes do not contain the canary. A test uses this to show that its search can find the canary at
    /// all.
    ///
    /// # Panics
    ///
    /// Panics if the canary is not found.
    #[track_caller]
    pub fn must_hold(&self, label: &str, bytes: &[u8], canary: &Canary) {
        let found = self.search(label, bytes).iter().any(|trace| trace.name == canary.name());
        assert!(found, "canary {} is not in {label}", canary.name());
    }

    /// Returns a canary in every encoding that the oracle knows, with the encoding's name. A test of a search plants
    /// these texts.
    #[must_use]
    pub fn encodings(&self, canary: &Canary) -> Vec<(&'static str, Vec<u8>)> {
        crate::encode::texts(canary.value())
    }

    /// Replaces every canary in the text by its name, for the messages of failed tests.
    #[must_use]
    pub fn mask(&self, bytes: &[u8]) -> String {
        self.needles().mask(bytes)
    }
}

impl fmt::Debug for Oracle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_tuple("Oracle").field(&state.canaries).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn message(run: impl FnOnce() + std::panic::UnwindSafe) -> String {
        let panic = std::panic::catch_unwind(run).expect_err("the check fails");
        panic.downcast_ref::<String>().cloned().unwrap_or_default()
    }

    #[test]
    fn a_leak_is_named_and_never_shown() {
        let oracle = Oracle::new();
        let token = oracle.token("TOKEN");
        let text = format!("GET /?key={}", token.text());
        let message = message(std::panic::AssertUnwindSafe(|| oracle.check_bytes("the log", text.as_bytes())));
        assert_eq!(message, "a secret leaked\n  canary TOKEN in the log, byte 10, as written");
    }

    #[test]
    fn files_are_searched_by_name_link_and_content_and_the_tests_own_are_not() {
        let oracle = Oracle::new();
        let token = oracle.token("TOKEN");
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("deep")).unwrap();
        fs::write(at(&format!("deep/{}", token.text())), "").unwrap();
        fs::write(at(".env"), format!("TOKEN={}", token.text())).unwrap();
        fs::write(at("packed.zst"), zstd::encode_all(token.value(), 1).unwrap()).unwrap();
        std::os::unix::fs::symlink(token.text(), at("link")).unwrap();
        let places = |allowed: &[PathBuf]| oracle.search_files(folder.path(), allowed).len();
        assert_eq!(places(&[]), 4);
        assert_eq!(places(&[at(".env")]), 3);
        let message = message(std::panic::AssertUnwindSafe(|| oracle.check_dir(folder.path())));
        assert!(!message.contains(token.text()), "a path that holds the value is masked");
    }

    #[test]
    fn every_kind_of_canary_is_seen_in_every_encoding_of_it() {
        let oracle = Oracle::new();
        for canary in [oracle.token("A"), oracle.punctuated("B"), oracle.multi_line("C"), oracle.key("D")] {
            for (form, bytes) in oracle.encodings(&canary) {
                let seen = oracle.search("x", &[b"before ", bytes.as_slice(), b" after"].concat());
                assert!(seen.iter().any(|trace| trace.name == canary.name()), "{canary:?} {form}");
            }
        }
    }
}
