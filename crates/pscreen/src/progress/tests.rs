//! Tests of the renderers with whole builds.

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;
use crate::Colour;
use crate::printer::tests::{Paper, VALUE, redactor};

const MODES: [ProgressMode; 4] = [ProgressMode::Plain, ProgressMode::Tty, ProgressMode::RawJson, ProgressMode::Quiet];

fn at(milliseconds: u64) -> Option<SystemTime> {
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000) + Duration::from_millis(milliseconds))
}

fn began(id: &str, name: &str, milliseconds: u64) -> Event {
    Event::Step(StepNews { id: id.into(), name: name.into(), started: at(milliseconds), ..StepNews::default() })
}

fn ended(id: &str, name: &str, from: u64, to: u64) -> Event {
    let step =
        StepNews { id: id.into(), name: name.into(), started: at(from), completed: at(to), ..StepNews::default() };
    Event::Step(step)
}

fn cached(id: &str, name: &str, milliseconds: u64) -> Event {
    let time = at(milliseconds);
    let step = StepNews {
        id: id.into(),
        name: name.into(),
        started: time,
        completed: time,
        cached: true,
        ..StepNews::default()
    };
    Event::Step(step)
}

fn failed(id: &str, name: &str, error: &str, from: u64, to: u64) -> Event {
    let (started, completed) = (at(from), at(to));
    Event::Step(StepNews {
        id: id.into(),
        name: name.into(),
        started,
        completed,
        error: Some(error.into()),
        ..StepNews::default()
    })
}

fn log(id: &str, stream: LogStream, milliseconds: u64, bytes: &[u8]) -> Event {
    Event::Log(LogNews { step: id.into(), stream, at: at(milliseconds), bytes: bytes.into() })
}

fn progress(mode: ProgressMode, paper: &Paper, size: (usize, usize)) -> Progress {
    let printer = paper.printer(Colour::Never).redacting(redactor());
    Progress::new(mode, printer, Terminal { redraws: false, size: Some(size) })
}

fn build() -> Vec<Vec<Event>> {
    let context = TransferNews {
        id: "transferring context:".into(),
        step: "c".into(),
        current: 2050,
        at: at(40),
        started: at(10),
        completed: at(40),
        ..TransferNews::default()
    };
    vec![
        vec![began("d", "[internal] load build definition from Dockerfile", 0)],
        vec![
            ended("d", "[internal] load build definition from Dockerfile", 0, 30),
            began("c", "[internal] load build context", 10),
        ],
        vec![Event::Transfer(context), ended("c", "[internal] load build context", 10, 40)],
        vec![cached("1", "[1/4] FROM debian:bookworm-slim", 50)],
        vec![began("2", "[2/4] RUN pip install", 60), began("3", "[3/4] RUN make", 60)],
        vec![
            log("2", LogStream::Output, 160, b"Looking in indexes\nhttp://build:c4n4ry-"),
            log("3", LogStream::Error, 170, b"cc -o x"),
        ],
        vec![log("2", LogStream::Output, 180, b"9f3b27e1@index\n"), log("3", LogStream::Error, 190, b" x.c\n")],
        vec![Event::Warning(WarningNews {
            short: "JSONArgsRecommended: use JSON arguments".into(),
            url: "https://docs.docker.com/go/dockerfile/rule/json-args-recommended/".into(),
            place: Some(Position { file: "Dockerfile".into(), first: 9, last: 9 }),
            ..WarningNews::default()
        })],
        vec![ended("2", "[2/4] RUN pip install", 60, 6260)],
        vec![
            log("3", LogStream::Error, 7000, b"x.c:1: error\nmake: *** [x] Error 1"),
            failed(
                "3",
                "[3/4] RUN make",
                "process \"/bin/sh -c make\" did not complete successfully: exit code: 2",
                60,
                7060,
            ),
            failed("4", "[4/4] COPY app /srv/app", "failed to solve: context canceled", 7000, 7060),
        ],
        vec![Event::Fact { label: "audit".into(), text: "4 steps · clean".into() }],
    ]
}

#[test]
fn plain_is_dockers_format_in_order() {
    let paper = Paper::default();
    let mut progress = progress(ProgressMode::Plain, &paper, (80, 24));
    let now = Instant::now();
    build().into_iter().for_each(|events| progress.update(events, now));
    let summary = progress.finish(now);
    insta::assert_snapshot!(paper.text(), @r#"
    #1 [internal] load build definition from Dockerfile

    #2 [internal] load build context
    #1 DONE 0.0s
    #2 transferring context: 2.05kB done
    #2 DONE 0.0s

    #3 [1/4] FROM debian:bookworm-slim
    #3 CACHED

    #4 [2/4] RUN pip install

    #5 [3/4] RUN make
    #4 0.100 Looking in indexes
    #4 0.120 http://build:***TOKEN***@index
    #5 0.130 cc -o x x.c
    warning: JSONArgsRecommended: use JSON arguments
      Dockerfile:9
      help: https://docs.docker.com/go/dockerfile/rule/json-args-recommended/
    #4 DONE 6.2s
    #5 6.940 x.c:1: error

    #6 [4/4] COPY app /srv/app
    #5 6.940 make: *** [x] Error 1
    #5 ERROR: process "/bin/sh -c make" did not complete successfully: exit code: 2
    #6 CANCELED
    audit     4 steps · clean
    "#);
    assert_eq!((summary.done, summary.cached), (4, 1));
    assert_eq!(summary.failed[0].tail, ["cc -o x x.c", "x.c:1: error", "make: *** [x] Error 1"]);
    assert_eq!(summary.failed[0].id, "3");
}

#[test]
fn a_terminal_shows_what_runs_below_what_is_done() {
    let paper = Paper::default();
    let mut progress = progress(ProgressMode::Tty, &paper, (60, 24));
    let now = Instant::now();
    build().into_iter().take(7).for_each(|events| progress.update(events, now));
    paper.take();
    progress.tick(now + Duration::from_millis(1500));
    insta::assert_snapshot!(paper.take().replace('\u{1b}', "␛").replace('\r', "␍"), @"
    ␍␛[5A␛[J[2/4] RUN pip install                                   1.5s
          Looking in indexes
          http://build:***TOKEN***@index
    [3/4] RUN make                                          1.5s
          cc -o x x.c
    ");
    build().into_iter().skip(7).for_each(|events| progress.update(events, now));
    progress.finish(now);
    let text = paper.take();
    assert!(text.contains("[2/4] RUN pip install") && text.contains("failed"), "{text}");
}

#[test]
fn rawjson_is_one_object_a_line_without_values() {
    let paper = Paper::default();
    let mut progress = progress(ProgressMode::RawJson, &paper, (80, 24));
    let now = Instant::now();
    build().into_iter().for_each(|events| progress.update(events, now));
    progress.finish(now);
    let lines: Vec<serde_json::Value> =
        paper.text().lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    assert_eq!(lines[0]["vertexes"][0]["digest"], "d");
    assert_eq!(lines[0]["vertexes"][0]["started"], "2023-11-14T22:13:20Z");
    let logs: Vec<u8> = lines
        .iter()
        .filter_map(|line| line["logs"].as_array())
        .flatten()
        .filter(|log| log["vertex"] == "2")
        .flat_map(|log| STANDARD.decode(log["data"].as_str().expect("data")).expect("base64"))
        .collect();
    assert_eq!(String::from_utf8_lossy(&logs), "Looking in indexes\nhttp://build:***TOKEN***@index\n");
    assert!(lines.iter().any(|line| line["warnings"][0]["short"].is_string()));
    let vertices = |id: &str| {
        lines
            .iter()
            .filter_map(|line| line["vertexes"].as_array())
            .flatten()
            .filter(|v| v["digest"] == id)
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(vertices("1").last().expect("the base")["cached"], true);
    assert!(vertices("3").last().expect("make")["error"].as_str().expect("an error").contains("exit code: 2"));
}

#[test]
fn quiet_says_nothing_and_keeps_the_tail() {
    let paper = Paper::default();
    let mut progress = progress(ProgressMode::Quiet, &paper, (80, 24));
    let now = Instant::now();
    build().into_iter().for_each(|events| progress.update(events, now));
    assert_eq!(progress.finish(now).failed.len(), 2);
    assert_eq!(paper.text(), "");
}

#[test]
fn a_line_without_an_end_shows_after_a_moment_and_goes_on_l5() {
    let paper = Paper::default();
    let mut progress = progress(ProgressMode::Plain, &paper, (80, 24));
    let now = Instant::now();
    progress.update(vec![began("1", "RUN x", 0), log("1", LogStream::Output, 100, b"waiting ...")], now);
    assert!(!paper.text().contains("waiting"));
    progress.tick(now + Duration::from_millis(250));
    assert!(paper.text().ends_with("#1 0.100 waiting ..."), "{:?}", paper.text());
    progress.update(vec![log("1", LogStream::Output, 900, b" done\n"), log("1", LogStream::Error, 950, b"end\n")], now);
    assert!(paper.text().ends_with("#1 0.100 waiting ... done\n#1 0.950 end\n"), "{:?}", paper.text());
}

#[test]
fn two_outputs_do_not_mix_on_a_line_l2() {
    let paper = Paper::default();
    let mut progress = progress(ProgressMode::Plain, &paper, (80, 24));
    let now = Instant::now();
    let (out, error) = (LogStream::Output, LogStream::Error);
    progress.update(vec![began("1", "RUN x", 0), log("1", out, 0, b"c4n4ry-"), log("1", error, 0, b"noise\n")], now);
    progress.update(vec![log("1", out, 0, b"9f3b27e1\n"), ended("1", "RUN x", 0, 1)], now);
    progress.finish(now);
    assert!(paper.text().contains("#1 0.000 noise\n#1 0.000 ***TOKEN***\n"), "{}", paper.text());
}

#[test]
fn what_looked_like_a_value_and_was_none_is_shown_at_the_end_l4() {
    let paper = Paper::default();
    let mut progress = progress(ProgressMode::Plain, &paper, (80, 24));
    let now = Instant::now();
    progress.update(vec![ended("1", "RUN x", 0, 1), log("1", LogStream::Output, 0, b"begin c4n4ry-9f3b")], now);
    let text = paper.text();
    assert!(text.contains("begin c4n4ry-9f3b\n#1 DONE"), "{text}");
}

#[test]
fn bytes_that_are_no_text_reach_a_pipe_unchanged_l7() {
    let paper = Paper::default();
    let mut progress = progress(ProgressMode::Plain, &paper, (80, 24));
    let now = Instant::now();
    progress.update(vec![began("1", "RUN x", 0), log("1", LogStream::Output, 0, b"a\xff\xc3\x28\x1b[2Jb\n")], now);
    assert!(paper.bytes().windows(6).any(|window| window == b"a\xff\xc3(b\n"));
}

#[test]
fn names_errors_warnings_and_facts_are_redacted_everywhere_l8() {
    for mode in MODES {
        let paper = Paper::default();
        let mut progress = progress(mode, &paper, (200, 24));
        let now = Instant::now();
        let warning = WarningNews {
            short: format!("short {VALUE}"),
            detail: vec![format!("detail {VALUE}")],
            url: format!("https://x/{VALUE}"),
            place: Some(Position { file: VALUE.into(), first: 1, last: 1 }),
            ..WarningNews::default()
        };
        let transfer = TransferNews {
            id: format!("id {VALUE}"),
            name: format!("name {VALUE}"),
            step: "1".into(),
            completed: at(1),
            ..TransferNews::default()
        };
        let name = format!("RUN curl -u {VALUE}");
        progress.update(vec![began("1", &name, 0), Event::Transfer(transfer), Event::Warning(warning)], now);
        progress.tick(now);
        progress.update(vec![Event::Fact { label: "fact".into(), text: VALUE.into() }], now);
        progress.update(vec![failed("1", &name, &format!("process {VALUE} failed"), 0, 1)], now);
        let summary = progress.finish(now);
        assert!(!paper.text().contains(VALUE) && !paper.text().contains(&STANDARD.encode(VALUE)[..12]), "{mode:?}");
        assert!(!format!("{summary:?}").contains(VALUE));
    }
}

#[test]
fn a_step_that_runs_twice_is_shown_twice() {
    let paper = Paper::default();
    let mut progress = progress(ProgressMode::Plain, &paper, (80, 24));
    let now = Instant::now();
    let again = || vec![ended("1", "exporting", 0, 1000)];
    progress.update(again(), now);
    progress.update(again(), now);
    progress.update(vec![ended("1", "exporting", 2000, 4000)], now);
    progress.finish(now);
    assert_eq!(paper.text(), "#1 exporting\n#1 DONE 1.0s\n#1 DONE 2.0s\n\n");
}

#[test]
fn a_cached_step_is_cached_once() {
    for mode in [ProgressMode::Plain, ProgressMode::Tty] {
        let paper = Paper::default();
        let mut progress = progress(mode, &paper, (80, 24));
        let now = Instant::now();
        (0..3).for_each(|time| progress.update(vec![cached("1", "[1/2] FROM busybox", time)], now));
        progress.update(vec![ended("2", "[base] FROM busybox", 0, 1), cached("2", "[base] FROM busybox", 2)], now);
        progress.update(vec![ended("3", "[other] FROM busybox", 0, 1)], now);
        progress.update(vec![cached("3", "[other] FROM busybox", 2)], now);
        progress.finish(now);
        let text = paper.text().to_lowercase();
        assert_eq!(text.matches("cached\n").count(), 3, "{text}");
        for name in ["[1/2]", "[base]", "[other]"] {
            assert_eq!(text.matches(name).count(), 1, "{text}");
        }
    }
}

#[test]
fn a_pull_shows_sizes_and_its_base_has_one_line() {
    let base = "[1/2] FROM registry.example/big";
    let transfer = |current| {
        Event::Transfer(TransferNews {
            id: format!("sha256:21437182927b{}", "0".repeat(52)),
            step: "1".into(),
            current,
            total: 419_460_000,
            started: at(10),
            ..TransferNews::default()
        })
    };
    for width in [40, 80, 200] {
        let paper = Paper::default();
        let mut progress = progress(ProgressMode::Tty, &paper, (width, 24));
        let now = Instant::now();
        // The image's name is resolved, its layers are fetched, and a step begins on it.
        progress.update(vec![ended("1", base, 0, 1)], now);
        progress.update(vec![began("1", base, 5), transfer(367_000_000)], now);
        let text = paper.take();
        assert!(text.contains("layer 21437") && text.contains("367.00MB / 419.46MB"), "{text}");
        progress.update(vec![ended("1", base, 5, 3500)], now);
        assert!(!paper.take().contains("FROM"));
        let step = StepNews { inputs: vec!["1".into()], started: at(3600), ..StepNews::default() };
        progress.update(vec![Event::Step(StepNews { id: "2".into(), name: "[2/2] RUN x".into(), ..step })], now);
        progress.update(vec![cached("1", base, 3700)], now);
        progress.finish(now);
        let text = paper.take();
        assert_eq!(text.matches("FROM").count(), 1, "{text}");
        assert!(text.contains("3.5s"), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_progress_that_runs_ends_with_its_sender() {
    let paper = Paper::default();
    let (sender, receiver) = mpsc::channel(4);
    let running = tokio::spawn(progress(ProgressMode::Plain, &paper, (80, 24)).run(receiver));
    for events in build() {
        sender.send(events).await.unwrap();
    }
    drop(sender);
    assert_eq!(running.await.unwrap().done, 4);
    assert!(paper.text().contains("#3 CACHED"));
}

/// Generates the lengths of the pieces into which a text is cut.
fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(1..9_usize, 0..40)
}

fn cut<'a>(text: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    let mut rest = text;
    for cut in cuts {
        let (piece, after) = rest.split_at((*cut).min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    pieces
}

proptest! {
    /// However a step's output is cut, joined and mixed with another step's, no renderer shows the value, on a screen
    /// of any size. All other text is shown.
    #[test]
    fn no_renderer_ever_shows_a_value_l1_c15(
        prefix in "[a-z \\n\\r]{0,12}", suffix in "[a-z \\n\\r]{0,12}", ours in cuts(), theirs in cuts(),
        width in 1..90_usize, height in 1..30_usize, together in any::<bool>(),
    ) {
        let hex = base16ct::lower::encode_string(VALUE.as_bytes());
        for form in [VALUE.to_owned(), STANDARD.encode(VALUE), hex, format!("{VALUE}{VALUE}")] {
            let text = format!("{prefix}{form}{suffix}\nplainly visible\n");
            let (ours, theirs) = (cut(text.as_bytes(), &ours), cut(text.as_bytes(), &theirs));
            for mode in MODES {
                let paper = Paper::default();
                let mut progress = progress(mode, &paper, (width, height));
                let mut now = Instant::now();
                progress.update(vec![began("1", "RUN a", 0), began("2", "RUN b", 0)], now);
                let mut waiting = Vec::new();
                for step in 0..ours.len().max(theirs.len()) {
                    waiting.extend(ours.get(step).map(|piece| log("1", LogStream::Output, 0, piece)));
                    waiting.extend(theirs.get(step).map(|piece| log("2", LogStream::Output, 0, piece)));
                    if !together || step % 3 == 0 {
                        progress.update(std::mem::take(&mut waiting), now);
                        now += Duration::from_millis(90);
                        progress.tick(now);
                    }
                }
                progress.update(waiting, now);
                progress.update(vec![ended("1", "RUN a", 0, 1), ended("2", "RUN b", 0, 1)], now);
                progress.finish(now);
                let shown = paper.text();
                let mut all = shown.clone();
                for line in shown.lines().filter(|_| mode == ProgressMode::RawJson) {
                    let object: serde_json::Value = serde_json::from_str(line).unwrap();
                    for log in object["logs"].as_array().into_iter().flatten() {
                        all.push_str(&String::from_utf8_lossy(&STANDARD.decode(log["data"].as_str().unwrap()).unwrap()));
                    }
                }
                prop_assert!(!all.contains(&form) && !all.contains(VALUE), "{mode:?} {all:?}");
                if mode == ProgressMode::Plain {
                    // The other step may cut a line that waited too long into two lines.
                    for heading in ["#1 0.000 ", "#2 0.000 "] {
                        let wrote: String = all.lines().filter_map(|line| line.strip_prefix(heading)).collect();
                        prop_assert!(wrote.contains("plainly visible"), "{}", all);
                    }
                }
            }
        }
    }
}
