//! Identities that are wrapped with a passphrase. The tool asks for the passphrase on a real terminal, at most three
//! times, and never in CI.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use ptest::{Canary, Outcome, Running, Scene};

/// A tool on a terminal of its own, with a keyboard that the test types on.
struct Seat<'scene> {
    running: Running<'scene>,
    keys: File,
    _folder: tempfile::TempDir,
}

impl<'scene> Seat<'scene> {
    fn take(scene: &'scene Scene, command: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let fifo = folder.path().join("keys");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().expect("mkfifo").success());
        let script = format!("exec script -qec '{command}' /dev/null < {}", fifo.display());
        let running = scene.tool("sh").args(["-c", &script]).env("PATH", path_with_tools()).spawn();
        let keys = OpenOptions::new().write(true).open(&fifo).expect("script reads it");
        Self { running, keys, _folder: folder }
    }

    /// Waits for the question, and types a line.
    fn answer(&mut self, question: &str, line: &str) -> &mut Self {
        self.running.wait_for(question);
        writeln!(self.keys, "{line}").expect("the keyboard works");
        self
    }

    fn leave(self) -> Outcome {
        let outcome = self.running.finish();
        drop(self.keys);
        outcome
    }
}

/// Makes a search path with the tools under test before all others.
fn path_with_tools() -> String {
    let tools = std::env::var("PBUILD_TEST_BINARIES").unwrap_or_else(|_| {
        let test = std::env::current_exe().expect("a test is a file");
        test.parent().and_then(Path::parent).and_then(Path::to_str).expect("a test lies in deps").to_owned()
    });
    format!("{tools}:{}", std::env::var("PATH").expect("a search path"))
}

fn identity_of(scene: &Scene) -> PathBuf {
    scene.home().join(".config/pbuild/identity.txt")
}

/// Makes a project whose store opens with a wrapped identity. The passphrase is a canary, too.
fn wrapped() -> (Scene, Canary) {
    let scene = Scene::new();
    let passphrase = scene.oracle().token("PASSPHRASE");
    scene.write("app.toml", "[secrets]\nKEY = {}\n");
    let init = scene.pbuild().args(["secrets", "init", "--passphrase"]).env("PBUILD_NEW_PASSPHRASE", passphrase.text());
    init.run().expect_code(0);
    let identity = fs::read_to_string(identity_of(&scene)).expect("init made it");
    assert!(identity.starts_with("-----BEGIN AGE ENCRYPTED FILE-----"), "wrapped from the first moment");
    (scene, passphrase)
}

const READERS: [&str; 3] = ["secrets", "recipients", "list"];

#[test]
fn where_nobody_can_be_asked_the_variable_counts_and_nothing_is_tried_twice_k6() {
    let (scene, passphrase) = wrapped();
    let none = scene.pbuild().args(READERS).run();
    none.expect_code(41).expect_stderr("is wrapped with a passphrase").expect_stderr("PBUILD_PASSPHRASE");
    let right = scene.pbuild().args(READERS).env("PBUILD_PASSPHRASE", passphrase.text()).run();
    right.expect_code(0).expect_stdout("you");
    let wrong = scene.pbuild().args(READERS).env("PBUILD_PASSPHRASE", "some other words").run();
    wrong.expect_code(41).expect_stderr("wrong passphrase");
    assert_eq!(wrong.stderr().matches("wrong passphrase").count(), 1);
    // A build that needs a secret of the store reports the same error. A list warns that it knows less.
    scene.pbuild().args(["secrets", "list"]).run().expect_code(0).expect_stderr("the sealed store is not used");
    let short = scene.pbuild().args(["secrets", "identity", "passphrase"]).env("PBUILD_NEW_PASSPHRASE", "short");
    short.env("PBUILD_PASSPHRASE", passphrase.text()).run().expect_code(2).expect_stderr("8 characters or more");
    let nowhere = Scene::new();
    let init = nowhere.pbuild().args(["secrets", "init", "--passphrase"]).run();
    init.expect_code(2).expect_stderr("PBUILD_NEW_PASSPHRASE");
    assert!(!identity_of(&nowhere).exists());
}

#[test]
fn a_terminal_is_asked_three_times_at_most_and_ci_never_k6() {
    let (scene, passphrase) = wrapped();
    let mut seat = Seat::take(&scene, "pbuild secrets recipients list");
    seat.answer("passphrase of", "not this one").answer("once more", passphrase.text());
    seat.leave().expect_code(0).expect_stdout("you");
    let mut seat = Seat::take(&scene, "pbuild secrets recipients list");
    seat.answer("passphrase of", "one").answer("once more", "two");
    seat.running.wait_for("once more: \r\nwrong passphrase; once more");
    seat.answer("once more", "three");
    let outcome = seat.leave();
    outcome.expect_code(41);
    assert_eq!(outcome.stdout().matches("once more: ").count(), 2, "{}", outcome.stdout());
    // `CI` means that nobody can answer, even on a terminal.
    let seat = Seat::take(&scene, "CI=true pbuild secrets recipients list");
    let outcome = seat.leave();
    outcome.expect_code(41).expect_stdout("is wrapped with a passphrase");
    // Ctrl-C at the question interrupts the tool.
    let mut seat = Seat::take(&scene, "pbuild secrets recipients list");
    seat.running.wait_for("passphrase of");
    seat.keys.write_all(b"\x03").unwrap();
    seat.leave().expect_code(130);
}

#[test]
fn a_signal_at_a_question_gives_the_terminal_back_and_changes_nothing() {
    let (wrapped, _) = wrapped();
    let plain = Scene::new();
    plain.write("app.toml", "[secrets]\nKEY = {}\n");
    plain.pbuild().args(["secrets", "init"]).run().expect_code(0);
    for (scene, words, question) in
        [(&plain, "secrets set KEY", "value of KEY: "), (&wrapped, "secrets recipients list", "passphrase of ")]
    {
        let store = scene.project().join("secrets.age");
        let before = fs::read(&store).unwrap();
        for (key, code) in [(true, 130), (false, 143)] {
            // `stty` prints the settings of the terminal before and after the command. The shell ignores Ctrl-C,
            // which goes to all processes of the terminal.
            let command = format!(
                "trap : INT; stty -g; sh -c \"echo \\$\\$ > pid; exec pbuild {words}\"; echo \"ended $?\"; stty -g; stty -a"
            );
            let mut seat = Seat::take(scene, &command);
            seat.running.wait_for(question);
            if key {
                seat.keys.write_all(b"some characters of it\x03").unwrap();
            } else {
                let pid = fs::read_to_string(scene.project().join("pid")).unwrap();
                assert!(std::process::Command::new("kill").arg(pid.trim()).status().unwrap().success());
            }
            let shown = seat.leave().stdout();
            assert!(shown.contains(&format!("ended {code}")), "{shown}");
            let settings: Vec<&str> = shown.lines().filter(|line| line.matches(':').count() > 20).collect();
            assert!(settings.len() == 2 && settings[0] == settings[1], "{shown}");
            assert!(shown.split_whitespace().any(|word| word == "echo"), "{shown}");
            assert!(!shown.contains("some characters"), "{shown}");
            assert_eq!(fs::read(&store).unwrap(), before);
        }
    }
}

#[test]
fn a_passphrase_is_set_changed_kept_by_a_new_key_and_removed() {
    let scene = Scene::new();
    let (one, two) = (scene.oracle().token("ONE"), scene.oracle().token("TWO"));
    scene.write("app.toml", "[secrets]\nKEY = {}\n");
    scene.pbuild().args(["secrets", "init"]).run().expect_code(0);
    let mut seat = Seat::take(&scene, "pbuild secrets identity passphrase");
    seat.answer("new passphrase: ", one.text()).answer("the same once more: ", "something else");
    seat.leave().expect_code(2).expect_stdout("the two passphrases differ");
    scene.pbuild().args(READERS).run().expect_code(0);
    let mut seat = Seat::take(&scene, "pbuild secrets identity passphrase");
    seat.answer("new passphrase: ", one.text()).answer("the same once more: ", one.text());
    seat.leave().expect_code(0).expect_stdout("is wrapped");
    scene.pbuild().args(READERS).run().expect_code(41);
    let with = |passphrase: &Canary, words: &[&str]| {
        scene.pbuild().args(words).env("PBUILD_PASSPHRASE", passphrase.text()).run()
    };
    let change = scene.pbuild().args(["secrets", "identity", "passphrase"]).env("PBUILD_PASSPHRASE", one.text());
    change.env("PBUILD_NEW_PASSPHRASE", two.text()).run().expect_code(0);
    with(&one, &READERS).expect_code(41);
    with(&two, &["secrets", "rotate-key"]).expect_code(0);
    with(&two, &READERS).expect_code(0);
    assert!(fs::read_to_string(identity_of(&scene)).unwrap().contains("AGE ENCRYPTED FILE"), "it stays wrapped");
    with(&two, &["secrets", "identity", "passphrase", "--remove"]).expect_code(0);
    assert!(fs::read_to_string(identity_of(&scene)).unwrap().contains("AGE-SECRET-KEY-"));
    scene.pbuild().args(READERS).run().expect_code(0).expect_stdout("you");
}

#[test]
fn plain_age_unwraps_the_identity_and_opens_the_store_with_it() {
    let (scene, passphrase) = wrapped();
    let key = scene.oracle().token("KEY");
    let set = scene.pbuild().args(["secrets", "set", "KEY"]).env("PBUILD_PASSPHRASE", passphrase.text());
    set.stdin(key.value()).run().expect_code(0);
    let identity = identity_of(&scene);
    let digest = ptest::sha256(format!("KEY='{}'", key.text()).as_bytes()).trim_start_matches("sha256:").to_owned();
    // The output of age goes only into a pipe.
    let command = format!("age -d -i {} secrets.age | grep ^KEY= | tr -d \"\\n\" | sha256sum", identity.display());
    let mut seat = Seat::take(&scene, &command);
    seat.answer("passphrase", passphrase.text());
    seat.leave().expect_code(0).expect_stdout(&digest);
}
