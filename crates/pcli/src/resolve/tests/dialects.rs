//! Env files that two dialects read differently, names that differ in case, and files that end in a line end.

use super::*;

/// D1, D6: in either dialect, both readings are masked, under the secret's own name.
#[test]
fn what_the_dialects_read_differently_is_masked_in_both_readings_and_said_in_one_line() {
    let text = format!("A=\"{VALUE} x\"\nB={VALUE}-b # said\nC=same-in-both\n");
    for (dialect, said) in [(Dialect::Docker, "the reading without them"), (Dialect::Dotenv, "the reading with them")] {
        let mut scene = Scene::new("").env_file("env", &text);
        scene.sources.dialect = dialect;
        let resolution = scene.resolve(Purpose::Run).unwrap();
        let said_of: Vec<_> = resolution.warnings.iter().filter(|warning| warning.contains(said)).collect();
        let [line] = &said_of[..] else { panic!("one line: {:?}", resolution.warnings) };
        assert!(line.contains("`A` (line 1), `B` (line 2)") && !line.contains("`C`"), "{line}");
        assert!(!resolution.warnings.join("").contains("become part"), "{:?}", resolution.warnings);
        let mask = |builder: RedactorBuilder, secret: &Secret| {
            builder.taken_apart(secret.name(), secret.value(), secret.parts())
        };
        let redactor = resolution.secrets.iter().fold(RedactorBuilder::new(), mask).build().unwrap();
        let shown = redactor.redact(&format!("<\"{VALUE} x\"> <{VALUE} x> <{VALUE}-b # said> <{VALUE}-b>"));
        assert_eq!(shown, "<***A***> <***A***> <***B***> <***B***>");
    }
}

#[test]
fn a_file_of_the_docker_dialect_that_needs_the_other_one_says_so() {
    for (text, place) in [("export A=x\n", "line 1, column 1"), ("X=1\nA='y\nz z'\n", "line 2, column 3")] {
        let scene = Scene::new("").env_file("env", text);
        let shown = scene.shown(&scene.resolve(Purpose::Build).unwrap_err());
        assert!(shown.contains(place) && shown.contains("help: --env-file-dialect dotenv"), "{shown}");
    }
}

#[test]
fn a_name_that_differs_in_case_alone_is_named() {
    let manifest = "[secrets]\nAPP_KEY = {}\nNPM_TOKEN = {}\nOTHER = {}\n";
    let scene = Scene::new(manifest).env_file("env", "App_Key=abcdefgh\n").variable("npm_token", VALUE);
    let shown = scene.shown(&scene.resolve(Purpose::Build).unwrap_err());
    assert!(shown.contains("did you mean `App_Key`?") && shown.contains("did you mean `npm_token`?"), "{shown}");
    assert_eq!(shown.matches("did you mean").count(), 2, "{shown}");
}

#[test]
fn a_file_with_one_line_and_its_end_is_warned_about() {
    let warned = |text: &str, id: &str| {
        let scene = Scene::new("[secrets]\nFILE = { as = \"file\" }\n").file("key", text);
        let scene = scene.variable("FILE", VALUE).trusted().flag(&format!("id={id},src=DIR/key"));
        let warnings = scene.resolve(Purpose::Build).unwrap().warnings.join("\n");
        assert!(!warnings.contains(VALUE), "{warnings}");
        warnings.contains("ends in a line end")
    };
    assert!(warned(&format!("{VALUE}\n"), "KEY") && warned(&format!("{VALUE}\r\n"), "KEY"));
    // No warning is needed for a value that is delivered as a file, or that has several lines.
    assert!(!warned(VALUE, "KEY") && !warned(&format!("{VALUE}\n"), "FILE") && !warned("a = 1\nb = 2\n", "KEY"));
}
