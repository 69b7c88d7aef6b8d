//! The paths that a list of patterns selects, for `.dockerignore` and for BuildKit's include patterns.
//!
//! The rules are those of moby/patternmatcher, including its quirks, because a context that differs from docker's
//! would make another build. The last pattern that matches decides. `!` reverses an earlier match. A match of a
//! folder covers everything below the folder, unless a later pattern reverses it.

mod pattern;

pub use pattern::PatternError;

use pattern::Pattern;
pub(crate) use pattern::clean;

/// A list of patterns.
#[derive(Clone, Debug)]
pub struct Matcher {
    patterns: Vec<Pattern>,
}

/// The patterns that a folder matched. Paths below the folder need not be matched against these patterns again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParentMatch(Vec<bool>);

impl Matcher {
    /// Reads a list of patterns. Empty patterns are ignored.
    ///
    /// # Errors
    ///
    /// Returns a [`PatternError`] for the first pattern that is not valid. Moby reports such a pattern only when a
    /// path is compared with it.
    pub fn new<S: AsRef<str>>(patterns: &[S]) -> Result<Self, PatternError> {
        let patterns = patterns.iter().filter_map(|text| Pattern::parse(text.as_ref()).transpose());
        Ok(Self { patterns: patterns.collect::<Result<_, _>>()? })
    }

    /// Returns true if there are no patterns.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Returns true if the path, or a folder above it, matches. A walk uses [`Matcher::matches_below`] instead; with
    /// `!` patterns, the two do not always agree, as in moby.
    #[must_use]
    pub fn matches(&self, path: &[u8]) -> bool {
        self.matches_below(path, &ParentMatch::default()).0
    }

    /// Returns whether a path matches, given the matches of the folder above it. During a walk, this avoids matching
    /// every folder again for each of its files.
    #[must_use]
    pub fn matches_below(&self, path: &[u8], parent: &ParentMatch) -> (bool, ParentMatch) {
        let text = go_text(path);
        let mut matched = false;
        let mut own = vec![false; self.patterns.len()];
        for (index, pattern) in self.patterns.iter().enumerate() {
            let mut hit = parent.0.get(index).copied().unwrap_or(false);
            if !hit {
                // A plain pattern cannot change a match, and a `!` pattern cannot change a miss.
                if pattern.is_exclusion() != matched {
                    continue;
                }
                hit = pattern.matches(&text)
                    || (parent.0.is_empty() && folders_of(&text).any(|folder| pattern.matches(folder)));
            }
            own[index] = hit;
            if hit {
                matched = !pattern.is_exclusion();
            }
        }
        (matched, ParentMatch(own))
    }

    /// Returns true if a path below a folder could match, judged by the fixed beginnings of the patterns.
    ///
    /// False means that nothing below the folder can match, so a walk may skip the folder.
    #[must_use]
    pub(crate) fn may_match_below(&self, folder: &[u8]) -> bool {
        self.may_lead_below(folder, false)
    }

    /// Returns true if a `!` pattern could reverse the match of a path below a folder.
    #[must_use]
    pub(crate) fn may_turn_back_below(&self, folder: &[u8]) -> bool {
        self.may_lead_below(folder, true)
    }

    fn may_lead_below(&self, folder: &[u8], exclusions: bool) -> bool {
        let mut patterns = self.patterns.iter().filter(|pattern| pattern.is_exclusion() == exclusions);
        let wanted = [folder, b"/"].concat();
        patterns.any(|pattern| match pattern.fixed_path() {
            None => true,
            Some(fixed) => [fixed.as_bytes(), b"/"].concat().starts_with(&wanted),
        })
    }
}

/// Lists the folders of a path, beginning with the outermost.
fn folders_of(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(index, _)| &path[..index])
}

/// Converts a path to text as Go's regular expressions see it: each byte that is not UTF-8 becomes one U+FFFD.
fn go_text(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    text
}

#[cfg(test)]
mod tests;
