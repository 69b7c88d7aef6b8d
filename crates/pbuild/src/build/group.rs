//! Builds that run together, with one screen and one decision about all of them. A single build is a group of one.
//!
//! A group goes through the states of [`super`]: all builds are prepared before any of them runs, all run at the same
//! time, and all are examined. They are delivered only if every one is clean.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use pscreen::progress::{ProgressMode, Summary};
use pscreen::{Cancellation, Ending, Exit};
use psecret::Redactor;
use serde_json::{Map, Value};

use super::cleared::{Cleared, Delivered, DeliveryStep};
use super::company::{Company, Naming};
use super::failure::{DeliveryError, PreparationError};
use super::inner::InnerMember;
use super::metadata_file;
use super::nodes::{self, NodeShare};
use super::prepared::Prepared;
use super::provenance::Detail;
use super::readings::{Member, Readings};
use super::running::Ended;
use super::screen::Screen;
use crate::edge::{Edge, Failure};
use crate::plan::BuildOrder;
use crate::secrets::Secrets;
use crate::site::{self, CommonSites};

/// Builds that run together.
#[derive(Debug)]
pub(crate) struct Group {
    members: Vec<Member>,
    account: Account,
}

/// The form in which the delivered results are reported.
#[derive(Debug)]
enum Account {
    /// One build. Its image ID is printed if the user wants nothing but that. The metadata goes to the file, if there is
    /// one.
    OfBuild {
        /// The file of the metadata.
        metadata: Option<PathBuf>,
        /// Whether the image ID is printed.
        prints_id: bool,
    },
    /// The targets of a bake file. The metadata of all targets goes to this file, if there is one.
    OfTargets(Option<PathBuf>),
}

impl Account {
    /// Returns the file that gets the metadata.
    fn file(&self) -> Option<&PathBuf> {
        match self {
            Self::OfBuild { metadata: file, .. } | Self::OfTargets(file) => file.as_ref(),
        }
    }
}

/// Where the delivered results are told, and the redactor of everything that is told.
struct Told<'a> {
    account: &'a Account,
    redactor: Redactor,
}

impl Group {
    /// Makes a group of one build.
    pub(crate) fn of_one(order: BuildOrder) -> Self {
        let (metadata, prints_id) = (order.choices.files().metadata.clone(), order.choices.prints_id());
        let member = Member { target: None, order, secrets: BTreeMap::new(), inner: Vec::new() };
        Self { members: vec![member], account: Account::OfBuild { metadata, prints_id } }
    }

    /// Makes a group of targets. The metadata of all targets goes into one file.
    pub(crate) fn of_targets(members: Vec<Member>, metadata: Option<PathBuf>) -> Self {
        Self { members, account: Account::OfTargets(metadata) }
    }

    /// Runs the builds.
    ///
    /// # Errors
    /// Returns an error if the secrets cannot be read. All later errors are reported through the redactor.
    pub(crate) async fn run(self, edge: &Edge) -> Result<Exit, Failure> {
        let Self { members, account } = self;
        let (readings, places) = Readings::read(&members, edge)?;
        let show = members.first().map_or(ProgressMode::Auto, |member| member.order.choices.show());
        let edge = &Edge { quiet: show == ProgressMode::Quiet, ..edge.redacting(&readings.redactor()?) };
        // From here on an error may quote the engine, so it is explained through the redactor.
        let outcome = async {
            if let Account::OfTargets(Some(file)) = &account {
                let stale = |source| PreparationError::Stale { flag: "--metadata-file", file: file.clone(), source };
                metadata_file::remove(file).map_err(stale)?;
            }
            let account = &Told { account: &account, redactor: readings.redactor()? };
            let mut sites = CommonSites::new(edge);
            let mut pieces = Vec::new();
            for (number, member) in members.into_iter().enumerate() {
                let secrets = readings.of(&places[number], &member);
                pieces.extend(divide(number, member, &secrets, &mut sites).await?);
            }
            let named = places.len() > 1;
            let subjects: Vec<Option<String>> = pieces.iter().map(|piece| piece.subject(named)).collect();
            let edges: Vec<Edge> = subjects.iter().map(|subject| edge.about(subject.as_deref())).collect();
            let mut prepared = Vec::new();
            for ((piece, edge), subject) in pieces.into_iter().zip(&edges).zip(subjects) {
                let Piece { number, member, share } = piece;
                let target = member.target.clone();
                let secrets = readings.of(&places[number], &member);
                let inner = InnerMember::of(member.inner, &|inner| readings.of(&places[number], inner));
                match Prepared::new(member.order, (secrets, inner), edge, (&share.node, &mut sites)).await {
                    Ok(build) => prepared.push(Part { number, target, subject, edge, build }),
                    Err(failure) => return Ok(failure.report(&edge.stderr)),
                }
            }
            match clear(prepared, show, edge).await? {
                Decision::Clean(cleared) => deliver(joined(cleared)?, account, edge).await,
                Decision::Refused(exit) => Ok(exit),
            }
        };
        match outcome.await {
            Ok(exit) => Ok(exit),
            Err(failure) => Ok(failure.report(&edge.stderr)),
        }
    }
}

/// The part of a member that one node carries out. Nearly always it is the whole member.
struct Piece {
    /// The member's place in the group.
    number: usize,
    member: Member,
    share: NodeShare,
}

impl Piece {
    /// Returns the words that name the part in messages, or `None` if it is the only one. `named` tells whether the
    /// group has several members.
    fn subject(&self, named: bool) -> Option<String> {
        let platforms = self.share.of_several.then(|| self.share.platforms.join(","));
        let words: Vec<String> = self.member.target.clone().filter(|_| named).into_iter().chain(platforms).collect();
        (!words.is_empty()).then(|| words.join(" "))
    }
}

/// Divides a member among the nodes of its builder.
async fn divide(
    number: usize,
    member: Member,
    secrets: &Secrets,
    sites: &mut CommonSites<'_>,
) -> Result<Vec<Piece>, Failure> {
    let plan = &member.order.plan;
    let nodes = site::choose(&member.order.builder)?;
    let conditions = (!secrets.is_empty(), member.order.tls);
    let mut shares = nodes::divide(nodes, &plan.platforms(), &plan.identity(), sites, conditions).await?;
    if shares.len() > 1 {
        nodes::check(&member.order)?;
        let parts: Result<Vec<_>, _> = shares.iter().map(|share| member.part(&share.platforms)).collect();
        // A flag that cannot be followed is reported later, when the build is prepared.
        if let Some(parts) = parts?.into_iter().collect::<Option<Vec<Member>>>() {
            let piece = |(member, share)| Piece { number, member, share };
            return Ok(parts.into_iter().zip(shares).map(piece).collect());
        }
    }
    let share = shares.swap_remove(0);
    Ok(vec![Piece { number, member, share }])
}

/// One build of a group, in one of its states.
struct Part<'a, State> {
    /// The place in the group of the member to which this build belongs.
    number: usize,
    target: Option<String>,
    /// The words that name the build in messages, if there are several.
    subject: Option<String>,
    edge: &'a Edge,
    build: State,
}

impl<'a, State> Part<'a, State> {
    /// Takes the build to its next state.
    async fn with<Next, E, F>(self, go: impl FnOnce(State) -> F) -> Result<Part<'a, Next>, E>
    where
        F: Future<Output = Result<Next, E>>,
    {
        let Self { number, target, subject, edge, build } = self;
        Ok(Part { number, target, subject, edge, build: go(build).await? })
    }
}

/// Joins the parts of each member that several nodes built.
fn joined<'a>(parts: Vec<Part<'a, Cleared<'a>>>) -> Result<Vec<Part<'a, Cleared<'a>>>, Failure> {
    let mut members: BTreeMap<usize, Vec<Part<'a, Cleared<'a>>>> = BTreeMap::new();
    for part in parts {
        members.entry(part.number).or_default().push(part);
    }
    let mut whole = Vec::new();
    for parts in members.into_values() {
        let mut parts = parts.into_iter();
        let Some(Part { number, target, subject, edge, build }) = parts.next() else { continue };
        let build = build.join(parts.map(|part| part.build).collect())?;
        whole.push(Part { number, target, subject, edge, build });
    }
    Ok(whole)
}

/// The decision about a group.
enum Decision<'a> {
    /// Every build is clean.
    Clean(Vec<Part<'a, Cleared<'a>>>),
    /// Nothing of the group is delivered. The reasons were reported already.
    Refused(Exit),
}

/// The order in which the builds of a group run; builds of one wave run at the same time. Builds whose result stays
/// on this side of the builder run first. A result that the builder itself pushes cannot be taken back, so those
/// builds run later, and their results leave the builder only if all searched results of the group are clean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Wave {
    /// The result comes to this side of the builder, where it is examined.
    Examined,
    /// The builder delivers the result after all builds of the wave are proven.
    Proven,
    /// The builder delivers the result, for which there is nothing to search.
    Unsearched,
}

/// Runs and examines all builds.
async fn clear<'a>(
    prepared: Vec<Part<'a, Prepared<'a>>>,
    show: ProgressMode,
    edge: &Edge,
) -> Result<Decision<'a>, Failure> {
    let searched = prepared.iter().any(|part| part.build.has_secrets());
    let naming = if searched && prepared.len() > 1 { Naming::Later } else { Naming::AtOnce };
    let mut waves: BTreeMap<Wave, Vec<Part<'a, Prepared<'a>>>> = BTreeMap::new();
    for part in prepared {
        // A build without secrets has nothing to search for, so the builder itself exports its cache.
        let exports = part.build.exports_caches() && !part.build.has_secrets();
        let leaves_the_builder = part.build.is_delivered_by_builder() || exports;
        let wave = match (leaves_the_builder && searched, part.build.has_secrets()) {
            (false, _) => Wave::Examined,
            (true, true) => Wave::Proven,
            (true, false) => Wave::Unsearched,
        };
        waves.entry(wave).or_default().push(part);
    }
    let mut clean = Vec::new();
    for (wave, parts) in waves {
        let company = match wave {
            Wave::Proven => Company::in_accord(naming, parts.len()),
            Wave::Examined | Wave::Unsearched => Company::new(naming),
        };
        let mut refusals = Vec::new();
        let mut withdrawn = Vec::new();
        for Part { number, target, subject, edge, build } in run(parts, &company, show, edge).await? {
            let name = subject.clone().unwrap_or_default();
            match examine(build.0, &build.1).await {
                Ok(Some(build)) => clean.push(Part { number, target, subject, edge, build }),
                Ok(None) => withdrawn.push(name),
                Err(failure) => refusals.push((edge, failure)),
            }
        }
        if !refusals.is_empty() || !withdrawn.is_empty() {
            withdrawn.extend(clean.iter().filter_map(|part| part.subject.clone()));
            for part in clean {
                part.build.withdraw().await;
            }
            return Ok(Decision::Refused(report(&refusals, &withdrawn, edge)));
        }
    }
    Ok(Decision::Clean(clean))
}

/// A build that does not run any more, and the summary of the screen that showed it.
type Shown<'a> = (Ended<'a>, Arc<Summary>);

/// Runs builds at the same time, and shows them on one screen. A build that fails ends the others. A build with a
/// leak does not, so that every leak is found at once.
async fn run<'a>(
    parts: Vec<Part<'a, Prepared<'a>>>,
    company: &Company,
    show: ProgressMode,
    edge: &Edge,
) -> Result<Vec<Part<'a, Shown<'a>>>, Failure> {
    let screen = Screen::open(show, edge);
    let mut started = Vec::new();
    for part in parts {
        let pane = screen.pane(part.subject.as_deref());
        started.push(part.with(|build| build.start(pane, company)).await?);
    }
    let withdrawal = &Cancellation::new();
    let mut running: FuturesUnordered<_> = (0..)
        .zip(started)
        .map(|(at, part)| async move {
            let Ok(part) = part.with(|build| async { Ok::<_, Infallible>(build.run(withdrawal).await) }).await;
            (at, part)
        })
        .collect();
    let mut ended: BTreeMap<usize, Part<'a, Ended<'a>>> = BTreeMap::new();
    while let Some((at, part)) = running.next().await {
        if part.build.ends_the_others() {
            withdrawal.cancel(Ending::Terminate);
        }
        ended.insert(at, part);
    }
    let summary = Arc::new(screen.finish().await);
    let shown = |Part { number, target, subject, edge, build }: Part<'a, Ended<'a>>| {
        let build = (build, Arc::clone(&summary));
        Part { number, target, subject, edge, build }
    };
    Ok(ended.into_values().map(shown).collect())
}

/// Reports a build, searches its result, and clears it if it is clean. Returns `None` if another build kept this one
/// from its result.
async fn examine<'a>(build: Ended<'a>, summary: &Summary) -> Result<Option<Cleared<'a>>, Failure> {
    match build.conclude(summary).await? {
        Some((finished, warnings)) => Ok(Some(finished.examine().await?.clear().await?.warned(warnings))),
        None => Ok(None),
    }
}

/// Reports why nothing of the group is delivered, and chooses the exit code: a leak counts most, then a failure, then
/// a result that could not be searched.
fn report(refusals: &[(&Edge, Failure)], withdrawn: &[String], edge: &Edge) -> Exit {
    if !withdrawn.is_empty() {
        edge.fact(
            "withheld",
            &format!(
                "{}: not named, because another image of the group is not clean or failed to build",
                withdrawn.join(", ")
            ),
        );
    }
    let mut exits = Vec::new();
    let mut stopped = false;
    for (edge, failure) in refusals {
        // If the user stopped the builds, one message about that is enough.
        if matches!(failure, Failure::Ending(_)) && std::mem::replace(&mut stopped, true) {
            continue;
        }
        exits.push(failure.report(&edge.stderr));
    }
    let first = |kind: &dyn Fn(&Exit) -> bool| exits.iter().copied().find(|exit| kind(exit));
    let failed = first(&|exit| *exit != Exit::Incomplete);
    first(&|exit| *exit == Exit::Leak).or(failed).or(first(&|_| true)).unwrap_or(Exit::Failed)
}

/// Delivers every build and reports the results. Each step is done for all builds before the next step begins. If a
/// step fails, no build goes on to a later step, and images that have no name by then are removed.
async fn deliver(mut parts: Vec<Part<'_, Cleared<'_>>>, told: &Told<'_>, edge: &Edge) -> Result<Exit, Failure> {
    for step in DeliveryStep::ALL {
        let mut failed = None;
        for part in &mut parts {
            if let Err(failure) = part.build.deliver(step).await {
                failed = Some(failure.report(&part.edge.stderr));
                break;
            }
        }
        if let Some(exit) = failed {
            for part in parts {
                part.build.withdraw().await;
            }
            return Ok(exit);
        }
    }
    let detail = match told.account.file() {
        Some(_) => Detail::of_process(),
        None => Detail::Nothing,
    };
    let mut documents = Map::new();
    let mut warnings = Vec::new();
    for Part { target, edge: own, build, .. } in parts {
        let delivered = match build.finish(detail).await {
            Ok(delivered) => delivered,
            Err(failure) => return Ok(failure.report(&own.stderr)),
        };
        let Delivered { id, stdout_is_taken, mut metadata, warnings: found } = delivered;
        match told.account {
            Account::OfTargets(_) => {
                warnings.extend(found);
                documents.insert(target.unwrap_or_default(), metadata);
            }
            Account::OfBuild { metadata: file, prints_id } => {
                metadata_file::add_warnings(&mut metadata, &found, &told.redactor);
                write_metadata(file.as_ref(), &metadata)?;
                // As with docker, standard output gets nothing else if it gets an archive.
                if *prints_id && !stdout_is_taken {
                    edge.stdout.line(&id);
                }
            }
        }
    }
    if let Account::OfTargets(file) = told.account {
        let mut document = Value::Object(documents);
        metadata_file::add_warnings(&mut document, &warnings, &told.redactor);
        write_metadata(file.as_ref(), &document)?;
    }
    Ok(Exit::Done)
}

fn write_metadata(file: Option<&PathBuf>, document: &Value) -> Result<(), DeliveryError> {
    let Some(file) = file else { return Ok(()) };
    let failed = |source| DeliveryError::ResultFile { flag: "--metadata-file", file: file.clone(), source };
    metadata_file::write(file, document).map_err(failed)
}
