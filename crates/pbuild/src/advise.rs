//! `pbuild secrets advise`: proposes the narrowest `steps` for each secret, from the names that the commands of the
//! build mention.
//!
//! The commands are those of the build graph, so every form of RUN counts. The frontend reads the Dockerfile and the
//! configurations of base images. Then pbuild ends the build before any step runs. No value is read.

mod advice;
mod pattern;
mod rewrite;

use std::collections::BTreeSet;

use papp::{Inject, Scope};
use pbuildkit::{BuildRequest, History, Transform};
use pcli::FoundManifest;
use pengine::Environment;
use pgateway::Capabilities;
use pllb::{Definition, Mode, MountTarget, Step, StepPattern};
use pscreen::Exit;
use tokio::sync::mpsc;

use crate::build::of_look;
use crate::edge::{Edge, Failure};
use crate::files::mention::{Mention, mention};
use crate::plan::{AdviceFormat, AdviseOrder, BuildPlan, BuilderName, Effect, LateFacts, Tls};
use crate::site::{self, Site};
use advice::{Advice, AdviceConclusion};
pub(crate) use rewrite::RewriteError;

/// Runs `pbuild secrets advise`.
///
/// # Errors
/// Returns an error if the frontend gives no graph, or if `--write` cannot change the manifest.
pub(crate) async fn run(order: AdviseOrder, edge: &Edge) -> Result<Exit, Failure> {
    let offered = offered(&order);
    let AdviseOrder { plan, manifest, format, effect, .. } = order;
    let steps = steps(plan, edge).await?;
    let advice: Vec<Advice> = offered.iter().map(|secret| advise(secret, &steps)).collect();
    match format {
        AdviceFormat::Json => {
            let document = serde_json::json!({ "version": 1, "secrets": advice });
            edge.stdout.line(&document.to_string());
        }
        AdviceFormat::Text => tell(&advice, manifest.as_ref(), edge),
    }
    if let (Effect::Write, Some(found)) = (effect, &manifest) {
        let changed = rewrite::write(found, &advice)?;
        let text = if changed.is_empty() {
            "nothing to change".to_owned()
        } else {
            format!("{}: {}", found.path.display(), changed.join(", "))
        };
        edge.stderr.fact("written", &text);
    }
    Ok(Exit::Done)
}

/// A secret that the build offers to its steps.
struct OfferedSecret {
    name: String,
    now: Vec<String>,
    entry: Option<papp::Secret>,
}

/// Lists the build secrets that the manifest declares, and the secrets that only the flags name.
fn offered(order: &AdviseOrder) -> Vec<OfferedSecret> {
    let declared = order.manifest.iter().flat_map(|found| found.manifest.build_secrets());
    let mut offered: Vec<OfferedSecret> = declared
        .map(|secret| OfferedSecret {
            name: secret.name.clone(),
            now: secret.steps.clone(),
            entry: Some(secret.clone()),
        })
        .collect();
    for name in &order.secrets {
        if !offered.iter().any(|known| known.name == name.as_str()) {
            offered.push(OfferedSecret { name: name.to_string(), now: Vec::new(), entry: None });
        }
    }
    offered
}

/// Asks the frontend for the steps of the build, and runs none of them.
async fn steps(plan: BuildPlan, edge: &Edge) -> Result<Vec<Step>, Failure> {
    let Site { builder, .. } = Site::reach_any(edge, &site::choose(&BuilderName::default())?, Tls::Optional).await?;
    let plan = plan.settle(&LateFacts::default());
    let request = plan.request(Environment::of_process().docker_folder(), None);
    let request = BuildRequest { history: History::Nothing, ..request };
    let mut look = Look::default();
    let (updates, mut news) = mpsc::channel(64);
    let ignore = tokio::spawn(async move { while news.recv().await.is_some() {} });
    let building = builder.build(request, Some(&mut look), updates);
    let outcome = edge.cancellation.unless_cancelled(building).await?;
    ignore.abort();
    match outcome.map_err(of_look) {
        // `FROM scratch` alone has no graph, so `transform` was not called and did not end the build.
        Ok(_) | Err(Err(LookEnd::Enough)) => Ok(look.steps),
        Err(Ok(broken)) => Err(broken.into()),
        Err(Err(LookEnd::Graph(error))) => Err(LookEnd::Graph(error).into()),
    }
}

/// Notes the steps of the build graph and ends the build.
#[derive(Debug, Default)]
struct Look {
    steps: Vec<Step>,
}

/// The reasons why a [`Look`] at the graph ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LookEnd {
    /// All steps were noted.
    #[error("the graph was looked at")]
    Enough,
    /// The graph cannot be read.
    #[error("failed to read the build graph")]
    Graph(#[from] pllb::InjectError),
}

impl Transform for Look {
    type Error = LookEnd;

    fn transform(
        &mut self,
        _: &Capabilities,
        _: Option<&str>,
        definition: Definition,
    ) -> Result<Definition, Self::Error> {
        self.steps = pllb::inject(definition, &pllb::Plan::default(), Mode::Environment)?.steps;
        Err(LookEnd::Enough)
    }
}

fn mounts(step: &Step, name: &str) -> bool {
    step.mounted.iter().any(|mounted| {
        mounted.id == name || matches!(&mounted.target, MountTarget::Variable(variable) if variable == name)
    })
}

/// Finds the simple commands of a step that read a variable.
fn reading<'step>(step: &'step Step, name: &str) -> Vec<&'step str> {
    let commands: Vec<&str> = StepPattern::commands(&step.command).collect();
    let by_name: Vec<&str> =
        commands.iter().copied().filter(|command| mention(command, name) == Some(Mention::Name)).collect();
    // A program that is known to read the variable counts only if no command of the step mentions the variable's
    // name.
    if by_name.is_empty() {
        commands.into_iter().filter(|command| mention(command, name).is_some()).collect()
    } else {
        by_name
    }
}

fn advise(secret: &OfferedSecret, steps: &[Step]) -> Advice {
    let name = secret.name.as_str();
    let mounted_by: Vec<String> =
        steps.iter().filter(|step| mounts(step, name)).map(|step| step.name.clone()).collect();
    let needed: Vec<(&Step, Vec<&str>)> = steps
        .iter()
        .filter(|step| !mounts(step, name))
        .map(|step| (step, reading(step, name)))
        .filter(|(_, commands)| !commands.is_empty())
        .collect();
    let needed_texts: BTreeSet<&str> = needed.iter().map(|(step, _)| step.command.as_str()).collect();
    let others: Vec<&str> =
        steps.iter().map(|step| step.command.as_str()).filter(|command| !needed_texts.contains(command)).collect();
    let proposed = pattern::narrowest(
        &needed.iter().map(|(step, commands)| (step.command.as_str(), commands.clone())).collect::<Vec<_>>(),
        &others,
    );
    let matches =
        |patterns: &[String], command: &str| patterns.iter().any(|text| StepPattern::new(text).matches(command));
    let is_exact = !secret.now.is_empty()
        && steps.iter().all(|step| {
            mounts(step, name) || matches(&secret.now, &step.command) == needed_texts.contains(step.command.as_str())
        });
    let verdict = match (needed.is_empty(), mounted_by.is_empty()) {
        (true, true) => AdviceConclusion::Unmentioned,
        (true, false) => AdviceConclusion::Mounted,
        (false, _) if is_exact || (secret.now.is_empty() && others.is_empty()) => AdviceConclusion::Good,
        (false, _) => AdviceConclusion::Narrow,
    };
    let line = (verdict == AdviceConclusion::Narrow).then(|| advice::line(name, secret.entry.as_ref(), &proposed));
    let read_by = needed.iter().map(|(step, _)| step.name.clone()).collect();
    let steps = if verdict == AdviceConclusion::Good && !secret.now.is_empty() { secret.now.clone() } else { proposed };
    Advice { name: name.to_owned(), steps, now: secret.now.clone(), read_by, mounted_by, verdict, line }
}

fn tell(advice: &[Advice], found: Option<&FoundManifest>, edge: &Edge) {
    if advice.is_empty() {
        edge.stderr.fact("secrets", "the build is offered none");
        return;
    }
    if found.is_some_and(|found| found.manifest.build.inject == Inject::Mounted) {
        edge.stderr
            .warning("inject = \"mounted\": steps get only what the Dockerfile mounts, so `steps` change nothing");
    }
    for one in advice {
        let reason = match one.verdict {
            AdviceConclusion::Good => format!("good: {}", count(&one.read_by)),
            AdviceConclusion::Narrow => format!("read by {}", one.read_by.join(" · ")),
            AdviceConclusion::Mounted => format!("mounted by the Dockerfile in {}", one.mounted_by.join(" · ")),
            AdviceConclusion::Unmentioned => unmentioned(one, found),
        };
        edge.stderr.fact(&one.name, &format!(" {reason}"));
    }
    let lines: Vec<&String> = advice.iter().filter_map(|one| one.line.as_ref()).collect();
    if !lines.is_empty() {
        edge.stdout.line("[secrets]");
        lines.into_iter().for_each(|line| edge.stdout.line(line));
    }
}

fn count(steps: &[String]) -> String {
    let verb = if let [_] = steps { "reads" } else { "read" };
    format!("{} {verb} it", pscreen::words::counted(steps.len(), "step"))
}

fn unmentioned(advice: &Advice, found: Option<&FoundManifest>) -> String {
    let scope = found.and_then(|found| found.manifest.secret(&advice.name)).map(|secret| secret.scope);
    let what = if scope == Some(Scope::Build) { "remove it?" } else { "scope = \"run\"?" };
    format!("no command of this build mentions it: {what} (a program may still read it)")
}

#[cfg(test)]
mod tests;
