//! `secrets edit`: the editor gets a file that is in memory alone and is gone afterwards.

use std::ffi::OsString;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use psecret::Store;
use pvault::Environment;
use rustix::process::{Pid, Signal, kill_process};
use zeroize::Zeroizing;

use super::{Desk, Project, SecretsError, environment};
use crate::{identity, scrub};
use pscreen::{Cancellation, Exit};

/// The kernel's number for tmpfs (`linux/magic.h`).
const TMPFS: u64 = 0x0102_1994;

/// The edited file's name; the ending makes editors show it as what it is.
const FILE: &str = "secrets.env";

/// How often the editor is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// How long an editor may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(2);

/// The most that is read back, in bytes.
const LONGEST: u64 = 8 << 20;

pub(super) fn run(project: &Project, desk: &Desk) -> Result<Exit, SecretsError> {
    let identity = identity(&environment)?;
    let editor = editor(&environment).ok_or(SecretsError::NoEditor)?;
    let folder = memory(&environment)?;
    let changes = project.store.change(&identity, |store| {
        let edited = edited(store, &editor, folder.path(), &desk.cancellation)?;
        if !edited.recipients().eq(store.recipients()) {
            return Err(SecretsError::EditedRecipients);
        }
        let changes = store.changes(&edited).len();
        if changes > 0 {
            *store = edited;
        }
        Ok(changes)
    })?;
    let told = match changes {
        0 => "nothing changed".to_owned(),
        some => format!("{} changed", pscreen::words::counted(some, "secret")),
    };
    desk.stderr.fact("store", &told);
    Ok(Exit::Done)
}

/// Finds the editor's command line, which a shell runs.
fn editor(environment: &Environment<'_>) -> Option<OsString> {
    ["VISUAL", "EDITOR"].into_iter().filter_map(environment).find(|editor| !editor.is_empty())
}

/// Makes a folder of our own, mode 0700, on a file system in memory. When it is dropped, it goes with all that the
/// editor left there.
fn memory(environment: &Environment<'_>) -> Result<tempfile::TempDir, SecretsError> {
    let runtime = environment("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    let in_memory =
        |path: &PathBuf| rustix::fs::statfs(path).is_ok_and(|system| u64::try_from(system.f_type) == Ok(TMPFS));
    let place = runtime.into_iter().chain([PathBuf::from("/dev/shm")]).find(in_memory).ok_or(SecretsError::NoMemory)?;
    tempfile::Builder::new()
        .prefix("pbuild-")
        .tempdir_in(&place)
        .map_err(|source| SecretsError::Io { doing: format!("make a folder in {}", place.display()), source })
}

fn edited(store: &Store, editor: &OsString, folder: &Path, cancellation: &Cancellation) -> Result<Store, SecretsError> {
    let path = folder.join(FILE);
    let failed = |doing: &str| {
        let doing = doing.to_owned();
        move |source| SecretsError::Io { doing, source }
    };
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .map_err(failed("make the editor's file"))?;
    file.write_all(&store.to_bytes()).map_err(failed("write the editor's file"))?;
    drop(file);
    // As git does: the variable holds a shell's words, the file is an argument of its own.
    let mut words = editor.clone();
    words.push(" \"$@\"");
    let mut command = Command::new("sh");
    scrub(&mut command).arg("-c").arg(words).args([editor.as_os_str(), path.as_os_str()]);
    let status = wait(command.spawn().map_err(failed("start the editor"))?, cancellation)?;
    if !status.success() {
        return Err(SecretsError::Editor { status });
    }
    let file = fs::File::open(&path).map_err(failed("read the editor's file"))?;
    let length = file.metadata().map_err(failed("read the editor's file"))?.len().min(LONGEST);
    let mut content = Zeroizing::new(Vec::with_capacity(usize::try_from(length).unwrap_or_default() + 1));
    file.take(LONGEST).read_to_end(&mut content).map_err(failed("read the editor's file"))?;
    Store::parse(&content).map_err(SecretsError::Edited)
}

/// Waits for the editor. While it runs, Ctrl-C is its own: editors give it a meaning, and its file must not vanish
/// below it. Whoever ends us otherwise ends it too, so that the file does not stay behind.
fn wait(mut editor: Child, cancellation: &Cancellation) -> Result<ExitStatus, SecretsError> {
    let _held = cancellation.hold();
    let failed = |source| SecretsError::Io { doing: "wait for the editor".to_owned(), source };
    let mut asked: Option<Instant> = None;
    loop {
        if let Some(status) = editor.try_wait().map_err(failed)? {
            return match cancellation.ending().filter(|_| asked.is_some()) {
                Some(ending) => Err(SecretsError::Ended(ending)),
                None => Ok(status),
            };
        }
        match asked {
            None if cancellation.ending().is_some() => {
                let _ = kill_process(Pid::from_child(&editor), Signal::TERM);
                asked = Some(Instant::now());
            }
            Some(since) if since.elapsed() > GRACE => editor.kill().map_err(failed)?,
            None | Some(_) => {}
        }
        thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_in_memory_is_passed_over() {
        // The file system under /proc is none that an editor may write to, and no tmpfs.
        let folder = memory(&|name| (name == "XDG_RUNTIME_DIR").then(|| OsString::from("/proc"))).unwrap();
        assert!(folder.path().starts_with("/dev/shm"));
        let path = folder.path().to_owned();
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn visual_comes_before_editor_and_empty_is_none() {
        let with = |visual: &'static str| {
            move |name: &str| match name {
                "VISUAL" => Some(OsString::from(visual)),
                "EDITOR" => Some(OsString::from("vi")),
                _ => None,
            }
        };
        assert_eq!(editor(&with("code --wait")).unwrap(), "code --wait");
        assert_eq!(editor(&with("")).unwrap(), "vi");
        assert!(editor(&|_| None).is_none());
    }
}
