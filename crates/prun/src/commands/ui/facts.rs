//! Collects what the page shows: the answers of `prun secrets list`, `injected`, `services list`, `ps` and
//! `generations`, as data.

use bollard::models::ContainerSummary;
use pcli::secrets::{ListedSecret, State};
use pcredential::Ledger;

use super::tee;
use crate::commands::{ps, rollback, services, show};
use crate::edge::{Edge, Failure, now};
use crate::engine::containers;
use crate::error::RunError;
use crate::instance::{self, forwarder, init_results};
use crate::names::{InstanceName, Project, Role, number, role};
use crate::page::overview::{Content, Declared, Environment, Generation, Init, Injected, Instance, Overview, Service};
use crate::plan::request::Choice;
use crate::project::{KnownProject, manifest};
use crate::tell;
use crate::values::generation::{self, Origin, Value, Variable};

/// Reads everything about a project. A part that cannot be read becomes a remark, and the rest is shown.
pub(crate) async fn overview(name: &str, choice: &Choice, edge: &Edge) -> Overview {
    let (printer, kept) = tee::to_nobody();
    let edge = Edge { stderr: printer.clone(), stdout: printer, cancellation: edge.cancellation.clone() };
    let mut overview = Overview { project: name.to_owned(), ..Overview::default() };
    overview.environment = environment(choice, &edge);
    let outcome = running(choice, &mut overview, &edge).await;
    overview.remarks.extend(kept.lines());
    if let Err(failure) = outcome {
        overview.remarks.extend(words(&failure));
    }
    overview
}

/// Describes a failure for the page: what went wrong, and what to do.
pub(crate) fn words(failure: &Failure) -> Vec<String> {
    let diagnostic = match failure {
        Failure::Error { error, .. } => tell::diagnostic(error),
        Failure::Shared(diagnostic) => (**diagnostic).clone(),
        Failure::Ended(_) => return vec!["stopped".to_owned()],
    };
    let (title, help) = diagnostic.title_and_help();
    [title.to_owned()].into_iter().chain(help.into_iter().map(|help| format!("help: {help}"))).collect()
}

/// Lists the secrets of the user.
fn environment(choice: &Choice, edge: &Edge) -> Environment {
    let list = || -> Result<Option<Vec<ListedSecret>>, Failure> {
        let Some(_) = manifest(choice.config.as_deref())? else { return Ok(None) };
        Ok(Some(tokio::task::block_in_place(|| pcli::secrets::listed(choice.config.as_deref(), &edge.desk()))?))
    };
    match list() {
        Ok(Some(secrets)) => Environment::Listed(secrets.iter().map(declared).collect()),
        Ok(None) => {
            Environment::Unknown("There is no app.toml here: start prun ui in the project's folder.".to_owned())
        }
        Err(failure) => Environment::Unknown(words(&failure).join("; ")),
    }
}

fn declared(secret: &ListedSecret) -> Declared {
    Declared {
        name: secret.name.clone(),
        scope: secret.scope.to_owned(),
        source: secret.source.clone(),
        state: secret.state.word().to_owned(),
        is_set: secret.state == State::Set,
        length: secret.length.unwrap_or_default().to_owned(),
        search: secret.searched(),
    }
}

/// Reads what the engine and the sealed state know of the project.
async fn running(choice: &Choice, overview: &mut Overview, edge: &Edge) -> Result<(), Failure> {
    let known = KnownProject::find(choice, edge).await?;
    let document = edge.cancellation.unless_cancelled(known.read()).await??;
    let (host, ledger) = (&known.host, document.ledger()?);
    let project = Project::new(&known.name, ledger.owner());
    let all = containers::list(host, &project).await?;
    overview.services = services_of(&ledger, &project, &all);
    overview.instances = instances(&all);
    let addresses = forwarder::addresses(host, &project).await?;
    if !addresses.is_empty() {
        let urls: Vec<String> = addresses.into_iter().map(|address| address.url).collect();
        overview.facts.push(("Open", urls.join(" ")));
    }
    let mut app: Vec<&ContainerSummary> = of_role(&all, Role::App).collect();
    app.sort_by_key(|container| containers::name_of(container));
    if !ps::waiting(host, &project, &app).await.is_empty() {
        let text = "a restart of the engine took the values from memory: prun resume brings them back";
        overview.remarks.push(text.to_owned());
    }
    let generations = document.generations()?;
    let row = |row: rollback::GenerationRow| Generation {
        number: row.number,
        made: show::ago(now().saturating_sub(row.made)),
        by: row.by.unwrap_or_default(),
        image: row.image,
        changed: row.changed.join(" "),
    };
    overview.generations = rollback::rows_of(&generations)?.into_iter().map(row).collect();
    let Some(newest) = generations.first() else { return Ok(()) };
    let plan = newest.record.plan().map_err(RunError::from)?;
    overview.facts.insert(0, ("Image", plan.image().to_owned()));
    overview.injected = injected(newest, &ledger, choice)?;
    for command in plan.init() {
        let (name, command) = (command.name.clone(), command.command.join(" "));
        overview.init.push(Init { name, command, result: String::new() });
    }
    if !overview.init.is_empty() {
        for container in &app {
            let instance = instance_of(container);
            let found = init_results::read(host, &containers::name_of(container), overview.init.len()).await;
            for (name, how) in found {
                let Some(init) = overview.init.iter_mut().find(|init| init.name == name) else { continue };
                let more = if init.result.is_empty() { "" } else { " · " };
                init.result.push_str(&format!("{more}instance {instance} {how}"));
            }
        }
    }
    Ok(())
}

fn of_role(all: &[ContainerSummary], wanted: Role) -> impl Iterator<Item = &ContainerSummary> {
    all.iter().filter(move |container| role(container) == Some(wanted.as_str()))
}

fn state_of(container: &ContainerSummary) -> String {
    container.state.map_or_else(String::new, |state| state.to_string())
}

fn services_of(ledger: &Ledger, project: &Project, all: &[ContainerSummary]) -> Vec<Service> {
    let row = |service: &pcredential::ServiceRecord| {
        let container = project.service(service.name());
        let container = of_role(all, Role::Service).find(|one| containers::name_of(one) == container);
        Service {
            name: service.name().to_owned(),
            image: service.image().to_owned(),
            state: container.map_or_else(|| "stopped".to_owned(), state_of),
            volume: service.volume().to_owned(),
            credential: services::standing(service),
        }
    };
    ledger.services().iter().map(row).collect()
}

fn instances(all: &[ContainerSummary]) -> Vec<Instance> {
    let row = |container: &ContainerSummary| {
        let instance = instance_of(container);
        Instance {
            name: containers::name_of(container),
            what: format!("instance {instance} of generation {}", number(container).unwrap_or_default()),
            state: state_of(container),
            since: container.status.clone().unwrap_or_default(),
        }
    };
    let mut rows: Vec<Instance> = of_role(all, Role::App).map(row).collect();
    rows.sort_by(|one, other| one.name.cmp(&other.name));
    rows
}

/// Returns the name of a container's instance, such as `2` or `worker.2`.
fn instance_of(container: &ContainerSummary) -> String {
    InstanceName::of(container).map_or_else(|| "?".to_owned(), |name| name.to_string())
}

fn injected(generation: &generation::Generation, ledger: &Ledger, choice: &Choice) -> Result<Vec<Injected>, Failure> {
    let deliver = generation.record.plan().map_err(RunError::from)?.deliver();
    let row = |variable: &Variable| {
        let content = match &variable.value {
            Value::Public(text) => Content::Public(text.clone()),
            Value::Confidential(value) => Content::Confidential(value.len()),
        };
        let age = match (&variable.origin, &content) {
            (Origin::Service(service), Content::Confidential(_)) => ledger
                .service(service)
                .map(|service| show::age(now().saturating_sub(service.created())))
                .unwrap_or_default(),
            (Origin::Service(_) | Origin::User(_) | Origin::Configuration, _) => String::new(),
        };
        Injected {
            name: instance::seen_by_app(variable, deliver).name,
            from: show::from(&variable.origin),
            content,
            age,
        }
    };
    let mut rows: Vec<Injected> = generation.variables.iter().map(row).collect();
    if let Some(found) = manifest(choice.config.as_deref())? {
        let absent = |secret: &papp::Secret| Injected {
            name: secret.name.clone(),
            from: String::new(),
            content: Content::Absent(show::BUILD_ONLY),
            age: String::new(),
        };
        rows.extend(found.manifest.secrets.iter().filter(|secret| !secret.in_run()).map(absent));
    }
    Ok(rows)
}
