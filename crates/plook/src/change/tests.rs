//! Compares the walk over real overlay mounts, as a builder makes them, with a walk that skips nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// An overlay mount that is unmounted when it is dropped.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        run("umount", &[self.0.to_str().unwrap()]);
    }
}

/// Layers that steps stacked on each other, in a folder of their own.
struct Stack {
    folder: TempDir,
    layers: Vec<PathBuf>,
    mounts: usize,
}

impl Stack {
    /// Makes a base with nodes of several kinds.
    fn new() -> Self {
        let mut stack = Self { folder: TempDir::new().unwrap(), layers: Vec::new(), mounts: 0 };
        let base = stack.folder.path().join("layer-0");
        fs::create_dir_all(base.join("etc/deep/er")).unwrap();
        fs::create_dir_all(base.join("srv/empty")).unwrap();
        for (name, text) in [("etc/a", "aaaa"), ("etc/b", "bbbb"), ("etc/deep/er/c", "cccc"), ("srv/d", "dddd")] {
            fs::write(base.join(name), text).unwrap();
        }
        fs::hard_link(base.join("etc/a"), base.join("etc/a-too")).unwrap();
        symlink("a", base.join("etc/link")).unwrap();
        stack.layers.push(base);
        stack
    }

    /// Mounts the first `count` layers. The layer above them is temporary, or is kept in `upper`.
    fn mount(&mut self, count: usize, upper: Option<&Path>) -> Mounted {
        self.mounts += 1;
        let own = self.folder.path().join(format!("mount-{}", self.mounts));
        let (upper, work, point) =
            (upper.map_or_else(|| own.join("upper"), Path::to_owned), own.join("work"), own.join("point"));
        for folder in [&upper, &work, &point] {
            fs::create_dir_all(folder).unwrap();
        }
        let lower: Vec<&str> = self.layers[..count].iter().rev().map(|layer| layer.to_str().unwrap()).collect();
        let options = format!("lowerdir={},upperdir={},workdir={}", lower.join(":"), upper.display(), work.display());
        run("mount", &["-t", "overlay", "overlay", "-o", &options, point.to_str().unwrap()]);
        Mounted(point)
    }

    /// Runs a step above all layers. Its changes become the next layer.
    fn step(&mut self, step: impl FnOnce(&Path)) {
        let layer = self.folder.path().join(format!("layer-{}", self.layers.len()));
        let mounted = self.mount(self.layers.len(), Some(&layer));
        step(&mounted.0);
        drop(mounted);
        self.layers.push(layer);
    }

    /// Mounts the states before and after the last step.
    fn last(&mut self) -> (Mounted, Mounted) {
        let count = self.layers.len();
        (self.mount(count - 1, None), self.mount(count, None))
    }
}

fn told(before: Option<&Path>, after: &Path) -> BTreeMap<String, &'static str> {
    let mut change = Change::new(before, after).unwrap();
    let mut told = BTreeMap::new();
    while let Some(node) = change.next_node().unwrap() {
        let kind = match node.kind {
            Kind::File { .. } => "file",
            Kind::HardLink { .. } => "hard link",
            Kind::Symlink { .. } => "symlink",
            Kind::Directory => "folder",
            Kind::Special => "special",
            Kind::Removed => "removed",
        };
        let path = String::from_utf8(node.path).unwrap();
        assert!(told.insert(path.trim_end_matches('/').to_owned(), kind).is_none(), "told twice");
    }
    told
}

/// Finds the difference of two states by walking through both of them completely.
fn told_by_a_full_walk(before: &Path, after: &Path) -> BTreeSet<String> {
    fn walk(root: &Path, folder: &Path, seen: &mut BTreeMap<String, Stat>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let stat = rustix::fs::lstat(&path).unwrap();
            seen.insert(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), stat);
            if path.symlink_metadata().unwrap().is_dir() {
                walk(root, &path, seen);
            }
        }
    }
    let (mut old, mut new) = (BTreeMap::new(), BTreeMap::new());
    walk(before, before, &mut old);
    walk(after, after, &mut new);
    let changed = new.iter().filter(|(path, stat)| !old.get(*path).is_some_and(|old| is_the_same(old, stat)));
    let mut told: BTreeSet<String> = changed.map(|(path, _)| path.clone()).collect();
    // Below a folder that was removed, no names are reported.
    let parent_is_there = |path: &str| {
        path.rsplit_once('/').is_none_or(|(parent, _)| {
            new.get(parent).is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
        })
    };
    told.extend(old.keys().filter(|path| !new.contains_key(*path) && parent_is_there(path)).cloned());
    told
}

/// The kinds of changes that steps make to the base's files.
#[derive(Clone, Copy, Debug)]
enum Nasty {
    SameSizeAndTime,
    AttributeAlone,
    Mode,
    RenamedFile,
    RenamedFolder,
    AnotherName,
    MappedWrite,
    RemovedAndMadeAgain,
    FolderBecomesFile,
    FileBecomesFolder,
    RemovedDeepDown,
    LinkTurned,
    TouchedAndPutBack,
    DeviceAndPipe,
}

const ALL: [Nasty; 14] = [
    Nasty::SameSizeAndTime,
    Nasty::AttributeAlone,
    Nasty::Mode,
    Nasty::RenamedFile,
    Nasty::RenamedFolder,
    Nasty::AnotherName,
    Nasty::MappedWrite,
    Nasty::RemovedAndMadeAgain,
    Nasty::FolderBecomesFile,
    Nasty::FileBecomesFolder,
    Nasty::RemovedDeepDown,
    Nasty::LinkTurned,
    Nasty::TouchedAndPutBack,
    Nasty::DeviceAndPipe,
];

impl Nasty {
    /// Makes the change, if the file still exists.
    fn to(self, root: &Path) {
        let at = |name: &str| root.join(name);
        let keeping_times = |path: &Path, change: &dyn Fn()| {
            let Ok(metadata) = path.metadata() else { return };
            change();
            let times = fs::FileTimes::new()
                .set_modified(metadata.modified().unwrap())
                .set_accessed(metadata.accessed().unwrap());
            fs::File::options().write(true).open(path).unwrap().set_times(times).unwrap();
        };
        let rename = |from: &str, to: &str| {
            // Folders of lower layers can only be renamed with a feature that builders do not enable.
            if at(from).exists() && !at(to).exists() {
                run("mv", &[at(from).to_str().unwrap(), at(to).to_str().unwrap()]);
            }
        };
        match self {
            Self::SameSizeAndTime => keeping_times(&at("etc/a"), &|| fs::write(at("etc/a"), "AAAA").unwrap()),
            Self::AttributeAlone => {
                if let Ok(path) = CString::new(at("etc/b").to_str().unwrap()) {
                    let flags = rustix::fs::XattrFlags::empty();
                    let _ = rustix::fs::setxattr(path.as_c_str(), "trusted.note", b"x", flags);
                }
            }
            Self::Mode => {
                let _ = fs::set_permissions(at("etc/b"), fs::Permissions::from_mode(0o000));
            }
            Self::RenamedFile => rename("etc/b", "etc/renamed"),
            Self::RenamedFolder => rename("etc/deep", "srv/deep"),
            Self::AnotherName => {
                let _ = fs::hard_link(at("srv/d"), at("srv/another"));
            }
            Self::MappedWrite => keeping_times(&at("srv/d"), &|| {
                let mut file = fs::File::options().read(true).write(true).open(at("srv/d")).unwrap();
                file.seek(SeekFrom::Start(1)).unwrap();
                file.write_all(b"X").unwrap();
            }),
            Self::RemovedAndMadeAgain => {
                let _ = fs::remove_dir_all(at("etc/deep"));
                fs::create_dir_all(at("etc/deep/er")).unwrap();
                fs::write(at("etc/deep/er/new"), "new").unwrap();
            }
            Self::FolderBecomesFile => {
                if at("srv/empty").is_dir() && fs::remove_dir(at("srv/empty")).is_ok() {
                    fs::write(at("srv/empty"), "file").unwrap();
                }
            }
            Self::FileBecomesFolder => {
                if at("etc/a-too").is_file() {
                    fs::remove_file(at("etc/a-too")).unwrap();
                    fs::create_dir_all(at("etc/a-too/in")).unwrap();
                }
            }
            Self::RemovedDeepDown => {
                let _ = fs::remove_file(at("etc/deep/er/c"));
            }
            Self::LinkTurned => {
                let _ = fs::remove_file(at("etc/link"));
                symlink("b", at("etc/link")).unwrap();
            }
            Self::TouchedAndPutBack => {
                fs::write(at("etc/passing"), "x").unwrap();
                fs::remove_file(at("etc/passing")).unwrap();
            }
            Self::DeviceAndPipe => {
                if !at("srv/pipe").exists() {
                    run("mkfifo", &[at("srv/pipe").to_str().unwrap()]);
                    run("mknod", &[at("srv/null").to_str().unwrap(), "c", "1", "3"]);
                }
            }
        }
    }
}

#[test]
fn each_nasty_change_is_told() {
    for (nasty, expected) in [
        (Nasty::SameSizeAndTime, vec!["etc", "etc/a"]),
        (Nasty::AttributeAlone, vec!["etc", "etc/b"]),
        (Nasty::Mode, vec!["etc", "etc/b"]),
        (Nasty::RenamedFile, vec!["etc", "etc/b", "etc/renamed"]),
        (Nasty::AnotherName, vec!["srv", "srv/another", "srv/d"]),
        (Nasty::MappedWrite, vec!["srv", "srv/d"]),
        (Nasty::FolderBecomesFile, vec!["srv", "srv/empty"]),
        (Nasty::RemovedDeepDown, vec!["etc", "etc/deep", "etc/deep/er", "etc/deep/er/c"]),
        (Nasty::LinkTurned, vec!["etc", "etc/link"]),
        (Nasty::DeviceAndPipe, vec!["srv", "srv/null", "srv/pipe"]),
    ] {
        let mut stack = Stack::new();
        stack.step(|root| nasty.to(root));
        let (before, after) = stack.last();
        let told = told(Some(&before.0), &after.0);
        assert_eq!(told.keys().map(String::as_str).collect::<Vec<_>>(), expected, "{nasty:?}");
        assert_eq!(
            told.keys().cloned().collect::<BTreeSet<_>>(),
            told_by_a_full_walk(&before.0, &after.0),
            "{nasty:?}"
        );
    }
}

#[test]
fn a_state_that_did_not_change_has_nothing_to_tell() {
    let mut stack = Stack::new();
    stack.step(|_| {});
    let (before, after) = stack.last();
    assert_eq!(told(Some(&before.0), &after.0), BTreeMap::new());
}

#[test]
fn what_is_gone_is_told_as_removed_and_links_as_what_they_are() {
    let mut stack = Stack::new();
    stack.step(|root| {
        fs::remove_dir_all(root.join("etc/deep")).unwrap();
        fs::write(root.join("srv/one"), "one").unwrap();
        fs::hard_link(root.join("srv/one"), root.join("srv/two")).unwrap();
        symlink("one", root.join("srv/three")).unwrap();
    });
    let (before, after) = stack.last();
    let told = told(Some(&before.0), &after.0);
    let expected = [
        ("etc", "folder"),
        ("etc/deep", "removed"),
        ("srv", "folder"),
        ("srv/one", "file"),
        ("srv/three", "symlink"),
        ("srv/two", "hard link"),
    ];
    assert_eq!(told.iter().map(|(path, kind)| (path.as_str(), *kind)).collect::<Vec<_>>(), expected);
}

#[test]
fn without_a_state_before_everything_is_told() {
    let mut stack = Stack::new();
    let base = stack.mount(1, None);
    let told = told(None, &base.0);
    assert_eq!(told.len(), 11, "{told:?}");
    assert_eq!(told["etc/a"], "file");
    assert_eq!(told["etc/a-too"], "hard link");
}

#[test]
fn no_depth_exhausts_the_walk() {
    let folder = TempDir::new().unwrap();
    let mut cursor = Cursor::new(folder.path()).unwrap();
    let depth = 3000;
    for _ in 0..depth {
        // The tree is deeper than a path can be long, so each folder is made from within the one above.
        cursor.make_folder(c"folder");
        cursor.enter(c"folder").unwrap();
    }
    let mut change = Change::new(None, folder.path()).unwrap();
    let mut longest = 0;
    while let Some(node) = change.next_node().unwrap() {
        longest = longest.max(node.path.len());
    }
    assert_eq!(longest, depth * "folder/".len());
}

/// Opening a pipe to which no program writes would wait forever.
#[test]
fn pipes_sockets_and_devices_are_named_and_never_opened() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    run("mkfifo", &[at("pipe").to_str().unwrap()]);
    run("mknod", &[at("device").to_str().unwrap(), "c", "1", "5"]);
    let socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    assert!(at("pipe").metadata().unwrap().file_type().is_fifo());
    assert_eq!(told(None, folder.path()).into_values().collect::<Vec<_>>(), ["special"; 3]);
    drop(socket);
}

#[test]
fn names_of_any_bytes_are_told_as_they_are() {
    use std::os::unix::ffi::OsStrExt as _;
    let folder = TempDir::new().unwrap();
    for name in [&b"\xff\xfe"[..], b"a\nb", b"-rf", b"..."] {
        fs::write(folder.path().join(std::ffi::OsStr::from_bytes(name)), "x").unwrap();
    }
    let mut change = Change::new(None, folder.path()).unwrap();
    let mut names = Vec::new();
    while let Some(node) = change.next_node().unwrap() {
        names.push(node.path);
    }
    assert_eq!(names, [&b"-rf"[..], b"...", b"a\nb", b"\xff\xfe"]);
}

/// Two layers that BuildKit's merge operation stacks on one base by hard links: the first layer has one copy, the
/// second one has both copies.
struct Linked {
    stack: Stack,
    both: [Mounted; 3],
}

impl Linked {
    /// Makes the layers. `first` and `second` write the copied files, and `second` may write over those of `first`.
    fn new(first: impl FnOnce(&Path), second: impl FnOnce(&Path)) -> Self {
        let mut stack = Stack::new();
        let at = |name: &str| stack.folder.path().join(name);
        let (one, merged) = (at("one"), at("merged"));
        fs::create_dir(&one).unwrap();
        first(&one);
        run("cp", &["--archive", "--link", one.to_str().unwrap(), merged.to_str().unwrap()]);
        second(&merged);
        let base = stack.mount(1, None);
        stack.layers.push(one);
        let before = stack.mount(2, None);
        stack.layers[1] = merged;
        let after = stack.mount(2, None);
        Self { stack, both: [base, before, after] }
    }

    /// Lists the nodes that the walk reports for the second copy.
    fn told(&self) -> io::Result<Vec<String>> {
        assert_eq!(self.stack.layers.len(), 2);
        let [base, before, after] = &self.both;
        let mut change = Change::new(Some(&before.0), &after.0)?.upon(Some(&base.0))?;
        let mut told = Vec::new();
        while let Some(node) = change.next_node()? {
            told.push(String::from_utf8(node.path).unwrap());
        }
        Ok(told)
    }
}

#[test]
fn of_two_linked_copies_the_second_one_is_told() {
    let write = |root: &Path, name: &str| {
        fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
        let _ = fs::remove_file(root.join(name));
        fs::write(root.join(name), name).unwrap();
    };
    let linked = Linked::new(
        |root| write(root, "srv/one"),
        |root| ["srv/two", "etc/b", "new/three"].iter().for_each(|name| write(root, name)),
    );
    // A file of the base may be covered, because the base is searched on its own.
    assert_eq!(linked.told().unwrap(), ["etc/", "etc/b", "new/", "new/three", "srv/", "srv/two"]);
}

/// The covered file is in the image, but in no state that is known to belong to the image.
#[test]
fn a_linked_copy_over_another_one_is_an_error() {
    type Make = fn(&Path);
    let first: Make = |root| {
        fs::create_dir_all(root.join("srv/sub")).unwrap();
        fs::write(root.join("srv/one"), "1").unwrap();
    };
    let over: [Make; 4] = [
        |root| {
            fs::remove_file(root.join("srv/one")).unwrap();
            fs::write(root.join("srv/one"), "1").unwrap();
        },
        |root| {
            fs::remove_dir(root.join("srv/sub")).unwrap();
            fs::write(root.join("srv/sub"), "").unwrap();
        },
        |root| {
            fs::remove_file(root.join("srv/one")).unwrap();
            fs::create_dir(root.join("srv/one")).unwrap();
        },
        |root| {
            let flags = rustix::fs::XattrFlags::empty();
            rustix::fs::setxattr(root.join("srv/sub"), "trusted.note", b"other", flags).unwrap();
        },
    ];
    for (number, over) in over.into_iter().enumerate() {
        let error = Linked::new(first, over).told().expect_err("something is covered");
        assert!(error.to_string().contains("covers"), "{number}: {error}");
    }
    assert!(Linked::new(first, |_| ()).told().is_ok());
}

#[test]
fn parts_together_tell_everything_once() {
    let mut stack = Stack::new();
    stack.step(|root| {
        for name in [
            "usr/lib/a/b/c",
            "usr/lib/x",
            "usr/share/doc/y",
            "usr/z",
            "top",
            "opt/one/two/three/four",
            "a/b/c/d/e/f/g/h",
        ] {
            fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            fs::write(root.join(name), name).unwrap();
        }
    });
    let (_, after) = stack.last();
    let whole: BTreeSet<String> = told(None, &after.0).into_keys().collect();
    for of in [1, 2, 3, 9] {
        // The walks run one after the other, by turns, and at the same time.
        for order in 0..3 {
            let shares = Arc::<Shares>::default();
            let share = || Change::new(None, &after.0).unwrap().sharing(Arc::clone(&shares));
            let mut walks: Vec<Change> = (0..of).map(|_| share()).collect();
            let parts = Mutex::new(BTreeSet::new());
            let step = |walk: &mut Change| {
                let Some(node) = walk.next_node().unwrap() else { return false };
                let path = String::from_utf8(node.path).unwrap();
                assert!(parts.lock().unwrap().insert(path.trim_end_matches('/').to_owned()), "{path} is told twice");
                true
            };
            match order {
                0 => walks.iter_mut().for_each(|walk| while step(walk) {}),
                1 => while walks.iter_mut().map(step).fold(false, |any, more| any | more) {},
                _ => std::thread::scope(|scope| {
                    walks.iter_mut().for_each(|walk| drop(scope.spawn(|| while step(walk) {})));
                }),
            }
            assert_eq!(parts.into_inner().unwrap(), whole, "{of} walks, order {order}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// The walk that skips folders reports the same as two complete walks, whatever the steps do.
    #[test]
    fn pruning_loses_nothing(steps in prop::collection::vec(prop::collection::vec(prop::sample::select(&ALL[..]), 0..4), 1..4)) {
        let mut stack = Stack::new();
        for step in &steps {
            stack.step(|root| step.iter().for_each(|nasty| nasty.to(root)));
        }
        let (before, after) = stack.last();
        let told: BTreeSet<String> = told(Some(&before.0), &after.0).into_keys().collect();
        prop_assert_eq!(told, told_by_a_full_walk(&before.0, &after.0));
    }
}
