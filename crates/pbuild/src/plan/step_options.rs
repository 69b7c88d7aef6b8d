//! Docker's flags that go to BuildKit almost unchanged: how steps run, which stages run again, and additional
//! contexts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::command::build::StepOptions;
use crate::oci_layout as oci;

/// The reasons why BuildKit would not understand a flag. Each message names the flag.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum StepOptionError {
    /// The value of `--shm-size` is not a size.
    #[error("invalid --shm-size {0:?}: write a number with b, k, m or g, for example 64m or 1.5g")]
    SharedMemory(String),
    /// The value of `--ulimit` is not a limit, or its soft limit is above its hard limit.
    #[error("invalid --ulimit {0:?}: write NAME=SOFT[:HARD], for example nofile=1024:2048, with SOFT at most HARD")]
    Limit(String),
    /// `--allow` names a permission that BuildKit does not have.
    #[error("invalid --allow {0:?}: BuildKit knows network.host, security.insecure and device[=NAME]")]
    Entitlement(String),
    /// `--build-context` has no name, or a name that is not valid.
    #[error("invalid --build-context {0:?}: write NAME=SOURCE, for example assets=../assets")]
    Context(String),
    /// The directory of a `--build-context` does not exist.
    #[error("failed to get build context {name}: {path:?} is not a directory")]
    ContextMissing {
        /// The context's name.
        name: String,
        /// The path as the user wrote it.
        path: String,
    },
    /// The folder of a `--build-context` is not an OCI layout, or has no image with this tag.
    #[error("failed to get build context {name}: {path:?} {problem}")]
    Layout {
        /// The context's name.
        name: String,
        /// The folder as the user wrote it.
        path: String,
        /// The problem of the folder.
        problem: String,
    },
    /// The source of a `--build-context` is of a kind that pbuild does not support.
    #[error("--build-context {name}: {source_kind} is not supported")]
    ContextKind {
        /// The context's name.
        name: String,
        /// The kind, such as `target:`.
        source_kind: &'static str,
    },
}

/// The flags, translated for BuildKit.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct StepAttributes {
    /// Frontend attributes.
    pub(crate) attributes: BTreeMap<String, String>,
    /// Directories of this machine, by the names under which the frontend asks for them.
    pub(crate) locals: BTreeMap<String, PathBuf>,
    /// OCI layouts of this machine, by the names under which the frontend asks for them.
    pub(crate) layouts: BTreeMap<String, PathBuf>,
    /// The permissions beyond the default ones.
    pub(crate) entitlements: Vec<String>,
}

impl StepAttributes {
    /// Checks the flags, and the directories that they name.
    ///
    /// # Errors
    /// Returns a [`StepOptionError`] that names the flag.
    pub(crate) fn parse(options: &StepOptions) -> Result<Self, StepOptionError> {
        let mut checked = Self::default();
        let mut set = |name: &str, value: String| drop(checked.attributes.insert(name.to_owned(), value));
        if !options.no_cache_filters.is_empty() {
            set("no-cache", options.no_cache_filters.join(","));
        }
        if let Some(text) = &options.shm_size {
            let bytes = pscreen::size(text).ok_or_else(|| StepOptionError::SharedMemory(text.clone()))?;
            // For docker, a size of 0 means the default size.
            if bytes > 0 {
                set("shm-size", bytes.to_string());
            }
        }
        if !options.ulimits.is_empty() {
            let limits: Vec<String> = options.ulimits.iter().map(|text| limit(text)).collect::<Result<_, _>>()?;
            set("ulimit", limits.join(","));
        }
        if let Some(path) = &options.cgroup_parent {
            set("cgroup-parent", path.clone());
        }
        for text in &options.entitlements {
            let device = text == "device" || text.starts_with("device=");
            if !device && text != "network.host" && text != "security.insecure" {
                return Err(StepOptionError::Entitlement(text.clone()));
            }
            checked.entitlements.push(text.clone());
        }
        for text in &options.contexts {
            context(text, &mut checked)?;
        }
        Ok(checked)
    }
}

/// The limits of Linux, by docker's names for them.
const LIMITS: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// Reads `NAME=SOFT:HARD`. If there is no hard limit, it is the soft limit; -1 means no limit.
fn limit(text: &str) -> Result<String, StepOptionError> {
    let wrong = || StepOptionError::Limit(text.to_owned());
    let (name, numbers) = text.split_once('=').ok_or_else(wrong)?;
    let (soft, hard) = numbers.split_once(':').unwrap_or((numbers, numbers));
    let number = |text: &str| text.parse::<i64>().ok().filter(|number| *number >= -1).ok_or_else(wrong);
    let (soft, hard) = (number(soft)?, number(hard)?);
    if !LIMITS.contains(&name) || (hard != -1 && (soft == -1 || soft > hard)) {
        return Err(wrong());
    }
    Ok(format!("{name}={soft}:{hard}"))
}

/// Adds a named context. A directory of this machine is sent; for any other source, only the name is passed to the
/// frontend.
fn context(text: &str, checked: &mut StepAttributes) -> Result<(), StepOptionError> {
    if text.is_empty() {
        return Ok(());
    }
    let wrong = || StepOptionError::Context(text.to_owned());
    let (name, source) =
        text.split_once('=').filter(|(name, source)| !name.is_empty() && !source.is_empty()).ok_or_else(wrong)?;
    let name = context_name(name).ok_or_else(wrong)?;
    let name = name.as_str();
    let target = "target:";
    if source.starts_with(target) {
        return Err(StepOptionError::ContextKind { name: name.to_owned(), source_kind: target });
    }
    let source = if let Some(place) = source.strip_prefix("oci-layout://") {
        layout(name, place, checked)?
    } else if source.starts_with("docker-image://") || is_remote(source) {
        source.to_owned()
    } else {
        let path = Path::new(source);
        let missing = || StepOptionError::ContextMissing { name: name.to_owned(), path: source.to_owned() };
        if !path.is_dir() {
            return Err(missing());
        }
        // The build itself uses the names `context` and `dockerfile`.
        let local = if ["context", "dockerfile"].contains(&name) { format!("_{name}") } else { name.to_owned() };
        checked.locals.insert(local.clone(), std::path::absolute(path).map_err(|_| missing())?);
        format!("local:{local}")
    };
    checked.attributes.insert(format!("context:{name}"), source);
    Ok(())
}

/// Returns the name under which the frontend asks for an additional context: in lower case, and without the default
/// tag. Returns `None` if the name is not valid.
pub(super) fn context_name(name: &str) -> Option<String> {
    let name = name.to_lowercase();
    let name = name.strip_suffix(":latest").unwrap_or(&name);
    (!name.contains(|c: char| c.is_whitespace() || c == ',')).then(|| name.to_owned())
}

/// Finds the digest of an image of an OCI layout, `FOLDER[:TAG][@DIGEST]`, because the engine asks this process for
/// blobs by digest.
fn layout(name: &str, place: &str, checked: &mut StepAttributes) -> Result<String, StepOptionError> {
    let (place, digest) = place.split_once('@').map_or((place, None), |(place, digest)| (place, Some(digest)));
    let (folder, tag) = match place.rsplit_once(':') {
        Some((folder, tag)) if !tag.contains('/') => (folder, Some(tag)),
        _ => (place, None),
    };
    let wrong = |problem: String| StepOptionError::Layout { name: name.to_owned(), path: folder.to_owned(), problem };
    let path = Path::new(folder);
    let digest = match digest {
        Some(digest) => digest.to_owned(),
        None => {
            // As in docker, a layout that has only one image needs no tag.
            let found = oci::digest_of(path, tag.unwrap_or("latest")).and_then(|found| match (found, tag) {
                (None, None) => oci::only_digest(path),
                (found, _) => Ok(found),
            });
            let found = found.map_err(|error| wrong(format!("is no OCI layout: {error}")))?;
            found.ok_or_else(|| wrong(format!("has no image with the tag {:?}", tag.unwrap_or("latest"))))?
        }
    };
    // The frontend reads this as the name of an image. It stands for the folder only in this build.
    let store = format!("layout-{}", checked.layouts.len());
    checked.layouts.insert(store.clone(), std::path::absolute(path).map_err(|error| wrong(error.to_string()))?);
    Ok(format!("oci-layout://{store}@{digest}"))
}

/// Returns whether the engine fetches a context, by docker's own test for URLs.
pub(crate) fn is_remote(context: &str) -> bool {
    let schemes = ["http://", "https://", "git://", "ssh://", "git@", "github.com/"];
    schemes.iter().any(|start| context.starts_with(start))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_image_of_a_layout_is_named_by_its_digest() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (format!("sha256:{}", "1".repeat(64)), format!("sha256:{}", "2".repeat(64)));
        let place = folder.path().display().to_string();
        let context = |place: &str| {
            let options =
                StepOptions { contexts: vec![format!("base=oci-layout://{place}")], ..StepOptions::default() };
            StepAttributes::parse(&options).map(|checked| (checked.attributes["context:base"].clone(), checked.layouts))
        };
        oci::put(folder.path(), json!({"digest": one}), "v1").unwrap();
        let (source, layouts) = context(&place).unwrap();
        assert_eq!(source, format!("oci-layout://layout-0@{one}"));
        assert_eq!(layouts, [("layout-0".to_owned(), folder.path().to_owned())].into());
        oci::put(folder.path(), json!({"digest": two}), "latest").unwrap();
        assert_eq!(context(&place).unwrap().0, format!("oci-layout://layout-0@{two}"));
        assert_eq!(context(&format!("{place}:v1")).unwrap().0, format!("oci-layout://layout-0@{one}"));
        assert_eq!(context(&format!("{place}:v1@{two}")).unwrap().0, format!("oci-layout://layout-0@{two}"));
        let error = context(&format!("{place}:v2")).unwrap_err().to_string();
        assert!(error.contains("has no image with the tag \"v2\""), "{error}");
    }

    fn check(options: StepOptions) -> Result<StepAttributes, StepOptionError> {
        StepAttributes::parse(&options)
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn flags_become_the_attributes_that_docker_sends() {
        let folder = tempfile::tempdir().unwrap();
        let contexts = [
            format!("Assets:latest={}", folder.path().display()),
            "base=docker-image://busybox".into(),
            format!("context={}", folder.path().display()),
        ];
        let checked = check(StepOptions {
            no_cache_filters: words(&["one", "two"]),
            contexts: contexts.to_vec(),
            shm_size: Some("64m".into()),
            ulimits: words(&["nofile=1024:2048", "nproc=3", "core=-1"]),
            cgroup_parent: Some("/builds".into()),
            entitlements: words(&["network.host", "device=nvidia.com/gpu"]),
        })
        .unwrap();
        let attributes: Vec<(&str, &str)> =
            checked.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(
            attributes,
            [
                ("cgroup-parent", "/builds"),
                ("context:assets", "local:assets"),
                ("context:base", "docker-image://busybox"),
                ("context:context", "local:_context"),
                ("no-cache", "one,two"),
                ("shm-size", "67108864"),
                ("ulimit", "nofile=1024:2048,nproc=3:3,core=-1:-1"),
            ]
        );
        assert_eq!(checked.locals.keys().collect::<Vec<_>>(), ["_context", "assets"]);
        assert_eq!(checked.entitlements, ["network.host", "device=nvidia.com/gpu"]);
    }

    #[test]
    fn nothing_is_the_usual_size_of_shared_memory() {
        let shm = |text: &str| check(StepOptions { shm_size: Some(text.into()), ..Default::default() });
        assert_eq!(shm("0").unwrap(), StepAttributes::default());
        assert_eq!(shm("1.5g").unwrap().attributes["shm-size"], "1610612736");
    }

    #[test]
    fn an_empty_context_is_none() {
        let empty = StepOptions { contexts: words(&[""]), ..Default::default() };
        assert_eq!(check(empty).unwrap(), StepAttributes::default());
    }

    #[test]
    fn what_buildkit_would_not_understand_is_told_by_its_flag() {
        let shm = |text: &str| StepOptions { shm_size: Some(text.into()), ..Default::default() };
        let ulimit = |text: &str| StepOptions { ulimits: words(&[text]), ..Default::default() };
        let allow = |text: &str| StepOptions { entitlements: words(&[text]), ..Default::default() };
        let contexts = |text: &str| StepOptions { contexts: words(&[text]), ..Default::default() };
        for (options, flag) in [
            (shm("many"), "--shm-size"),
            (ulimit("nofile"), "--ulimit"),
            (ulimit("nofile=2:1"), "--ulimit"),
            (ulimit("files=1"), "--ulimit"),
            (ulimit("nofile=-2"), "--ulimit"),
            (allow("everything"), "--allow"),
            (contexts("assets"), "--build-context"),
            (contexts("=x"), "--build-context"),
            (contexts("a b=/"), "--build-context"),
            (contexts("a=/nowhere/at/all"), "build context a"),
            (contexts("a=oci-layout:///x"), "failed to get build context a: \"/x\" is no OCI layout"),
            (contexts("a=target:x"), "--build-context a: target: is not supported"),
        ] {
            let error = check(options).unwrap_err().to_string();
            assert!(error.contains(flag), "{error}");
        }
    }
}
