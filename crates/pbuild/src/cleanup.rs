//! What a leaking build leaves in the engine: which cache records to drop, and in which order.
//!
//! The engine has no way from a step to its cache record, so the records that came up between two looks are the
//! build's own. One that another build is using at that moment is in use and stays.

use std::collections::{BTreeMap, BTreeSet};

/// A record of the builder's cache, as far as the choice needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheRecord {
    /// BuildKit's id for the record.
    pub id: String,
    /// The records it builds on.
    pub parents: Vec<String>,
    /// Whether something holds it at the moment.
    pub in_use: bool,
}

/// The records to drop, every record after all that build on it, as the engine demands.
///
/// A record is kept when something that stays builds on it.
#[must_use]
pub fn removal_order(before: &BTreeSet<String>, after: &[CacheRecord]) -> Vec<String> {
    let mut children: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for record in after {
        for parent in &record.parents {
            children.entry(parent).or_default().insert(&record.id);
        }
    }
    let mut candidates: BTreeSet<&str> = after
        .iter()
        .filter(|record| !record.in_use && !before.contains(&record.id))
        .map(|record| record.id.as_str())
        .collect();
    let mut order = Vec::new();
    loop {
        let free: Vec<&str> = candidates
            .iter()
            .copied()
            .filter(|id| children.get(id).is_none_or(|children| children.is_empty()))
            .collect();
        if free.is_empty() {
            return order;
        }
        for id in free {
            candidates.remove(id);
            for children in children.values_mut() {
                children.remove(id);
            }
            order.push(id.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str, parents: &[&str]) -> CacheRecord {
        CacheRecord { id: id.into(), parents: parents.iter().map(|id| (*id).into()).collect(), in_use: false }
    }

    fn order(before: &[&str], after: &[CacheRecord]) -> Vec<String> {
        removal_order(&before.iter().map(|id| (*id).to_owned()).collect(), after)
    }

    #[test]
    fn leaves_go_first_and_older_records_stay() {
        let after = [record("base", &[]), record("one", &["base"]), record("two", &["one"]), record("side", &["one"])];
        assert_eq!(order(&["base"], &after), ["side", "two", "one"]);
    }

    #[test]
    fn a_record_under_something_that_is_in_use_stays() {
        let busy = CacheRecord { in_use: true, ..record("theirs", &["one"]) };
        assert_eq!(order(&[], &[record("one", &[]), record("mine", &["one"]), busy]), ["mine"]);
    }

    #[test]
    fn a_record_under_an_older_one_stays() {
        assert_eq!(order(&["old"], &[record("new", &[]), record("old", &["new"])]), Vec::<String>::new());
    }

    #[test]
    fn a_circle_of_parents_ends_the_search() {
        assert_eq!(order(&[], &[record("a", &["b"]), record("b", &["a"])]), Vec::<String>::new());
    }
}
