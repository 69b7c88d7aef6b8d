//! The caches that a build with secrets exports (`--cache-to`).
//!
//! BuildKit writes into a cache the results that it knows under the keys of the steps: with `mode=max` those of all
//! stages, and at times what another build made. So nothing that it writes leaves this machine unseen. Each export goes
//! into a private folder of ours (`folder`), the cache there is searched whole, and only a clean one is written or
//! sent to where the user wants it (`delivery`), its manifest last. The folder stays for the next build, so that
//! BuildKit sends each blob once; what was not found clean goes with the build.

mod bucket;
mod delivery;
mod destination;
mod error;
mod folder;
mod group;
mod manifest;

use std::collections::BTreeSet;
use std::sync::Arc;

use pbuildkit::{ContentStore, ContentStores, WrittenBlobs};
use pgateway::CacheEntry;
use pscan::{Memory, NeedleSet, Options, Report, Verdict};

use crate::audit::{self, source};
use crate::edge::{Edge, Failure};
pub(crate) use bucket::BucketError;
use delivery::Searched;
pub(crate) use error::CacheExportError;
use folder::PrivateFolder;
pub(crate) use group::Group;
use manifest::CacheManifest;

/// The caches of a build with secrets, each on its way into a private folder.
#[derive(Debug, Default)]
pub(crate) struct PrivateCaches(Vec<PrivateCache>);

#[derive(Debug)]
struct PrivateCache {
    group: Group,
    folder: PrivateFolder,
    written: WrittenBlobs,
}

/// Caches that were searched and hold no secret: only these can be delivered.
#[derive(Debug, Default)]
pub(crate) struct CleanCaches(Vec<Searched>);

/// The outcome of a search of the caches.
#[derive(Debug)]
pub(crate) enum CacheVerdict {
    /// Nothing was found; with the report of each search.
    Clean(CleanCaches, Vec<Report>),
    /// A cache holds a secret.
    Leak(CacheLeak),
    /// Something could not be searched.
    Incomplete(Box<Report>),
}

/// A cache that holds a secret.
#[derive(Debug)]
pub(crate) struct CacheLeak {
    pub(crate) report: Box<Report>,
    /// For each finding of the report, the numbers of steps that may lead to its layer.
    pub(crate) depths: Vec<BTreeSet<usize>>,
}

impl PrivateCaches {
    /// Opens a folder for each group. `owner` tells the builds apart that have folders of their own: the project and the
    /// builder.
    ///
    /// # Errors
    /// When there is no place for a folder.
    pub(crate) fn open(groups: Vec<Group>, owner: &str) -> Result<Self, CacheExportError> {
        let root = folder::root(&|name: &str| std::env::var_os(name));
        let open = |group: Group| {
            let folder = PrivateFolder::open(root.as_deref(), &format!("{owner}\n{}", group.key()));
            let folder = folder.map_err(|source| CacheExportError::Folder { path: root.clone(), source })?;
            Ok(PrivateCache { group, folder, written: WrittenBlobs::default() })
        };
        groups.into_iter().map(open).collect::<Result<_, _>>().map(Self)
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether stages are exported that the image is not made of.
    pub(crate) fn carry_stages(&self) -> bool {
        self.0.iter().any(|cache| cache.group.is_max())
    }

    /// The exports in BuildKit's words.
    pub(crate) fn entries(&self) -> impl Iterator<Item = CacheEntry> {
        self.0.iter().map(|cache| cache.group.entry(cache.folder.path()))
    }

    /// The folders that BuildKit writes to.
    pub(crate) fn content(&self) -> ContentStores {
        let store = |cache: &PrivateCache| {
            let path = cache.folder.path();
            let store = ContentStore { written: cache.written.clone(), ..ContentStore::writable(path.to_owned()) };
            (format!("local:{}", path.display()), store)
        };
        ContentStores(self.0.iter().map(store).collect())
    }

    /// The destinations of the caches that carry stages, for people.
    pub(crate) fn of_stages(&self) -> String {
        let names: Vec<String> =
            self.0.iter().filter(|cache| cache.group.is_max()).map(|cache| cache.group.to_string()).collect();
        names.join(", ")
    }

    /// Searches each cache whole. The folder of a cache that is not clean is emptied.
    ///
    /// # Errors
    /// When a cache cannot be read, or the work should stop.
    pub(crate) async fn search(
        self,
        memory: Option<Arc<dyn Memory>>,
        needles: &Arc<NeedleSet>,
        edge: &Edge,
    ) -> Result<CacheVerdict, Failure> {
        let (mut clean, mut reports) = (Vec::new(), Vec::new());
        for PrivateCache { group, mut folder, written } in self.0 {
            let manifest = match written.list().last().map(|last| CacheManifest::read(folder.path(), last)) {
                Some(Ok(manifest)) => manifest,
                Some(Err(problem)) if !group.ignores_errors() => {
                    return Err(CacheExportError::NotUnderstood { destination: group.to_string(), problem }.into());
                }
                // An export that failed and may fail has written some layers, or none.
                Some(Err(_)) | None => {
                    edge.stderr.warning(&format!("--cache-to {group}: the builder wrote no cache there"));
                    continue;
                }
            };
            let options = Options { subject: Some(group.to_string()), memory: memory.clone(), ..Options::default() };
            let bytes = source::Bytes::Blobs(manifest.blobs());
            let report = audit::search(bytes, options, Arc::clone(needles), edge).await?;
            match report.verdict() {
                Verdict::Clean => {
                    let kept = manifest.files().map(|blob| blob.digest.clone()).collect();
                    folder.keep(kept).map_err(|source| CacheExportError::folder(&folder, source))?;
                    clean.push(Searched { group, folder, manifest });
                    reports.push(report);
                }
                Verdict::Leak | Verdict::Incomplete => {
                    let depths = report.findings().iter().map(|finding| match finding.layer() {
                        Some(layer) => manifest.depths_of(layer),
                        None => BTreeSet::new(),
                    });
                    let depths = depths.collect();
                    folder.forget();
                    let report = Box::new(report);
                    return Ok(match report.verdict() {
                        Verdict::Incomplete => CacheVerdict::Incomplete(report),
                        Verdict::Leak | Verdict::Clean => CacheVerdict::Leak(CacheLeak { report, depths }),
                    });
                }
            }
        }
        Ok(CacheVerdict::Clean(CleanCaches(clean), reports))
    }
}

impl CleanCaches {
    /// Writes and sends the caches to where the user wants them.
    ///
    /// # Errors
    /// The first destination that takes no cache, unless its failures are to be ignored; those before it have theirs.
    pub(crate) async fn deliver(self, edge: &Edge) -> Result<(), Failure> {
        for searched in self.0 {
            for destination in searched.destinations() {
                let delivering = edge.cancellation.unless_cancelled(searched.deliver(destination)).await?;
                match delivering {
                    Ok(how) => edge.fact("cache", &format!("{destination}  {how}")),
                    Err(error) if searched.ignores_errors() => edge.stderr.warning(&error.in_a_line()),
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }
}
