use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::{Command, Stdio};

use super::*;

/// Makes a folder with the mode of a user's state folder, which nobody else may enter.
fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o700)).tempdir().unwrap()
}

fn content(text: &str) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    Ok(Zeroizing::new(text.as_bytes().to_vec()))
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn text(file: &SealedFile, identity: &Identity) -> String {
    String::from_utf8(file.read(identity).unwrap().expect("there is a content").to_vec()).unwrap()
}

#[test]
fn an_update_sees_the_old_content_and_keeps_it_as_backup() {
    let folder = folder();
    let identity = Identity::generate();
    let file = SealedFile::open(&folder.path().join("deep/state.age")).unwrap();
    assert!(file.read(&identity).unwrap().is_none());
    assert_eq!(
        file.update(&identity, |old| {
            assert!(old.is_none());
            content("one")
        })
        .unwrap(),
        Effect::Written
    );
    assert!(!file.backup().exists());
    assert_eq!(
        file.update(&identity, |old| {
            assert_eq!(old, Some(&b"one"[..]));
            content("two")
        })
        .unwrap(),
        Effect::Written
    );
    assert_eq!(file.update(&identity, |_| content("two")).unwrap(), Effect::Unchanged);
    assert_eq!(text(&file, &identity), "two");
    let backup = SealedFile::open(file.backup()).unwrap();
    assert_eq!(text(&backup, &identity), "one");
}

#[test]
fn a_closure_that_fails_changes_nothing() {
    let folder = folder();
    let identity = Identity::generate();
    let file = SealedFile::open(&folder.path().join("state.age")).unwrap();
    file.update(&identity, |_| content("one")).unwrap();
    let before = fs::read(file.path()).unwrap();
    assert!(file.update(&identity, |_| Err(VaultError::NotARecipient)).is_err());
    assert_eq!(fs::read(file.path()).unwrap(), before);
}

#[test]
fn nothing_readable_lies_on_the_disk() {
    let folder = folder();
    let identity = Identity::generate();
    let file = SealedFile::open(&folder.path().join("state.age")).unwrap();
    for round in 0..3 {
        file.update(&identity, |_| content(&format!("canary-{round}-hunter2"))).unwrap();
    }
    for entry in fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"canary"), "{}", path.display());
    }
}

#[test]
fn files_are_private_whatever_the_umask_says_k9() {
    let folder = folder();
    let state = folder.path().join("state/state.age");
    // The umask belongs to the whole process, so the test sets it in a child process.
    let done = child("files_are_private_whatever_the_umask_says_k9", "umask 000", &state, |path| {
        let identity = Identity::load_or_create(&path.with_file_name("identity.txt")).unwrap();
        let file = SealedFile::open(path).unwrap();
        file.update(&identity, |_| content("one")).unwrap();
        file.update(&identity, |_| content("two")).unwrap();
    });
    if let Some(done) = done {
        assert!(done);
        assert_eq!(mode(&folder.path().join("state")), 0o700);
        for name in ["state.age", "state.age.bak", ".state.age.lock", "identity.txt"] {
            assert_eq!(mode(&state.with_file_name(name)), 0o600, "{name}");
        }
    }
}

#[test]
fn what_others_may_read_or_change_is_refused_with_the_chmod_k1() {
    let folder = folder();
    let (identity_path, state) = (folder.path().join("identity.txt"), folder.path().join("state.age"));
    let identity = Identity::load_or_create(&identity_path).unwrap();
    let file = SealedFile::open(&state).unwrap();
    file.update(&identity, |_| content("one")).unwrap();
    for bad in [0o644, 0o640, 0o666, 0o604] {
        chmod(&state, bad);
        let error = file.read(&identity).unwrap_err();
        assert!(matches!(error, VaultError::OpenToOthers { mode, .. } if mode == bad), "{error}");
        assert_eq!(error.help(), Some(format!("chmod 600 {}", state.display())));
        chmod(&identity_path, bad);
        assert!(matches!(Identity::load(&identity_path), Err(VaultError::OpenToOthers { .. })));
        assert!(matches!(Identity::load_or_create(&identity_path), Err(VaultError::OpenToOthers { .. })));
    }
    chmod(&state, 0o600);
    chmod(&identity_path, 0o600);
    chmod(folder.path(), 0o777);
    assert!(matches!(file.read(&identity), Err(VaultError::OpenToOthers { wanted: 0o755, .. })));
    assert!(matches!(file.update(&identity, |_| content("two")), Err(VaultError::OpenToOthers { .. })));
    assert!(matches!(Identity::load(&identity_path), Err(VaultError::OpenToOthers { .. })));
    chmod(folder.path(), 0o755);
    assert_eq!(text(&file, &identity), "one");
}

#[test]
fn a_shared_file_may_be_read_by_anybody() {
    let folder = folder();
    let identity = Identity::generate();
    let state = tempfile::tempdir().unwrap();
    let file =
        SealedFile::open_shared(&folder.path().join("secrets.age")).unwrap().with_state_in(&state.path().join("own"));
    file.update(&identity, |_| content("one")).unwrap();
    file.update(&identity, |_| content("two")).unwrap();
    assert_eq!(mode(file.path()), 0o644);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "backup and lock lie elsewhere");
    assert_eq!(mode(file.backup()), 0o600);
    assert_eq!(text(&file, &identity), "two");
}

#[test]
fn foreign_files_and_folders_are_refused_k2_k13() {
    if guard::user() != 0 {
        // Only root can give a file to another user; the check itself is the same for all users.
        return assert!(matches!(
            SealedFile::open(Path::new("/etc/state.age")).unwrap().lock(),
            Err(VaultError::Foreign { .. })
        ));
    }
    let folder = folder();
    let identity = Identity::generate();
    let file = SealedFile::open(&folder.path().join("state.age")).unwrap();
    file.update(&identity, |_| content("one")).unwrap();
    std::os::unix::fs::chown(file.path(), Some(12_345), None).unwrap();
    assert!(matches!(file.read(&identity), Err(VaultError::Foreign { owner: 12_345, .. })));
    std::os::unix::fs::chown(file.path(), Some(0), None).unwrap();
    std::os::unix::fs::chown(folder.path(), Some(12_345), None).unwrap();
    assert!(matches!(file.read(&identity), Err(VaultError::Foreign { .. })));
    assert!(matches!(file.update(&identity, |_| content("two")), Err(VaultError::Foreign { .. })));
    let theirs = folder.path().join("identity.txt");
    assert!(matches!(Identity::load_or_create(&theirs), Err(VaultError::Foreign { .. })));
    assert!(!theirs.exists());
    // Root works in another user's home, as with sudo, and no folder of root may be made there.
    let within = folder.path().join("state/pbuild/identity.txt");
    assert!(matches!(Identity::load_or_create(&within), Err(VaultError::Foreign { owner: 12_345, .. })));
    assert!(!folder.path().join("state").exists());
}

#[test]
fn what_others_may_do_is_taken_from_them_on_demand_k1() {
    let folder = folder();
    let path = folder.path().join("identity.txt");
    assert!(!guard::close_to_others(&path).unwrap(), "nothing there, nothing to do");
    Identity::load_or_create(&path).unwrap();
    chmod(&path, 0o644);
    chmod(folder.path(), 0o777);
    assert!(guard::close_to_others(&path).unwrap());
    assert_eq!((mode(&path), mode(folder.path())), (0o600, 0o755));
    assert!(!guard::close_to_others(&path).unwrap());
    Identity::load(&path).unwrap();
}

#[test]
fn our_own_link_is_followed_and_stays_and_others_are_refused_k3() {
    let folder = folder();
    let identity = Identity::generate();
    let (target, link) = (folder.path().join("target.age"), folder.path().join("link.age"));
    SealedFile::open(&target).unwrap().update(&identity, |_| content("one")).unwrap();
    symlink(&target, &link).unwrap();
    let file = SealedFile::open(&link).unwrap();
    file.update(&identity, |_| content("two")).unwrap();
    assert!(link.symlink_metadata().unwrap().is_symlink());
    assert_eq!(text(&SealedFile::open(&target).unwrap(), &identity), "two");
    if guard::user() == 0 {
        std::os::unix::fs::lchown(&link, Some(12_345), None).unwrap();
        assert!(matches!(SealedFile::open(&link), Err(VaultError::NotAFile { .. })));
        assert!(matches!(Identity::load(&link), Err(VaultError::NotAFile { .. })));
    }
}

#[test]
fn a_link_put_in_place_of_the_file_is_not_followed_k3() {
    let folder = folder();
    let identity = Identity::generate();
    let file = SealedFile::open(&folder.path().join("state.age")).unwrap();
    file.update(&identity, |_| content("one")).unwrap();
    let moved = folder.path().join("moved.age");
    fs::rename(file.path(), &moved).unwrap();
    symlink(&moved, file.path()).unwrap();
    assert!(matches!(file.read(&identity), Err(VaultError::NotAFile { .. })));
    fs::remove_file(file.path()).unwrap();
    fs::create_dir(file.path()).unwrap();
    assert!(matches!(file.read(&identity), Err(VaultError::NotAFile { kind: "a folder", .. })));
}

#[test]
fn a_damaged_file_names_its_backup_and_is_never_replaced_k4() {
    let folder = folder();
    let identity = Identity::generate();
    let file = SealedFile::open(&folder.path().join("state.age")).unwrap();
    file.update(&identity, |_| content("one")).unwrap();
    file.update(&identity, |_| content("two")).unwrap();
    let good = fs::read(file.path()).unwrap();
    for damaged in [&b""[..], &good[..good.len() / 2], b"not sealed at all", b"-----BEGIN AGE ENCRYPTED FILE-----\n"] {
        fs::write(file.path(), damaged).unwrap();
        let error = file.read(&identity).unwrap_err();
        assert!(
            matches!(&error, VaultError::Damaged { backup: Some(backup), .. } if backup == file.backup()),
            "{error}"
        );
        assert!(error.help().unwrap().contains("state.age.bak"));
        assert!(file.update(&identity, |_| content("three")).is_err());
        let locked = file.lock().unwrap();
        assert!(locked.write(b"three", &identity, &[identity.recipient()]).is_err());
        assert_eq!(fs::read(file.path()).unwrap(), damaged);
    }
}

#[test]
fn a_vanished_file_with_a_backup_is_not_a_new_one_k4() {
    let folder = folder();
    let identity = Identity::generate();
    let file = SealedFile::open(&folder.path().join("state.age")).unwrap();
    file.update(&identity, |_| content("one")).unwrap();
    file.update(&identity, |_| content("two")).unwrap();
    fs::remove_file(file.path()).unwrap();
    assert!(matches!(file.read(&identity), Err(VaultError::Gone { .. })));
    assert!(matches!(file.update(&identity, |_| content("three")), Err(VaultError::Gone { .. })));
}

#[test]
fn another_identity_is_told_apart_from_damage_k6() {
    let folder = folder();
    let (identity, other) = (Identity::generate(), Identity::generate());
    let file = SealedFile::open(&folder.path().join("state.age")).unwrap();
    file.update(&identity, |_| content("one")).unwrap();
    assert!(matches!(file.read(&other), Err(VaultError::NotForThisIdentity { .. })));
    assert!(matches!(file.update(&other, |_| content("two")), Err(VaultError::NotForThisIdentity { .. })));
    assert_eq!(text(&file, &identity), "one");
    assert!(matches!(Identity::load(&folder.path().join("none.txt")), Err(VaultError::NoIdentity { .. })));
}

#[test]
fn resealing_shuts_out_who_left_from_the_backup_too() {
    let folder = folder();
    let (stays, leaves) = (Identity::generate(), Identity::generate());
    let file = SealedFile::open(&folder.path().join("state.age")).unwrap();
    let locked = file.lock().unwrap();
    let both = [stays.recipient(), leaves.recipient()];
    locked.write(b"one", &stays, &both).unwrap();
    locked.write(b"two", &stays, &both).unwrap();
    assert!(file.read(&leaves).is_ok());
    locked.reseal(&stays, &both[..1]).unwrap();
    assert!(file.read(&leaves).is_err());
    assert!(SealedFile::open(file.backup()).unwrap().read(&leaves).is_err());
    assert_eq!(text(&file, &stays), "two");
}

#[test]
fn a_second_writer_waits_and_is_told_who_writes_k7() {
    let folder = folder();
    let file = SealedFile::open(&folder.path().join("state.age")).unwrap().with_patience(Duration::from_millis(200));
    let locked = file.lock().unwrap();
    let error = file.lock().unwrap_err();
    assert!(matches!(error, VaultError::Locked { holder: Some(pid), .. } if pid == std::process::id()), "{error}");
    drop(locked);
    assert!(file.lock().is_ok());
}

#[test]
fn writers_take_turns_and_lose_nothing_k7() {
    let folder = folder();
    let path = folder.path().join("state.age");
    let identity_path = folder.path().join("identity.txt");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                // All four threads make the identity at the same time, and get the same one.
                let identity = Identity::load_or_create(&identity_path).unwrap();
                let file = SealedFile::open(&path).unwrap();
                for _ in 0..5 {
                    file.update(&identity, |old| {
                        content(&format!("{}x", String::from_utf8_lossy(old.unwrap_or_default())))
                    })
                    .unwrap();
                }
            });
        }
    });
    let identity = Identity::load(&identity_path).unwrap();
    assert_eq!(text(&SealedFile::open(&path).unwrap(), &identity), "x".repeat(20));
}

#[test]
fn a_full_disk_leaves_the_old_content_k5() {
    let folder = folder();
    let path = folder.path().join("state.age");
    let identity_path = folder.path().join("identity.txt");
    let identity = Identity::load_or_create(&identity_path).unwrap();
    let file = SealedFile::open(&path).unwrap();
    // A limit on the size of files, of one block, acts like a full disk: small files can be written, the new state
    // cannot.
    let done = child("a_full_disk_leaves_the_old_content_k5", "trap '' XFSZ; ulimit -f 1", &path, |path| {
        let identity = Identity::load(&path.with_file_name("identity.txt")).unwrap();
        let long = "x".repeat(100_000);
        let result = SealedFile::open(path).unwrap().update(&identity, |_| content(&long));
        assert!(matches!(result, Err(VaultError::Io { doing: "write", .. })), "{result:?}");
    });
    if let Some(done) = done {
        assert!(done);
        assert!(file.read(&identity).unwrap().is_none());
        file.update(&identity, |_| content("old")).unwrap();
        assert!(child("a_full_disk_leaves_the_old_content_k5", "trap '' XFSZ; ulimit -f 1", &path, |_| ()).unwrap());
        assert_eq!(text(&file, &identity), "old");
        let leftovers = fs::read_dir(folder.path())
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().ends_with(".new"));
        assert_eq!(leftovers.count(), 0);
    }
}

#[test]
fn a_writer_killed_at_any_time_leaves_a_whole_content_k7() {
    let folder = folder();
    let path = folder.path().join("state.age");
    let Some(mut command) = command("a_writer_killed_at_any_time_leaves_a_whole_content_k7", "true", &path) else {
        let identity = Identity::load_or_create(&work_path().unwrap().with_file_name("identity.txt")).unwrap();
        let file = SealedFile::open(&work_path().unwrap()).unwrap();
        for round in 0_u64.. {
            file.update(&identity, |_| content(&round.to_string().repeat(1000))).unwrap();
        }
        return;
    };
    let identity = Identity::load_or_create(&path.with_file_name("identity.txt")).unwrap();
    let file = SealedFile::open(&path).unwrap();
    let mut contents = std::collections::BTreeSet::new();
    for round in 0..12_u64 {
        let mut writer = command.spawn().unwrap();
        std::thread::sleep(Duration::from_millis(150 + round * 7));
        writer.kill().unwrap();
        writer.wait().unwrap();
        if let Some(found) = file.read(&identity).unwrap() {
            let text = String::from_utf8(found.to_vec()).unwrap();
            assert_eq!(text, text[..text.len() / 1000].repeat(1000), "one writer's whole work");
            contents.insert(text.len());
        }
        // The lock of the dead writer is free at once.
        drop(file.clone().with_patience(Duration::ZERO).lock().unwrap());
    }
    assert!(!contents.is_empty(), "some writer got to write");
}

/// Returns the path to work on, if this process is the child.
fn work_path() -> Option<PathBuf> {
    std::env::var_os("PVAULT_TEST_PATH").map(PathBuf::from)
}

/// Returns a command that runs this test again, in a child process after a line of shell. Returns `None` in the
/// child.
fn command(test: &str, before: &str, path: &Path) -> Option<Command> {
    if work_path().is_some() {
        return None;
    }
    let mut command = Command::new("bash");
    command
        .arg("-c")
        .arg(format!("{before}; exec \"$0\" --exact file::tests::{test} --test-threads 1"))
        .arg(std::env::current_exe().unwrap())
        .env("PVAULT_TEST_PATH", path)
        .stdout(Stdio::null())
        .stderr(Stdio::inherit());
    Some(command)
}

/// Runs the work in a child, and returns whether the child succeeded. Returns `None` in the child itself.
fn child(test: &str, before: &str, path: &Path, work: impl FnOnce(&Path)) -> Option<bool> {
    match command(test, before, path) {
        Some(mut command) => Some(command.status().unwrap().success()),
        None => {
            work(&work_path().unwrap());
            None
        }
    }
}
