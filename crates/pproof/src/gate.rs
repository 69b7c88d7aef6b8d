//! The gate: the results of a build are searched inside the builder, before anything leaves it.
//!
//! The states of the image's chain are mounted into a container beside the build (`states`). Our own scanner compares
//! and searches them there (`scanner`). Its answer only counts if the layers that the kernel names for the states fit
//! the build graph (`lineage`). A clean outcome has only one constructor, which requires all of this. Everything else
//! is [`GateOutcome::Unproven`]: the image does not count as clean, but a search of its export may still find that it
//! is.

pub(crate) mod lineage;
pub(crate) mod scanner;
mod states;

use std::collections::BTreeMap;
use std::fmt;

use pgateway::{Bridge, Capabilities, PreparedResult};
use pllb::Chain;
use pscan::{Report, Stats};

use crate::bases::KnownBases;
use crate::seeking::Seeking;
use crate::watch::Watch;
use lineage::Broken;
use scanner::{Inquiry, Installed, Program, Scanner, ScannerAnswer, ScannerFailure};
use states::States;

/// A build whose results are ready and not exported yet.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The bridge to the build, for requests and containers.
    pub bridge: &'a Bridge,
    /// The documents that will be in the image beside the files: `containerimage.config`, and all others that are to
    /// be searched.
    pub documents: &'a BTreeMap<String, Vec<u8>>,
    /// The results, one for each platform.
    pub results: &'a [PreparedResult],
}

/// The outcome of a search in the builder.
#[derive(Debug)]
pub enum GateOutcome {
    /// Everything that the build added was searched, and nothing was found.
    Clean(Box<Proof>),
    /// The image holds a secret.
    Leak(Leak),
    /// It is not proven that the image is clean.
    Unproven(Unproven),
}

/// A leak in one of the images of a build.
#[derive(Debug)]
pub struct Leak {
    /// The image's platform; `None` if the build is for one platform only.
    pub platform: Option<String>,
    /// The report of the scanner.
    pub report: Box<Report>,
}

/// The proof that a build added no secret. It is only made of the proofs of its images.
#[derive(Debug)]
pub struct Proof(Vec<Proven>);

/// The proof for one image, which only [`prove`] makes.
#[derive(Debug)]
struct Proven {
    stats: Stats,
    steps: usize,
    base: Option<String>,
    base_known: bool,
}

impl Proof {
    /// Returns the figures of the search, for all images together.
    pub fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        for Proven { stats: of, .. } in &self.0 {
            (stats.secrets, stats.forms) = (of.secrets, of.forms);
            (stats.layers, stats.bytes) = (stats.layers + of.layers, stats.bytes + of.bytes);
            stats.milliseconds += of.milliseconds;
        }
        stats
    }

    /// Returns the number of platforms that were built.
    pub fn platforms(&self) -> usize {
        self.0.len()
    }

    /// Returns the number of steps that were searched.
    pub fn steps(&self) -> usize {
        self.0.iter().map(|proven| proven.steps).sum()
    }

    /// Returns the base images whose merged view was searched, as the build graph names them. The flag is true if an
    /// earlier build searched the base for the same secrets, and this build did not search it again.
    pub fn bases(&self) -> impl Iterator<Item = (&str, bool)> {
        self.0.iter().filter_map(|proven| Some((proven.base.as_deref()?, proven.base_known)))
    }
}

/// The reason why the image is not proven to be clean. It may still be clean, which a search of its export will show.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Unproven {
    /// The engine's BuildKit cannot run containers beside a build.
    #[error("this engine's BuildKit runs no search beside a build")]
    NoContainers,
    /// There is no scanner for the builder's platform.
    #[error("the builder is {platform}, and this pbuild brings a scanner for {ours}")]
    OtherPlatform {
        /// The builder's platform.
        platform: String,
        /// The platforms of the scanners.
        ours: String,
    },
    /// The build graph is not that of a Dockerfile.
    #[error("the build graph has steps of an unknown kind")]
    UnknownGraph,
    /// The layers that the kernel names for the states do not fit the build graph.
    #[error(transparent)]
    Lineage(#[from] Broken),
    /// The scanner failed.
    #[error(transparent)]
    Scanner(#[from] ScannerFailure),
    /// A part of the image could not be searched.
    #[error("not everything could be searched in the builder: {why}")]
    NotSearched {
        /// The first fault.
        why: String,
    },
}

/// The gate of one build.
pub struct Gate<W> {
    seeking: Box<dyn Seeking>,
    bases: Option<Box<dyn KnownBases>>,
    watch: W,
}

impl<W: Watch> Gate<W> {
    /// Makes a gate for these secrets. `watch` is called with the progress of the search.
    pub fn new(seeking: Box<dyn Seeking>, watch: W) -> Self {
        Self { seeking, bases: None, watch }
    }

    /// Sets the memory of base images, so that each is searched once.
    #[must_use]
    pub fn remembering(self, bases: Option<Box<dyn KnownBases>>) -> Self {
        Self { bases, ..self }
    }

    /// Searches a build whose results are ready.
    pub async fn search(&mut self, subject: Subject<'_>, scanner: &Scanner) -> GateOutcome {
        let outcome = self.try_search(subject, scanner).await;
        self.watch.end().await;
        outcome.unwrap_or_else(GateOutcome::Unproven)
    }

    async fn try_search(&mut self, subject: Subject<'_>, scanner: &Scanner) -> Result<GateOutcome, Unproven> {
        let scanner = scanner.installed().map_err(Clone::clone)?;
        let images: Vec<Image<'_>> = match subject.results {
            // The build is `FROM scratch` without further steps: it has a configuration but no files.
            [] => vec![Image { chain: Chain::default(), result: None, known: None }],
            results => results.iter().map(|result| self.image(result)).collect::<Result<_, _>>()?,
        };
        self.watch.begin(&described(&images)).await;
        let mut proof = Vec::new();
        for image in &images {
            match self.search_image(subject, scanner, image).await? {
                ImageOutcome::Clean(proven) => proof.push(proven),
                ImageOutcome::Leak(report) => {
                    let platform = image.result.and_then(|result| result.platform.clone());
                    return Ok(GateOutcome::Leak(Leak { platform, report }));
                }
            }
        }
        Ok(GateOutcome::Clean(Box::new(Proof(proof))))
    }

    /// Collects the facts about an image that are known before its search.
    fn image<'a>(&self, result: &'a PreparedResult) -> Result<Image<'a>, Unproven> {
        let chain = chain(result)?;
        let known = self.bases.as_ref().zip(chain.base.as_ref()).and_then(|(bases, base)| bases.layers(base));
        Ok(Image { chain, result: Some(result), known })
    }

    async fn search_image(
        &self,
        subject: Subject<'_>,
        scanner: &Installed,
        Image { chain, result, known }: &Image<'_>,
    ) -> Result<ImageOutcome, Unproven> {
        let states = States::of(chain);
        let mounts = match result {
            Some(result) => states.solve(subject.bridge, result).await.map_err(ScannerFailure::from)?,
            None => Vec::new(),
        };
        let platform = result.and_then(|result| result.platform.as_deref());
        let (task, documents) = states.task(chain, known.clone(), &*self.seeking, subject.documents, platform);
        let inquiry = Inquiry { task: &task, seeking: &*self.seeking, documents: &documents };
        let answer = scanner::run(subject.bridge, scanner, &mounts, &inquiry, &self.watch).await?;
        let below = chain.base.as_ref().and_then(|base| answer.layers.get(states.number(&base.output)?)?.clone());
        // The scanner may only leave out a base that is known.
        if answer.base_known && (known.is_none() || *known != below) {
            return Err(ScannerFailure::NotUnderstood.into());
        }
        let outcome = prove(chain, &states, answer, &*self.seeking)?;
        if let (ImageOutcome::Clean(proven), Some(bases), Some(base), Some(layers)) =
            (&outcome, &self.bases, &chain.base, &below)
            && !proven.base_known
        {
            bases.note(base, layers);
        }
        Ok(outcome)
    }
}

/// The outcome of a search of one image.
enum ImageOutcome {
    /// The image is proven to be clean.
    Clean(Proven),
    /// The image holds a secret.
    Leak(Box<Report>),
}

/// One image of a build, with the layers of its base if the base was found clean before.
struct Image<'a> {
    chain: Chain,
    result: Option<&'a PreparedResult>,
    known: Option<Vec<String>>,
}

/// Describes what is searched, for people who wait.
fn described(images: &[Image<'_>]) -> String {
    let steps: usize = images.iter().map(|image| image.chain.steps.len()).sum();
    let steps = if steps == 1 { "1 step".to_owned() } else { format!("{steps} steps") };
    let bases = images.iter().filter(|image| image.chain.base.is_some() && image.known.is_none()).count();
    match bases {
        0 => steps,
        1 => format!("{steps} and the base image"),
        _ => format!("{steps} and {bases} base images"),
    }
}

/// Makes a proof of the scanner's answers. There is no other way to a proof. Returns the report if it is that of a
/// leak.
fn prove(
    chain: &Chain,
    states: &States,
    answer: ScannerAnswer,
    seeking: &dyn Seeking,
) -> Result<ImageOutcome, Unproven> {
    let base_layers = lineage::prove(chain, states, &answer.layers)?;
    let report = seeking.read(&answer.report).map_err(|_| ScannerFailure::NotUnderstood)?;
    if report.stats().layers != base_layers + chain.steps.len() {
        return Err(ScannerFailure::NotUnderstood.into());
    }
    match report.verdict() {
        pscan::Verdict::Clean => Ok(ImageOutcome::Clean(Proven {
            stats: *report.stats(),
            steps: chain.steps.len(),
            base: chain.base.as_ref().map(|base| base.identifier.clone()),
            base_known: answer.base_known,
        })),
        pscan::Verdict::Leak => Ok(ImageOutcome::Leak(Box::new(report))),
        pscan::Verdict::Incomplete => {
            let why = report.not_searched().first().map(|what| what.why().to_owned()).unwrap_or_default();
            Err(Unproven::NotSearched { why })
        }
    }
}

impl Scanner {
    /// Puts the scanner for the builder's platform into the builder. This takes no longer than the build's steps,
    /// which run at the same time.
    pub async fn bring(bridge: &Bridge, capabilities: &Capabilities, programs: &[Program]) -> Self {
        Self::brought(match fitting(capabilities, programs) {
            Ok(program) => scanner::bring(bridge, program).await.map_err(Unproven::from),
            Err(unproven) => Err(unproven),
        })
    }
}

fn fitting<'a>(capabilities: &Capabilities, programs: &'a [Program]) -> Result<&'a Program, Unproven> {
    if !capabilities.frontend(Capabilities::CONTAINERS) {
        return Err(Unproven::NoContainers);
    }
    let platform = capabilities.platform().unwrap_or("of an unknown kind");
    programs.iter().find(|program| program.platform == platform).ok_or_else(|| {
        let ours: Vec<&str> = programs.iter().map(|program| program.platform).collect();
        let ours = if ours.is_empty() { "no builder".to_owned() } else { ours.join(" and ") };
        Unproven::OtherPlatform { platform: platform.to_owned(), ours }
    })
}

/// Returns the chain of a result. Returns an error if the graph has operations of an unknown kind.
fn chain(result: &PreparedResult) -> Result<Chain, Unproven> {
    let chain = pllb::chain(&result.definition).map_err(|_| Unproven::UnknownGraph)?;
    if chain.unusual { Err(Unproven::UnknownGraph) } else { Ok(chain) }
}

impl<W> fmt::Debug for Gate<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gate({} secrets)", self.seeking.secrets().len())
    }
}
