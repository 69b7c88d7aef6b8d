//! The routes from published ports to processes: they tell on which of its own ports the forwarder listens for each.

use papp::Port;

use super::Plan;
use super::process::PlannedProcess;

/// A published port, and where its connections go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// The published port.
    pub(crate) port: Port,
    /// The process that takes the connections.
    pub(crate) process: String,
    /// The port on which the forwarder listens. It is the container's own port, unless another process uses the same
    /// one.
    pub(crate) listen: u16,
}

/// Makes the routes of a plan, in the order of its processes.
#[must_use]
pub(crate) fn routes(plan: &Plan) -> Vec<Route> {
    let published: Vec<(&str, Port)> = published(plan.processes()).collect();
    let mut routes: Vec<Route> = Vec::new();
    for (process, port) in &published {
        let is_same = |other: &Port| (other.container, other.udp) == (port.container, port.udp);
        let same = |route: &&Route| route.process == *process && is_same(&route.port);
        let own = |listen: &u16| routes.iter().any(|route| (route.listen, route.port.udp) == (*listen, port.udp));
        let any = |listen: &u16| own(listen) || published.iter().any(|(_, other)| other.container == *listen);
        let listen = match routes.iter().find(same) {
            Some(route) => route.listen,
            None if !own(&port.container) => port.container,
            // The search begins at the highest port, because hardly any app listens there.
            None => (1..=u16::MAX).rev().find(|listen| !any(listen)).unwrap_or(port.container),
        };
        routes.push(Route { port: *port, process: (*process).to_owned(), listen });
    }
    routes
}

fn published(processes: &[PlannedProcess]) -> impl Iterator<Item = (&str, Port)> {
    processes.iter().flat_map(|process| process.ports().iter().map(|port| (process.name(), *port)))
}

impl Route {
    /// Finds the process and the port that serve this route in the plan of the previous generation. Connections go
    /// there until the new instances are healthy.
    #[must_use]
    pub(crate) fn before(&self, old: &Plan) -> (String, u16) {
        let find =
            |is_it: &dyn Fn(&str, Port) -> bool| published(old.processes()).find(|(name, port)| is_it(name, *port));
        let place = |_: &str, port: Port| {
            let place = |port: Port| (port.host, port.address, port.udp);
            port.host.is_some() && place(port) == place(self.port)
        };
        let container = |_: &str, port: Port| (port.container, port.udp) == (self.port.container, self.port.udp);
        let both = |name: &str, port: Port| name == self.process && container(name, port);
        let found = find(&place).or_else(|| find(&both)).or_else(|| find(&container));
        match found {
            Some((name, port)) => (name.to_owned(), port.container),
            // The port was not published before. A process of that name may listen there all the same.
            None => {
                let name = old.process(&self.process).unwrap_or(old.first()).name();
                (name.to_owned(), self.port.container)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use papp::Manifest;

    use super::*;
    use crate::plan::Goal;
    use crate::plan::order::Order;

    fn plan(manifest: &str) -> Plan {
        let manifest = Manifest::parse(Path::new("app.toml"), format!("image = \"x\"\n{manifest}").as_bytes()).unwrap();
        Plan::new(&Order::default(), &manifest, Path::new("/"), Goal::Instances).unwrap()
    }

    const TWO: &str = "[processes.web]\nports = [\"8080:80\", \"127.0.0.1:8081:80\", \"8443:443\"]\n[processes.admin]\nports = [\"9090:80\"]\n";

    #[test]
    fn two_processes_that_listen_on_one_port_have_two_ways() {
        let routes = routes(&plan(TWO));
        let ways: Vec<_> =
            routes.iter().map(|route| (route.process.as_str(), route.port.container, route.listen)).collect();
        assert_eq!(ways, [("web", 80, 80), ("web", 80, 80), ("web", 443, 443), ("admin", 80, 65_535)]);
    }

    #[test]
    fn connections_and_packets_share_a_port() {
        let routes = routes(&plan("[run]\nports = [\"53:53\", \"53:53/udp\"]\n"));
        let ways: Vec<_> = routes.iter().map(|route| (route.port.to_string(), route.listen)).collect();
        assert_eq!(ways, [("53:53".to_owned(), 53), ("53:53/udp".to_owned(), 53)]);
    }

    #[test]
    fn who_served_a_port_before_goes_on_until_the_new_ones_are_healthy() {
        let before =
            |new: &str, old: &str| routes(&plan(new)).iter().map(|route| route.before(&plan(old))).collect::<Vec<_>>();
        let one = "[run]\nports = [\"8080:8000\"]\n";
        let app = |port| ("app".to_owned(), port);
        // The app got processes: the process that served 8080 had another name and listened on another port.
        assert_eq!(before("[processes.web]\nports = [\"8080:80\"]\n", one), [app(8000)]);
        // The host's port changed.
        assert_eq!(before("[run]\nports = [\"9090:8000\"]\n", one), [app(8000)]);
        // Nothing was published.
        assert_eq!(before(one, ""), [app(8000)]);
        assert_eq!(before(TWO, TWO)[3], ("admin".to_owned(), 80));
    }
}
