//! A build of which everything is known, and nothing has run.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use papp::{Inject, Manifest};
use pbuildkit::{BuildRequest, Exporter, History};
use pengine::{BuilderChoice, DockerConfiguration, Environment, ImageStore};
use pgateway::Capabilities;
use pllb::{Plan as InjectionPlan, PlannedSecret, SecretShape, StepPattern};
use pproof::{Gate, Graph, KnownBases};
use psecret::{Delivery, Secret};

use super::cleared::Cleared;
use super::context::ContextGuard;
use super::failure::{BrokenBuild, NotProvable, PreparationError};
use super::injection::Injection;
use super::leftovers::CacheBefore;
use super::provider::BuildSecrets;
use super::running::Running;
use super::scene::Scene;
use super::search_line::SearchLine;
use super::{frontend, guard, outside, screen};
use crate::audit::attached::Attached;
use crate::clean_bases::CleanBases;
use crate::edge::{Edge, Failure};
use crate::files::coverage::{Coverage, IgnoreFileError, SentEnvFile};
use crate::memory::LayerMemory;
use crate::output::{Destination, Outputs};
use crate::plan::ssh::{LentAgents, is_key};
use crate::plan::{
    Attestations, BaseSearch, BuildOrder, BuildPlan, Extent, Extras, LateFacts, ResultFiles, SettledPlan, Tls,
};
use crate::scanner::Sought;
use crate::secrets::Secrets;
use crate::site::{self, Site};

/// A build that can start.
#[derive(Debug)]
pub(super) struct Prepared<'a> {
    scene: Scene<'a>,
    outputs: Outputs,
    extras: Extras,
    agents: LentAgents,
    /// The engine's own address, where an extra host of the build asks for it.
    gateway: Option<String>,
}

impl<'a> Prepared<'a> {
    /// Reaches the builder, settles the recipe, and checks everything that can be checked before anything runs.
    ///
    /// # Errors
    /// What keeps this build from starting here.
    pub(super) async fn new(order: BuildOrder, secrets: Secrets, edge: &'a Edge) -> Result<Self, Failure> {
        let BuildOrder { plan, mut outputs, extras, forwarding, manifest, tls, builder, choices, .. } = order;
        remove_stale(choices.files())?;
        let extras = extras?;
        extras.caches.left_out().iter().for_each(|why| edge.stderr.warning(why));
        // A key reaches no step, and the files of the context are compared with it: no cache can carry it.
        if secrets.all.iter().any(|secret| !is_key(secret)) {
            extras.caches.check_searched()?;
        }
        let dockerfile = plan.dockerfile_text()?;
        warn_of_sent_env_files(&plan, edge)?;
        let frontend = frontend::choose(&plan, dockerfile.as_deref(), &choices, &secrets)?;
        let builder = site::choose(builder.as_deref())?;
        let plan = plan.settle(&LateFacts { frontend, proxies: proxies(&builder)? });
        guard::check(&plan, &extras, &outputs, dockerfile.as_deref(), &secrets.redactor)?;
        if let Some(text) = &dockerfile {
            warn_of_empty_references(&plan, text, &secrets, edge);
        }
        secrets.check_searchable()?;
        let needles = secrets.needles()?;
        let agents = forwarding.lend()?;
        let site = Site::reach(edge, builder, !secrets.is_empty(), tls).await?;
        let gateway = gateway(&plan, &site).await?;
        fit_outputs(&mut outputs, &site, plan.tags(), tls, edge).await?;
        warn_of_narrow_key(secrets.binding.is_shared(), extras.caches.imports().is_empty(), edge);
        secrets.announce(edge, |secret| offer(secret, manifest.as_ref().map(|found| &found.manifest)));
        let scene = Scene { edge, site, plan, choices, found: manifest, secrets, needles };
        let prepared = Self { scene, outputs, extras, agents, gateway };
        prepared.check_store().await?;
        Ok(prepared)
    }

    /// Whether the engine gets exactly what docker would send: there is no secret and no configuration.
    pub(super) fn has_nothing_to_inject(&self) -> bool {
        self.scene.secrets.is_empty() && self.scene.configuration().is_empty()
    }

    /// Builds as docker does. Nothing needs a proof.
    ///
    /// # Errors
    /// When the build fails.
    pub(super) async fn run_as_docker(self) -> Result<Cleared<'a>, Failure> {
        let names: Vec<String> = self.scene.plan.tags().iter().map(ToString::to_string).collect();
        let attestations = self.attestations(self.has_usual_attestations().await?);
        let request = self.request(&names, &attestations);
        let Self { scene, outputs, extras, agents: _agents, .. } = self;
        let (updates, screen) = screen::open(scene.choices.show(), scene.edge);
        let building = scene.edge.cancellation.unless_cancelled(scene.site.builder.build_plain(request, updates)).await;
        let failed = screen.finish().await.failed;
        let result = building?.map_err(|error| BrokenBuild::unseen(error).at(failed))?;
        Ok(Cleared::without_secrets(scene, outputs, &extras.caches, result)?)
    }

    /// Starts the build without a name, with the secrets at hand and the search behind it.
    ///
    /// # Errors
    /// When the builder does not answer.
    pub(super) async fn start(self) -> Result<Running<'a>, Failure> {
        let scene = &self.scene;
        // The layers that a base hides under others are in its export alone.
        let gated = !scene.secrets.is_empty() && scene.choices.base() == BaseSearch::Merged;
        let named = gated || !scene.secrets.binding.is_shared();
        let identity = async { if named { scene.site.identity().await } else { None } };
        let looking = async { futures::join!(CacheBefore::look(&scene.site.builder), identity, attached(scene)) };
        let (before, identity, attached) = scene.edge.cancellation.unless_cancelled(looking).await?;
        let bases = identity.as_deref().filter(|_| gated).and_then(|builder| clean_bases(scene, builder));
        let pending = scene.secrets.binding.pending(scene.secrets.shared(), identity.as_deref());
        // Documents that cannot be read back are left out, unless a flag asks for them: then the whole image is
        // searched.
        let usual = match scene.secrets.is_empty() {
            true => self.has_usual_attestations().await?,
            false => attached.is_some(),
        };
        let attestations = self.attestations(usual);
        let needles = Arc::clone(&scene.needles);
        let redactor = scene.secrets.redactor.clone();
        let context = Arc::new(ContextGuard::new(needles, redactor, scene.choices.allowed_context_leaks()));
        let mut request = self.request(&self.names_before_search(), &attestations);
        request.secrets = Arc::new(BuildSecrets::new(scene.secrets.shared()));
        request.observer = Some(Arc::clone(&context) as _);
        request.history = History::Nothing;
        let (updates, screen) = screen::open(scene.choices.show(), scene.edge);
        let gate = gated.then(|| {
            gate(scene, screen.search_line()).remembering(bases.map(|bases| Box::new(bases) as Box<dyn KnownBases>))
        });
        let unbound = !scene.secrets.unbound().is_empty();
        let injection = self.injection(gate).bound_by(pending).minding_notes(unbound);
        let Self { scene, outputs, extras, agents, .. } = self;
        Ok(Running {
            scene,
            outputs,
            caches: extras.caches,
            agents,
            request,
            updates,
            screen,
            injection,
            context,
            before,
            attached,
            attestations,
        })
    }

    /// The names that the image may have at once: with public configuration alone there is nothing to prove.
    fn names_before_search(&self) -> Vec<String> {
        match self.scene.secrets.is_empty() {
            true => self.scene.plan.tags().iter().map(ToString::to_string).collect(),
            false => Vec::new(),
        }
    }

    fn injection(&self, gate: Option<Gate<SearchLine>>) -> Injection {
        let scene = &self.scene;
        let graph = Graph::new(injection_plan(scene), scene.secrets.ids(), scene.secrets.redactor.clone());
        let graph = graph.declared_at(places(scene));
        let graph = match scene.plan.extent() {
            Extent::Whole => graph,
            Extent::Part => graph.of_a_part(),
        };
        let injection = Injection::new(graph, scene.secrets.redactor.clone());
        match gate {
            Some(gate) if self.outputs.needs_proof() => injection.with_gate(gate).needing_proof(),
            Some(gate) => injection.with_gate(gate),
            None => injection,
        }
    }

    /// Returns the attestations of this build. `usual` adds those that docker asks for by itself.
    fn attestations(&self, usual: bool) -> Attestations {
        let mut attestations = self.extras.attestations.clone();
        if usual {
            attestations.use_usual(std::env::var("BUILDX_NO_DEFAULT_ATTESTATIONS").ok().as_deref());
        }
        attestations
    }

    /// Whether docker would ask for attestations by itself.
    async fn has_usual_attestations(&self) -> Result<bool, Failure> {
        Ok(match self.scene.image_store().await? {
            Some(store) => store == ImageStore::Containerd,
            // An image that an engine loads would lose them in its own store.
            None => !self.outputs.loads(),
        })
    }

    /// Makes the request to BuildKit, with an exporter for each place.
    fn request(&self, names: &[String], attestations: &Attestations) -> BuildRequest {
        let scene = &self.scene;
        let mut request = scene.plan.request(Environment::of_process().docker_folder(), self.gateway.as_deref());
        request.attributes.extend(attestations.attributes().clone());
        request.agents = self.agents.agents().clone();
        request.cache_imports = self.extras.caches.imports().to_vec();
        request.cache_exports = self.extras.caches.exports().to_vec();
        request.content.0.extend(self.extras.caches.content().0);
        // The engine fetches a context before the graph is known that names its secrets.
        let of_git = |name: &&str| name.starts_with("GIT_AUTH_TOKEN") || name.starts_with("GIT_AUTH_HEADER");
        let in_build = scene.secrets.delivered().filter(|secret| secret.scope().in_build());
        request.frontend_secrets =
            in_build.map(|secret| secret.name().as_str()).filter(of_git).map(str::to_owned).collect();
        let store = self.outputs.store().map(|store| {
            let mut exporter = Exporter::named_engine_image(names);
            exporter.attributes.extend(store.attributes().clone());
            exporter
        });
        let registry = self.outputs.registry().map(|registry| registry.exporter(scene.plan.tags()));
        let places = self.outputs.places().iter().map(Destination::exporter);
        request.exporters = store.into_iter().chain(registry).chain(places).collect();
        for exporter in &mut request.exporters {
            exporter.attributes.extend(attestations.annotations().clone());
        }
        request
    }

    /// Refuses what this store or this builder cannot do.
    async fn check_store(&self) -> Result<(), Failure> {
        let (scene, outputs) = (&self.scene, &self.outputs);
        let asks_for_attestations = self.extras.attestations.asked_for();
        let image = outputs.places().iter().find(|place| place.is_image());
        if scene.site.plain().is_some() {
            self.check_provable()?;
        } else if (image.is_some() || asks_for_attestations) && scene.image_store().await? == Some(ImageStore::Layers) {
            let what = image.map_or_else(|| "attestations".to_owned(), |place| format!("--output {place}"));
            return Err(PreparationError::NotInThisStore(what).into());
        }
        if let (Some(archive), Some(_)) = (image, outputs.store()) {
            // Each exporter makes an image of its own, with attestations of its own, and the builder says the digest of
            // only one: nobody could say which of them lies in the store without a name, to name it or to remove it.
            return Err(PreparationError::ArchiveAndStore(archive.to_string()).into());
        }
        if outputs.count() > 1 {
            let asking = scene.edge.cancellation.unless_cancelled(scene.site.builder.capabilities()).await?;
            if !asking?.operation(Capabilities::SEVERAL_EXPORTERS) {
                return Err(PreparationError::SeveralOutputs.into());
            }
        }
        Ok(())
    }

    /// Refuses a build whose image leaves the builder without our seeing it, where the gate cannot prove all of it:
    /// hidden layers of the base are to be searched, or documents are added after the proof.
    fn check_provable(&self) -> Result<(), PreparationError> {
        if self.scene.secrets.is_empty() || !self.outputs.needs_proof() {
            return Ok(());
        }
        if self.scene.choices.base() == BaseSearch::Full {
            return Err(PreparationError::NotProvable(NotProvable::HiddenLayers));
        }
        if self.extras.attestations.asked_for() {
            return Err(PreparationError::NotProvable(NotProvable::Attestations));
        }
        Ok(())
    }
}

/// Removes the files of an earlier build, which nobody may take for this one's.
fn remove_stale(files: &ResultFiles) -> Result<(), PreparationError> {
    for (flag, file) in [("--iidfile", &files.image_id), ("--metadata-file", &files.metadata)] {
        // Something that is not a regular file stays, such as /dev/stdout.
        let is_file = |file: &&PathBuf| std::fs::symlink_metadata(file).is_ok_and(|metadata| metadata.is_file());
        let Some(file) = file.as_ref().filter(is_file) else { continue };
        match std::fs::remove_file(file) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(PreparationError::Stale { flag, file: file.clone(), source }),
        }
    }
    Ok(())
}

/// Warns where an imported cache does not reach as far as somebody may expect.
fn warn_of_narrow_key(has_shared_key: bool, reads_no_cache: bool, edge: &Edge) {
    if !has_shared_key && !reads_no_cache {
        let variable = pcli::CACHE_KEY_VARIABLE;
        edge.stderr.warning(&format!(
            "--cache-from: steps with secrets are found there only if this builder made them; with a common {variable} \
             others' count too"
        ));
    }
}

/// Warns of env files that a rule sends: the guard of the context knows the secrets of this build, and an env file may
/// hold others.
fn warn_of_sent_env_files(plan: &BuildPlan, edge: &Edge) -> Result<(), IgnoreFileError> {
    let Some(folder) = plan.context_folder() else { return Ok(()) };
    let coverage = Coverage::of(folder, &plan.dockerfile_path())?;
    for SentEnvFile { path, line, pattern } in coverage.sent_by_a_rule(folder) {
        let rules = coverage.file.strip_prefix(folder).unwrap_or(&coverage.file);
        edge.stderr.warning(&format!(
            "{}:{line}: `!{pattern}` sends {} to the builder, where a COPY can take it into the image",
            rules.display(),
            path.display()
        ));
    }
    Ok(())
}

/// Warns of text outside of RUN that reads a secret's variable: it is empty there.
fn warn_of_empty_references(plan: &SettledPlan, dockerfile: &[u8], secrets: &Secrets, edge: &Edge) {
    let in_build = secrets.delivered().filter(|secret| secret.scope().in_build());
    let names = in_build.map(|secret| secret.name().as_str()).collect();
    let given = plan.build_arguments().keys().map(String::as_str).collect();
    for outside::EmptyReference { name, line, keyword } in outside::references(dockerfile, &names, &given) {
        edge.stderr.warning(&format!(
            "{}:{line}: {name} is empty in this {keyword}: it is a secret, and only RUN has its value",
            plan.dockerfile_path().display()
        ));
    }
}

/// Returns the proxies that docker's own client would give to builds here.
fn proxies(builder: &BuilderChoice) -> Result<Vec<(&'static str, String)>, Failure> {
    let folder = Environment::of_process().docker_folder();
    let configuration = folder.map(|folder| DockerConfiguration::read(&folder)).transpose()?.unwrap_or_default();
    let proxies = configuration.proxies(&site::docker_address(builder));
    Ok(proxies.into_iter().map(|(name, value)| (name, value.to_owned())).collect())
}

/// Asks the engine for the address of `host-gateway`, where the build needs it.
async fn gateway(plan: &SettledPlan, site: &Site) -> Result<Option<String>, Failure> {
    if !plan.asks_for_gateway() {
        return Ok(None);
    }
    let label = "org.mobyproject.buildkit.worker.moby.host-gateway-ip";
    let workers = site.builder.workers().await?;
    let address = workers.iter().find_map(|worker| worker.labels.get(label));
    Ok(Some(address.ok_or(PreparationError::NoGateway)?.clone()))
}

/// Turns what was meant for an engine's store into what a builder without one can do.
async fn fit_outputs(
    outputs: &mut Outputs,
    site: &Site,
    tags: &[crate::plan::ImageName],
    tls: Tls,
    edge: &Edge,
) -> Result<(), Failure> {
    let Some(builder) = site.plain() else { return Ok(()) };
    outputs.leave_store(builder)?;
    if outputs.loads() {
        let engine = site::engine(edge, false, tls).await?;
        outputs.load_into(engine).map_err(PreparationError::NoRoom)?;
        outputs.name(tags)?;
    }
    if outputs.is_nothing() {
        edge.stderr.warning(&format!(
            "no output for builder `{}`: the result stays in its cache; --load puts it into the engine, --push into \
             a registry",
            builder.name()
        ));
    }
    Ok(())
}

/// Says for people which steps get a secret.
fn offer(secret: &Secret, manifest: Option<&Manifest>) -> String {
    if is_key(secret) {
        return "to its agent alone".to_owned();
    }
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

/// Opens the engine's own files of attached documents, where they can be read back.
async fn attached(scene: &Scene<'_>) -> Option<Attached> {
    Attached::of(scene.site.engine()?).await
}

/// Opens the memory of base images of this builder that were found clean before.
fn clean_bases(scene: &Scene<'_>, builder: &str) -> Option<CleanBases> {
    let memory = LayerMemory::open(&scene.secrets.all, &|name: &str| std::env::var_os(name))?;
    Some(CleanBases::new(memory, builder.to_owned()))
}

fn gate(scene: &Scene<'_>, line: SearchLine) -> Gate<SearchLine> {
    let (needles, secrets) = (Arc::clone(&scene.needles), Arc::clone(&scene.secrets.all));
    Gate::new(Box::new(Sought::new(needles, secrets, scene.secrets.redactor.clone())), line)
}

/// Plans which steps get which secrets.
fn injection_plan(scene: &Scene<'_>) -> InjectionPlan {
    let manifest = scene.found.as_ref().map(|found| &found.manifest);
    let injected = manifest.is_none_or(|manifest| manifest.build.inject == Inject::All);
    let secrets = scene.secrets.delivered().filter(|secret| injected && secret.scope().in_build()).map(|secret| {
        let name = secret.name().as_str();
        let declared = manifest.and_then(|manifest| manifest.secret(name));
        PlannedSecret {
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
    InjectionPlan {
        secrets: secrets.collect(),
        configuration: scene.configuration(),
        bindings: scene.secrets.binding.shared_digests(scene.secrets.delivered()),
    }
}

/// Lists the lines of the manifest that declare the secrets, for errors.
fn places(scene: &Scene<'_>) -> std::collections::BTreeMap<String, String> {
    let place =
        |found: &pcli::FoundManifest, secret: &papp::Secret| format!("{}:{}", found.path.display(), secret.line);
    let declared =
        scene.found.iter().flat_map(|found| found.manifest.secrets.iter().map(move |secret| (found, secret)));
    declared.map(|(found, secret)| (secret.name.clone(), place(found, secret))).collect()
}
