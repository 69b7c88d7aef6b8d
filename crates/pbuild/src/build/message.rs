//! The messages of an engine, shortened so that people can read them.

/// The longest message of an engine that is shown, in characters. A path alone can have 4,096 characters.
const LONGEST_MESSAGE: usize = 400;

/// The longest word of a message that is shown, in characters.
const LONGEST_WORD: usize = 150;

/// Shortens an engine's message to one line of bounded length. The beginning and the end of the message stay, because
/// they say most.
///
/// Only whole words are left out. The redactor masks the line later, and it would not recognise half a value.
pub(crate) fn quoted(message: &str) -> String {
    let short = |word| if str::chars(word).count() > LONGEST_WORD { "…" } else { word };
    let words: Vec<&str> = message.split_whitespace().map(short).collect();
    let fitting = |words: &mut dyn Iterator<Item = &&str>| {
        let mut room = LONGEST_MESSAGE / 2;
        let fits = |word: &&&str| {
            let left = room.checked_sub(word.chars().count() + 1);
            room = left.unwrap_or_default();
            left.is_some()
        };
        words.take_while(fits).count()
    };
    let first = fitting(&mut words.iter());
    let last = fitting(&mut words[first..].iter().rev());
    let (begin, end) = (words[..first].join(" "), words[words.len() - last..].join(" "));
    match (first + last == words.len(), end.is_empty()) {
        (true, true) => begin,
        (true, false) => format!("{begin} {end}"),
        (false, _) => format!("{begin} … {end}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_an_engine_is_one_line_of_bounded_length() {
        assert_eq!(quoted("not found"), "not found");
        assert_eq!(quoted("one\n  two\r\n\nthree\n"), "one two three");
        let long = quoted(&format!("lstat /{}: file name too long", "é/".repeat(4000)));
        assert_eq!(long, "lstat … file name too long");
        let many = quoted(&format!("begin {} end", "word ".repeat(4000)));
        assert!(many.chars().count() <= LONGEST_MESSAGE + 3, "{many}");
        assert!(many.starts_with("begin word") && many.contains("word … word") && many.ends_with("word end"), "{many}");
        assert_eq!(quoted(&"word ".repeat(70)).split(' ').count(), 70);
    }
}
