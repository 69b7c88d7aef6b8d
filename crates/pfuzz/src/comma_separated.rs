//! Fuzzes the reader of comma-separated values, in which docker's flags are written.

use pbuild::fuzzing;

/// Reads every line as one value. A second, naive reader must read it in the same way. If the value is written again,
/// it must be read again with the same result. No flag with such a value may make its reader panic or show a
/// credential.
pub(crate) fn run(data: &[u8]) {
    for line in String::from_utf8_lossy(data).split('\n') {
        let read = fuzzing::fields(line);
        assert_eq!(read, naive(line), "{line:?}");
        if let Some(fields) = read {
            let written: Vec<String> = fields.iter().map(|field| fuzzing::field(field)).collect();
            assert_eq!(fuzzing::fields(&written.join(",")), Some(fields), "{line:?}");
        }
        for attributes in fuzzing::attributes(line) {
            assert!(!attributes.contains_key("token"), "credentials of a cache are no public attributes");
        }
    }
}

/// The state of the naive reader.
enum At {
    Start,
    Plain,
    Quoted,
    /// After a quote that closed the field, or that is the first of two.
    Quote,
}

fn naive(text: &str) -> Option<Vec<String>> {
    let (mut fields, mut at) = (vec![String::new()], At::Start);
    for c in text.chars() {
        let field = fields.last_mut().expect("there is one from the start");
        at = match (at, c) {
            (At::Start | At::Plain | At::Quote, ',') => {
                fields.push(String::new());
                At::Start
            }
            (At::Start, '"') => At::Quoted,
            (At::Quoted, '"') => At::Quote,
            (At::Plain, '"') => return None,
            (At::Quote, '"') => {
                field.push('"');
                At::Quoted
            }
            (At::Quote, _) => return None,
            (At::Quoted, _) => {
                field.push(c);
                At::Quoted
            }
            (At::Start | At::Plain, _) => {
                field.push(c);
                At::Plain
            }
        };
    }
    (!matches!(at, At::Quoted)).then_some(fields)
}
