//! One container of the app: the request that creates it, and the files with its values.

pub(crate) mod failed;
pub(crate) mod forwarder;
pub(crate) mod health;
pub(crate) mod holder;
pub(crate) mod init_results;
pub(crate) mod roll;
pub(crate) mod shim;
pub(crate) mod sweep;

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, HealthConfig, HostConfig, ImageInspect, Mount, MountBindOptions,
    MountType,
};
use papp::{Cron, Deliver, Schedule, VolumeSource};
use pengine::Engine;
use zeroize::Zeroizing;

use crate::engine::archive::File;
use crate::engine::containers::{self, Access};
use crate::names::Project;
use crate::plan::Plan;
use crate::plan::container::PlannedVolume;
use crate::plan::error::PlanError;
use crate::plan::process::PlannedProcess;
use crate::values::generation::{Generation, Origin, Shape, Value, Variable};

/// How many seconds the entrypoint waits for its values. They are missing after a restart of the engine, until `prun
/// resume` brings them back.
const WAIT: &str = "60";

/// Everything that the instances of one generation are made of.
pub(crate) struct Recipe<'a> {
    /// The project.
    pub(crate) project: &'a Project,
    /// The plan.
    pub(crate) plan: &'a Plan,
    /// The process that the instances run.
    pub(crate) process: &'a PlannedProcess,
    /// The app's image.
    pub(crate) image: &'a ImageInspect,
    /// The generation.
    pub(crate) generation: &'a Generation,
    /// The volume with the generation's values; `None` if nothing has to be delivered ([`is_delivered`]).
    pub(crate) values: Option<String>,
}

/// Returns whether instances need the entrypoint and a volume with values.
///
/// They do for values that are not public, for init commands, for schedules, and for health checks over the network.
/// Without any of these, an instance is the same container that `docker run` makes.
#[must_use]
pub(crate) fn is_delivered(plan: &Plan, variables: &[Variable]) -> bool {
    !plan.init().is_empty()
        || plan.asks_over_the_network()
        || plan.processes().iter().any(|process| process.schedule().is_some())
        || variables.iter().any(|variable| variable.origin != Origin::Configuration)
}

/// Returns whether a container was made with the entrypoint.
#[must_use]
pub(crate) fn has_entrypoint(container: &ContainerInspectResponse) -> bool {
    let words = container.config.as_ref().and_then(|config| config.entrypoint.as_ref());
    words.and_then(|words| words.first()).is_some_and(|program| program.starts_with(pshim::HOME))
}

impl Recipe<'_> {
    /// Makes the request for a container with these labels.
    ///
    /// # Errors
    ///
    /// Returns [`PlanError`] if the image has no command, a volume's folder does not exist, or a value is no text where only
    /// text is possible.
    pub(crate) fn body(&self, labels: HashMap<String, String>) -> Result<ContainerCreateBody, PlanError> {
        let config = self.image.config.clone().unwrap_or_default();
        let command = self.process.container().command_of(&config);
        if command.is_empty() {
            return Err(PlanError::NoCommand { image: self.plan.image().to_owned() });
        }
        let mut mounts = Vec::new();
        if let Some(values) = &self.values {
            mounts.push(containers::mount(values, pshim::DELIVERY, Access::Read));
            mounts.push(containers::mount(&self.project.home(), pshim::HOME, Access::Read));
        }
        for volume in self.process.container().volumes() {
            mounts.push(self.mount(volume)?);
        }
        let (entrypoint, command) = match &self.values {
            Some(_) => (self.beginning(), command),
            // Both are set, because the engine would otherwise add the image's own entrypoint or command.
            None => (command[..1].to_vec(), command[1..].to_vec()),
        };
        let healthcheck = config.healthcheck.and_then(|check| match &self.values {
            _ if !self.process.keeps_check_of_image() => {
                Some(HealthConfig { test: Some(vec!["NONE".to_owned()]), ..HealthConfig::default() })
            }
            Some(_) => wrap(check, config.shell.as_deref()),
            None => Some(check),
        });
        Ok(self.process.container().apply(ContainerCreateBody {
            // The id is used and not the tag, which may move between the start of two instances.
            image: Some(self.image.id.clone().unwrap_or_else(|| self.plan.image().to_owned())),
            entrypoint: Some(entrypoint),
            cmd: Some(command),
            env: Some(self.environment()?),
            labels: Some(labels),
            healthcheck,
            host_config: Some(HostConfig {
                mounts: Some(mounts),
                network_mode: Some(self.project.network()),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        }))
    }

    /// Returns the words of the entrypoint, which go before the app's command.
    fn beginning(&self) -> Vec<String> {
        let mut words = vec!["run".to_owned(), "--wait".to_owned(), WAIT.to_owned()];
        if !self.process.has_init() {
            words.push("--no-init".to_owned());
        }
        if let Some(schedule) = self.process.schedule() {
            words.extend(["--job".to_owned(), self.process.name().to_owned()]);
            words.extend(timetable(schedule).write());
        }
        words.push("--".to_owned());
        entrypoint(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn mount(&self, planned: &PlannedVolume) -> Result<Mount, PlanError> {
        let (volume, name_of): (_, fn(&Project, &str) -> String) = match planned {
            PlannedVolume::Project(volume) => (volume, Project::data),
            PlannedVolume::Engine(volume) => (volume, |_, name| name.to_owned()),
            PlannedVolume::Nameless(target) => {
                let (target, typ) = (Some(target.clone()), Some(MountType::VOLUME));
                return Ok(Mount { target, typ, ..Mount::default() });
            }
        };
        let access = if volume.read_only { Access::Read } else { Access::Write };
        match &volume.source {
            VolumeSource::Named(name) => {
                // The engine fills a new volume of the app with the image's files at that path, as with docker.
                Ok(Mount {
                    volume_options: None,
                    ..containers::mount(&name_of(self.project, name), &volume.target, access)
                })
            }
            VolumeSource::Host(path) => {
                let path = self.plan.folder_of_host(path)?;
                Ok(Mount {
                    source: Some(path.display().to_string()),
                    target: Some(volume.target.clone()),
                    typ: Some(MountType::BIND),
                    read_only: Some(volume.read_only),
                    bind_options: Some(MountBindOptions {
                        create_mountpoint: Some(false),
                        ..MountBindOptions::default()
                    }),
                    ..Mount::default()
                })
            }
        }
    }

    /// Returns the variables that the engine itself sets, and that it shows to everybody who may use it. They are
    /// only the public configuration. With `deliver = "env"` they are all variables, because the user chose so.
    ///
    /// # Errors
    ///
    /// Returns [`PlanError::NotText`] if a value of `deliver = "env"` is not UTF-8, because the engine's interface is JSON.
    fn environment(&self) -> Result<Vec<String>, PlanError> {
        let variables = self.generation.variables.iter();
        match self.plan.deliver() {
            Deliver::Shim | Deliver::Files => Ok(variables
                .filter(|variable| variable.origin == Origin::Configuration)
                .filter_map(|variable| match &variable.value {
                    Value::Public(text) => Some(format!("{}={text}", variable.name)),
                    Value::Confidential(_) => None,
                })
                .collect()),
            Deliver::Environment => {
                let text = |variable: &Variable| match str::from_utf8(&entry(variable)) {
                    Ok(text) => Ok(text.to_owned()),
                    Err(_) => Err(PlanError::NotText { name: variable.name.clone() }),
                };
                variables.map(text).collect()
            }
        }
    }

    /// Makes the files from which instances read their values. They are readable for the app's user `owner`, or for
    /// every user in the container if that user is not known.
    #[must_use]
    pub(crate) fn files(&self, owner: Option<u32>) -> Files {
        let mut files = Files { environment: Zeroizing::default(), single: Vec::new(), init: Vec::new(), owner };
        // The buffer has its final size from the start, because growing it would leave a copy of the values in
        // memory.
        files
            .environment
            .reserve_exact(self.generation.variables.iter().map(|variable| entry_size(variable) + 8).sum());
        for variable in self.generation.variables.iter().filter(|variable| variable.origin != Origin::Configuration) {
            let seen = seen_by_app(variable, self.plan.deliver());
            if seen.path.is_some() {
                files.add_single(variable);
            }
            match (self.plan.deliver(), &seen.path) {
                (Deliver::Environment, _) => {}
                (Deliver::Files | Deliver::Shim, Some(path)) => {
                    files.add(format!("{}={path}", seen.name).as_bytes());
                }
                (Deliver::Files | Deliver::Shim, None) => files.add(&entry(variable)),
            }
        }
        for init in self.plan.init() {
            let words: Vec<&str> = init.command.iter().map(String::as_str).collect();
            let limit = init.timeout.map_or(0, |timeout| u32::try_from(timeout.as_secs().max(1)).unwrap_or(0));
            files.init.extend(pshim::init::write(&init.name, limit, &words).unwrap_or_default());
        }
        files
    }
}

/// A variable as the app has it.
pub(crate) struct SeenVariable {
    /// The variable's name in the app's environment.
    pub(crate) name: String,
    /// The path that it holds instead of the value.
    pub(crate) path: Option<String>,
}

/// Returns how the app has a variable of a generation: `deliver = "files"` gives it `NAME_FILE` instead of a confidential
/// `NAME`.
#[must_use]
pub(crate) fn seen_by_app(variable: &Variable, deliver: Deliver) -> SeenVariable {
    let confidential = matches!(variable.value, Value::Confidential(_));
    let becomes_file = deliver == Deliver::Files && confidential && variable.shape == Shape::Variable;
    let is_file = (variable.shape == Shape::File || becomes_file) && variable.origin != Origin::Configuration;
    SeenVariable {
        name: if becomes_file { format!("{}_FILE", variable.name) } else { variable.name.clone() },
        path: is_file.then(|| file_path(&variable.name)),
    }
}

/// The files of a generation. Dropping them wipes confidential values from memory.
pub(crate) struct Files {
    environment: Zeroizing<Vec<u8>>,
    single: Vec<(String, Zeroizing<Vec<u8>>)>,
    init: Vec<u8>,
    owner: Option<u32>,
}

impl Files {
    fn add(&mut self, entry: &[u8]) {
        self.environment.extend_from_slice(entry);
        self.environment.push(0);
    }

    #[expect(clippy::disallowed_methods, reason = "door 46: a file on the instance's tmpfs holds one value")]
    fn add_single(&mut self, variable: &Variable) {
        let content = match &variable.value {
            Value::Public(text) => Zeroizing::new(text.clone().into_bytes()),
            Value::Confidential(value) => Zeroizing::new(value.expose().to_vec()),
        };
        self.single.push((variable.name.clone(), content));
    }

    /// Returns the files in the order in which they must be written. [`pshim::READY_FILE`] comes last, because it
    /// tells the entrypoint that all other files are there.
    #[must_use]
    pub(crate) fn in_order(&self) -> Vec<File<'_>> {
        let (mode, owner) = self.owner.map_or((0o444, 0), |owner| (0o400, owner));
        let own = |name: String, content| File { name, content, mode, owner };
        let mut files = vec![own(base_name(pshim::ENVIRONMENT_FILE), &self.environment[..])];
        files.extend(self.single.iter().map(|(name, content)| own(format!("files/{name}"), &content[..])));
        let open = |name: &str, content| File { name: base_name(name), content, mode: 0o444, owner: 0 };
        files.push(open(pshim::INIT_FILE, &self.init[..]));
        files.push(open(pshim::READY_FILE, &[]));
        files
    }
}

fn base_name(path: &str) -> String {
    path.rsplit('/').next().unwrap_or(path).to_owned()
}

fn file_path(name: &str) -> String {
    format!("{}/files/{name}", pshim::DELIVERY)
}

fn entry_size(variable: &Variable) -> usize {
    let value = match (&variable.value, variable.shape) {
        (_, Shape::File) => file_path(&variable.name).len(),
        (Value::Public(text), Shape::Variable) => text.len(),
        (Value::Confidential(value), Shape::Variable) => value.len(),
    };
    variable.name.len() + 1 + value.max(file_path(&variable.name).len() + "_FILE".len())
}

/// Writes a variable as `NAME=VALUE`, the form in which the app's environment holds it.
#[expect(clippy::disallowed_methods, reason = "door 47: the app's environment holds the values")]
fn entry(variable: &Variable) -> Zeroizing<Vec<u8>> {
    let mut entry = Zeroizing::new(Vec::with_capacity(entry_size(variable)));
    entry.extend_from_slice(variable.name.as_bytes());
    entry.push(b'=');
    match (&variable.value, variable.shape) {
        (_, Shape::File) => entry.extend_from_slice(file_path(&variable.name).as_bytes()),
        (Value::Public(text), Shape::Variable) => entry.extend_from_slice(text.as_bytes()),
        (Value::Confidential(value), Shape::Variable) => entry.extend_from_slice(value.expose()),
    }
    entry
}

/// Turns a schedule of the manifest into a schedule of the entrypoint.
fn timetable(schedule: &Schedule) -> pshim::schedule::Schedule {
    match schedule {
        Schedule::Every { seconds, .. } => pshim::schedule::Schedule::Every(*seconds),
        Schedule::Cron { cron, .. } => {
            let Cron { minutes, hours, days, months, weekdays } = *cron;
            pshim::schedule::Schedule::Cron { minutes, hours, days, months, weekdays }
        }
    }
}

/// Returns the names of the locks that a plan's scheduled processes use.
#[must_use]
pub(crate) fn locks(plan: &Plan) -> Vec<String> {
    let scheduled = plan.processes().iter().filter(|process| process.schedule().is_some());
    scheduled.map(|process| format!("{}{}", pshim::JOB_LOCK, process.name())).collect()
}

/// Returns a command prefix: the path of prun's own entrypoint, followed by `words`. It goes before the command that
/// the container runs.
#[must_use]
pub(crate) fn entrypoint(words: &[&str]) -> Vec<String> {
    [shim::path()].into_iter().chain(words.iter().map(|word| (*word).to_owned())).collect()
}

/// Changes a health check of the image so that it runs with the app's environment. Docker itself runs it without the
/// values (moby#18136).
fn wrap(check: HealthConfig, shell: Option<&[String]>) -> Option<HealthConfig> {
    let test = check.test.clone()?;
    let mut wrapped = vec!["CMD".to_owned()];
    wrapped.extend(entrypoint(&["exec", "--"]));
    match test.split_first()? {
        (kind, words) if kind == "CMD" => wrapped.extend_from_slice(words),
        (kind, words) if kind == "CMD-SHELL" => {
            match shell {
                Some(shell) if !shell.is_empty() => wrapped.extend_from_slice(shell),
                _ => wrapped.extend(["/bin/sh".to_owned(), "-c".to_owned()]),
            }
            wrapped.extend_from_slice(words);
        }
        // The test is `NONE`, or an empty list, with which the image inherits the check of its base.
        _ => return Some(check),
    }
    Some(HealthConfig { test: Some(wrapped), ..check })
}

/// Returns the id of the user that `--user` or the image's USER names. Returns `None` if the id is not known. Then
/// every user in the container must be able to read the values.
///
/// A name is looked up in the container's own `/etc/passwd`.
pub(crate) async fn owner(host: &Engine, plan: &Plan, image: &ImageInspect, container: &str) -> Option<u32> {
    let of_image = image.config.as_ref().and_then(|config| config.user.as_deref());
    let user = plan.first().container().user().or(of_image).unwrap_or_default();
    let name = user.split(':').next().unwrap_or_default();
    if name.is_empty() || name == "root" {
        return Some(0);
    }
    if let Ok(id) = name.parse() {
        return Some(id);
    }
    id_in(&String::from_utf8_lossy(&containers::file(host, container, "/etc/passwd").await?), name)
}

/// Finds the id of a user in the text of `/etc/passwd`.
fn id_in(passwd: &str, name: &str) -> Option<u32> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1))?.and_then(|id| id.parse().ok())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r12_health_checks_run_with_the_apps_environment() {
        let check = |test: &[&str]| HealthConfig {
            test: Some(test.iter().map(|word| (*word).to_owned()).collect()),
            interval: Some(5),
            ..HealthConfig::default()
        };
        let words = |check: HealthConfig, shell: Option<&[String]>| wrap(check, shell).unwrap().test.unwrap();
        let shim = shim::path();
        assert_eq!(words(check(&["CMD", "probe", "-x"]), None), ["CMD", &shim, "exec", "--", "probe", "-x"]);
        assert_eq!(
            words(check(&["CMD-SHELL", "test -n \"$A\""]), None),
            ["CMD", &shim, "exec", "--", "/bin/sh", "-c", "test -n \"$A\""]
        );
        let bash = ["/bin/bash".to_owned(), "-ec".to_owned()];
        assert_eq!(words(check(&["CMD-SHELL", "x"]), Some(&bash))[4..], ["/bin/bash", "-ec", "x"]);
        assert_eq!(words(check(&["NONE"]), None), ["NONE"]);
        assert_eq!(wrap(check(&["CMD", "x"]), None).unwrap().interval, Some(5));
    }

    #[test]
    fn a_users_name_is_looked_up() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nshop:x:999:998::/home/shop:/usr/sbin/nologin\n";
        assert_eq!(id_in(passwd, "shop"), Some(999));
        assert_eq!(id_in(passwd, "sho"), None);
        assert_eq!(id_in("shop", "shop"), None);
    }
}
