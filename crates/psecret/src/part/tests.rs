use std::io::Write as _;
use std::time::{Duration, Instant};

use ::base64::Engine as _;
use ::base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use proptest::prelude::*;

use super::*;
use crate::value::LONGEST_SECRET;

mod programs;

const TOKEN: &str = "ghp_9fKq2LmZr8Kc1Vb4NyT9xWq2LmKq";
const PASSWORD: &str = "tk-9fKq2LmZr8";
const HOOK: &str = "q7Xz1K9vB2m4N6p8Rt3Yw5Ua";
const RSA: &str = include_str!("keys/rsa.pkcs8.pem");
const CERTIFICATE: &str = include_str!("keys/certificate.pem");

fn of(value: &[u8]) -> Parts {
    Parts::of(&UserSecret::new(value.to_vec()), &PartChoice::All)
}

fn has(parts: &Parts, value: &[u8]) -> bool {
    parts.iter().any(|part| part.value.is(value))
}

#[track_caller]
fn contains(value: &str, part: &str) {
    let parts = of(value.as_bytes());
    assert!(has(&parts, part.as_bytes()), "{value}\nhas {:?}", parts.names());
}

/// Checks that a value has a part with this name.
#[track_caller]
fn contains_named(value: &str, name: &str, part: &str) {
    let parts = of(value.as_bytes());
    let named = parts.iter().any(|one| one.name == name && one.value.is(part.as_bytes()));
    assert!(named, "{value}\nhas {:?}", parts.names());
}

#[track_caller]
fn has_none(value: &str) {
    let parts = of(value.as_bytes());
    assert!(parts.is_empty(), "{value}\nhas {:?}", parts.names());
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn wrapped(text: &str, width: usize) -> String {
    text.as_bytes().chunks(width).map(|line| String::from_utf8_lossy(line) + "\n").collect()
}

fn service_account() -> String {
    serde_json::json!({
        "type": "service_account",
        "project_id": "shop-production-41",
        "private_key_id": "5f1d0c7be3a94f2286d1c0b7e3a94f22d1c0b7e3",
        "private_key": RSA,
        "client_email": "builder@shop-production-41.iam.gserviceaccount.com",
        "client_id": "104837261948372619483",
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": "https://oauth2.googleapis.com/token",
        "auth_provider_x509_cert_url": "https://www.googleapis.com/oauth2/v1/certs",
        "client_x509_cert_url": "https://www.googleapis.com/robot/v1/metadata/x509/builder%40shop-production-41.iam",
    })
    .to_string()
}

#[test]
fn a_token_is_a_token_and_has_no_parts() {
    for value in [TOKEN, PASSWORD, "correct horse battery staple", "hunter2-hunter2", "Laravel", "application/json", ""]
    {
        has_none(value);
    }
}

#[test]
fn wrappings_are_undone_one_below_the_other() {
    for text in [TOKEN, "user-without-colon and words", RSA] {
        for encoded in [
            STANDARD.encode(text),
            STANDARD_NO_PAD.encode(text),
            URL_SAFE.encode(text),
            URL_SAFE_NO_PAD.encode(text),
            wrapped(&STANDARD.encode(text), 76),
            wrapped(&STANDARD.encode(text), 64).replace('\n', "\r\n"),
            wrapped(&STANDARD.encode(text), 60).replace('\n', "\\n"),
            STANDARD.encode(STANDARD.encode(text)),
            STANDARD.encode(gzip(text.as_bytes())),
            STANDARD.encode(zlib(text.as_bytes())),
            STANDARD.encode(gzip(STANDARD.encode(text).as_bytes())),
            format!("base64:{}", STANDARD.encode(text)),
            format!("\"{}\"", STANDARD.encode(text)),
            text.bytes().map(|byte| format!("{byte:02x}")).collect(),
            text.bytes().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":"),
        ] {
            contains(&encoded, text);
        }
    }
    for bytes in [gzip(TOKEN.as_bytes()), zlib(TOKEN.as_bytes())] {
        assert!(has(&of(&bytes), TOKEN.as_bytes()));
    }
    contains(&format!("Bearer {TOKEN}"), TOKEN);
    contains(&format!("token {TOKEN}"), TOKEN);
    contains(&format!("Authorization: Bearer {TOKEN}"), TOKEN);
    contains(&format!("Basic {}", STANDARD.encode(format!("ci:{PASSWORD}"))), PASSWORD);
    contains(&format!("\"{TOKEN}\""), TOKEN);
    contains(&format!("'{TOKEN}'\n"), TOKEN);
    contains(&format!("ci:{TOKEN}"), TOKEN);
    contains_named(&format!("ci:{PASSWORD}\n"), "password", PASSWORD);
    contains(&STANDARD.encode(format!("x-token-auth:{TOKEN}")), TOKEN);
}

/// The outputs of `openssl rand -base64 32` and similar commands: programs use the bytes that they encode.
#[test]
fn the_bytes_below_an_encoding_are_a_part() {
    let bytes: Vec<u8> = (0..48_u8).map(|n| n.wrapping_mul(149).wrapping_add(77)).collect();
    for length in [16, 30, 32, 48] {
        let bytes = &bytes[..length];
        for encoded in [
            STANDARD.encode(bytes),
            format!("base64:{}", STANDARD.encode(bytes)),
            bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        ] {
            assert!(has(&of(encoded.as_bytes()), bytes), "{length} {encoded}");
        }
    }
    // Rows of zeros occur in every image.
    has_none(&STANDARD.encode([0; 32]));
    has_none(&"00".repeat(32));
}

#[test]
fn the_leaf_of_a_file_is_a_part_by_its_name() {
    let auth = STANDARD.encode(format!("ci:{PASSWORD}"));
    for (value, name, part) in [
        (
            format!("[default]\naws_access_key_id = AKIAQ7XZ1K9VB2M4N6P8\naws_secret_access_key = {PASSWORD}+/x=\n"),
            "aws_secret_access_key",
            format!("{PASSWORD}+/x="),
        ),
        (format!("//npm.example/:_authToken={TOKEN}\n"), "//npm.example/:_authToken", TOKEN.into()),
        (format!("registry=https://npm.example/\n_auth={auth}\nalways-auth=true\n"), "_auth", auth.clone()),
        (format!("machine npm.example\n  login ci\n  password {PASSWORD}\n"), "/npm.example/password", PASSWORD.into()),
        (format!("machine npm.example login ci password {PASSWORD}"), "/npm.example/password", PASSWORD.into()),
        (format!("APP_ENV=production\nexport DB_PASSWORD=\"{PASSWORD}\" # ours\n"), "DB_PASSWORD", PASSWORD.into()),
        (
            format!("[global]\nindex-url = https://ci:{PASSWORD}@pypi.example/simple\n"),
            "/index-url/password",
            PASSWORD.into(),
        ),
        (
            format!(
                "[global]\nextra-index-url =\n    https://ci:{PASSWORD}@pypi.example/simple\n    https://pypi.org/simple\n"
            ),
            "password",
            PASSWORD.into(),
        ),
        (format!("[pypi]\nusername = __token__\npassword = {PASSWORD}\n"), "password", PASSWORD.into()),
        (format!("db.user=app\ndb.password={}\n", PASSWORD.replace('-', "\\-")), "db.password", PASSWORD.into()),
        (format!("[registry]\ntoken = \"{PASSWORD}\"\n"), "/registry/token", PASSWORD.into()),
        (format!("registries = {{ ours = {{ token = '{PASSWORD}' }} }}\n"), "/registries/ours/token", PASSWORD.into()),
        (format!("credentials \"app.terraform.io\" {{\n  token = \"{PASSWORD}\"\n}}\n"), "token", PASSWORD.into()),
        (
            format!(
                "<settings><servers><server><id>ours</id><username>ci</username><password>{PASSWORD}</password></server></servers></settings>"
            ),
            "/settings/servers/server/password",
            PASSWORD.into(),
        ),
        (
            format!(
                "<configuration><packageSourceCredentials><ours><add key=\"Username\" value=\"ci\" /><add key=\"ClearTextPassword\" value=\"{PASSWORD}\" /></ours></packageSourceCredentials></configuration>"
            ),
            "/configuration/packageSourceCredentials/ours/add/ClearTextPassword",
            PASSWORD.into(),
        ),
        (format!("users:\n- name: ci\n  user:\n    token: {PASSWORD}\n"), "/users/user/token", PASSWORD.into()),
        (format!("github.com:\n    user: ci\n    oauth_token: {TOKEN}\n"), "/github.com/oauth_token", TOKEN.into()),
        (
            format!("env:\n  - name: DB_PASSWORD\n    value: {PASSWORD}\n  - name: DB_HOST\n    value: db.internal\n"),
            "/env/0/DB_PASSWORD",
            PASSWORD.into(),
        ),
        (
            format!("{{\"http-basic\":{{\"pkg.internal:8080\":{{\"username\":\"ci\",\"password\":\"{PASSWORD}\"}}}}}}"),
            "/http-basic/pkg.internal:8080/password",
            PASSWORD.into(),
        ),
        (format!("{{\"auths\":{{\"ghcr.io\":{{\"auth\":\"{auth}\"}}}}}}"), "/auths/ghcr.io/auth", auth.clone()),
        (
            format!("{{\"auths\":{{\"ghcr.io\":{{\"auth\":\"{auth}\"}}}}}}"),
            "/auths/ghcr.io/auth/password",
            PASSWORD.into(),
        ),
        (format!("{{\"github-oauth\":{{\"github.com\":\"{TOKEN}\"}}}}"), "/github-oauth/github.com", TOKEN.into()),
        (format!("db.internal:5432:shop:app:{PASSWORD}\n"), "password", PASSWORD.into()),
        (format!("https://ci:{TOKEN}@github.com\nhttps://x:{PASSWORD}@gitlab.com\n"), "password", PASSWORD.into()),
        (format!("[url \"https://{TOKEN}@github.com/\"]\n\tinsteadOf = https://github.com/\n"), "user", TOKEN.into()),
        (format!("PuTTY\npassword: {PASSWORD}\n"), "password", PASSWORD.into()),
        (format!("<?php return ['password' => '{PASSWORD}',\n];"), "password", PASSWORD.into()),
        (format!("Server=db;Database=shop;User Id=app;Password={PASSWORD};"), "Password", PASSWORD.into()),
        (format!("host=db port=5432 user=app password={PASSWORD}"), "password", PASSWORD.into()),
        (
            format!(
                "DefaultEndpointsProtocol=https;AccountName=shop;AccountKey={PASSWORD}==;EndpointSuffix=core.windows.net"
            ),
            "AccountKey",
            format!("{PASSWORD}=="),
        ),
        (
            format!("# ours\nheader = \"Authorization: Bearer {TOKEN}\"\n"),
            "header",
            format!("Authorization: Bearer {TOKEN}"),
        ),
        (format!("header = \"Authorization: Bearer {TOKEN}\"\n"), "header", format!("Authorization: Bearer {TOKEN}")),
        (format!("silent\nuser = \"ci:{PASSWORD}\"\n"), "/user/password", PASSWORD.into()),
        (format!("user ci:{PASSWORD}\nsilent\n"), "/user/password", PASSWORD.into()),
        (
            format!("---\nBUNDLE_GEMS__EXAMPLE__COM: \"ci:{PASSWORD}\"\n"),
            "/BUNDLE_GEMS__EXAMPLE__COM/password",
            PASSWORD.into(),
        ),
        (format!("bind 127.0.0.1\nrequirepass {PASSWORD}\n"), "requirepass", PASSWORD.into()),
        (format!("--password={PASSWORD}\n--silent\n"), "--password", PASSWORD.into()),
        (
            format!("[Service]\nEnvironment=\"APP_ENV=production\" \"DB_PASSWORD={PASSWORD}\"\n"),
            "/Environment/DB_PASSWORD",
            PASSWORD.into(),
        ),
        (format!("[Service]\nEnvironment=DB_PASSWORD={PASSWORD}\n"), "/Environment/DB_PASSWORD", PASSWORD.into()),
        (format!("$env:DB_PASSWORD = '{PASSWORD}'\n"), "$env:DB_PASSWORD", PASSWORD.into()),
        (format!("os.environ[\"DB_PASSWORD\"] = \"{PASSWORD}\"\n"), "os.environ[\"DB_PASSWORD\"]", PASSWORD.into()),
        (format!("const apiToken = \"{TOKEN}\";\n"), "apiToken", TOKEN.into()),
        (
            format!("[default]\naccess_key = AKIAQ7XZ1K9VB2M4N6P8\nsecret_key = {PASSWORD}+/x\n"),
            "secret_key",
            format!("{PASSWORD}+/x"),
        ),
        (format!("mavenUser=ci\nmavenPassword={PASSWORD}\n"), "mavenPassword", PASSWORD.into()),
        (format!("https://hooks.chat.example/services/T0A1B2C3D/B0A1B2C3D/{HOOK}"), "path", HOOK.into()),
    ] {
        contains_named(&value, name, &part);
        // A variable has one line, so people put such a file into it as base64.
        contains(&STANDARD.encode(&value), &part);
        contains(&wrapped(&STANDARD.encode(&value), 76), &part);
    }
}

#[test]
fn addresses_give_away_their_password() {
    for (url, password) in [
        (format!("postgres://shop:{PASSWORD}@db.internal:5432/shop"), PASSWORD),
        (format!("mongodb+srv://shop:{PASSWORD}@a.internal:27017,b.internal:27017/shop?replicaSet=rs0"), PASSWORD),
        (format!("redis://:{PASSWORD}@cache.internal:6379/0"), PASSWORD),
        ("amqp://shop:p%40ss%2Fw0rd-1@mq.internal//".to_owned(), "p@ss/w0rd-1"),
        ("amqp://shop:p%40ss%2Fw0rd-1@mq.internal//".to_owned(), "p%40ss%2Fw0rd-1"),
        ("mysql://shop:pa#ss/w0rd-1@db/shop".to_owned(), "pa#ss/w0rd-1"),
        (format!("shop:{PASSWORD}@tcp(db:3306)/shop?parseTime=true"), PASSWORD),
        (format!("jdbc:postgresql://db/shop?user=shop&password={PASSWORD}&ssl=true"), PASSWORD),
        (format!("jdbc:sqlserver://db:1433;databaseName=shop;user=sa;password={PASSWORD};"), PASSWORD),
        (format!("jdbc:oracle:thin:shop/{PASSWORD}@db:1521:shop"), PASSWORD),
        (format!("https://{TOKEN}@github.com/shop/shop.git"), TOKEN),
        (format!("https://{TOKEN}:x-oauth-basic@github.com/shop/shop.git"), TOKEN),
        (format!("https://hooks.chat.example/services/T0A1B2C3D/B0A1B2C3D/{HOOK}"), HOOK),
        (format!("https://api.chat.example/bot104837261:{TOKEN}/send"), "104837261:ghp_9fKq2LmZr8Kc1Vb4NyT9xWq2LmKq"),
        (format!("smtps://ci:{PASSWORD}@mail.example:465"), PASSWORD),
        ("https://blob.example/x?sv=2022&sig=q7Xz1K9vB2m4N6p8Rt3Yw5Ua%3D".to_owned(), "q7Xz1K9vB2m4N6p8Rt3Yw5Ua="),
    ] {
        contains(&url, password);
        contains(&format!("APP_ENV=production\nDATABASE_URL={url}\n"), password);
        contains(&serde_json::json!({"database": {"url": url}}).to_string(), password);
    }
}

#[test]
fn the_key_of_a_service_account_is_found_in_any_container() {
    let account = service_account();
    for value in
        [account.clone(), STANDARD.encode(&account), STANDARD.encode(gzip(account.as_bytes())), format!("'{account}'")]
    {
        let parts = of(value.as_bytes());
        assert!(has(&parts, RSA.as_bytes()), "{:?}", parts.names());
        assert!(parts.names().contains(&"private_key"), "{:?}", parts.names());
    }
    let names = of(account.as_bytes()).names().into_iter().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(names, ["private_key"]);
}

fn kubeconfig() -> String {
    format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: ours\n  cluster:\n    server: https://10.0.0.1:6443\n    certificate-authority-data: {}\nusers:\n- name: ci\n  user:\n    client-certificate-data: {}\n    client-key-data: {}\n",
        STANDARD.encode(CERTIFICATE),
        STANDARD.encode(CERTIFICATE),
        STANDARD.encode(RSA),
    )
}

#[test]
fn a_kubeconfig_has_a_key_and_certificates_are_none() {
    let parts = of(kubeconfig().as_bytes());
    assert_eq!(parts.names(), ["/users/user/client-key-data"]);
    assert!(has(&parts, RSA.as_bytes()) && has(&parts, STANDARD.encode(RSA).as_bytes()));
    let secret = format!(
        "apiVersion: v1\nkind: Secret\ndata:\n  tls.crt: {}\n  tls.key: {}\n  password: {}\n  .dockerconfigjson: {}\n",
        STANDARD.encode(CERTIFICATE),
        STANDARD.encode(RSA),
        STANDARD.encode(PASSWORD),
        STANDARD.encode(format!(
            "{{\"auths\":{{\"ghcr.io\":{{\"auth\":\"{}\"}}}}}}",
            STANDARD.encode(format!("ci:{TOKEN}"))
        )),
    );
    let parts = of(secret.as_bytes());
    for part in [RSA, PASSWORD, TOKEN] {
        assert!(has(&parts, part.as_bytes()), "{:?}", parts.names());
    }
    assert!(!has(&parts, CERTIFICATE.as_bytes()) && !has(&parts, STANDARD.encode(CERTIFICATE).as_bytes()));
}

/// Returns the numbers of a key, in order.
fn numbers(text: &str) -> Vec<Vec<u8>> {
    let parts = of(text.as_bytes());
    let binary = |bytes: &&[u8]| std::str::from_utf8(bytes).is_err();
    let mut found: Vec<Vec<u8>> =
        parts.parts.iter().map(|part| part.value.bytes_for_tests()).filter(binary).map(<[u8]>::to_vec).collect();
    found.sort();
    found
}

#[test]
fn a_private_key_is_one_secret_in_every_container() {
    for (containers, count) in [
        (
            vec![
                RSA,
                include_str!("keys/rsa.pkcs1.pem"),
                include_str!("keys/rsa.text"),
                include_str!("keys/rsa.jwk"),
                include_str!("keys/rsa.openssh"),
            ],
            4,
        ),
        (
            vec![
                include_str!("keys/ec.sec1.pem"),
                include_str!("keys/ec.pkcs8.pem"),
                include_str!("keys/ec.text"),
                include_str!("keys/ec.jwk"),
                include_str!("keys/ec.openssh"),
            ],
            1,
        ),
        (
            vec![
                include_str!("keys/ed25519.pkcs8.pem"),
                include_str!("keys/ed25519.text"),
                include_str!("keys/ed25519.jwk"),
                include_str!("keys/ed25519.openssh"),
            ],
            1,
        ),
    ] {
        let shared = |key: &str| {
            let theirs = numbers(containers[0]);
            numbers(key).into_iter().filter(|number| theirs.contains(number)).count()
        };
        for key in &containers {
            assert!(shared(key) >= count, "{} of {count} in {key}", shared(key));
            // The same key on one line, with CRLF, in lines of another width, and as bytes only has the same numbers.
            assert_eq!(numbers(&key.replace('\n', "\r\n")), numbers(key), "{key}");
            if key.starts_with("-----") {
                assert_eq!(numbers(&key.trim_end().replace('\n', "\\n")), numbers(key), "{key}");
                let body: String = key.lines().filter(|line| !line.starts_with("-----")).collect();
                assert!(numbers(key).iter().all(|number| numbers(&body).contains(number)), "{key}");
                assert!(shared(&STANDARD.encode(key)) >= count);
            }
        }
    }
}

#[test]
fn public_halves_are_no_parts() {
    for public in
        [CERTIFICATE, include_str!("keys/rsa.public.pem"), "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHa1k2b3 ci@host"]
    {
        has_none(public);
        has_none(&STANDARD.encode(public));
        has_none(&serde_json::json!({"data": public, "value": STANDARD.encode(public)}).to_string());
    }
    has_none(&format!("{CERTIFICATE}{CERTIFICATE}"));
    let bundle = format!("{CERTIFICATE}{RSA}");
    let parts = of(bundle.as_bytes());
    assert!(has(&parts, RSA.as_bytes()) && !has(&parts, CERTIFICATE.as_bytes()));
    // The numbers of an encrypted key cannot be read, so its bytes are searched for.
    assert_eq!(of(include_str!("keys/rsa.encrypted.pem").as_bytes()).names(), ["private key"]);
}

#[test]
fn ordinary_leaves_are_silent() {
    has_none("postgres://app:app@db/app");
    has_none("postgres://application1:application1@db/application1");
    has_none("https://registry.internal.example.com:5000/v2/");
    has_none(concat!(
        "APP_NAME=Laravel\nAPP_ENV=production\nAPP_URL=https://shop.example\nLOG_CHANNEL=stack\nAWS_DEFAULT_REGION=eu-central-1\n",
        "DB_HOST=db.internal.example.com\nDB_USERNAME=application\nMAIL_FROM_ADDRESS=hello@shop.example\nCONTENT=application/json\n",
        "PUSHER_APP_CLUSTER=mt1\nDB_PASSWORD=password\nREQUEST_ID=7f3c2a10-9b1d-4c2e-8f00-1a2b3c4d5e6f\nTOKEN_TTL=86400000\n",
        "IMAGE=registry.example.com/shop@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n",
    ));
    has_none(concat!(
        "[Service]\nUser=www-data\nGroup=www-data\nExecStart=/usr/bin/app --user www-data:www-data\n",
        "Environment=\"APP_ENV=production\" \"LOG_LEVEL=debug\"\n",
    ));
    has_none(
        "services:\n  app:\n    user: \"1000:1000\"\n    image: python:3.12-slim-bookworm\n    command: run app:main-2024\n",
    );
    has_none("user nginx;\nworker_processes 4;\nerror_log /var/log/nginx/error.log;\n");
    has_none("password required\ntoken authentication\nuser application\n");
    has_none(
        "SOURCE=https://github.com/shop/shop/commit/3f786850e387550fdab836ed7e6dc88188a1b2c3\nAPP_ENV=production\n",
    );
    has_none("header = \"Accept: application/json\"\nurl = \"https://api.example/v1/status\"\n");
    has_none("//npm.example/:_authToken=${NPM_TOKEN}\n");
    has_none(r#"{"auths": {}, "credsStore": "desktop-helper", "HttpHeaders": {"User-Agent": "Docker-Client/19.03"}}"#);
    let account = service_account();
    let mut public: serde_json::Value = serde_json::from_str(&account).unwrap();
    public.as_object_mut().unwrap().remove("private_key");
    has_none(&public.to_string());
}

#[test]
fn what_is_not_searched_is_told_by_name() {
    let parts = of(b"postgres://app:app@db/app");
    assert_eq!(
        parts.unsearched().iter().map(|one| format!("{}: {one}", one.name())).collect::<Vec<_>>(),
        ["password: too short"]
    );
    let parts = of(br#"{"token": "q7xz1k9", "password": "password", "user": "app-of-shop", "secret": "app-of-shop"}"#);
    let told: Vec<String> = parts.unsearched().iter().map(|one| format!("{}: {one}", one.name())).collect();
    assert_eq!(
        told,
        ["token: shorter than 8 bytes", "password: a common word", "secret: the same as something public beside it"]
    );
}

#[test]
fn a_choice_keeps_some_and_tells_what_is_not_there() {
    let value = UserSecret::new(format!("A_TOKEN={TOKEN}\nB_PASSWORD={PASSWORD}\n").into_bytes());
    let names =
        |choice: PartChoice| Parts::of(&value, &choice).names().into_iter().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(names(PartChoice::All), ["A_TOKEN", "B_PASSWORD"]);
    assert!(names(PartChoice::None).is_empty());
    assert_eq!(names(PartChoice::parse("B_PASSWORD").unwrap()), ["B_PASSWORD"]);
    let parts = Parts::of(&value, &PartChoice::Named(vec!["C".into()]));
    assert_eq!(parts.unsearched()[0].to_string(), "the value has no such part");
    assert_eq!(PartChoice::parse("false"), Some(PartChoice::None));
    assert_eq!(PartChoice::parse(" "), None);
}

#[test]
fn too_many_parts_are_counted() {
    let value: String = (0..100).map(|n| format!("TOKEN_{n}=9fKq2LmZr8Kc1Vb4{n}\n")).collect();
    let parts = of(value.as_bytes());
    assert_eq!((parts.iter().count(), parts.left_out()), (64, 36));
}

#[test]
fn names_hold_no_values() {
    for value in [
        format!("{{\"{TOKEN}\": {{\"password\": \"{PASSWORD}\"}}}}"),
        format!("//ci:{TOKEN}@npm.example/:_password={PASSWORD}\n"),
        format!("[url \"https://{TOKEN}@github.com/\"]\npassword = {PASSWORD}\n[two]\npassword = {TOKEN}x\n"),
    ] {
        let parts = of(value.as_bytes());
        assert!(!parts.is_empty());
        for name in parts.names() {
            assert!(!name.contains("9fKq2LmZr8"), "{name}");
        }
        assert!(!format!("{parts:?}").contains("9fKq2LmZr8"));
    }
}

/// Values that were made to be read slowly end soon, too.
#[test]
fn the_work_is_bounded() {
    let fill = |unit: &str| unit.repeat(LONGEST_SECRET / unit.len());
    let bomb = gzip(&gzip(&vec![b'a'; 64 << 20]));
    let texts = [
        fill("["),
        fill("{\"a\":"),
        fill("- "),
        fill("a: "),
        fill("? "),
        fill("a:\n "),
        fill("<a>"),
        fill("a=b\n"),
        fill("a://b:c@"),
        fill("x.y=[[\n"),
        fill("\"a\" = {"),
        fill("-----BEGIN PRIVATE KEY-----"),
        fill("&a *a "),
        fill("{a: ["),
        fill("password "),
        fill("A='"),
        fill("\\\n"),
        fill("a:b\n"),
        fill("0"),
        fill("QUFB"),
        fill("token=9fKq2LmZr8Kc1Vb4\n"),
        fill("machine a password b "),
        fill("a&b=c;"),
        fill("!<a> "),
        fill("%"),
        fill("|\n "),
        fill("a=\"\"\"\n"),
        fill("\t"),
        fill("://"),
        fill("- - a: b\n"),
        fill("-----BEGIN A-----\n-----END A-----\n"),
        fill("priv:\n  00:11\n"),
        fill("'"),
        fill("\\\""),
        fill("password='a1b2c3d4' "),
        fill("f(\"x\", 'Y')\n"),
        fill("a=<<E\n"),
        fill("a=<<E\nb\nE\n"),
        fill("-p x -u a:b\n"),
        fill("--password a1b2c3d4 "),
        format!("a,password\n{}", fill("b,\"c\"\"\"\n")),
        fill("a: &a b\nc: *a\n"),
        format!("{}{}", fill("[a]\nb=c\n"), "="),
    ];
    for bytes in texts.iter().map(|text| &text.as_bytes()[..text.len().min(LONGEST_SECRET)]).chain([bomb.as_slice()]) {
        let began = Instant::now();
        let parts = of(bytes);
        let head = String::from_utf8_lossy(&bytes[..bytes.len().min(24)]).into_owned();
        // The test takes some tenths of a second on an idle machine.
        assert!(began.elapsed() < Duration::from_secs(20), "{head:?} took {:?}", began.elapsed());
        eprintln!("{:?} {head:?}", began.elapsed());
        assert!(parts.iter().count() <= 64);
    }
}

proptest! {
    /// No bytes cause a panic, the same bytes have the same parts, and there are never more than 64 parts.
    #[test]
    fn any_bytes_are_taken_apart_alike(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let (one, two) = (of(&bytes), of(&bytes));
        prop_assert_eq!(one.names(), two.names());
        prop_assert!(one.iter().count() <= 64);
    }

    /// A token is found through any wrappings, up to four deep.
    #[test]
    fn a_token_comes_out_of_whatever_it_is_in(wrappings in proptest::collection::vec(0..9_usize, 0..4)) {
        let mut value = TOKEN.as_bytes().to_vec();
        for wrapping in &wrappings {
            let text = String::from_utf8_lossy(&value).into_owned();
            value = match wrapping {
                0 => STANDARD.encode(&value).into_bytes(),
                1 => URL_SAFE_NO_PAD.encode(&value).into_bytes(),
                2 => STANDARD.encode(gzip(&value)).into_bytes(),
                3 => serde_json::json!({"user": "ci", "token": text}).to_string().into_bytes(),
                4 => value.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into_bytes(),
                5 => serde_json::to_string(&text).unwrap().into_bytes(),
                6 => format!("<a><password>{}</password></a>", STANDARD.encode(&value)).into_bytes(),
                7 => format!("A=1\nB_TOKEN={}\n", STANDARD.encode(&value)).into_bytes(),
                _ => wrapped(&STANDARD.encode(&value), 76).into_bytes(),
            };
        }
        let parts = of(&value);
        prop_assert!(wrappings.is_empty() || has(&parts, TOKEN.as_bytes()), "{:?}", parts.names());
    }

    #[test]
    fn text_like_what_people_write_is_taken_apart_alike(text in "(password|token|a|:|=|\\[|\\]|\\{|\\}|\"|'|\n| |-|://|@|<a>|</a>|\\\\|b64:|QUJD|9fKq2LmZr8Kc1Vb4){0,40}") {
        let (one, two) = (of(text.as_bytes()), of(text.as_bytes()));
        prop_assert_eq!(one.names(), two.names());
    }
}
