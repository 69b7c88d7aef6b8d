//! The sealed store from outside: the commands of a user, the files on disk afterwards, and who can open them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use ptest::{Canary, Outcome, Scene};

/// Makes a project with a store.
fn project(manifest: &str) -> Scene {
    let scene = Scene::new();
    scene.write("app.toml", manifest);
    run(&scene, &["secrets", "init"]).expect_code(0).expect_stderr("secrets.age").expect_stderr("age1");
    scene
}

fn run(scene: &Scene, words: &[&str]) -> Outcome {
    scene.pbuild().args(words).run()
}

fn set(scene: &Scene, canary: &Canary) {
    let outcome = scene.pbuild().args(["secrets", "set", canary.name()]).stdin(canary.value()).run();
    outcome.expect_code(0);
}

fn list(scene: &Scene) -> String {
    let outcome = run(scene, &["secrets", "list"]);
    outcome.expect_code(0);
    outcome.stdout()
}

/// Returns the store's values as an env file, which `export` writes.
fn exported(scene: &Scene, file: &str) -> String {
    run(scene, &["secrets", "export", "--out", file]).expect_code(0);
    let path = scene.project().join(file);
    scene.allow(&path);
    assert_eq!(fs::metadata(&path).expect("the export").permissions().mode() & 0o777, 0o600);
    fs::read_to_string(path).expect("the export is text")
}

fn identity_of(scene: &Scene) -> PathBuf {
    scene.home().join(".config/pbuild/identity.txt")
}

fn files_of(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_value_goes_in_by_standard_input_and_shows_nowhere() {
    let scene = project("[secrets]\nAPP_KEY = {}\nNPM_TOKEN = { scope = \"build\" }\n");
    let key = scene.oracle().token("APP_KEY");
    set(&scene, &key);
    let listed = list(&scene);
    assert!(listed.contains("secrets.age") && listed.contains("missing"), "{listed}");
    // The other tool lists the same.
    scene.prun().args(["secrets", "list"]).run().expect_code(0).expect_stdout("APP_KEY").expect_stdout("secrets.age");
    assert_eq!(files_of(&scene.project()), ["app.toml", "secrets.age"], "backup and lock lie elsewhere");
    let sealed = fs::read_to_string(scene.project().join("secrets.age")).unwrap();
    assert!(sealed.starts_with("-----BEGIN AGE ENCRYPTED FILE-----") && !sealed.contains("APP_KEY"));
    assert_eq!(fs::metadata(identity_of(&scene)).unwrap().permissions().mode() & 0o777, 0o600);
    run(&scene, &["secrets", "unset", "APP_KEY"]).expect_code(0);
    assert!(!list(&scene).contains("secrets.age"));
    run(&scene, &["secrets", "unset", "APP_KEY"]).expect_code(40).expect_stderr("the store has no `APP_KEY`");
}

#[test]
fn a_value_is_never_an_argument_c19() {
    let scene = project("");
    // This is not a canary, because everybody can see a command line. The test checks that the value is not accepted.
    let outcome = run(&scene, &["secrets", "set", "APP_KEY=some-value-by-mistake"]);
    outcome.expect_code(2).expect_stderr("never an argument");
    assert!(!outcome.stderr().contains("by-mistake"), "{}", outcome.stderr());
    run(&scene, &["secrets", "set", "APP_KEY", "some-value-by-mistake"]).expect_code(2);
    assert!(!list(&scene).contains("APP_KEY"));
}

#[test]
fn a_terminal_is_asked_without_echo() {
    let scene = project("[secrets]\nAPP_KEY = {}\n");
    let key = scene.oracle().token("APP_KEY");
    // `script` gives the tool a terminal of its own. The value is typed when the question is shown. Every run checks
    // that its output does not contain the value.
    let words = "(sleep 3; cat; sleep 1) | script -qec 'pbuild secrets set APP_KEY' /dev/null";
    let typed =
        scene.tool("sh").args(["-c", words]).env("PATH", path_with_tools()).stdin(format!("{}\n", key.text())).run();
    typed.expect_code(0).expect_stdout("value of APP_KEY:").expect_stdout("is set");
    assert!(exported(&scene, "out.env").contains(key.text()));
}

#[test]
fn env_files_are_imported_in_their_dialect_and_exported_as_dotenv() {
    let scene = project("[secrets]\nONE = {}\nTWO = {}\n");
    let (one, two) = (scene.oracle().token("ONE"), scene.oracle().multi_line("TWO"));
    let two_lines = two.text().replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$");
    scene.write_secret(".env", format!("ONE='{}'\nTWO=\"{two_lines}\"\nEMPTY=\nPATH=/x\n", one.text()));
    let outcome = run(&scene, &["secrets", "import", ".env", "--env-file-dialect", "dotenv"]);
    outcome
        .expect_code(0)
        .expect_stderr("2 secrets")
        .expect_stderr("line 6: a name without a value")
        .expect_stderr("`PATH`");
    let text = exported(&scene, "out.env");
    assert!(!text.contains("#@") && text.contains(one.text()), "a plain env file");
    // A second store imports the exported values byte for byte.
    scene.write_secret("again.env", &text);
    run(&scene, &["secrets", "import", "again.env", "--env-file-dialect", "dotenv"]).expect_code(0);
    assert_eq!(exported(&scene, "out2.env"), text);
    run(&scene, &["secrets", "export", "--out", "out.env"]).expect_code(1).expect_stderr("out.env");
}

#[test]
fn the_editor_gets_a_file_in_memory_and_leaves_nothing() {
    let scene = project("[secrets]\nONE = {}\n");
    let (one, two) = (scene.oracle().token("ONE"), scene.oracle().token("TWO"));
    set(&scene, &one);
    let note = scene.temporary().join("where");
    // The new value comes from the editor's own environment, in place of a person at the keyboard.
    scene.write("editor.sh", "#!/bin/sh\necho \"$1\" > \"$NOTE\"\n[ -z \"$PBUILD_IDENTITY\" ] || exit 9\ncp \"$1\" \"$1~\"\nprintf 'TWO=%s\\n' \"$NEW\" >> \"$1\"\n");
    let editor = format!("sh {}", scene.project().join("editor.sh").display());
    let edit = |editor: &str| {
        scene.pbuild().args(["secrets", "edit"]).env("EDITOR", editor).env("NOTE", &note).env("NEW", two.text()).run()
    };
    edit(&editor).expect_code(0).expect_stderr("1 secret changed");
    let path = fs::read_to_string(&note).unwrap();
    assert!(path.starts_with("/dev/shm/") || path.starts_with("/run/"), "{path}");
    assert!(!Path::new(path.trim()).parent().unwrap().exists(), "the folder is gone with what the editor left in it");
    let text = exported(&scene, "out.env");
    assert!(text.contains(one.text()) && text.contains(two.text()));
    // An editor that fails, or that breaks the file, changes nothing.
    let sealed = fs::read(scene.project().join("secrets.age")).unwrap();
    edit("false").expect_code(1).expect_stderr("nothing was changed");
    edit("sh -c 'echo \"A=\\\"open\" >> \"$0\"'").expect_code(1).expect_stderr("nothing was changed");
    edit("sed -i '/recipient/d'").expect_code(2).expect_stderr("recipients");
    assert_eq!(fs::read(scene.project().join("secrets.age")).unwrap(), sealed);
}

/// While the editor runs, it handles Ctrl-C itself. A signal that ends the tool also ends the editor, and nothing
/// stays in memory.
#[test]
fn an_editor_that_is_ended_leaves_nothing() {
    let scene = project("[secrets]\nONE = {}\n");
    let one = scene.oracle().token("ONE");
    set(&scene, &one);
    let note = scene.temporary().join("where");
    scene.write("editor.sh", "#!/bin/sh\ntrap : INT TERM\necho \"$1\" > \"$NOTE.new\" && mv \"$NOTE.new\" \"$NOTE\"\nwhile :; do sleep 0.1; done\n");
    let editor = format!("exec sh {}", scene.project().join("editor.sh").display());
    let sealed = fs::read(scene.project().join("secrets.age")).unwrap();
    let mut running = scene.pbuild().args(["secrets", "edit"]).env("EDITOR", editor).env("NOTE", &note).spawn();
    while !note.exists() {
        assert!(Path::new(&format!("/proc/{}", running.id())).exists(), "{}", running.output_so_far());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let file = fs::read_to_string(&note).unwrap();
    for _ in 0..3 {
        running.interrupt();
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert!(Path::new(file.trim()).exists(), "three times Ctrl-C, and the editor still has its file");
    // This editor ignores SIGTERM, too.
    running.terminate();
    running.finish().expect_code(143);
    assert!(!Path::new(file.trim()).parent().unwrap().exists());
    assert_eq!(fs::read(scene.project().join("secrets.age")).unwrap(), sealed);
}

#[test]
fn permissions_are_fixed_on_demand_k1() {
    let scene = project("");
    fs::set_permissions(identity_of(&scene), fs::Permissions::from_mode(0o644)).unwrap();
    let list = ["secrets", "recipients", "list"];
    run(&scene, &list).expect_code(41).expect_stderr("--fix-permissions");
    let fixed = run(&scene, &["secrets", "--fix-permissions", "recipients", "list"]);
    fixed.expect_code(0).expect_stdout("you").expect_stderr("identity.txt to other users");
    run(&scene, &list).expect_code(0);
    assert_eq!(fs::metadata(identity_of(&scene)).unwrap().permissions().mode() & 0o777, 0o600);
}

/// A project whose path is not valid text works, and messages show its path without control characters (C20).
#[test]
fn a_path_that_is_no_text_works_and_is_shown_escaped_c20() {
    use std::os::unix::ffi::OsStrExt as _;
    let scene = Scene::new();
    let folder = scene.project().join(std::ffi::OsStr::from_bytes(b"caf\xe9-\x1b[31m"));
    fs::create_dir(&folder).unwrap();
    let config = folder.join("app.toml");
    fs::write(&config, "[secrets]\nKEY = {}\n").unwrap();
    let run = |words: &[&str]| scene.pbuild().args(words).arg("--config").arg(&config).env("LANG", "C").run();
    let init = run(&["secrets", "init"]);
    init.expect_code(0).expect_stderr("caf");
    assert!(!init.stderr().contains('\u{1b}'), "{:?}", init.stderr());
    assert!(folder.join("secrets.age").exists());
    let set = scene.pbuild().args(["secrets", "set", "KEY"]).current_dir(&folder).env("LANG", "C");
    set.stdin("a value of some length").run().expect_code(0);
    run(&["secrets", "list"]).expect_code(0).expect_stdout("secrets.age");
}

#[test]
fn a_team_shares_a_store_and_one_who_leaves_is_out() {
    let (mine, theirs) = (project("[secrets]\nKEY = {}\n"), Scene::new());
    let key = mine.oracle().token("KEY");
    set(&mine, &key);
    let recipient = run(&theirs, &["secrets", "recipients", "mine"]).stdout().trim().to_owned();
    theirs.write("app.toml", "[secrets]\nKEY = {}\n");
    let share = || theirs.write("secrets.age", fs::read(mine.project().join("secrets.age")).unwrap());
    share();
    let refused = run(&theirs, &["secrets", "set", "OTHER"]);
    refused.expect_code(41).expect_stderr("not sealed for this identity").expect_stderr("recipients add");
    run(&mine, &["secrets", "recipients", "add", &recipient]).expect_code(0);
    run(&mine, &["secrets", "recipients", "list"]).expect_code(0).expect_stdout(&recipient).expect_stdout("you");
    share();
    assert!(list(&theirs).contains("secrets.age"));
    run(&mine, &["secrets", "recipients", "remove", &recipient]).expect_code(0).expect_stderr("change the values");
    share();
    run(&theirs, &["secrets", "recipients", "list"]).expect_code(41);
    run(&mine, &["secrets", "recipients", "add", "age1nonsense"]).expect_code(2);
}

#[test]
fn a_new_key_opens_the_store_and_the_old_one_does_not() {
    let scene = project("[secrets]\nKEY = {}\n");
    let key = scene.oracle().token("KEY");
    set(&scene, &key);
    let old = fs::read(identity_of(&scene)).unwrap();
    run(&scene, &["secrets", "rotate-key"]).expect_code(0).expect_stderr("age1");
    assert!(list(&scene).contains("secrets.age"));
    let new = fs::read(identity_of(&scene)).unwrap();
    assert!(new.ends_with(&old), "the older key stays for other stores");
    fs::write(identity_of(&scene), &old).unwrap();
    run(&scene, &["secrets", "recipients", "list"]).expect_code(41).expect_stderr("not sealed for this identity");
}

#[test]
fn an_identity_by_environment_opens_the_store_in_ci() {
    let scene = project("[secrets]\nKEY = {}\n");
    let key = scene.oracle().token("KEY");
    set(&scene, &key);
    let identity = fs::read_to_string(identity_of(&scene)).unwrap();
    fs::remove_file(identity_of(&scene)).unwrap();
    let none = run(&scene, &["secrets", "recipients", "list"]);
    none.expect_code(41).expect_stderr("no identity at").expect_stderr("PBUILD_IDENTITY");
    let list = scene.pbuild().args(["secrets", "list"]).env("PBUILD_IDENTITY", &identity).run();
    list.expect_code(0).expect_stdout("secrets.age");
    let rotate = scene.pbuild().args(["secrets", "rotate-key"]).env("PBUILD_IDENTITY", &identity).run();
    rotate.expect_code(2).expect_stderr("PBUILD_IDENTITY");
}

#[test]
fn plain_age_opens_the_store() {
    let scene = project("[secrets]\nKEY = {}\n");
    let key = scene.oracle().token("KEY");
    set(&scene, &key);
    let identity = identity_of(&scene);
    let plain = scene.tool("age").args(["-d", "-i", identity.to_str().unwrap(), "secrets.age"]).may_show_values().run();
    plain.expect_code(0).expect_stdout(&format!("KEY='{}'", key.text()));
}

#[test]
fn an_identity_that_others_can_read_is_refused_with_the_chmod_k1() {
    let scene = project("");
    fs::set_permissions(identity_of(&scene), fs::Permissions::from_mode(0o644)).unwrap();
    run(&scene, &["secrets", "recipients", "list"]).expect_code(41).expect_stderr("chmod 600");
}

#[test]
fn a_damaged_store_stops_everything_and_names_its_backup_k4() {
    let scene = project("[secrets]\nKEY = {}\n");
    let key = scene.oracle().token("KEY");
    set(&scene, &key);
    let path = scene.project().join("secrets.age");
    let sealed = fs::read(&path).unwrap();
    fs::write(&path, &sealed[..sealed.len() / 2]).unwrap();
    for words in [&["secrets", "list"][..], &["secrets", "unset", "KEY"], &["build", "."]] {
        scene.write("Dockerfile", "FROM scratch\n");
        run(&scene, words).expect_code(41).expect_stderr("is damaged").expect_stderr("secrets.age.bak");
    }
    assert_eq!(fs::read(&path).unwrap().len(), sealed.len() / 2, "nothing is reset");
}

/// Makes a search path with the tools under test before all others.
fn path_with_tools() -> String {
    let tools = std::env::var("PBUILD_TEST_BINARIES").unwrap_or_else(|_| {
        let test = std::env::current_exe().expect("a test is a file");
        test.parent().and_then(Path::parent).and_then(Path::to_str).expect("a test lies in deps").to_owned()
    });
    format!("{tools}:{}", std::env::var("PATH").expect("a search path"))
}

/// Runs the real git in the scene.
fn git(scene: &Scene, words: &[&str]) -> Outcome {
    scene
        .tool("git")
        .args(["-c", "user.name=one", "-c", "user.email=one@example.invalid", "-c", "init.defaultBranch=main"])
        .args(words)
        .env("PATH", path_with_tools())
        .run()
}

#[test]
fn git_shows_changed_names_and_merges_both_sides() {
    let scene = project("[secrets]\nONE = {}\nTWO = {}\nTHREE = {}\n");
    let keys = ["ONE", "TWO", "THREE"].map(|name| scene.oracle().token(name));
    set(&scene, &keys[0]);
    scene.write(".gitattributes", "secrets.age diff=pbuild merge=pbuild\n");
    git(&scene, &["init", "-q"]).expect_code(0);
    git(&scene, &["config", "diff.pbuild.textconv", "pbuild secrets textconv"]).expect_code(0);
    git(&scene, &["config", "merge.pbuild.driver", "pbuild secrets merge %O %A %B"]).expect_code(0);
    let commit = |text: &str| {
        git(&scene, &["add", "-A"]).expect_code(0);
        git(&scene, &["commit", "-qm", text]).expect_code(0);
    };
    run(&scene, &["secrets", "diff"]).expect_code(2).expect_stderr("no commit of git");
    commit("one");
    run(&scene, &["secrets", "diff"]).expect_code(0);
    git(&scene, &["checkout", "-qb", "side"]).expect_code(0);
    set(&scene, &keys[1]);
    assert_eq!(run(&scene, &["secrets", "diff"]).stdout(), "+ TWO\n");
    let shown = git(&scene, &["diff"]);
    shown.expect_code(0).expect_stdout("+TWO ");
    assert!(!shown.stdout().contains("+ONE") && !shown.stdout().contains("BEGIN AGE"), "{}", shown.stdout());
    commit("two");
    git(&scene, &["checkout", "-q", "main"]).expect_code(0);
    set(&scene, &keys[2]);
    commit("three");
    git(&scene, &["merge", "-q", "-m", "both", "side"]).expect_code(0);
    assert_eq!(list(&scene).matches("secrets.age").count(), 3);
    // A change of the same name on both sides is a conflict, and the message names it.
    let change = |branch: &str, value: &str| {
        let canary = scene.oracle().register("ONE", format!("{value}-{}", keys[0].text()));
        git(&scene, &["checkout", "-q", branch]).expect_code(0);
        set(&scene, &canary);
        commit(branch);
    };
    git(&scene, &["branch", "-f", "side"]).expect_code(0);
    change("side", "theirs");
    change("main", "ours");
    let merged = git(&scene, &["merge", "-q", "side"]);
    assert_ne!(merged.code(), 0);
    merged.expect_stderr("both sides changed `ONE`");
}

/// A fresh clone has no merge driver, so git leaves conflict marks in the store. The commands that the error names
/// lose no secrets.
#[test]
fn a_merge_without_the_driver_is_told_and_mended() {
    let scene = project("[secrets]\nONE = {}\nTWO = {}\nTHREE = {}\n");
    let keys = ["ONE", "TWO", "THREE"].map(|name| scene.oracle().token(name));
    git(&scene, &["init", "-q"]).expect_code(0);
    run(&scene, &["secrets", "init"]).expect_code(0).expect_stderr(".gitattributes");
    set(&scene, &keys[0]);
    let commit = |text: &str| {
        git(&scene, &["add", "-A"]).expect_code(0);
        git(&scene, &["commit", "-qm", text]).expect_code(0);
    };
    commit("one");
    // The repository is like a fresh clone.
    git(&scene, &["config", "--remove-section", "merge.pbuild"]).expect_code(0);
    scene.pbuild().arg("doctor").run().expect_stdout("cannot merge two versions of the store");
    git(&scene, &["checkout", "-qb", "side"]).expect_code(0);
    set(&scene, &keys[1]);
    commit("two");
    git(&scene, &["checkout", "-q", "main"]).expect_code(0);
    set(&scene, &keys[2]);
    commit("three");
    assert_ne!(git(&scene, &["merge", "-q", "side"]).code(), 0);
    let told = run(&scene, &["secrets", "unset", "ONE"]);
    told.expect_code(41).expect_stderr("holds two versions").expect_stderr("git checkout --merge ./secrets.age");
    assert!(!told.stderr().contains("secrets.age.bak"), "the backup has one side alone: {}", told.stderr());
    run(&scene, &["secrets", "init"]).expect_code(0).expect_stderr("knows how");
    git(&scene, &["checkout", "--merge", "./secrets.age"]).expect_code(0);
    assert_eq!(list(&scene).matches("secrets.age").count(), 3);
    assert!(!scene.pbuild().arg("doctor").run().stdout().contains("cannot merge"));
}

/// The typed text is not thrown away: on a terminal, the editor opens again, with the error above its line.
#[test]
fn a_text_that_cannot_be_read_is_edited_again() {
    let scene = project("[secrets]\nONE = {}\nTWO = {}\n");
    let (one, two) = (scene.oracle().token("ONE"), scene.oracle().token("TWO"));
    set(&scene, &one);
    let editor = "#!/bin/sh\nif grep -q '^# cannot be read: line' \"$1\"; then sed -i 's/^T W O=/TWO=/' \"$1\"\n\
                  else printf 'T W O=%s\\n' \"$NEW\" >> \"$1\"; fi\n";
    scene.write("editor.sh", editor);
    let editor = format!("sh {}", scene.project().join("editor.sh").display());
    let edit = |words: &[&str]| {
        scene.tool("sh").args(words).env("PATH", path_with_tools()).env("EDITOR", &editor).env("NEW", two.text()).run()
    };
    // Without a terminal, nobody could correct the text.
    edit(&["-c", "pbuild secrets edit"]).expect_code(1).expect_stderr("what was edited cannot be read");
    edit(&["-c", "script -qec 'pbuild secrets edit' /dev/null"]).expect_code(0).expect_stdout("1 secret changed");
    assert_eq!(list(&scene).matches("secrets.age").count(), 2);
}
