//! The search of a finished image: for `pbuild audit`, and for `pbuild build` before the image has a name.

pub(crate) mod attached;
pub(crate) mod baseline;
mod chunks;
pub(crate) mod dockerfile;
pub(crate) mod missing;
pub(crate) mod output;
pub(crate) mod registry;
pub(crate) mod source;
mod store;

use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pengine::Engine;
use pimage::Verify;
use pscan::{Memory, NeedleSet, Options, Report, ScanError};
use pscreen::{Ending, Exit};

use crate::edge::{Edge, Failure};
use crate::memory::LayerMemory;
use crate::plan::{AuditOrder, LayerMemoryUse, Source};
use crate::secrets::Secrets;
use crate::site;
use attached::Attached;
use baseline::Baselines;
use pproof::Proof;
use source::Bytes;

/// An image that was built and not searched yet. This type has no method that names the image.
#[derive(Debug)]
pub(crate) struct Built {
    id: String,
}

/// An image that holds no secret, searched in the builder or to the last byte of its export. Only this type can be
/// tagged.
#[derive(Debug)]
pub(crate) struct Audited {
    id: String,
}

/// The outcome of a search of a built image.
#[derive(Debug)]
pub(crate) enum ImageVerdict {
    /// The whole image was searched, and nothing was found.
    Clean(Audited, Report),
    /// The image holds a secret.
    Leak(Report),
    /// Something was not searched, so the image is not proven clean.
    Incomplete(Report),
}

/// The outcome of a search of the documents that are attached to an image.
#[derive(Debug)]
pub(crate) enum AttachedVerdict {
    /// No attached document holds a secret.
    Clean(NothingUnseen),
    /// The documents hold a secret.
    Leak(Box<Report>),
    /// The documents could not be read.
    Unknown,
}

/// Proves that every document that was attached to an image after the gate was searched.
#[derive(Debug)]
pub(crate) struct NothingUnseen(());

impl Built {
    /// Takes the digest of the image that the engine reports as built.
    pub(crate) fn new(id: &str) -> Self {
        Self { id: id.to_owned() }
    }

    /// Returns the image's ID in the engine.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Accepts the image as audited, because the gate searched the build before the result was returned, and every
    /// document that was attached to the image since was searched too.
    pub(crate) fn proven(self, _: &Proof, _: NothingUnseen) -> Audited {
        Audited { id: self.id }
    }

    /// Accepts the image of a build without secrets, in which there is nothing to search for.
    pub(crate) fn without_secrets(self) -> Audited {
        Audited { id: self.id }
    }

    /// Searches the documents that the engine attached to the image when it exported it; `attached` is `None` if the
    /// engine attaches none.
    ///
    /// # Errors
    /// Returns an error if the command is cancelled.
    pub(crate) async fn audit_attached(
        &self,
        attached: Option<&Attached>,
        needles: Arc<NeedleSet>,
        edge: &Edge,
    ) -> Result<AttachedVerdict, Failure> {
        let Some(attached) = attached else { return Ok(AttachedVerdict::Clean(NothingUnseen(()))) };
        let Ok(documents) = attached.documents(&self.id) else { return Ok(AttachedVerdict::Unknown) };
        let report = search(Bytes::Blobs(documents), Options::default(), needles, edge).await?;
        Ok(match report.verdict() {
            pscan::Verdict::Clean => AttachedVerdict::Clean(NothingUnseen(())),
            pscan::Verdict::Leak => AttachedVerdict::Leak(Box::new(report)),
            pscan::Verdict::Incomplete => AttachedVerdict::Unknown,
        })
    }

    /// Searches exactly this image. A layer that an earlier audit searched for the same secrets is not searched
    /// again.
    ///
    /// # Errors
    /// Returns an error if the engine does not export the image, or if the command is cancelled.
    pub(crate) async fn audit(
        self,
        engine: &Engine,
        secrets: &Secrets,
        needles: Arc<NeedleSet>,
        edge: &Edge,
    ) -> Result<ImageVerdict, Failure> {
        let options = Options { subject: Some(self.id.clone()), memory: remembered(secrets), ..Options::default() };
        let report = engine_image(engine, &self.id, options, needles, edge).await?;
        Ok(match report.verdict() {
            pscan::Verdict::Clean => ImageVerdict::Clean(Audited { id: self.id }, report),
            pscan::Verdict::Leak => ImageVerdict::Leak(report),
            pscan::Verdict::Incomplete => ImageVerdict::Incomplete(report),
        })
    }
}

impl Audited {
    /// Returns the image's ID in the engine.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }
}

/// The reasons why an image cannot be searched.
#[derive(Debug)]
pub(crate) enum AuditError {
    /// There is no secret to search for.
    NoSecrets,
    /// The engine has no image of this name.
    NoImage(String),
    /// The engine does not answer a question about an image.
    Engine {
        /// The image.
        name: String,
        /// The cause.
        source: bollard::errors::Error,
    },
    /// The bytes cannot be searched.
    Scan(ScanError),
    /// The thread of the search ended early.
    EndedEarly,
}

/// Runs `pbuild audit`.
///
/// # Errors
/// Returns an error if the secrets cannot be read. Every later failure is printed here, because its text must be
/// masked.
pub(crate) async fn run(order: AuditOrder, edge: &Edge) -> Result<Exit, Failure> {
    let secrets = Secrets::read_at_hand(&order.sources, order.manifest.as_ref(), edge)?;
    let edge = &edge.redacting(&secrets.redactor);
    match audit(&order, &secrets, edge).await {
        Ok(exit) => Ok(exit),
        Err(failure) => Ok(failure.report(&edge.stderr)),
    }
}

async fn audit(order: &AuditOrder, secrets: &Secrets, edge: &Edge) -> Result<Exit, Failure> {
    let needles = secrets.needles()?;
    if needles.is_empty() {
        return Err(AuditError::NoSecrets.into());
    }
    order.reports.check()?;
    // The key of the baselines may need a passphrase, so pbuild asks for it before the search, which may take long.
    let needs_baselines = order.baseline.is_some() || order.new_baseline.is_some();
    let baselines = match needs_baselines {
        true => Some(Baselines::new(order.manifest.as_ref(), &secrets.all)?),
        false => None,
    };
    let mut report = report(order, memory(order, secrets), needles, edge).await?;
    report.set_date(jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    missing::tell(&secrets.missing, &order.missing_rules(), &mut report, edge);
    secrets.tell_public(&mut report);
    if let Some(path) = &order.dockerfile {
        dockerfile::locate(&mut report, path, &secrets.redactor)?;
    }
    if let (Some(baselines), Some(path)) = (&baselines, &order.baseline) {
        baselines.apply(path, &mut report)?;
    }
    if let (Some(baselines), Some(path)) = (&baselines, &order.new_baseline) {
        baselines.write(path, &report)?;
    }
    order.reports.write(&report, edge)?;
    Ok(match report.verdict() {
        pscan::Verdict::Clean if order.is_strict() && !secrets.all_searchable() => {
            edge.stderr
                .warning("--strict: not every secret can be searched for everywhere, so this is no clean result");
            Exit::Incomplete
        }
        pscan::Verdict::Clean => Exit::Done,
        pscan::Verdict::Leak => Exit::Leak,
        pscan::Verdict::Incomplete => Exit::Incomplete,
    })
}

/// Opens the memory of earlier audits for these secrets. Returns `None` if every layer must be searched.
fn memory(order: &AuditOrder, secrets: &Secrets) -> Option<Arc<dyn Memory>> {
    match order.memory {
        LayerMemoryUse::Used => remembered(secrets),
        LayerMemoryUse::Ignored => None,
    }
}

fn remembered(secrets: &Secrets) -> Option<Arc<dyn Memory>> {
    let memory = LayerMemory::open(&secrets.all, &|name: &str| std::env::var_os(name))?;
    Some(Arc::new(memory))
}

/// Searches the source that the order names.
async fn report(
    order: &AuditOrder,
    memory: Option<Arc<dyn Memory>>,
    needles: Arc<NeedleSet>,
    edge: &Edge,
) -> Result<Report, Failure> {
    let subject = order.source.subject();
    let options = |way: Option<&str>| Options {
        subject: Some(subject.clone()),
        way: way.map(str::to_owned),
        memory: memory.clone(),
        ..Options::default()
    };
    match &order.source {
        Source::Engine(name) => {
            let engine = site::engine(edge, false, order.tls).await?;
            engine_image(&engine, name, options(None), needles, edge).await
        }
        Source::Archive(path) => search(source::archive(path)?, options(Some("an archive")), needles, edge).await,
        Source::Layout(folder, name) => {
            search(source::layout(folder, name.as_deref())?, options(Some("an OCI layout")), needles, edge).await
        }
        Source::Registry(name) => {
            let blobs = edge.cancellation.unless_cancelled(registry::blobs(name)).await??;
            search(Bytes::Blobs(blobs), options(Some("the registry")), needles, edge).await
        }
        Source::Directory(path) => {
            let (blobs, unread) = source::directory(path)?;
            let mut report = search(Bytes::Blobs(blobs), options(Some("a folder")), Arc::clone(&needles), edge).await?;
            for (path, why) in unread.list() {
                report.add_unsearched(&needles, path.as_os_str().as_bytes(), why);
            }
            Ok(report)
        }
    }
}

/// Searches an image of the engine: in the engine's own files if this process can read them, otherwise as the engine
/// exports the image.
async fn engine_image(
    engine: &Engine,
    id: &str,
    options: Options,
    needles: Arc<NeedleSet>,
    edge: &Edge,
) -> Result<Report, Failure> {
    // For an image that does not exist, some engines export an empty archive, so the image is looked up first.
    let known = edge.cancellation.unless_cancelled(engine.docker().inspect_image(id)).await?;
    let known = known.map_err(|error| no_image(id, error))?;
    let mut report = searched(engine, id, &known, options, needles, edge).await?;
    report.set_image_id(known.id.clone().unwrap_or_default());
    Ok(report)
}

/// Searches an image that the engine has.
async fn searched(
    engine: &Engine,
    id: &str,
    known: &bollard::models::ImageInspect,
    options: Options,
    needles: Arc<NeedleSet>,
    edge: &Edge,
) -> Result<Report, Failure> {
    let name = known.repo_tags.iter().flatten().find(|tag| is_name_of(tag, id)).cloned();
    let layers = known.root_fs.as_ref().and_then(|root| root.layers.as_ref());
    let is_without_layers = known.root_fs.is_some() && layers.is_none_or(Vec::is_empty);
    let own = known.id.as_deref().unwrap_or_default();
    if let Some(blobs) = edge.cancellation.unless_cancelled(store::blobs(engine, own, name.as_deref())).await? {
        let mut options = Options { way: Some("the engine's own files".to_owned()), ..options.clone() };
        // The engine's store compared every digest when it received the bytes.
        options.reading.verify = Verify::Nothing;
        let report = search(Bytes::Blobs(blobs), options, Arc::clone(&needles), edge).await?;
        if report.not_searched().is_empty() {
            return Ok(report);
        }
    }
    if is_without_layers {
        let documents = store::described(engine, known, id);
        let documents = edge.cancellation.unless_cancelled(documents).await?.map_err(|error| no_image(id, error))?;
        let mut options = Options { way: Some("the engine's description".to_owned()), ..options };
        options.reading.verify = Verify::Nothing;
        return search(Bytes::Blobs(documents), options, needles, edge).await;
    }
    let (reader, forward) = chunks::channel(engine.docker().export_image(id));
    let options = Options { way: Some("the engine's export".to_owned()), ..options };
    let mut searching = std::pin::pin!(search(Bytes::Archive(Box::new(reader)), options, needles, edge));
    // If the search must stop, nothing waits for an engine that sends no more data.
    tokio::select! {
        outcome = &mut searching => outcome,
        () = forward => searching.await,
    }
}

/// Returns whether the user gave this name, and not an ID of the image: then the engine exports the image under that
/// name.
fn is_name_of(tag: &str, given: &str) -> bool {
    tag == given || tag.strip_suffix(":latest") == Some(given)
}

fn no_image(name: &str, error: bollard::errors::Error) -> AuditError {
    match error {
        bollard::errors::Error::DockerResponseServerError { status_code: 404, .. } => {
            AuditError::NoImage(name.to_owned())
        }
        source => AuditError::Engine { name: name.to_owned(), source },
    }
}

/// Runs the search on its own thread. The search stops at the next chunk if the command is cancelled.
pub(crate) async fn search(
    bytes: Bytes,
    options: Options,
    needles: Arc<NeedleSet>,
    edge: &Edge,
) -> Result<Report, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let searching = tokio::task::spawn_blocking(move || {
        let mut go_on = |_| match stopped.load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        match bytes {
            Bytes::Archive(archive) => pscan::audit(archive, &needles, &options, &mut go_on),
            Bytes::File(file) => pscan::audit_file(file, &needles, &options, &mut go_on),
            Bytes::Blobs(blobs) => pscan::audit_loose(blobs, &needles, &options, &mut go_on),
        }
    });
    let outcome = edge.cancellation.unless_cancelled(searching).await;
    stop.store(true, Ordering::Relaxed);
    match outcome? {
        Ok(Ok(report)) => Ok(report),
        Ok(Err(ScanError::Cancelled)) => Err(Ending::Interrupt.into()),
        Ok(Err(error)) => Err(AuditError::Scan(error).into()),
        Err(_) => Err(AuditError::EndedEarly.into()),
    }
}
