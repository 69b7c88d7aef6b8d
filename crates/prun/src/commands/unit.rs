//! The systemd unit that runs `prun resume` each time the engine has started.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use pscreen::Printer;

use crate::error::command::CommandError;

/// The unit's name.
const NAME: &str = "prun-resume.service";
/// The folder with the units of the machine's systemd.
const SYSTEM: &str = "/etc/systemd/system";
/// The folder that exists where systemd runs the machine (sd_booted(3)).
const RUNNING: &str = "/run/systemd/system";
/// The variables that the unit's process needs to find the same state and the same engine.
const PASSED_ON: [&str; 3] = ["HOME", "XDG_STATE_HOME", "DOCKER_HOST"];

/// The systemd that starts the engine, and therefore the unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manager {
    /// The machine's systemd.
    System,
    /// The user's own systemd, which runs a rootless engine.
    User,
}

/// The unit's content: the user, the program and the variables of its process.
#[derive(Debug)]
pub(crate) struct Unit {
    manager: Manager,
    user: u32,
    program: PathBuf,
    environment: Vec<(&'static str, String)>,
}

impl Unit {
    /// Makes the unit for this user, this program and this engine.
    #[must_use]
    pub(crate) fn of_process() -> Self {
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let runtime = set("XDG_RUNTIME_DIR").map(|folder| format!("unix://{folder}/"));
        let rootless = runtime.is_some_and(|folder| set("DOCKER_HOST").is_some_and(|host| host.starts_with(&folder)));
        Self {
            manager: if rootless { Manager::User } else { Manager::System },
            user: rustix::process::geteuid().as_raw(),
            program: std::env::current_exe().unwrap_or_else(|_| "prun".into()),
            environment: PASSED_ON.into_iter().filter_map(|name| Some((name, set(name)?))).collect(),
        }
    }

    /// Writes the unit's text. The unit belongs to the engine's own unit: it runs whenever the engine has started, at
    /// boot or after a restart. After a failure systemd runs it again.
    #[must_use]
    pub(crate) fn text(&self) -> String {
        let mut service = String::new();
        if self.manager == Manager::System && self.user != 0 {
            // Writing to a string cannot fail.
            let _ = writeln!(service, "User={}", self.user);
        }
        for (name, value) in &self.environment {
            let _ = writeln!(service, "Environment={}", word(&format!("{name}={value}")));
        }
        let program = word(&self.program.display().to_string());
        format!(
            "[Unit]\nDescription=Values of prun's projects, after a start of the engine\nAfter=docker.service\n\
             PartOf=docker.service\nStartLimitIntervalSec=600\nStartLimitBurst=5\n\n\
             [Service]\nType=oneshot\n{service}ExecStart={program} resume\nRestart=on-failure\nRestartSec=5\n\n\
             [Install]\nWantedBy=docker.service\n"
        )
    }

    /// Writes the unit into a folder of units, and makes the engine's unit require it, as `systemctl enable` does.
    ///
    /// # Errors
    ///
    /// Returns [`CommandError::Unit`] if this user may not write to the folder.
    pub(crate) fn install(&self, folder: Option<&Path>, printer: &Printer) -> Result<(), CommandError> {
        let units = folder.map_or_else(|| self.units(), Path::to_owned);
        let path = units.join(NAME);
        write(&units, &self.text()).map_err(|source| CommandError::Unit { path: path.clone(), source })?;
        printer.fact("installed", &format!("{}: values come back after every start of the engine", path.display()));
        if folder.is_none() && !self.reload() {
            printer
                .warning("systemd does not know the unit yet: run systemctl daemon-reload, or wait for the next boot");
        }
        Ok(())
    }

    /// Returns whether systemd runs this machine, which has its folder `running`, and does not have the unit yet.
    #[must_use]
    pub(crate) fn is_missing(&self, running: &Path, units: &Path) -> bool {
        running.is_dir() && !units.join(NAME).exists()
    }

    /// Returns whether a start of an app should mention the unit.
    #[must_use]
    pub(crate) fn is_advised(&self) -> bool {
        self.is_missing(Path::new(RUNNING), &self.units())
    }

    fn units(&self) -> PathBuf {
        match self.manager {
            Manager::System => SYSTEM.into(),
            Manager::User => {
                let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
                let home = || set("HOME").unwrap_or_default().join(".config");
                set("XDG_CONFIG_HOME").unwrap_or_else(home).join("systemd/user")
            }
        }
    }

    /// Makes systemd read its units again. Returns whether that succeeded.
    fn reload(&self) -> bool {
        let mut systemctl = std::process::Command::new("systemctl");
        if self.manager == Manager::User {
            systemctl.arg("--user");
        }
        systemctl.arg("daemon-reload").stderr(std::process::Stdio::null());
        systemctl.status().is_ok_and(|status| status.success())
    }
}

/// Returns the commands that install the unit by hand, for a user who may not write to the folder.
#[must_use]
pub(crate) fn by_hand() -> String {
    format!("prun resume --print-unit | sudo tee {SYSTEM}/{NAME}, then sudo systemctl enable {NAME}")
}

fn write(units: &Path, text: &str) -> io::Result<()> {
    let wants = units.join("docker.service.wants");
    std::fs::create_dir_all(&wants)?;
    let (path, part) = (units.join(NAME), units.join(format!(".{NAME}.part")));
    std::fs::write(&part, text)?;
    std::fs::rename(&part, &path)?;
    match std::os::unix::fs::symlink(Path::new("..").join(NAME), wants.join(NAME)) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Quotes one word for systemd, in which `%` begins a specifier and a blank ends a word.
fn word(text: &str) -> String {
    let text = text.replace('%', "%%");
    if text.chars().all(|c| c.is_ascii_alphanumeric() || "/_.:=-%@+,".contains(c)) {
        return text;
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(manager: Manager, user: u32) -> Unit {
        let environment = vec![("HOME", "/home/a b".to_owned()), ("DOCKER_HOST", "unix:///run/100%.sock".to_owned())];
        Unit { manager, user, program: "/opt/prun".into(), environment }
    }

    #[test]
    fn the_unit_runs_as_who_made_it_and_its_words_are_systemds() {
        let text = unit(Manager::System, 1000).text();
        assert!(text.contains("\nUser=1000\nEnvironment=\"HOME=/home/a b\"\n"), "{text}");
        assert!(
            text.contains("Environment=DOCKER_HOST=unix:///run/100%%.sock\nExecStart=/opt/prun resume\n"),
            "{text}"
        );
        // A user's own systemd runs every unit as that user, and a unit of root needs no `User=`.
        assert!(!unit(Manager::User, 1000).text().contains("User="));
        assert!(!unit(Manager::System, 0).text().contains("User="));
    }

    #[test]
    fn a_unit_is_missed_only_where_systemd_could_run_it() {
        let folder = tempfile::tempdir().unwrap();
        let (running, units) = (folder.path().join("running"), folder.path().join("units"));
        let unit = unit(Manager::System, 0);
        assert!(!unit.is_missing(&running, &units), "nothing would run it");
        std::fs::create_dir(&running).unwrap();
        assert!(unit.is_missing(&running, &units));
        unit.install(Some(&units), &Printer::stderr()).unwrap();
        assert!(!unit.is_missing(&running, &units));
    }

    #[test]
    fn an_installed_unit_is_wanted_by_the_engines_and_installed_again_without_harm() {
        let folder = tempfile::tempdir().unwrap();
        let units = folder.path().join("units");
        for user in [1000, 1001] {
            unit(Manager::System, user).install(Some(&units), &Printer::stderr()).unwrap();
            let wanted = std::fs::read_to_string(units.join("docker.service.wants").join(NAME)).unwrap();
            assert!(wanted.contains(&format!("User={user}\n")));
        }
        assert_eq!(std::fs::read_dir(&units).unwrap().count(), 2);
        std::fs::write(folder.path().join("file"), "").unwrap();
        let error =
            unit(Manager::System, 0).install(Some(&folder.path().join("file")), &Printer::stderr()).unwrap_err();
        assert!(error.to_string().contains("cannot write"), "{error}");
    }
}
