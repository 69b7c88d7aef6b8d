//! Divides a build among the nodes of its builder: each platform is built on one node.
//!
//! Sources: docker/buildx `build/driver.go` (`nodeResolver`) for the nodes that fit a platform. If several nodes fit
//! equally well, buildx takes the first one. This module always takes the same node for the same folder and
//! Dockerfile, because that node has its cache. Builds of different projects are spread over all nodes.

use pengine::{BuilderNode, platform};
use sha2::{Digest as _, Sha256};

use crate::edge::Failure;
use crate::plan::{BuildOrder, Tls};
use crate::site::CommonSites;

/// The part of a build that one node carries out.
#[derive(Debug)]
pub(super) struct NodeShare {
    /// The node.
    pub(super) node: BuilderNode,
    /// The platforms that the node builds. The list is empty if the build names no platform.
    pub(super) platforms: Vec<String>,
    /// Whether other nodes build the other platforms.
    pub(super) of_several: bool,
}

/// A build that several nodes of the builder cannot carry out together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotDivisible {
    /// The files come on standard input, so they can be sent to only one node.
    StandardInput,
    /// Each node would write its own cache to the same place.
    Caches(String),
}

/// A node, with the facts that decide which platforms it builds.
struct Candidate<'a> {
    name: &'a str,
    /// The platforms that the owner of the builder set for the node.
    configured: &'a [String],
    /// The platforms that the node itself reports.
    offered: Vec<String>,
}

/// How well a node fits a platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    /// The owner configured the platform for the node.
    Configured,
    /// The platform is configured, or the node lists it.
    Listed,
    /// The node can run the platform's programs.
    Runnable,
}

impl Fit {
    /// The best fit first.
    const ALL: [Self; 3] = [Self::Configured, Self::Listed, Self::Runnable];
}

impl Candidate<'_> {
    /// Returns whether the node fits a platform in its usual spelling so well.
    fn fits(&self, fit: Fit, wanted: &str) -> bool {
        let same = |own: &String| platform::normal(own) == wanted;
        let mut listed = self.configured.iter().chain(&self.offered);
        match fit {
            Fit::Configured => self.configured.iter().any(same),
            Fit::Listed => listed.any(same),
            Fit::Runnable => listed.any(|own| platform::runs(own, wanted)),
        }
    }
}

/// Divides the platforms of a build among the nodes of its builder. Nodes that do not answer are left out with a
/// warning.
///
/// `recipe` identifies the folder and the Dockerfile.
///
/// # Errors
/// Returns an error if no node answers.
pub(super) async fn divide(
    nodes: Vec<BuilderNode>,
    platforms: &[String],
    recipe: &str,
    sites: &mut CommonSites<'_>,
    (with_secrets, tls): (bool, Tls),
) -> Result<Vec<NodeShare>, Failure> {
    let nodes = match <[BuilderNode; 1]>::try_from(nodes) {
        // A single node builds everything. It is reached only when the build is prepared.
        Ok([node]) => return Ok(vec![NodeShare { node, platforms: platforms.to_vec(), of_several: false }]),
        Err(nodes) => nodes,
    };
    let mut reached = Vec::new();
    for (node, site) in sites.reach_all(nodes, with_secrets, tls).await? {
        let workers = site.builder.workers().await?;
        let offered = workers.iter().flat_map(|worker| &worker.platforms).map(|text| platform::normal(text)).collect();
        reached.push((node, offered));
    }
    let candidates: Vec<Candidate<'_>> = reached
        .iter()
        .map(|(node, offered): &(BuilderNode, Vec<String>)| Candidate {
            name: &node.name,
            configured: &node.platforms,
            offered: offered.clone(),
        })
        .collect();
    let mut shares: Vec<(usize, Vec<String>)> = Vec::new();
    for (platform, at) in platforms.iter().zip(choose(&candidates, platforms, recipe)) {
        match shares.iter_mut().find(|(node, _)| *node == at) {
            Some((_, platforms)) => platforms.push(platform.clone()),
            None => shares.push((at, vec![platform.clone()])),
        }
    }
    if shares.is_empty() {
        shares.push((0, Vec::new()));
    }
    let of_several = shares.len() > 1;
    let share =
        |(at, platforms): (usize, Vec<String>)| NodeShare { node: reached[at].0.clone(), platforms, of_several };
    Ok(shares.into_iter().map(share).collect())
}

/// Checks whether several nodes can carry out a build together.
///
/// # Errors
/// Returns [`NotDivisible`] if they cannot.
pub(super) fn check(order: &BuildOrder) -> Result<(), NotDivisible> {
    if order.plan.is_sent_once() {
        return Err(NotDivisible::StandardInput);
    }
    let exports = order.extras.iter().flat_map(|extras| extras.caches.exports());
    match exports.into_iter().find(|entry| entry.kind != "inline") {
        Some(entry) => Err(NotDivisible::Caches(entry.kind.clone())),
        None => Ok(()),
    }
}

/// Chooses a node for each platform, and returns the indexes of the chosen nodes.
///
/// The owner's configuration counts first. It is the only thing that counts if it covers every platform. Then come
/// the platforms that the nodes report, and then platforms that a node can run although it does not list them. A
/// platform that fits no node goes to the first one, as with buildx.
fn choose(nodes: &[Candidate<'_>], platforms: &[String], recipe: &str) -> Vec<usize> {
    let mut chosen = Vec::new();
    for fit in Fit::ALL {
        chosen = platforms
            .iter()
            .map(|wanted| {
                let wanted = platform::normal(wanted);
                let fitting = (0..nodes.len()).filter(|at| nodes[*at].fits(fit, &wanted));
                fitting.max_by_key(|at| weight(nodes[*at].name, recipe))
            })
            .collect();
        if chosen.iter().all(Option::is_some) {
            break;
        }
    }
    chosen.into_iter().map(Option::unwrap_or_default).collect()
}

/// Returns the weight of a node for a recipe. The node with the highest weight builds the recipe. If a node is added
/// or removed, only the recipes of that node move (rendezvous hashing).
fn weight(node: &str, recipe: &str) -> [u8; 32] {
    Sha256::new().chain_update(node).chain_update([0]).chain_update(recipe).finalize().into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn texts(list: &str) -> Vec<String> {
        list.split_whitespace().map(str::to_owned).collect()
    }

    /// Chooses among nodes, each written as `NAME: CONFIGURED; OFFERED`.
    fn chosen(nodes: &[&str], platforms: &str, recipe: &str) -> Vec<usize> {
        let parsed: Vec<(String, Vec<String>, Vec<String>)> = nodes
            .iter()
            .map(|node| {
                let (name, rest) = node.split_once(':').unwrap();
                let (configured, offered) = rest.split_once(';').unwrap();
                (name.to_owned(), texts(configured), texts(offered))
            })
            .collect();
        let candidates: Vec<Candidate<'_>> = parsed
            .iter()
            .map(|(name, configured, offered)| Candidate { name, configured, offered: offered.clone() })
            .collect();
        choose(&candidates, &texts(platforms), recipe)
    }

    #[test]
    fn each_platform_goes_to_the_node_that_fits_it_best() {
        let both = ["a:;linux/amd64 linux/386", "b:;linux/arm64 linux/arm/v7"];
        assert_eq!(chosen(&both, "linux/amd64 linux/arm64 linux/arm", "r"), [0, 1, 1]);
        // The second node's configuration counts more than the emulator that the first node reports.
        let emulating = ["a:;linux/amd64 linux/arm64", "b:linux/arm64;linux/arm64"];
        assert_eq!(chosen(&emulating, "linux/arm64", "r"), [1]);
        // A program for a lower variant runs on a machine of a higher one. A platform that no node has goes to the
        // first node.
        assert_eq!(chosen(&both, "linux/arm/v6", "r"), [1]);
        assert_eq!(chosen(&both, "linux/riscv64", "r"), [0]);
        assert_eq!(chosen(&both, "", "r"), Vec::<usize>::new());
    }

    #[test]
    fn equal_nodes_share_projects_and_a_project_stays_with_its_node() {
        let nodes = ["a:;linux/amd64", "b:;linux/amd64", "c:;linux/amd64"];
        let places: Vec<usize> =
            (0..60).map(|project| chosen(&nodes, "linux/amd64", &format!("r{project}"))[0]).collect();
        assert_eq!(places.iter().collect::<BTreeSet<_>>().len(), 3, "every node has projects");
        // If a node is removed, only its own projects move. The order of the nodes does not matter.
        let turned = ["c:;linux/amd64", "a:;linux/amd64"];
        for (project, before) in places.iter().enumerate().filter(|(_, before)| **before != 1) {
            let after = chosen(&turned, "linux/amd64", &format!("r{project}"))[0];
            assert_eq!(turned[after], nodes[*before]);
        }
    }
}
