//! The secrets of one command: read once, kept together with what masks them and what finds them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pcli::FoundManifest;
use pcli::arguments::SecretArguments;
use pcli::resolve::{self, Purpose, Resolution, Untrusted};
use pscan::{NeedleSet, NeedleSetBuilder};
use pscreen::{Diagnostic, Exit};
use psecret::{Dialect, Inputs, Redactor, RedactorBuilder, Searchability, Secret, SecretName};

use crate::edge::{Edge, Failure};

/// Every secret at hand, also those that a build does not need: the search knows more with them.
#[derive(Debug)]
pub struct Secrets {
    /// The values, shared with the session.
    pub all: Arc<Vec<Secret>>,
    /// What masks them.
    pub redactor: Redactor,
    /// By name, the ids of those whose new value runs their steps again.
    pub rebuilding: BTreeMap<String, String>,
}

impl Secrets {
    /// Reads the secrets that the flags and the manifest name.
    ///
    /// # Errors
    /// What is missing or wrong, by flag, file and line.
    pub fn read(arguments: &SecretArguments, manifest: Option<&FoundManifest>, edge: &Edge) -> Result<Self, Failure> {
        Self::read_for(Purpose::Build, arguments, manifest, edge)
    }

    /// Reads the secrets that are at hand and requires none: an audit searches for what it is given, and for what the
    /// manifest's trusted commands give.
    ///
    /// # Errors
    /// What is wrong with a flag, a file, or a command that a build would run.
    pub fn read_at_hand(
        arguments: &SecretArguments,
        manifest: Option<&FoundManifest>,
        edge: &Edge,
    ) -> Result<Self, Failure> {
        Self::read_for(Purpose::Search, arguments, manifest, edge)
    }

    fn read_for(
        purpose: Purpose,
        arguments: &SecretArguments,
        manifest: Option<&FoundManifest>,
        edge: &Edge,
    ) -> Result<Self, Failure> {
        let environment = |name: &str| std::env::var_os(name);
        let mut stdin = std::io::stdin();
        let mut inputs = Inputs::new(&environment, &mut stdin);
        let resolved =
            resolve::resolve(&arguments.sources(Dialect::Dotenv), manifest, purpose, &mut inputs, &edge.cancellation);
        let Resolution { secrets, untrusted, danger, warnings, .. } = resolved.map_err(|error| error.diagnostic())?;
        for warning in warnings {
            edge.stderr.warning(&warning);
        }
        let path = manifest.map(|found| found.path.display().to_string()).unwrap_or_default();
        for Untrusted { name, act, .. } in &untrusted {
            let place = format!("{path}:{}", act.line);
            let why = match danger {
                None => "before `pbuild trust`".to_owned(),
                Some(danger) => format!("because {danger}"),
            };
            edge.stderr.warning(&format!("{name} is not searched for: {place} may not get its value {why}"));
        }
        if purpose == Purpose::Search {
            let declared = manifest.map(|found| found.manifest.secrets.as_slice()).unwrap_or_default();
            // Of those that the manifest may not get was said so.
            let told = |known: &&papp::Secret| {
                untrusted.iter().any(|entry| entry.name == known.name)
                    || secrets.iter().any(|secret| secret.name().as_str() == known.name)
            };
            for secret in declared.iter().filter(|known| !told(known)) {
                edge.stderr.warning(&format!("{} has no value here, so it is not searched for", secret.name));
            }
        }
        let redactor = secrets
            .iter()
            .fold(RedactorBuilder::new(), |builder, secret| {
                builder.taken_apart(secret.name(), secret.value(), secret.parts())
            })
            .build()
            .map_err(|error| Diagnostic::from_error(&error, Exit::Usage))?;
        let rebuilding = match purpose {
            Purpose::Build => rebuilding(&secrets, manifest, &environment)?,
            Purpose::Run | Purpose::Search | Purpose::List => BTreeMap::new(),
        };
        Ok(Self { all: Arc::new(secrets), redactor, rebuilding })
    }

    /// Everything by which the values can be found, compiled once.
    ///
    /// # Errors
    /// When there are more forms than one search holds.
    pub fn needles(&self) -> Result<Arc<NeedleSet>, Failure> {
        let builder = self.all.iter().fold(NeedleSetBuilder::new(), |builder, secret| {
            builder.taken_apart(secret.name(), secret.value(), secret.parts())
        });
        let needles = builder.build().map_err(|error| Diagnostic::from_error(&error, Exit::Usage))?;
        Ok(Arc::new(needles))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether steps of a build may get any.
    #[must_use]
    pub fn offered_to_builds(&self) -> bool {
        self.all.iter().any(|secret| secret.scope().in_build())
    }

    /// The ids that the session can answer.
    #[must_use]
    pub fn ids(&self) -> BTreeSet<String> {
        self.all
            .iter()
            .filter(|secret| secret.scope().in_build())
            .map(|secret| secret.name().as_str().to_owned())
            .collect()
    }

    /// Says which secrets there are, who gets them, and which cannot be protected.
    pub fn announce(&self, edge: &Edge, offered: impl Fn(&Secret) -> String) {
        if self.is_empty() {
            return;
        }
        let names = self.all.iter().map(|secret| format!("{} {}", secret.name(), offered(secret)));
        edge.fact("secrets", &names.collect::<Vec<_>>().join(" · "));
        for (name, searchability) in self.judged().filter(|(_, searchability)| *searchability != Searchability::Full) {
            let meaning = match searchability {
                Searchability::Weak => "masked in logs; found in the image as a whole word only",
                _ => "neither masked nor searched for; if it is no secret, declare it in [env]",
            };
            edge.stderr.warning(&format!("{name} is {searchability}: {meaning}"));
        }
    }

    /// Refuses secrets of which not one can be searched for: no audit could prove anything.
    ///
    /// # Errors
    /// When there are secrets, and all are unprotected.
    pub fn check_searchable(&self) -> Result<(), Failure> {
        if self.is_empty() || self.judged().any(|(_, searchability)| searchability.is_searched()) {
            return Ok(());
        }
        let names: Vec<String> = self.judged().map(|(name, _)| name.to_string()).collect();
        let diagnostic =
            Diagnostic::error("none of the secrets can be searched for, so nothing could be proven", Exit::Usage)
                .note(names.join(", "))
                .help("use values of 8 characters or more, or declare public values in [env] of app.toml");
        Err(diagnostic.into())
    }

    /// Whether every secret is searched for in every form and place (`--strict` asks).
    #[must_use]
    pub fn all_searchable(&self) -> bool {
        self.judged().all(|(_, searchability)| searchability == Searchability::Full)
    }

    fn judged(&self) -> impl Iterator<Item = (&SecretName, Searchability)> {
        self.all.iter().map(|secret| (secret.name(), Searchability::of(secret.value())))
    }
}

/// The ids of secrets that are marked `rebuild = true`. BuildKit's cache key holds a secret's id and not its value, so the
/// id follows the value: by a digest under a key, because provenance shows ids.
fn rebuilding(
    secrets: &[Secret],
    manifest: Option<&FoundManifest>,
    environment: &dyn Fn(&str) -> Option<std::ffi::OsString>,
) -> Result<BTreeMap<String, String>, Failure> {
    let marked = |secret: &&Secret| {
        let declared = manifest.and_then(|found| found.manifest.secret(secret.name().as_str()));
        secret.scope().in_build() && declared.is_some_and(|declared| declared.rebuild)
    };
    let marked: Vec<&Secret> = secrets.iter().filter(marked).collect();
    let Some(first) = marked.first() else { return Ok(BTreeMap::new()) };
    let key = pcli::digest_key(manifest, environment).map_err(|error| error.diagnostic())?.ok_or_else(|| {
        Diagnostic::error(
            format!("`{}` has rebuild = true, and there is no key for its digest", first.name()),
            Exit::Usage,
        )
        .help(format!("`pbuild secrets init` makes a store that has one; in CI set {}", pcli::CACHE_KEY_VARIABLE))
    })?;
    let id = |secret: &&Secret| {
        let name = secret.name();
        (name.to_string(), format!("{name}.{}", key.digest("rebuild", name, secret.value())))
    };
    Ok(marked.iter().map(id).collect())
}
