//! The report of an audit, as data.

mod json;
mod layer;
mod parse;

use psecret::SecretName;

use crate::finding::{Finding, SourceLine};
use crate::needle::{NeedleSet, Unsearched};
use crate::show;

pub use layer::{LayerState, LayerSummary};
pub use parse::ReportError;

/// The findings of an audit, and everything that it could not search. A report contains no value, and no bytes around
/// a value.
///
/// All text in it was redacted and made printable when the report was made. [`Report::to_json`] writes the whole
/// report, and [`Report::from_json`] reads it. The crate `preport` shows it to people and other programs, and escapes
/// the text for each format.
#[derive(Debug)]
pub struct Report {
    pub(crate) subject: Option<String>,
    pub(crate) way: Option<String>,
    pub(crate) layers: Vec<LayerSummary>,
    pub(crate) searched: Vec<String>,
    pub(crate) platforms: Vec<String>,
    pub(crate) image_ids: Vec<String>,
    pub(crate) date: Option<String>,
    pub(crate) absent: Vec<String>,
    pub(crate) findings: Vec<Finding>,
    pub(crate) accepted: Vec<Finding>,
    pub(crate) stale: Vec<String>,
    pub(crate) not_listed: u64,
    pub(crate) not_searched: Vec<NotSearched>,
    pub(crate) damaged: Vec<NotSearched>,
    pub(crate) unprotected: Vec<Unsearched>,
    pub(crate) stats: Stats,
}

/// The result of an audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything was searched and no secret was found.
    Clean,
    /// At least one secret was found, whether or not everything was searched.
    Leak,
    /// No secret was found, and not everything was searched.
    Incomplete,
}

impl Verdict {
    /// Returns the result's word in the JSON contract.
    #[must_use]
    pub fn machine_name(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Leak => "leak",
            Self::Incomplete => "incomplete",
        }
    }
}

/// A part of the image that was not searched or that differs from its description, or a secret that was not searched
/// for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotSearched {
    pub(crate) layer: Option<usize>,
    pub(crate) member: Option<String>,
    pub(crate) why: String,
}

impl NotSearched {
    /// Returns the layer's number, from 1, if the problem belongs to a layer.
    #[must_use]
    pub fn layer(&self) -> Option<usize> {
        self.layer
    }

    /// Returns the archive's member, if the problem belongs to one.
    #[must_use]
    pub fn member(&self) -> Option<&str> {
        self.member.as_deref()
    }

    /// Returns the reason for people.
    #[must_use]
    pub fn why(&self) -> &str {
        &self.why
    }
}

/// How much was searched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// The number of layers of all images.
    pub layers: usize,
    /// The number of unpacked bytes.
    pub bytes: u64,
    /// The number of secrets that were searched for.
    pub secrets: usize,
    /// The number of forms of all secrets.
    pub forms: usize,
    /// The duration of the search.
    pub milliseconds: u64,
}

impl Report {
    /// Returns the result of the audit.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        if !self.findings.is_empty() || self.not_listed > 0 {
            Verdict::Leak
        } else if self.not_searched.is_empty() {
            Verdict::Clean
        } else {
            Verdict::Incomplete
        }
    }

    /// Returns the image's name, as the caller gave it.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// Returns the way by which the image's bytes were read, in the caller's words.
    #[must_use]
    pub fn way(&self) -> Option<&str> {
        self.way.as_deref()
    }

    /// Returns the names of the secrets that were searched for.
    #[must_use]
    pub fn searched(&self) -> &[String] {
        &self.searched
    }

    /// Returns the summaries of the layers, image by image.
    #[must_use]
    pub fn layers(&self) -> &[LayerSummary] {
        &self.layers
    }

    /// Returns the findings that a baseline accepts; they no longer count as leaks.
    #[must_use]
    pub fn accepted(&self) -> &[Finding] {
        &self.accepted
    }

    /// Returns descriptions of findings that a baseline accepts and the image does not have.
    #[must_use]
    pub fn stale(&self) -> &[String] {
        &self.stale
    }

    /// Moves the known findings to [`accepted`](Self::accepted). `stale` describes the findings that the baseline
    /// accepts and the image does not have.
    pub fn accept(&mut self, mut known: impl FnMut(&Finding) -> bool, stale: Vec<String>) {
        let (accepted, findings) = std::mem::take(&mut self.findings).into_iter().partition(|finding| known(finding));
        (self.accepted, self.findings, self.stale) = (accepted, findings, stale);
        for layer in &mut self.layers {
            let several = self.platforms.len() > 1;
            let leaks = layer.count(&self.findings, several);
            if layer.state == LayerState::Leak && leaks == 0 {
                layer.state = LayerState::Searched;
            }
            layer.leaks = leaks;
        }
    }

    /// Adds a file that the caller could not hand over for the search. Secrets in the text are masked.
    pub fn add_unsearched(&mut self, needles: &NeedleSet, path: &[u8], why: &str) {
        let path = show::path(needles.redactor(), path);
        self.not_searched.push(NotSearched { layer: None, member: Some(path.clone()), why: format!("{path}: {why}") });
    }

    /// Adds a secret that should have been searched for, but whose value the caller does not have. It makes the
    /// result incomplete.
    pub fn add_missing(&mut self, name: &SecretName, why: &str) {
        self.not_searched.push(NotSearched {
            layer: None,
            member: None,
            why: format!("{name} was not searched for: {why}"),
        });
    }

    /// Lists a secret that was not searched for, and that nobody requested a search for.
    pub fn add_unprotected(&mut self, name: SecretName, why: &str) {
        self.unprotected.push(Unsearched::new(name, why.to_owned()));
    }

    /// Sets the Dockerfile's line of each finding to the result of `line`.
    pub fn locate(&mut self, mut line: impl FnMut(&Finding) -> Option<SourceLine>) {
        for finding in self.findings.iter_mut().chain(&mut self.accepted) {
            finding.line = line(finding);
        }
    }

    /// Returns the platforms of the images.
    #[must_use]
    pub fn platforms(&self) -> &[String] {
        &self.platforms
    }

    /// Returns the digests of the images' configurations, `sha256:…`, each once. Engines call this digest the ID of
    /// an image. An image whose configuration could not be read is not listed.
    #[must_use]
    pub fn image_ids(&self) -> &[String] {
        &self.image_ids
    }

    /// Sets the image's ID, unless the search found one. The caller knows the ID where the stored bytes of the
    /// configuration could not be read.
    pub fn set_image_id(&mut self, id: String) {
        if self.image_ids.is_empty() {
            self.image_ids.push(id);
        }
    }

    /// Returns the time of the search, if the caller set it: `2026-11-30T19:05:17Z`.
    #[must_use]
    pub fn date(&self) -> Option<&str> {
        self.date.as_deref()
    }

    /// Sets the time of the search.
    pub fn set_date(&mut self, date: String) {
        self.date = Some(date);
    }

    /// Returns the platforms that an index lists but whose images the archive does not contain.
    #[must_use]
    pub fn absent_platforms(&self) -> &[String] {
        &self.absent
    }

    /// Returns the findings. Those in layers come first, in the order of the layers.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Returns how many more times secrets were seen than [`findings`](Self::findings) lists, because there were too
    /// many places.
    #[must_use]
    pub fn not_listed(&self) -> u64 {
        self.not_listed
    }

    /// Returns everything that was not searched.
    #[must_use]
    pub fn not_searched(&self) -> &[NotSearched] {
        &self.not_searched
    }

    /// Returns the archives inside of layers that are damaged or end early. They were searched as far as they can be
    /// unpacked, and also as packed bytes, so they do not make the result incomplete.
    #[must_use]
    pub fn damaged(&self) -> &[NotSearched] {
        &self.damaged
    }

    /// Returns the secrets that were not searched for because they cannot be, or because nobody requested it.
    #[must_use]
    pub fn unprotected(&self) -> &[Unsearched] {
        &self.unprotected
    }

    /// Returns the figures of the search.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }
}
