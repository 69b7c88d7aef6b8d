//! The groups, examples and tips of prun's command line.

use pcli::help::Guide;

const EXAMPLES: &str = "  \
  prun start                    start the app of app.toml
  prun injected                 show its variables
  prun logs -f                  follow its log
  prun services rotate db       change a password
  prun stop                     stop; the data stays";

const START: &str = "  \
  prun start                      what app.toml says
  prun start shop:1 --service postgres -p 8080:80
  prun start --secret id=APP_KEY shop:1
  prun start --dry-run            show what would be done";

const RUN: &str = "  \
  prun run shop:1 bin/migrate     with the app's values
  prun run -it shop:1 sh          a shell of its own";

const SERVICES: &str = "  \
  prun services list
  prun services add valkey=queue         add one, with a login
  prun services rotate db                change a password
  prun services shell db                 psql, mysql, redis-cli …
  prun services dump db >shop.sql        and load, to bring it back";

/// What there is instead of most flags of `docker run`.
const NOT_PASSED_ON: &str =
    "prun does not pass it on to the engine; leave it out, or keep `docker run` for this container";

/// What people see of prun's command line.
pub(crate) const GUIDE: Guide = Guide {
    tool: "prun",
    groups: &[
        ("", "Start and run", &["start", "stop", "restart", "rollback", "resume", "exec", "run", "init"]),
        ("", "Look", &["ps", "logs", "injected", "ui", "generations", "doctor"]),
        ("", "Services and secrets", &["services", "secrets", "trust"]),
        ("", "A team", &["operators", "adopt", "state"]),
        ("", "Set up", &["completions", "man"]),
    ],
    examples: &[("", EXAMPLES), ("start", START), ("run", RUN), ("services", SERVICES)],
    guesses: &[
        ("up", "`prun start` starts the app and its services"),
        ("deploy", "`prun start` starts the app, or rolls it to a new image"),
        ("update", "`prun start` rolls the app to a new image or manifest"),
        ("down", "`prun stop` stops the app and its services; their data stays"),
        ("kill", "`prun stop` stops the app and its services; their data stays"),
        ("rm", "`prun stop --purge` removes the app with its data; `prun services remove NAME` takes a service out"),
        ("delete", "`prun stop --purge` removes the app with its data"),
        ("destroy", "`prun stop --purge` removes the app with its data"),
        ("status", "`prun ps` shows what runs"),
        ("ls", "`prun ps` shows what runs"),
        ("list", "`prun ps` shows what runs, `prun services list` the services"),
        ("env", "`prun injected` shows the variables that the app gets"),
        ("config", "`prun injected` shows the variables that the app gets, `prun start --dry-run` what would start"),
        ("rotate", "`prun services rotate NAME` gives a service a new credential"),
        ("service", "`prun services` has the commands of services"),
        ("migrate", "`prun init` runs the init commands of app.toml"),
        ("shell", "`prun exec -it sh` opens a shell in an instance"),
        ("ssh", "`prun exec -it sh` opens a shell in an instance"),
        ("attach", "`prun logs -f` follows the log, `prun exec -it sh` opens a shell"),
        ("page", "`prun ui` opens a page in a browser of this machine"),
        ("dashboard", "`prun ui` opens a page in a browser of this machine"),
        ("web", "`prun ui` opens a page in a browser of this machine"),
        ("new", "`pbuild new` writes a first app.toml"),
        ("build", "`pbuild build` builds the image"),
        ("pull", "`prun start` pulls what is missing; `docker pull` renews an image"),
        ("secrets get", "`prun injected --reveal NAME` prints one value that the app gets"),
        ("secrets set", "`pbuild secrets set NAME` sets a secret in the sealed store"),
        ("secrets add", "`pbuild secrets set NAME` sets a secret in the sealed store"),
        ("secrets", "`pbuild secrets` changes the sealed store; `prun secrets list` shows what the app uses"),
        ("psql", "`prun services shell NAME` opens the client of a service"),
        ("mysql", "`prun services shell NAME` opens the client of a service"),
        ("db", "`prun services` has the commands of services, `prun services shell NAME` opens a client"),
        ("dump", "`prun services dump NAME >FILE` writes the data of a service"),
        ("load", "`prun services load NAME <FILE` brings data into a service"),
        ("services ls", "`prun services list` shows the services"),
        ("services rm", "`prun services remove NAME` takes a service out"),
        ("services delete", "`prun services remove NAME` takes a service out"),
    ],
    flags: &[
        ("start", "--mount", "a volume or a folder is `-v SOURCE:TARGET[:ro]`, or `volumes` below [run]"),
        (
            "start",
            "--tmpfs",
            "a container may write below its root unless `--read-only` says otherwise; a volume is `-v SOURCE:TARGET`",
        ),
        ("start", "--link", "services are reached by their names: `prun injected` shows host and port"),
        ("start", "--add-host", "join the other network with `--network NAME`: its containers are reached by name"),
        ("start", "--expose", "`-p PORT` publishes a port; services reach each other without one"),
        ("start", "--publish-all", "`-p PORT` publishes a port, once for each"),
        ("start", "-P", "`-p PORT` publishes a port, once for each"),
        ("start", "--health-cmd", "`health = { command = [\"…\"] }` below [run] of app.toml"),
        ("start", "--pull", "`docker pull IMAGE` renews the image; then `prun start`"),
        ("start", "--build", "`pbuild build` builds the image; then `prun start`"),
        ("start", "--scale", "`--replicas COUNT` says how many instances run"),
        ("start", "--force-recreate", "`prun restart` replaces all instances"),
        ("start", "--remove-orphans", "`prun services remove NAME` takes a service out"),
        ("start", "--rm", "`prun stop` removes the containers; `prun run` is for one command"),
        ("start", "-it", "`prun run -it IMAGE COMMAND` has a terminal"),
        ("start", "-i", "`prun run -i IMAGE COMMAND` passes standard input on"),
        ("start", "-t", "`prun run -t IMAGE COMMAND` has a terminal"),
        ("start", "--hostname", NOT_PASSED_ON),
        ("start", "-h", NOT_PASSED_ON),
        ("start", "--gpus", NOT_PASSED_ON),
        ("start", "--device", NOT_PASSED_ON),
        ("start", "--platform", NOT_PASSED_ON),
        ("start", "--privileged", NOT_PASSED_ON),
        ("start", "--security-opt", NOT_PASSED_ON),
        ("start", "--ulimit", NOT_PASSED_ON),
        ("start", "--sysctl", NOT_PASSED_ON),
        ("start", "--shm-size", NOT_PASSED_ON),
        ("start", "--dns", NOT_PASSED_ON),
        ("start", "--ip", NOT_PASSED_ON),
        ("start", "--pid", NOT_PASSED_ON),
        ("start", "--ipc", NOT_PASSED_ON),
        ("start", "--log-driver", NOT_PASSED_ON),
        ("start", "--stop-signal", NOT_PASSED_ON),
        ("start", "--cidfile", NOT_PASSED_ON),
        ("run", "--mount", "a volume or a folder is `-v SOURCE:TARGET[:ro]`"),
        ("run", "--link", "services are reached by their names: `prun injected` shows host and port"),
        ("run", "--add-host", "join the other network with `--network NAME`: its containers are reached by name"),
        ("run", "--tmpfs", NOT_PASSED_ON),
        ("run", "--hostname", NOT_PASSED_ON),
        ("run", "--gpus", NOT_PASSED_ON),
        ("run", "--device", NOT_PASSED_ON),
        ("run", "--platform", NOT_PASSED_ON),
        ("run", "--privileged", NOT_PASSED_ON),
        ("run", "--security-opt", NOT_PASSED_ON),
        ("run", "--ulimit", NOT_PASSED_ON),
        ("run", "--shm-size", NOT_PASSED_ON),
        ("run", "--pull", "`docker pull IMAGE` renews the image"),
        ("stop", "-v", "`prun stop --purge` removes the data of the services too"),
        ("stop", "--volumes", "`prun stop --purge` removes the data of the services too"),
        ("injected", "--json", "`prun injected --format json`"),
        ("injected", "--show", "`prun injected --reveal NAME` prints one value"),
    ],
    silent: &[],
};
