//! Tests of whole manifests, made from the files of small projects.

use std::fs;

use super::*;

fn draft_of(files: &[(&str, &str)], public: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join("Shop App");
    fs::create_dir(&project).unwrap();
    for (name, text) in files {
        fs::create_dir_all(project.join(name).parent().unwrap()).unwrap();
        fs::write(project.join(name), text).unwrap();
    }
    let order = DraftOrder {
        folder: project.clone(),
        path: project.display().to_string(),
        dockerfile: None,
        service: None,
        target: DraftTarget::StandardOutput,
        open_env_files: OpenEnvFileCare::Warn,
        public: public.iter().map(|name| (*name).to_owned()).collect(),
    };
    let edge = Edge {
        stderr: pscreen::Printer::new(Box::new(io::sink()), pscreen::Colour::Never),
        stdout: pscreen::Printer::new(Box::new(io::sink()), pscreen::Colour::Never),
        cancellation: pscreen::Cancellation::new(),
        quiet: false,
    };
    let read = Project::read(&order, &edge).unwrap();
    let text = page::text(&read.draft(&order.public));
    Manifest::parse(Path::new("app.toml"), text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}"));
    text
}

#[test]
fn a_node_project_with_a_database() {
    let text = draft_of(
        &[
            (
                "Dockerfile",
                "ARG NODE_VERSION=22\nFROM node:${NODE_VERSION}\nARG NPM_TOKEN\nARG COMMIT\nRUN npm ci\nCOPY . .\n",
            ),
            (
                ".env",
                "NPM_TOKEN=c4n4ry-9f3b27e1\nSTRIPE_SECRET_KEY=c4n4ry-77aa00bb\nPORT=3000\nDB_PASSWORD=c4n4ry-1111\nDB_USER=shop\nEMPTY_TOKEN=\nPATH=/x\nMAIL_URL=smtp://a:c4n4ry-22@mail/\n",
            ),
            (
                "compose.yaml",
                "services:\n  web:\n    build: .\n    ports: ['3000:3000']\n    env_file: .env\n    environment: {NODE_ENV: production}\n    volumes: ['.:/app']\n  db: {image: 'postgres:17', environment: {POSTGRES_DB: shop}}\n",
            ),
        ],
        &[],
    );
    assert!(!text.contains("c4n4ry") && !text.contains("3000\"\n#"), "{text}");
    insta::assert_snapshot!(text, @r#"
    # Written by `pbuild new` from this project's files: names, never values.
    name = "shop-app"
    image = "shop-app:latest"

    # Where the values of the secrets below lie on this machine.
    env_files = [{ path = ".env" }]

    [build.args]                   # public: docker writes them into the image's history
    # COMMIT = "…"                 # ARG of line 4 of the Dockerfile has no default

    [env]                          # public: in the image's steps and the app, never searched for
    # Public? Write the value, or let `pbuild new --force --public NODE_ENV,PORT` do it. Secret? Move the name below [secrets].
    # NODE_ENV = "…"
    # PORT = "…"

    [secrets]
    NPM_TOKEN = { scope = "build" } # ARG of line 3 of the Dockerfile
    STRIPE_SECRET_KEY = { scope = "run" } # nothing in the Dockerfile mentions it
    DB_USER = { value = "${DB_USERNAME}" } # from the service that prun starts
    EMPTY_TOKEN = { scope = "run", optional = true } # nothing in the Dockerfile mentions it; without a value until `pbuild secrets set EMPTY_TOKEN` gives it one
    MAIL_URL = { scope = "run" }   # nothing in the Dockerfile mentions it

    [services.db]
    kind = "postgres"
    version = "17"
    database = "shop"

    [run]
    ports = ["3000:3000"]

    # Left out:
    #   volume ".:/app": a folder of this machine, often for development alone; if the app needs it, write it below [run]
    #   DB_PASSWORD: prun sets it, from the service that it starts
    #   PATH: it changes how programs run
    "#);
}

#[test]
fn a_php_project_whose_names_are_injected() {
    let text = draft_of(
        &[
            ("Dockerfile", "FROM php:8\nRUN composer install\n"),
            (
                ".env",
                "APP_NAME=Shop\nAPP_KEY=base64:c4n4ryc4n4ryc4n4ry\nCOMPOSER_AUTH='{\"http-basic\":{}}'\nDB_CONNECTION=mysql\nDB_HOST=db\nDB_PASSWORD=c4n4ry-22\nREDIS_HOST=cache\nMYSQL_ROOT_PASSWORD=c4n4ry-33\n",
            ),
            (
                "docker-compose.yml",
                "name: shop\nservices:\n  app: {build: {context: ., dockerfile: Dockerfile}, ports: ['8080:80'], healthcheck: {test: [CMD, curl, -f, 'http://localhost']}}\n  db: {image: 'mysql:8.4'}\n  cache: {image: 'redis:7'}\n",
            ),
        ],
        &["APP_NAME"],
    );
    assert!(!text.contains("c4n4ry"), "{text}");
    insta::assert_snapshot!(text, @r#"
    # Written by `pbuild new` from this project's files: names, never values.
    name = "shop"
    image = "shop:latest"

    # Where the values of the secrets below lie on this machine.
    env_files = [{ path = ".env" }]

    [env]                          # public: in the image's steps and the app, never searched for
    APP_NAME = "Shop"              # you called it public

    [secrets]
    APP_KEY = { scope = "run" }    # nothing in the Dockerfile mentions it
    COMPOSER_AUTH = { scope = "build" } # a program that the Dockerfile runs reads it

    [services.db]
    kind = "mysql"
    version = "8.4"

    [services.cache]
    kind = "redis"
    version = "7"

    [run]
    ports = ["8080:80"]
    health = { command = ["curl", "-f", "http://localhost"] }

    # Left out:
    #   DB_CONNECTION: prun sets it, from the service that it starts
    #   DB_HOST: prun sets it, from the service that it starts
    #   DB_PASSWORD: prun sets it, from the service that it starts
    #   REDIS_HOST: prun sets it, from the service that it starts
    #   MYSQL_ROOT_PASSWORD: prun makes the credentials of the services itself
    "#);
}

#[test]
fn a_python_project_without_a_compose_file() {
    let text = draft_of(
        &[
            (
                "Dockerfile",
                "FROM python:3\nRUN --mount=type=secret,id=PIP_INDEX_URL,env=PIP_INDEX_URL pip install -r r.txt\n",
            ),
            (".env", "PIP_INDEX_URL=https://u:c4n4ry-11@index/simple\nSECRET_KEY=c4n4ry-django\nDEBUG=1\n"),
        ],
        &[],
    );
    assert!(!text.contains("c4n4ry"), "{text}");
    insta::assert_snapshot!(text, @r#"
    # Written by `pbuild new` from this project's files: names, never values.
    name = "shop-app"
    image = "shop-app:latest"

    # Where the values of the secrets below lie on this machine.
    env_files = [{ path = ".env" }]

    [env]                          # public: in the image's steps and the app, never searched for
    # Public? Write the value, or let `pbuild new --force --public DEBUG` do it. Secret? Move the name below [secrets].
    # DEBUG = "…"

    [secrets]
    PIP_INDEX_URL = { scope = "build" } # line 2 of the Dockerfile mounts it
    SECRET_KEY = { scope = "run" } # nothing in the Dockerfile mentions it
    "#);
}

#[test]
fn values_that_cannot_be_searched_for_do_not_stop_the_first_build() {
    let text = draft_of(&[("Dockerfile", "FROM x\n"), (".env", "SECRET_KEY=dev\n")], &[]);
    assert!(text.contains("\n# SECRET_KEY = ") && text.contains("too short or too common"), "{text}");
}

#[test]
fn a_dockerfile_alone_is_enough() {
    let text = draft_of(&[("Dockerfile", "FROM x\nARG DEPLOY_TOKEN\n")], &[]);
    assert!(
        text.contains("name = \"shop-app\"")
            && text.contains("\nDEPLOY_TOKEN = { scope = \"build\", optional = true }"),
        "{text}"
    );
}

/// The layout of most samples of docker/awesome-compose.
#[test]
fn a_project_whose_app_lies_in_a_folder() {
    let files = [
        (
            "compose.yaml",
            "services:\n  backend:\n    build:\n      context: backend\n      target: builder\n      secrets: [index_token, npmrc]\n    ports: ['8080:8080']\n    environment: { STRIPE_KEY: \"${STRIPE_KEY}\" }\n    depends_on: [db]\n  frontend: { build: frontend, ports: ['80:80'] }\n  db:\n    image: postgres:15\n    environment: { POSTGRES_DB: shop, POSTGRES_PASSWORD: c4n4ry-1 }\nsecrets:\n  index_token: { environment: INDEX_TOKEN_OF_NOBODY }\n  npmrc: { file: ./npmrc.secret }\n",
        ),
        (
            "backend/Dockerfile",
            "FROM busybox AS builder\nARG GITHUB_TOKEN\nRUN --mount=type=secret,id=npmrc,target=/home/app/.npmrc --mount=type=secret,id=pip npm ci\n",
        ),
        ("npmrc.secret", "//r/:_authToken=c4n4ry-2"),
        (".env", "STRIPE_KEY=c4n4ry-3-c4n4ry\nGITHUB_TOKEN=c4n4ry-4-c4n4ry\n"),
    ];
    let text = draft_of(&files, &[]);
    assert!(!text.contains("c4n4ry"), "{text}");
    insta::assert_snapshot!(text, @r#"
    # Written by `pbuild new` from this project's files: names, never values.
    name = "shop-app"
    image = "shop-app:latest"

    # Where the values of the secrets below lie on this machine.
    env_files = [{ path = ".env" }]

    [build]
    context = "backend"
    target = "builder"

    [secrets]
    index_token = { scope = "build", from = { env = "INDEX_TOKEN_OF_NOBODY" }, optional = true } # a secret of the build in the compose file; INDEX_TOKEN_OF_NOBODY has no value here yet, and builds go on without it
    npmrc = { scope = "build", from = { file = "./npmrc.secret" } } # a secret of the build in the compose file
    pip = { scope = "build", optional = true } # line 3 of the Dockerfile mounts it; without a value until `pbuild secrets set pip` gives it one
    GITHUB_TOKEN = { scope = "build" } # ARG of line 2 of the Dockerfile
    STRIPE_KEY = { scope = "run" } # nothing in the Dockerfile mentions it

    [services.db]
    kind = "postgres"
    version = "15"
    database = "shop"

    [run]
    ports = ["8080:8080"]

    # Left out:
    #   service frontend is an app of its own; `pbuild new --service frontend` begins with it
    "#);
}

/// A Django project: ports from `.env`, a database with an extension, and settings that have no place in a manifest.
#[test]
fn what_env_files_decide_of_ports_is_followed_and_what_has_no_place_is_told() {
    let compose = "services:\n  web:\n    build: { context: ., args: [UID=1000] }\n    \
                   ports: ['${WEB_FORWARD:-127.0.0.1:8000}:${PORT:-8000}']\n    user: '1000'\n    mem_limit: 512m\n    \
                   extra_hosts: ['host:1.2.3.4']\n    deploy: { replicas: 3, resources: {} }\n    env_file: .env\n  \
                   postgres: { image: 'postgis/postgis:16-3.4', environment: { POSTGRES_DB: shop } }\n";
    let env =
        "PORT=9000\nPOSTGRES_USER=shop\nPOSTGRES_PASSWORD=c4n4ry-55-c4n4ry\nPOSTGRES_DB=shop\nPOSTGRES_HOST=postgres\n";
    let text =
        draft_of(&[("Dockerfile", "FROM python:3\nEXPOSE 8000\n"), ("compose.yaml", compose), (".env", env)], &[]);
    assert!(!text.contains("c4n4ry"), "{text}");
    for line in [
        "ports = [\"127.0.0.1:8000:9000\"]",
        "replicas = 3",
        "image = \"postgis/postgis:16-3.4\"",
        "database = \"shop\"",
        "POSTGRES_DB = { value = \"${DB_DATABASE}\" }",
        "POSTGRES_HOST = { value = \"${DB_HOST}\" }",
        "POSTGRES_PASSWORD = { value = \"${DB_PASSWORD}\" }",
        "POSTGRES_USER = { value = \"${DB_USERNAME}\" }",
        "#   user: `prun start --user`",
        "[processes.web]",
        "memory = \"512m\"",
        "#   extra_hosts: prun has nothing like it",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

/// A Next.js project without a compose file. The port is the one that the Dockerfile exposes.
#[test]
fn a_port_that_the_dockerfile_exposes_is_published_on_this_machine() {
    let dockerfile = "FROM node:22 AS build\nEXPOSE 9\nFROM node:22\nEXPOSE 3000\nCMD [\"node\", \"server.js\"]\n";
    let text = draft_of(&[("Dockerfile", dockerfile)], &[]);
    assert!(text.contains("[run]\nports = [\"127.0.0.1:3000:3000\"]\n"), "{text}");
}

/// A Laravel project with dozens of public settings, which nobody wants to list by name.
#[test]
fn everything_that_looks_like_no_secret_is_public_at_once() {
    let env = "APP_NAME=Shop\nAPP_ENV=local\nAPP_KEY=base64:c4n4ryc4n4ryc4n4ryc4n4ry=\nLOG_CHANNEL=stack\n\
               HANDLE=9fKq2LmZr8Kc1Vb4NyT9\nMAIL_URL=smtp://u:c4n4ry-2@mail\n";
    let text = draft_of(&[("Dockerfile", "FROM php:8\n"), (".env", env)], &["all"]);
    assert!(!text.contains("c4n4ry") && !text.contains("9fKq2LmZr8"), "{text}");
    for line in
        ["APP_NAME = \"Shop\"", "APP_ENV = \"local\"", "LOG_CHANNEL = \"stack\"", "\nAPP_KEY = {", "\nMAIL_URL = {"]
    {
        assert!(text.contains(line), "{line}\n{text}");
    }
}
