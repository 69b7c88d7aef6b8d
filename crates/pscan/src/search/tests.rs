use proptest::prelude::*;
use psecret::UserSecret;

use super::*;
use crate::NeedleSetBuilder;
use crate::filter::Engine;
use crate::needle::Engines;

fn needles(values: &[(&str, &[u8])]) -> NeedleSet {
    let add = |builder: NeedleSetBuilder, (name, value): &(&str, &[u8])| {
        builder.secret(&SecretName::parse(name).unwrap(), &UserSecret::new(value.to_vec()))
    };
    values.iter().fold(NeedleSetBuilder::new(), add).build().unwrap()
}

type Seen = (String, Form, u64, u64);

/// Finds the hits in bytes that arrive in chunks of `chunk` bytes.
fn hits(needles: &NeedleSet, bytes: &[u8], chunk: usize) -> Vec<Seen> {
    let mut searcher = Searcher::new(needles);
    let mut seen: Vec<Seen> = Vec::new();
    let mut found = |hit: Hit<'_>| {
        let names: Vec<&str> = hit.names().map(SecretName::as_str).collect();
        seen.push((names.join("+"), hit.form(), hit.start(), hit.end()));
    };
    for piece in bytes.chunks(chunk) {
        searcher.push(piece, &mut found);
    }
    searcher.finish(&mut found);
    seen.sort();
    seen
}

fn names_and_starts(needles: &NeedleSet, bytes: &[u8]) -> Vec<(String, u64)> {
    hits(needles, bytes, 7).into_iter().map(|(name, _, start, _)| (name, start)).collect()
}

/// S7, S9: overlapping values are all found.
#[test]
fn values_inside_values_are_found_both() {
    let set = needles(&[("SHORT", b"abc12345"), ("LONG", b"abc12345xyz"), ("ACROSS", b"45xyz9876")]);
    let seen = names_and_starts(&set, b"__abc12345xyz9876__");
    assert_eq!(seen, [("ACROSS".to_owned(), 8), ("LONG".to_owned(), 2), ("SHORT".to_owned(), 2)]);
}

/// S8 (`docs/cases.md`): if two names have one value, a hit shows both.
#[test]
fn two_names_with_one_value_are_one_needle() {
    let set = needles(&[("A", b"the same value"), ("B", b"the same value")]);
    assert_eq!(names_and_starts(&set, b"= the same value"), [("A+B".to_owned(), 2)]);
    assert_eq!(set.forms(), needles(&[("A", b"the same value")]).forms());
}

/// S4 (`docs/cases.md`): a value of four to seven bytes is found as a whole token only.
#[test]
fn a_weak_value_counts_as_a_whole_token_alone() {
    let set = needles(&[("PIN", b"48217")]);
    for (text, found) in [
        ("48217", true),
        ("pin=48217;", true),
        ("\"48217\"", true),
        ("148217", false),
        ("482170", false),
        ("_48217", false),
        ("x48217x 48217", true),
    ] {
        for chunk in 1..=text.len() {
            let raw = hits(&set, text.as_bytes(), chunk).into_iter().filter(|hit| hit.1 == Form::Raw).count();
            assert_eq!(raw == 1, found, "{text} in chunks of {chunk}");
        }
    }
}

/// S1, S2, S5 (`docs/cases.md`): empty values, short values and common words are not searched for.
#[test]
fn what_is_not_searched_is_said() {
    let set = needles(&[("EMPTY", b""), ("SHORT", b"abc"), ("WORD", b"password")]);
    assert!(set.is_empty());
    let told: Vec<String> = set.unsearched().iter().map(|one| format!("{}: {}", one.name(), one.why())).collect();
    assert_eq!(told, ["EMPTY: empty", "SHORT: too short", "WORD: a common word"]);
    assert_eq!(names_and_starts(&set, b"abc password"), []);
}

/// S18: long values are compared to their end, and one that repeats itself costs no more.
#[test]
fn a_long_value_is_compared_to_its_last_byte() {
    let noise: Vec<u8> = (0..40_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let set = needles(&[("LONG", &noise)]);
    let text = [b"before", noise.as_slice(), b"after"].concat();
    for chunk in [1000, 4096, text.len()] {
        let raw: Vec<_> = hits(&set, &text, chunk).into_iter().filter(|hit| hit.1 == Form::Raw).collect();
        assert_eq!(raw, [("LONG".to_owned(), Form::Raw, 6, 6 + noise.len() as u64)]);
    }
    let mut other = text.clone();
    other[6 + noise.len() - 1] ^= 1;
    assert!(hits(&set, &other, 4096).iter().all(|hit| hit.1 != Form::Raw), "the last byte is another");

    let repeating = vec![b'a'; 100_000];
    let set = needles(&[("SAME", &repeating)]);
    let began = std::time::Instant::now();
    assert!(!hits(&set, &vec![b'a'; 150_000], 4096).is_empty());
    assert!(began.elapsed().as_secs() < 20, "linear, not quadratic");
}

/// Near misses that trap a naive search stay silent.
#[test]
fn near_misses_stay_silent() {
    use ptest::Oracle;
    let token = Oracle::new().token("TOKEN");
    let set = needles(&[("TOKEN", token.value())]);
    let text = token.text();
    let other_case: String =
        text.chars().map(|c| if c.is_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() }).collect();
    let spaced: String = text.chars().flat_map(|c| [c, ' ']).collect();
    for (what, bytes) in [
        ("another case", other_case),
        ("characters between", spaced),
        ("a prefix", text[..text.len() - 1].to_owned()),
        ("a suffix", text[1..].to_owned()),
        ("reversed", text.chars().rev().collect()),
        ("a digest", ptest::sha256(token.value())),
    ] {
        assert_eq!(hits(&set, bytes.as_bytes(), 5), [], "{what}");
    }
}

/// The output of an encoder that is not part of the product is found, for every canary in every encoding.
#[test]
fn what_an_independent_encoder_writes_is_found() {
    let oracle = ptest::Oracle::new();
    for canary in [oracle.token("A"), oracle.punctuated("B"), oracle.multi_line("C"), oracle.key("D")] {
        let set = needles(&[("SECRET", canary.value())]);
        for (form, bytes) in oracle.encodings(&canary) {
            let found = hits(&set, &[b"<< ".as_slice(), &bytes, b" >>"].concat(), 64);
            assert!(!found.is_empty(), "{canary:?} {form}");
        }
    }
}

/// Lists all ways to search: each engine that the processor supports, and, as the last one, the automaton alone.
fn ways(values: &[String]) -> Vec<NeedleSet> {
    let builder = || {
        values.iter().enumerate().fold(NeedleSetBuilder::new(), |builder, (at, value)| {
            let name = SecretName::parse(&format!("S{at}")).unwrap();
            builder.secret(&name, &UserSecret::new(value.clone().into_bytes()))
        })
    };
    let engines = Engine::available().into_iter().map(Engines::Filters).chain([Engines::Automaton]);
    engines.map(|engines| builder().build_by(engines).unwrap()).collect()
}

proptest! {
    /// The hits do not depend on the chunks or the engine, and they are those of a naive search.
    #[test]
    fn the_hits_depend_neither_on_the_chunks_nor_on_the_engine(
        values in proptest::collection::vec(prop_oneof!["[ab]{4,12}", "[abcd]{5,40}", "[a-f]{7,30}"], 1..5),
        text in "[abcdefx_ ]{0,200}",
        planted in proptest::collection::vec((0_usize..5, 0_usize..200), 0..6),
        chunk in 1_usize..40,
    ) {
        let mut text = text;
        for (value, at) in planted {
            let at = at.min(text.len());
            text.insert_str(at, &values[value % values.len()]);
        }
        let ways = ways(&values);
        let seen = hits(&ways[0], text.as_bytes(), chunk);
        prop_assert_eq!(&seen, &hits(&ways[0], text.as_bytes(), 100_000));
        for other in &ways[1..] {
            prop_assert_eq!(&seen, &hits(other, text.as_bytes(), chunk));
        }
        for value in &values {
            let whole_token = value.len() < 8;
            for at in (0..text.len()).filter(|at| text[*at..].starts_with(value.as_str())) {
                let beside = [at.checked_sub(1), Some(at + value.len())];
                let free = beside.into_iter().flatten().filter_map(|at| text.as_bytes().get(at)).all(|b| !continues_token(*b));
                let found = seen.iter().any(|(_, form, start, end)| {
                    *form == Form::Raw && *start == at as u64 && *end == (at + value.len()) as u64
                });
                prop_assert!(found || (whole_token && !free), "{} at {}", value, at);
            }
        }
    }
}

/// The needles are planted at every place around the borders of the searcher's own pieces.
#[test]
fn a_needle_across_the_searchers_own_pieces_is_found() {
    let value = "kq7Zp2Lw9Xv4Bn6Tr1Ys".to_owned();
    let short = "h4X9q2z".to_owned();
    let filtered = &ways(&[value.clone(), short.clone()])[0];
    for at in (60_usize << 10)..(70 << 10) {
        if !(at % 37 == 0 || at.abs_diff(64 << 10) < 40 || at.abs_diff((64 << 10) - AHEAD) < 40) {
            continue;
        }
        let text = [&vec![b'.'; at], value.as_bytes(), b".", short.as_bytes(), &vec![b'.'; 3000]].concat();
        let found: Vec<u64> = hits(filtered, &text, 100_000).into_iter().map(|hit| hit.2).collect();
        assert_eq!(found, [at as u64, (at + value.len() + 1) as u64]);
    }
}
