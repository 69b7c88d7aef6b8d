//! `pbuild secrets advise`: the narrowest `steps` for each secret, from what the commands of the build mention.
//!
//! The commands are those of the build graph, so every shape of RUN counts. The frontend reads the Dockerfile and the
//! configurations of base images; then the build is given up, and nothing of it runs. No value is read.

mod advice;
mod pattern;
mod rewrite;

use std::collections::BTreeSet;
use std::path::Path;

use papp::{Inject, Scope};
use pbuildkit::llb::{self, Mode, MountTarget, Step, StepPattern};
use pbuildkit::{BuildError, BuildRequest, Capabilities, Definition, History, Transform};
use pcli::arguments::SecretArguments;
use pcli::{FoundManifest, find_manifest};
use pscreen::{Diagnostic, Exit};
use psecret::SecretFlag;
use tokio::sync::mpsc;

use crate::build;
use crate::command::AdviseArguments;
use crate::command::build::BuildArguments;
use crate::edge::{Edge, Failure};
use crate::explain;
use crate::files::mention::{Mention, mention};
use crate::plan::{BuildPlan, context_directory};
use crate::site::Site;
use advice::{Advice, Verdict};

/// Runs the command.
///
/// # Errors
///
/// When the graph cannot be had, or `--write` cannot change the manifest.
pub async fn run(arguments: &AdviseArguments, edge: &Edge) -> Result<Exit, Failure> {
    let context = context_directory(&arguments.path).map_err(|error| explain::plan(&error))?;
    let found =
        find_manifest(arguments.config.as_deref(), &[&context, Path::new(".")]).map_err(|error| error.diagnostic())?;
    if arguments.write && found.is_none() {
        let diagnostic = Diagnostic::error("there is no app.toml to write to", Exit::Usage);
        return Err(diagnostic.help("pbuild new makes one").into());
    }
    let wanted = wanted(arguments, found.as_ref())?;
    let steps = steps(arguments, context, found.as_ref(), edge).await?;
    let advice: Vec<Advice> = wanted.iter().map(|secret| advise(secret, &steps)).collect();
    if arguments.json {
        let document = serde_json::json!({ "version": 1, "secrets": advice });
        edge.stdout.line(&document.to_string());
    } else {
        tell(&advice, found.as_ref(), edge);
    }
    if let (true, Some(found)) = (arguments.write, &found) {
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

/// A secret that the build offers.
struct Wanted {
    name: String,
    now: Vec<String>,
    entry: Option<papp::Secret>,
}

fn wanted(arguments: &AdviseArguments, found: Option<&FoundManifest>) -> Result<Vec<Wanted>, Failure> {
    let declared = found.into_iter().flat_map(|found| found.manifest.build_secrets());
    let mut wanted: Vec<Wanted> = declared
        .map(|secret| Wanted { name: secret.name.clone(), now: secret.steps.clone(), entry: Some(secret.clone()) })
        .collect();
    for (at, text) in arguments.secrets.iter().enumerate() {
        let flag = SecretFlag::parse(text).map_err(|error| {
            Diagnostic::from_error(&error, Exit::Usage).note(format!("in --secret number {}", at + 1))
        })?;
        if !wanted.iter().any(|known| known.name == flag.name().as_str()) {
            wanted.push(Wanted { name: flag.name().to_string(), now: Vec::new(), entry: None });
        }
    }
    Ok(wanted)
}

/// Every step of the build, by asking the frontend and nothing more.
async fn steps(
    arguments: &AdviseArguments,
    context: std::path::PathBuf,
    found: Option<&FoundManifest>,
    edge: &Edge,
) -> Result<Vec<Step>, Failure> {
    let flags = BuildArguments {
        context: arguments.path.clone(),
        recipe: arguments.recipe.clone(),
        ..BuildArguments::default()
    };
    let environment = |name: &str| std::env::var(name).ok();
    let manifest = found.map(|found| &found.manifest);
    let plan = BuildPlan::new(&flags, Some(context), manifest, environment, std::io::stdin())
        .map_err(|error| explain::plan(&error))?;
    let Site { builder, .. } = Site::reach(edge, None, false, &SecretArguments::default()).await?;
    let request = BuildRequest { history: History::Nothing, ..plan.request() };
    let mut look = Look::default();
    let (updates, mut news) = mpsc::channel(64);
    let ignore = tokio::spawn(async move { while news.recv().await.is_some() {} });
    let building = builder.build(request, Some(&mut look), updates);
    let outcome = edge.cancellation.unless_cancelled(building).await?;
    ignore.abort();
    match outcome {
        // `FROM scratch` and nothing more has no graph, so nobody gave it up.
        Ok(_) | Err(BuildError::Transform(Looked::Enough)) => Ok(look.steps),
        Err(BuildError::Failed(failure)) => Err(build::explain::build(&BuildError::Failed(failure), None, None).into()),
        Err(BuildError::Buildkit(error)) => Err(explain::buildkit(&error).into()),
        Err(error) => Err(Diagnostic::from_error(&error, Exit::Failed).into()),
    }
}

/// Takes the graph down and ends the build.
#[derive(Debug, Default)]
struct Look {
    steps: Vec<Step>,
}

#[derive(Debug, thiserror::Error)]
enum Looked {
    #[error("the graph was looked at")]
    Enough,
    #[error("failed to read the build graph")]
    Graph(#[from] llb::InjectError),
}

impl Transform for Look {
    type Error = Looked;

    fn transform(
        &mut self,
        _: &Capabilities,
        _: Option<&str>,
        definition: Definition,
    ) -> Result<Definition, Self::Error> {
        self.steps = llb::inject(definition, &llb::Plan::default(), Mode::Environment)?.steps;
        Err(Looked::Enough)
    }
}

fn mounts(step: &Step, name: &str) -> bool {
    step.mounted.iter().any(|mounted| {
        mounted.id == name || matches!(&mounted.target, MountTarget::Variable(variable) if variable == name)
    })
}

/// The single commands of a step that read a variable.
fn reading<'step>(step: &'step Step, name: &str) -> Vec<&'step str> {
    let commands: Vec<&str> = StepPattern::commands(&step.command).collect();
    let by_name: Vec<&str> =
        commands.iter().copied().filter(|command| mention(command, name) == Some(Mention::Name)).collect();
    // A program that is known to read it counts where the step does not say it more plainly.
    if by_name.is_empty() {
        commands.into_iter().filter(|command| mention(command, name).is_some()).collect()
    } else {
        by_name
    }
}

fn advise(secret: &Wanted, steps: &[Step]) -> Advice {
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
        (true, true) => Verdict::Unmentioned,
        (true, false) => Verdict::Mounted,
        (false, _) if is_exact || (secret.now.is_empty() && others.is_empty()) => Verdict::Good,
        (false, _) => Verdict::Narrow,
    };
    let line = (verdict == Verdict::Narrow).then(|| advice::line(name, secret.entry.as_ref(), &proposed));
    let read_by = needed.iter().map(|(step, _)| step.name.clone()).collect();
    let steps = if verdict == Verdict::Good && !secret.now.is_empty() { secret.now.clone() } else { proposed };
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
            Verdict::Good => format!("good: {}", count(&one.read_by)),
            Verdict::Narrow => format!("read by {}", one.read_by.join(" · ")),
            Verdict::Mounted => format!("mounted by the Dockerfile in {}", one.mounted_by.join(" · ")),
            Verdict::Unmentioned => unmentioned(one, found),
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
    if steps.len() == 1 { "1 step reads it".to_owned() } else { format!("{} steps read it", steps.len()) }
}

fn unmentioned(advice: &Advice, found: Option<&FoundManifest>) -> String {
    let scope = found.and_then(|found| found.manifest.secret(&advice.name)).map(|secret| secret.scope);
    let what = if scope == Some(Scope::Build) { "remove it?" } else { "scope = \"run\"?" };
    format!("no command of this build mentions it: {what} (a program may still read it)")
}

#[cfg(test)]
mod tests;
