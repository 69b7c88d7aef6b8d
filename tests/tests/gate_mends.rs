//! The advice that comes with a leak: a user who follows it gets a clean build.

use acceptance::{ImageName, build};
use ptest::{Engine, Flavour, Outcome, Scene};

/// A step that leaks, the advice in its finding, and the step after following the advice.
struct Mend {
    place: &'static str,
    leaking: &'static str,
    says: &'static str,
    mended: &'static str,
}

const MENDS: [Mend; 16] = [
    Mend {
        place: "/root/.config/pip/pip.conf",
        leaking: "mkdir -p /root/.config/pip && echo \"index-url=https://u:$TOKEN@h/\" > /root/.config/pip/pip.conf && pip",
        says: "PIP_INDEX_URL=…$TOKEN… pip install …, with no pip.conf",
        mended: "PIP_INDEX_URL=https://u:$TOKEN@h/ pip",
    },
    Mend {
        place: "/root/.npmrc",
        leaking: "echo \"//r/:_authToken=$TOKEN\" > /root/.npmrc && npm",
        says: "write ${TOKEN} into .npmrc",
        mended: "echo '//r/:_authToken=${TOKEN}' > /root/.npmrc && npm",
    },
    Mend {
        place: "/app/.yarnrc.yml",
        leaking: "mkdir -p /app && echo \"npmAuthToken: $TOKEN\" > /app/.yarnrc.yml && yarn",
        says: "write ${TOKEN} into .yarnrc.yml",
        mended: "mkdir -p /app && echo 'npmAuthToken: ${TOKEN}' > /app/.yarnrc.yml && yarn",
    },
    Mend {
        place: "/root/.pypirc",
        leaking: "echo \"password = $TOKEN\" > /root/.pypirc && twine",
        says: "TWINE_PASSWORD=$TOKEN twine upload",
        mended: "TWINE_PASSWORD=$TOKEN twine",
    },
    Mend {
        place: "/root/.composer/auth.json",
        leaking: "mkdir -p /root/.composer && echo \"{\\\"bearer\\\": {\\\"h\\\": \\\"$TOKEN\\\"}}\" > /root/.composer/auth.json",
        says: "COMPOSER_AUTH=…$TOKEN… composer install",
        mended: "COMPOSER_AUTH=\"{\\\"bearer\\\": {\\\"h\\\": \\\"$TOKEN\\\"}}\" composer",
    },
    Mend {
        place: "/root/.m2/settings.xml",
        leaking: "mkdir -p /root/.m2 && echo \"<password>$TOKEN</password>\" > /root/.m2/settings.xml",
        says: "write ${env.TOKEN} into settings.xml",
        mended: "mkdir -p /root/.m2 && echo '<password>${env.TOKEN}</password>' > /root/.m2/settings.xml",
    },
    Mend {
        place: "/root/.gradle/gradle.properties",
        leaking: "mkdir -p /root/.gradle && echo \"key=$TOKEN\" > /root/.gradle/gradle.properties",
        says: "ORG_GRADLE_PROJECT_…=$TOKEN gradle",
        mended: "ORG_GRADLE_PROJECT_key=$TOKEN gradle",
    },
    Mend {
        place: "/root/.cargo/credentials.toml",
        leaking: "mkdir -p /root/.cargo && echo \"token = '$TOKEN'\" > /root/.cargo/credentials.toml",
        says: "CARGO_REGISTRIES_…_TOKEN=$TOKEN cargo",
        mended: "CARGO_REGISTRIES_OURS_TOKEN=$TOKEN cargo",
    },
    Mend {
        place: "/root/.docker/config.json",
        leaking: "mkdir -p /root/.docker && printf '{\"auth\":\"%s\"}' \"$(printf 'u:%s' $TOKEN | base64 -w 0)\" > /root/.docker/config.json",
        says: "docker login keeps what it is given",
        mended: "mkdir -p /root/.docker && echo $TOKEN > /root/.docker/config.json && rm /root/.docker/config.json",
    },
    Mend {
        place: "/root/.netrc",
        leaking: "echo \"machine h password $TOKEN\" > /root/.netrc && git",
        says: "git -c http.extraHeader=…$TOKEN…",
        mended: "git -c \"http.extraHeader=Authorization: $TOKEN\"",
    },
    Mend {
        place: "/src/.git/config",
        leaking: "mkdir -p /src/.git && echo \"url = https://x:$TOKEN@h/r\" > /src/.git/config",
        says: "remove .git in the same RUN",
        mended: "mkdir -p /src/.git && echo \"url = https://x:$TOKEN@h/r\" > /src/.git/config && rm -r /src/.git",
    },
    Mend {
        place: "/root/.ash_history",
        leaking: "echo \"login $TOKEN\" > /root/.ash_history",
        says: "shell histories keep what was typed",
        mended: "echo \"login $TOKEN\" > /root/.ash_history && rm /root/.ash_history",
    },
    Mend {
        place: "/srv/.env.production",
        leaking: "mkdir -p /srv && echo \"TOKEN=$TOKEN\" > /srv/.env.production",
        says: "write no .env.production in the build; at run time prun gives the variables",
        mended: "mkdir -p /srv",
    },
    Mend {
        place: "/app/dist/main.js",
        leaking: "mkdir -p /app/dist && echo \"const t='$TOKEN'\" > /app/dist/main.js",
        says: "run this one without $TOKEN (`steps` in app.toml)",
        mended: "mkdir -p /app/dist && env -u TOKEN sh -c 'echo \"const t=$TOKEN\" > /app/dist/main.js'",
    },
    Mend {
        place: "/later",
        leaking: "echo $TOKEN > /later\nRUN rm /later",
        says: "remove it in the same RUN",
        mended: "echo $TOKEN > /later && rm /later",
    },
    Mend {
        place: "/etc/app.conf",
        leaking: "echo \"key=$TOKEN\" > /etc/app.conf && app --config /etc/app.conf",
        says: "pass $TOKEN to the one command that needs it",
        mended: "app --key $TOKEN",
    },
];

/// Returns a Dockerfile of the steps, with stand-ins that do nothing in place of the programs.
fn dockerfile(image: &ImageName<'_>, step: impl Fn(&Mend) -> &'static str) -> String {
    let programs = "pip npm yarn twine composer gradle cargo git app";
    let mut text = format!(
        "FROM busybox\nRUN for p in {programs}; do echo '#!/bin/sh' > /bin/$p; chmod 755 /bin/$p; done; : {}\n",
        image.as_str()
    );
    for mend in &MENDS {
        text += &format!("RUN {}\n", step(mend));
    }
    text
}

/// Returns the lines of a refusal about one place: from its finding to the next finding.
fn told_about(outcome: &Outcome, place: &str) -> String {
    let is_finding = |line: &str| line.trim_start().starts_with("TOKEN  in ");
    let place = format!("{place}, ");
    let said = outcome.stderr();
    let mut lines = said.lines().skip_while(|line| !(is_finding(line) && line.contains(&place)));
    let first = lines.next();
    first.into_iter().chain(lines.take_while(|line| !is_finding(line))).collect::<Vec<_>>().join("\n")
}

#[test]
fn whoever_does_what_a_finding_says_has_a_clean_build() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    let image = ImageName::new(&engine, "mends");
    scene.write("Dockerfile", dockerfile(&image, |mend| mend.leaking));
    let refused = build(&scene, &image, &token, &[]).run();
    refused.expect_code(10);
    for Mend { place, says, leaking, .. } in &MENDS {
        let told = told_about(&refused, place);
        assert!(told.contains(says), "{place}: {told}\n{refused:?}");
        // The finding quotes the line of the Dockerfile.
        let line = leaking.lines().next().expect("a step");
        assert!(told.contains(&format!("RUN {line}")), "{place}: {told}");
    }
    scene.write("Dockerfile", dockerfile(&image, |mend| mend.mended));
    build(&scene, &image, &token, &[]).run().expect_code(0).expect_stderr("clean");
    assert!(image.exists());
}

/// A value in the Dockerfile, in a flag or in the context is refused before anything runs, with advice of its own.
#[test]
fn whoever_does_what_an_early_refusal_says_has_a_clean_build() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    let image = ImageName::new(&engine, "early-mends");
    let uses = "FROM busybox\nRUN test -n \"$TOKEN\"\n";
    for instruction in ["ENV TOKEN=", "ARG TOKEN="] {
        let _ = scene.write_secret("Dockerfile", uses.replace("RUN", &format!("{instruction}{}\nRUN", token.text())));
        build(&scene, &image, &token, &[]).run().expect_code(10).expect_stderr("use the variable of that name in RUN");
    }
    scene.write("Dockerfile", uses);
    let refused = scene
        .pbuild()
        .args(["build", "--build-arg", "OTHER", "--secret", "id=TOKEN", "-t", image.as_str(), "."])
        .env("TOKEN", token.text())
        .env("OTHER", token.text())
        .run();
    refused.expect_code(10).expect_stderr("every RUN has the secret as an environment variable");
    build(&scene, &image, &token, &[]).run().expect_code(0);

    let _ = scene.write_secret(".env", format!("TOKEN={}\n", token.text()));
    scene.write("Dockerfile", "FROM busybox\nCOPY . /srv\n");
    build(&scene, &image, &token, &[]).run().expect_code(10).expect_stderr("list .env in .dockerignore");
    scene.write(".dockerignore", ".env\n");
    build(&scene, &image, &token, &[]).run().expect_code(0);
}
