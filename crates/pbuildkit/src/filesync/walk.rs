//! The choice and the order of the entries that are sent.
//!
//! Parents come before children, and the names of one directory are sorted by their bytes; the receiver checks this
//! order. A directory that no pattern selects is sent only if an entry below it is selected (fsutil `filter.go`).

use std::collections::HashMap;
use std::io;

use crate::filesync::follow::is_missing;
use crate::filesync::tree::{Entry, Tree};
use crate::filesync::wire::Stat;
use crate::ignore::{Matcher, ParentMatch};

/// The choice of the entries that are sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    /// Selects entries; `None` selects all.
    pub(crate) include: Option<Matcher>,
    /// Excludes entries from the selection.
    pub(crate) exclude: Option<Matcher>,
}

/// The reason why a walk ended early.
#[derive(Debug)]
pub(crate) enum WalkError {
    /// An entry cannot be read.
    Entry {
        /// The path of the entry.
        path: Vec<u8>,
        /// The reason why the entry cannot be read.
        source: io::Error,
    },
    /// The visitor ended the walk.
    Enough,
}

/// A directory that the walk is in.
struct Open {
    path: Vec<u8>,
    names: std::vec::IntoIter<Vec<u8>>,
    include: ParentMatch,
    exclude: ParentMatch,
    /// The directory's own entry, if it was not selected. It is sent before its first selected child.
    pending: Option<Entry>,
}

/// A filter's decision about an entry.
struct Opinion {
    skip: bool,
    /// True if an entry below this one could be sent.
    descend: bool,
    include: ParentMatch,
    exclude: ParentMatch,
}

/// Walks a tree and passes each selected entry to `visit`, in the form of the wire. The flag is true if the entry has
/// bytes.
///
/// # Errors
///
/// Returns [`WalkError::Entry`] for the first entry that cannot be read. An entry that vanishes during the walk is
/// skipped.
pub(crate) fn walk<V>(tree: &dyn Tree, filter: &Filter, mut visit: V) -> Result<(), WalkError>
where
    V: FnMut(Stat, bool) -> Result<(), WalkError>,
{
    let failed = |path: &[u8]| {
        let path = path.to_vec();
        move |source| WalkError::Entry { path, source }
    };
    let mut links = HashMap::new();
    let root = tree.names(b"").map_err(failed(b""))?;
    let mut stack = vec![Open {
        path: Vec::new(),
        names: root.into_iter(),
        include: ParentMatch::default(),
        exclude: ParentMatch::default(),
        pending: None,
    }];
    while let Some(top) = stack.last_mut() {
        let Some(name) = top.names.next() else {
            stack.pop();
            continue;
        };
        let path = if top.path.is_empty() { name } else { [top.path.as_slice(), b"/", &name].concat() };
        let opinion = filter.opinion(&path, &top.include, &top.exclude);
        let entry = match tree.entry(&path) {
            Ok(entry) => entry,
            Err(error) if is_missing(&error) || (opinion.skip && !opinion.descend) => continue,
            Err(error) => return Err(failed(&path)(error)),
        };
        if !opinion.skip {
            for parent in &mut stack {
                if let Some(pending) = parent.pending.take() {
                    visit(stat(&parent.path, &pending, &mut links), false)?;
                }
            }
            visit(stat(&path, &entry, &mut links), entry.is_file())?;
        }
        if entry.is_directory() && opinion.descend {
            let names = match tree.names(&path) {
                Ok(names) => names,
                Err(error) if is_missing(&error) => continue,
                Err(error) if opinion.skip && error.kind() == io::ErrorKind::PermissionDenied => continue,
                Err(error) => return Err(failed(&path)(error)),
            };
            let pending = opinion.skip.then_some(entry);
            let (include, exclude) = (opinion.include, opinion.exclude);
            stack.push(Open { path, names: names.into_iter(), include, exclude, pending });
        }
    }
    Ok(())
}

impl Filter {
    fn opinion(&self, path: &[u8], include: &ParentMatch, exclude: &ParentMatch) -> Opinion {
        let mut opinion =
            Opinion { skip: false, descend: true, include: ParentMatch::default(), exclude: ParentMatch::default() };
        if let Some(matcher) = &self.include {
            let (matched, below) = matcher.matches_below(path, include);
            opinion.include = below;
            if !matched {
                opinion.skip = true;
                opinion.descend = matcher.may_match_below(path);
            }
        }
        if let Some(matcher) = &self.exclude {
            let (matched, below) = matcher.matches_below(path, exclude);
            opinion.exclude = below;
            if matched {
                opinion.skip = true;
                opinion.descend = opinion.descend && matcher.may_turn_back_below(path);
            }
        }
        opinion
    }
}

/// Describes an entry in the form of the wire. The owners are 0, as in all of docker's clients.
fn stat(path: &[u8], entry: &Entry, links: &mut HashMap<(u64, u64), Vec<u8>>) -> Stat {
    let first_name = match entry.hard_link {
        Some(file) if !entry.is_symlink() => match links.get(&file) {
            Some(first) => Some(first.clone()),
            None => {
                links.insert(file, path.to_vec());
                None
            }
        },
        _ => None,
    };
    Stat {
        path: path.to_vec(),
        mode: entry.mode,
        uid: 0,
        gid: 0,
        size: if entry.is_directory() { 0 } else { i64::try_from(entry.size).unwrap_or(i64::MAX) },
        modified: entry.modified,
        link: first_name.unwrap_or_else(|| entry.target.clone()),
        device_major: entry.device.0.into(),
        device_minor: entry.device.1.into(),
        attributes: entry.attributes.clone(),
    }
}
