//! Targets that are named contexts of a build. The frontend solves each target within the build; the result is
//! changed and becomes an input of the target that builds on it (BuildKit `frontend/dockerui`: `input:NAME` and
//! `input-metadata:NAME`).
//!
//! The frontend requests the files of every target under the same names, so each target has a session of its own
//! (`local-sessionid:NAME`), as with docker's own client.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pgateway::{Bridge, Capabilities};
use pllb::Definition;

use crate::control::Control;
use crate::error::BuildkitError;
use crate::request::TargetContext;
use crate::session::{Services, Session};
use crate::transform::Transform;
use crate::transport::Transport;

/// The inputs of a frontend, and the attributes that name them.
#[derive(Debug, Default)]
pub(crate) struct Inputs {
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) definitions: BTreeMap<String, Definition>,
}

/// The reason why a build over the bridge failed.
pub(crate) enum DriveError<E> {
    /// The error of the engine, with its details.
    Status(tonic::Status),
    Transform(E),
}

impl<E> From<tonic::Status> for DriveError<E> {
    fn from(status: tonic::Status) -> Self {
        Self::Status(status)
    }
}

/// An ability that BuildKit has had since named contexts exist (0.10). An older BuildKit would look for an image of
/// the context's name.
pub(crate) const NAMED_CONTEXTS: &str = "gateway.warnings";

/// The metadata key for the configuration of a result's image.
const CONFIGURATION: &str = "containerimage.config";

/// The attribute that requires a frontend with support for such inputs. A frontend without it refuses the build.
const ABILITY: (&str, &str) = ("frontend.caps", "moby.buildkit.frontend.contexts+forward");

/// Opens a session for the files of each target, and names the session in the target's attributes. The sessions last
/// until the result is dropped.
///
/// # Errors
///
/// Returns an error if the connection fails or BuildKit refuses a session.
pub(crate) async fn open(
    transport: &Transport,
    control: &Control,
    targets: &mut [TargetContext],
    services: impl Fn(&TargetContext) -> Services,
) -> Result<Vec<Session>, BuildkitError> {
    let mut sessions = Vec::new();
    let mut left: Vec<&mut TargetContext> = targets.iter_mut().collect();
    while let Some(target) = left.pop() {
        let session = Session::open(transport, control, &target.shared_key, services(target)).await?;
        for name in target.locals.keys() {
            target.attributes.insert(format!("local-sessionid:{name}"), session.id.clone());
        }
        sessions.push(session);
        left.extend(&mut target.targets);
    }
    Ok(sessions)
}

type Solving<'s, E> = Pin<Box<dyn Future<Output = Result<Inputs, DriveError<E>>> + Send + 's>>;

/// Solves targets and makes inputs of their results. The targets that a target builds on are solved first.
pub(crate) fn inputs<'s, T: Transform>(
    bridge: &'s mut Bridge,
    frontend: &'s str,
    targets: &'s [TargetContext],
    transform: &'s mut T,
    capabilities: &'s Capabilities,
) -> Solving<'s, T::Error> {
    Box::pin(async move {
        let mut all = Inputs::default();
        for target in targets {
            let below = inputs(bridge, frontend, &target.targets, transform, capabilities).await?;
            let mut attributes = target.attributes.clone();
            attributes.extend(below.attributes);
            let mut solved = bridge.solve_frontend(frontend, &attributes, below.definitions).await?;
            transform.inspect(&solved.metadata).map_err(DriveError::Transform)?;
            let configurations = solved.metadata.clone();
            for (platform, reference) in solved.references_mut() {
                let definition = reference.definition.take().unwrap_or_default();
                let definition = match definition.def.is_empty() {
                    // The target has nothing but `FROM scratch`.
                    true => definition,
                    false => transform
                        .transform_target(target, capabilities, platform.as_deref(), definition)
                        .map_err(DriveError::Transform)?,
                };
                all.add(target, platform.as_deref(), definition, &configurations);
            }
        }
        Ok(all)
    })
}

impl Inputs {
    /// Adds a target's result for one platform. `platform` is `None` if the build has one platform only.
    fn add(
        &mut self,
        target: &TargetContext,
        platform: Option<&str>,
        definition: Definition,
        metadata: &BTreeMap<String, Vec<u8>>,
    ) {
        let of_platform = |name: &str, sign: &str| {
            platform.map_or_else(|| name.to_owned(), |platform| format!("{name}{sign}{platform}"))
        };
        let input = of_platform(&target.key, "::");
        self.attributes.insert(of_platform(&format!("context:{}", target.name), "::"), format!("input:{input}"));
        if let Some(configuration) = metadata.get(&of_platform(CONFIGURATION, "/")) {
            // Go's JSON encodes bytes as base64.
            let document = serde_json::json!({ CONFIGURATION: STANDARD.encode(configuration) });
            self.attributes.insert(format!("input-metadata:{input}"), document.to_string());
        }
        let (ability, value) = ABILITY;
        self.attributes.insert(ability.to_owned(), value.to_owned());
        self.definitions.insert(input, definition);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_named_by_its_context_and_brings_its_configuration() {
        let target = TargetContext {
            name: "base".into(),
            key: "t0".into(),
            attributes: BTreeMap::new(),
            locals: BTreeMap::new(),
            shared_key: String::new(),
            targets: Vec::new(),
        };
        let metadata = [
            ("containerimage.config".to_owned(), b"{}".to_vec()),
            ("containerimage.config/linux/arm64".to_owned(), b"[]".to_vec()),
        ];
        let metadata = BTreeMap::from(metadata);
        let mut inputs = Inputs::default();
        inputs.add(&target, None, Definition::default(), &metadata);
        inputs.add(&target, Some("linux/arm64"), Definition::default(), &metadata);
        assert_eq!(inputs.attributes["context:base"], "input:t0");
        assert_eq!(inputs.attributes["context:base::linux/arm64"], "input:t0::linux/arm64");
        assert_eq!(inputs.attributes["input-metadata:t0"], r#"{"containerimage.config":"e30="}"#);
        assert_eq!(inputs.attributes["input-metadata:t0::linux/arm64"], r#"{"containerimage.config":"W10="}"#);
        assert_eq!(inputs.definitions.keys().collect::<Vec<_>>(), ["t0", "t0::linux/arm64"]);
    }
}
