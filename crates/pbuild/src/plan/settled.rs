//! The recipe of a build, completed with the facts that are known only after the builder has been chosen.
//!
//! A [`SettledPlan`] is sent as it is: the guard checks it, and nothing changes it afterwards. Only the engine's own
//! address, for `host-gateway`, is added to the request later, because the engine itself reports it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pbuildkit::{BuildRequest, ContentStore, Local, TargetContext, shared_key};
use pengine::Registries;

use super::build_plan::{BuildPlan, Extent, HostAddress};
use super::context::{Context, Dockerfile};
use super::image_name::ImageName;

/// The attribute that tells this project's frontend image not to inject and search, because pbuild itself does so.
const INNER: &str = "dev.pbuild.inner";

/// The frontend that reads the Dockerfile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Frontend {
    /// The image that the Dockerfile or a build argument names, or else the engine's own frontend.
    #[default]
    Named,
    /// An image that the user allowed by name.
    Allowed,
    /// The engine's own frontend, whatever image the Dockerfile names. It is used if pbuild cannot read the
    /// Dockerfile, and so does not know the image.
    EngineOwn,
}

/// The facts about a build that are known only after the builder has been chosen.
#[derive(Clone, Debug, Default)]
pub(crate) struct LateFacts {
    /// The frontend that reads the Dockerfile.
    pub(crate) frontend: Frontend,
    /// Docker's proxies for this engine, by the names of the build arguments that hold them.
    pub(crate) proxies: Vec<(&'static str, String)>,
}

/// A recipe in the form in which it is sent.
#[derive(Debug)]
pub(crate) struct SettledPlan(BuildPlan);

impl BuildPlan {
    /// Completes the recipe. A build argument of the user takes precedence over a proxy of docker's configuration.
    pub(crate) fn settle(mut self, facts: &LateFacts) -> SettledPlan {
        for (name, value) in &facts.proxies {
            if !self.build_arguments.contains_key(*name) {
                self.build_arguments.insert((*name).to_owned(), value.clone());
                self.attributes.insert(format!("build-arg:{name}"), value.clone());
            }
        }
        match facts.frontend {
            Frontend::Named => {}
            Frontend::Allowed => {
                // With this attribute, the project's own frontend image passes the build on, because this program
                // injects and searches.
                self.attributes.insert(INNER.to_owned(), "1".to_owned());
            }
            Frontend::EngineOwn => {
                // A frontend follows `# syntax=` unless this attribute says that it was itself called because of that
                // line (BuildKit's `frontend/dockerfile/builder`).
                self.attributes.insert("cmdline".to_owned(), String::new());
            }
        }
        SettledPlan(self)
    }
}

impl SettledPlan {
    /// Returns the names that the image gets when it is found clean. The list may be empty.
    pub(crate) fn tags(&self) -> &[ImageName] {
        &self.0.tags
    }

    /// Returns every attribute that the frontend gets.
    pub(crate) fn attributes(&self) -> &BTreeMap<String, String> {
        &self.0.attributes
    }

    /// Returns the build arguments, including those for docker's proxies.
    pub(crate) fn build_arguments(&self) -> &BTreeMap<String, String> {
        &self.0.build_arguments
    }

    /// Returns the labels of the image.
    pub(crate) fn labels(&self) -> &BTreeMap<String, String> {
        &self.0.labels
    }

    /// Returns how much of the Dockerfile is built.
    pub(crate) fn extent(&self) -> Extent {
        self.0.extent
    }

    /// Returns the folder whose files are sent, if the context is on this machine.
    pub(crate) fn context_folder(&self) -> Option<&Path> {
        self.0.context_folder()
    }

    /// Returns the path under which errors name the Dockerfile.
    pub(crate) fn dockerfile_path(&self) -> PathBuf {
        self.0.dockerfile_path()
    }

    /// Returns whether the engine must be asked for the address of its gateway.
    pub(crate) fn asks_for_gateway(&self) -> bool {
        self.0.hosts.iter().any(|(_, address)| *address == HostAddress::Gateway)
    }

    /// Writes the extra lines of `/etc/hosts` in BuildKit's spelling.
    fn hosts(&self, gateway: Option<&str>) -> Option<String> {
        let host = |(name, address): &(String, HostAddress)| match address {
            HostAddress::Ip(address) => format!("{name}={address}"),
            HostAddress::Gateway => format!("{name}={}", gateway.unwrap_or("host-gateway")),
        };
        let hosts: Vec<String> = self.0.hosts.iter().map(host).collect();
        (!hosts.is_empty()).then(|| hosts.join(","))
    }

    /// Makes the request to BuildKit for a build without an exporter and without secrets.
    ///
    /// `docker_folder` holds docker's credentials, and the key by which the engine recognises this machine's
    /// contexts. `gateway` is the address that the engine itself reported for `host-gateway`.
    pub(crate) fn request(&self, docker_folder: Option<PathBuf>, gateway: Option<&str>) -> BuildRequest {
        let plan = &self.0;
        let folder = docker_folder;
        let mut request = BuildRequest::dockerfile();
        request.attributes.extend(plan.attributes.clone());
        request.attributes.extend(self.hosts(gateway).map(|hosts| ("add-hosts".to_owned(), hosts)));
        request.exporters = Vec::new();
        request.entitlements.clone_from(&plan.entitlements);
        request.source_policy.clone_from(&plan.source_policy);
        match &plan.context {
            Context::Directory(path) => {
                request.locals.insert("context".to_owned(), Local::Directory(path.clone()));
                request.shared_key = shared_key(path, folder.as_deref());
            }
            Context::Empty => drop(request.locals.insert("context".to_owned(), Local::Files(BTreeMap::new()))),
            Context::Archive(archive) => request.archive = Some(archive.clone()),
            Context::Remote(_) => {}
        }
        let dockerfile = match &plan.dockerfile {
            Dockerfile::Disk { directory, .. } => Some(Local::Directory(directory.clone())),
            Dockerfile::Memory(text) => Some(Local::Files(BTreeMap::from([("Dockerfile".into(), text.clone())]))),
            Dockerfile::InContext { .. } => None,
        };
        request.locals.extend(dockerfile.map(|dockerfile| ("dockerfile".to_owned(), dockerfile)));
        for (name, path) in &plan.locals {
            request.locals.insert(name.clone(), Local::Directory(path.clone()));
        }
        for (name, folder) in &plan.layouts {
            let store = ContentStore::readable(folder.clone());
            request.content.0.insert(format!("oci:{name}"), store);
        }
        request.registries = Registries::of_docker(folder);
        request
    }

    /// Makes the frontend's part of an inner target. `key` is different for every target of the build. Adds the OCI
    /// layouts that the target reads from this machine, and its permissions, to the request of the outer build.
    pub(crate) fn context_of(
        &self,
        (name, key): (String, String),
        (docker_folder, gateway): (Option<PathBuf>, Option<&str>),
        request: &mut BuildRequest,
    ) -> TargetContext {
        let own = self.request(docker_folder, gateway);
        let mut attributes = own.attributes;
        for (store, folder) in own.content.0 {
            let Some(layout) = store.strip_prefix("oci:") else { continue };
            let (old, new) = (format!("oci-layout://{layout}@"), format!("oci-layout://{key}-{layout}@"));
            for value in attributes.values_mut().filter(|value| value.starts_with(&old)) {
                *value = value.replacen(&old, &new, 1);
            }
            request.content.0.insert(format!("oci:{key}-{layout}"), folder);
        }
        let entitlements = own.entitlements.into_iter().filter(|name| !request.entitlements.contains(name));
        request.entitlements.extend(entitlements.collect::<Vec<_>>());
        TargetContext { name, key, attributes, locals: own.locals, shared_key: own.shared_key, targets: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::build::BuildArguments;

    fn plan(build_arguments: &[&str], hosts: &[&str]) -> BuildPlan {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let mut arguments =
            BuildArguments { context: "-".to_owned(), extra_hosts: owned(hosts), ..BuildArguments::default() };
        arguments.recipe.build_arguments = owned(build_arguments);
        BuildPlan::new(&arguments, None, None, |_| None, &b"FROM scratch"[..]).unwrap()
    }

    #[test]
    fn a_proxy_of_docker_s_takes_no_argument_of_the_user_s_away() {
        let proxies = vec![("HTTP_PROXY", "http://p".to_owned()), ("NO_PROXY", "h".to_owned())];
        let facts = LateFacts { proxies, ..LateFacts::default() };
        let settled = plan(&["HTTP_PROXY=http://mine"], &[]).settle(&facts);
        assert_eq!(settled.build_arguments()["HTTP_PROXY"], "http://mine");
        assert_eq!(settled.attributes()["build-arg:HTTP_PROXY"], "http://mine");
        assert_eq!(settled.attributes()["build-arg:NO_PROXY"], "h");
    }

    #[test]
    fn the_gateway_takes_its_place_among_the_hosts() {
        let asking = plan(&[], &["a:host-gateway", "b=::1"]).settle(&LateFacts::default());
        assert!(asking.asks_for_gateway());
        assert_eq!(asking.request(None, Some("172.17.0.1")).attributes["add-hosts"], "a=172.17.0.1,b=::1");
        let plain = plan(&[], &["b=1.2.3.4"]).settle(&LateFacts::default());
        assert!(!plain.asks_for_gateway());
        assert_eq!(plain.request(None, None).attributes["add-hosts"], "b=1.2.3.4");
    }

    #[test]
    fn the_layouts_of_a_target_that_another_builds_on_have_names_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().display().to_string();
        let digest = format!("sha256:{}", "1".repeat(64));
        let with_layout = || {
            let mut arguments = BuildArguments { context: "-".to_owned(), ..BuildArguments::default() };
            arguments.steps.contexts = vec![format!("image=oci-layout://{place}@{digest}")];
            arguments.steps.entitlements = vec!["network.host".to_owned()];
            BuildPlan::new(&arguments, None, None, |_| None, &b"FROM scratch"[..]).unwrap()
        };
        let mut request = with_layout().settle(&LateFacts::default()).request(None, None);
        let base = with_layout().settle(&LateFacts::default());
        let base = base.context_of(("b".into(), "t0".into()), (None, None), &mut request);
        assert_eq!(base.attributes["context:image"], format!("oci-layout://t0-layout-0@{digest}"));
        assert_eq!(request.content.0.keys().collect::<Vec<_>>(), ["oci:layout-0", "oci:t0-layout-0"]);
        assert_eq!(base.locals.keys().collect::<Vec<_>>(), ["context", "dockerfile"]);
        assert_eq!(request.entitlements, ["network.host"]);
    }

    #[test]
    fn the_engine_s_own_frontend_looks_for_no_other() {
        assert!(!plan(&[], &[]).settle(&LateFacts::default()).attributes().contains_key("cmdline"));
        let facts = LateFacts { frontend: Frontend::EngineOwn, ..LateFacts::default() };
        assert_eq!(plan(&[], &[]).settle(&facts).attributes()["cmdline"], "");
        let facts = LateFacts { frontend: Frontend::Allowed, ..LateFacts::default() };
        assert_eq!(plan(&[], &[]).settle(&facts).attributes()["dev.pbuild.inner"], "1");
    }
}
