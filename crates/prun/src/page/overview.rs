//! Everything that the page shows of a project: names, places and states, and no confidential value.

/// The whole page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Overview {
    /// The projects between which the reader can choose.
    pub(crate) projects: Vec<String>,
    /// The one that is shown.
    pub(crate) project: String,
    /// What stands under its name: the image, the addresses.
    pub(crate) facts: Vec<(&'static str, String)>,
    /// What could not be looked at, or needs attention.
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

/// The secrets of the user, or why they are not shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Environment {
    /// The list.
    Listed(Vec<Declared>),
    /// A text for people.
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
    /// Who gets it.
    pub(crate) scope: String,
    /// Where the value comes from; empty if there is none.
    pub(crate) source: String,
    /// Whether it has a value, and why not.
    pub(crate) state: String,
    /// Whether a value is at hand that could be shown.
    pub(crate) is_set: bool,
    /// Roughly how many bytes it has.
    pub(crate) length: String,
    /// How it is searched for.
    pub(crate) search: String,
}

/// A variable of the instances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Injected {
    /// The name.
    pub(crate) name: String,
    /// Where its value comes from.
    pub(crate) from: String,
    /// The value.
    pub(crate) content: Content,
    /// How old it is, if that is known.
    pub(crate) age: String,
}

/// What the page shows of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Itself: it is public.
    Public(String),
    /// Its length.
    Confidential(usize),
    /// It is not in the container, on purpose.
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
    /// Which one it is.
    pub(crate) what: String,
    /// Whether it runs.
    pub(crate) state: String,
    /// Since when.
    pub(crate) since: String,
}

/// An init command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Init {
    /// The name.
    pub(crate) name: String,
    /// The command line.
    pub(crate) command: String,
    /// How it ended in the instances that run.
    pub(crate) result: String,
}

/// A generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Generation {
    /// The number.
    pub(crate) number: u64,
    /// When it was made.
    pub(crate) made: String,
    /// The image.
    pub(crate) image: String,
    /// The names of what changed.
    pub(crate) changed: String,
}
