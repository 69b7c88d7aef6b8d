//! Patterns on the text of a step's command, which select the steps that get a secret.

/// A pattern such as `npm *`: `*` stands for any text, `?` for one character, and a backslash removes the meaning of
/// the next character. All other characters, even brackets, stand for themselves.
///
/// A step matches if the pattern matches its whole command, or one of the commands in it, which are separated by
/// `&&`, `||`, `|`, `;`, `&` or line ends. Quotes are ignored: a pattern only selects steps, and if a step is
/// selected needlessly, the report lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepPattern {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Literal(char),
    One,
    Any,
}

impl StepPattern {
    /// Reads a pattern. Every text is a valid pattern.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut characters = text.trim().chars();
        while let Some(character) = characters.next() {
            parts.push(match character {
                '*' => Part::Any,
                '?' => Part::One,
                '\\' => Part::Literal(characters.next().unwrap_or('\\')),
                other => Part::Literal(other),
            });
        }
        Self { text: text.to_owned(), parts }
    }

    /// Returns the pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the pattern matches a step with this command.
    #[must_use]
    pub fn matches(&self, command: &str) -> bool {
        self.matches_whole(command) || Self::commands(command).any(|single| self.matches_whole(single))
    }

    /// Splits the command of a step into the single commands that patterns are compared with.
    pub fn commands(command: &str) -> impl Iterator<Item = &str> {
        command.split(['&', '|', ';', '\n']).map(str::trim).filter(|single| !single.is_empty())
    }

    /// Returns the pattern that matches only this text.
    #[must_use]
    pub fn literal(text: &str) -> String {
        let escaped = text.chars().flat_map(|c| matches!(c, '*' | '?' | '\\').then_some('\\').into_iter().chain([c]));
        escaped.collect()
    }

    /// Whether the pattern matches the whole text. It backtracks only to the last `*`. This is enough, and limits the
    /// work to the pattern's length times the text's length.
    fn matches_whole(&self, text: &str) -> bool {
        let text: Vec<char> = text.trim().chars().collect();
        let (mut at, mut part) = (0, 0);
        let mut star = None;
        while at < text.len() {
            match self.parts.get(part) {
                Some(Part::Any) => {
                    star = Some((part, at));
                    part += 1;
                }
                Some(Part::One) => (at, part) = (at + 1, part + 1),
                Some(Part::Literal(literal)) if *literal == text[at] => (at, part) = (at + 1, part + 1),
                Some(Part::Literal(_)) | None => {
                    let Some((star_part, star_at)) = star else { return false };
                    star = Some((star_part, star_at + 1));
                    (at, part) = (star_at + 1, star_part + 1);
                }
            }
        }
        self.parts[part..].iter().all(|part| *part == Part::Any)
    }
}

/// Returns the text of a step's command: in shell form the word after `-c`, in exec form the words joined by blanks.
pub(crate) fn command_text(arguments: &[&str]) -> String {
    match arguments {
        // This matches `/bin/sh -c`, `/bin/bash -o pipefail -c`, `/bin/ash -eo pipefail -c` and `sh -ec`.
        [.., flags, script] if flags.starts_with('-') && !flags.starts_with("--") && flags.ends_with('c') => {
            (*script).to_owned()
        }
        _ => arguments.join(" "),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, command: &str) -> bool {
        StepPattern::new(pattern).matches(command)
    }

    #[test]
    fn a_pattern_matches_the_whole_command() {
        assert!(matches("npm *", "npm ci --omit dev"));
        assert!(matches("npm *", "  npm ci\n"));
        assert!(!matches("npm *", "pnpm ci"));
        assert!(!matches("npm *", "npm"));
        assert!(!matches("npm", "npm ci"));
        assert!(matches("pip? install *", "pip3 install x"));
        assert!(matches("*", ""));
        assert!(!matches("", "npm ci"));
    }

    #[test]
    fn a_pattern_matches_one_command_of_several() {
        assert!(matches("npm *", "cd web && npm ci"));
        assert!(matches("npm *", "set -e\nnpm ci\nrm -rf x\n"));
        assert!(matches("git clone *", "a; git clone b | tee log"));
        assert!(matches("cd * && npm ci", "cd web && npm ci"));
        assert!(!matches("npm *", "echo npm ci"));
    }

    #[test]
    fn a_backslash_takes_the_next_character_as_it_is() {
        assert!(matches(r"echo \*", "echo *"));
        assert!(!matches(r"echo \*", "echo x"));
        assert!(matches(r"[ab] \\ \", r"[ab] \ \"));
    }

    #[test]
    fn the_command_of_either_form_is_its_text() {
        assert_eq!(command_text(&["/bin/sh", "-c", "npm ci"]), "npm ci");
        assert_eq!(command_text(&["/bin/bash", "-eo", "pipefail", "-c", "npm ci"]), "npm ci");
        assert_eq!(command_text(&["python3", "-m", "compileall", "/srv"]), "python3 -m compileall /srv");
        assert_eq!(command_text(&["gcc", "--static-c", "x"]), "gcc --static-c x");
        assert_eq!(command_text(&[]), "");
    }

    #[test]
    fn many_stars_stay_quick() {
        assert!(!matches(&format!("{}c", "a*".repeat(200)), &"a".repeat(20_000)));
    }

    proptest! {
        #[test]
        fn an_escaped_text_matches_itself(text in "[a-z*?\\\\ ]{0,20}") {
            let escaped: String = text.chars().flat_map(|c| ['\\', c]).collect();
            // Blanks around a command and around a pattern do not count.
            prop_assume!(text.trim() == text);
            prop_assert!(matches(&escaped, &text));
        }

        #[test]
        fn a_star_stands_for_any_text(before in "[a-z ]{0,8}", middle in "[^&|;]{0,20}", after in "[a-z ]{0,8}") {
            let pattern = format!("{}x*x{}", before.trim(), after.trim());
            let command = format!("{}x{middle}x{}", before.trim(), after.trim());
            prop_assert!(matches(&pattern, &command));
        }
    }
}
