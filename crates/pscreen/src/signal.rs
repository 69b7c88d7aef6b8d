//! Signals: the first one asks the work to stop and clean up, the second one ends the process.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::{Ending, Exit, prompt, wait};

/// A message to every part of a tool that it should stop. Clones are cheap.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use pscreen::{Cancellation, Ending};
///
/// let cancellation = Cancellation::new();
/// assert_eq!(cancellation.ending(), None);
/// cancellation.cancel(Ending::Interrupt);
/// assert_eq!(cancellation.cancelled().await, Ending::Interrupt);
/// # });
/// ```
#[derive(Clone, Debug)]
pub struct Cancellation {
    state: watch::Sender<Option<Ending>>,
    holders: Arc<AtomicUsize>,
}

/// A hold of Ctrl-C. Until it is dropped, Ctrl-C belongs to the program in the foreground, and no signal ends this
/// process at once.
#[derive(Debug)]
pub struct Hold(Arc<AtomicUsize>);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Cancellation {
    /// Makes a cancellation that was not cancelled yet.
    #[must_use]
    pub fn new() -> Self {
        Self { state: watch::Sender::new(None), holders: Arc::default() }
    }

    /// Asks all parts of the tool to stop. If this was already asked, the first reason stays.
    pub fn cancel(&self, ending: Ending) {
        self.state.send_if_modified(|state| {
            let first = state.is_none();
            state.get_or_insert(ending);
            first
        });
    }

    /// Returns the reason why the work should stop, or `None` if it should not.
    #[must_use]
    pub fn ending(&self) -> Option<Ending> {
        *self.state.borrow()
    }

    /// Leaves the terminal's Ctrl-C to a program in the foreground, such as an editor, until the result is dropped.
    #[must_use]
    pub fn hold(&self) -> Hold {
        self.holders.fetch_add(1, Ordering::SeqCst);
        Hold(Arc::clone(&self.holders))
    }

    fn is_held(&self) -> bool {
        self.holders.load(Ordering::SeqCst) > 0
    }

    /// Waits until the work should stop.
    pub async fn cancelled(&self) -> Ending {
        let mut receiver = self.state.subscribe();
        loop {
            if let Some(ending) = *receiver.borrow_and_update() {
                return ending;
            }
            // The sender lives as long as `self`, so waiting for a change cannot fail.
            let _ = receiver.changed().await;
        }
    }

    /// Runs work until it is done or cancelled. Cancelled work is dropped.
    ///
    /// # Errors
    ///
    /// Returns the reason if the work was cancelled.
    pub async fn unless_cancelled<T>(&self, work: impl Future<Output = T>) -> Result<T, Ending> {
        tokio::select! {
            biased;
            ending = self.cancelled() => Err(ending),
            done = work => Ok(done),
        }
    }
}

impl Default for Cancellation {
    fn default() -> Self {
        Self::new()
    }
}

/// Listens for SIGINT, SIGTERM and SIGHUP within the current runtime.
///
/// The first signal cancels the work. During a question on the terminal, or a [wait](crate::waiting), it ends the
/// process instead. A second signal ends the process at once, without cleaning up (B7), unless Ctrl-C is
/// [held](Cancellation::hold). SIGPIPE stays ignored, as Rust's start-up sets it: a write to a closed pipe is an
/// error, so the work can still be cancelled in the engine (C14).
///
/// # Errors
///
/// Returns an error if the kernel does not accept a handler.
pub fn listen() -> io::Result<Cancellation> {
    let cancellation = Cancellation::new();
    let mut signals = Signals {
        interrupt: signal(SignalKind::interrupt())?,
        terminate: signal(SignalKind::terminate())?,
        hangup: signal(SignalKind::hangup())?,
    };
    let cancel = cancellation.clone();
    // The task is never awaited: it waits for signals as long as the process lives, and owns nothing that needs
    // cleaning up.
    tokio::spawn(async move {
        loop {
            let ending = signals.next().await;
            prompt::end(ending);
            wait::end(ending);
            match ending {
                Ending::Interrupt if cancel.is_held() => {}
                ending if cancel.is_held() || cancel.ending().is_none() => cancel.cancel(ending),
                ending => std::process::exit(i32::from(Exit::from(ending).code())),
            }
        }
    });
    Ok(cancellation)
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    async fn next(&mut self) -> Ending {
        tokio::select! {
            _ = self.interrupt.recv() => Ending::Interrupt,
            _ = self.terminate.recv() => Ending::Terminate,
            _ = self.hangup.recv() => Ending::Terminate,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Lines};
    use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
    use std::process::{Child, ChildStdout, Command, Stdio};
    use std::time::Duration;

    use rustix::process::{Pid, Signal as Number, kill_process};

    use super::*;

    #[tokio::test]
    async fn the_first_reason_stays() {
        let cancellation = Cancellation::new();
        let waiting = tokio::spawn({
            let cancellation = cancellation.clone();
            async move { cancellation.cancelled().await }
        });
        cancellation.cancel(Ending::Terminate);
        cancellation.cancel(Ending::Interrupt);
        assert_eq!(waiting.await.unwrap(), Ending::Terminate);
        assert_eq!(cancellation.ending(), Some(Ending::Terminate));
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_should_stop_is_dropped() {
        let cancellation = Cancellation::new();
        assert_eq!(cancellation.unless_cancelled(async { 7 }).await, Ok(7));
        cancellation.cancel(Ending::Interrupt);
        let never = tokio::time::sleep(Duration::from_secs(3600));
        assert_eq!(cancellation.unless_cancelled(never).await, Err(Ending::Interrupt));
    }

    const CHILD: &str = "PCLI_TEST_SIGNAL_CHILD";

    /// Starts the child of a test, which is the test itself again, and returns the child with the lines of its
    /// output.
    fn child_of(test: &str) -> (Child, Lines<BufReader<ChildStdout>>) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([test, "--exact", "--nocapture"])
            .env(CHILD, "1")
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        (child, lines)
    }

    /// The child prints `ready`, prints `first` after the first signal, and then cleans up forever.
    #[test]
    fn the_first_signal_cancels_and_the_second_ends_the_process_b7() {
        if std::env::var_os(CHILD).is_some() {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let cancellation = listen().unwrap();
                println!("ready");
                let ending = cancellation.cancelled().await;
                println!("first {ending:?}");
                std::future::pending::<()>().await;
            });
        }
        for (first, second, said, code) in [
            (Number::INT, Number::INT, "first Interrupt", 130),
            (Number::TERM, Number::TERM, "first Terminate", 143),
            (Number::HUP, Number::INT, "first Terminate", 130),
        ] {
            let test = "signal::tests::the_first_signal_cancels_and_the_second_ends_the_process_b7";
            let (mut child, mut lines) = child_of(test);
            let mut wait_for = |text: &str| lines.find(|line| line.as_ref().unwrap().contains(text)).unwrap().unwrap();
            let pid = Pid::from_child(&child);
            wait_for("ready");
            kill_process(pid, first).unwrap();
            wait_for(said);
            kill_process(pid, second).unwrap();
            let status = child.wait().unwrap();
            assert_eq!((status.code(), status.signal()), (Some(code), None));
        }
    }

    /// The child waits as for a pipe. It has nothing to clean up, and does not react to a cancellation.
    #[test]
    fn the_first_signal_ends_a_wait() {
        let test = "signal::tests::the_first_signal_ends_a_wait";
        if std::env::var_os(CHILD).is_some() {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            runtime.block_on(async {
                let _cancellation = listen().unwrap();
                let _waiting = crate::waiting();
                println!("ready");
                std::thread::sleep(Duration::from_secs(3600));
            });
        }
        for (number, code) in [(Number::INT, 130), (Number::TERM, 143)] {
            let (mut child, mut lines) = child_of(test);
            lines.find(|line| line.as_ref().unwrap().contains("ready")).unwrap().unwrap();
            kill_process(Pid::from_child(&child), number).unwrap();
            assert_eq!(child.wait().unwrap().code(), Some(code));
        }
    }
}
