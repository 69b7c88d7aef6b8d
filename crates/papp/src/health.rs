//! `health`: the check that tells prun whether an instance of a process is healthy.

use std::time::Duration;

use crate::error::{Lines, Located};
use crate::secret::time;
use crate::table::{Table, broken, pairs_of};

/// The way in which an instance is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// A GET of this path answers with a status below 400.
    Http {
        /// The path, with its leading slash.
        path: String,
        /// The container's port. If it is `None`, it is the first published one.
        port: Option<u16>,
        /// The name in the request's `Host` header. If it is `None`, it is the instance's own name.
        host: Option<String>,
        /// Further headers of the request. They are public.
        headers: Vec<(String, String)>,
    },
    /// A command in the instance ends with 0. The command may be any program of the image.
    Command(Vec<String>),
}

/// The table `health` of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// The check itself.
    pub check: Check,
    /// How long one check may take, if the manifest says so.
    pub timeout: Option<Duration>,
    /// The pause between two checks, if the manifest says so.
    pub interval: Option<Duration>,
    /// How long an instance may take to become healthy after its start, if the manifest says so.
    pub start: Option<Duration>,
    /// The line that declares the check, from 1.
    pub line: usize,
}

const HEALTH: &[&str] = &["http", "port", "host", "headers", "command", "timeout", "interval", "start"];
/// The keys that describe an HTTP request.
const OF_HTTP: &[&str] = &["port", "host", "headers"];

impl Health {
    /// Reads the table `health` of a process.
    pub(crate) fn read(process: &Table<'_>, lines: &Lines) -> Result<Option<Self>, Located> {
        let Some((table, span)) = process.table("health")? else {
            return Ok(None);
        };
        let table = Table::open(&process.path("health"), table, span, HEALTH)?;
        let graphic = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        let path = table.checked("http", "be a path such as \"/healthz\"", |path| {
            path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic())
        })?;
        let port = table.number("port", 1..=65_535, "be a port from 1 to 65535")?;
        let host = table.checked("host", "be a host's name such as \"shop.example\"", graphic)?;
        let headers = pairs_of(
            &table,
            "headers",
            ("be a header's name other than Host and Connection", is_header),
            ("be one line of printable characters", is_header_value),
        )?;
        let command = table.command("command")?;
        let (timeout, interval, start) = (time(&table, "timeout")?, time(&table, "interval")?, time(&table, "start")?);
        if path.is_none()
            && let Some(key) = OF_HTTP.iter().find(|key| table.get(key).is_some())
        {
            return Err(table.conflict(key, "http", "belong together"));
        }
        let check = match (path, command) {
            (Some(path), None) => {
                Check::Http { path, port: port.and_then(|port| u16::try_from(port).ok()), host, headers }
            }
            (None, Some(command)) => Check::Command(command),
            _ => return Err(broken(table.place(), "name exactly one of `http` and `command`", table.span())),
        };
        Ok(Some(Self { check, timeout, interval, start, line: lines.line(table.span().start) }))
    }
}

/// Returns whether a text is the name of a header that a check may set (RFC 9110, 5.6.2).
fn is_header(text: &str) -> bool {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    let ours = ["host", "connection"].iter().any(|ours| text.eq_ignore_ascii_case(ours));
    !text.is_empty() && text.bytes().all(token) && !ours
}

fn is_header_value(text: &str) -> bool {
    text.bytes().all(|b| b == b' ' || b.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::Manifest;

    fn health(text: &str) -> Result<Health, String> {
        let text = format!("[run]\nhealth = {{ {text} }}\n");
        let manifest = Manifest::parse(Path::new("app.toml"), text.as_bytes()).map_err(|error| error.to_string())?;
        Ok(manifest.processes.first().health.clone().expect("a check"))
    }

    #[test]
    fn a_request_has_a_host_and_headers_and_three_times() {
        let health = health(
            "http = \"/up\", port = 8080, host = \"shop.example\", headers = { X-Forwarded-Proto = \"https\" }, \
             timeout = \"2s\", interval = \"500ms\", start = \"5m\"",
        )
        .unwrap();
        let headers = vec![("X-Forwarded-Proto".to_owned(), "https".to_owned())];
        let (path, host) = ("/up".to_owned(), Some("shop.example".to_owned()));
        assert_eq!(health.check, Check::Http { path, port: Some(8080), host, headers });
        let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f32());
        let times = [health.timeout, health.interval, health.start].map(seconds);
        assert_eq!(times, [Some(2.0), Some(0.5), Some(300.0)]);
    }

    #[test]
    fn what_no_request_can_have_is_refused() {
        for (text, said) in [
            ("command = [\"true\"], host = \"a\"", "`run.health.host` and `run.health.http` belong together"),
            ("http = \"/\", host = \"a b\"", "must be a host's name"),
            ("http = \"/\", headers = { Host = \"a\" }", "must be a header's name other than"),
            ("http = \"/\", headers = { \"A b\" = \"a\" }", "must be a header's name other than"),
            ("http = \"/\", headers = { A = \"a\\r\\nB: c\" }", "must be one line"),
            ("http = \"/\", command = [\"true\"]", "exactly one of"),
        ] {
            let error = health(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
