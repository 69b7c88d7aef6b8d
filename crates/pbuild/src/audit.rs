//! The search of a finished image, for `pbuild build` before the tag and for `pbuild audit` alone.

pub mod attached;
pub mod baseline;
pub mod chunks;
pub mod dockerfile;
pub mod output;
pub mod registry;
pub mod source;
pub mod store;

use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pcli::{FoundManifest, find_manifest};
use pengine::Engine;
use pimage::Verify;
use pscan::{Memory, NeedleSet, Options, Report, ScanError};
use pscreen::{Diagnostic, Ending, Exit};

use crate::command::audit::AuditArguments;
use crate::edge::{Edge, Failure};
use crate::gate::Proof;
use crate::memory::LayerMemory;
use crate::secrets::Secrets;
use crate::site;
use attached::Attached;
use baseline::Baselines;
use output::Outputs;
use source::{Bytes, Source};

/// An image that was built and not searched yet. It has no way to a name.
#[derive(Debug)]
pub struct Built {
    id: String,
}

/// An image that was searched, in the builder or to the last byte of its export, and holds no secret: only this can be
/// tagged.
#[derive(Debug)]
pub struct Audited {
    id: String,
}

/// What the search of a built image came to.
#[derive(Debug)]
pub enum Verdict {
    /// Searched whole, nothing found.
    Clean(Audited, Report),
    /// A secret is in it.
    Leak(Report),
    /// Something was not searched, so nothing is proven.
    Incomplete(Report),
}

/// What the search of what is attached to an image came to.
#[derive(Debug)]
pub enum AttachedVerdict {
    /// Nothing is attached that holds a secret.
    Clean(NothingUnseen),
    /// A secret is in it.
    Leak(Box<Report>),
    /// It could not be read.
    Unknown,
}

/// Nothing came to an image after the gate that was not searched.
#[derive(Debug)]
pub struct NothingUnseen(());

impl Built {
    /// The image that the engine says it built, by its digest.
    #[must_use]
    pub fn new(id: &str) -> Self {
        Self { id: id.to_owned() }
    }

    /// Its ID in the engine.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The image of a build that was searched before its result was returned, and to which nothing was attached since but
    /// what was searched too.
    #[must_use]
    pub fn proven(self, _: &Proof, _: NothingUnseen) -> Audited {
        Audited { id: self.id }
    }

    /// The image of a build without secrets: there is nothing to search for.
    #[must_use]
    pub fn without_secrets(self) -> Audited {
        Audited { id: self.id }
    }

    /// Searches what the engine attached to the image when it exported it; `None` when it attaches nothing.
    ///
    /// # Errors
    /// When the work should stop.
    pub async fn audit_attached(
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

    /// Searches exactly this image. Layers that an audit for the same secrets searched before are not searched again.
    ///
    /// # Errors
    /// When the engine does not hand it out, or the work should stop.
    pub async fn audit(
        self,
        engine: &Engine,
        secrets: &Secrets,
        needles: Arc<NeedleSet>,
        edge: &Edge,
    ) -> Result<Verdict, Failure> {
        let options = Options { subject: Some(self.id.clone()), memory: remembered(secrets), ..Options::default() };
        let report = engine_image(engine, &self.id, options, needles, edge).await?;
        Ok(match report.verdict() {
            pscan::Verdict::Clean => Verdict::Clean(Audited { id: self.id }, report),
            pscan::Verdict::Leak => Verdict::Leak(report),
            pscan::Verdict::Incomplete => Verdict::Incomplete(report),
        })
    }
}

impl Audited {
    /// Its ID in the engine.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// `pbuild audit`.
///
/// # Errors
/// What a person must be told; there is no report then.
pub async fn run(arguments: &AuditArguments, edge: &Edge) -> Result<Exit, Failure> {
    let found =
        find_manifest(arguments.secrets.config.as_deref(), &[Path::new(".")]).map_err(|error| error.diagnostic())?;
    let secrets = Secrets::read_at_hand(&arguments.secrets, found.as_ref(), edge)?;
    let edge = &edge.redacting(&secrets.redactor);
    match audit(arguments, &secrets, found.as_ref(), edge).await {
        Ok(exit) => Ok(exit),
        Err(failure) => Ok(failure.report(&edge.stderr)),
    }
}

async fn audit(
    arguments: &AuditArguments,
    secrets: &Secrets,
    manifest: Option<&FoundManifest>,
    edge: &Edge,
) -> Result<Exit, Failure> {
    let outputs = Outputs::parse(&arguments.formats, arguments.quiet, arguments.github)?;
    let source = Source::parse(arguments)?;
    let needles = secrets.needles()?;
    if needles.is_empty() {
        let diagnostic = Diagnostic::error("there is no secret to search for, so nothing could be proven", Exit::Usage)
            .help("give the values with --secret, --env-file or app.toml; values of 8 characters or more are searched for");
        return Err(diagnostic.into());
    }
    outputs.check()?;
    // Its key is asked for before the search, which may take long.
    let wants_baseline = arguments.baseline.is_some() || arguments.write_baseline.is_some();
    let baselines = if wants_baseline { Some(Baselines::new(manifest, &secrets.all)?) } else { None };
    let mut report = report(&source, arguments, memory(arguments, secrets), needles, edge).await?;
    if let Some(path) = &arguments.dockerfile {
        dockerfile::locate(&mut report, path)?;
    }
    if let (Some(baselines), Some(path)) = (&baselines, &arguments.baseline) {
        baselines.apply(path, &mut report)?;
    }
    if let (Some(baselines), Some(path)) = (&baselines, &arguments.write_baseline) {
        baselines.write(path, &report)?;
    }
    outputs.write(&report, edge)?;
    Ok(match report.verdict() {
        pscan::Verdict::Clean if arguments.secrets.strict && !secrets.all_searchable() => {
            edge.stderr
                .warning("--strict: not every secret can be searched for everywhere, so this is no clean result");
            Exit::Incomplete
        }
        pscan::Verdict::Clean => Exit::Done,
        pscan::Verdict::Leak => Exit::Leak,
        pscan::Verdict::Incomplete => Exit::Incomplete,
    })
}

/// What earlier audits searched for these secrets, unless nobody wants to know.
fn memory(arguments: &AuditArguments, secrets: &Secrets) -> Option<Arc<dyn Memory>> {
    if arguments.no_cache { None } else { remembered(secrets) }
}

fn remembered(secrets: &Secrets) -> Option<Arc<dyn Memory>> {
    let memory = LayerMemory::open(&secrets.all, &|name: &str| std::env::var_os(name))?;
    Some(Arc::new(memory))
}

/// Searches a source.
async fn report(
    source: &Source,
    arguments: &AuditArguments,
    memory: Option<Arc<dyn Memory>>,
    needles: Arc<NeedleSet>,
    edge: &Edge,
) -> Result<Report, Failure> {
    let subject = source.subject();
    let options = |way: &str| Options {
        subject: Some(subject.clone()),
        way: Some(way.to_owned()),
        memory: memory.clone(),
        ..Options::default()
    };
    match source {
        Source::Engine(name) => {
            let engine = site::engine(edge, false, &arguments.secrets).await?;
            engine_image(&engine, name, options(""), needles, edge).await
        }
        Source::Archive(path) => search(source::archive(path)?, options("an archive"), needles, edge).await,
        Source::Layout(folder, name) => {
            search(source::layout(folder, name.as_deref())?, options("an OCI layout"), needles, edge).await
        }
        Source::Registry(name) => {
            let blobs = edge.cancellation.unless_cancelled(registry::blobs(name)).await??;
            search(Bytes::Blobs(blobs), options("the registry"), needles, edge).await
        }
        Source::Directory(path) => {
            let (blobs, unread) = source::directory(path)?;
            let mut report = search(Bytes::Blobs(blobs), options("a folder"), Arc::clone(&needles), edge).await?;
            for (path, why) in unread.list() {
                report.add_unsearched(&needles, path.as_os_str().as_bytes(), why);
            }
            Ok(report)
        }
    }
}

/// Searches an image of the engine: in the engine's own files where they are at hand, else as the engine exports it.
async fn engine_image(
    engine: &Engine,
    id: &str,
    options: Options,
    needles: Arc<NeedleSet>,
    edge: &Edge,
) -> Result<Report, Failure> {
    // The export of an image that does not exist is an empty archive on some engines.
    let known = edge.cancellation.unless_cancelled(engine.docker().inspect_image(id)).await?;
    let known = known.map_err(|error| no_image(id, &error))?;
    let name = known.repo_tags.unwrap_or_default().into_iter().find(|tag| is_name_of(tag, id));
    let own = known.id.as_deref().unwrap_or_default();
    if let Some(blobs) = edge.cancellation.unless_cancelled(store::blobs(engine, own, name.as_deref())).await? {
        let mut options = Options { way: Some("the engine's own files".to_owned()), ..options.clone() };
        // The store compared every digest when the bytes came in.
        options.reading.verify = Verify::Nothing;
        let report = search(Bytes::Blobs(blobs), options, Arc::clone(&needles), edge).await?;
        if report.not_searched().is_empty() {
            return Ok(report);
        }
    }
    let (reader, forward) = chunks::channel(engine.docker().export_image(id));
    let options = Options { way: Some("the engine's export".to_owned()), ..options };
    let mut searching = std::pin::pin!(search(Bytes::Archive(Box::new(reader)), options, needles, edge));
    // A search that was told to stop does not wait for an engine that sends nothing more.
    tokio::select! {
        outcome = &mut searching => outcome,
        () = forward => searching.await,
    }
}

/// Whether the user meant this name, and not an id of the image: then the engine exports it under that name.
fn is_name_of(tag: &str, given: &str) -> bool {
    tag == given || tag.strip_suffix(":latest") == Some(given)
}

fn no_image(name: &str, error: &bollard::errors::Error) -> Diagnostic {
    match error {
        bollard::errors::Error::DockerResponseServerError { status_code: 404, .. } => {
            Diagnostic::error(format!("the engine has no image {name}"), Exit::Failed)
                .help("`docker images` lists what it has; --archive FILE searches a file")
        }
        error => Diagnostic::from_error(error, Exit::Failed).note(format!("while asking the engine for image {name}")),
    }
}

/// Runs the search on a thread of its own; it stops at the next chunk when the work should stop.
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
        Ok(Err(ScanError::Cancelled)) => Err(Failure::Ended(Ending::Interrupt)),
        Ok(Err(error)) => Err(Diagnostic::from_error(&error, Exit::Usage).into()),
        Err(_) => Err(Diagnostic::error("the search ended early, so nothing is proven", Exit::Incomplete).into()),
    }
}
