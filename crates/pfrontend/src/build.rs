//! Runs one build: the Dockerfile's own frontend, the secrets, the steps, the search, and the result.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::try_join_all;
use papp::Manifest;
use pgateway::{Bridge, Capabilities, Files, PreparedResult, Reference, Solved, Status};
use pllb::{Definition, Plan};
use pproof::{Gate, GateOutcome, Graph, GraphError, KnownBases, NoWatch, Subject};
use psecret::Redactor;

use crate::bases::{self, Bases};
use crate::options::Options;
use crate::scanner::Scanner;
use crate::secrets::{Secrets, Warning};
use crate::seeking::SeekingByName;
use crate::stages::{self, Stage};
use crate::syntax::SyntaxLine;
use crate::verdict::{self, Place};
use crate::{context, masking, refused, requests};

/// The Dockerfile frontend that is part of every BuildKit. It follows a `# syntax=` line on its own.
const DOCKERFILE: &str = "dockerfile.v0";

/// The name of the document with the build's options, which is searched, too.
const OPTIONS_DOCUMENT: &str = "build-options";

/// Builds, and returns no result in which a secret was found.
///
/// # Errors
///
/// Returns the engine's errors unchanged, the error of a leak, or any other reason why the result must not be
/// returned.
pub async fn build(bridge: &Bridge, options: &Options) -> Result<Solved, Status> {
    let mut asked = bridge.clone();
    let handed_on = options.is_inner() || options.is_question();
    let line = if handed_on { SyntaxLine::default() } else { options.syntax().map_err(refused)? };
    let inputs = asked.inputs().await?;
    let mut solved = asked.solve_frontend(DOCKERFILE, &options.forwarded(), inputs).await?;
    if handed_on || matches!(solved.files, Files::Nothing) {
        return Ok(solved);
    }
    let capabilities = asked.capabilities().await?;
    if !capabilities.frontend(Capabilities::CONTAINERS) {
        return Err(refused(
            "this builder's BuildKit runs no containers beside a build, so no image can be searched in it",
        ));
    }
    let manifest = if line.manifest { Some(context::manifest(bridge, options).await?) } else { None };
    let requests = requests::requests(&line, manifest.as_ref(), &mounted(&mut solved)).map_err(refused)?;
    if requests.is_empty() {
        let advice = Warning {
            short: "no secret is named and the Dockerfile mounts none, so nothing was searched".to_owned(),
            detail: "name them behind the image on the syntax line, as in: # syntax=IMAGE NPM_TOKEN,APP_KEY".to_owned(),
        };
        tell(bridge, "[pbuild] nothing was searched", &[advice]).await?;
        return Ok(solved);
    }
    let scanner = Scanner::new(bridge, options).await?;
    let question = bases::question(&requests, definitions(&mut solved));
    let answer = scanner.probe(&question).await?;
    let bases = Bases::new(question, &answer);
    let secrets = Secrets::new(requests, answer, line.require).map_err(refused)?;
    let build = Build { bridge, options, line: &line, secrets: &secrets, scanner: &scanner, bases };
    let (graph, results) = build.inject(&mut solved, manifest.as_ref(), &capabilities).await?;
    try_join_all(results.iter().map(|result| {
        let mut bridge = bridge.clone();
        async move { bridge.evaluate(&result.reference).await }
    }))
    .await?;
    build.search(&solved, &graph, &results).await?;
    Ok(solved)
}

/// Lists the ids of the secrets that the Dockerfile itself mounts.
fn mounted(solved: &mut Solved) -> BTreeSet<String> {
    definitions(solved).flat_map(pllb::secret_ids).collect()
}

/// Lists the graphs of the results.
fn definitions(solved: &mut Solved) -> impl Iterator<Item = &Definition> {
    solved.references_mut().into_iter().filter_map(|(_, reference)| reference.definition.as_ref())
}

struct Build<'a> {
    bridge: &'a Bridge,
    options: &'a Options,
    line: &'a SyntaxLine,
    secrets: &'a Secrets,
    scanner: &'a Scanner<'a>,
    bases: Bases,
}

impl Build<'_> {
    /// Gives the secrets to the steps, and replaces the results by those of the new graph.
    async fn inject(
        &self,
        solved: &mut Solved,
        manifest: Option<&Manifest>,
        capabilities: &Capabilities,
    ) -> Result<(Graph, Vec<PreparedResult>), Status> {
        let plan = Plan {
            secrets: self.secrets.planned(),
            configuration: manifest.map(|manifest| manifest.environment.clone()).unwrap_or_default(),
            bindings: self.secrets.bindings(),
        };
        let known = self.secrets.brought.iter().map(|one| one.request.name.to_string()).collect();
        let places = self
            .secrets
            .brought
            .iter()
            .filter_map(|one| Some((one.request.name.to_string(), format!("app.toml:{}", one.request.declared?))));
        let mut graph = Graph::new(plan, known, Redactor::none()).declared_at(places.collect());
        if self.line.mask {
            graph = graph.wrapped(masking::wrapper(self.scanner.image.clone(), self.secrets));
        }
        if self.options.has_target() {
            graph = graph.of_a_part();
        }
        graph.run_again(self.secrets.leaked.iter().cloned().collect());
        let mut results = Vec::new();
        let mut bridge = self.bridge.clone();
        for (platform, reference) in solved.references_mut() {
            // `FROM scratch` without further steps has no graph.
            let Some(definition) = reference.definition.take().filter(|_| !reference.id.is_empty()) else { continue };
            let definition = graph.inject(capabilities, platform.as_deref(), definition).map_err(not_injected)?;
            let new = bridge.solve_definition(definition.clone(), &[]).await?;
            *reference = Reference { id: new.id.clone(), definition: None };
            results.push(PreparedResult { platform, reference: new, definition });
        }
        graph.check_patterns().map_err(not_injected)?;
        Ok((graph, results))
    }

    /// Searches the images, then the other stages, and reports the result to the user.
    async fn search(&self, solved: &Solved, graph: &Graph, results: &[PreparedResult]) -> Result<(), Status> {
        let sought = SeekingByName::new(self.secrets);
        let names: Vec<String> = self.secrets.sought().map(|one| one.request.name.to_string()).collect();
        if sought.is_empty() {
            return self.nothing_to_search().await;
        }
        let mut documents = solved.metadata.clone();
        // Provenance lists all build options, even a build argument that no step reads, so the search covers them.
        documents.insert(OPTIONS_DOCUMENT.to_owned(), self.options.document());
        let proof = match self.gate(&sought, &documents, results).await? {
            GateOutcome::Clean(proof) => proof,
            GateOutcome::Unproven(why) => return Err(unproven(&why.to_string())),
            GateOutcome::Leak(found) => {
                let result = results.iter().find(|result| result.platform == found.platform);
                let chain = result.map(|result| pllb::chain(&result.definition)).transpose();
                let chain = chain.map_err(|_| unproven("the build graph cannot be read"))?.unwrap_or_default();
                let definition = result.map(|result| &result.definition);
                let place = Place { graph, definition, steps: &chain.steps };
                self.scanner.note(place.held(&found.report), Vec::new()).await?;
                return Err(verdict::leak(&found.report, &place, verdict::Subject::Image(found.platform.as_deref())));
            }
        };
        let mut warnings = self.secrets.warnings.clone();
        let searched = self.stages(&sought, graph, results, &mut warnings).await?;
        self.scanner.note(Vec::new(), graph.ran_again()).await?;
        if let Some(note) = self.bases.note() {
            self.scanner.note_bases(&note).await;
        }
        self.doubts(graph, &mut warnings);
        let injected = self.secrets.planned().len();
        tell(self.bridge, &verdict::clean(&proof, &names, injected, searched), &warnings).await
    }

    async fn gate(
        &self,
        sought: &SeekingByName,
        documents: &BTreeMap<String, Vec<u8>>,
        results: &[PreparedResult],
    ) -> Result<GateOutcome, Status> {
        let bases = Box::new(self.bases.clone()) as Box<dyn KnownBases>;
        let mut gate = Gate::new(Box::new(sought.clone()), NoWatch).remembering(Some(bases));
        Ok(gate.search(Subject { bridge: self.bridge, documents, results }, &self.scanner.program).await)
    }

    /// Searches the stages that are not part of an image. Returns the number of stages that were searched.
    ///
    /// For this, the builder must fetch or run all steps that its own cache does not have. With an imported cache,
    /// this may be all of them, so the stages are then only searched if the syntax line requires it.
    async fn stages(
        &self,
        sought: &SeekingByName,
        graph: &Graph,
        results: &[PreparedResult],
        warnings: &mut Vec<Warning>,
    ) -> Result<usize, Status> {
        if self.options.imports_cache() && !self.line.all_stages {
            return Ok(0);
        }
        let beside = stages::beside(self.bridge, results).await?;
        let mut searched = 0;
        for stage in &beside {
            let Stage { result, chain } = stage;
            let outcome = self.gate(sought, &BTreeMap::new(), std::slice::from_ref(result)).await?;
            match outcome {
                GateOutcome::Clean(_) => searched += usize::from(!stage.is_document()),
                GateOutcome::Unproven(why) if self.line.all_stages => return Err(unproven(&why.to_string())),
                GateOutcome::Unproven(why) => warnings.push(Warning {
                    short: format!("a stage that is no part of the image was not searched: {why}"),
                    detail: "do not export it with --cache-to mode=max".to_owned(),
                }),
                GateOutcome::Leak(found) => {
                    // The definition of a state has no source map, but `graph` has the lines of its steps.
                    let definition = results.iter().find(|of| of.platform == result.platform);
                    let definition = definition.map(|of| &of.definition);
                    let place = Place { graph, definition, steps: &chain.steps };
                    self.scanner.note(place.held(&found.report), Vec::new()).await?;
                    if self.line.all_stages {
                        return Err(verdict::leak(&found.report, &place, verdict::Subject::Stage));
                    }
                    let first = found.report.findings().first();
                    let what = first.map(|first| place.sentence(&found.report, first)).unwrap_or_default();
                    warnings.push(Warning {
                        short: format!(
                            "a stage that is no part of the image holds a secret, which --cache-to mode=max would carry: {what}"
                        ),
                        detail: "the word stages=all on the syntax line refuses it".to_owned(),
                    });
                }
            }
        }
        Ok(searched)
    }

    /// Warns of steps whose results may come from the cache. If a secret's value is not part of their cache keys,
    /// they may have run with another value, and this process does not know which steps ran.
    fn doubts(&self, graph: &Graph, warnings: &mut Vec<Warning>) {
        let unbound = self.secrets.unbound();
        let gets = |step: &&pllb::Step| {
            let mounted = step.mounted.iter().map(|mount| &mount.id);
            step.offered.iter().chain(mounted).any(|name| unbound.contains(name))
        };
        let count = graph.steps().iter().filter(gets).count();
        if count > 0 {
            let steps = pscreen::words::counted(count, "step");
            warnings.push(Warning {
                short: format!("{steps} may have got another value of {} from the cache (no-rebuild)", unbound.join(", ")),
                detail: "only the values of this build were searched for; without no-rebuild a new value runs the steps again"
                    .to_owned(),
            });
        }
    }

    /// Warns that nothing was searched, or refuses the build: if the client brought secrets but none of them can be
    /// searched for, nothing is proven.
    async fn nothing_to_search(&self) -> Result<(), Status> {
        if self.secrets.brought.is_empty() {
            return tell(self.bridge, "[pbuild] no secret was brought: nothing was searched", &self.secrets.warnings)
                .await;
        }
        let why = self.secrets.warnings.iter().map(|warning| warning.short.as_str()).collect::<Vec<_>>().join("; ");
        Err(unproven(&why))
    }
}

/// Shows a line among the steps of the build, followed by warnings. If the engine does not support warnings, they are
/// shown as lines.
async fn tell(bridge: &Bridge, line: &str, warnings: &[Warning]) -> Result<(), Status> {
    let mut bridge = bridge.clone();
    let step = say(&mut bridge, line).await?;
    for Warning { short, detail } in warnings {
        if bridge.warn(&step, &format!("pbuild: {short}"), &[detail]).await.is_err() {
            say(&mut bridge, &format!("[pbuild] warning: {short}; {detail}")).await?;
        }
    }
    Ok(())
}

/// Shows a line among the steps. The line is the name of a step that makes a file for this purpose only. The step
/// ignores the cache, because a cached step would be shown as such. The file contains the line, because builds at the
/// same time share identical steps, including their names.
async fn say(bridge: &mut Bridge, line: &str) -> Result<String, Status> {
    let mut definition = pllb::single_file(line, "/pbuild", 0o444, line.as_bytes());
    for about in definition.metadata.values_mut() {
        about.ignore_cache = true;
    }
    let step = definition.metadata.keys().next().cloned().unwrap_or_default();
    let reference = bridge.solve_definition(definition, &[]).await?;
    bridge.evaluate(&reference).await?;
    Ok(step)
}

fn unproven(why: &str) -> Status {
    refused(format!("the image was not searched, so it was not made: {why}"))
}

fn not_injected(error: GraphError) -> Status {
    let place = match &error {
        GraphError::Required { place: Some((file, line)), .. } => format!(" ({file}:{line})"),
        _ => String::new(),
    };
    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
    refused(format!("{error}{place}{cause}"))
}
