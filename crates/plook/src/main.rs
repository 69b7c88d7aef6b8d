//! The program: standard input to standard output, and an exit code that is zero when it came to its end.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use plook::{STATES, search, wire};

fn main() -> ExitCode {
    let outcome = wire::read_task(&mut io::stdin().lock()).map_err(search::SearchError::from).and_then(|task| {
        let mounts = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
        let mounts = String::from_utf8_lossy(&mounts);
        search::run(task, Path::new(STATES), &mounts, &mut io::stdout().lock())
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Whoever listens needs the exit code; the words help to find out why.
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}
