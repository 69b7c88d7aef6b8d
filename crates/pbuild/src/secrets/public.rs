//! The variables of an env file that look public. Most variables of an application's `.env` are not secret, and their
//! values (`Laravel`, `stack`, `local`) also occur in the application's own source.

use std::collections::HashSet;

use pcli::FoundManifest;
use pcli::resolve::Strictness;
use psecret::{Secret, Source, looks_public};

use crate::new::names::looks_secret;

/// The reason why these variables are not searched for, as a text for reports.
pub(super) const WHY: &str = "looks public; declared in [secrets] or given with --secret, it is searched for";

/// The largest number of names that the warning lists.
const MOST_LISTED: usize = 12;

/// Separates the variables that look public from the secrets. Only variables of `--env-file` that the manifest does
/// not declare can look public. Under `--strict`, or if nothing would be left to search for, all variables stay
/// secrets.
pub(super) fn split(
    secrets: Vec<Secret>,
    manifest: Option<&FoundManifest>,
    strictness: Strictness,
) -> (Vec<Secret>, Vec<Secret>) {
    let declared = manifest.into_iter().flat_map(|found| &found.manifest.secrets);
    let declared: HashSet<&str> = declared.map(|secret| secret.name.as_str()).collect();
    let is_public = |secret: &Secret| {
        let name = secret.name().as_str();
        matches!(secret.source(), Source::EnvFile { .. }) && !declared.contains(name) && is_public_variable(secret)
    };
    if strictness == Strictness::Strict || secrets.iter().all(is_public) {
        return (secrets, Vec::new());
    }
    secrets.into_iter().partition(|secret| !is_public(secret))
}

fn is_public_variable(secret: &Secret) -> bool {
    let name = secret.name().as_str();
    // A name that looks secret is trusted, unless the value is a placeholder that another program replaces.
    let judged_as = if looks_secret(name) { "PASSWORD" } else { name };
    secret.readings().all(|value| looks_public(judged_as, value))
}

/// Returns one line that lists the variables and says how to declare them.
pub(super) fn line(public: &[Secret]) -> Option<String> {
    let Some(Source::EnvFile { path, .. }) = public.first().map(Secret::source) else { return None };
    let mut names: Vec<&str> = public.iter().map(|secret| secret.name().as_str()).collect();
    let more = names.len().saturating_sub(MOST_LISTED);
    names.truncate(MOST_LISTED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let (look, them, are) = if public.len() == 1 { ("looks", "it", "is") } else { ("look", "them", "are") };
    Some(format!(
        "{}: {}{more} {look} public and {are} neither masked nor searched for; `pbuild new --public NAME` or [env] in \
         app.toml makes {them} public for good, [secrets] protects {them}",
        path.display(),
        names.join(", ")
    ))
}
