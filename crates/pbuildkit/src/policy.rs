//! Source policies: the rules that allow, deny or replace the images, repositories and URLs of a build.
//!
//! The format is BuildKit's (`sourcepolicy/pb/policy.proto`, `json.go`): a JSON object with `rules`. Values of
//! enumerations are words in upper case, or numbers.

use std::collections::{BTreeMap, HashMap};

use bollard_buildkit_proto::moby::buildkit::v1::sourcepolicy as proto;
use serde::{Deserialize, Deserializer};

/// A policy that is applied to every source of a build, including those of the frontend.
#[derive(Clone, Debug)]
pub struct SourcePolicy(pub(crate) proto::Policy);

/// The error for a text that is not a source policy.
#[derive(Debug, thiserror::Error)]
#[error("{problem} at line {line}, column {column}")]
pub struct PolicyError {
    problem: String,
    line: usize,
    column: usize,
}

impl SourcePolicy {
    /// Reads a policy. A key or a word that BuildKit does not know is an error, because a rule without it would be
    /// weaker than its author meant.
    ///
    /// # Errors
    ///
    /// Returns a [`PolicyError`] with the line and the column.
    pub fn parse(text: &[u8]) -> Result<Self, PolicyError> {
        let policy: Policy = serde_json::from_slice(text).map_err(|error| {
            let whole = error.to_string();
            let problem = whole.split(" at line ").next().unwrap_or_default().to_owned();
            PolicyError { problem, line: error.line(), column: error.column() }
        })?;
        Ok(Self(policy.into()))
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Policy {
    version: i64,
    rules: Vec<Rule>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Rule {
    #[serde(deserialize_with = "word::<_, proto::PolicyAction>")]
    action: i32,
    selector: Option<Selector>,
    updates: Option<Updates>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Selector {
    identifier: String,
    #[serde(alias = "matchType", deserialize_with = "word::<_, proto::MatchType>")]
    match_type: i32,
    constraints: Vec<Constraint>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Constraint {
    key: String,
    value: String,
    #[serde(deserialize_with = "word::<_, proto::AttrMatch>")]
    condition: i32,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Updates {
    identifier: String,
    attrs: BTreeMap<String, String>,
}

/// An enumeration whose values are BuildKit's words.
trait Words: TryFrom<i32> + Into<i32> {
    const EXPECTED: &str;

    fn of(word: &str) -> Option<Self>;
}

macro_rules! words {
    ($($enumeration:ident: $expected:literal),* $(,)?) => {$(
        impl Words for proto::$enumeration {
            const EXPECTED: &str = $expected;

            fn of(word: &str) -> Option<Self> {
                Self::from_str_name(word)
            }
        }
    )*};
}

words! {
    PolicyAction: "ALLOW, DENY or CONVERT",
    MatchType: "WILDCARD, EXACT or REGEX",
    AttrMatch: "EQUAL, NOTEQUAL or MATCHES",
}

fn word<'de, D: Deserializer<'de>, W: Words>(deserializer: D) -> Result<i32, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Word(String),
        Number(i32),
    }
    let written = Written::deserialize(deserializer)?;
    let known = match &written {
        Written::Word(word) => W::of(word),
        Written::Number(number) => W::try_from(*number).ok(),
    };
    known.map(Into::into).ok_or_else(|| serde::de::Error::custom(format!("a word is needed: {}", W::EXPECTED)))
}

impl From<Policy> for proto::Policy {
    fn from(policy: Policy) -> Self {
        let constraint = |constraint: Constraint| proto::AttrConstraint {
            key: constraint.key,
            value: constraint.value,
            condition: constraint.condition,
        };
        let selector = |selector: Selector| proto::Selector {
            identifier: selector.identifier,
            match_type: selector.match_type,
            constraints: selector.constraints.into_iter().map(constraint).collect(),
        };
        let updates = |updates: Updates| proto::Update {
            identifier: updates.identifier,
            attrs: updates.attrs.into_iter().collect::<HashMap<_, _>>(),
        };
        let rule = |rule: Rule| proto::Rule {
            action: rule.action,
            selector: rule.selector.map(selector),
            updates: rule.updates.map(updates),
        };
        Self { version: policy.version, rules: policy.rules.into_iter().map(rule).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_numbers_of_buildkit_are_read() {
        let text = br#"{"version": 1, "rules": [
            {"action": "DENY", "selector": {"identifier": "docker-image://*", "match_type": "WILDCARD"}},
            {"action": 2, "selector": {"identifier": "x", "matchType": "EXACT",
             "constraints": [{"key": "k", "value": "v", "condition": "NOTEQUAL"}]},
             "updates": {"identifier": "y", "attrs": {"http.checksum": "sha256:0"}}}]}"#;
        let policy = SourcePolicy::parse(text).unwrap().0;
        assert_eq!((policy.version, policy.rules[0].action), (1, proto::PolicyAction::Deny.into()));
        let converted = &policy.rules[1];
        assert_eq!(converted.action, i32::from(proto::PolicyAction::Convert));
        let selector = converted.selector.as_ref().unwrap();
        assert_eq!(selector.match_type, i32::from(proto::MatchType::Exact));
        assert_eq!(selector.constraints[0].condition, i32::from(proto::AttrMatch::Notequal));
        assert_eq!(converted.updates.as_ref().unwrap().attrs["http.checksum"], "sha256:0");
        assert!(SourcePolicy::parse(b"{}").unwrap().0.rules.is_empty());
    }

    #[test]
    fn what_would_count_for_less_than_it_says_is_an_error_with_its_place() {
        for (text, told) in [
            (&b"{\"rules\": [\n{\"action\": \"FORBID\"}]}"[..], "ALLOW, DENY or CONVERT at line 2"),
            (b"{\"rules\": [{\"action\": 9}]}", "ALLOW, DENY or CONVERT"),
            (b"{\"rule\": []}", "unknown field `rule`"),
            (b"{\"rules\": [{\"action\": \"DENY\", \"selectors\": {}}]}", "unknown field `selectors`"),
            (b"{\"rules\": [", "EOF"),
            (b"", "EOF"),
        ] {
            let error = SourcePolicy::parse(text).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }
}
