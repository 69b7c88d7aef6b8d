//! A platform in memory, which carries out steps and refuses every one that comes too early.

use std::collections::{BTreeMap, BTreeSet};

use pcredential::Stage;

use crate::{
    Edge, Instance, InstanceStep, Inventory, Journal, Logins, Need, Process, SealedGeneration, SealedService,
    SeenGeneration, SeenService, ServiceStep, Setup, Standing, Step,
};

/// What a command was ordered to do.
#[derive(Clone, Debug, Default)]
pub(super) struct Order {
    pub(super) version: u8,
    pub(super) record: u8,
    pub(super) check: u8,
    pub(super) services: BTreeSet<&'static str>,
    pub(super) processes: BTreeMap<&'static str, u32>,
    pub(super) ports: u8,
    pub(super) after: u64,
}

/// A project on its platform: what is sealed, and what runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Platform {
    sealed: BTreeMap<&'static str, Sealed>,
    newest: u64,
    current: Option<Current>,
    has_network: bool,
    servers: BTreeMap<&'static str, Server>,
    generations: BTreeMap<u64, Generation>,
    forwarder: Option<Forwarder>,
    /// How many credentials were ever made. Each is known by its number.
    credentials: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Sealed {
    setup: Setup,
    stage: Option<Stage>,
    credential: u32,
    next: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Current {
    number: u64,
    digest: String,
    record: u8,
    check: u8,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Server {
    mode: Mode,
    accepts: BTreeSet<u32>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    #[default]
    Stopped,
    Resetting,
    Normal,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Generation {
    digest: String,
    credentials: BTreeMap<&'static str, u32>,
    has_values: bool,
    instances: BTreeMap<Instance, Standing>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Forwarder {
    ports: u8,
    to: BTreeSet<u64>,
}

impl Sealed {
    /// Returns the credential that a new generation gets.
    fn published(&self) -> u32 {
        match (self.stage, self.next) {
            (Some(Stage::Publishing | Stage::Revoking), Some(next)) => next,
            _ => self.credential,
        }
    }

    fn next(&self) -> u32 {
        self.next.expect("a rotation is under way")
    }
}

impl Generation {
    fn is_healthy(&self) -> bool {
        self.has_values && self.instances.values().all(|standing| *standing == Standing::Healthy)
    }
}

impl Platform {
    /// Seals a credential for every service of an order that has none.
    pub(super) fn add(&mut self, order: &Order) {
        for name in &order.services {
            if !self.sealed.contains_key(name) {
                self.credentials += 1;
                let (setup, credential) = (Setup::Unproven, self.credentials);
                self.sealed.insert(name, Sealed { setup, stage: None, credential, next: None });
            }
        }
    }

    pub(super) fn begin_rotation(&mut self, name: &str) {
        let Some(sealed) = self.sealed.get_mut(name) else { return };
        if sealed.setup == Setup::Settled && sealed.next.is_none() {
            self.credentials += 1;
            (sealed.stage, sealed.next) = (Some(Stage::Enabling), Some(self.credentials));
        }
    }

    /// Seals a new credential for a server whose passwords nobody knows.
    pub(super) fn reset(&mut self, name: &str) {
        let Some(sealed) = self.sealed.get_mut(name) else { return };
        self.credentials += 1;
        *sealed = Sealed { setup: Setup::Resetting, stage: None, credential: self.credentials, next: None };
        let server = self.servers.entry(all_names(name)).or_default();
        (server.mode, server.accepts) = (Mode::Stopped, BTreeSet::new());
    }

    /// Ends everything that runs. A platform's restart takes the values, too.
    pub(super) fn restart(&mut self) {
        for generation in self.generations.values_mut() {
            generation.has_values = false;
            generation.instances.values_mut().for_each(|standing| *standing = Standing::Down);
        }
        self.servers.values_mut().for_each(|server| server.mode = Mode::Stopped);
    }

    /// Ends one instance.
    pub(super) fn end_one(&mut self) {
        if let Some(standing) = self.generations.values_mut().flat_map(|one| one.instances.values_mut()).next() {
            *standing = Standing::Down;
        }
    }

    pub(super) fn lose_edge(&mut self) {
        self.forwarder = None;
    }

    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    fn credentials(&self, order: &Order) -> BTreeMap<&'static str, u32> {
        order.services.iter().map(|name| (*name, self.sealed[name].published())).collect()
    }

    fn digest(&self, order: &Order) -> String {
        format!("{} {:?} {:?}", order.version, order.processes, self.credentials(order))
    }

    pub(super) fn need(&self, order: &Order) -> Need {
        let sealed_check = self.current.as_ref().map(|current| current.check);
        let process = |(name, replicas): (&&str, &u32)| Process {
            name: (*name).to_owned(),
            replicas: *replicas,
            has_new_check: order.check > 0 && sealed_check.is_some_and(|sealed| sealed != order.check),
        };
        Need {
            services: order.services.iter().map(|name| (*name).to_owned()).collect(),
            processes: order.processes.iter().map(process).collect(),
            digest: self.digest(order),
            after: order.after,
            is_published: order.ports > 0,
        }
    }

    pub(super) fn journal(&self, order: &Order) -> Journal {
        let service = |(name, sealed): (&&str, &Sealed)| SealedService {
            name: (*name).to_owned(),
            setup: sealed.setup,
            stage: sealed.stage,
        };
        let current = self.current.as_ref().map(|current| SealedGeneration {
            number: current.number,
            digest: current.digest.clone(),
            is_recorded: current.record == order.record && current.check == order.check,
        });
        Journal { services: self.sealed.iter().map(service).collect(), newest: self.newest, current }
    }

    /// Looks at everything that can be seen. `tried` holds the logins that this command tried.
    pub(super) fn inventory(&self, order: &Order, checked: &BTreeSet<String>, tried: &BTreeSet<String>) -> Inventory {
        let services = self.servers.iter().map(|(name, server)| {
            let sealed = &self.sealed[name];
            let accepts = |credential: u32| server.accepts.contains(&credential);
            let known = [Some(sealed.credential), sealed.next];
            let is_ready = server.mode == Mode::Normal && known.into_iter().flatten().any(accepts);
            let logins = tried
                .contains(*name)
                .then(|| Logins { current: accepts(sealed.credential), next: sealed.next.is_some_and(accepts) });
            let exists = server.mode != Mode::Stopped;
            ((*name).to_owned(), SeenService { exists, is_ready, logins })
        });
        let seen = |generation: &Generation| SeenGeneration {
            has_values: generation.has_values,
            instances: generation.instances.clone(),
        };
        let edge = match &self.forwarder {
            None => Edge::Closed,
            Some(Forwarder { ports, to }) => match to.first() {
                Some(at) if to.len() == 1 && *ports == order.ports => Edge::At(*at),
                _ => Edge::Astray,
            },
        };
        Inventory {
            has_network: self.has_network,
            services: services.collect(),
            generations: self.generations.iter().map(|(number, one)| (*number, seen(one))).collect(),
            checked: checked.clone(),
            edge,
        }
    }

    /// Carries out a step.
    pub(super) fn carry_out(&mut self, order: &Order, step: &Step) {
        let accepted = self.accepted();
        let served = self.serves();
        match step {
            Step::Service(step) => self.change_services(order, step),
            Step::Instance(step) => self.change_instances(order, step),
        }
        let refused: Vec<_> = accepted
            .iter()
            .filter(|one| self.generations.contains_key(&one.0))
            .filter(|one| !self.accepts(one))
            .collect();
        assert!(refused.is_empty(), "{step:?} takes the credential of instances: {refused:?}");
        let is_served = self.serves() || order.processes.values().all(|replicas| *replicas == 0);
        assert!(!served || is_served, "{step:?} leaves nobody who serves");
    }

    /// Lists the credentials of generations that their servers accept.
    fn accepted(&self) -> BTreeSet<(u64, &'static str, u32)> {
        let all = self.generations.iter().flat_map(|(number, generation)| {
            generation.credentials.iter().map(|(name, credential)| (*number, *name, *credential))
        });
        all.filter(|one| self.accepts(one)).collect()
    }

    fn accepts(&self, (_, name, credential): &(u64, &'static str, u32)) -> bool {
        self.servers.get(name).is_some_and(|server| server.accepts.contains(credential))
    }

    /// Returns whether the instances of any sealed generation are all healthy.
    fn serves(&self) -> bool {
        self.generations.range(..=self.newest).any(|(_, one)| !one.instances.is_empty() && one.is_healthy())
    }

    fn sealed(&mut self, name: &str) -> &mut Sealed {
        self.sealed.get_mut(name).expect("the service is in the journal")
    }

    fn server(&mut self, name: &str) -> &mut Server {
        self.servers.get_mut(name).expect("the service was started")
    }

    fn generation(&mut self, number: u64) -> &mut Generation {
        self.generations.get_mut(&number).expect("the generation has a place")
    }

    fn change_services(&mut self, order: &Order, step: &ServiceStep) {
        match step {
            ServiceStep::CheckService(name) => assert!(self.sealed.contains_key(name.as_str()), "{name} is journaled"),
            ServiceStep::EnsureNetwork => self.has_network = true,
            ServiceStep::StartService(name) => {
                assert!(self.has_network, "a service needs the network");
                let setup = self.sealed(name).setup;
                let mode = if setup == Setup::Resetting { Mode::Resetting } else { Mode::Normal };
                self.servers.entry(all_names(name)).or_default().mode = mode;
            }
            ServiceStep::AwaitLogins(names) => names.iter().for_each(|name| self.log_in(name)),
            ServiceStep::Prove(names) => {
                for name in names {
                    let credential = self.sealed(name).published();
                    assert!(self.server(name).accepts.contains(&credential), "a login with it has worked");
                    self.sealed(name).setup = Setup::Settled;
                }
            }
            ServiceStep::RestartService(name) => {
                assert_eq!(self.sealed(name).setup, Setup::Settled);
                self.server(name).mode = Mode::Normal;
            }
            ServiceStep::ProbeLogins(name) => assert_ne!(self.server(name).mode, Mode::Stopped),
            ServiceStep::EnableCredential(name) => {
                let sealed = self.sealed(name).clone();
                assert!(matches!(sealed.stage, Some(Stage::Enabling | Stage::Publishing)), "it is journaled");
                assert_eq!(self.server(name).mode, Mode::Normal);
                self.server(name).accepts.insert(sealed.next());
            }
            ServiceStep::VerifyEnabled(name) => {
                let both = [self.sealed(name).credential, self.sealed(name).next()];
                assert_eq!(self.server(name).accepts, both.into());
            }
            ServiceStep::Advance(stage, names) => {
                for name in names {
                    let sealed = self.sealed(name);
                    sealed.stage = sealed.stage.map(|before| before.max(*stage));
                }
            }
            ServiceStep::RevokeCredential(name) => self.revoke(order, name),
            ServiceStep::VerifyRefused(name) => {
                let next = self.sealed(name).next();
                assert_eq!(self.server(name).accepts, [next].into());
            }
            ServiceStep::FinishRotation(names) => {
                for name in names {
                    let next = self.sealed(name).next();
                    assert_eq!(self.server(name).accepts, [next].into(), "{name} refuses the old credential");
                    let sealed = self.sealed(name);
                    (sealed.credential, sealed.next, sealed.stage) = (next, None, None);
                }
            }
            ServiceStep::RemoveService(name) => {
                assert!(!order.services.contains(name.as_str()));
                assert!(self.generations.keys().all(|one| *one == self.newest), "no older instance uses it");
                self.server(name).mode = Mode::Stopped;
            }
        }
    }

    fn log_in(&mut self, name: &str) {
        let sealed = self.sealed(name).clone();
        let server = self.server(name);
        assert_ne!(server.mode, Mode::Stopped, "{name} runs");
        if sealed.setup == Setup::Resetting {
            assert_eq!(server.mode, Mode::Resetting);
            server.accepts = [sealed.credential].into();
        } else if sealed.setup == Setup::Unproven {
            server.accepts.insert(sealed.credential);
        }
        let known = [Some(sealed.credential), sealed.next];
        assert!(
            known.into_iter().flatten().any(|one| server.accepts.contains(&one)),
            "{name} knows a password of ours"
        );
    }

    fn revoke(&mut self, order: &Order, name: &str) {
        let sealed = self.sealed(name).clone();
        assert_eq!(sealed.stage, Some(Stage::Revoking), "the stage is journaled first");
        let current = self.current.clone().expect("a generation with the next credential is sealed");
        assert_eq!(current.digest, self.digest(order));
        for (number, generation) in &self.generations {
            assert_eq!(*number, current.number, "no instance of another generation is left");
            assert!(generation.is_healthy(), "every instance was seen");
            assert_eq!(generation.credentials.get(name), Some(&sealed.next()), "it has the next credential");
        }
        self.server(name).accepts.remove(&sealed.credential);
    }

    fn change_instances(&mut self, order: &Order, step: &InstanceStep) {
        match step {
            InstanceStep::OpenEdge(number) => {
                let running = |one: &Generation| one.instances.values().any(|standing| *standing != Standing::Down);
                let others = self.generations.iter().filter(|(other, one)| *other != number && running(one));
                let to = others.map(|(number, _)| *number).collect();
                self.forwarder = Some(Forwarder { ports: order.ports, to });
            }
            InstanceStep::Hold(number) => {
                assert!(self.has_network && *number <= self.newest + 1);
                let (digest, credentials) = (self.digest(order), self.credentials(order));
                let empty = Generation { digest, credentials, has_values: false, instances: BTreeMap::new() };
                self.generations.entry(*number).or_insert(empty);
            }
            InstanceStep::CreateInstance(number, instance) => {
                let before = self.generation(*number).instances.insert(instance.clone(), Standing::Down);
                assert!(before.is_none_or(|before| before == Standing::Down), "an instance that runs stays");
            }
            InstanceStep::Deliver(number) => {
                let digest = self.digest(order);
                assert_eq!(self.generation(*number).digest, digest, "old and new values are not mixed");
                self.generation(*number).has_values = true;
            }
            InstanceStep::StartInstance(number, instance) => {
                let generation = self.generation(*number);
                assert!(generation.has_values, "an instance finds its values");
                *generation.instances.get_mut(instance).expect("it was created") = Standing::Started;
            }
            InstanceStep::AwaitHealthy(number, instance) => {
                let credentials = self.generation(*number).credentials.clone();
                for (name, credential) in credentials {
                    assert!(self.server(name).accepts.contains(&credential), "its logins work");
                }
                let generation = self.generation(*number);
                let standing = generation.instances.get_mut(instance).expect("it was created");
                assert_ne!(*standing, Standing::Down);
                *standing = Standing::Healthy;
            }
            InstanceStep::CheckProcess(number, process) => {
                assert!(order.processes.contains_key(process.as_str()) && self.generation(*number).is_healthy());
            }
            InstanceStep::Seal(number) => {
                let is_healthy = self.generations.get(number).is_none_or(Generation::is_healthy);
                assert!(is_healthy, "a generation is sealed when it is healthy");
                self.newest = *number;
                let (digest, record, check) = (self.digest(order), order.record, order.check);
                self.current = Some(Current { number: *number, digest, record, check });
            }
            InstanceStep::TurnEdge(number) => {
                assert_eq!(self.current.as_ref().map(|current| current.number), Some(*number), "it is sealed");
                assert!(self.generations.get(number).is_none_or(Generation::is_healthy));
                let forwarder = self.forwarder.as_mut().expect("the ports are published");
                assert_eq!(forwarder.ports, order.ports);
                forwarder.to = [*number].into();
            }
            InstanceStep::CloseEdge => self.forwarder = None,
            InstanceStep::Retire(number) => {
                let is_target = self.forwarder.as_ref().is_some_and(|forwarder| forwarder.to.contains(number));
                assert!(!is_target, "no connection goes to it any more");
                let is_current = self.current.as_ref().is_some_and(|current| current.number == *number);
                assert!(!is_current, "the sealed generation stays");
                self.generations.remove(number);
            }
        }
    }

    /// Checks that everything is as an order says.
    pub(super) fn check_end(&self, order: &Order) {
        let current = self.current.as_ref().expect("a generation is sealed");
        assert_eq!(current.digest, self.digest(order));
        assert!(current.number > order.after && current.record == order.record);
        let need = self.need(order);
        let wanted: BTreeSet<Instance> = need.instances().collect();
        assert!(self.generations.keys().all(|number| *number == current.number));
        let generation = self.generations.get(&current.number);
        let running = generation.map(|one| one.instances.keys().cloned().collect()).unwrap_or_default();
        assert_eq!(wanted, running);
        assert!(generation.is_none_or(Generation::is_healthy));
        let edge = (order.ports > 0).then(|| Forwarder { ports: order.ports, to: [current.number].into() });
        assert_eq!(self.forwarder, edge);
        for (name, server) in &self.servers {
            let sealed = &self.sealed[name];
            if order.services.contains(name) {
                assert_eq!((server.mode, sealed.setup, sealed.stage), (Mode::Normal, Setup::Settled, None));
                assert_eq!(server.accepts, [sealed.credential].into(), "{name} has one password, and it is known");
            } else {
                assert_eq!(server.mode, Mode::Stopped);
            }
        }
    }
}

/// The services that a project may have.
pub(super) const SERVICES: [&str; 3] = ["cache", "db", "queue"];

fn all_names(name: &str) -> &'static str {
    SERVICES.into_iter().find(|known| *known == name).expect("one of the services")
}
