//! The commands that make a store and change its content.

use std::io::{self, IsTerminal as _, Read, Write as _};
use std::path::Path;

use psecret::{
    Dialect, EnvFile, EnvFileWarning, EnvValue, Inputs, LONGEST_SECRET, SecretError, SecretName, UserSecret,
};
use pvault::Identity;
use zeroize::Zeroizing;

use super::{
    Desk, ExportArguments, ImportArguments, InitArguments, Project, SecretsError, SetArguments, UnsetArguments,
    environment,
};
use crate::{git, identity, identity_or_new, identity_path, new_wrapped_identity};
use pscreen::Exit;

pub(super) fn init(project: &Project, arguments: &InitArguments, desk: &Desk) -> Result<Exit, SecretsError> {
    if arguments.passphrase && !new_wrapped_identity(&environment)? {
        desk.stderr.warning("there is an identity already; `pbuild secrets identity passphrase` wraps it");
    }
    let identity = identity_or_new(&environment)?;
    let path = project.store.path().display();
    match project.store.create(&identity)? {
        Some(()) => {
            desk.stderr.fact("store", &format!("{path} made; it can be committed: it shows neither names nor values"))
        }
        None => desk.stderr.fact("store", &format!("{path} is there already")),
    }
    if let Ok(path) = identity_path(&environment) {
        desk.stderr.fact(
            "identity",
            &format!("{}; whoever has it opens the store, so keep a copy of it safe", path.display()),
        );
    }
    desk.stderr.fact("recipient", &identity.recipient().to_string());
    prepare_git(project, desk);
    Ok(Exit::Done)
}

/// Makes the settings that git needs to merge and compare the store. The store works without them, so a failure is
/// only a warning.
fn prepare_git(project: &Project, desk: &Desk) {
    let folder = project.store.path().parent().unwrap_or(Path::new("."));
    match git::set(folder) {
        Ok(done) => {
            for (lack, path) in done {
                let what = match lack {
                    git::Lack::Attributes => "says that git merges and compares the store with pbuild; commit it",
                    git::Lack::Driver => "knows how; every clone needs it once: pbuild secrets init",
                };
                desk.stderr.fact("git", &format!("{} {what}", path.display()));
            }
        }
        Err(error) => desk.stderr.warning(&format!("git is not set up to merge the store: {error}")),
    }
}

pub(super) fn set(project: &Project, arguments: &SetArguments, desk: &Desk) -> Result<Exit, SecretsError> {
    let name = SecretName::parse(&arguments.name)?;
    let identity = identity(&environment)?;
    // The store is read first, so that the user does not type a value that cannot be stored.
    project.store.read(&identity)?;
    let stdin = io::stdin();
    let value = if stdin.is_terminal() { prompt(&name)? } else { from_reader(&name, stdin.lock(), arguments.raw)? };
    keep(project, &name, value, &identity, desk)?;
    Ok(Exit::Done)
}

/// Sets a secret whose value came in by another way than this tool's standard input.
pub(super) fn put(project: &Project, name: &str, value: UserSecret, desk: &Desk) -> Result<(), SecretsError> {
    keep(project, &SecretName::parse(name)?, value, &identity(&environment)?, desk)
}

/// Puts a value into the store, and says so.
fn keep(
    project: &Project,
    name: &SecretName,
    value: UserSecret,
    identity: &Identity,
    desk: &Desk,
) -> Result<(), SecretsError> {
    let replaced =
        project.store.change(identity, |store| Ok::<_, SecretsError>(store.set(name.clone(), value)?.is_some()))?;
    desk.stderr.fact("store", &format!("`{name}` {}", if replaced { "has a new value" } else { "is set" }));
    project.hint_undeclared(name.as_str(), desk);
    Ok(())
}

/// Asks for the value on the terminal, without echo.
fn prompt(name: &SecretName) -> Result<UserSecret, SecretsError> {
    pscreen::ask(&format!("value of {name}: "))
        .map(|value| UserSecret::new(value.into_bytes()))
        .map_err(|source| SecretsError::Value { name: name.clone(), source })
}

/// Reads a value to its end, and removes the last line end unless `raw` is set.
fn from_reader(name: &SecretName, reader: impl Read, raw: bool) -> Result<UserSecret, SecretsError> {
    // The buffer has room for one byte more than the longest secret, so that it never moves and leaves no copy in
    // memory.
    let mut value = Zeroizing::new(Vec::with_capacity(LONGEST_SECRET + 2));
    let _waiting = pscreen::waiting();
    reader
        .take(LONGEST_SECRET as u64 + 1)
        .read_to_end(&mut value)
        .map_err(|source| SecretsError::Value { name: name.clone(), source })?;
    if value.len() > LONGEST_SECRET {
        return Err(SecretError::TooLong { name: name.clone() }.into());
    }
    if !raw && value.ends_with(b"\n") {
        value.pop();
        if value.ends_with(b"\r") {
            value.pop();
        }
    }
    Ok(UserSecret::new(std::mem::take(&mut *value)))
}

pub(super) fn unset(project: &Project, arguments: &UnsetArguments, desk: &Desk) -> Result<Exit, SecretsError> {
    let names = arguments.names.iter().map(|name| SecretName::parse(name)).collect::<Result<Vec<_>, _>>()?;
    project.store.change(&identity(&environment)?, |store| {
        // Each name is removed at once, so that a name that the user gave twice is reported as absent.
        let absent: Vec<SecretName> = names.iter().filter(|name| store.take(name).is_none()).cloned().collect();
        if absent.is_empty() { Ok(()) } else { Err(SecretsError::NotThere { names: absent }) }
    })?;
    names.iter().for_each(|name| desk.stderr.fact("store", &format!("`{name}` is removed")));
    Ok(Exit::Done)
}

pub(super) fn import(project: &Project, arguments: &ImportArguments, desk: &Desk) -> Result<Exit, SecretsError> {
    let identity = identity(&environment)?;
    let mut stdin = io::stdin();
    let mut inputs = Inputs::new(&environment, &mut stdin);
    let waiting = pscreen::waiting();
    let file = EnvFile::read(&arguments.file, Dialect::from(arguments.dialect), &mut inputs)?;
    drop(waiting);
    for warning in file.warnings() {
        let end = if matches!(warning, EnvFileWarning::SteersPrograms { .. }) { "; it is left out" } else { "" };
        desk.stderr.warning(&format!("{}: {warning}{end}", arguments.file.display()));
    }
    let (mut taken, mut left) = (Vec::new(), Vec::new());
    project.store.change(&identity, |store| {
        for entry in file.into_entries().into_iter().filter(|entry| !entry.name.steers_programs()) {
            match entry.value {
                EnvValue::Literal(value) if !value.is_empty() => {
                    store.set(entry.name.clone(), value)?;
                    taken.push(entry.name);
                }
                EnvValue::Literal(_) | EnvValue::FromEnvironment => left.push(entry.line),
            }
        }
        Ok::<_, SecretsError>(())
    })?;
    // The warning does not show the name, because a line without `=` may be a piece of a value.
    for line in left {
        desk.stderr
            .warning(&format!("{}: line {line}: a name without a value; it is left out", arguments.file.display()));
    }
    let count = pscreen::words::counted(taken.len(), "secret");
    desk.stderr.fact("store", &format!("{count} imported; {} can go now", arguments.file.display()));
    taken.iter().for_each(|name| project.hint_undeclared(name.as_str(), desk));
    Ok(Exit::Done)
}

pub(super) fn export(project: &Project, arguments: &ExportArguments, desk: &Desk) -> Result<Exit, SecretsError> {
    let store = project.store.read(&identity(&environment)?)?;
    let binary: Vec<SecretName> = store.binary().into_iter().cloned().collect();
    if !binary.is_empty() {
        return Err(SecretsError::Binary { names: binary });
    }
    let content = store.to_bytes();
    // The lines of the recipients and of the digest key are not exported: they do not belong in an env file.
    let head: usize = content
        .split_inclusive(|byte| *byte == b'\n')
        .take_while(|line| line.starts_with(b"#@"))
        .map(<[u8]>::len)
        .sum();
    write_new(&arguments.out, &content[head..])
        .map_err(|source| SecretsError::Io { doing: format!("write {}", arguments.out.display()), source })?;
    let path = arguments.out.display();
    desk.stderr.fact(
        "export",
        &format!("{} in {path}, readable by you alone; remove it when it is not needed", store.names().count()),
    );
    Ok(Exit::Done)
}

/// Writes a new file of mode 0600 with this content. A failure leaves no partial file.
fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], raw: bool) -> Result<usize, SecretsError> {
        from_reader(&SecretName::parse("KEY").unwrap(), bytes, raw).map(|value| value.len())
    }

    #[test]
    fn one_line_end_is_taken_off_unless_it_is_wanted() {
        assert_eq!(read(b"four\n", false).unwrap(), 4);
        assert_eq!(read(b"four\r\n", false).unwrap(), 4);
        assert_eq!(read(b"four\n\n", false).unwrap(), 5);
        assert_eq!(read(b"four\n", true).unwrap(), 5);
    }

    #[test]
    fn a_value_ends_at_buildkits_limit_c5() {
        assert!(read(&vec![b'x'; LONGEST_SECRET], false).is_ok());
        let error = read(&vec![b'x'; LONGEST_SECRET + 1], false).unwrap_err();
        assert!(matches!(error, SecretsError::Secret(SecretError::TooLong { .. })));
    }

    #[test]
    fn an_export_never_replaces_a_file_and_is_closed_to_others() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.env");
        write_new(&path, b"A='x'\n").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(write_new(&path, b"").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"A='x'\n");
    }
}
