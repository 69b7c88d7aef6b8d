//! The secrets of builds that run together. Each source is read once for all targets to which it means the same.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use psecret::{Redactor, Secret};

use crate::edge::{Edge, Failure};
use crate::output::OutputError;
use crate::plan::BuildOrder;
use crate::plan::ssh::{Forwarding, SshError};
use crate::secrets::{Secrets, SecretsError};

/// One build of a group.
#[derive(Debug)]
pub(crate) struct Member {
    /// The name of the target; `None` for a single build.
    pub(crate) target: Option<String>,
    /// The build.
    pub(crate) order: BuildOrder,
    /// The secrets that the target itself names: the value of each `--secret` flag, by the secret's id.
    pub(crate) secrets: BTreeMap<String, String>,
    /// The targets on which this one builds, by the names of their contexts.
    pub(crate) inner: Vec<(String, Member)>,
}

/// The reason why the secrets of targets that build on each other do not fit together.
#[derive(Debug, thiserror::Error)]
pub(super) enum InnerError {
    /// The targets have different manifests.
    #[error("a target and one that it builds on have different manifests")]
    Manifest,
    /// The targets name different sources for one secret.
    #[error("a target and one that it builds on have different sources for the secret `{0}`")]
    Secret(String),
}

impl Member {
    /// Makes the part of the build, and of all targets on which it builds, that one node carries out.
    ///
    /// # Errors
    /// Returns an error if the parts could not be joined.
    pub(super) fn part(&self, platforms: &[String]) -> Result<Option<Self>, OutputError> {
        let Ok(extras) = &self.order.extras else { return Ok(None) };
        let order = self.order.part(extras, platforms)?;
        let mut inner = Vec::new();
        for (context, base) in &self.inner {
            let Some(base) = base.part(platforms)? else { return Ok(None) };
            inner.push((context.clone(), base));
        }
        Ok(Some(Self { target: self.target.clone(), order, secrets: self.secrets.clone(), inner }))
    }

    /// Returns the target and all targets on which it builds.
    fn family(&self) -> Vec<&Self> {
        let below = self.inner.iter().flat_map(|(_, inner)| inner.family());
        std::iter::once(self).chain(below).collect()
    }

    fn manifest(&self) -> Option<&Path> {
        self.order.manifest.as_ref().map(|found| found.path.as_path())
    }

    /// Checks that a secret means the same to a target and to the targets on which it builds, because their steps run
    /// in one build.
    fn check(&self) -> Result<(), InnerError> {
        let family = self.family();
        for (at, one) in family.iter().enumerate() {
            for other in &family[at + 1..] {
                if one.manifest() != other.manifest() {
                    return Err(InnerError::Manifest);
                }
                if let Some(name) = disagreement(one, other).or_else(|| disagreement(other, one)) {
                    return Err(InnerError::Secret(name));
                }
            }
        }
        Ok(())
    }
}

/// The secrets of a group.
#[derive(Debug)]
pub(super) struct Readings(Vec<Secrets>);

/// The part of the readings that one build gets.
#[derive(Debug)]
pub(super) struct Share {
    reading: usize,
    /// The secrets that any target of the reading names.
    named: BTreeSet<String>,
}

/// Targets whose secrets are read together: they have the same manifest, and no two of them name different sources
/// for one secret.
struct Union<'m> {
    members: Vec<(usize, &'m Member)>,
}

impl Readings {
    /// Reads the secrets of all builds. A secret that one target names is searched for and masked in every image of
    /// its reading. Only the steps of the targets that name the secret get it.
    ///
    /// # Errors
    /// Returns a [`SecretsError`] or [`SshError`], which names the flag, the file and the line.
    pub(super) fn read(members: &[Member], edge: &Edge) -> Result<(Self, Vec<Share>), Failure> {
        members.iter().try_for_each(Member::check)?;
        let mut unions: Vec<Union<'_>> = Vec::new();
        for (at, member) in members.iter().enumerate() {
            match unions.iter_mut().find(|union| union.takes(member)) {
                Some(union) => union.members.push((at, member)),
                None => unions.push(Union { members: vec![(at, member)] }),
            }
        }
        warn_of_separate_readings(&unions, edge);
        let mut readings = Vec::new();
        let mut shares: Vec<(usize, Share)> = Vec::new();
        for (reading, union) in unions.iter().enumerate() {
            readings.push(union.read(edge)?);
            let families = union.members.iter().flat_map(|(_, member)| member.family());
            let named: BTreeSet<String> = families.flat_map(|member| member.secrets.keys().cloned()).collect();
            let share = |(at, _): &(usize, &Member)| (*at, Share { reading, named: named.clone() });
            shares.extend(union.members.iter().map(share));
        }
        shares.sort_by_key(|(at, _)| *at);
        Ok((Self(readings), shares.into_iter().map(|(_, share)| share).collect()))
    }

    /// Returns the secrets of one build, or of a target on which it builds.
    pub(super) fn of(&self, share: &Share, member: &Member) -> Secrets {
        let foreign = share.named.iter().filter(|name| !member.secrets.contains_key(*name));
        self.0[share.reading].withholding(foreign.cloned().collect())
    }

    /// Makes the redactor that masks the secrets of all builds.
    ///
    /// # Errors
    /// Returns an error if the secrets have more forms than one redactor can hold.
    pub(super) fn redactor(&self) -> Result<Redactor, SecretsError> {
        match self.0.as_slice() {
            [one] => Ok(one.redactor.clone()),
            several => Secrets::common_redactor(several),
        }
    }
}

/// Warns of a name that stands for different values in two targets. Each of their images is then searched only for
/// the secrets of its own target.
fn warn_of_separate_readings(unions: &[Union<'_>], edge: &Edge) {
    let firsts: Vec<&Member> = unions.iter().filter_map(|union| Some(union.members.first()?.1)).collect();
    for (at, one) in firsts.iter().enumerate() {
        for other in firsts.iter().skip(at + 1).filter(|other| other.manifest() == one.manifest()) {
            let Some(name) = disagreement(one, other).or_else(|| disagreement(other, one)) else { continue };
            let target = |member: &Member| member.target.clone().unwrap_or_default();
            edge.stderr.warning(&format!(
                "{name} is one secret in target {} and another one in {}, so neither image is searched for the secrets of the \
                 other target; two names would have both searched",
                target(one),
                target(other)
            ));
        }
    }
}

impl Union<'_> {
    /// Returns whether the secrets of a target can be read together with the secrets of this union.
    fn takes(&self, member: &Member) -> bool {
        let agree =
            |one: &Member, other: &Member| disagreement(one, other).or_else(|| disagreement(other, one)).is_none();
        let family = member.family();
        let mut others = self.members.iter().flat_map(|(_, other)| other.family());
        others.all(|other| family.iter().all(|one| one.manifest() == other.manifest() && agree(one, other)))
    }

    fn read(&self, edge: &Edge) -> Result<Secrets, Failure> {
        let (_, first) = self.members.first().expect("a union has a member");
        let mut sources = first.order.sources.clone();
        let families: Vec<&Member> = self.members.iter().flat_map(|(_, member)| member.family()).collect();
        let mut words: Vec<&String> = families.iter().flat_map(|member| member.secrets.values()).collect();
        words.sort();
        words.dedup();
        sources.flags.extend(words.into_iter().cloned());
        let keys = keys(families.iter().map(|member| &member.order.forwarding))?;
        Ok(Secrets::read(keys, &sources, first.order.manifest.as_ref(), edge)?)
    }
}

/// Finds a secret that `member` names and that means something else to `other`: either both name it with different
/// sources, or only the manifest of `other` has it.
fn disagreement(member: &Member, other: &Member) -> Option<String> {
    let declared =
        |name: &str| other.order.manifest.as_ref().is_some_and(|found| found.manifest.secret(name).is_some());
    let differs = |(name, word): &(&String, &String)| match other.secrets.get(*name) {
        Some(other) => other != *word,
        None => declared(name),
    };
    member.secrets.iter().find(differs).map(|(name, _)| name.clone())
}

/// Reads the keys of all agents. Agents with the same description have the same keys.
fn keys<'f>(forwardings: impl Iterator<Item = &'f Forwarding>) -> Result<Vec<Secret>, SshError> {
    let mut known: Vec<&Forwarding> = Vec::new();
    let mut keys = Vec::new();
    for forwarding in forwardings {
        if !known.contains(&forwarding) {
            keys.extend(forwarding.keys()?);
            known.push(forwarding);
        }
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::{Value, json};

    use super::*;
    use crate::command::bake::BakeArguments;
    use crate::plan::{self, InnerOrder, Order, TargetOrder};

    fn edge() -> Edge {
        let silent = || pscreen::Printer::new(Box::new(std::io::sink()), pscreen::Colour::Never);
        let cancellation = pscreen::Cancellation::new();
        Edge { stderr: silent(), stdout: silent(), cancellation, quiet: true }
    }

    fn member(TargetOrder { name, secrets, order, inner }: TargetOrder) -> Member {
        let Order::Build(order) = order else { panic!("a build") };
        let inner = inner.into_iter().map(|InnerOrder { context, target }| (context, member(target)));
        Member { target: Some(name), order: *order, secrets, inner: inner.collect() }
    }

    /// Makes the targets of a definition, in the order of their names. Their contexts are folders below `folder`.
    fn members(folder: &Path, definition: &Value) -> Vec<Member> {
        let arguments = BakeArguments { allowed: vec!["fs=*".to_owned()], ..BakeArguments::default() };
        let order = plan::bake(&arguments, |_| None).unwrap();
        let text = definition.to_string().replace("DIR", &folder.display().to_string());
        order.targets(text.as_bytes(), |_| None).unwrap().into_iter().map(member).collect()
    }

    fn target(context: &str, secrets: &[(&str, &str)]) -> Value {
        let secrets: Vec<Value> =
            secrets.iter().map(|(id, file)| json!({"id": id, "src": format!("DIR/{file}")})).collect();
        json!({"context": format!("DIR/{context}"), "dockerfile-inline": "FROM scratch", "secret": secrets})
    }

    fn project() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for context in ["one", "two"] {
            fs::create_dir(folder.path().join(context)).unwrap();
        }
        for file in ["a", "b"] {
            fs::write(folder.path().join(file), format!("a long enough value {file}")).unwrap();
        }
        folder
    }

    #[test]
    fn targets_share_a_reading_and_each_gets_its_own_secrets_of_it() {
        let folder = project();
        let targets = json!({"target": {
            "api": target("one", &[]), "both": target("one", &[("A", "a"), ("B", "b")]), "web": target("two", &[("A", "a")]),
        }});
        let members = members(folder.path(), &targets);
        let (readings, shares) = Readings::read(&members, &edge()).unwrap();
        assert_eq!(readings.0.len(), 1);
        let ids = |at: usize| readings.of(&shares[at], &members[at]).ids().into_iter().collect::<Vec<_>>();
        assert_eq!((ids(0), ids(1), ids(2)), (vec![], vec!["A".into(), "B".into()], vec!["A".into()]));
        // All secrets are searched for and masked in every image.
        assert!((0..3).all(|at| readings.of(&shares[at], &members[at]).all.len() == 2));
    }

    #[test]
    fn a_name_that_means_two_things_is_read_twice() {
        let folder = project();
        let targets = json!({"target": {"api": target("one", &[("A", "a")]), "web": target("one", &[("A", "b")])}});
        let (readings, shares) = Readings::read(&members(folder.path(), &targets), &edge()).unwrap();
        assert_eq!((readings.0.len(), shares[0].reading, shares[1].reading), (2, 0, 1));
        fs::write(folder.path().join("one/app.toml"), "[secrets]\nA = { scope = \"run\" }\n").unwrap();
        let targets = json!({"target": {"api": target("one", &[("A", "a")]), "web": target("one", &[])}});
        let (readings, _) = Readings::read(&members(folder.path(), &targets), &edge()).unwrap();
        assert_eq!(readings.0.len(), 2, "the manifest's A of one target is not the other one's");
    }

    #[test]
    fn targets_that_build_on_each_other_mean_the_same_by_their_secrets() {
        let folder = project();
        let on = |mut web: Value| {
            web["contexts"] = json!({"base": "target:base"});
            web
        };
        let group = json!({"default": {"targets": ["web"]}});
        let read = |web: Value, base: Value| {
            let targets = json!({"group": group, "target": {"web": on(web), "base": base}});
            let members = members(folder.path(), &targets);
            assert_eq!(members.len(), 1, "what is only built upon is no member");
            Readings::read(&members, &edge()).map(|(readings, shares)| {
                let (_, base) = &members[0].inner[0];
                [&members[0], base].map(|member| readings.of(&shares[0], member).ids().into_iter().collect::<Vec<_>>())
            })
        };
        let ids = read(target("one", &[("A", "a")]), target("two", &[("B", "b")])).unwrap();
        assert_eq!(ids, [["A"], ["B"]]);
        assert!(read(target("one", &[("A", "a")]), target("two", &[("A", "b")])).is_err());
        fs::write(folder.path().join("two/app.toml"), "[secrets]\n").unwrap();
        assert!(read(target("one", &[]), target("two", &[])).is_err(), "they have different manifests");
    }
}
