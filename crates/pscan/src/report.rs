//! The report of an audit.

mod json;
mod text;

use crate::finding::Finding;
use crate::needle::Unsearched;

/// What an audit found, and what it could not look at. No value and no bytes around one.
///
/// [`Display`](std::fmt::Display) writes it for people; [`Report::to_json`] for programs.
#[derive(Debug)]
pub struct Report {
    pub(crate) subject: Option<String>,
    pub(crate) platforms: Vec<String>,
    pub(crate) absent: Vec<String>,
    pub(crate) findings: Vec<Finding>,
    pub(crate) not_listed: u64,
    pub(crate) not_searched: Vec<NotSearched>,
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

    /// Why, for people.
    #[must_use]
    pub fn why(&self) -> &str {
        &self.why
    }
}

/// How much was searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
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

    /// The platforms of the images.
    #[must_use]
    pub fn platforms(&self) -> &[String] {
        &self.platforms
    }

    /// Where secrets were found: layers first, in order.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// How many more times secrets were seen than [`findings`](Self::findings) lists, because there are too many places.
    #[must_use]
    pub fn not_listed(&self) -> u64 {
        self.not_listed
    }

    /// What was not searched.
    #[must_use]
    pub fn not_searched(&self) -> &[NotSearched] {
        &self.not_searched
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
