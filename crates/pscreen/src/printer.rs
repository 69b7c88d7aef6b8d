//! The printer: every byte that people see passes through it and its redactor.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anstyle::{AnsiColor, Style};
use psecret::Redactor;

use crate::visible::{one_line, visible};
use crate::{Cancellation, Diagnostic, Ending, Exit};

/// The width of the first column of facts, which aligns their texts.
const LABEL_WIDTH: usize = 10;

pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const DIMMED: Style = Style::new().dimmed();
pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();
pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default().bold();
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const HELP: Style = AnsiColor::Cyan.on_default();

/// Whether colours are used. A colour never carries a meaning alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// Colours are written as ANSI escape sequences.
    Ansi,
    /// No colours are used.
    Never,
}

/// The meaning of the word before a line. The word has the same meaning as its colour, so that no colour carries a
/// meaning alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// The thing is as it should be.
    Good,
    /// The user should look at the thing.
    Doubtful,
    /// The thing is wrong.
    Bad,
    /// The line is advice.
    Advice,
}

impl Tone {
    fn style(self) -> Style {
        match self {
            Self::Good => GOOD,
            Self::Doubtful => WARNING,
            Self::Bad => ERROR,
            Self::Advice => HELP,
        }
    }
}

/// A stream that people read: standard error for messages, standard output for results.
///
/// Clones are cheap, share the writer and write whole lines. A printer notices when its reader has gone.
#[derive(Clone)]
pub struct Printer {
    sink: Arc<Mutex<Sink>>,
    colour: Colour,
    redactor: Redactor,
    form: Form,
    /// The text before every message, such as `[web] `: it tells the messages of several builds apart. It is empty if
    /// there is only one.
    subject: Arc<str>,
    /// True if each error is also printed in the form that readers of buildx's output expect.
    last_word: bool,
}

/// The form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Lines for people.
    Lines,
    /// Each message is one JSON object on a line, for programs that read every line.
    Events,
}

struct Sink {
    writer: Box<dyn Write + Send>,
    closed: bool,
    /// The error of the last write, unless the reader has gone.
    fault: Option<io::Error>,
    /// Whether a failed write is no reason to stop.
    loses: bool,
    cancellation: Option<Cancellation>,
}

impl Printer {
    /// Makes a printer for standard error.
    #[must_use]
    pub fn stderr() -> Self {
        Self::new(Box::new(io::stderr()), choice(&io::stderr()))
    }

    /// Makes a printer for standard output.
    #[must_use]
    pub fn stdout() -> Self {
        Self::new(Box::new(io::stdout()), choice(&io::stdout()))
    }

    /// Makes a printer for any writer.
    #[must_use]
    pub fn new(writer: Box<dyn Write + Send>, colour: Colour) -> Self {
        let sink = Arc::new(Mutex::new(Sink { writer, closed: false, fault: None, loses: false, cancellation: None }));
        Self { sink, colour, redactor: Redactor::none(), form: Form::Lines, subject: Arc::default(), last_word: false }
    }

    /// Returns the same printer with this redactor, which is set as soon as the secrets are known.
    #[must_use]
    pub fn redacting(&self, redactor: Redactor) -> Self {
        Self { redactor, ..self.clone() }
    }

    /// Ends the work when the reader of the output has gone (C14).
    #[must_use]
    pub fn cancelling(self, cancellation: &Cancellation) -> Self {
        self.lock().cancellation = Some(cancellation.clone());
        self
    }

    /// Goes on if a write fails for any other reason than a reader that has gone, such as a full disk. What could not be
    /// written is lost. Messages are no result, so the work does not end for them.
    #[must_use]
    pub fn losing(self) -> Self {
        self.lock().loses = true;
        self
    }

    /// Returns the same printer with events as its form. It prints each fact, warning and error as one JSON object on
    /// a line: `{"pbuild":{"version":1,"message":{"label":"engine","text":"28.5.2 at
    /// unix:///var/run/docker.sock"}}}`. Errors and warnings have the labels `error` and `warning`; lines without a
    /// label have an empty one. [`bytes`](Self::bytes) are printed unchanged.
    #[must_use]
    pub fn as_events(&self) -> Self {
        Self { form: Form::Events, ..self.clone() }
    }

    /// Returns the same printer for messages about one of several subjects. Facts, warnings and errors begin with the
    /// subject's name in square brackets: `audit     [web] 6 steps`.
    #[must_use]
    pub fn about(&self, subject: &str) -> Self {
        Self { subject: format!("[{subject}] ").into(), ..self.clone() }
    }

    /// Returns the same printer for readers that expect the errors of buildx. As events, each error is also printed
    /// as text; as lines, each error is followed by a line with `ERROR: ` and a summary.
    #[must_use]
    pub fn with_last_word(&self) -> Self {
        Self { last_word: true, ..self.clone() }
    }

    /// Returns the redactor that all output passes through.
    #[must_use]
    pub fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// Prints one or several lines. Control characters are made visible.
    pub fn line(&self, text: &str) {
        self.print(&format!("{}\n", self.clean(text)));
    }

    /// Prints a line with a coloured word: the text before the word, the word in the colour of its meaning, and the
    /// rest.
    pub fn toned(&self, before: &str, tone: Tone, word: &str, rest: &str) {
        let style = tone.style();
        let rest = one_line(&self.redactor.redact(rest));
        self.print(&format!("{before}{style}{word}{style:#}{rest}\n"));
    }

    /// Prints a fact with its label, on one line: `engine    28.5.2 at unix:///var/run/docker.sock`.
    pub fn fact(&self, label: &str, text: &str) {
        match self.form {
            Form::Lines => self.print(&self.fact_line(label, text)),
            Form::Events => self.event(label, &self.about_subject(text)),
        }
    }

    /// Returns the text of a fact with the subject before it, redacted and on one line.
    fn about_subject(&self, text: &str) -> String {
        one_line(&self.redactor.redact(&format!("{}{text}", self.subject)))
    }

    /// Prints a message as an event. The text must be redacted and cleaned already.
    fn event(&self, label: &str, styled: &str) {
        let text = anstream::adapter::strip_str(styled).to_string();
        let message = serde_json::json!({ "label": label, "text": text.trim_end_matches('\n') });
        let event = serde_json::json!({ "pbuild": { "version": 1, "message": message } });
        self.write(format!("{event}\n").as_bytes());
    }

    pub(crate) fn fact_line(&self, label: &str, text: &str) -> String {
        format!("{BOLD}{label:<LABEL_WIDTH$}{BOLD:#}{}\n", self.about_subject(text))
    }

    /// Prints a warning.
    pub fn warning(&self, text: &str) {
        self.diagnostic(&Diagnostic::warning(text));
    }

    /// Prints an error or a warning with all of its parts.
    pub fn diagnostic(&self, diagnostic: &Diagnostic) {
        let rendered = diagnostic.render_about(&self.subject, &self.redactor);
        match self.form {
            Form::Lines => self.print(&rendered),
            Form::Events => self.event(diagnostic.label(), &rendered),
        }
        if self.last_word && diagnostic.exit().is_some() {
            let plain = Self { form: Form::Lines, ..self.clone() };
            let summary = one_line(&self.redactor.redact(&diagnostic.in_one_line()));
            match self.form {
                Form::Events => plain.print(&rendered),
                Form::Lines => plain.print(&format!("ERROR: {}{summary}\n", self.subject)),
            }
        }
    }

    /// Writes bytes, which are only redacted, such as a report or an image's id. A value that is split between two
    /// calls is not found.
    pub fn bytes(&self, bytes: &[u8]) {
        self.write(&self.redactor.redact_bytes(bytes));
    }

    /// Returns true if the reader has gone. The printer then writes nothing more and reports nothing (C14); the tool
    /// ends with [`Ending::ReaderGone`](crate::Ending::ReaderGone).
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Returns an error for another printer if a write failed. Returns `None` if all writes succeeded, or if the
    /// reader has gone. Without this error, an incomplete result would look complete.
    #[must_use]
    pub fn fault(&self, name: &str) -> Option<Diagnostic> {
        let sink = self.lock();
        let fault = sink.fault.as_ref()?;
        let error = Diagnostic::error(format!("failed to write {name}: {fault}"), Exit::Failed);
        Some(match fault.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                error.help("make room where it is written to, and run the command again")
            }
            _ => error,
        })
    }

    /// Redacts a text and makes its control characters visible.
    pub(crate) fn clean(&self, text: &str) -> String {
        visible(&self.redactor.redact(text))
    }

    /// Returns whether colours are used.
    #[must_use]
    pub fn colour(&self) -> Colour {
        self.colour
    }

    /// Prints a text that was already redacted, cleaned and styled.
    pub(crate) fn print(&self, styled: &str) {
        match (self.form, self.colour) {
            (Form::Events, _) => self.event("", styled),
            (Form::Lines, Colour::Ansi) => self.write(styled.as_bytes()),
            (Form::Lines, Colour::Never) => self.write(anstream::adapter::strip_str(styled).to_string().as_bytes()),
        }
    }

    /// Prints a picture. Cursor movements are always printed, colours only if they are used.
    pub(crate) fn print_picture(&self, picture: &Picture) {
        if *picture == Picture::default() {
            return;
        }
        let mut out = picture.movement.clone();
        match self.colour {
            Colour::Ansi => out.push_str(&picture.lines),
            Colour::Never => out.push_str(&anstream::adapter::strip_str(&picture.lines).to_string()),
        }
        self.write(out.as_bytes());
    }

    /// Writes bytes that were already redacted and cleaned.
    pub(crate) fn print_bytes(&self, bytes: &[u8]) {
        self.write(bytes);
    }

    fn write(&self, bytes: &[u8]) {
        let mut sink = self.lock();
        if sink.closed {
            return;
        }
        // If a terminal accepts no more bytes, all that can be done is to stop writing.
        if let Err(error) = sink.writer.write_all(bytes).and_then(|()| sink.writer.flush()) {
            if sink.loses && error.kind() != io::ErrorKind::BrokenPipe {
                return;
            }
            sink.closed = true;
            sink.fault = Some(error).filter(|error| error.kind() != io::ErrorKind::BrokenPipe);
            if let Some(cancellation) = &sink.cancellation {
                cancellation.cancel(Ending::ReaderGone);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Sink> {
        self.sink.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Printer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Printer").field("colour", &self.colour).finish_non_exhaustive()
    }
}

/// Decides whether to use colours, by `NO_COLOR`, `CLICOLOR`, `CLICOLOR_FORCE`, `TERM=dumb`, and whether the stream
/// is a terminal.
fn choice(stream: &impl anstream::stream::RawStream) -> Colour {
    match anstream::AutoStream::choice(stream) {
        anstream::ColorChoice::Never => Colour::Never,
        anstream::ColorChoice::Auto | anstream::ColorChoice::Always | anstream::ColorChoice::AlwaysAnsi => Colour::Ansi,
    }
}

/// The abilities of standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// True if the terminal can be redrawn.
    pub redraws: bool,
    /// The columns and rows, if they are known.
    pub size: Option<(usize, usize)>,
}

impl Terminal {
    /// Reads the abilities from standard error and the environment. With `TERM=dumb` or `CI`, nothing is redrawn
    /// (C15).
    #[must_use]
    pub fn of_stderr(environment: impl Fn(&str) -> Option<std::ffi::OsString>) -> Self {
        let dumb = environment("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        let ci = environment("CI").is_some_and(|value| !value.is_empty() && value != "false");
        Self { redraws: io::stderr().is_terminal() && !dumb && !ci, size: Self::size_of_stderr() }
    }

    /// Returns the current size of the terminal, which changes when the user resizes the window.
    #[must_use]
    pub fn size_of_stderr() -> Option<(usize, usize)> {
        size_of(io::stderr())
    }

    /// Returns the size of the terminal at standard output, or `None` if standard output is a pipe or a file.
    #[must_use]
    pub fn size_of_stdout() -> Option<(usize, usize)> {
        size_of(io::stdout())
    }
}

fn size_of(stream: impl std::os::fd::AsFd) -> Option<(usize, usize)> {
    let (width, height) = terminal_size::terminal_size_of(stream)?;
    Some((usize::from(width.0), usize::from(height.0)))
}

/// Styled lines, which are drawn after a movement of the cursor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Picture {
    pub(crate) movement: String,
    pub(crate) lines: String,
}

/// Appends the lines of a text with an indentation, for notes below a title.
pub(crate) fn indented(out: &mut String, indent: &str, text: &str) {
    for line in text.lines() {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{indent}{line}");
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use psecret::{RedactorBuilder, SecretName, UserSecret};

    use super::*;

    /// A writer that the test can read.
    #[derive(Clone, Default)]
    pub(crate) struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Paper {
        pub(crate) fn text(&self) -> String {
            String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
        }

        pub(crate) fn bytes(&self) -> Vec<u8> {
            self.0.lock().unwrap().clone()
        }

        pub(crate) fn take(&self) -> String {
            String::from_utf8_lossy(&std::mem::take(&mut *self.0.lock().unwrap())).into_owned()
        }

        pub(crate) fn printer(&self, colour: Colour) -> Printer {
            Printer::new(Box::new(self.clone()), colour)
        }
    }

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    pub(crate) const VALUE: &str = "c4n4ry-9f3b27e1";

    pub(crate) fn redactor() -> Redactor {
        let name = SecretName::parse("TOKEN").unwrap();
        RedactorBuilder::new().secret(&name, &UserSecret::new(VALUE.into())).build().unwrap()
    }

    #[test]
    fn everything_passes_the_redactor_l8() {
        let paper = Paper::default();
        let printer = paper.printer(Colour::Ansi).redacting(redactor());
        printer.line(&format!("a {VALUE}"));
        printer.fact("engine", &format!("b {VALUE}"));
        printer.warning(&format!("c {VALUE}"));
        printer.bytes(format!("{{\"d\":\"{VALUE}\"}}").as_bytes());
        let text = paper.text();
        assert!(!text.contains(VALUE), "{text}");
        assert_eq!(text.matches("***TOKEN***").count(), 4);
    }

    #[test]
    fn without_colour_there_is_no_escape() {
        let paper = Paper::default();
        let printer = paper.printer(Colour::Never);
        printer.fact("engine", "28.5.2 at unix:///var/run/docker.sock\u{1b}[31m");
        assert_eq!(paper.text(), "engine    28.5.2 at unix:///var/run/docker.sock\\u{1b}[31m\n");
    }

    #[test]
    fn a_reader_that_went_away_is_noticed_and_not_complained_about_c14() {
        let cancellation = Cancellation::new();
        let gone = Refusing(io::ErrorKind::BrokenPipe);
        let printer = Printer::new(Box::new(gone), Colour::Never).cancelling(&cancellation);
        assert!(!printer.is_closed() && cancellation.ending().is_none());
        printer.line("one");
        printer.line("two");
        assert_eq!(cancellation.ending(), Some(Ending::ReaderGone));
        assert!(printer.is_closed() && printer.redacting(redactor()).is_closed());
        assert!(printer.fault("standard output").is_none());
    }

    /// A writer that fails at every write.
    struct Refusing(io::ErrorKind);

    impl Write for Refusing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_has_words() {
        let cancellation = Cancellation::new();
        let full = Refusing(io::ErrorKind::StorageFull);
        let printer = Printer::new(Box::new(full), Colour::Never).cancelling(&cancellation);
        assert!(printer.fault("standard output").is_none());
        printer.line("one");
        assert!(printer.is_closed() && cancellation.ending().is_some(), "the work stops");
        let full = Refusing(io::ErrorKind::StorageFull);
        let cancellation = Cancellation::new();
        let messages = Printer::new(Box::new(full), Colour::Never).cancelling(&cancellation).losing();
        messages.line("one");
        assert!(!messages.is_closed() && cancellation.ending().is_none(), "messages are no result");
        let shown = printer.fault("standard output").expect("an error").to_string();
        assert!(shown.contains("failed to write standard output: ") && shown.contains("make room"), "{shown}");
    }

    #[test]
    fn a_subject_stands_in_front_of_everything_that_is_said_of_it() {
        let (paper, redactor) = (Paper::default(), redactor());
        let printer = Printer::new(Box::new(paper.clone()), Colour::Never).redacting(redactor).about("web");
        printer.fact("audit", "clean");
        printer.diagnostic(&Diagnostic::error(format!("holds {VALUE}"), crate::Exit::Leak));
        assert_eq!(paper.text(), "audit     [web] clean\nerror: [web] holds ***TOKEN***\nexit code 10\n");
    }

    #[test]
    fn whoever_expects_buildx_finds_the_error_in_the_last_line_and_among_events_as_text() {
        let error =
            Diagnostic::error("the image would contain a secret", crate::Exit::Leak).note(format!("in {VALUE}"));
        let said = |events: bool| {
            let paper = Paper::default();
            let printer = Printer::new(Box::new(paper.clone()), Colour::Never).redacting(redactor()).with_last_word();
            let printer = if events { printer.as_events() } else { printer };
            printer.diagnostic(&error);
            paper.text()
        };
        let lines = said(false);
        assert_eq!(lines.lines().last(), Some("ERROR: the image would contain a secret: in ***TOKEN***"));
        let events = said(true);
        assert!(events.starts_with('{') && !events.contains("ERROR: "), "{events}");
        assert!(events.contains("\nerror: the image would contain a secret\n  in ***TOKEN***\n"), "{events}");
    }

    #[test]
    fn as_events_every_line_is_one_object_without_values() {
        let paper = Paper::default();
        let value = "s3cr3t-Value-0123456789";
        let name = SecretName::parse("TOKEN").unwrap();
        let redactor = RedactorBuilder::new().secret(&name, &UserSecret::new(value.into())).build().unwrap();
        let printer = Printer::new(Box::new(paper.clone()), Colour::Ansi).as_events().redacting(redactor);
        printer.fact("engine", &format!("at {value}\nand on"));
        printer.warning(&format!("a \u{1b}[2J {value}"));
        printer.diagnostic(&Diagnostic::error("it failed", crate::Exit::Failed).note("two\nlines").help("mend it"));
        printer.line("a line");
        printer.bytes(b"{}\n");
        let text = paper.text();
        assert!(!text.contains(value));
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let messages: Vec<(&str, &str)> = lines[..4]
            .iter()
            .map(|line| &line["pbuild"]["message"])
            .map(|message| (message["label"].as_str().expect("a label"), message["text"].as_str().expect("a text")))
            .collect();
        assert_eq!(messages[0].0, "engine");
        assert!(messages[0].1.contains("***TOKEN***"), "{messages:?}");
        assert!(
            messages[1].0 == "warning" && messages[1].1.starts_with("warning: a ") && !messages[1].1.contains('\u{1b}')
        );
        let (label, text) = messages[2];
        assert!(label == "error" && text.contains("it failed") && text.contains("lines") && text.contains("mend it"));
        assert_eq!((messages[3], &lines[4]), (("", "a line"), &serde_json::json!({})));
    }
}
