//! A build that is completely known, and that has not run yet.

use std::sync::Arc;

use papp::{Inject, Manifest};
use pbuildkit::status::StatusUpdate;
use pbuildkit::{BuildRequest, Exporter, History};
use pengine::{BuilderChoice, BuilderNode, DockerConfiguration, Environment, ImageStore};
use pgateway::Capabilities;
use pproof::{Gate, Graph, KnownBases};
use psecret::Secret;
use tokio::sync::mpsc;

use super::company::{Company, Naming};
use super::context::ContextGuard;
use super::failure::{NotProvable, PreparationError};
use super::injection::{ExportedCaches, Injection};
use super::inner::{InnerMember, InnerTarget};
use super::leftovers::CacheBefore;
use super::provider::BuildSecrets;
use super::running::{Guarded, Running};
use super::scene::{NodeName, Scene};
use super::screen::Pane;
use super::search_line::SearchLine;
use super::{frontend, git_context, guard, injected, local_state, metadata_file, outside, sent};
use crate::audit::attached::Attached;
use crate::cache_export::{Group, PrivateCaches};
use crate::clean_bases::CleanBases;
use crate::edge::{Edge, Failure};
use crate::memory::LayerMemory;
use crate::output::{self, Destination, Outputs};
use crate::plan::ssh::{LentAgents, is_key};
use crate::plan::{Attestations, BaseSearch, BuildOrder, Extent, Extras, LateFacts, ResultFiles, SettledPlan, Tls};
use crate::scanner::ScannerSecrets;
use crate::secrets::Secrets;
use crate::site::{self, CommonSites, Site, SiteKind};

/// A build that can start.
#[derive(Debug)]
pub(super) struct Prepared<'a> {
    scene: Scene<'a>,
    outputs: Outputs,
    extras: Extras,
    agents: LentAgents,
    /// The engine's own address, if an extra host of the build asks for it.
    gateway: Option<String>,
    /// The targets on which this one builds.
    inner: Vec<InnerTarget>,
}

impl<'a> Prepared<'a> {
    /// Reaches the builder, completes the recipe, and checks everything that can be checked before the build runs.
    ///
    /// # Errors
    /// Returns the first reason why this build cannot start here.
    pub(super) async fn new(
        order: BuildOrder,
        (secrets, inner): (Secrets, Vec<InnerMember>),
        edge: &'a Edge,
        (node, sites): (&BuilderNode, &mut CommonSites<'_>),
    ) -> Result<Self, Failure> {
        let BuildOrder { mut plan, mut outputs, extras, mut forwarding, manifest, tls, choices, .. } = order;
        remove_stale(choices.files())?;
        let extras = extras?;
        extras.caches.left_out().iter().for_each(|why| edge.stderr.warning(why));
        if !secrets.is_empty() {
            // Mistakes in these flags are reported before the builder gets any request.
            Group::of(&extras.caches)?;
        }
        let clone = git_context::clone(&mut plan, &secrets, edge).await?;
        let dockerfile = plan.dockerfile_text()?;
        sent::warn(&plan, edge)?;
        let frontend = frontend::choose(&plan, dockerfile.as_deref(), &choices, &secrets)?;
        let proxies = proxies(&node.choice)?;
        inner.iter().for_each(|target| target.lend_to(&mut forwarding));
        let inner = InnerTarget::settle(inner, "target-", &proxies, edge)?;
        let plan = plan.settle(&LateFacts { frontend, proxies });
        guard::check(&plan, &extras, &outputs, dockerfile.as_deref(), &secrets.redactor)?;
        if let Some(text) = &dockerfile {
            warn_of_empty_references(&plan, text, &secrets, edge);
        }
        secrets.check_searchable()?;
        let needles = secrets.needles()?;
        let agents = forwarding.lend()?;
        let site = sites.reach(node, !secrets.is_empty(), tls).await?;
        let asks = plan.asks_for_gateway() || inner.iter().any(InnerTarget::asks_for_gateway);
        let gateway = gateway(asks, &site).await?;
        fit_outputs(&mut outputs, &site, plan.tags(), tls, edge).await?;
        warn_of_narrow_key(secrets.binding.is_shared(), extras.caches.imports().is_empty(), edge);
        secrets.announce(edge, |secret| match secrets.is_withheld(secret) {
            true => "to other targets".to_owned(),
            false => offer(secret, manifest.as_ref().map(|found| &found.manifest)),
        });
        let node = NodeName { builder: node.builder.clone(), node: node.name.clone() };
        let scene = Scene { edge, site, node, plan, choices, found: manifest, secrets, needles, clone };
        let prepared = Self { scene, outputs, extras, agents, gateway, inner };
        prepared.check_store().await?;
        Ok(prepared)
    }

    /// Returns whether the engine gets exactly the request that docker would send: there is no secret, no
    /// configuration, and no target on which this one builds.
    fn has_nothing_to_inject(&self) -> bool {
        !self.has_secrets() && self.scene.configuration().is_empty() && self.inner.is_empty()
    }

    /// Returns whether there is anything to search for.
    pub(super) fn has_secrets(&self) -> bool {
        !self.scene.secrets.is_empty()
    }

    /// Returns whether the builder itself brings the result to others, so that the result must be proven before that.
    pub(super) fn is_delivered_by_builder(&self) -> bool {
        self.outputs.needs_proof()
    }

    /// Starts the build. If there is nothing to inject, it starts as docker would start it. Otherwise it starts
    /// without a name, with access to the secrets and with a search at its end.
    ///
    /// # Errors
    /// Returns an error if the builder does not answer.
    pub(super) async fn start(
        mut self,
        (updates, pane): (mpsc::Sender<StatusUpdate>, Pane),
        company: &Company,
    ) -> Result<Running<'a>, Failure> {
        let (request, guarded) = match self.has_nothing_to_inject() {
            true => {
                let attestations = self.attestations(self.has_usual_attestations().await?);
                let request = self.request(&self.names_before_search(company.naming), &attestations);
                local_state::note(&self.scene, &request.id);
                (self.exporting_caches(request), None)
            }
            false => {
                let (request, guarded) = self.guard(&pane, company).await?;
                (request, Some(guarded))
            }
        };
        let Self { scene, outputs, extras, agents, .. } = self;
        Ok(Running { scene, outputs, flags: extras.caches, agents, request, updates, pane, guarded })
    }

    /// Makes the request for a build whose steps get secrets or configuration, and everything that guards the build.
    async fn guard(&mut self, pane: &Pane, company: &Company) -> Result<(BuildRequest, Guarded), Failure> {
        let scene = &self.scene;
        // Only an export of a base shows the layers that the base hides under others.
        let gated = !scene.secrets.is_empty() && scene.choices.base() == BaseSearch::Merged;
        let named = gated || !scene.secrets.binding.is_shared();
        let identity = async { if named { scene.site.identity().await } else { None } };
        let looking = async { futures::join!(CacheBefore::look(&scene.site.builder), identity, attached(scene)) };
        let (before, identity, attached) = scene.edge.cancellation.unless_cancelled(looking).await?;
        let bases = identity.as_deref().filter(|_| gated).and_then(|builder| clean_bases(scene, builder));
        let pending = scene.secrets.binding.pending(scene.secrets.shared(), identity.as_deref());
        // Attestations that cannot be read back are left out. If a flag asks for them, the whole image is searched
        // instead.
        let usual = match scene.secrets.is_empty() {
            true => self.has_usual_attestations().await?,
            false => attached.is_some(),
        };
        let attestations = self.attestations(usual);
        let needles = Arc::clone(&scene.needles);
        let redactor = scene.secrets.redactor.clone();
        let context = Arc::new(ContextGuard::new(needles, redactor, scene.choices.allowed_context_leaks()));
        let mut request = self.request(&self.names_before_search(company.naming), &attestations);
        let mut caches = PrivateCaches::default();
        if scene.secrets.is_empty() {
            request = self.exporting_caches(request);
        } else {
            caches = PrivateCaches::open(Group::of(&self.extras.caches)?, &self.owner())?;
            request.cache_exports = self.extras.caches.inline().cloned().chain(caches.entries()).collect();
            request.content.0.extend(caches.content().0);
        }
        let ids = self
            .inner
            .iter()
            .map(InnerTarget::ids)
            .fold(scene.secrets.ids(), |ids, more| ids.union(&more).cloned().collect());
        request.secrets = Arc::new(BuildSecrets::new(scene.secrets.shared(), ids));
        request.observer = Some(Arc::clone(&context) as _);
        request.history = History::Nothing;
        let gate = gated.then(|| {
            gate(scene, pane.search_line()).remembering(bases.map(|bases| Box::new(bases) as Box<dyn KnownBases>))
        });
        let unbound = !scene.secrets.unbound().is_empty() || self.inner.iter().any(InnerTarget::has_unbound);
        let injection = self.injection(gate).bound_by(pending).minding_notes(unbound).among(company.seat());
        let injection = injection.exporting(match (caches.is_empty(), caches.carry_stages()) {
            (true, _) => ExportedCaches::Nothing,
            (false, false) => ExportedCaches::OfImage,
            (false, true) => ExportedCaches::OfStages,
        });
        let injection =
            injection.building_on(std::mem::take(&mut self.inner).into_iter().flat_map(InnerTarget::graphs));
        Ok((request, Guarded { injection, context, before, attached, attestations, caches }))
    }

    /// Returns the names that the image may have at once. With public configuration alone there is nothing to prove,
    /// so these are all names.
    fn names_before_search(&self, naming: Naming) -> Vec<String> {
        match naming == Naming::AtOnce && self.scene.secrets.is_empty() {
            true => self.scene.plan.tags().iter().map(ToString::to_string).collect(),
            false => Vec::new(),
        }
    }

    fn injection(&self, gate: Option<Gate<SearchLine>>) -> Injection {
        let scene = &self.scene;
        let graph = Graph::new(
            injected::plan(&scene.secrets, scene.found.as_ref()),
            scene.secrets.ids(),
            scene.secrets.redactor.clone(),
        );
        let graph = graph.declared_at(injected::places(scene.found.as_ref()));
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

    /// Returns the attestations of this build. `usual` adds the ones that docker makes by default.
    fn attestations(&self, usual: bool) -> Attestations {
        let mut attestations = self.extras.attestations.clone();
        if usual {
            attestations.use_usual(std::env::var("BUILDX_NO_DEFAULT_ATTESTATIONS").ok().as_deref());
        }
        attestations
    }

    /// Returns whether docker would make attestations by default.
    async fn has_usual_attestations(&self) -> Result<bool, Failure> {
        Ok(match self.scene.image_store().await? {
            Some(store) => store == ImageStore::Containerd,
            // An engine that loads the image would drop them from its own store.
            None => !self.outputs.loads(),
        })
    }

    /// Makes the request to BuildKit, with an exporter for each destination.
    fn request(&self, names: &[String], attestations: &Attestations) -> BuildRequest {
        let scene = &self.scene;
        let mut request = scene.plan.request(Environment::of_process().docker_folder(), self.gateway.as_deref());
        request.attributes.extend(attestations.attributes().clone());
        request.agents = self.agents.agents().clone();
        request.cache_imports = self.extras.caches.imports().to_vec();
        request.content.0.extend(self.extras.caches.sources().0);
        // The engine fetches a git context before the build graph exists. Secrets are otherwise named in the graph,
        // so the git tokens have to be listed here.
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
        request.targets = self.inner.iter().map(|target| target.enter(self.gateway.as_deref(), &mut request)).collect();
        request
    }

    /// Returns whether the build exports caches other than inline ones, which are a part of the image.
    pub(super) fn exports_caches(&self) -> bool {
        self.extras.caches.exports().iter().any(|entry| entry.kind != "inline")
    }

    /// Lets BuildKit itself write the caches to the user's destinations, as in a build without secrets.
    fn exporting_caches(&self, mut request: BuildRequest) -> BuildRequest {
        request.cache_exports = self.extras.caches.exports().to_vec();
        request.content.0.extend(self.extras.caches.destinations().0);
        request
    }

    /// Names the project and the builder, so that each pair of them has its own private folders.
    fn owner(&self) -> String {
        let scene = &self.scene;
        let project = scene.project();
        let project = std::fs::canonicalize(project).unwrap_or_else(|_| project.to_owned());
        let builder = match &scene.site.kind {
            SiteKind::Engine(engine) => engine.endpoint().to_string(),
            SiteKind::Plain(plain) => plain.to_string(),
        };
        format!("{}\n{builder}", project.display())
    }

    /// Refuses requests that this store or this builder cannot carry out.
    async fn check_store(&self) -> Result<(), Failure> {
        let (scene, outputs) = (&self.scene, &self.outputs);
        let asks_for_attestations = self.extras.attestations.asked_for();
        let image = outputs.places().iter().find(|place| place.is_image());
        let export = self.extras.caches.exports().iter().find(|entry| entry.kind != "inline");
        if scene.site.plain().is_some() {
            self.check_provable()?;
        } else if let (Some(export), Some(ImageStore::Layers)) = (export, scene.image_store().await?) {
            return Err(PreparationError::CacheNotInThisStore(export.kind.clone()).into());
        } else if (image.is_some() || asks_for_attestations) && scene.image_store().await? == Some(ImageStore::Layers) {
            let what = image.map_or_else(|| "attestations".to_owned(), |place| format!("--output {place}"));
            return Err(PreparationError::NotInThisStore(what).into());
        }
        let of_index = self.extras.attestations.annotations().keys().any(|key| key.starts_with("annotation-index"));
        if of_index && outputs.store().is_some() && scene.image_store().await? == Some(ImageStore::Layers) {
            return Err(PreparationError::NoIndex.into());
        }
        if let (Some(archive), Some(_)) = (image, outputs.store()) {
            // Each exporter makes its own image with its own attestations, and the builder reports the digest of only
            // one. The image that stays in the store without a name would be unknown, so it could be neither named
            // nor removed.
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

    /// Refuses a build whose image leaves the builder unseen, if the gate cannot prove all of it: if hidden layers of
    /// the base are to be searched, or if documents are added after the proof.
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
        // Caches are searched after the builder has written them, and by then the image has left the builder.
        if self.outputs.registry().is_some() && self.exports_caches() {
            return Err(PreparationError::NotProvable(NotProvable::Caches));
        }
        Ok(())
    }
}

/// Removes the result files of an earlier build, so that nobody takes them for files of this build.
fn remove_stale(files: &ResultFiles) -> Result<(), PreparationError> {
    for (flag, file) in [("--iidfile", &files.image_id), ("--metadata-file", &files.metadata)] {
        let Some(file) = file else { continue };
        metadata_file::remove(file).map_err(|source| PreparationError::Stale { flag, file: file.clone(), source })?;
    }
    Ok(())
}

/// Warns if the steps with secrets will not be found in an imported cache.
fn warn_of_narrow_key(has_shared_key: bool, reads_no_cache: bool, edge: &Edge) {
    if !has_shared_key && !reads_no_cache {
        let variable = pcli::CACHE_KEY_VARIABLE;
        edge.stderr.warning(&format!(
            "--cache-from: steps with secrets are found there only if this builder made them; with a common {variable} \
             others' count too"
        ));
    }
}

/// Warns of text outside of RUN that reads a secret's variable, because the variable is empty there.
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

/// Returns the proxies that docker's own client would pass to builds with this builder.
fn proxies(builder: &BuilderChoice) -> Result<Vec<(&'static str, String)>, Failure> {
    let folder = Environment::of_process().docker_folder();
    let configuration = folder.map(|folder| DockerConfiguration::read(&folder)).transpose()?.unwrap_or_default();
    let proxies = configuration.proxies(&site::docker_address(builder));
    Ok(proxies.into_iter().map(|(name, value)| (name, value.to_owned())).collect())
}

/// Asks the engine for the address of `host-gateway`, if the build needs it.
async fn gateway(asks: bool, site: &Site) -> Result<Option<String>, Failure> {
    if !asks {
        return Ok(None);
    }
    let label = "org.mobyproject.buildkit.worker.moby.host-gateway-ip";
    let workers = site.builder.workers().await?;
    let address = workers.iter().find_map(|worker| worker.labels.get(label));
    Ok(Some(address.ok_or(PreparationError::NoGateway)?.clone()))
}

/// Replaces an output into an engine's store by one that a builder without an engine supports.
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
        let joined = outputs.extent() == output::Extent::Part;
        if joined && engine.image_store().await.map_err(PreparationError::ImageStore)? == ImageStore::Layers {
            return Err(PreparationError::NotInThisStore("--load of several platforms".to_owned()).into());
        }
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

/// Describes which steps get a secret.
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

/// Opens the engine's own files of attestations, if they can be read back.
async fn attached(scene: &Scene<'_>) -> Option<Attached> {
    Attached::of(scene.site.engine()?).await
}

/// Opens the record of this builder's base images that were found clean before.
fn clean_bases(scene: &Scene<'_>, builder: &str) -> Option<CleanBases> {
    let memory = LayerMemory::open(&scene.secrets.all, &|name: &str| std::env::var_os(name))?;
    Some(CleanBases::new(memory, builder.to_owned()))
}

fn gate(scene: &Scene<'_>, line: SearchLine) -> Gate<SearchLine> {
    let (needles, secrets) = (Arc::clone(&scene.needles), Arc::clone(&scene.secrets.all));
    Gate::new(Box::new(ScannerSecrets::new(needles, secrets, scene.secrets.redactor.clone())), line)
}
