//! Reads how the app of a compose file runs: ports, volumes, the health check, the number of instances, and settings
//! that have no place in a manifest.

use papp::{Port, Volume, VolumeSource};

use super::super::interpolation::Interpolated;
use super::super::yaml::Yaml;
use super::{ProcessDraft, Reader};

/// The keys of a service that are read, or that do not matter for how the app runs.
const READ: &[&str] = &[
    "build",
    "image",
    "environment",
    "env_file",
    "ports",
    "volumes",
    "healthcheck",
    "secrets",
    "depends_on",
    "deploy",
    "scale",
    "command",
    "mem_limit",
    "cpus",
    // prun does the same without a setting, or only Compose needs the key.
    "container_name",
    "restart",
    "networks",
    "expose",
    "links",
    "init",
    "stdin_open",
    "tty",
    "profiles",
    "develop",
    "pull_policy",
    "platform",
];

/// The keys that have no place in a manifest, each with what replaces it.
const ELSEWHERE: &[(&str, &str)] = &[
    ("entrypoint", "prun starts what the image says (ENTRYPOINT); `prun start --entrypoint` replaces it"),
    ("user", "`prun start --user` names another user than the image's"),
    ("working_dir", "`prun start --workdir` names another folder than the image's"),
    ("cap_add", "`prun start --cap-add`"),
    ("cap_drop", "`prun start --cap-drop`"),
    ("read_only", "`prun start --read-only`"),
    ("labels", "`prun start --label`"),
    ("configs", "a file of the image or a volume"),
];

impl Reader<'_> {
    /// Reads how a process of the app runs.
    pub(super) fn process(&mut self, name: &str, service: &Yaml) -> ProcessDraft {
        let ports = service.get("ports").map(Yaml::items).unwrap_or_default();
        let mut process = ProcessDraft {
            name: name.to_owned(),
            ports: ports.iter().filter_map(|port| self.port(port)).collect(),
            ..ProcessDraft::default()
        };
        for volume in service.get("volumes").map(Yaml::items).unwrap_or_default() {
            self.volume(volume);
        }
        if let Some(check) = service.get("healthcheck") {
            process.health = self.health(check);
        }
        self.resources(&mut process, service);
        for (key, _) in
            service.entries().iter().filter(|(key, _)| !READ.contains(&key.as_str()) && !key.starts_with("x-"))
        {
            let instead = ELSEWHERE.iter().find(|(known, _)| known == key).map(|(_, instead)| *instead);
            let instead = instead.unwrap_or("prun has nothing like it");
            if self.found.processes.is_empty() {
                self.leave_out(format!("{key}: {instead}"));
            } else {
                self.leave_out(format!("{key} of {name}: {instead}"));
            }
        }
        // The app itself runs the image's own command, unless others of its image stand beside it.
        if !self.found.processes.is_empty() {
            process.command = self.command(name, service);
        }
        process
    }

    fn resources(&mut self, process: &mut ProcessDraft, service: &Yaml) {
        let deploy = service.get("deploy");
        let count = deploy.and_then(|deploy| deploy.get("replicas")).or_else(|| service.get("scale"));
        process.replicas =
            count.and_then(|count| self.plain(count)?.parse().ok()).filter(|count| (2..=100).contains(count));
        let limits = deploy.and_then(|deploy| deploy.get("resources")?.get("limits"));
        let limit = |key: &str, own: &str| {
            limits.and_then(|limits| limits.get(key)).or_else(|| service.get(own)).and_then(|limit| self.plain(limit))
        };
        process.memory = limit("memory", "mem_limit").filter(|text| papp::memory(text).is_some());
        process.cpus = limit("cpus", "cpus").filter(|text| papp::processors(text).is_some());
        let others = deploy.map(Yaml::entries).unwrap_or_default().iter();
        let others: Vec<&str> =
            others.map(|(key, _)| key.as_str()).filter(|key| !matches!(*key, "replicas" | "resources")).collect();
        if !others.is_empty() {
            self.leave_out(format!("deploy: {}: prun has nothing like it", others.join(", ")));
        }
    }

    /// Returns a text if the only values of variables in it are ports and addresses.
    fn address(&self, yaml: &Yaml) -> Option<String> {
        Interpolated::read(&yaml.text()?).with(self.known.address).filter(|text| !text.contains('\0'))
    }

    fn port(&mut self, yaml: &Yaml) -> Option<String> {
        let field = |key: &str| yaml.get(key).and_then(|value| self.address(value));
        let text = match yaml {
            Yaml::Map(_) => field("target").map(|target| {
                let protocol = field("protocol").filter(|protocol| protocol == "udp").map_or("", |_| "/udp");
                let host = field("published").map(|port| format!("{port}:")).unwrap_or_default();
                let address = field("host_ip").map(|address| format!("{address}:")).unwrap_or_default();
                format!("{address}{host}{target}{protocol}")
            }),
            other => self.address(other),
        };
        match text {
            Some(text) if Port::parse(&text).is_some() => return Some(text),
            Some(text) => self.leave_out(format!("port {text:?}: prun publishes single ports")),
            None => {
                self.leave_out("a port that a variable without a value decides: give it one in .env and run this again")
            }
        }
        None
    }

    fn volume(&mut self, yaml: &Yaml) {
        let field = |key: &str| yaml.get(key).and_then(|value| self.plain(value));
        let text = match yaml {
            Yaml::Map(_) => field("source").zip(field("target")).map(|(source, target)| format!("{source}:{target}")),
            other => self.plain(other),
        };
        match text.as_deref().map(|text| (text, Volume::parse(text))) {
            Some((text, Some(Volume { source: VolumeSource::Named(_), .. }))) => {
                if self.found.volumes.iter().all(|known| known != text) {
                    self.found.volumes.push(text.to_owned());
                }
            }
            Some((text, Some(_))) => self.leave_out(format!(
                "volume {text:?}: a folder of this machine, often for development alone; if the app needs it, write it below [run]"
            )),
            Some((text, None)) => self.leave_out(format!("volume {text:?}")),
            None => self.leave_out("a volume that cannot be written as SOURCE:TARGET"),
        }
    }

    fn health(&mut self, yaml: &Yaml) -> Option<Vec<String>> {
        let disabled = matches!(yaml.get("disable"), Some(Yaml::Boolean(true)));
        let test = yaml.get("test").filter(|_| !disabled)?;
        let words: Option<Vec<String>> = test.items().iter().map(|word| self.plain(word)).collect();
        let shell = |script: &str| vec!["sh".to_owned(), "-c".to_owned(), script.to_owned()];
        match (test, words.as_deref()) {
            (Yaml::Text(_), Some([script])) => Some(shell(script)),
            (_, Some([kind, script])) if kind == "CMD-SHELL" => Some(shell(script)),
            (_, Some([kind, command @ ..])) if kind == "CMD" && !command.is_empty() => Some(command.to_vec()),
            (_, Some([kind, ..])) if kind == "NONE" => None,
            _ => {
                self.leave_out("healthcheck: write it below [run]");
                None
            }
        }
    }
}
