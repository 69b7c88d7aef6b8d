//! Puts the variables of a generation together from services, secrets and configuration.

use papp::{Composed, Composition, Deferred, Deliver};
use pcredential::{InjectedValue, Ledger};
use psecret::{Delivery, Secret, Source};
use zeroize::Zeroizing;

use crate::plan::Plan;
use crate::values::delivered::Delivered;
use crate::values::error::ValuesError;
use crate::values::generation::{Origin, Shape, Value, Variable};

/// Puts together the variables of instances, in this order: those of services, the user's secrets, configuration, and
/// composed secrets.
///
/// # Errors
///
/// Returns an error if two origins set the same variable, if a composed secret needs a variable that does not exist,
/// if composed secrets need each other in a circle, or if the environment is longer than the kernel accepts.
pub(crate) fn variables(ledger: &Ledger, plan: &Plan, user: Vec<Variable>) -> Result<Vec<Variable>, ValuesError> {
    let mut variables = Vec::new();
    let services = ledger.services().iter().filter(|service| plan.wants(service.name()));
    for injected in pcredential::injected(services, plan.primaries(), &plan.sets())? {
        let taken = user.iter().any(|variable| variable.name == injected.name())
            || plan.composed().iter().any(|secret| secret.name == injected.name());
        if taken {
            if plan.overrides(injected.name()) {
                continue;
            }
            let (name, service) = (injected.name().to_owned(), injected.service().to_owned());
            return Err(ValuesError::SecretAndService { name, service });
        }
        if plan.environment().iter().any(|(name, _)| name == injected.name()) {
            let (name, service) = (injected.name().to_owned(), injected.service().to_owned());
            return Err(ValuesError::ConfigurationAndService { name, service });
        }
        let value = match injected.value() {
            InjectedValue::Public(text) => Value::Public(text.clone()),
            InjectedValue::Credential(credential) => Value::Confidential(Delivered::of_service(credential)),
            InjectedValue::Composed(credential) => Value::Confidential(Delivered::of_service(credential)),
        };
        variables.push(Variable {
            name: injected.name().to_owned(),
            origin: Origin::Service(injected.service().to_owned()),
            shape: match injected.shape() {
                pcredential::Shape::Variable => Shape::Variable,
                pcredential::Shape::File => Shape::File,
            },
            value,
        });
    }
    variables.extend(user);
    for (name, value) in plan.environment() {
        variables.push(Variable {
            name: name.clone(),
            origin: Origin::Configuration,
            shape: Shape::Variable,
            value: Value::Public(value.clone()),
        });
    }
    compose_all(&mut variables, plan.composed())?;
    if plan.deliver() != Deliver::Files {
        check_size(&variables)?;
    }
    Ok(variables)
}

/// The most bytes that arguments and environment may have together: a quarter of the stack (execve(2)), and the stack
/// has 8 MiB in a container.
const ENVIRONMENT_LIMIT: usize = 2 << 20;

/// Refuses variables that are too long for any process to start with. The container would exit with code 126, and
/// nothing would say why.
fn check_size(variables: &[Variable]) -> Result<(), ValuesError> {
    let variables = || variables.iter().filter(|variable| variable.shape == Shape::Variable);
    // Each variable takes `NAME=value`, a zero byte at the end, and a pointer.
    let bytes = variables().map(|variable| variable.name.len() + length(variable) + 2 + size_of::<usize>()).sum();
    if bytes < ENVIRONMENT_LIMIT {
        return Ok(());
    }
    let longest = variables().max_by_key(|variable| length(variable)).map(|variable| variable.name.clone());
    Err(ValuesError::TooLarge { bytes, limit: ENVIRONMENT_LIMIT, longest: longest.unwrap_or_default() })
}

/// Makes a variable of each user secret whose scope includes the run.
#[must_use]
pub(crate) fn of_user(secrets: &[Secret]) -> Vec<Variable> {
    secrets.iter().filter(|secret| secret.scope().in_run()).map(variable_of).collect()
}

fn variable_of(secret: &Secret) -> Variable {
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

fn compose_all(variables: &mut Vec<Variable>, secrets: &[papp::Secret]) -> Result<(), ValuesError> {
    let before = variables.len();
    let known = |name: &str| variables.iter().find(|variable| variable.name == name).map(length);
    let composition = Composition::of(secrets, known, pcli::resolve::longest)?;
    if let Some(Deferred { secret, needs }) = composition.deferred.first() {
        let (secret, needs, line) = (secret.name.clone(), (*needs).to_owned(), secret.line);
        return Err(ValuesError::Needs { secret, needs, line });
    }
    for composed in &composition.ready {
        let (secret, text) = (composed.secret, fill(composed, variables));
        if secret.delivery == papp::Delivery::Variable && text.contains(&0) {
            return Err(ValuesError::Nul { secret: secret.name.clone(), line: secret.line });
        }
        variables.push(Variable {
            name: secret.name.clone(),
            origin: Origin::User(Source::Composed.to_string()),
            shape: match secret.delivery {
                papp::Delivery::Variable => Shape::Variable,
                papp::Delivery::File => Shape::File,
            },
            value: Value::Confidential(Delivered::new(text)),
        });
    }
    // The variables get the manifest's order, not the order in which they were composed.
    variables[before..].sort_by_key(|variable| secrets.iter().position(|secret| secret.name == variable.name));
    Ok(())
}

fn length(variable: &Variable) -> usize {
    match &variable.value {
        Value::Public(text) => text.len(),
        Value::Confidential(value) => value.len(),
    }
}

/// Composes a text: each name in it is replaced by the value of that variable.
#[expect(clippy::disallowed_methods, reason = "door 45: a composed secret is made of other values")]
fn fill(composed: &Composed<'_>, variables: &[Variable]) -> Zeroizing<Vec<u8>> {
    let mut text = Zeroizing::new(Vec::new());
    composed.fill(&mut text, |name, text| {
        let variable = variables.iter().find(|variable| variable.name == name);
        text.extend_from_slice(match variable.map(|variable| &variable.value) {
            Some(Value::Public(value)) => value.as_bytes(),
            Some(Value::Confidential(value)) => value.expose(),
            None => &[],
        });
    });
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use papp::Manifest;
    use pcredential::NewService;
    use psecret::{Scope, SecretName, Source, UserSecret};

    use super::*;
    use crate::plan::order::Order;

    fn secret(name: &str, value: &str, scope: Scope) -> Secret {
        let name = SecretName::parse(name).unwrap();
        Secret::new(name, UserSecret::new(value.into()), scope, Delivery::Variable, Source::Environment).unwrap()
    }

    fn compose(manifest: &str, secrets: &[Secret]) -> Result<Vec<Variable>, ValuesError> {
        let manifest = Manifest::parse(Path::new("app.toml"), format!("image = \"x\"\n{manifest}").as_bytes()).unwrap();
        let plan = Plan::new(&Order::default(), &manifest, Path::new("/"), crate::plan::Goal::Instances).unwrap();
        let mut ledger = Ledger::new("shop");
        for service in plan.services() {
            let (name, kind) = (service.name.as_str(), service.kind);
            ledger.add(NewService { name, kind, image: "i", volume: "v", database: None, created: 0 });
        }
        variables(&ledger, &plan, of_user(secrets))
    }

    fn names(variables: &[Variable]) -> Vec<&str> {
        variables.iter().map(|variable| variable.name.as_str()).collect()
    }

    fn is(variable: &Variable, expected: &str) -> bool {
        // A value cannot be printed, but its sealed form shows it.
        use base64::Engine;
        let generation = crate::values::generation::Generation {
            number: 1,
            created: 0,
            by: None,
            digest: String::new(),
            image: None,
            record: crate::plan::record::Record::default(),
            variables: vec![Variable {
                name: variable.name.clone(),
                origin: variable.origin.clone(),
                shape: variable.shape,
                value: match &variable.value {
                    Value::Public(text) => Value::Public(text.clone()),
                    Value::Confidential(value) => {
                        return value.len() == expected.len()
                            && crate::values::masks::redactor(
                                None,
                                std::slice::from_ref(variable),
                                &crate::plan::record::Record::default(),
                            )
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
    fn more_than_the_kernel_takes_is_refused_before_anything_starts() {
        let long = "x".repeat(120_000);
        let secrets = |count: usize| -> Vec<Secret> {
            (0..count).map(|number| secret(&format!("V{number}"), &long, Scope::Run)).collect()
        };
        assert!(compose("", &secrets(17)).is_ok());
        let error = compose("", &secrets(31)).unwrap_err();
        assert_eq!(error.to_string(), "the app's environment has 3.72 MB, and Linux takes 2.09 MB together");
        assert!(compose("[run]\ndeliver = \"files\"\n", &secrets(31)).is_ok());
    }

    #[test]
    fn circles_and_unknown_names_are_errors() {
        let circle = "[secrets]\nA = { scope = \"run\", value = \"${B}\" }\nB = { scope = \"run\", value = \"${A}\" }";
        let error = compose(circle, &[]).unwrap_err();
        assert_eq!(error.to_string(), "secret `A` is made of itself: A → B → A");
        assert!(matches!(error, ValuesError::Composition(error) if error.line() == 3));
        let unknown = "[secrets]\nA = { scope = \"run\", value = \"${GONE}\" }";
        assert!(compose(unknown, &[]).unwrap_err().to_string().contains("needs `GONE`"));
    }

    /// Makes levels of secrets that each name the next level twice. All of them together would need more memory than
    /// any machine has.
    fn doubling(levels: usize) -> String {
        let level = |at: usize| format!("L{at} = {{ scope = \"run\", value = \"${{L{0}}}${{L{0}}}\" }}\n", at + 1);
        let levels_text: String = (0..levels).map(level).collect();
        format!("[secrets]\n{levels_text}L{levels} = {{ scope = \"run\" }}")
    }

    #[test]
    fn a_value_that_doubles_is_bounded_and_each_is_made_once() {
        let error = compose(&doubling(16), &[secret("L16", &"x".repeat(1000), Scope::Run)]).unwrap_err().to_string();
        assert!(error.contains("secret `L8` would be longer than"), "{error}");
        let short = compose(&doubling(12), &[secret("L12", "0123456789abcdef", Scope::Run)]).unwrap();
        let whole = short.iter().find(|variable| variable.name == "L0").unwrap();
        assert!(is(whole, &"0123456789abcdef".repeat(1 << 12)));
    }

    #[test]
    fn a_composed_secret_is_delivered_as_it_is_declared() {
        let manifest = format!(
            "[env]\nZONE = \"eu\"\n{SERVICES}[secrets]\nLAST = {{ scope = \"run\", value = \"${{FIRST}}\" }}\n\
             FIRST = {{ scope = \"run\", as = \"file\", value = \"${{ZONE}}-${{DB_HOST}}\" }}\n"
        );
        let variables = compose(&manifest, &[]).unwrap();
        let [last, first] = &variables[variables.len() - 2..] else { panic!("two are composed") };
        assert_eq!((last.name.as_str(), last.shape), ("LAST", Shape::Variable), "the manifest's order stays");
        assert_eq!((first.name.as_str(), first.shape), ("FIRST", Shape::File));
        assert!(is(last, "eu-db") && is(first, "eu-db"));
    }

    #[test]
    fn a_chain_is_as_deep_as_allowed_in_whatever_order_it_is_written() {
        let chain = |levels: usize, backwards: bool| {
            let level = |at: usize| format!("L{at} = {{ scope = \"run\", value = \"${{L{}}}\" }}\n", at + 1);
            let mut lines: Vec<String> = (0..levels).map(level).collect();
            lines.push(format!("L{levels} = {{ scope = \"run\", value = \"${{END}}\" }}\n"));
            if backwards {
                lines.reverse();
            }
            format!("[env]\nEND = \"the-end-of-it\"\n[secrets]\n{}", lines.concat())
        };
        for backwards in [false, true] {
            assert!(compose(&chain(16, backwards), &[]).is_ok());
            for levels in [17, 2000] {
                let error = compose(&chain(levels, backwards), &[]).unwrap_err().to_string();
                assert!(error.contains("more than 16 deep"), "{error}");
            }
        }
    }
}
