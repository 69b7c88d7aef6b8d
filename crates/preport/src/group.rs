//! Groups the findings by secret, and those of one secret by their cause, so that advice is given once for each
//! cause.

use pscan::{Finding, Place, Report};
use pscreen::words::counted;

use crate::advice::{advice, instruction};

/// The findings of one secret or part, whose value must be changed.
pub(crate) struct Leak<'a> {
    /// The places of the value, in the order of the report.
    pub(crate) spots: Vec<Spot<'a>>,
}

/// A place as people think of it: a file of a layer with the value in any number of forms, or all lines of the
/// history.
pub(crate) struct Spot<'a> {
    findings: Vec<&'a Finding>,
}

/// Groups the findings by secret.
pub(crate) fn leaks(report: &Report) -> Vec<Leak<'_>> {
    let mut leaks: Vec<Leak<'_>> = Vec::new();
    for finding in report.findings() {
        let leak = match leaks.iter_mut().position(|leak| leak.first().label() == finding.label()) {
            Some(known) => &mut leaks[known],
            None => {
                leaks.push(Leak { spots: Vec::new() });
                leaks.last_mut().expect("one was just added")
            }
        };
        leak.add(finding);
    }
    leaks
}

impl<'a> Leak<'a> {
    fn add(&mut self, finding: &'a Finding) {
        match self.spots.iter_mut().rev().find(|spot| spot.takes(finding)) {
            Some(spot) => spot.findings.push(finding),
            None => self.spots.push(Spot { findings: vec![finding] }),
        }
    }

    /// Returns the first finding of the secret.
    pub(crate) fn first(&self) -> &'a Finding {
        self.spots[0].first()
    }

    /// Returns all findings of the secret.
    pub(crate) fn findings(&self) -> impl Iterator<Item = &'a Finding> {
        self.spots.iter().flat_map(|spot| spot.findings.iter().copied())
    }

    /// Returns the secret's name, with the part that was seen, and with the names of other secrets that have the same
    /// value.
    pub(crate) fn names(&self) -> String {
        let others = self.first().same_value().iter().map(|name| format!(" = {name}")).collect::<String>();
        self.first().label() + &others
    }
}

impl<'a> Spot<'a> {
    fn takes(&self, finding: &Finding) -> bool {
        let first = self.first();
        if is_of_history(first) && is_of_history(finding) {
            return true;
        }
        let is_same = (first.layer(), first.image()) == (finding.layer(), finding.image()) && first.layer().is_some();
        let file = |finding: &Finding| match finding.place() {
            Place::File { path, .. } => Some(path.clone()),
            _ => None,
        };
        is_same && file(first).is_some() && file(first) == file(finding)
    }

    /// Returns the first finding of the spot.
    pub(crate) fn first(&self) -> &'a Finding {
        self.findings[0]
    }

    /// Returns the number of findings of the spot.
    pub(crate) fn count(&self) -> usize {
        self.findings.len()
    }

    /// Returns how many times the value was seen at this spot.
    pub(crate) fn times(&self) -> u64 {
        self.findings.iter().map(|finding| finding.times().max(1)).sum()
    }

    /// Returns the container of the spot: `layer 3`, `history`, `config`.
    pub(crate) fn container(&self) -> String {
        let first = self.first();
        let platform = first.image().map(|platform| format!(" of {platform}")).unwrap_or_default();
        match (first.layer(), first.place()) {
            (Some(layer), _) => format!("layer {layer}{platform}"),
            (None, _) if is_of_history(first) => "history".to_owned(),
            (None, Place::Document { name, .. }) => name.clone() + &platform,
            (None, _) => "archive".to_owned(),
        }
    }

    /// Returns the place within the container: a path with an offset, a pointer, or a number of lines.
    pub(crate) fn place(&self) -> String {
        match self.first().place() {
            _ if is_of_history(self.first()) => counted(self.count(), "line"),
            Place::Document { pointer: Some(pointer), .. } => pointer.clone(),
            Place::Document { offset, .. } => format!("byte {offset}"),
            place => place.to_string(),
        }
    }

    /// Returns further facts: the forms, the archive that contains them, the number of times, and the layer that
    /// deletes the file.
    pub(crate) fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        for finding in &self.findings {
            let mut form = finding.form().to_string();
            if let Some(container) = finding.container() {
                form.push_str(&format!(", in {}", container.name()));
            }
            if finding.is_weak() {
                form.push_str(", weak");
            }
            if finding.times() > 1 {
                form.push_str(&format!(", {} times", finding.times()));
            }
            if !remarks.contains(&form) {
                remarks.push(form);
            }
        }
        if let Some(later) = self.first().deleted_in() {
            remarks.push(format!("deleted in layer {later}, still readable"));
        }
        remarks
    }

    /// Returns the line of the Dockerfile and the instruction that made the spot, as far as they are known.
    pub(crate) fn cause(&self) -> Option<String> {
        let known = self.findings.iter().find(|finding| finding.line().is_some()).unwrap_or(&self.findings[0]);
        let line = known.line().map(|line| format!("{}:{}", line.file, line.line));
        let parts: Vec<String> = line.into_iter().chain(instruction(known)).collect();
        (!parts.is_empty()).then(|| parts.join("  "))
    }

    /// Returns the advice on how to remove the value.
    pub(crate) fn advice(&self) -> String {
        advice(self.first())
    }
}

/// Whether a finding is in the configuration's record of how the image was made. One cause writes many such lines.
fn is_of_history(finding: &Finding) -> bool {
    let pointer = finding.place().pointer();
    pointer.is_some_and(|pointer| pointer.starts_with("/history/") || pointer.starts_with("/container_config/"))
}
