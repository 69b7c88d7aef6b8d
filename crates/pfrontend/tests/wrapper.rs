//! Tests the wrapper as a process: the program of the frontend image, with the arguments that a step gets.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A value that is made for this test; no assertion shows it.
const VALUE: &str = "t0ken-of-the-wrapper";

fn wrapper(held: &str, command: &[&str]) -> Command {
    let mut wrapper = Command::new(env!("CARGO_BIN_EXE_pfrontend"));
    wrapper.args(["mask", held, "--"]).args(command).env("TOKEN", VALUE);
    wrapper
}

fn ran(held: &str, script: &str) -> Output {
    wrapper(held, &["sh", "-c", script]).output().expect("the wrapper")
}

/// Returns the two output streams, after checking that they contain no value.
fn shown(output: &Output) -> [String; 2] {
    [&output.stdout, &output.stderr].map(|stream| {
        let text = String::from_utf8_lossy(stream).into_owned();
        assert!(!text.contains(VALUE), "a value was shown");
        text
    })
}

#[test]
fn each_stream_is_masked_by_itself() {
    let output = ran("TOKEN:TOKEN", "echo \"one $TOKEN\"; echo \"two $TOKEN\" >&2; printf 'no end of line'");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(shown(&output), ["one ***TOKEN***\nno end of line", "two ***TOKEN***\n"]);
}

#[test]
fn only_what_the_step_holds_is_masked() {
    let output = ran("OTHER:PATH", "echo \"$TOKEN\"");
    assert_eq!(output.stdout, [VALUE.as_bytes(), b"\n"].concat(), "nobody named it");
    // The secret is not where it should be, which is reported.
    let output = ran("GONE:GONE,TOKEN:TOKEN,gone:/no/such/file", "echo \"$TOKEN\"");
    let [out, error] = shown(&output);
    assert_eq!(out, "***TOKEN***\n");
    assert_eq!(
        error,
        "pbuild: GONE is not masked: it should be in the variable GONE, and it is not there\n\
         pbuild: gone is not masked: it should be in /no/such/file, and it is not there\n"
    );
}

#[test]
fn exit_codes_and_signals_are_told_as_a_shell_tells_them() {
    for (script, code) in [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 137), ("kill -SEGV $$", 139)] {
        let output = ran("TOKEN:TOKEN", script);
        assert_eq!((output.status.code(), output.status.signal()), (Some(code), None), "{script}");
    }
    for (command, code) in [("no-program-of-this-name", 127), ("/", 126)] {
        let output = wrapper("TOKEN:TOKEN", &[command]).output().expect("the wrapper");
        assert_eq!(output.status.code(), Some(code), "{command}");
        assert!(shown(&output)[1].starts_with("pbuild: failed to run "));
    }
    for held in ["", "TOKEN", "TOKEN:%"] {
        let output = wrapper(held, &["echo", VALUE]).output().expect("the wrapper");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(125), 0), "nothing runs unmasked");
    }
}

#[test]
fn a_command_has_the_step_s_input_variables_and_folder() {
    let mut child =
        wrapper("TOKEN:TOKEN", &["sh", "-c", "cat; pwd; test \"$A\" = b && test -z \"${PBUILD_MASK+set}\""])
            .current_dir("/")
            .env("A", "b")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the wrapper");
    child.stdin.take().expect("a pipe").write_all(format!("read {VALUE}\n").as_bytes()).expect("input");
    let output = child.wait_with_output().expect("an end");
    assert_eq!((output.status.code(), shown(&output)[0].as_str()), (Some(0), "read ***TOKEN***\n/\n"));
}

#[test]
fn what_a_step_leaves_behind_is_not_waited_for() {
    let begun = Instant::now();
    let output = ran("TOKEN:TOKEN", "sleep 100 & echo \"$TOKEN\"; exit 4");
    assert_eq!((output.status.code(), shown(&output)[0].as_str()), (Some(4), "***TOKEN***\n"));
    assert!(begun.elapsed() < Duration::from_secs(60));
}

#[test]
fn signals_reach_the_command() {
    for (signal, name) in [("TERM", "TERM"), ("USR1", "USR1"), ("HUP", "HUP"), ("INT", "INT")] {
        let script = format!("trap 'echo got {name}; exit 5' {name}; echo ready; while :; do sleep 0.05; done");
        let mut child =
            wrapper("TOKEN:TOKEN", &["sh", "-c", &script]).stdout(Stdio::piped()).spawn().expect("the wrapper");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        lines.read_line(&mut line).expect("a line");
        assert_eq!(line, "ready\n");
        let killed = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().expect("kill");
        assert!(killed.success());
        line.clear();
        lines.read_line(&mut line).expect("a line");
        assert_eq!((line, child.wait().expect("an end").code()), (format!("got {name}\n"), Some(5)));
    }
}

/// In a container, the kernel ends all processes with the first one. In this test, the closed pipe ends the command.
#[test]
fn a_wrapper_that_is_killed_takes_the_output_with_it() {
    let file = std::env::temp_dir().join(format!("pbuild-wrapper-{}", std::process::id()));
    let script = format!("echo $$ > {}; while :; do echo \"more $TOKEN\"; sleep 0.02; done", file.display());
    let mut child = wrapper("TOKEN:TOKEN", &["sh", "-c", &script]).stdout(Stdio::piped()).spawn().expect("the wrapper");
    let mut out = child.stdout.take().expect("a pipe");
    let mut first = [0; 64];
    out.read_exact(&mut first).expect("output");
    let command = std::fs::read_to_string(&file).expect("the command's number");
    std::fs::remove_file(&file).expect("the file");
    child.kill().expect("the wrapper runs");
    child.wait().expect("an end");
    let mut rest = Vec::new();
    // The reading ends, because only the wrapper had this pipe.
    out.read_to_end(&mut rest).expect("the end");
    let all = String::from_utf8([&first[..], &rest].concat()).expect("text");
    assert!(all.contains("more ***TOKEN***") && !all.contains(VALUE), "output is masked to its end");
    let gone = PathBuf::from("/proc").join(command.trim());
    let begun = Instant::now();
    while gone.exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "the command goes on");
        std::thread::sleep(Duration::from_millis(20));
    }
}
