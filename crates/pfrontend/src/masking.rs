//! Masks the output of steps with secrets, by a wrapper that runs their commands.
//!
//! The wrapper is this very program, mounted read-only from the frontend's own image. It gets the names of the step's
//! secrets as an argument, and reads the values in the step; this process never sees them.

use std::io;
use std::thread;

use pgateway::{Status, reworded};
use pllb::{Definition, MountTarget, MountedSecret, WRAPPER, Wrapper};
use plook::mask::held::{self, Held, Holder};
use plook::mask::{END, Running, WORD};
use psecret::SecretName;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::scanner::PROGRAM;
use crate::secrets::Secrets;

/// Makes the wrapper for steps that get any of the secrets that the client brought.
pub(crate) fn wrapper(image: Definition, secrets: &Secrets) -> Wrapper {
    let ids = secrets.brought.iter().map(|one| one.request.name.to_string()).collect();
    Wrapper { image, program: PROGRAM.to_owned(), ids, words }
}

/// Returns the arguments between the wrapper and a step's command.
fn words(held: &[MountedSecret]) -> Vec<String> {
    let held = held.iter().filter_map(|one| {
        let holder = match &one.target {
            MountTarget::Variable(name) => Holder::Variable(name.clone()),
            MountTarget::File(path) => Holder::File(path.clone()),
        };
        Some(Held { name: SecretName::parse(&one.id).ok()?, holder })
    });
    vec![WORD.to_owned(), held::word(&held.collect::<Vec<_>>()), END.to_owned()]
}

/// Returns an error in which a step's command is written as in the Dockerfile, without the wrapper before it.
#[must_use]
pub fn given_back(status: &Status) -> Status {
    reworded(status, &without_wrapper)
}

fn without_wrapper(text: &str) -> String {
    let begin = format!("{WRAPPER} {WORD} ");
    let end = format!(" {END} ");
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(&begin) {
        out.push_str(before);
        rest = match after.split_once(&end) {
            // The argument that lists the secrets has no blank.
            Some((word, command)) if !word.contains(' ') => command,
            _ => {
                out.push_str(&begin);
                after
            }
        };
    }
    out + rest
}

/// The signals that the wrapper forwards: those that people and programs send to the first process of a container.
const PASSED_ON: [SignalKind; 7] = [
    SignalKind::hangup(),
    SignalKind::interrupt(),
    SignalKind::quit(),
    SignalKind::user_defined1(),
    SignalKind::user_defined2(),
    SignalKind::terminate(),
    SignalKind::window_change(),
];

/// The signals that are caught, so that they no longer end the process. They wait until they are forwarded.
#[derive(Debug)]
pub struct Signals {
    runtime: Runtime,
    caught: Vec<(i32, Signal)>,
}

impl Signals {
    /// Catches the signals from now on.
    ///
    /// # Errors
    ///
    /// Returns an error if the handlers cannot be installed.
    pub fn caught() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let inside = runtime.enter();
        let caught = PASSED_ON.map(|kind| signal(kind).map(|signal| (kind.as_raw_value(), signal)));
        let caught = caught.into_iter().collect::<io::Result<_>>()?;
        drop(inside);
        Ok(Self { runtime, caught })
    }

    /// Forwards the signals that have arrived and those that will arrive, in a thread that ends with the program.
    pub fn pass_on(self, running: Running) {
        let Self { runtime, caught } = self;
        let each = move |(number, mut signal): (i32, Signal)| async move {
            while signal.recv().await.is_some() {
                running.signal(number);
            }
        };
        thread::spawn(move || runtime.block_on(futures::future::join_all(caught.into_iter().map(each))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounted(id: &str, target: MountTarget) -> MountedSecret {
        MountedSecret { id: id.to_owned(), optional: false, target }
    }

    #[test]
    fn the_wrapper_is_told_names_and_places() {
        let held = [
            mounted("TOKEN", MountTarget::Variable("TOKEN".to_owned())),
            mounted("npm", MountTarget::File("/root/.npmrc".to_owned())),
        ];
        assert_eq!(words(&held), ["mask", "TOKEN:TOKEN,npm:/root/.npmrc", "--"]);
    }

    #[test]
    fn an_error_has_the_dockerfile_s_own_command() {
        let of = |command: &str| format!("process \"{command}\" did not complete successfully: exit code: 3");
        let plain = of("/bin/sh -c git log -- a && exit 3");
        let wrapped = of("/dev/pbuild-mask mask TOKEN:TOKEN,npm:/root/.npmrc -- /bin/sh -c git log -- a && exit 3");
        assert_eq!(without_wrapper(&wrapped), plain);
        assert_eq!(without_wrapper(&format!("{wrapped}\n{wrapped}")), format!("{plain}\n{plain}"));
        for text in [plain.as_str(), "", "/dev/pbuild-mask mask it is -- all"] {
            assert_eq!(without_wrapper(text), text);
        }
        let status = given_back(&Status::unknown(wrapped));
        assert_eq!(status.message(), plain);
    }
}
