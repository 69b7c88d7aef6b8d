//! `prun generations` lists earlier starts, and `prun rollback` starts one of them again.

use bollard::models::ImageInspect;
use pengine::Engine;
use pscreen::Exit;
use zeroize::Zeroizing;

use crate::commands::show;
use crate::commands::start::Start;
use crate::edge::{Edge, Failure, now};
use crate::error::command::CommandError;
use crate::error::{RunError, engine, is_missing};
use crate::plan::request::{ListForm, ListRequest, RollbackRequest};
use crate::project::KnownProject;
use crate::state::{Closed, LockedState};
use crate::values::generation::{Generation, Origin, Variable};

/// A row for a generation.
pub(crate) struct GenerationRow {
    /// The generation's number.
    pub(crate) number: u64,
    /// When it was made, in seconds since 1970.
    pub(crate) made: u64,
    /// Who made it, if that is known.
    pub(crate) by: Option<String>,
    /// Its image.
    pub(crate) image: String,
    /// The names of what changed since the generation before.
    pub(crate) changed: Vec<String>,
}

/// Lists the generations that the state keeps, the newest first. It does not show values.
///
/// # Errors
///
/// Returns an error if the project does not exist, or if this user is not an operator of it.
pub(crate) async fn list(request: &ListRequest, edge: &Edge) -> Result<Exit, Failure> {
    let known = KnownProject::find(&request.project, edge).await?;
    let generations = rows_of(&known.read().await?.generations()?)?;
    let text = match request.form {
        ListForm::Table => {
            let mut rows = vec![["GENERATION", "MADE", "BY", "IMAGE", "CHANGED"].map(str::to_owned)];
            rows.extend(generations.into_iter().map(|row| {
                let made = show::ago(now().saturating_sub(row.made));
                [row.number.to_string(), made, row.by.unwrap_or_default(), row.image, row.changed.join(" ")]
            }));
            show::table(&rows)
        }
        ListForm::Json => {
            let generation = |row: &GenerationRow| {
                let GenerationRow { number, made, by, image, changed } = row;
                serde_json::json!({ "number": number, "made": made, "by": by, "image": image, "changed": changed })
            };
            let generations: Vec<serde_json::Value> = generations.iter().map(generation).collect();
            show::document(&serde_json::json!({ "version": 1, "project": known.name, "generations": generations }))
        }
    };
    edge.stdout.bytes(text.as_bytes());
    Ok(Exit::Done)
}

/// Describes generations, which begin with the newest.
///
/// # Errors
///
/// Returns an error if this prun does not understand the record of a generation.
pub(crate) fn rows_of(generations: &[Generation]) -> Result<Vec<GenerationRow>, RunError> {
    let row = |(place, generation): (usize, &Generation)| {
        Ok(GenerationRow {
            number: generation.number,
            made: generation.created,
            by: generation.by.clone(),
            image: generation.record.plan()?.image().to_owned(),
            changed: generations.get(place + 1).map_or_else(Vec::new, |before| changes(before, generation)),
        })
    };
    generations.iter().enumerate().map(row).collect()
}

/// Lists the differences between two generations: the image, and each variable that is new, changed or gone.
/// Variables of services are left out.
fn changes(before: &Generation, after: &Generation) -> Vec<String> {
    let own = |generation: &'_ Generation| -> Vec<(String, Zeroizing<Vec<u8>>)> {
        let variables = generation.variables.iter().filter(|variable| !matches!(variable.origin, Origin::Service(_)));
        variables.map(|variable| (variable.name.clone(), content(variable))).collect()
    };
    let (old, new) = (own(before), own(after));
    let find = |name: &str| old.iter().find(|(known, _)| known == name).map(|(_, content)| content);
    let mut words = Vec::new();
    if before.image != after.image {
        words.push("image".to_owned());
    }
    words.extend(processes(before, after));
    for (name, content) in &new {
        match find(name) {
            None => words.push(format!("+{name}")),
            Some(other) if other != content => words.push(name.clone()),
            Some(_) => {}
        }
    }
    let is_gone = |name: &str| new.iter().all(|(known, _)| known != name);
    words.extend(old.iter().filter(|(name, _)| is_gone(name)).map(|(name, _)| format!("-{name}")));
    words
}

/// Names the processes that are new, changed or gone. It returns nothing if the plan of a generation cannot be read.
fn processes(before: &Generation, after: &Generation) -> Vec<String> {
    let (Ok(before), Ok(after)) = (before.record.plan(), after.record.plan()) else { return Vec::new() };
    let mut words = Vec::new();
    for process in after.processes() {
        match before.process(process.name()) {
            None => words.push(format!("+[{}]", process.name())),
            Some(old) if old.description() != process.description() => words.push(format!("[{}]", process.name())),
            Some(_) => {}
        }
    }
    let gone = before.processes().iter().filter(|process| after.process(process.name()).is_none());
    words.extend(gone.map(|process| format!("-[{}]", process.name())));
    words
}

/// Returns a variable's name, shape and value in the form in which they are sealed. The origin is replaced by a fixed
/// one, so a value that was read from another source does not count as changed.
fn content(variable: &Variable) -> Zeroizing<Vec<u8>> {
    Generation::seal_variables(&[Variable { origin: Origin::Configuration, ..variable.again() }])
}

/// Starts an earlier generation again, with its image, its order and the user's values of that time. Services keep
/// their current credentials, so a revoked credential does not come back.
///
/// # Errors
///
/// Returns an error if the generation is not kept, if its image is gone, or if the start fails. In each case, the
/// running instances stay as they are.
pub(crate) async fn run(request: &RollbackRequest, edge: &Edge) -> Result<Exit, Failure> {
    let known = KnownProject::find(&request.project, edge).await?;
    let work = async |locked: &LockedState<'_>| {
        let (ledger, current) = known.open(locked)?;
        let document = locked.document().ok_or_else(|| RunError::NotStarted { project: known.name.clone() })?;
        let chosen = chosen(&known.name, request.number, document.generations()?)?;
        let chosen = with_its_image(&known.host, chosen, edge).await?;
        let mut start = Start::again(known.host.clone(), ledger, &chosen, edge)?;
        start
            .edge
            .stderr
            .fact("app", &format!("{} ({}) as generation {} was", known.name, start.plan.image(), chosen.number));
        start.run(locked, Some(current)).await.map_err(|failure| failure.behind(&start.edge))
    };
    known.locked(edge, Closed::Refuse, work).await
}

/// Chooses a generation among the kept ones. Without a number, it is the generation before the newest.
fn chosen(project: &str, number: Option<u64>, kept: Vec<Generation>) -> Result<Generation, CommandError> {
    let numbers: Vec<u64> = kept.iter().map(|generation| generation.number).collect();
    let project = || project.to_owned();
    let Some(number) = number else {
        return kept.into_iter().nth(1).ok_or_else(|| CommandError::FirstGeneration { project: project() });
    };
    let found = kept.into_iter().find(|generation| generation.number == number);
    found.ok_or_else(|| CommandError::NoGeneration { project: project(), number, kept: numbers })
}

/// Makes sure that the generation starts with the image that it had. If the image's name stands for another image
/// now, the id is used instead of the name.
async fn with_its_image(host: &Engine, generation: Generation, edge: &Edge) -> Result<Generation, RunError> {
    let Some(id) = generation.image.clone() else { return Ok(generation) };
    let name = generation.record.plan()?.image().to_owned();
    if look(host, &name).await?.is_some_and(|image| image.id.as_deref() == Some(&id)) {
        return Ok(generation);
    }
    if look(host, &id).await?.is_none() {
        return Err(CommandError::ImageGone { number: generation.number, image: id }.into());
    }
    edge.stderr.fact("image", &format!("{id}, because {name} is another one now"));
    let record = generation.record.clone().with_image(&id);
    Ok(Generation { record, ..generation })
}

async fn look(host: &Engine, image: &str) -> Result<Option<ImageInspect>, RunError> {
    match host.docker().inspect_image(image).await {
        Ok(image) => Ok(Some(image)),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(engine(|| format!("look at image {image}"))(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::record::Record;
    use crate::values::delivered::Delivered;
    use crate::values::generation::{Shape, Value};

    fn generation(number: u64, image: &str, variables: &[(&str, &str)]) -> Generation {
        let variable = |(name, value): &(&str, &str)| Variable {
            name: (*name).to_owned(),
            origin: Origin::User(format!("line {number}")),
            shape: Shape::Variable,
            value: Value::Confidential(Delivered::new(Zeroizing::new(value.as_bytes().to_vec()))),
        };
        Generation {
            number,
            created: 0,
            by: None,
            digest: String::new(),
            image: Some(image.to_owned()),
            variables: variables.iter().map(variable).collect(),
            record: Record::default(),
        }
    }

    #[test]
    fn a_change_is_told_by_names() {
        let before = generation(1, "sha256:1", &[("SAME", "a"), ("OTHER", "b"), ("GONE", "c")]);
        let after = generation(2, "sha256:2", &[("SAME", "a"), ("OTHER", "B"), ("NEW", "d")]);
        assert_eq!(changes(&before, &after), ["image", "OTHER", "+NEW", "-GONE"]);
        assert!(changes(&after, &after).is_empty());
    }

    #[test]
    fn the_generation_before_is_chosen_or_the_one_of_a_number() {
        let kept = || vec![generation(7, "i", &[]), generation(5, "i", &[])];
        assert_eq!(chosen("shop", None, kept()).unwrap().number, 5);
        assert_eq!(chosen("shop", Some(7), kept()).unwrap().number, 7);
        assert!(matches!(chosen("shop", Some(6), kept()), Err(CommandError::NoGeneration { .. })));
        assert!(matches!(
            chosen("shop", None, vec![generation(1, "i", &[])]),
            Err(CommandError::FirstGeneration { .. })
        ));
    }
}
