//! docker run's flags and its foreground mode, the commands `restart`, `init` and `resume`, and the form of variables
//! (R8, R13, C19).

use acceptance::App;
use acceptance::service::VALKEY;
use ptest::{Engine, Flavour};

const RUN: &str = "[run]\nports = [\"@PORT@:8080\"]\nhealth = { http = \"/healthz\" }\n";

#[test]
fn dockers_flags_keep_their_meaning_and_a_secret_is_refused_as_an_argument_c19() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "flags");
    let key = app.scene.oracle().token("APP_KEY");
    app.scene.write_secret("values", [b"APP_KEY=", key.value(), b"\n"].concat());
    // A volume of the engine, which the flag mounts by its name.
    let volume = format!("{}-data", app.project);
    let mount = format!("{volume}:/data:ro");
    engine.docker(&[
        "run",
        "--rm",
        "--volume",
        &format!("{volume}:/data"),
        "busybox",
        "sh",
        "-c",
        "echo from the volume >/data/file",
    ]);
    let network = format!("{}-other", app.project);
    engine.docker(&["network", "create", &network]);
    let words = [
        "start",
        "-d",
        "--name",
        &app.project,
        "--env-file",
        "values",
        "-e",
        "MODE=quick",
        "-w",
        "/www",
        "-u",
        "0:0",
        "--restart",
        "on-failure:3",
        "--network",
        &network,
        "-m",
        "64m",
        "--cpus",
        "1.5",
        "-l",
        "team=shop",
        "--read-only",
        "--cap-drop",
        "ALL",
        "--init",
        "-v",
        &mount,
        "-v",
        "/scratch",
        "--entrypoint",
        "httpd",
        app.image.as_str(),
        "-f",
        "-p",
        "8080",
        "-h",
        "/www",
    ];
    app.prun(&words).run().expect_code(0);
    let inspect = |format: &str| {
        let container = format!("{}.1.1", app.project);
        String::from_utf8_lossy(&engine.docker(&["inspect", "--format", format, &container])).trim().to_owned()
    };
    for (format, expected) in [
        ("{{.Config.WorkingDir}} {{.Config.User}}", "/www 0:0"),
        ("{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}", "on-failure 3"),
        ("{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}}", "67108864 1500000000"),
        ("{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} {{.HostConfig.Init}}", "true [ALL] true"),
        ("{{index .Config.Labels \"team\"}}", "shop"),
    ] {
        assert_eq!(inspect(format), expected, "{format}");
    }
    assert!(inspect("{{json .NetworkSettings.Networks}}").contains(&network));
    assert!(inspect("{{.Config.Env}}").contains("MODE=quick"));
    let exec = [
        "exec",
        "--project",
        &app.project,
        "--",
        "sh",
        "-c",
        "cat /data/file; pwd; grep -q ' /scratch ' /proc/mounts && echo nameless; printf %s \"$APP_KEY\" | sha256sum",
    ];
    let seen = app.prun(&exec).run();
    seen.expect_code(0).expect_stdout("from the volume\n/www\nnameless\n").expect_stdout(&App::digest(key.value()));
    app.check_what_the_engine_tells();
    let nameless = "{{range .Mounts}}{{if eq .Destination \"/scratch\"}}{{.Name}}{{end}}{{end}}";
    let nameless = inspect(nameless);
    assert!(engine.try_docker(&["volume", "inspect", &nameless]).status.success());

    let refused = |extra: &[&str], text: &str| {
        let head = ["start", "--project", &app.project, "--env-file", "values", app.image.as_str()];
        let words = [&head[..1], extra, &head[1..]].concat();
        app.prun(&words).run().expect_code(2).expect_stderr(text);
    };
    refused(&["-e", "MODE"], "--secret id=MODE");
    refused(&["--network", "host"], "takes the project's network away");
    refused(&["--restart", "sometimes"], "no such policy");
    refused(&["--memory", "much"], "not a size");
    refused(&["-l", "io.prun.owner=me"], "not a label of yours");
    app.manifest("[secrets]\nTOKEN = { scope = \"run\" }\n");
    app.prun(&["start", "-e", "TOKEN=anything"]).run().expect_code(2).expect_stderr("visible in ps and docker inspect");
    assert_eq!(app.instances(), ["1.1"], "nothing of this changed what runs");
    app.prun(&["stop", "--project", &app.project]).run().expect_code(0);
    assert!(!engine.try_docker(&["volume", "inspect", &nameless]).status.success(), "it goes with its container");
    engine.docker(&["network", "rm", &network]);
    engine.docker(&["volume", "rm", &volume]);
}

#[test]
fn a_foreground_run_has_services_and_values_and_passes_its_exit_code() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "run");
    // The app's port is in use, as it is while the app runs.
    let publish = format!("{}:80", app.port);
    let squatter = format!("{}-squatter", app.project);
    engine.docker(&["run", "--detach", "--name", &squatter, "--publish", &publish, "busybox", "sleep", "1000"]);
    app.manifest(&(VALKEY.table() + RUN + "[[init]]\nname = \"never\"\ncommand = [\"false\"]\n"));
    let image = app.image.as_str();
    let outcome = app
        .prun(&[
            "run",
            "-i",
            "--rm",
            image,
            "sh",
            "-c",
            "cat; echo to-stderr >&2; test -n \"$REDIS_PASSWORD\" && exit 7",
        ])
        .stdin("typed\n")
        .run();
    outcome.expect_code(7).expect_stdout("typed\n").expect_stderr("to-stderr\n");
    app.prun(&["run", image, "sh", "-c", "echo $REDIS_HOST"]).run().expect_code(0).expect_stdout("cache\n");
    // If the command prints a value, the value is masked.
    app.prun(&["run", image, "sh", "-c", "echo $REDIS_PASSWORD"])
        .run()
        .expect_code(0)
        .expect_stdout("***REDIS_PASSWORD***");
    app.prun(&["run", image, "no-such-program"]).run().expect_code(127).expect_stderr("not found");
    app.prun(&["run", image, "/www"]).run().expect_code(126);
    app.prun(&["run", "pbuild-test/no-such-image:1"])
        .run()
        .expect_code(125)
        .expect_stderr("is not in the engine")
        .expect_stderr("exit code 125");
    app.prun(&["run", "-d", image]).run().expect_code(125).expect_stderr("prun start");
    // On a terminal, the command has a terminal too, which gets the right size soon.
    let script = "tty; for i in 1 2 3 4 5 6 7 8; do sleep 0.5; stty size; done";
    let seen = app.prun(&["run", "-it", "--rm", image, "sh", "-c", script]).on_terminal(101, 33).run();
    seen.expect_code(0);
    assert!(seen.stdout().contains("/dev/pts/0") && seen.stdout().contains("33 101"), "{seen:?}");
    let left: Vec<String> = app.containers().into_iter().filter(|name| name.contains(".run.")).collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(app.instances().is_empty(), "a run starts no instance");
    engine.docker(&["rm", "--force", &squatter]);
}

/// The values of a start's flags are in the sealed state, so a later `run` gets them, as `exec` does.
#[test]
fn a_command_of_its_own_has_what_the_app_was_started_with() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "flagged");
    let token = app.scene.oracle().token("TOKEN");
    app.scene.write_secret("token", token.text());
    app.manifest(&(VALKEY.table() + RUN));
    let image = app.image.as_str();
    app.prun(&["start", "--secret", "id=TOKEN,src=token", "--env", "ZONE=eu"]).run().expect_code(0);
    // The manifest may have changed before a later command.
    app.manifest(RUN);
    let script = "test -n \"$TOKEN\" && test -n \"$REDIS_PASSWORD\" && echo $ZONE $TOKEN";
    let run = |more: &[&str]| app.prun(&[&["run"], more, &[image, "sh", "-c", script]].concat()).run();
    run(&[]).expect_code(0).expect_stdout("eu ***TOKEN***");
    // A flag of the command wins over the value of the start.
    run(&["--env", "ZONE=us"]).expect_code(0).expect_stdout("us ***TOKEN***");
    // Both commands refuse a terminal if standard input is not one.
    for command in [&["exec", "-it", "--", "true"][..], &["run", "-it", image, "true"]] {
        app.prun(command).run().expect_code(125).expect_stderr("--tty: standard input is not a terminal");
    }
}

#[test]
fn a_foreground_run_that_is_interrupted_ends_and_one_that_is_killed_is_swept_r17() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "sweep");
    app.manifest(RUN);
    let words = ["run", app.image.as_str(), "sh", "-c", "trap 'exit 9' INT; echo ready; while :; do sleep 0.1; done"];
    let mut running = app.prun(&words).spawn();
    running.wait_for("ready");
    running.interrupt();
    running.finish().expect_code(9);
    let mut running = app.prun(&["run", app.image.as_str(), "sleep", "4"]).spawn();
    let runs = || {
        let filter = format!("label=io.prun.project={}", app.project);
        let output = engine.docker(&["ps", "--format", "{{.Names}}", "--filter", &filter]);
        String::from_utf8_lossy(&output).lines().any(|name| name.contains(".run.") && !name.ends_with("values"))
    };
    // If prun were killed earlier, the engine might start the command after that.
    assert!(app.becomes(runs), "the command runs");
    running.kill();
    assert!(running.finish().was_killed());
    assert!(app.becomes(|| !runs()), "the command ends");
    app.start();
    assert!(app.containers().iter().all(|name| !name.contains(".run.")), "{:?}", app.containers());
}

/// `| head` closes our output: the command's streams are closed, and a container of its own goes.
#[test]
fn a_reader_that_goes_away_ends_exec_and_run_c14() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "unread");
    app.manifest("");
    app.start();
    let binaries = std::env::var("PBUILD_TEST_BINARIES").expect("PBUILD_TEST_BINARIES is not set: run scripts/test");
    for command in ["exec --", "run"] {
        let words = format!("timeout 60 {binaries}/prun {command} sh -c yes | head -n 1; echo ${{PIPESTATUS[0]}}");
        let words = words.replace("run sh", &format!("run {} sh", app.image.as_str()));
        let outcome = app.scene.tool("/bin/bash").args(["-c", &words]).run();
        outcome.expect_code(0).expect_stdout("y\n141\n");
    }
    assert!(app.becomes(|| app.containers().iter().all(|name| !name.contains(".run."))), "{:?}", app.containers());
}

#[test]
fn restart_replaces_instances_with_what_they_have_and_init_runs_alone() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "again");
    let key = app.scene.oracle().token("APP_KEY");
    app.scene.write_secret("values", [b"APP_KEY=", key.value(), b"\n"].concat());
    let init = "[[init]]\nname = \"one\"\ncommand = [\"sh\", \"-c\", \"echo first $APP_KEY\"]\n\
        [[init]]\nname = \"two\"\ncommand = [\"sh\", \"-c\", \"echo second; exit 4\"]\ntimeout = \"5s\"\n";
    app.manifest(&(VALKEY.table() + RUN));
    app.prun(&["start", "--env-file", "values"]).run().expect_code(0);
    let password = app.digest_of("REDIS_PASSWORD");
    // A restart reads neither the file with the secret nor the manifest's secrets again.
    std::fs::remove_file(app.scene.project().join("values")).expect("the file is there");
    app.prun(&["restart"]).run().expect_code(0).expect_stderr("retired   1");
    assert_eq!(app.instances(), ["2.1"]);
    assert_eq!(app.digest_of("APP_KEY"), App::digest(key.value()));
    assert_eq!(app.digest_of("REDIS_PASSWORD"), password);

    app.prun(&["init"]).run().expect_code(2).expect_stderr("has no init commands");
    app.scene.write_secret("values", [b"APP_KEY=", key.value(), b"\n"].concat());
    app.manifest(&(VALKEY.table() + &init.replace("exit 4", "exit 0") + RUN));
    app.prun(&["start", "--env-file", "values"]).run().expect_code(0);
    let alone = app.prun(&["init", "one"]).run();
    alone.expect_code(0).expect_stdout("[one] first ***APP_KEY***").expect_stderr("init one finished");
    assert!(!alone.stdout().contains("second"));
    app.prun(&["init", "three"]).run().expect_code(2).expect_stderr("there are one, two");
    // An init command that fails leaves the instances as they are, and prun returns an error.
    app.manifest(&(VALKEY.table() + init + RUN));
    app.prun(&["start", "--env-file", "values"]).run().expect_code(1).expect_stderr("init command `two` failed");
    assert!(app.get("/healthz").ends_with("ok\n"));
}

#[test]
fn resume_brings_back_what_an_engines_restart_took_r8() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "resume");
    let key = app.scene.oracle().token("APP_KEY");
    app.scene.write_secret("values", [b"APP_KEY=", key.value(), b"\n"].concat());
    app.manifest(&(VALKEY.table() + RUN));
    app.prun(&["start", "--env-file", "values"]).run().expect_code(0);
    let password = app.digest_of("REDIS_PASSWORD");
    std::fs::remove_file(app.scene.project().join("values")).expect("the file is there");

    // A restart of the engine ends all containers at once, so the values in memory are lost.
    let containers = app.containers();
    let all: Vec<&str> = containers.iter().map(String::as_str).collect();
    engine.docker(&[&["kill"][..], &all].concat());
    engine.docker(&[&["start"][..], &all].concat());

    // Runs the command of the systemd unit with the environment of the unit.
    let unit = app.prun(&["resume", "--print-unit"]).run();
    unit.expect_code(0).expect_stdout("WantedBy=docker.service").expect_stdout("PartOf=docker.service");
    let line = unit.stdout();
    let command = line.lines().find_map(|line| line.strip_prefix("ExecStart=")).expect("a command").to_owned();
    let (program, words) = command.split_once(' ').expect("a program and its words");
    app.scene.tool(program).args(words.split(' ')).run().expect_code(0);
    assert!(app.becomes(|| app.get("/healthz").ends_with("ok\n")), "the app is back without anybody");
    assert_eq!(app.digest_of("APP_KEY"), App::digest(key.value()));
    assert_eq!(app.digest_of("REDIS_PASSWORD"), password);

    // A stopped project stays stopped.
    app.prun(&["stop"]).run().expect_code(0);
    app.prun(&["resume"]).run().expect_code(0);
    assert!(app.containers().is_empty());
}

#[test]
fn variables_are_printed_for_programs_too_and_only_what_is_asked_for_is_revealed() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "formats");
    app.manifest(&("[env]\nMODE = \"quick\"\n".to_owned() + &VALKEY.table() + RUN));
    app.start();
    app.register("REDIS_PASSWORD");
    let json = app.prun(&["injected", "--format", "json"]).run();
    json.expect_code(0);
    let json = json.json();
    assert_eq!(json["version"], 1);
    let variables = json["variables"].as_array().expect("a list");
    let find = |name: &str| variables.iter().find(|variable| variable["name"] == name).expect("a variable");
    assert_eq!(find("REDIS_HOST")["value"], "cache");
    assert_eq!((&find("MODE")["value"], &find("MODE")["from"]), (&"quick".into(), &"configuration".into()));
    assert_eq!(find("REDIS_PASSWORD")["length"], 32);
    assert!(find("REDIS_PASSWORD").get("value").is_none());
    let lines = app.prun(&["injected", "--format", "env"]).run();
    lines.expect_code(0).expect_stdout("REDIS_HOST=cache\n").expect_stdout("# REDIS_PASSWORD: 32 characters");

    let plan = app.prun(&["start", "--dry-run"]).run();
    plan.expect_code(0).expect_stderr("would stay as they are").expect_stderr("is there");
}
