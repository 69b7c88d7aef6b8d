//! The container that owns the published ports.
//!
//! Instances do not publish ports themselves. So several instances can share a port, and a new instance can be
//! healthy before an old one is removed.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{ContainerCreateBody, HostConfig, PortBinding};
use bollard::query_parameters::{ListContainersOptionsBuilder, RenameContainerOptionsBuilder};
use papp::Port;
use pcredential::Ledger;
use pengine::Engine;

use crate::engine::archive::File;
use crate::engine::{containers, inside};
use crate::error::{RunError, engine, message};
use crate::instance::health::HttpCheck;
use crate::instance::holder;
use crate::names::{self, Project, Role};
use crate::plan::route::Route;

/// How long open connections may take to end.
const GRACE: Duration = Duration::from_secs(5);
/// How long open requests and connections of other protocols may take to end before their instance is asked to.
const DRAINING: Duration = Duration::from_secs(5);

/// Makes the forwarder publish the ports of these routes and no others. Without routes, the forwarder is removed. If
/// the new ports cannot be published, for example because one is taken, the old ports are published again.
///
/// # Errors
///
/// Returns [`RunError::PortTaken`], [`RunError::Foreign`] or [`RunError::Engine`].
pub(crate) async fn ensure(
    host: &Engine,
    project: &Project,
    ledger: &Ledger,
    routes: &[Route],
) -> Result<(), RunError> {
    let name = project.forwarder();
    let existing = containers::inspect(host, project, &name).await?;
    if routes.is_empty() {
        return match existing {
            Some(_) => containers::remove(host, &name, GRACE).await,
            None => Ok(()),
        };
    }
    let image = holder::image(host).await?;
    let digest = configuration(ledger, routes);
    let retired = format!("{name}.old");
    match &existing {
        Some(container) => {
            let labels = container.config.as_ref().and_then(|config| config.labels.as_ref());
            if names::label(labels, names::CONFIGURATION) == Some(&digest) {
                return start(host, &name, routes).await;
            }
            containers::stop(host, &name, GRACE).await?;
            rename(host, &name, &retired).await?;
        }
        // If prun was killed at this point, the old forwarder is left under its other name.
        None => containers::remove(host, &retired, GRACE).await?,
    }
    let published = publish(host, project, &name, image, digest, routes).await;
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

/// Computes the digest of everything that the forwarder's container is made of.
fn configuration(ledger: &Ledger, routes: &[Route]) -> String {
    let text = |route: &Route| format!("{} {} {}", route.port, route.process, route.listen);
    let texts: Vec<String> = routes.iter().map(text).chain([holder::image_name()]).collect();
    ledger.digest(texts.iter().map(String::as_bytes))
}

/// Looks whether the forwarder publishes the ports of these routes, and whether connections go to these instances of
/// the generation `number`.
///
/// # Errors
///
/// Returns [`RunError::Foreign`] or [`RunError::Engine`].
pub(crate) async fn look(
    host: &Engine,
    project: &Project,
    ledger: &Ledger,
    routes: &[Route],
    number: u64,
    targets: &[Target],
) -> Result<pstage::Edge, RunError> {
    let name = project.forwarder();
    let Some(container) = containers::inspect(host, project, &name).await? else {
        return Ok(pstage::Edge::Closed);
    };
    let labels = container.config.as_ref().and_then(|config| config.labels.as_ref());
    let is_same = !routes.is_empty()
        && names::label(labels, names::CONFIGURATION) == Some(&configuration(ledger, routes))
        && containers::is_running(&container)
        && containers::file(host, &name, pshim::TARGETS_FILE).await.as_deref() == Some(list(targets).as_bytes());
    Ok(if is_same { pstage::Edge::At(number) } else { pstage::Edge::Astray })
}

async fn publish(
    host: &Engine,
    project: &Project,
    name: &str,
    image: String,
    digest: String,
    routes: &[Route],
) -> Result<(), RunError> {
    let mut bindings: HashMap<String, Option<Vec<PortBinding>>> = HashMap::new();
    let mut listen: Vec<String> = Vec::new();
    let mut labels = project.labels(Role::Ports, &[(names::CONFIGURATION, digest)]);
    for Route { port, process, listen: own } in routes {
        labels.insert(listens(*own, port.udp), process.clone());
        let binding = PortBinding {
            host_ip: port.address.map(|address| address.to_string()),
            host_port: port.host.map(|port| port.to_string()),
        };
        bindings.entry(format!("{own}/{}", port.protocol())).or_default().get_or_insert_default().push(binding);
        let word = listen_word(*own, port.udp);
        if !listen.contains(&word) {
            listen.push(word);
        }
    }
    let command = [holder::PROGRAM.to_owned(), "forward".to_owned()];
    let body = ContainerCreateBody {
        image: Some(image),
        cmd: Some(command.into_iter().chain(listen).collect()),
        exposed_ports: Some(bindings.keys().cloned().collect()),
        labels: Some(labels),
        host_config: Some(HostConfig { port_bindings: Some(bindings), ..holder::bare(&project.network()) }),
        ..ContainerCreateBody::default()
    };
    containers::create(host, project, name, body).await?;
    start(host, name, routes).await
}

async fn start(host: &Engine, name: &str, routes: &[Route]) -> Result<(), RunError> {
    match containers::start(host, name).await {
        Err(RunError::Engine { source, .. }) if is_taken(&message(&source)) => {
            let text = message(&source);
            let mut ports = routes.iter().map(|route| route.port);
            let taken = ports.find(|port| port.host.is_some_and(|number| names_port(&text, number)));
            let first = routes.first().map(|route| route.port);
            let port = taken.or(first).map_or_else(String::new, |port| port.to_string());
            let number = Port::parse(&port).and_then(|port| port.host);
            Err(RunError::PortTaken { port, holder: holder_of(host, number, name).await })
        }
        other => other,
    }
}

/// Returns whether the engine's message says that a port is taken. The wording of the message changed over the years.
fn is_taken(message: &str) -> bool {
    ["already allocated", "address already in use", "cannot assign requested address"]
        .iter()
        .any(|words| message.contains(words))
}

/// Returns whether a message names this port. The port's digits within a longer number do not count.
fn names_port(message: &str, port: u16) -> bool {
    message.split(|c: char| !c.is_ascii_digit()).any(|number| number == port.to_string())
}

/// Finds the container that publishes a port; it can belong to any project.
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

/// Makes the name of the label that says whose port the forwarder listens on.
fn listens(port: u16, udp: bool) -> String {
    format!("{}{}", names::LISTENS, listen_word(port, udp))
}

/// Names a port of the forwarder in the words of its command line.
fn listen_word(port: u16, udp: bool) -> String {
    if udp { format!("{port}/udp") } else { port.to_string() }
}

/// An instance that takes the connections or packets of a port of the forwarder.
pub(crate) struct Target {
    /// True for packets, false for connections.
    pub(crate) udp: bool,
    /// The port on which the forwarder listens.
    pub(crate) listen: u16,
    /// The instance's container.
    pub(crate) container: String,
    /// The instance's port.
    pub(crate) port: u16,
    /// Whether each connection begins with the client's address.
    pub(crate) proxy_protocol: bool,
    /// The request that tells whether the instance still answers. Without it, only refused connections tell.
    pub(crate) check: Option<HttpCheck>,
    /// The pause between two checks, if the manifest sets one.
    pub(crate) interval: Option<Duration>,
}

impl Target {
    fn write(&self, list: &mut String) {
        let check = self.check.as_ref().map(|check| {
            let patience = check.patience.as_millis().clamp(1, 100_000_000) as u32;
            pshim::target::Check::new(check.port, patience, check.host.as_bytes(), check.path.as_bytes())
        });
        let target = pshim::target::Target {
            protocol: if self.udp { pshim::target::Protocol::Udp } else { pshim::target::Protocol::Tcp },
            listen: self.listen,
            host: self.container.as_bytes(),
            port: self.port,
            check,
            proxy: self.proxy_protocol && !self.udp,
        };
        pshim::target::write(list, &target, self.check.as_ref().map_or(&[], |check| &check.headers));
    }
}

/// Sends new connections to these instances from now on. Open connections stay with their instances for as long as a
/// request is open.
///
/// # Errors
///
/// Returns [`RunError::Engine`].
pub(crate) async fn point(host: &Engine, project: &Project, targets: &[Target]) -> Result<(), RunError> {
    let list = list(targets);
    let name = pshim::TARGETS_FILE.trim_start_matches('/').to_owned();
    let file = File { name, content: list.as_bytes(), mode: 0o444, owner: 0 };
    holder::upload(host, &project.forwarder(), "/", &[file]).await
}

/// Waits until the forwarder has no connection to these containers any more. Those that carry no request end at once,
/// the others when their answer has ended. What is still open after [`DRAINING`] ends with its instance.
pub(crate) async fn drained(host: &Engine, project: &Project, containers: &[String]) {
    let patience = DRAINING.as_millis().to_string();
    let words = [holder::PROGRAM, "drained", &patience].map(str::to_owned);
    let command: Vec<String> = words.into_iter().chain(containers.iter().cloned()).collect();
    // Without the answer, the instances end as they would without a forwarder.
    let forwarder = project.forwarder();
    let run = inside::run(host, &forwarder, &command, &[]);
    let _ = tokio::time::timeout(DRAINING + GRACE, run).await;
}

/// Writes the list that the forwarder reads.
fn list(targets: &[Target]) -> String {
    let mut list = String::new();
    if let Some(interval) = targets.iter().filter_map(|target| target.interval).min() {
        list.push_str(&format!("every {}\n", interval.as_millis().clamp(200, 100_000_000)));
    }
    targets.iter().for_each(|target| target.write(&mut list));
    list.push_str("end\n");
    list
}

/// An address at which a published port is reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Address {
    /// The process that answers at the address. It is absent if an older prun made the forwarder.
    pub(crate) process: Option<String>,
    /// The address, such as `http://127.0.0.1:8080` or `udp://127.0.0.1:53`.
    pub(crate) url: String,
}

/// Returns the addresses of the published ports. The engine filled in every part that the plan left open.
///
/// # Errors
///
/// Returns [`RunError::Engine`].
pub(crate) async fn addresses(host: &Engine, project: &Project) -> Result<Vec<Address>, RunError> {
    let Some(container) = containers::inspect(host, project, &project.forwarder()).await? else {
        return Ok(Vec::new());
    };
    let labels = container.config.as_ref().and_then(|config| config.labels.as_ref());
    let published = container.network_settings.and_then(|settings| settings.ports).unwrap_or_default();
    let mut addresses = Vec::new();
    for (listen, bindings) in published {
        let (port, udp) = listen.split_once('/').map_or((&*listen, false), |(port, kind)| (port, kind == "udp"));
        let process = port.parse().ok().and_then(|port| names::label(labels, &listens(port, udp))).map(str::to_owned);
        let scheme = if udp { "udp" } else { "http" };
        for binding in bindings.into_iter().flatten() {
            let Some(port) = binding.host_port else { continue };
            let url = match binding.host_ip.as_deref() {
                None | Some("" | "0.0.0.0" | "::") => format!("{scheme}://127.0.0.1:{port}"),
                Some(address) if address.contains(':') => format!("{scheme}://[{address}]:{port}"),
                Some(address) => format!("{scheme}://{address}:{port}"),
            };
            addresses.push(Address { process: process.clone(), url });
        }
    }
    addresses.sort_by(|one, other| (&one.url, &one.process).cmp(&(&other.url, &other.process)));
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
