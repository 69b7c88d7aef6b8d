//! Ctrl-C, a killed frontend and a killed scanner, in each phase of a build with the frontend image. The build fails
//! with a message, makes no image and leaves no process, and the next build works.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use acceptance::{Docker, ImageName, becomes, on_every_engine};
use ptest::{Canary, Engine, Outcome, Process, Running};

on_every_engine!(an_interrupted_build_leaves_nothing, a_killed_frontend_leaves_nothing, a_killed_scanner_is_no_proof,);

/// The phase of a build at the time of the interruption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// A container lists the secrets that the client brought.
    Probe,
    /// A step runs.
    Step,
    /// A container searches the result.
    Search,
}

/// A build that a test can stop in a given phase.
struct Stopped<'engine> {
    docker: Docker<'engine>,
    phase: Phase,
    token: Canary,
    image: ImageName<'engine>,
    mark: String,
}

impl<'engine> Stopped<'engine> {
    fn new(engine: &'engine Engine, phase: Phase, what: &str) -> Self {
        let docker = Docker::new(engine);
        let token = docker.scene.oracle().token("TOKEN");
        let mark = format!("{}-{phase:?}", docker.mark(what)).to_lowercase();
        Self { docker, phase, token, image: ImageName::new(engine, what), mark }
    }

    /// Returns the name of a sparse file of zeros, which is so large that the search lasts until it is stopped.
    fn file(&self) -> String {
        format!("/zeros-{}", self.mark)
    }

    fn dockerfile(&self, step: &str) {
        self.docker.dockerfile("TOKEN", &format!("FROM busybox\nRUN echo begun {}{step}\n", self.mark));
    }

    fn build(&self) -> Running<'_> {
        // The environment of the frontend contains the build's options, so the mark shows to which build a frontend
        // belongs.
        let mark = format!("MARK={}", self.mark);
        let arguments = ["--build-arg", &mark, "-t", self.image.as_str()];
        self.docker.building(&arguments, &[("TOKEN", &self.token)]).spawn()
    }

    fn is_frontend(&self, process: Process) -> bool {
        process.command() == b"/pfrontend\0" && process.inherited(&format!("build-arg:MARK={}", self.mark))
    }

    /// Returns true if a process has this build's secret mounted. It is a scanner, or the engine's program that is
    /// about to become one.
    fn has_secret(&self, process: Process) -> bool {
        std::fs::read(process.file("/run/pbuild/secrets/0")).is_ok_and(|value| value == self.token.value())
    }

    fn is_scanner(&self, process: Process) -> bool {
        process.command().starts_with(b"/pfrontend\0") && self.has_secret(process)
    }

    /// Starts a build and waits until it is in its phase. Also returns the value that keeps it in this phase.
    fn begun(&self) -> (Running<'_>, Option<Sender<()>>) {
        match self.phase {
            Phase::Probe => {
                let (running, answer) = self.asking();
                return (running, Some(answer));
            }
            Phase::Step => self.dockerfile(&format!("; sleep 5000; : {}", self.mark)),
            Phase::Search => self.dockerfile(&format!("; truncate -s 60G {}", self.file())),
        }
        let running = self.build();
        match self.phase {
            Phase::Step => wait_for("the step", |process| {
                process.is_told(&format!("begun {}", self.mark)) && process.command().starts_with(b"/bin/sh\0")
            }),
            Phase::Probe | Phase::Search => self.search(),
        };
        (running, None)
    }

    /// Waits for the scanner of a build that searches.
    fn search(&self) -> Process {
        let file = format!("/states/1{}", self.file());
        wait_for("the search", |process| self.is_scanner(*process) && process.file(&file).exists())
    }

    /// Starts a build whose probe is about to begin: the engine requests the secret, and docker waits for it, because
    /// the secret's file is a pipe. docker gets the value when the test sends a message.
    fn asking(&self) -> (Running<'_>, Sender<()>) {
        self.dockerfile("");
        let pipe = self.docker.scene.project().join("pipe");
        make_pipe(&pipe);
        self.docker.scene.write(".dockerignore", "pipe\n");
        let (asked, is_asked) = channel();
        let (answer, may_answer) = channel::<()>();
        let value = self.token.value().to_owned();
        let source = format!("--secret=id=TOKEN,src={}", pipe.display());
        std::thread::spawn(move || {
            // Opening the pipe waits for a reader. The steps and the search request the secret again, each through a
            // new pipe.
            while let Ok(mut opened) = std::fs::OpenOptions::new().write(true).open(&pipe) {
                if asked.send(()).is_ok() && may_answer.recv().is_err() {
                    return;
                }
                make_pipe(&pipe);
                let _ = opened.write_all(&value);
            }
        });
        let mark = format!("MARK={}", self.mark);
        let running = self.docker.building(&["--build-arg", &mark, "-t", self.image.as_str(), &source], &[]).spawn();
        is_asked.recv_timeout(Duration::from_secs(60)).expect("the engine asks for the secret");
        // The receiver of requests is dropped, so every later request is answered at once.
        (running, answer)
    }

    /// Checks that the build reported why it failed, made no image and left no process, and that a new build works.
    fn is_over(&self, outcome: &Outcome, words: &str) {
        assert_ne!(outcome.code(), 0, "{outcome:?}");
        outcome.expect_stderr(words);
        assert!(!outcome.stderr().contains("exporting"), "{outcome:?}");
        let runs = |process: Process| {
            self.is_frontend(process) || self.has_secret(process) || process.is_told(&format!("5000; : {}", self.mark))
        };
        let left = || Process::all().filter(|process| runs(*process)).collect::<Vec<_>>();
        assert!(becomes(Duration::from_secs(20), || left().is_empty()), "{:?}: {:?} run on", self.phase, left());
        assert!(!self.image.exists());
        self.dockerfile("");
        self.build().finish().expect_code(0).expect_stderr("[pbuild] clean: TOKEN");
        assert!(self.image.exists());
    }
}

/// Makes a pipe in place of the previous one, which was read already.
fn make_pipe(pipe: &Path) {
    let _ = std::fs::remove_file(pipe);
    assert!(Command::new("mkfifo").arg(pipe).status().expect("mkfifo runs").success());
}

fn wait_for(what: &str, which: impl Fn(&Process) -> bool) -> Process {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(60) {
        if let Some(process) = Process::all().find(&which) {
            return process;
        }
    }
    panic!("{what} does not come up")
}

fn an_interrupted_build_leaves_nothing(engine: &Engine) {
    for phase in [Phase::Probe, Phase::Step, Phase::Search] {
        let build = Stopped::new(engine, phase, "interrupted");
        let (mut running, _held) = build.begun();
        running.interrupt();
        build.is_over(&running.finish(), "canceled");
    }
}

fn a_killed_frontend_leaves_nothing(engine: &Engine) {
    for phase in [Phase::Probe, Phase::Step, Phase::Search] {
        let build = Stopped::new(engine, phase, "orphaned");
        let (running, _held) = build.begun();
        wait_for("the frontend", |process| build.is_frontend(*process)).kill();
        build.is_over(&running.finish(), "exit code: 137");
    }
}

fn a_killed_scanner_is_no_proof(engine: &Engine) {
    // A probe takes only milliseconds, so the test does not try to kill one. The same code handles both.
    let build = Stopped::new(engine, Phase::Search, "unproven");
    let (running, _held) = build.begun();
    build.search().kill();
    build.is_over(&running.finish(), "the scanner ended with code 137");
}
