//! `prun doctor`: checks the engine, the project's state, and how values reach the app. [`pcli::doctor`] holds the
//! checks that prun and pbuild share.

use papp::Deliver;
use pcli::FoundManifest;
use pcli::arguments::DoctorRequest;
use pcli::doctor::{self, Observation};
use pengine::{Endpoint, Engine, Environment, Flags, Safety};
use pscreen::Exit;

use crate::edge::{Edge, Failure};
use crate::error::RunError;
use crate::plan::request::Choice;
use crate::project::KnownProject;
use crate::tell;

/// Checks everything, and prints the report.
///
/// # Errors
///
/// Returns an error if the user ends the command, or if the report cannot be written.
pub(crate) async fn run(request: &DoctorRequest, edge: &Edge) -> Result<Exit, Failure> {
    let (mut findings, engine) = edge.cancellation.unless_cancelled(engine()).await?;
    let (found, project) = doctor::look(request, &edge.desk());
    findings.extend(project);
    findings.extend(found.as_ref().map(delivery));
    if engine.is_some() && found.is_some() {
        let choice = Choice { name: None, config: request.config.clone() };
        findings.extend(edge.cancellation.unless_cancelled(state(&choice, edge)).await?);
    }
    Ok(doctor::report(&findings, request.json, &edge.stdout)?)
}

/// Checks the state of the project that the manifest names. Returns `None` if there is no such state.
async fn state(choice: &Choice, edge: &Edge) -> Option<Observation> {
    let known = KnownProject::find(choice, edge).await.ok()?;
    match known.state.read_own().await {
        Ok(Some(document)) => {
            let operators = pscreen::words::counted(document.operators.len(), "operator");
            Some(Observation::ok("state", format!("of `{}` on the engine, for {operators}", known.name)))
        }
        Ok(None) => None,
        Err(error) => Some(Observation::problem("state", &tell::diagnostic(&error))),
    }
}

/// Checks the engine, and returns a connection to it if it answers.
async fn engine() -> (Vec<Observation>, Option<Engine>) {
    let resolved = Endpoint::resolve(&Environment::of_process(), &Flags::default());
    let connected = match resolved {
        Ok(endpoint) => Engine::connect(&endpoint).await,
        Err(error) => Err(error),
    };
    let engine = match connected {
        Ok(engine) => engine,
        Err(error) => {
            return (vec![Observation::problem("engine", &tell::diagnostic(&RunError::Connect(error)))], None);
        }
    };
    let mut findings = vec![Observation::ok("engine", engine.describe())];
    if engine.endpoint().safety() == Safety::Plaintext {
        let text = "the engine is reached over plain TCP: everybody on the way can read the secrets";
        findings.push(Observation::warning("engine", text, "use ssh:// or TLS"));
    }
    (findings, Some(engine))
}

/// Reports how values reach the app, and who else can see them.
fn delivery(found: &FoundManifest) -> Observation {
    match found.manifest.run.deliver {
        Deliver::Shim => Observation::ok("delivery", "by the shim: values stay out of `docker inspect`"),
        Deliver::Files => Observation::ok("delivery", "as files in memory: the app reads NAME_FILE"),
        Deliver::Environment => Observation::warning(
            "delivery",
            "deliver = \"env\": `docker inspect` shows every value to everyone who may use the engine",
            "leave `deliver` out, and the shim hands the values over",
        ),
    }
}
