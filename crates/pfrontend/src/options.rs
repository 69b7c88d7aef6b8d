//! The options of a build as BuildKit passes them to this frontend, and those that are passed on to the Dockerfile's
//! own frontend.

use std::collections::BTreeMap;

use crate::syntax::{SyntaxError, SyntaxLine};

/// The option that marks a build which this frontend passes on. If another frontend of this kind gets it, it passes
/// the build on unchanged: only the outer one injects and searches, so that the steps run in only one graph.
const INNER: &str = "dev.pbuild.inner";

/// The build argument that chooses a frontend outside of the Dockerfile.
const CHOSEN_OUTSIDE: &str = "build-arg:BUILDKIT_SYNTAX";

/// The option with the syntax line or the value of `BUILDKIT_SYNTAX`: the image and the words after it.
const LINE: &str = "cmdline";

/// The options of one build.
#[derive(Clone, Debug, Default)]
pub struct Options(BTreeMap<String, String>);

impl Options {
    /// Makes the options from those that BuildKit gave.
    #[must_use]
    pub fn new(options: BTreeMap<String, String>) -> Self {
        Self(options)
    }

    /// Returns the words of the syntax line.
    ///
    /// # Errors
    ///
    /// Returns a [`SyntaxError`].
    pub fn syntax(&self) -> Result<SyntaxLine, SyntaxError> {
        SyntaxLine::parse(self.0.get(LINE).map_or("", String::as_str))
    }

    /// Returns the image that contains this frontend, under the name in the build.
    #[must_use]
    pub fn image(&self) -> Option<&str> {
        self.0.get("source").map(String::as_str)
    }

    /// Whether another frontend of this kind called this one, so that the other one injects and searches.
    #[must_use]
    pub fn is_inner(&self) -> bool {
        self.0.contains_key(INNER)
    }

    /// Whether the request is not for a build, but for a check, an outline or a list of targets.
    #[must_use]
    pub fn is_question(&self) -> bool {
        self.0.contains_key("requestid")
    }

    /// Returns the options for `dockerfile.v0`.
    ///
    /// That frontend follows a `# syntax=` line unless the option `cmdline` says that this was done. If this frontend
    /// was chosen by that very line, `cmdline` stays. If it was chosen outside of the Dockerfile, `cmdline` is
    /// removed, because the Dockerfile may name another frontend.
    #[must_use]
    pub fn forwarded(&self) -> BTreeMap<String, String> {
        let mut options = self.0.clone();
        options.remove("source");
        if options.remove(CHOSEN_OUTSIDE).is_some() {
            options.remove(LINE);
        }
        options.insert(INNER.to_owned(), "1".to_owned());
        options
    }

    /// Returns all options as a document for the search. Provenance shows all of them, even a build argument that no
    /// step reads.
    #[must_use]
    pub fn document(&self) -> Vec<u8> {
        serde_json::json!(self.0).to_string().into_bytes()
    }

    /// Returns the name of the local folder that is the context; `None` if the context is not a folder of the client.
    #[must_use]
    pub fn local_context(&self) -> Option<&str> {
        match self.0.get("context") {
            None => Some(self.0.get("contextkey").map_or("context", String::as_str)),
            Some(_) => None,
        }
    }

    /// Whether the build ends at a given stage of the Dockerfile.
    #[must_use]
    pub fn has_target(&self) -> bool {
        self.0.get("target").is_some_and(|target| !target.is_empty())
    }

    /// Whether the build uses results from other builders' caches.
    #[must_use]
    pub fn imports_cache(&self) -> bool {
        ["cache-imports", "cache-from"]
            .iter()
            .any(|name| self.0.get(*name).is_some_and(|list| !matches!(list.as_str(), "" | "[]" | "null")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> Options {
        Options::new(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    fn names(options: &BTreeMap<String, String>) -> Vec<&str> {
        options.keys().map(String::as_str).collect()
    }

    #[test]
    fn a_line_of_the_dockerfile_is_not_followed_again() {
        let given = options(&[("cmdline", "image A"), ("source", "image"), ("target", "app"), ("build-arg:X", "1")]);
        assert_eq!(names(&given.forwarded()), ["build-arg:X", "cmdline", "dev.pbuild.inner", "target"]);
        assert_eq!(given.syntax().unwrap().names.len(), 1);
        assert_eq!(given.image(), Some("image"));
    }

    #[test]
    fn chosen_from_outside_the_dockerfile_s_own_line_is_followed() {
        let given = options(&[
            ("build-arg:BUILDKIT_SYNTAX", "image A require"),
            ("cmdline", "image A require"),
            ("source", "image"),
        ]);
        assert_eq!(names(&given.forwarded()), ["dev.pbuild.inner"]);
        assert!(given.syntax().unwrap().require);
    }

    #[test]
    fn ours_inside_ours_hands_the_build_on() {
        let given = options(&[("cmdline", "image A"), ("source", "image")]);
        assert!(!given.is_inner());
        assert!(Options::new(given.forwarded()).is_inner());
    }

    #[test]
    fn the_document_holds_every_option() {
        let given = options(&[("build-arg:UNUSED", "va\"lue"), ("requestid", "frontend.lint")]);
        let document: BTreeMap<String, String> = serde_json::from_slice(&given.document()).unwrap();
        assert_eq!(document, given.0);
        assert!(given.is_question());
    }

    #[test]
    fn an_imported_cache_is_seen() {
        assert!(options(&[("cache-imports", r#"[{"Type":"registry"}]"#)]).imports_cache());
        assert!(options(&[("cache-from", "registry.example/cache")]).imports_cache());
        assert!(!options(&[("cache-imports", "[]"), ("target", "")]).imports_cache());
        assert!(options(&[("target", "app")]).has_target() && !options(&[("target", "")]).has_target());
    }

    #[test]
    fn only_a_folder_of_the_client_s_has_a_manifest() {
        assert_eq!(options(&[]).local_context(), Some("context"));
        assert_eq!(options(&[("contextkey", "two")]).local_context(), Some("two"));
        assert_eq!(options(&[("context", "https://example.org/app.git")]).local_context(), None);
    }
}
