//! The search of a finished image, for `pbuild build` before the tag and for `pbuild audit` alone.

use std::fs::File;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pcli::{Diagnostic, Ending, Exit, find_manifest};
use pengine::Engine;
use pscan::{NeedleSet, Options, Report, ScanError};

use crate::command::{AuditArguments, ReportFormat};
use crate::edge::{Edge, Failure};
use crate::secrets::Secrets;
use crate::{build, chunks};

/// An image that was built and not searched yet. It has no way to a name.
#[derive(Debug)]
pub struct Built {
    id: String,
}

/// An image that was searched to the last byte and holds no secret: only this can be tagged.
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

    /// Searches exactly this image.
    ///
    /// # Errors
    /// When the engine does not hand it out, or the work should stop.
    pub async fn audit(self, engine: &Engine, needles: Arc<NeedleSet>, edge: &Edge) -> Result<Verdict, Failure> {
        let report = engine_image(engine, &self.id, &self.id, needles, edge).await?;
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
    match audit(arguments, &secrets, edge).await {
        Ok(exit) => Ok(exit),
        Err(failure) => Ok(failure.report(&edge.stderr)),
    }
}

async fn audit(arguments: &AuditArguments, secrets: &Secrets, edge: &Edge) -> Result<Exit, Failure> {
    let needles = secrets.needles()?;
    if needles.is_empty() {
        let diagnostic = Diagnostic::error("there is no secret to search for, so nothing could be proven", Exit::Usage)
            .help("give the values with --secret, --env-file or app.toml; values of 8 characters or more are searched for");
        return Err(diagnostic.into());
    }
    let report = match (&arguments.archive, &arguments.image) {
        (Some(path), _) => archive(path, needles, edge).await?,
        (None, Some(image)) => {
            let engine = build::connect(edge, false).await?;
            engine_image(&engine, image, image, needles, edge).await?
        }
        (None, None) => {
            return Err(Diagnostic::error("name an image, or an archive with --archive FILE", Exit::Usage).into());
        }
    };
    match arguments.format {
        ReportFormat::Text => edge.stdout.bytes(report.to_string().as_bytes()),
        ReportFormat::Json => edge.stdout.bytes(format!("{}\n", report.to_json()).as_bytes()),
    }
    Ok(match report.verdict() {
        pscan::Verdict::Clean => Exit::Done,
        pscan::Verdict::Leak => Exit::Leak,
        pscan::Verdict::Incomplete => Exit::Incomplete,
    })
}

async fn archive(path: &Path, needles: Arc<NeedleSet>, edge: &Edge) -> Result<Report, Failure> {
    if path == Path::new("-") {
        return search(std::io::stdin(), "standard input", needles, edge).await;
    }
    let unreadable = |error: std::io::Error| {
        Diagnostic::from_error(&error, Exit::Usage).note(format!("while reading --archive {}", path.display()))
    };
    let file = File::open(path).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.is_dir() {
        let message = format!("--archive {}: a directory, not an archive", path.display());
        return Err(Diagnostic::error(message, Exit::Usage).into());
    }
    search(file, &path.display().to_string(), needles, edge).await
}

/// Streams an image out of the engine into the search.
async fn engine_image(
    engine: &Engine,
    id: &str,
    subject: &str,
    needles: Arc<NeedleSet>,
    edge: &Edge,
) -> Result<Report, Failure> {
    // The export of an image that does not exist is an empty archive on some engines.
    let known = edge.cancellation.unless_cancelled(engine.docker().inspect_image(id)).await?;
    known.map_err(|error| no_image(id, &error))?;
    let (reader, forward) = chunks::channel(engine.docker().export_image(id));
    let mut searching = std::pin::pin!(search(reader, subject, needles, edge));
    // A search that was told to stop does not wait for an engine that sends nothing more.
    tokio::select! {
        outcome = &mut searching => outcome,
        () = forward => searching.await,
    }
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
async fn search(
    source: impl Read + Send + 'static,
    subject: &str,
    needles: Arc<NeedleSet>,
    edge: &Edge,
) -> Result<Report, Failure> {
    let options = Options { subject: Some(subject.to_owned()), ..Options::default() };
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let searching = tokio::task::spawn_blocking(move || {
        let mut go_on = |_| match stopped.load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        pscan::audit(source, &needles, &options, &mut go_on)
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
