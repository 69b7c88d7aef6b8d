//! `[processes.NAME]`: the commands of one app. Each command has its own instances.
//!
//! An app always has a list of processes. Without the table, the list has a single process, which runs the image's
//! own command with the settings of `[run]`.

use toml::Spanned;
use toml::de::DeValue;

use crate::error::{Lines, Located};
use crate::run::ports;
use crate::table::{Table, broken, wrong_type};
use crate::{Health, Port, Schedule};

/// The name of the single process of an app that has no table of processes.
pub const APP: &str = "app";

/// One process of the app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// The process's name.
    pub name: String,
    /// The command that takes the place of the image's CMD.
    pub command: Option<Vec<String>>,
    /// How many instances run the process, 1 to 100.
    pub replicas: u32,
    /// The ports that are published for the process.
    pub ports: Vec<Port>,
    /// Whether each connection to a published port begins with the client's address, in the PROXY protocol.
    pub proxy_protocol: bool,
    /// The health check of its instances.
    pub health: Option<Health>,
    /// The limit of an instance's memory, in bytes.
    pub memory: Option<u64>,
    /// The limit of an instance's processor time, in billionths of a processor.
    pub processors: Option<u64>,
    /// Whether the init commands run before the process.
    pub init: bool,
    /// The times at which the command runs. Without a schedule it runs all the time.
    pub schedule: Option<Schedule>,
    /// The line that declares the command, or else the process, counted from 1. It is 0 without a table.
    pub line: usize,
}

pub(crate) const PROCESS: &[&str] =
    &["command", "replicas", "ports", "proxy_protocol", "health", "memory", "cpus", "init", "schedule"];

impl Default for Process {
    fn default() -> Self {
        Self {
            name: APP.to_owned(),
            command: None,
            replicas: 1,
            ports: Vec::new(),
            proxy_protocol: false,
            health: None,
            memory: None,
            processors: None,
            init: true,
            schedule: None,
            line: 0,
        }
    }
}

impl Process {
    /// Reads the single process of an app that has no table of processes.
    pub(crate) fn of_run(run: &Table<'_>, lines: &Lines) -> Result<Self, Located> {
        let (replicas, ports, proxy_protocol) = (replicas(run)?, ports(run)?, proxy_protocol(run)?);
        Ok(Self { replicas, ports, proxy_protocol, health: Health::read(run, lines)?, ..Self::default() })
    }

    pub(crate) fn read(name: &str, table: &Table<'_>, lines: &Lines) -> Result<Self, Located> {
        let place = table.get("command").map_or(table.span(), Spanned::span);
        let process = Self {
            name: name.to_owned(),
            command: table.command("command")?,
            replicas: replicas(table)?,
            ports: ports(table)?,
            proxy_protocol: proxy_protocol(table)?,
            health: Health::read(table, lines)?,
            memory: table
                .string("memory")?
                .map(|text| memory(&text.value).ok_or_else(|| broken(&table.path("memory"), MEMORY, text.span)))
                .transpose()?,
            processors: cpus(table)?,
            init: table.boolean("init")?.is_none_or(|init| init.value),
            schedule: Schedule::read(table)?,
            line: lines.line(place.start),
        };
        if process.schedule.is_some() {
            // A scheduled process is a single command that ends, so it cannot be reached and has only one instance.
            let other = ["replicas", "ports", "proxy_protocol", "health"].iter().find(|key| table.get(key).is_some());
            if let Some(other) = other {
                return Err(table.conflict(other, "schedule", "exclude each other: a scheduled command runs and ends"));
            }
        }
        Ok(process)
    }
}

fn proxy_protocol(table: &Table<'_>) -> Result<bool, Located> {
    Ok(table.boolean("proxy_protocol")?.is_some_and(|proxy| proxy.value))
}

/// The processes of an app, in the order of the text. There is at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Processes(Vec<Process>);

impl Default for Processes {
    fn default() -> Self {
        Self::one(Process::default())
    }
}

impl Processes {
    /// Makes the list of an app with a single process.
    #[must_use]
    pub fn one(process: Process) -> Self {
        Self(vec![process])
    }

    /// Makes a list of processes. Returns `None` if it would be empty.
    pub(crate) fn new(processes: Vec<Process>) -> Option<Self> {
        (!processes.is_empty()).then_some(Self(processes))
    }

    /// Iterates over the processes, in the order of the text.
    pub fn iter(&self) -> std::slice::Iter<'_, Process> {
        self.0.iter()
    }

    /// Returns the first process.
    ///
    /// # Panics
    ///
    /// Never, because an app has at least one process.
    #[must_use]
    pub fn first(&self) -> &Process {
        self.0.first().expect("an app has a process")
    }
}

impl<'a> IntoIterator for &'a Processes {
    type Item = &'a Process;
    type IntoIter = std::slice::Iter<'a, Process>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

fn replicas(table: &Table<'_>) -> Result<u32, Located> {
    Ok(table.number("replicas", 1..=100, "be a whole number from 1 to 100")?.unwrap_or(1))
}

const MEMORY: &str = "be a size such as \"512m\" or \"2g\"";
const CPUS: &str = "be a number of processors such as 2 or 0.5";

/// Reads a size in bytes: a whole number, which may be followed by b, k, m or g. Each unit is 1024 times the unit
/// before it. Returns `None` for zero and for a text that is not a size.
#[must_use]
pub fn memory(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" => 10,
        "m" | "mb" => 20,
        "g" | "gb" => 30,
        _ => return None,
    };
    let number: u64 = digits.parse().ok().filter(|number| *number > 0 && !digits.starts_with('+'))?;
    number.checked_mul(1 << shift).filter(|bytes| i64::try_from(*bytes).is_ok())
}

fn cpus(table: &Table<'_>) -> Result<Option<u64>, Located> {
    let Some(value) = table.get("cpus") else { return Ok(None) };
    let text = match value.get_ref() {
        DeValue::Integer(number) => number.as_str(),
        DeValue::Float(number) => number.as_str(),
        DeValue::String(text) => text,
        _ => return Err(wrong_type(&table.path("cpus"), "a number", value)),
    };
    let number = processors(text).ok_or_else(|| broken(&table.path("cpus"), CPUS, value.span()))?;
    Ok(Some(number))
}

/// Reads a decimal number of processors, and returns it in billionths. Returns `None` for zero and for a text that is
/// not a number.
#[must_use]
pub fn processors(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let billionths = format!("{part:0<9}");
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_number = billionths.len() == 9 && digits(whole) && digits(&billionths) && !text.is_empty();
    let number: u64 = format!("{whole}{billionths}").parse().ok().filter(|_| is_number)?;
    (number > 0 && i64::try_from(number).is_ok()).then_some(number)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::Manifest;

    fn parse(text: &str) -> Result<Manifest, String> {
        Manifest::parse(Path::new("app.toml"), text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn processes_keep_the_order_of_the_text_and_have_all_their_keys() {
        let text = r#"
[processes.web]
ports = ["8080:8080"]
health = { http = "/healthz" }
[processes.worker]
command = ["php", "artisan", "queue:work"]
replicas = 2
memory = "512m"
cpus = 0.5
init = false
[processes.clean-up]
command = ["php", "artisan", "clean"]
schedule = { every = "1h" }
"#;
        let manifest = parse(text).unwrap();
        let names: Vec<&str> = manifest.processes.iter().map(|process| process.name.as_str()).collect();
        assert_eq!(names, ["web", "worker", "clean-up"]);
        let [web, worker, clean] = manifest.processes.0.as_slice() else { panic!("three") };
        assert!(web.command.is_none() && web.init && web.ports.len() == 1 && web.health.is_some());
        assert_eq!((worker.replicas, worker.init, worker.line), (2, false, 6));
        assert_eq!((worker.memory, worker.processors), (Some(512 << 20), Some(500_000_000)));
        assert_eq!(clean.schedule.as_ref().unwrap().to_string(), "every 1h");
    }

    #[test]
    fn without_the_table_there_is_one_process_and_run_says_how() {
        assert_eq!(parse("").unwrap().processes, Processes::default());
        let manifest = parse("[run]\nreplicas = 3\nports = [\"80\"]\n").unwrap();
        let only = manifest.processes.first();
        assert_eq!((only.name.as_str(), only.replicas, only.ports.len(), only.line), (APP, 3, 1, 0));
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for (text, said) in [
            ("[processes.web]\n[run]\nports = [\"80\"]\n", "`run.ports` and `processes` exclude each other"),
            ("[processes]\n", "`processes` must name at least one process"),
            ("[processes.Web]\n", "`processes.Web` must be lower case letters"),
            ("[processes.web]\nport = 1\n", "unknown key `port` in processes.web"),
            ("[processes.db]\n[services.db]\nkind = \"redis\"\n", "`processes.db` and `services.db` have one name"),
            ("[processes.a]\nreplicas = 2\nschedule = { every = \"1h\" }\n", "`processes.a.replicas` and"),
            ("[processes.a]\nmemory = \"much\"\n", "must be a size"),
            ("[processes.a]\ncpus = 0.0\n", "must be a number of processors"),
            ("[processes.a]\ncommand = []\n", "must be a list of words that begins with a program"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn sizes_and_numbers_are_dockers() {
        assert_eq!((memory("64k"), memory("2GB"), memory("100")), (Some(64 << 10), Some(2 << 30), Some(100)));
        for wrong in ["", "m", "0", "-1", "1.5q", "+1m", "99999999999g"] {
            assert_eq!(memory(wrong), None, "{wrong}");
        }
        assert_eq!((processors("1.5"), processors(".25")), (Some(1_500_000_000), Some(250_000_000)));
        for wrong in ["", "0", "-1", "1.x", "1.0000000001", "1e3"] {
            assert_eq!(processors(wrong), None, "{wrong}");
        }
    }
}
