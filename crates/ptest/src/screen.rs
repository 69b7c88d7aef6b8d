//! The output of a run in the form of a snapshot: complete, with everything masked that differs between runs.

use std::sync::LazyLock;

use regex::Regex;

use crate::run::Outcome;

/// The patterns of texts that differ between runs, with the marks that replace them. The order counts: digests are
/// masked before the shorter ids of containers.
///
/// Two kinds of lines are removed or replaced as a whole: BuildKit's own lines, whose order depends on the order in
/// which steps end, and the lines about waiting, which a tool only prints if the engine is slow.
static MASKS: LazyLock<Vec<(Regex, &'static str)>> = LazyLock::new(|| {
    [
        (r"(?m)(?:^#\d+ .*\n\n?)+", "<progress>\n"),
        (r"(?m)^waiting  .*\n", ""),
        // The path of a scene, the path of another temporary folder, and the socket of an engine.
        (r"(?:/[\w.-]+)*/pbuild-test-\w{6}\b", "<scene>"),
        (r"(?:/[\w.-]+)*/\.tmp\w{6}\b", "<temporary>"),
        (r"unix://(?:/[\w.-]+)*/engines/(\w+)/run/docker\.sock", "unix://<$1>"),
        (r"\b\d+\.\d+\.\d+\+dfsg\w*", "<version>"),
        // Digests, ids, public keys, and the short ids of Docker.
        (r"\b[0-9a-f]{64}\b", "<digest>"),
        (r"\bage1[0-9a-z]{58}\b", "<recipient>"),
        (r"\b[0-9a-f]{12}\b|\b[0-9a-f]{16}\b", "<id>"),
        (r"\bprocess \d+\b", "process <id>"),
        (r"\b\d{4}-\d\d-\d\d(?:T[\d:.]+Z| \d\d:\d\d UTC)?", "<date>"),
        // A column of times is aligned at the right edge, so the number of blanks before a time depends on its
        // digits.
        (r"(?m) {2,}(?:\d+m )?\d+(?:\.\d+)? ?(?:ms|s)$", "  <time>"),
        (r"\b\d+\.\d+ ?s\b|\b\d+ ms\b|\b\d+m \d+s\b", "<time>"),
        (r"\b\d+(?:\.\d+)? [kMG]B\b", "<size>"),
        (r#""(milliseconds|bytes)":\d+"#, "\"$1\":<n>"),
        // The number of distinct encodings depends on the bytes of the value, and the number of cache records on
        // earlier runs.
        (r"\b\d+ forms\b", "<n> forms"),
        (r#""forms":\d+"#, "\"forms\":<n>"),
        (r"\b\d+ cache records?\b", "<n> cache records"),
        // The engine's words for the running time of a container determine the width of their column.
        (r"\bSINCE +OPEN\b", "SINCE  OPEN"),
        (r"(?m)\bUp (?:\w+ )*\w+(?: {2,}(\S)| *$)", "Up <time>  $1"),
        (r"\b127\.0\.0\.1:\d{4,5}\b", "127.0.0.1:<port>"),
    ]
    .map(|(pattern, mask)| (Regex::new(pattern).expect("a pattern of this file"), mask))
    .into()
});

impl Outcome {
    /// Returns the whole run as people see it: the exit code, then stdout and stderr unless they are empty. Times,
    /// digests, ids, sizes, ports of this machine, temporary paths and canaries are masked.
    ///
    /// `named` lists texts of this run alone, such as the name of a project, with their masks. They are replaced
    /// first.
    #[must_use]
    pub fn screen(&self, named: &[(&str, &str)]) -> String {
        let mut screen = format!("exit code {}\n", self.code());
        for (stream, text) in [("stdout", self.masked_stdout()), ("stderr", self.masked_stderr())] {
            if !text.is_empty() {
                screen.push_str(&format!("--- {stream}\n{}\n", masked(text, named).trim_end_matches('\n')));
            }
        }
        screen
    }
}

fn masked(text: &str, named: &[(&str, &str)]) -> String {
    let named = named.iter().fold(text.to_owned(), |text, (name, mask)| text.replace(name, mask));
    MASKS.iter().fold(named, |text, (pattern, mask)| pattern.replace_all(&text, *mask).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scene;

    #[test]
    fn what_differs_from_run_to_run_is_masked() {
        for (text, expected) in [
            ("/tmp/pbuild-test-a1B2c3/project/.env, line 3", "<scene>/project/.env, line 3"),
            ("in /var/tmp/.tmpAbC123/engine.sock", "in <temporary>/engine.sock"),
            (
                "engine    28.5.2+dfsg4 at unix:///root/.cache/pbuild/engines/modern/run/docker.sock (DOCKER_HOST)",
                "engine    <version> at unix://<modern> (DOCKER_HOST)",
            ),
            (&format!("image  shop  sha256:{}", "0a".repeat(32)), "image  shop  sha256:<digest>"),
            ("[2/4] RUN true                   12.3s\nnext", "[2/4] RUN true  <time>\nnext"),
            ("[2/4] RUN true                    0.3s\nnext", "[2/4] RUN true  <time>\nnext"),
            ("clean · 164 MB · 13 ms", "clean · <size> · <time>"),
            ("ready     db 7.5s · cache 0.5s", "ready     db <time> · cache <time>"),
            ("open      http://127.0.0.1:8080", "open      http://127.0.0.1:<port>"),
            ("waits for process 4711 of this project", "waits for process <id> of this project"),
            ("container 0123456789ab runs", "container <id> runs"),
            ("#1 [internal] load\n#1 DONE 0.1s\n\n#2 x\nimage", "<progress>\nimage"),
            ("app  x\nwaiting   instance 1, at most 60s\nready", "app  x\nready"),
            ("2 secrets in 82 forms", "2 secrets in <n> forms"),
            ("running   Up About a minute   http://x", "running   Up <time>  http://x"),
        ] {
            assert_eq!(masked(text, &[]), expected);
        }
    }

    #[test]
    fn what_a_reader_needs_stays() {
        for text in
            ["within 6 s", "512000 bytes", "Dockerfile:3:1", "exit code 10", "byte 34", "[2/4] RUN sleep 3s && true"]
        {
            assert_eq!(masked(text, &[]), text);
        }
    }

    #[test]
    fn names_of_the_run_and_canaries_are_masked() {
        let scene = Scene::new();
        let token = scene.oracle().token("TOKEN");
        let tool = scene.tool("/bin/sh").args(["-c", "cat; echo of shop-4711-0 >&2; exit 3"]);
        let outcome = tool.stdin(token.value()).may_show_values().run();
        let screen = outcome.screen(&[("shop-4711-0", "shop")]);
        assert!(
            screen.starts_with("exit code 3\n--- stdout\n") && screen.ends_with("--- stderr\nof shop\n"),
            "{screen}"
        );
        assert!(!screen.contains(token.text()));
    }
}
