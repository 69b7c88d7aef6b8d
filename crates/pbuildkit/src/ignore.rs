//! The paths that a list of patterns selects, for `.dockerignore` and for BuildKit's include patterns.
//!
//! The rules are those of moby/patternmatcher, quirks included, because a context that differs from docker's is a
//! different build. The last pattern that matches decides; `!` turns a match back; a match of a folder is a match of
//! all below it, unless a later pattern turns it back.

mod pattern;

pub use pattern::PatternError;

use pattern::Pattern;
pub(crate) use pattern::clean;

/// A list of patterns.
#[derive(Clone, Debug)]
pub struct Matcher {
    patterns: Vec<Pattern>,
}

/// Which patterns a folder matched: what is below it need not be matched against them again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParentMatch(Vec<bool>);

impl Matcher {
    /// Reads patterns, one a string; empty ones count for nothing.
    ///
    /// # Errors
    ///
    /// [`PatternError`] for the first pattern that is not valid. Unlike moby's, also when no path would have met it.
    pub fn new<S: AsRef<str>>(patterns: &[S]) -> Result<Self, PatternError> {
        let patterns = patterns.iter().filter_map(|text| Pattern::parse(text.as_ref()).transpose());
        Ok(Self { patterns: patterns.collect::<Result<_, _>>()? })
    }

    /// Whether there is no pattern at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether a path, or a folder above it, matches; for a path alone. What a walk sends is decided by
    /// [`Matcher::matches_below`], which with `!` patterns is not always the same, here as in moby.
    #[must_use]
    pub fn matches(&self, path: &[u8]) -> bool {
        self.matches_below(path, &ParentMatch::default()).0
    }

    /// Whether a path matches, given what the folder above it matched; walking a tree, this spares matching every
    /// folder again for each of its files.
    #[must_use]
    pub fn matches_below(&self, path: &[u8], parent: &ParentMatch) -> (bool, ParentMatch) {
        let text = go_text(path);
        let mut matched = false;
        let mut own = vec![false; self.patterns.len()];
        for (index, pattern) in self.patterns.iter().enumerate() {
            let mut hit = parent.0.get(index).copied().unwrap_or(false);
            if !hit {
                // A plain pattern cannot change a match, a turned one cannot change a miss.
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

    /// Whether something below a folder could match, as far as the patterns' fixed beginnings tell.
    ///
    /// False only when nothing can: a walk may then leave the folder out.
    #[must_use]
    pub(crate) fn may_match_below(&self, folder: &[u8]) -> bool {
        self.may_lead_below(folder, false)
    }

    /// Whether a `!` pattern could turn back something below a folder.
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

/// Lists the folders of a path, from the outermost.
fn folders_of(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(index, _)| &path[..index])
}

/// Writes a path as Go's regular expressions see it: each byte that is not UTF-8 is one U+FFFD.
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
