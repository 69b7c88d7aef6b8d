//! The sources of values, and the messages about secrets without a value.

use std::ffi::OsString;
use std::fs;

use psecret::{RedactorBuilder, SecretError};

use super::*;

mod commands;
mod dialects;
mod taken;

const VALUE: &str = "c4n4ry-9f3b27e1";

/// A folder with files, and the variables of the process environment.
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
        let text = manifest.to_owned();
        let manifest = papp::Manifest::parse(&path, manifest.as_bytes()).unwrap();
        let sources = SecretSources::default();
        Self { folder, environment: Vec::new(), sources, manifest: Some(FoundManifest { path, manifest, text }) }
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

/// Checks that the resolution has these secrets, in this order and with these values. The redactor does the
/// comparison, so that no test opens a door: it masks the expected value as a whole, and the lengths are equal.
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
fn the_manifest_and_the_flag_say_which_parts_count() {
    let text = "A_TOKEN=c4n4ry-9f3b27e1\nB_TOKEN=c4n4ry-81d07c55\n";
    let names = |scene: Scene| {
        let resolution = scene.trusted().resolve(Purpose::Build).unwrap();
        resolution.secrets[0].parts().names().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let scene = |parts: &str| {
        Scene::new(&format!("[secrets]\nENV = {{ from = {{ file = \"env\" }}, as = \"file\"{parts} }}\n"))
            .file("env", text)
    };
    assert_eq!(names(scene("")), ["A_TOKEN", "B_TOKEN"]);
    assert!(names(scene(", parts = false")).is_empty());
    assert_eq!(names(scene(", parts = [\"B_TOKEN\"]")), ["B_TOKEN"]);
    // The flag's choice of parts wins over the manifest's.
    assert_eq!(names(scene(", parts = false").flag("id=ENV,src=DIR/env,parts=A_TOKEN")), ["A_TOKEN"]);
    assert!(names(scene("").flag("id=ENV,src=DIR/env,parts=false")).is_empty());
}

#[test]
fn the_first_place_that_has_a_value_wins_c3() {
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
      help: `pbuild secrets init`, then `pbuild secrets set NPM_TOKEN`; or --secret id=NPM_TOKEN,src=FILE, or scope = "run" if the build does not need it
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
      help: `pbuild secrets init`, then `pbuild secrets set ONE`; or --secret id=ONE,src=FILE, or scope = "build" if the start does not need it
    exit code 40
    "#);
}

#[test]
fn what_the_work_does_not_need_is_taken_when_at_hand_and_never_required() {
    let manifest = "[secrets]\nONE = { scope = \"run\" }\nTWO = { scope = \"run\" }\nTHREE = { scope = \"run\", from = { file = \"no\" } }\nFOUR = { scope = \"run\", from = { command = [\"false\"] } }\n";
    let given = |scene: Scene| scene.variable("ONE", VALUE).variable("TWO", "").resolve(Purpose::Build).unwrap();
    let resolution = given(Scene::new(manifest).trusted());
    assert_found(&resolution, &[("ONE", VALUE)]);
    assert_eq!(resolution.secrets[0].source(), &Source::Environment);
    // The variable that was not read is named, so that a search can report it as not searched for.
    let resolution = given(Scene::new(manifest));
    assert_found(&resolution, &[]);
    let names: Vec<&str> = resolution.untrusted.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["ONE", "THREE", "FOUR"]);
}

#[test]
fn a_manifest_that_is_not_trusted_fetches_nothing() {
    let manifest = "[secrets]\nKEY = { from = { command = [\"touch\", \"was-here\"] } }\n";
    let scene = Scene::new(manifest);
    let error = scene.resolve(Purpose::Build).unwrap_err();
    insta::assert_snapshot!(scene.shown(&error), @r#"
    error: /shop/app.toml may not get the value of `KEY` before you trust it
      /shop/app.toml:2: `KEY` runs ["touch", "was-here"]
      help: look at these lines, then `pbuild trust`; --secret id=KEY,src=FILE for one command; --trust-config in CI
    exit code 2
    "#);
    assert!(!scene.folder.path().join("was-here").exists());
    // If the value is given by hand, the manifest does not act.
    let scene = Scene::new(manifest).env_file("env", "KEY=by hand\n");
    assert_found(&scene.resolve(Purpose::Build).unwrap(), &[("KEY", "by hand")]);
}

#[test]
fn a_manifest_that_is_not_trusted_mounts_nothing_of_the_host() {
    let text = "[secrets]\nKEY = { from = { command = [\"touch\", \"was-here\"] } }\n[run]\nvolumes = [\"/:/host\"]\n\
                [[init]]\nname = \"own\"\ncommand = [\"chroot\", \"/host\"]\n";
    let scene = Scene::new(text).flag("id=KEY,env=KEY").variable("KEY", VALUE);
    let error = scene.resolve(Purpose::Run).unwrap_err();
    insta::assert_snapshot!(scene.shown(&error), @r#"
    error: /shop/app.toml may not reach into this machine before you trust it
      /shop/app.toml:4: the container reads and writes "/" of the host, at "/host"
      /shop/app.toml:7: `own` runs ["chroot", "/host"] beside what is mounted of the host
      help: look at these lines, then `prun trust`; --trust-config in CI
    exit code 2
    "#);
    // A build mounts nothing.
    assert_found(&scene.resolve(Purpose::Build).unwrap(), &[("KEY", VALUE)]);
    assert_found(&scene.trusted().resolve(Purpose::Run).unwrap(), &[("KEY", VALUE)]);
}

#[test]
fn a_manifest_that_is_not_trusted_names_no_variable_of_the_process_environment() {
    let scene = Scene::new("[secrets]\nTAKEN = {}\nAWS_SECRET_ACCESS_KEY = {}\n")
        .flag("id=TAKEN,env=TAKEN")
        .variable("TAKEN", "given by hand")
        .variable("AWS_SECRET_ACCESS_KEY", VALUE);
    let error = scene.resolve(Purpose::Run).unwrap_err();
    insta::assert_snapshot!(scene.shown(&error), @r#"
    error: /shop/app.toml may not get the value of `AWS_SECRET_ACCESS_KEY` before you trust it
      /shop/app.toml:3: `AWS_SECRET_ACCESS_KEY` reads the environment variable "AWS_SECRET_ACCESS_KEY"
      help: look at these lines, then `prun trust`; --secret id=AWS_SECRET_ACCESS_KEY for one command; --trust-config in CI
    exit code 2
    "#);
    // A search uses the values that the user gave, and reports the others.
    let resolution = scene.resolve(Purpose::Search).unwrap();
    assert_found(&resolution, &[("TAKEN", "given by hand")]);
    assert_eq!(resolution.untrusted[0].name, "AWS_SECRET_ACCESS_KEY");
    // If the user names the variable on the command line, it is read.
    let scene = scene.flag("id=AWS_SECRET_ACCESS_KEY");
    assert_found(
        &scene.resolve(Purpose::Run).unwrap(),
        &[("TAKEN", "given by hand"), ("AWS_SECRET_ACCESS_KEY", VALUE)],
    );
}

#[test]
fn a_manifest_that_anybody_may_change_gets_nothing_c11() {
    use std::os::unix::fs::PermissionsExt as _;
    let scene =
        Scene::new("\n[secrets]\nKEY = { from = { command = [\"touch\", \"was-here\"] } }\n").file("app.toml", "");
    let home = scene.folder.path().join("home").to_str().unwrap().to_owned();
    let scene = scene.variable("HOME", &home);
    let found = scene.manifest.as_ref().unwrap();
    crate::trust::remember(found, &scene.lookup()).unwrap();
    fs::set_permissions(&found.path, fs::Permissions::from_mode(0o666)).unwrap();
    let error = scene.resolve(Purpose::Build).unwrap_err();
    insta::assert_snapshot!(scene.shown(&error), @r#"
    error: /shop/app.toml may not get the value of `KEY` before you trust it
      /shop/app.toml:3: `KEY` runs ["touch", "was-here"]
      /shop/app.toml: every user may write to it (mode 0666)
      help: chmod o-w /shop/app.toml, or --trust-config for this once
    exit code 2
    "#);
    assert!(!scene.folder.path().join("was-here").exists());
    let mut scene = scene;
    scene.sources.trust = Trust::Granted;
    assert_eq!(scene.resolve(Purpose::Build).unwrap_err().exit().code(), 40, "it runs, and prints nothing");
    assert!(scene.folder.path().join("was-here").exists());
}

#[test]
fn bad_values_are_errors_that_show_none() {
    let nul = format!("{VALUE}\0");
    let long = VALUE.repeat(131_072 / VALUE.len() + 1);
    let missing = Scene::new("").flag("id=A,src=DIR/none");
    let unset = Scene::new("").flag("id=A,env=NONE");
    let empty = Scene::new("").file("empty", "").flag("id=A,src=DIR/empty");
    let nul = Scene::new("[secrets]\nA = {}\n").file("nul", &nul).flag("id=A,src=DIR/nul");
    let long = Scene::new("[secrets]\nA = {}\n").file("long", &long).flag("id=A,src=DIR/long");
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
        warnings.contains("line 2: the value is empty") && warnings.contains("`PATH`") && warnings.contains("left out"),
        "{warnings}"
    );
}

/// D3: a name alone is looked up in the environment. If the environment lacks it, a warning says so without the name,
/// which may be a line of a key (D19).
#[test]
fn a_name_alone_is_inherited_or_dropped_and_never_shown_d3() {
    let text = format!("KEY=\"-----BEGIN KEY-----\n{VALUE}\n{VALUE}+/=\n");
    let scene = Scene::new("").env_file("env", &text).env_file("two", "KEY=again\nKEY\n");
    let resolution = scene.resolve(Purpose::Build).unwrap();
    let warnings = resolution.warnings.join("\n");
    assert!(warnings.contains("line 2: a name without `=`") && warnings.contains("begins with a quote"), "{warnings}");
    assert!(!warnings.contains("c4n4ry"), "{warnings}");
    assert!(resolution.secrets.iter().any(|secret| secret.name().as_str() == "KEY" && secret.value().len() == 5));
}

#[test]
fn an_empty_value_in_a_later_file_counts_too_d7_d8() {
    let scene = Scene::new("").env_file("one", "A=first\n").env_file("two", "A=\n");
    assert!(scene.resolve(Purpose::Build).unwrap().secrets.is_empty());
}

#[test]
fn a_name_that_steers_programs_needs_to_be_allowed_d16() {
    let mut scene = Scene::new("").env_file("env", "LD_PRELOAD=/lib/x.so\nPATH=/evil/bin\n");
    assert!(scene.resolve(Purpose::Build).unwrap().secrets.is_empty());
    scene.sources.allowed_names.push("PATH".to_owned());
    let resolution = scene.resolve(Purpose::Build).unwrap();
    assert_found(&resolution, &[("PATH", "/evil/bin")]);
    let warnings = resolution.warnings.join("\n");
    assert!(warnings.contains("--allow-name LD_PRELOAD") && !warnings.contains("`PATH`"), "{warnings}");
}

#[test]
fn strict_refuses_an_env_file_that_others_can_read_d17() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut scene = Scene::new("").env_file("env", "A=long enough\n");
    let set_mode = |scene: &Scene, mode| {
        fs::set_permissions(&scene.sources.env_files[0], fs::Permissions::from_mode(mode)).unwrap();
    };
    set_mode(&scene, 0o640);
    assert!(scene.resolve(Purpose::Build).unwrap().warnings[0].contains("other users of this machine can read"));
    scene.sources.strictness = Strictness::Strict;
    let error = scene.resolve(Purpose::Build).unwrap_err();
    insta::assert_snapshot!(scene.shown(&error), @r"
    error: other users of this machine can read the env file /shop/env
      help: chmod 600 /shop/env, or leave --strict out
    exit code 40
    ");
    set_mode(&scene, 0o600);
    assert_found(&scene.resolve(Purpose::Build).unwrap(), &[("A", "long enough")]);
}

#[test]
fn strict_refuses_values_that_no_search_protects_s2_s4_s5() {
    let mut scene = Scene::new("")
        .flag("id=SHORT,env=SHORT")
        .flag("id=WEAK,env=WEAK")
        .flag("id=WORD,env=WORD")
        .flag("id=GOOD,env=GOOD")
        .variable("SHORT", "abc")
        .variable("WEAK", "q7xz")
        .variable("WORD", "localhost")
        .variable("GOOD", VALUE);
    assert_eq!(scene.resolve(Purpose::Build).unwrap().secrets.len(), 4);
    scene.sources.strictness = Strictness::Strict;
    let error = scene.resolve(Purpose::Build).unwrap_err();
    assert_eq!(
        error.to_string(),
        "--strict: `SHORT` is unprotected: too short, `WEAK` is weak, `WORD` is unprotected: a common word"
    );
    assert_eq!(error.exit().code(), 11);
    assert!(scene.resolve(Purpose::Search).is_ok(), "an audit says so in its report");
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
    let resolution = Scene::new(manifest).trusted().variable("PASSWORD", VALUE).resolve(Purpose::Build).unwrap();
    let user = format!("app:{VALUE}");
    let url = format!("postgres://{user}@db.example/${{x}}");
    assert_found(&resolution, &[("URL", &url), ("USER_PART", &user), ("PASSWORD", VALUE)]);
    assert_eq!(resolution.deferred, ["REPORTS"]);
}

#[test]
fn what_cannot_be_composed_names_the_secret_and_its_line() {
    let doubling: String =
        (0..17).map(|at| format!("L{at} = {{ value = \"${{L{0}}}${{L{0}}}\" }}\n", at + 1)).collect();
    let chain: String = (0..17).map(|at| format!("C{at} = {{ value = \"${{C{}}}\" }}\n", at + 1)).collect();
    let chain = format!("{chain}C17 = {{ value = \"${{L17}}\" }}\n");
    for (manifest, told, line) in [
        ("A = { value = \"${B}\" }\nB = { value = \"${C}\" }\nC = { value = \"x${A}\" }\n", "A → B → C → A", 2),
        (doubling.as_str(), "secret `L3` would be longer than the 131068 bytes", 5),
        (&chain, "secret `C0` is made of secrets that are made of others, more than 16 deep", 2),
        ("A = { scope = \"build\", value = \"${B}\" }\nB = { value = \"${GONE}\" }\n", "`A` needs `GONE`", 2),
    ] {
        let scene = Scene::new(&format!("[secrets]\n{manifest}L17 = {{}}\n"));
        let scene = scene.trusted().variable("L17", "0123456789");
        let error = scene.resolve(Purpose::Build).unwrap_err();
        assert_eq!(error.exit(), pscreen::Exit::Usage);
        assert!(error.to_string().contains(told), "{error}");
        let notes = format!("{:?}", error.diagnostic());
        assert!(notes.contains(&format!("app.toml:{line}")), "{notes}");
        assert!(!notes.contains("0123456789"));
    }
}

#[test]
fn nested_values_that_wait_for_the_start_cost_nothing() {
    let level = |at: usize| format!("L{at} = {{ value = \"${{L{0}}}${{L{0}}}\" }}\n", at + 1);
    let doubling: String = (0..16).map(level).collect();
    let scene = Scene::new(&format!("[secrets]\n{doubling}L16 = {{ value = \"${{DB_PASSWORD}}\" }}\n"));
    for purpose in [Purpose::Build, Purpose::Run, Purpose::Search] {
        assert_eq!(scene.resolve(purpose).unwrap().deferred.len(), 17);
    }
}

impl Scene {
    /// Seals these values into the project's store, for an identity in a home folder beside it.
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
    let mut scene = Scene::new(manifest).trusted().sealed(&[("KEY", VALUE)]).variable("KEY", "by the environment");
    fs::remove_file(scene.folder.path().join("home/.config/pbuild/identity.txt")).unwrap();
    let error = scene.resolve(Purpose::Build).unwrap_err();
    let shown = scene.shown(&error);
    assert!(
        error.exit().code() == 41 && shown.contains("no identity at") && shown.contains("PBUILD_IDENTITY"),
        "{shown}"
    );
    // If the secret is not needed, the closed store is skipped with a warning.
    let resolution = scene.resolve(Purpose::Run).unwrap();
    assert_found(&resolution, &[("KEY", "by the environment")]);
    assert!(resolution.warnings[0].contains("the sealed store is not used"), "{:?}", resolution.warnings);
    // If a flag gives the value, the store is not opened at all.
    scene.sources.flags.push("id=KEY,env=KEY".to_owned());
    assert!(scene.resolve(Purpose::Build).unwrap().warnings.is_empty());
    // An identity that cannot open the store is reported differently from a missing identity.
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

const FILES: &str = "env_files = [{ path = \".env\" }, { path = \"more.env\", dialect = \"docker\" }]\n";

#[test]
fn the_files_of_the_manifest_give_declared_names_alone_and_come_before_the_environment() {
    let scene = Scene::new(&format!("{FILES}[secrets]\nONE = {{}}\nTWO = {{}}\nTHREE = {{}}\nFOUR = {{}}\n"))
        .file(".env", "ONE=\"from-dotenv-1\"\nTWO=from-dotenv-2\nOTHER=not-declared\nTHREE=\nFOUR=from-dotenv-4\n")
        .file("more.env", "TWO=from-more-22\n")
        .env_file("flag.env", "FOUR=from-the-flag\n")
        .variable("ONE", "from-environment")
        .variable("THREE", "from-environment")
        .trusted();
    let resolution = scene.resolve(Purpose::Build).unwrap();
    assert_found(
        &resolution,
        &[("ONE", "from-dotenv-1"), ("TWO", "from-more-22"), ("THREE", "from-environment"), ("FOUR", "from-the-flag")],
    );
    let sources: Vec<String> = resolution.secrets.iter().map(|secret| secret.source().to_string()).collect();
    assert_eq!(&sources[..2], ["app.toml (.env:1)", "app.toml (more.env:1)"]);
}

#[test]
fn a_file_of_the_manifest_is_read_only_when_that_is_trusted_c11() {
    let text = format!("{FILES}[secrets]\nONE = {{}}\nTWO = {{ scope = \"run\" }}\n");
    // The file cannot be parsed, so reading it would be an error.
    let scene = Scene::new(&text).file(".env", "\"ONE").variable("ONE", VALUE);
    let shown = scene.shown(&scene.resolve(Purpose::Build).unwrap_err());
    assert!(shown.contains("`ONE` reads the env file \".env\"") && shown.contains("app.toml:1"), "{shown}");
    let resolution = scene.resolve(Purpose::Search).unwrap();
    let refused: Vec<&str> = resolution.untrusted.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!((resolution.secrets.len(), refused), (0, vec!["ONE", "TWO"]));
    assert!(Scene::new(&text).file(".env", "\"ONE").trusted().resolve(Purpose::Build).is_err());
}

#[test]
fn a_file_that_is_not_there_gives_nothing_and_is_named_when_a_value_is_missing() {
    let scene = Scene::new(&format!("{FILES}[secrets]\nONE = {{}}\n"));
    let shown = scene.shown(&scene.resolve(Purpose::Build).unwrap_err());
    assert!(shown.contains("looked in: --secret, --env-file, .env, more.env, environment"), "{shown}");
    assert!(shown.contains("write it into .env"), "{shown}");
}

#[test]
fn a_link_out_of_the_folder_is_not_followed_c11() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("their.env"), format!("ONE={VALUE}\n")).unwrap();
    let scene = Scene::new(&format!("{FILES}[secrets]\nONE = {{}}\n")).trusted();
    std::os::unix::fs::symlink(outside.path().join("their.env"), scene.folder.path().join(".env")).unwrap();
    assert!(matches!(scene.resolve(Purpose::Build), Err(ResolveError::Outside { .. })));
    let scene =
        Scene::new(&format!("{FILES}[secrets]\nONE = {{}}\n")).file("real.env", &format!("ONE={VALUE}\n")).trusted();
    std::os::unix::fs::symlink("real.env", scene.folder.path().join(".env")).unwrap();
    assert_found(&scene.resolve(Purpose::Build).unwrap(), &[("ONE", VALUE)]);
}
