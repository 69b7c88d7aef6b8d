//! The set of values that instances run with.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pcredential::Ledger;
use psecret::{Redactor, RedactorBuilder, SecretError};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::error::RunError;
use crate::plan::told::Told;
use crate::values::delivered::Delivered;

/// The version of the sealed form.
const VERSION: u32 = 2;

/// One variable of an instance.
#[derive(Debug)]
pub struct Variable {
    /// The name.
    pub name: String,
    /// Who made the value.
    pub origin: Origin,
    /// How the app gets it.
    pub shape: Shape,
    /// The value.
    pub value: Value,
}

/// Who made a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// A service of this name.
    Service(String),
    /// The user; the text says from where.
    User(String),
    /// The user, marked public.
    Configuration,
}

/// How the app gets a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// The variable holds it.
    Variable,
    /// The variable holds the path of a file in memory.
    File,
}

/// A value that is secret or is not.
#[derive(Debug)]
pub enum Value {
    /// A host, a port, public configuration.
    Public(String),
    /// A value that only the app may see.
    Confidential(Delivered),
}

/// A numbered set of variables.
#[derive(Debug)]
pub struct Generation {
    /// Its number, from 1.
    pub number: u64,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// What it was made of, without telling anything about it.
    pub digest: String,
    /// The variables, in the order of their origins.
    pub variables: Vec<Variable>,
    /// What the start was told that made it.
    pub told: Told,
}

impl Variable {
    /// The same variable for another generation.
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
    /// Writes it as it goes into a sealed file.
    #[must_use]
    pub fn seal(&self) -> Zeroizing<Vec<u8>> {
        seal(self.number, self.created, &self.digest, &self.variables, &self.told)
    }

    /// The variables alone in that form, to make a digest of.
    #[must_use]
    pub fn seal_variables(variables: &[Variable]) -> Zeroizing<Vec<u8>> {
        seal(0, 0, "", variables, &Told::default())
    }

    /// Reads what [`Generation::seal`] wrote.
    ///
    /// # Errors
    ///
    /// [`RunError::DamagedState`], which says nothing of what was read.
    pub fn open(bytes: &[u8]) -> Result<Self, RunError> {
        let mut sealed: Sealed = serde_json::from_slice(bytes).map_err(|_| RunError::DamagedState)?;
        if sealed.version != VERSION {
            return Err(RunError::DamagedState);
        }
        let variables = std::mem::take(&mut sealed.variables).into_iter().map(SealedVariable::open);
        Ok(Self {
            number: sealed.number,
            created: sealed.created,
            digest: std::mem::take(&mut sealed.digest),
            variables: variables.collect::<Result<_, _>>()?,
            told: std::mem::take(&mut sealed.told),
        })
    }

    /// Finds a variable.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&Variable> {
        self.variables.iter().find(|variable| variable.name == name)
    }
}

#[expect(clippy::disallowed_methods, reason = "door 43: the sealed generation must hold what it is to bring back")]
fn seal(number: u64, created: u64, digest: &str, variables: &[Variable], told: &Told) -> Zeroizing<Vec<u8>> {
    let variables = variables.iter().map(|variable| {
        let (value, confidential) = match &variable.value {
            Value::Public(text) => (text.clone(), false),
            Value::Confidential(value) => (STANDARD.encode(value.expose()), true),
        };
        SealedVariable {
            name: variable.name.clone(),
            origin: variable.origin.clone(),
            shape: variable.shape,
            value,
            confidential,
        }
    });
    let sealed = Sealed {
        version: VERSION,
        number,
        created,
        digest: digest.to_owned(),
        variables: variables.collect(),
        told: told.clone(),
    };
    // Its final size at once, so that no part of it is left behind in a buffer that was outgrown.
    let length: usize = sealed.variables.iter().map(|variable| 256 + 2 * variable.value.len()).sum();
    let mut bytes = Zeroizing::new(Vec::with_capacity(1024 + length));
    serde_json::to_writer(&mut *bytes, &sealed).expect("texts and numbers are JSON");
    bytes
}

/// Masks everything confidential of these variables and of the services.
///
/// # Errors
///
/// When there is more to mask than one automaton holds.
pub fn redactor(ledger: Option<&Ledger>, variables: &[Variable]) -> Result<Redactor, SecretError> {
    masking(ledger, variables).build()
}

/// The same, to add more to.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "door 44: the redactor must know what to mask")]
pub fn masking(ledger: Option<&Ledger>, variables: &[Variable]) -> RedactorBuilder {
    let mut builder = RedactorBuilder::new();
    for variable in variables {
        if let Value::Confidential(value) = &variable.value {
            builder = builder.mask(&variable.name, value.expose());
        }
    }
    for service in ledger.into_iter().flat_map(Ledger::services) {
        builder =
            builder.mask(&format!("{} administrator", service.name()), service.administrator().expose().as_bytes());
        // One of its variables holds the only credential, under the name that people know.
        let named = Origin::Service(service.name().to_owned());
        if service.step().is_some() || !variables.iter().any(|variable| variable.origin == named) {
            let label = format!("{} credential", service.name());
            for credential in service.credentials() {
                builder = builder.mask(&label, credential.expose().as_bytes());
            }
        }
    }
    builder
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    version: u32,
    number: u64,
    created: u64,
    digest: String,
    variables: Vec<SealedVariable>,
    told: Told,
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
            digest: "00ff".to_owned(),
            told: Told::default(),
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

    #[test]
    fn a_cut_generation_is_damaged() {
        let sealed = generation().seal();
        for end in 0..sealed.len() {
            assert!(matches!(Generation::open(&sealed[..end]), Err(RunError::DamagedState)));
        }
    }

    #[test]
    fn the_redactor_masks_what_is_confidential_and_nothing_else() {
        let redactor = redactor(None, &generation().variables).unwrap();
        assert_eq!(redactor.redact("db xk29-Qmvb-77aa test"), "db ***APP_KEY*** test");
        assert!(!format!("{:?}", generation()).contains("xk29"));
    }
}
