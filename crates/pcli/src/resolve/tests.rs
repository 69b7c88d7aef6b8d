//! Where values come from, and what people are told when they come from nowhere.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use psecret::{RedactorBuilder, SecretError};

use super::*;
use crate::Ending;

const VALUE: &str = "c4n4ry-9f3b27e1";

/// A folder with files, and what the process environment holds.
struct Scene {
    folder: tempfile::TempDir,
    environment: Vec<(&'static str, OsString)>,
    sources: SecretSources,
    manifest: Option<FoundManifest>,
}

impl Scene {
    fn new(manifest: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.toml");
        let manifest = papp::Manifest::parse(&path, manifest.as_bytes()).unwrap();
        let sources = SecretSources {
            flags: Vec::new(),
            env_files: Vec::new(),
            dialect: Dialect::Docker,
            trust: Trust::Withheld,
        };
        Self { folder, environment: Vec::new(), sources, manifest: Some(FoundManifest { path, manifest }) }
    }

    fn flag(mut self, text: &str) -> Self {
        self.sources.flags.push(text.replace("DIR", self.folder.path().to_str().unwrap()));
        self
    }

    fn variable(mut self, name: &'static str, value: &str) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    fn file(self, name: &str, text: &str) -> Self {
        fs::write(self.folder.path().join(name), text).unwrap();
        self
    }

    fn env_file(self, name: &str, text: &str) -> Self {
        let mut scene = self.file(name, text);
        scene.sources.env_files.push(scene.folder.path().join(name));
        scene
    }

    fn trusted(mut self) -> Self {
        self.sources.trust = Trust::Granted;
        self
    }

    fn resolve(&self, purpose: Purpose) -> Result<Resolution, ResolveError> {
        self.resolve_until(purpose, &Cancellation::new())
    }

    fn resolve_until(&self, purpose: Purpose, cancellation: &Cancellation) -> Result<Resolution, ResolveError> {
        let environment =
            |name: &str| self.environment.iter().find(|(n, _)| *n == name).map(|(_, value)| value.clone());
        let mut stdin = &b"from standard input"[..];
        let mut inputs = Inputs::new(&environment, &mut stdin);
        resolve(&self.sources, self.manifest.as_ref(), purpose, &mut inputs, cancellation)
    }

    fn shown(&self, error: &ResolveError) -> String {
        error.diagnostic().to_string().replace(self.folder.path().to_str().unwrap(), "/shop")
    }
}

/// These secrets, in this order, with these values. Asked of the redactor, so that no test opens a door: it masks the
/// expected value as a whole, and the lengths are equal.
#[track_caller]
fn assert_found(resolution: &Resolution, expected: &[(&str, &str)]) {
    let names: Vec<&str> = resolution.secrets.iter().map(|secret| secret.name().as_str()).collect();
    assert_eq!(names, expected.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    for (secret, (name, value)) in resolution.secrets.iter().zip(expected) {
        let redactor = RedactorBuilder::new().secret(secret.name(), secret.value()).build().unwrap();
        assert_eq!(redactor.redact(value), format!("***{name}***"), "{value:?} for {name}");
        assert_eq!(secret.value().len(), value.len(), "{value:?} for {name}");
    }
}

#[test]
fn the_first_place_that_has_a_value_wins() {
    let manifest = "[secrets]\nA = { from = { file = \"a\" } }\nB = { from = { file = \"b\" } }\nC = { from = { env = \"CC\" } }\nD = {}\n";
    let scene = Scene::new(manifest)
        .trusted()
        .flag("id=A,src=DIR/flag")
        .file("flag", "by flag")
        .env_file("env", "A=by file\nB=by file\n")
        .file("a", "by manifest")
        .file("b", "by manifest")
        .variable("A", "by environment")
        .variable("CC", "by manifest")
        .variable("C", "by environment")
        .variable("D", "by environment");
    let resolution = scene.resolve(Purpose::Build).unwrap();
    let expected = [("A", "by flag"), ("B", "by file"), ("C", "by manifest"), ("D", "by environment")];
    assert_found(&resolution, &expected);
    assert!(resolution.warnings.iter().any(|warning| warning.contains("`A`")), "{:?}", resolution.warnings);
}

#[test]
fn scope_and_shape_are_what_the_manifest_says() {
    let scene = Scene::new("[secrets]\nKEY = { as = \"file\", scope = \"build\" }\nRUN = { scope = \"run\" }\n")
        .flag("id=KEY,env=VALUE")
        .flag("id=RUN,env=VALUE")
        .flag("id=npm-token,env=VALUE")
        .variable("VALUE", VALUE);
    let resolution = scene.resolve(Purpose::Build).unwrap();
    let shapes: Vec<_> = resolution.secrets.iter().map(|s| (s.name().as_str(), s.scope(), s.delivery())).collect();
    let expected = [
        ("KEY", Scope::Build, Delivery::File),
        ("RUN", Scope::Run, Delivery::Variable),
        ("npm-token", Scope::Both, Delivery::File),
    ];
    assert_eq!(shapes, expected);
}

#[test]
fn what_is_found_nowhere_is_told_with_the_places_tried() {
    let scene =
        Scene::new("\n\n\n\n\n\n\n[secrets]\nNPM_TOKEN = { scope = \"build\" }\nAPP_KEY = { scope = \"run\" }\n");
    let error = scene.resolve(Purpose::Build).unwrap_err();
    insta::assert_snapshot!(scene.shown(&error), @r#"
    error: secret `NPM_TOKEN` has no value
      declared in /shop/app.toml:9, needed by this build
      looked in: --secret, --env-file, environment
      help: --secret id=NPM_TOKEN,src=FILE, or scope = "run" if the build does not need it
    exit code 40
    "#);
    assert_eq!(error.exit().code(), 40);

    let scene = Scene::new("[secrets]\nONE = {}\nTWO = {}\n");
    let error = scene.resolve(Purpose::Run).unwrap_err();
    insta::assert_snapshot!(scene.shown(&error), @r#"
    error: 2 secrets have no value: `ONE`, `TWO`
      `ONE` declared in /shop/app.toml:2, needed by this start
      `TWO` declared in /shop/app.toml:3, needed by this start
      looked in: --secret, --env-file, environment
      help: --secret id=ONE,src=FILE, or scope = "build" if the start does not need it
    exit code 40
    "#);
}

#[test]
fn what_the_work_does_not_need_is_taken_when_at_hand_and_never_required() {
    let manifest = "[secrets]\nONE = { scope = \"run\" }\nTWO = { scope = \"run\" }\nTHREE = { scope = \"run\", from = { file = \"no\" } }\nFOUR = { scope = \"run\", from = { command = [\"false\"] } }\n";
    for scene in [Scene::new(manifest), Scene::new(manifest).trusted()] {
        let resolution = scene.variable("ONE", VALUE).variable("TWO", "").resolve(Purpose::Build).unwrap();
        assert_found(&resolution, &[("ONE", VALUE)]);
        assert_eq!(resolution.secrets[0].source(), &Source::Environment);
    }
}

#[test]
fn a_manifest_that_is_not_trusted_fetches_nothing() {
    let manifest = "[secrets]\nKEY = { from = { command = [\"touch\", \"was-here\"] } }\n";
    let scene = Scene::new(manifest);
    let error = scene.resolve(Purpose::Build).unwrap_err();
    insta::assert_snapshot!(scene.shown(&error), @r#"
    error: /shop/app.toml may not fetch secrets before you trust it
      `KEY` has `from` in /shop/app.toml:2
      help: look at these lines; `pbuild trust` or --trust-config lets them act, --secret and --env-file give values without them
    exit code 2
    "#);
    assert!(!scene.folder.path().join("was-here").exists());
    // Given by hand, nothing of the manifest has to act.
    let scene = Scene::new(manifest).env_file("env", "KEY=by hand\n");
    assert_found(&scene.resolve(Purpose::Build).unwrap(), &[("KEY", "by hand")]);
}

#[test]
fn bad_values_are_errors_that_show_none() {
    let nul = format!("{VALUE}\0");
    let long = VALUE.repeat(131_072 / VALUE.len() + 1);
    let missing = Scene::new("").flag("id=A,src=DIR/none");
    let unset = Scene::new("").flag("id=A,env=NONE");
    let empty = Scene::new("").file("empty", "").flag("id=A,src=DIR/empty");
    let nul = Scene::new("").file("nul", &nul).flag("id=A,src=DIR/nul");
    let long = Scene::new("").file("long", &long).flag("id=A,src=DIR/long");
    let broken = Scene::new("").env_file("env", &format!("={VALUE}\n"));
    for (scene, code) in [(missing, 40), (unset, 40), (empty, 40), (nul, 40), (long, 40), (broken, 2)] {
        let error = scene.resolve(Purpose::Build).unwrap_err();
        let shown = scene.shown(&error);
        assert_eq!(error.exit().code(), code, "{shown}");
        assert!(!shown.contains("c4n4ry"), "{shown}");
    }
    let flag = Scene::new("").flag(&format!("id=A,{VALUE}"));
    let error = flag.resolve(Purpose::Build).unwrap_err();
    assert!(matches!(error, ResolveError::Flag { number: 1, source: SecretError::FlagField { .. } }));
    assert!(!flag.shown(&error).contains("c4n4ry") && error.exit().code() == 2);
}

#[test]
fn env_files_leave_out_what_is_no_secret_and_say_so() {
    let scene = Scene::new("")
        .env_file("one", "A=first\nEMPTY=\nPATH=/evil\nINHERITED\nDROPPED\n")
        .env_file("two", "A=second value\n")
        .variable("INHERITED", VALUE);
    let resolution = scene.resolve(Purpose::Build).unwrap();
    assert_found(&resolution, &[("INHERITED", VALUE), ("A", "second value")]);
    let warnings = resolution.warnings.join("\n");
    assert!(
        warnings.contains("`EMPTY` is empty") && warnings.contains("`PATH`") && warnings.contains("left out"),
        "{warnings}"
    );
}

#[test]
fn the_last_of_two_flags_counts_and_standard_input_is_a_place() {
    let scene = Scene::new("").flag("id=A,env=X").flag("id=A,src=-");
    let resolution = scene.resolve(Purpose::Run).unwrap();
    assert_found(&resolution, &[("A", "from standard input")]);
    assert_eq!(resolution.warnings.len(), 1);
}

#[test]
fn composed_values_are_made_of_secrets_and_configuration() {
    let manifest = concat!(
        "[env]\nHOST = \"db.example\"\n[secrets]\n",
        "URL = { value = \"postgres://${USER_PART}@${HOST}/$${x}\" }\n",
        "USER_PART = { value = \"app:${PASSWORD}\" }\nPASSWORD = {}\n",
        "REPORTS = { value = \"${DB_HOST}/${PASSWORD}\" }\n",
    );
    let resolution = Scene::new(manifest).variable("PASSWORD", VALUE).resolve(Purpose::Build).unwrap();
    let user = format!("app:{VALUE}");
    let url = format!("postgres://{user}@db.example/${{x}}");
    assert_found(&resolution, &[("URL", &url), ("USER_PART", &user), ("PASSWORD", VALUE)]);
    assert_eq!(resolution.deferred, ["REPORTS"]);
}

#[test]
fn values_made_of_each_other_are_an_error() {
    let manifest = "[secrets]\nA = { value = \"${B}\" }\nB = { value = \"${C}\" }\nC = { value = \"x${A}\" }\n";
    let error = Scene::new(manifest).resolve(Purpose::Run).unwrap_err();
    assert_eq!(error.to_string(), "the values of A → B → C → A are made of each other");
}

fn by_command(words: &str, more: &str) -> Scene {
    Scene::new(&format!("[secrets]\nKEY = {{ from = {{ command = {words}{more} }} }}\n")).trusted()
}

#[test]
fn a_command_gives_its_output_without_the_last_line_end_c13() {
    for (words, more, value) in [
        (r#"["printf", "one\ntwo\n\n"]"#, "", "one\ntwo\n"),
        (r#"["printf", "carriage return\r\n"]"#, "", "carriage return"),
        (r#"["printf", "kept as it is\n"]"#, ", raw = true", "kept as it is\n"),
        (r#"["sh", "-c", "cat; printf %s \"$PBUILD_IDENTITY\"; basename \"$PWD\" | head -c 4"]"#, "", ".tmp"),
    ] {
        let resolution = by_command(words, more).resolve(Purpose::Build).unwrap();
        assert_found(&resolution, &[("KEY", value)]);
        assert!(matches!(resolution.secrets[0].source(), Source::Command { .. }));
    }
}

#[test]
fn a_command_that_fails_is_told_by_its_program_alone_c12() {
    let missing = by_command(r#"["no-such-program-7", "c4n4ry-argument"]"#, "");
    let failing =
        by_command(r#"["sh", "-c", "printf c4n4ry-9f3b27e1; echo 'denied for c4n4ry-9f3b27e1' >&2; exit 3"]"#, "");
    let silent = by_command(r#"["true"]"#, "");
    let endless = by_command(r#"["sh", "-c", "head -c 10000000 /dev/zero | tr '\\0' x"]"#, "");
    for (scene, said) in [
        (missing, "failed to start no-such-program-7"),
        (failing, "sh ended with exit status: 3"),
        (silent, "secret `KEY` is empty"),
        (endless, "longer than BuildKit's limit"),
    ] {
        let error = scene.resolve(Purpose::Build).unwrap_err();
        let shown = scene.shown(&error);
        assert!(shown.contains(said) && !shown.contains("c4n4ry"), "{shown}");
        assert!(!said.contains("exit status") || shown.contains("denied for ***KEY***"), "{shown}");
        assert_eq!(error.exit().code(), 40);
    }
}

#[test]
fn a_command_that_hangs_is_ended_with_all_its_children_c12() {
    let scene = by_command(r#"["sh", "-c", "sleep 600 & echo $! > pid; wait"]"#, ", timeout = \"1s\"");
    let start = Instant::now();
    let error = scene.resolve(Purpose::Build).unwrap_err();
    assert!(matches!(error, ResolveError::Command(CommandError::Late { seconds: 1, .. })), "{error}");
    assert!(start.elapsed() < Duration::from_secs(20));
    let pid = fs::read_to_string(scene.folder.path().join("pid")).unwrap();
    // The child may be a zombie until init takes it; running it must not be.
    let status = fs::read_to_string(Path::new("/proc").join(pid.trim()).join("status")).unwrap_or_default();
    assert!(!status.contains("(sleeping)"), "{status}");
}

#[test]
fn what_a_command_leaves_behind_is_not_waited_for() {
    let start = Instant::now();
    let resolution =
        by_command(r#"["sh", "-c", "sleep 600 & printf c4n4ry-9f3b27e1"]"#, "").resolve(Purpose::Build).unwrap();
    assert_found(&resolution, &[("KEY", VALUE)]);
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_command_ends_when_the_user_stops_the_work_b7() {
    let cancellation = Cancellation::new();
    cancellation.cancel(Ending::Interrupt);
    let error = by_command(r#"["sleep", "600"]"#, "").resolve_until(Purpose::Build, &cancellation).unwrap_err();
    assert_eq!(error.exit().code(), 130);
}

impl Scene {
    /// Seals these into the project's store, for an identity in a home beside it.
    fn sealed(mut self, entries: &[(&str, &str)]) -> Self {
        let home = self.folder.path().join("home");
        self.environment.push(("HOME", home.into()));
        let environment = self.lookup();
        let identity = crate::identity_or_new(&environment).unwrap();
        let store = crate::ProjectStore::beside(self.folder.path(), &environment).unwrap();
        store.create(&identity).unwrap();
        let fill = |content: &mut psecret::Store| {
            for (name, value) in entries {
                content.set(SecretName::parse(name)?, UserSecret::new(value.as_bytes().to_vec()))?;
            }
            Ok::<_, ResolveError>(())
        };
        store.change(&identity, fill).unwrap();
        drop(environment);
        self
    }

    fn lookup(&self) -> impl Fn(&str) -> Option<OsString> + '_ {
        |name| self.environment.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
    }
}

#[test]
fn the_sealed_store_comes_after_the_manifest_and_before_the_environment() {
    let manifest = "[secrets]\nA = {}\nB = {}\nC = { from = { file = \"c\" } }\nD = {}\nE = {}\n";
    let scene = Scene::new(manifest)
        .trusted()
        .sealed(&[("A", "by the store"), ("B", "by the store"), ("C", "by the store"), ("D", "by the store")])
        .flag("id=A,env=GIVEN")
        .variable("GIVEN", "by a flag")
        .env_file("env", "B=by an env file\n")
        .file("c", "by the manifest")
        .variable("D", "by the environment")
        .variable("E", "by the environment");
    let resolution = scene.resolve(Purpose::Build).unwrap();
    let expected = [
        ("A", "by a flag"),
        ("B", "by an env file"),
        ("C", "by the manifest"),
        ("D", "by the store"),
        ("E", "by the environment"),
    ];
    assert_found(&resolution, &expected);
    assert_eq!(resolution.secrets[3].source(), &Source::Store);
}

#[test]
fn the_store_is_one_of_the_places_tried() {
    let error = Scene::new("[secrets]\nKEY = {}\n").sealed(&[("OTHER", VALUE)]).resolve(Purpose::Build).unwrap_err();
    let shown = error.diagnostic().to_string();
    assert!(shown.contains("--secret, --env-file, secrets.age, environment"), "{shown}");
    assert!(shown.contains("pbuild secrets set KEY"), "{shown}");
}

#[test]
fn a_store_that_nobody_here_can_open_is_an_error_when_it_is_needed_k6() {
    let manifest = "[secrets]\nKEY = { scope = \"build\" }\n";
    let mut scene = Scene::new(manifest).sealed(&[("KEY", VALUE)]).variable("KEY", "by the environment");
    fs::remove_file(scene.folder.path().join("home/.config/pbuild/identity.txt")).unwrap();
    let error = scene.resolve(Purpose::Build).unwrap_err();
    let shown = scene.shown(&error);
    assert!(
        error.exit().code() == 41 && shown.contains("no identity at") && shown.contains("PBUILD_IDENTITY"),
        "{shown}"
    );
    // Not needed, it is passed over, and said so.
    let resolution = scene.resolve(Purpose::Run).unwrap();
    assert_found(&resolution, &[("KEY", "by the environment")]);
    assert!(resolution.warnings[0].contains("the sealed store is not used"), "{:?}", resolution.warnings);
    // Given before it, it is not opened at all.
    scene.sources.flags.push("id=KEY,env=KEY".to_owned());
    assert!(scene.resolve(Purpose::Build).unwrap().warnings.is_empty());
    // Another identity is told apart from none.
    crate::identity_or_new(&scene.lookup()).unwrap();
    scene.sources.flags.clear();
    let error = scene.resolve(Purpose::Build).unwrap_err();
    assert!(error.to_string().contains("not sealed for this identity"), "{error}");
}

#[test]
fn a_damaged_store_is_never_passed_over_k4() {
    let scene = Scene::new("[secrets]\nKEY = { scope = \"run\" }\n").sealed(&[("KEY", VALUE)]).variable("KEY", VALUE);
    fs::write(scene.folder.path().join("secrets.age"), "cut short").unwrap();
    let error = scene.resolve(Purpose::Build).unwrap_err();
    assert!(error.exit().code() == 41 && scene.shown(&error).contains("is damaged"), "{}", scene.shown(&error));
}

#[test]
fn what_was_trusted_once_acts_without_a_flag() {
    let scene =
        Scene::new("[secrets]\nKEY = { from = { env = \"CI_KEY\" } }\n").file("app.toml", "").variable("CI_KEY", VALUE);
    let home = scene.folder.path().join("home").to_str().unwrap().to_owned();
    let scene = scene.variable("HOME", &home);
    assert!(matches!(scene.resolve(Purpose::Build), Err(ResolveError::Untrusted { .. })));
    crate::trust::remember(scene.manifest.as_ref().unwrap(), &scene.lookup()).unwrap();
    assert_found(&scene.resolve(Purpose::Build).unwrap(), &[("KEY", VALUE)]);
}
