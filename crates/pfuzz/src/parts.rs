//! Values taken apart.

use psecret::{PartChoice, Parts, UserSecret};

/// The most parts that one value has.
const MOST: usize = 64;

/// The longest input: what a fuzzer makes up beyond that is more of the same.
const LONGEST: usize = 64 * 1024;

/// No bytes make it panic, it is the same twice, and its results are bounded: their number, what their names hold, and
/// that each is one that can be searched for.
pub(crate) fn run(data: &[u8]) {
    let data = &data[..data.len().min(LONGEST)];
    let value = UserSecret::new(data.to_vec());
    let parts = Parts::of(&value, &PartChoice::All);
    assert_eq!(parts.names(), Parts::of(&value, &PartChoice::All).names(), "the same value has the same parts");
    assert!(parts.iter().count() <= MOST && parts.unsearched().len() <= 2 * MOST);
    for part in parts.iter() {
        assert!(part.value().len() >= 8, "{} is too short to be searched for", part.name());
        assert!(!part.name().chars().any(char::is_control), "a name is printable");
    }
    assert!(Parts::of(&value, &PartChoice::None).is_empty());
    let names: Vec<String> = parts.names().into_iter().take(1).map(str::to_owned).collect();
    let chosen = Parts::of(&value, &PartChoice::Named(names.clone()));
    assert_eq!(chosen.is_empty(), parts.is_empty(), "what has a name can be chosen by it: {names:?}");
}
