//! The lines of the user's Dockerfile that made a step.

use std::collections::BTreeMap;

use bollard_buildkit_proto::pb;

/// The lines of a file that made a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceLines {
    /// The file's name in the frontend, for example `Dockerfile`.
    pub file: String,
    /// The first line, from 1.
    pub first: usize,
    /// The last line, from 1.
    pub last: usize,
    /// The text of the lines without line ends; empty if the frontend did not send the file.
    pub text: Vec<String>,
}

/// The lines of the source for the steps of one or more definitions.
///
/// If a client sent the graph, BuildKit's own errors do not name the lines, so this map keeps them.
#[derive(Clone, Debug, Default)]
pub struct SourceMap {
    lines: BTreeMap<String, SourceLines>,
}

impl SourceMap {
    /// Reads the source map of a definition. Entries without a valid file or line are left out.
    #[must_use]
    pub fn new(definition: &pb::Definition) -> Self {
        let mut map = Self::default();
        map.add(definition);
        map
    }

    /// Adds another definition, for example that of another platform.
    pub fn add(&mut self, definition: &pb::Definition) {
        let Some(source) = &definition.source else { return };
        for (digest, locations) in &source.locations {
            if let Some(lines) = locations.locations.iter().find_map(|location| lines(location, &source.infos)) {
                self.lines.insert(digest.clone(), lines);
            }
        }
    }

    /// Returns the lines of a step, by the digest of its vertex.
    #[must_use]
    pub fn get(&self, digest: &str) -> Option<&SourceLines> {
        self.lines.get(digest)
    }

    /// Returns all steps with known lines, by the digest of the vertex.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &SourceLines)> {
        self.lines.iter().map(|(digest, lines)| (digest.as_str(), lines))
    }
}

fn lines(location: &pb::Location, infos: &[pb::SourceInfo]) -> Option<SourceLines> {
    let info = infos.get(usize::try_from(location.source_index).ok()?)?;
    let line = |position: &Option<pb::Position>| {
        position.as_ref().and_then(|position| usize::try_from(position.line).ok()).filter(|line| *line > 0)
    };
    let first = location.ranges.iter().filter_map(|range| line(&range.start)).min()?;
    let last = location.ranges.iter().filter_map(|range| line(&range.end)).max().unwrap_or(first).max(first);
    // As in BuildKit's parser, a line ends with "\n", and a byte order mark is not part of the first line.
    let text = String::from_utf8_lossy(&info.data);
    let text = text.trim_start_matches('\u{feff}');
    let text = text.lines().skip(first - 1).take(last - first + 1).map(str::to_owned).collect();
    Some(SourceLines { file: info.filename.clone(), first, last, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(data: &str, source_index: i32, ranges: &[(i32, i32)]) -> SourceMap {
        let position = |line| Some(pb::Position { line, character: 0 });
        let ranges =
            ranges.iter().map(|(start, end)| pb::Range { start: position(*start), end: position(*end) }).collect();
        let locations = pb::Locations { locations: vec![pb::Location { source_index, ranges }] };
        let info = pb::SourceInfo { filename: "Dockerfile".into(), data: data.into(), ..Default::default() };
        let source = pb::Source { locations: [("sha256:one".to_owned(), locations)].into(), infos: vec![info] };
        SourceMap::new(&pb::Definition { source: Some(source), ..Default::default() })
    }

    #[test]
    fn a_step_over_several_lines_is_found_with_its_text() {
        let map = map("\u{feff}FROM a\r\nRUN one \\\r\n  two\nRUN three", 0, &[(2, 3)]);
        let lines = map.get("sha256:one").unwrap();
        assert_eq!(
            (lines.first, lines.last, lines.text.as_slice()),
            (2, 3, &["RUN one \\".to_owned(), "  two".to_owned()][..])
        );
        assert_eq!(map.get("sha256:two"), None);
    }

    #[test]
    fn several_ranges_are_one_stretch() {
        let map = map("a\nb\nc\nd", 0, &[(3, 3), (1, 2)]);
        assert_eq!(map.get("sha256:one").map(|lines| (lines.first, lines.last)), Some((1, 3)));
    }

    #[test]
    fn places_outside_the_source_give_no_lines() {
        assert!(map("a", 1, &[(1, 1)]).get("sha256:one").is_none());
        assert!(map("a", -1, &[(1, 1)]).get("sha256:one").is_none());
        assert!(map("a", 0, &[]).get("sha256:one").is_none());
        assert!(map("a", 0, &[(0, 0)]).get("sha256:one").is_none());
        assert!(map("a", 0, &[(i32::MAX, i32::MAX)]).get("sha256:one").is_some_and(|lines| lines.text.is_empty()));
        assert!(map("a\nb", 0, &[(2, 1)]).get("sha256:one").is_some_and(|lines| lines.last == 2));
    }
}
