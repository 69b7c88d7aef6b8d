//! The capabilities of an engine's BuildKit. They are requested, never derived from versions.

use std::collections::BTreeSet;

use bollard_buildkit_proto::moby::buildkit::v1::apicaps::ApiCap;
use bollard_buildkit_proto::moby::buildkit::v1::frontend::PongResponse;
use pllb::platform_text;

/// The capabilities that a BuildKit lists in answer to a ping.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    frontend: BTreeSet<String>,
    operations: BTreeSet<String>,
    platform: Option<String>,
}

impl Capabilities {
    /// Secrets can be environment variables of a step.
    pub const SECRET_ENVIRONMENT: &str = "exec.secretenv";
    /// Secrets can be files of a step.
    pub const SECRET_MOUNT: &str = "exec.mount.secret";
    /// A result can be given to several exporters at once.
    pub const SEVERAL_EXPORTERS: &str = "exporter.multiple";
    /// The bridge can run containers with states mounted into them.
    pub const CONTAINERS: &str = "gateway.exec";
    /// An operation: sources are checked against a policy.
    pub const SOURCE_POLICY: &str = "source.policy";

    /// Whether operations (LLB) may use this capability, for example [`Capabilities::SECRET_ENVIRONMENT`].
    ///
    /// The engine silently ignores capabilities that it does not list, so check before every use.
    #[must_use]
    pub fn operation(&self, id: &str) -> bool {
        self.operations.contains(id)
    }

    /// Whether the bridge (gateway) has this capability.
    #[must_use]
    pub fn frontend(&self, id: &str) -> bool {
        self.frontend.contains(id)
    }

    /// Returns the builder's own platform, such as `linux/amd64`; `None` if the builder does not report it.
    #[must_use]
    pub fn platform(&self) -> Option<&str> {
        self.platform.as_deref()
    }
}

impl From<PongResponse> for Capabilities {
    fn from(pong: PongResponse) -> Self {
        let enabled = |capabilities: Vec<ApiCap>| {
            capabilities.into_iter().filter(|capability| capability.enabled).map(|capability| capability.id).collect()
        };
        let platform = pong.workers.first().and_then(|worker| worker.platforms.first()).map(platform_text);
        Self { frontend: enabled(pong.frontend_api_caps), operations: enabled(pong.llb_caps), platform }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disabled_capability_does_not_count() {
        let capability = |id: &str, enabled| ApiCap { id: id.into(), enabled, ..ApiCap::default() };
        let pong = PongResponse {
            llb_caps: vec![capability("exec.secretenv", false), capability("exec.mount.secret", true)],
            ..PongResponse::default()
        };
        let capabilities = Capabilities::from(pong);
        assert!(!capabilities.operation(Capabilities::SECRET_ENVIRONMENT));
        assert!(capabilities.operation(Capabilities::SECRET_MOUNT));
    }
}
