//! The options of a build as BuildKit hands them to this frontend, and what of them the Dockerfile's own one gets.

use std::collections::BTreeMap;

use crate::syntax::{SyntaxError, SyntaxLine};

/// Marks the build that this frontend hands on. A frontend of this kind that sees it hands it on as it is: the outer
/// one injects and searches, and steps run under one graph alone.
const INNER: &str = "dev.pbuild.inner";

/// The build argument that chooses a frontend from outside.
const CHOSEN_OUTSIDE: &str = "build-arg:BUILDKIT_SYNTAX";

/// The syntax line, or what stands in `BUILDKIT_SYNTAX`: the image and the words behind it.
const LINE: &str = "cmdline";

/// The options of one build.
#[derive(Clone, Debug, Default)]
pub struct Options(BTreeMap<String, String>);

impl Options {
    /// Takes the options as BuildKit gave them.
    #[must_use]
    pub fn new(options: BTreeMap<String, String>) -> Self {
        Self(options)
    }

    /// The words of the syntax line.
    ///
    /// # Errors
    ///
    /// [`SyntaxError`].
    pub fn syntax(&self) -> Result<SyntaxLine, SyntaxError> {
        SyntaxLine::parse(self.0.get(LINE).map_or("", String::as_str))
    }

    /// The image that this frontend came in, as it was named.
    #[must_use]
    pub fn image(&self) -> Option<&str> {
        self.0.get("source").map(String::as_str)
    }

    /// Whether another frontend of this kind called this one, and does the work.
    #[must_use]
    pub fn is_inner(&self) -> bool {
        self.0.contains_key(INNER)
    }

    /// Whether nothing is to be built: a check, an outline, a list of targets.
    #[must_use]
    pub fn is_question(&self) -> bool {
        self.0.contains_key("requestid")
    }

    /// The options for `dockerfile.v0`.
    ///
    /// It follows a `# syntax=` line unless `cmdline` says that somebody did. Where this frontend was chosen by that
    /// very line, `cmdline` stays; where it was chosen from outside, the Dockerfile may name a frontend of its own.
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

    /// All options as a document, to be searched: provenance shows them, also a build argument that no step reads.
    #[must_use]
    pub fn document(&self) -> Vec<u8> {
        serde_json::json!(self.0).to_string().into_bytes()
    }

    /// The name of the local folder that is the context; `None` for a context that is no folder of the client's.
    #[must_use]
    pub fn local_context(&self) -> Option<&str> {
        match self.0.get("context") {
            None => Some(self.0.get("contextkey").map_or("context", String::as_str)),
            Some(_) => None,
        }
    }

    /// Whether the build ends at a named stage.
    #[must_use]
    pub fn has_target(&self) -> bool {
        self.0.get("target").is_some_and(|target| !target.is_empty())
    }

    /// Whether results of other builders' caches are used.
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
