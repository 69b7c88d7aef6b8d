//! Comma-separated fields, as in docker's flags: `type=oci,dest=a.tar`. A field that holds a comma is in quotes.

/// Splits one line into fields. Returns `None` if a quote is in a place where it is not allowed.
///
/// Docker reads these flags with Go's `encoding/csv`: a field may be in double quotes, and a double quote inside of
/// such a field is written twice.
pub(crate) fn fields(text: &str) -> Option<Vec<String>> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => unquoted(quoted)?,
            None => {
                let (field, after) = rest.split_at(rest.find(',').unwrap_or(rest.len()));
                if field.contains('"') {
                    return None;
                }
                (field.to_owned(), after)
            }
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(after) => rest = after,
            None if after.is_empty() => return Some(fields),
            None => return None,
        }
    }
}

/// Reads the rest of a quoted field, after its first quote. Returns the field without quotes, and the text after it.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let end = rest.find('"')?;
        field.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(after) => {
                field.push('"');
                rest = after;
            }
            None => return Some((field, rest)),
        }
    }
}

/// Splits a line into the names and values of its fields `NAME=VALUE`. The names are in lower case and without
/// blanks.
///
/// # Errors
/// Returns the text that is not a pair.
pub(crate) fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let fields = fields(text).ok_or_else(|| text.to_owned())?;
    let pair = |field: String| match field.split_once('=') {
        Some((name, value)) => Ok((name.trim().to_lowercase(), value.to_owned())),
        None => Err(field),
    };
    fields.into_iter().map(pair).collect()
}

/// Writes a field for a comma-separated line, in quotes if it holds a comma or a quote.
pub(crate) fn field(text: &str) -> String {
    if text.contains([',', '"']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

/// Reads a truth value as Go does. Returns `None` for any other text.
pub(crate) fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_go_reads_them() {
        let cases: [(&str, Option<&[&str]>); 10] = [
            ("", Some(&[""])),
            ("a", Some(&["a"])),
            ("a,b=c", Some(&["a", "b=c"])),
            ("a,", Some(&["a", ""])),
            ("\"a,b\",c", Some(&["a,b", "c"])),
            ("\"a\"\"b\"", Some(&["a\"b"])),
            ("\"\",x", Some(&["", "x"])),
            ("a\"b", None),
            ("\"open", None),
            ("\"a\"b", None),
        ];
        for (text, expected) in cases {
            assert_eq!(
                fields(text).as_deref(),
                expected.map(|fields| fields.iter().map(|f| (*f).to_owned()).collect::<Vec<_>>()).as_deref(),
                "{text}"
            );
        }
    }

    #[test]
    fn pairs_have_a_name_each() {
        assert_eq!(
            pairs(" Type =oci,dest=A=b"),
            Ok(vec![("type".into(), "oci".into()), ("dest".into(), "A=b".into())])
        );
        assert_eq!(pairs("type=oci,loose"), Err("loose".to_owned()));
    }

    proptest::proptest! {
        #[test]
        fn no_text_breaks_the_reading(text in ".{0,60}") {
            drop(fields(&text));
            proptest::prop_assert_eq!(fields(&field(&text)), Some(vec![text]));
        }
    }
}
