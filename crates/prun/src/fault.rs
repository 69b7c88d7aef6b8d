//! Points at which a test may kill the program, to prove that the next command finishes the work.
//!
//! They exist only in binaries that are built with the feature `faults`, and no such binary is released. In all others
//! a point does nothing.

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

/// Marks one of the [`POINTS`]: a test can have the process killed there.
#[cfg(feature = "faults")]
pub(crate) fn point(name: &str) {
    assert!(POINTS.contains(&name), "a point that is not on the list");
    if std::env::var_os("PRUN_FAULT").is_some_and(|chosen| chosen == name) {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

/// Marks one of the points; nothing happens here.
#[cfg(not(feature = "faults"))]
pub(crate) fn point(_: &str) {}
