//! Converts the paths that a build names to patterns of the files that must be sent, and follows links.
//!
//! `COPY current/app .` needs the link `current` *and* the link's target. The rules are those of fsutil's
//! `followlinks.go`. A link never leads out of the tree: `..` at the root of the tree stays at the root.

use std::collections::BTreeSet;
use std::io;

use crate::filesync::tree::Tree;
use crate::ignore::{Matcher, clean};

/// Adds the paths, and the targets of their links, to the patterns. Returns `None` if the whole tree must be sent.
pub(crate) fn include_patterns(
    tree: &dyn Tree,
    patterns: Vec<String>,
    follow: &[String],
) -> io::Result<Option<Vec<String>>> {
    let mut resolver = Resolver { tree, resolved: BTreeSet::new() };
    for path in follow {
        resolver.add(path)?;
    }
    let mut all = patterns;
    match without_nested(resolver.resolved) {
        None if all.is_empty() => return Ok(None),
        None => {}
        Some(found) => all.extend(found),
    }
    Ok(if all.is_empty() { None } else { Some(all) })
}

struct Resolver<'t> {
    tree: &'t dyn Tree,
    resolved: BTreeSet<String>,
}

impl Resolver<'_> {
    /// Walks a path part by part. At a link, the walk starts again at the link's target. The walk stops at a link
    /// that it has already followed, so a loop of links ends.
    fn add(&mut self, path: &str) -> io::Result<()> {
        let mut waiting = vec![path.to_owned()];
        while let Some(path) = waiting.pop() {
            let path = inside(&path);
            let mut current = String::new();
            let mut rest = path.as_str();
            loop {
                let (part, after) = rest.split_once('/').unwrap_or((rest, ""));
                current = if current.is_empty() { part.to_owned() } else { format!("{current}/{part}") };
                rest = after;
                let targets = self.targets(&current)?;
                if targets.is_empty() && !rest.is_empty() {
                    continue;
                }
                if self.resolved.insert(current.clone()) {
                    waiting.extend(targets.iter().map(|target| format!("{target}/{rest}")));
                }
                break;
            }
        }
        Ok(())
    }

    /// Returns the target of the path if it is a link. If the last part of the path has wildcards, returns the
    /// targets of all links that match it.
    fn targets(&self, path: &str) -> io::Result<Vec<String>> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        if !has_wildcards(name) {
            return Ok(self.target(path)?.into_iter().collect());
        }
        let names = match self.tree.names(folder.as_bytes()) {
            Ok(names) => names,
            Err(error) if is_missing(&error) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let Ok(matcher) = Matcher::new(&[name]) else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for name in names.iter().filter(|name| matcher.matches(name)) {
            let Ok(name) = std::str::from_utf8(name) else { continue };
            let whole = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
            found.extend(self.target(&whole)?);
        }
        Ok(found)
    }

    fn target(&self, path: &str) -> io::Result<Option<String>> {
        if path == "." {
            return Ok(None);
        }
        let entry = match self.tree.entry(path.as_bytes()) {
            Ok(entry) => entry,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        if !entry.is_symlink() {
            return Ok(None);
        }
        // A target that is not UTF-8 cannot become a pattern. Only the link itself is sent.
        let Ok(target) = String::from_utf8(entry.target) else { return Ok(None) };
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        Ok(Some(if target.starts_with('/') { inside(&target) } else { inside(&format!("{folder}/{target}")) }))
    }
}

/// Returns the path relative to the tree's root. Parts `..` that lead above the root are dropped.
fn inside(path: &str) -> String {
    match clean(&format!("/{path}")).strip_prefix('/') {
        None | Some("") => ".".to_owned(),
        Some(path) => path.to_owned(),
    }
}

fn has_wildcards(name: &str) -> bool {
    let mut characters = name.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                characters.next();
            }
            '*' | '?' | '[' => return true,
            _ => {}
        }
    }
    false
}

pub(crate) fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Removes paths that lie below other paths. Returns `None` if the root is among the paths, or if there are no paths.
fn without_nested(paths: BTreeSet<String>) -> Option<Vec<String>> {
    let mut kept: Vec<String> = Vec::new();
    for path in paths {
        if path == "." {
            return None;
        }
        let nested = kept.last().is_some_and(|last| path.starts_with(&format!("{last}/")));
        if !nested {
            kept.push(path);
        }
    }
    (!kept.is_empty()).then_some(kept)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;
    use crate::filesync::tree::DiskTree;

    fn tree() -> (TempDir, DiskTree) {
        let folder = TempDir::new().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("releases/2/app")).unwrap();
        fs::write(root.join("releases/2/app/main"), "x").unwrap();
        fs::write(root.join("plain"), "x").unwrap();
        for (target, link) in [
            ("releases/2", "current"),
            ("/releases", "absolute"),
            ("../../../../etc", "escape"),
            ("loop-b", "loop-a"),
            ("loop-a", "loop-b"),
            ("self/deeper", "self"),
            ("nowhere", "dangling"),
            ("/", "root"),
        ] {
            symlink(target, root.join(link)).unwrap();
        }
        let tree = DiskTree::new(root).unwrap();
        (folder, tree)
    }

    fn follow(paths: &[&str]) -> Option<Vec<String>> {
        let (_folder, tree) = tree();
        let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
        include_patterns(&tree, Vec::new(), &paths).unwrap()
    }

    fn some(paths: &[&str]) -> Option<Vec<String>> {
        Some(paths.iter().map(|path| (*path).to_owned()).collect())
    }

    #[test]
    fn a_link_on_the_way_is_sent_with_what_it_leads_to() {
        assert_eq!(follow(&["current/app"]), some(&["current", "releases/2/app"]));
        assert_eq!(follow(&["absolute/2"]), some(&["absolute", "releases/2"]));
        assert_eq!(follow(&["plain"]), some(&["plain"]));
        assert_eq!(follow(&["missing/file"]), some(&["missing/file"]));
        assert_eq!(follow(&["dangling"]), some(&["dangling", "nowhere"]));
    }

    #[test]
    fn links_never_lead_out_of_the_tree() {
        assert_eq!(follow(&["escape"]), some(&["escape", "etc"]));
        assert_eq!(follow(&["../../plain"]), some(&["plain"]));
    }

    #[test]
    fn loops_end() {
        assert_eq!(follow(&["loop-a/x"]), some(&["loop-a", "loop-b"]));
        assert_eq!(follow(&["self"]), some(&["self"]));
    }

    #[test]
    fn wildcards_follow_every_link_that_they_mean() {
        assert_eq!(follow(&["cur*"]), some(&["cur*", "releases/2"]));
        assert_eq!(follow(&["pl?in"]), some(&["pl?in"]));
        assert_eq!(follow(&["nothing/*"]), some(&["nothing/*"]));
    }

    #[test]
    fn the_root_means_everything() {
        assert_eq!(follow(&["."]), None);
        assert_eq!(follow(&["/"]), None);
        assert_eq!(follow(&["plain", "root"]), None);
        assert_eq!(follow(&[]), None);
    }
}
