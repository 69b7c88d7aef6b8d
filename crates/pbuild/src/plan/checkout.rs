//! The git checkout of a context: provenance names its revision and where it came from, and so do labels on request.
//!
//! Facts and variables are buildx's (0.29, `build/git.go` and `util/gitutil`): `BUILDX_GIT_INFO` (on by default),
//! `BUILDX_GIT_LABELS` and `BUILDX_GIT_CHECK_DIRTY` (off).

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::build_plan::BuildPlan;
use super::context::{Context, Dockerfile};

/// The label with the path of the Dockerfile in its checkout.
const ENTRYPOINT: &str = "com.docker.image.source.entrypoint";
/// The labels of the OCI's image specification.
const REVISION: &str = "org.opencontainers.image.revision";
const SOURCE: &str = "org.opencontainers.image.source";

/// A folder's checkout.
#[derive(Debug)]
pub(super) struct Checkout {
    root: PathBuf,
    revision: Option<String>,
    source: Option<String>,
}

/// The wishes of the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wishes {
    info: bool,
    labels: bool,
    dirty: bool,
}

impl Wishes {
    fn of(environment: impl Fn(&str) -> Option<String>) -> Self {
        let switch = |name: &str| environment(name).and_then(|word| crate::command::boolean(OsStr::new(&word)));
        Self {
            info: switch("BUILDX_GIT_INFO").unwrap_or(true),
            // `full` is the older word.
            labels: environment("BUILDX_GIT_LABELS").is_some_and(|word| word == "full")
                || switch("BUILDX_GIT_LABELS").unwrap_or(false),
            dirty: switch("BUILDX_GIT_CHECK_DIRTY").unwrap_or(false),
        }
    }
}

/// Adds the facts of the checkout to a plan whose context is a folder of one.
pub(super) fn describe(plan: &mut BuildPlan, environment: impl Fn(&str) -> Option<String>) {
    let wishes = Wishes::of(environment);
    let Context::Directory(directory) = &plan.context else { return };
    if !wishes.info && !wishes.labels {
        return;
    }
    let Some(checkout) = Checkout::of(directory, wishes.dirty) else { return };
    let facts = [("vcs:revision", REVISION, &checkout.revision), ("vcs:source", SOURCE, &checkout.source)];
    let facts: Vec<(&str, &str, String)> =
        facts.into_iter().filter_map(|(attribute, label, fact)| Some((attribute, label, fact.clone()?))).collect();
    if wishes.info {
        let dockerfile = match &plan.dockerfile {
            Dockerfile::Disk { directory, .. } => Some(directory),
            Dockerfile::Memory(_) | Dockerfile::InContext { .. } => None,
        };
        let named = plan.locals.iter().map(|(name, folder)| (name.as_str(), folder));
        let folders = [("context", directory)].into_iter().chain(dockerfile.map(|folder| ("dockerfile", folder)));
        let places: Vec<(String, String)> = folders
            .chain(named)
            .filter_map(|(name, folder)| Some((format!("vcs:localdir:{name}"), checkout.path_of(folder)?)))
            .collect();
        plan.attributes.extend(facts.iter().map(|(attribute, _, fact)| ((*attribute).to_owned(), fact.clone())));
        plan.attributes.extend(places);
    }
    if wishes.labels {
        plan.labels.extend(facts.into_iter().map(|(_, label, fact)| (label.to_owned(), fact)));
        if let Some(path) = checkout.path_of(&plan.dockerfile_path()) {
            plan.labels.insert(ENTRYPOINT.to_owned(), path);
        }
    }
}

impl Checkout {
    /// Looks for the checkout; `None` where there is none, or no git that tells of it.
    fn of(directory: &Path, check_dirty: bool) -> Option<Self> {
        let git = |words: &[&str]| git(directory, words);
        if git(&["rev-parse", "--is-inside-work-tree"])? != "true" {
            return None;
        }
        let root = PathBuf::from(git(&["rev-parse", "--show-toplevel"])?);
        // A repository without a commit has a root and nothing else.
        let mut revision =
            git(&["show", "--format=%H", "HEAD", "--quiet", "--"]).filter(|revision| !revision.is_empty());
        if let Some(revision) = &mut revision
            && check_dirty
            && git(&["status", "--porcelain", "--ignored"]).is_some_and(|changes| !changes.is_empty())
        {
            revision.push_str("-dirty");
        }
        let followed = git(&["symbolic-ref", "-q", "HEAD"])
            .and_then(|branch| git(&["for-each-ref", "--format=%(upstream:remotename)", &branch]));
        let remotes = followed.into_iter().chain(["origin".to_owned(), "upstream".to_owned()]);
        let address = |remote: String| git(&["remote", "get-url", &remote]).filter(|address| !address.is_empty());
        let source = remotes.filter(|remote| !remote.is_empty()).find_map(address);
        Some(Self { root, revision, source: source.map(|address| without_login(&address)) })
    }

    /// The path in the checkout; `None` for what lies outside.
    fn path_of(&self, path: &Path) -> Option<String> {
        let path = path.canonicalize().ok()?;
        let inside = path.strip_prefix(self.root.canonicalize().ok()?).ok()?;
        let inside = inside.display().to_string();
        Some(if inside.is_empty() { ".".to_owned() } else { inside })
    }
}

/// Asks git. A repository may come from anywhere, so nothing that its configuration names is run.
fn git(directory: &Path, words: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    pengine::scrub(&mut command);
    let inert = ["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "diff.external="];
    let output = command
        .args(inert)
        .args(words)
        .current_dir(directory)
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_OPTIONAL_LOCKS", "0")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = output.status.success().then_some(output.stdout)?;
    Some(String::from_utf8(text).ok()?.trim().to_owned())
}

/// The address of a remote without the user and the password that may stand in it.
fn without_login(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}://{}", &rest[at + 1..]),
        None => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::command::build::BuildArguments;

    struct Repository(tempfile::TempDir);

    impl Repository {
        fn new() -> Self {
            let repository = Self(tempfile::tempdir().unwrap());
            repository.git(&["init", "--quiet", "--initial-branch", "main"]);
            std::fs::create_dir(repository.0.path().join("app")).unwrap();
            std::fs::write(repository.0.path().join("app/Dockerfile"), "FROM scratch\n").unwrap();
            repository
        }

        fn git(&self, words: &[&str]) {
            let ours = ["-c", "user.name=n", "-c", "user.email=n@example.org", "-c", "commit.gpgsign=false"];
            let mut git = Command::new("git");
            git.args(ours).args(words).current_dir(self.0.path()).stdout(Stdio::null());
            assert!(git.status().unwrap().success(), "{words:?}");
        }

        fn plan(&self, variables: &[(&str, &str)]) -> BuildPlan {
            let folder = self.0.path().join("app");
            let arguments = BuildArguments { context: folder.display().to_string(), ..BuildArguments::default() };
            let environment =
                |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
            BuildPlan::new(&arguments, Some(folder), None, environment, std::io::empty()).unwrap()
        }

        fn facts(&self, variables: &[(&str, &str)]) -> BTreeMap<String, String> {
            let attributes = self.plan(variables).attributes;
            attributes.into_iter().filter(|(name, _)| name.starts_with("vcs:")).collect()
        }
    }

    #[test]
    fn provenance_is_told_revision_and_source_without_a_login() {
        let repository = Repository::new();
        assert_eq!(
            repository.facts(&[]),
            BTreeMap::from([
                ("vcs:localdir:context".to_owned(), "app".to_owned()),
                ("vcs:localdir:dockerfile".to_owned(), "app".to_owned()),
            ])
        );
        repository.git(&["add", "."]);
        repository.git(&["commit", "--quiet", "--message", "x"]);
        repository.git(&["remote", "add", "upstream", "git@git.example:a/b.git"]);
        assert_eq!(repository.facts(&[])["vcs:source"], "git@git.example:a/b.git");
        repository.git(&["remote", "add", "origin", "https://me:hunter22@git.example/a/b.git"]);
        let facts = repository.facts(&[]);
        assert_eq!(facts["vcs:source"], "https://git.example/a/b.git");
        assert!(facts["vcs:revision"].len() == 40);
        let dirty = [("BUILDX_GIT_CHECK_DIRTY", "1")];
        assert_eq!(repository.facts(&dirty)["vcs:revision"], facts["vcs:revision"]);
        std::fs::write(repository.0.path().join("new"), "").unwrap();
        assert_eq!(repository.facts(&dirty)["vcs:revision"], format!("{}-dirty", facts["vcs:revision"]));
        assert!(repository.facts(&[("BUILDX_GIT_INFO", "false")]).is_empty());
    }

    #[test]
    fn labels_are_set_on_request() {
        let repository = Repository::new();
        repository.git(&["add", "."]);
        repository.git(&["commit", "--quiet", "--message", "x"]);
        assert!(repository.plan(&[]).labels.is_empty());
        for word in ["1", "full"] {
            let plan = repository.plan(&[("BUILDX_GIT_LABELS", word), ("BUILDX_GIT_INFO", "0")]);
            assert_eq!(plan.labels[ENTRYPOINT], "app/Dockerfile");
            assert_eq!(plan.attributes[&format!("label:{REVISION}")], plan.labels[REVISION]);
            assert!(!plan.labels.contains_key(SOURCE) && plan.attributes.keys().all(|name| !name.starts_with("vcs:")));
        }
    }

    #[test]
    fn a_folder_of_no_checkout_has_no_facts() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Checkout::of(folder.path(), true).is_none());
        assert_eq!(without_login("ssh://git@git.example:22/a@b"), "ssh://git.example:22/a@b");
        assert_eq!(without_login("/srv/a@b"), "/srv/a@b");
    }
}
