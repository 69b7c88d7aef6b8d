//! Points at which a test may kill the program, to prove that the next command finishes the work.
//!
//! The points exist only in binaries that are built with the feature `faults`, and no such binary is released. In all
//! other binaries, [`point`] does nothing.

/// Every point, in the order in which a rotation passes them.
#[cfg(feature = "faults")]
pub(crate) const POINTS: [&str; 11] = [
    "rotation.sealed",
    "rotation.enabled",
    "rotation.verified",
    "rotation.published",
    "roll.first",
    "roll.up",
    "roll.sealed",
    "rotation.rolled",
    "rotation.revoking",
    "rotation.revoked",
    "rotation.finished",
];

/// Marks one of the [`POINTS`]. A test that sets `PRUN_FAULT` to its name has the process killed at this place.
#[cfg(feature = "faults")]
pub(crate) fn point(name: &str) {
    assert!(POINTS.contains(&name), "a point that is not on the list");
    if std::env::var_os("PRUN_FAULT").is_some_and(|chosen| chosen == name) {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

/// Marks one of the points. Without the feature `faults`, this does nothing.
#[cfg(not(feature = "faults"))]
pub(crate) fn point(_: &str) {}
