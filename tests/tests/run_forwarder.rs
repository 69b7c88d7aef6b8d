//! The forwarder of published ports: an instance that hangs, connections that stay open through a roll, packets, and the
//! client's address.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use acceptance::App;
use ptest::{Engine, Flavour};

/// A server that ends at once when it is asked to, whatever it is doing.
const SERVER: &str = r#"
import http.server, os, signal, socket, socketserver, sys, threading, time
name = socket.gethostname()
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def handle(self):
        self.client = self.rfile.readline().decode().strip() if "proxy" in sys.argv else "-"
        super().handle()
    def do_GET(self):
        if self.path == "/slow":
            time.sleep(2)
        body = f"{name} {self.client}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words):
        pass
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
def packets():
    port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    port.bind(("", 5353))
    while True:
        packet, client = port.recvfrom(65536)
        port.sendto(name.encode() + b" " + packet, client)
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
threading.Thread(target=packets, daemon=True).start()
Server(("", 8080), Handler).serve_forever()
"#;

const IMAGE: &str = "pbuild/python:3";

fn app<'engine>(engine: &'engine Engine, test: &str, word: &str, rest: &str) -> App<'engine> {
    let app = App::new(engine, test);
    app.manifest(&format!(
        "[processes.web]\ncommand = [\"python3\", \"-c\", '''{SERVER}''', \"{word}\"]\n\
         health = {{ http = \"/\", interval = \"400ms\", timeout = \"1s\" }}\n{rest}"
    ));
    app.prun(&["start", IMAGE]).run().expect_code(0);
    app
}

/// A connection on which requests are made one after the other.
struct Connection(TcpStream);

impl Connection {
    fn open(app: &App<'_>) -> Self {
        let stream = TcpStream::connect((app.engine.address(), app.port)).expect("the port is published");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time");
        Self(stream)
    }

    /// Requests a path. Returns the body of the answer, or `None` if the connection ended before the answer did.
    fn get(&mut self, path: &str) -> Option<String> {
        write!(self.0, "GET {path} HTTP/1.1\r\nHost: app\r\n\r\n").ok()?;
        let mut answer = Vec::new();
        loop {
            let mut piece = [0; 512];
            let count = self.0.read(&mut piece).ok().filter(|count| *count > 0)?;
            answer.extend_from_slice(&piece[..count]);
            let text = String::from_utf8_lossy(&answer).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "))?;
                if body.len() == length.parse::<usize>().ok()? {
                    return Some(body.to_owned());
                }
            }
        }
    }

    /// Waits for the end of the connection. Returns false if it did not end within `patience`.
    fn ends(&mut self, patience: Duration) -> bool {
        self.0.set_read_timeout(Some(patience)).expect("a time");
        let ended = self.0.read(&mut [0]).is_ok_and(|count| count == 0);
        self.0.set_read_timeout(Some(Duration::from_secs(10))).expect("a time");
        ended
    }
}

/// Names the instance that answers a new connection, if one answers.
fn answers(app: &App<'_>) -> Option<String> {
    Connection::open(app).get("/")?.split(' ').next().map(str::to_owned)
}

/// Names the instance that answers a new client's packet, if one answers in time.
fn answers_packet(app: &App<'_>) -> Option<String> {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a port");
    socket.connect((app.engine.address(), app.port)).expect("an address");
    socket.set_read_timeout(Some(Duration::from_secs(1))).expect("a time");
    socket.send(b"packet").expect("a packet");
    let mut answer = [0; 100];
    let count = socket.recv(&mut answer).ok()?;
    let text = String::from_utf8_lossy(&answer[..count]).into_owned();
    text.strip_suffix(" packet").map(str::to_owned)
}

fn many(answers: impl Fn() -> Option<String>) -> BTreeSet<String> {
    (0..12).map(|_| answers().expect("every client has its answer")).collect()
}

#[test]
fn an_instance_that_hangs_is_left_out_and_taken_back() {
    let engine = Engine::get(Flavour::Modern);
    let ports = "replicas = 2\nports = [\"@PORT@:8080\", \"@PORT@:5353/udp\"]\n";
    let app = app(&engine, "hangs", "plain", ports);
    app.prun(&["ps"]).run().expect_code(0).expect_stdout(&format!("udp://{}:{}", "127.0.0.1", app.port));
    assert_eq!(many(|| answers(&app)).len(), 2, "both have their turns");
    assert_eq!(many(|| answers_packet(&app)).len(), 2);

    // It does not answer any more, and accepts connections all the same.
    let frozen = format!("{}.1.web.1", app.project);
    engine.docker(&["pause", &frozen]);
    let forwarder = app.containers().into_iter().find(|name| name.ends_with("ports")).expect("the forwarder");
    let left_out = || String::from_utf8_lossy(&engine.try_docker(&["logs", &forwarder]).stderr).contains("left out: ");
    assert!(app.becomes(left_out), "it is noticed");
    assert_eq!(many(|| answers(&app)).len(), 1, "every connection goes to the other one");
    assert_eq!(many(|| answers_packet(&app)).len(), 1);

    engine.docker(&["unpause", &frozen]);
    assert!(app.becomes(|| many(|| answers(&app)).len() == 2), "it is taken back");
    app.prun(&["stop", "--purge", "--yes"]).run().expect_code(0);
}

#[test]
fn a_roll_waits_for_open_requests_and_ends_connections_without_one() {
    let engine = Engine::get(Flavour::Modern);
    let app = app(&engine, "drains", "plain", "ports = [\"@PORT@:8080\", \"@PORT@:5353/udp\"]\n");
    let before = answers(&app).expect("an answer");
    let mut idle = Connection::open(&app);
    assert!(idle.get("/").is_some());
    let answered = std::thread::scope(|threads| {
        let busy = threads.spawn(|| {
            let mut connection = Connection::open(&app);
            let mut answered = 0;
            // What ends between an answer and the next request harms nobody.
            while !connection.ends(Duration::from_millis(400)) {
                let answer = connection.get("/slow").expect("a request that was sent is answered");
                assert!(answer.starts_with(&before), "{answer}");
                answered += 1;
            }
            answered
        });
        app.prun(&["restart"]).run().expect_code(0);
        busy.join().expect("no request is lost")
    });
    assert!(answered > 0);
    assert!(idle.ends(Duration::from_millis(100)), "the other side has closed it");
    assert_ne!(answers(&app).expect("an answer"), before);
    assert_ne!(answers_packet(&app).expect("an answer"), before);
    app.prun(&["stop", "--purge", "--yes"]).run().expect_code(0);
}

#[test]
fn the_clients_address_comes_before_its_bytes() {
    let engine = Engine::get(Flavour::Modern);
    let app = app(&engine, "proxies", "proxy", "ports = [\"@PORT@:8080\"]\nproxy_protocol = true\n");
    let answer = Connection::open(&app).get("/").expect("an answer");
    let words: Vec<&str> = answer.split(' ').skip(1).collect();
    let ["PROXY", "TCP4", client, _, from, "8080"] = words[..] else { panic!("{answer}") };
    assert!(client.parse::<std::net::Ipv4Addr>().is_ok() && from.parse::<u16>().is_ok(), "{answer}");
    app.prun(&["stop", "--purge", "--yes"]).run().expect_code(0);
}
