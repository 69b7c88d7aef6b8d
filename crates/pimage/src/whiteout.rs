//! Paths that a layer deletes from the layers below it.

use std::collections::HashSet;

/// The paths that one layer deletes (OCI image specification, layer.md, "Whiteouts").
#[derive(Debug, Default)]
pub(crate) struct Whiteouts {
    removed: HashSet<Vec<u8>>,
    opaque: HashSet<Vec<u8>>,
    room: usize,
    forgot: bool,
}

/// The maximal size of the paths of all layers together. Further paths are forgotten: deletions are only remarks in a
/// report, and the search does not depend on them.
pub(crate) const MOST_BYTES: usize = 32 << 20;

const PREFIX: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

impl Whiteouts {
    /// Makes an empty set for paths of up to `room` bytes.
    pub(crate) fn with_room(room: usize) -> Self {
        Self { room, ..Self::default() }
    }

    /// Makes the set from the whiteouts of a layer that was read earlier.
    pub(crate) fn from_paths(removed: Vec<Vec<u8>>, opaque: Vec<Vec<u8>>) -> Self {
        Self { removed: removed.into_iter().collect(), opaque: opaque.into_iter().collect(), ..Self::default() }
    }

    /// Whether no path was forgotten.
    pub(crate) fn is_complete(&self) -> bool {
        !self.forgot
    }

    /// Lists the removed files and folders, and the folders whose former content is removed, both in order.
    pub(crate) fn paths(&self) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
        let sorted = |paths: &HashSet<Vec<u8>>| {
            let mut paths: Vec<Vec<u8>> = paths.iter().cloned().collect();
            paths.sort_unstable();
            paths
        };
        (sorted(&self.removed), sorted(&self.opaque))
    }

    /// Returns the number of bytes that are left for paths.
    pub(crate) fn room(&self) -> usize {
        self.room
    }

    /// Adds an entry's path, if it is a whiteout.
    pub(crate) fn note(&mut self, path: &[u8]) {
        let path = normal(path);
        let at = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        let (folder, name) = path.split_at(at);
        let folder = folder.strip_suffix(b"/").unwrap_or(folder);
        let Some(hidden) = name.strip_prefix(PREFIX) else { return };
        let Some(room) = self.room.checked_sub(path.len() + 64) else {
            self.forgot = true;
            return;
        };
        self.room = room;
        if name == OPAQUE {
            self.opaque.insert(folder.to_vec());
        } else if !hidden.starts_with(PREFIX) {
            let slash: &[u8] = if folder.is_empty() { b"" } else { b"/" };
            self.removed.insert([folder, slash, hidden].concat());
        }
    }

    /// Whether this layer hides a path of a lower layer.
    pub(crate) fn hide(&self, path: &[u8]) -> bool {
        if self.removed.is_empty() && self.opaque.is_empty() {
            return false;
        }
        let path = normal(path);
        if self.removed.contains(path) || self.opaque.contains(&b""[..]) {
            return true;
        }
        let mut folders = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &path[..at]);
        folders.any(|folder| self.removed.contains(folder) || self.opaque.contains(folder))
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.removed.len() + self.opaque.len()
    }
}

/// Returns the path without `./` or `/` before it, and without `/` after it.
fn normal(mut path: &[u8]) -> &[u8] {
    while let Some(rest) = path.strip_prefix(b"./").or_else(|| path.strip_prefix(b"/")) {
        path = rest;
    }
    while let Some(rest) = path.strip_suffix(b"/") {
        path = rest;
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A10 (`docs/cases.md`): a whiteout hides its path and everything below the path.
    #[test]
    fn a_whiteout_hides_the_path_and_what_lies_below_it() {
        let mut layer = Whiteouts::with_room(MOST_BYTES);
        for path in ["etc/.wh.app", "./.wh.top", "var/lib/.wh..wh..opq", "x/.wh..wh.plnk", "etc/ordinary"] {
            layer.note(path.as_bytes());
        }
        for hidden in ["etc/app", "etc/app/deep/file", "/top", "./var/lib/a", "var/lib/a/b"] {
            assert!(layer.hide(hidden.as_bytes()), "{hidden}");
        }
        for shown in ["etc/apple", "etc", "var/lib", "var/libx/a", "x/plnk", "etc/ordinary"] {
            assert!(!layer.hide(shown.as_bytes()), "{shown}");
        }
    }

    #[test]
    fn the_memory_of_deletions_is_bounded() {
        let mut layer = Whiteouts::with_room(4 << 20);
        for at in 0..200_000 {
            layer.note(format!("some/folder/or/other/.wh.{at}").as_bytes());
        }
        assert!(layer.len() < 60_000 && layer.len() > 10_000);
    }
}
