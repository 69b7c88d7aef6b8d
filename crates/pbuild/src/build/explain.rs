//! Turns the failure of a build into the text that a person reads, and into the exit code.

use pbuildkit::{BuildError, BuildFailure, FailureKind};
use pllb::SourceLines;
use pproof::{GraphError, Unmatched};
use pscan::{Finding, Report};
use pscreen::words::counted;
use pscreen::{Diagnostic, Excerpt, Exit, Mark};

use super::ask::{BrokenDockerfile, Unanswered};
use super::doubt::{Doubt, Doubts};
use super::failure::{
    BrokenBuild, Cleanup, DeliveryError, LeakingCache, LeakingImage, NotProvable, Origin, PreparationError, Refusal,
};
use super::frontend::UnknownFrontend;
use super::guard::{Author, GuardError};
use super::injection::InjectionError;
use super::message::quoted;
use super::nodes::NotDivisible;
use super::push::{self, PushError};
use super::readings::InnerError;
use super::report::without_prelude;
use crate::audit::registry::RegistryError;
use crate::cache_export::{BucketError, CacheExportError};
use crate::edge::Explain;
use crate::plan::LeakedCache;

/// What a user can do about a value that is in a base image.
const BASE_HELP: &str = "build the base image anew without the value, or change the value: everybody who has the base has \
                         it; if the value is public, declare it in [env] of app.toml";

impl Explain for GuardError {
    fn explain(&self) -> Diagnostic {
        let diagnostic = Diagnostic::error(self.to_string(), Exit::Leak);
        match self {
            Self::BuildArgument { .. } => diagnostic
                .note("build arguments end up in the image's history")
                .help("leave the flag out: every RUN has the secret as an environment variable"),
            Self::Address { .. } => diagnostic
                .note("the engine shows addresses, and keeps them in its cache and in provenance")
                .help("leave the value out of the address; for git, give the secret the name GIT_AUTH_TOKEN"),
            Self::Attribute { .. } => diagnostic
                .note("the value of such a flag ends up in images, caches and provenance")
                .help("leave the value out"),
            Self::Label { .. } => diagnostic.help("a label is public; leave the value out"),
            Self::Configuration { author: Author::Base, .. } => {
                diagnostic.note("no step of this build wrote it").help(BASE_HELP)
            }
            Self::Instruction { .. } | Self::Configuration { author: Author::Build, .. } => diagnostic
                .note("the text of the Dockerfile ends up in the image's history")
                .help("use the variable of that name in RUN; if the value is public, declare it in [env] of app.toml"),
        }
    }
}

impl Explain for UnknownFrontend {
    fn explain(&self) -> Diagnostic {
        let Self { image } = self;
        Diagnostic::error(format!("frontend image {image} is not known, so it gets no secrets"), Exit::Usage)
            .note("the `# syntax=` image decides which commands run, and so who sees the values")
            .help(format!("if you trust it: --allow-frontend {image}"))
    }
}

impl Explain for InnerError {
    fn explain(&self) -> Diagnostic {
        let diagnostic = Diagnostic::from_error(self, Exit::Usage);
        match self {
            Self::Manifest => diagnostic.help("name one manifest for all targets with --config FILE"),
            Self::Secret(name) => diagnostic.help(format!("give it once for all targets: --secret id={name}")),
        }
    }
}

impl Explain for PreparationError {
    fn explain(&self) -> Diagnostic {
        let usage = |title: String| Diagnostic::error(title, Exit::Usage);
        match self {
            Self::NoGateway => usage("--add-host: this engine does not say its host-gateway address".to_owned())
                .help("write the address itself"),
            Self::ImageStore(source) => {
                Diagnostic::from_error(source, Exit::Failed).note("while asking the engine for its image store")
            }
            Self::NotInThisStore(what) => usage(format!("{what}: this engine's image store cannot do that"))
                .note("docker's own client says the same")
                .help("turn on the containerd image store, or `docker save` the finished image"),
            Self::ArchiveAndStore(archive) => {
                usage(format!("--output {archive}: not together with the engine's own store"))
                    .help("build twice; the second is cached")
            }
            Self::CacheNotInThisStore(kind) => usage(format!(
                "--cache-to type={kind}: this engine's image store exports no cache but type=inline"
            ))
            .note("docker's own client says the same")
            .help("turn on the containerd image store, or name a builder that is none of the engine's with --builder"),
            Self::NoIndex => {
                usage("--annotation: index annotations not supported for single platform export".to_owned())
                    .note("docker's own client says the same")
                    .help("turn on the containerd image store, or leave out the type `index:`")
            }
            Self::SeveralOutputs => usage("--output: this BuildKit has one output at a time".to_owned())
                .help("build twice; the second is cached"),
            Self::NotProvable(what) => {
                let (what, note) = match what {
                    NotProvable::HiddenLayers => {
                        ("--audit-base full", "the layers that a base hides are searched in an export alone")
                    }
                    NotProvable::Attestations => {
                        ("attestations", "they come into being after the search in the builder")
                    }
                    NotProvable::Caches => (
                        "--cache-to",
                        "a cache is searched when the builder has written it, and the image has left by then",
                    ),
                };
                usage(format!("{what}: not with secrets, where the builder itself keeps or pushes the image"))
                    .note(note)
                    .help("--load or --output type=oci,dest=FILE brings the image here, where all of it is searched")
            }
            Self::NoRoom(error) => Diagnostic::from_error(error, Exit::Failed),
            Self::Stale { flag, file, source } => {
                Diagnostic::from_error(source, Exit::Usage).note(format!("while replacing {flag} {}", file.display()))
            }
        }
    }
}

impl Explain for NotDivisible {
    fn explain(&self) -> Diagnostic {
        let title = match self {
            Self::StandardInput => {
                "-: standard input is read once, and several nodes of the builder need its files".to_owned()
            }
            Self::Caches(kind) => {
                format!(
                    "--cache-to type={kind}: several nodes of the builder would write it, each without the others' steps"
                )
            }
        };
        Diagnostic::error(title, Exit::Usage).help("name one node with --builder-node; it builds all platforms")
    }
}

impl Explain for DeliveryError {
    fn explain(&self) -> Diagnostic {
        match self {
            Self::NoEngine => Diagnostic::error("the builder has no engine that keeps images", Exit::Failed),
            Self::NoImage => Diagnostic::error("the engine did not say which image it built", Exit::Failed),
            Self::Naming { name, source } => {
                Diagnostic::from_error(source, Exit::Failed).note(format!("while naming the image {name}"))
            }
            Self::ResultFile { flag, file, source } => {
                Diagnostic::from_error(source, Exit::Failed).note(format!("while writing {flag} {}", file.display()))
            }
            Self::Index { name, source } => Diagnostic::from_error(source, Exit::Failed).note(format!(
                "while writing the index of {name}; its parts were pushed by digest, and the name is as before"
            )),
            Self::CacheFolder { folder, source } => Diagnostic::from_error(source, Exit::Failed)
                .note(format!("while writing --cache-to type=local,dest={}", folder.display())),
        }
    }
}

impl Explain for InjectionError {
    fn explain(&self) -> Diagnostic {
        match self {
            Self::Guard(error) => error.explain(),
            Self::Graph(error) => error.explain(),
            Self::Leak(_) | Self::StageLeak(_) => Diagnostic::from_error(self, Exit::Leak),
            Self::Unproven(_) => Diagnostic::from_error(self, Exit::Incomplete)
                .note("nothing was exported or pushed")
                .help("--load or --output type=oci,dest=FILE brings the image here, where all of it is searched"),
            Self::Doubtful(doubts) => doubtful(doubts, "nothing was exported or pushed"),
            Self::Withheld => Diagnostic::from_error(self, Exit::Incomplete).note("nothing was exported or pushed"),
        }
    }
}

impl Explain for GraphError {
    fn explain(&self) -> Diagnostic {
        match self {
            Self::Inject(_) | Self::Chain(_) => Diagnostic::from_error(self, Exit::Failed),
            Self::Unable => Diagnostic::from_error(self, Exit::Failed)
                .help("Docker 20.10 or newer, with BuildKit enabled, has what pbuild needs"),
            Self::Required { id, place, .. } => {
                let diagnostic = Diagnostic::from_error(self, Exit::SecretMissing);
                let diagnostic = match place {
                    Some((file, line)) => diagnostic.note(format!("mounted at {file}:{line}")),
                    None => diagnostic,
                };
                diagnostic.help(format!("give it with --secret id={id},src=FILE, or declare it in app.toml"))
            }
            Self::NoStep { unmatched } => unmatched
                .iter()
                .fold(Diagnostic::from_error(self, Exit::Usage), add_unmatched)
                .help("change the pattern, or leave `steps` out to give every step the secret; `pbuild secrets advise` proposes patterns"),
        }
    }
}

fn add_unmatched(diagnostic: Diagnostic, one: &Unmatched) -> Diagnostic {
    let place = one.place.as_deref().unwrap_or("the manifest");
    let diagnostic = diagnostic.note(format!("{place}: {} has steps = [… \"{}\" …]", one.name, one.pattern));
    match one.nearest.as_slice() {
        [] => diagnostic.note("this build has no RUN"),
        nearest => diagnostic.note(format!("the nearest commands: {}", nearest.join(" · "))),
    }
}

impl Explain for BrokenBuild {
    fn explain(&self) -> Diagnostic {
        let error = &self.error;
        match error {
            BuildError::Failed(failure) => self.failed(failure),
            BuildError::Transform(error) => match &self.similar {
                Some(similar) => error.explain().help(format!("`{similar}` was given, and differs in case alone")),
                None => error.explain(),
            },
            BuildError::Source { .. } => Diagnostic::from_error(error, Exit::Failed)
                .help("make the file readable, or leave it out with .dockerignore"),
            BuildError::Destination { .. } => Diagnostic::from_error(error, Exit::Failed)
                .note("nothing of the result was kept")
                .help("make room for it, or name another place with --output"),
            BuildError::Stopped { .. } => Diagnostic::from_error(error, Exit::Leak),
            BuildError::Buildkit(error) => error.explain(),
        }
    }
}

impl BrokenBuild {
    fn failed(&self, failure: &BuildFailure) -> Diagnostic {
        let mut diagnostic = Diagnostic::error(quoted(&without_prelude(&failure.message)), Exit::Failed);
        if let Some(step) = self.step.as_ref().filter(|step| !step.tail.is_empty()) {
            diagnostic = diagnostic.tail("the end of its output:", step.tail.clone());
        }
        if let Some(lines) = &self.lines {
            return diagnostic.excerpt(excerpt(lines, "this step failed"));
        }
        let diagnostic = add_source(diagnostic, failure);
        match failure.kind {
            // These words come from pbuild's own store, into which the builder writes exported caches.
            _ if failure.message.contains("the client cannot write to ") => diagnostic
                .help("make room there; caches are searched below ~/.cache/pbuild, or where XDG_CACHE_HOME says"),
            _ if failure.message.contains("target stage") => {
                diagnostic.help("`pbuild build --call targets PATH` lists the stages of the Dockerfile")
            }
            _ if failure.message.contains("failed to resolve source metadata") => diagnostic.help(
                "check the image's name, and that the engine reaches its registry; `docker login HOST` for one that asks who you are",
            ),
            FailureKind::Denied => diagnostic.help("`docker login` stores credentials that pbuild uses, too"),
            // Git prints these words when a server asks for a user name and the engine itself fetches. A failed step
            // of the user does not get here, because its error has `lines`.
            _ if failure.message.contains("could not read Username for") => diagnostic.help(
                "a private repository needs a token: --secret id=GIT_AUTH_TOKEN; if it has submodules, this machine must be able to reach it",
            ),
            _ => diagnostic,
        }
    }
}

/// Adds the lines of the Dockerfile that the engine's error names.
fn add_source(diagnostic: Diagnostic, failure: &BuildFailure) -> Diagnostic {
    // BuildKit repeats the same range for each of its layers that passed the error on, so the first one is enough.
    let Some(source) = failure.sources.first() else {
        return match parse_error_line(&failure.message) {
            Some(line) => diagnostic.note(format!("Dockerfile:{line}")),
            None => diagnostic,
        };
    };
    let Some(range) = source.ranges.first().filter(|range| range.first > 0) else { return diagnostic };
    let text = String::from_utf8_lossy(&source.text);
    let count = range.last - range.first + 1;
    let text: Vec<String> = text.lines().skip(range.first - 1).take(count).map(str::to_owned).collect();
    let lines = SourceLines { file: source.file.clone(), first: range.first, last: range.last, text };
    diagnostic.excerpt(excerpt(&lines, "here"))
}

/// Finds the line that engines without source details put into the message: `dockerfile parse error line 3: …`.
fn parse_error_line(message: &str) -> Option<usize> {
    let (_, rest) = message.split_once("parse error ")?;
    let digits = rest.trim_start_matches("on ").strip_prefix("line ")?;
    digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Makes an excerpt of the lines, with the first word of the first line marked.
fn excerpt(lines: &SourceLines, label: &str) -> Excerpt {
    Excerpt {
        file: lines.file.clone(),
        first: lines.first,
        lines: lines.text.clone(),
        mark: Mark::default(),
        column: None,
        label: label.to_owned(),
    }
}

impl Explain for Refusal {
    fn explain(&self) -> Diagnostic {
        match self {
            Self::Context(leaks) => {
                let title = "the build context holds a secret; nothing of the file was sent to the engine";
                let diagnostic = Diagnostic::error(title, Exit::Leak);
                let diagnostic = leaks.iter().fold(diagnostic, |diagnostic, leak| diagnostic.note(leak.to_string()));
                let first = leaks.first().map(|leak| (leak.path.as_str(), leak.secret.as_str()));
                let (path, name) = first.unwrap_or_default();
                diagnostic
                    .help(format!("list {path} in .dockerignore; or, if no COPY takes it, --allow-context-leak {name}"))
            }
            Self::Image(image) => image.explain(),
            Self::Files(report, cleanup) => {
                let subject = report.subject().unwrap_or_default();
                let message = format!("--output {subject} would contain a secret; nothing was written");
                let diagnostic =
                    report.findings().iter().fold(Diagnostic::error(message, Exit::Leak), |diagnostic, finding| {
                        diagnostic.note(found(finding))
                    });
                diagnostic.note(removed(cleanup))
            }
            Self::Cache(cache) => cache.explain(),
            Self::IncompleteCache(report) => {
                let to = report.subject().unwrap_or_default();
                let title = format!("--cache-to {to}: the cache could not be searched whole, so it was not exported");
                add_not_searched(Diagnostic::error(title, Exit::Incomplete), report).note("the image was not tagged")
            }
            Self::Incomplete(report) => add_not_searched(
                Diagnostic::error("the image could not be searched whole, so it was not tagged", Exit::Incomplete),
                report,
            ),
            Self::Doubtful(doubts) => doubtful(doubts, "the image was not tagged"),
        }
    }
}

/// Explains that steps may have got other values, and what this means for the result.
fn doubtful(doubts: &Doubts, outcome: &str) -> Diagnostic {
    let (title, notes): (String, Vec<String>) = match doubts.unasked() {
        [] => (
            format!("--strict: other values may have made steps of this build; {outcome}"),
            doubts.cached().iter().map(Doubt::of_cached).collect(),
        ),
        unasked => (
            format!("steps of this build may have got other values, which nobody searched for; {outcome}"),
            unasked.iter().map(Doubt::of_unasked).collect(),
        ),
    };
    let help = match doubts.unasked() {
        [] => "--no-cache runs every step; without `rebuild = false` a result counts for its own value alone",
        _ => {
            "build again when no other build of these steps runs; without `rebuild = false` each value has its own steps"
        }
    };
    notes.into_iter().fold(Diagnostic::error(title, Exit::Incomplete), Diagnostic::note).help(help)
}

impl Explain for LeakingImage {
    fn explain(&self) -> Diagnostic {
        let Self { report, platform, origins, cleanup } = self;
        let mut names: Vec<&str> = report.findings().iter().map(|finding| finding.secret().as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let secrets = if let [_] = names[..] { "a secret".to_owned() } else { counted(names.len(), "secret") };
        let image = platform.as_ref().map_or_else(|| "the image".to_owned(), |one| format!("the image for {one}"));
        let title = format!("{image} would contain {secrets}; it was not tagged");
        let diagnostic = report
            .findings()
            .iter()
            .zip(origins)
            .fold(Diagnostic::error(title, Exit::Leak), |diagnostic, (finding, origin)| {
                add_finding(diagnostic, finding, origin)
            });
        let diagnostic = match report.not_listed() {
            0 => diagnostic,
            more => diagnostic.note(format!("and {more} more")),
        };
        add_not_searched(diagnostic, report).note(removed(cleanup))
    }
}

impl Explain for LeakingCache {
    fn explain(&self) -> Diagnostic {
        let Self { destination, report, origins, candidates, cleanup } = self;
        let title = format!("--cache-to {destination} would carry a secret; nothing was exported");
        let findings = report.findings().iter().zip(origins).zip(candidates);
        let diagnostic =
            findings.fold(Diagnostic::error(title, Exit::Leak), |diagnostic, ((finding, origin), candidates)| {
                let diagnostic = add_finding(diagnostic, finding, origin);
                match (candidates.as_slice(), finding.diff_id().filter(|digest| !digest.is_empty())) {
                    ([], Some(layer)) if !origin.is_step() => {
                        diagnostic.note(format!("--> layer {layer} of the cache"))
                    }
                    ([], _) => diagnostic,
                    (steps, _) => {
                        let places: Vec<String> =
                            steps.iter().map(|lines| format!("{}:{}", lines.file, lines.first)).collect();
                        diagnostic.note(format!("--> one of the steps that get it: {}", places.join(", ")))
                    }
                }
            });
        let diagnostic = match report.not_listed() {
            0 => diagnostic,
            more => diagnostic.note(format!("and {more} more")),
        };
        diagnostic
            .note("a cache carries what the image is not made of: with mode=max the results of all stages")
            .note(removed(cleanup))
    }
}

impl Explain for CacheExportError {
    fn explain(&self) -> Diagnostic {
        let diagnostic = match self {
            Self::Folder { path, source } => {
                let diagnostic = Diagnostic::from_error(self, Exit::Failed);
                match path {
                    Some(path) => diagnostic
                        .note(format!("while writing {}: {source}", path.display()))
                        .help("make room there, or name another place with XDG_CACHE_HOME"),
                    None => diagnostic.note(source.to_string()),
                }
            }
            Self::NotUnderstood { .. } => Diagnostic::from_error(self, Exit::Incomplete)
                .help("build again; if this error stays, use --cache-to type=inline, which stores the cache in the image"),
            Self::Written { .. } => {
                Diagnostic::from_error(self, Exit::Failed).help("make room there, or name another folder")
            }
            Self::Blob { .. } => Diagnostic::from_error(self, Exit::Failed).help("build again"),
            Self::Bucket { error: BucketError::Denied | BucketError::NoBucket, .. } => {
                Diagnostic::from_error(self, Exit::Failed).help(
                    "name the bucket and the keys that may write to it, in the flag or in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
                )
            }
            Self::Bucket { .. } => Diagnostic::from_error(self, Exit::Failed).help("this machine sends the cache; build again to go on"),
            Self::Registry { reference, error } => {
                let (host, diagnostic) = (reference.host(), Diagnostic::error(self.to_string(), Exit::Failed));
                match error {
                    RegistryError::Denied { .. } => diagnostic.help(format!(
                        "`docker login {host}` stores credentials where pbuild finds them; they must allow to push"
                    )),
                    RegistryError::Tls(_) => diagnostic.help(format!(
                        "put the registry's own authority into /etc/docker/certs.d/{host}/ca.crt on this machine, which sends the cache"
                    )),
                    RegistryError::Unreachable(_) | RegistryError::Silent => {
                        diagnostic.help(format!("this machine sends the cache, and must reach {host}; build again to go on"))
                    }
                    RegistryError::Status(_) => diagnostic
                        .help("the registry failed, perhaps because it has no space left; what arrived is not sent again"),
                    RegistryError::Certificate { .. }
                    | RegistryError::Credentials(_)
                    | RegistryError::NotFound
                    | RegistryError::Protocol(_)
                    | RegistryError::SchemaOne
                    | RegistryError::WrongDigest
                    | RegistryError::NoSize
                    | RegistryError::Blob(_) => diagnostic,
                }
            }
        };
        diagnostic.note("the image was not tagged; with ignore-error=true a failed cache export is only a warning")
    }
}

/// Adds a finding with its line of the Dockerfile and the advice for it.
fn add_finding(diagnostic: Diagnostic, finding: &Finding, origin: &Origin) -> Diagnostic {
    let diagnostic = diagnostic.note(found(finding));
    let diagnostic = match (origin, finding.instruction()) {
        (Origin::Step(lines), _) => diagnostic.excerpt(excerpt(lines, "this step wrote it")),
        (Origin::Base, _) => {
            return diagnostic.note("--> the base image holds it; no step of this build wrote it").help(BASE_HELP);
        }
        (Origin::Unknown, Some(instruction)) => diagnostic.note(format!("--> {instruction}")),
        (Origin::Unknown, None) => diagnostic,
    };
    diagnostic.help(preport::advice(finding))
}

fn found(finding: &Finding) -> String {
    format!("{}  in {}, {}{}", finding.label(), finding.place(), finding.form(), remarks(finding))
}

fn add_not_searched(diagnostic: Diagnostic, report: &Report) -> Diagnostic {
    report.not_searched().iter().fold(diagnostic, |diagnostic, what| {
        let layer = what.layer().map(|layer| format!("layer {layer}: ")).unwrap_or_default();
        diagnostic.note(format!("not searched: {layer}{}", what.why()))
    })
}

fn remarks(finding: &Finding) -> String {
    let mut remarks = String::new();
    if finding.times() > 1 {
        remarks.push_str(&format!(", {} times", finding.times()));
    }
    if let Some(later) = finding.deleted_in() {
        remarks.push_str(&format!(
            "; deleted in layer {later}, which leaves it in layer {}",
            finding.layer().unwrap_or(0)
        ));
    }
    remarks
}

/// Says in one sentence what was removed after a refusal.
fn removed(Cleanup { removed, cache }: &Cleanup) -> String {
    let image = if removed.images > 0 { "the unnamed image was removed" } else { "no image was made" };
    if *cache == LeakedCache::Kept {
        return format!("{image}; its cache records are kept, `docker builder prune` removes them");
    }
    let were = if removed.records == 1 { "was" } else { "were" };
    let records = format!("{} of this build {were} removed", counted(removed.records, "cache record"));
    format!("{image}, and {records}")
}

impl Explain for PushError {
    fn explain(&self) -> Diagnostic {
        let (name, host, problem, refusal) = match self {
            Self::Credentials { host, problem } => {
                let title = format!("docker's credentials for {host} cannot be read: {problem}");
                return Diagnostic::error(title, Exit::Usage);
            }
            Self::AnotherImage(name) => {
                let title = format!("the registry has another image as {name} than the one that was searched");
                return Diagnostic::error(title, Exit::Failed)
                    .note("the name was given to another image in the engine while this one was pushed")
                    .help("push again; two builds of one name should not run at the same time");
            }
            Self::Refused { name, host, problem, refusal } => (name, host, problem, refusal),
        };
        let diagnostic = Diagnostic::error(format!("failed to push {name}"), Exit::Failed)
            .note(problem.clone())
            .note("the image is clean and in the engine's store; the registry has no such name from this build");
        match refusal {
            push::Refusal::Access => {
                diagnostic.help(format!("`docker login {host}` renews docker's credentials, which are not accepted"))
            }
            push::Refusal::NoCredentials => {
                diagnostic.help(format!("`docker login {host}` stores credentials where pbuild finds them"))
            }
            push::Refusal::Certificate => diagnostic.help(format!(
                "put the registry's own authority into /etc/docker/certs.d/{host}/ca.crt on the engine's machine"
            )),
            push::Refusal::Registry => diagnostic.help(
                "the registry failed, perhaps because it has no space left; the parts that arrived are not sent again",
            ),
            push::Refusal::Other => diagnostic,
        }
    }
}

impl Explain for BrokenDockerfile {
    fn explain(&self) -> Diagnostic {
        let diagnostic = Diagnostic::error(self.message.clone(), Exit::Failed);
        match &self.place {
            Some((file, line)) => diagnostic.note(format!("--> {file}:{line}")),
            None => diagnostic,
        }
    }
}

impl Explain for Unanswered {
    fn explain(&self) -> Diagnostic {
        Diagnostic::from_error(self, Exit::Failed).help("a newer engine, or a newer `# syntax=` image, can answer it")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_read_from_the_words_of_old_engines() {
        assert_eq!(parse_error_line("dockerfile parse error line 3: unknown instruction: RUNN"), Some(3));
        assert_eq!(parse_error_line("failed to solve: dockerfile parse error on line 12: x"), Some(12));
        assert_eq!(parse_error_line("something else on line 3"), None);
    }
}
