//! The caches that a build with secrets exports (`--cache-to`).
//!
//! BuildKit writes into a cache the results that it finds under the keys of the steps. With `mode=max` these are the
//! results of all stages, and sometimes results of another build. So nothing that BuildKit writes leaves this machine
//! without a search. Each export goes into a private folder of pbuild (`folder`), and pbuild searches the whole cache
//! there. Only a clean cache is written or sent to its destinations (`delivery`), with its manifest last. The folder
//! stays for the next build, so that BuildKit sends each blob once; if the cache was not found clean, the folder is
//! emptied.

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

/// The caches of a build with secrets. BuildKit exports each of them into a private folder.
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
    /// Nothing was found. The list holds the report of each search.
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
    /// For each finding of the report, the numbers of the steps that may have made the finding's layer.
    pub(crate) depths: Vec<BTreeSet<usize>>,
}

impl PrivateCaches {
    /// Opens a folder for each group. `owner` names the project and the builder, so that different builds get
    /// different folders.
    ///
    /// # Errors
    /// Returns an error if a folder cannot be made.
    pub(crate) fn open(groups: Vec<Group>, owner: &str) -> Result<Self, CacheExportError> {
        let root = folder::root(&|name: &str| std::env::var_os(name));
        let open = |group: Group| {
            let folder = PrivateFolder::open(root.as_deref(), &format!("{owner}\n{}", group.key()));
            let folder = folder.map_err(|source| CacheExportError::Folder { path: root.clone(), source })?;
            Ok(PrivateCache { group, folder, written: WrittenBlobs::default() })
        };
        groups.into_iter().map(open).collect::<Result<_, _>>().map(Self)
    }

    /// Returns whether there are no caches.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether a cache holds stages that are not part of the image.
    pub(crate) fn carry_stages(&self) -> bool {
        self.0.iter().any(|cache| cache.group.is_max())
    }

    /// Returns the exports as BuildKit's cache entries.
    pub(crate) fn entries(&self) -> impl Iterator<Item = CacheEntry> {
        self.0.iter().map(|cache| cache.group.entry(cache.folder.path()))
    }

    /// Returns the folders that BuildKit writes to.
    pub(crate) fn content(&self) -> ContentStores {
        let store = |cache: &PrivateCache| {
            let path = cache.folder.path();
            let store = ContentStore { written: cache.written.clone(), ..ContentStore::writable(path.to_owned()) };
            (format!("local:{}", path.display()), store)
        };
        ContentStores(self.0.iter().map(store).collect())
    }

    /// Names the destinations of the caches that carry stages, in a text for people.
    pub(crate) fn of_stages(&self) -> String {
        let names: Vec<String> =
            self.0.iter().filter(|cache| cache.group.is_max()).map(|cache| cache.group.to_string()).collect();
        names.join(", ")
    }

    /// Searches each whole cache, and empties the folder of a cache that is not clean.
    ///
    /// # Errors
    /// Returns an error if a cache cannot be read, or if the command is cancelled.
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
                // The user ignores the errors of this cache, and the export failed: it has written some layers, or
                // none.
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
    /// Delivers each cache to its destinations.
    ///
    /// # Errors
    /// Returns the error of the first destination that the cache could not be written to, unless the user ignores the
    /// errors of that cache. Earlier destinations keep what they received.
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
