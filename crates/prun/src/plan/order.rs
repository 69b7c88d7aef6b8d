//! The order of a start: the flags as they were typed.
//!
//! The order is sealed with the generation that it made, so its form is a contract: new fields have a default, and no
//! field is renamed. [`crate::plan::Plan`] holds the same settings, checked and joined with the manifest.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The order of a start, in the spelling of docker's flags. Its settings are not checked yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Order {
    /// The app's image. Without it, the manifest's image is used.
    pub(crate) image: Option<String>,
    /// The command that takes the place of the image's.
    pub(crate) command: Vec<String>,
    /// The project's name.
    pub(crate) project: Option<String>,
    /// Services, each as `KIND[:VERSION][=NAME]`.
    pub(crate) services: Vec<String>,
    /// Published ports, each as `[ADDRESS:][HOST:]CONTAINER`.
    pub(crate) ports: Vec<String>,
    /// How many instances run.
    pub(crate) replicas: Option<u32>,
    /// How many seconds a service or an instance may take to become ready.
    pub(crate) wait: Option<u64>,
    /// The container's own flags.
    pub(crate) container: ContainerOrder,
    /// The folder in which the flags were typed. Relative paths in the flags are resolved against it. Version 2 of
    /// the sealed form did not keep it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) directory: Option<PathBuf>,
}

/// The settings of the app's container, as `docker run` spells them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ContainerOrder {
    /// Volumes and folders, each as `SOURCE:TARGET[:ro]`.
    pub(crate) volumes: Vec<String>,
    /// Public configuration, each as `NAME=VALUE`.
    pub(crate) environment: Vec<String>,
    /// The working directory.
    pub(crate) workdir: Option<String>,
    /// The user, as `NAME|ID[:GROUP]`.
    pub(crate) user: Option<String>,
    /// The restart policy.
    pub(crate) restart: Option<String>,
    /// Networks that the container joins in addition to the project's own.
    pub(crate) networks: Vec<String>,
    /// The limit of the memory, as docker spells it.
    pub(crate) memory: Option<String>,
    /// The limit of processor time, as a number of processors.
    pub(crate) cpus: Option<String>,
    /// The program that takes the place of the image's entrypoint.
    pub(crate) entrypoint: Option<String>,
    /// Labels, each as `NAME=VALUE`.
    pub(crate) labels: Vec<String>,
    /// Whether the container's root is read-only.
    pub(crate) read_only: bool,
    /// Capabilities that the container loses.
    pub(crate) cap_drop: Vec<String>,
    /// Capabilities that the container gets.
    pub(crate) cap_add: Vec<String>,
    /// Whether docker's small init is process 1.
    pub(crate) init: bool,
}
