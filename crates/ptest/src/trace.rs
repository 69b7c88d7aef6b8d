//! A canary where none should be.

use std::fmt;

use crate::needles::Sighting;

/// A canary where none should be. Says what was seen where, never the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The canary's name.
    pub name: String,
    /// The form it was seen in.
    pub form: &'static str,
    /// Where: what the caller named the bytes, or a path.
    pub place: String,
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "canary {} in {}, {}", self.name, self.place, self.form)
    }
}

/// Makes a trace of a sighting in the thing that the caller named `label`.
pub(crate) fn trace(sighting: Sighting, label: &str) -> Trace {
    let Sighting { name, form, offset, packed } = sighting;
    let packed = if packed.is_empty() { String::new() } else { format!(" {packed}") };
    Trace { name, form, place: format!("{label}, byte {offset}{packed}") }
}

/// Fails if there is a trace.
#[track_caller]
pub(crate) fn clean(traces: &[Trace]) {
    let lines: Vec<String> = traces.iter().map(|trace| format!("  {trace}")).collect();
    assert!(traces.is_empty(), "a secret leaked\n{}", lines.join("\n"));
}
