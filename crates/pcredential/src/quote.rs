//! Writes names and passwords in the languages of servers and their clients. They may contain every character except
//! control characters.

/// Writes a value for an option file of MySQL's and MariaDB's clients.
pub(crate) fn option(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

/// Writes a name for PostgreSQL.
pub(crate) fn name(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// Writes a text for PostgreSQL. It has the same meaning with every setting of `standard_conforming_strings`.
pub(crate) fn text(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// Writes a name for MySQL.
pub(crate) fn mysql_name(text: &str) -> String {
    format!("`{}`", text.replace('`', "``"))
}

/// Writes the name of a database for a grant of MySQL. Without escapes, `_` and `%` in a grant stand for other
/// characters.
pub(crate) fn mysql_pattern(text: &str) -> String {
    mysql_name(&text.replace('\\', "\\\\").replace('_', "\\_").replace('%', "\\%"))
}

/// Writes a text for MySQL.
pub(crate) fn mysql_text(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// Writes an argument for a command of Redis' and Valkey's clients.
pub(crate) fn argument(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Writes a text for MongoDB's shell, which reads JavaScript.
pub(crate) fn script(text: &str) -> String {
    serde_json::to_string(text).expect("a text is JSON")
}

/// Writes a field for PostgreSQL's password file.
pub(crate) fn field(text: &str) -> String {
    text.replace('\\', "\\\\").replace(':', "\\:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_stands_in_a_password_ends_no_quotes() {
        let password = r#"p'"\`#$ ß;x"#;
        assert_eq!(option(password), r#""p'\"\\`#$ ß;x""#);
        assert_eq!(text(password), r#"E'p''"\\`#$ ß;x'"#);
        assert_eq!(mysql_text(password), r#"'p''"\\`#$ ß;x'"#);
        assert_eq!(argument(password), r#""p'\"\\`#$ ß;x""#);
        assert_eq!(script(password), r#""p'\"\\`#$ ß;x""#);
        assert_eq!(name("a\"b"), "\"a\"\"b\"");
        assert_eq!(mysql_name("a`b_c"), "`a``b_c`");
        assert_eq!(mysql_pattern("a_b%"), r"`a\_b\%`");
        assert_eq!(field(r"a:b\c"), r"a\:b\\c");
    }
}
