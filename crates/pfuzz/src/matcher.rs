//! Fuzzes the matcher: all engines must find the same hits however the text is cut, and must find every value that a
//! naive search finds.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pscan::{Engine, NeedleSet, NeedleSetBuilder, Searcher};
use psecret::{Form, Searchability, SecretName, UserSecret};

/// Makes values and text from the data; see [`Scenario::parse`].
///
/// - The hits do not depend on the engine or on how the text is cut.
/// - They include every occurrence of a value that is searched for in full.
pub(crate) fn run(data: &[u8]) {
    let scenario = Scenario::parse(data);
    let mut engines = Engine::available().into_iter();
    let Some(first) = engines.next().and_then(|engine| scenario.needles(engine)) else { return };
    let seen = hits(&first, &scenario.text, usize::MAX);
    for chunk in [1, 2 + usize::from(scenario.seed) % 60, 1500] {
        assert!(hits(&first, &scenario.text, chunk) == seen, "in chunks of {chunk}");
    }
    for engine in engines {
        let needles = scenario.needles(engine);
        assert!(needles.is_some_and(|needles| hits(&needles, &scenario.text, 700) == seen), "{engine:?}");
    }
    for value in scenario.values.iter().filter(|value| value.trim_ascii().len() >= 8) {
        if !Searchability::of(&UserSecret::new(value.clone())).is_searched() {
            continue;
        }
        for at in places(&scenario.text, value) {
            let span = (at as u64, (at + value.len()) as u64);
            let found = seen.iter().any(|(_, form, start, end)| *form == Form::Raw && (*start, *end) == span);
            assert!(found, "a value at {at} is not found");
        }
    }
}

type Hits = Vec<(String, Form, u64, u64)>;

fn hits(needles: &NeedleSet, text: &[u8], chunk: usize) -> Hits {
    let mut hits: Hits = Vec::new();
    let mut searcher = Searcher::new(needles);
    let mut note = |hit: pscan::Hit<'_>| {
        // The place of a hit in a packed text depends on when the text was unpacked.
        if hit.form() != Form::Base64OfGzip {
            let names: Vec<&str> = hit.names().map(SecretName::as_str).collect();
            hits.push((names.join("+"), hit.form(), hit.start(), hit.end()));
        }
    };
    for piece in text.chunks(chunk) {
        searcher.push(piece, &mut note);
    }
    searcher.finish(&mut note);
    hits.sort();
    hits
}

/// Finds the occurrences of a value in a text.
fn places<'a>(text: &'a [u8], value: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    text.windows(value.len()).enumerate().filter(move |(_, window)| *window == value).map(|(at, _)| at)
}

#[derive(Default)]
struct Scenario {
    values: Vec<Vec<u8>>,
    text: Vec<u8>,
    seed: u8,
}

impl Scenario {
    /// Reads the data: a seed; the number of values (1 to 3), for each its length (1 to 64) and its bytes; then the
    /// text, in which these bytes have a meaning:
    ///
    /// - 255, value: the value;
    /// - 254, value, alignment: base64 of this many bytes and the value;
    /// - 253, value: hex of the value;
    /// - 252, value, length: the value's beginning;
    /// - 251, value, width: base64 of the value in lines of this width, indented;
    /// - any other byte: the byte itself.
    fn parse(data: &[u8]) -> Self {
        let mut bytes = data.iter().copied();
        let mut scenario = Self { seed: bytes.next().unwrap_or_default(), ..Self::default() };
        for _ in 0..=bytes.next().unwrap_or_default() % 3 {
            let length = usize::from(bytes.next().unwrap_or_default() % 64) + 1;
            scenario.values.push(bytes.by_ref().take(length).collect());
        }
        while let Some(byte) = bytes.next() {
            let mut piece = vec![byte];
            if byte >= 251 {
                let value = &scenario.values[usize::from(bytes.next().unwrap_or_default()) % scenario.values.len()];
                piece = match byte {
                    255 => value.clone(),
                    254 => {
                        let alignment = usize::from(bytes.next().unwrap_or_default() % 3);
                        STANDARD.encode([&vec![b'x'; alignment], value.as_slice()].concat()).into_bytes()
                    }
                    253 => base16ct::lower::encode_string(value).into_bytes(),
                    252 => value[..value.len().min(usize::from(bytes.next().unwrap_or_default()))].to_vec(),
                    _ => {
                        let width = usize::from(bytes.next().unwrap_or_default()).max(1);
                        let encoded = STANDARD.encode(value);
                        encoded.as_bytes().chunks(width).collect::<Vec<_>>().join(&b"\n  "[..])
                    }
                };
            }
            scenario.text.extend(piece);
        }
        scenario
    }

    fn needles(&self, engine: Engine) -> Option<NeedleSet> {
        let mut builder = NeedleSetBuilder::new();
        for (at, value) in self.values.iter().enumerate() {
            let name = SecretName::parse(&format!("VALUE_{at}")).ok()?;
            builder = builder.secret(&name, &UserSecret::new(value.clone()));
        }
        builder.build_on(engine).ok()
    }
}
