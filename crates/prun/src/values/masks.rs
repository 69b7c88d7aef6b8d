//! Makes the redactor for the output of a project whose values are known.

use pcredential::Ledger;
use psecret::{PartChoice, Redactor, RedactorBuilder, SecretError};

use crate::plan::record::Record;
use crate::values::generation::{Origin, Value, Variable};

/// Makes a redactor for everything confidential in these variables and services.
///
/// The parts of a user's value, such as the password of a URL, are masked under the name of that value, as far as the
/// manifest in the record allows it. A part that is itself the value of another variable is masked under that
/// variable's name only.
///
/// # Errors
///
/// Returns an error if there is more to mask than one automaton can hold.
#[expect(clippy::disallowed_methods, reason = "door 44: the redactor must know what to mask")]
pub(crate) fn redactor(
    ledger: Option<&Ledger>,
    variables: &[Variable],
    record: &Record,
) -> Result<Redactor, SecretError> {
    let services = || ledger.into_iter().flat_map(Ledger::services);
    let of_services = services().flat_map(|service| service.credentials().chain([service.administrator()]));
    let mut wholes: Vec<&[u8]> = of_services.map(|credential| credential.expose().as_bytes()).collect();
    wholes.extend(variables.iter().filter_map(|variable| match &variable.value {
        Value::Confidential(value) => Some(value.expose()),
        Value::Public(_) => None,
    }));
    let choices = record.part_choices();
    let choice = |variable: &Variable| match variable.origin {
        Origin::User(_) => choices.get(&variable.name).cloned().unwrap_or_default(),
        Origin::Service(_) | Origin::Configuration => PartChoice::None,
    };
    let mut builder = RedactorBuilder::new();
    for variable in variables {
        if let Value::Confidential(value) = &variable.value {
            builder = builder.mask_apart(&variable.name, value.expose(), &choice(variable), &wholes);
        }
    }
    for service in services() {
        builder =
            builder.mask(&format!("{} administrator", service.name()), service.administrator().expose().as_bytes());
        // Outside of a rotation the service has one credential, and a variable holds it. The variable's name, which
        // users know, is then the better label.
        let named = Origin::Service(service.name().to_owned());
        if service.stage().is_some() || !variables.iter().any(|variable| variable.origin == named) {
            let label = format!("{} credential", service.name());
            for credential in service.credentials() {
                builder = builder.mask(&label, credential.expose().as_bytes());
            }
        }
    }
    builder.build()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use zeroize::Zeroizing;

    use super::*;
    use crate::plan::order::Order;
    use crate::values::delivered::Delivered;
    use crate::values::generation::Shape;

    fn variable(name: &str, origin: Origin, value: Value) -> Variable {
        Variable { name: name.to_owned(), origin, shape: Shape::Variable, value }
    }

    fn secret(name: &str, text: &str) -> Variable {
        let value = Value::Confidential(Delivered::new(Zeroizing::new(text.into())));
        variable(name, Origin::User("environment".to_owned()), value)
    }

    fn record(manifest: &str) -> Record {
        Record::new(Order::default(), Some(manifest.to_owned()), Path::new("/"), Vec::new())
    }

    #[test]
    fn what_is_confidential_is_masked_and_nothing_else() {
        let variables = [
            variable("DB_HOST", Origin::Service("db".to_owned()), Value::Public("db".to_owned())),
            secret("APP_KEY", "xk29-Qmvb-77aa"),
            variable("APP_ENV", Origin::Configuration, Value::Public("test".to_owned())),
        ];
        let redactor = redactor(None, &variables, &Record::default()).unwrap();
        assert_eq!(redactor.redact("db xk29-Qmvb-77aa test"), "db ***APP_KEY*** test");
    }

    #[test]
    fn what_a_value_contains_is_masked_unless_the_manifest_says_otherwise() {
        let json = r#"{"type":"service_account","region":"eu-west-1","token":"tk-9fKq2LmZr8Kc1Vb4"}"#;
        let shown = |manifest: &str| {
            let redactor = redactor(None, &[secret("SERVICE", json)], &record(manifest)).unwrap();
            redactor.redact("Bearer tk-9fKq2LmZr8Kc1Vb4 in eu-west-1")
        };
        assert_eq!(shown(""), "Bearer ***SERVICE*** in eu-west-1");
        let (whole, other) =
            ("[secrets]\nSERVICE = { parts = false }\n", "[secrets]\nSERVICE = { parts = [\"key\"] }\n");
        for manifest in [whole, other] {
            assert_eq!(shown(manifest), "Bearer tk-9fKq2LmZr8Kc1Vb4 in eu-west-1", "{manifest}");
        }
    }

    #[test]
    fn a_part_that_is_a_value_of_its_own_has_one_name() {
        let password = Value::Confidential(Delivered::new(Zeroizing::new(b"9fKq2LmZr8Kc1Vb4".to_vec())));
        let variables = [
            variable("DB_PASSWORD", Origin::Service("db".to_owned()), password),
            secret("DATABASE_URL", "postgres://shop:9fKq2LmZr8Kc1Vb4@db/shop"),
        ];
        let redactor = redactor(None, &variables, &Record::default()).unwrap();
        assert_eq!(redactor.redact("password 9fKq2LmZr8Kc1Vb4"), "password ***DB_PASSWORD***");
    }
}
