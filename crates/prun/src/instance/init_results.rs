//! Reads from an instance's log how its init commands ended.

use bollard::query_parameters::LogsOptionsBuilder;
use futures::StreamExt as _;
use pengine::Engine;

use crate::engine::inside::bytes_of;
use crate::instance::health::{self, InitReport, Report};

/// How many bytes of a log are read. The beginning suffices, because the entrypoint writes before the app does.
const MOST: usize = 256 << 10;

/// Reads how each init command ended, by its name, for at most `count` commands. The list is empty if the engine does
/// not keep logs.
pub(crate) async fn read(host: &Engine, container: &str, count: usize) -> Vec<(String, String)> {
    let options = LogsOptionsBuilder::new().stdout(false).stderr(true).build();
    let mut log = host.docker().logs(container, Some(options));
    let mut bytes = Vec::new();
    while let Some(Ok(piece)) = log.next().await {
        bytes.extend_from_slice(bytes_of(&piece));
        let found = results(&bytes);
        if found.len() >= count || bytes.len() > MOST {
            return found;
        }
    }
    results(&bytes)
}

/// Finds the results of init commands in the whole lines of a log.
fn results(log: &[u8]) -> Vec<(String, String)> {
    let whole = log.iter().rposition(|byte| *byte == b'\n').map_or(&[][..], |end| &log[..end]);
    let text = String::from_utf8_lossy(whole);
    let result = |line: &str| {
        Some(match health::report(line)? {
            Report::InitReport(InitReport { name, took }) => (name, format!("finished in {took}")),
            Report::Failed(name) => (name, "failed".to_owned()),
        })
    };
    text.lines().filter_map(result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_lines_of_the_entrypoint_count_and_nothing_else_does() {
        let log = b"prun: init migrate finished in 0.4 s\nhello\nprun: init warm failed with exit code 3\nprun: init cut finished in";
        let result = |name: &str, how: &str| (name.to_owned(), how.to_owned());
        assert_eq!(results(log), [result("migrate", "finished in 0.4s"), result("warm", "failed")]);
        assert_eq!(results(b""), []);
    }
}
