//! Secrets that docker accepts: those without a value, and those that cannot be a variable.

use super::*;

#[test]
fn an_optional_secret_may_have_no_value_and_a_line_says_so() {
    let manifest = "[secrets]\nA = { optional = true }\nB = { optional = true, from = { env = \"GONE\" } }\n\
                    C = { optional = true, from = { file = \"gone\" } }\nD = { optional = true }\nE = {}\n";
    let scene = Scene::new(manifest).trusted().variable("A", "").variable("E", VALUE);
    let scene = scene.flag("id=D,env=GONE").flag("id=F?,src=DIR/gone").flag("id=G?,env=SET").variable("SET", VALUE);
    let resolution = scene.resolve(Purpose::Build).unwrap();
    assert_found(&resolution, &[("E", VALUE), ("G", VALUE)]);
    let told = resolution.warnings.join("\n");
    for name in ["A", "B", "C", "D", "F"] {
        assert_eq!(told.matches(&format!("`{name}` is optional and has no value")).count(), 1, "{told}");
    }
    let error = Scene::new("").flag("id=F,env=EMPTY").variable("EMPTY", "").resolve(Purpose::Build).unwrap_err();
    assert!(matches!(error, ResolveError::Secret(SecretError::Empty { .. })));
}

#[test]
fn a_value_that_is_no_variable_is_a_file_unless_the_manifest_says_otherwise() {
    let flagged =
        |manifest: &str| Scene::new(manifest).file("store", "c4n4ry\0-9f3b27e1").flag("id=STORE,src=DIR/store");
    let resolution = flagged("").resolve(Purpose::Build).unwrap();
    assert_eq!(resolution.secrets[0].delivery(), Delivery::File);
    assert!(resolution.warnings.join("\n").contains("so `STORE` is the path of a file"));
    let error = flagged("[secrets]\nSTORE = {}\n").resolve(Purpose::Build).unwrap_err();
    assert!(matches!(error, ResolveError::Secret(SecretError::Nul { .. })));
    // An app does not expect a file in place of a variable, so a start refuses such a value.
    let error = flagged("").resolve(Purpose::Run).unwrap_err();
    assert!(matches!(error, ResolveError::Secret(SecretError::Nul { .. })));
    let file = flagged("[secrets]\nSTORE = { as = \"file\" }\n").resolve(Purpose::Build).unwrap();
    assert!(file.warnings.is_empty());
}

#[test]
fn a_flag_whose_name_changes_how_programs_run_is_asked_about() {
    let scene = || Scene::new("").variable("VALUE", VALUE).flag("id=LD_PRELOAD,env=VALUE");
    let error = scene().resolve(Purpose::Build).unwrap_err();
    assert!(matches!(error, ResolveError::Steers { .. }) && error.exit() == pscreen::Exit::Usage);
    let mut allowed = scene();
    allowed.sources.allowed_names.push("LD_PRELOAD".to_owned());
    assert_found(&allowed.resolve(Purpose::Build).unwrap(), &[("LD_PRELOAD", VALUE)]);
}
