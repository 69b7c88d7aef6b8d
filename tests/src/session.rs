//! Records what somebody typed and saw, one command after the other, as one text that a snapshot holds.

use std::fmt::Write as _;

use ptest::{Outcome, Scene, Tool};

/// A transcript of commands in one scene, with everything masked that differs from run to run.
pub struct Session<'scene> {
    scene: &'scene Scene,
    named: Vec<(String, String)>,
    text: String,
}

impl<'scene> Session<'scene> {
    /// Makes an empty session.
    #[must_use]
    pub fn new(scene: &'scene Scene) -> Self {
        Self { scene, named: Vec::new(), text: String::new() }
    }

    /// Shows `mask` where `text` stands, which belongs to this run alone.
    #[must_use]
    pub fn naming(mut self, text: impl Into<String>, mask: &str) -> Self {
        self.named.push((text.into(), mask.to_owned()));
        self
    }

    /// Types a command line, words between blanks, below a line that says what the command is about.
    ///
    /// # Panics
    ///
    /// When the tool cannot be run, or leaks.
    #[track_caller]
    pub fn run(&mut self, about: &str, line: &str) -> Outcome {
        self.run_with(about, line, |tool| tool)
    }

    /// Types a command line as [`Self::run`] does, for a tool that gets something more, such as a variable.
    ///
    /// # Panics
    ///
    /// When the tool cannot be run, or leaks.
    #[track_caller]
    pub fn run_with(&mut self, about: &str, line: &str, more: impl FnOnce(Tool<'scene>) -> Tool<'scene>) -> Outcome {
        let mut words = line.split_whitespace();
        let tool = match words.next() {
            Some("pbuild") => self.scene.pbuild(),
            Some("prun") => self.scene.prun(),
            other => panic!("{other:?} is none of our tools"),
        };
        // Nobody's own terminal decides how wide a screen is.
        let outcome = more(tool.args(words).env("COLUMNS", "100")).run();
        let named: Vec<(&str, &str)> = self.named.iter().map(|(text, mask)| (text.as_str(), mask.as_str())).collect();
        let line = named.iter().fold(line.to_owned(), |line, (text, mask)| line.replace(text, mask));
        write!(self.text, "# {about}\n$ {line}\n{}\n", outcome.screen(&named)).expect("a String takes everything");
        outcome
    }

    /// The transcript.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}
