//! The commands for a store's recipients and for the user's own identity.

use pvault::{Identity, Recipient};

use super::{AddRecipientArguments, Desk, Project, RecipientArguments, SecretsError, environment};
use crate::{IDENTITY_VARIABLE, Wrapping, identity, identity_or_new, identity_path, renew_identity, rewrap_identity};
use pscreen::Exit;

pub(super) fn mine(desk: &Desk) -> Result<Exit, SecretsError> {
    desk.stdout.line(&identity_or_new(&environment)?.recipient().to_string());
    Ok(Exit::Done)
}

pub(super) fn list(project: &Project, desk: &Desk) -> Result<Exit, SecretsError> {
    let identity = identity(&environment)?;
    let own: Vec<String> = identity.recipients().map(|recipient| recipient.to_string()).collect();
    let store = project.store.read(&identity)?;
    for recipient in store.recipients() {
        let you = own.iter().any(|known| known == recipient);
        let name = match (store.recipient_name(recipient), you) {
            (Some(name), true) => format!("  {name} (you)"),
            (Some(name), false) => format!("  {name}"),
            (None, true) => "  you".to_owned(),
            (None, false) => String::new(),
        };
        desk.stdout.line(&format!("{recipient}{name}"));
    }
    Ok(Exit::Done)
}

pub(super) fn add(project: &Project, arguments: &AddRecipientArguments, desk: &Desk) -> Result<Exit, SecretsError> {
    let recipient: Recipient = arguments.recipient.parse()?;
    let recipient = recipient.to_string();
    let new = project.store.change(&identity(&environment)?, |store| {
        let new = store.add_recipient(&recipient);
        if let Some(name) = &arguments.name {
            store.name_recipient(&recipient, name);
        }
        Ok::<_, SecretsError>(new)
    })?;
    let what = if new { "can open the store now" } else { "could open the store already" };
    let who = arguments.name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
    desk.stderr.fact("recipient", &format!("{recipient}{who} {what}"));
    Ok(Exit::Done)
}

pub(super) fn remove(project: &Project, arguments: &RecipientArguments, desk: &Desk) -> Result<Exit, SecretsError> {
    let recipient: Recipient = arguments.recipient.parse()?;
    let recipient = recipient.to_string();
    project.store.change(&identity(&environment)?, |store| {
        if store.remove_recipient(&recipient) { Ok(()) } else { Err(SecretsError::NoSuchRecipient) }
    })?;
    desk.stderr.fact("recipient", &format!("{recipient} cannot open the store any more"));
    desk.stderr.warning("older commits still open for them: change the values they knew, where those are used");
    Ok(Exit::Done)
}

/// Seals the store for the newest key of the identity. Makes a new key first, unless the store does not list the
/// newest key yet.
pub(super) fn rotate(project: &Project, desk: &Desk) -> Result<Exit, SecretsError> {
    if environment(IDENTITY_VARIABLE).is_some_and(|text| !text.is_empty()) {
        return Err(SecretsError::Elsewhere);
    }
    let path = identity_path(&environment)?;
    let mut known = identity(&environment)?;
    let listed = |identity: &Identity| -> Result<bool, SecretsError> {
        let newest = identity.recipient().to_string();
        Ok(project.store.read(identity)?.recipients().any(|recipient| recipient == newest))
    };
    if listed(&known)? {
        known = renew_identity(&environment)?;
    }
    project.store.change(&known, |store| {
        let mut name = String::new();
        for own in known.recipients() {
            let own = own.to_string();
            name = store.recipient_name(&own).map_or(name, str::to_owned);
            store.remove_recipient(&own);
        }
        let newest = known.recipient().to_string();
        store.add_recipient(&newest);
        store.name_recipient(&newest, &name);
        Ok::<_, SecretsError>(())
    })?;
    desk.stderr.fact("recipient", &format!("{}; your older key opens this store no more", known.recipient()));
    desk.stderr
        .fact("identity", &format!("{} keeps the older keys for other stores; run this there too", path.display()));
    Ok(Exit::Done)
}

/// Wraps the identity with a new passphrase, or removes its passphrase.
pub(super) fn passphrase(remove: bool, desk: &Desk) -> Result<Exit, SecretsError> {
    if environment(IDENTITY_VARIABLE).is_some_and(|text| !text.is_empty()) {
        return Err(SecretsError::Elsewhere);
    }
    let (wrapping, told) = if remove {
        (Wrapping::None, "is kept without a passphrase, readable by you alone")
    } else {
        (Wrapping::Passphrase, "is wrapped; nobody can help whoever forgets the passphrase")
    };
    rewrap_identity(wrapping, &environment)?;
    desk.stderr.fact("identity", &format!("{} {told}", identity_path(&environment)?.display()));
    Ok(Exit::Done)
}
