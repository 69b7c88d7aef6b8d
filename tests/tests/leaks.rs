//! Builds that would put a secret into the image: they are refused, reported, and removed from the engine.

use acceptance::{ImageName, on_every_engine, records};
use ptest::{Engine, Flavour, Outcome, Scene};

on_every_engine!(
    a_leak_is_refused_wherever_it_is_and_however_it_is_written,
    a_file_that_a_later_step_deletes_is_still_a_leak,
    a_leaking_build_leaves_an_older_tag_alone,
);

/// Builds with the token in the environment. The Dockerfile may leak it.
fn build(scene: &Scene, image: &ImageName<'_>, token: &str, more: &[&str]) -> Outcome {
    scene
        .pbuild()
        .args(["build", "--progress", "plain", "-t", image.as_str(), "--secret", "id=TOKEN"])
        .args(more)
        .arg(".")
        .env("TOKEN", token)
        .run()
}

fn a_leak_is_refused_wherever_it_is_and_however_it_is_written(engine: &Engine) {
    let scene = Scene::on(engine);
    let token = scene.oracle().token("TOKEN");
    for (title, step, form, place) in [
        (
            "raw",
            "RUN mkdir -p /etc/app && echo \"url=http://u:$TOKEN@h/\" > /etc/app/conf",
            "as written",
            "/etc/app/conf",
        ),
        ("base64", "RUN printf 'user:%s' $TOKEN | base64 > /auth", "base64", "/auth"),
        ("hex", "RUN printf %s $TOKEN | hexdump -ve '1/1 \"%02x\"' > /hex", "hex", "/hex"),
        ("link", "RUN ln -s \"/srv/$TOKEN\" /link", "as written", "/link"),
        ("name", "RUN mkdir -p /cache && touch \"/cache/$TOKEN\"", "as written", "/cache/"),
    ] {
        scene.write(
            "Dockerfile",
            format!("FROM busybox\nRUN echo {title} > /first\n{step}\nRUN echo {title} > /last\n"),
        );
        let image = ImageName::new(engine, "leak");
        let outcome = build(&scene, &image, token.text(), &[]);
        outcome.expect_code(10);
        outcome.expect_stderr("TOKEN").expect_stderr(form).expect_stderr(place).expect_stderr("Dockerfile:3");
        assert!(!image.exists(), "{title}: the tag exists\n{outcome:?}");
    }
}

fn a_file_that_a_later_step_deletes_is_still_a_leak(engine: &Engine) {
    let scene = Scene::on(engine);
    let token = scene.oracle().token("TOKEN");
    scene.write("Dockerfile", "FROM busybox\nRUN echo \"$TOKEN\" > /root/.netrc\nRUN rm /root/.netrc\n");
    let image = ImageName::new(engine, "deleted");
    let outcome = build(&scene, &image, token.text(), &[]);
    outcome.expect_code(10).expect_stderr("/root/.netrc").expect_stderr("Dockerfile:2").expect_stderr("deleted");
    assert!(!image.exists());
}

fn a_leaking_build_leaves_an_older_tag_alone(engine: &Engine) {
    let scene = Scene::on(engine);
    let token = scene.oracle().token("TOKEN");
    let image = ImageName::new(engine, "older");
    scene.write("Dockerfile", "FROM busybox\nRUN echo one > /version\n");
    build(&scene, &image, token.text(), &[]).expect_code(0);
    scene.write("Dockerfile", "FROM busybox\nRUN echo $TOKEN > /version\n");
    build(&scene, &image, token.text(), &[]).expect_code(10);
    assert_eq!(image.run(&["cat", "/version"]), "one\n", "the tag still names what was clean");
}

/// Nothing of a leaking layer stays in the cache, in whatever way the step is written.
#[test]
fn the_layer_of_a_leak_leaves_the_cache_however_its_step_is_spelled() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    let image = ImageName::new(&engine, "spelled");
    let mark = image.as_str().replace(['/', ':'], "-");
    for (title, step) in [
        ("plain", format!("RUN echo $TOKEN > /plain-{mark}")),
        ("document", format!("RUN <<EOF\necho $TOKEN > /document-{mark}\nEOF")),
        ("exec", format!("RUN [\"/bin/sh\", \"-c\", \"echo $TOKEN > /exec-{mark}\\n\"]")),
    ] {
        scene.write("Dockerfile", format!("FROM busybox\n{step}\n"));
        let outcome = build(&scene, &image, token.text(), &[]);
        outcome.expect_code(10).expect_stderr("1 cache record of this build was removed");
        assert_eq!(records(&engine, &format!("/{title}-{mark}")), Vec::<String>::new(), "{title}");
    }
}

/// A value in an argument, a label, an ENV or the text of a command, none of which a step makes (C2, F14). Nothing
/// runs.
#[test]
fn a_value_in_what_the_user_wrote_is_refused_before_anything_runs_c2_f14() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    // The test writes this value into the Dockerfile on purpose. The oracle checks that the tool's output lacks it.
    let token = scene.oracle().token("TOKEN");
    let image = ImageName::new(&engine, "written");
    for (title, text, says) in [
        ("env", format!("FROM busybox\nENV A={}\nRUN exit 3\n", token.text()), "Dockerfile:2"),
        ("run", format!("FROM busybox\nRUN echo {} && exit 3\n", token.text()), "Dockerfile:2"),
        ("label", format!("FROM busybox\nLABEL a=\"b c\" d={}\nRUN exit 3\n", token.text()), ""),
    ] {
        scene.write_secret("Dockerfile", text);
        let outcome = build(&scene, &image, token.text(), &[]);
        outcome.expect_code(10).expect_stderr("TOKEN").expect_stderr(says);
        assert!(!image.exists(), "{title}");
    }
}

/// A file of the context that contains a value never reaches the engine (B22).
#[test]
fn a_context_file_with_a_value_stops_the_build_before_it_is_sent_b22() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    let image = ImageName::new(&engine, "context");
    scene.write_secret("app/.env", format!("TOKEN={}\n", token.text()));
    scene.write("app/main.py", "print('hello')\n");
    scene.write("Dockerfile", "FROM busybox\nCOPY app /srv/app\n");
    let outcome = build(&scene, &image, token.text(), &[]);
    outcome.expect_code(10).expect_stderr("app/.env").expect_stderr("TOKEN").expect_stderr(".dockerignore");
    assert!(!image.exists());
    scene.write(".dockerignore", "app/.env\n");
    build(&scene, &image, token.text(), &[]).expect_code(0);
}

/// Frameworks ship such env files, and the app's own source contains the same words. Values that look public are not
/// treated as secrets, so they are allowed in the context and in a layer.
#[test]
fn what_looks_public_in_an_env_file_is_no_secret_and_told_in_one_line() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    for (framework, names, source) in [
        (
            "laravel",
            "APP_NAME=Laravel\nAPP_ENV=local\nAPP_DEBUG=true\nAPP_URL=http://localhost\nLOG_CHANNEL=stack\nDB_HOST=127.0.0.1\n\
             DB_PORT=3306\nDB_DATABASE=laravel\nREDIS_CLIENT=phpredis\nMAIL_FROM_ADDRESS=\"hello@example.com\"\n\
             VITE_APP_NAME=\"${APP_NAME}\"\nAPP_KEY=base64:",
            "'name' => 'Laravel', 'client' => 'phpredis', 'log' => 'stack', 'db' => 'laravel', 'to' => 'hello@example.com'",
        ),
        (
            "rails",
            "RAILS_ENV=production\nRAILS_LOG_TO_STDOUT=enabled\nRAILS_MAX_THREADS=5\nREDIS_URL=redis://cache:6379/0\nSECRET_KEY_BASE=",
            "ENV.fetch('REDIS_URL', 'redis://cache:6379/0') # production enabled",
        ),
        (
            "django",
            "DJANGO_SETTINGS_MODULE=shop.settings.production\nALLOWED_HOSTS=shop.example,www.shop.example\n\
             EMAIL_BACKEND=django.core.mail.backends.smtp.EmailBackend\nDJANGO_SECRET_KEY=",
            "shop.settings.production django.core.mail.backends.smtp.EmailBackend shop.example,www.shop.example",
        ),
        (
            "next",
            "NEXT_PUBLIC_API_URL=https://api.shop.example/v1\nNEXT_TELEMETRY_DISABLED=1\nNEXTAUTH_URL=http://localhost:3000\n\
             NEXTAUTH_SECRET=",
            "https://api.shop.example/v1 http://localhost:3000",
        ),
    ] {
        scene.write_secret(".env", format!("{names}{}\n", token.text()));
        scene.write("source", source);
        scene.write("Dockerfile", "FROM busybox\nCOPY source /srv/\nRUN env > /dev/null\n");
        scene.write(".dockerignore", ".env\n");
        let image = ImageName::new(&engine, framework);
        let run = |words: &[&str]| scene.pbuild().args(words).args(["--env-file", ".env"]).run();
        let built = run(&["build", "-t", image.as_str(), "."]);
        built
            .expect_code(0)
            .expect_stderr("public and are neither masked nor searched for")
            .expect_stderr("pbuild new --public");
        // Values that the dialects read differently have a warning of their own.
        let is_counted = |line: &&str| line.starts_with("warning:") && !line.contains("docker run would keep quotes");
        let warnings = built.stderr().lines().filter(is_counted).count();
        assert_eq!(warnings, 1, "{framework}: {built:?}");
        run(&["audit", image.as_str()]).expect_code(0).expect_stdout("is not searched for: looks public");
        // The one value that is a secret is found.
        scene.write("Dockerfile", "FROM busybox\nCOPY source /srv/\nRUN env > /srv/environment\n");
        run(&["build", "-t", image.as_str(), "."]).expect_code(10).expect_stderr("/srv/environment");
    }
}

#[test]
fn a_context_leak_that_is_allowed_is_still_refused_in_the_layer() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    let image = ImageName::new(&engine, "allowed");
    scene.write_secret("settings.ini", format!("[a]\nb = {}\n", token.text()));
    scene.write("Dockerfile", "FROM busybox\nCOPY settings.ini /srv/\n");
    let outcome = build(&scene, &image, token.text(), &["--allow-context-leak", "TOKEN"]);
    outcome.expect_code(10).expect_stderr("/srv/settings.ini").expect_stderr("Dockerfile:2");
    assert!(!image.exists());
}

/// A value is found in a layer that an earlier build cached before the value was declared as a secret.
#[test]
fn a_run_secret_that_the_build_never_got_is_searched_for_too() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("STRIPE_KEY");
    let image = ImageName::new(&engine, "run-secret");
    scene.write("app.toml", "[secrets]\nSTRIPE_KEY = { scope = \"run\" }\n");
    scene.trust();
    scene.write_secret("settings.ini", token.text());
    scene.write("Dockerfile", "FROM busybox\nCOPY settings.ini /srv/\n");
    let outcome = scene
        .pbuild()
        .args(["build", "-t", image.as_str(), "--allow-context-leak", "STRIPE_KEY", "."])
        .env("STRIPE_KEY", token.text())
        .run();
    outcome.expect_code(10).expect_stderr("STRIPE_KEY");
    assert!(!image.exists());
}

/// An unknown frontend image is foreign code, so it does not get a graph with secrets. A known old one needs no
/// `env=`, because nothing is written into the Dockerfile (F9).
#[test]
fn an_unknown_frontend_gets_no_secret_unless_it_is_allowed_by_name() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    let image = ImageName::new(&engine, "frontend");
    scene.write("Dockerfile", "# syntax=example/frontend:1\nFROM busybox\nRUN true\n");
    let outcome = build(&scene, &image, token.text(), &[]);
    outcome.expect_code(2).expect_stderr("example/frontend:1").expect_stderr("--allow-frontend");
}
