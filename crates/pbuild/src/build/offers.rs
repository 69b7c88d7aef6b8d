//! The account of a build's secrets: the steps that were offered each secret, the steps that ran, and the engine's
//! requests.

use std::collections::BTreeMap;

use pbuildkit::{AskedSecret, SecretAnswer};
use pcli::SecretUse;
use pllb::{MountTarget, Step};
use pscreen::words::listed;
use serde_json::{Value, json};

use crate::files::mention::mention;
use crate::secrets::MOST_NAMED;

/// Whether a step of a finished build ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StepState {
    /// The step ran.
    Ran,
    /// The step's result was in the cache.
    Cached,
}

/// The account of all secrets and steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offers {
    secrets: Vec<(SecretUse, Vec<usize>)>,
    steps: Vec<Value>,
}

impl Offers {
    /// Combines the facts of the graph, the screen and the session, for the secrets with these names.
    pub(crate) fn new(
        secrets: &[String],
        steps: &[Step],
        states: &BTreeMap<String, StepState>,
        asked: &[AskedSecret],
    ) -> Self {
        let account = |name: &String| {
            let of: Vec<usize> = (0..steps.len()).filter(|at| has(&steps[*at], name)).collect();
            let count = |state| of.iter().filter(|at| states.get(&steps[**at].digest) == Some(&state)).count();
            let served = |asked: &&AskedSecret| asked.answer == SecretAnswer::Served && asked.id == *name;
            let account = SecretUse {
                name: name.clone(),
                steps: of.len(),
                ran: count(StepState::Ran),
                cached: count(StepState::Cached),
                asked: asked.iter().filter(served).map(|asked| asked.times).sum(),
                mentioned: of.iter().any(|at| reads(&steps[*at], name)),
            };
            (account, of)
        };
        let document = |step: &Step| {
            let mounted: Vec<&str> = step.mounted.iter().map(|mounted| mounted.id.as_str()).collect();
            let state = match states.get(&step.digest) {
                Some(StepState::Ran) => "ran",
                Some(StepState::Cached) => "cached",
                None => "skipped",
            };
            json!({ "vertex": step.digest, "name": step.name, "state": state, "offered": step.offered, "mounted": mounted })
        };
        Self { secrets: secrets.iter().map(account).collect(), steps: steps.iter().map(document).collect() }
    }

    /// Returns the account for people: one line for each group of secrets with the same steps and requests. Secrets
    /// that no step has are left out.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut groups: Vec<(Vec<&str>, &SecretUse, &[usize])> = Vec::new();
        for (secret, steps) in self.secrets.iter().filter(|(secret, _)| secret.steps > 0) {
            let same = groups
                .iter_mut()
                .find(|(_, first, of)| *of == steps.as_slice() && first.asked.min(1) == secret.asked.min(1));
            match same {
                Some((names, _, _)) => names.push(&secret.name),
                None => groups.push((vec![&secret.name], secret, steps)),
            }
        }
        let line = |(names, first, _): (Vec<&str>, &SecretUse, &[usize])| {
            let steps = pscreen::words::counted(first.steps, "step");
            let mut parts = Vec::new();
            if first.ran > 0 {
                parts.push(format!("{} ran", first.ran));
            }
            if first.cached > 0 {
                parts.push(format!("{} cached", first.cached));
            }
            let skipped = first.steps - first.ran - first.cached;
            if skipped > 0 {
                parts.push(format!("{skipped} not needed"));
            }
            let asked = if first.asked > 0 { "requested by BuildKit" } else { "not requested by BuildKit" };
            format!("{} to {steps} ({}), {asked}", listed(&names, MOST_NAMED), parts.join(", "))
        };
        groups.into_iter().map(line).collect()
    }

    /// Returns lines for people about the secrets that this build could do without.
    pub(crate) fn unused(&self) -> Vec<String> {
        let secrets = || self.secrets.iter().map(|(secret, _)| secret);
        let names =
            |of: &dyn Fn(&&SecretUse) -> bool| secrets().filter(of).map(|secret| secret.name.as_str()).collect();
        let of_no_step =
            lines(names(&|secret| secret.steps == 0), &|names, _| format!("no step of this build was offered {names}"));
        let unmentioned = lines(names(&|secret| secret.steps > 0 && !secret.mentioned), &|names, several| {
            let them = if several { "them" } else { "it" };
            format!("no command of this build mentions {names}; a program may still read {them}")
        });
        unmentioned.into_iter().chain(of_no_step).collect()
    }

    /// Returns the account for the record of builds.
    pub(crate) fn uses(&self) -> Vec<SecretUse> {
        self.secrets.iter().map(|(secret, _)| secret.clone()).collect()
    }

    /// Returns the account for programs: one JSON object, contract version 1, on its own line among BuildKit's lines.
    pub(crate) fn json(&self) -> String {
        json!({ "pbuild": { "version": 1, "offers": { "secrets": self.uses(), "steps": self.steps } } }).to_string()
    }
}

/// Writes one line for each name if there are few, and one line for all names if there are many, so that even the
/// account of hundreds of secrets fits on a screen.
fn lines(names: Vec<&str>, line: &dyn Fn(&str, bool) -> String) -> Vec<String> {
    match names.len() {
        0..=MOST_NAMED => names.into_iter().map(|name| line(name, false)).collect(),
        _ => vec![line(&listed(&names, MOST_NAMED), true)],
    }
}

/// Returns whether a step has a secret, by the injection or by its own mount.
fn has(step: &Step, name: &str) -> bool {
    step.offered.iter().any(|offered| offered == name) || own_mount(step, name)
}

fn own_mount(step: &Step, name: &str) -> bool {
    step.mounted.iter().any(|mounted| {
        let same_variable = matches!(&mounted.target, MountTarget::Variable(variable) if variable == name);
        mounted.id == name || same_variable
    })
}

/// Returns whether a step itself uses a secret: it mounts the secret, mentions its name, or runs a program that is
/// known to read it.
fn reads(step: &Step, name: &str) -> bool {
    own_mount(step, name) || pllb::StepPattern::commands(&step.command).any(|command| mention(command, name).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(number: usize, command: &str, offered: &[&str]) -> Step {
        Step {
            digest: format!("sha256:{number}"),
            name: format!("[{number}/9] RUN {command}"),
            command: command.to_owned(),
            source: None,
            offered: offered.iter().map(|name| (*name).to_owned()).collect(),
            mounted: Vec::new(),
        }
    }

    fn offers() -> Offers {
        let steps = [
            step(1, "npm ci", &["NPM_TOKEN", "A", "B"]),
            step(2, "make $A", &["A", "B"]),
            step(3, "make x", &["A", "B", "C"]),
        ];
        let states = [("sha256:1", StepState::Ran), ("sha256:2", StepState::Cached)];
        let asked = |id: &str, times| AskedSecret { id: id.to_owned(), answer: SecretAnswer::Served, times };
        Offers::new(
            &["NPM_TOKEN", "A", "B", "C", "NOBODY"].map(str::to_owned),
            &steps,
            &states.map(|(digest, state)| (digest.to_owned(), state)).into(),
            &[asked("NPM_TOKEN", 1), asked("A", 1), asked("B", 1), asked("C", 3)],
        )
    }

    #[test]
    fn secrets_that_went_the_same_way_share_a_line() {
        assert_eq!(
            offers().lines(),
            [
                "NPM_TOKEN to 1 step (1 ran), requested by BuildKit",
                "A, B to 3 steps (1 ran, 1 cached, 1 not needed), requested by BuildKit",
                "C to 1 step (1 not needed), requested by BuildKit",
            ]
        );
    }

    #[test]
    fn what_the_build_could_do_without_is_named() {
        let unused = offers().unused().join("\n");
        assert_eq!(
            unused,
            "no command of this build mentions B; a program may still read it\n\
             no command of this build mentions C; a program may still read it\n\
             no step of this build was offered NOBODY"
        );
    }

    #[test]
    fn with_hundreds_of_secrets_the_account_is_a_few_lines() {
        let names: Vec<String> = (0..300).map(|number| format!("S{number}")).collect();
        let offered: Vec<&str> = names.iter().take(200).map(String::as_str).collect();
        let offers = Offers::new(&names, &[step(1, "make", &offered)], &Default::default(), &[]);
        let first = "S0, S1, S2, S3, S4, S5, S6, S7";
        assert_eq!(
            offers.lines(),
            [format!("{first} and 192 more to 1 step (1 not needed), not requested by BuildKit")]
        );
        assert_eq!(
            offers.unused(),
            [
                format!("no command of this build mentions {first} and 192 more; a program may still read them"),
                "no step of this build was offered S200, S201, S202, S203, S204, S205, S206, S207 and 92 more"
                    .to_owned(),
            ]
        );
    }

    #[test]
    fn programs_get_every_step_and_every_secret() {
        let document: Value = serde_json::from_str(&offers().json()).unwrap();
        let offers = &document["pbuild"]["offers"];
        assert_eq!(offers["steps"][1]["state"], "cached");
        assert_eq!(offers["steps"][0]["offered"], json!(["NPM_TOKEN", "A", "B"]));
        assert_eq!(
            offers["secrets"][3],
            json!({"name": "C", "steps": 1, "ran": 0, "cached": 0, "asked": 3, "mentioned": false})
        );
    }
}
