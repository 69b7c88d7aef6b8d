//! Places where a test may kill the program, to see that the next one finishes what was begun.
//!
//! They exist in binaries built with the feature `faults` alone, which nobody is given: without it a point is nothing.

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

/// One of the [`POINTS`].
#[cfg(feature = "faults")]
pub(crate) fn point(name: &str) {
    assert!(POINTS.contains(&name), "a point that no test knows");
    if std::env::var_os("PRUN_FAULT").is_some_and(|wanted| wanted == name) {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

/// One of the points; nothing happens here.
#[cfg(not(feature = "faults"))]
pub(crate) fn point(_: &str) {}
