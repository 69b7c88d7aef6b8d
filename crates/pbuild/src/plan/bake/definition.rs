//! The definition of targets and groups that `buildx bake --print` prints.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::plan::comma_separated;

/// The reasons why a definition is not supported. No message quotes a value.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DefinitionError {
    /// The output of buildx is not a definition.
    #[error("`buildx bake --print` printed no definition that pbuild can read")]
    Json(#[source] serde_json::Error),
    /// There is no target to build.
    #[error("there is no target to build")]
    Nothing,
    /// A target has an attribute that pbuild does not know.
    #[error("target {target}: pbuild does not know the attribute {name:?}")]
    Unknown {
        /// The target.
        target: String,
        /// The attribute.
        name: String,
    },
    /// An attribute's value has the wrong type.
    #[error("target {target}: {name} is not what bake takes")]
    Kind {
        /// The target.
        target: String,
        /// The attribute.
        name: &'static str,
    },
    /// A target builds on another target that does not exist.
    #[error("there is no target {target}, and another one builds on it")]
    Absent {
        /// The target.
        target: String,
    },
    /// A target builds on itself, possibly through other targets.
    #[error("target {target} builds on itself")]
    Circle {
        /// The target.
        target: String,
    },
    /// A folder of a fetched bake file has no address of its own.
    #[error("target {target}: pbuild cannot take the folder {place:?} from the address of the bake file")]
    RemoteFolder {
        /// The target.
        target: String,
        /// The folder.
        place: String,
    },
    /// A target's Dockerfile is an address.
    #[error("target {target}: a Dockerfile from an address is not supported")]
    RemoteDockerfile {
        /// The target.
        target: String,
    },
}

/// The groups and the targets.
#[derive(Debug, Deserialize)]
pub(super) struct Definition {
    #[serde(default)]
    group: BTreeMap<String, GroupDefinition>,
    #[serde(default)]
    target: BTreeMap<String, Map<String, Value>>,
}

#[derive(Debug, Deserialize)]
struct GroupDefinition {
    #[serde(default)]
    targets: Vec<String>,
}

/// The name of the group that holds all requested targets.
const ASKED_FOR: &str = "default";

impl Definition {
    /// Reads the output of buildx.
    pub(super) fn read(printed: &[u8]) -> Result<Self, DefinitionError> {
        serde_json::from_slice(printed).map_err(DefinitionError::Json)
    }

    /// Lists the requested targets. The definition also has targets that are only inner targets of others; those are
    /// left out, because the outer target builds them.
    pub(super) fn requested(&self) -> Result<Vec<&str>, DefinitionError> {
        let Self { group, target } = self;
        let mut names = BTreeSet::new();
        let mut open = vec![ASKED_FOR];
        let mut seen = BTreeSet::new();
        while let Some(name) = open.pop() {
            match group.get(name) {
                // A group may have the name of one of its own targets.
                Some(members) if seen.insert(name) => {
                    open.extend(members.targets.iter().map(String::as_str));
                }
                _ => drop(names.insert(name)),
            }
        }
        let targets = target.keys().map(String::as_str).filter(|name| group.is_empty() || names.contains(name));
        let targets: Vec<&str> = targets.collect();
        if targets.is_empty() { Err(DefinitionError::Nothing) } else { Ok(targets) }
    }

    /// Returns the attributes of a target.
    pub(super) fn attributes<'n>(&self, name: &'n str) -> Result<Attributes<'n>, DefinitionError> {
        let absent = || DefinitionError::Absent { target: name.to_owned() };
        Ok(Attributes::new(name, self.target.get(name).ok_or_else(absent)?.clone()))
    }
}

/// The attributes of one target. Each attribute is taken once; an attribute that is left at the end is unknown.
pub(super) struct Attributes<'a> {
    pub(super) target: &'a str,
    left: Map<String, Value>,
}

impl<'a> Attributes<'a> {
    pub(super) fn new(target: &'a str, attributes: Map<String, Value>) -> Self {
        Self { target, left: attributes }
    }

    fn kind(&self, name: &'static str) -> DefinitionError {
        DefinitionError::Kind { target: self.target.to_owned(), name }
    }

    fn take(&mut self, name: &'static str) -> Option<Value> {
        self.left.remove(name).filter(|value| !value.is_null())
    }

    /// Takes a string; `None` if the attribute is missing.
    pub(super) fn text(&mut self, name: &'static str) -> Result<Option<String>, DefinitionError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.kind(name)),
        }
    }

    /// Takes a truth value; false if the attribute is missing.
    pub(super) fn truth(&mut self, name: &'static str) -> Result<bool, DefinitionError> {
        match self.take(name) {
            None => Ok(false),
            Some(Value::Bool(value)) => Ok(value),
            Some(_) => Err(self.kind(name)),
        }
    }

    /// Takes a list of strings.
    pub(super) fn texts(&mut self, name: &'static str) -> Result<Vec<String>, DefinitionError> {
        let values = self.list(name)?;
        let text = |value| match value {
            Value::String(text) => Ok(text),
            _ => Err(self.kind(name)),
        };
        values.into_iter().map(text).collect()
    }

    /// Takes a list of specifications, each of which bake prints as an object or in docker's spelling. Returns them
    /// in docker's spelling.
    pub(super) fn specifications(&mut self, name: &'static str) -> Result<Vec<String>, DefinitionError> {
        let values = self.list(name)?;
        let word = |value| match value {
            Value::String(text) => Ok(text),
            Value::Object(pairs) => specification(pairs).ok_or_else(|| self.kind(name)),
            _ => Err(self.kind(name)),
        };
        values.into_iter().map(word).collect()
    }

    /// Takes a list of any values.
    pub(super) fn list(&mut self, name: &'static str) -> Result<Vec<Value>, DefinitionError> {
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(values)) => Ok(values),
            Some(_) => Err(self.kind(name)),
        }
    }

    /// Takes a map of strings. A name without a value is left out, as bake does it.
    pub(super) fn map(&mut self, name: &'static str) -> Result<Vec<(String, String)>, DefinitionError> {
        let entries = match self.take(name) {
            None => Map::new(),
            Some(Value::Object(entries)) => entries,
            Some(_) => return Err(self.kind(name)),
        };
        let entry = |(key, value)| match value {
            Value::String(text) => Some(Ok((key, text))),
            Value::Null => None,
            _ => Some(Err(self.kind(name))),
        };
        entries.into_iter().filter_map(entry).collect()
    }

    /// Returns an error if an attribute was not taken, because without it pbuild would build something else.
    pub(super) fn end(self) -> Result<(), DefinitionError> {
        match self.left.into_iter().next() {
            None => Ok(()),
            Some((name, _)) => Err(DefinitionError::Unknown { target: self.target.to_owned(), name }),
        }
    }
}

/// Writes an object in docker's spelling, the type first: `type=local,dest=out`.
fn specification(mut pairs: Map<String, Value>) -> Option<String> {
    let kind = pairs.remove("type").map(|kind| ("type".to_owned(), kind));
    let pair = |(name, value): (String, Value)| {
        let value = match value {
            Value::String(text) => text,
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            _ => return None,
        };
        Some(comma_separated::field(&format!("{name}={value}")))
    };
    let words: Option<Vec<String>> = kind.into_iter().chain(pairs).map(pair).collect();
    words.map(|words| words.join(","))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn requested(definition: Value) -> Result<Vec<String>, String> {
        let definition = Definition::read(definition.to_string().as_bytes()).map_err(|error| error.to_string())?;
        let names = definition.requested().map_err(|error| error.to_string())?;
        Ok(names.into_iter().map(str::to_owned).collect())
    }

    #[test]
    fn groups_lead_to_their_targets_and_a_target_that_is_only_built_upon_is_left_out() {
        let target = json!({"context": "."});
        let targets = json!({"a": target, "b-1": target, "b-2": target, "base": target});
        let groups = json!({"default": {"targets": ["a", "b"]}, "b": {"targets": ["b-1", "b-2"]}});
        assert_eq!(
            requested(json!({"group": groups, "target": targets})),
            Ok(vec!["a".into(), "b-1".into(), "b-2".into()])
        );
        let own = json!({"default": {"targets": ["default"]}});
        assert_eq!(requested(json!({"group": own, "target": {"default": target}})), Ok(vec!["default".into()]));
        assert_eq!(requested(json!({"target": {}})), Err("there is no target to build".to_owned()));
        assert!(requested(json!([])).is_err());
    }

    #[test]
    fn an_attribute_that_nobody_takes_is_named() {
        let definition = json!({"target": {"web": {"policy": [], "tags": "x"}}});
        let definition = Definition::read(definition.to_string().as_bytes()).unwrap();
        let mut web = definition.attributes("web").unwrap();
        assert_eq!(web.texts("tags").unwrap_err().to_string(), "target web: tags is not what bake takes");
        let error = web.end().unwrap_err().to_string();
        assert_eq!(error, "target web: pbuild does not know the attribute \"policy\"");
        assert!(definition.attributes("api").is_err());
    }

    #[test]
    fn objects_become_docker_s_words() {
        let mut attributes = Map::new();
        attributes.insert(
            "output".into(),
            json!([{"dest": "a,b", "type": "local"}, "type=docker", {"type": "image", "push": true}]),
        );
        let mut attributes = Attributes::new("web", attributes);
        let words = attributes.specifications("output").unwrap();
        assert_eq!(words, ["type=local,\"dest=a,b\"", "type=docker", "type=image,push=true"]);
        assert!(attributes.end().is_ok());
    }
}
