//! Values that commands print, and the messages about commands that print none.

use std::path::Path;
use std::time::{Duration, Instant};

use super::*;
use pscreen::Ending;

fn by_command(words: &str, more: &str) -> Scene {
    Scene::new(&format!("[secrets]\nKEY = {{ from = {{ command = {words}{more} }} }}\n")).trusted()
}

#[test]
fn a_command_gives_its_output_without_the_last_line_end_c13() {
    for (words, more, value) in [
        (r#"["printf", "one\ntwo\n\n"]"#, "", "one\ntwo\n"),
        (r#"["printf", "carriage return\r\n"]"#, "", "carriage return"),
        (r#"["printf", "kept as it is\n"]"#, ", raw = true", "kept as it is\n"),
        (r#"["sh", "-c", "cat; printf %s \"$PBUILD_IDENTITY\"; basename \"$PWD\" | head -c 4"]"#, "", ".tmp"),
    ] {
        let resolution = by_command(words, more).resolve(Purpose::Build).unwrap();
        assert_found(&resolution, &[("KEY", value)]);
        assert!(matches!(resolution.secrets[0].source(), Source::Command { .. }));
    }
}

#[test]
fn a_command_that_fails_is_told_by_its_program_alone_c12() {
    let missing = by_command(r#"["no-such-program-7", "c4n4ry-argument"]"#, "");
    let failing =
        by_command(r#"["sh", "-c", "printf c4n4ry-9f3b27e1; echo 'denied for c4n4ry-9f3b27e1' >&2; exit 3"]"#, "");
    let silent = by_command(r#"["true"]"#, "");
    let endless = by_command(r#"["sh", "-c", "head -c 10000000 /dev/zero | tr '\\0' x"]"#, "");
    for (scene, said) in [
        (missing, "failed to start no-such-program-7"),
        (failing, "sh ended with exit status: 3"),
        (silent, "secret `KEY` is empty"),
        (endless, "longer than BuildKit's limit"),
    ] {
        let error = scene.resolve(Purpose::Build).unwrap_err();
        let shown = scene.shown(&error);
        assert!(shown.contains(said) && !shown.contains("c4n4ry"), "{shown}");
        assert!(!said.contains("exit status") || shown.contains("denied for ***KEY***"), "{shown}");
        assert_eq!(error.exit().code(), 40);
    }
}

#[test]
fn a_command_that_hangs_is_ended_with_all_its_children_c12() {
    let scene = by_command(r#"["sh", "-c", "sleep 600 & echo $! > pid; wait"]"#, ", timeout = \"1s\"");
    let start = Instant::now();
    let error = scene.resolve(Purpose::Build).unwrap_err();
    assert!(matches!(error, ResolveError::Command(CommandError::Late { seconds: 1, .. })), "{error}");
    assert!(start.elapsed() < Duration::from_secs(20));
    let pid = fs::read_to_string(scene.folder.path().join("pid")).unwrap();
    // The child may be a zombie until init reaps it, but it must not run.
    let status = fs::read_to_string(Path::new("/proc").join(pid.trim()).join("status")).unwrap_or_default();
    assert!(!status.contains("(sleeping)"), "{status}");
}

#[test]
fn what_left_its_group_and_holds_the_pipes_is_not_waited_for_c12() {
    let start = Instant::now();
    let words = r#"["sh", "-c", "setsid sleep 20 & printf c4n4ry-9f3b27e1"]"#;
    assert_found(&by_command(words, "").resolve(Purpose::Build).unwrap(), &[("KEY", VALUE)]);
    let words = r#"["sh", "-c", "setsid sleep 20 & exec sleep 600"]"#;
    let error = by_command(words, ", timeout = \"1s\"").resolve(Purpose::Build).unwrap_err();
    assert!(matches!(error, ResolveError::Command(CommandError::Late { .. })), "{error}");
    // Both sleepers still sleep, so neither was waited for.
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
}

#[test]
fn a_complaint_is_masked_before_it_is_cut_c12() {
    // The value begins before the cut and ends after it, for each of these cuts.
    for length in [2040, 2047, 65_530] {
        let script =
            format!("head -c {length} /dev/zero | tr '\\0' . >&2; printf %s \"$1\" >&2; printf %s \"$1\"; exit 1");
        let words = format!("[\"sh\", \"-c\", {script:?}, \"sh\", \"{VALUE}\"]");
        let error = by_command(&words, "").resolve(Purpose::Build).unwrap_err();
        let ResolveError::Command(CommandError::Failed { complaint, .. }) = &error else { panic!("{error}") };
        assert!(complaint.len() <= 2048 && !complaint.contains("c4"), "{length}: {}", complaint.len());
    }
}

#[test]
fn what_a_command_inherits_is_the_environment_without_our_own_keys_c12() {
    let mut command = std::process::Command::new("env");
    let ours = ["PBUILD_IDENTITY", "PRUN_IDENTITY", "PBUILD_PASSPHRASE", "PBUILD_NEW_PASSPHRASE", "PBUILD_CACHE_KEY"];
    command.envs(ours.map(|name| (name, VALUE))).env("VAULT_TOKEN", "a provider's own");
    let printed = crate::scrub(&mut command).output().unwrap().stdout;
    let printed = String::from_utf8(printed).unwrap();
    assert!(printed.contains("VAULT_TOKEN=a provider's own"), "what is not ours stays");
    for name in ours {
        assert!(!printed.contains(&format!("{name}=")), "{name} is inherited");
    }
}

#[test]
fn what_a_command_leaves_behind_is_not_waited_for() {
    let start = Instant::now();
    let resolution =
        by_command(r#"["sh", "-c", "sleep 600 & printf c4n4ry-9f3b27e1"]"#, "").resolve(Purpose::Build).unwrap();
    assert_found(&resolution, &[("KEY", VALUE)]);
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_command_ends_when_the_user_stops_the_work_b7() {
    let cancellation = Cancellation::new();
    cancellation.cancel(Ending::Interrupt);
    let error = by_command(r#"["sleep", "600"]"#, "").resolve_until(Purpose::Build, &cancellation).unwrap_err();
    assert_eq!(error.exit().code(), 130);
}

#[test]
fn a_search_runs_trusted_commands_and_a_list_runs_none() {
    let manifest = |scope: &str, words: &str| {
        let text =
            format!("[secrets]\nKEY = {{ scope = \"{scope}\", from = {{ command = {words}, timeout = \"1s\" }} }}\n");
        Scene::new(&text)
    };
    let touching = r#"["sh", "-c", "touch was-here; printf c4n4ry-9f3b27e1"]"#;
    for scope in ["build", "run"] {
        let scene = manifest(scope, touching);
        assert_eq!(scene.resolve(Purpose::Search).unwrap().untrusted.len(), 1);
        let was_here = scene.folder.path().join("was-here");
        assert!(!was_here.exists(), "nobody trusted it");
        let scene = scene.trusted();
        assert!(scene.resolve(Purpose::List).unwrap().secrets.is_empty());
        assert!(!was_here.exists(), "a list runs nothing");
        assert_found(&scene.resolve(Purpose::Search).unwrap(), &[("KEY", VALUE)]);
        assert!(was_here.exists());
    }
    // A fault of a build secret's command stops a search as it stops a build. A fault of a run secret's command is
    // only a warning of the search.
    for (words, said) in [
        (r#"["false"]"#, "secret `KEY`: false ended with exit status: 1"),
        (r#"["true"]"#, "secret `KEY` is empty"),
        (r#"["sleep", "600"]"#, "secret `KEY`: sleep did not end within 1 seconds"),
    ] {
        let error = manifest("build", words).trusted().resolve(Purpose::Search).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.exit().code()), (said, 40));
        let resolution = manifest("run", words).trusted().resolve(Purpose::Search).unwrap();
        assert_eq!((resolution.secrets.len(), resolution.warnings), (0, vec![said.to_owned()]));
    }
}
