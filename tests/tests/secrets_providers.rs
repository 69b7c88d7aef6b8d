//! Values that commands of the manifest print, with the real `pass` and the real `age`.

use std::fs;

use ptest::{Canary, Outcome, Scene, Tool};

/// Gives the tool a key ring and a password store of this test.
fn with<'scene>(tool: Tool<'scene>, scene: &Scene) -> Tool<'scene> {
    tool.env("GNUPGHOME", scene.home().join("gnupg")).env("PASSWORD_STORE_DIR", scene.home().join("store"))
}

/// Runs a build until it has its secrets. A build argument has the same value, so the build is refused with the name
/// of the secret, before it contacts an engine.
fn build(tool: Tool<'_>, value: &Canary) -> Outcome {
    tool.args(["build", "--build-arg", "COPY", "."]).env("COPY", value.text()).run()
}

fn project(command: &str) -> Scene {
    let scene = Scene::new();
    scene.write("Dockerfile", "FROM scratch\nARG COPY\n");
    scene.write("app.toml", format!("[secrets]\nDEPLOY_KEY = {{ from = {{ command = {command} }} }}\n"));
    scene.trust();
    scene
}

#[test]
fn the_real_age_gives_a_value() {
    let scene = project(r#"["age", "-d", "-i", "key.txt", "deploy.age"]"#);
    let key = scene.oracle().token("DEPLOY_KEY");
    let keygen = scene.tool("age-keygen").args(["-o", "key.txt"]).run();
    keygen.expect_code(0);
    let recipient = keygen.stderr().trim().trim_start_matches("Public key: ").to_owned();
    scene.tool("age").args(["-r", &recipient, "-o", "deploy.age"]).stdin(key.value()).run().expect_code(0);
    build(scene.pbuild(), &key).expect_code(10).expect_stderr("holds secret `DEPLOY_KEY`");
    fs::remove_file(scene.project().join("deploy.age")).unwrap();
    let failed = build(scene.pbuild(), &key);
    failed.expect_code(40).expect_stderr("secret `DEPLOY_KEY`: age ended with").expect_stderr("age said");
    assert!(!failed.stderr().contains("key.txt"), "arguments are not repeated: {}", failed.stderr());
}

#[test]
fn the_real_pass_gives_a_value() {
    let scene = project(r#"["pass", "show", "shop/deploy"]"#);
    let key = scene.oracle().token("DEPLOY_KEY");
    let keys = scene.home().join("gnupg");
    fs::create_dir(&keys).unwrap();
    fs::set_permissions(&keys, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let generate = ["--batch", "--quiet", "--passphrase", "", "--quick-generate-key", "one@example.invalid"];
    with(scene.tool("gpg"), &scene).args(generate).run().expect_code(0);
    with(scene.tool("pass"), &scene).args(["init", "one@example.invalid"]).run().expect_code(0);
    let insert =
        with(scene.tool("pass"), &scene).args(["insert", "--multiline", "shop/deploy"]).stdin(key.value()).run();
    insert.expect_code(0);
    let built = build(with(scene.pbuild(), &scene), &key);
    scene.write("app.toml", "[secrets]\nDEPLOY_KEY = { from = { command = [\"pass\", \"show\", \"x\"] } }\n");
    let none = with(scene.pbuild(), &scene).args(["build", "--trust-config", "."]).run();
    // The agent ends when its folder is removed, but it must not outlive the test.
    with(scene.tool("gpgconf"), &scene).args(["--kill", "gpg-agent"]).run();
    built.expect_code(10).expect_stderr("holds secret `DEPLOY_KEY`");
    none.expect_code(40).expect_stderr("pass said").expect_stderr("is not in the password store");
}
