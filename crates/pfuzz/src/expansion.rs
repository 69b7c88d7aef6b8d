//! Fuzzes `${NAME}` in the manifest: single templates, and secrets that are composed of each other.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

use papp::{CompositionError, Manifest, Template};
use pcli::FoundManifest;
use pcli::resolve::{Purpose, ResolveError, SecretSources, Trust, resolve};
use pscreen::Cancellation;
use psecret::{DigestKey, Inputs, LONGEST_VARIABLE, SecretError, SecretName, UserSecret};

/// The names that templates may use besides the composed secrets `V0`, `V1` …: a secret and a public name.
const KNOWN: [(&str, &str); 2] = [("S", "a secret ${P}"), ("P", "public $${S}")];

/// The limits for the number and the length of the lines, which are enough for all cases.
const MOST_LINES: usize = 24;
const LONGEST_LINE: usize = 256;

/// Reads every line as the template of one secret. The product's result must be that of a second, naive reader.
pub(crate) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let lines: Vec<&str> = text.split('\n').take(MOST_LINES).filter(|line| line.len() <= LONGEST_LINE).collect();
    for line in &lines {
        template(line);
    }
    composition(&lines);
}

fn template(text: &str) {
    let naive = pieces(text);
    match Template::parse(text) {
        Some(template) => {
            let shown = template.to_string();
            assert_eq!(Template::parse(&shown).expect("what is shown parses"), template);
            let names: Vec<&str> = template.names().collect();
            let naive = naive.expect("both take it");
            assert_eq!(names, naive.iter().filter_map(|piece| piece.as_ref().err()).collect::<Vec<_>>());
        }
        None => assert!(naive.is_none(), "both refuse it"),
    }
}

/// Splits a template into pieces, byte by byte. `Ok` is a text, `Err` is a name.
fn pieces(text: &str) -> Option<Vec<Result<String, String>>> {
    let (mut pieces, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("$${") {
            pieces.push(Ok("${".to_owned()));
            rest = after;
        } else if let Some(after) = rest.strip_prefix("${") {
            let end = after.find('}')?;
            let name = &after[..end];
            let good = |at: usize, c: char| c == '_' || c.is_ascii_alphabetic() || (at > 0 && c.is_ascii_digit());
            if name.is_empty() || name.len() > 255 || !name.chars().enumerate().all(|(at, c)| good(at, c)) {
                return None;
            }
            pieces.push(Err(name.to_owned()));
            rest = &after[end + 1..];
        } else {
            let length = rest.chars().next().map_or(0, char::len_utf8);
            pieces.push(Ok(rest[..length].to_owned()));
            rest = &rest[length..];
        }
    }
    Some(pieces)
}

/// The expected value of a secret after its composition.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Meant {
    Text(String),
    /// The secret needs a name that has no value.
    Deferred,
    /// The secret needs itself.
    Circle,
    /// The secret becomes longer than a variable can be.
    Endless,
}

fn meant(name: &str, lines: &[&str], under_way: &mut Vec<String>, done: &mut BTreeMap<String, Meant>) -> Meant {
    if let Some((_, text)) = KNOWN.iter().find(|(known, _)| *known == name) {
        return Meant::Text((*text).to_owned());
    }
    let number = name.strip_prefix('V').and_then(|digits| digits.parse::<usize>().ok());
    let Some(line) = number.and_then(|number| lines.get(number)).filter(|_| number.map(v).as_deref() == Some(name))
    else {
        return Meant::Deferred;
    };
    if let Some(meant) = done.get(name) {
        return meant.clone();
    }
    if under_way.iter().any(|other| other == name) {
        return Meant::Circle;
    }
    under_way.push(name.to_owned());
    let (mut text, mut deferred, mut endless) = (String::new(), false, false);
    for piece in pieces(line).expect("refused before") {
        match piece.map_or_else(|name| meant(&name, lines, under_way, done), Meant::Text) {
            Meant::Text(more) => text.push_str(&more),
            Meant::Deferred => deferred = true,
            Meant::Endless => endless = true,
            Meant::Circle => return Meant::Circle,
        }
        endless |= name.len() + text.len() + 2 > LONGEST_VARIABLE;
        text.truncate(if endless { 0 } else { text.len() });
    }
    under_way.pop();
    let meant = match () {
        () if deferred => Meant::Deferred,
        () if endless => Meant::Endless,
        () => Meant::Text(text),
    };
    done.insert(name.to_owned(), meant.clone());
    meant
}

fn v(number: usize) -> String {
    format!("V{number}")
}

/// Whether any secret is composed of others more than 16 levels deep. A secret that is composed of itself has endless
/// levels. Each round finds the secrets that are one level deeper; those that are left after the last round are too
/// deep.
fn too_deep(lines: &[&str]) -> bool {
    let mut deep: Vec<bool> = vec![true; lines.len()];
    for _ in 0..=16 {
        let needs_deep = |line: &&str| {
            let pieces = pieces(line).expect("refused before");
            pieces
                .iter()
                .filter_map(|piece| piece.as_ref().err())
                .any(|name| (0..lines.len()).any(|number| v(number) == *name && deep[number]))
        };
        deep = lines.iter().map(needs_deep).collect();
    }
    deep.contains(&true)
}

fn composition(lines: &[&str]) {
    let mut text = format!("[env]\nP = {}\n[secrets]\nS = {{}}\n", quoted(KNOWN[1].1));
    for (number, line) in lines.iter().enumerate() {
        let _ = writeln!(text, "{} = {{ value = {} }}", v(number), quoted(line));
    }
    let path = Path::new("/nowhere/app.toml");
    let manifest = match Manifest::parse(path, text.as_bytes()) {
        Ok(manifest) => manifest,
        Err(error) => {
            // A template without a name is a value, which the manifest must not contain.
            let refused = |line: &&str| pieces(line).is_none_or(|pieces| pieces.iter().all(Result::is_ok));
            assert!(lines.iter().any(refused), "{error}");
            return;
        }
    };
    let found = FoundManifest { path: path.to_owned(), manifest, text };
    let sources = SecretSources { trust: Trust::Granted, ..SecretSources::default() };
    let environment = |name: &str| (name == "S").then(|| KNOWN[0].1.into());
    let mut stdin = io::empty();
    let mut inputs = Inputs::new(&environment, &mut stdin);
    let result = resolve(&sources, Some(&found), Purpose::Build, &mut inputs, &Cancellation::new());

    let mut done = BTreeMap::new();
    let meant: Vec<(String, Meant)> =
        (0..lines.len()).map(|number| (v(number), meant(&v(number), lines, &mut Vec::new(), &mut done))).collect();
    let any = |wanted: &dyn Fn(&Meant) -> bool| meant.iter().any(|(_, meant)| wanted(meant));
    match result {
        Ok(resolution) => {
            assert!(!too_deep(lines));
            let secrets = resolution.secrets.iter().filter(|secret| secret.name().as_str() != "S");
            let got: BTreeMap<String, String> =
                secrets.map(|secret| (secret.name().to_string(), digest(secret.value()))).collect();
            let wanted = meant.iter().filter_map(|(name, meant)| match meant {
                Meant::Text(text) => Some((name.clone(), digest(&UserSecret::new(text.clone().into_bytes())))),
                Meant::Deferred => None,
                Meant::Circle | Meant::Endless => panic!("{name} cannot have a value"),
            });
            assert_eq!(got, wanted.collect());
            let deferred = meant.iter().filter(|(_, meant)| *meant == Meant::Deferred);
            let (mut got, mut wanted) =
                (resolution.deferred, deferred.map(|(name, _)| name.clone()).collect::<Vec<_>>());
            got.sort();
            wanted.sort();
            assert_eq!(got, wanted);
        }
        Err(ResolveError::Composition { fault: CompositionError::Circle { .. }, .. }) => {
            assert!(any(&|meant| *meant == Meant::Circle));
        }
        Err(ResolveError::Composition { fault: CompositionError::TooLong { .. }, .. }) => {
            assert!(any(&|meant| *meant == Meant::Endless || *meant == Meant::Circle));
        }
        Err(ResolveError::Composition { fault: CompositionError::TooDeep { .. }, .. }) => assert!(too_deep(lines)),
        Err(ResolveError::Secret(SecretError::Empty { .. })) => {
            assert!(any(&|meant| *meant == Meant::Text(String::new())))
        }
        Err(ResolveError::Secret(SecretError::Nul { .. })) => {
            assert!(any(&|meant| matches!(meant, Meant::Text(text) if text.contains('\0'))))
        }
        Err(error) => panic!("{error}"),
    }
}

fn digest(value: &UserSecret) -> String {
    let name = SecretName::parse("VALUE").expect("a name");
    DigestKey::new([0; 32]).digest("fuzz", &name, value)
}

/// Writes a basic string of TOML.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
