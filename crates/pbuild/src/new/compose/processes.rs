//! The services of a compose file that run the app's image: processes of the app, and init commands.

use super::super::yaml::Yaml;
use super::{Composition, Reader, VariableSource, holds_credentials};

/// A process of the app.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct ProcessDraft {
    pub(in super::super) name: String,
    pub(in super::super) command: Option<Vec<String>>,
    pub(in super::super) replicas: Option<u32>,
    pub(in super::super) ports: Vec<String>,
    pub(in super::super) health: Option<Vec<String>>,
    pub(in super::super) memory: Option<String>,
    pub(in super::super) cpus: Option<String>,
}

/// A command that runs before the app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct InitDraft {
    pub(in super::super) name: String,
    pub(in super::super) command: Vec<String>,
}

impl Reader<'_> {
    /// Reads a service that runs the app's image with a command of its own.
    pub(super) fn other_process(&mut self, name: &str, service: &Yaml, is_one_off: bool) {
        self.merge_environment(name, service);
        let label = self.free_label(name);
        if is_one_off {
            match self.command(name, service) {
                Some(command) => self.found.init.push(InitDraft { name: label, command }),
                None => self.leave_out(format!("service {name}, which runs once: write its command below [[init]]")),
            }
            return;
        }
        let process = self.process(&label, service);
        self.found.processes.push(process);
    }

    /// Reads the command of a service; `None` if it has none, or none that a manifest can hold.
    pub(super) fn command(&mut self, name: &str, service: &Yaml) -> Option<Vec<String>> {
        let yaml = service.get("command")?;
        let words: Option<Vec<String>> = match yaml {
            Yaml::List(items) => items.iter().map(|word| self.plain(word)).collect(),
            other => self.plain(other).and_then(|text| split(&text)),
        };
        match words {
            Some(words) if words.is_empty() => None,
            Some(words) if words.iter().all(|word| !holds_credentials(word)) && !words[0].is_empty() => Some(words),
            _ => {
                self.leave_out(format!("the command of service {name}: a variable or a secret takes part in it"));
                None
            }
        }
    }

    /// Adds the variables that only this service has: all processes of an app have one environment.
    fn merge_environment(&mut self, name: &str, service: &Yaml) {
        let pairs = service.get("environment").map(|given| self.pairs(given)).unwrap_or_default();
        for (variable, source) in pairs {
            match self.found.environment.iter().find(|(known, _)| *known == variable) {
                None => self.found.environment.push((variable, source)),
                Some((_, known)) if *known == source || source == VariableSource::Hidden => {}
                Some(_) => self.leave_out(format!(
                    "another value of {variable} for service {name}: all processes of an app have one environment"
                )),
            }
        }
        for file in service.get("env_file").map(Yaml::items).unwrap_or_default() {
            if let Some(path) = self.plain(file.get("path").unwrap_or(file))
                && !self.found.env_files.contains(&path)
            {
                self.found.env_files.push(path);
            }
        }
    }
}

impl Composition {
    /// Whether there is no more than one process, which needs no table.
    pub(in super::super) fn has_one_process(&self) -> bool {
        self.processes.len() < 2
    }
}

/// Lists the services that others wait for until they have ended.
pub(super) fn one_offs(services: &[(String, Yaml)]) -> Vec<String> {
    let waits = services.iter().filter_map(|(_, service)| service.get("depends_on"));
    let conditions = waits.flat_map(|waits| waits.entries());
    let ends = |condition: &Yaml| {
        let condition = condition.get("condition").and_then(Yaml::text);
        condition.as_deref() == Some("service_completed_successfully")
    };
    conditions.filter(|(_, condition)| ends(condition)).map(|(name, _)| name.clone()).collect()
}

/// Whether a service looks like one that migrates data and ends.
pub(super) fn is_migration(name: &str, service: &Yaml) -> bool {
    let words = service.get("command").map(Yaml::items).unwrap_or_default().iter().filter_map(Yaml::text);
    let mut words = words.chain([name.to_owned()]);
    let stays = service.get("restart").and_then(Yaml::text).is_some_and(|policy| !matches!(&*policy, "no" | "false"));
    service.get("ports").is_none() && !stays && words.any(|word| word.to_ascii_lowercase().contains("migrat"))
}

/// Splits a command into words as a shell does, without running anything; `None` for a quote that does not end.
fn split(text: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (None, blank) if blank.is_whitespace() => words.extend(word.take()),
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (Some(open), close) if open == close => quote = None,
            (None | Some('"'), '\\') => word.get_or_insert_default().push(characters.next()?),
            (_, other) => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

#[cfg(test)]
mod tests {
    use super::super::super::apps::Choice;
    use super::super::Known;
    use super::*;

    #[test]
    fn a_command_is_split_as_a_shell_does() {
        let words = |text: &str| split(text).map(|words| words.join("|"));
        assert_eq!(words("celery -A 'my shop' worker"), Some("celery|-A|my shop|worker".to_owned()));
        assert_eq!(words("sh -c \"a \\\"b\\\" c\" \\'"), Some("sh|-c|a \"b\" c|'".to_owned()));
        assert_eq!(words("a '' b"), Some("a||b".to_owned()));
        assert_eq!((words("a 'b"), words("a\\")), (None, None));
    }

    const SHOP: &str = r#"
x-app: &app
  image: shop:1
  build: .
  env_file: .env
services:
  worker: { <<: *app, command: "php artisan queue:work --sleep=3", deploy: { replicas: 2, resources: { limits: { memory: 256M, cpus: "0.50" } } } }
  web:
    <<: *app
    ports: ["8080:80"]
    environment: { APP_ENV: production }
    depends_on: { setup: { condition: service_completed_successfully }, db: { condition: service_healthy } }
  setup: { image: shop:1, command: [php, artisan, key:check] }
  migrate: { image: shop:1, command: php artisan migrate --force, restart: "no" }
  scheduler: { build: ., command: php artisan schedule:work, environment: { APP_ENV: other, ONLY: here }, volumes: ["cache:/srv/cache"] }
  other: { build: { context: ., target: docs } }
  db: { image: "postgres:17" }
"#;

    #[test]
    fn services_of_the_apps_image_are_its_processes_and_init_commands() {
        let known = Known { has_value: &|_| false, address: &|_| None };
        let found = Composition::read(SHOP, Choice::default(), known).unwrap();
        let names: Vec<&str> = found.processes.iter().map(|process| process.name.as_str()).collect();
        assert_eq!(names, ["web", "worker", "scheduler"]);
        let worker = &found.processes[1];
        assert_eq!(worker.command.as_ref().unwrap()[2..], ["queue:work", "--sleep=3"]);
        assert_eq!(
            (worker.replicas, worker.memory.as_deref(), worker.cpus.as_deref()),
            (Some(2), Some("256M"), Some("0.50"))
        );
        let init: Vec<(&str, &str)> =
            found.init.iter().map(|init| (init.name.as_str(), init.command[2].as_str())).collect();
        assert_eq!(init, [("setup", "key:check"), ("migrate", "migrate")]);
        assert_eq!(found.volumes, ["cache:/srv/cache"]);
        let variables: Vec<&str> = found.environment.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(variables, ["APP_ENV", "ONLY"]);
        let left_out = found.left_out.join("\n");
        for said in ["another value of APP_ENV for service scheduler", "service other is built from this folder too"] {
            assert!(left_out.contains(said), "{said}: {left_out}");
        }
    }
}
