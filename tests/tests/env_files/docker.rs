//! Compares the dialect `docker` with the docker client.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use psecret::{Dialect, EnvFileError, EnvFileFault};

use super::cases::{self, Random};
use super::{Variables, ask, ours};

const INHERITED: &[(&str, &str)] = &[("INHERITED", "from outside")];

/// The part of an engine that `docker create` needs. It records the environment of the requested container.
struct Engine {
    folder: tempfile::TempDir,
    environments: Receiver<Vec<String>>,
}

impl Engine {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let listener = UnixListener::bind(folder.path().join("engine.sock")).expect("a socket in it");
        let (sender, environments) = channel();
        // The thread ends with the test's process. Each connection belongs to one client.
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let sender = sender.clone();
                thread::spawn(move || converse(stream, &sender));
            }
        });
        Self { folder, environments }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the variables that the client sends for these files, or `None` if it refuses one of them.
    ///
    /// One run gets all of the files, with a file with a known name between each two of them.
    fn sent(&self, texts: &[&[u8]]) -> Option<Vec<Variables>> {
        const BORDER: &str = "PBUILD_TEST_BORDER=";
        let border = self.path().join("border");
        fs::write(&border, BORDER).expect("a file");
        let mut client = ptest::program("PBUILD_TEST_DOCKER");
        client.args(["create", "--pull", "never"]);
        for (number, text) in texts.iter().enumerate() {
            let path = self.path().join(format!("{number}.env"));
            fs::write(&path, text).expect("a file");
            client.arg("--env-file").arg(path).arg("--env-file").arg(&border);
        }
        let output = client
            .arg("image")
            .env("DOCKER_HOST", format!("unix://{}", self.path().join("engine.sock").display()))
            .env("DOCKER_CONFIG", self.path())
            .env_remove("DOCKER_CONTEXT")
            .envs(INHERITED.iter().copied())
            .output()
            .expect("the client runs");
        if !output.status.success() {
            assert!(self.environments.try_recv().is_err(), "a client that fails has sent nothing");
            return None;
        }
        let sent = self.environments.try_recv().expect("the client asked for a container");
        let mut files = vec![Variables::new()];
        for line in sent {
            let Some((name, value)) = line.split_once('=') else { panic!("an environment of NAME=VALUE") };
            if line == BORDER {
                files.push(Variables::new());
            } else if let Some(file) = files.last_mut() {
                file.insert(name.to_owned(), value.to_owned());
            }
        }
        files.pop();
        Some(files)
    }
}

/// Answers the requests of one connection.
fn converse(stream: UnixStream, environments: &Sender<Vec<String>>) {
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    let mut writer = stream;
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|count| count > 0) {
        let request = std::mem::take(&mut line);
        let mut length = 0;
        while reader.read_line(&mut line).is_ok() && !line.trim().is_empty() {
            let (name, value) = line.split_once(':').unwrap_or_default();
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().expect("a number");
            }
            line.clear();
        }
        line.clear();
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("the whole body");
        let (status, body) = if request.contains("/containers/create") {
            let wanted: serde_json::Value = serde_json::from_slice(&body).expect("the client sends JSON");
            let environment = wanted["Env"].as_array().cloned().unwrap_or_default();
            let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
            environments.send(environment.iter().map(text).collect()).expect("the test listens");
            ("201 Created", "{\"Id\":\"0\",\"Warnings\":[]}")
        } else {
            ("200 OK", if request.starts_with("HEAD") { "" } else { "OK" })
        };
        let answer = format!(
            "HTTP/1.1 {status}\r\nApi-Version: 1.48\r\nOstype: linux\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        if writer.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// Returns true if we refuse the text because of a name with a blank or a control character that docker accepts,
/// other than space and tab.
fn has_an_odd_name(text: &[u8], error: &EnvFileError) -> bool {
    let text = String::from_utf8_lossy(text);
    let line = text.split('\n').nth(error.line - 1).unwrap_or_default().trim_start();
    let name = line.strip_suffix('\r').unwrap_or(line).split('=').next().unwrap_or_default();
    let odd = |c: char| (c.is_whitespace() || c.is_control()) && c != ' ' && c != '\t';
    error.fault == EnvFileFault::BadName && name.contains(odd)
}

/// Compares our reading of these files with that of the client.
fn compare(texts: &[Vec<u8>]) {
    let engine = Engine::start();
    let (mut taken, mut refused) = (Vec::new(), Vec::new());
    for text in texts {
        match ours(text, Dialect::Docker, INHERITED) {
            Ok(variables) => taken.push((text.as_slice(), variables)),
            Err(error) => refused.push((text.as_slice(), error)),
        }
    }
    assert!(!taken.is_empty());
    for part in taken.chunks(100) {
        let files: Vec<&[u8]> = part.iter().map(|(text, _)| *text).collect();
        let theirs = ask(&files, &mut |files| engine.sent(files));
        for ((text, ours), theirs) in part.iter().zip(theirs) {
            assert_eq!(theirs.as_ref(), Some(ours), "{:?}", String::from_utf8_lossy(text));
        }
    }
    for (text, error) in refused {
        if !has_an_odd_name(text, &error) {
            assert!(engine.sent(&[text]).is_none(), "only we refuse {:?}: {error}", String::from_utf8_lossy(text));
        }
    }
}

/// D1, D3, D5, D6, D7, D8, D11, D12, D13: hundreds of generated files are compared.
#[test]
fn what_docker_sends_is_what_we_read_d5_d6() {
    let mut random = Random::new(0x5eed_0001);
    let texts: Vec<Vec<u8>> = (0..400).map(|_| cases::docker(&mut random)).collect();
    compare(&texts);
}

/// D2, D4, D10, D14, D15, and other files that have caused trouble.
#[test]
fn nasty_files_are_read_or_refused_as_docker_does_d2_d10_d14_d15() {
    let line = |length: usize, end: &str| format!("A={}{end}", "x".repeat(length - 2));
    let mut texts: Vec<Vec<u8>> = [
        "",
        "\n",
        "A",
        "A\n",
        "INHERITED",
        "INHERITED\nINHERITED=here\n",
        "INHERITED=here\nINHERITED\n",
        "A=1\nA=2\nA=\n",
        "export A=b",
        "export",
        "export A",
        " export=1",
        "A = 1",
        "A =1",
        "A= 1",
        "\tA=1",
        "=x",
        " = x",
        "=",
        "A B",
        "A\tB=1",
        "#A=1",
        " #A=1",
        "A#B=1",
        "A=#1",
        "A=\"1\n2\"\nB=3",
        "A='1",
        "1A=x\nA-B=y\nA.B=z\n\u{e4}=1",
        "A=1\r",
        "A=1\r\r\n",
        "A=\r\n",
        "\rA=1",
        "\u{feff}",
        "\u{feff}A=1",
        "\u{feff}\u{feff}A=1",
        "A=1\n\u{feff}B=2",
        " \u{feff}A=1",
        "\u{85}A=1",
        "\u{2028}A=1",
        "A=\u{2028}1",
        "PATH=/nowhere\nLD_PRELOAD=x\n",
        "A=1\u{c}B=2\n",
        "A=x   ",
        "a=1\nA=2",
        "A=${B}$C$$",
        "A=\\\nB=1",
    ]
    .map(|text: &str| text.as_bytes().to_vec())
    .to_vec();
    texts.extend([&b"A=\xff"[..], b"A=1\nB=\xc3", b"\xff=1", b"# \xff\nA=1", b"\xef\xbbA=1"].map(<[u8]>::to_vec));
    for end in ["", "\n", "\r\n"] {
        for length in 65_534..=65_537 {
            texts.push(line(length, end).into_bytes());
        }
    }
    compare(&texts);
}

/// The files that we refuse although docker sends them, with the reasons.
#[test]
fn what_only_we_refuse_is_known_d9_d15() {
    let engine = Engine::start();
    for (text, fault, _why) in [
        (&b"A=x\0y"[..], EnvFileFault::Nul, "no environment can carry a NUL; the engine refuses it later, or cuts it"),
        (b"A\x0bB=1", EnvFileFault::BadName, "a name with a control character is a broken file"),
        ("A\u{a0}B=1".as_bytes(), EnvFileFault::BadName, "a name with any blank is a broken file"),
        (b"A\rB=1", EnvFileFault::BadName, "line ends of old times: the whole file would be one name"),
        (b"A\x01=1", EnvFileFault::BadName, "a name with a control character is a broken file"),
    ] {
        let refused = ours(text, Dialect::Docker, INHERITED).expect_err("we refuse it");
        assert_eq!(refused.fault, fault);
        assert!(
            engine.sent(&[text]).is_some(),
            "docker refuses {:?} too: take it off this list",
            String::from_utf8_lossy(text)
        );
    }
}
