//! `prun ps`: shows the running instances and services.

use std::collections::BTreeMap;

use bollard::models::{ContainerSummary, ContainerSummaryStateEnum};
use pengine::Engine;
use pscreen::Exit;

use crate::commands::show::{self, table};
use crate::edge::{Edge, Failure};
use crate::engine::containers;
use crate::instance::{forwarder, holder};
use crate::names::{self, InstanceName, Project, Role, number, role};
use crate::plan::request::{ListForm, ListRequest};
use crate::project::{KnownProject, connect};
use crate::state;
use crate::state::caller::Caller;

/// A row for a service's container.
struct ServiceRow {
    name: String,
    image: String,
    state: String,
    since: String,
}

/// A row for an instance.
struct InstanceRow {
    container: String,
    name: InstanceName,
    generation: u64,
    schedule: Option<String>,
    state: String,
    since: String,
    open: Vec<String>,
}

/// Shows the running instances and services.
///
/// # Errors
///
/// Returns an error if the project does not exist, or no engine answers.
pub(crate) async fn ps(request: &ListRequest, edge: &Edge) -> Result<Exit, Failure> {
    let known = KnownProject::find(&request.project, edge).await?;
    // Labels are enough to show what runs, so users who are not operators can see it too.
    let (project, host) = (edge.cancellation.unless_cancelled(known.project()).await??, known.host);
    let all = containers::list(&host, &project).await?;
    let addresses = forwarder::addresses(&host, &project).await?;
    let with = |kind: Role| {
        let mut found: Vec<_> = all.iter().filter(|container| role(container) == Some(kind.as_str())).collect();
        found.sort_by_key(|container| containers::name_of(container));
        found
    };
    let state = |container: &ContainerSummary| container.state.map_or_else(String::new, |state| state.to_string());
    let since = |container: &ContainerSummary| container.status.clone().unwrap_or_default();
    let service = |container: &&ContainerSummary| ServiceRow {
        name: names::label(container.labels.as_ref(), names::SERVICE).unwrap_or_default().to_owned(),
        image: container.image.clone().unwrap_or_default(),
        state: state(container),
        since: since(container),
    };
    let services: Vec<ServiceRow> = with(Role::Service).iter().map(service).collect();
    let waiting = waiting(&host, &project, &with(Role::App)).await;
    let instance = |container: &&ContainerSummary| {
        let name = InstanceName::of(container)?;
        let generation = number(container).unwrap_or_default();
        let waits = waiting.contains(&generation);
        let is_open = |address: &&forwarder::Address| address.process.as_ref().is_none_or(|of| *of == name.process);
        let open = addresses.iter().filter(is_open).map(|address| address.url.clone()).collect();
        Some(InstanceRow {
            container: containers::name_of(container),
            generation,
            schedule: names::label(container.labels.as_ref(), names::SCHEDULE).map(str::to_owned),
            state: if waits { "waits for its values".to_owned() } else { state(container) },
            since: since(container),
            open,
            name,
        })
    };
    let instances: Vec<InstanceRow> = with(Role::App).iter().filter_map(instance).collect();
    let text = match request.form {
        ListForm::Table => table_of(&services, &instances),
        ListForm::Json => json_of(project.name(), &services, &instances),
    };
    edge.stdout.bytes(text.as_bytes());
    if !waiting.is_empty() {
        let text = "a restart of the engine took the values from memory: prun resume brings them back";
        edge.stderr.warning(text);
    }
    Ok(Exit::Done)
}

fn table_of(services: &[ServiceRow], instances: &[InstanceRow]) -> String {
    let mut rows = vec![["NAME", "WHAT", "STATE", "SINCE", "OPEN"].map(str::to_owned)];
    rows.extend(services.iter().map(|service| {
        let ServiceRow { name, image, state, since } = service;
        [name.clone(), image.clone(), state.clone(), since.clone(), String::new()]
    }));
    rows.extend(instances.iter().map(|instance| {
        let schedule = instance.schedule.as_ref().map_or_else(String::new, |schedule| format!(", {schedule}"));
        let what = format!("instance {} of generation {}{schedule}", instance.name, instance.generation);
        let open = instance.open.join(" ");
        [instance.container.clone(), what, instance.state.clone(), instance.since.clone(), open]
    }));
    table(&rows)
}

/// Writes JSON of version 1, which `docs/schemas/ps.schema.json` describes.
fn json_of(project: &str, services: &[ServiceRow], instances: &[InstanceRow]) -> String {
    let service = |service: &ServiceRow| {
        let ServiceRow { name, image, state, since } = service;
        serde_json::json!({ "name": name, "image": image, "state": state, "since": since })
    };
    let instance = |instance: &InstanceRow| {
        let InstanceRow { container, name, generation, schedule, state, since, open } = instance;
        serde_json::json!({
            "container": container, "process": name.process, "number": name.number, "generation": generation,
            "schedule": schedule, "state": state, "since": since, "open": open,
        })
    };
    let services: Vec<serde_json::Value> = services.iter().map(service).collect();
    let instances: Vec<serde_json::Value> = instances.iter().map(instance).collect();
    let document = serde_json::json!({
        "version": 1, "project": project, "services": services, "instances": instances,
    });
    show::document(&document)
}

/// A row for a project of the engine.
struct ProjectRow {
    name: String,
    id: String,
    instances: usize,
    services: Vec<String>,
    standing: Standing,
}

/// What this user has to do with a project.
#[derive(Clone, Copy)]
enum Standing {
    /// This user may operate it.
    Operated,
    /// It belongs to others, or this user has not adopted it.
    Foreign,
    /// It has containers and no state.
    Orphan,
}

impl Standing {
    /// Returns the words for people, and the word for programs.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Operated => ("operated by this user", "operated"),
            Self::Foreign => ("of others, or not adopted", "foreign"),
            Self::Orphan => ("has no state here", "orphan"),
        }
    }
}

/// Shows every project of the engine: what runs of it, and whether this user may operate it.
///
/// # Errors
///
/// Returns an error if no engine answers.
pub(crate) async fn all(form: ListForm, edge: &Edge) -> Result<Exit, Failure> {
    let host = edge.cancellation.unless_cancelled(connect()).await??;
    let caller = Caller::of_process(None);
    let mut projects = Vec::new();
    let known = state::projects(&host).await?;
    let marked = containers::of_all_projects(&host).await?;
    for project in &known {
        let of = |kind: Role| {
            let theirs = marked.iter().filter(move |container| role(container) == Some(kind.as_str()));
            theirs.filter(|container| {
                let label = |name| names::label(container.labels.as_ref(), name);
                label(names::PROJECT) == Some(project.name()) && label(names::OWNER) == Some(project.owner())
            })
        };
        let is_running = |container: &&ContainerSummary| container.state == Some(ContainerSummaryStateEnum::RUNNING);
        let instances = of(Role::App).filter(is_running).count();
        let services = of(Role::Service).filter(is_running);
        let services = services.filter_map(|container| names::label(container.labels.as_ref(), names::SERVICE));
        let mut services: Vec<String> = services.map(str::to_owned).collect();
        services.sort_unstable();
        let standing = match caller.operates(project.name(), project.owner()) {
            Ok(true) => Standing::Operated,
            Ok(false) | Err(_) => Standing::Foreign,
        };
        let (name, id) = (project.name().to_owned(), project.owner().to_owned());
        projects.push(ProjectRow { name, id, instances, services, standing });
    }
    projects.extend(orphans(&known, &marked));
    let text = match form {
        ListForm::Table => {
            let mut rows = vec![["PROJECT", "INSTANCES", "SERVICES", "STATE", "ID"].map(str::to_owned)];
            rows.extend(projects.into_iter().map(|project| {
                let ProjectRow { name, id, instances, services, standing } = project;
                [name, instances.to_string(), services.join(" "), standing.words().0.to_owned(), id]
            }));
            table(&rows)
        }
        ListForm::Json => {
            let project = |project: &ProjectRow| {
                let ProjectRow { name, id, instances, services, standing } = project;
                let standing = standing.words().1;
                serde_json::json!({
                    "name": name, "id": id, "instances": instances, "services": services, "standing": standing,
                })
            };
            let projects: Vec<serde_json::Value> = projects.iter().map(project).collect();
            show::document(&serde_json::json!({ "version": 1, "projects": projects }))
        }
    };
    edge.stdout.bytes(text.as_bytes());
    Ok(Exit::Done)
}

/// Finds the projects that have containers but no state on the engine.
fn orphans(known: &[Project], marked: &[ContainerSummary]) -> Vec<ProjectRow> {
    let mut orphans: BTreeMap<(String, String), usize> = BTreeMap::new();
    for container in marked.iter().filter(|container| role(container) == Some(Role::App.as_str())) {
        let label = |name| names::label(container.labels.as_ref(), name).unwrap_or_default().to_owned();
        let (name, owner) = (label(names::PROJECT), label(names::OWNER));
        if !known.iter().any(|project| project.name() == name && project.owner() == owner) {
            *orphans.entry((name, owner)).or_default() += 1;
        }
    }
    let row = |((name, id), instances): ((String, String), usize)| ProjectRow {
        name,
        id,
        instances,
        services: Vec::new(),
        standing: Standing::Orphan,
    };
    orphans.into_iter().map(row).collect()
}

/// Finds the generations whose instances have lost their values, as after a restart of the engine.
pub(crate) async fn waiting(host: &Engine, project: &Project, instances: &[&ContainerSummary]) -> Vec<u64> {
    let mut numbers: Vec<u64> = instances.iter().filter_map(|container| number(container)).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let mut waiting = Vec::new();
    for number in numbers {
        let holder = project.values(number);
        // Instances without values have no holder.
        let has_holder = matches!(containers::inspect(host, project, &holder).await, Ok(Some(_)));
        if has_holder && !holder::is_filled(host, &holder).await {
            waiting.push(number);
        }
    }
    waiting
}
