//! The finding of a canary in a place where none may be.

use std::fmt;

use crate::needles::Sighting;

/// A canary in a place where none may be. It names the canary, the form and the place, never the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The canary's name.
    pub name: String,
    /// The form in which the canary was found.
    pub form: &'static str,
    /// The place: a path, or the caller's name for the bytes.
    pub place: String,
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "canary {} in {}, {}", self.name, self.place, self.form)
    }
}

/// Makes a trace from a sighting in the bytes that the caller named `label`.
pub(crate) fn trace(sighting: Sighting, label: &str) -> Trace {
    let Sighting { name, form, offset, packed } = sighting;
    let packed = if packed.is_empty() { String::new() } else { format!(" {packed}") };
    Trace { name, form, place: format!("{label}, byte {offset}{packed}") }
}

/// Fails if there are any traces.
#[track_caller]
pub(crate) fn clean(traces: &[Trace]) {
    let lines: Vec<String> = traces.iter().map(|trace| format!("  {trace}")).collect();
    assert!(traces.is_empty(), "a secret leaked\n{}", lines.join("\n"));
}
