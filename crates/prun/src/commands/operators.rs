//! `prun operators`: lists, adds and removes those who may open and change the state of a project.

use pscreen::Exit;
use pvault::Recipient;

use crate::commands::show;
use crate::edge::{Edge, Failure, now};
use crate::error::RunError;
use crate::plan::request::{Choice, ListForm, ListRequest, OperatorsRequest};
use crate::project::KnownProject;
use crate::state::caller::Caller;
use crate::state::document::{Document, Operator};
use crate::state::error::StateError;
use crate::state::{Closed, LockedState};

/// Carries out a request.
///
/// # Errors
///
/// Returns an error if the project does not exist, if this user is not an operator of it, or if the engine refuses a
/// request.
pub(crate) async fn run(request: &OperatorsRequest, edge: &Edge) -> Result<Exit, Failure> {
    match request {
        OperatorsRequest::List(project) => list(project, edge).await,
        OperatorsRequest::Key => {
            let identity = Caller::of_process(None).identity_or_new()?;
            edge.stdout.line(&identity.recipient().to_string());
            Ok(Exit::Done)
        }
        OperatorsRequest::Add { project, name, key } => {
            let parsed: Recipient =
                key.parse().map_err(|_| RunError::from(StateError::NotAKey { text: key.clone() }))?;
            let key = parsed.to_string();
            change(project, edge, |document, by| add(document, name, &key, by)).await?;
            edge.stderr.fact("operator", &format!("{name} may now start, look at and change the project"));
            Ok(Exit::Done)
        }
        OperatorsRequest::Remove { project, name } => {
            change(project, edge, |document, _| remove(document, name)).await?;
            edge.stderr.fact("removed", &format!("{name} cannot open the state any more"));
            let text = "what was known before stays known: rotate the credentials of services, and change the secrets";
            edge.stderr.warning(text);
            Ok(Exit::Done)
        }
    }
}

async fn list(request: &ListRequest, edge: &Edge) -> Result<Exit, Failure> {
    let known = KnownProject::find(&request.project, edge).await?;
    let document = known.read().await?;
    let text = match request.form {
        ListForm::Table => {
            edge.stderr.fact("project", &format!("{}, id {}", known.name, document.owner));
            let mut rows = vec![["NAME", "KEY", "ADDED", "BY"].map(str::to_owned)];
            rows.extend(document.operators.iter().map(|operator| {
                let added = show::ago(now().saturating_sub(operator.added));
                [operator.name.clone(), operator.recipient.clone(), added, operator.by.clone()]
            }));
            show::table(&rows)
        }
        ListForm::Json => {
            let operator = |operator: &Operator| {
                let Operator { name, recipient, added, by } = operator;
                serde_json::json!({ "name": name, "key": recipient, "added": added, "by": by })
            };
            let operators: Vec<serde_json::Value> = document.operators.iter().map(operator).collect();
            let (project, id) = (&known.name, &document.owner);
            let list = serde_json::json!({ "version": 1, "project": project, "id": id, "operators": operators });
            show::document(&list)
        }
    };
    edge.stdout.bytes(text.as_bytes());
    Ok(Exit::Done)
}

/// Changes the list of operators in the state, under the project's lock.
async fn change(
    project: &Choice,
    edge: &Edge,
    work: impl FnOnce(&mut Document, &str) -> Result<(), StateError>,
) -> Result<(), Failure> {
    let known = KnownProject::find(project, edge).await?;
    let by = known.state.caller().holder.name.clone();
    let work = async |locked: &LockedState<'_>| {
        let mut document = locked.document().ok_or_else(|| RunError::NotStarted { project: known.name.clone() })?;
        work(&mut document, &by).map_err(RunError::from)?;
        Ok(locked.write(document).await?)
    };
    known.locked(edge, Closed::Refuse, work).await
}

/// The longest name of an operator, in bytes.
const LONGEST_NAME: usize = 64;

fn add(document: &mut Document, name: &str, key: &str, by: &str) -> Result<(), StateError> {
    let is_plain = |letter: char| letter.is_alphanumeric() || "@._-+ ".contains(letter);
    if name.trim() != name || name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(is_plain) {
        return Err(StateError::OperatorName);
    }
    let taken = document.operators.iter().find(|operator| operator.name == name || operator.recipient == key);
    if let Some(taken) = taken {
        return Err(StateError::OperatorExists { project: document.project.clone(), name: taken.name.clone() });
    }
    let (name, recipient, by) = (name.to_owned(), key.to_owned(), by.to_owned());
    document.operators.push(Operator { name, recipient, added: now(), by });
    Ok(())
}

fn remove(document: &mut Document, name: &str) -> Result<(), StateError> {
    let project = document.project.clone();
    if document.operators.iter().all(|operator| operator.name == name) {
        return Err(StateError::LastOperator { project, name: name.to_owned() });
    }
    if !document.remove_operator(name) {
        let known = document.operators.iter().map(|operator| operator.name.clone()).collect();
        return Err(StateError::NoOperator { project, name: name.to_owned(), known });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use pcredential::Ledger;

    use super::*;

    fn document() -> Document {
        Document::new(&Ledger::new("shop"), "one@host", "age1one")
    }

    #[test]
    fn the_last_operator_stays_and_nobody_comes_twice() {
        let mut document = document();
        assert!(matches!(remove(&mut document, "one@host"), Err(StateError::LastOperator { .. })));
        add(&mut document, "ci", "age1ci", "one@host").unwrap();
        for (name, key) in [("ci", "age1other"), ("other", "age1ci")] {
            assert!(matches!(add(&mut document, name, key, "ci"), Err(StateError::OperatorExists { .. })));
        }
        for name in ["", " a", "a\nb", "a\tb", &"a".repeat(65)] {
            assert!(matches!(add(&mut document, name, "age1new", "ci"), Err(StateError::OperatorName)), "{name:?}");
        }
        assert!(matches!(remove(&mut document, "nobody"), Err(StateError::NoOperator { .. })));
        remove(&mut document, "one@host").unwrap();
        assert_eq!(document.operators.len(), 1);
    }
}
