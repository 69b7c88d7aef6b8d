//! `prun injected`: shows the variables that instances have. The module also has the words and tables that several
//! lists share.

use std::fmt::Write as _;

use pcredential::Ledger;
use pscreen::Exit;

use crate::edge::{Edge, Failure, now};
use crate::error::RunError;
use crate::error::command::CommandError;
use crate::instance::{self, SeenVariable};
use crate::plan::request::{Choice, InjectedForm, InjectedRequest};
use crate::project::{KnownProject, manifest};
use crate::values::generation::{Origin, Value, Variable};

/// The mask of a secret. It has the same length for all secrets, so it does not reveal theirs.
const MASK: &str = "••••••••";

/// The text in the place of a value that only the build has.
pub(crate) const BUILD_ONLY: &str = "build only, not in the container";

/// Shows the variables of instances with masked values, or prints the value of one variable.
///
/// # Errors
///
/// Returns an error if the project or the variable does not exist.
pub(crate) async fn injected(request: &InjectedRequest, edge: &Edge) -> Result<Exit, Failure> {
    let project = &request.project;
    match &request.form {
        InjectedForm::Value(name) => reveal(&variable(project, name, edge).await?, edge),
        InjectedForm::Table => {
            let (injected, ledger) = variables(project, edge).await?;
            show_table(&injected, &ledger, project, edge)?;
        }
        InjectedForm::Lines => edge.stdout.bytes(lines_of(&variables(project, edge).await?.0).as_bytes()),
        InjectedForm::Json => edge.stdout.bytes(json_of(&variables(project, edge).await?.0).as_bytes()),
    }
    Ok(Exit::Done)
}

/// A variable, and how the app has it.
type InjectedVariable = (Variable, SeenVariable);

/// Reads the variables of the newest generation, and the services that some of them come from.
async fn variables(project: &Choice, edge: &Edge) -> Result<(Vec<InjectedVariable>, Ledger), Failure> {
    let known = KnownProject::find(project, edge).await?;
    let document = edge.cancellation.unless_cancelled(known.read()).await??;
    match document.generation()? {
        Some(generation) => {
            let deliver = generation.record.plan().map_err(RunError::from)?.deliver();
            let with_look = |variable: Variable| {
                let seen = instance::seen_by_app(&variable, deliver);
                (variable, seen)
            };
            Ok((generation.variables.into_iter().map(with_look).collect(), document.ledger()?))
        }
        None => Err(RunError::NotStarted { project: known.name }.into()),
    }
}

/// Finds one variable whose value the user asks for.
///
/// # Errors
///
/// Returns an error if the project or the variable does not exist, or if this user is not an operator of the project.
pub(crate) async fn variable(project: &Choice, name: &str, edge: &Edge) -> Result<Variable, Failure> {
    let known = KnownProject::find(project, edge).await?;
    let document = edge.cancellation.unless_cancelled(known.read_own()).await??;
    let Some(generation) = document.generation()? else {
        return Err(RunError::NotStarted { project: known.name }.into());
    };
    let deliver = generation.record.plan().map_err(RunError::from)?.deliver();
    let by_app = || generation.variables.iter().find(|one| instance::seen_by_app(one, deliver).name == name);
    let found = generation.variable(name).or_else(by_app).map(Variable::again);
    found.ok_or_else(|| CommandError::NoVariable { name: name.to_owned() }.into())
}

fn show_table(variables: &[InjectedVariable], ledger: &Ledger, choice: &Choice, edge: &Edge) -> Result<(), Failure> {
    let mut rows = vec![["NAME", "FROM", "VALUE"].map(str::to_owned)];
    rows.extend(variables.iter().map(|(variable, seen)| row(variable, seen, ledger)));
    // Secrets of the build are listed, too, so that a user sees that they are missing on purpose. Only the manifest
    // names them.
    if let Some(found) = manifest(choice.config.as_deref())? {
        let build_only = found.manifest.secrets.iter().filter(|secret| !secret.in_run());
        rows.extend(build_only.map(|secret| [secret.name.clone(), "–".to_owned(), BUILD_ONLY.to_owned()]));
    }
    edge.stdout.bytes(table(&rows).as_bytes());
    Ok(())
}

/// Writes each public variable as `NAME=VALUE`, and each confidential one as a comment without its value.
fn lines_of(variables: &[InjectedVariable]) -> String {
    let line = |(variable, seen): &InjectedVariable| match (&variable.value, &seen.path) {
        (_, Some(path)) => format!("{}={path}\n", seen.name),
        (Value::Public(text), None) => format!("{}={}\n", variable.name, pscreen::one_line(text)),
        (Value::Confidential(value), None) => {
            format!("# {}: {} characters; prun injected --reveal {}\n", variable.name, value.len(), variable.name)
        }
    };
    variables.iter().map(line).collect()
}

/// Writes JSON of version 1: `variables` with `name`, `from`, `source`, `confidential`, `value` or `length`, and `file`.
fn json_of(variables: &[InjectedVariable]) -> String {
    let one = |(variable, seen): &InjectedVariable| {
        let (from, source) = match &variable.origin {
            Origin::Service(name) => ("service", name.as_str()),
            Origin::User(source) => ("user", source.as_str()),
            Origin::Configuration => ("configuration", ""),
        };
        let mut object = match &variable.value {
            Value::Public(text) => serde_json::json!({
                "name": seen.name, "from": from, "source": source, "confidential": false, "value": text,
            }),
            Value::Confidential(value) => serde_json::json!({
                "name": seen.name, "from": from, "source": source, "confidential": true, "length": value.len(),
            }),
        };
        if let Some(path) = &seen.path {
            object["file"] = path.as_str().into();
        }
        object
    };
    let variables: Vec<serde_json::Value> = variables.iter().map(one).collect();
    format!("{:#}\n", serde_json::json!({ "version": 1, "variables": variables }))
}

#[expect(clippy::disallowed_methods, reason = "door 48: somebody asked to see this one value")]
fn reveal(variable: &Variable, edge: &Edge) {
    match &variable.value {
        Value::Public(text) => edge.stdout.bytes(text.as_bytes()),
        Value::Confidential(value) => edge.stdout.bytes(value.expose()),
    }
    edge.stdout.bytes(b"\n");
}

fn row(variable: &Variable, seen: &SeenVariable, ledger: &Ledger) -> [String; 3] {
    let from = from(&variable.origin);
    let value = match (&variable.value, &variable.origin) {
        (Value::Public(text), _) => pscreen::one_line(text),
        (Value::Confidential(value), _) if seen.path.is_some() => {
            format!("{}  (a file of {} characters)", seen.path.as_deref().unwrap_or_default(), value.len())
        }
        (Value::Confidential(value), Origin::Service(service)) => {
            let age = ledger.service(service).map(|service| age(now().saturating_sub(service.created())));
            format!("{MASK}  ({} characters, {})", value.len(), age.unwrap_or_default())
        }
        (Value::Confidential(value), _) => format!("{MASK}  ({} characters)", value.len()),
    };
    [seen.name.clone(), from, value]
}

/// Describes where a variable comes from.
#[must_use]
pub(crate) fn from(origin: &Origin) -> String {
    match origin {
        Origin::Service(name) => name.clone(),
        Origin::User(source) => format!("you ({source})"),
        Origin::Configuration => "[env]".to_owned(),
    }
}

/// Writes a JSON document as programs get it, with a line end.
#[must_use]
pub(crate) fn document(document: &serde_json::Value) -> String {
    format!("{document:#}\n")
}

/// Describes how long ago something happened.
#[must_use]
pub(crate) fn ago(seconds: u64) -> String {
    match units(seconds) {
        None => "just now".to_owned(),
        Some((count, unit)) => format!("{} ago", pscreen::words::counted(count, unit)),
    }
}

/// Chooses the largest unit of which the time has at least one. Returns `None` for less than a minute.
fn units(seconds: u64) -> Option<(u64, &'static str)> {
    match seconds {
        0..60 => None,
        60..3600 => Some((seconds / 60, "minute")),
        3600..86400 => Some((seconds / 3600, "hour")),
        _ => Some((seconds / 86400, "day")),
    }
}

/// Describes how old something is.
#[must_use]
pub(crate) fn age(seconds: u64) -> String {
    match units(seconds) {
        None => "made just now".to_owned(),
        Some((count, unit)) => format!("{} old", pscreen::words::counted(count, unit)),
    }
}

/// Aligns columns. The last column may have any length, and a column without any content is left out.
pub(crate) fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let used: Vec<usize> = (0..N).filter(|column| rows.iter().skip(1).any(|row| !row[*column].is_empty())).collect();
    let widths: Vec<usize> =
        (0..N).map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for column in &used {
            // Writing to a string cannot fail.
            let _ = write!(line, "{:<width$}   ", row[*column], width = widths[*column]);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_said_in_the_largest_whole_unit_and_a_clock_that_jumped_back_is_now_c18() {
        // A creation time in the future, as after a clock was set back, counts as age 0.
        assert_eq!(age(0_u64.saturating_sub(4_102_444_800)), "made just now");
        assert_eq!(age(4_102_444_800), "47482 days old");
        assert_eq!(age(3), "made just now");
        assert_eq!(age(60), "1 minute old");
        assert_eq!(age(3 * 86400 + 5), "3 days old");
        assert_eq!(age(7199), "1 hour old");
    }

    #[test]
    fn columns_line_up_and_empty_ones_are_left_out() {
        let rows = [["NAME", "EMPTY", "VALUE"], ["A", "", "••"], ["LONGER", "", "x"]].map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows), "NAME     VALUE\nA        ••\nLONGER   x\n");
    }
}
