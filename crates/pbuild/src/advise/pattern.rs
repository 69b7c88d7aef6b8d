//! Makes patterns that match some steps and no others, and that are as short and as durable as possible.

use pllb::StepPattern;

use crate::files::mention::words_before_program;

/// Makes one or more patterns that match every needed step and none of the others. Each needed step comes with those
/// of its commands that need the secret.
///
/// A pattern cannot distinguish two steps with the same text; the caller never passes the text of a needed step as
/// one of the others.
pub(super) fn narrowest(needed: &[(&str, Vec<&str>)], others: &[&str]) -> Vec<String> {
    let mut chosen: Vec<StepPattern> = Vec::new();
    for (step, commands) in needed {
        if chosen.iter().any(|pattern| pattern.matches(step)) {
            continue;
        }
        let candidates = commands.iter().flat_map(|command| candidates(command)).chain([StepPattern::literal(step)]);
        let fits = |pattern: &StepPattern| pattern.matches(step) && !others.iter().any(|other| pattern.matches(other));
        // The last candidate is the step's own text. It matches the step, and the caller makes sure that it matches
        // no other.
        chosen.extend(candidates.map(|text| StepPattern::new(&text)).find(fits));
    }
    chosen.iter().map(|pattern| pattern.as_str().to_owned()).collect()
}

/// Makes patterns for a command, the shortest first: the program with any arguments, then with more and more of the
/// command's words.
fn candidates(command: &str) -> Vec<String> {
    let command = command.trim();
    let words: Vec<&str> = command.split_whitespace().collect();
    let before = words_before_program(&words);
    let mut patterns = Vec::new();
    // An assignment in front of a command may hold the variable, so its name is enough for a pattern.
    if let Some((name, _)) = words.first().filter(|_| before > 0).and_then(|word| word.split_once('=')) {
        patterns.push(format!("{}=*", StepPattern::literal(name)));
    }
    let mut ends =
        command.char_indices().filter(|(at, c)| c.is_whitespace() && !command[..*at].ends_with(char::is_whitespace));
    let mut ends: Vec<usize> = ends.by_ref().map(|(at, _)| at).collect();
    ends.push(command.len());
    for end in ends.into_iter().skip(before) {
        let start = StepPattern::literal(&command[..end]);
        patterns.push(if end == command.len() { start } else { format!("{start} *") });
    }
    patterns
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_program_is_enough_where_no_other_step_runs_it() {
        for (step, command, others, expected) in [
            ("npm ci", "npm ci", &["make"][..], "npm *"),
            ("npm ci", "npm ci", &["npm run build"], "npm ci"),
            ("npm ci --x", "npm ci --x", &["npm run build"], "npm ci *"),
            ("cd web && npm ci", "npm ci", &["make"], "npm *"),
            (
                "PIP_URL=https://x:$T@h pip install a",
                "PIP_URL=https://x:$T@h pip install a",
                &["pip install b"],
                "PIP_URL=*",
            ),
            ("if true; then npm ci; fi", "then npm ci", &["x; then make"], "then npm *"),
            ("make", "make", &["make x"], "make"),
            ("echo \\*?", "echo \\*?", &["echo x"], r"echo \\\*\?"),
        ] {
            assert_eq!(narrowest(&[(step, vec![command])], others), [expected], "{step}");
        }
    }

    #[test]
    fn one_pattern_may_serve_several_steps() {
        let needed = [("npm ci", vec!["npm ci"]), ("npm run x", vec!["npm run x"]), ("curl $T", vec!["curl $T"])];
        assert_eq!(narrowest(&needed, &["make"]), ["npm *", "curl *"]);
    }

    proptest! {
        /// The most important property: exactly the needed steps are matched, whatever the commands are.
        #[test]
        fn the_patterns_match_the_needed_steps_and_no_others(
            steps in proptest::collection::btree_set("[a-c*?\\\\$=&;]{1,3}( [a-c*?&;]{1,3}){0,3}", 1..8),
            which in any::<u8>(),
        ) {
            let steps: Vec<&str> = steps.iter().map(|step| step.trim()).filter(|step| StepPattern::commands(step).next().is_some()).collect();
            let is_needed = |at: usize| which >> (at % 8) & 1 == 1;
            let text = |needed: bool| steps.iter().enumerate().filter(move |(at, _)| is_needed(*at) == needed).map(|(_, step)| *step);
            let needed: Vec<(&str, Vec<&str>)> = text(true).map(|step| (step, StepPattern::commands(step).take(1).collect())).collect();
            let others: Vec<&str> = text(false).collect();
            // The text of a step may also be one of the commands of another step. No pattern can distinguish these
            // two, so such cases are left out.
            prop_assume!(needed.iter().all(|(step, _)| !others.iter().any(|other| StepPattern::new(&StepPattern::literal(step)).matches(other))));
            let patterns: Vec<StepPattern> = narrowest(&needed, &others).iter().map(|text| StepPattern::new(text)).collect();
            for (step, _) in &needed {
                prop_assert!(patterns.iter().any(|pattern| pattern.matches(step)), "{step}");
            }
            for other in &others {
                prop_assert!(!patterns.iter().any(|pattern| pattern.matches(other)), "{other}");
            }
        }
    }
}
