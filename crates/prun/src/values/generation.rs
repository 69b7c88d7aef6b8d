//! A generation: the numbered set of values that instances run with, and its sealed form.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::error::RunError;
use crate::plan::record::Record;
use crate::values::delivered::Delivered;

/// The version of the sealed form. A change of the record in it makes a new version, too.
const VERSION: u32 = 5;
/// The oldest version that is still read. Its record uses other field names, and lacks the folder in which flags were
/// typed. Version 3 still lacks the image, and the variables that are set to the empty text, version 4 who made it.
const OLDEST: u32 = 2;

/// One variable of an instance.
#[derive(Debug)]
pub(crate) struct Variable {
    /// The name.
    pub(crate) name: String,
    /// The origin of the value.
    pub(crate) origin: Origin,
    /// The shape in which the app gets the value.
    pub(crate) shape: Shape,
    /// The value.
    pub(crate) value: Value,
}

/// The origin of a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Origin {
    /// A service; the text is its name.
    Service(String),
    /// The user; the text names the source of the value.
    User(String),
    /// The user, who marked the value as public.
    Configuration,
}

/// The shape in which the app gets a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Shape {
    /// The variable holds the value.
    Variable,
    /// The variable holds the path of a file in memory.
    File,
}

/// A value, public or confidential.
#[derive(Debug)]
pub(crate) enum Value {
    /// A host, a port, or public configuration.
    Public(String),
    /// A value that only the app may have.
    Confidential(Delivered),
}

/// A numbered set of variables.
#[derive(Debug)]
pub(crate) struct Generation {
    /// The generation's number, from 1.
    pub(crate) number: u64,
    /// The time when the generation was made, in seconds since 1970.
    pub(crate) created: u64,
    /// Who made the generation, as `USER@MACHINE`; `None` if version 4 or older sealed it.
    pub(crate) by: Option<String>,
    /// The digest of everything that the generation's instances are made from.
    pub(crate) digest: String,
    /// The variables: first those of services, then the user's secrets, configuration, and composed secrets.
    pub(crate) variables: Vec<Variable>,
    /// The id of the image; `None` if version 3 or older sealed the generation.
    pub(crate) image: Option<String>,
    /// The record of the start that made the generation. It holds the start's order and manifest.
    pub(crate) record: Record,
}

impl Variable {
    /// Copies the variable for another generation.
    #[must_use]
    pub(crate) fn again(&self) -> Self {
        let value = match &self.value {
            Value::Public(text) => Value::Public(text.clone()),
            Value::Confidential(value) => Value::Confidential(value.again()),
        };
        Self { name: self.name.clone(), origin: self.origin.clone(), shape: self.shape, value }
    }
}

impl Generation {
    /// Encodes the generation in its sealed form. The bytes are still plaintext, which the state encrypts.
    #[must_use]
    pub(crate) fn seal(&self) -> Zeroizing<Vec<u8>> {
        seal(Sealed {
            version: VERSION,
            number: self.number,
            created: self.created,
            by: self.by.clone(),
            digest: self.digest.clone(),
            image: self.image.clone(),
            variables: self.variables.iter().map(SealedVariable::of).collect(),
            record: self.record.clone(),
        })
    }

    /// Encodes the variables alone, so that a digest can be made of them.
    #[must_use]
    pub(crate) fn seal_variables(variables: &[Variable]) -> Zeroizing<Vec<u8>> {
        let variables = variables.iter().map(SealedVariable::of).collect();
        seal(Sealed { version: VERSION, variables, ..Sealed::default() })
    }

    /// Decodes what [`Generation::seal`] wrote.
    ///
    /// # Errors
    ///
    /// Returns [`RunError::DamagedState`], which quotes nothing of the text, or [`RunError::NewerState`].
    pub(crate) fn open(bytes: &[u8]) -> Result<Self, RunError> {
        let mut sealed: Sealed = serde_json::from_slice(bytes).map_err(|_| RunError::DamagedState)?;
        match sealed.version {
            OLDEST..=VERSION => {}
            0..OLDEST => return Err(RunError::DamagedState),
            found => return Err(RunError::NewerState { found, known: VERSION }),
        }
        let variables = std::mem::take(&mut sealed.variables).into_iter().map(SealedVariable::open);
        Ok(Self {
            number: sealed.number,
            created: sealed.created,
            by: sealed.by.take(),
            digest: std::mem::take(&mut sealed.digest),
            image: sealed.image.take(),
            variables: variables.collect::<Result<_, _>>()?,
            record: std::mem::take(&mut sealed.record),
        })
    }

    /// Returns the variable of this name.
    #[must_use]
    pub(crate) fn variable(&self, name: &str) -> Option<&Variable> {
        self.variables.iter().find(|variable| variable.name == name)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the sealed values are wiped with it")]
fn seal(sealed: Sealed) -> Zeroizing<Vec<u8>> {
    // The buffer has its final size from the start, because a buffer that grows leaves a copy of its content in freed
    // memory.
    let length: usize = sealed.variables.iter().map(|variable| 256 + 2 * variable.value.len()).sum();
    let mut bytes = Zeroizing::new(Vec::with_capacity(1024 + length));
    serde_json::to_writer(&mut *bytes, &sealed).expect("texts and numbers are JSON");
    bytes
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    version: u32,
    number: u64,
    created: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    digest: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    image: Option<String>,
    variables: Vec<SealedVariable>,
    /// The order and the manifest; version 2 called this field `told`.
    #[serde(alias = "told")]
    record: Record,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SealedVariable {
    name: String,
    origin: Origin,
    shape: Shape,
    value: String,
    confidential: bool,
}

impl SealedVariable {
    #[expect(clippy::disallowed_methods, reason = "door 43: the sealed generation must hold what it is to bring back")]
    fn of(variable: &Variable) -> Self {
        let (value, confidential) = match &variable.value {
            Value::Public(text) => (text.clone(), false),
            Value::Confidential(value) => (STANDARD.encode(value.expose()), true),
        };
        Self {
            name: variable.name.clone(),
            origin: variable.origin.clone(),
            shape: variable.shape,
            value,
            confidential,
        }
    }

    fn open(mut self) -> Result<Variable, RunError> {
        let value = if self.confidential {
            let bytes = STANDARD.decode(&self.value).map_err(|_| RunError::DamagedState)?;
            Value::Confidential(Delivered::new(Zeroizing::new(bytes)))
        } else {
            Value::Public(std::mem::take(&mut self.value))
        };
        let (name, origin) = (std::mem::take(&mut self.name), self.origin.clone());
        Ok(Variable { name, origin, shape: self.shape, value })
    }
}

impl Drop for SealedVariable {
    fn drop(&mut self) {
        self.value.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generation() -> Generation {
        let confidential = |text: &str| Value::Confidential(Delivered::new(Zeroizing::new(text.into())));
        let variable =
            |name: &str, origin, value| Variable { name: name.to_owned(), origin, shape: Shape::Variable, value };
        Generation {
            number: 3,
            created: 1_790_000_000,
            by: Some("deploy@ci".to_owned()),
            digest: "00ff".to_owned(),
            image: Some("sha256:1".to_owned()),
            record: Record::default(),
            variables: vec![
                variable("DB_HOST", Origin::Service("db".to_owned()), Value::Public("db".to_owned())),
                variable("APP_KEY", Origin::User("environment".to_owned()), confidential("xk29-Qmvb-77aa")),
                variable("APP_ENV", Origin::Configuration, Value::Public("test".to_owned())),
            ],
        }
    }

    #[test]
    fn what_was_sealed_opens_to_the_same_bytes() {
        let sealed = generation().seal();
        let opened = Generation::open(&sealed).unwrap();
        assert_eq!(*opened.seal(), *sealed);
        assert_eq!(opened.variable("APP_KEY").unwrap().origin, Origin::User("environment".to_owned()));
    }

    /// A generation that version 2 sealed, with every flag of that time.
    const OF_VERSION_2: &str = include_str!("../../testdata/generation-2.json");

    #[test]
    fn what_version_2_sealed_is_read_and_sealed_anew() {
        let old = Generation::open(OF_VERSION_2.as_bytes()).unwrap();
        assert_eq!((old.number, old.variables.len()), (3, 3));
        let plan = old.record.plan().unwrap();
        assert_eq!((plan.project(), plan.image(), plan.instances()), ("shop", "shop:1.4", 2));
        assert_eq!(plan.first().ports()[0].to_string(), "8080:80");
        let services: Vec<&str> = plan.services().iter().map(|service| service.name.as_str()).collect();
        assert_eq!(services, ["db", "cache", "queue"]);
        assert_eq!(plan.composed()[0].name, "URL");
        let again = Generation::open(&old.seal()).unwrap();
        assert_eq!(again.record, old.record);
        let value: serde_json::Value = serde_json::from_slice(&old.seal()).unwrap();
        assert!(value["version"] == VERSION && value["record"]["order"]["container"]["init"] == true, "{value}");
    }

    #[test]
    fn a_flags_folder_begins_where_it_was_typed_and_in_version_2_where_the_manifest_lies() {
        let mut value: serde_json::Value = serde_json::from_str(OF_VERSION_2).unwrap();
        let source = |value: &serde_json::Value| {
            let generation = Generation::open(value.to_string().as_bytes()).unwrap();
            let plan = generation.record.plan().unwrap();
            format!("{:?}", plan.volumes()[0])
        };
        assert!(source(&value).contains("\"/srv/shop/data\""), "{}", source(&value));
        value["told"]["arguments"]["directory"] = "/home/shop".into();
        assert!(source(&value).contains("\"/home/shop/data\""), "{}", source(&value));
    }

    #[test]
    fn a_cut_generation_is_damaged() {
        let sealed = generation().seal();
        for end in 0..sealed.len() {
            assert!(matches!(Generation::open(&sealed[..end]), Err(RunError::DamagedState)));
        }
    }
}
