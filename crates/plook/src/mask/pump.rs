//! Passes a step's output on through two pipes, each with a redactor of its own.

use std::io::{self, PipeReader, Read as _, Write};

use psecret::{Redactor, RedactorStream};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

/// The number of bytes that are read at a time.
const PIECE: usize = 64 * 1024;

/// One of the two output streams. It is closed if its reader is gone; the step then gets the error of a closed pipe.
struct Channel {
    from: PipeReader,
    stream: RedactorStream,
}

/// Both output streams, and a pipe that closes when the command ends.
pub(super) struct Pump {
    out: Option<Channel>,
    error: Option<Channel>,
    ended: PipeReader,
}

impl Pump {
    pub(super) fn new(redactor: &Redactor, out: PipeReader, error: PipeReader, ended: PipeReader) -> Self {
        let channel = |from| Some(Channel { from, stream: redactor.stream() });
        Self { out: channel(out), error: channel(error), ended }
    }

    /// Masks the streams and passes them on until both have ended or the command has ended. The command's remaining
    /// processes are ended together with the container, so their output is not waited for.
    ///
    /// One loop handles both streams, so that their lines stay in order as far as this is possible.
    pub(super) fn run(mut self, out: &mut impl Write, error: &mut impl Write) {
        let mut buffer = vec![0; PIECE];
        while self.out.is_some() || self.error.is_some() {
            let ready = match self.ready() {
                Ok(ready) => ready,
                Err(Errno::INTR) => continue,
                // Dropping the streams closes them.
                Err(_) => return,
            };
            if ready.ended {
                drain(&mut self.out, out, &mut buffer);
                drain(&mut self.error, error, &mut buffer);
                return;
            }
            if ready.out {
                step(&mut self.out, out, &mut buffer);
            }
            if ready.error {
                step(&mut self.error, error, &mut buffer);
            }
        }
    }

    fn ready(&self) -> Result<Ready, Errno> {
        let mut asked = vec![PollFd::new(&self.ended, PollFlags::IN)];
        asked.extend([&self.out, &self.error].into_iter().flatten().map(|one| PollFd::new(&one.from, PollFlags::IN)));
        poll(&mut asked, None)?;
        let mut told = asked.iter().map(|one| !one.revents().is_empty());
        let mut next = || told.next().unwrap_or_default();
        Ok(Ready { ended: next(), out: self.out.is_some() && next(), error: self.error.is_some() && next() })
    }
}

struct Ready {
    ended: bool,
    out: bool,
    error: bool,
}

/// Passes one piece on. Closes the stream at its end, or if its reader is gone.
fn step(channel: &mut Option<Channel>, to: &mut impl Write, buffer: &mut [u8]) {
    let Some(open) = channel else { return };
    let goes_on = match open.from.read(buffer) {
        Ok(0) => {
            let _ = send(to, &open.stream.finish());
            false
        }
        Ok(count) => send(to, &open.stream.push(&buffer[..count])).is_ok(),
        Err(error) => error.kind() == io::ErrorKind::Interrupted,
    };
    if !goes_on {
        *channel = None;
    }
}

/// Passes on the bytes that are in the pipe now, which is all output before the command's end, and closes the stream.
fn drain(channel: &mut Option<Channel>, to: &mut impl Write, buffer: &mut [u8]) {
    let Some(mut open) = channel.take() else { return };
    let mut left = rustix::io::ioctl_fionread(&open.from).unwrap_or_default();
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        match open.from.read(&mut buffer[..most]) {
            Ok(0) => break,
            Ok(count) => {
                left = left.saturating_sub(count as u64);
                if send(to, &open.stream.push(&buffer[..count])).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    let _ = send(to, &open.stream.finish());
}

fn send(to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes)?;
    to.flush()
}

#[cfg(test)]
mod tests {
    use std::io::PipeWriter;
    use std::thread;

    use psecret::{RedactorBuilder, SecretName, UserSecret};

    use super::*;

    const VALUE: &str = "t0ken-of-the-pump";

    /// Makes a pump for the test's value, and the pipe ends of the step and the wrapper.
    fn pump() -> (Pump, [PipeWriter; 3]) {
        let name = SecretName::parse("TOKEN").unwrap();
        let redactor =
            RedactorBuilder::new().secret(&name, &UserSecret::new(VALUE.as_bytes().to_vec())).build().unwrap();
        let [(out, out_end), (error, error_end), (ended, end)] = [(); 3].map(|()| io::pipe().unwrap());
        (Pump::new(&redactor, out, error, ended), [out_end, error_end, end])
    }

    fn run(pump: Pump) -> (String, String) {
        let (mut out, mut error) = (Vec::new(), Vec::new());
        pump.run(&mut out, &mut error);
        (String::from_utf8(out).unwrap(), String::from_utf8(error).unwrap())
    }

    #[test]
    fn both_streams_are_masked_and_stay_apart_however_the_value_is_cut() {
        for cut in 1..VALUE.len() {
            let (pump, [mut out, mut error, _end]) = pump();
            let writer = thread::spawn(move || {
                for part in [&VALUE[..cut], &VALUE[cut..], " out\n"] {
                    out.write_all(part.as_bytes()).unwrap();
                    error.write_all(part.to_uppercase().as_bytes()).unwrap();
                    thread::yield_now();
                }
                error.write_all(VALUE.as_bytes()).unwrap();
            });
            let (out, error) = run(pump);
            writer.join().unwrap();
            assert_eq!(out, "***TOKEN*** out\n", "cut at {cut}");
            assert!(error.ends_with(" OUT\n***TOKEN***") && !error.contains("***TOKEN*** OUT"), "cut at {cut}");
        }
    }

    #[test]
    fn what_was_written_before_the_end_is_shown_and_nobody_who_holds_the_pipe_is_waited_for() {
        let (pump, [mut out, error, end]) = pump();
        let text = format!("{VALUE}\n").repeat(3000);
        out.write_all(text.as_bytes()).unwrap();
        drop(end);
        let (shown, _) = run(pump);
        assert_eq!(shown, "***TOKEN***\n".repeat(3000));
        drop((out, error));
    }

    /// A writer whose reader is gone.
    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn where_output_is_not_taken_the_step_s_pipe_closes() {
        let (pump, [mut out, mut error, _end]) = pump();
        let masking = thread::spawn(move || {
            let mut shown = Vec::new();
            pump.run(&mut Closed, &mut shown);
            shown
        });
        out.write_all(b"first\n").unwrap();
        let mut told = Ok(());
        while told.is_ok() {
            thread::yield_now();
            told = out.write_all(b"more\n");
        }
        assert_eq!(told.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        error.write_all(VALUE.as_bytes()).unwrap();
        drop((out, error));
        assert_eq!(masking.join().unwrap(), b"***TOKEN***", "the other stream goes on");
    }
}
