//! The source policy that `EXPERIMENTAL_BUILDKIT_SOURCE_POLICY` names, read as docker's client reads it.

use std::path::PathBuf;

use pbuildkit::{PolicyError, SourcePolicy};

/// The variable that names the policy's file.
const VARIABLE: &str = "EXPERIMENTAL_BUILDKIT_SOURCE_POLICY";

/// The longest policy that is read, in bytes.
const LONGEST: usize = 4 << 20;

/// The reasons why a policy cannot be used. Nothing is built then, because the policy may forbid what the build
/// needs.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourcePolicyError {
    /// The file cannot be read.
    #[error("{VARIABLE}: cannot read {path:?}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file is not a policy.
    #[error("{VARIABLE}: {path:?} is no source policy: {problem}")]
    Wrong {
        /// The file.
        path: PathBuf,
        /// The mistake, and its place.
        problem: PolicyError,
    },
}

/// Reads the policy. Returns `None` if the variable is not set.
///
/// # Errors
/// Returns a [`SourcePolicyError`] that names the variable and the file.
pub(super) fn source_policy(
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Option<SourcePolicy>, SourcePolicyError> {
    let Some(path) = environment(VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from) else { return Ok(None) };
    let text = match crate::files::read(&path, LONGEST) {
        Ok(text) => text,
        Err(source) => return Err(SourcePolicyError::Unreadable { path, source }),
    };
    SourcePolicy::parse(&text).map(Some).map_err(|problem| SourcePolicyError::Wrong { path, problem })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_that_cannot_be_followed_ends_the_build() {
        let folder = tempfile::tempdir().unwrap();
        let read = |text: Option<&str>| {
            let path = folder.path().join("policy.json");
            text.into_iter().for_each(|text| std::fs::write(&path, text).unwrap());
            source_policy(|name| (name == VARIABLE).then(|| path.display().to_string()))
        };
        let missing = read(None).unwrap_err().to_string();
        assert!(missing.contains("EXPERIMENTAL_BUILDKIT_SOURCE_POLICY: cannot read"), "{missing}");
        assert!(read(Some("{\"rules\": []}")).unwrap().is_some());
        let wrong = read(Some("{\"rules\": [{\"action\": \"FORBID\"}]}")).unwrap_err().to_string();
        assert!(wrong.contains("policy.json") && wrong.contains("ALLOW, DENY or CONVERT"), "{wrong}");
        assert!(
            source_policy(|_| None).unwrap().is_none() && source_policy(|_| Some(String::new())).unwrap().is_none()
        );
    }
}
