//! Fuzzes the division of values into parts.

use psecret::{PartChoice, Parts, UserSecret};

/// The maximal number of parts of one value.
const MOST: usize = 64;

/// The maximal length of an input that is used; longer ones test nothing more.
const LONGEST: usize = 64 * 1024;

/// Checks that no bytes cause a panic, that the same value has the same parts, and that the result is limited: there
/// are not too many parts, their names are printable, and each part is long enough to be searched for.
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
