//! The permissions of a bake file. Without `--allow`, it may use only the files below the folder in which bake runs.

use std::path::{Path, PathBuf};

/// The permissions that the command line gives.
#[derive(Debug)]
pub(super) struct Entitlements {
    network_host: bool,
    insecure: bool,
    ssh: bool,
    read: Vec<PathBuf>,
    write: Vec<PathBuf>,
    /// Whether paths and SSH agents are checked. As with buildx, one setting decides about both.
    files: bool,
}

/// The permissions that a target needs.
#[derive(Debug, Default)]
pub(super) struct Needs {
    pub(super) network_host: bool,
    pub(super) insecure: bool,
    pub(super) ssh: bool,
    pub(super) read: Vec<PathBuf>,
    pub(super) write: Vec<PathBuf>,
}

/// The mistakes in permissions: an unknown or a missing one.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EntitlementError {
    /// `--allow` names a permission that bake does not have.
    #[error(
        "invalid --allow {0:?}: bake knows network.host, security.insecure, ssh, fs=PATH, fs.read=PATH, fs.write=PATH"
    )]
    Unknown(String),
    /// The bake file needs permissions that were not given.
    #[error("the bake file asks for more than it may have")]
    Missing {
        /// The flags that would give the missing permissions.
        flags: Vec<String>,
    },
}

/// The path in `--allow` that stands for every path.
const EVERYTHING: &str = "*";

impl Entitlements {
    /// Reads the values of `--allow`. `files` says whether paths and agents need a permission at all.
    pub(super) fn parse(words: &[String], files: bool) -> Result<Self, EntitlementError> {
        let here = PathBuf::from(".");
        let (read, write) = (vec![here.clone()], vec![here]);
        let mut entitlements = Self { network_host: false, insecure: false, ssh: false, read, write, files };
        for word in words {
            match word.split_once('=').unwrap_or((word, "")) {
                ("network.host", "") => entitlements.network_host = true,
                ("security.insecure", "") => entitlements.insecure = true,
                ("ssh", "") => entitlements.ssh = true,
                ("fs", path) => {
                    entitlements.read.push(path.into());
                    entitlements.write.push(path.into());
                }
                ("fs.read", path) => entitlements.read.push(path.into()),
                ("fs.write", path) => entitlements.write.push(path.into()),
                // buildx accepts the names of images too, and does not check them.
                ("image" | "image.push" | "image.load", _) => {}
                _ => return Err(EntitlementError::Unknown(word.clone())),
            }
        }
        Ok(entitlements)
    }

    /// Checks that the given permissions cover the needs of all targets.
    pub(super) fn check(&self, needs: impl IntoIterator<Item = Needs>) -> Result<(), EntitlementError> {
        let mut flags = Vec::new();
        for needs in needs {
            if needs.network_host && !self.network_host {
                flags.push("--allow=network.host".to_owned());
            }
            if needs.insecure && !self.insecure {
                flags.push("--allow=security.insecure".to_owned());
            }
            if !self.files {
                continue;
            }
            if needs.ssh && !self.ssh {
                flags.push("--allow=ssh".to_owned());
            }
            let missing = |paths: &[PathBuf], allowed: &[PathBuf], key: &str| -> Vec<String> {
                let missing = paths.iter().filter(|path| !is_below(path, allowed));
                missing.map(|path| format!("--allow={key}={}", path.display())).collect()
            };
            flags.extend(missing(&needs.read, &self.read, "fs.read"));
            flags.extend(missing(&needs.write, &self.write, "fs.write"));
        }
        flags.sort();
        flags.dedup();
        if flags.is_empty() { Ok(()) } else { Err(EntitlementError::Missing { flags }) }
    }
}

/// Returns whether a path is in one of the allowed folders after all links are resolved.
fn is_below(path: &Path, allowed: &[PathBuf]) -> bool {
    if allowed.iter().any(|allowed| allowed == Path::new(EVERYTHING)) {
        return true;
    }
    let Some(path) = existing(path) else { return false };
    allowed.iter().filter_map(|allowed| allowed.canonicalize().ok()).any(|allowed| path.starts_with(allowed))
}

/// Returns the real path of the longest existing part of a path.
fn existing(path: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(path).ok()?;
    // A `..` after a part that does not exist cannot be resolved, so `/` stands for such a path.
    absolute.ancestors().find_map(|ancestor| {
        let real = ancestor.canonicalize().ok()?;
        let rest = absolute.strip_prefix(ancestor).ok()?;
        let climbs = rest.components().any(|component| component == std::path::Component::ParentDir);
        Some(if climbs { PathBuf::from("/") } else { real })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entitlements(words: &[&str]) -> Entitlements {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        Entitlements::parse(&words, true).unwrap()
    }

    fn flags(entitlements: &Entitlements, needs: Needs) -> Vec<String> {
        match entitlements.check([needs]) {
            Ok(()) => Vec::new(),
            Err(EntitlementError::Missing { flags }) => flags,
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn files_below_the_present_folder_need_none() {
        let needs =
            || Needs { read: vec!["src".into(), ".".into()], write: vec!["out/new".into()], ..Needs::default() };
        assert!(flags(&entitlements(&[]), needs()).is_empty());
    }

    #[test]
    fn links_and_climbing_paths_lead_out_and_need_one() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/etc", &link).unwrap();
        let within = entitlements(&[&format!("fs.read={}", folder.path().display())]);
        let read = |path: PathBuf| Needs { read: vec![path], ..Needs::default() };
        assert!(flags(&within, read(folder.path().join("new"))).is_empty());
        assert_eq!(flags(&within, read(link.join("hostname"))).len(), 1);
        assert_eq!(flags(&within, read(folder.path().join("absent/../../etc"))).len(), 1);
        assert_eq!(flags(&within, read("/etc".into())), ["--allow=fs.read=/etc"]);
        assert!(flags(&entitlements(&["fs.read=*"]), read("/etc".into())).is_empty());
        assert_eq!(flags(&entitlements(&["fs.write=/etc"]), read("/etc".into())).len(), 1);
    }

    #[test]
    fn the_host_and_the_agent_need_one() {
        let needs = || Needs { network_host: true, insecure: true, ssh: true, ..Needs::default() };
        let all = ["network.host", "security.insecure", "ssh"];
        assert_eq!(flags(&entitlements(&[]), needs()).len(), 3);
        assert!(flags(&entitlements(&all), needs()).is_empty());
        let without_files = Entitlements::parse(&[], false).unwrap();
        assert_eq!(flags(&without_files, needs()).len(), 2, "the network and the kernel are never free");
        assert_eq!(
            Entitlements::parse(&["device".to_owned()], true).err(),
            Some(EntitlementError::Unknown("device".to_owned()))
        );
    }
}
