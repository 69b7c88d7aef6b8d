//! What a start was ordered to run: the flags as they were typed.
//!
//! The order is sealed with the generation that it made, so its form is a contract: a field is added with a default and
//! never renamed. [`crate::plan::Plan`] is the same, checked and joined with the manifest.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What should run, in the spelling of docker's flags. Nothing in it is checked yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Order {
    /// The app's image; without one the manifest names it.
    pub image: Option<String>,
    /// The command instead of the image's.
    pub command: Vec<String>,
    /// The project's name.
    pub project: Option<String>,
    /// Services, each as `KIND[:VERSION][=NAME]`.
    pub services: Vec<String>,
    /// Published ports, each as `[ADDRESS:][HOST:]CONTAINER`.
    pub ports: Vec<String>,
    /// How many instances run.
    pub replicas: Option<u32>,
    /// How many seconds a service or an instance may take to become ready.
    pub wait: Option<u64>,
    /// The container's own flags.
    pub container: ContainerOrder,
    /// The folder in which the flags were typed, where their relative paths begin. Version 2 of the sealed form did not
    /// keep it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<PathBuf>,
}

/// What the app's container should be like, as `docker run` spells it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ContainerOrder {
    /// Volumes and folders, each as `SOURCE:TARGET[:ro]`.
    pub volumes: Vec<String>,
    /// Public configuration, each as `NAME=VALUE`.
    pub environment: Vec<String>,
    /// The working directory.
    pub workdir: Option<String>,
    /// The user, as `NAME|ID[:GROUP]`.
    pub user: Option<String>,
    /// The restart policy.
    pub restart: Option<String>,
    /// Networks beside the project's own.
    pub networks: Vec<String>,
    /// The most memory.
    pub memory: Option<String>,
    /// How many processors' time.
    pub cpus: Option<String>,
    /// The program instead of the image's entrypoint.
    pub entrypoint: Option<String>,
    /// Labels, each as `NAME=VALUE`.
    pub labels: Vec<String>,
    /// Whether the container's root is read-only.
    pub read_only: bool,
    /// Capabilities that are taken away.
    pub cap_drop: Vec<String>,
    /// Capabilities that are given.
    pub cap_add: Vec<String>,
    /// Whether docker's small init is process 1.
    pub init: bool,
}
