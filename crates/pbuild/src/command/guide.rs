//! The groups, examples and tips of pbuild's command line.

use pcli::help::Guide;

const EXAMPLES: &str = "  \
  pbuild new                            write a first app.toml
  pbuild secrets init                   make a sealed store, and
  pbuild secrets set NPM_TOKEN          keep a secret in it
  pbuild build -t shop:1 .              build; no tag if a secret leaks
  pbuild audit shop:1 --env-file .env   search a finished image";

const BUILD: &str = "  \
  pbuild build -t shop:1 .          with the secrets of app.toml
  pbuild build -t shop:1 --secret id=NPM_TOKEN .
  pbuild build -t shop:1 --env-file .env .
  pbuild build --push -t registry.example/shop:1 .
  pbuild build --check .            build nothing";

const BAKE: &str = "  \
  pbuild bake                       what `default` names
  pbuild bake web worker --push     push if all are clean
  pbuild bake -f compose.yaml --print";

const AUDIT: &str = "  \
  pbuild audit shop:1 --env-file .env
  pbuild audit docker-archive:shop.tar --secret id=NPM_TOKEN
  pbuild audit docker://registry.example/shop:1 --env-file .env
  pbuild audit shop:1 --format html=report.html";

const NEW: &str = "  \
  pbuild new                        one app, from what is here
  pbuild new --service web          one of several apps
  pbuild new --public APP_NAME,PORT these are no secrets
  pbuild new --stdout               print it, write nothing";

const SECRETS: &str = "  \
  pbuild secrets init                    make a store and an identity
  pbuild secrets set NPM_TOKEN           it asks for the value
  pbuild secrets set NPM_TOKEN < FILE    or reads it from a file
  pbuild secrets import .env             take over an env file
  pbuild secrets list                    names and sources, no value
  pbuild secrets recipients add age1…    let a colleague open it";

/// The tip for commands that start an app, which belong to prun.
const START: &str = "prun starts apps: `prun start` the app and its services, `prun run` one command";
/// The tip for commands that would show values.
const VALUES: &str = "values are not printed: `pbuild secrets export --out FILE` writes them to a file, and \
                      `prun injected --reveal NAME` shows one that the app gets";
/// The tip for a value on the command line.
const NO_VALUE: &str = "the value is never an argument, where the shell's history and `ps` would show it: type it when asked, or \
                        `pbuild secrets set NAME < FILE`";

/// The groups, examples and tips of pbuild's help texts.
pub(crate) const GUIDE: Guide = Guide {
    tool: "pbuild",
    groups: &[
        ("", "Start", &["new", "build", "bake"]),
        ("", "Look", &["audit", "doctor"]),
        ("", "Secrets", &["secrets", "trust"]),
        ("", "Set up", &["install", "uninstall", "completions", "man"]),
        ("secrets", "Look", &["list", "diff", "advise"]),
        ("secrets", "Change", &["init", "set", "unset", "edit", "import", "export"]),
        ("secrets", "Share", &["recipients", "identity", "rotate-key", "cache-key"]),
        ("secrets", "For git", &["textconv", "merge"]),
    ],
    examples: &[("", EXAMPLES), ("new", NEW), ("build", BUILD), ("bake", BAKE), ("audit", AUDIT), ("secrets", SECRETS)],
    guesses: &[
        ("secrets get", VALUES),
        ("secrets show", VALUES),
        ("secrets reveal", VALUES),
        ("secrets add", "`pbuild secrets set NAME` sets a secret; its value is asked for"),
        ("secrets new", "`pbuild secrets set NAME` sets a secret; its value is asked for"),
        ("secrets put", "`pbuild secrets set NAME` sets a secret; its value is asked for"),
        ("secrets create", "`pbuild secrets set NAME` sets a secret, `pbuild secrets init` makes a store"),
        ("secrets rm", "`pbuild secrets unset NAME` removes a secret"),
        ("secrets remove", "`pbuild secrets unset NAME` removes a secret"),
        ("secrets delete", "`pbuild secrets unset NAME` removes a secret"),
        ("secrets ls", "`pbuild secrets list` shows names and sources"),
        (
            "secrets rotate",
            "`pbuild secrets set NAME` takes a new value; `pbuild secrets rotate-key` changes your own key",
        ),
        ("secrets share", "`pbuild secrets recipients add AGE-RECIPIENT` lets somebody open the store"),
        ("secret", "`pbuild secrets` has the commands of the sealed store"),
        ("set", "`pbuild secrets set NAME` sets a secret"),
        ("init", "`pbuild new` writes a first app.toml; `pbuild secrets init` makes a sealed store"),
        ("up", START),
        ("start", START),
        ("run", START),
        ("deploy", START),
        ("down", "`prun stop` stops the app and its services"),
        ("stop", "`prun stop` stops the app and its services"),
        ("rm", "`prun stop --purge` removes an app with its data; `docker image rm` removes an image"),
        ("ps", "`prun ps` shows what runs"),
        ("status", "`prun ps` shows what runs; `pbuild doctor` checks the setup"),
        ("logs", "`prun logs` shows the logs of the app and its services"),
        ("exec", "`prun exec` runs a command in an instance"),
        ("env", "`prun injected` shows the variables that the app gets; `pbuild secrets list` the secrets"),
        ("push", "`pbuild build --push -t NAME .` pushes an image if it is clean"),
        ("tag", "`pbuild build -t NAME .` names an image if it is clean"),
        ("scan", "`pbuild audit IMAGE` searches an image"),
        ("search", "`pbuild audit IMAGE` searches an image"),
        ("check", "`pbuild build --check .` checks the Dockerfile; `pbuild doctor` checks the setup"),
        ("lint", "`pbuild build --check .` checks the Dockerfile"),
        ("buildx", "`pbuild build` and `pbuild bake` stand in the place of `docker buildx build` and `bake`"),
        ("compose", "`pbuild bake -f compose.yaml` builds what a compose file builds; `prun start` starts an app"),
        ("login", "`docker login` stores credentials where pbuild finds them"),
    ],
    flags: &[
        ("build", "--env", "a secret is `--secret id=NAME`, a public value `--build-arg NAME=VALUE`"),
        ("build", "-e", "a secret is `--secret id=NAME`, a public value `--build-arg NAME=VALUE`"),
        (
            "build",
            "--volume",
            "a build has no volumes: `--build-context NAME=FOLDER`, and `RUN --mount=from=NAME` in the Dockerfile",
        ),
        (
            "build",
            "-v",
            "a build has no volumes: `--build-context NAME=FOLDER`, and `RUN --mount=from=NAME` in the Dockerfile",
        ),
        ("build", "--name", "an image's name is `-t NAME`"),
        ("build", "--image", "an image's name is `-t NAME`"),
        ("build", "--arg", "a build argument is `--build-arg NAME=VALUE`"),
        ("build", "--dockerfile", "the Dockerfile is `-f FILE`"),
        ("build", "--context", "the context is the last word: `pbuild build PATH`"),
        ("build", "--json", "`--progress rawjson` prints events, `--metadata-file FILE` writes the result"),
        ("audit", "--json", "`--format json` prints the report as JSON"),
        ("audit", "--output", "`--format FORMAT=FILE` writes a report to a file"),
        ("audit", "-o", "`--format FORMAT=FILE` writes a report to a file"),
        ("audit", "--image", "the image is a word of its own: `pbuild audit IMAGE`"),
        ("audit", "-f", "`--format FORMAT[=FILE]` chooses the report, `--dockerfile FILE` names the Dockerfile"),
        ("new", "--name", "the name of the folder is the project's; change `name` in app.toml"),
    ],
    silent: &[("secrets set", NO_VALUE)],
};
