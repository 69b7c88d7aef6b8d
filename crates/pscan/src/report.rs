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

/// The findings of an audit, and everything that it could not look at: no value, and no bytes around one.
///
/// All text in it was redacted and made printable when it came in. [`Report::to_json`] writes all of it and
/// [`Report::from_json`] reads it back; the crate `preport` tells it to people and to other machines, and escapes the
/// text for each format.
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

/// The outcome of an audit.
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
    /// The word in the JSON contract.
    #[must_use]
    pub fn machine_name(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Leak => "leak",
            Self::Incomplete => "incomplete",
        }
    }
}

/// Something that was not searched, or is not what it claims to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotSearched {
    pub(crate) layer: Option<usize>,
    pub(crate) member: Option<String>,
    pub(crate) why: String,
}

impl NotSearched {
    /// The layer it concerns, from 1.
    #[must_use]
    pub fn layer(&self) -> Option<usize> {
        self.layer
    }

    /// The archive's member it concerns.
    #[must_use]
    pub fn member(&self) -> Option<&str> {
        self.member.as_deref()
    }

    /// The reason, for people.
    #[must_use]
    pub fn why(&self) -> &str {
        &self.why
    }
}

/// How much was searched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Layers of all images.
    pub layers: usize,
    /// Unpacked bytes.
    pub bytes: u64,
    /// Secrets searched for.
    pub secrets: usize,
    /// Forms of all secrets.
    pub forms: usize,
    /// How long it took.
    pub milliseconds: u64,
}

impl Report {
    /// The outcome.
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

    /// The image's name, as the caller gave it.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// How the image's bytes were reached, as the caller says it.
    #[must_use]
    pub fn way(&self) -> Option<&str> {
        self.way.as_deref()
    }

    /// The names of the secrets that were searched for.
    #[must_use]
    pub fn searched(&self) -> &[String] {
        &self.searched
    }

    /// The fate of each layer, image by image.
    #[must_use]
    pub fn layers(&self) -> &[LayerSummary] {
        &self.layers
    }

    /// Findings that a baseline accepts: they are no leaks any more.
    #[must_use]
    pub fn accepted(&self) -> &[Finding] {
        &self.accepted
    }

    /// The findings that a baseline accepts and the image does not hold, in words.
    #[must_use]
    pub fn stale(&self) -> &[String] {
        &self.stale
    }

    /// Moves the findings that are known to [`accepted`](Self::accepted), and keeps the list of those that were
    /// expected and are not there.
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

    /// Adds something that the caller could not hand over for the search. Secrets in the text are masked.
    pub fn add_unsearched(&mut self, needles: &NeedleSet, path: &[u8], why: &str) {
        let path = show::path(needles.redactor(), path);
        self.not_searched.push(NotSearched { layer: None, member: Some(path.clone()), why: format!("{path}: {why}") });
    }

    /// Adds a secret that should have been searched for, and that the caller has no value of: the result is not
    /// complete.
    pub fn add_missing(&mut self, name: &SecretName, why: &str) {
        self.not_searched.push(NotSearched {
            layer: None,
            member: None,
            why: format!("{name} was not searched for: {why}"),
        });
    }

    /// Lists a secret that was not searched for, and that nobody asked to search for.
    pub fn add_unprotected(&mut self, name: SecretName, why: &str) {
        self.unprotected.push(Unsearched::new(name, why.to_owned()));
    }

    /// Asks for the Dockerfile's line of each finding.
    pub fn locate(&mut self, mut line: impl FnMut(&Finding) -> Option<SourceLine>) {
        for finding in self.findings.iter_mut().chain(&mut self.accepted) {
            finding.line = line(finding);
        }
    }

    /// The platforms of the images.
    #[must_use]
    pub fn platforms(&self) -> &[String] {
        &self.platforms
    }

    /// The digests of the images' configurations, `sha256:…`, each once: what engines call the ID of an image. An image whose
    /// configuration could not be read has none.
    #[must_use]
    pub fn image_ids(&self) -> &[String] {
        &self.image_ids
    }

    /// Says which image it was, where the bytes of its configuration were not at hand as they are stored: the caller knows its ID.
    pub fn set_image_id(&mut self, id: String) {
        if self.image_ids.is_empty() {
            self.image_ids.push(id);
        }
    }

    /// When the search was made, as the caller says it: `2026-11-30T19:05:17Z`.
    #[must_use]
    pub fn date(&self) -> Option<&str> {
        self.date.as_deref()
    }

    /// Says when the search was made.
    pub fn set_date(&mut self, date: String) {
        self.date = Some(date);
    }

    /// The platforms that an index lists, and of which the archive holds nothing.
    #[must_use]
    pub fn absent_platforms(&self) -> &[String] {
        &self.absent
    }

    /// Where secrets were found: layers first, in order.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// How many more times secrets were seen than [`findings`](Self::findings) lists, because there are too many
    /// places.
    #[must_use]
    pub fn not_listed(&self) -> u64 {
        self.not_listed
    }

    /// The things that were not searched.
    #[must_use]
    pub fn not_searched(&self) -> &[NotSearched] {
        &self.not_searched
    }

    /// Archives inside of layers that are damaged or end early. They were searched as far as anybody can unpack them,
    /// and as the packed bytes they are, so they do not make the result incomplete.
    #[must_use]
    pub fn damaged(&self) -> &[NotSearched] {
        &self.damaged
    }

    /// The secrets that were not searched for.
    #[must_use]
    pub fn unprotected(&self) -> &[Unsearched] {
        &self.unprotected
    }

    /// How much was searched.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }
}
