//! The plan: from what is needed, journaled and seen to the next steps.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use pcredential::Stage;

use crate::inventory::{Edge, Inventory, Logins, Standing};
use crate::journal::{Journal, SealedService, Setup};
use crate::need::{Instance, Need};
use crate::step::{InstanceStep, ServiceStep, Step};

/// Plans the next steps of a start. Without steps, everything is as needed.
///
/// The stages of the walk have one order, and the first one that has steps is next. A stage can rely on all stages
/// before it: no credential is revoked while the roll still has a step.
#[must_use]
pub fn next(need: &Need, journal: &Journal, inventory: &Inventory) -> Vec<Step> {
    let of_services = |steps: Vec<ServiceStep>| steps.into_iter().map(Step::Service).collect::<Vec<_>>();
    let of_instances = |steps: Vec<InstanceStep>| steps.into_iter().map(Step::Instance).collect::<Vec<_>>();
    let stages: [&dyn Fn() -> Vec<Step>; 4] = [
        &|| of_services(prepare(need, journal, inventory)),
        &|| of_instances(roll(need, journal, inventory)),
        &|| of_services(revoking(need, journal, inventory)),
        &|| of_services(removal(need, journal, inventory)),
    ];
    stages.into_iter().map(|stage| stage()).find(|steps| !steps.is_empty()).unwrap_or_default()
}

/// Plans the next steps up to the point where the values of instances can be composed: the services are ready, and
/// accept the credentials that instances get.
#[must_use]
pub fn prepare(need: &Need, journal: &Journal, inventory: &Inventory) -> Vec<ServiceStep> {
    let steps = services(need, journal, inventory);
    if steps.is_empty() { enabling(need, journal, inventory) } else { steps }
}

/// Plans the steps after a failure: whatever was brought up and not sealed must not stay. What ran before stays.
#[must_use]
pub fn undo(journal: &Journal, inventory: &Inventory) -> Vec<InstanceStep> {
    let edge = (journal.newest == 0 && inventory.edge != Edge::Closed).then_some(InstanceStep::CloseEdge);
    leftovers(journal, inventory).chain(edge).collect()
}

/// Finds the journal's entries of the needed services.
fn needed<'a>(need: &Need, journal: &'a Journal) -> Vec<&'a SealedService> {
    let names: BTreeSet<&str> = need.services.iter().map(String::as_str).collect();
    journal.services.iter().filter(|service| names.contains(service.name.as_str())).collect()
}

fn names<'a>(services: impl IntoIterator<Item = &'a SealedService>) -> Vec<String> {
    services.into_iter().map(|service| service.name.clone()).collect()
}

/// Makes the needed services run and accept their credentials.
fn services(need: &Need, journal: &Journal, inventory: &Inventory) -> Vec<ServiceStep> {
    let needed = needed(need, journal);
    let missing = names(needed.iter().copied().filter(|service| !inventory.service(&service.name).is_ready));
    let unproven = names(needed.iter().copied().filter(|service| service.setup != Setup::Settled));
    let resetting = names(needed.iter().copied().filter(|service| service.setup == Setup::Resetting));
    let mut steps: Vec<ServiceStep> = missing.iter().cloned().map(ServiceStep::CheckService).collect();
    if !inventory.has_network {
        steps.push(ServiceStep::EnsureNetwork);
    }
    steps.extend(missing.iter().cloned().map(ServiceStep::StartService));
    if !missing.is_empty() {
        steps.push(ServiceStep::AwaitLogins(missing));
    }
    if !unproven.is_empty() {
        steps.push(ServiceStep::Prove(unproven));
    }
    steps.extend(resetting.into_iter().map(ServiceStep::RestartService));
    steps
}

/// Makes services accept the next credential beside the current one, so that instances may get it.
fn enabling(need: &Need, journal: &Journal, inventory: &Inventory) -> Vec<ServiceStep> {
    const BOTH: Logins = Logins { current: true, next: true };
    let mut under_way = needed(need, journal);
    under_way.retain(|service| matches!(service.stage, Some(Stage::Enabling | Stage::Publishing)));
    let logins = |service: &SealedService| inventory.service(&service.name).logins;
    let unknown = under_way.iter().copied().filter(|service| logins(service).is_none());
    let probes: Vec<ServiceStep> = names(unknown).into_iter().map(ServiceStep::ProbeLogins).collect();
    if !probes.is_empty() {
        return probes;
    }
    let unfinished = under_way.iter().copied().filter(|service| logins(service) != Some(BOTH));
    let enable = |name: String| [ServiceStep::EnableCredential(name.clone()), ServiceStep::VerifyEnabled(name)];
    let mut steps: Vec<ServiceStep> = names(unfinished).into_iter().flat_map(enable).collect();
    let unpublished = names(under_way.into_iter().filter(|service| service.stage == Some(Stage::Enabling)));
    if !unpublished.is_empty() {
        steps.push(ServiceStep::Advance(Stage::Publishing, unpublished));
    }
    steps
}

/// Makes the instances of one generation run as needed, sends the connections to them, and retires all others.
fn roll(need: &Need, journal: &Journal, inventory: &Inventory) -> Vec<InstanceStep> {
    let current = journal.current.as_ref();
    let current = current.filter(|current| current.digest == need.digest && current.number > need.after);
    let number = current.map_or(journal.newest + 1, |current| current.number);
    let mut steps: Vec<InstanceStep> = leftovers(journal, inventory).collect();
    if need.is_published && !matches!(inventory.edge, Edge::At(_)) {
        steps.push(InstanceStep::OpenEdge(number));
    }
    // What a killed command left under the number of a new generation is a leftover, and goes first.
    let seen = inventory.generations.get(&number).filter(|_| number <= journal.newest);
    let standing =
        |instance: &Instance| seen.and_then(|seen| seen.instances.get(instance)).copied().unwrap_or(Standing::Down);
    let stand = |instance: Instance| (standing(&instance), instance);
    let instances: Vec<(Standing, Instance)> = need.instances().map(stand).collect();
    let has_values = instances.is_empty() || seen.is_some_and(|seen| seen.has_values);
    let is_whole = has_values && instances.iter().all(|(standing, _)| *standing == Standing::Healthy);
    if is_whole {
        let new = need.processes.iter().filter(|process| process.has_new_check && process.replicas > 0);
        let new = new.filter(|process| !inventory.checked.contains(&process.name));
        steps.extend(new.map(|process| InstanceStep::CheckProcess(number, process.name.clone())));
    } else {
        steps.extend(bring_up(number, &instances));
    }
    if !is_whole || !current.is_some_and(|current| current.is_recorded) {
        steps.push(InstanceStep::Seal(number));
    }
    match (need.is_published, inventory.edge) {
        (true, Edge::At(at)) if at == number => {}
        (true, Edge::At(_) | Edge::Astray | Edge::Closed) => steps.push(InstanceStep::TurnEdge(number)),
        (false, Edge::Closed) => {}
        (false, Edge::At(_) | Edge::Astray) => steps.push(InstanceStep::CloseEdge),
    }
    let older = inventory.generations.keys().filter(|one| **one != number && **one <= journal.newest);
    steps.extend(older.copied().map(InstanceStep::Retire));
    steps
}

/// Starts what does not run of a generation, one instance after the other. Instances that run are looked at again,
/// because they may have been without values.
fn bring_up(number: u64, instances: &[(Standing, Instance)]) -> Vec<InstanceStep> {
    let down = |instance: &Instance, standing: Standing, step: fn(u64, Instance) -> InstanceStep| {
        (standing == Standing::Down).then(|| step(number, instance.clone()))
    };
    let create = instances.iter().filter_map(|(standing, one)| down(one, *standing, InstanceStep::CreateInstance));
    let start = instances.iter().flat_map(|(standing, one)| {
        down(one, *standing, InstanceStep::StartInstance)
            .into_iter()
            .chain([InstanceStep::AwaitHealthy(number, one.clone())])
    });
    [InstanceStep::Hold(number)].into_iter().chain(create).chain([InstanceStep::Deliver(number)]).chain(start).collect()
}

/// Removes what a killed command brought up and did not seal.
fn leftovers<'a>(journal: &'a Journal, inventory: &'a Inventory) -> impl Iterator<Item = InstanceStep> + 'a {
    inventory.generations.range(journal.newest + 1..).map(|(number, _)| InstanceStep::Retire(*number))
}

/// Makes services refuse the credentials from before their rotations. All instances have the next ones.
fn revoking(need: &Need, journal: &Journal, inventory: &Inventory) -> Vec<ServiceStep> {
    const NEXT: Logins = Logins { current: false, next: true };
    let mut rotated = needed(need, journal);
    rotated.retain(|service| service.stage.is_some());
    if rotated.is_empty() {
        return Vec::new();
    }
    let all = names(rotated.iter().copied());
    let is_journaled = rotated.iter().all(|service| service.stage == Some(Stage::Revoking));
    let journaled = (!is_journaled).then(|| ServiceStep::Advance(Stage::Revoking, all.clone()));
    let accepted = names(rotated.into_iter().filter(|service| inventory.service(&service.name).logins != Some(NEXT)));
    let revoke = |name: String| [ServiceStep::RevokeCredential(name.clone()), ServiceStep::VerifyRefused(name)];
    let steps = journaled.into_iter().chain(accepted.into_iter().flat_map(revoke));
    steps.chain([ServiceStep::FinishRotation(all)]).collect()
}

/// Removes the services that are not needed any more.
fn removal(need: &Need, journal: &Journal, inventory: &Inventory) -> Vec<ServiceStep> {
    let needed: BTreeSet<&str> = need.services.iter().map(String::as_str).collect();
    let others = journal.services.iter().filter(|service| !needed.contains(service.name.as_str()));
    names(others.filter(|service| inventory.service(&service.name).exists))
        .into_iter()
        .map(ServiceStep::RemoveService)
        .collect()
}
