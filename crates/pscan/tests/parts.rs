//! The parts of a secret are found where they stand alone, under the secret's name and the part's name. Public text
//! of the secret is not found.

use std::ops::ControlFlow;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use pscan::{NeedleSet, NeedleSetBuilder, Options, Report, Verdict, audit};
use psecret::{PartChoice, Parts, SecretName, UserSecret};
use ptest::{Image, Layer};

const TOKEN: &str = "ghp_9fKq2LmZr8Kc1Vb4NyT9xWq2LmKq";
const PASSWORD: &str = "tk-9fKq2LmZr8";
const HOOK: &str = "q7Xz1K9vB2m4N6p8Rt3Yw5Ua";
const RSA: &str = include_str!("../../psecret/src/part/keys/rsa.pkcs8.pem");
const RSA_PUBLIC: &str = include_str!("../../psecret/src/part/keys/rsa.public.pem");
const CERTIFICATE: &str = include_str!("../../psecret/src/part/keys/certificate.pem");

fn needles(value: &[u8], choice: &PartChoice) -> NeedleSet {
    let (name, value) = (SecretName::parse("TOKEN").expect("a name"), UserSecret::new(value.to_vec()));
    NeedleSetBuilder::new().taken_apart(&name, &value, &Parts::of(&value, choice)).build().expect("few forms")
}

fn search(value: &[u8], file: &[u8]) -> Report {
    search_for(&needles(value, &PartChoice::All), file)
}

fn search_for(needles: &NeedleSet, file: &[u8]) -> Report {
    let archive = Image::new().layer(Layer::new().file("etc/app", file), "RUN build").docker_legacy("shop:1").tar();
    let options = Options::default();
    audit(archive.as_slice(), needles, &options, &mut |_| ControlFlow::Continue(())).expect("an archive")
}

#[track_caller]
fn finds(value: &[u8], file: &[u8], part: Option<&str>) {
    let report = search(value, file);
    let told: Vec<Option<&str>> = report.findings().iter().map(|finding| finding.part()).collect();
    let shown = String::from_utf8_lossy(value);
    assert_eq!(report.verdict(), Verdict::Leak, "{} in {}", shown, String::from_utf8_lossy(file));
    assert!(told.contains(&part), "{shown}: {told:?}");
}

#[track_caller]
fn is_silent(value: &[u8], file: &[u8]) {
    let report = search(value, file);
    assert_eq!(report.verdict(), Verdict::Clean, "{}\n{report:?}", String::from_utf8_lossy(value));
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    ptest::pack::gzip(bytes)
}

fn account() -> serde_json::Value {
    serde_json::json!({
        "type": "service_account",
        "project_id": "shop-production-41",
        "private_key_id": "5f1d0c7be3a94f2286d1c0b7e3a94f22d1c0b7e3",
        "private_key": RSA,
        "client_email": "builder@shop-production-41.iam.gserviceaccount.com",
        "client_id": "104837261948372619483",
        "token_uri": "https://oauth2.googleapis.com/token",
        "client_x509_cert_url": "https://www.googleapis.com/robot/v1/metadata/x509/builder%40shop-production-41.iam",
    })
}

fn kubeconfig() -> String {
    format!(
        "apiVersion: v1\nclusters:\n- name: ours\n  cluster:\n    server: https://10.0.0.1:6443\n    certificate-authority-data: {}\nusers:\n- name: ci\n  user:\n    client-key-data: {}\n",
        STANDARD.encode(CERTIFICATE),
        STANDARD.encode(RSA),
    )
}

#[test]
fn another_reading_of_a_secret_is_found_under_its_own_name() {
    use psecret::{Delivery, Scope, Secret, Source};
    let name = SecretName::parse("TOKEN").expect("a name");
    let value = UserSecret::new(b"\"hunter2 hunter2\" # said".to_vec());
    let secret = Secret::new(name, value, Scope::Both, Delivery::Variable, Source::Environment).expect("it fits");
    let secret = secret.with_reading(Some(UserSecret::new(b"hunter2 hunter2".to_vec())));
    let builder = NeedleSetBuilder::new().taken_apart(secret.name(), secret.value(), secret.parts());
    let needles = builder.build().expect("few forms");
    for file in ["is hunter2 hunter2 here", "is \"hunter2 hunter2\" # said"] {
        let report = search_for(&needles, file.as_bytes());
        assert_eq!(report.verdict(), Verdict::Leak, "{file}");
        assert!(report.findings().iter().all(|finding| finding.part().is_none()), "{file}");
    }
}

#[test]
fn what_lies_below_an_encoding_is_found() {
    let json = format!("{{\n  \"token\": \"{TOKEN}\"\n}}\n");
    let ssh = include_str!("../../psecret/src/part/keys/ed25519.openssh");
    for below in [json.as_bytes(), RSA.as_bytes(), ssh.as_bytes(), TOKEN.as_bytes()] {
        finds(STANDARD.encode(below).as_bytes(), below, Some("decoded"));
        finds(STANDARD.encode(gzip(below)).as_bytes(), below, Some("unpacked"));
    }
    let bytes: Vec<u8> = (0..32_u8).map(|n| n.wrapping_mul(149).wrapping_add(77)).collect();
    let hex = base16ct::lower::encode_string(&bytes);
    finds(hex.as_bytes(), &bytes, Some("decoded"));
    finds(STANDARD.encode(&bytes).as_bytes(), &bytes, Some("decoded"));
    finds(STANDARD.encode(&bytes).as_bytes(), hex.as_bytes(), Some("decoded"));
    finds(hex.to_uppercase().as_bytes(), URL_SAFE_NO_PAD.encode(&bytes).as_bytes(), Some("decoded"));
    finds(format!("base64:{}", STANDARD.encode(&bytes)).as_bytes(), &bytes, Some("decoded"));
    finds(
        format!("base64:{}", STANDARD.encode(&bytes)).as_bytes(),
        STANDARD.encode(&bytes).as_bytes(),
        Some("encoded"),
    );
}

/// Lists the texts that people use as secrets: the kind, the text, one of its values, and the part by which this
/// value is found.
fn shapes() -> Vec<(&'static str, String, String, &'static str)> {
    let auth = STANDARD.encode(format!("ci:{PASSWORD}"));
    let docker = format!("{{\"auths\":{{\"ghcr.io\":{{\"auth\":\"{auth}\"}}}}}}");
    let indented = serde_json::from_str::<serde_json::Value>(&docker).expect("JSON");
    let indented = serde_json::to_string_pretty(&indented).expect("JSON");
    let aws = format!("[default]\naws_access_key_id = AKIAQ7XZ1K9VB2M4N6P8\naws_secret_access_key = {TOKEN}+/=\n");
    let netrc = format!("machine npm.example login ci password {PASSWORD}\n");
    let pip = format!("[global]\nindex-url = https://ci:{PASSWORD}@pypi.example/simple\n");
    let maven = format!("<settings><servers><server><password>{PASSWORD}</password></server></servers></settings>");
    let composer =
        format!("{{\"http-basic\":{{\"repo.example\":{{\"username\":\"ci\",\"password\":\"{PASSWORD}\"}}}}}}");
    let helm = format!("database:\n  user: shop\n  password: {PASSWORD}\n");
    let cargo = format!("[registries.ours]\ntoken = \"{TOKEN}\"\n");
    let postgres = format!("postgres://shop:{PASSWORD}@db.internal:5432/shop");
    let pretty_account = serde_json::to_string_pretty(&account()).expect("JSON");
    let other_account = serde_json::json!({"key": account()["private_key"], "a": 1}).to_string();
    let npmrc = format!("//npm.example/:_authToken={TOKEN}\n");
    let webhook = format!("https://hooks.chat.example/services/T0A1B2C3D/B0A1B2C3D/{HOOK}");
    let unit = format!("[Service]\nEnvironment=\"APP_ENV=production\" \"DB_PASSWORD={PASSWORD}\"\n");
    let s3cfg = format!("[default]\naccess_key = AKIAQ7XZ1K9VB2M4N6P8\nsecret_key = {TOKEN}\n");
    let server = format!("Server=db;Database=shop;User Id=app;Password={PASSWORD};");
    let header = format!("header = \"Authorization: Bearer {TOKEN}\"\n");
    let bundler = format!("---\nBUNDLE_GEMS__EXAMPLE__COM: \"ci:{PASSWORD}\"\n");
    vec![
        ("`~/.aws/credentials`", aws, format!("AWS_SECRET_ACCESS_KEY={TOKEN}+/="), "aws_secret_access_key"),
        ("`.npmrc`", npmrc, format!("npmAuthToken: {TOKEN}"), "//npm.example/:_authToken"),
        ("`.netrc`", netrc, format!("export PASS={PASSWORD}"), "/npm.example/password"),
        (
            "an env file",
            format!("APP_ENV=production\nDB_PASSWORD=\"{PASSWORD}\"\n"),
            format!("<pass>{PASSWORD}</pass>"),
            "DB_PASSWORD",
        ),
        ("`pip.conf`", pip, PASSWORD.to_owned(), "/index-url/password"),
        ("Maven's `settings.xml`", maven, PASSWORD.to_owned(), "/settings/servers/server/password"),
        ("`COMPOSER_AUTH`", composer, PASSWORD.to_owned(), "/http-basic/repo.example/password"),
        ("values in YAML", helm, format!("DB_PASSWORD={PASSWORD}"), "/database/password"),
        ("credentials in TOML", cargo, format!("CARGO_REGISTRIES_OURS_TOKEN={TOKEN}"), "/registries/ours/token"),
        (
            "docker's `config.json`, the password",
            docker.clone(),
            format!("x {PASSWORD}"),
            "/auths/ghcr.io/auth/password",
        ),
        ("docker's `config.json`, the encoded login", docker, indented, "/auths/ghcr.io/auth"),
        ("the URL of a database", postgres, format!("db:5432:shop:shop:{PASSWORD}"), "password"),
        ("a connection string", server, PASSWORD.to_owned(), "Password"),
        (
            "parameters of JDBC",
            format!("jdbc:postgresql://db/shop?user=shop&password={PASSWORD}"),
            PASSWORD.to_owned(),
            "password",
        ),
        ("`.git-credentials`", format!("https://ci:{TOKEN}@github.com\n"), TOKEN.to_owned(), "password"),
        ("the address of a webhook, its last piece", webhook, HOOK.to_owned(), "path"),
        ("`.curlrc`, a header", header, TOKEN.to_owned(), "header"),
        ("`.curlrc`, a login", format!("user = \"ci:{PASSWORD}\"\n"), PASSWORD.to_owned(), "/user/password"),
        (
            "`.pypirc`",
            format!("[pypi]\nusername = __token__\npassword = {PASSWORD}\n"),
            PASSWORD.to_owned(),
            "password",
        ),
        ("`.s3cfg`", s3cfg, TOKEN.to_owned(), "secret_key"),
        (
            "`gradle.properties`",
            format!("mavenUser=ci\nmavenPassword={PASSWORD}\n"),
            PASSWORD.to_owned(),
            "mavenPassword",
        ),
        ("Bundler's configuration", bundler, PASSWORD.to_owned(), "/BUNDLE_GEMS__EXAMPLE__COM/password"),
        ("`redis.conf`", format!("bind 127.0.0.1\nrequirepass {PASSWORD}\n"), PASSWORD.to_owned(), "requirepass"),
        ("a unit of systemd", unit, PASSWORD.to_owned(), "/Environment/DB_PASSWORD"),
        (
            "an assignment of PowerShell",
            format!("$env:DB_PASSWORD = '{PASSWORD}'\n"),
            PASSWORD.to_owned(),
            "$env:DB_PASSWORD",
        ),
        ("an assignment of JavaScript", format!("const apiToken = \"{TOKEN}\";\n"), TOKEN.to_owned(), "apiToken"),
        ("`user:token`", format!("ci:{TOKEN}"), TOKEN.to_owned(), "password"),
        ("`Bearer TOKEN`", format!("Bearer {TOKEN}"), TOKEN.to_owned(), "token"),
        ("a value in quotes", format!("\"{TOKEN}\""), TOKEN.to_owned(), "unquoted"),
        ("a kubeconfig, its key", kubeconfig(), RSA.to_owned(), "/users/user/client-key-data"),
        (
            "a kubeconfig, its key in base64",
            kubeconfig(),
            format!("key: {}", STANDARD.encode(RSA)),
            "/users/user/client-key-data",
        ),
        ("a service account's JSON, its key", account().to_string(), RSA.to_owned(), "private_key"),
        ("the same, indented, in another file's JSON", pretty_account, other_account, "private_key"),
    ]
}

#[test]
fn the_one_value_that_a_step_keeps_is_found() {
    for (_, value, kept, part) in shapes() {
        finds(value.as_bytes(), kept.as_bytes(), Some(part));
        // The same text may be in base64, as variables hold it.
        assert_eq!(search(STANDARD.encode(&value).as_bytes(), kept.as_bytes()).verdict(), Verdict::Leak, "{value}");
    }
}

/// The documentation's table has the same rows as the test above.
#[test]
fn the_page_lists_every_shape() {
    let page = include_str!("../../../docs/audit.md");
    let shapes: String = shapes().iter().map(|(what, _, _, part)| format!("| {what} | `{part}` |\n")).collect();
    assert!(page.contains(&shapes), "docs/audit.md must hold these lines:\n{shapes}");
}

#[test]
fn a_private_key_is_found_in_every_container() {
    let rsa = [
        RSA,
        include_str!("../../psecret/src/part/keys/rsa.pkcs1.pem"),
        include_str!("../../psecret/src/part/keys/rsa.text"),
        include_str!("../../psecret/src/part/keys/rsa.jwk"),
        include_str!("../../psecret/src/part/keys/rsa.openssh"),
    ];
    let ec = [
        include_str!("../../psecret/src/part/keys/ec.sec1.pem"),
        include_str!("../../psecret/src/part/keys/ec.pkcs8.pem"),
        include_str!("../../psecret/src/part/keys/ec.text"),
        include_str!("../../psecret/src/part/keys/ec.jwk"),
        include_str!("../../psecret/src/part/keys/ec.openssh"),
    ];
    let ed25519 = [
        include_str!("../../psecret/src/part/keys/ed25519.pkcs8.pem"),
        include_str!("../../psecret/src/part/keys/ed25519.text"),
        include_str!("../../psecret/src/part/keys/ed25519.jwk"),
        include_str!("../../psecret/src/part/keys/ed25519.openssh"),
    ];
    for containers in [&rsa[..], &ec, &ed25519] {
        for one in containers {
            for other in containers {
                let report = search(one.as_bytes(), other.as_bytes());
                assert_eq!(report.verdict(), Verdict::Leak, "{one}\nin\n{other}");
                assert!(report.findings().len() <= 6, "{report:?}");
            }
        }
    }
    // The key is also found as DER and as PEM of another width.
    let body: String = rsa[1].lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(&body).expect("base64");
    finds(RSA.as_bytes(), &der, Some("private key"));
    let wide: String = body.as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line) + "\r\n").collect();
    finds(RSA.as_bytes(), wide.as_bytes(), Some("private key"));
}

#[test]
fn decoys_are_silent() {
    let mut public = account();
    public.as_object_mut().expect("an object").remove("private_key");
    let public = serde_json::to_string_pretty(&public).expect("JSON");
    for written in [account().to_string(), serde_json::to_string_pretty(&account()).expect("JSON")] {
        is_silent(written.as_bytes(), public.as_bytes());
        is_silent(STANDARD.encode(&written).as_bytes(), public.as_bytes());
        for leaf in [
            "builder@shop-production-41.iam.gserviceaccount.com",
            "5f1d0c7be3a94f2286d1c0b7e3a94f22d1c0b7e3",
            "shop-production-41",
        ] {
            is_silent(written.as_bytes(), leaf.as_bytes());
        }
    }
    is_silent(RSA.as_bytes(), RSA_PUBLIC.as_bytes());
    is_silent(RSA.as_bytes(), CERTIFICATE.as_bytes());
    is_silent(format!("{RSA}{CERTIFICATE}").as_bytes(), CERTIFICATE.as_bytes());
    is_silent(format!("{RSA}{CERTIFICATE}").as_bytes(), format!("data: {}", STANDARD.encode(CERTIFICATE)).as_bytes());
    let authority = STANDARD.encode(CERTIFICATE);
    for seen in [
        CERTIFICATE,
        authority.as_str(),
        &format!("    certificate-authority-data: {authority}\n"),
        "https://10.0.0.1:6443",
    ] {
        is_silent(kubeconfig().as_bytes(), seen.as_bytes());
    }
    for (value, seen) in [
        ("postgres://app:app@db/app", "app db app:app postgres://app"),
        ("postgres://application1:application1@db/application1", "application1"),
        (
            "APP_NAME=Laravel\nDB_HOST=registry.example.com\nMIME=application/json\nDB_USERNAME=shopping\nAWS_REGION=eu-central-1\nAPP_KEY=9fKq2LmZr8Kc1Vb4\n",
            "Laravel registry.example.com application/json shopping eu-central-1",
        ),
        (
            "{\"auths\":{\"registry.example.com:5000\":{\"username\":\"ci-builder\",\"password\":\"tk-9fKq2LmZr8\"}}}",
            "registry.example.com:5000 ci-builder",
        ),
        (
            "//npm.example/:_authToken=${NPM_TOKEN}\nregistry=https://npm.example/\n",
            "${NPM_TOKEN} https://npm.example/",
        ),
    ] {
        is_silent(value.as_bytes(), seen.as_bytes());
    }
}

#[test]
fn the_whole_is_one_finding_and_not_one_for_each_part() {
    let value = account().to_string();
    let report = search(value.as_bytes(), value.as_bytes());
    assert_eq!(report.findings().len(), 1, "{report:?}");
    assert_eq!(report.findings()[0].label(), "TOKEN");
}

#[test]
fn reports_name_the_part_and_never_its_value() {
    let value = format!("[default]\naws_secret_access_key = {TOKEN}\nsession_token = q7xz1k9\n");
    let report = search(value.as_bytes(), format!("key={TOKEN}\n").as_bytes());
    let text = preport::text(&report, preport::Paper::PLAIN);
    assert!(text.contains("TOKEN, part aws_secret_access_key"), "{text}");
    assert!(text.contains("TOKEN, part session_token is not searched for: shorter than 8 bytes"), "{text}");
    let json = report.to_json();
    assert_eq!(json["findings"][0]["secret"], "TOKEN");
    assert_eq!(json["findings"][0]["secret_part"], "aws_secret_access_key");
    assert!(!text.contains("9fKq2") && !json.to_string().contains("9fKq2"));
    let again = Report::from_json(&json, &needles(value.as_bytes(), &PartChoice::All)).expect("the same needles");
    assert_eq!(format!("{again:?}"), format!("{report:?}"));
    // A reader that takes the value apart in another way refuses the report.
    assert!(Report::from_json(&json, &needles(value.as_bytes(), &PartChoice::None)).is_err());
}

#[test]
fn parts_that_nobody_wants_are_not_searched_for() {
    let value = format!("A_TOKEN={TOKEN}\nB_PASSWORD={PASSWORD}\n");
    let archive = |file: &str| Image::new().layer(Layer::new().file("a", file), "RUN x").docker_legacy("shop:1").tar();
    let verdict = |choice: PartChoice, file: &str| {
        let needles = needles(value.as_bytes(), &choice);
        let options = Options::default();
        audit(archive(file).as_slice(), &needles, &options, &mut |_| ControlFlow::Continue(()))
            .expect("an archive")
            .verdict()
    };
    assert_eq!(verdict(PartChoice::None, TOKEN), Verdict::Clean);
    assert_eq!(verdict(PartChoice::None, &value), Verdict::Leak);
    assert_eq!(verdict(PartChoice::Named(vec!["B_PASSWORD".into()]), TOKEN), Verdict::Clean);
    assert_eq!(verdict(PartChoice::Named(vec!["B_PASSWORD".into()]), PASSWORD), Verdict::Leak);
}

#[test]
fn more_parts_than_are_searched_for_is_not_clean() {
    let value: String = (0..100).map(|n| format!("TOKEN_{n}=9fKq2LmZr8Kc1Vb4{n}\n")).collect();
    let report = search(value.as_bytes(), b"nothing");
    assert_eq!(report.verdict(), Verdict::Incomplete, "{report:?}");
    assert!(
        preport::text(&report, preport::Paper::PLAIN).contains("TOKEN has 36 more parts than are searched for"),
        "{report:?}"
    );
}
