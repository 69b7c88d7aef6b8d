//! Fuzzes the matcher for the patterns of ignore files.

use pbuildkit::ignore::{Matcher, ParentMatch};

/// Reads the first line as a path, and every further line as a pattern. No text may make the matcher panic. If no
/// pattern begins with `!`, the answer for a single path must be the same as during a walk.
pub(crate) fn run(data: &[u8]) {
    let Some((path, patterns)) = std::str::from_utf8(data).ok().and_then(|text| text.split_once('\n')) else { return };
    let patterns: Vec<&str> = patterns.lines().collect();
    let Ok(matcher) = Matcher::new(&patterns) else { return };
    let alone = matcher.matches(path.as_bytes());
    let walked = walked(&matcher, path.as_bytes());
    if !patterns.iter().any(|pattern| pattern.trim().starts_with('!')) {
        assert_eq!(alone, walked, "{patterns:?} of {path:?}");
    }
}

fn walked(matcher: &Matcher, path: &[u8]) -> bool {
    let mut parent = ParentMatch::default();
    for (index, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
        parent = matcher.matches_below(&path[..index], &parent).1;
    }
    matcher.matches_below(path, &parent).0
}
