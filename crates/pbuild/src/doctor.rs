//! `pbuild doctor`: reports whether the engine can run builds, and which files could get into an image. The other
//! checks are common to both tools.

use std::path::{Path, PathBuf};

use pbuildkit::{Builder, Transport};
use pcli::arguments::DoctorRequest;
use pcli::doctor::{self, Observation};
use pcli::{FoundManifest, STORE_NAME};
use pengine::{BuilderChoice, BuilderNode, Endpoint, Engine, Environment, Flags, ImageStore, PlainBuilder, Safety};
use pgateway::Capabilities;
use pscreen::Exit;

use crate::edge::{Edge, Explain as _, Failure};
use crate::files::coverage;
use crate::files::coverage::Coverage;
use crate::install;

/// An error that only the doctor finds.
#[derive(Debug)]
pub(crate) enum DoctorError {
    /// The engine did not say how it keeps images.
    ImageStore(bollard::errors::Error),
    /// This BuildKit cannot give secrets to steps.
    NoSecrets,
}

/// Runs `pbuild doctor`.
///
/// # Errors
///
/// Returns an error if the user stops the command, or if the report cannot be written.
pub(crate) async fn run(request: &DoctorRequest, edge: &Edge) -> Result<Exit, Failure> {
    let mut findings = edge.cancellation.unless_cancelled(builder()).await?;
    let (found, project) = doctor::look(request, &edge.desk());
    findings.extend(project);
    findings.extend(files(request, found.as_ref()));
    Ok(doctor::report(&findings, request.json, &edge.stdout)?)
}

/// Checks whether docker's own commands build with pbuild, by asking docker.
///
/// # Errors
///
/// Returns an error if the report cannot be written.
pub(crate) fn door(json: bool, edge: &Edge) -> Result<Exit, Failure> {
    Ok(doctor::report(&install::look(), json, &edge.stdout)?)
}

/// Finds the builder that a build would use, and reports what it can do.
async fn builder() -> Vec<Observation> {
    let nodes = match BuilderNode::resolve(&Environment::of_process(), &Flags::default()) {
        Ok(nodes) => nodes,
        Err(error) => return vec![Observation::problem("builder", &error.explain())],
    };
    let mut observations = Vec::new();
    for node in nodes {
        observations.extend(match node.choice {
            BuilderChoice::Engine(endpoint) => engine(&endpoint).await,
            BuilderChoice::Plain(builder) => plain(&builder).await,
        });
    }
    observations
}

/// Connects to an engine, and reports its image store and its BuildKit.
async fn engine(endpoint: &Endpoint) -> Vec<Observation> {
    let engine = match Engine::connect(endpoint).await {
        Ok(engine) => engine,
        Err(error) => return vec![Observation::problem("engine", &error.explain())],
    };
    let mut findings = vec![Observation::ok("engine", engine.describe())];
    findings.extend(readable(endpoint.safety()));
    findings.push(match engine.image_store().await {
        Ok(ImageStore::Layers) => Observation::ok("images", "kept in docker's own store"),
        Ok(ImageStore::Containerd) => Observation::ok("images", "kept in containerd's store"),
        Err(error) => Observation::problem("images", &DoctorError::ImageStore(error).explain()),
    });
    findings.extend(buildkit(&engine).await);
    findings
}

/// Reports a builder without an engine: its address, the place where its images stay, and its BuildKit.
async fn plain(builder: &PlainBuilder) -> Vec<Observation> {
    let mut findings = vec![Observation::ok("builder", builder.to_string())];
    findings.extend(readable(builder.safety()));
    findings.push(match builder.loads() {
        true => Observation::ok("images", "loaded into the engine, as default-load=true says"),
        false => Observation::ok("images", "stay in the builder's cache without --load, --push or --output"),
    });
    findings.extend(buildkit(builder).await);
    findings
}

fn readable(safety: Safety) -> Option<Observation> {
    let text = "the engine is reached over plain TCP: everybody on the way can read the secrets";
    (safety == Safety::Plaintext).then(|| Observation::warning("engine", text, "use ssh:// or TLS"))
}

async fn buildkit(transport: impl Into<Transport>) -> Vec<Observation> {
    let asked = match Builder::connect(transport).await {
        Ok(builder) => builder.capabilities().await,
        Err(error) => Err(error),
    };
    match asked {
        Ok(capabilities) => able(&capabilities),
        Err(error) => vec![Observation::problem("buildkit", &error.explain())],
    }
}

fn able(capabilities: &Capabilities) -> Vec<Observation> {
    let secrets = if capabilities.operation(Capabilities::SECRET_ENVIRONMENT) {
        Observation::ok("buildkit", "steps can have secrets as environment variables")
    } else if capabilities.operation(Capabilities::SECRET_MOUNT) {
        Observation::ok("buildkit", "steps get secrets by mounts and a prelude, which needs a /bin/sh in the image")
    } else {
        Observation::problem("buildkit", &DoctorError::NoSecrets.explain())
    };
    let inside = if capabilities.frontend("gateway.exec") { "can" } else { "cannot" };
    vec![secrets, Observation::ok("buildkit", format!("programs {inside} run inside the builder (gateway.exec)"))]
}

/// Finds the env files that a COPY or a git commit could include.
fn files(request: &DoctorRequest, found: Option<&FoundManifest>) -> Vec<Observation> {
    let folder = found.map(FoundManifest::directory).filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let context = found.and_then(|found| found.manifest.build.context.as_ref()).map(Path::new);
    let mut files: Vec<PathBuf> = coverage::env_files(folder);
    if let Some(context) = context {
        files.extend(coverage::env_files(&folder.join(context)).iter().map(|file| context.join(file)));
    }
    let declared = found.into_iter().flat_map(|found| found.manifest.env_files.iter().map(|file| file.path.clone()));
    let given = request.sources.env_files.iter().filter_map(|file| below(folder, file));
    files.extend(declared.chain(given).filter(|file| folder.join(file).is_file()));
    files.sort();
    files.dedup();
    if files.is_empty() {
        return Vec::new();
    }
    let build = found.map(|found| &found.manifest.build);
    let context = context.unwrap_or(Path::new(""));
    let dockerfile = build.and_then(|build| build.dockerfile.as_deref()).unwrap_or("Dockerfile");
    let coverage = match Coverage::of(&folder.join(context), &folder.join(context).join(dockerfile)) {
        Ok(coverage) => coverage,
        Err(error) => return vec![Observation::problem("files", &error.explain())],
    };
    let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    let is_open = |file: &&PathBuf| file.strip_prefix(context).is_ok_and(|inside| !coverage.covers(inside));
    let open: Vec<String> = files.iter().filter(is_open).map(|file| file.display().to_string()).collect();
    let tracked = doctor::not_ignored_by_git(folder, &names);
    let mut findings = Vec::new();
    if !open.is_empty() {
        let text = format!("{} could get into an image", open.join(", "));
        findings.push(Observation::warning("files", text, format!("list them in {}", coverage.file.display())));
    }
    if !tracked.is_empty() {
        let text = format!("git does not ignore {}", tracked.join(", "));
        findings.push(Observation::warning(
            "files",
            text,
            format!("list them in .gitignore; {STORE_NAME} is the file to commit"),
        ));
    }
    if findings.is_empty() {
        findings.push(Observation::ok("files", format!("{} stays out of images and of git", names.join(", "))));
    }
    findings
}

fn below(folder: &Path, file: &Path) -> Option<PathBuf> {
    let folder = std::path::absolute(folder).ok()?;
    std::path::absolute(file).ok()?.strip_prefix(folder).ok().map(Path::to_owned)
}
