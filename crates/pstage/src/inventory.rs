//! What was seen on the platform.

use std::collections::{BTreeMap, BTreeSet};

use crate::need::Instance;

/// What was seen. What was not looked at is absent, and gets looked at by a step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Whether the project's network is there.
    pub has_network: bool,
    /// The services of which anything was seen, by name.
    pub services: BTreeMap<String, SeenService>,
    /// The generations of which anything is there, by number.
    pub generations: BTreeMap<u64, SeenGeneration>,
    /// The processes whose new health check all instances have passed.
    pub checked: BTreeSet<String>,
    /// Where the connections to published ports go.
    pub edge: Edge,
}

/// What was seen of a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeenService {
    /// Whether anything of it runs or is left, besides its data.
    pub exists: bool,
    /// Whether it runs as it should, and a login has worked.
    pub is_ready: bool,
    /// The credentials that it accepts during a rotation; `None` if none was tried.
    pub logins: Option<Logins>,
}

/// The credentials that a service accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logins {
    /// Whether it accepts the credential from before the rotation.
    pub current: bool,
    /// Whether it accepts the credential from after the rotation.
    pub next: bool,
}

/// What was seen of a generation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeenGeneration {
    /// Whether all its values are there for its instances.
    pub has_values: bool,
    /// Its instances.
    pub instances: BTreeMap<Instance, Standing>,
}

/// How an instance stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It does not run.
    Down,
    /// It runs, and was never seen healthy.
    Started,
    /// It runs, and was seen healthy.
    Healthy,
}

/// Where the connections to published ports go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Edge {
    /// No port is published.
    #[default]
    Closed,
    /// Other ports are published than those that are needed, or connections go to other instances.
    Astray,
    /// The needed ports are published, and connections go to all instances of this generation.
    At(u64),
}

impl Inventory {
    /// Returns what was seen of a service.
    #[must_use]
    pub fn service(&self, name: &str) -> SeenService {
        self.services.get(name).copied().unwrap_or_default()
    }
}
