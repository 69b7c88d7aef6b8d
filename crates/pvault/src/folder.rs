//! Finds the folders of a tool's configuration and of its state (XDG Base Directory Specification).

use std::ffi::OsString;
use std::path::PathBuf;

/// A function that reads a variable of the process environment.
pub type Environment<'a> = dyn Fn(&str) -> Option<OsString> + 'a;

/// Returns the folder of a tool's configuration: `$XDG_CONFIG_HOME/TOOL`, or else `~/.config/TOOL`.
///
/// Returns `None` if neither `XDG_CONFIG_HOME` nor `HOME` holds an absolute path. Relative paths are ignored, as the
/// specification demands.
#[must_use]
pub fn configuration_folder(environment: &Environment<'_>, tool: &str) -> Option<PathBuf> {
    folder(environment, "XDG_CONFIG_HOME", ".config", tool)
}

/// Returns the folder of a tool's state: `$XDG_STATE_HOME/TOOL`, or else `~/.local/state/TOOL`. Returns `None` if
/// neither `XDG_STATE_HOME` nor `HOME` holds an absolute path.
#[must_use]
pub fn state_folder(environment: &Environment<'_>, tool: &str) -> Option<PathBuf> {
    folder(environment, "XDG_STATE_HOME", ".local/state", tool)
}

fn folder(environment: &Environment<'_>, variable: &str, below_home: &str, tool: &str) -> Option<PathBuf> {
    let absolute = |name: &str| environment(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute(variable).or_else(|| absolute("HOME").map(|home| home.join(below_home)))?;
    Some(base.join(tool))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_paths_count_and_home_stands_in_k10() {
        let with = |config: &'static str, home: &'static str| {
            move |name: &str| match name {
                "XDG_CONFIG_HOME" => Some(OsString::from(config)),
                "HOME" if !home.is_empty() => Some(OsString::from(home)),
                _ => None,
            }
        };
        assert_eq!(configuration_folder(&with("/x", "/h"), "pbuild"), Some("/x/pbuild".into()));
        assert_eq!(configuration_folder(&with("", "/h"), "pbuild"), Some("/h/.config/pbuild".into()));
        assert_eq!(configuration_folder(&with("x", "/h"), "pbuild"), Some("/h/.config/pbuild".into()));
        assert_eq!(configuration_folder(&with("", ""), "pbuild"), None);
        assert_eq!(state_folder(&with("/x", "/h"), "prun"), Some("/h/.local/state/prun".into()));
    }
}
