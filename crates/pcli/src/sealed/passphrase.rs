//! The passphrase that unwraps an identity, from a variable or from the terminal.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use pvault::{Environment, Identity, Passphrase, VaultError};

use super::{NEW_PASSPHRASE_VARIABLE, PASSPHRASE_VARIABLE, SealedError};

/// The number of times that a person may type the passphrase. A passphrase in a variable is tried only once (K6).
const TRIES: usize = 3;

/// The identity that this process has already unwrapped. One command may load the identity in several places; without
/// this cache, each of them would ask for the passphrase again, and unwrapping takes a second by design.
static UNWRAPPED: Mutex<Option<(PathBuf, Identity)>> = Mutex::new(None);

/// Reads the identity file, and unwraps it if it is wrapped.
pub(super) fn load(path: &Path, environment: &Environment<'_>) -> Result<Identity, SealedError> {
    match Identity::load(path) {
        Err(VaultError::NeedsPassphrase { .. }) => {}
        other => return Ok(other?),
    }
    let mut known = UNWRAPPED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, identity)) = known.as_ref().filter(|(of, _)| of == path) {
        return Ok(identity.clone());
    }
    let (identity, _) = unwrap(path, environment)?;
    *known = Some((path.to_owned(), identity.clone()));
    Ok(identity)
}

/// Returns true if the identity can be loaded without a question to the user.
pub(super) fn is_at_hand(path: &Path, environment: &Environment<'_>) -> bool {
    if !matches!(Identity::load(path), Err(VaultError::NeedsPassphrase { .. })) {
        return true;
    }
    let known = UNWRAPPED.lock().unwrap_or_else(PoisonError::into_inner);
    known.as_ref().is_some_and(|(of, _)| of == path)
        || environment(PASSPHRASE_VARIABLE).is_some_and(|text| !text.is_empty())
}

/// Makes an identity file that is wrapped with a new passphrase.
pub(super) fn create(path: &Path, environment: &Environment<'_>) -> Result<(), SealedError> {
    let identity = Identity::unwrap_or_create(path, &fresh(environment)?)?;
    *UNWRAPPED.lock().unwrap_or_else(PoisonError::into_inner) = Some((path.to_owned(), identity));
    Ok(())
}

/// Unwraps the identity file and returns the passphrase that opened it. Returns `None` if the file is not wrapped.
pub(super) fn current(path: &Path, environment: &Environment<'_>) -> Result<Option<Passphrase>, SealedError> {
    match Identity::load(path) {
        Err(VaultError::NeedsPassphrase { .. }) => unwrap(path, environment).map(|(_, passphrase)| Some(passphrase)),
        other => other.map(|_| None).map_err(SealedError::from),
    }
}

fn unwrap(path: &Path, environment: &Environment<'_>) -> Result<(Identity, Passphrase), SealedError> {
    if let Some(passphrase) = given(PASSPHRASE_VARIABLE, environment)? {
        return Ok((Identity::unwrap(path, &passphrase)?, passphrase));
    }
    if !can_ask(environment) {
        return Err(VaultError::NeedsPassphrase { path: path.to_owned() }.into());
    }
    let mut question = format!("passphrase of {}: ", path.display());
    for left in (0..TRIES).rev() {
        let passphrase = ask(&question)?;
        match Identity::unwrap(path, &passphrase) {
            Ok(identity) => return Ok((identity, passphrase)),
            Err(VaultError::WrongPassphrase { .. }) if left > 0 => {
                question = "wrong passphrase; once more: ".to_owned();
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(VaultError::WrongPassphrase { path: path.to_owned() }.into())
}

/// Returns a new passphrase from the variable, or asks the user for it.
pub(super) fn fresh(environment: &Environment<'_>) -> Result<Passphrase, SealedError> {
    let passphrase = match given(NEW_PASSPHRASE_VARIABLE, environment)? {
        Some(passphrase) => passphrase,
        None if can_ask(environment) => {
            let passphrase = ask("new passphrase: ")?;
            if passphrase.is_short() {
                return Err(SealedError::ShortPassphrase);
            }
            if ask("the same once more: ")? != passphrase {
                return Err(SealedError::TwoPassphrases);
            }
            passphrase
        }
        None => return Err(SealedError::NoTerminal),
    };
    if passphrase.is_short() { Err(SealedError::ShortPassphrase) } else { Ok(passphrase) }
}

fn given(variable: &'static str, environment: &Environment<'_>) -> Result<Option<Passphrase>, SealedError> {
    let Some(text) = environment(variable).filter(|text| !text.is_empty()) else { return Ok(None) };
    let text = text.into_string().map_err(|_| SealedError::NotText { variable })?;
    Ok(Some(Passphrase::new(text)))
}

/// Returns true if a person can be asked. A job in CI has no person. Standard error must be a terminal, because it
/// shows the question.
fn can_ask(environment: &Environment<'_>) -> bool {
    let in_ci = environment("CI").is_some_and(|text| !text.is_empty());
    !in_ci && io::stderr().is_terminal() && std::fs::File::open("/dev/tty").is_ok()
}

fn ask(question: &str) -> Result<Passphrase, SealedError> {
    pscreen::ask(question).map(Passphrase::new).map_err(SealedError::Prompt)
}
