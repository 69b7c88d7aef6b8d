//! Reads how the app of a compose file runs: ports, volumes, the health check, the number of instances, and settings
//! that have no place in a manifest.

use papp::{Port, Volume, VolumeSource};

use super::super::interpolation::Interpolated;
use super::super::yaml::Yaml;
use super::Reader;

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
    ("command", "prun starts what the image says (CMD); another command stands behind `prun start IMAGE`"),
    ("entrypoint", "prun starts what the image says (ENTRYPOINT); `prun start --entrypoint` replaces it"),
    ("user", "`prun start --user` names another user than the image's"),
    ("working_dir", "`prun start --workdir` names another folder than the image's"),
    ("mem_limit", "`prun start --memory` limits it"),
    ("cpus", "`prun start --cpus` limits them"),
    ("cap_add", "`prun start --cap-add`"),
    ("cap_drop", "`prun start --cap-drop`"),
    ("read_only", "`prun start --read-only`"),
    ("labels", "`prun start --label`"),
    ("configs", "a file of the image or a volume"),
];

impl Reader<'_> {
    /// Reads how the app runs, and lists what cannot be taken over.
    pub(super) fn run(&mut self, service: &Yaml) {
        for port in service.get("ports").map(Yaml::items).unwrap_or_default() {
            self.port(port);
        }
        for volume in service.get("volumes").map(Yaml::items).unwrap_or_default() {
            self.volume(volume);
        }
        if let Some(check) = service.get("healthcheck") {
            self.health(check);
        }
        self.replicas(service);
        for (key, _) in
            service.entries().iter().filter(|(key, _)| !READ.contains(&key.as_str()) && !key.starts_with("x-"))
        {
            let instead = ELSEWHERE.iter().find(|(known, _)| known == key).map(|(_, instead)| *instead);
            self.leave_out(format!("{key}: {}", instead.unwrap_or("prun has nothing like it")));
        }
    }

    fn replicas(&mut self, service: &Yaml) {
        let deploy = service.get("deploy");
        let count = deploy.and_then(|deploy| deploy.get("replicas")).or_else(|| service.get("scale"));
        self.found.replicas =
            count.and_then(|count| self.plain(count)?.parse().ok()).filter(|count| (2..=100).contains(count));
        let others = deploy.map(Yaml::entries).unwrap_or_default().iter();
        let others: Vec<&str> = others.map(|(key, _)| key.as_str()).filter(|key| *key != "replicas").collect();
        if !others.is_empty() {
            self.leave_out(format!("deploy: {}: flags of `prun start` limit memory and processors", others.join(", ")));
        }
    }

    /// Returns a text if the only values of variables in it are ports and addresses.
    fn address(&self, yaml: &Yaml) -> Option<String> {
        Interpolated::read(&yaml.text()?).with(self.known.address).filter(|text| !text.contains('\0'))
    }

    fn port(&mut self, yaml: &Yaml) {
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
            Some(text) if Port::parse(&text).is_some_and(|port| !port.udp) => self.found.ports.push(text),
            Some(text) => self.leave_out(format!("port {text:?}: prun publishes single TCP ports")),
            None => {
                self.leave_out("a port that a variable without a value decides: give it one in .env and run this again")
            }
        }
    }

    fn volume(&mut self, yaml: &Yaml) {
        let field = |key: &str| yaml.get(key).and_then(|value| self.plain(value));
        let text = match yaml {
            Yaml::Map(_) => field("source").zip(field("target")).map(|(source, target)| format!("{source}:{target}")),
            other => self.plain(other),
        };
        match text.as_deref().map(|text| (text, Volume::parse(text))) {
            Some((text, Some(Volume { source: VolumeSource::Named(_), .. }))) => {
                self.found.volumes.push(text.to_owned());
            }
            Some((text, Some(_))) => self.leave_out(format!(
                "volume {text:?}: a folder of this machine, often for development alone; if the app needs it, write it below [run]"
            )),
            Some((text, None)) => self.leave_out(format!("volume {text:?}")),
            None => self.leave_out("a volume that cannot be written as SOURCE:TARGET"),
        }
    }

    fn health(&mut self, yaml: &Yaml) {
        let disabled = matches!(yaml.get("disable"), Some(Yaml::Boolean(true)));
        let Some(test) = yaml.get("test").filter(|_| !disabled) else { return };
        let words: Option<Vec<String>> = test.items().iter().map(|word| self.plain(word)).collect();
        let shell = |script: &str| vec!["sh".to_owned(), "-c".to_owned(), script.to_owned()];
        match (test, words.as_deref()) {
            (Yaml::Text(_), Some([script])) => self.found.health = Some(shell(script)),
            (_, Some([kind, script])) if kind == "CMD-SHELL" => self.found.health = Some(shell(script)),
            (_, Some([kind, command @ ..])) if kind == "CMD" && !command.is_empty() => {
                self.found.health = Some(command.to_vec());
            }
            (_, Some([kind, ..])) if kind == "NONE" => {}
            _ => self.leave_out("healthcheck: write it below [run]"),
        }
    }
}
