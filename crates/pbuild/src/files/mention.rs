//! Finds the commands that read a variable, as far as their text shows it.

/// Programs that, according to their manuals, read a variable although the command line does not name it.
const READERS: &[(&str, &[&str])] = &[
    // npm reads it through `${NPM_TOKEN}` in `.npmrc`; GitHub's setup-node writes such a file.
    ("NPM_TOKEN", NODE),
    ("NODE_AUTH_TOKEN", NODE),
    ("NPM_CONFIG_*", NODE),
    ("YARN_NPM_AUTH_TOKEN", &["yarn"]),
    ("COMPOSER_AUTH", &["composer"]),
    ("PIP_*", &["pip", "pip3"]),
    ("UV_*", &["uv"]),
    ("POETRY_*", &["poetry"]),
    ("TWINE_*", &["twine"]),
    ("BUNDLE_*", &["bundle", "bundler"]),
    ("GEM_HOST_API_KEY", &["gem"]),
    ("CARGO_REGISTRY_TOKEN", &["cargo"]),
    ("CARGO_REGISTRIES_*", &["cargo"]),
    ("NuGetPackageSourceCredentials_*", &["dotnet", "nuget"]),
    ("GH_TOKEN", &["gh"]),
    ("GITHUB_TOKEN", &["gh"]),
    ("GITLAB_TOKEN", &["glab"]),
    ("AWS_*", &["aws", "cdk", "sam", "terraform"]),
    ("GOOGLE_APPLICATION_CREDENTIALS", &["gcloud", "gsutil", "bq"]),
    ("HF_TOKEN", &["hf", "huggingface-cli"]),
    ("SENTRY_AUTH_TOKEN", &["sentry-cli"]),
    ("VAULT_TOKEN", &["vault"]),
    ("OP_SERVICE_ACCOUNT_TOKEN", &["op"]),
    ("SOPS_AGE_KEY", &["sops"]),
    ("VERCEL_TOKEN", &["vercel"]),
    ("NETLIFY_AUTH_TOKEN", &["netlify"]),
    ("HOMEBREW_GITHUB_API_TOKEN", &["brew"]),
    ("PGPASSWORD", &["psql", "pg_dump", "pg_restore"]),
    ("MYSQL_PWD", &["mysql", "mysqldump", "mariadb"]),
    ("REDISCLI_AUTH", &["redis-cli", "valkey-cli"]),
];

const NODE: &[&str] = &["npm", "npx", "yarn", "pnpm", "pnpx", "bun", "bunx"];

/// The words that may come before a program in a command.
const BEFORE_PROGRAMS: &[&str] = &[
    "!", "(", "{", "if", "then", "else", "elif", "while", "until", "do", "exec", "sudo", "env", "time", "command",
    "nice",
];

/// How a command is known to read a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mention<'command> {
    /// The command's text holds the name.
    Name,
    /// The command runs a program that reads the variable from its environment.
    Program(&'command str),
}

/// Finds how one simple command reads a variable, if it does.
pub(crate) fn mention<'command>(command: &'command str, variable: &str) -> Option<Mention<'command>> {
    if holds_word(command, variable) {
        return Some(Mention::Name);
    }
    let program = program(command)?;
    readers(variable).any(|readers| readers.contains(&program)).then_some(Mention::Program(program))
}

/// Returns whether the text names a program that the table lists as a reader of the variable.
pub(crate) fn is_read_by_a_program_of(text: &str, variable: &str) -> bool {
    readers(variable).flatten().any(|program| holds_word(text, program))
}

fn readers(variable: &str) -> impl Iterator<Item = &'static [&'static str]> {
    let is_meant = move |pattern: &str| match pattern.strip_suffix('*') {
        Some(start) => variable.len() > start.len() && variable.starts_with(start),
        None => variable == pattern,
    };
    READERS.iter().filter(move |(pattern, _)| is_meant(pattern)).map(|(_, programs)| *programs)
}

/// Returns whether a text holds a word that is not part of a longer name.
pub(crate) fn holds_word(text: &str, word: &str) -> bool {
    let part = |c: char| c == '_' || c.is_ascii_alphanumeric();
    !word.is_empty()
        && text
            .match_indices(word)
            .any(|(at, _)| !text[..at].ends_with(part) && !text[at + word.len()..].starts_with(part))
}

/// Counts the words of a simple command before its program: shell keywords, and assignments for this command.
pub(crate) fn words_before_program(words: &[&str]) -> usize {
    words.iter().take_while(|word| BEFORE_PROGRAMS.contains(word) || is_assignment(word)).count()
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        name.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic())
            && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())
    })
}

/// Returns the program that a simple command runs, without its folder. For `python -m`, returns the module.
fn program(command: &str) -> Option<&str> {
    // `(`, `$(` and similar signs may be attached to the next word.
    let words = command.split_whitespace().map(|word| word.trim_start_matches(['(', '{', '$', '`']));
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let rest = words.get(words_before_program(&words)..)?;
    let name = rest.first()?.trim_matches(['"', '\'']).rsplit('/').next()?;
    match rest {
        [_, "-m", module, ..] if name.starts_with("python") => Some(module),
        _ => Some(name),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_in_the_text_is_a_mention_and_a_part_of_a_name_is_none() {
        for command in [
            "curl -H \"Authorization: $TOKEN\" x",
            "echo ${TOKEN:-none}",
            "printenv TOKEN",
            "node -e 'process.env.TOKEN'",
            "X=$TOKEN make",
            "cat /run/secrets/TOKEN",
        ] {
            assert_eq!(mention(command, "TOKEN"), Some(Mention::Name), "{command}");
        }
        for command in ["echo $TOKENS", "echo $MY_TOKEN", "make token", ""] {
            assert_eq!(mention(command, "TOKEN"), None, "{command}");
        }
    }

    #[test]
    fn known_programs_read_their_variables() {
        for (command, variable, program) in [
            ("npm ci", "NPM_TOKEN", "npm"),
            ("CI=1 /usr/bin/yarn install", "NPM_TOKEN", "yarn"),
            ("then pnpm i", "NODE_AUTH_TOKEN", "pnpm"),
            ("( composer install", "COMPOSER_AUTH", "composer"),
            ("(composer install)", "COMPOSER_AUTH", "composer"),
            ("python3 -m pip install -r x", "PIP_INDEX_URL", "pip"),
            ("aws s3 cp a b", "AWS_SECRET_ACCESS_KEY", "aws"),
            ("sudo gh release list", "GH_TOKEN", "gh"),
        ] {
            assert_eq!(mention(command, variable), Some(Mention::Program(program)), "{command}");
        }
        for (command, variable) in
            [("echo npm", "NPM_TOKEN"), ("npm ci", "COMPOSER_AUTH"), ("pip install x", "PIP_"), ("npmx", "NPM_TOKEN")]
        {
            assert_eq!(mention(command, variable), None, "{command}");
        }
    }

    proptest! {
        #[test]
        fn no_command_makes_it_panic(command in "[ ()\"'$=/a-zé_-]{0,40}", variable in "[A-Z_]{0,6}") {
            let _ = mention(&command, &variable);
        }
    }
}
