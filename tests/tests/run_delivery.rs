//! Delivery of values into images of every kind, and what others can see of the values (R13, R16). Also the race of
//! migrations.

use acceptance::service::POSTGRES;
use acceptance::{App, ImageName};
use ptest::{Engine, Flavour};

/// Makes an image with only one static program: no shell, no users, no libraries.
fn from_scratch<'engine>(app: &App<'engine>) -> ImageName<'engine> {
    let engine = app.engine;
    let (image, container) = (ImageName::new(engine, "scratch"), format!("{}-scratch", app.project));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let program = folder.path().join("busybox");
    engine.docker(&["create", "--name", &container, "busybox", "true"]);
    engine.docker(&["cp", &format!("{container}:/bin/busybox"), &program.display().to_string()]);
    engine.docker(&["rm", &container]);
    let archive = folder.path().join("image.tar");
    let packed = std::process::Command::new("tar")
        .args(["--create", "--file"])
        .arg(&archive)
        .arg("--directory")
        .arg(folder.path())
        .arg("busybox")
        .status()
        .expect("tar");
    assert!(packed.success());
    let changes = ["--change", "ENTRYPOINT [\"/busybox\"]", "--change", "CMD [\"sleep\", \"1000\"]"];
    let signal = ["--change", "STOPSIGNAL SIGKILL"];
    let archive = archive.display().to_string();
    engine.docker(&[&["import"][..], &changes, &signal, &[archive.as_str(), image.as_str()]].concat());
    image
}

#[test]
fn an_image_from_scratch_gets_its_values_with_nothing_allowed() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "scratch");
    let image = from_scratch(&app);
    let (key, large) = (app.scene.oracle().token("APP_KEY"), app.scene.oracle().token("LARGE"));
    // A value of the greatest length that a variable may have, with a canary at its end.
    let mut value = vec![b'x'; 130_000 - large.value().len()];
    value.extend_from_slice(large.value());
    app.scene.write_secret("values", [b"APP_KEY=", key.value(), b"\n"].concat());
    app.scene.write_secret("large", &value);
    let large = ["--secret", "id=LARGE,src=large"];
    let hardened = ["--user", "4711", "--read-only", "--cap-drop", "ALL"];
    for more in [&[][..], &["--init"]] {
        let words = ["start", "--project", &app.project, "--env-file", "values"];
        app.prun(&[&words[..], &large, &hardened, more, &[image.as_str()]].concat()).run().expect_code(0);
        for (name, expected) in [("APP_KEY", key.value()), ("LARGE", &value)] {
            let script =
                ["/busybox", "sh", "-c", &format!("printf %s \"${name}\" | /busybox sha256sum")].map(str::to_owned);
            let words: Vec<&str> = ["exec", "--project", &app.project, "--"]
                .into_iter()
                .chain(script.iter().map(String::as_str))
                .collect();
            app.prun(&words).run().expect_code(0).expect_stdout(&App::digest(expected));
        }
        let others = ["exec", "--project", &app.project, "--user", "4712", "--", "/busybox", "true"];
        app.prun(&others).run().expect_code(125).expect_stderr("may not read");
        app.check_what_the_engine_tells();
    }
    let first = ["exec", "--project", &app.project, "--", "/busybox", "cat", "/proc/1/comm"];
    app.prun(&first).run().expect_code(0).expect_stdout("docker-init");
    app.prun(&["stop", "--project", &app.project]).run().expect_code(0);
    // The value is longer than the kernel accepts, which is reported before anything starts.
    app.scene.write_secret("large", [b'x'; 131_080]);
    let words = ["start", "--project", &app.project, "--secret", "id=LARGE,src=large", image.as_str()];
    let outcome = app.prun(&words).run();
    assert!(outcome.code() != 0 && outcome.stderr().contains("LARGE"), "{outcome:?}");
    assert!(app.instances().is_empty());
}

#[test]
fn the_app_is_process_one_and_handles_its_own_signals() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "signals");
    let key = app.scene.oracle().token("APP_KEY");
    app.scene.write_secret("values", [b"APP_KEY=", key.value(), b"\n"].concat());
    let volume = format!("{}_seen:/seen", app.project);
    let script = "trap 'echo handled >/seen/signal; exit 7' TERM; while :; do sleep 0.1; done";
    let words =
        ["start", "--project", &app.project, "--env-file", "values", "-u", "0", "-v", &volume, "--restart", "no"];
    app.prun(&[&words[..], &[app.image.as_str(), "sh", "-c", script]].concat()).run().expect_code(0);
    let container = format!("{}.1.1", app.project);
    engine.docker(&["stop", "--time", "60", &container]);
    let code = engine.docker(&["inspect", "--format", "{{.State.ExitCode}}", &container]);
    assert_eq!(String::from_utf8_lossy(&code).trim(), "7", "the handler's own code, not that of a kill");
    let seen = engine.docker(&["run", "--rm", "--volume", &volume, "busybox", "cat", "/seen/signal"]);
    assert_eq!(seen, b"handled\n");
    engine.docker(&["rm", &container]);
    engine.docker(&["volume", "rm", &format!("{}_seen", app.project)]);
}

#[test]
fn files_are_the_apps_own_and_no_environment_holds_a_value_r16() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "files");
    let key = app.scene.oracle().token("APP_KEY");
    app.scene.write_secret("values", [b"APP_KEY=", key.value(), b"\n"].concat());
    app.manifest("[run]\nports = [\"@PORT@:8080\"]\nhealth = { http = \"/healthz\" }\ndeliver = \"files\"\n");
    app.prun(&["start", "--env-file", "values"]).run().expect_code(0);
    let container = format!("{}.1.1", app.project);
    app.scene
        .oracle()
        .check_bytes("the app's environment", &engine.docker(&["exec", &container, "cat", "/proc/1/environ"]));
    let script = "stat -c '%a %u' \"$APP_KEY_FILE\"; sha256sum < \"$APP_KEY_FILE\"";
    let seen = app.prun(&["exec", "--", "sh", "-c", script]).run();
    seen.expect_code(0).expect_stdout("400 1000\n").expect_stdout(&App::digest(key.value()));
    // The list shows the variable that the app has.
    let listed = app.prun(&["injected"]).run();
    listed.expect_code(0).expect_stdout("APP_KEY_FILE").expect_stdout("/run/prun/files/APP_KEY  (a file of ");
    let revealed = app.prun(&["injected", "--reveal", "APP_KEY_FILE"]).may_show_values().run();
    assert!(revealed.expect_code(0).stdout_bytes().starts_with(key.value()), "the file's content");
    let other = engine.try_docker(&["exec", "--user", "4711", &container, "cat", "/run/prun/files/APP_KEY"]);
    assert!(!other.status.success() && other.stdout.is_empty());
    app.check_what_the_engine_tells();
}

#[test]
fn eight_instances_that_migrate_at_the_same_time_take_turns() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "migrate");
    let image = POSTGRES.busy_app(&app);
    let migrate = "PGPASSWORD=$DB_PASSWORD psql -X -v ON_ERROR_STOP=1 -h $DB_HOST -U $DB_USERNAME -d $DB_DATABASE \
        -c \\\"create table if not exists round_$(cat /attempts/round 2>/dev/null || echo 1) (id serial primary key)\\\"";
    let manifest = format!(
        "name = \"{}\"\nimage = \"{}\"\n{}[[init]]\nname = \"migrate\"\ncommand = [\"bash\", \"-c\", \"{migrate}\"]\n\
         [run]\nreplicas = 8\nvolumes = [\"attempts:/attempts\"]\nhealth = {{ command = [\"true\"] }}\n",
        app.project,
        image.as_str(),
        POSTGRES.table(),
    );
    app.scene.write("app.toml", manifest);
    app.start().expect_stderr("healthy   8 of 8 instances");
    // All instances restart at the same time and migrate, with a table that none of them has made before.
    let volume = format!("{}_attempts:/attempts", app.project);
    engine.docker(&["run", "--rm", "--volume", &volume, "busybox", "sh", "-c", "echo 2 >/attempts/round"]);
    let containers: Vec<String> =
        app.instances().iter().map(|instance| format!("{}.{instance}", app.project)).collect();
    assert_eq!(containers.len(), 8);
    std::thread::scope(|scope| {
        for container in &containers {
            let engine = &engine;
            scope.spawn(move || engine.docker(&["restart", container]));
        }
    });
    let logs = |container: &String| {
        let output = engine.try_docker(&["logs", container]);
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    let finished = |container: &String| logs(container).matches("init migrate finished").count() == 2;
    assert!(app.becomes(|| containers.iter().all(finished)), "{}", logs(&containers[0]));
    for container in &containers {
        assert!(!logs(container).contains("ERROR") && !logs(container).contains("failed"), "{}", logs(container));
    }
}

#[test]
fn logs_are_masked_across_the_borders_of_what_the_engine_sends() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "borders");
    let key = app.scene.oracle().token("APP_KEY");
    app.scene.write_secret("values", [b"APP_KEY=", key.value(), b"\n"].concat());
    // The app prints its value one character at a time, without line ends between the characters.
    let script = "i=0; while [ $i -lt ${#APP_KEY} ]; do printf %s \"$(printf %s \"$APP_KEY\" | cut -c$((i + 1)))\"; i=$((i + 1)); done; echo; echo told; sleep 1000";
    let words = ["start", "--project", &app.project, "--env-file", "values", app.image.as_str(), "sh", "-c", script];
    app.prun(&words).run().expect_code(0);
    let mut following = app.prun(&["logs", "--follow", "--project", &app.project]).spawn();
    following.wait_for("told");
    following.interrupt();
    assert!(following.finish().stdout().contains("***APP_KEY***"));
    let logs = app.prun(&["logs", "--project", &app.project]).run();
    logs.expect_code(0).expect_stdout("***APP_KEY***\ntold\n");
    let exec = ["exec", "--project", &app.project, "--", "sh", "-c", &script.replace("; sleep 1000", "")];
    app.prun(&exec).run().expect_code(0).expect_stdout("***APP_KEY***\ntold\n");
}
