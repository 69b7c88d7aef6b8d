//! The paper that a text is written on: its width, and whether it has colours.

use anstyle::{AnsiColor, Style};
use pscreen::{Colour, words};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(crate) const UNKNOWN: Style = AnsiColor::Yellow.on_default().bold();
pub(crate) const STRONG: Style = Style::new().bold();
pub(crate) const SOFT: Style = Style::new().dimmed();
pub(crate) const HELP: Style = AnsiColor::Cyan.on_default();

/// The narrowest column that text is broken into. In a narrower one, no word would stay whole.
const NARROWEST: usize = 20;

/// The destination of a text report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paper {
    columns: Option<usize>,
    colour: Colour,
}

impl Paper {
    /// A file or a pipe: each fact is on one line of any length, without colours.
    pub const PLAIN: Self = Self { columns: None, colour: Colour::Never };

    /// Makes the paper of a terminal with this number of columns, if it is known, and with these colours.
    #[must_use]
    pub fn terminal(columns: Option<usize>, colour: Colour) -> Self {
        Self { columns: columns.map(|columns| columns.max(2 * NARROWEST)), colour }
    }

    /// Writes a text in a style, if the paper has colours.
    pub(crate) fn paint(self, style: Style, text: &str) -> String {
        match self.colour {
            Colour::Ansi => format!("{style}{text}{style:#}"),
            Colour::Never => text.to_owned(),
        }
    }

    /// Whether a text of this width fits after an indentation.
    pub(crate) fn fits(self, indentation: usize, width: usize) -> bool {
        self.columns.is_none_or(|columns| indentation + width <= columns)
    }

    /// Breaks a text between words into lines that fit after an indentation. A word that does not fit on any line is
    /// cut into pieces.
    pub(crate) fn broken(self, indentation: usize, text: &str) -> Vec<String> {
        let Some(columns) = self.columns else { return vec![text.to_owned()] };
        words::broken(text, columns.saturating_sub(indentation).max(NARROWEST))
    }

    /// Joins facts with dots between them, in lines that fit after an indentation. A fact is only broken if it does
    /// not fit on a line.
    pub(crate) fn joined(self, indentation: usize, facts: &[String]) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for fact in facts {
            match lines.last_mut() {
                Some(line) if self.fits(indentation, line.width() + 3 + fact.width()) => {
                    line.push_str(" · ");
                    line.push_str(fact);
                }
                _ => lines.extend(self.broken(indentation, fact)),
            }
        }
        lines
    }

    /// Cuts a text to the width that is left after an indentation, and to a maximal width.
    pub(crate) fn cut(self, indentation: usize, most: usize, text: &str) -> String {
        let room = self.columns.map_or(most, |columns| columns.saturating_sub(indentation).clamp(NARROWEST, most));
        if text.width() <= room {
            return text.to_owned();
        }
        let mut cut = String::new();
        for character in text.chars() {
            if cut.width() + character.width().unwrap_or(0) + 1 > room {
                break;
            }
            cut.push(character);
        }
        cut + "…"
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_break_between_words_and_nothing_is_lost() {
        let paper = Paper::terminal(Some(44), Colour::Never);
        let lines = paper.broken(14, "pass it for one command: COMPOSER_AUTH=secret composer install");
        assert_eq!(lines, ["pass it for one command:", "COMPOSER_AUTH=secret composer", "install"]);
        assert_eq!(
            paper.joined(14, &["linux/amd64".into(), "7 layers".into(), "174 MB searched".into()]),
            ["linux/amd64 · 7 layers", "174 MB searched"]
        );
        assert_eq!(
            paper.cut(14, 100, "RUN npm config set registry https://r.example"),
            "RUN npm config set registry h…"
        );
        assert_eq!(Paper::PLAIN.broken(14, "a b"), ["a b"]);
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_the_paper(text in "[a-z/ é漢]{0,200}", columns in 40..120_usize, indentation in 0..18_usize) {
            let paper = Paper::terminal(Some(columns), Colour::Never);
            let lines = paper.broken(indentation, &text);
            prop_assert!(lines.iter().all(|line| indentation + line.width() <= columns), "{lines:?}");
            let letters = |text: &str| text.replace(' ', "");
            prop_assert_eq!(letters(&lines.concat()), letters(&text));
            prop_assert!(indentation + paper.cut(indentation, 500, &text).width() <= columns);
        }
    }
}
