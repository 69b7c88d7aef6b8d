//! Commands that run by a schedule.
//!
//! The container of a scheduled process lives as long as any other. It runs its command whenever the command is due.
//! A lock makes sure that only one container of the project does so: in a roll, the new container waits for the old
//! one to end. The command inherits the lock, so the lock stays taken while any part of the command still runs. The
//! loop does not allocate memory, because the entrypoint never frees any.

use core::fmt::{self, Write};

use pshim::Job;

use crate::signals::{Signal, Signals};
use crate::{lock, process, system};

/// How many seconds before it got the lock a container looks for due times that nobody served. A container that gives
/// up the lock first waits until the second in which its last run ended is over, so no due time is served twice.
const LOOK_BACK: u64 = 1;
/// How many milliseconds after the beginning of its second the command begins. The kernel's coarse clock, which
/// `date` reads, is a few milliseconds late, so without this delay the command would see the second before.
const LATE: u64 = 20;
/// The longest pause between two looks at the clock, in milliseconds. It is short because the clock may be set in the
/// meantime.
const LONGEST_PAUSE: u64 = 10_000;

/// Runs a command whenever it is due, until this process is told to end.
pub(crate) fn repeat(job: Job<'_>, command: &[&[u8]], environment: &[&[u8]]) -> u8 {
    let Some(signals) = Signals::watch() else { return pshim::FAILED };
    let path = [pshim::HOME.as_bytes(), b"/", pshim::JOB_LOCK.as_bytes(), job.name].concat();
    let waits = [job.name, b" waits until the instance before it has ended"].concat();
    let lock = match lock::take(&path, &waits, &signals) {
        Ok(lock) => lock,
        Err(code) => return code,
    };
    let mut last = seconds() - if lock.waited { LOOK_BACK } else { 0 };
    let mut ran = None;
    loop {
        if wait(job, last, &signals) == Event::Told {
            break;
        }
        let event = run(job.name, command, environment, &signals, lock.file);
        // Due times that passed while the command ran are skipped.
        last = seconds();
        ran = Some(last);
        if event == Event::Told {
            break;
        }
    }
    while ran.is_some_and(|ran| seconds() == ran) {
        system::sleep(20);
    }
    0
}

/// The event that ends a wait.
#[derive(PartialEq, Eq)]
enum Event {
    /// The command is due, or has ended.
    Due,
    /// This process is told to end.
    Told,
}

/// Waits until the command is due for the first time after `last`.
fn wait(job: Job<'_>, mut last: u64, signals: &Signals) -> Event {
    loop {
        let now = system::unix_milliseconds();
        // If the clock was set back, the due times are counted from the new time.
        last = last.min(now / 1000);
        let due = job.schedule.next(last).map_or(u64::MAX, |due| due.saturating_mul(1000) + LATE);
        if now >= due {
            return Event::Due;
        }
        let _ = system::poll(&mut [signals.poll()], Some((due - now).min(LONGEST_PAUSE)));
        while let Some(signal) = signals.next() {
            match signal {
                Signal::Child => while system::reap().is_some() {},
                Signal::End(_) => return Event::Told,
            }
        }
    }
}

/// Runs the command once. Its output goes to the container's log.
fn run(name: &[u8], command: &[&[u8]], environment: &[&[u8]], signals: &Signals, lock: i32) -> Event {
    let began = system::milliseconds();
    let mut line = Line::of(name);
    let child = match system::fork() {
        Ok(0) => {
            system::lead_group();
            if let Ok(null) = system::open(b"/dev/null\0") {
                system::replace(null, 0);
            }
            system::keep_open(lock);
            signals.restore();
            system::exit(process::become_program(command, environment));
        }
        Ok(child) => child,
        Err(_) => {
            line.end(format_args!("cannot be started: too many processes"));
            return Event::Due;
        }
    };
    let mut told = false;
    let status = 'running: loop {
        let _ = system::poll(&mut [signals.poll()], None);
        while let Some(signal) = signals.next() {
            match signal {
                Signal::Child => {}
                Signal::End(number) => {
                    told = true;
                    system::kill(-child, number);
                }
            }
        }
        // Signals of one kind are merged, so all children that have ended are collected: the command and orphans.
        while let Some((id, status)) = system::reap() {
            if id == child {
                break 'running status;
            }
        }
    };
    let took = system::milliseconds() - began;
    let (seconds, tenths) = (took / 1000, took % 1000 / 100);
    match process::code_of(status) {
        0 => line.end(format_args!("finished in {seconds}.{tenths} s")),
        code => line.end(format_args!("failed with exit code {code} after {seconds}.{tenths} s")),
    }
    if told { Event::Told } else { Event::Due }
}

fn seconds() -> u64 {
    system::unix_milliseconds() / 1000
}

/// A line for people. It has a fixed buffer, because nothing may allocate memory here.
struct Line {
    bytes: [u8; 160],
    length: usize,
}

impl Line {
    fn of(name: &[u8]) -> Self {
        let mut line = Self { bytes: [0; 160], length: 0 };
        line.push(b"prun: ");
        line.push(&name[..name.len().min(64)]);
        line.push(b" ");
        line
    }

    fn push(&mut self, bytes: &[u8]) {
        let count = bytes.len().min(self.bytes.len() - self.length);
        self.bytes[self.length..self.length + count].copy_from_slice(&bytes[..count]);
        self.length += count;
    }

    /// Writes the line with these words at its end.
    fn end(&mut self, words: fmt::Arguments<'_>) {
        // A text that does not fit is cut.
        let _ = self.write_fmt(words);
        self.push(b"\n");
        system::write_all(system::STDERR, &self.bytes[..self.length]);
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}
