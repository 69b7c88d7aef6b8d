//! From secrets, services and configuration to the variables of a generation.

use papp::{Part, Template};
use pcredential::{InjectedValue, Ledger};
use psecret::{Delivery, Secret};
use zeroize::Zeroizing;

use crate::delivered::Delivered;
use crate::error::RunError;
use crate::generation::{Origin, Shape, Value, Variable};
use crate::plan::{Plan, wrong};

/// How deep secrets may be made of secrets that are made of others.
const DEEPEST: usize = 16;

/// The variables that instances get, in the order: services, the user's secrets, configuration.
///
/// # Errors
///
/// Names that two would set; names that a composed secret needs and nobody has; cycles of composed secrets.
pub fn variables(ledger: &Ledger, plan: &Plan, secrets: &[Secret]) -> Result<Vec<Variable>, RunError> {
    let mut variables = Vec::new();
    let services = ledger.services().iter().filter(|service| plan.wants(service.name()));
    for injected in pcredential::injected(services, plan.primaries())? {
        let taken = secrets.iter().any(|secret| secret.name().as_str() == injected.name())
            || plan.composed.iter().any(|(name, _)| name == injected.name());
        if taken {
            if plan.overriding.iter().any(|name| name == injected.name()) {
                continue;
            }
            let what =
                format!("secret `{}` and service `{}` both set that variable", injected.name(), injected.service());
            return Err(wrong(what, "override = true lets the secret win; or give it another name"));
        }
        if plan.environment.iter().any(|(name, _)| name == injected.name()) {
            let what =
                format!("[env] `{}` and service `{}` both set that variable", injected.name(), injected.service());
            return Err(wrong(what, "take it out of [env], or make it a secret with override = true"));
        }
        let value = match injected.value() {
            InjectedValue::Public(text) => Value::Public(text.clone()),
            InjectedValue::Credential(credential) => Value::Confidential(Delivered::of_service(credential)),
            InjectedValue::Composed(credential) => Value::Confidential(Delivered::of_service(credential)),
        };
        variables.push(Variable {
            name: injected.name().to_owned(),
            origin: Origin::Service(injected.service().to_owned()),
            shape: Shape::Variable,
            value,
        });
    }
    variables.extend(secrets.iter().filter(|secret| secret.scope().in_run()).map(of_user));
    for (name, value) in &plan.environment {
        variables.push(Variable {
            name: name.clone(),
            origin: Origin::Configuration,
            shape: Shape::Variable,
            value: Value::Public(value.clone()),
        });
    }
    compose_all(&mut variables, &plan.composed)?;
    Ok(variables)
}

fn of_user(secret: &Secret) -> Variable {
    Variable {
        name: secret.name().as_str().to_owned(),
        origin: Origin::User(secret.source().to_string()),
        shape: match secret.delivery() {
            Delivery::Variable => Shape::Variable,
            Delivery::File => Shape::File,
        },
        value: Value::Confidential(Delivered::of_user(secret)),
    }
}

fn compose_all(variables: &mut Vec<Variable>, composed: &[(String, Template)]) -> Result<(), RunError> {
    let mut made = Vec::new();
    for (name, template) in composed {
        let mut text = Zeroizing::new(Vec::with_capacity(4096));
        fill(&mut text, name, template, variables, composed, 0)?;
        if text.contains(&0) || name.len() + text.len() + 2 > psecret::LONGEST_VARIABLE {
            let what = format!("secret `{name}` is longer than a variable may be, or holds a NUL");
            return Err(wrong(what, "make it of shorter names"));
        }
        made.push(Variable {
            name: name.clone(),
            origin: Origin::User("app.toml (composed)".to_owned()),
            shape: Shape::Variable,
            value: Value::Confidential(Delivered::new(text)),
        });
    }
    variables.extend(made);
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "door 45: a composed secret is made of other values")]
fn fill(
    text: &mut Zeroizing<Vec<u8>>,
    name: &str,
    template: &Template,
    variables: &[Variable],
    composed: &[(String, Template)],
    depth: usize,
) -> Result<(), RunError> {
    if depth > DEEPEST {
        return Err(wrong(format!("secret `{name}` is made of itself"), "break the circle of `${…}` in app.toml"));
    }
    for part in template.parts() {
        match part {
            Part::Literal(literal) => text.extend_from_slice(literal.as_bytes()),
            Part::Name(wanted) => {
                if let Some((_, inner)) = composed.iter().find(|(other, _)| other == wanted) {
                    fill(text, name, inner, variables, composed, depth + 1)?;
                } else if let Some(variable) = variables.iter().find(|variable| variable.name == *wanted) {
                    match &variable.value {
                        Value::Public(value) => text.extend_from_slice(value.as_bytes()),
                        Value::Confidential(value) => text.extend_from_slice(value.expose()),
                    }
                } else {
                    let what = format!("secret `{name}` needs `{wanted}`, which nobody sets");
                    return Err(wrong(what, "a secret, [env] or a service must set it"));
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use papp::Manifest;
    use pcredential::NewService;
    use psecret::{Scope, SecretName, Source, UserSecret};

    use super::*;
    use crate::command::StartArguments;

    fn secret(name: &str, value: &str, scope: Scope) -> Secret {
        let name = SecretName::parse(name).unwrap();
        Secret::new(name, UserSecret::new(value.into()), scope, Delivery::Variable, Source::Environment).unwrap()
    }

    fn compose(manifest: &str, secrets: &[Secret]) -> Result<Vec<Variable>, RunError> {
        let manifest = Manifest::parse(Path::new("app.toml"), format!("image = \"x\"\n{manifest}").as_bytes()).unwrap();
        let plan = Plan::new(&StartArguments::default(), &manifest, Path::new("/")).unwrap();
        let mut ledger = Ledger::new("shop");
        for service in &plan.services {
            let (name, kind) = (service.name.as_str(), service.kind);
            ledger.add(NewService { name, kind, image: "i", volume: "v", database: None, created: 0 });
        }
        variables(&ledger, &plan, secrets)
    }

    fn names(variables: &[Variable]) -> Vec<&str> {
        variables.iter().map(|variable| variable.name.as_str()).collect()
    }

    fn is(variable: &Variable, expected: &str) -> bool {
        // The sealed form shows what the type does not.
        use base64::Engine;
        let generation = crate::generation::Generation {
            number: 1,
            created: 0,
            digest: String::new(),
            variables: vec![Variable {
                name: variable.name.clone(),
                origin: variable.origin.clone(),
                shape: variable.shape,
                value: match &variable.value {
                    Value::Public(text) => Value::Public(text.clone()),
                    Value::Confidential(value) => {
                        return value.len() == expected.len()
                            && crate::generation::redactor(None, std::slice::from_ref(variable))
                                .unwrap()
                                .redact(expected)
                                == format!("***{}***", variable.name);
                    }
                },
            }],
        };
        let sealed = String::from_utf8(generation.seal().to_vec()).unwrap();
        sealed.contains(&base64::engine::general_purpose::STANDARD.encode(expected)) || sealed.contains(expected)
    }

    const SERVICES: &str = "[services.db]\nkind = \"postgres\"\n";

    #[test]
    fn services_secrets_and_configuration_come_together() {
        let secrets = [secret("APP_KEY", "k-1234-5678", Scope::Both), secret("TOKEN", "t-1234-5678", Scope::Build)];
        let variables = compose(&format!("[env]\nAPP_ENV = \"test\"\n{SERVICES}"), &secrets).unwrap();
        let names = names(&variables);
        assert_eq!(names[0], "DB_HOST");
        assert_eq!(names[7..], ["APP_KEY", "APP_ENV"], "a build's secret stays out");
    }

    #[test]
    fn an_injected_name_is_replaced_only_when_that_was_said() {
        let own = || [secret("DB_PASSWORD", "my-own-password", Scope::Run)];
        let error = compose(SERVICES, &own()).unwrap_err();
        assert!(error.to_string().contains("secret `DB_PASSWORD` and service `db`"), "{error}");
        let said = format!("{SERVICES}[secrets]\nDB_PASSWORD = {{ scope = \"run\", override = true }}");
        let variables = compose(&said, &own()).unwrap();
        let password = variables.iter().filter(|variable| variable.name == "DB_PASSWORD").collect::<Vec<_>>();
        assert!(password.len() == 1 && is(password[0], "my-own-password"));
        let error = compose(&format!("[env]\nDB_PORT = \"1\"\n{SERVICES}"), &[]).unwrap_err();
        assert!(error.to_string().contains("[env] `DB_PORT`"), "{error}");
    }

    #[test]
    fn a_composed_secret_is_made_of_all_kinds_of_names() {
        let manifest = format!(
            "[env]\nZONE = \"eu\"\n{SERVICES}[secrets]\nKEY = {{ scope = \"run\" }}\n\
             INNER = {{ scope = \"run\", value = \"${{KEY}}@${{DB_HOST}}\" }}\n\
             URL = {{ scope = \"run\", value = \"x://${{INNER}}:${{DB_PORT}}/$${{ZONE}}/${{ZONE}}\" }}"
        );
        let variables = compose(&manifest, &[secret("KEY", "k-1234-5678", Scope::Run)]).unwrap();
        let url = variables.iter().find(|variable| variable.name == "URL").unwrap();
        assert!(is(url, "x://k-1234-5678@db:5432/${ZONE}/eu"));
    }

    #[test]
    fn circles_and_unknown_names_are_errors() {
        let circle = "[secrets]\nA = { scope = \"run\", value = \"${B}\" }\nB = { scope = \"run\", value = \"${A}\" }";
        assert!(compose(circle, &[]).unwrap_err().to_string().contains("made of itself"));
        let unknown = "[secrets]\nA = { scope = \"run\", value = \"${GONE}\" }";
        assert!(compose(unknown, &[]).unwrap_err().to_string().contains("needs `GONE`"));
    }
}
