//! Makes names from inside an image fit for a report: redacted, printable, and of limited length.

use psecret::Redactor;

/// The most characters of a path or an instruction that a report shows.
const LONGEST: usize = 4096;

/// Returns a path for a report: secrets are masked, and control characters and bytes that are not text are escaped.
pub(crate) fn path(redactor: &Redactor, bytes: &[u8]) -> String {
    let mut shown = String::from("/");
    let bytes = redactor.redact_bytes(bytes);
    let mut rest = bytes.as_slice();
    while let Some(less) = rest.strip_prefix(b"./").or_else(|| rest.strip_prefix(b"/")) {
        rest = less;
    }
    escape(rest, &mut shown);
    shown
}

/// Returns any other text for a report.
pub(crate) fn text(redactor: &Redactor, text: &str) -> String {
    let mut shown = String::new();
    escape(&redactor.redact_bytes(text.as_bytes()), &mut shown);
    shown
}

/// Returns a JSON pointer, whose keys come from the image, for a report.
pub(crate) fn pointer(redactor: &Redactor, bytes: &[u8]) -> String {
    let mut shown = String::new();
    escape(&redactor.redact_bytes(bytes), &mut shown);
    shown
}

/// Returns a line of history in the syntax of a Dockerfile. The classic builder wrote instructions as shell commands
/// with `#(nop)`; BuildKit adds a mark at the end of each instruction.
pub(crate) fn instruction(redactor: &Redactor, created_by: &str) -> String {
    const SHELL: &str = "/bin/sh -c ";
    let line = created_by.trim().trim_end_matches("# buildkit").trim_end();
    let line = match line.strip_prefix("RUN ").map_or((false, line), |command| (true, command)) {
        (_, command) if command.starts_with(SHELL) => {
            let command = command[SHELL.len()..].trim_start();
            match command.strip_prefix("#(nop)") {
                Some(instruction) => instruction.trim_start().to_owned(),
                None => format!("RUN {command}"),
            }
        }
        _ => line.to_owned(),
    };
    text(redactor, &line)
}

fn escape(bytes: &[u8], out: &mut String) {
    let mut left = LONGEST;
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if left == 0 {
                return out.push('…');
            }
            left -= 1;
            // Marks for the direction of text could make a path look like another one.
            let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            if c.is_control() || turns { out.extend(c.escape_default()) } else { out.push(c) }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use psecret::{RedactorBuilder, SecretName, UserSecret};

    use super::*;

    /// A18 (`docs/cases.md`): a name from an image is shown without values and terminal control.
    #[test]
    fn a_path_is_shown_without_values_and_without_control_characters() {
        let name = SecretName::parse("TOKEN").unwrap();
        let redactor =
            RedactorBuilder::new().secret(&name, &UserSecret::new(b"s3cr3t-value".to_vec())).build().unwrap();
        let shown = path(&redactor, b"./srv/s3cr3t-value/\x1b[31m\n\xff\xfe\xe2\x80\xaex");
        assert_eq!(shown, "/srv/***TOKEN***/\\u{1b}[31m\\n\\xff\\xfe\\u{202e}x");
        assert_eq!(path(&redactor, &[b'a'; 9000]).chars().count(), LONGEST + 2);
    }

    #[test]
    fn instructions_read_like_a_dockerfile() {
        for (created_by, shown) in [
            ("RUN /bin/sh -c npm ci # buildkit", "RUN npm ci"),
            ("/bin/sh -c npm ci", "RUN npm ci"),
            ("/bin/sh -c #(nop)  CMD [\"sh\"]", "CMD [\"sh\"]"),
            ("COPY . /srv # buildkit", "COPY . /srv"),
            ("RUN [\"a\", \"b\"]", "RUN [\"a\", \"b\"]"),
        ] {
            assert_eq!(instruction(&Redactor::none(), created_by), shown);
        }
    }
}
