//! Runs command lines as a user does, and keeps them with their output as one text for a snapshot.

use std::fmt::Write as _;

use ptest::{Outcome, Scene, Tool};

/// A transcript of commands in one scene. Everything that differs between runs is masked.
pub struct Session<'scene> {
    scene: &'scene Scene,
    named: Vec<(String, String)>,
    text: String,
}

impl<'scene> Session<'scene> {
    /// Makes an empty transcript.
    #[must_use]
    pub fn new(scene: &'scene Scene) -> Self {
        Self { scene, named: Vec::new(), text: String::new() }
    }

    /// Shows `mask` in place of `text`, which differs between runs.
    #[must_use]
    pub fn naming(mut self, text: impl Into<String>, mask: &str) -> Self {
        self.named.push((text.into(), mask.to_owned()));
        self
    }

    /// Runs a command line, whose words are separated by blanks. The transcript shows `about` above it.
    ///
    /// # Panics
    ///
    /// Panics if the tool cannot be run, or if it leaks a canary.
    #[track_caller]
    pub fn run(&mut self, about: &str, line: &str) -> Outcome {
        self.run_with(about, line, |tool| tool)
    }

    /// Runs a command line as [`Self::run`] does, after `more` has changed the tool, for example by adding a
    /// variable.
    ///
    /// # Panics
    ///
    /// Panics if the tool cannot be run, or if it leaks a canary.
    #[track_caller]
    pub fn run_with(&mut self, about: &str, line: &str, more: impl FnOnce(Tool<'scene>) -> Tool<'scene>) -> Outcome {
        let mut words = line.split_whitespace();
        let tool = match words.next() {
            Some("pbuild") => self.scene.pbuild(),
            Some("prun") => self.scene.prun(),
            other => panic!("{other:?} is none of our tools"),
        };
        // The width of screens must not depend on the terminal of the user who runs the tests.
        let outcome = more(tool.args(words).env("COLUMNS", "100")).run();
        let named: Vec<(&str, &str)> = self.named.iter().map(|(text, mask)| (text.as_str(), mask.as_str())).collect();
        let line = named.iter().fold(line.to_owned(), |line, (text, mask)| line.replace(text, mask));
        write!(self.text, "# {about}\n$ {line}\n{}\n", outcome.screen(&named)).expect("a String takes everything");
        outcome
    }

    /// Returns the transcript.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}
