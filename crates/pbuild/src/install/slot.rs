//! One plugin's place in docker's folder of plugins.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::InstallError;
use super::record::Before;

/// The place of one plugin.
#[derive(Debug)]
pub(super) struct Slot {
    /// The path of the plugin.
    pub(super) path: PathBuf,
    /// The program to which the plugin's link must lead.
    pub(super) target: PathBuf,
    /// The path to which a program in the way is moved. It is outside of the plugin folders, where docker would
    /// report an invalid plugin.
    pub(super) aside: PathBuf,
}

/// What was changed in a plugin's place.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Adjustment {
    path: PathBuf,
    what: What,
}

#[derive(Debug, PartialEq, Eq)]
enum What {
    /// The link was there already.
    Nothing,
    /// The link was made. The fields hold what was there before, and the link's target.
    Installed(Option<Before>, PathBuf),
    /// The link was removed, and what was there before is restored.
    Restored,
    /// Another program has taken the place since. The field holds the path of the program from before, if it was
    /// moved aside.
    Left(Option<PathBuf>),
    /// The link was removed, but the program from before is no longer at this path.
    Lost(PathBuf),
}

/// What is in a plugin's place now.
enum Standing {
    Nothing,
    Link(PathBuf),
    File,
}

impl Slot {
    fn failed(&self, source: io::Error) -> InstallError {
        InstallError::File { path: self.path.clone(), source }
    }

    fn standing(&self) -> Result<Standing, InstallError> {
        match fs::symlink_metadata(&self.path) {
            Ok(metadata) if metadata.is_symlink() => {
                Ok(Standing::Link(fs::read_link(&self.path).map_err(|error| self.failed(error))?))
            }
            Ok(_) => Ok(Standing::File),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Standing::Nothing),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Installs the link. `known` is what the record says was there before an earlier install.
    pub(super) fn install(&self, known: Option<Before>) -> Result<Adjustment, InstallError> {
        let change = |what| Adjustment { path: self.path.clone(), what };
        let Some(before) = self.before(known.clone())? else {
            return Ok(change(known_or_nothing(known, &self.target)));
        };
        make_folder_of(&self.path)?;
        make_folder_of(&self.aside)?;
        let is_file = matches!(self.standing()?, Standing::File);
        if is_file {
            fs::rename(&self.path, &self.aside).map_err(|error| self.failed(error))?;
        }
        if let Err(error) = self.link_to(&self.target) {
            if is_file {
                let _ = fs::rename(&self.aside, &self.path);
            }
            return Err(error);
        }
        Ok(change(What::Installed(Some(before), self.target.clone())))
    }

    /// Returns what an install would replace, without a change, because the record is written before the install.
    /// Returns `None` if the link is there already.
    pub(super) fn before(&self, known: Option<Before>) -> Result<Option<Before>, InstallError> {
        Ok(match self.standing()? {
            Standing::Link(target) if target == self.target => None,
            Standing::Nothing => Some(known.unwrap_or(Before::Nothing)),
            // An older link to pbuild or prun is not what was there before the first install.
            Standing::Link(target) if leads_to_a_tool_of_ours(&target) => Some(known.unwrap_or(Before::Nothing)),
            // This also holds for a link or a program that was put over pbuild's link: the record keeps the newer
            // one.
            Standing::Link(target) => Some(Before::Link(target)),
            Standing::File => Some(Before::Moved),
        })
    }

    /// Removes the link, and restores what was there before.
    pub(super) fn uninstall(&self, before: &Before) -> Result<Adjustment, InstallError> {
        let change = |what| Adjustment { path: self.path.clone(), what };
        let left = || match before {
            Before::Moved if self.aside.exists() => What::Left(Some(self.aside.clone())),
            _ => What::Left(None),
        };
        let is_link = match self.standing()? {
            Standing::File => return Ok(change(left())),
            Standing::Link(target) if target != self.target && !leads_to_a_tool_of_ours(&target) => {
                return Ok(change(left()));
            }
            Standing::Link(_) => true,
            Standing::Nothing => false,
        };
        let failed = |error| self.failed(error);
        match before {
            Before::Link(target) => self.link_to(target)?,
            // The rename replaces the link in one step.
            Before::Moved if self.aside.exists() => fs::rename(&self.aside, &self.path).map_err(failed)?,
            Before::Nothing | Before::Moved => {
                if is_link {
                    fs::remove_file(&self.path).map_err(failed)?;
                }
                if *before == Before::Moved {
                    return Ok(change(What::Lost(self.aside.clone())));
                }
            }
        }
        Ok(change(What::Restored))
    }

    /// Makes the link in one step, and replaces any link that is there.
    fn link_to(&self, target: &Path) -> Result<(), InstallError> {
        // Make the new link outside of the plugin folder. In that folder, docker would take the link for a plugin
        // until the rename.
        let new = self.aside.with_extension("new");
        make_folder_of(&new)?;
        let _ = fs::remove_file(&new);
        symlink(target, &new).and_then(|()| fs::rename(&new, &self.path)).map_err(|error| self.failed(error))
    }
}

fn known_or_nothing(known: Option<Before>, target: &Path) -> What {
    match known {
        Some(_) => What::Nothing,
        // A user made this link by hand. It is recorded, so uninstall removes it.
        None => What::Installed(Some(Before::Nothing), target.to_owned()),
    }
}

/// Returns whether a link leads to a pbuild or a prun, in any folder.
fn leads_to_a_tool_of_ours(target: &Path) -> bool {
    target.file_name().is_some_and(|name| name == "pbuild" || name == "prun")
}

fn make_folder_of(path: &Path) -> Result<(), InstallError> {
    let Some(folder) = path.parent() else { return Ok(()) };
    fs::create_dir_all(folder).map_err(|source| InstallError::File { path: folder.to_owned(), source })
}

impl Adjustment {
    /// Returns what was there before, if the record must keep it.
    pub(super) fn before(&self) -> Option<Before> {
        match &self.what {
            What::Installed(before, _) => before.clone(),
            What::Nothing | What::Restored | What::Left(_) | What::Lost(_) => None,
        }
    }
}

impl fmt::Display for Adjustment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.what {
            What::Nothing => write!(formatter, "{path} is there already"),
            What::Installed(Some(Before::Moved), target) => {
                write!(formatter, "{path} → {}; what was there was moved aside", target.display())
            }
            What::Installed(Some(Before::Link(old)), target) => {
                write!(formatter, "{path} → {}; it led to {}", target.display(), old.display())
            }
            What::Installed(_, target) => write!(formatter, "{path} → {}", target.display()),
            What::Restored => write!(formatter, "{path} as before"),
            What::Left(None) => write!(formatter, "{path} is another program now, and stays"),
            What::Left(Some(aside)) => write!(
                formatter,
                "{path} is another program now, and stays; the one from before is {}",
                aside.display()
            ),
            What::Lost(aside) => {
                write!(formatter, "{path} is empty: the program from before is not at {} any more", aside.display())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(folder: &Path) -> Slot {
        Slot {
            path: folder.join("cli-plugins/docker-buildx"),
            target: folder.join("bin/pbuild"),
            aside: folder.join("pbuild/docker-buildx"),
        }
    }

    fn installed(place: &Slot, known: Option<Before>) -> Option<Before> {
        let change = place.install(known).unwrap();
        assert_eq!(fs::read_link(&place.path).unwrap(), place.target);
        change.before()
    }

    #[test]
    fn an_empty_place_gets_a_link_and_is_empty_again() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(folder.path());
        assert_eq!(installed(&place, None), Some(Before::Nothing));
        assert_eq!(installed(&place, Some(Before::Nothing)), None, "a second install changes nothing");
        place.uninstall(&Before::Nothing).unwrap();
        assert!(fs::symlink_metadata(&place.path).is_err());
        place.uninstall(&Before::Nothing).unwrap();
    }

    #[test]
    fn a_program_goes_aside_and_comes_back_and_a_newer_one_takes_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(folder.path());
        fs::create_dir_all(place.path.parent().unwrap()).unwrap();
        fs::write(&place.path, "buildx 1").unwrap();
        assert_eq!(installed(&place, None), Some(Before::Moved));
        assert_eq!(fs::read_to_string(&place.aside).unwrap(), "buildx 1");
        // An upgrade of buildx has replaced the link.
        fs::remove_file(&place.path).unwrap();
        fs::write(&place.path, "buildx 2").unwrap();
        assert_eq!(installed(&place, Some(Before::Moved)), Some(Before::Moved));
        place.uninstall(&Before::Moved).unwrap();
        assert_eq!(fs::read_to_string(&place.path).unwrap(), "buildx 2");
        assert!(!place.aside.exists());
    }

    #[test]
    fn what_went_wrong_leaves_the_user_s_program() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(folder.path());
        fs::create_dir_all(place.path.parent().unwrap()).unwrap();
        fs::write(&place.path, "buildx").unwrap();
        // A folder is in the way of the new link.
        fs::create_dir_all(place.aside.with_extension("new").join("x")).unwrap();
        assert!(place.install(None).is_err());
        assert_eq!(fs::read_to_string(&place.path).unwrap(), "buildx");
        fs::remove_dir_all(place.aside.with_extension("new")).unwrap();
        installed(&place, None);
        // The program that was moved aside is removed; uninstall still succeeds.
        fs::remove_file(&place.aside).unwrap();
        assert_eq!(place.uninstall(&Before::Moved).unwrap().what, What::Lost(place.aside.clone()));
        assert!(fs::symlink_metadata(&place.path).is_err());
    }

    #[test]
    fn a_link_comes_back_as_it_was_though_it_is_broken() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(folder.path());
        fs::create_dir_all(place.path.parent().unwrap()).unwrap();
        symlink("/nowhere/docker-buildx", &place.path).unwrap();
        let before = installed(&place, None).unwrap();
        assert_eq!(before, Before::Link("/nowhere/docker-buildx".into()));
        place.uninstall(&before).unwrap();
        assert_eq!(fs::read_link(&place.path).unwrap(), Path::new("/nowhere/docker-buildx"));
    }

    #[test]
    fn a_link_of_an_older_pbuild_is_renewed_and_another_program_stays() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(folder.path());
        fs::create_dir_all(place.path.parent().unwrap()).unwrap();
        symlink("/opt/old/pbuild", &place.path).unwrap();
        assert_eq!(installed(&place, None), Some(Before::Nothing));
        fs::remove_file(&place.path).unwrap();
        fs::write(&place.path, "mine").unwrap();
        assert_eq!(place.uninstall(&Before::Nothing).unwrap().what, What::Left(None));
        assert_eq!(fs::read_to_string(&place.path).unwrap(), "mine");
    }
}
