use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::{Check, Deliver, Delivery, Kind, Origin, Port, Scope, VolumeSource};

/// Every key there is.
const FULL: &str = r#"
name  = "shop"
image = "shop:latest"

[build]
dockerfile = "docker/Dockerfile"
target = "runtime"
args = { NODE_ENV = "production", A = "1" }
inject = "mounted"

[env]
APP_ENV = "production"
ANOTHER = ""

[secrets]
NPM_TOKEN          = { scope = "build", steps = ["npm *"] }
APP_KEY            = {}
STRIPE_KEY         = { scope = "run", override = true }
DEPLOY_KEY         = { from = { command = ["op", "read", "op://ci/deploy/key"], timeout = "10s", raw = true }, rebuild = true }
CI_TOKEN           = { from = { env = "CI_JOB_TOKEN" } }
LICENCE            = { from = { file = "licence.txt" } }
GOOGLE_CREDENTIALS = { as = "file" }
npm-config         = { as = "file" }
REPORTING_URL      = { value = "postgres://${DB_USERNAME}:${DB_PASSWORD}@${DB_HOST}:${DB_PORT}/reports" }

[services.db]
kind = "postgres"
version = "17"
primary = true
database = "shop"
[services.cache]
kind = "valkey"
image = "registry.example/valkey:8"

[[init]]
name = "migrate"
command = ["php", "artisan", "migrate", "--force"]
[[init]]
name = "warm"
command = ["true"]
timeout = "5m"

[run]
replicas = 2
ports = ["127.0.0.1:8080:8080", "9090"]
volumes = ["uploads:/srv/uploads", "./etc:/etc/app:ro"]
deliver = "files"
health = { http = "/healthz", port = 8080, timeout = "30s" }
"#;

fn parse(text: &str) -> Result<Manifest, ManifestError> {
    Manifest::parse(Path::new("app.toml"), text.as_bytes())
}

#[track_caller]
fn fault(text: &str) -> String {
    parse(text).expect_err("the text has a fault").to_string()
}

#[test]
fn takes_every_key_of_the_design() {
    let manifest = parse(FULL).unwrap();
    assert_eq!((manifest.name.as_deref(), manifest.image.as_deref()), (Some("shop"), Some("shop:latest")));
    assert_eq!(manifest.build.args, [("NODE_ENV".into(), "production".into()), ("A".into(), "1".into())]);
    assert_eq!(manifest.build.inject, Inject::Mounted);
    assert_eq!(manifest.environment, [("APP_ENV".into(), "production".into()), ("ANOTHER".into(), String::new())]);

    let names: Vec<&str> = manifest.secrets.iter().map(|secret| secret.name.as_str()).collect();
    assert_eq!(names[..3], ["NPM_TOKEN", "APP_KEY", "STRIPE_KEY"], "the order of the text");
    let secret = |name: &str| manifest.secret(name).unwrap();
    assert_eq!(
        (secret("NPM_TOKEN").scope, secret("NPM_TOKEN").steps.as_slice()),
        (Scope::Build, &["npm *".into()][..])
    );
    assert_eq!(secret("NPM_TOKEN").line, 16);
    assert_eq!(secret("APP_KEY").scope, Scope::Both);
    assert!(secret("STRIPE_KEY").replaces_injected);
    assert_eq!((secret("DEPLOY_KEY").rebuild, secret("NPM_TOKEN").rebuild), (Some(true), None));
    let command = Origin::Command {
        words: ["op", "read", "op://ci/deploy/key"].map(str::to_owned).to_vec(),
        timeout: Some(Duration::from_secs(10)),
        raw: true,
    };
    assert_eq!(secret("DEPLOY_KEY").from, Some(command));
    assert_eq!(secret("CI_TOKEN").from, Some(Origin::Variable("CI_JOB_TOKEN".into())));
    assert_eq!(secret("LICENCE").from, Some(Origin::File(PathBuf::from("licence.txt"))));
    assert_eq!(secret("GOOGLE_CREDENTIALS").delivery, Delivery::File);
    assert_eq!(secret("REPORTING_URL").value.as_ref().unwrap().names().count(), 4);

    let services: Vec<(&str, Kind, bool)> =
        manifest.services.iter().map(|service| (service.name.as_str(), service.kind, service.primary)).collect();
    assert_eq!(services, [("db", Kind::Postgres, true), ("cache", Kind::Valkey, false)]);
    assert_eq!(manifest.primary(Family::Sql).unwrap().name, "db");
    assert!(manifest.primary(Family::Redis).is_none());
    assert_eq!(manifest.service("cache").unwrap().image.as_deref(), Some("registry.example/valkey:8"));

    assert_eq!(manifest.init.len(), 2);
    assert_eq!(manifest.init[1].timeout, Some(Duration::from_secs(300)));
    let process = manifest.processes.first();
    assert_eq!((process.replicas, manifest.run.deliver), (2, Deliver::Files));
    assert_eq!(process.ports.iter().map(Port::to_string).collect::<Vec<_>>(), ["127.0.0.1:8080:8080", "9090"]);
    assert_eq!(manifest.run.volumes[1].volume.source, VolumeSource::Host("./etc".into()));
    let check = Check::Http { path: "/healthz".into(), port: Some(8080), host: None, headers: Vec::new() };
    assert_eq!(process.health.as_ref().unwrap().check, check);
}

#[test]
fn scopes_say_who_gets_what() {
    let manifest = parse(FULL).unwrap();
    let names = |secrets: Vec<&Secret>| secrets.into_iter().map(|secret| secret.name.clone()).collect::<Vec<_>>();
    assert!(!names(manifest.build_secrets().collect()).contains(&"STRIPE_KEY".to_owned()));
    assert!(!names(manifest.run_secrets().collect()).contains(&"NPM_TOKEN".to_owned()));
    assert!(names(manifest.run_secrets().collect()).contains(&"APP_KEY".to_owned()));
    // A name alone may make the tools read a variable; a composed value makes them read nothing.
    let acting = names(manifest.acting_secrets().collect());
    assert!(acting.contains(&"APP_KEY".to_owned()) && acting.contains(&"DEPLOY_KEY".to_owned()), "{acting:?}");
    assert_eq!(acting.len(), manifest.secrets.len() - 1);
    assert!(!acting.contains(&"REPORTING_URL".to_owned()));
}

#[test]
fn an_empty_file_is_a_manifest() {
    let manifest = parse("").unwrap();
    assert_eq!(manifest, Manifest::default());
    assert_eq!(manifest.processes.first().replicas, 1);
}

#[test]
fn byte_order_mark_and_crlf_are_taken_c10() {
    let text = format!("\u{feff}{}", FULL.replace('\n', "\r\n"));
    assert_eq!(parse(&text).unwrap(), parse(FULL).unwrap());
    let error = parse("\u{feff}name = 1\r\n").unwrap_err();
    assert_eq!((error.line, error.column, error.excerpt.as_str()), (1, 8, "name = …"));
}

#[test]
fn bytes_that_are_not_utf_8_are_placed_c10() {
    let error = Manifest::parse(Path::new("app.toml"), b"name = \"shop\"\nimage = \"\xff\"").unwrap_err();
    assert_eq!(error.to_string(), "app.toml:2:10: not UTF-8 at byte 23");
}

#[test]
fn an_unknown_key_is_placed_and_the_nearest_is_named_c8() {
    for (text, message, help) in [
        ("nam = 'x'", "app.toml:1:1: unknown key `nam`", "did you mean `name`?"),
        ("[secrets]\nA = { scpoe = 'x' }", "app.toml:2:7: unknown key `scpoe` in secrets.A", "did you mean `scope`?"),
        ("[services.db]\nknd = 'x'", "app.toml:2:1: unknown key `knd` in services.db", "did you mean `kind`?"),
        ("[run]\nreplica = 1", "app.toml:2:1: unknown key `replica` in run", "did you mean `replicas`?"),
        ("[run]\nhealth = { htp = '/' }", "app.toml:2:12: unknown key `htp` in run.health", "did you mean `http`?"),
        ("[[init]]\nnam = 'x'", "app.toml:2:1: unknown key `nam` in init", "did you mean `name`?"),
        (
            "[build]\nxyzzy = 1",
            "app.toml:2:1: unknown key `xyzzy` in build",
            "known here: context, dockerfile, target, args, inject",
        ),
        (
            "[secrets.A]\nfrom = { comand = ['x'] }",
            "app.toml:2:10: unknown key `comand` in secrets.A.from",
            "did you mean `command`?",
        ),
    ] {
        let error = parse(text).unwrap_err();
        assert_eq!(error.to_string(), message);
        assert_eq!(error.fault.help().as_deref(), Some(help));
    }
}

#[test]
fn each_rule_is_kept() {
    for (text, part) in [
        ("name = 'Shop'", "`name` must be lower case"),
        ("name = 3", "`name` must be a string in quotes, not a number"),
        ("image = '-x'", "`image` must be an image reference"),
        ("env = 3", "`env` must be a table, not a number"),
        ("[env]\nPORT = 8080", "`env.PORT` must be a string in quotes, not a number"),
        ("[env]\nA-B = 'x'", "`env.A-B` must be a variable's name"),
        ("[build.args]\nA = true", "`build.args.A` must be a string in quotes, not true or false"),
        ("[build]\ninject = 'none'", "`build.inject` must be one of all, mounted"),
        ("[secrets]\nA = 'value'", "`secrets.A` must be a table, not a string"),
        ("[secrets]\n'A B' = {}", "`secrets.A B` must have 1 to 255"),
        ("[secrets]\nA-B = {}", "`secrets.A-B` must be a variable's name"),
        ("[secrets]\nA = { scope = 'deploy' }", "`secrets.A.scope` must be one of build, run, both"),
        ("[secrets]\nA = { as = 'env' }", "`secrets.A.as` must be one of variable, file"),
        ("[secrets]\nA = { parts = [] }", "`secrets.A.parts` must be true, false, or a list of names"),
        ("[secrets]\nA = { parts = 'b' }", "`secrets.A.parts` must be true, false, or a list of names"),
        ("[secrets]\nA = { steps = [] }", "`secrets.A.steps` must name a command at least"),
        ("[secrets]\nA = { steps = [' '] }", "`secrets.A.steps` must hold patterns"),
        ("[secrets]\nA = { steps = 'npm *' }", "`secrets.A.steps` must be a list of strings, not a string"),
        (
            "[secrets]\nA = { scope = 'run', steps = ['x'] }",
            "`secrets.A.steps` and `secrets.A.scope` exclude each other",
        ),
        ("[secrets]\nA = { scope = 'run', rebuild = true }", "`secrets.A.rebuild` and `secrets.A.scope` exclude"),
        ("[secrets]\nA = { scope = 'build', override = true }", "`secrets.A.override` and `secrets.A.scope` exclude"),
        ("[secrets]\nA = { value = '${B}', from = { env = 'C' } }", "`secrets.A.value` and `secrets.A.from` both say"),
        ("[secrets]\nA = { value = 'plain' }", "`secrets.A.value` must be made of other names"),
        ("[secrets]\nA = { value = '${B' }", "`secrets.A.value` must close each `${`"),
        ("[secrets]\nA = { from = {} }", "`secrets.A.from` must name exactly one of"),
        ("[secrets]\nA = { from = { env = 'A', file = 'b' } }", "`secrets.A.from` must name exactly one of"),
        ("[secrets]\nA = { from = { command = [] } }", "`secrets.A.from.command` must be a list of words"),
        ("[secrets]\nA = { from = { command = 'op read x' } }", "`secrets.A.from.command` must be a list of strings"),
        (
            "[secrets]\nA = { from = { env = 'A', raw = true } }",
            "`secrets.A.from.raw` and `secrets.A.from.command` belong",
        ),
        ("[secrets]\nA = { from = { command = ['x'], timeout = '5' } }", "`secrets.A.from.timeout` must be a time"),
        ("[env]\nA = 'x'\n[secrets]\nA = {}", "app.toml:4:1: `secrets.A` and `env.A` cannot both be"),
        ("[services.db]\nversion = '17'", "services.db has no `kind`"),
        ("[services.db]\nkind = 'postgresql'", "`services.db.kind` must be one of postgres, mysql"),
        ("[services.Db]\nkind = 'postgres'", "`services.Db` must be lower case"),
        (
            "[services.db]\nkind = 'postgres'\nversion = 17",
            "`services.db.version` must be a string in quotes, not a number",
        ),
        ("[services.db]\nkind = 'postgres'\nversion = '17'\nimage = 'x'", "both choose the image"),
        ("[services.db]\nkind = 'redis'\ndatabase = 'x'", "databases there are numbers"),
        (
            "[services.a]\nkind = 'mysql'\nprimary = true\n[services.b]\nkind = 'postgres'\nprimary = true",
            "app.toml:4:11: `services.b` and `services.a` are both primary",
        ),
        ("init = 3", "`init` must be a list of tables"),
        ("[[init]]\ncommand = ['x']", "init has no `name`"),
        ("[[init]]\nname = 'x'", "init has no `command`"),
        ("[[init]]\nname = 'x'\ncommand = ['y']\n[[init]]\nname = 'x'\ncommand = ['z']", "must differ from those"),
        ("[run]\nreplicas = 0", "`run.replicas` must be a whole number from 1 to 100"),
        ("[run]\nreplicas = 1.5", "`run.replicas` must be a whole number"),
        ("[run]\nports = ['80-90:80']", "`run.ports` must hold ports"),
        ("[run]\nvolumes = ['uploads']", "`run.volumes` must hold volumes"),
        ("[run]\ndeliver = 'argv'", "`run.deliver` must be one of shim, env, files"),
        ("[run]\nhealth = {}", "`run.health` must name exactly one of"),
        ("[run]\nhealth = { http = 'healthz' }", "`run.health.http` must be a path"),
        ("[run]\nhealth = { command = ['x'], port = 1 }", "belong together"),
    ] {
        let message = fault(text);
        assert!(message.contains(part), "{text:?} gave {message}");
    }
}

#[test]
fn two_services_of_different_families_may_both_be_primary() {
    let text = "[services.a]\nkind = 'mysql'\nprimary = true\n[services.b]\nkind = 'redis'\nprimary = true";
    assert!(parse(text).is_ok());
}

#[test]
fn a_syntax_error_shows_no_value_c9() {
    for (text, excerpt) in [
        ("[secrets]\nKEY = hunter2secret", "KEY = …"),
        ("[secrets]\nKEY = \"hunter2secret", "KEY = …"),
        ("[secrets]\nhunter2secret", "…"),
        ("[env]\nA = [\n \"x\"\n hunter2secret\n]", "…"),
        ("[env]\nA = 'x' hunter2secret", "A = …"),
        ("A = 'x'\nA = 'hunter2secret'", "A = …"),
    ] {
        let error = parse(text).unwrap_err();
        assert!(matches!(*error.fault, ManifestFault::Syntax { .. }), "{error}");
        assert_eq!(error.excerpt, excerpt, "{text:?}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}

#[test]
fn ports_are_dockers_without_ranges() {
    for text in ["80", "8080:80", "127.0.0.1:8080:80", "127.0.0.1::80", "[::1]:8080:80", "53:53/udp"] {
        assert_eq!(Port::parse(text).unwrap().to_string(), text);
    }
    assert_eq!(Port::parse("8080:80/tcp").unwrap().to_string(), "8080:80");
    for bad in ["", ":80", "0", "65536", "+80", "a:80", "8080:", "localhost:8080:80", "::1:80:80", "80/sctp", "1-2:1-2"]
    {
        assert!(Port::parse(bad).is_none(), "{bad}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// However a manifest is damaged, nothing that stood in a string is shown, and nothing panics.
    #[test]
    fn a_damaged_manifest_shows_no_value_c9(
        edits in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(vec!["", "\"", "'", "\n", "[", "]", "{", "}", "#", ",", " ", "\\", "\u{e4}", "3"])), 1..6),
    ) {
        let mut text = FULL
            .replace("production", "canary-2ws")
            .replace("op://ci/deploy/key", "canary-2ws")
            .replace("\"npm *\"", "\"\"\"\ncanary-2ws\n\"\"\", 'canary-2ws'");
        for (index, piece) in edits {
            let at = index.index(text.len() + 1);
            let at = (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            match text[at..].chars().next() {
                Some(removed) if piece.is_empty() => text.replace_range(at..at + removed.len_utf8(), ""),
                _ => text.insert_str(at, piece),
            }
        }
        if let Err(error) = parse(&text) {
            let shown = format!("{error} {error:?} {:?}", error.fault.help());
            prop_assert!(!shown.contains("anary-2w"), "{}", shown);
            prop_assert!(error.marker >= 1 && error.width >= 1);
        }
    }
}

#[test]
fn a_secret_says_which_of_its_parts_count() {
    let text = "[secrets]\nA = {}\nB = { parts = false }\nC = { parts = ['token', '/a/b'] }\nD = { parts = true }\n";
    let manifest = Manifest::parse(Path::new("app.toml"), text.as_bytes()).unwrap();
    let parts = |name: &str| manifest.secret(name).unwrap().parts.clone();
    assert_eq!((parts("A"), parts("B"), parts("D")), (crate::Parts::All, crate::Parts::None, crate::Parts::All));
    assert_eq!(parts("C"), crate::Parts::Named(vec!["token".into(), "/a/b".into()]));
}

#[test]
fn another_program_s_file_is_known_by_its_keys() {
    for (text, key) in [
        ("app = \"shop\"\nprimary_region = \"ams\"\n[build]\nimage = \"x\"\n", Some("app")),
        ("[package]\nname = \"x\"\n", Some("package")),
        // Ours, with a mistake in it.
        ("[package]\n[secrets]\nA = {}\n", None),
        ("[secret]\nA = {}\n", None),
        ("nmae = \"shop\"\n", None),
        ("name = \"shop\"\n", None),
        ("", None),
        ("not toml", None),
    ] {
        assert_eq!(foreign_key(text.as_bytes()).as_deref(), key, "{text:?}");
    }
}

#[test]
fn what_an_app_may_in_its_service_is_read() {
    let service = |rest: &str| {
        let text = format!("[services.db]\nkind = \"postgres\"\n{rest}");
        Manifest::parse(Path::new("app.toml"), text.as_bytes()).map(|manifest| manifest.services[0].clone())
    };
    let read = service("rights = \"admin\"\nextensions = [\"pgcrypto\"]\ndatabases = [\"cable\", \"queue\"]").unwrap();
    assert_eq!((read.rights, read.extensions.len(), read.databases.len()), (crate::Rights::Admin, 1, 2));
    assert_eq!(service("").unwrap().rights, crate::Rights::Owner);
    for (rest, word) in [
        ("databases = [\"a\", \"A\"]", "each name once"),
        ("databases = [\"postgres\"]", "a server has for itself"),
        ("database = \"a\"\ndatabases = [\"a\"]", "each name once"),
        ("extensions = [\"a b\"]", "names of extensions"),
        ("rights = \"root\"", "owner, admin"),
    ] {
        let error = service(rest).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    }
    let redis =
        Manifest::parse(Path::new("app.toml"), b"[services.c]\nkind = \"redis\"\nrights = \"admin\"").unwrap_err();
    assert!(redis.to_string().contains("SQL servers alone"), "{redis}");
}

#[test]
fn a_server_of_others_is_read_with_the_secret_that_opens_it() {
    let read = |kind: &str, external: &str, secret: &str| {
        let text = format!("[services.w]\nkind = \"{kind}\"\nexternal = {{ {external} }}\n[secrets]\n{secret}");
        Manifest::parse(Path::new("app.toml"), text.as_bytes())
            .map(|manifest| manifest.services[0].external.clone().unwrap())
    };
    let run = "A = { scope = \"run\" }";
    let external =
        read("postgres", "host = \"db.example\", port = 6432, database = \"shop\", admin = \"A\"", run).unwrap();
    assert_eq!((external.port, external.login.secret(), external.login.key()), (Some(6432), "A", "admin"));
    let login = "host = \"h\", database = \"d\", username = \"u\", password = \"A\"";
    assert!(read("mysql", login, run).is_ok());
    assert!(read("redis", "host = \"h\", password = \"A\"", run).is_ok());
    for (kind, external, secret, word) in [
        ("mysql", login, "A = {}", "scope"),
        ("mysql", login, "", "scope"),
        ("mysql", "host = \"h\", database = \"d\", password = \"A\"", run, "username"),
        ("mysql", "host = \"h\", username = \"u\", password = \"A\"", run, "database"),
        ("mysql", "host = \"h\", database = \"d\"", run, "password"),
        ("redis", "host = \"h\", admin = \"A\"", run, "its logins are not kept"),
        ("redis", "host = \"h i\", password = \"A\"", run, "a host's name"),
    ] {
        let error = read(kind, external, secret).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    }
}
