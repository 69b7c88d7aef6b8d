//! The logins for external services. They come from the user's secrets.

use std::collections::BTreeMap;

use pcredential::{Administrator, ExternalLogin, Ledger, ServiceCredential};
use psecret::Secret;
use zeroize::Zeroizing;

use crate::plan::Plan;
use crate::values::error::ValuesError;

/// The logins that this start has, by service.
#[derive(Debug, Default)]
pub(crate) struct Logins(BTreeMap<String, ExternalLogin>);

impl Logins {
    /// Reads the logins from the secrets that the plan names.
    ///
    /// # Errors
    ///
    /// Returns [`ValuesError::ExternalLogin`] if a secret is not a login.
    pub(crate) fn of(plan: &Plan, secrets: &[Secret]) -> Result<Self, ValuesError> {
        let mut logins = BTreeMap::new();
        for (service, external) in plan.externals() {
            let name = external.login.secret();
            let Some(secret) = secrets.iter().find(|secret| secret.name().as_str() == name) else { continue };
            let Some(login) = login(&external.login, secret) else {
                let (service, secret) = (service.to_owned(), name.to_owned());
                return Err(ValuesError::ExternalLogin { service, secret, key: external.login.key() });
            };
            logins.insert(service.to_owned(), login);
        }
        Ok(Self(logins))
    }

    /// Takes the login of a service, if this start has it.
    pub(crate) fn take(&mut self, service: &str) -> Option<ExternalLogin> {
        self.0.remove(service)
    }
}

#[expect(clippy::disallowed_methods, reason = "door 80: a user's secret opens a server that others run")]
fn login(from: &papp::ExternalLogin, secret: &Secret) -> Option<ExternalLogin> {
    let text = std::str::from_utf8(secret.value().expose()).ok()?;
    match from {
        papp::ExternalLogin::Admin(_) => Administrator::of_url(text).map(ExternalLogin::Administrator),
        papp::ExternalLogin::Password(_) => {
            let line = Zeroizing::new(text.trim_end_matches(['\n', '\r']).to_owned());
            ServiceCredential::given(line).map(ExternalLogin::App)
        }
    }
}

/// Lists the secrets whose logins are in the sealed ledger already. A start does not need these secrets.
pub(crate) fn known(plan: &Plan, ledger: Option<&Ledger>) -> Vec<String> {
    let is_known = |service: &str, external: &crate::plan::PlannedExternal| {
        let record = ledger.and_then(|ledger| ledger.service(service)).and_then(|service| service.external());
        record.is_some_and(|known| known.administered == external.server.administered)
    };
    let known = plan.externals().filter(|(service, external)| is_known(service, external));
    known.map(|(_, external)| external.login.secret().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use papp::Manifest;
    use psecret::{Delivery, Scope, SecretName, Source, UserSecret};

    use super::*;
    use crate::plan::order::Order;

    #[test]
    fn a_login_comes_out_of_a_url_or_is_the_password_itself() {
        let logins = |key: &str, value: &str| {
            let text = format!(
                "image = \"x\"\n[services.w]\nkind = \"mysql\"\nexternal = {{ host = \"h\", database = \"d\", username = \"u\", {key} = \"A\" }}\n[secrets]\nA = {{ scope = \"run\" }}"
            );
            let manifest = Manifest::parse(Path::new("app.toml"), text.as_bytes()).unwrap();
            let plan = Plan::new(&Order::default(), &manifest, Path::new("/"), crate::plan::Goal::Instances).unwrap();
            let (name, value) = (SecretName::parse("A").unwrap(), UserSecret::new(value.into()));
            let secret = Secret::new(name, value, Scope::Run, Delivery::Variable, Source::Environment).unwrap();
            Logins::of(&plan, &[secret]).map(|mut logins| logins.take("w"))
        };
        let Ok(Some(ExternalLogin::Administrator(boss))) = logins("admin", "mysql://b%40ss:p%2Fw@h:3306/x") else {
            panic!("a URL has a login");
        };
        assert_eq!((boss.name.as_deref(), boss.credential.len()), (Some("b@ss"), 3));
        let Ok(Some(ExternalLogin::App(password))) = logins("password", "p w'\"#$\n") else { panic!("a password") };
        assert_eq!(password.len(), 7);
        for (key, value) in [("admin", "just-a-password"), ("admin", "mysql://host/x"), ("password", "two\nlines")] {
            assert!(matches!(logins(key, value), Err(ValuesError::ExternalLogin { .. })), "{value}");
        }
    }
}
