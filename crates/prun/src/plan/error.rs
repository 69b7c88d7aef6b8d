//! The errors of plans: reasons why an order and a manifest do not make one.

use std::path::PathBuf;

use papp::Port;
use pcredential::{ServiceKind, VariableSet};

/// A reason why a plan cannot be made. Each message names the flag or the table that is at fault.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlanError {
    /// Neither the order nor the manifest names an image.
    #[error("no image is named")]
    NoImage,
    /// A project's name holds characters that engines do not accept.
    #[error("`{name}` cannot be the name of a project")]
    ProjectName {
        /// The name.
        name: String,
    },
    /// A service has one kind in the manifest and another in a flag.
    #[error("service `{service}` is {declared} in app.toml and {ordered} in --service")]
    TwoKinds {
        /// The service.
        service: String,
        /// The service's kind in the manifest.
        declared: ServiceKind,
        /// The service's kind in the flag.
        ordered: ServiceKind,
    },
    /// The manifest names a kind of service that does not exist.
    #[error("service `{service}` is of an unknown kind")]
    DeclaredKind {
        /// The service.
        service: String,
    },
    /// A flag names a kind of service that does not exist.
    #[error("--service {flag}: unknown kind `{kind}`")]
    OrderedKind {
        /// The flag's text.
        flag: String,
        /// The kind in the flag.
        kind: String,
    },
    /// A flag names a service with a text that cannot be a service's name.
    #[error("--service {flag}: `{name}` cannot be the name of a service")]
    ServiceName {
        /// The flag's text.
        flag: String,
        /// The name in the flag.
        name: String,
    },
    /// A service is to fill variables that its kind does not have.
    #[error("service `{service}` is {kind}, which has no variables {}", set.as_str())]
    VariablesOfKind {
        /// The service.
        service: String,
        /// The service's kind.
        kind: ServiceKind,
        /// The variables.
        set: VariableSet,
        /// The line of the manifest that declares the service.
        line: usize,
    },
    /// A flag would show a secret that the manifest declares.
    #[error("--env {name}=…: `{name}` is a secret, and its value would be visible in ps and docker inspect")]
    SecretInEnvironment {
        /// The secret.
        name: String,
    },
    /// The value of a flag holds a secret.
    #[error("--env {name}=…: its value holds a secret, and would be visible in ps and docker inspect")]
    SecretInValue {
        /// The variable.
        name: String,
    },
    /// A flag takes a variable from prun's own environment, where it may be a secret.
    #[error("--env {flag}: no value")]
    EnvironmentWithoutValue {
        /// The flag's text.
        flag: String,
    },
    /// A text is not a port.
    #[error("--publish {flag}: not a port")]
    Port {
        /// The flag's text.
        flag: String,
    },
    /// Two ports would be published at the same host port.
    #[error("ports {first} and {second} publish the same host port")]
    SamePort {
        /// The first of the ports.
        first: Port,
        /// The second port.
        second: Port,
    },
    /// A flag is about one process, and the manifest has several.
    #[error("{flag}: app.toml has several processes")]
    SeveralProcesses {
        /// The flag.
        flag: &'static str,
        /// The names of the processes.
        processes: Vec<String>,
    },
    /// A flag names a network that an instance cannot share with the project's own.
    #[error("--network {name} takes the project's network away")]
    Network {
        /// The network.
        name: String,
    },
    /// A text is not a volume.
    #[error("--volume {flag}: not a volume")]
    Volume {
        /// The flag's text.
        flag: String,
    },
    /// A text is not a restart policy.
    #[error("--restart {flag}: no such policy")]
    Restart {
        /// The flag's text.
        flag: String,
    },
    /// A text is not a size.
    #[error("--memory {flag}: not a size")]
    Memory {
        /// The flag's text.
        flag: String,
    },
    /// A text is not a number of processors.
    #[error("--cpus {flag}: not a number")]
    Cpus {
        /// The flag's text.
        flag: String,
    },
    /// A label has no name, or has a name that prun uses itself.
    #[error("--label {flag}: not a label of yours")]
    Label {
        /// The flag's text.
        flag: String,
    },
    /// This prun does not understand the manifest that the last start sealed.
    #[error("the manifest that was sealed at the last start cannot be read by this prun")]
    SealedManifest,
    /// The folder of a volume does not exist; docker would create one that belongs to root.
    #[error("volume folder {} does not exist", path.display())]
    VolumeFolder {
        /// The folder.
        path: PathBuf,
    },
    /// The image has nothing to run, and the order names nothing.
    #[error("image `{image}` names no command to run")]
    NoCommand {
        /// The image.
        image: String,
    },
    /// The health check uses HTTP, and neither the manifest nor the image names its port.
    #[error("the health check names no port, and none is published")]
    HealthPort,
    /// A value is not UTF-8, and the engine takes variables only as text.
    #[error("the value of `{name}` is not UTF-8, and with deliver = \"env\" the engine takes only text")]
    NotText {
        /// The variable.
        name: String,
    },
}
