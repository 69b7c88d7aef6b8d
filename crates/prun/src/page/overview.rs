//! Everything that the page shows of a project: names, places and states, but no confidential value.

/// The whole page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Overview {
    /// The projects between which the reader can choose.
    pub(crate) projects: Vec<String>,
    /// The project that is shown.
    pub(crate) project: String,
    /// The facts under its name, such as the image and the addresses.
    pub(crate) facts: Vec<(&'static str, String)>,
    /// Remarks about what could not be read, or needs attention.
    pub(crate) remarks: Vec<String>,
    /// The secrets of the user.
    pub(crate) environment: Environment,
    /// The variables of the instances.
    pub(crate) injected: Vec<Injected>,
    /// The services.
    pub(crate) services: Vec<Service>,
    /// The instances of the app.
    pub(crate) instances: Vec<Instance>,
    /// The init commands.
    pub(crate) init: Vec<Init>,
    /// The generations that are kept, the newest first.
    pub(crate) generations: Vec<Generation>,
}

/// The secrets of the user, or the reason why they are not shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Environment {
    /// The list.
    Listed(Vec<Declared>),
    /// The reason, as a text for people.
    Unknown(String),
}

impl Default for Environment {
    fn default() -> Self {
        Self::Listed(Vec::new())
    }
}

/// A secret of the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Declared {
    /// The name.
    pub(crate) name: String,
    /// The scope of the secret: the build, the run, or both.
    pub(crate) scope: String,
    /// The source of its value; empty if there is none.
    pub(crate) source: String,
    /// Whether the secret has a value, and why not.
    pub(crate) state: String,
    /// Whether there is a value that could be shown.
    pub(crate) is_set: bool,
    /// The approximate length of the value.
    pub(crate) length: String,
    /// How the value is searched for.
    pub(crate) search: String,
}

/// A variable of the instances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Injected {
    /// The name.
    pub(crate) name: String,
    /// The source of its value.
    pub(crate) from: String,
    /// The part of the value that the page shows.
    pub(crate) content: Content,
    /// The age of the value, if it is known.
    pub(crate) age: String,
}

/// The part of a value that the page shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// The value itself, because it is public.
    Public(String),
    /// The length of a confidential value.
    Confidential(usize),
    /// The reason why the value is not in the container on purpose.
    Absent(&'static str),
}

/// A service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Service {
    /// The name.
    pub(crate) name: String,
    /// The image.
    pub(crate) image: String,
    /// Whether it runs.
    pub(crate) state: String,
    /// The volume with its data.
    pub(crate) volume: String,
    /// The state or the age of its credential.
    pub(crate) credential: String,
}

/// An instance of the app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Instance {
    /// The name of its container.
    pub(crate) name: String,
    /// The process and the number of the instance.
    pub(crate) what: String,
    /// Whether it runs.
    pub(crate) state: String,
    /// The time since which it runs.
    pub(crate) since: String,
}

/// An init command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Init {
    /// The name.
    pub(crate) name: String,
    /// The command line.
    pub(crate) command: String,
    /// How the command ended in the running instances.
    pub(crate) result: String,
}

/// A generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Generation {
    /// The number.
    pub(crate) number: u64,
    /// When it was made.
    pub(crate) made: String,
    /// Who made it; empty if that is not known.
    pub(crate) by: String,
    /// The image.
    pub(crate) image: String,
    /// The names of what changed.
    pub(crate) changed: String,
}
