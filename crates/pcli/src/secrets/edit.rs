//! `secrets edit`: the editor gets a file that exists only in memory and is removed afterwards.

use std::ffi::OsString;
use std::fs;
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use psecret::{Store, StoreError};
use pvault::Environment;
use rustix::process::{Pid, Signal, kill_process};
use zeroize::Zeroizing;

use super::{Desk, Project, SecretsError, environment};
use crate::{identity, scrub};
use pscreen::{Cancellation, Exit};

/// The number of tmpfs in the kernel (`linux/magic.h`).
const TMPFS: u64 = 0x0102_1994;

/// The name of the edited file. Editors choose the highlighting by its extension.
const FILE: &str = "secrets.env";

/// The time between two looks at the running editor.
const LOOK: Duration = Duration::from_millis(20);

/// The time that an editor has to end after it received SIGTERM.
const GRACE: Duration = Duration::from_secs(2);

/// The explanation in the editor's file.
const EXPLANATION: &str = "\
# The secrets of this project: NAME='value', one below the other. Save and close the editor to seal them.
# Lines that begin with #@ belong to the store and stay as they are: its version, its readers, its key.
";

/// The beginning of a line that explains why the next line cannot be read.
const REMARK: &str = "# cannot be read:";

/// The most bytes that are read back from the editor's file.
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

/// Returns the editor's command line, which a shell runs.
fn editor(environment: &Environment<'_>) -> Option<OsString> {
    ["VISUAL", "EDITOR"].into_iter().filter_map(environment).find(|editor| !editor.is_empty())
}

/// Makes a folder of mode 0700 on a file system in memory. When the folder is dropped, it is removed with everything
/// that the editor left in it.
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
    file.write_all(&with_explanation(&store.to_bytes())).map_err(failed("write the editor's file"))?;
    drop(file);
    let mut last = Zeroizing::new(Vec::new());
    loop {
        edit(editor, &path, cancellation)?;
        let content = Zeroizing::new(without_remarks(&content_of(&path)?));
        match Store::parse(&content) {
            Ok(store) => return Ok(store),
            // A user who leaves the text unchanged wants to stop. Without a terminal, a script would repeat the same
            // error forever.
            Err(error) if *content == *last || !std::io::stdin().is_terminal() => {
                return Err(SecretsError::Edited(error));
            }
            Err(error) => {
                fs::write(&path, with_remark(&content, &error)).map_err(failed("write the editor's file"))?;
                last = content;
            }
        }
    }
}

/// Runs the editor on a file.
fn edit(editor: &OsString, path: &Path, cancellation: &Cancellation) -> Result<(), SecretsError> {
    let failed = |source| SecretsError::Io { doing: "start the editor".to_owned(), source };
    // As in git, the variable holds words for a shell, and the file is a separate argument.
    let mut words = editor.clone();
    words.push(" \"$@\"");
    let mut command = Command::new("sh");
    scrub(&mut command).arg("-c").arg(words).args([editor.as_os_str(), path.as_os_str()]);
    let status = wait(command.spawn().map_err(failed)?, cancellation)?;
    if status.success() { Ok(()) } else { Err(SecretsError::Editor { status }) }
}

fn content_of(path: &Path) -> Result<Zeroizing<Vec<u8>>, SecretsError> {
    let failed = |source| SecretsError::Io { doing: "read the editor's file".to_owned(), source };
    let file = fs::File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len().min(LONGEST);
    let mut content = Zeroizing::new(Vec::with_capacity(usize::try_from(length).unwrap_or_default() + 1));
    file.take(LONGEST).read_to_end(&mut content).map_err(failed)?;
    Ok(content)
}

/// Inserts [`EXPLANATION`] between the head lines of a store and its secrets.
fn with_explanation(content: &[u8]) -> Zeroizing<Vec<u8>> {
    let head: usize = content
        .split_inclusive(|byte| *byte == b'\n')
        .take_while(|line| line.starts_with(b"#@"))
        .map(<[u8]>::len)
        .sum();
    let mut text = Zeroizing::new(Vec::with_capacity(content.len() + EXPLANATION.len()));
    text.extend_from_slice(&content[..head]);
    text.extend_from_slice(EXPLANATION.as_bytes());
    text.extend_from_slice(&content[head..]);
    text
}

/// Inserts the error above the line that it is about, or at the top.
fn with_remark(content: &[u8], error: &StoreError) -> Zeroizing<Vec<u8>> {
    let line = match error {
        StoreError::Line(error) => error.line,
        StoreError::Head { line } => *line,
        StoreError::Newer | StoreError::NotBase64 { .. } => 1,
    };
    let remark = format!("{REMARK} {error}; mend it below, or leave the file as it is to give up\n");
    let mut text = Zeroizing::new(Vec::with_capacity(content.len() + remark.len()));
    for (index, one) in content.split_inclusive(|byte| *byte == b'\n').enumerate() {
        if index + 1 == line {
            text.extend_from_slice(remark.as_bytes());
        }
        text.extend_from_slice(one);
    }
    text
}

/// Removes the lines that [`with_remark`] inserted.
fn without_remarks(content: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(content.len());
    let lines = content.split_inclusive(|byte| *byte == b'\n');
    lines.filter(|line| !line.starts_with(REMARK.as_bytes())).for_each(|line| text.extend_from_slice(line));
    text
}

/// Waits for the editor. While the editor runs, Ctrl-C is ignored: editors use it themselves, and their file must not
/// vanish. Any other signal that ends this process also ends the editor, so that the file is removed.
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
        // The file system under /proc is not a tmpfs, so no editor's file may be put there.
        let folder = memory(&|name| (name == "XDG_RUNTIME_DIR").then(|| OsString::from("/proc"))).unwrap();
        assert!(folder.path().starts_with("/dev/shm"));
        let path = folder.path().to_owned();
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn a_remark_stands_above_its_line_and_goes_again() {
        let content = b"#@ store 1\nA='x'\nB C='y'\n";
        let error = Store::parse(content).unwrap_err();
        let marked = with_remark(content, &error);
        let lines: Vec<&[u8]> = marked.split(|byte| *byte == b'\n').collect();
        assert!(lines[2].starts_with(b"# cannot be read: line 3") && lines[3] == b"B C='y'");
        assert_eq!(without_remarks(&marked), content);
        let explained = with_explanation(b"#@ store 1\nA='x'\n");
        assert!(explained.starts_with(b"#@ store 1\n# The secrets of") && explained.ends_with(b"\nA='x'\n"));
        assert_eq!(Store::parse(&explained).unwrap().names().count(), 1);
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
