//! `[run]` and `[[init]]`: the settings that all processes of the app share.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use toml::Spanned;

use crate::error::{Lines, Located};
use crate::names;
use crate::secret::time;
use crate::table::{At, Table, broken};

/// The way in which values reach the running app.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deliver {
    /// A small entrypoint reads the values from memory and then becomes the app. This is the default.
    #[default]
    Shim,
    /// The engine sets the values as variables, so `docker inspect` shows them.
    Environment,
    /// The values are in files in memory, and `NAME_FILE` variables hold the paths.
    Files,
}

/// A published port in docker's syntax, without ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// The address of the host that the port listens on. If it is `None`, it listens on all addresses.
    pub address: Option<IpAddr>,
    /// The port of the host. If it is `None`, the engine chooses one.
    pub host: Option<u16>,
    /// The container's port.
    pub container: u16,
    /// True for UDP, false for TCP.
    pub udp: bool,
}

impl Port {
    /// Returns the name of the protocol, as in an image's list of ports: `tcp` or `udp`.
    #[must_use]
    pub fn protocol(&self) -> &'static str {
        if self.udp { "udp" } else { "tcp" }
    }

    /// Parses `[ADDRESS:][HOST:]CONTAINER[/tcp|udp]`. An IPv6 address must be in square brackets.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (ports, udp) = match text.rsplit_once('/') {
            Some((ports, "tcp")) => (ports, false),
            Some((ports, "udp")) => (ports, true),
            Some(_) => return None,
            None => (text, false),
        };
        let number = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0 && !text.starts_with('+'));
        let (host_part, container) = match ports.rsplit_once(':') {
            Some((host_part, container)) => (Some(host_part), number(container)?),
            None => (None, number(ports)?),
        };
        let Some(host_part) = host_part else {
            return Some(Self { address: None, host: None, container, udp });
        };
        let (address, host) = match host_part.rsplit_once(':') {
            Some((address, host)) => (Some(address), host),
            None => (None, host_part),
        };
        let host = match (host, address) {
            ("", Some(_)) => None,
            (host, _) => Some(number(host)?),
        };
        let address = match address {
            None => None,
            Some(text) => match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
                Some(six) => Some(IpAddr::V6(six.parse().ok()?)),
                None => Some(IpAddr::V4(text.parse().ok()?)),
            },
        };
        Some(Self { address, host, container, udp })
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(IpAddr::V6(address)) => write!(f, "[{address}]:")?,
            Some(IpAddr::V4(address)) => write!(f, "{address}:")?,
            None => {}
        }
        if let Some(host) = self.host {
            write!(f, "{host}:")?;
        } else if self.address.is_some() {
            f.write_str(":")?;
        }
        write!(f, "{}{}", self.container, if self.udp { "/udp" } else { "" })
    }
}

/// The source of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VolumeSource {
    /// A volume of the project.
    Named(String),
    /// A folder or file of the host. A path that is not absolute is relative to the manifest.
    Host(String),
}

/// A mounted volume: `NAME:/path`, `./folder:/path` or `/folder:/path`. The suffix `:ro` forbids writing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// The source of the volume.
    pub source: VolumeSource,
    /// The path of the volume in the container.
    pub target: String,
    /// True if the container may not write to the volume.
    pub read_only: bool,
}

impl Volume {
    /// Parses a volume.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (text, read_only) = match text.strip_suffix(":ro") {
            Some(rest) => (rest, true),
            None => (text.strip_suffix(":rw").unwrap_or(text), false),
        };
        let (source, target) = text.split_once(':')?;
        if !target.starts_with('/') || target.len() < 2 || target.contains([':', '\0']) || source.contains('\0') {
            return None;
        }
        let source = if source.starts_with(['/', '.']) {
            VolumeSource::Host(source.to_owned())
        } else {
            names::is_project(source).then(|| VolumeSource::Named(source.to_owned()))?
        };
        Some(Self { source, target: target.to_owned(), read_only })
    }
}

/// A volume of a manifest, with its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The volume.
    pub volume: Volume,
    /// The line that names the volume, from 1.
    pub line: usize,
}

/// `[run]`: the settings that all processes of the app share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// The mounted volumes.
    pub volumes: Vec<Mount>,
    /// The way in which values reach the app.
    pub deliver: Deliver,
}

pub(crate) const RUN: &[&str] = &["replicas", "ports", "proxy_protocol", "volumes", "deliver", "health"];
/// The keys of `[run]` that describe the single process of an app that has no table of processes.
pub(crate) const OF_ONE_PROCESS: &[&str] = &["replicas", "ports", "proxy_protocol", "health"];

impl Run {
    pub(crate) fn read(table: &Table<'_>, lines: &Lines) -> Result<Self, Located> {
        let mount = |item: At<Volume>| Mount { volume: item.value, line: lines.line(item.span.start) };
        let volumes = items(table, "volumes", Volume::parse, "hold volumes such as \"uploads:/srv/uploads\"")?;
        Ok(Self {
            volumes: volumes.into_iter().map(mount).collect(),
            deliver: table
                .choice("deliver", &["shim", "env", "files"], &[Deliver::Shim, Deliver::Environment, Deliver::Files])?
                .unwrap_or_default(),
        })
    }
}

/// Reads the published ports of a process.
pub(crate) fn ports(table: &Table<'_>) -> Result<Vec<Port>, Located> {
    let ports = items(table, "ports", Port::parse, "hold ports such as \"127.0.0.1:8080:80\" or \"53:53/udp\"")?;
    Ok(ports.into_iter().map(|item| item.value).collect())
}

fn items<T>(
    table: &Table<'_>,
    key: &str,
    parse: impl Fn(&str) -> Option<T>,
    rule: &'static str,
) -> Result<Vec<At<T>>, Located> {
    let read = |item: At<String>| match parse(&item.value) {
        Some(value) => Ok(At { value, span: item.span }),
        None => Err(broken(&table.path(key), rule, item.span)),
    };
    table.strings(key)?.unwrap_or_default().into_iter().map(read).collect()
}

/// A command that runs before the main process of every instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Init {
    /// The command's name, for people.
    pub name: String,
    /// The program and its arguments, which are run without a shell.
    pub command: Vec<String>,
    /// The time that the command may run, if the manifest says so.
    pub timeout: Option<Duration>,
    /// The line of the command, from 1.
    pub line: usize,
}

pub(crate) const INIT: &[&str] = &["name", "command", "timeout"];

impl Init {
    pub(crate) fn read(table: &Table<'_>, lines: &Lines, earlier: &[Self]) -> Result<Self, Located> {
        let name = table.checked("name", names::LABEL, names::is_label)?.ok_or_else(|| table.missing("name"))?;
        if earlier.iter().any(|init| init.name == name) {
            let span = table.get("name").map_or(table.span(), Spanned::span);
            return Err(broken(&table.path("name"), "differ from those of the other init commands", span));
        }
        let command = table.command("command")?.ok_or_else(|| table.missing("command"))?;
        let span = table.get("command").map_or(table.span(), Spanned::span);
        Ok(Self { name, command, timeout: time(table, "timeout")?, line: lines.line(span.start) })
    }
}
