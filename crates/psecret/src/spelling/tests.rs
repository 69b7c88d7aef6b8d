use proptest::prelude::*;

use super::*;

/// Returns the end of the value in the text, compared from the text's beginning.
fn end(value: &[u8], text: &[u8]) -> Option<usize> {
    match forward(value, text, Place::new(0, 0), Rest::Over) {
        Reach::End(place) => Some(place.at),
        Reach::Difference => None,
        Reach::Open(_) => panic!("the text is over"),
    }
}

fn begin(value: &[u8], text: &[u8]) -> Option<usize> {
    backward(value, text, Place::new(value.len(), text.len())).map(|place| place.at)
}

fn reads(value: &str, text: &str) {
    assert_eq!(end(value.as_bytes(), text.as_bytes()), Some(text.len()), "{value} in {text}");
    assert_eq!(begin(value.as_bytes(), text.as_bytes()), Some(0), "{value} before the end of {text}");
}

#[test]
fn every_spelling_of_every_character_is_read_from_both_sides() {
    let characters = (' '..='~').chain(['\n', '\t', '\r', '\u{7}', '\u{e4}', '\u{20ac}', '\u{1f511}']);
    for c in characters {
        for spelling in spellings(c) {
            reads(&format!("q{c}q"), &format!("q{spelling}q"));
        }
    }
}

#[test]
fn what_the_usual_writers_write_is_read() {
    for (value, text) in [
        ("a+b/c=d", "a\\u002Bb\\/c\\u003dd"),
        ("a+b/c=d", "a&#43;b&#x2F;c&#x3D;d"),
        ("a+b/c=d", "a+b%2Fc%3Dd"),
        ("a+b/c=d", "a%252Bb%252Fc%253Dd"),
        ("a+b/c=d", "a&plus;b&sol;c&equals;d"),
        ("it's", "it'\\''s"),
        ("it's", "it'\"'\"'s"),
        ("it''s", "it'\"''\"'s"),
        ("it's", "it'\\\\''s"),
        ("it's", "it'\\\"'\\\"'s"),
        ("a\"b", "a\\\"\\\"b"),
        ("100%x", "100%%x"),
        ("a$b", "a$$b"),
        ("a:b=c!d#e", "a\\:b\\=c\\!d\\#e"),
        ("m\u{fc}de", "m\\xFCde"),
        ("m\u{fc}de", "m\\u00FCde"),
        ("m\u{fc}de", "m%C3%BCde"),
        ("m\u{fc}de", "m%FCde"),
        ("m\u{fc}de", "m&uuml;de"),
        ("m\u{fc}de", "m=C3=BCde"),
        ("a\u{1f511}b", "a\\ud83d\\udd11b"),
        ("a\u{1f511}b", "a\\\\ud83d\\\\udd11b"),
        ("a\u{1f511}b", "a&#128273;b"),
        ("a\u{1f511}b", "a%uD83D%uDD11b"),
        ("one two", "one\n  two"),
        ("one two", "one+two"),
        ("one two", "one\\\n    \\ two"),
        ("one\ntwo", "one\n\n  two"),
        ("abcdef", "abc=\ndef"),
        ("abcdef", "abc=\r\ndef"),
        ("abcdef", "abc\\\n  def"),
        ("abcdef", "abc\"\n  \"def"),
        ("abcdef", "abc\" +\n  \"def"),
        ("abcdef", "abc\r\ndef"),
        ("abcdef", "abc\\r\\ndef"),
        ("abcdef", "abc\\u001b[31mde\\u001b[0mf"),
        ("abcdef", "abc\x1b[31mde\x1b]0;t\x07f"),
        ("abcdef", "abc\\u001b]8;;http://x\\u001b\\\\def"),
        ("a\"b", "a\\\\\\\"b"),
        ("a\\b", "a\\\\\\\\b"),
        ("a%40b&c", "a%40b\\u0026c"),
        ("a&b", "a&amp;amp;b"),
        ("a/b", "a~1b"),
    ] {
        reads(value, text);
    }
}

#[test]
fn other_characters_are_none_of_these() {
    for (value, text) in [
        ("a+b", "a\\u002Cb"),
        ("a+b", "a%2Cb"),
        ("a+b", "a&#44;b"),
        ("a+b", "a&equals;b"),
        ("ab", "a\nb"),
        ("ab", "a b"),
        ("ab", "a.b"),
        ("ab", "a''b"),
        ("it's", "its"),
        ("ab", "AB"),
    ] {
        assert_eq!(end(value.as_bytes(), text.as_bytes()), None, "{value} in {text}");
    }
}

#[test]
fn how_it_is_written_gives_the_form() {
    use crate::Form;
    for (value, text, form) in [
        ("a+b", "a+b", None),
        ("a+b", "a\\u002bb", Some(Form::Json)),
        ("a\"b", "a\\\"b", Some(Form::Json)),
        ("a\"b", "a\\\\\\\"b", Some(Form::JsonTwice)),
        ("a+b", "a%2Bb", Some(Form::Percent)),
        ("a+b", "a&#43;b", Some(Form::Xml)),
        ("a'b", "a'\\''b", Some(Form::Shell)),
        ("a'b", "a''b", Some(Form::Doubled)),
        ("a+b", "a=2Bb", Some(Form::QuotedPrintable)),
    ] {
        let Reach::End(place) = forward(value.as_bytes(), text.as_bytes(), Place::new(0, 0), Rest::Over) else {
            panic!("{value} in {text}")
        };
        assert_eq!(place.escapes.form(), form, "{text}");
    }
}

/// Makes a value, and for each of its characters the index of a spelling.
fn written() -> impl Strategy<Value = (String, Vec<prop::sample::Index>)> {
    let c = prop_oneof![4 => "[a-zA-Z0-9]", 3 => "[ -/:-@\\[-`{-~]", 1 => "[\u{a1}-\u{ff}\u{20ac}\u{1f511}]"];
    prop::collection::vec(c, 1..24).prop_map(|characters| characters.concat()).prop_flat_map(|value: String| {
        let count = value.chars().count();
        (Just(value), prop::collection::vec(any::<prop::sample::Index>(), count))
    })
}

fn spelled(value: &str, picks: &[prop::sample::Index]) -> String {
    value.chars().zip(picks).map(|(c, pick)| pick.get(&spellings(c)).clone()).collect()
}

proptest! {
    #[test]
    fn whatever_escape_each_character_gets_it_is_read((value, picks) in written(), cut in any::<prop::sample::Index>()) {
        let text = spelled(&value, &picks);
        let bytes = text.as_bytes();
        prop_assert!(end(value.as_bytes(), bytes).is_some(), "{:?} in {:?}", value, text);
        let from = backward(value.as_bytes(), bytes, Place::new(value.len(), bytes.len()));
        prop_assert!(from.is_some(), "{:?} before the end of {:?}", value, text);
        // A text that is cut is read on from the place in `Reach::Open`.
        let cut = cut.index(bytes.len() + 1);
        match forward(value.as_bytes(), &bytes[..cut], Place::new(0, 0), Rest::MayFollow) {
            Reach::Difference => prop_assert!(false, "{:?} in {:?} cut at {}", value, text, cut),
            Reach::End(place) => prop_assert!(place.at <= cut),
            Reach::Open(place) => {
                let reach = forward(value.as_bytes(), bytes, place, Rest::Over);
                prop_assert!(matches!(reach, Reach::End(_)), "{:?} in {:?} cut at {}", value, text, cut);
            }
        }
        prop_assert!(aligned(value.as_bytes(), bytes, usize::MAX).is_some());
    }

    #[test]
    fn with_one_letter_changed_it_is_not_read((value, picks) in written(), nth in any::<prop::sample::Index>()) {
        let letters: Vec<usize> = value.char_indices().filter(|(_, c)| c.is_ascii_alphabetic()).map(|(at, _)| at).collect();
        prop_assume!(!letters.is_empty());
        let at = *nth.get(&letters);
        let mut other = value.clone().into_bytes();
        other[at] ^= 0x20;
        let other = String::from_utf8(other).unwrap();
        let text = spelled(&other, &picks);
        prop_assert_eq!(end(value.as_bytes(), text.as_bytes()), None, "{:?} in {:?}", value, text);
    }

    #[test]
    fn no_text_breaks_it(value in prop::collection::vec(any::<u8>(), 1..12), text in "[\\\\u0-9a-f%&#x;'\"+=\r\n \u{1b}\\[mA-Z{}]{0,60}", at in any::<prop::sample::Index>()) {
        let at = at.index(text.len() + 1);
        let _ = forward(&value, text.as_bytes(), Place::new(0, at), Rest::MayFollow);
        let _ = forward(&value, text.as_bytes(), Place::new(0, at), Rest::Over);
        let _ = backward(&value, text.as_bytes(), Place::new(value.len(), at));
    }
}
