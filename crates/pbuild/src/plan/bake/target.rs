//! Turns one target into the arguments of a build, in the form in which the command line gives them. From then on,
//! the target is built like any other build.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::definition::{Attributes, DefinitionError};
use super::entitlement::Needs;
use super::origin::Origin;
use crate::command::bake::BakeArguments;
use crate::command::build::{
    AttestationOptions, BuildArguments, CacheOptions, CallOptions, OutputOptions, RecipeArguments, StepOptions,
};
use crate::plan::comma_separated;
use crate::plan::step_options::{context_name, is_remote};

/// A target as the arguments of a build.
#[derive(Clone, Debug)]
pub(super) struct Recipe {
    pub(super) name: String,
    /// The secrets that the target names: the values of `--secret`, by ID, without those that the command line gives.
    pub(super) secrets: BTreeMap<String, String>,
    pub(super) arguments: BuildArguments,
    /// The text of a Dockerfile that is written in the bake file.
    pub(super) inline: Option<Vec<u8>>,
    /// The inner targets: the name of each context, and the name of the target whose result it is.
    pub(super) inner: Vec<(String, String)>,
}

/// The prefix of a path that is relative to the folder in which bake runs.
const HERE: &str = "cwd://";

/// The prefix of a target whose result is a context.
const TARGET: &str = "target:";

impl Recipe {
    /// Reads the attributes of a target.
    pub(super) fn new(mut target: Attributes<'_>, given: &BakeArguments) -> Result<Self, DefinitionError> {
        let name = target.target;
        let _ = target.text("description")?;
        let origin = Origin::of(&given.targets);
        let placed = |place: String| match &origin {
            None => Ok(place),
            Some(origin) => {
                origin.context(&place).ok_or_else(|| DefinitionError::RemoteFolder { target: name.to_owned(), place })
            }
        };
        let context = match target.text("context")? {
            // The printed definition has the address already, unless the address is that of a single file. The folders
            // of a single file are meant from here.
            Some(context) if context != "." => placed(context)?,
            Some(_) | None => ".".to_owned(),
        };
        let from_here = origin.is_some() && context.starts_with(HERE);
        let context = context.strip_prefix(HERE).unwrap_or(&context).to_owned();
        let inline = target.text("dockerfile-inline")?;
        let dockerfile = target.text("dockerfile")?.unwrap_or_else(|| "Dockerfile".to_owned());
        // Buildx cannot take a Dockerfile from the address for files of this machine either.
        if is_remote(&dockerfile) || (from_here && inline.is_none() && !dockerfile.starts_with(HERE)) {
            return Err(DefinitionError::RemoteDockerfile { target: name.to_owned() });
        }
        let file = match inline {
            Some(_) => Some("-".to_owned()),
            None => dockerfile_path(&context, &dockerfile),
        };
        let pairs = |entries: Vec<(String, String)>| entries.into_iter().map(|(name, value)| format!("{name}={value}"));
        let (mut named, mut inner) = (Vec::new(), Vec::new());
        for (context, place) in target.map("contexts")? {
            let place = placed(place)?;
            match place.strip_prefix(TARGET) {
                Some(base) => {
                    let wrong = || DefinitionError::Kind { target: name.to_owned(), name: "contexts" };
                    inner.push((context_name(&context).ok_or_else(wrong)?, base.to_owned()));
                }
                None => named.push((context, place.strip_prefix(HERE).map(str::to_owned).unwrap_or(place))),
            }
        }
        let no_cache = target.truth("no-cache")?;
        let filters = target.texts("no-cache-filter")?;
        let hosts = target.map("extra-hosts")?;
        let arguments = BuildArguments {
            context,
            tags: target.texts("tags")?,
            recipe: RecipeArguments {
                file,
                target: target.text("target")?.filter(|stage| !stage.is_empty()),
                build_arguments: pairs(target.map("args")?).collect(),
            },
            labels: pairs(target.map("labels")?).collect(),
            platforms: target.texts("platforms")?,
            no_cache,
            pull: target.truth("pull")?,
            network: target.text("network")?.filter(|mode| !mode.is_empty()),
            extra_hosts: pairs(hosts).collect(),
            steps: StepOptions {
                // With `no-cache`, all steps run again anyway.
                no_cache_filters: if no_cache { Vec::new() } else { filters },
                contexts: pairs(named).collect(),
                shm_size: target.text("shm-size")?.filter(|size| !size.is_empty()),
                ulimits: target.texts("ulimits")?,
                cgroup_parent: target.text("cgroup-parent")?.filter(|path| !path.is_empty()),
                entitlements: target.texts("entitlements")?,
            },
            ssh: ssh(&mut target)?,
            builder: given.builder.clone(),
            builder_node: given.builder_node.clone(),
            progress: given.progress,
            output: OutputOptions { outputs: target.specifications("output")?, ..OutputOptions::default() },
            attestations: AttestationOptions {
                attestations: target.specifications("attest")?,
                annotations: target.texts("annotations")?,
                ..AttestationOptions::default()
            },
            caches: CacheOptions {
                cache_from: target.specifications("cache-from")?,
                cache_to: target.specifications("cache-to")?,
            },
            call: CallOptions { call: target.text("call")?, check: false },
            secrets: given.secrets.clone(),
            search: given.search.clone(),
            ..BuildArguments::default()
        };
        let mut secrets = BTreeMap::new();
        for word in target.specifications("secret")? {
            let id = id(&word);
            // A secret of the command line takes precedence over the target's.
            if !given.secrets.secrets.iter().any(|other| self::id(other) == id) {
                secrets.insert(id, word);
            }
        }
        target.end()?;
        Ok(Self { name: name.to_owned(), secrets, arguments, inline: inline.map(String::into_bytes), inner })
    }

    /// Returns the permissions that the target needs.
    pub(super) fn needs(&self) -> Needs {
        let arguments = &self.arguments;
        let mut needs = Needs::default();
        let asks = |word: &str| arguments.steps.entitlements.iter().any(|entitlement| entitlement == word);
        needs.network_host = asks("network.host") || arguments.network.as_deref() == Some("host");
        needs.insecure = asks("security.insecure");
        let contexts = arguments.steps.contexts.iter().filter_map(|word| Some(word.split_once('=')?.1));
        for place in contexts.chain([arguments.context.as_str()]) {
            let layout = place.strip_prefix("oci-layout://");
            if let Some(layout) = layout {
                let folder = layout.split_once('@').map_or(layout, |(folder, _)| folder);
                let folder = folder.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).map_or(folder, |(f, _)| f);
                needs.read.push(folder.into());
            } else if !is_remote(place) && !place.starts_with("docker-image://") {
                needs.read.push(place.into());
            }
        }
        needs.read.extend(arguments.recipe.file.iter().filter(|file| *file != "-").map(PathBuf::from));
        let value = |word: &String, names: &[&str]| {
            let pairs = comma_separated::pairs(word).ok()?;
            pairs.into_iter().find(|(name, _)| names.contains(&name.as_str())).map(|(_, value)| PathBuf::from(value))
        };
        needs.read.extend(arguments.caches.cache_from.iter().filter_map(|word| value(word, &["src"])));
        needs.read.extend(self.secrets.values().filter_map(|word| value(word, &["src", "source"])));
        needs.write.extend(arguments.caches.cache_to.iter().filter_map(|word| value(word, &["dest"])));
        let to_file = arguments.output.outputs.iter().filter_map(|word| value(word, &["dest"]));
        needs.write.extend(to_file.filter(|file| file != Path::new("-")));
        for word in &arguments.ssh {
            match word.split_once('=').filter(|(_, paths)| !paths.is_empty()) {
                Some((_, paths)) => needs.read.extend(paths.split(',').map(PathBuf::from)),
                None => needs.ssh = true,
            }
        }
        needs
    }
}

/// Returns the ID in a value of `--secret`: `id=NAME,…`. Any other text is returned whole; it is reported as an error
/// when the flags are parsed.
fn id(word: &str) -> String {
    let pairs = comma_separated::pairs(word).unwrap_or_default();
    pairs.into_iter().find(|(name, _)| name == "id").map_or_else(|| word.to_owned(), |(_, id)| id)
}

/// Returns the Dockerfile's path relative to the current directory; in a bake file it is relative to the context.
/// Returns `None` for a plain `Dockerfile` that does not exist there, so that the build looks for its default.
fn dockerfile_path(context: &str, dockerfile: &str) -> Option<String> {
    if let Some(here) = dockerfile.strip_prefix(HERE) {
        // A relative path would be meant from the address.
        let whole = std::path::absolute(here).ok().filter(|_| is_remote(context));
        return Some(whole.map_or_else(|| here.to_owned(), |whole| whole.display().to_string()));
    }
    if is_remote(context) || Path::new(dockerfile).is_absolute() {
        return Some(dockerfile.to_owned());
    }
    // If the target names no Dockerfile, docker also accepts `dockerfile`.
    let path = Path::new(context).join(dockerfile);
    (dockerfile != "Dockerfile" || path.exists()).then(|| path.display().to_string())
}

/// Takes the SSH agents, written as `{"id": …, "paths": […]}` or in docker's spelling.
fn ssh(target: &mut Attributes<'_>) -> Result<Vec<String>, DefinitionError> {
    let name = "ssh";
    let values = target.list(name)?;
    let wrong = || DefinitionError::Kind { target: target.target.to_owned(), name };
    let word = |value: Value| match value {
        Value::String(word) => Ok(word),
        Value::Object(mut agent) => {
            let id = agent.remove("id").map_or(Some(String::new()), |id| id.as_str().map(str::to_owned));
            let paths = agent.remove("paths").map_or(Some(Vec::new()), |paths| serde_json::from_value(paths).ok());
            let (id, paths): (String, Vec<String>) = id.zip(paths).filter(|_| agent.is_empty()).ok_or_else(wrong)?;
            Ok(if paths.is_empty() { id } else { format!("{id}={}", paths.join(",")) })
        }
        _ => Err(wrong()),
    };
    values.into_iter().map(word).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn recipe(attributes: Value, given: &BakeArguments) -> Recipe {
        let Value::Object(attributes) = attributes else { panic!("an object") };
        Recipe::new(Attributes::new("web", attributes), given).unwrap()
    }

    #[test]
    fn every_attribute_becomes_its_flag() {
        let recipe = recipe(
            json!({
                "description": "the site", "context": "https://x.example/a.git", "dockerfile": "D",
                "contexts": {"f": "cwd://f", "img": "docker-image://busybox"},
                "args": {"A": "1", "B": null}, "labels": {"l": "x y"}, "tags": ["shop:1"], "target": "stage",
                "secret": [{"id": "NPM", "env": "NPM"}, "id=F,src=f.txt"],
                "ssh": [{"id": "default", "paths": ["a", "b"]}, {"id": "other"}],
                "cache-from": [{"src": "c", "type": "local"}], "cache-to": [{"type": "inline"}],
                "output": [{"type": "docker"}], "platforms": ["linux/amd64"], "no-cache-filter": ["x"], "pull": true,
                "network": "host", "shm-size": "64m", "ulimits": ["nofile=1:2"], "extra-hosts": {"h": "1.2.3.4"},
                "entitlements": ["network.host"], "attest": [{"type": "sbom", "disabled": "true"}],
                "annotations": ["manifest:x=y"], "call": "build", "cgroup-parent": "/x",
            }),
            &BakeArguments::default(),
        );
        let arguments = recipe.arguments;
        assert_eq!(
            (arguments.context.as_str(), arguments.recipe.file.as_deref()),
            ("https://x.example/a.git", Some("D"))
        );
        assert_eq!(arguments.recipe.build_arguments, ["A=1"]);
        assert_eq!(arguments.steps.contexts, ["f=f", "img=docker-image://busybox"]);
        assert_eq!(arguments.ssh, ["default=a,b", "other"]);
        assert_eq!(arguments.caches.cache_from, ["type=local,src=c"]);
        assert_eq!(arguments.attestations.attestations, ["type=sbom,disabled=true"]);
        assert_eq!((arguments.extra_hosts, arguments.labels), (vec!["h=1.2.3.4".to_owned()], vec!["l=x y".to_owned()]));
        assert_eq!(recipe.secrets["NPM"], "env=NPM,id=NPM");
        assert_eq!(recipe.secrets["F"], "id=F,src=f.txt");
    }

    #[test]
    fn a_dockerfile_is_meant_from_its_context_and_one_in_the_file_is_text() {
        let given = BakeArguments::default();
        let file = |attributes| recipe(attributes, &given).arguments.recipe.file;
        assert_eq!(file(json!({"context": "a", "dockerfile": "x/D"})).as_deref(), Some("a/x/D"));
        assert_eq!(file(json!({"context": "a", "dockerfile": "cwd://D"})).as_deref(), Some("D"));
        assert_eq!(file(json!({"context": "absent"})), None);
        let inline = recipe(json!({"dockerfile-inline": "FROM x"}), &given);
        assert_eq!(
            (inline.arguments.recipe.file.as_deref(), inline.inline.as_deref()),
            (Some("-"), Some(&b"FROM x"[..]))
        );
    }

    #[test]
    fn the_command_line_goes_before_the_file() {
        let mut given = BakeArguments::default();
        given.secrets.secrets = vec!["id=NPM,src=other".to_owned()];
        let recipe = recipe(json!({"secret": [{"id": "NPM", "env": "NPM"}, {"id": "F"}]}), &given);
        assert_eq!(recipe.secrets.keys().collect::<Vec<_>>(), ["F"]);
        assert_eq!(recipe.arguments.secrets.secrets, given.secrets.secrets);
    }

    #[test]
    fn everything_that_a_file_could_reach_needs_a_permission() {
        let needs = recipe(
            json!({
                "context": "a", "contexts": {"b": "b", "l": "oci-layout://lay:v1", "t": "target:x"}, "network": "host",
                "secret": ["id=F,src=f"], "ssh": ["default"], "output": ["type=local,dest=out", "type=tar,dest=-"],
                "cache-from": ["type=local,src=c"], "cache-to": ["type=local,dest=d"],
            }),
            &BakeArguments::default(),
        )
        .needs();
        let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(needs.read, paths(&["b", "lay", "a", "c", "f"]));
        assert_eq!(needs.write, paths(&["d", "out"]));
        assert!(needs.network_host && needs.ssh && !needs.insecure);
    }
}
