//! The git checkout of a context. Provenance names the checkout's revision and its remote address, and labels do so
//! on request.
//!
//! The facts and the variables are the same as in buildx (0.29, `build/git.go` and `util/gitutil`): `BUILDX_GIT_INFO`
//! (on by default), `BUILDX_GIT_LABELS` and `BUILDX_GIT_CHECK_DIRTY` (both off by default).

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The label for the path of the Dockerfile in its checkout.
const ENTRYPOINT: &str = "com.docker.image.source.entrypoint";
/// The labels of the OCI image specification.
const REVISION: &str = "org.opencontainers.image.revision";
const SOURCE: &str = "org.opencontainers.image.source";

/// The git checkout of a folder.
#[derive(Debug)]
pub(super) struct Checkout {
    root: PathBuf,
    revision: Option<String>,
    source: Option<String>,
}

/// What the environment asks for.
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
            // Older releases of buildx switched the labels on with `full`.
            labels: environment("BUILDX_GIT_LABELS").is_some_and(|word| word == "full")
                || switch("BUILDX_GIT_LABELS").unwrap_or(false),
            dirty: switch("BUILDX_GIT_CHECK_DIRTY").unwrap_or(false),
        }
    }
}

/// The facts about a checkout that a build records.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Description {
    /// Frontend attributes, which provenance keeps.
    pub(super) attributes: BTreeMap<String, String>,
    /// Labels of the image.
    pub(super) labels: BTreeMap<String, String>,
}

/// Describes the checkout of a context. The description of a folder that is not in a checkout is empty.
///
/// `folders` are the folders that are sent, by the names under which the frontend asks for them.
pub(super) fn describe<'a>(
    context: &Path,
    dockerfile: &Path,
    folders: impl Iterator<Item = (&'a str, &'a Path)>,
    environment: impl Fn(&str) -> Option<String>,
) -> Description {
    let wishes = Wishes::of(environment);
    let mut description = Description::default();
    if !wishes.info && !wishes.labels {
        return description;
    }
    let Some(checkout) = Checkout::of(context, wishes.dirty) else { return description };
    for (attribute, label, fact) in
        [("vcs:revision", REVISION, &checkout.revision), ("vcs:source", SOURCE, &checkout.source)]
    {
        let Some(fact) = fact else { continue };
        if wishes.info {
            description.attributes.insert(attribute.to_owned(), fact.clone());
        }
        if wishes.labels {
            description.labels.insert(label.to_owned(), fact.clone());
        }
    }
    if wishes.info {
        let places =
            folders.filter_map(|(name, folder)| Some((format!("vcs:localdir:{name}"), checkout.path_of(folder)?)));
        description.attributes.extend(places);
    }
    if wishes.labels {
        description.labels.extend(checkout.path_of(dockerfile).map(|path| (ENTRYPOINT.to_owned(), path)));
    }
    description
}

impl Checkout {
    /// Finds the checkout of a folder. Returns `None` if there is no checkout, or if git cannot be run.
    fn of(directory: &Path, check_dirty: bool) -> Option<Self> {
        let git = |words: &[&str]| git(directory, words);
        if git(&["rev-parse", "--is-inside-work-tree"])? != "true" {
            return None;
        }
        let root = PathBuf::from(git(&["rev-parse", "--show-toplevel"])?);
        // A repository without a commit has a root, and possibly no revision.
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

    /// Returns the path relative to the checkout's root, or `None` if the path is outside of it.
    fn path_of(&self, path: &Path) -> Option<String> {
        let path = path.canonicalize().ok()?;
        let inside = path.strip_prefix(self.root.canonicalize().ok()?).ok()?;
        let inside = inside.display().to_string();
        Some(if inside.is_empty() { ".".to_owned() } else { inside })
    }
}

/// Runs git and returns its output. A repository may come from anybody, so git runs no program that the repository's
/// configuration names.
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

/// Returns the address of a remote without the user and the password that it may hold.
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
    use super::*;

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

        fn describe(&self, variables: &[(&str, &str)]) -> Description {
            let folder = self.0.path().join("app");
            let environment =
                |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
            let folders = [("context", folder.as_path()), ("dockerfile", &folder), ("other", Path::new("/"))];
            super::describe(&folder, &folder.join("Dockerfile"), folders.into_iter(), environment)
        }

        fn facts(&self, variables: &[(&str, &str)]) -> BTreeMap<String, String> {
            self.describe(variables).attributes
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
        assert!(repository.describe(&[]).labels.is_empty());
        for word in ["1", "full"] {
            let told = repository.describe(&[("BUILDX_GIT_LABELS", word), ("BUILDX_GIT_INFO", "0")]);
            assert_eq!(told.labels[ENTRYPOINT], "app/Dockerfile");
            assert!(told.labels[REVISION].len() == 40);
            assert!(!told.labels.contains_key(SOURCE) && told.attributes.is_empty());
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
