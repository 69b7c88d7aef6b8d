//! The spellings of a value that libraries of Python and Node write: the search finds them, and a log masks them.

use std::process::Command;

use psecret::{Redactor, RedactorBuilder, SecretName, UserSecret};
use ptest::Scene;

/// Values that every writer changes in some way: from `openssl rand -base64`, passwords, a URL, one beyond ASCII, and
/// a passphrase.
const VALUES: [&str; 6] = [
    "++++OpF80vgbd+P//gXIodPpsEx/KmaBC/rdlMPo8Ks=",
    "Zr8Kc1/Vb4Ny+T9xWq2Lm5==",
    "it's-a-pass&word<9x+Q",
    "pa%ss@w0rd:Q7zk9x",
    "postgres://shop:p%40s+s!w0rd#x@db.internal:5432/shop?sslmode=require&x=1",
    "gr\u{fc}\u{df}e \"aus\" K\u{f6}ln-7481\u{1f511}",
];

/// A program that prints one line for each text: the name of the writer, a blank, and the text in hex.
const PYTHON: &str = r#"
import base64, configparser, csv, html, io, json, pprint, quopri, re, shlex, sys, urllib.parse, xml.sax.saxutils, plistlib, string
v = sys.argv[1]
def tell(name, text):
    data = text if isinstance(text, bytes) else text.encode()
    print(name, (b'key "' + data + b'" end\n').hex())
tell("json", json.dumps({"a": v}))
tell("json-not-ascii", json.dumps({"a": v}, ensure_ascii=False))
tell("json-twice", json.dumps(json.dumps({"a": v})))
tell("base64-of-json", base64.b64encode(json.dumps({"user": "x", "a": v}).encode()))
tell("repr", repr(v))
tell("ascii", ascii(v))
tell("unicode_escape", v.encode("unicode_escape"))
tell("html", html.escape(v))
tell("xmlcharref", v.encode("ascii", "xmlcharrefreplace"))
tell("quoteattr", xml.sax.saxutils.quoteattr(v))
tell("shlex", shlex.quote(v))
tell("quote", urllib.parse.quote(v))
tell("quote-all", urllib.parse.quote(v, safe=""))
tell("quote_plus", urllib.parse.quote_plus(v))
tell("quote-twice", urllib.parse.quote(urllib.parse.quote(v, safe=""), safe=""))
tell("json-of-quote", json.dumps(urllib.parse.quote(v)))
tell("html-of-json", html.escape(json.dumps(v)))
tell("quopri", quopri.encodestring(v.encode()))
tell("re", re.escape(v))
c = configparser.ConfigParser(); c["a"] = {"b": v.replace("%", "%%")}; s = io.StringIO(); c.write(s); tell("configparser", s.getvalue())
s = io.StringIO(); csv.writer(s).writerow(["a", v]); tell("csv", s.getvalue())
tell("plist", plistlib.dumps({"a": v}))
tell("template", v.replace("$", "$$"))
tell("format", v.replace("{", "{{").replace("}", "}}"))
"#;

const NODE: &str = r#"
const util = require("util"), querystring = require("querystring"), v = process.argv[1];
const tell = (name, text) => console.log(name, Buffer.from(`key "${text}" end\n`).toString("hex"));
const url = new URL("https://registry.internal.example/"); url.username = "ci"; url.password = v;
tell("URL.password", url.href);
const query = new URL("https://registry.internal.example/"); query.searchParams.set("key", v);
tell("URLSearchParams", query.href);
const path = new URL("https://registry.internal.example/"); path.hash = v; tell("URL.hash", path.href);
tell("escape", escape(v));
tell("encodeURI", encodeURI(v));
tell("encodeURIComponent", encodeURIComponent(v));
tell("twice", encodeURIComponent(encodeURIComponent(v)));
tell("querystring", querystring.stringify({ key: v }));
tell("JSON", JSON.stringify({ key: v }));
tell("JSON-in-JSON", JSON.stringify({ body: JSON.stringify({ key: v }) }));
tell("JSON-in-a-page", JSON.stringify(v).replace(/[<>&\/\u2028\u2029]/g, c => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0").toUpperCase()));
tell("inspect", util.inspect({ key: v }));
tell("entities", v.replace(/[^a-zA-Z0-9]/gu, c => `&#x${c.codePointAt(0).toString(16).toUpperCase()};`));
tell("Basic", Buffer.from(JSON.stringify({ key: v, next: "x" })).toString("base64"));
"#;

/// The text that a writer made from a value.
struct Written {
    writer: String,
    text: Vec<u8>,
}

fn written(program: &str, arguments: &[&str], value: &str) -> Vec<Written> {
    let output = Command::new(program).args(arguments).arg(value).output().expect("the writer runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).expect("hex is ASCII");
    let parse = |line: &str| {
        let (writer, hex) = line.split_once(' ').expect("a name and hex");
        Written { writer: format!("{program}: {writer}"), text: base16ct::mixed::decode_vec(hex).expect("hex") }
    };
    lines.lines().map(parse).collect()
}

fn all(value: &str) -> Vec<Written> {
    let mut all = written("python3", &["-c", PYTHON], value);
    all.extend(written("node", &["-e", NODE, "--"], value));
    assert!(all.len() > 30, "{} writers", all.len());
    all
}

fn redactor(value: &str) -> Redactor {
    let name = SecretName::parse("KEY").expect("a name");
    RedactorBuilder::new().secret(&name, &UserSecret::new(value.as_bytes().to_vec())).build().expect("few forms")
}

#[test]
fn what_python_and_node_write_is_found_in_files() {
    for value in VALUES {
        let scene = Scene::new();
        let mut missed = Vec::new();
        let source = scene.write_secret("value", value);
        for (at, Written { writer, text }) in all(value).iter().enumerate() {
            let folder = format!("out{at}");
            scene.write_secret(&format!("{folder}/file"), text);
            let flag = format!("id=KEY,src={}", source.display());
            let audit = scene.pbuild().args(["audit", "--no-cache", "--secret", &flag, &format!("dir:{folder}")]).run();
            if audit.code() != 10 {
                missed.push(writer.clone());
            }
        }
        assert_eq!(missed, [""; 0], "of {value}");
    }
}

#[test]
fn what_python_and_node_write_is_masked_in_logs() {
    for value in VALUES {
        let redactor = redactor(value);
        let all = all(value);
        let missed: Vec<&str> = all
            .iter()
            .filter(|written| !String::from_utf8_lossy(&redactor.redact_bytes(&written.text)).contains("***KEY***"))
            // Logs do not decode base64 of an escaped text.
            .filter(|written| !(written.writer.ends_with("base64-of-json") || written.writer.ends_with("Basic")))
            .map(|written| written.writer.as_str())
            .collect();
        assert_eq!(missed, [""; 0], "of {value}");
    }
}
