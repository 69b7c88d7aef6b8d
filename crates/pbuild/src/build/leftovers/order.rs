//! The cache records of a leaking build: which records to drop, and in which order.
//!
//! The engine does not say which cache record belongs to a step. A record counts as the build's own if it appeared
//! between two looks at the cache and its description fits one of the build's steps. All records that build on such a
//! record count as the build's own, too. A record in use stays: another build may be using it, or the engine still
//! uses it for some time after the build.

use std::collections::{BTreeMap, BTreeSet};

use pbuildkit::CacheRecord;

/// The marks by which the cache records of one build are recognised.
#[derive(Clone, Debug, Default)]
pub(crate) struct Marks {
    /// The names of the build's operations.
    pub(crate) names: BTreeSet<String>,
    /// The commands of the build's steps.
    pub(crate) commands: BTreeSet<String>,
    /// Whether files of a context that were sent since then count as the build's own, although another build may have
    /// sent them.
    pub(crate) contexts: bool,
}

impl Marks {
    /// Returns whether a record may belong to this build.
    ///
    /// BuildKit describes the result of a command as `mount / from exec ARGUMENTS`, and the result of a file
    /// operation by the operation's name. Before 2021, every file operation was a `fileop target`. A file of a
    /// context has no name at all.
    ///
    /// For a here-document and an exec form, the description keeps the line end of the command. So commands are
    /// compared word by word, without regard to white space.
    fn fit(&self, record: &CacheRecord) -> bool {
        let description = words(&record.description);
        let of_command = |command: &String| {
            let command = words(command);
            !command.is_empty() && description.ends_with(&command)
        };
        (self.contexts && record.kind == "source.local")
            || record.description == "fileop target"
            || self.names.contains(&record.description)
            || (record.description.starts_with("mount ") && self.commands.iter().any(of_command))
    }
}

/// Joins the words of a command with single blanks, without line ends.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Lists the IDs of the records that are not in `before` and fit the marks.
pub(crate) fn made(before: &BTreeSet<String>, after: &[CacheRecord], marks: &Marks) -> BTreeSet<String> {
    let made = after.iter().filter(|record| !before.contains(&record.id) && marks.fit(record));
    made.map(|record| record.id.clone()).collect()
}

/// Counts the records that are not in `before` and fit the marks. Records that stay after the removal are in use, by
/// another build or still by the engine.
pub(crate) fn remaining(before: &BTreeSet<String>, after: &[CacheRecord], marks: &Marks) -> usize {
    made(before, after, marks).len()
}

/// Lists the records to drop. Every record comes after all records that build on it, because the engine demands this
/// order.
///
/// A record is kept if a record that stays builds on it.
pub(crate) fn removal_order(before: &BTreeSet<String>, after: &[CacheRecord], marks: &Marks) -> Vec<String> {
    let mut children: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for record in after {
        for parent in &record.parents {
            children.entry(parent).or_default().insert(&record.id);
        }
    }
    let new: BTreeMap<&str, &CacheRecord> = after
        .iter()
        .filter(|record| !record.in_use && !before.contains(&record.id))
        .map(|record| (record.id.as_str(), record))
        .collect();
    let mut candidates = BTreeSet::new();
    let mut open: Vec<&str> = new.iter().filter(|(_, record)| marks.fit(record)).map(|(id, _)| *id).collect();
    while let Some(id) = open.pop() {
        if candidates.insert(id) {
            let above = children.get(id).into_iter().flatten().copied();
            open.extend(above.filter(|above| new.contains_key(above)));
        }
    }
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
        CacheRecord {
            id: id.into(),
            parents: parents.iter().map(|id| (*id).into()).collect(),
            in_use: false,
            description: "mount / from exec /bin/sh -c make".into(),
            kind: "regular".into(),
            size: 0,
            shared: false,
        }
    }

    fn order(before: &[&str], after: &[CacheRecord]) -> Vec<String> {
        let marks = Marks {
            names: ["[2/2] COPY . /srv".to_owned()].into(),
            commands: ["make".to_owned()].into(),
            contexts: true,
        };
        removal_order(&before.iter().map(|id| (*id).to_owned()).collect(), after, &marks)
    }

    #[test]
    fn leaves_go_first_and_older_records_stay() {
        let after = [record("base", &[]), record("one", &["base"]), record("two", &["one"]), record("side", &["one"])];
        assert_eq!(order(&["base"], &after), ["side", "two", "one"]);
    }

    #[test]
    fn what_no_step_of_this_build_made_stays_unless_it_builds_on_one() {
        let foreign = |id, parents| CacheRecord {
            description: "mount / from exec /bin/sh -c other".into(),
            ..record(id, parents)
        };
        let copied = CacheRecord { description: "[2/2] COPY . /srv".into(), ..record("copied", &[]) };
        let context = CacheRecord { kind: "source.local".into(), ..foreign("context", &[]) };
        let after = [record("mine", &[]), foreign("theirs", &[]), foreign("above", &["mine"]), copied, context];
        assert_eq!(order(&[], &after), ["above", "context", "copied", "mine"]);
    }

    #[test]
    fn a_prelude_before_the_command_does_not_hide_it() {
        let old = CacheRecord {
            description: "mount / from exec /bin/sh -c TOKEN=\nexec \"$@\" sh /bin/sh -c make".into(),
            ..record("old", &[])
        };
        assert_eq!(order(&[], &[old]), ["old"]);
    }

    #[test]
    fn a_command_that_ends_in_a_line_end_is_recognised() {
        let here = |command: &str, description: &str| {
            let marks = Marks { commands: [command.to_owned()].into(), ..Marks::default() };
            let made = CacheRecord { description: description.into(), ..record("made", &[]) };
            removal_order(&BTreeSet::new(), &[made], &marks).len()
        };
        let described = "mount / from exec /bin/sh -c echo $TOKEN > /hz\n";
        for command in ["echo $TOKEN > /hz\n", "echo $TOKEN > /hz", "echo $TOKEN  >\t/hz\r\n\n"] {
            assert_eq!(here(command, described), 1, "{command:?}");
            assert_eq!(here(command, described.trim_end()), 1, "{command:?}");
        }
        assert_eq!(here("a\nb\n", "mount / from exec sh -c a\nb\n"), 1);
        for command in ["echo $TOKEN > /h", "\n", ""] {
            assert_eq!(here(command, described), 0, "{command:?}");
        }
    }

    #[test]
    fn a_record_under_something_that_is_in_use_stays() {
        let busy = CacheRecord { in_use: true, ..record("theirs", &["one"]) };
        assert_eq!(order(&[], &[record("one", &[]), record("mine", &["one"]), busy]), ["mine"]);
    }

    #[test]
    fn what_remains_of_this_build_is_counted() {
        let busy = |id: &str| CacheRecord { in_use: true, ..record(id, &[]) };
        let foreign = CacheRecord { description: "mount / from exec /bin/sh -c other".into(), ..busy("theirs") };
        let context = CacheRecord { kind: "source.local".into(), description: String::new(), ..busy("context") };
        let marks = Marks { commands: ["make".to_owned()].into(), ..Marks::default() };
        let after = [record("under a busy one", &[]), busy("old"), busy("mine"), foreign, context];
        assert_eq!(remaining(&["old".to_owned()].into(), &after, &marks), 2);
        assert_eq!(remaining(&["old".to_owned()].into(), &after, &Marks { contexts: true, ..marks }), 3);
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
