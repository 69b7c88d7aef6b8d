//! Properties of the plan: a platform in memory carries out the steps, and is killed after any of them.

mod platform;

use std::collections::BTreeSet;

use pcredential::Stage;
use proptest::prelude::*;

use super::{next, undo};
use crate::{
    Instance, InstanceStep, Inventory, Journal, Need, Process, SealedGeneration, SealedService, ServiceStep, Setup,
    Step,
};
use platform::{Order, Platform, SERVICES};

/// How many steps no walk of these tests comes near to.
const ENDLESS: usize = 1000;

/// What a user, or fate, changes before a command.
#[derive(Clone, Debug)]
enum Change {
    Nothing,
    Version(u8),
    Record(u8),
    Check(u8),
    Services(Vec<bool>),
    Processes(Vec<u32>),
    Ports(u8),
    Rotate(Vec<bool>),
    Reset(usize),
    Replace,
    PlatformRestarts,
    InstanceEnds,
    EdgeIsLost,
}

/// How a command ends if it does not come to its end.
#[derive(Clone, Copy, Debug)]
enum End {
    Killed,
    Failed,
}

/// A command: what changes before it, and after how many steps it is killed or fails.
#[derive(Clone, Debug)]
struct Command {
    changes: Vec<Change>,
    end: End,
    after: usize,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        Just(Change::Nothing),
        (0..3_u8).prop_map(Change::Version),
        (0..3_u8).prop_map(Change::Record),
        (0..3_u8).prop_map(Change::Check),
        prop::collection::vec(any::<bool>(), 3).prop_map(Change::Services),
        prop::collection::vec(0..3_u32, 2).prop_map(Change::Processes),
        (0..3_u8).prop_map(Change::Ports),
        prop::collection::vec(any::<bool>(), 3).prop_map(Change::Rotate),
        (0..3_usize).prop_map(Change::Reset),
        Just(Change::Replace),
        Just(Change::PlatformRestarts),
        Just(Change::InstanceEnds),
        Just(Change::EdgeIsLost),
    ]
}

fn commands() -> impl Strategy<Value = Vec<Command>> {
    let end = prop_oneof![Just(End::Killed), Just(End::Failed)];
    let after = prop_oneof![0..25_usize, Just(ENDLESS)];
    let command = (prop::collection::vec(change(), 0..4), end, after).prop_map(|(changes, end, after)| Command {
        changes,
        end,
        after,
    });
    prop::collection::vec(command, 1..5)
}

fn chosen(flags: &[bool]) -> BTreeSet<&'static str> {
    SERVICES.into_iter().zip(flags).filter(|(_, flag)| **flag).map(|(name, _)| name).collect()
}

fn apply(changes: &[Change], order: &mut Order, platform: &mut Platform) {
    order.after = 0;
    for change in changes {
        match change {
            Change::Nothing => {}
            Change::Version(version) => order.version = *version,
            Change::Record(record) => order.record = *record,
            Change::Check(check) => order.check = *check,
            Change::Services(flags) => order.services = chosen(flags),
            Change::Processes(replicas) => {
                order.processes = ["web", "worker"].into_iter().zip(replicas.iter().copied()).collect();
            }
            Change::Ports(ports) => order.ports = *ports,
            Change::Rotate(flags) => chosen(flags).into_iter().for_each(|name| platform.begin_rotation(name)),
            Change::Reset(at) => platform.reset(SERVICES[*at]),
            Change::Replace => order.after = platform.newest(),
            Change::PlatformRestarts => platform.restart(),
            Change::InstanceEnds => platform.end_one(),
            Change::EdgeIsLost => platform.lose_edge(),
        }
    }
    platform.add(order);
}

/// What one command has seen by its own steps.
#[derive(Default)]
struct Memory {
    checked: BTreeSet<String>,
    tried: BTreeSet<String>,
}

fn plan(platform: &Platform, order: &Order, memory: &Memory) -> Vec<Step> {
    let inventory = platform.inventory(order, &memory.checked, &memory.tried);
    next(&platform.need(order), &platform.journal(order), &inventory)
}

/// Carries out a command up to a number of steps, and returns how many it carried out.
fn walk(platform: &mut Platform, order: &Order, steps: usize, end: End) -> usize {
    let mut memory = Memory::default();
    let mut done = 0;
    loop {
        let planned = plan(platform, order, &memory);
        if planned.is_empty() {
            return done;
        }
        for step in planned {
            if done == steps {
                if let End::Failed = end {
                    let inventory = platform.inventory(order, &memory.checked, &memory.tried);
                    for step in undo(&platform.journal(order), &inventory) {
                        platform.carry_out(order, &Step::Instance(step));
                    }
                }
                return done;
            }
            platform.carry_out(order, &step);
            done += 1;
            assert!(done < ENDLESS, "the walk comes to an end");
            match step {
                Step::Service(ServiceStep::ProbeLogins(name)) => drop(memory.tried.insert(name)),
                Step::Instance(InstanceStep::CheckProcess(_, name)) => drop(memory.checked.insert(name)),
                _ => {}
            }
        }
    }
}

/// Brings a project to where the commands leave it, each of them killed or failed on its way.
fn history(commands: &[Command]) -> (Platform, Order) {
    let (mut platform, mut order) = (Platform::default(), Order::default());
    for command in commands {
        apply(&command.changes, &mut order, &mut platform);
        walk(&mut platform, &order, command.after, command.end);
    }
    (platform, order)
}

proptest! {
    /// The platform itself checks the rest at every step: nothing is revoked before every instance was seen on the
    /// new generation, nobody loses a credential, and old instances go only after the new ones are healthy.
    #[test]
    fn after_any_steps_a_killed_walk_is_planned_again_to_the_same_end(
        before in commands(), last in prop::collection::vec(change(), 0..4),
    ) {
        let (mut platform, mut order) = history(&before);
        apply(&last, &mut order, &mut platform);
        let mut whole = platform.clone();
        let steps = walk(&mut whole, &order, ENDLESS, End::Killed);
        whole.check_end(&order);
        prop_assert_eq!(plan(&whole, &order, &Memory::default()), []);
        for killed_after in 0..steps {
            for end in [End::Killed, End::Failed] {
                let mut killed = platform.clone();
                walk(&mut killed, &order, killed_after, end);
                walk(&mut killed, &order, ENDLESS, End::Killed);
                prop_assert_eq!(&killed, &whole, "{:?} after {} steps", end, killed_after);
            }
        }
    }

    #[test]
    fn a_plan_depends_on_what_it_is_given_alone(before in commands()) {
        let (platform, order) = history(&before);
        prop_assert_eq!(plan(&platform, &order, &Memory::default()), plan(&platform, &order, &Memory::default()));
    }
}

fn service(stage: Option<Stage>) -> SealedService {
    SealedService { name: "db".to_owned(), setup: Setup::Settled, stage }
}

fn need(replicas: u32) -> Need {
    let process = Process { name: "web".to_owned(), replicas, has_new_check: false };
    Need { services: Vec::new(), processes: vec![process], digest: "new".to_owned(), after: 0, is_published: true }
}

#[test]
fn a_first_start_is_one_list_from_the_ports_to_the_turn() {
    let inventory = Inventory { has_network: true, ..Inventory::default() };
    let steps = next(&need(2), &Journal::default(), &inventory);
    let instance = |number| Instance { process: "web".to_owned(), number };
    let expected = [
        InstanceStep::OpenEdge(1),
        InstanceStep::Hold(1),
        InstanceStep::CreateInstance(1, instance(1)),
        InstanceStep::CreateInstance(1, instance(2)),
        InstanceStep::Deliver(1),
        InstanceStep::StartInstance(1, instance(1)),
        InstanceStep::AwaitHealthy(1, instance(1)),
        InstanceStep::StartInstance(1, instance(2)),
        InstanceStep::AwaitHealthy(1, instance(2)),
        InstanceStep::Seal(1),
        InstanceStep::TurnEdge(1),
    ];
    assert_eq!(steps, expected.map(Step::Instance));
}

#[test]
fn a_rotation_of_a_service_that_is_not_needed_waits_for_it() {
    let journal = Journal { services: vec![service(Some(Stage::Publishing))], ..Journal::default() };
    let steps = next(&need(0), &journal, &Inventory { has_network: true, ..Inventory::default() });
    assert!(steps.iter().all(|step| !matches!(step, Step::Service(ServiceStep::ProbeLogins(_)))), "{steps:?}");
}

#[test]
fn a_failed_first_start_leaves_no_port() {
    let inventory = Inventory { edge: crate::Edge::Astray, ..Inventory::default() };
    assert_eq!(undo(&Journal::default(), &inventory), [InstanceStep::CloseEdge]);
    let current = Some(SealedGeneration { number: 4, digest: String::new(), is_recorded: true });
    assert_eq!(undo(&Journal { newest: 4, current, ..Journal::default() }, &inventory), []);
}
