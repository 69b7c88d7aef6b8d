//! Builds that install from private servers, with the real npm, Composer, pip, git and curl. The server refuses
//! requests without the token, the build is refused if a tool keeps the token, and it is clean after following the
//! advice. The sweep after all tests searches the engine's data for each token, independently of our own search.

use std::process::Command;

use acceptance::{ImageName, Private, build};
use ptest::{Canary, Engine, Flavour, Scene};

/// An installation in a way that leaks, and in the way that the finding advises.
struct Install<'a> {
    /// Lines before the installation, for example to copy files of the context.
    before: &'a str,
    leaking: &'a str,
    /// The places that contain the value after the leak.
    places: &'a [&'a str],
    /// The advice in the finding.
    says: &'a str,
    mended: &'a str,
    /// The tool's message without the token.
    refused: &'a str,
    /// A command that shows the installed package, with its output.
    shows: (&'a [&'a str], &'a str),
}

/// Tries both ways of an installation. The scene's context must already contain the tool's files.
fn try_install(engine: &Engine, scene: &Scene, token: &Canary, install: &Install<'_>) {
    let server = Private::start(engine, token);
    let image = ImageName::new(engine, "installs");
    let flag = server.flag();
    let write = |step: &str| {
        let text = format!("FROM pbuild/tools:1\nWORKDIR /srv\n{}\nRUN : {}\n{step}\n", install.before, image.as_str());
        scene.write("Dockerfile", text);
    };

    write(install.leaking);
    let leaking = build(scene, &image, token, &[&flag]).run();
    leaking.expect_code(10).expect_stderr(install.says);
    for place in install.places {
        leaking.expect_stderr(&format!("TOKEN  in {place}, "));
    }
    assert!(!image.exists());

    write(install.mended);
    let stranger = scene.oracle().token("OTHER");
    build(scene, &image, &stranger, &[&flag]).run().expect_code(1).expect_stderr(install.refused);
    assert!(!image.exists());

    build(scene, &image, token, &[&flag]).run().expect_code(0).expect_stderr("clean");
    let (command, prints) = install.shows;
    assert_eq!(image.run(command), prints);
    scene.oracle().check_bytes("inspect and history", &image.told_by_the_engine());
}

#[test]
fn npm_installs_a_private_package() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    scene.write("package.json", r#"{"name": "app", "dependencies": {"@private/greeting": "1.0.0"}}"#);
    scene.write(".npmrc", "@private:registry=http://private:8080/npm/\n");
    try_install(
        &engine,
        &scene,
        &token,
        &Install {
            before: "COPY package.json .npmrc ./",
            leaking: "RUN echo \"//private:8080/npm/:_authToken=$TOKEN\" >> .npmrc && npm install --no-audit --no-fund",
            places: &["/srv/.npmrc"],
            says: "write ${TOKEN} into .npmrc",
            mended: "RUN echo '//private:8080/npm/:_authToken=${TOKEN}' >> .npmrc && npm install --no-audit --no-fund",
            refused: "E401",
            shows: (&["node", "-p", "require('@private/greeting')"], "hello from npm\n"),
        },
    );
}

#[test]
fn composer_installs_a_private_package() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    scene.write(
        "composer.json",
        r#"{
            "repositories": [{"type": "composer", "url": "http://private:8080/composer"}, {"packagist.org": false}],
            "require": {"private/greeting": "1.0.0"},
            "config": {"secure-http": false}
        }"#,
    );
    let program = "require 'vendor/autoload.php'; echo greeting();";
    try_install(
        &engine,
        &scene,
        &token,
        &Install {
            before: "ENV COMPOSER_ALLOW_SUPERUSER=1\nCOPY composer.json ./",
            leaking: "RUN composer config --global http-basic.private:8080 build $TOKEN\nRUN composer install",
            places: &["/root/.composer/auth.json"],
            says: "COMPOSER_AUTH=…$TOKEN… composer install",
            mended: "RUN COMPOSER_AUTH=\"{\\\"http-basic\\\": {\\\"private:8080\\\": {\\\"username\\\": \\\"build\\\", \
                     \\\"password\\\": \\\"$TOKEN\\\"}}}\" composer install",
            refused: "HTTP 401",
            shows: (&["php", "-r", program], "hello from composer"),
        },
    );
}

#[test]
fn pip_installs_a_private_package() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    let install = "pip install --no-input --break-system-packages --trusted-host private private-greeting";
    try_install(
        &engine,
        &scene,
        &token,
        &Install {
            before: "",
            leaking: &format!(
                "RUN pip config set global.index-url http://build:$TOKEN@private:8080/simple && {install}"
            ),
            places: &["/root/.config/pip/pip.conf"],
            says: "PIP_INDEX_URL=…$TOKEN… pip install …, with no pip.conf",
            mended: &format!("RUN PIP_INDEX_URL=http://build:$TOKEN@private:8080/simple {install}"),
            refused: "No matching distribution",
            shows: (&["python3", "-c", "import private_greeting; print(private_greeting.TEXT)"], "hello from pip\n"),
        },
    );
}

#[test]
fn git_clones_a_private_repository_and_its_submodule() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    try_install(
        &engine,
        &scene,
        &token,
        &Install {
            before: "",
            leaking: "RUN git clone --recurse-submodules http://build:$TOKEN@private:8080/git/app.git",
            places: &["/srv/app/.git/config", "/srv/app/.git/modules/lib/config"],
            says: "git -c http.extraHeader=…$TOKEN… clone …",
            mended: "RUN git -c \"http.extraHeader=Authorization: Bearer $TOKEN\" clone --recurse-submodules \
                     http://private:8080/git/app.git",
            refused: "could not read Username",
            shows: (&["cat", "app/lib/greeting.txt"], "hello from git\n"),
        },
    );
}

#[test]
fn git_updates_a_private_submodule_that_gitmodules_names() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    let add = "git submodule --quiet add";
    try_install(
        &engine,
        &scene,
        &token,
        &Install {
            before: "RUN git init --quiet",
            leaking: &format!("RUN {add} http://build:$TOKEN@private:8080/git/lib.git && rm -r .git lib/.git"),
            places: &["/srv/.gitmodules"],
            says: "git -c http.extraHeader=…$TOKEN… submodule update …",
            mended: &format!(
                "RUN git -c \"http.extraHeader=Authorization: Bearer $TOKEN\" {} http://private:8080/git/lib.git && \
                 rm -r lib && git -c \"http.extraHeader=Authorization: Bearer $TOKEN\" submodule update --init",
                &add[4..]
            ),
            refused: "could not read Username",
            shows: (&["cat", "lib/greeting.txt"], "hello from git\n"),
        },
    );
}

#[test]
fn curl_downloads_from_a_private_api_that_echoes_what_it_was_asked() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    let ask = "curl --silent --show-error --fail http://private:8080/api/report";
    let part = "python3 -c 'import json; print(json.load(open(\"/tmp/answer\"))[\"report\"])' > report";
    try_install(
        &engine,
        &scene,
        &token,
        &Install {
            before: "",
            leaking: &format!("RUN {ask} -H \"Authorization: Bearer $TOKEN\" -o /tmp/answer\nRUN {part}"),
            places: &["/tmp/answer"],
            says: "write nothing that holds it; a file that one step writes stays in its layer, so remove it in the same RUN",
            mended: &format!(
                "RUN {ask} -H \"Authorization: Bearer $TOKEN\" -o /tmp/answer && {part} && rm /tmp/answer"
            ),
            refused: "401",
            shows: (&["cat", "report"], "hello from the api\n"),
        },
    );
}

#[test]
fn curl_takes_a_token_from_netrc() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    // Keeps the part of the answer that does not contain the token.
    let ask = "curl --silent --show-error --fail http://private:8080/composer/greeting.zip --output greeting.zip";
    try_install(
        &engine,
        &scene,
        &token,
        &Install {
            before: "",
            leaking: &format!("RUN echo \"machine private login build password $TOKEN\" > ~/.netrc && {ask} --netrc"),
            places: &["/root/.netrc"],
            says: "curl -H …$TOKEN…",
            mended: &format!("RUN {ask} -H \"Authorization: Bearer $TOKEN\""),
            refused: "401",
            shows: (&["unzip", "-Z1", "greeting.zip"], "composer.json\ngreeting.php\n"),
        },
    );
}

/// A key is a secret like any other. If it is written to the place where ssh looks for it, it is found; if `--ssh`
/// lends it, steps can sign with it, and it is not in the image.
#[test]
fn git_clones_a_submodule_over_ssh_with_a_lent_key_and_not_with_a_copied_one() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    let folder = tempfile::tempdir().expect("a folder");
    let key = folder.path().join("id_ed25519");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]).arg(&key).status();
    assert!(made.expect("ssh-keygen runs").success());
    let private = std::fs::read_to_string(&key).expect("a key");
    // The first line is the same in all such keys, and the base image contains keys of its host.
    let own: Vec<&str> = private.lines().filter(|line| !line.starts_with('-')).skip(1).collect();
    let _ = scene.oracle().register("DEPLOY_KEY", own.join("\n"));
    let server = Private::start(&engine, &token);
    server.let_in(&std::fs::read(key.with_extension("pub")).expect("its public half"));

    let image = ImageName::new(&engine, "installs-ssh");
    let clone = "GIT_SSH_COMMAND='ssh -o StrictHostKeyChecking=accept-new' git clone --recurse-submodules \
                 ssh://root@private/srv/git/app.git";
    let build = |step: &str, more: &[&str]| {
        let text = format!("FROM pbuild/tools:1\nWORKDIR /srv\nRUN : {}\n{step}\n", image.as_str());
        scene.write("Dockerfile", text);
        let secret = format!("id=DEPLOY_KEY,src={}", key.display());
        let tool = scene.pbuild().args(["build", "--progress", "plain", "-t", image.as_str(), "--secret", &secret]);
        tool.arg(server.flag()).args(more).arg(".").run()
    };
    let leaking = build(
        &format!("RUN mkdir -m 700 ~/.ssh && (umask 077 && echo \"$DEPLOY_KEY\" > ~/.ssh/id_ed25519) && {clone}"),
        &[],
    );
    leaking.expect_code(10).expect_stderr("DEPLOY_KEY  in /root/.ssh/id_ed25519, ");
    leaking.expect_stderr("RUN --mount=type=ssh …, and pbuild build --ssh default=KEYFILE");
    assert!(!image.exists());

    let mended = format!("RUN --mount=type=ssh {clone}");
    let lent = format!("--ssh=default={}", key.display());
    build(&format!("RUN {clone}"), &[&lent]).expect_code(1).expect_stderr("Permission denied");
    build(&mended, &[&lent]).expect_code(0).expect_stderr("clean");
    assert_eq!(image.run(&["cat", "app/lib/greeting.txt"]), "hello from git\n");
    scene.oracle().check_bytes("inspect and history", &image.told_by_the_engine());
}

/// The engine fetches the context itself, and gets the token of `GIT_AUTH_TOKEN` for it.
#[test]
fn a_private_repository_is_a_context() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    let (token, other) = (scene.oracle().token("GIT_AUTH_TOKEN"), scene.oracle().token("TOKEN"));
    let server = Private::start(&engine, &token);
    let image = ImageName::new(&engine, "git-context");
    let build = |place: &str, more: &[&str], token: &Canary| {
        let url = format!("http://{}:8080/git/context.git#{place}", server.address());
        let tool = scene.pbuild().args(["build", "-t", image.as_str(), "--secret", "id=TOKEN"]).args(more).arg(url);
        tool.env("TOKEN", other.text()).env("GIT_AUTH_TOKEN", token.text()).run()
    };
    let with_token = ["--secret", "id=GIT_AUTH_TOKEN"];
    build("main", &[], &token).expect_code(1).expect_stderr("--secret id=GIT_AUTH_TOKEN");
    let stranger = scene.oracle().token("OTHER");
    build("main", &with_token, &stranger).expect_code(1);
    assert!(!image.exists());

    build("main:folder", &with_token, &token).expect_code(0).expect_stderr("clean");
    assert_eq!(image.run(&["cat", "/page.txt"]), "hello from a folder\n");
    build("main", &with_token, &token).expect_code(0).expect_stderr("clean");
    assert_eq!(image.run(&["cat", "/whole.txt"]), "hello from a folder\n");
}

/// BuildKit uses the token for the repository but not for its submodules, so this machine clones them.
#[test]
fn a_private_repository_with_private_submodules_is_a_context() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    let (token, other) = (scene.oracle().token("GIT_AUTH_TOKEN"), scene.oracle().token("TOKEN"));
    let server = Private::start(&engine, &token);
    let image = ImageName::new(&engine, "git-submodules");
    let elsewhere = scene.project().join("elsewhere");
    std::fs::create_dir(&elsewhere).expect("a folder");
    let build = |place: &str, more: &[&str], token: &Canary| {
        let url = format!("http://{}/git/kit.git#{place}", server.host());
        let tool = scene.pbuild().args(["build", "-t", image.as_str(), "--secret", "id=TOKEN"]).args(more).arg(url);
        // A git hook sets these variables to another repository, which must not affect the build.
        let tool = tool.env("GIT_WORK_TREE", &elsewhere).env("GIT_INDEX_FILE", elsewhere.join("index"));
        tool.env("TOKEN", other.text()).env("GIT_AUTH_TOKEN", token.text()).run()
    };
    let with_token = ["--secret", "id=GIT_AUTH_TOKEN"];
    build("main", &[], &token).expect_code(1);
    let stranger = scene.oracle().token("OTHER");
    build("main", &with_token, &stranger).expect_code(1);
    build("none", &with_token, &token).expect_code(1);
    build("main:none", &with_token, &token).expect_code(1);
    assert!(!image.exists());

    let built = build("main", &with_token, &token);
    built.expect_code(0).expect_stderr("with its submodules, cloned by this machine").expect_stderr("clean");
    assert_eq!(image.run(&["cat", "/greeting.txt"]), "hello from git\n");
    // A folder of the repository, without git's own files.
    build("main:folder", &with_token, &token).expect_code(0);
    assert_eq!(image.run(&["find", "/context", "-type", "f"]), "/context/Dockerfile\n");
    let whole = ["--build-arg", "BUILDKIT_CONTEXT_KEEP_GIT_DIR=1", "-f", "folder/Dockerfile"];
    build("main", &[&with_token[..], &whole].concat(), &token).expect_code(0).expect_stderr("clean");
    assert!(image.run(&["cat", "/context/.git/config"]).contains(&server.host()), "the repository is there");
    assert_eq!(std::fs::read_dir(&elsewhere).expect("a folder").count(), 0, "nothing was written there");
    let left = std::fs::read_dir(scene.temporary()).expect("a folder").flatten();
    assert!(left.into_iter().all(|entry| !entry.file_name().to_string_lossy().starts_with("pbuild-git-")));
}
