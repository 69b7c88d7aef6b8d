//! Lines of the user's own file below an error, with a mark and a label.

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// Lines of a file, a part of which is marked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// The file's name, for example `Dockerfile`.
    pub file: String,
    /// The number of the first line that is shown, from 1.
    pub first: usize,
    /// The lines' text, without line ends.
    pub lines: Vec<String>,
    /// The marked characters.
    pub mark: Mark,
    /// The number of the column, from 1, if the shown line differs from the line of the file. Otherwise the mark
    /// gives the column.
    pub column: Option<usize>,
    /// The text that stands at the mark.
    pub label: String,
}

/// A range of characters in one line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// The index of the line in [`Excerpt::lines`].
    pub line: usize,
    /// The index of the first marked character, from 0.
    pub start: usize,
    /// The number of characters. 0 marks the first word of the line.
    pub length: usize,
}

/// The longest line that is shown whole, in characters. The rest of a longer line is cut.
const LONGEST_LINE: usize = 200;

/// The most lines that are all shown. Of more lines, only the marked one and its neighbours are shown.
const MOST_LINES: usize = 10;

impl Excerpt {
    /// Draws the excerpt with ANSI styles. `clean` redacts a text and removes its control characters.
    ///
    /// Cleaning may change the length of a line. The mark then covers the part that is left.
    pub(crate) fn render(&self, clean: impl Fn(&str) -> String) -> String {
        let mut source = String::new();
        let mut span = 0..0;
        // The lines are redacted together, because a value may span several lines.
        let cleaned = clean(&self.lines.join("\n"));
        for (index, line) in cleaned.split('\n').enumerate() {
            if index > 0 {
                source.push('\n');
            }
            let line: String = line.chars().take(LONGEST_LINE).collect();
            if index == self.mark.line {
                span = self.mark.span(&line, source.len());
            }
            source.push_str(&line);
        }
        let label = clean(&self.label);
        let path = clean(&self.file);
        let snippet = Snippet::source(source)
            .path(path)
            .line_start(self.first.max(1))
            .fold(self.lines.len() > MOST_LINES)
            .annotation(AnnotationKind::Primary.span(span).label(label));
        let report = [Group::with_level(Level::ERROR).element(snippet)];
        let drawn = Renderer::styled().decor_style(DecorStyle::Ascii).render(&report);
        let (first, mark) = (self.first.max(1), self.mark.start.saturating_add(1));
        match self.column {
            Some(column) => drawn.replacen(&format!(":{first}:{mark}"), &format!(":{first}:{column}"), 1),
            None => drawn,
        }
    }
}

impl Mark {
    /// Returns the range of the marked bytes. The line begins at the byte `offset` of the whole text.
    fn span(&self, line: &str, offset: usize) -> std::ops::Range<usize> {
        let byte = |character: usize| line.char_indices().nth(character).map_or(line.len(), |(byte, _)| byte);
        let (start, end) = if self.length == 0 {
            let start = line.len() - line.trim_start().len();
            let word = line[start..].find(char::is_whitespace).map_or(line.len(), |length| start + length);
            (start, word)
        } else {
            (byte(self.start), byte(self.start.saturating_add(self.length)))
        };
        offset + start..offset + end.max(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(excerpt: &Excerpt) -> String {
        anstream::adapter::strip_str(&excerpt.render(str::to_owned)).to_string()
    }

    #[test]
    fn the_step_that_leaks_is_marked_at_its_first_word() {
        let excerpt = Excerpt {
            file: "Dockerfile".into(),
            first: 7,
            lines: vec!["RUN pip config set \\".into(), "      global.index-url http://$INDEX_TOKEN@index".into()],
            mark: Mark::default(),
            column: None,
            label: "this step wrote it".into(),
        };
        insta::assert_snapshot!(drawn(&excerpt), @r#"
         --> Dockerfile:7:1
          |
        7 | RUN pip config set \
          | ^^^ this step wrote it
        8 |       global.index-url http://$INDEX_TOKEN@index
          |
        "#);
    }

    #[test]
    fn a_key_of_the_manifest_is_marked() {
        let excerpt = Excerpt {
            file: "app.toml".into(),
            first: 2,
            lines: vec!["KEY = …".into()],
            mark: Mark { line: 0, start: 6, length: 5 },
            column: None,
            label: "did you mean `scope`?".into(),
        };
        insta::assert_snapshot!(drawn(&excerpt), @"
         --> app.toml:2:7
          |
        2 | KEY = …
          |       ^ did you mean `scope`?
        ");
    }

    #[test]
    fn marks_outside_the_text_and_empty_lines_are_drawn_all_the_same() {
        for lines in [vec![], vec![String::new()], vec!["é".into()]] {
            for mark in
                [Mark { line: 9, start: 9, length: 9 }, Mark { line: 0, start: usize::MAX, length: 1 }, Mark::default()]
            {
                let excerpt =
                    Excerpt { file: "f".into(), first: 0, lines: lines.clone(), mark, column: None, label: "l".into() };
                assert!(drawn(&excerpt).contains("--> f"), "{excerpt:?}");
            }
        }
    }
}
