//! The address from which buildx fetches a bake file. The folders in such a file are meant from there, as in buildx
//! (0.29, `updateContext` in `bake/bake.go`).

use std::path::{Component, Path};

use crate::plan::step_options::is_remote;

/// The address of a bake file.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    address: String,
}

/// The prefixes of contexts that do not depend on the place of the bake file.
const ELSEWHERE: [&str; 4] = ["cwd://", "target:", "docker-image:", "oci-layout:"];

impl Origin {
    /// Finds the address among the names of the targets: buildx takes the first name for it.
    pub(super) fn of(targets: &[String]) -> Option<Self> {
        let address = targets.first().filter(|first| is_remote(first))?;
        Some(Self { address: address.clone() })
    }

    /// Returns a context of the bake file as an address or as a path of this machine. Returns `None` for a folder that
    /// has no address of its own.
    pub(super) fn context(&self, place: &str) -> Option<String> {
        if is_remote(place) || ELSEWHERE.iter().any(|start| place.starts_with(start)) {
            return Some(place.to_owned());
        }
        let (repository, fragment) = self.address.split_once('#').unwrap_or((&self.address, ""));
        if !is_git(repository) {
            return None;
        }
        let (branch, folder) = fragment.split_once(':').unwrap_or((fragment, ""));
        let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
        let above = parts.len();
        for component in Path::new(place).components() {
            match component {
                Component::Normal(part) => parts.push(part.to_str()?),
                Component::CurDir | Component::RootDir => {}
                Component::ParentDir if parts.len() > above => drop(parts.pop()),
                Component::ParentDir | Component::Prefix(_) => return None,
            }
        }
        Some(match parts.join("/") {
            folder if folder.is_empty() => self.address.clone(),
            folder => format!("{repository}#{branch}:{folder}"),
        })
    }
}

/// Returns whether an address is one of a git repository, of which a folder can be named.
fn is_git(repository: &str) -> bool {
    let always = ["git://", "ssh://", "git@", "github.com/"];
    !repository.contains('?')
        && (always.iter().any(|start| repository.starts_with(start)) || repository.ends_with(".git"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(address: &str, place: &str) -> Option<String> {
        Origin::of(&[address.to_owned(), "web".to_owned()]).expect("an address").context(place)
    }

    #[test]
    fn folders_of_a_repository_have_an_address() {
        let there = "https://git.example/a.git";
        for (address, place, expected) in [
            (there.to_owned(), ".", there.to_owned()),
            (there.to_owned(), "web", format!("{there}#:web")),
            (format!("{there}#main"), "./web/", format!("{there}#main:web")),
            (format!("{there}#main"), "/web", format!("{there}#main:web")),
            (format!("{there}#main:shop"), "a/../web", format!("{there}#main:shop/web")),
            (format!("{there}#main:shop"), ".", format!("{there}#main:shop")),
        ] {
            assert_eq!(context(&address, place), Some(expected), "{address} {place}");
        }
        for place in ["cwd://here", "docker-image://busybox", "target:base", "https://other.example/b.git"] {
            assert_eq!(context(there, place).as_deref(), Some(place));
        }
    }

    #[test]
    fn what_has_no_address_has_none() {
        assert_eq!(context("https://git.example/a.git#main:shop", "../other"), None);
        assert_eq!(context("https://git.example/a.git?branch=main", "web"), None);
        assert_eq!(context("https://host.example/files.tar.gz", "web"), None);
        assert!(Origin::of(&["web".to_owned(), "https://git.example/a.git".to_owned()]).is_none());
        assert!(Origin::of(&[]).is_none());
    }
}
