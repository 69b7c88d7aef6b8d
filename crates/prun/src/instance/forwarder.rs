//! The container that owns the published ports.
//!
//! Instances publish no ports themselves. So there can be several of them, and a new instance can be healthy before
//! an old one is removed.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{ContainerCreateBody, HostConfig, PortBinding};
use bollard::query_parameters::{ListContainersOptionsBuilder, RenameContainerOptionsBuilder};
use papp::Port;
use pcredential::Ledger;
use pengine::Engine;

use crate::engine::archive::File;
use crate::engine::containers;
use crate::error::{RunError, engine, message};
use crate::instance::holder;
use crate::names::{self, Project, Role};

/// How long open connections may take to end.
const GRACE: Duration = Duration::from_secs(5);

/// Makes sure that these ports are published. If the ports change and one of the new ones is taken, the old ones are
/// published again.
///
/// # Errors
///
/// [`RunError::PortTaken`], [`RunError::Foreign`], [`RunError::Engine`].
pub(crate) async fn ensure(host: &Engine, project: &Project, ledger: &Ledger, ports: &[Port]) -> Result<(), RunError> {
    let name = project.forwarder();
    let existing = containers::inspect(host, project, &name).await?;
    if ports.is_empty() {
        return match existing {
            Some(_) => containers::remove(host, &name, GRACE).await,
            None => Ok(()),
        };
    }
    let image = holder::image(host).await?;
    let texts: Vec<String> = ports.iter().map(Port::to_string).chain([image.clone()]).collect();
    let digest = ledger.digest(texts.iter().map(String::as_bytes));
    let retired = format!("{name}.old");
    match &existing {
        Some(container) => {
            let labels = container.config.as_ref().and_then(|config| config.labels.as_ref());
            if names::label(labels, names::CONFIGURATION) == Some(&digest) {
                return start(host, &name, ports).await;
            }
            containers::stop(host, &name, GRACE).await?;
            rename(host, &name, &retired).await?;
        }
        // A command that was killed at this point has left the old forwarder under its other name.
        None => containers::remove(host, &retired, GRACE).await?,
    }
    let published = publish(host, project, &name, image, digest, ports).await;
    match (&published, existing.is_some()) {
        (Ok(()), true) => containers::remove(host, &retired, GRACE).await?,
        (Err(_), true) => {
            containers::remove(host, &name, GRACE).await?;
            rename(host, &retired, &name).await?;
            containers::start(host, &name).await?;
        }
        (Err(_), false) => containers::remove(host, &name, GRACE).await?,
        (Ok(()), false) => {}
    }
    published
}

async fn publish(
    host: &Engine,
    project: &Project,
    name: &str,
    image: String,
    digest: String,
    ports: &[Port],
) -> Result<(), RunError> {
    let mut bindings: HashMap<String, Option<Vec<PortBinding>>> = HashMap::new();
    let mut listen: Vec<u16> = Vec::new();
    for port in ports {
        let binding = PortBinding {
            host_ip: port.address.map(|address| address.to_string()),
            host_port: port.host.map(|port| port.to_string()),
        };
        bindings.entry(format!("{}/tcp", port.container)).or_default().get_or_insert_default().push(binding);
        if !listen.contains(&port.container) {
            listen.push(port.container);
        }
    }
    let command = [holder::PROGRAM.to_owned(), "forward".to_owned()];
    let body = ContainerCreateBody {
        image: Some(image),
        cmd: Some(command.into_iter().chain(listen.iter().map(u16::to_string)).collect()),
        exposed_ports: Some(bindings.keys().cloned().collect()),
        labels: Some(project.labels(Role::Ports, &[(names::CONFIGURATION, digest)])),
        host_config: Some(HostConfig { port_bindings: Some(bindings), ..holder::bare(&project.network()) }),
        ..ContainerCreateBody::default()
    };
    containers::create(host, project, name, body).await?;
    start(host, name, ports).await
}

async fn start(host: &Engine, name: &str, ports: &[Port]) -> Result<(), RunError> {
    match containers::start(host, name).await {
        Err(RunError::Engine { source, .. }) if is_taken(&message(&source)) => {
            let text = message(&source);
            let port = ports
                .iter()
                .find(|port| port.host.is_some_and(|number| names_port(&text, number)))
                .or(ports.first())
                .map_or_else(String::new, Port::to_string);
            let number = Port::parse(&port).and_then(|port| port.host);
            Err(RunError::PortTaken { port, holder: holder_of(host, number, name).await })
        }
        other => other,
    }
}

/// Returns whether the engine's message means that a port is taken. The message has had several wordings over the
/// years.
fn is_taken(message: &str) -> bool {
    ["already allocated", "address already in use", "cannot assign requested address"]
        .iter()
        .any(|words| message.contains(words))
}

/// Returns whether a message names this port, and not just its digits within a longer number.
fn names_port(message: &str, port: u16) -> bool {
    message.split(|c: char| !c.is_ascii_digit()).any(|number| number == port.to_string())
}

/// Finds the container that publishes a port, of any project.
async fn holder_of(host: &Engine, port: Option<u16>, ours: &str) -> Option<String> {
    let options = ListContainersOptionsBuilder::new().build();
    let running = host.docker().list_containers(Some(options)).await.ok()?;
    let port = port?;
    running
        .iter()
        .find(|container| container.ports.iter().flatten().any(|published| published.public_port == Some(port)))
        .map(containers::name_of)
        .filter(|name| name != ours)
}

async fn rename(host: &Engine, from: &str, to: &str) -> Result<(), RunError> {
    let options = RenameContainerOptionsBuilder::new().name(to).build();
    host.docker().rename_container(from, options).await.map_err(engine(|| format!("rename container {from}")))
}

/// Sends new connections to these instances from now on. Open connections stay where they are.
///
/// # Errors
///
/// [`RunError::Engine`].
pub(crate) async fn point(
    host: &Engine,
    project: &Project,
    ports: &[Port],
    instances: &[String],
) -> Result<(), RunError> {
    if ports.is_empty() {
        return Ok(());
    }
    let list = pshim::target::write(
        ports.iter().flat_map(|port| instances.iter().map(|name| (port.container, name.as_str(), port.container))),
    );
    let name = pshim::TARGETS_FILE.trim_start_matches('/').to_owned();
    let file = File { name, content: list.as_bytes(), mode: 0o444, owner: 0 };
    holder::upload(host, &project.forwarder(), "/", &[file]).await
}

/// Returns the addresses of the published ports, such as `http://127.0.0.1:8080`. The engine has chosen every part that
/// the plan left open.
///
/// # Errors
///
/// [`RunError::Engine`].
pub(crate) async fn addresses(host: &Engine, project: &Project) -> Result<Vec<String>, RunError> {
    let Some(container) = containers::inspect(host, project, &project.forwarder()).await? else {
        return Ok(Vec::new());
    };
    let published = container.network_settings.and_then(|settings| settings.ports).unwrap_or_default();
    let mut addresses: Vec<String> = published
        .into_values()
        .flatten()
        .flatten()
        .filter_map(|binding| {
            let port = binding.host_port?;
            Some(match binding.host_ip.as_deref() {
                None | Some("" | "0.0.0.0" | "::") => format!("http://127.0.0.1:{port}"),
                Some(address) if address.contains(':') => format!("http://[{address}]:{port}"),
                Some(address) => format!("http://{address}:{port}"),
            })
        })
        .collect();
    addresses.sort();
    addresses.dedup();
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_say_that_a_port_is_taken_is_understood() {
        for message in [
            "driver failed programming external connectivity on endpoint x (00ff): Bind for 127.0.0.1:8080 failed: port is already allocated",
            "failed to set up container networking: driver failed programming external connectivity on endpoint x: failed to bind host port for 127.0.0.1:8080:172.18.0.2:80/tcp: address already in use",
            "Error starting userland proxy: listen tcp4 0.0.0.0:8080: bind: address already in use",
        ] {
            assert!(is_taken(message) && names_port(message, 8080), "{message}");
            assert!(!names_port(message, 808));
        }
        assert!(!is_taken("no such image"));
    }
}
