//! The typing mistakes of a tired person: each gets a clear line and the right exit code, and leaves nothing behind.

use acceptance::{ImageName, on_every_engine};
use ptest::{Engine, Flavour, Scene};

on_every_engine!(
    a_failing_step_shows_its_last_lines_its_place_and_exits_1,
    a_dockerfile_that_does_not_parse_is_explained_by_line,
);

fn a_failing_step_shows_its_last_lines_its_place_and_exits_1(engine: &Engine) {
    let scene = Scene::on(engine);
    let token = scene.oracle().token("TOKEN");
    scene.write("Dockerfile", "FROM busybox\nRUN true\nRUN echo before; echo \"denied for $TOKEN\" >&2; exit 42\n");
    let image = ImageName::new(engine, "failing");
    let outcome = scene
        .pbuild()
        .args(["build", "-t", image.as_str(), "--secret", "id=TOKEN", "."])
        .env("TOKEN", token.text())
        .run();
    outcome.expect_code(1);
    for text in ["denied for ***TOKEN***", "Dockerfile:3", "42"] {
        outcome.expect_stderr(text);
    }
    assert!(!image.exists());
}

fn a_dockerfile_that_does_not_parse_is_explained_by_line(engine: &Engine) {
    let scene = Scene::on(engine);
    let token = scene.oracle().token("TOKEN");
    scene.write("Dockerfile", "FROM busybox\nRUN true\nRUNN false\n");
    let outcome = scene.pbuild().args(["build", "--secret", "id=TOKEN", "."]).env("TOKEN", token.text()).run();
    outcome.expect_code(1).expect_stderr("RUNN").expect_stderr("Dockerfile:3");
}

#[test]
fn no_engine_says_how_to_start_one_and_exits_30_b1() {
    let scene = Scene::new();
    let token = scene.oracle().token("TOKEN");
    scene.write("Dockerfile", "FROM busybox\nRUN true\n");
    let missing = format!("unix://{}/no.sock", scene.temporary().display());
    for arguments in [&["build", "--secret", "id=TOKEN", "."][..], &["audit", "--secret", "id=TOKEN", "x"]] {
        let outcome = scene.pbuild().args(arguments).env("DOCKER_HOST", &missing).env("TOKEN", token.text()).run();
        outcome
            .expect_code(30)
            .expect_stderr("no engine answers")
            .expect_stderr("DOCKER_HOST")
            .expect_stderr("exit code 30");
    }
}

/// Docker's own configuration is broken, or names a context that does not exist (C17).
#[test]
fn a_broken_docker_configuration_is_told_with_its_path_c17() {
    let scene = Scene::new();
    scene.write("Dockerfile", "FROM scratch\n");
    let folder = scene.home().join(".docker");
    std::fs::create_dir(&folder).unwrap();
    let absent = scene.pbuild().args(["build", "."]).env("DOCKER_CONTEXT", "elsewhere").run();
    absent.expect_code(2).expect_stderr("elsewhere");
    std::fs::write(folder.join("config.json"), "{ \"currentContext\": ").unwrap();
    for tool in [scene.pbuild().args(["build", "."]), scene.prun().args(["start", "shop:latest"])] {
        tool.run().expect_code(2).expect_stderr(".docker/config.json");
    }
}

/// Over plain TCP, everybody on the network path can read values. This causes a warning, or an error if the flag
/// demands it (C16).
#[test]
fn plain_tcp_is_warned_of_and_refused_on_demand_c16() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::new();
    let token = scene.oracle().token("TOKEN");
    scene.write("Dockerfile", "FROM busybox\nRUN true\n");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    let socket = engine.docker_host().trim_start_matches("unix://").to_owned();
    std::thread::spawn(move || {
        for there in listener.incoming().flatten() {
            let engine = std::os::unix::net::UnixStream::connect(&socket).expect("the engine answers");
            let (mut out, mut back) = (there.try_clone().unwrap(), engine.try_clone().unwrap());
            let (mut there, mut engine) = (there, engine);
            std::thread::spawn(move || {
                std::io::copy(&mut there, &mut engine).map(|_| engine.shutdown(std::net::Shutdown::Write))
            });
            std::thread::spawn(move || {
                std::io::copy(&mut back, &mut out).map(|_| out.shutdown(std::net::Shutdown::Write))
            });
        }
    });
    let build = |words: &[&str]| {
        let tool = scene.pbuild().args(["build", "--secret", "id=TOKEN", "."]).args(words);
        tool.env("TOKEN", token.text()).env("DOCKER_HOST", &address).run()
    };
    build(&[]).expect_code(0).expect_stderr("plain TCP: everybody on the way can read the secrets");
    build(&["--require-tls"]).expect_code(2).expect_stderr("--require-tls forbids");
    let start = scene.prun().args(["start", "--require-tls", "shop:latest"]).env("DOCKER_HOST", &address).run();
    start.expect_code(2).expect_stderr("--require-tls forbids");
}

#[test]
fn a_docker_host_that_is_no_address_is_a_usage_error_c16() {
    let scene = Scene::new();
    scene.write("Dockerfile", "FROM busybox\n");
    let outcome = scene.pbuild().args(["build", "."]).env("DOCKER_HOST", "nonsense").run();
    outcome.expect_code(2).expect_stderr("nonsense");
}

#[test]
fn a_declared_secret_that_is_nowhere_exits_40_and_lists_the_places() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    scene.write("Dockerfile", "FROM busybox\nRUN true\n");
    scene.write("app.toml", "[secrets]\nAPP_KEY = {}\nNPM_TOKEN = { scope = \"build\" }\n");
    scene.trust();
    let outcome = scene.pbuild().args(["build", "."]).env("APP_KEY", "some-key-that-is-given").run();
    outcome.expect_code(40);
    for text in ["`NPM_TOKEN` has no value", "app.toml:3", "--secret", "--env-file", "environment", "exit code 40"] {
        outcome.expect_stderr(text);
    }
}

#[test]
fn each_broken_secret_source_is_named_and_nothing_is_built() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    scene.write("Dockerfile", "FROM busybox\nRUN true\n");
    scene.write("empty.txt", "");
    scene.write("huge.txt", vec![b'x'; 512_001]);
    for (specification, says) in [
        ("id=TOKEN", "set TOKEN in the environment"),
        ("id=TOKEN,env=NOT_SET", "NOT_SET"),
        ("id=TOKEN,src=missing.txt", "missing.txt"),
        ("id=TOKEN,src=empty.txt", "empty"),
        ("id=TOKEN,src=huge.txt", "500 KiB"),
    ] {
        let outcome = scene.pbuild().args(["build", "--secret", specification, "."]).run();
        outcome.expect_code(40).expect_stderr("TOKEN").expect_stderr(says);
    }
    for specification in ["TOKEN,color=red", "src=x", "id=?"] {
        scene.pbuild().args(["build", "--secret", specification, "."]).run().expect_code(2).expect_stderr("--secret");
    }
    let steering = scene.pbuild().args(["build", "--secret", "id=PATH,src=empty.txt", "."]).run();
    steering.expect_code(2).expect_stderr("--allow-name PATH");
    // A secret that the manifest declares as a variable is never delivered as a file instead.
    scene.write("app.toml", "[secrets]\nTOKEN = {}\n");
    scene.write("nul.txt", b"abcd\0efgh");
    scene.write("long.txt", vec![b'x'; 131_072]);
    for (file, says) in [("nul.txt", "NUL"), ("long.txt", "131072 bytes")] {
        let specification = format!("id=TOKEN,src={file}");
        let outcome = scene.pbuild().args(["build", "--secret", &specification, "."]).run();
        outcome.expect_code(40).expect_stderr(says).expect_stderr("as = \"file\"");
    }
}

/// An unknown key is reported with the nearest known one, and a value in a syntax error is masked (C8, C9).
#[test]
fn a_broken_manifest_is_shown_by_line_with_values_masked_c8_c9() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    scene.write("Dockerfile", "FROM busybox\n");
    scene.write("app.toml", "[secrets]\nKEY = { scpoe = \"build\" }\n");
    let outcome = scene.pbuild().args(["build", "."]).run();
    outcome.expect_code(2).expect_stderr("app.toml:2").expect_stderr("scope");
    scene.write_secret("app.toml", format!("image = \"a\"\n[secrets]\nKEY = {}\"\n", token.text()));
    let outcome = scene.pbuild().args(["build", "."]).run();
    outcome.expect_code(2).expect_stderr("app.toml:3").expect_stderr("KEY =");
}

#[test]
fn a_file_without_an_end_is_refused_with_its_name_and_the_limit() {
    let scene = Scene::new();
    scene.write("Dockerfile", "FROM scratch\n");
    for (name, limit) in [("app.toml", "1 MiB"), (".dockerignore", "16 MiB"), ("endless", "16 MiB")] {
        let path = scene.project().join(name);
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        let file = if name == "endless" { name } else { "Dockerfile" };
        let outcome = scene.pbuild().args(["build", "-f", file, "."]).run();
        outcome.expect_code(2).expect_stderr(name).expect_stderr(limit);
        std::fs::remove_file(path).unwrap();
    }
    let outcome = scene.pbuild().args(["build", "--secret", "id=KEY,src=/dev/zero", "."]).run();
    outcome.expect_code(40).expect_stderr("/dev/zero").expect_stderr("500 KiB");
    let outcome = scene.pbuild().args(["build", "--env-file", "/dev/zero", "."]).run();
    outcome.expect_code(40).expect_stderr("/dev/zero").expect_stderr("1 MiB");
}

#[test]
fn a_missing_context_or_dockerfile_is_said_in_dockers_words() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    let outcome = scene.pbuild().args(["build", "."]).run();
    outcome.expect_code(2).expect_stderr("failed to read dockerfile: open").expect_stderr("no such file or directory");
    let outcome = scene.pbuild().args(["build", "nowhere"]).run();
    outcome.expect_code(2).expect_stderr("unable to prepare context").expect_stderr("nowhere");
    scene.write("Dockerfile", "FROM busybox\n");
    let outcome = scene.pbuild().args(["build", "-t", "Bad Name", "."]).run();
    outcome.expect_code(2).expect_stderr("invalid tag").expect_stderr("invalid reference format");
    scene.pbuild().args(["build", "Dockerfile"]).run().expect_code(2).expect_stderr("is not a directory");
}

#[test]
fn an_unknown_flag_is_named_c1() {
    let scene = Scene::new();
    scene.pbuild().args(["build", "--squish", "."]).run().expect_code(2).expect_stderr("--squish");
    scene.pbuild().args(["build", "--secrte", "id=A", "."]).run().expect_code(2).expect_stderr("--secret");
}

/// A `required` mount of the Dockerfile is checked before anything runs (B13).
#[test]
fn a_required_mount_that_nobody_gave_is_named_with_its_line_b13() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    scene.write(
        "Dockerfile",
        "FROM busybox\nRUN exit 3\nRUN --mount=type=secret,id=OTHER,required=true cat /run/secrets/OTHER\n",
    );
    let outcome = scene.pbuild().args(["build", "--secret", "id=TOKEN", "."]).env("TOKEN", token.text()).run();
    outcome.expect_code(40).expect_stderr("OTHER").expect_stderr("Dockerfile:3");
    scene.write("Dockerfile", "FROM busybox\nRUN --mount=type=secret,id=token,required=true true\n");
    let outcome = scene.pbuild().args(["build", "--secret", "id=TOKEN", "."]).env("TOKEN", token.text()).run();
    outcome.expect_code(40).expect_stderr("`TOKEN` was given, and differs in case alone");
}

/// A build whose secrets cannot be searched for proves nothing (S2, S5).
#[test]
fn a_build_with_only_unsearchable_secrets_is_refused_and_with_one_more_it_is_said_s2_s5() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    scene.write("Dockerfile", "FROM busybox\nRUN true\n");
    let build = |more: &[&str]| {
        scene
            .pbuild()
            .args(["build", "--secret", "id=DEBUG", "--secret", "id=MODE"])
            .args(more)
            .arg(".")
            .env("DEBUG", "1")
            .env("MODE", "production")
            .env("TOKEN", token.text())
            .run()
    };
    build(&[]).expect_code(2).expect_stderr("DEBUG").expect_stderr("[env]");
    build(&["--secret", "id=TOKEN"]).expect_code(0).expect_stderr("unprotected").expect_stderr("MODE");
}

/// The engine belongs to other users: its socket exists, but this user may not open it (B1).
#[test]
fn an_engine_without_permission_says_which_group_is_missing_b1() {
    use std::os::unix::process::CommandExt as _;

    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    let tool =
        std::path::PathBuf::from(std::env::var_os("PBUILD_TEST_BINARIES").expect("run scripts/test")).join("pbuild");
    // Another user must be able to run the tool.
    let copy = tempfile::tempdir().expect("a folder");
    let (program, socket) = (copy.path().join("pbuild"), copy.path().join("engine.sock"));
    std::fs::copy(tool, &program).expect("a copy of the tool");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
    let open = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).expect("ours");
    };
    open(copy.path(), 0o755);
    open(&program, 0o755);
    open(&socket, 0o600);
    let output = std::process::Command::new(&program)
        .args(["audit", "--secret", "id=TOKEN", "busybox"])
        .env_clear()
        .env("TOKEN", token.text())
        .env("HOME", copy.path())
        .env("DOCKER_HOST", format!("unix://{}", socket.display()))
        .uid(65_534)
        .gid(65_534)
        .output()
        .expect("the tool runs");
    scene.oracle().check_bytes("stderr", &output.stderr);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(30), "{stderr}");
    assert!(stderr.contains("no permission") && stderr.contains("docker"), "{stderr}");
}
