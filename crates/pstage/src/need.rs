//! What should run.

/// What an app needs. It names services and processes, and never a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// The names of the services, in their order. The journal has each of them.
    pub services: Vec<String>,
    /// The processes, in their order.
    pub processes: Vec<Process>,
    /// The digest of everything that instances are made of: the image, the values, and the processes with the number of
    /// their instances. Two needs with the same digest make the same instances.
    pub digest: String,
    /// The generation that must not stay, even if its digest is the same: the instances run with a later one. Zero if
    /// any will do.
    pub after: u64,
    /// Whether ports are published.
    pub is_published: bool,
}

/// One command of the app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// The name.
    pub name: String,
    /// How many instances run it.
    pub replicas: u32,
    /// Whether it has a health check that the instances of the sealed generation were not started with.
    pub has_new_check: bool,
}

/// One instance: its process, and its number from 1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instance {
    /// The process.
    pub process: String,
    /// The number.
    pub number: u32,
}

impl Need {
    /// Returns the instances of all processes, in the order in which they start.
    pub fn instances(&self) -> impl Iterator<Item = Instance> + '_ {
        self.processes
            .iter()
            .flat_map(|process| (1..=process.replicas).map(|number| Instance { process: process.name.clone(), number }))
    }
}
