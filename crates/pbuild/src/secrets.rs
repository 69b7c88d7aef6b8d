//! The secrets of one command. They are read once, and kept together with the redactor that masks them.

mod public;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use pcli::resolve::{self, Purpose, Resolution, ResolveError, SecretSources, Strictness, Untrusted};
use pcli::{FoundManifest, SealedError};
use pscan::{NeedleSet, NeedleSetBuilder, Report, ScanError};
use pscreen::words::listed;
use psecret::{Inputs, Redactor, RedactorBuilder, Searchability, Secret, SecretError, SecretName};

use crate::audit::missing;
use crate::audit::missing::MissingSecret;
use crate::binding::Binding;
use crate::edge::Edge;

/// The largest number of secrets that one line of output names. For more secrets, the line says how many they are.
pub(crate) const MOST_NAMED: usize = 8;

/// The reasons why the secrets of a command cannot be used. No message holds a value.
#[derive(Debug)]
pub(crate) enum SecretsError {
    /// A value cannot be read.
    Resolve(ResolveError),
    /// The values have more forms than can be masked.
    Masks(SecretError),
    /// The values have more forms than can be searched for.
    Needles(ScanError),
    /// None of these secrets can be searched for.
    NotSearchable(Vec<String>),
    /// The key of digests cannot be read.
    Key(SealedError),
}

impl From<ResolveError> for SecretsError {
    fn from(error: ResolveError) -> Self {
        Self::Resolve(error)
    }
}

impl From<SecretError> for SecretsError {
    fn from(error: SecretError) -> Self {
        Self::Masks(error)
    }
}

impl From<ScanError> for SecretsError {
    fn from(error: ScanError) -> Self {
        Self::Needles(error)
    }
}

impl From<SealedError> for SecretsError {
    fn from(error: SealedError) -> Self {
        Self::Key(error)
    }
}

/// Every secret at hand, even one that the build does not need, so that the search covers more. Clones share the
/// values.
#[derive(Clone, Debug)]
pub(crate) struct Secrets {
    /// The secrets that are searched for and masked, shared with the session.
    pub(crate) all: Arc<Vec<Secret>>,
    /// Variables of env files that look public. Steps get them like secrets, and they are not masked.
    public: Arc<Vec<Secret>>,
    /// The redactor that masks the secrets.
    pub(crate) redactor: Redactor,
    /// The declared secrets that have no value on this machine.
    pub(crate) missing: Arc<Vec<MissingSecret>>,
    /// The digests that bind cached steps to the values.
    pub(crate) binding: Arc<Binding>,
    /// Whether a doubt makes the command fail (`--strict`).
    pub(crate) strictness: Strictness,
    /// The secrets that belong only to other targets of the same group. This build searches for them and masks them,
    /// but its steps do not get them.
    withheld: BTreeSet<String>,
}

impl Secrets {
    /// Reads the secrets that the flags and the manifest name. The `keys` are searched for as well, but no step gets
    /// them.
    ///
    /// # Errors
    /// Returns a [`SecretsError`] that names the flag, the file and the line.
    pub(crate) fn read(
        keys: Vec<Secret>,
        sources: &SecretSources,
        manifest: Option<&FoundManifest>,
        edge: &Edge,
    ) -> Result<Self, SecretsError> {
        Self::read_for(Purpose::Build, keys, sources, manifest, edge)
    }

    /// Reads the secrets that are at hand and requires none. An audit searches for the values that it is given, and
    /// for those of the manifest's trusted commands.
    ///
    /// # Errors
    /// Returns a [`SecretsError`] about a flag, a file, or a command that a build would run, too.
    pub(crate) fn read_at_hand(
        sources: &SecretSources,
        manifest: Option<&FoundManifest>,
        edge: &Edge,
    ) -> Result<Self, SecretsError> {
        Self::read_for(Purpose::Search, Vec::new(), sources, manifest, edge)
    }

    fn read_for(
        purpose: Purpose,
        keys: Vec<Secret>,
        sources: &SecretSources,
        manifest: Option<&FoundManifest>,
        edge: &Edge,
    ) -> Result<Self, SecretsError> {
        let environment = |name: &str| std::env::var_os(name);
        let mut stdin = std::io::stdin();
        let mut inputs = Inputs::new(&environment, &mut stdin);
        let resolved = resolve::resolve(sources, manifest, purpose, &mut inputs, &edge.cancellation);
        let Resolution { secrets, untrusted, danger, warnings, .. } = resolved?;
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
        let missing = Arc::new(missing::of(manifest, &secrets, &untrusted));
        let binding = match purpose {
            Purpose::Build => Binding::of(&secrets, manifest, &environment)?,
            Purpose::Run | Purpose::Search | Purpose::List => Binding::default(),
        };
        let (mut secrets, public) = public::split(secrets, manifest, sources.strictness);
        secrets.extend(keys);
        // A search lists these secrets in its report instead.
        if let Some(line) = public::line(&public).filter(|_| purpose == Purpose::Build) {
            edge.stderr.warning(&line);
        }
        if purpose == Purpose::Search {
            let declared = manifest.map(|found| found.manifest.secrets.as_slice()).unwrap_or_default();
            // The secrets that the manifest may not read have a warning already.
            let known = untrusted.iter().map(|entry| entry.name.as_str());
            let known: HashSet<&str> = known.chain(secrets.iter().map(|secret| secret.name().as_str())).collect();
            for secret in declared.iter().filter(|secret| !known.contains(secret.name.as_str())) {
                edge.stderr.warning(&format!("{} has no value here, so it is not searched for", secret.name));
            }
        }
        let redactor = masking(secrets.iter()).build()?;
        let (all, public, binding) = (Arc::new(secrets), Arc::new(public), Arc::new(binding));
        Ok(Self { all, public, redactor, binding, missing, strictness: sources.strictness, withheld: BTreeSet::new() })
    }

    /// Returns the same secrets for a build whose steps get all of them except `withheld`.
    pub(crate) fn withholding(&self, withheld: BTreeSet<String>) -> Self {
        Self { withheld, ..self.clone() }
    }

    /// Makes one redactor that masks the values of several readings.
    ///
    /// # Errors
    /// Returns an error if there are more forms than one redactor holds.
    pub(crate) fn common_redactor<'a>(readings: impl IntoIterator<Item = &'a Self>) -> Result<Redactor, SecretsError> {
        let secrets = readings.into_iter().flat_map(|secrets| secrets.all.iter());
        Ok(masking(secrets).build()?)
    }

    /// Returns the needles of all values, compiled.
    ///
    /// # Errors
    /// Returns an error if there are more forms than one search holds.
    pub(crate) fn needles(&self) -> Result<Arc<NeedleSet>, SecretsError> {
        let builder = self.all.iter().fold(NeedleSetBuilder::new(), |builder, secret| {
            builder.taken_apart(secret.name(), secret.value(), secret.parts())
        });
        Ok(Arc::new(builder.build()?))
    }

    /// Returns all values that steps may get, including those that look public.
    pub(crate) fn delivered(&self) -> impl Iterator<Item = &Secret> {
        self.all.iter().chain(self.public.iter()).filter(|secret| !self.withheld.contains(secret.name().as_str()))
    }

    /// Returns the secrets that steps may get: those of [`Self::delivered`] that do not look public.
    pub(crate) fn offered(&self) -> impl Iterator<Item = &Secret> {
        let own = |secret: &&Secret| !self.withheld.contains(secret.name().as_str());
        self.all.iter().filter(|secret| secret.scope().in_build()).filter(own)
    }

    /// Returns whether the steps of this build do not get this secret, because it belongs to other targets.
    pub(crate) fn is_withheld(&self, secret: &Secret) -> bool {
        self.withheld.contains(secret.name().as_str())
    }

    /// Returns all values at hand, shared: those of [`Self::delivered`] and those of other targets.
    pub(crate) fn shared(&self) -> [Arc<Vec<Secret>>; 2] {
        [Arc::clone(&self.all), Arc::clone(&self.public)]
    }

    /// Adds to a report the variables that were not searched for because they look public.
    pub(crate) fn tell_public(&self, report: &mut Report) {
        for secret in self.public.iter() {
            report.add_unprotected(secret.name().clone(), public::WHY);
        }
    }

    /// Returns whether there are no secrets to search for.
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Returns whether steps of a build may get any secret or public value.
    pub(crate) fn offered_to_builds(&self) -> bool {
        self.delivered().any(|secret| secret.scope().in_build())
    }

    /// Returns the IDs of the secrets that the session gives to BuildKit on request.
    pub(crate) fn ids(&self) -> BTreeSet<String> {
        let in_build = self.delivered().filter(|secret| secret.scope().in_build());
        in_build.map(|secret| secret.name().as_str().to_owned()).collect()
    }

    /// Returns the secrets of a build that must not be part of the cache keys of its steps.
    pub(crate) fn unbound(&self) -> BTreeSet<String> {
        self.ids().into_iter().filter(|name| !self.binding.bound().contains(name)).collect()
    }

    /// Says for each secret which steps get it. If there are many secrets, says it once for each group with the same
    /// answer.
    fn offers(&self, offered: impl Fn(&Secret) -> String) -> String {
        if self.all.len() <= MOST_NAMED {
            let of_each = |secret: &Secret| format!("{}{} {}", secret.name(), named_parts(secret), offered(secret));
            return self.all.iter().map(of_each).collect::<Vec<_>>().join(" · ");
        }
        let mut groups: Vec<(String, Vec<String>)> = Vec::new();
        for secret in self.all.iter() {
            let (offer, name) = (offered(secret), format!("{}{}", secret.name(), named_parts(secret)));
            match groups.iter_mut().find(|(known, _)| *known == offer) {
                Some((_, names)) => names.push(name),
                None => groups.push((offer, vec![name])),
            }
        }
        let group = |(offer, names): (String, Vec<String>)| format!("{} {offer}", listed(&names, MOST_NAMED));
        groups.into_iter().map(group).collect::<Vec<_>>().join(" · ")
    }

    /// Prints the secrets and the steps that get them, and warns of the secrets that cannot be protected completely.
    pub(crate) fn announce(&self, edge: &Edge, offered: impl Fn(&Secret) -> String) {
        if self.is_empty() {
            return;
        }
        edge.fact("secrets", &self.offers(offered));
        let mut groups: Vec<(Searchability, Vec<&str>)> = Vec::new();
        for (name, searchability) in self.judged().filter(|(_, searchability)| *searchability != Searchability::Full) {
            match groups.iter_mut().find(|(known, _)| *known == searchability) {
                Some((_, names)) => names.push(name.as_str()),
                None => groups.push((searchability, vec![name.as_str()])),
            }
        }
        for (searchability, names) in groups {
            let meaning = match searchability {
                Searchability::Weak => "masked in logs; found in the image as a whole word only",
                Searchability::Full | Searchability::Empty | Searchability::Unprotected(_) => {
                    "neither masked nor searched for; if it is no secret, declare it in [env]"
                }
            };
            let are = if names.len() == 1 { "is" } else { "are" };
            edge.stderr.warning(&format!("{} {are} {searchability}: {meaning}", listed(&names, MOST_NAMED)));
        }
    }

    /// Refuses a set of secrets if none of them can be searched for, because then no audit could prove anything.
    ///
    /// # Errors
    /// Returns an error if there are secrets, and all of them are unprotected.
    pub(crate) fn check_searchable(&self) -> Result<(), SecretsError> {
        if self.is_empty() || self.judged().any(|(_, searchability)| searchability.is_searched()) {
            return Ok(());
        }
        Err(SecretsError::NotSearchable(self.judged().map(|(name, _)| name.to_string()).collect()))
    }

    /// Returns whether every secret is searched for in every form and place, which `--strict` demands.
    pub(crate) fn all_searchable(&self) -> bool {
        self.judged().all(|(_, searchability)| searchability == Searchability::Full)
    }

    fn judged(&self) -> impl Iterator<Item = (&SecretName, Searchability)> {
        self.all.iter().map(|secret| (secret.name(), Searchability::of(secret.value())))
    }
}

/// Returns the builder of a redactor that masks these secrets.
fn masking<'a>(secrets: impl Iterator<Item = &'a Secret>) -> RedactorBuilder {
    secrets.fold(RedactorBuilder::new(), |builder, secret| {
        builder.taken_apart(secret.name(), secret.value(), secret.parts())
    })
}

/// Names in parentheses the parts of a secret that are protected with it: three at most, and the number of the
/// others.
fn named_parts(secret: &Secret) -> String {
    const MOST_NAMED: usize = 3;
    let names = secret.parts().names();
    let (named, more) = names.split_at(names.len().min(MOST_NAMED));
    match (named, more.len()) {
        ([], _) => String::new(),
        ([one], 0) => format!(" (with its part {one})"),
        (_, 0) => format!(" (with its parts {})", named.join(", ")),
        (_, more) => format!(" (with its parts {} and {more} more)", named.join(", ")),
    }
}
