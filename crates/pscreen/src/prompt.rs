//! A question on the terminal, answered without echo.

use std::fs::File;
use std::io::{self, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rpassword::ConfigBuilder;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};

use crate::{Ending, Exit};

/// The terminal on which a question stands, and how it was set before. The terminal is set only by whoever holds this lock, so
/// that nothing sets it once more behind the one that gives it back.
static ASKED: Mutex<Option<(File, Termios)>> = Mutex::new(None);

/// Asks a question, and waits for a line. Ctrl-C, and every other signal, ends the process with the terminal as it was
/// before: while a question stands there, no work is under way that would need more.
///
/// # Errors
///
/// When there is no terminal.
pub fn ask(question: &str) -> io::Result<String> {
    let mut terminal = File::options().read(true).write(true).open("/dev/tty")?;
    let before = tcgetattr(&terminal)?;
    {
        let mut asked = asked();
        // Before the question is shown: whoever answers at once is not echoed either.
        tcsetattr(&terminal, OptionalActions::Now, &silent(&before))?;
        *asked = Some((terminal.try_clone()?, before.clone()));
    }
    let answer = read(&mut terminal, question);
    if answer.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::Interrupted) {
        end(Ending::Interrupt);
    }
    let mut asked = asked();
    tcsetattr(&terminal, OptionalActions::Now, &before)?;
    *asked = None;
    answer
}

/// Without echo, and each key at once: the kernel keeps no line of more than 4,095 bytes, and some secrets are longer.
fn silent(before: &Termios) -> Termios {
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG);
    silent.special_codes[SpecialCodeIndex::VMIN] = 1;
    silent.special_codes[SpecialCodeIndex::VTIME] = 0;
    silent
}

/// The library edits the line, and is kept from the terminal's settings.
fn read(terminal: &mut File, question: &str) -> io::Result<String> {
    terminal.write_all(question.as_bytes())?;
    let keys = ConfigBuilder::new().input_reader(terminal.try_clone()?).output_discard().build();
    let answer = rpassword::read_password_with_config(keys)?;
    terminal.write_all(b"\n")?;
    Ok(answer)
}

/// Ends the process if a question stands on the terminal.
pub(crate) fn end(ending: Ending) {
    // Held to the end: an answer that comes now is not heard any more.
    let asked = asked();
    if let Some((mut terminal, before)) = asked.as_ref().map(|(terminal, before)| (terminal, before)) {
        // The typed part of the answer must not reach the program that reads next. A terminal that is gone needs
        // nothing.
        let _ = tcsetattr(terminal, OptionalActions::Flush, before);
        let _ = terminal.write_all(b"\n");
        std::process::exit(i32::from(Exit::from(ending).code()));
    }
}

fn asked() -> MutexGuard<'static, Option<(File, Termios)>> {
    ASKED.lock().unwrap_or_else(PoisonError::into_inner)
}
