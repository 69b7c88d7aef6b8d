//! Finds the builder for a build: the BuildKit of an engine, or a BuildKit without an engine.
//!
//! The first one that is set is used, as for `docker buildx build`: `--builder`, `BUILDX_BUILDER`, the choice of
//! `docker buildx use`, and last the engine of the docker context. `BUILDKIT_HOST` belongs to `buildctl` and is
//! ignored. Its value can be given to `--builder`.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::address::Address;
use crate::configuration::Context;
use crate::connection::Connection;
use crate::endpoint::{Endpoint, Origin, Safety, Tls};
use crate::engine::Engine;
use crate::environment::{Environment, Flags};
use crate::error::EngineError;
use crate::exec;
use crate::last_words::{ErrorKeeper, LastWords};
use crate::store::{BuilderStore, Instance, Node};
use crate::tls::Certificates;

/// How long the first answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The command that connects to BuildKit in a container.
const DIAL: [&str; 2] = ["buildctl", "dial-stdio"];

/// One of the machines of a builder. Nearly every builder has one; `docker buildx create --append` adds others.
#[derive(Clone, Debug)]
pub struct BuilderNode {
    /// The builder's name, or its address.
    pub builder: String,
    /// The node's name, by which `--builder-node` chooses it. A builder without nodes has one node, whose name is the
    /// builder's own name or address.
    pub name: String,
    /// The platforms that its owner configured for it, such as `linux/arm64`, in their normal spelling. The list may
    /// be empty, because the node itself reports its platforms.
    pub platforms: Vec<String>,
    /// The place that runs the builds.
    pub choice: BuilderChoice,
}

/// A place that runs a build.
#[derive(Clone, Debug)]
pub enum BuilderChoice {
    /// The BuildKit of an engine, which also keeps the image.
    Engine(Endpoint),
    /// A BuildKit without an engine's store.
    Plain(PlainBuilder),
}

/// A BuildKit without an engine's store.
#[derive(Clone, Debug)]
pub struct PlainBuilder {
    name: String,
    way: Way,
    loads: bool,
}

/// The way in which a builder is reached.
#[derive(Clone, Debug)]
enum Way {
    /// BuildKit listens at an address.
    Direct(Endpoint),
    /// BuildKit runs in a container of an engine.
    Container { engine: Endpoint, container: String },
}

/// The flag or the variable that named a builder, for errors.
type NamedBy = &'static str;

impl BuilderNode {
    /// Finds the nodes of the builder that docker itself would use, in docker's order. There is at least one. If the
    /// flags name a node, the list has only that one.
    ///
    /// # Errors
    ///
    /// Returns an error if the builder or the node does not exist, or is of a kind that this program does not
    /// support, if docker's files are not valid, or if certificates cannot be used.
    pub fn resolve(environment: &Environment, flags: &Flags) -> Result<Vec<Self>, EngineError> {
        let finder = Finder { environment, flags, store: environment.builders_folder().map(BuilderStore::new) };
        let named = flags.builder.as_deref().filter(|name| !name.is_empty()).map(|name| (name, "--builder"));
        let named = named.or(environment.buildx_builder.as_deref().map(|name| (name, "BUILDX_BUILDER")));
        let mut nodes = match named {
            Some((name, by)) => finder.named(name, by)?,
            None => finder.current()?,
        };
        if let Some(name) = flags.node.as_deref().filter(|name| !name.is_empty()) {
            let known = nodes.iter().map(|node| node.name.clone()).collect();
            nodes.retain(|node| node.name == name);
            if nodes.is_empty() {
                return Err(EngineError::NodeMissing { name: name.to_owned(), known });
            }
        }
        Ok(nodes)
    }

    /// Makes the single node of a builder that does not list its nodes.
    fn only(name: impl Into<String>, choice: BuilderChoice) -> Vec<Self> {
        let name = name.into();
        vec![Self { builder: name.clone(), name, platforms: Vec::new(), choice }]
    }
}

struct Finder<'a> {
    environment: &'a Environment,
    flags: &'a Flags,
    store: Option<BuilderStore>,
}

impl Finder<'_> {
    fn named(&self, name: &str, by: NamedBy) -> Result<Vec<BuilderNode>, EngineError> {
        if name.contains("://") {
            let plain = self.listening(name, name, &TlsOptions::default())?;
            return Ok(BuilderNode::only(name, BuilderChoice::Plain(plain)));
        }
        if let Some(instance) = self.store.as_ref().map(|store| store.instance(name)).transpose()?.flatten() {
            return self.instance(&instance);
        }
        let docker = self.environment.docker_folder();
        if name == "default" || docker.as_deref().is_some_and(|folder| Context::exists(folder, name)) {
            return Ok(BuilderNode::only(name, BuilderChoice::Engine(self.context(name)?)));
        }
        Err(EngineError::BuilderMissing {
            name: name.to_owned(),
            origin: by,
            folder: self.store.as_ref().map_or_else(|| "~/.docker/buildx".into(), |store| store.folder().to_owned()),
            known: self.store.as_ref().map(BuilderStore::names).unwrap_or_default(),
        })
    }

    fn current(&self) -> Result<Vec<BuilderNode>, EngineError> {
        let endpoint = Endpoint::resolve(self.environment, self.flags)?;
        let engine = |endpoint| BuilderNode::only("default", BuilderChoice::Engine(endpoint));
        let Some(store) = &self.store else { return Ok(engine(endpoint)) };
        let context = match endpoint.origin() {
            Origin::Context(name) => name.clone(),
            // Docker's store uses this address for the default context, also with a rootless engine.
            Origin::Default | Origin::Rootless => "unix:///var/run/docker.sock".to_owned(),
            Origin::Flag | Origin::Environment | Origin::Builder(_) => endpoint.to_string(),
        };
        match store.current(&context)? {
            Some(instance) => self.instance(&instance),
            None => Ok(engine(endpoint)),
        }
    }

    fn instance(&self, instance: &Instance) -> Result<Vec<BuilderNode>, EngineError> {
        let unsupported = |problem: String| EngineError::BuilderUnsupported { name: instance.name.clone(), problem };
        let driver = instance.driver.as_str();
        if !["docker", "docker-container", "remote"].contains(&driver) {
            return Err(unsupported(format!("its driver `{driver}` is none of docker, docker-container and remote")));
        }
        if instance.nodes.is_empty() {
            return Err(unsupported("it has no node".to_owned()));
        }
        let node = |node: &Node| {
            let choice = self.node(instance, node)?;
            let builder = instance.name.clone();
            Ok(BuilderNode { builder, name: node.name.clone(), platforms: node.platforms(), choice })
        };
        instance.nodes.iter().map(node).collect()
    }

    fn node(&self, instance: &Instance, node: &Node) -> Result<BuilderChoice, EngineError> {
        match instance.driver.as_str() {
            "docker" => self.engine(&node.endpoint).map(BuilderChoice::Engine),
            "docker-container" => {
                let container = format!("buildx_buildkit_{}", node.name);
                let way = Way::Container { engine: self.engine(&node.endpoint)?, container };
                Ok(BuilderChoice::Plain(PlainBuilder { name: instance.name.clone(), way, loads: loads(node) }))
            }
            _ => {
                let path = |name| node.option(name).map(PathBuf::from);
                let options = TlsOptions {
                    authority: path("cacert"),
                    certificate: path("cert"),
                    key: path("key"),
                    server: node.option("servername").map(str::to_owned),
                };
                let plain = self.listening(&instance.name, &node.endpoint, &options)?;
                Ok(BuilderChoice::Plain(PlainBuilder { loads: loads(node), ..plain }))
            }
        }
    }

    /// Finds the engine of a node by an address or the name of a docker context.
    fn engine(&self, endpoint: &str) -> Result<Endpoint, EngineError> {
        match endpoint.contains("://") {
            // Docker's store holds the default context as its address. Environment variables tell whether it uses
            // TLS.
            true => {
                let here = Endpoint::resolve(self.environment, self.flags)?;
                if here.to_string() == endpoint { Ok(here) } else { Endpoint::plain(endpoint) }
            }
            false => self.context(endpoint),
        }
    }

    fn context(&self, name: &str) -> Result<Endpoint, EngineError> {
        // If `DOCKER_HOST` is set, it is the default context.
        let variables = name == "default" && self.environment.docker_host.is_some();
        let flags = Flags { context: (!variables).then(|| name.to_owned()), ..Flags::default() };
        Endpoint::resolve(self.environment, &flags)
    }

    /// Makes the builder that listens at an address.
    fn listening(&self, name: &str, address: &str, options: &TlsOptions) -> Result<PlainBuilder, EngineError> {
        let plain = |way| Ok(PlainBuilder { name: name.to_owned(), way, loads: false });
        if let Some(container) = address.strip_prefix("docker-container://") {
            let engine = Endpoint::resolve(self.environment, self.flags)?;
            let container = container.trim_end_matches('/').to_owned();
            return plain(Way::Container { engine, container });
        }
        let unsupported = |problem: &str| {
            let (name, problem) = (name.to_owned(), problem.to_owned());
            Err(EngineError::BuilderUnsupported { name, problem })
        };
        if ["kube-pod://", "ssh://", "podman-container://", "nerdctl-container://"]
            .iter()
            .any(|kind| address.starts_with(kind))
        {
            return unsupported("its address is none of tcp://, unix:// and docker-container://");
        }
        let parsed = Address::parse(address)?;
        match &parsed {
            Address::Tcp { port: None, .. } => return unsupported("its address has no port"),
            Address::Tcp { .. } | Address::Unix(_) | Address::Ssh { .. } => {}
        }
        let tls = options.tls(name)?;
        plain(Way::Direct(Endpoint::of_builder(name, parsed, tls)))
    }
}

/// Returns whether the engine loads results for which the user named no destination.
fn loads(node: &Node) -> bool {
    node.option("default-load").is_some_and(|value| matches!(value, "true" | "True" | "TRUE" | "t" | "T" | "1"))
}

/// The certificate files of a remote builder.
#[derive(Default)]
struct TlsOptions {
    authority: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    server: Option<String>,
}

impl TlsOptions {
    /// Makes the TLS settings of a remote builder. Any of the options turns TLS on. Then the authority is required,
    /// as for docker.
    fn tls(&self, name: &str) -> Result<Option<Tls>, EngineError> {
        let missing = |option| EngineError::BuilderUnsupported {
            name: name.to_owned(),
            problem: format!("it is set up for TLS without the driver option {option}"),
        };
        let own = match (&self.certificate, &self.key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((certificate.clone(), key.clone())),
            (Some(_), None) => return Err(missing("key")),
            (None, Some(_)) => return Err(missing("cert")),
        };
        if self.authority.is_none() && own.is_none() && self.server.is_none() {
            return Ok(None);
        }
        let authority = self.authority.clone().ok_or_else(|| missing("cacert"))?;
        let mut client = Certificates { authority: Some(authority), own }.client()?;
        client.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Some(Tls { client: client.into(), name: self.server.clone() }))
    }
}

impl PlainBuilder {
    /// Returns the builder's name, or its address if it does not have a name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns whether its owner wants results without a destination to be loaded into the engine
    /// (`default-load=true`).
    #[must_use]
    pub fn loads(&self) -> bool {
        self.loads
    }

    /// Returns who could read the bytes of a connection on its way.
    #[must_use]
    pub fn safety(&self) -> Safety {
        self.endpoint().safety()
    }

    /// Refuses a builder whose connection others can read on the way (C16).
    ///
    /// # Errors
    ///
    /// Returns [`EngineError::Plaintext`].
    pub fn require_private(&self) -> Result<(), EngineError> {
        self.endpoint().require_private()
    }

    fn endpoint(&self) -> &Endpoint {
        match &self.way {
            Way::Direct(endpoint) | Way::Container { engine: endpoint, .. } => endpoint,
        }
    }

    /// Opens a connection on which BuildKit speaks HTTP/2. The program that carries the connection may print last
    /// words when it ends.
    ///
    /// # Errors
    ///
    /// Returns an [`EngineError`] if the builder does not answer, or its container does not run.
    pub async fn dial(&self) -> Result<(Connection, LastWords), EngineError> {
        match &self.way {
            Way::Direct(endpoint) => {
                let (told, said) = ErrorKeeper::new(endpoint.dial(PATIENCE).await?);
                Ok((Box::new(told), said))
            }
            Way::Container { engine, container } => {
                let engine = Engine::connect(engine).await?;
                self.check_container(&engine, container).await?;
                exec::run(&engine, container, &DIAL).await
            }
        }
    }

    async fn check_container(&self, engine: &Engine, container: &str) -> Result<(), EngineError> {
        let stopped = |problem| EngineError::BuilderStopped { name: self.name.clone(), problem };
        let inspected = match engine.docker().inspect_container(container, None).await {
            Ok(inspected) => inspected,
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => {
                return Err(stopped(format!("there is no container {container} at {}", engine.endpoint())));
            }
            Err(source) => return Err(EngineError::Exec { container: container.to_owned(), source: Box::new(source) }),
        };
        match inspected.state.and_then(|state| state.running) {
            Some(true) => Ok(()),
            _ => Err(stopped(format!("container {container} is not running"))),
        }
    }
}

impl fmt::Display for PlainBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.way {
            Way::Direct(endpoint) if endpoint.to_string() == self.name => f.write_str(&self.name),
            Way::Direct(endpoint) => write!(f, "{} at {endpoint}", self.name),
            Way::Container { engine, container } => write!(f, "{} in container {container} at {engine}", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    /// Makes a home folder with one builder of each kind.
    fn home() -> (TempDir, Environment) {
        let home = TempDir::new().unwrap();
        let write = |path: &str, text: &str| {
            let path = home.path().join(".docker/buildx").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let builder = |name: &str, driver: &str, endpoint: &str, options: &str| {
            let node = format!(r#"{{"Name":"{name}0","Endpoint":"{endpoint}","DriverOpts":{options},"Flags":null}}"#);
            let text = format!(r#"{{"Name":"{name}","Driver":"{driver}","Nodes":[{node}],"Dynamic":false}}"#);
            write(&format!("instances/{name}"), &text);
        };
        builder("far", "remote", "tcp://h:1234", r#"{"default-load":"true"}"#);
        builder("portless", "remote", "tcp://h", "null");
        builder("half", "remote", "tcp://h:1234", r#"{"cert":"/c.pem"}"#);
        builder("boxed", "docker-container", "unix:///e.sock", "null");
        builder("plain", "docker", "unix:///e.sock", "null");
        builder("pods", "kubernetes", "", "null");
        let arm = r#"[{"architecture":"arm64","os":"linux","variant":"v8"},{"architecture":"arm","os":"linux"}]"#;
        let first = format!(r#"{{"Name":"n0","Endpoint":"tcp://h:1","Platforms":{arm}}}"#);
        let second = r#"{"Name":"n1","Endpoint":"tcp://h:2","Platforms":null}"#;
        write("instances/both", &format!(r#"{{"Name":"both","Driver":"remote","Nodes":[{first},{second}]}}"#));
        let environment = Environment { home: Some(home.path().into()), ..Environment::default() };
        (home, environment)
    }

    fn shown(environment: &Environment, builder: Option<&str>) -> Result<String, String> {
        let flags = Flags { builder: builder.map(str::to_owned), ..Flags::default() };
        let nodes = BuilderNode::resolve(environment, &flags).map_err(|error| error.to_string())?;
        let node = |node: BuilderNode| match node.choice {
            BuilderChoice::Engine(endpoint) => format!("engine {endpoint}"),
            BuilderChoice::Plain(plain) => format!("{plain}{}", if plain.loads() { ", loads" } else { "" }),
        };
        Ok(nodes.into_iter().map(node).collect::<Vec<_>>().join("; "))
    }

    #[test]
    fn a_builder_of_several_nodes_has_them_in_their_order_with_their_platforms() {
        let (_home, environment) = home();
        let of = |node: Option<&str>| {
            let flags = Flags { builder: Some("both".into()), node: node.map(str::to_owned), ..Flags::default() };
            BuilderNode::resolve(&environment, &flags)
        };
        let nodes = of(None).unwrap();
        let seen: Vec<_> = nodes.iter().map(|node| (node.name.as_str(), node.platforms.join(" "))).collect();
        assert_eq!(seen, [("n0", "linux/arm64 linux/arm/v7".to_owned()), ("n1", String::new())]);
        assert_eq!(of(Some("n1")).unwrap()[0].name, "n1");
        let error = of(Some("n2")).unwrap_err().to_string();
        assert!(error.contains("`n2`") && error.contains("n0, n1"), "{error}");
    }

    #[test]
    fn every_driver_is_reached_in_its_own_way() {
        let (_home, environment) = home();
        for (name, expected) in [
            ("both", "both at tcp://h:1; both at tcp://h:2"),
            ("far", "far at tcp://h:1234, loads"),
            ("FAR", "far at tcp://h:1234, loads"),
            ("boxed", "boxed in container buildx_buildkit_boxed0 at unix:///e.sock"),
            ("plain", "engine unix:///e.sock"),
            ("default", "engine unix:///var/run/docker.sock"),
            ("tcp://h:1", "tcp://h:1"),
            ("unix:///b.sock", "unix:///b.sock"),
        ] {
            assert_eq!(shown(&environment, Some(name)).as_deref(), Ok(expected));
        }
        let environment = Environment { docker_host: Some("tcp://d:1".into()), ..environment };
        assert_eq!(shown(&environment, Some("default")).as_deref(), Ok("engine tcp://d:1"));
    }

    #[test]
    fn what_cannot_be_used_is_named_with_the_reason() {
        let (_home, environment) = home();
        for (name, says) in [
            ("pods", "`pods` cannot be used: its driver `kubernetes`"),
            ("portless", "no port"),
            ("half", "driver option key"),
            ("kube-pod://p", "none of tcp://"),
            ("nowhere", "`nowhere` does not exist (--builder)"),
            ("nowhere", "describes both, boxed, far, half, plain, pods, portless"),
        ] {
            let error = shown(&environment, Some(name)).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
        let environment = Environment { buildx_builder: Some("gone".into()), ..environment };
        assert!(shown(&environment, None).unwrap_err().contains("(BUILDX_BUILDER)"));
    }

    #[test]
    fn the_flag_wins_over_the_variable_and_that_over_the_builder_in_use() {
        let (home, mut environment) = home();
        assert_eq!(shown(&environment, None).as_deref(), Ok("engine unix:///var/run/docker.sock"));
        let current = r#"{"Key":"unix:///var/run/docker.sock","Name":"boxed","Global":false}"#;
        fs::write(home.path().join(".docker/buildx/current"), current).unwrap();
        assert!(shown(&environment, None).unwrap().starts_with("boxed"));
        environment.buildx_builder = Some("plain".into());
        assert!(shown(&environment, None).unwrap().starts_with("engine"));
        assert!(shown(&environment, Some("far")).unwrap().starts_with("far"));
        environment.buildx_config = Some(home.path().join("elsewhere"));
        assert!(shown(&environment, Some("far")).unwrap_err().contains("elsewhere"));
    }

    #[test]
    fn c16_a_builder_over_plain_tcp_is_readable_by_others() {
        let (_home, environment) = home();
        let flags = |name: &str| Flags { builder: Some(name.to_owned()), ..Flags::default() };
        let [BuilderNode { choice: BuilderChoice::Plain(far), .. }] =
            &BuilderNode::resolve(&environment, &flags("far")).unwrap()[..]
        else {
            panic!("a plain builder")
        };
        assert_eq!(far.safety(), Safety::Plaintext);
        assert!(far.require_private().is_err());
    }
}
