//! The init commands. They run in order before the app, in one container at a time.

use alloc::format;
use alloc::vec::Vec;

use pshim::init::Command;
use pshim::{Prefixer, init};

use crate::signals::{self, Signal, Signals};
use crate::system::{self, Poll};
use crate::{lock, process, say};

/// How long a command that has exceeded its time limit may take to end after SIGTERM, in milliseconds.
const GRACE: u64 = 5000;

/// Runs all init commands. Returns the exit code of the command that failed as an error.
pub(crate) fn run_all(environment: &[&[u8]]) -> Result<(), u8> {
    let file = match system::read_file(pshim::INIT_FILE) {
        Ok(file) => file,
        Err(system::ENOENT) => return Ok(()),
        Err(_) => {
            say(&[b"the init commands cannot be read"]);
            return Err(pshim::FAILED);
        }
    };
    let Some(commands) = init::parse(&file) else {
        say(&[b"the list of init commands is not whole"]);
        return Err(pshim::FAILED);
    };
    if commands.is_empty() {
        return Ok(());
    }
    let Some(signals) = Signals::watch() else { return Err(pshim::FAILED) };
    // The lock is held while the commands run. If this process is killed, the kernel frees the lock for the next
    // container.
    let lock = lock::take(pshim::HOME.as_bytes(), b"init waits until another instance is through with it", &signals)?;
    let result = commands.iter().try_for_each(|command| run_one(command, environment, &signals));
    system::close(lock.file);
    result
}

fn run_one(command: &Command<'_>, environment: &[&[u8]], signals: &Signals) -> Result<(), u8> {
    let began = system::milliseconds();
    let end = match start(command, environment, signals) {
        Ok(child) => follow(child, command, signals),
        Err(_) => {
            say(&[b"init ", command.name, b" cannot be started"]);
            return Err(pshim::FAILED);
        }
    };
    let took = system::milliseconds() - began;
    let took = format!("{}.{} s", took / 1000, took % 1000 / 100);
    match end {
        End::Asked(signal) => {
            say(&[b"init ", command.name, b" ended because the container was stopped"]);
            Err(128 + signal as u8)
        }
        End::TimedOut => {
            say(&[b"init ", command.name, b" failed: it took longer than its time limit, ", took.as_bytes()]);
            Err(pshim::TIMED_OUT)
        }
        End::Code(0) => {
            say(&[b"init ", command.name, b" finished in ", took.as_bytes()]);
            Ok(())
        }
        End::Code(code) => {
            let code_text = format!("{code}");
            say(&[
                b"init ",
                command.name,
                b" failed with exit code ",
                code_text.as_bytes(),
                b" after ",
                took.as_bytes(),
            ]);
            Err(code)
        }
    }
}

/// The way in which a command ended.
enum End {
    Code(u8),
    TimedOut,
    Asked(i32),
}

/// A running command, and the pipes from which its output is read.
struct Child {
    id: i32,
    outputs: [Output; 2],
}

struct Output {
    from: Option<i32>,
    to: i32,
}

fn start(command: &Command<'_>, environment: &[&[u8]], signals: &Signals) -> Result<Child, system::Errno> {
    let (out, out_write) = system::pipe()?;
    let (error, error_write) = system::pipe()?;
    let id = system::fork()?;
    if id == 0 {
        system::lead_group();
        // The command must not read input that is meant for the app.
        if let Ok(null) = system::open(b"/dev/null\0") {
            system::replace(null, 0);
        }
        system::replace(out_write, system::STDOUT);
        system::replace(error_write, system::STDERR);
        signals.restore();
        system::exit(process::become_program(&command.words, environment));
    }
    system::close(out_write);
    system::close(error_write);
    let outputs = [Output { from: Some(out), to: system::STDOUT }, Output { from: Some(error), to: system::STDERR }];
    for output in &outputs {
        if let Some(from) = output.from {
            system::never_wait(from);
        }
    }
    Ok(Child { id, outputs })
}

/// Shows what a command writes, and waits for its end.
fn follow(mut child: Child, command: &Command<'_>, signals: &Signals) -> End {
    let prefix = [b"[", command.name, b"] "].concat();
    let mut prefixers = [Prefixer::new(&prefix), Prefixer::new(&prefix)];
    let mut limit = (command.limit > 0).then(|| system::milliseconds() + u64::from(command.limit) * 1000);
    let mut timed_out = false;
    let mut asked = None;
    let status = 'running: loop {
        let [out, error] =
            child.outputs.each_ref().map(|output| Poll::when(output.from.unwrap_or(-1), output.from.is_some(), false));
        let patience = limit.map(|limit| limit.saturating_sub(system::milliseconds()));
        let _ = system::poll(&mut [out, error, signals.poll()], patience);
        show(&mut child.outputs, &mut prefixers);
        while let Some(signal) = signals.next() {
            match signal {
                Signal::Child => {}
                Signal::End(number) => {
                    asked = Some(number);
                    system::kill(-child.id, number);
                }
            }
        }
        // The kernel merges signals of one kind, so every child that has ended is collected: the command and orphans.
        while let Some((id, status)) = system::reap() {
            if id == child.id {
                break 'running status;
            }
        }
        if limit.is_some_and(|limit| system::milliseconds() >= limit) {
            system::kill(-child.id, if timed_out { signals::KILL } else { signals::TERMINATE });
            timed_out = true;
            limit = Some(system::milliseconds() + GRACE);
        }
    };
    // After a time-out, the rest of the command's process group is killed, so that no part of it runs beside the app.
    if timed_out {
        system::kill(-child.id, signals::KILL);
    }
    show(&mut child.outputs, &mut prefixers);
    for (output, prefixer) in child.outputs.iter().zip(&mut prefixers) {
        system::write_all(output.to, prefixer.finish());
        if let Some(from) = output.from {
            system::close(from);
        }
    }
    match (asked, timed_out) {
        (Some(signal), _) => End::Asked(signal),
        (None, true) => End::TimedOut,
        (None, false) => End::Code(process::code_of(status)),
    }
}

/// Shows all output that can be read without waiting.
fn show(outputs: &mut [Output; 2], prefixers: &mut [Prefixer<'_>; 2]) {
    let mut buffer = [0; 4096];
    for (output, prefixer) in outputs.iter_mut().zip(prefixers) {
        while let Some(from) = output.from {
            match system::read(from, &mut buffer) {
                Ok(0) => {
                    system::close(from);
                    output.from = None;
                }
                Ok(count) => {
                    let lines: Vec<u8> = prefixer.push(&buffer[..count]);
                    system::write_all(output.to, &lines);
                }
                Err(_) => break,
            }
        }
    }
}
