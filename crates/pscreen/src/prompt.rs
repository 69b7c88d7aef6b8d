//! Questions on the terminal, whose answers are not echoed.

use std::fs::File;
use std::io::{self, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rpassword::ConfigBuilder;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};

use crate::{Ending, Exit};

/// The terminal with an open question, and its earlier settings. The settings are only changed while this lock is
/// held, so that they cannot be changed again after they were restored.
static ASKED: Mutex<Option<(File, Termios)>> = Mutex::new(None);

/// Asks a question and reads a line. Ctrl-C, and every other signal, restores the terminal and ends the process:
/// while a question is open, no work is under way that would need to clean up.
///
/// # Errors
///
/// Returns an error if there is no terminal.
pub fn ask(question: &str) -> io::Result<String> {
    let mut terminal = File::options().read(true).write(true).open("/dev/tty")?;
    let before = tcgetattr(&terminal)?;
    {
        let mut asked = asked();
        // Echo is switched off before the question is shown, so that an answer typed at once is not echoed.
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

/// Returns settings without echo, in which each key is read at once. In its normal mode, the kernel cuts a line at
/// 4,095 bytes, and some secrets are longer.
fn silent(before: &Termios) -> Termios {
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG);
    silent.special_codes[SpecialCodeIndex::VMIN] = 1;
    silent.special_codes[SpecialCodeIndex::VTIME] = 0;
    silent
}

/// Shows the question and reads the answer. The library handles the editing keys; it gets no access to the terminal's
/// settings.
fn read(terminal: &mut File, question: &str) -> io::Result<String> {
    terminal.write_all(question.as_bytes())?;
    let keys = ConfigBuilder::new().input_reader(terminal.try_clone()?).output_discard().build();
    let answer = rpassword::read_password_with_config(keys)?;
    terminal.write_all(b"\n")?;
    Ok(answer)
}

/// Restores the terminal and ends the process if a question is open.
pub(crate) fn end(ending: Ending) {
    // The lock is held until the process ends, so that an answer that arrives now is not used.
    let asked = asked();
    if let Some((mut terminal, before)) = asked.as_ref().map(|(terminal, before)| (terminal, before)) {
        // Flushing drops the typed part of the answer, which the next program must not read. Errors are ignored,
        // because a closed terminal needs no settings.
        let _ = tcsetattr(terminal, OptionalActions::Flush, before);
        let _ = terminal.write_all(b"\n");
        std::process::exit(i32::from(Exit::from(ending).code()));
    }
}

fn asked() -> MutexGuard<'static, Option<(File, Termios)>> {
    ASKED.lock().unwrap_or_else(PoisonError::into_inner)
}
