//! `pbuild build`: values read once, the build without a name, the search, the name.

pub mod call;
mod conclude;
pub mod context;
pub mod explain;
pub mod finish;
pub mod guard;
pub mod injection;
pub mod leftovers;
pub mod metadata_file;
pub mod offers;
pub mod provider;
pub mod push;
pub mod report;
pub mod screen;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use papp::{Inject, Manifest};
use pbuildkit::llb::{Plan as InjectionPlan, PlannedSecret, SecretShape, StepPattern};
use pbuildkit::{AskedSecret, BuildError, BuildRequest, Capabilities, Exporter, History, SecretAnswer};
use pcli::{BuildOutcome, BuildRecord, FoundManifest, find_manifest};
use pengine::{DockerConfiguration, Environment, ImageStore};
use pscan::NeedleSet;
use pscreen::{Diagnostic, Exit};
use psecret::{Delivery, Secret};

use crate::audit::Built;
use crate::audit::attached::Attached;
use crate::build::call::Call;
use crate::build::context::ContextGuard;
use crate::build::finish::image_id;
use crate::build::injection::{Injection, InjectionError};
use crate::build::leftovers::CacheBefore;
use crate::build::offers::{BuildSecret, Offers, StepState};
use crate::build::provider::BuildSecrets;
use crate::build::screen::Seen;
use crate::command::build::{AuditBase, BuildArguments, ProgressMode};
use crate::edge::{Edge, Failure};
use crate::files::coverage::{Coverage, TakenIn};
use crate::gate::{CleanBases, Gate};
use crate::memory::LayerMemory;
use crate::output;
use crate::output::Outputs;
use crate::plan::attestation::Attestations;
use crate::plan::cache::Caches;
use crate::plan::image_name::ImageName;
use crate::plan::{BuildPlan, context_directory, is_elsewhere};
use crate::plan::{ssh, syntax};
use crate::secrets::Secrets;
use crate::site;
use crate::site::Site;
use conclude::Ended;

/// Runs the command.
///
/// # Errors
/// What a person must be told; nothing is tagged then.
pub async fn run(arguments: &BuildArguments, edge: &Edge) -> Result<Exit, Failure> {
    let arguments = arguments.clone().with_environment(|name| std::env::var(name).ok());
    let arguments = &arguments.map_err(|error| Diagnostic::from_error(&error, Exit::Usage))?;
    let ignored = arguments.ignored.given();
    if !ignored.is_empty() {
        edge.stderr.warning(&format!("BuildKit has no use for {}; ignored", ignored.join(", ")));
    }
    let directory = match is_elsewhere(&arguments.context) {
        true => None,
        false => Some(context_directory(&arguments.context).map_err(|error| crate::explain::plan(&error))?),
    };
    let places: Vec<&Path> = directory.iter().map(PathBuf::as_path).chain([Path::new(".")]).collect();
    let found = find_manifest(arguments.secrets.config.as_deref(), &places).map_err(|error| error.diagnostic())?;
    let environment = |name: &str| std::env::var(name).ok();
    let mut plan =
        BuildPlan::new(arguments, directory, found.as_ref().map(|found| &found.manifest), environment, io::stdin())
            .map_err(|error| crate::explain::plan(&error))?;
    let call = Call::parse(&arguments.call).map_err(|error| Diagnostic::from_error(&error, Exit::Usage))?;
    if let Some(call) = call {
        return call.run(&plan, arguments.builder.as_deref(), edge).await;
    }
    let outputs = outputs(arguments, &mut plan)?;
    let secrets = Secrets::read(&arguments.secrets, found.as_ref(), edge)?;
    let edge = &Edge { quiet: screen::is_quiet(arguments), ..edge.redacting(&secrets.redactor) };
    // From here on a failure may quote what the engine said, so it is told behind the redactor.
    match build(arguments, (plan, outputs), found.as_ref(), secrets, edge).await {
        Ok(exit) => Ok(exit),
        Err(failure) => Ok(failure.report(&edge.stderr)),
    }
}

/// Where the result goes, and what its names are.
fn outputs(arguments: &BuildArguments, plan: &mut BuildPlan) -> Result<Outputs, Diagnostic> {
    let told = |error: &dyn std::error::Error| Diagnostic::from_error(error, Exit::Usage);
    let terminal = io::IsTerminal::is_terminal(&io::stdout());
    let mut outputs = Outputs::parse(&arguments.output, terminal).map_err(|error| told(&error))?;
    for name in std::mem::take(&mut outputs.names) {
        plan.tags.push(ImageName::parse(&name).map_err(|error| told(&error))?);
    }
    outputs.name(&plan.tags).map_err(|error| told(&error))?;
    Ok(outputs)
}

async fn build(
    arguments: &BuildArguments,
    (mut plan, mut outputs): (BuildPlan, Outputs),
    found: Option<&FoundManifest>,
    secrets: Secrets,
    edge: &Edge,
) -> Result<Exit, Failure> {
    finish::remove_stale(arguments)?;
    let attestations =
        Attestations::parse(&arguments.attestations).map_err(|error| Diagnostic::from_error(&error, Exit::Usage))?;
    let caches = Caches::parse(&arguments.caches, &plan.build_arguments, |name| std::env::var(name).ok())
        .map_err(|error| crate::explain::cache(&error))?;
    caches.left_out.iter().for_each(|why| edge.stderr.warning(why));
    if !secrets.is_empty() {
        caches.check_searched().map_err(|error| crate::explain::cache(&error))?;
    }
    let agents =
        ssh::lend(&arguments.ssh, std::env::var_os("SSH_AUTH_SOCK")).map_err(|error| crate::explain::ssh(&error))?;
    let manifest = found.map(|found| &found.manifest);
    let checked = guard::check_plan(&plan, &secrets.redactor)
        .and_then(|()| guard::check_attributes("--annotation", &attestations.annotations, &secrets.redactor))
        .and_then(|()| guard::check_attributes("--attest", attestations.attributes(), &secrets.redactor))
        .and_then(|()| guard::check_attributes("--output", outputs.attributes(), &secrets.redactor))
        .and_then(|()| guard::check_attributes("--cache-from/--cache-to", caches.attributes(), &secrets.redactor));
    checked.map_err(|error| explain::guard(&error))?;
    let dockerfile = plan.dockerfile_text().map_err(|error| crate::explain::plan(&error))?;
    if let Some(dockerfile) = &dockerfile {
        guard::check_dockerfile(&plan.dockerfile_path(), dockerfile, &secrets.redactor)
            .map_err(|error| explain::guard(&error))?;
    }
    warn_of_sent_env_files(&plan, edge);
    settle_frontend(arguments, &mut plan, dockerfile.as_deref(), &secrets)?;
    secrets.check_searchable()?;
    let needles = secrets.needles()?;

    let site = Site::reach(edge, arguments.builder.as_deref(), !secrets.is_empty(), &arguments.secrets).await?;
    for (name, value) in docker_configuration()?.proxies(&site.docker_address()) {
        plan.default_build_argument(name, value);
    }
    guard::check_plan(&plan, &secrets.redactor).map_err(|error| explain::guard(&error))?;
    if let Some(builder) = site.plain() {
        outputs.leave_store(builder).map_err(|error| Diagnostic::from_error(&error, Exit::Usage))?;
        if outputs.loads {
            outputs
                .load_into(site::engine(edge, false, &arguments.secrets).await?)
                .map_err(|error| Diagnostic::from_error(&error, Exit::Failed))?;
            outputs.name(&plan.tags).map_err(|error| Diagnostic::from_error(&error, Exit::Usage))?;
        }
        if outputs.is_nothing() {
            edge.stderr.warning(&format!(
                "no output for builder `{}`: the result stays in its cache; --load puts it into the engine, --push into \
                 a registry",
                builder.name()
            ));
        }
    }
    secrets.announce(edge, |secret| offer(secret, manifest));
    let mut work =
        Work { arguments, plan, outputs, attestations, caches, agents, found, manifest, secrets, needles, site, edge };
    work.resolve_host_gateway().await?;
    work.check_store().await?;
    if work.secrets.is_empty() && work.configuration().is_empty() {
        work.build_as_docker().await
    } else {
        work.build_and_prove().await
    }
}

/// What a file of the context holds is compared with the secrets that this build knows; an env file may hold others.
fn warn_of_sent_env_files(plan: &BuildPlan, edge: &Edge) {
    let Some(folder) = plan.context.directory() else { return };
    let coverage = Coverage::of(folder, &plan.dockerfile_path());
    for TakenIn { path, line, pattern } in coverage.taken_in(folder) {
        let rules = coverage.file.strip_prefix(folder).unwrap_or(&coverage.file);
        edge.stderr.warning(&format!(
            "{}:{line}: `!{pattern}` sends {} to the builder, where a COPY can take it into the image",
            rules.display(),
            path.display()
        ));
    }
}

/// What docker's own client is told in its file.
fn docker_configuration() -> Result<DockerConfiguration, Failure> {
    let folder = Environment::of_process().docker_folder();
    let read = folder.map(|folder| DockerConfiguration::read(&folder)).transpose();
    Ok(read.map_err(|error| crate::explain::engine(&error))?.unwrap_or_default())
}

/// A frontend image decides which commands the graph holds; an unknown one must not be handed secrets.
fn settle_frontend(
    arguments: &BuildArguments,
    plan: &mut BuildPlan,
    dockerfile: Option<&[u8]>,
    secrets: &Secrets,
) -> Result<(), Failure> {
    let chosen = plan.build_arguments.get("BUILDKIT_SYNTAX").cloned();
    if chosen.is_none() && dockerfile.is_none() && secrets.offered_to_builds() {
        plan.use_own_frontend();
    }
    let image = chosen.or_else(|| syntax::frontend_image(dockerfile?));
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
    outputs: Outputs,
    attestations: Attestations,
    caches: Caches,
    agents: ssh::Lent,
    found: Option<&'a FoundManifest>,
    manifest: Option<&'a Manifest>,
    secrets: Secrets,
    needles: Arc<NeedleSet>,
    site: Site,
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
        let workers = self.site.builder.workers().await.map_err(|error| crate::explain::buildkit(&error))?;
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

    /// What only some stores and builders can do, told before anything runs.
    async fn check_store(&self) -> Result<(), Failure> {
        let image = self.outputs.places.iter().find(|place| place.is_image());
        if self.site.plain().is_some() {
            self.check_proof_needed()?;
        } else if (image.is_some() || self.attestations.asked_for())
            && self.image_store().await? == Some(ImageStore::Layers)
        {
            let what = image.map_or_else(|| "attestations".to_owned(), |place| format!("--output {place}"));
            let diagnostic =
                Diagnostic::error(format!("{what}: this engine's image store cannot do that"), Exit::Usage);
            let diagnostic = diagnostic.note("docker's own client says the same");
            return Err(diagnostic
                .help("turn on the containerd image store, or `docker save` the finished image")
                .into());
        }
        if let (Some(archive), Some(_)) = (image, &self.outputs.store) {
            // Each exporter makes an image of its own, with attestations of its own, and the builder tells the digest of
            // one: which of them lies in the store without a name could not be said, neither to name it nor to remove it.
            let message = format!("--output {archive}: not together with the engine's own store");
            return Err(Diagnostic::error(message, Exit::Usage).help("build twice; the second is cached").into());
        }
        if self.outputs.count() > 1 {
            let asking = self.edge.cancellation.unless_cancelled(self.site.builder.capabilities()).await?;
            if !asking.map_err(|error| crate::explain::buildkit(&error))?.operation(Capabilities::SEVERAL_EXPORTERS) {
                let message = "--output: this BuildKit has one output at a time";
                return Err(Diagnostic::error(message, Exit::Usage).help("build twice; the second is cached").into());
            }
        }
        Ok(())
    }

    /// The request, with the exporters of all places.
    fn request(&self, names: &[String], attestations: &Attestations) -> BuildRequest {
        let mut request = self.plan.request();
        request.attributes.extend(attestations.attributes().clone());
        request.agents = self.agents.agents.clone();
        request.cache_imports = self.caches.imports.clone();
        request.cache_exports = self.caches.exports.clone();
        request.content.0.extend(self.caches.content().0);
        // The engine fetches a context before the graph is known that names its secrets.
        let of_git = |name: &&str| name.starts_with("GIT_AUTH_TOKEN") || name.starts_with("GIT_AUTH_HEADER");
        let in_build = self.secrets.all.iter().filter(|secret| secret.scope().in_build());
        request.frontend_secrets =
            in_build.map(|secret| secret.name().as_str()).filter(of_git).map(str::to_owned).collect();
        let store = self.outputs.store.as_ref().map(|store| {
            let mut exporter = Exporter::named_engine_image(names);
            exporter.attributes.extend(store.attributes.clone());
            exporter
        });
        let registry = self.outputs.registry.as_ref().map(|registry| registry.exporter(&self.plan.tags));
        let places = self.outputs.places.iter().map(output::Place::exporter);
        request.exporters = store.into_iter().chain(registry).chain(places).collect();
        for exporter in &mut request.exporters {
            exporter.attributes.extend(attestations.annotations.clone());
        }
        request
    }

    /// How the engine keeps images; `None` where there is no engine.
    async fn image_store(&self) -> Result<Option<ImageStore>, Failure> {
        let Some(engine) = self.site.engine() else { return Ok(None) };
        let asked = engine.image_store().await;
        Ok(Some(asked.map_err(|error| {
            Diagnostic::from_error(&error, Exit::Failed).note("while asking the engine for its image store")
        })?))
    }

    /// Whether docker would ask for attestations without being told.
    async fn has_usual_attestations(&self) -> Result<bool, Failure> {
        Ok(match self.image_store().await? {
            Some(store) => store == ImageStore::Containerd,
            // What an engine loads, it would not keep in its own store.
            None => !self.outputs.loads,
        })
    }

    /// What leaves the builder without our seeing it needs the proof, and nothing may come to it after that.
    fn check_proof_needed(&self) -> Result<(), Failure> {
        if self.secrets.is_empty() || !self.outputs.needs_proof() {
            return Ok(());
        }
        let refused = |what: &str, note: &str| {
            let diagnostic = Diagnostic::error(
                format!("{what}: not with secrets, where the builder itself keeps or pushes the image"),
                Exit::Usage,
            );
            diagnostic
                .note(note)
                .help("--load or --output type=oci,dest=FILE brings the image here, where all of it is searched")
                .into()
        };
        if self.arguments.audit_base == AuditBase::Full {
            return Err(refused("--audit-base full", "the layers that a base hides are searched in an export alone"));
        }
        if self.attestations.asked_for() {
            return Err(refused("attestations", "they come into being after the search in the builder"));
        }
        Ok(())
    }

    /// No secret and no configuration: the engine gets what docker would send, and nothing needs a proof.
    async fn build_as_docker(self) -> Result<Exit, Failure> {
        let names: Vec<String> = self.plan.tags.iter().map(ToString::to_string).collect();
        let mut attestations = self.attestations.clone();
        if self.has_usual_attestations().await? {
            attestations.use_usual(no_default_attestations().as_deref());
        }
        let request = self.request(&names, &attestations);
        let (updates, screen) = screen::screen(self.arguments, self.edge);
        let built = self.edge.cancellation.unless_cancelled(self.site.builder.build_plain(request, updates)).await;
        let failed = screen.finish().await.failed;
        let result = built?.map_err(|error| match error {
            BuildError::Failed(failure) => explain::build(&BuildError::Failed(failure), None, failed),
            BuildError::Source { path, source } => explain::build(&BuildError::Source { path, source }, None, failed),
            BuildError::Destination { path, source } => {
                explain::build(&BuildError::Destination { path, source }, None, failed)
            }
            BuildError::Buildkit(error) => crate::explain::buildkit(&error),
            other => Diagnostic::from_error(&other, Exit::Failed),
        })?;
        self.finish_without_secrets(result).await
    }

    /// Build without a name, search, then name it.
    async fn build_and_prove(self) -> Result<Exit, Failure> {
        // The layers that a base hides under others are in its export alone.
        let gated = !self.secrets.is_empty() && self.arguments.audit_base == AuditBase::Merged;
        let bases = async { if gated { self.clean_bases().await } else { None } };
        let looking = async { futures::join!(CacheBefore::look(&self.site.builder), bases, self.attached()) };
        let (before, bases, attached) = self.edge.cancellation.unless_cancelled(looking).await?;
        let before = before.map_err(|error| crate::explain::buildkit(&error))?;
        let context = Arc::new(ContextGuard::new(
            Arc::clone(&self.needles),
            self.secrets.redactor.clone(),
            &self.arguments.allow_context_leak,
        ));
        let mut injection = Injection::new(self.injection_plan(), self.secrets.ids(), self.secrets.redactor.clone())
            .declared_at(self.places());
        if self.arguments.recipe.target.is_some() {
            injection = injection.of_a_part();
        }
        let (updates, screen) = screen::screen(self.arguments, self.edge);
        if gated {
            let redactor = self.secrets.redactor.clone();
            let (needles, secrets) = (Arc::clone(&self.needles), Arc::clone(&self.secrets.all));
            let gate = Gate::new(needles, secrets, redactor, screen.search_line());
            injection = injection.with_gate(gate.remembering(bases));
            if self.outputs.needs_proof() {
                injection = injection.needing_proof();
            }
        }
        // With public configuration alone there is nothing to prove, as when docker builds it.
        let names: Vec<String> = self.plan.tags.iter().map(ToString::to_string).collect();
        let names = if self.secrets.is_empty() { names } else { Vec::new() };
        // What cannot be read back is not asked for, unless somebody wants it: then the whole image is searched.
        let usual = match self.secrets.is_empty() {
            true => self.has_usual_attestations().await?,
            false => attached.is_some(),
        };
        let mut attestations = self.attestations.clone();
        if usual {
            attestations.use_usual(no_default_attestations().as_deref());
        }
        let mut request = self.request(&names, &attestations);
        request.secrets = Arc::new(BuildSecrets::new(Arc::clone(&self.secrets.all)).with_ids(&self.secrets.rebuilding));
        request.observer = Some(Arc::clone(&context) as _);
        request.history = History::Nothing;

        let building = self.site.builder.build(request, Some(&mut injection), updates);
        let built = self.edge.cancellation.unless_cancelled(building).await;
        let Seen { failed, states } = screen.finish().await;
        let (allowed, refused) = context.leaks().into_iter().partition::<Vec<_>, _>(|leak| leak.allowed);
        for leak in allowed {
            self.edge.stderr.warning(&leak.to_string());
        }
        let result = match built? {
            Ok(result) => result,
            Err(BuildError::Stopped { .. }) => {
                return Err(self.context_leak(refused, &before, &injection.marks()).await);
            }
            Err(BuildError::Transform(InjectionError::Leak(found))) => {
                let offers = self.tell_offers(&injection, &states, injection.asked());
                self.remember(BuildOutcome::Leak, &offers);
                return Err(self.leak(&found, None, &injection, &before).await);
            }
            Err(error) => return Err(explain::build(&error, Some(&injection), failed).into()),
        };
        let offers = self.tell_offers(&injection, &states, &result.asked_secrets);
        let built = match &self.outputs.store {
            Some(_) => Some(Built::new(image_id(&result)?)),
            None => None,
        };
        if let Err(error) = injection.check_patterns() {
            self.remove_image(built.as_ref().map(Built::id)).await;
            return Err(explain::injection(&error).into());
        }
        if self.secrets.is_empty() {
            return self.finish_without_secrets(result).await;
        }
        let ended = Ended { result, built, injection, before, attached, attested: attestations.attested(), offers };
        self.conclude(ended).await
    }

    /// Where what the engine attaches can be read back.
    async fn attached(&self) -> Option<Attached> {
        Attached::of(self.site.engine()?).await
    }

    /// What is known of this builder's base images.
    async fn clean_bases(&self) -> Option<CleanBases> {
        let builder = self.site.identity().await?;
        let memory = LayerMemory::open(&self.secrets.all, &|name: &str| std::env::var_os(name))?;
        Some(CleanBases::new(memory, builder))
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

    /// Where the manifest declares secrets, for errors.
    fn places(&self) -> BTreeMap<String, String> {
        let Some(found) = self.found else { return BTreeMap::new() };
        let place = |secret: &papp::Secret| (secret.name.clone(), format!("{}:{}", found.path.display(), secret.line));
        found.manifest.secrets.iter().map(place).collect()
    }

    /// Which steps had which secrets, and which secret nobody needs: that one is one too many.
    fn tell_offers(
        &self,
        injection: &Injection,
        states: &BTreeMap<String, StepState>,
        asked: &[AskedSecret],
    ) -> Offers {
        let secret = |secret: &Secret| {
            let name = secret.name().to_string();
            BuildSecret { id: self.secrets.rebuilding.get(&name).cloned().unwrap_or_else(|| name.clone()), name }
        };
        let secrets: Vec<BuildSecret> =
            self.secrets.all.iter().filter(|secret| secret.scope().in_build()).map(secret).collect();
        let offers = Offers::new(&secrets, injection.steps(), states, asked);
        offers.lines().iter().for_each(|line| self.edge.fact("offered", line));
        offers.unused().iter().for_each(|line| self.edge.fact("unused", line));
        if self.arguments.progress == Some(ProgressMode::Rawjson) {
            self.edge.stderr.bytes(format!("{}\n", offers.json()).as_bytes());
        }
        for unmatched in injection.unmatched() {
            let (name, pattern) = (unmatched.name, unmatched.pattern);
            self.edge
                .stderr
                .warning(&format!("no step of this part of the build matches `{pattern}`, which {name} is for"));
        }
        for asked in asked.iter().filter(|asked| asked.answer == SecretAnswer::NotMounted) {
            self.edge.stderr.warning(&format!(
                "the engine asked for secret `{}`, which no step of this build mounts; it got nothing",
                asked.id
            ));
        }
        offers
    }

    /// Keeps a record of the build. One that cannot be kept harms no build.
    fn remember(&self, outcome: BuildOutcome, offers: &Offers) {
        let here = self.plan.context.directory().unwrap_or(Path::new("."));
        let project = self.found.map_or(here, FoundManifest::directory);
        let record = BuildRecord::new(SystemTime::now(), outcome, offers.uses());
        match pcli::remember_build(project, record, &|name| std::env::var_os(name)) {
            // Without a home there is no place, as in many CI jobs.
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                self.edge.stderr.warning(&format!("this build was not noted for `pbuild doctor`: {error}"));
            }
            _ => {}
        }
    }
}

/// What buildx's variable says of attestations that nobody asked for.
fn no_default_attestations() -> Option<String> {
    std::env::var("BUILDX_NO_DEFAULT_ATTESTATIONS").ok()
}
