//! `env_files`: the project's files that hold values of declared secrets.

use std::path::{Component, Path, PathBuf};

use toml::Spanned;

use crate::error::{Lines, Located};
use crate::table::{Table, broken};

/// The syntax of an env file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EnvFileDialect {
    /// The syntax of Compose and the dotenv libraries, with quotes and comments. It is the default, because most env
    /// files of projects are written for them.
    #[default]
    Dotenv,
    /// The syntax of `docker run --env-file`.
    Docker,
}

/// An env file that the manifest names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvFile {
    /// The path of the file, which lies below the manifest's folder.
    pub path: PathBuf,
    /// The line that names the file, from 1.
    pub line: usize,
    /// The syntax of the file.
    pub dialect: EnvFileDialect,
}

pub(crate) const ENV_FILE: &[&str] = &["path", "dialect"];
pub(crate) const DIALECTS: &[&str] = &["dotenv", "docker"];

impl EnvFile {
    pub(crate) fn read(table: &Table<'_>, lines: &Lines, earlier: &[Self]) -> Result<Self, Located> {
        let path = table
            .checked("path", "be a path below the manifest's folder, without `..`", is_below)?
            .ok_or_else(|| table.missing("path"))?;
        let span = table.get("path").map_or(table.span(), Spanned::span);
        let path = PathBuf::from(path);
        if earlier.iter().any(|file| file.path == path) {
            return Err(broken(&table.path("path"), "differ from those of the other files", span));
        }
        let dialect =
            table.choice("dialect", DIALECTS, &[EnvFileDialect::Dotenv, EnvFileDialect::Docker])?.unwrap_or_default();
        Ok(Self { path, line: lines.line(span.start), dialect })
    }
}

/// Returns true if a path lies below the manifest's folder, because a manifest may only name files in its own folder.
/// The target of a symbolic link is checked later, when the file is read.
pub(crate) fn is_below(path: &str) -> bool {
    let mut components = Path::new(path).components().filter(|component| *component != Component::CurDir).peekable();
    components.peek().is_some()
        && !path.contains('\0')
        && components.all(|component| matches!(component, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Manifest;

    fn parse(text: &str) -> Result<Vec<EnvFile>, String> {
        let parsed = Manifest::parse(Path::new("app.toml"), text.as_bytes());
        parsed.map(|manifest| manifest.env_files).map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_has_a_path_a_line_and_a_dialect() {
        let text = "name = \"shop\"\nenv_files = [\n  { path = \".env\" },\n  { path = \"env/build\", dialect = \"docker\" },\n]\n";
        let files = parse(text).unwrap();
        let told: Vec<_> = files.iter().map(|file| (file.path.to_str().unwrap(), file.line, file.dialect)).collect();
        assert_eq!(told, [(".env", 3, EnvFileDialect::Dotenv), ("env/build", 4, EnvFileDialect::Docker)]);
    }

    #[test]
    fn no_file_outside_of_the_folder_can_be_named_c11() {
        for path in ["/etc/environment", "../.env", "a/../../b", "", ".", "./", "x/.."] {
            let error = parse(&format!("env_files = [{{ path = \"{path}\" }}]")).unwrap_err();
            assert!(error.contains("`env_files.path` must be a path below"), "{path}: {error}");
        }
        assert!(parse("env_files = [{ path = \"./a/.env..local\" }]").is_ok());
    }

    #[test]
    fn what_is_no_list_of_files_is_an_error() {
        for (text, said) in [
            ("env_files = \".env\"", "must be a list of tables"),
            ("env_files = [\".env\"]", "must be a table"),
            ("env_files = [{ file = \".env\" }]", "unknown key `file`"),
            ("env_files = [{ dialect = \"dotenv\" }]", "has no `path`"),
            ("env_files = [{ path = \".env\", dialect = \"yaml\" }]", "must be one of dotenv, docker"),
            ("env_files = [{ path = \".env\" }, { path = \".env\" }]", "must differ"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
