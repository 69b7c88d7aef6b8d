//! `prun injected`: shows the variables that instances have; and the words and tables that lists share.

use std::fmt::Write as _;

use pcredential::Ledger;
use pscreen::Exit;

use crate::edge::{Edge, Failure, now};
use crate::error::RunError;
use crate::error::command::CommandError;
use crate::plan::request::{Choice, InjectedForm, InjectedRequest};
use crate::project::{KnownProject, manifest};
use crate::values::generation::{Origin, Value, Variable};

/// The mask of a secret. It has one length for all secrets, so that it gives nothing away.
const MASK: &str = "••••••••";

/// Shows the variables of instances with masked values, or prints one value.
///
/// # Errors
///
/// When the project or the variable does not exist.
pub(crate) async fn injected(request: &InjectedRequest, edge: &Edge) -> Result<Exit, Failure> {
    let known = KnownProject::find(&request.project, edge).await?;
    let document = match &request.form {
        InjectedForm::Value(_) => edge.cancellation.unless_cancelled(known.read_own()).await??,
        InjectedForm::Table | InjectedForm::Lines | InjectedForm::Json => {
            edge.cancellation.unless_cancelled(known.read()).await??
        }
    };
    let ledger = document.ledger()?;
    let Some(generation) = document.generation()? else {
        return Err(RunError::NotStarted { project: known.name }.into());
    };
    match &request.form {
        InjectedForm::Table => show_table(&generation.variables, &ledger, &request.project, edge)?,
        InjectedForm::Lines => edge.stdout.bytes(lines_of(&generation.variables).as_bytes()),
        InjectedForm::Json => edge.stdout.bytes(json_of(&generation.variables).as_bytes()),
        InjectedForm::Value(name) => match generation.variable(name) {
            Some(variable) => reveal(variable, edge),
            None => return Err(CommandError::NoVariable { name: name.clone() }.into()),
        },
    }
    Ok(Exit::Done)
}

fn show_table(variables: &[Variable], ledger: &Ledger, choice: &Choice, edge: &Edge) -> Result<(), Failure> {
    let mut rows = vec![["NAME", "FROM", "VALUE"].map(str::to_owned)];
    rows.extend(variables.iter().map(|variable| row(variable, ledger)));
    // The secrets of the build are listed to say that they are missing on purpose. Only the manifest names them.
    if let Some(found) = manifest(choice.config.as_deref())? {
        let build_only = found.manifest.secrets.iter().filter(|secret| !secret.in_run());
        rows.extend(
            build_only
                .map(|secret| [secret.name.clone(), "–".to_owned(), "build only, not in the container".to_owned()]),
        );
    }
    edge.stdout.bytes(table(&rows).as_bytes());
    Ok(())
}

/// Writes lines of NAME=VALUE; a confidential variable is a comment.
fn lines_of(variables: &[Variable]) -> String {
    let line = |variable: &Variable| match &variable.value {
        Value::Public(text) => format!("{}={}\n", variable.name, pscreen::one_line(text)),
        Value::Confidential(value) => {
            format!("# {}: {} characters; prun injected --reveal {}\n", variable.name, value.len(), variable.name)
        }
    };
    variables.iter().map(line).collect()
}

/// Writes contract version 1: `variables` with `name`, `from`, `source`, `confidential`, and `value` or `length`.
fn json_of(variables: &[Variable]) -> String {
    let one = |variable: &Variable| {
        let (from, source) = match &variable.origin {
            Origin::Service(name) => ("service", name.as_str()),
            Origin::User(source) => ("user", source.as_str()),
            Origin::Configuration => ("configuration", ""),
        };
        match &variable.value {
            Value::Public(text) => serde_json::json!({
                "name": variable.name, "from": from, "source": source, "confidential": false, "value": text,
            }),
            Value::Confidential(value) => serde_json::json!({
                "name": variable.name, "from": from, "source": source, "confidential": true, "length": value.len(),
            }),
        }
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

fn row(variable: &Variable, ledger: &Ledger) -> [String; 3] {
    let from = match &variable.origin {
        Origin::Service(name) => name.clone(),
        Origin::User(source) => format!("you ({source})"),
        Origin::Configuration => "[env]".to_owned(),
    };
    let value = match (&variable.value, &variable.origin) {
        (Value::Public(text), _) => pscreen::one_line(text),
        (Value::Confidential(value), Origin::Service(service)) => {
            let age = ledger.service(service).map(|service| age(now().saturating_sub(service.created())));
            format!("{MASK}  ({} characters, {})", value.len(), age.unwrap_or_default())
        }
        (Value::Confidential(value), _) => format!("{MASK}  ({} characters)", value.len()),
    };
    [variable.name.clone(), from, value]
}

/// Puts a moment in the past into words.
#[must_use]
pub(crate) fn ago(seconds: u64) -> String {
    match units(seconds) {
        None => "just now".to_owned(),
        Some((count, unit)) => format!("{} ago", pscreen::words::counted(count, unit)),
    }
}

/// Chooses the largest unit of which the time has at least one.
fn units(seconds: u64) -> Option<(u64, &'static str)> {
    match seconds {
        0..60 => None,
        60..3600 => Some((seconds / 60, "minute")),
        3600..86400 => Some((seconds / 3600, "hour")),
        _ => Some((seconds / 86400, "day")),
    }
}

/// Puts an age into words.
#[must_use]
pub(crate) fn age(seconds: u64) -> String {
    match units(seconds) {
        None => "made just now".to_owned(),
        Some((count, unit)) => format!("{} old", pscreen::words::counted(count, unit)),
    }
}

/// Aligns columns. The last one may have any length, and a column without content is left out.
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
        // A credential from the future, as after a change of the clock's battery, has the age 0.
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
