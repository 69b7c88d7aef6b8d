//! The page of `prun ui`, in a real browser and to whoever else can reach its port.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use acceptance::App;
use acceptance::service::VALKEY;
use ptest::{Engine, Flavour, Running};
use serde_json::{Value, json};

const REST: &str = "[secrets]\nAPP_KEY = {}\nNPM_TOKEN = { scope = \"build\" }\nSTRIPE_KEY = { scope = \"run\" }\n\
    [[init]]\nname = \"migrate\"\ncommand = [\"true\"]\n\
    [run]\nports = [\"@PORT@:8080\"]\nhealth = { http = \"/healthz\" }\n";

/// The address that a page was last given.
fn link(ui: &Running<'_>) -> String {
    let output = ui.output_so_far();
    output.lines().rfind(|line| line.starts_with("http://127.0.0.1:")).expect("an address").to_owned()
}

/// Runs the browser with the packages that scripts/test installed, and a value that it types.
fn browser(arguments: &[&str], typed: &str) -> Value {
    let modules =
        std::env::var("PBUILD_TEST_NODE_MODULES").expect("PBUILD_TEST_NODE_MODULES is not set: run scripts/test");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("node/ui.mjs");
    let mut node = Command::new("node");
    let output = node.arg(script).arg(modules).args(arguments).env("NEW_VALUE", typed).output().expect("node runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Sends a question as the page does, and returns the answer.
fn ask(address: &str, key: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("the page's port");
    let length = body.len();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nOrigin: http://{address}\r\nPrun-Key: {key}\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn the_page_shows_both_lists_and_does_what_its_reader_asks_and_nobody_else() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "ui");
    let oracle = app.scene.oracle();
    let [key, stripe, typed] = ["APP_KEY", "STRIPE_KEY", "STRIPE_NEXT"].map(|name| oracle.token(name));
    app.manifest(&(VALKEY.table() + REST));
    app.scene.pbuild().args(["secrets", "init"]).run().expect_code(0);
    app.scene.pbuild().args(["secrets", "set", "STRIPE_KEY"]).stdin(stripe.text()).run().expect_code(0);
    app.prun(&["start"]).env("APP_KEY", key.text()).run().expect_code(0);
    let (password, url) = (app.register("REDIS_PASSWORD"), app.register("REDIS_URL"));

    let mut ui = app.prun(&["ui"]).env("APP_KEY", key.text()).spawn();
    ui.wait_for("http://127.0.0.1:");
    let first = link(&ui);
    let walked = browser(&["walk", &first], typed.text());
    let clean = |seen: &Value| {
        assert_eq!((&seen["complaints"], &seen["foreign"]), (&json!([]), &json!([])), "{seen}");
    };
    clean(&walked);
    let origin = first.split("/#").next().expect("an address");
    assert_eq!(walked["address"], format!("{origin}/"), "the token is out of the address");
    assert_eq!(walked["kept"], json!(["", 0, 0]), "nothing is stored");
    // No value that was not asked for, before and after; everything else is there.
    let html = walked["html"].as_str().expect("the page");
    for (about, page) in [("the page", html), ("the page later", walked["after"].as_str().expect("the page"))] {
        oracle.check_bytes(about, page.as_bytes());
    }
    for text in [
        "Environment secrets",
        "Injected secrets",
        "NPM_TOKEN",
        "missing",
        "secrets.age",
        "build only, not in the container",
        "REDIS_PASSWORD",
        "32 characters",
        "made just now",
        "pbuild/valkey:8",
        "running",
        "instance 1 finished in",
        "instance 1 of generation 1",
    ] {
        assert!(html.contains(text), "{text}");
    }
    let digest = |value: &[u8]| json!([App::digest(value)]);
    assert_eq!(walked["revealed"], digest(password.value()));
    assert_eq!(walked["second"], digest(key.value()), "one at a time");
    assert_eq!((&walked["hidden"], &walked["unshown"]), (&json!([]), &json!([])));
    assert_eq!(walked["copied"], App::digest(url.value()));
    // An app on another port of the same address, even with the key.
    for (way, end) in walked["attacks"].as_object().expect("attacks") {
        let expected = match way.as_str() {
            "frame" => "not ours",
            "form" => "only the page itself may ask\n",
            _ => "refused",
        };
        assert_eq!(end, expected, "{way}");
    }
    assert_eq!(walked["framed"], json!([true]));
    for (sent, code) in walked["sent"].as_array().expect("requests").iter().zip([403, 403, 403, 403, 403, 403, 405]) {
        assert!(sent.as_str().is_some_and(|text| text.starts_with(&code.to_string())), "{sent}");
    }
    assert_eq!((&walked["focused"], &walked["emptied"]), (&json!("set-value"), &json!("")));
    assert_eq!(walked["changed"], digest(typed.value()), "the store has what was typed");
    let log: Vec<&str> = walked["log"].as_array().expect("lines").iter().filter_map(Value::as_str).collect();
    for line in [
        "store     `STRIPE_KEY` has a new value",
        "cache     old credential revoked, login refused",
        "page      restarts ",
        "healthy   1 of 1 instance",
    ] {
        assert!(log.iter().any(|said| said.starts_with(line)), "{line}: {log:?}");
        ui.wait_for(line);
    }
    assert_eq!(log.iter().filter(|line| **line == "done").count(), 3, "{log:?}");
    for line in ["revealed  REDIS_PASSWORD", "revealed  APP_KEY", "copied    REDIS_URL", "page      rotates cache of "]
    {
        ui.wait_for(line);
    }
    assert_ne!(app.digest_of("REDIS_PASSWORD"), App::digest(password.value()), "what the page asked for was done");
    app.register("REDIS_PASSWORD");
    app.register("REDIS_URL");

    // Two pages at one port, and a folder that the project was not started from.
    let port = origin.rsplit(':').next().expect("a port");
    let taken = app.prun(&["ui", "--port", port]).run();
    taken
        .expect_code(2)
        .expect_stderr(&format!("cannot listen on 127.0.0.1:{port}"))
        .expect_stderr("--port takes another");
    let copy = app.scene.temporary().join("copy");
    fs::create_dir(&copy).expect("a folder of ours");
    fs::copy(app.scene.project().join("app.toml"), copy.join("app.toml")).expect("a copy");
    let mut other = app.prun(&["ui"]).current_dir(&copy).spawn();
    other.wait_for("http://127.0.0.1:");
    let address = link(&other);
    let (address, token) = address.trim_start_matches("http://").split_once("/#").expect("a token");
    let entered = ask(address, "", "/enter", token);
    let key = entered.rsplit("\r\n").next().expect("a key");
    for (path, body) in [("/value/injected", "reveal\nREDIS_PASSWORD"), ("/rotate", "cache"), ("/restart", "")] {
        let answer = ask(address, key, path, body);
        assert!(answer.contains("was not started from") && answer.contains("prun adopt"), "{path}: {answer}");
    }
    other.wait_for("prun adopt").interrupt();
    other.finish().expect_code(130).expect_stderr("exit code ");

    // Where no manifest names one, the page shows what this user operates.
    let empty = app.scene.temporary().join("empty");
    fs::create_dir(&empty).expect("a folder of ours");
    let mut all = app.prun(&["ui"]).current_dir(&empty).spawn();
    all.wait_for("http://127.0.0.1:");
    let address = link(&all);
    let (address, token) = address.trim_start_matches("http://").split_once("/#").expect("a token");
    let entered = ask(address, "", "/enter", token);
    let shown = ask(address, entered.rsplit("\r\n").next().expect("a key"), "/look", "");
    for text in [app.project.as_str(), "There is no app.toml here", "REDIS_PASSWORD"] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    all.interrupt();
    all.finish().expect_code(130);

    // Readable in both sizes and schemes, and closed when prun ends.
    ui.wait_for("this address opens it again");
    let looked = browser(&["look", &link(&ui), &ui.id().to_string()], "");
    clean(&looked);
    assert_eq!((&looked["axe"], &looked["wider"]), (&json!([]), &json!([])), "{looked}");
    assert_eq!(looked["left"][1], 0);
    assert!(looked["left"][0].as_str().is_some_and(|text| text.starts_with("prun ui has ended")), "{looked}");
    ui.finish().expect_code(130);
    app.check_what_the_engine_tells();
}
