//! Whole manifests, from the files of small projects.

use std::fs;

use super::*;

fn draft_of(files: &[(&str, &str)], public: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join("Shop App");
    fs::create_dir(&project).unwrap();
    for (name, text) in files {
        fs::write(project.join(name), text).unwrap();
    }
    let order = DraftOrder {
        folder: project.clone(),
        path: project.display().to_string(),
        dockerfile: None,
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
    # EMPTY_TOKEN = { scope = "run" } # nothing in the Dockerfile mentions it; no value is at hand: put it into .env or `pbuild secrets set EMPTY_TOKEN`, and uncomment the line
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
    PIP_INDEX_URL = { scope = "build" } # a program that the Dockerfile runs reads it
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
        text.contains("name = \"shop-app\"") && text.contains("\n# DEPLOY_TOKEN = { scope = \"build\" }"),
        "{text}"
    );
}
