//! `[secrets]`: the declared user secrets, with the scope of each.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use crate::error::{Lines, Located};
use crate::table::{Table, as_table, broken};
use crate::template::Template;
use crate::{duration, names};

/// The half of the work that gets a secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Only the build gets the secret.
    Build,
    /// Only the running app gets the secret.
    Run,
    /// Both get the secret. This is the default.
    #[default]
    Both,
}

/// The form in which a program gets a secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// A variable holds the value. This is the default.
    #[default]
    Variable,
    /// A variable holds the path of a file in memory.
    File,
}

/// The source of a value, which is `from` in the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A variable of the process environment, by name.
    Variable(String),
    /// A file, whose path is relative to the manifest.
    File(PathBuf),
    /// The output of a command.
    Command {
        /// The program and its arguments, which are run without a shell.
        words: Vec<String>,
        /// The time that the command may run, if the manifest says so.
        timeout: Option<Duration>,
        /// True to keep the last line end, which most programs print after their output (C13).
        raw: bool,
    },
}

/// The parts of a secret's value that count, which is `parts` in the manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Parts {
    /// All parts that are found count. This is the default.
    #[default]
    All,
    /// No parts count: the value is only treated as a whole.
    None,
    /// The parts of these names.
    Named(Vec<String>),
}

/// A declared user secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// The name.
    pub name: String,
    /// The line that declares the secret, from 1.
    pub line: usize,
    /// The scope: the build, the running app, or both.
    pub scope: Scope,
    /// Patterns of commands. A step whose command matches one of them gets the secret; with an empty list, every step
    /// gets it.
    pub steps: Vec<String>,
    /// The source of the value, if the manifest names one.
    pub from: Option<Origin>,
    /// The parts that are searched for and masked beside the whole value.
    pub parts: Parts,
    /// Whether a new value makes the secret's steps run again, if the manifest says so.
    pub rebuild: Option<bool>,
    /// True if the secret may have no value.
    pub optional: bool,
    /// The form in which programs get the secret.
    pub delivery: Delivery,
    /// A template that composes the value of other names.
    pub value: Option<Template>,
    /// True if the secret may replace an injected variable of the same name.
    pub replaces_injected: bool,
}

const KNOWN: &[&str] = &["scope", "steps", "from", "parts", "rebuild", "optional", "as", "value", "override"];
const FROM: &[&str] = &["env", "file", "command", "timeout", "raw"];

impl Secret {
    pub(crate) fn read(
        secrets: &Table<'_>,
        name: &str,
        name_span: Range<usize>,
        value: &Spanned<DeValue<'_>>,
        lines: &Lines,
    ) -> Result<Self, Located> {
        let path = secrets.path(name);
        if !names::is_secret(name) {
            return Err(broken(&path, "have 1 to 255 characters without `=` and blanks", name_span));
        }
        let line = lines.line(name_span.start);
        let (table, span) = as_table(&path, value)?;
        let table = Table::open(&path, table, span, KNOWN)?;
        let secret = Self {
            name: name.to_owned(),
            line,
            scope: table
                .choice("scope", &["build", "run", "both"], &[Scope::Build, Scope::Run, Scope::Both])?
                .unwrap_or_default(),
            steps: steps(&table)?,
            from: from(&table)?,
            parts: parts(&table)?,
            rebuild: table.boolean("rebuild")?.map(|at| at.value),
            optional: table.boolean("optional")?.is_some_and(|at| at.value),
            delivery: table
                .choice("as", &["variable", "file"], &[Delivery::Variable, Delivery::File])?
                .unwrap_or_default(),
            value: template(&table)?,
            replaces_injected: table.boolean("override")?.is_some_and(|at| at.value),
        };
        secret.check(&table)?;
        Ok(secret)
    }

    fn check(&self, table: &Table<'_>) -> Result<(), Located> {
        if self.from.is_some() && self.value.is_some() {
            return Err(table.conflict("value", "from", "both say what the value is; choose one"));
        }
        if self.scope == Scope::Run {
            for key in ["steps", "rebuild"] {
                if table.get(key).is_some() {
                    return Err(table.conflict(key, "scope", "exclude each other: no step of a build gets it"));
                }
            }
        }
        if self.replaces_injected && self.scope == Scope::Build {
            return Err(table.conflict("override", "scope", "exclude each other: a build has no injected variables"));
        }
        if self.delivery == Delivery::Variable && !names::is_variable(&self.name) {
            let rule = "be a variable's name (letters, digits and `_`), or be delivered with as = \"file\"";
            return Err(broken(table.place(), rule, table.span()));
        }
        Ok(())
    }

    /// Returns true if a build offers the secret to its steps.
    #[must_use]
    pub fn in_build(&self) -> bool {
        matches!(self.scope, Scope::Build | Scope::Both)
    }

    /// Returns true if the running app gets the secret.
    #[must_use]
    pub fn in_run(&self) -> bool {
        matches!(self.scope, Scope::Run | Scope::Both)
    }
}

fn steps(table: &Table<'_>) -> Result<Vec<String>, Located> {
    let Some(written) = table.strings("steps")? else {
        return Ok(Vec::new());
    };
    let whole = table.get("steps").map_or(0..0, Spanned::span);
    if written.is_empty() {
        return Err(broken(
            &table.path("steps"),
            "name a command at least; without it every step gets the secret",
            whole,
        ));
    }
    written
        .into_iter()
        .map(|pattern| match pattern.value.trim() {
            "" => Err(broken(&table.path("steps"), "hold patterns of commands such as \"npm *\"", pattern.span)),
            _ => Ok(pattern.value),
        })
        .collect()
}

fn parts(table: &Table<'_>) -> Result<Parts, Located> {
    let Some(written) = table.get("parts") else { return Ok(Parts::All) };
    let rule = "be true, false, or a list of names";
    match written.get_ref() {
        DeValue::Boolean(true) => Ok(Parts::All),
        DeValue::Boolean(false) => Ok(Parts::None),
        DeValue::Array(names) if !names.is_empty() => {
            let names = table.strings("parts")?.unwrap_or_default();
            Ok(Parts::Named(names.into_iter().map(|name| name.value).collect()))
        }
        _ => Err(broken(&table.path("parts"), rule, written.span())),
    }
}

fn from(table: &Table<'_>) -> Result<Option<Origin>, Located> {
    let Some((inner, span)) = table.table("from")? else {
        return Ok(None);
    };
    let inner = Table::open(&table.path("from"), inner, span, FROM)?;
    let variable = inner.checked("env", "be a variable's name", names::is_secret)?;
    let file = inner.checked("file", "be a path", |path| !path.is_empty() && !path.contains('\0'))?;
    let command = inner.command("command")?;
    let timeout = time(&inner, "timeout")?;
    let raw = inner.boolean("raw")?;
    if command.is_none() {
        for key in ["timeout", "raw"] {
            if inner.get(key).is_some() {
                return Err(inner.conflict(key, "command", "belong together"));
            }
        }
    }
    match (variable, file, command) {
        (Some(variable), None, None) => Ok(Some(Origin::Variable(variable))),
        (None, Some(file), None) => Ok(Some(Origin::File(PathBuf::from(file)))),
        (None, None, Some(words)) => Ok(Some(Origin::Command { words, timeout, raw: raw.is_some_and(|at| at.value) })),
        _ => Err(broken(inner.place(), "name exactly one of `env`, `file` and `command`", inner.span())),
    }
}

fn template(table: &Table<'_>) -> Result<Option<Template>, Located> {
    let Some(written) = table.string("value")? else {
        return Ok(None);
    };
    let path = table.path("value");
    let template = Template::parse(&written.value).ok_or_else(|| {
        broken(&path, "close each `${` around a variable's name; `$${` is a literal", written.span.clone())
    })?;
    if template.names().next().is_none() {
        // A manifest holds names only. A literal without any name would be a value in a file that everybody can read.
        return Err(broken(
            &path,
            "be made of other names, as in \"${NAME}\"; public values belong in [env]",
            written.span,
        ));
    }
    Ok(Some(template))
}

pub(crate) fn time(table: &Table<'_>, key: &str) -> Result<Option<Duration>, Located> {
    table
        .string(key)?
        .map(|written| {
            duration::parse(&written.value).ok_or_else(|| broken(&table.path(key), duration::RULE, written.span))
        })
        .transpose()
}
