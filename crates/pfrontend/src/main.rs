//! The program of the frontend image. Without arguments, it is the frontend of a build; with arguments, it is the
//! scanner or the wrapper of a step.

use std::ffi::OsString;
use std::io::{self, Write as _};

use pfrontend::build::build;
use pfrontend::masking::{self, Signals};
use pfrontend::options::Options;
use pgateway::{Bridge, Status, channel, started};

fn main() {
    let mut words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let code = match words.first() {
        None => frontend(),
        Some(word) if word == plook::mask::WORD => wrapper(words.split_off(1)),
        Some(_) => scanner(words.iter().map(|word| word.to_string_lossy().into_owned()).collect()),
    };
    // A thread of the runtime still waits for standard input, which BuildKit closes only after this process has
    // ended.
    std::process::exit(code);
}

fn frontend() -> i32 {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return 1 };
    let outcome = runtime.block_on(answer());
    runtime.shutdown_background();
    // Nothing is written to standard error, because the engine writes it into its own log, which is not for messages
    // about a build.
    if outcome.is_ok() { 0 } else { 1 }
}

/// Builds, and gives the result or the error to BuildKit.
async fn answer() -> Result<(), Status> {
    let options = Options::new(started::options_of(std::env::vars()));
    let stdio = tokio::io::join(tokio::io::stdin(), tokio::io::stdout());
    let mut bridge = Bridge::of_frontend(channel::open(stdio, None).await?);
    match build(&bridge, &options).await {
        Ok(solved) => bridge.finish(solved).await,
        Err(status) => bridge.fail(&masking::given_back(&status)).await,
    }
}

fn scanner(words: Vec<String>) -> i32 {
    match plook::program::run_of_image(words, &mut io::stdin().lock(), &mut io::stdout().lock()) {
        Ok(()) => 0,
        Err(error) => {
            // The scanner's messages contain nothing of its input.
            let _ = writeln!(io::stderr(), "{error}");
            1
        }
    }
}

/// Runs the command of a step, and masks its output. The wrapper is the step's first process, so it receives the
/// step's signals.
fn wrapper(words: Vec<OsString>) -> i32 {
    match Signals::caught() {
        Ok(signals) => plook::mask::run(words, |running| signals.pass_on(running)),
        Err(error) => {
            let _ = writeln!(io::stderr(), "pbuild: the wrapper of this step cannot be set up: {error}");
            125
        }
    }
}
