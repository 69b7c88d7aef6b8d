//! What is sealed in the project's state.

use pcredential::Stage;

/// What the state says. Each of its entries was sealed before the step that it is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Journal {
    /// The services, in the order in which they were added.
    pub services: Vec<SealedService>,
    /// The highest number that a generation ever had; zero if there was none. If a state was lost, the number of its
    /// last generation is known from elsewhere.
    pub newest: u64,
    /// The generation that instances run with, if there is one.
    pub current: Option<SealedGeneration>,
}

/// A service whose credential is sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedService {
    /// The name.
    pub name: String,
    /// Whether the service is known to have its credential.
    pub setup: Setup,
    /// The stage of its rotation, if one is under way.
    pub stage: Option<Stage>,
}

/// What is known of a service and its credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setup {
    /// The service may not have its credential, or not all the rights that it should give.
    Unproven,
    /// The service is started in a special way, in which it sets new passwords.
    Resetting,
    /// A login with the credential has worked.
    Settled,
}

/// A generation that is sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedGeneration {
    /// The number.
    pub number: u64,
    /// The digest of everything that its instances are made of.
    pub digest: String,
    /// Whether the order and the manifest are the sealed ones. They may differ without a change of the digest.
    pub is_recorded: bool,
}
