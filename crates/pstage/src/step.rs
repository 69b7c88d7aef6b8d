//! The steps.

use pcredential::Stage;

use crate::need::Instance;

/// One thing to do on the platform or in the journal. Each may be carried out again after a kill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A step that is about services.
    Service(ServiceStep),
    /// A step that is about instances.
    Instance(InstanceStep),
}

/// A step that is about services and their credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceStep {
    /// Finds a service's image, and makes sure that nobody else uses its data. Changes nothing.
    CheckService(String),
    /// Makes sure that the project's network is there.
    EnsureNetwork,
    /// Makes sure that a service runs as the journal says.
    StartService(String),
    /// Waits until a login works in each of these services. The first time, the app's login is made.
    AwaitLogins(Vec<String>),
    /// Journals that logins have worked in these services.
    Prove(Vec<String>),
    /// Starts a service in its normal way after it has set new passwords, and waits until a login works.
    RestartService(String),
    /// Looks which of its two credentials a service accepts.
    ProbeLogins(String),
    /// Makes a service accept its next credential beside the current one.
    EnableCredential(String),
    /// Waits until a service accepts both credentials.
    VerifyEnabled(String),
    /// Journals the next stage of rotations.
    Advance(Stage, Vec<String>),
    /// Makes a service refuse the credential from before the rotation.
    RevokeCredential(String),
    /// Waits until a service accepts its next credential alone.
    VerifyRefused(String),
    /// Journals that the next credentials of these services are the only ones.
    FinishRotation(Vec<String>),
    /// Stops a service, and removes it. Its data and its credential stay.
    RemoveService(String),
}

/// A step that is about instances, their values, and the connections to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InstanceStep {
    /// Publishes the needed ports for a generation. Until it is turned, connections go on to the instances of others.
    OpenEdge(u64),
    /// Makes a place for the values of a generation.
    Hold(u64),
    /// Creates an instance of a generation, which does not run yet.
    CreateInstance(u64, Instance),
    /// Puts the values of a generation into their place.
    Deliver(u64),
    /// Starts an instance.
    StartInstance(u64, Instance),
    /// Waits until an instance has run its init commands and is healthy.
    AwaitHealthy(u64, Instance),
    /// Tries the new health check of a process on its running instances.
    CheckProcess(u64, String),
    /// Journals that instances run with this generation from now on, and the order it was made from.
    Seal(u64),
    /// Sends new connections to the instances of a generation.
    TurnEdge(u64),
    /// Publishes no port any more.
    CloseEdge,
    /// Stops and removes all instances of a generation, and its values.
    Retire(u64),
}
