//! The container's own flags, checked. Their spelling and their meaning are those of `docker run`.

use std::path::{Path, PathBuf};

use bollard::models::{ContainerCreateBody, HostConfig, RestartPolicy, RestartPolicyNameEnum};
use papp::{Volume, VolumeSource};

use crate::engine::containers;
use crate::names;
use crate::plan::error::PlanError;
use crate::plan::order::ContainerOrder;

/// A volume of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PlannedVolume {
    /// A volume of the manifest. Its name in the engine begins with the project's name.
    Project(Volume),
    /// A volume of a flag. As with docker, its name is also its name in the engine.
    Engine(Volume),
    /// A volume without a name, at this path. It is removed with its container.
    Nameless(String),
}

/// The container's flags, checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ContainerFlags {
    volumes: Vec<PlannedVolume>,
    user: Option<String>,
    networks: Vec<String>,
    workdir: Option<String>,
    restart: Option<(RestartPolicyNameEnum, i64)>,
    memory: Option<i64>,
    nano_cpus: Option<i64>,
    entrypoint: Option<String>,
    labels: Vec<(String, String)>,
    read_only: bool,
    cap_drop: Vec<String>,
    cap_add: Vec<String>,
    init: bool,
    command: Vec<String>,
}

impl ContainerOrder {
    /// Reads the public configuration of the flags.
    ///
    /// # Errors
    ///
    /// Returns [`PlanError`] for a name without a value. Docker would take the value from its own environment, where
    /// it may be a secret.
    pub(crate) fn configuration(&self) -> Result<Vec<(String, String)>, PlanError> {
        let pairs = self.environment.iter().map(|text| match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
            _ => Err(PlanError::EnvironmentWithoutValue { flag: text.clone() }),
        });
        pairs.collect()
    }

    /// Checks the flags. Relative paths are resolved against `folder`.
    ///
    /// # Errors
    ///
    /// Returns a [`PlanError`] that names the flag.
    pub(crate) fn check(&self, folder: &Path, command: &[String]) -> Result<ContainerFlags, PlanError> {
        let network = |name: &String| match name.as_str() {
            "host" | "none" => true,
            name => name.starts_with("container:"),
        };
        if let Some(name) = self.networks.iter().find(|name| network(name)) {
            return Err(PlanError::Network { name: name.clone() });
        }
        Ok(ContainerFlags {
            volumes: self.volumes.iter().map(|text| volume(text, folder)).collect::<Result<_, _>>()?,
            user: self.user.clone(),
            networks: self.networks.clone(),
            workdir: self.workdir.clone(),
            restart: self.restart.as_deref().map(restart).transpose()?,
            memory: self.memory.as_deref().map(memory).transpose()?,
            nano_cpus: self.cpus.as_deref().map(cpus).transpose()?,
            entrypoint: self.entrypoint.clone(),
            labels: self.labels.iter().map(|text| label(text)).collect::<Result<_, _>>()?,
            read_only: self.read_only,
            cap_drop: self.cap_drop.clone(),
            cap_add: self.cap_add.clone(),
            init: self.init,
            command: command.to_vec(),
        })
    }
}

impl ContainerFlags {
    /// Puts the manifest's volumes before the volumes of the flags.
    pub(crate) fn mount_first(&mut self, volumes: impl Iterator<Item = Volume>) {
        self.volumes.splice(..0, volumes.map(PlannedVolume::Project));
    }

    /// Returns the app's volumes.
    #[must_use]
    pub(crate) fn volumes(&self) -> &[PlannedVolume] {
        &self.volumes
    }

    /// Returns the user of the flags, who takes the place of the image's user.
    #[must_use]
    pub(crate) fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Returns the networks of the flags, which the container joins in addition to the project's network.
    #[must_use]
    pub(crate) fn networks(&self) -> &[String] {
        &self.networks
    }

    /// Returns a copy of these settings with the command and the resources of a process.
    #[must_use]
    pub(crate) fn of_process(&self, process: &papp::Process) -> Self {
        let mut own = self.clone();
        if let Some(command) = &process.command {
            own.command.clone_from(command);
        }
        let signed = |number: u64| i64::try_from(number).ok();
        own.memory = process.memory.and_then(signed).or(own.memory);
        own.nano_cpus = process.processors.and_then(signed).or(own.nano_cpus);
        own
    }

    /// Replaces the command, unless `command` is empty.
    pub(crate) fn override_command(&mut self, command: &[String]) {
        if !command.is_empty() {
            self.command = command.to_vec();
        }
    }

    /// Runs `words` without an entrypoint: the image's entrypoint and command, and those of the flags, are not used.
    pub(crate) fn run_instead(&mut self, words: Vec<String>) {
        self.entrypoint = Some(String::new());
        self.command = words;
    }

    /// Returns the app's command: the one of the flags, or else the image's. If the flags name an entrypoint, the
    /// image's CMD is dropped, as in docker.
    #[must_use]
    pub(crate) fn command_of(&self, image: &bollard::models::ImageConfig) -> Vec<String> {
        let entrypoint: Vec<String> = match &self.entrypoint {
            Some(program) if program.is_empty() => Vec::new(),
            Some(program) => vec![program.clone()],
            None => image.entrypoint.clone().unwrap_or_default(),
        };
        let command = match (&self.command[..], &self.entrypoint) {
            ([], None) => image.cmd.clone().unwrap_or_default(),
            (command, _) => command.to_vec(),
        };
        entrypoint.into_iter().chain(command).collect()
    }

    /// Adds the flags to the request for a container.
    #[must_use]
    pub(crate) fn apply(&self, body: ContainerCreateBody) -> ContainerCreateBody {
        let some = |list: &Vec<String>| (!list.is_empty()).then(|| list.clone());
        let mut labels = body.labels.unwrap_or_default();
        labels.extend(self.labels.iter().cloned());
        ContainerCreateBody {
            labels: Some(labels),
            user: self.user.clone(),
            working_dir: self.workdir.clone(),
            host_config: Some(HostConfig {
                memory: self.memory,
                nano_cpus: self.nano_cpus,
                readonly_rootfs: self.read_only.then_some(true),
                cap_drop: some(&self.cap_drop),
                cap_add: some(&self.cap_add),
                init: self.init.then_some(true),
                ..body.host_config.unwrap_or_default()
            }),
            ..body
        }
    }

    /// Returns what the engine does when an instance that was healthy once ends.
    #[must_use]
    pub(crate) fn restart_policy(&self) -> RestartPolicy {
        match self.restart {
            None => containers::restarting(),
            Some((name, count)) => {
                RestartPolicy { name: Some(name), maximum_retry_count: (count > 0).then_some(count) }
            }
        }
    }
}

fn volume(text: &str, folder: &Path) -> Result<PlannedVolume, PlanError> {
    if text.starts_with('/') && !text.contains(':') {
        return Ok(PlannedVolume::Nameless(text.to_owned()));
    }
    let Some(volume) = Volume::parse(text) else {
        return Err(PlanError::Volume { flag: text.to_owned() });
    };
    let source = match volume.source {
        VolumeSource::Host(path) => VolumeSource::Host(absolute(folder, &path).display().to_string()),
        named @ VolumeSource::Named(_) => named,
    };
    Ok(PlannedVolume::Engine(Volume { source, ..volume }))
}

fn absolute(folder: &Path, path: &str) -> PathBuf {
    let joined = folder.join(path);
    std::path::absolute(&joined).unwrap_or(joined)
}

fn restart(text: &str) -> Result<(RestartPolicyNameEnum, i64), PlanError> {
    let (name, count) = match text.split_once(':') {
        Some((name, count)) => (name, count.parse().ok().filter(|count| *count > 0)),
        None => (text, Some(0)),
    };
    let policy = match name {
        "no" => RestartPolicyNameEnum::NO,
        "always" => RestartPolicyNameEnum::ALWAYS,
        "unless-stopped" => RestartPolicyNameEnum::UNLESS_STOPPED,
        "on-failure" => RestartPolicyNameEnum::ON_FAILURE,
        _ => RestartPolicyNameEnum::EMPTY,
    };
    match count {
        Some(count) if policy != RestartPolicyNameEnum::EMPTY && (count == 0 || name == "on-failure") => {
            Ok((policy, count))
        }
        _ => Err(PlanError::Restart { flag: text.to_owned() }),
    }
}

/// Reads a size in the form that docker accepts.
fn memory(text: &str) -> Result<i64, PlanError> {
    pscreen::size(text).filter(|bytes| *bytes > 0).ok_or_else(|| PlanError::Memory { flag: text.to_owned() })
}

/// Reads a decimal number as billionths.
fn cpus(text: &str) -> Result<i64, PlanError> {
    let number = papp::processors(text).and_then(|number| i64::try_from(number).ok());
    number.ok_or_else(|| PlanError::Cpus { flag: text.to_owned() })
}

fn label(text: &str) -> Result<(String, String), PlanError> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    if name.is_empty() || name.starts_with("io.prun.") || name == names::PROJECT {
        return Err(PlanError::Label { flag: text.to_owned() });
    }
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_numbers_are_dockers() {
        assert_eq!(memory("512m").unwrap(), 512 << 20);
        assert_eq!(memory("1G").unwrap(), 1 << 30);
        assert_eq!(memory("64kb").unwrap(), 64 << 10);
        assert_eq!(memory("100").unwrap(), 100);
        assert_eq!(memory("100b").unwrap(), 100);
        assert_eq!(memory("1.5g").unwrap(), 3 << 29);
        assert_eq!(cpus("1.5").unwrap(), 1_500_000_000);
        assert_eq!(cpus(".25").unwrap(), 250_000_000);
        assert_eq!(cpus("2").unwrap(), 2_000_000_000);
        for wrong in ["", "m", "0", "-1", "1.5q", "9999999999g"] {
            assert!(memory(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "0", "-1", "1.x", "1.0000000001"] {
            assert!(cpus(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn policies_are_dockers() {
        assert_eq!(restart("on-failure:3").unwrap(), (RestartPolicyNameEnum::ON_FAILURE, 3));
        assert_eq!(restart("always").unwrap(), (RestartPolicyNameEnum::ALWAYS, 0));
        for wrong in ["", "sometimes", "always:3", "on-failure:x", "on-failure:0"] {
            assert!(restart(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn another_entrypoint_takes_the_images_command_away() {
        let image = bollard::models::ImageConfig {
            entrypoint: Some(vec!["/entry".to_owned()]),
            cmd: Some(vec!["serve".to_owned()]),
            ..Default::default()
        };
        let command = |entrypoint: Option<&str>, words: &[&str]| {
            let arguments = ContainerOrder { entrypoint: entrypoint.map(str::to_owned), ..Default::default() };
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            arguments.check(Path::new("/"), &words).unwrap().command_of(&image)
        };
        assert_eq!(command(None, &[]), ["/entry", "serve"]);
        assert_eq!(command(None, &["migrate"]), ["/entry", "migrate"]);
        assert_eq!(command(Some("sh"), &[]), ["sh"]);
        assert_eq!(command(Some("sh"), &["-c", "true"]), ["sh", "-c", "true"]);
        assert_eq!(command(Some(""), &["true"]), ["true"]);
    }

    #[test]
    fn the_projects_network_and_labels_are_not_given_away() {
        let check = |arguments: ContainerOrder| arguments.check(Path::new("/"), &[]).map(drop);
        let of = |text: &str| vec![text.to_owned()];
        assert!(check(ContainerOrder { networks: of("host"), ..Default::default() }).is_err());
        assert!(check(ContainerOrder { networks: of("other"), ..Default::default() }).is_ok());
        assert!(check(ContainerOrder { labels: of("io.prun.owner=me"), ..Default::default() }).is_err());
        assert!(ContainerOrder { environment: of("TOKEN"), ..Default::default() }.configuration().is_err());
    }
}
