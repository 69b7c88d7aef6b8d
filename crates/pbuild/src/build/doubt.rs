//! Steps that may have got another value than this build's. This happens with a secret that has `rebuild = false`,
//! because it is not part of the cache keys of its steps.

use std::collections::{BTreeMap, BTreeSet};

use pbuildkit::{AskedSecret, SecretAnswer};
use pllb::Step;

use super::offers::StepState;

/// A step, and the secrets of which the step may have got another value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Doubt {
    /// The step's name.
    pub(crate) step: String,
    /// The names of the secrets.
    pub(crate) secrets: Vec<String>,
}

impl Doubt {
    /// Says for people that the step's result came from the cache, so another value may have made it.
    pub(crate) fn of_cached(&self) -> String {
        let Self { step, secrets } = self;
        format!(
            "{step} did not run: another value of {} may have made its result (rebuild = false)",
            secrets.join(", ")
        )
    }

    /// Says for people that the step ran without asking this build for the values.
    pub(crate) fn of_unasked(&self) -> String {
        let Self { step, secrets } = self;
        format!("{step} ran, and did not ask this build for {} (rebuild = false)", secrets.join(", "))
    }
}

/// All doubts about one build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Doubts {
    /// Steps that did not run. The value of another build, today's or an older one, may have made their results.
    cached: Vec<Doubt>,
    /// Steps that ran, although this build served a value less often than its steps must have asked for it. Another
    /// build that ran at the same time answered the steps.
    unasked: Vec<Doubt>,
}

impl Doubts {
    /// Finds the doubts. A step that did not run is in doubt. A step that ran is in doubt if this build served a
    /// value less often than the steps must have asked for it. `unbound` names the secrets that are not part of cache
    /// keys.
    pub(crate) fn new(
        unbound: &BTreeSet<String>,
        steps: &[Step],
        states: &BTreeMap<String, StepState>,
        asked: &[AskedSecret],
    ) -> Self {
        // Images of several platforms share stages, so one step may be listed twice.
        let steps: BTreeMap<&str, &Step> = steps.iter().map(|step| (step.digest.as_str(), step)).collect();
        let ran = |step: &Step| states.get(&step.digest) == Some(&StepState::Ran);
        let starved = |name: &&String| {
            let served = |asked: &&AskedSecret| asked.answer == SecretAnswer::Served && asked.id == **name;
            let answered: u64 = asked.iter().filter(served).map(|asked| asked.times).sum();
            let requests: usize = steps.values().filter(|step| ran(step)).map(|step| requests(step, name)).sum();
            answered < requests as u64
        };
        let starved: BTreeSet<&String> = unbound.iter().filter(starved).collect();
        let mut doubts = Self::default();
        for step in steps.values() {
            let counts = |name: &&String| requests(step, name) > 0 && (!ran(step) || starved.contains(name));
            let secrets: Vec<String> = unbound.iter().filter(counts).cloned().collect();
            if secrets.is_empty() {
                continue;
            }
            let of_kind = if ran(step) { &mut doubts.unasked } else { &mut doubts.cached };
            of_kind.push(Doubt { step: step.name.clone(), secrets });
        }
        doubts
    }

    /// Finds the doubts before it is known which steps ran, by assuming that every step ran and must have asked.
    pub(crate) fn of_unknown_states(unbound: &BTreeSet<String>, steps: &[Step], asked: &[AskedSecret]) -> Self {
        let states = steps.iter().map(|step| (step.digest.clone(), StepState::Ran)).collect();
        Self::new(unbound, steps, &states, asked)
    }

    /// Returns the steps that did not run.
    pub(crate) fn cached(&self) -> &[Doubt] {
        &self.cached
    }

    /// Returns the steps that ran and may have got a value from another build.
    pub(crate) fn unasked(&self) -> &[Doubt] {
        &self.unasked
    }
}

/// Counts how often a step asks for a secret when it runs: once for each mount, and once if the step gets the
/// variable.
fn requests(step: &Step, name: &str) -> usize {
    let offered = step.offered.iter().filter(|offered| *offered == name).count();
    offered + step.mounted.iter().filter(|mounted| mounted.id == name).count()
}

#[cfg(test)]
mod tests {
    use pllb::{MountTarget, MountedSecret};

    use super::*;

    fn step(number: usize, offered: &[&str], mounted: &[&str]) -> Step {
        let mount =
            |id: &&str| MountedSecret { id: (*id).to_owned(), optional: false, target: MountTarget::File("/x".into()) };
        Step {
            digest: format!("sha256:{number}"),
            name: format!("step {number}"),
            command: String::new(),
            source: None,
            offered: offered.iter().map(|name| (*name).to_owned()).collect(),
            mounted: mounted.iter().map(mount).collect(),
        }
    }

    fn doubts(states: &[(usize, StepState)], times: u64) -> (Vec<String>, Vec<String>) {
        let steps = [
            step(1, &["CI", "BOUND"], &[]),
            step(2, &["BOUND"], &["CI"]),
            step(3, &["BOUND"], &[]),
            // The same stage, built for another platform.
            step(1, &["CI", "BOUND"], &[]),
        ];
        let states = states.iter().map(|(number, state)| (format!("sha256:{number}"), *state)).collect();
        let asked = [
            AskedSecret { id: "CI".to_owned(), answer: SecretAnswer::Served, times },
            AskedSecret { id: "CI".to_owned(), answer: SecretAnswer::NotMounted, times: 9 },
        ];
        let doubts = Doubts::new(&["CI".to_owned()].into(), &steps, &states, &asked);
        let names = |doubts: &[Doubt]| {
            doubts.iter().map(|doubt| format!("{} {}", doubt.step, doubt.secrets.join(","))).collect::<Vec<_>>()
        };
        (names(doubts.cached()), names(doubts.unasked()))
    }

    #[test]
    fn a_step_that_ran_and_asked_is_beyond_doubt() {
        let all = [(1, StepState::Ran), (2, StepState::Ran), (3, StepState::Ran)];
        assert_eq!(doubts(&all, 2), (vec![], vec![]));
    }

    #[test]
    fn a_cached_or_skipped_step_may_have_another_value() {
        let (cached, unasked) = doubts(&[(1, StepState::Cached), (3, StepState::Cached)], 0);
        assert_eq!((cached, unasked), (vec!["step 1 CI".to_owned(), "step 2 CI".to_owned()], vec![]));
    }

    #[test]
    fn steps_that_ran_and_asked_too_seldom_ran_with_somebody_else_s_value() {
        let (cached, unasked) = doubts(&[(1, StepState::Ran), (2, StepState::Ran)], 1);
        assert_eq!((cached, unasked), (vec![], vec!["step 1 CI".to_owned(), "step 2 CI".to_owned()]));
        let (cached, unasked) = doubts(&[(1, StepState::Ran), (2, StepState::Cached)], 0);
        assert_eq!((cached, unasked), (vec!["step 2 CI".to_owned()], vec!["step 1 CI".to_owned()]));
    }
}
