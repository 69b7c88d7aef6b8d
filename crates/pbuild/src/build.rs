//! `pbuild build`: values read once, the build without a name, the search, the name.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

use bollard::query_parameters::TagImageOptions;
use papp::{Inject, Manifest};
use pbuildkit::llb::{Plan as InjectionPlan, PlannedSecret, SecretShape, StepPattern};
use pbuildkit::{BuildError, BuildRequest, BuildResult, Builder, Exporter, History, Local, Registries, SecretAnswer};
use pcli::{Diagnostic, Exit, find_manifest};
use pengine::{Endpoint, Engine, Environment, Flags, ImageStore, Safety};
use pscan::NeedleSet;
use psecret::{Delivery, Secret};

use crate::audit::{Audited, Built, Verdict};
use crate::cleanup::Marks;
use crate::command::BuildArguments;
use crate::context::{ContextGuard, ContextLeak};
use crate::edge::{Edge, Failure};
use crate::injection::Injection;
use crate::leftovers::{self, CacheBefore, Removed};
use crate::plan::{BuildPlan, Dockerfile, context_directory};
use crate::provider::BuildSecrets;
use crate::secrets::Secrets;
use crate::{explain, guard, report, syntax, watch};

/// Runs the command.
///
/// # Errors
/// What a person must be told; nothing is tagged then.
pub async fn run(arguments: &BuildArguments, edge: &Edge) -> Result<Exit, Failure> {
    let context = context_directory(&arguments.context).map_err(|error| explain::plan(&error))?;
    let found = find_manifest(arguments.secrets.config.as_deref(), &[&context, Path::new(".")])
        .map_err(|error| error.diagnostic())?;
    let environment = |name: &str| std::env::var(name).ok();
    let plan = BuildPlan::new(
        arguments,
        context,
        found.as_ref().map(|found| &found.manifest),
        environment,
        io::stdin().lock(),
    )
    .map_err(|error| explain::plan(&error))?;
    let secrets = Secrets::read(&arguments.secrets, found.as_ref(), edge)?;
    let edge = &Edge { quiet: watch::is_quiet(arguments), ..edge.redacting(&secrets.redactor) };
    // From here on a failure may quote what the engine said, so it is told behind the redactor.
    match build(arguments, plan, found.as_ref().map(|found| &found.manifest), secrets, edge).await {
        Ok(exit) => Ok(exit),
        Err(failure) => Ok(failure.report(&edge.stderr)),
    }
}

async fn build(
    arguments: &BuildArguments,
    plan: BuildPlan,
    manifest: Option<&Manifest>,
    secrets: Secrets,
    edge: &Edge,
) -> Result<Exit, Failure> {
    guard::check_plan(&plan, &secrets.redactor).map_err(|error| explain::guard(&error))?;
    let dockerfile = plan.dockerfile_text().map_err(|error| explain::plan(&error))?;
    guard::check_dockerfile(&plan.dockerfile_path(), &dockerfile, &secrets.redactor)
        .map_err(|error| explain::guard(&error))?;
    check_frontend(arguments, &plan, &dockerfile, &secrets)?;
    secrets.check_searchable()?;
    let needles = secrets.needles()?;

    let engine = connect(edge, !secrets.is_empty()).await?;
    secrets.announce(edge, |secret| offer(secret, manifest));
    let connecting = edge.cancellation.unless_cancelled(Builder::connect(&engine));
    let builder = connecting.await?.map_err(|error| explain::buildkit(&error))?;
    let mut work = Work { arguments, plan, manifest, secrets, needles, engine, builder, edge };
    work.resolve_host_gateway().await?;
    if work.secrets.is_empty() && work.configuration().is_empty() {
        work.build_as_docker().await
    } else {
        work.build_and_prove().await
    }
}

/// Reaches the engine, and says which one it is.
pub(crate) async fn connect(edge: &Edge, with_secrets: bool) -> Result<Engine, Failure> {
    let endpoint =
        Endpoint::resolve(&Environment::of_process(), &Flags::default()).map_err(|error| explain::engine(&error))?;
    let engine = edge
        .cancellation
        .unless_cancelled(Engine::connect(&endpoint))
        .await?
        .map_err(|error| explain::engine(&error))?;
    edge.fact("engine", &engine.describe());
    if with_secrets && engine.endpoint().safety() == Safety::Plaintext {
        edge.stderr.warning("the engine is reached over plain TCP: everybody on the way can read the secrets");
    }
    Ok(engine)
}

/// A frontend image decides which commands the graph holds; an unknown one must not be handed secrets.
fn check_frontend(
    arguments: &BuildArguments,
    plan: &BuildPlan,
    dockerfile: &[u8],
    secrets: &Secrets,
) -> Result<(), Failure> {
    let image = plan.build_arguments.get("BUILDKIT_SYNTAX").cloned().or_else(|| syntax::frontend_image(dockerfile));
    let Some(image) = image.filter(|image| !syntax::is_known(image) && !arguments.allow_frontend.contains(image))
    else {
        return Ok(());
    };
    if !secrets.offered_to_builds() {
        return Ok(());
    }
    let diagnostic =
        Diagnostic::error(format!("frontend image {image} is not known, so it gets no secrets"), Exit::Usage)
            .note("the `# syntax=` image decides which commands run, and so who sees the values")
            .help(format!("if you trust it: --allow-frontend {image}"));
    Err(diagnostic.into())
}

/// Who gets a secret, for people.
fn offer(secret: &Secret, manifest: Option<&Manifest>) -> String {
    if !secret.scope().in_build() {
        return "run only".to_owned();
    }
    match manifest.and_then(|manifest| manifest.secret(secret.name().as_str())) {
        Some(declared) if !declared.steps.is_empty() => {
            let steps: Vec<String> = declared.steps.iter().map(|step| format!("`{step}`")).collect();
            format!("to {}", steps.join(", "))
        }
        _ if manifest.is_some_and(|manifest| manifest.build.inject == Inject::Mounted) => "where mounted".to_owned(),
        _ => "to all steps".to_owned(),
    }
}

/// One build and everything it needs.
struct Work<'a> {
    arguments: &'a BuildArguments,
    plan: BuildPlan,
    manifest: Option<&'a Manifest>,
    secrets: Secrets,
    needles: Arc<NeedleSet>,
    engine: Engine,
    builder: Builder,
    edge: &'a Edge,
}

impl Work<'_> {
    fn configuration(&self) -> Vec<(String, String)> {
        self.manifest.map(|manifest| manifest.environment.clone()).unwrap_or_default()
    }

    /// `--add-host NAME:host-gateway` means an address that the engine knows.
    async fn resolve_host_gateway(&mut self) -> Result<(), Failure> {
        let Some(hosts) = self.plan.attributes.get_mut("add-hosts").filter(|hosts| hosts.contains("=host-gateway"))
        else {
            return Ok(());
        };
        let workers = self.builder.workers().await.map_err(|error| explain::buildkit(&error))?;
        let label = "org.mobyproject.buildkit.worker.moby.host-gateway-ip";
        let Some(address) = workers.iter().find_map(|worker| worker.labels.get(label)) else {
            return Err(Diagnostic::error(
                "--add-host: this engine does not tell its host-gateway address",
                Exit::Usage,
            )
            .help("write the address itself")
            .into());
        };
        *hosts = hosts.replace("=host-gateway", &format!("={address}"));
        Ok(())
    }

    async fn request(&self, exporter: Exporter) -> Result<BuildRequest, Failure> {
        let folder = Environment::of_process().docker_folder();
        let mut request = BuildRequest::dockerfile();
        request.attributes.extend(self.plan.attributes.clone());
        if self.image_store().await? == ImageStore::Containerd {
            // What docker's own client asks for where the store can hold it.
            request.attributes.insert("attest:provenance".to_owned(), "mode=min,inline-only=true".to_owned());
        }
        request.locals.insert("context".to_owned(), Local::Directory(self.plan.context.clone()));
        request.locals.insert(
            "dockerfile".to_owned(),
            match &self.plan.dockerfile {
                Dockerfile::Disk { directory, .. } => Local::Directory(directory.clone()),
                Dockerfile::Memory(text) => Local::Files(BTreeMap::from([("Dockerfile".into(), text.clone())])),
            },
        );
        request.shared_key = pbuildkit::shared_key(&self.plan.context, folder.as_deref());
        request.registries = folder.map_or_else(Registries::anonymous, Registries::of_docker);
        if self.plan.host_network {
            request.entitlements.push("network.host".to_owned());
        }
        request.exporter = Some(exporter);
        Ok(request)
    }

    async fn image_store(&self) -> Result<ImageStore, Failure> {
        let asked = self.engine.image_store().await;
        Ok(asked.map_err(|error| {
            Diagnostic::from_error(&error, Exit::Failed).note("while asking the engine for its image store")
        })?)
    }

    /// No secret and no configuration: the engine gets what docker would send, and nothing needs a proof.
    async fn build_as_docker(&self) -> Result<Exit, Failure> {
        let names: Vec<String> = self.plan.tags.iter().map(ToString::to_string).collect();
        let request = self.request(Exporter::named_engine_image(&names)).await?;
        let (updates, screen) = watch::screen(self.arguments, self.edge);
        let built = self.edge.cancellation.unless_cancelled(self.builder.build_plain(request, updates)).await;
        let failed = screen.finish().await;
        let result = built?.map_err(|error| match error {
            BuildError::Failed(failure) => explain::build(&BuildError::Failed(failure), None, failed),
            BuildError::Source { path, source } => explain::build(&BuildError::Source { path, source }, None, failed),
            BuildError::Buildkit(error) => explain::buildkit(&error),
            other => Diagnostic::from_error(&other, Exit::Failed),
        })?;
        self.finish_without_secrets(&result)
    }

    fn finish_without_secrets(&self, result: &BuildResult) -> Result<Exit, Failure> {
        self.edge.fact("audit", "nothing to search for: this build has no secrets");
        self.announce_image(image_id(result)?)?;
        Ok(Exit::Done)
    }

    /// Build without a name, search, then name it.
    async fn build_and_prove(&self) -> Result<Exit, Failure> {
        let looking = self.edge.cancellation.unless_cancelled(CacheBefore::look(&self.builder));
        let before = looking.await?.map_err(|error| explain::buildkit(&error))?;
        let context = Arc::new(ContextGuard::new(
            Arc::clone(&self.needles),
            self.secrets.redactor.clone(),
            &self.arguments.allow_context_leak,
        ));
        let mut injection = Injection::new(self.injection_plan(), self.secrets.ids(), self.secrets.redactor.clone());
        // With public configuration alone there is nothing to prove, as when docker builds it.
        let names: Vec<String> = self.plan.tags.iter().map(ToString::to_string).collect();
        let exporter =
            if self.secrets.is_empty() { Exporter::named_engine_image(&names) } else { Exporter::engine_image() };
        let mut request = self.request(exporter).await?;
        request.secrets = Arc::new(BuildSecrets::new(Arc::clone(&self.secrets.all)).with_ids(&self.secrets.rebuilding));
        request.observer = Some(Arc::clone(&context) as _);
        request.history = History::Nothing;

        let (updates, screen) = watch::screen(self.arguments, self.edge);
        let building = self.builder.build(request, Some(&mut injection), updates);
        let built = self.edge.cancellation.unless_cancelled(building).await;
        let failed = screen.finish().await;
        let (allowed, refused) = context.leaks().into_iter().partition::<Vec<_>, _>(|leak| leak.allowed);
        for leak in allowed {
            self.edge.stderr.warning(&leak.to_string());
        }
        let result = match built? {
            Ok(result) => result,
            Err(BuildError::Stopped { .. }) => {
                return Err(self.context_leak(refused, &before, &injection.marks()).await);
            }
            Err(error) => return Err(explain::build(&error, Some(&injection), failed).into()),
        };
        self.tell_offers(&injection, &result);
        if let Err(error) = injection.check_patterns() {
            leftovers::remove_unnamed_image(&self.engine, image_id(&result)?).await;
            return Err(explain::injection(&error).into());
        }
        if self.secrets.is_empty() {
            return self.finish_without_secrets(&result);
        }
        let built = Built::new(image_id(&result)?);
        self.prove(built, &injection, &before).await
    }

    async fn prove(&self, built: Built, injection: &Injection, before: &CacheBefore) -> Result<Exit, Failure> {
        let id = built.id().to_owned();
        self.edge.fact("audit", "searching the image");
        let verdict = match built.audit(&self.engine, Arc::clone(&self.needles), self.edge).await {
            Ok(verdict) => verdict,
            Err(failure) => {
                leftovers::remove_unnamed_image(&self.engine, &id).await;
                return Err(failure);
            }
        };
        match verdict {
            Verdict::Clean(image, found) => {
                self.edge.fact("audit", &report::clean(&found));
                self.tag(&image).await?;
                self.announce_image(image.id())?;
                Ok(Exit::Done)
            }
            Verdict::Leak(found) => {
                let removed = self.remove(&id, before, &injection.marks()).await;
                let told = report::removed(removed, self.arguments.keep_leaked_cache);
                Err(report::leak(&found, injection).note(told).into())
            }
            Verdict::Incomplete(found) => {
                leftovers::remove_unnamed_image(&self.engine, &id).await;
                Err(report::incomplete(&found).into())
            }
        }
    }

    /// Which steps get which secrets.
    fn injection_plan(&self) -> InjectionPlan {
        let injected = self.manifest.is_none_or(|manifest| manifest.build.inject == Inject::All);
        let secrets = self.secrets.all.iter().filter(|secret| injected && secret.scope().in_build()).map(|secret| {
            let name = secret.name().as_str();
            let declared = self.manifest.and_then(|manifest| manifest.secret(name));
            PlannedSecret {
                id: self.secrets.rebuilding.get(name).cloned().unwrap_or_else(|| name.to_owned()),
                steps: declared
                    .map(|declared| declared.steps.iter().map(|text| StepPattern::new(text)).collect())
                    .unwrap_or_default(),
                shape: match secret.delivery() {
                    Delivery::Variable => SecretShape::Variable,
                    Delivery::File => SecretShape::File,
                },
                ..PlannedSecret::variable(name)
            }
        });
        InjectionPlan { secrets: secrets.collect(), configuration: self.configuration() }
    }

    /// Which secrets no step was offered or asked for: a secret that nobody needs is one too many.
    fn tell_offers(&self, injection: &Injection, result: &BuildResult) {
        let steps = injection.steps();
        let offered: BTreeSet<&str> = steps.iter().flat_map(|step| step.offered.iter().map(String::as_str)).collect();
        let mounted: BTreeSet<&str> =
            steps.iter().flat_map(|step| step.mounted.iter().map(|secret| secret.id.as_str())).collect();
        for secret in self.secrets.all.iter().filter(|secret| secret.scope().in_build()) {
            let name = secret.name().as_str();
            let mentioned = steps.iter().any(|step| step.command.contains(name)) || mounted.contains(name);
            if !offered.contains(name) && !mounted.contains(name) {
                self.edge.fact("unused", &format!("no step of this build was offered {name}"));
            } else if !mentioned {
                self.edge
                    .fact("unused", &format!("no command of this build mentions {name}; a program may still read it"));
            }
        }
        for asked in result.asked_secrets.iter().filter(|asked| asked.answer == SecretAnswer::NotMounted) {
            self.edge.stderr.warning(&format!(
                "the engine asked for secret `{}`, which no step of this build mounts; it got nothing",
                asked.id
            ));
        }
    }

    async fn context_leak(&self, leaks: Vec<ContextLeak>, before: &CacheBefore, marks: &Marks) -> Failure {
        if let Err(error) = before.restore(&self.builder, marks).await {
            self.edge.stderr.warning(&format!(
                "what was sent of the context could not be removed: {error}; run `docker builder prune`"
            ));
        }
        let mut diagnostic = Diagnostic::error(
            "the build context holds a secret; nothing of the file was sent to the engine",
            Exit::Leak,
        );
        for leak in &leaks {
            diagnostic = diagnostic.note(leak.to_string());
        }
        let (path, name) = leaks.first().map(|leak| (leak.path.clone(), leak.secret.clone())).unwrap_or_default();
        diagnostic
            .help(format!("list {path} in .dockerignore; or, if no COPY takes it, --allow-context-leak {name}"))
            .into()
    }

    async fn remove(&self, id: &str, before: &CacheBefore, marks: &Marks) -> Removed {
        let images = usize::from(leftovers::remove_unnamed_image(&self.engine, id).await);
        if self.arguments.keep_leaked_cache {
            return Removed { records: 0, images };
        }
        let records = match before.restore(&self.builder, marks).await {
            Ok(records) => records,
            Err(error) => {
                self.edge.stderr.warning(&format!(
                    "cache records that hold the value could not be removed: {error}; run `docker builder prune`"
                ));
                0
            }
        };
        Removed { records, images }
    }

    async fn tag(&self, image: &Audited) -> Result<(), Failure> {
        for tag in &self.plan.tags {
            let options = TagImageOptions { repo: Some(tag.repository().to_owned()), tag: Some(tag.tag().to_owned()) };
            self.engine.docker().tag_image(image.id(), Some(options)).await.map_err(|error| {
                Diagnostic::from_error(&error, Exit::Failed).note(format!("while naming the image {tag}"))
            })?;
        }
        Ok(())
    }

    fn announce_image(&self, id: &str) -> Result<(), Failure> {
        if let Some(file) = &self.arguments.iidfile {
            std::fs::write(file, id).map_err(|error| {
                Diagnostic::from_error(&error, Exit::Failed).note(format!("while writing --iidfile {}", file.display()))
            })?;
        }
        if self.edge.quiet {
            self.edge.stdout.line(id);
            return Ok(());
        }
        let names: Vec<String> = self.plan.tags.iter().map(ToString::to_string).collect();
        self.edge.fact(
            "image",
            &format!("{}  {id}", if names.is_empty() { "(no name)".to_owned() } else { names.join(", ") }),
        );
        Ok(())
    }
}

fn image_id(result: &BuildResult) -> Result<&str, Failure> {
    result
        .image_digest()
        .ok_or_else(|| Diagnostic::error("the engine did not say which image it built", Exit::Failed).into())
}
