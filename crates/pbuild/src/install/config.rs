//! The alias in docker's `config.json`. The file belongs to the user. It is changed as text, so that the order,
//! blanks and unknown keys stay, and so that an uninstall restores every byte.

use std::fs;
use std::io::{self, Write as _};
use std::ops::Range;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The keys of docker's alias that passes `docker build` to a plugin.
const ALIASES: &str = "aliases";
const BUILDER: &str = "builder";

/// The reasons why docker's configuration cannot be changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file cannot be read or written.
    #[error("failed to change {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file does not have docker's format.
    #[error("{} is not a JSON object whose {ALIASES:?} are one too", path.display())]
    Form {
        /// The file.
        path: PathBuf,
    },
}

/// The state of the alias before the install.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum AliasBefore {
    /// There was no `config.json`.
    NoFile,
    /// The file had no aliases.
    NoAliases,
    /// The file had only other aliases.
    NoAlias,
    /// The alias named another plugin. The field holds this value as it was written in JSON.
    Was(String),
}

/// The alias in one docker folder.
#[derive(Debug)]
pub(super) struct Alias {
    path: PathBuf,
    /// The text of `config.json`; `None` if there is no file.
    text: Option<String>,
}

impl Alias {
    /// Reads the configuration of a docker folder.
    pub(super) fn at(docker_folder: &Path) -> Result<Self, ConfigError> {
        let path = docker_folder.join("config.json");
        // If `config.json` is a link, its target is changed and the link stays.
        let path = path.canonicalize().unwrap_or(path);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Self { path, text: Some(text) }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self { path, text: None }),
            Err(source) => Err(ConfigError::File { path, source }),
        }
    }

    /// Returns the path of the file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the plugin that the alias names.
    pub(super) fn present(&self) -> Option<String> {
        let text: Value = serde_json::from_str(self.text.as_deref()?).ok()?;
        text[ALIASES][BUILDER].as_str().map(str::to_owned)
    }

    /// Sets the alias to a plugin, and returns its state from before. Returns `None` if the alias already names the
    /// plugin.
    pub(super) fn install(&self, plugin: &str) -> Result<Option<AliasBefore>, ConfigError> {
        if self.present().as_deref() == Some(plugin) {
            return Ok(None);
        }
        let value = Value::from(plugin).to_string();
        let own = format!("{}: {value}", Value::from(BUILDER));
        let (text, before) = match &self.text {
            None => (format!("{{\n\t\"{ALIASES}\": {{\n\t\t{own}\n\t}}\n}}\n"), AliasBefore::NoFile),
            Some(text) => {
                let wrong = || self.wrong();
                let whole = Object::read(text, 0).ok_or_else(wrong)?;
                match whole.member(ALIASES) {
                    None => {
                        let new = format!("\n\t\"{ALIASES}\": {{\n\t\t{own}\n\t}}{}", whole.comma());
                        (put(text, whole.inside..whole.inside, &new), AliasBefore::NoAliases)
                    }
                    Some(aliases) => {
                        let aliases = Object::read(text, aliases.value.start).ok_or_else(wrong)?;
                        match aliases.member(BUILDER) {
                            None => {
                                let new = format!("{own}{}", aliases.comma());
                                (put(text, aliases.inside..aliases.inside, &new), AliasBefore::NoAlias)
                            }
                            Some(builder) => {
                                let was = text[builder.value.clone()].to_owned();
                                (put(text, builder.value.clone(), &value), AliasBefore::Was(was))
                            }
                        }
                    }
                }
            }
        };
        self.write(&text)?;
        Ok(Some(before))
    }

    /// Removes the plugin's alias and restores the state from before. Returns false, and changes nothing, if the
    /// alias names another plugin.
    pub(super) fn uninstall(&self, plugin: &str, before: &AliasBefore) -> Result<bool, ConfigError> {
        if self.present().as_deref() != Some(plugin) {
            return Ok(false);
        }
        let (Some(text), wrong) = (&self.text, || self.wrong()) else { return Ok(false) };
        let whole = Object::read(text, 0).ok_or_else(wrong)?;
        let aliases = whole.member(ALIASES).ok_or_else(wrong)?;
        let inner = Object::read(text, aliases.value.start).ok_or_else(wrong)?;
        let builder = inner.member(BUILDER).ok_or_else(wrong)?;
        let text = match before {
            AliasBefore::Was(was) => put(text, builder.value.clone(), was),
            // Docker or the user has added another alias since, so the other aliases stay.
            _ if inner.members.len() > 1 => put(text, inner.without(builder), ""),
            AliasBefore::NoAlias => put(text, inner.without(builder), ""),
            AliasBefore::NoFile if whole.members.len() == 1 => {
                fs::remove_file(&self.path).map_err(|source| self.failed(source))?;
                return Ok(true);
            }
            AliasBefore::NoFile | AliasBefore::NoAliases => put(text, whole.without(aliases), ""),
        };
        self.write(&text)?;
        Ok(true)
    }

    fn wrong(&self) -> ConfigError {
        ConfigError::Form { path: self.path.clone() }
    }

    fn failed(&self, source: io::Error) -> ConfigError {
        ConfigError::File { path: self.path.clone(), source }
    }

    /// Writes the file in one step, with the mode and the owner of the old file.
    fn write(&self, text: &str) -> Result<(), ConfigError> {
        if !serde_json::from_str::<Value>(text).is_ok_and(|value| value.is_object()) {
            return Err(self.wrong());
        }
        let write = || {
            let folder = self.path.parent().unwrap_or(Path::new("."));
            fs::create_dir_all(folder)?;
            // Docker keeps credentials in this file, so a new one is readable only by its owner. An existing file
            // keeps its mode.
            let mut file = tempfile::Builder::new().prefix(".config-").tempfile_in(folder)?;
            file.write_all(text.as_bytes())?;
            if let Ok(old) = fs::metadata(&self.path) {
                file.as_file().set_permissions(old.permissions())?;
                let new = file.as_file().metadata()?;
                if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
                    chown(file.path(), Some(old.uid()), Some(old.gid()))?;
                }
            }
            file.as_file().sync_all()?;
            file.persist(&self.path).map_err(|error| error.error)?;
            Ok(())
        };
        write().map_err(|source| self.failed(source))
    }
}

fn put(text: &str, place: Range<usize>, new: &str) -> String {
    format!("{}{new}{}", &text[..place.start], &text[place.end..])
}

/// The positions of an object's members in a text.
#[derive(Debug)]
struct Object {
    /// The position after the opening brace, in bytes.
    inside: usize,
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    name: String,
    name_at: usize,
    value: Range<usize>,
}

impl Object {
    /// Reads the object that begins at a position, or after white space that follows it. If a name occurs twice, the
    /// last one counts, as in docker.
    fn read(text: &str, from: usize) -> Option<Self> {
        let mut at = from + text[from..].find(|c: char| !c.is_whitespace())?;
        if !text[at..].starts_with('{') {
            return None;
        }
        let inside = at + 1;
        let mut members = Vec::new();
        at = skip_blanks(text, inside);
        if text[at..].starts_with('}') {
            return Some(Self { inside, members });
        }
        loop {
            let name_at = skip_blanks(text, at);
            let mut names = serde_json::Deserializer::from_str(&text[name_at..]).into_iter::<String>();
            let name = names.next()?.ok()?;
            at = skip_blanks(text, name_at + names.byte_offset());
            text[at..].strip_prefix(':')?;
            let start = skip_blanks(text, at + 1);
            let mut values = serde_json::Deserializer::from_str(&text[start..]).into_iter::<IgnoredAny>();
            values.next()?.ok()?;
            let value = start..start + values.byte_offset();
            at = skip_blanks(text, value.end);
            members.push(Member { name, name_at, value });
            match text[at..].chars().next()? {
                ',' => at += 1,
                '}' => return Some(Self { inside, members }),
                _ => return None,
            }
        }
    }

    fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().rev().find(|member| member.name == name)
    }

    /// Returns the comma that must follow a member that is inserted before all others.
    fn comma(&self) -> &'static str {
        if self.members.is_empty() { "" } else { "," }
    }

    /// Returns the range of a member and of the comma that must be removed with it. For the first member, the range
    /// goes from the opening brace to the comma after the member, because `install` inserts a member there. For any
    /// other member, it begins at the comma before the member.
    fn without(&self, member: &Member) -> Range<usize> {
        let position = self.members.iter().position(|other| other.name_at == member.name_at).unwrap_or(0);
        match (position.checked_sub(1).and_then(|at| self.members.get(at)), self.members.get(position + 1)) {
            (Some(previous), _) => previous.value.end..member.value.end,
            (None, Some(_)) => self.inside..member.value.end + 1,
            (None, None) => self.inside..member.value.end,
        }
    }
}

fn skip_blanks(text: &str, from: usize) -> usize {
    from + text[from..].find(|c: char| !c.is_whitespace()).unwrap_or(text.len() - from)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn alias(folder: &Path) -> Alias {
        Alias::at(folder).unwrap()
    }

    #[test]
    fn every_text_comes_back_to_the_byte() {
        for text in [
            "{}",
            "{ }\n",
            "{\n\t\"auths\": {}\n}",
            "{\"aliases\":{}}",
            "{ \"a\" : 1 , \"aliases\" : { } }",
            "{\"aliases\": {\"builder\": \"buildx\"}, \"z\": [1, {\"aliases\": 2}]}",
            "{\"credsStore\":\"x\",\r\n  \"aliases\":{\"other\":\"y\"}}",
            "\n{\"b\":\"\\\"}{\", \"a\": null}",
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("config.json");
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
            let before = alias(folder.path()).install("pbuild").unwrap().unwrap();
            assert_eq!(alias(folder.path()).present().as_deref(), Some("pbuild"), "{text}");
            assert_eq!(alias(folder.path()).install("pbuild").unwrap(), None, "{text}");
            let mut old: Value = serde_json::from_str(text).unwrap();
            old[ALIASES][BUILDER] = "pbuild".into();
            let new: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
            assert_eq!(new, old, "nothing else has changed");
            assert!(alias(folder.path()).uninstall("pbuild", &before).unwrap());
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        }
    }

    #[test]
    fn a_file_of_ours_goes_again_unless_docker_has_written_into_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        let before = alias(folder.path()).install("pbuild").unwrap().unwrap();
        assert_eq!(before, AliasBefore::NoFile);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o077, 0, "docker keeps credentials in it");
        fs::write(&path, "{\"auths\": {}, \"aliases\": {\"builder\": \"pbuild\"}}").unwrap();
        assert!(alias(folder.path()).uninstall("pbuild", &before).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"auths\": {}}");
        let other = tempfile::tempdir().unwrap();
        let before = alias(other.path()).install("pbuild").unwrap().unwrap();
        assert!(alias(other.path()).uninstall("pbuild", &before).unwrap());
        assert!(!other.path().join("config.json").exists());
    }

    #[test]
    fn what_somebody_changed_since_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        fs::write(&path, "{\"aliases\": {\"builder\": \"other\"}}").unwrap();
        assert!(!alias(folder.path()).uninstall("pbuild", &AliasBefore::NoAliases).unwrap());
        fs::write(&path, "{\"aliases\": {\"x\": \"y\", \"builder\": \"pbuild\"}}").unwrap();
        assert!(alias(folder.path()).uninstall("pbuild", &AliasBefore::NoAliases).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"aliases\": {\"x\": \"y\"}}");
    }

    #[test]
    fn what_is_no_configuration_is_not_touched() {
        for text in ["", "[]", "{\"aliases\": 7}", "{\"a\": 1", "nonsense"] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("config.json");
            fs::write(&path, text).unwrap();
            assert!(alias(folder.path()).install("pbuild").is_err(), "{text}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }
}
