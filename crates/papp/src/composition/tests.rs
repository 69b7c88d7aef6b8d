//! Composition of texts that stand in for values.

use std::cell::Cell;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::Manifest;

const MOST: usize = 1000;

fn manifest(lines: &[String]) -> Manifest {
    let text = format!("[secrets]\n{}", lines.concat());
    Manifest::parse(Path::new("app.toml"), text.as_bytes()).unwrap()
}

fn line(name: &str, value: &str) -> String {
    format!("{name} = {{ value = \"{value}\" }}\n")
}

/// Composes the text of each secret that can be composed. `S` has five bytes.
fn made(manifest: &Manifest) -> Result<Vec<(String, String)>, CompositionError> {
    let known = |name: &str| (name == "S").then_some(5);
    let composition = Composition::of(&manifest.secrets, known, |_| MOST)?;
    let mut done: Vec<(String, String)> = vec![("S".to_owned(), "s3cre".to_owned())];
    for composed in &composition.ready {
        let mut text = Vec::new();
        composed.fill(&mut text, |name, text| {
            let (_, value) = done.iter().find(|(known, _)| known == name).expect("made before");
            text.extend_from_slice(value.as_bytes());
        });
        assert_eq!(text.len(), composed.length, "its length was known before it was made");
        done.push((composed.secret.name.clone(), String::from_utf8(text).unwrap()));
    }
    done.remove(0);
    Ok(done)
}

fn deferred(manifest: &Manifest) -> Vec<(&str, &str)> {
    let composition = Composition::of(&manifest.secrets, |name| (name == "S").then_some(5), |_| MOST).unwrap();
    composition.deferred.iter().map(|deferred| (deferred.secret.name.as_str(), deferred.needs)).collect()
}

/// Makes levels that each name the next level twice. The whole value would need more memory than any machine has.
fn doubling(levels: usize, last: &str) -> Vec<String> {
    let level = |at: usize| line(&format!("L{at}"), &format!("${{L{0}}}${{L{0}}}", at + 1));
    (0..levels).map(level).chain([line(&format!("L{levels}"), last)]).collect()
}

fn chain(levels: usize, backwards: bool) -> Vec<String> {
    let level = |at: usize| line(&format!("L{at}"), &format!("${{L{}}}", at + 1));
    let mut lines: Vec<String> = (0..levels).map(level).chain([line(&format!("L{levels}"), "${S}")]).collect();
    if backwards {
        lines.reverse();
    }
    lines
}

#[test]
fn each_is_made_once_behind_those_that_it_is_made_of() {
    let manifest = manifest(&[line("URL", "x://${USER}:${USER}/$${S}"), line("USER", "u-${S}"), line("PLAIN", "${S}")]);
    let order: Vec<(String, String)> = made(&manifest).unwrap();
    let expected = [("USER", "u-s3cre"), ("URL", "x://u-s3cre:u-s3cre/${S}"), ("PLAIN", "s3cre")];
    assert_eq!(order, expected.map(|(name, text)| (name.to_owned(), text.to_owned())));
}

#[test]
fn a_name_that_nobody_has_defers_all_that_need_it() {
    let manifest = manifest(&[line("A", "${B}/${S}"), line("B", "${DB_HOST}${OTHER}"), line("C", "${S}")]);
    assert_eq!(made(&manifest).unwrap(), [("C".to_owned(), "s3cre".to_owned())]);
    assert_eq!(deferred(&manifest), [("A", "DB_HOST"), ("B", "DB_HOST")]);
}

#[test]
fn a_secret_that_has_a_value_is_not_composed_and_what_it_names_does_not_matter() {
    let manifest = manifest(&[line("S", "${S2}"), line("S2", "${S}")]);
    assert_eq!(made(&manifest).unwrap(), [("S2".to_owned(), "s3cre".to_owned())]);
}

#[test]
fn a_value_that_doubles_is_refused_before_anything_is_made() {
    let error = made(&manifest(&doubling(16, "${S}"))).unwrap_err();
    // 5 bytes, doubled eight times, are 1280 bytes.
    assert_eq!(
        error,
        CompositionError::TooLong { name: "L8".into(), line: 10, delivery: Delivery::Variable, most: MOST }
    );
    assert_eq!(error.to_string(), "secret `L8` would be longer than the 1000 bytes that its variable may have");
}

#[test]
fn a_value_that_doubles_and_waits_for_the_start_is_looked_at_once_for_each_name() {
    let manifest = manifest(&doubling(16, "${DB_HOST}"));
    let asked = Cell::new(0);
    let known = |_: &str| {
        asked.set(asked.get() + 1);
        None
    };
    let composition = Composition::of(&manifest.secrets, known, |_| MOST).unwrap();
    assert!(composition.ready.is_empty() && composition.deferred.len() == 17);
    // The function is called once for each secret, and once for each name in each template: 17 + 16 · 2 + 1 calls. A
    // visit of every path would need 131 071 calls.
    assert_eq!(asked.get(), 50);
}

#[test]
fn circles_are_named_whole_with_the_line() {
    let manifest_of =
        |lines: &[(&str, &str)]| manifest(&lines.iter().map(|(name, value)| line(name, value)).collect::<Vec<_>>());
    let error = made(&manifest_of(&[("OUT", "${A}"), ("A", "${B}"), ("B", "x${A}")])).unwrap_err();
    assert_eq!(error, CompositionError::Circle { names: ["A", "B", "A"].map(str::to_owned).into(), line: 3 });
    assert_eq!(error.to_string(), "secret `A` is made of itself: A → B → A");
    let error = made(&manifest_of(&[("A", "${A}${GONE}")])).unwrap_err();
    assert_eq!(error.to_string(), "secret `A` is made of itself: A → A");
}

#[test]
fn a_chain_is_as_deep_as_allowed_in_whatever_order_it_is_written() {
    for backwards in [false, true] {
        assert_eq!(made(&manifest(&chain(16, backwards))).unwrap().len(), 17);
        for levels in [17, 2000] {
            let error = made(&manifest(&chain(levels, backwards))).unwrap_err();
            assert!(error.to_string().contains("more than 16 deep"), "{error}");
            assert!(error.line() > 1);
        }
    }
}

proptest! {
    /// In any order of the lines, the same secrets get the same texts, or the manifest is refused.
    #[test]
    fn the_order_of_the_lines_changes_nothing(
        values in prop::collection::vec("([a-z]{0,3}\\$\\{(S|GONE|V[0-5])\\}){1,3}", 1..6),
        turn in 0_usize..6,
    ) {
        let lines: Vec<String> = values.iter().enumerate().map(|(at, value)| line(&format!("V{at}"), value)).collect();
        let mut turned = lines.clone();
        turned.rotate_left(turn % lines.len());
        let sorted = |lines: &[String]| made(&manifest(lines)).map(|mut made| { made.sort(); made });
        match (sorted(&lines), sorted(&turned)) {
            (Ok(one), Ok(other)) => prop_assert_eq!(one, other),
            (Err(_), Err(_)) => {}
            (one, other) => prop_assert!(false, "{:?} {:?}", one, other),
        }
    }
}
