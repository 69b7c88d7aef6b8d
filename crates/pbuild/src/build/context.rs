//! The guard of the build context. It compares every file with the secrets while the file is sent, because the most
//! common real leak is an `.env` file that COPY takes.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use pbuildkit::{ContextObserver, FileObserver, Permission};
use pscan::{NeedleSet, Searcher};
use psecret::Redactor;

/// The name of the sealed store. Its file is not searched, because it holds the secrets only encrypted.
const SEALED: &str = "secrets.age";

/// Searches each packet of a file before it is sent on, together with the end of the packet before. A hit ends the
/// build before the file's last packet is sent.
#[derive(Debug)]
pub(crate) struct ContextGuard(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    needles: Arc<NeedleSet>,
    redactor: Redactor,
    allowed: BTreeSet<String>,
    leaks: Mutex<Vec<ContextLeak>>,
}

/// A secret in a file of the context.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ContextLeak {
    /// The file, relative to the context, redacted.
    pub(crate) path: String,
    /// The secret's name.
    pub(crate) secret: String,
    /// The form of the value, as a text for people.
    pub(crate) form: String,
    /// The offset of the value in the file.
    pub(crate) offset: u64,
    /// Whether `--allow-context-leak` names the secret.
    pub(crate) allowed: bool,
}

impl fmt::Display for ContextLeak {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, secret, form, offset, .. } = self;
        write!(formatter, "{path} of the build context holds secret `{secret}`, byte {offset}, {form}")
    }
}

impl ContextGuard {
    /// Makes a guard that searches for these needles. A leak of an allowed secret is noted, and the file is still
    /// sent.
    pub(crate) fn new(needles: Arc<NeedleSet>, redactor: Redactor, allowed: &[String]) -> Self {
        let allowed = allowed.iter().cloned().collect();
        Self(Arc::new(Shared { needles, redactor, allowed, leaks: Mutex::default() }))
    }

    /// Returns the leaks, sorted by path.
    pub(crate) fn leaks(&self) -> Vec<ContextLeak> {
        let mut leaks = self.0.leaks.lock().unwrap_or_else(PoisonError::into_inner).clone();
        leaks.sort();
        leaks
    }
}

impl ContextObserver for ContextGuard {
    fn open(&self, _local: &str, path: &Path) -> Box<dyn FileObserver> {
        let sealed = path.file_name().is_some_and(|name| name == SEALED);
        // A `Searcher` borrows its needles, and an observer outlives this call, so a file keeps bytes instead of a
        // searcher.
        Box::new(FileGuard { shared: Arc::clone(&self.0), path: path.to_owned(), kept: Vec::new(), offset: 0, sealed })
    }
}

/// The guard of one file while the file is sent.
struct FileGuard {
    shared: Arc<Shared>,
    path: PathBuf,
    /// The end of the searched bytes, so that a value that two packets share is found.
    kept: Vec<u8>,
    /// The offset of `kept` in the file.
    offset: u64,
    sealed: bool,
}

impl FileGuard {
    fn search(&mut self, at_end: bool) -> Permission {
        let mut found = Vec::new();
        let mut searcher = Searcher::new(&self.shared.needles);
        searcher.push(&self.kept, &mut |hit| found.push(hit));
        if at_end {
            searcher.finish(&mut |hit| found.push(hit));
        }
        let mut permission = Permission::Continue;
        // A hit at the very start of the kept bytes was found before, together with the byte before it.
        for hit in found.into_iter().filter(|hit| hit.start() > 0 || self.offset == 0) {
            for name in hit.names() {
                let allowed = self.shared.allowed.contains(name.as_str());
                let leak = ContextLeak {
                    path: self.shared.redactor.redact(&self.path.to_string_lossy()),
                    secret: name.to_string(),
                    form: hit.form().to_string(),
                    offset: self.offset + hit.start(),
                    allowed,
                };
                let mut leaks = self.shared.leaks.lock().unwrap_or_else(PoisonError::into_inner);
                if !leaks.iter().any(|known| known.path == leak.path && known.secret == leak.secret) {
                    leaks.push(leak);
                }
                if !allowed {
                    permission = Permission::Stop;
                }
            }
        }
        permission
    }
}

impl FileObserver for FileGuard {
    fn bytes(&mut self, bytes: &[u8]) -> Permission {
        if self.sealed {
            return Permission::Continue;
        }
        self.kept.extend_from_slice(bytes);
        let permission = self.search(false);
        // One byte more than the longest needle shows whether a short value is a whole word.
        let drop = self.kept.len().saturating_sub(self.shared.needles.longest() + 1);
        self.kept.drain(..drop);
        self.offset += drop as u64;
        permission
    }

    fn end(&mut self) -> Permission {
        if self.sealed { Permission::Continue } else { self.search(true) }
    }
}

impl Drop for FileGuard {
    fn drop(&mut self) {
        // These bytes may come from a file that holds a value, so they are overwritten.
        self.kept.fill(0);
    }
}
