//! A value is found if each of its characters is written in any escape, wherever the value is and however the text is
//! cut. It is not found if one character is changed.

mod seen;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use psecret::spelling::spellings;

use seen::{needles, seen};

/// The values are outputs of `openssl rand -base64`, passwords, a URL, a passphrase, and one with characters beyond
/// ASCII.
const KEY: &str = "++++OpF80vgbd+P//gXIodPpsEx/KmaBC/rdlMPo8Ks=";
const SHORT_KEY: &str = "Zr8Kc1/Vb4Ny+T9xWq2Lm5==";
const PHRASE: &str = "it's-a-pass&word<9x+Q";
const PASSWORD: &str = "pa%ss@w0rd:Q7zk9x";
const URL: &str = "postgres://shop:p%40s+s!w0rd#x@db.internal:5432/shop?sslmode=require&x=1";
const WORDS: &str = "correct horse battery staple with twelve more words than anybody would type in";
const UMLAUTS: &str = "gr\u{fc}\u{df}e-aus-K\u{f6}ln-7481\u{1f511}";
const SIGNS: &str = "a/b+c=d&e<f>g'h\"i%j$k";

fn decimal(value: &str, between: &str) -> String {
    value.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>().join(between)
}

/// Writes the values in the spellings of many writers.
fn writers() -> Vec<(&'static str, &'static str, String)> {
    let replaced =
        |value: &str, by: &[(&str, &str)]| by.iter().fold(value.to_owned(), |text, (from, to)| text.replace(from, to));
    let k8s = STANDARD
        .encode(format!("{{\"auths\":{{\"r.io\":{{\"auth\":\"{}\"}}}}}}", STANDARD.encode(format!("deploy:{KEY}"))));
    vec![
        ("System.Text.Json", KEY, replaced(KEY, &[("+", "\\u002B")])),
        ("Gson", KEY, replaced(KEY, &[("=", "\\u003d")])),
        ("serialize-javascript", KEY, replaced(KEY, &[("/", "\\u002F")])),
        ("Mustache", KEY, replaced(KEY, &[("/", "&#x2F;"), ("=", "&#x3D;")])),
        ("Handlebars", KEY, replaced(KEY, &[("=", "&#x3D;")])),
        ("html/template of Go", KEY, replaced(KEY, &[("+", "&#43;")])),
        ("WebUtility of .NET", KEY, replaced(KEY, &[("+", "&#x2B;")])),
        ("escapejs of Django", KEY, replaced(KEY, &[("=", "\\u003D")])),
        ("encoded twice", KEY, replaced(KEY, &[("+", "%252B"), ("/", "%252F"), ("=", "%253D")])),
        ("a .dockerconfigjson", KEY, k8s),
        ("URL of Node", SHORT_KEY, replaced(SHORT_KEY, &[("/", "%2F"), ("=", "%3D")])),
        ("escape of JavaScript", SHORT_KEY, replaced(SHORT_KEY, &[("=", "%3D")])),
        ("JSON_HEX of PHP", PHRASE, replaced(PHRASE, &[("'", "\\u0027"), ("&", "\\u0026"), ("<", "\\u003C")])),
        ("ConfigParser", PASSWORD, replaced(PASSWORD, &[("%", "%%")])),
        ("Compose", "pa$ss@w0rd:Q7zk9x", "pa$$ss@w0rd:Q7zk9x".to_owned()),
        ("Properties.store", URL, replaced(URL, &[(":", "\\:"), ("=", "\\="), ("!", "\\!"), ("#", "\\#")])),
        ("Properties.store of umlauts", UMLAUTS, "gr\\u00FC\\u00DFe-aus-K\\u00F6ln-7481\\uD83D\\uDD11".to_owned()),
        ("PyYAML of umlauts", UMLAUTS, "gr\\xFC\\xDFe-aus-K\\xF6ln-7481\\U0001F511".to_owned()),
        ("PyYAML, folded", WORDS, WORDS.replacen(" would", "\n  would", 1)),
        ("PyYAML, folded and quoted", WORDS, WORDS.replacen(" would", "\\\n  \\ would", 1)),
        ("quoted-printable", KEY, format!("{}=\n{}", &KEY[..40], KEY[40..].replace('=', "=3D"))),
        ("mysqldump", "it's \"so\" secret9", "it\\'s \\\"so\\\" secret9".to_owned()),
        ("Kotlin and C", KEY, format!("{}\"\n    \"{}", &KEY[..20], &KEY[20..])),
        ("a cast of a terminal", KEY, format!("{}\\r\\n{}", &KEY[..30], &KEY[30..])),
        ("a cast in colours", KEY, format!("{}\\u001b[32m{}", &KEY[..30], &KEY[30..])),
        ("a terminal at 80 columns", KEY, format!("{}\r\n{}", &KEY[..12], &KEY[12..])),
        ("UTF-32 LE", KEY, String::from_utf8(KEY.bytes().flat_map(|byte| [byte, 0, 0, 0]).collect()).expect("ASCII")),
        ("UTF-32 BE", KEY, String::from_utf8(KEY.bytes().flat_map(|byte| [0, 0, 0, byte]).collect()).expect("ASCII")),
        ("a buffer of Node", KEY, decimal(KEY, ",")),
        ("a list of Python", KEY, decimal(KEY, ", ")),
        ("base32 of coreutils", SHORT_KEY, "LJZDQS3DGEXVMYRUJZ4SWVBZPBLXCMSMNU2T2PI=".to_owned()),
        ("base64 of JSON", PHRASE, STANDARD.encode(replaced(PHRASE, &[("&", "\\u0026"), ("<", "\\u003c")]))),
        ("base64 of JSON of a URL", URL, STANDARD.encode(format!("{{\"u\":\"{}\"}}", URL.replace('&', "\\u0026")))),
        ("JSON of signs", SIGNS, replaced(SIGNS, &[("\"", "\\\"")])),
        (
            "HTML of signs",
            SIGNS,
            replaced(SIGNS, &[("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\"", "&quot;"), ("'", "&#39;")]),
        ),
    ]
}

#[test]
fn what_writers_make_of_a_value_is_found() {
    let missed: Vec<&str> = writers()
        .iter()
        .filter(|(_, value, text)| {
            let set = needles(value.as_bytes());
            (0..9).any(|shift| {
                let file =
                    [&b".......\n"[..shift], b"key: \"", text.as_bytes(), b"\"\n", &b"and more\n".repeat(99)].concat();
                [usize::MAX, 61, 7].iter().any(|chunk| seen(&set, &file, *chunk).is_empty())
                    || seen(&set, &file[..14 + text.len()], 1000).is_empty()
            })
        })
        .map(|(name, ..)| *name)
        .collect();
    assert_eq!(missed, [""; 0]);
}

/// The documentation's table has the same rows as the test above.
#[test]
fn the_page_lists_every_writer() {
    let page = include_str!("../../../docs/audit.md");
    let writers: String = writers().iter().map(|(writer, ..)| format!("| {writer} |\n")).collect();
    assert!(page.contains(&writers), "docs/audit.md must hold these lines:\n{writers}");
}

/// The writer escapes all characters, even letters and digits.
#[test]
fn a_value_of_which_every_character_is_escaped_is_found() {
    for value in [KEY, PHRASE, UMLAUTS, "kq7Zp2Lw9Xv4Bn6Tr1Ys"] {
        let set = needles(value.as_bytes());
        for text in psecret::spelling::wholly_escaped(value) {
            let shown = String::from_utf8_lossy(&text);
            for shift in 0..8 {
                let file = [&b"......."[..shift], b" \"", &text, b"\" "].concat();
                assert!(!seen(&set, &file, 50).is_empty(), "{shown}");
            }
        }
    }
}

/// Makes a value with a run of letters and digits, and the index of a spelling for each other character.
fn written() -> impl Strategy<Value = (String, Vec<prop::sample::Index>)> {
    let piece = prop_oneof![2 => "[a-zA-Z0-9]{1,5}", 3 => "[ -/:-@\\[-`{-~]", 1 => "[\u{a1}-\u{ff}\u{20ac}\u{1f511}]"];
    let value = (prop::collection::vec(piece.clone(), 0..6), "[a-zA-Z0-9]{4,9}", prop::collection::vec(piece, 0..6));
    value.prop_map(|(before, run, after)| [before.concat(), run, after.concat()].concat()).prop_flat_map(|value| {
        let count = value.chars().count();
        (Just(value), prop::collection::vec(any::<prop::sample::Index>(), count))
    })
}

fn spelled(value: &str, picks: &[prop::sample::Index]) -> String {
    let spell = |(c, pick): (char, &prop::sample::Index)| {
        if c.is_ascii_alphanumeric() { c.to_string() } else { pick.get(&spellings(c)).clone() }
    };
    value.chars().zip(picks).map(spell).collect()
}

proptest! {
    #[test]
    fn whatever_escape_each_character_gets_it_is_found(
        (value, picks) in written(),
        chunk in 1_usize..100,
        shift in 0_usize..9,
    ) {
        prop_assume!(value.trim_ascii() == value && value.len() >= 8);
        prop_assume!(value.bytes().filter(u8::is_ascii_alphanumeric).collect::<std::collections::HashSet<_>>().len() > 4);
        let set = needles(value.as_bytes());
        let text = format!("{}\n{}\n", &"........"[..shift], spelled(&value, &picks));
        prop_assert!(!seen(&set, text.as_bytes(), chunk).is_empty(), "{:?} in {:?}", value, text);
        prop_assert!(!seen(&set, text.trim_end().as_bytes(), chunk).is_empty(), "{:?} at the end of {:?}", value, text);
    }

    #[test]
    fn with_one_letter_changed_it_is_not_found((value, picks) in written(), nth in any::<prop::sample::Index>(), base64 in any::<bool>()) {
        prop_assume!(value.trim_ascii() == value && value.len() >= 8);
        let letters: Vec<usize> = value.char_indices().filter(|(_, c)| c.is_ascii_alphabetic()).map(|(at, _)| at).collect();
        prop_assume!(!letters.is_empty());
        let at = *nth.get(&letters);
        let mut other = value.clone().into_bytes();
        other[at] ^= 0x20;
        let text = spelled(std::str::from_utf8(&other).unwrap(), &picks);
        let text = if base64 { STANDARD.encode(&text) } else { text };
        prop_assert_eq!(seen(&needles(value.as_bytes()), text.as_bytes(), 50), Vec::<&str>::new(), "{:?} in {:?}", value, text);
    }

    #[test]
    fn base64_of_a_text_that_escapes_is_found((value, picks) in written(), before in "[a-z\"{:]{0,9}", width in 40_usize..90) {
        prop_assume!(value.trim_ascii() == value);
        let run = value.split(|c: char| !c.is_ascii_alphanumeric()).map(str::len).max().unwrap_or_default();
        prop_assume!(run >= 8);
        prop_assume!(value.bytes().filter(u8::is_ascii_alphanumeric).collect::<std::collections::HashSet<_>>().len() > 5);
        let text = STANDARD.encode(format!("{before}{}\"}}", spelled(&value, &picks)));
        let _ = width;
        prop_assert!(!seen(&needles(value.as_bytes()), text.as_bytes(), 61).is_empty(), "{:?} in {:?}", value, text);
    }
}
