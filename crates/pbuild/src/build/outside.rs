//! Finds text outside of RUN that uses a secret's variable. Only RUN has the variable, so elsewhere it is empty.
//!
//! The Dockerfile's frontend replaces variables in COPY, ADD, LABEL, ENV and some other instructions, and in the
//! here-documents of COPY and ADD. It takes the values from ARG and ENV, which do not have the secret. The build with
//! an empty token succeeds, and the file with the empty token fails later.

use std::collections::BTreeSet;

use crate::files::dockerfile::{Dockerfile, words};

/// The instructions in which the frontend replaces variables.
const EXPANDED: &[&str] = &["COPY", "ADD", "LABEL", "ENV", "WORKDIR", "USER", "EXPOSE", "VOLUME", "STOPSIGNAL"];

/// A line outside of RUN that reads the variable of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EmptyReference {
    /// The name of the secret.
    pub(super) name: String,
    /// The line of the Dockerfile, from 1.
    pub(super) line: usize,
    /// The instruction.
    pub(super) keyword: String,
}

/// Finds the first such line for each name, in the order of the text. `given` are the names of build arguments, whose
/// variables have values.
pub(super) fn references(dockerfile: &[u8], names: &BTreeSet<&str>, given: &BTreeSet<&str>) -> Vec<EmptyReference> {
    let text = String::from_utf8_lossy(dockerfile);
    let lines: Vec<&str> = text.lines().collect();
    let Dockerfile { escape, instructions } = Dockerfile::read(dockerfile);
    let mut open: BTreeSet<&str> = names.difference(given).copied().collect();
    let mut found = Vec::new();
    for (at, instruction) in instructions.iter().enumerate() {
        let (keyword, rest) = instruction.parts();
        if EXPANDED.contains(&keyword.as_str()) {
            let behind = instructions.get(at + 1).map_or(lines.len(), |next| next.line - 1).min(lines.len());
            let is_literal =
                words(rest, escape).iter().any(|word| word.starts_with("<<") && word.contains(['\'', '"']));
            let last = if is_literal { instruction.line } else { behind };
            for (number, line) in lines.iter().enumerate().take(last).skip(instruction.line - 1) {
                let read: Vec<&str> = open.iter().copied().filter(|name| reads(line, name, escape)).collect();
                for name in read {
                    open.remove(name);
                    found.push(EmptyReference { name: name.to_owned(), line: number + 1, keyword: keyword.clone() });
                }
            }
        }
        // In the instructions that follow, the variable has a value.
        if matches!(keyword.as_str(), "ARG" | "ENV") {
            let set: Vec<String> = words(rest, escape);
            open.retain(|name| !set.iter().any(|word| word.split_once('=').is_some_and(|(set, _)| set == *name)));
        }
    }
    found
}

/// Returns whether a line reads a variable, as `$NAME` or `${NAME…}`.
fn reads(line: &str, name: &str, escape: char) -> bool {
    let part = |c: char| c == '_' || c.is_ascii_alphanumeric();
    line.match_indices('$').any(|(at, _)| {
        let rest = line[at + 1..].trim_start_matches('{');
        !line[..at].ends_with(escape) && rest.strip_prefix(name).is_some_and(|behind| !behind.starts_with(part))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(usize, String)> {
        let names = BTreeSet::from(["NPM_TOKEN", "OTHER"]);
        let given = BTreeSet::from(["OTHER"]);
        let found = references(text.as_bytes(), &names, &given);
        found.into_iter().map(|one| (one.line, format!("{} {}", one.keyword, one.name))).collect()
    }

    #[test]
    fn a_variable_outside_of_run_is_named_with_its_line() {
        for (text, line, keyword) in [
            ("FROM x\nARG NPM_TOKEN\nCOPY <<EOF /root/.npmrc\n//r/:_authToken=${NPM_TOKEN}\nEOF\n", 4, "COPY"),
            ("FROM x\nLABEL a=b \\\n  t=\"$NPM_TOKEN\"\n", 3, "LABEL"),
            ("FROM x\nENV TOKEN=${NPM_TOKEN:-}\nENV AGAIN=$NPM_TOKEN\n", 2, "ENV"),
            ("FROM x\r\nadd https://h/$NPM_TOKEN/x /x\r\n", 2, "ADD"),
            ("FROM x\nENV NPM_TOKEN=$NPM_TOKEN\n", 2, "ENV"),
        ] {
            assert_eq!(found(text), [(line, format!("{keyword} NPM_TOKEN"))], "{text}");
        }
    }

    #[test]
    fn what_run_reads_or_something_else_sets_is_not_empty() {
        for text in [
            "FROM x\nRUN echo $NPM_TOKEN\nRUN <<EOF\necho ${NPM_TOKEN}\nEOF\n",
            "FROM x\nCOPY <<'EOF' /root/.npmrc\n//r/:_authToken=${NPM_TOKEN}\nEOF\n",
            "FROM x\nENV A=\\$NPM_TOKEN\nLABEL b=$NPM_TOKENS c=NPM_TOKEN d=$OTHER\n",
            "FROM x\nARG NPM_TOKEN=public\nLABEL a=$NPM_TOKEN\n",
            "FROM x\nCMD echo $NPM_TOKEN\n",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }
}
