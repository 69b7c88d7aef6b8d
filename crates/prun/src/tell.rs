//! Turns errors into explanations for people: what went wrong, where, and what to do. No other module explains
//! errors.

use std::process::ExitCode;

use pcredential::ServiceKind;
use pscreen::{Diagnostic, Ending, Exit, Printer};

use crate::commands::unit;
use crate::edge::{Codes, Failure};
use crate::engine::log::TAIL;
use crate::error::answer::Answer;
use crate::error::command::CommandError;
use crate::error::{PullFailure, RunError, message};
use crate::plan::error::PlanError;
use crate::state::error::StateError;
use crate::values::error::ValuesError;

/// The exit code of an init command that was ended by its `timeout`.
const TIMED_OUT: i64 = pshim::TIMED_OUT as i64;

/// The exit code for a program that does not exist.
const NOT_FOUND: i64 = pshim::NOT_FOUND as i64;

/// The exit code of a command that SIGKILL ended, as shells report it: 128 plus the signal's number.
const KILLED: i64 = 128 + 9;

/// Prints the reason why a command ended without a result, and returns the exit code.
#[must_use]
pub(crate) fn report(failure: &Failure, printer: &Printer, codes: Codes) -> ExitCode {
    let (diagnostic, printer) = match failure {
        Failure::Error { error, printer: own } => (diagnostic(error), own.as_ref().unwrap_or(printer)),
        Failure::Shared(diagnostic) => ((**diagnostic).clone(), printer),
        Failure::Ended(Ending::ReaderGone) => return Exit::Ended(Ending::ReaderGone).into(),
        Failure::Ended(ending) => {
            printer.line("stopped");
            return Exit::Ended(*ending).into();
        }
    };
    match codes {
        Codes::Own => {
            printer.diagnostic(&diagnostic);
            diagnostic.exit().unwrap_or(Exit::Failed).into()
        }
        Codes::OfCommand => {
            printer.diagnostic(&diagnostic.ending_with(pshim::FAILED));
            pshim::FAILED.into()
        }
    }
}

/// Returns whether an app ended because it has a variable and its `_FILE`, which many official images refuse.
fn refuses_both(tail: &[String]) -> bool {
    tail.iter().any(|line| line.contains("_FILE") && line.contains("both") && line.contains("set"))
}

/// Explains an error, and chooses the exit code.
#[must_use]
pub(crate) fn diagnostic(error: &RunError) -> Diagnostic {
    let plain = |exit| Diagnostic::error(error.to_string(), exit);
    match error {
        RunError::Connect(source) => {
            let exit = if source.is_usage() { Exit::Usage } else { Exit::EngineUnreachable };
            source.help().into_iter().fold(Diagnostic::from_error(source, exit), Diagnostic::help)
        }
        RunError::Engine { source, .. } => plain(Exit::Failed).note(format!("the engine says: {}", message(source))),
        RunError::Manifest(source) => source.diagnostic(),
        RunError::Resolve(source) => source.diagnostic(),
        RunError::Plan(source) => plan(source),
        RunError::Values(source) => values(source),
        RunError::Command(source) => command(source),
        RunError::NoProject => plain(Exit::Usage).help("--project NAME, or go to the folder of its app.toml"),
        RunError::NoStateFolder => plain(Exit::Usage).help("set HOME or XDG_STATE_HOME"),
        RunError::NobodyToAsk { .. } => plain(Exit::Usage).help("pass --yes where nobody can be asked"),
        RunError::Declined { name } => plain(Exit::Usage).help(format!("type `{name}`, or pass --yes")),
        RunError::Architecture { .. } => {
            plain(Exit::Usage).help("use a prun that was built for that architecture")
        }
        RunError::Foreign { kind, .. } => plain(Exit::Failed)
            .note(format!(
                "it was made by hand, by another user, or by a prun whose state is gone; prun never touches a {kind} that it did not make"
            ))
            .help("choose another name with --project, or remove it yourself"),
        RunError::ExistingVolume { service, volume } => plain(Exit::Failed)
            .note("a fresh password would not open the data in it, and nothing here deletes data")
            .help(format!(
                "prun services import {service}, with its administrator's password: the app gets a login of its own"
            ))
            .help(format!("prun services reset {service}: new passwords, set by the server itself; the data stays"))
            .help(format!("bring back this project's state, or move the data away: docker volume rm {volume}")),
        RunError::WrongPassword { service, volume } => plain(Exit::Failed)
            .note(format!(
                "the data in `{volume}` is not what this project made, or somebody changed the password of `{service}`"
            ))
            .help("set the old password again, or bring back the volume or the newer state that belongs to it")
            .help(format!("or ask for another one: prun services import {service}, prun services reset {service}")),
        RunError::WrongAdministrator { service, external: None } => plain(Exit::Failed)
            .note("its data is as it was")
            .help(format!(
                "say it again with the right password, or with --user NAME: prun services import {service}"
            ))
            .help(format!("or let the server set new passwords: prun services reset {service}")),
        RunError::WrongAdministrator { service, external: Some(host) } => plain(Exit::Failed)
            .note(format!("the secret that `admin` of [services.{service}] names does not open {host}"))
            .help("give that secret a URL with the right user and password, then prun start"),
        RunError::WrongExternalLogin { service, administered, .. } => match administered {
            true => plain(Exit::Failed).help("prun start makes it anew, with the administrator's login at hand"),
            false => plain(Exit::Failed)
                .help(format!("`username`, and the secret that `password` of [services.{service}] names, must open it")),
        },
        RunError::Impossible { service, tail, of_others } => plain(Exit::Failed)
            .tail("its answer", tail.clone())
            .help(impossible(service, tail, *of_others)),
        RunError::Tool { tail, state, .. } => {
            plain(Exit::Failed).tail("the end of its answer", tail.clone()).note((*state).to_owned())
        }
        RunError::OlderState { project, .. } => plain(Exit::Store)
            .note(
                "it was brought back from a backup; credentials that were rotated since are refused by their services",
            )
            .help("bring back the newer state: prun state restore FILE, with a newer backup")
            .help(format!(
                "or go on with the older one: prun stop --project {project}, then start; use prun services reset for \
                 services that refuse its credentials"
            )),
        RunError::Rotation { tail, .. } => plain(Exit::Failed)
            .tail("the end of its output", tail.clone())
            .note("instances are as they were; both credentials are sealed, and what is valid stays valid")
            .help("prun start continues the rotation"),
        RunError::NotReady { service, tail, .. } => plain(Exit::Failed)
            .tail(format!("the end of the log of `{service}`"), tail.clone())
            .help("--wait SECONDS gives it more time"),
        RunError::ServiceEnded { service, tail, .. } => {
            plain(Exit::Failed).tail(format!("the end of the log of `{service}`"), tail.clone())
        }
        RunError::RegistryLogin { registry, .. } => plain(Exit::Failed)
            .help(format!("docker login {registry}, or mend config.json in docker's folder or DOCKER_AUTH_CONFIG")),
        RunError::ImageMissing(failure) => pull(failure),
        RunError::PortTaken { holder, .. } => {
            let diagnostic = match holder {
                Some(name) => plain(Exit::Failed).note(format!("container `{name}` has it")),
                None => plain(Exit::Failed).note("another program on the engine's machine listens on it"),
            };
            diagnostic.help("publish another port: -p HOST:CONTAINER, or ports in app.toml")
        }
        RunError::Init { tail, code, .. } => {
            let diagnostic = log(plain(Exit::Failed), tail);
            match *code {
                TIMED_OUT => diagnostic.help("if it took longer than its `timeout` in app.toml, give it more"),
                _ if refuses_both(tail) => diagnostic
                    .help("deliver = \"files\" below [run] gives the app NAME_FILE alone, without the value beside it"),
                KILLED => diagnostic.note("it was killed with SIGKILL, as the kernel does when memory runs out"),
                _ => diagnostic,
            }
        }
        RunError::Ended { tail, code, .. } => {
            let diagnostic = log(plain(Exit::Failed), tail);
            match *code {
                NOT_FOUND => diagnostic.help("the image has no such program: see `command` in app.toml, and the image's CMD"),
                KILLED => diagnostic.note("it was killed with SIGKILL, as the kernel does when memory runs out"),
                _ => diagnostic,
            }
        }
        RunError::Unhealthy { answer, tail, .. } => {
            let diagnostic = match answer {
                Answer::Nothing => plain(Exit::Failed),
                Answer::Status { .. } | Answer::NobodyListens { .. } | Answer::NoProgram { .. } | Answer::Words(_) => {
                    plain(Exit::Failed).note(format!("the last health check: {answer}"))
                }
            };
            unhealthy(answer).into_iter().fold(log(diagnostic, tail), Diagnostic::help)
        }
        RunError::Secret(_) => Diagnostic::from_error(error, Exit::SecretMissing),
        RunError::Vault(source) => {
            let diagnostic = Diagnostic::from_error(source, Exit::Store);
            source.help().into_iter().fold(diagnostic, Diagnostic::help)
        }
        RunError::Ledger(_) | RunError::DamagedState => {
            plain(Exit::Store).help("prun state restore FILE brings a backup back")
        }
        RunError::State(source) => state(source),
        RunError::NewerState { .. } => plain(Exit::Store).help("use that prun, or a newer one"),
        RunError::UnknownProject { .. } => {
            plain(Exit::Failed).help("prun start starts it; prun ps --all lists the projects of this engine")
        }
        RunError::NotStarted { .. } | RunError::ContainerRemoved { .. } => plain(Exit::Failed).help("prun start"),
        RunError::Stopped(ending) => plain(Exit::Ended(*ending)),
    }
}

/// Explains a pull that failed. The advice differs: an app's image can be built, and a service's image is named in
/// the manifest.
fn pull(failure: &PullFailure) -> Diagnostic {
    let diagnostic = Diagnostic::error(failure.to_string(), Exit::Failed)
        .note(format!("the engine says: {}", message(&failure.source)));
    let registry = &failure.registry;
    let diagnostic = match (failure.is_denied(), failure.stranger) {
        (true, true) => diagnostic
            .note(format!("docker knows no login for {registry}"))
            .help(format!("docker login {registry}, if the image is private")),
        (true, false) => {
            diagnostic.help(format!("docker login {registry}: the login that docker knows may not pull this image"))
        }
        (false, _) => diagnostic,
    };
    match &failure.service {
        None => diagnostic.help("build it (pbuild build), or name another one"),
        Some(service) => diagnostic.help(format!(
            "`version` or `image` of [services.{service}] in app.toml names another one; or load it: docker load"
        )),
    }
}

/// Adds the end of an instance's log, and tells how to see the rest.
fn log(diagnostic: Diagnostic, tail: &[String]) -> Diagnostic {
    match tail.len() {
        0 => diagnostic.note("its log is empty"),
        TAIL => diagnostic.tail("the end of its log; prun logs --failed shows all of it", tail.to_vec()),
        _ => diagnostic.tail("the end of its log", tail.to_vec()),
    }
}

/// Returns advice on an instance that does not become healthy, chosen by the last answer of its check.
fn unhealthy(answer: &Answer) -> Vec<String> {
    let time = "`start` of health in app.toml, or --wait SECONDS, gives it more time".to_owned();
    match answer {
        Answer::Status { status: 404, .. } => {
            vec!["health = { http = \"/PATH\" } in app.toml names a page of the app that answers below 400".to_owned()]
        }
        // Django answers 400 if it does not serve the host, Rails answers 403, and HTTP servers answer 421.
        Answer::Status { status: 400 | 403 | 421, .. } => vec![
            "many apps refuse a host that they do not know: health = { …, host = \"shop.example\" } names one that it serves"
                .to_owned(),
        ],
        Answer::Status { status: 401 | 407, .. } => {
            vec!["name a page that wants no login, or give the check its headers: health = { …, headers = { … } }".to_owned()]
        }
        Answer::Status { .. } => vec!["see why in its log: prun logs --failed".to_owned(), time],
        Answer::NobodyListens { port } => vec![
            format!("the app must listen on port {port} of 0.0.0.0; on localhost nobody reaches it from outside its container"),
            "health = { …, port = NUMBER } names another port".to_owned(),
            time,
        ],
        Answer::NoProgram { .. } => vec![
            "name a program that the image has, or let prun ask: health = { http = \"/PATH\" } needs none".to_owned(),
        ],
        Answer::Nothing | Answer::Words(_) => vec![time],
    }
}

/// Explains why the flags and the manifest do not make a plan.
fn plan(error: &PlanError) -> Diagnostic {
    let plain = Diagnostic::error(error.to_string(), Exit::Usage);
    match error {
        PlanError::NoImage => plain.help("prun start IMAGE, or image = \"…\" in app.toml"),
        PlanError::ProjectName { .. } => {
            plain.help("lowercase letters, digits, `-` and `_`, at most 60 characters; choose one with --project")
        }
        PlanError::TwoKinds { .. } => plain.help("give the other one a name of its own: --service KIND=NAME"),
        PlanError::DeclaredKind { .. } | PlanError::OrderedKind { .. } => plain.help(kinds()),
        PlanError::ServiceName { .. } => {
            plain.help("lowercase letters, digits and `-`, at most 40 characters, a letter first")
        }
        PlanError::VariablesOfKind { line, .. } => plain.help(format!("take it out of `variables` in app.toml:{line}")),
        PlanError::SecretInEnvironment { name } => plain
            .help(format!("--secret id={name} takes it from the environment, --secret id={name},src=FILE from a file")),
        PlanError::SecretInValue { .. } => {
            plain.help("--secret id=NAME,src=FILE, or compose it in app.toml: value = \"…${NAME}…\"")
        }
        PlanError::EnvironmentWithoutValue { flag } => {
            plain.help(format!("-e NAME=VALUE for public configuration, --secret id={flag} for a secret"))
        }
        PlanError::Port { .. } => plain.help("[ADDRESS:][HOST:]CONTAINER, for example 127.0.0.1:8080:80"),
        PlanError::NotText { name } => {
            plain.help(format!("{name} = {{ as = \"file\" }} below [secrets], or another `deliver` below [run]"))
        }
        PlanError::SamePort { .. } => plain.help("choose two different host ports"),
        PlanError::SeveralProcesses { processes, .. } => {
            let tables: Vec<String> = processes.iter().map(|name| format!("[processes.{name}]")).collect();
            plain.help(format!("write it in app.toml, below one of {}", tables.join(", ")))
        }
        PlanError::Network { .. } => plain.help(
            "instances are on the project's network, where services and the forwarder reach them; name a further one",
        ),
        PlanError::Volume { .. } => plain
            .help("SOURCE:TARGET[:ro], for example uploads:/srv/uploads or ./data:/data; /srv/cache alone has no name"),
        PlanError::Restart { .. } => plain.help("no, always, unless-stopped or on-failure[:COUNT]"),
        PlanError::Memory { .. } => plain.help("a number with b, k, m or g, for example 512m"),
        PlanError::Cpus { .. } => plain.help("a number such as 1.5"),
        PlanError::Label { .. } => plain.help("NAME=VALUE; io.prun.… is prun's own"),
        PlanError::SealedManifest => {
            Diagnostic::error(error.to_string(), Exit::Store).help("prun start seals the app.toml of today")
        }
        PlanError::VolumeFolder { .. } => plain.help("create it first"),
        PlanError::NoCommand { .. } => plain.help("add CMD or ENTRYPOINT to its Dockerfile"),
        PlanError::HealthPort => plain.help("health = { http = \"/healthz\", port = 8080 }"),
    }
}

/// Returns advice on a service that cannot do something, chosen by its answer.
fn impossible(service: &str, tail: &[String], of_others: bool) -> String {
    let says = |what: &str| tail.iter().any(|line| line.contains(what));
    let lacks = |what: &str| tail.iter().any(|line| line.contains(what) && line.ends_with("does not exist"));
    let (database, role) = (lacks("database ") || says("Unknown database"), lacks("role "));
    match (database, role, of_others) {
        (true, _, true) => {
            format!("prun services import {service} --database NAME corrects the name of the database, reset does too")
        }
        (_, true, true) => {
            format!(
                "the data has another administrator: prun services import {service} --user NAME, or reset with --user NAME"
            )
        }
        _ if says("extension") => {
            format!("take it out of `extensions` of [services.{service}], or choose an image that has it with `image`")
        }
        _ => format!(
            "[services.{service}] in app.toml says what is asked; prun services shell {service} shows what is there"
        ),
    }
}

/// Explains values that cannot be composed.
fn values(error: &ValuesError) -> Diagnostic {
    let plain = Diagnostic::error(error.to_string(), Exit::Usage);
    match error {
        ValuesError::Injected(_) => plain.help("mark one with primary = true, or rename a service"),
        ValuesError::SecretAndService { .. } => {
            plain.help("override = true lets the secret win; or give the secret another name")
        }
        ValuesError::ConfigurationAndService { .. } => {
            plain.help("take it out of [env], or make it a secret with override = true")
        }
        ValuesError::Composition(source) => plain.help(format!("{} in app.toml:{}", source.help(), source.line())),
        ValuesError::Needs { line, .. } => {
            plain.help(format!("a secret, [env] or a service must set it; it is named in app.toml:{line}"))
        }
        ValuesError::TooLarge { longest, .. } => plain.help(format!(
            "deliver long values as files: {longest} = {{ as = \"file\" }} in app.toml, or deliver = \"files\" below [run] for all"
        )),
        ValuesError::ExternalLogin { key, .. } => plain.help(match *key {
            "admin" => "a URL with user and password, percent-encoded: postgres://boss:secret@db.example/",
            _ => "one line of text: the password of the app's login",
        }),
        ValuesError::Nul { line, .. } => plain.help(format!("deliver it as = \"file\" in app.toml:{line}")),
    }
}

/// Explains why a state cannot be opened or changed.
fn state(error: &StateError) -> Diagnostic {
    let store = Diagnostic::error(error.to_string(), Exit::Store);
    let usage = Diagnostic::error(error.to_string(), Exit::Usage);
    match error {
        StateError::NotAnOperator { operators, recipient, .. } => {
            let diagnostic =
                if operators.is_empty() { store } else { store.note(format!("operators: {}", operators.join(", "))) };
            let key = recipient.as_deref().unwrap_or("KEY");
            let diagnostic = match recipient {
                Some(_) => diagnostic,
                None => diagnostic.help("prun operators key makes a key for this user, and prints its public half"),
            };
            diagnostic
                .help(format!("ask an operator to run: prun operators add NAME {key}"))
                .help("if no operator is left: prun state new, then prun services reset NAME for each service")
        }
        StateError::NotAdopted { project, .. } => usage
            .note("a name in a manifest proves nothing, so it gets no value and changes nothing that runs")
            .help(format!("if it is yours: prun adopt {project}; in CI set PRUN_PROJECT_ID"))
            .help("else choose another name: --project, or `name` in app.toml"),
        StateError::OtherProject { .. } => usage.help("prun operators list prints the id of a project"),
        StateError::Older { .. } => store
            .note("somebody brought it back from a backup, or put it there")
            .help("prun state restore FILE, with the newest backup")
            .help("or go on with it: prun state new"),
        StateError::OtherOrigin { .. } => store
            .note("somebody began it anew, or wrote it who could not read the one before")
            .help("ask the other operators; if they know of it: prun adopt --again"),
        StateError::Busy { seconds, .. } => store
            .note(format!("it was waited for {seconds} s"))
            .help("try again when it is done; prun start --wait SECONDS waits longer"),
        StateError::LockLost { .. } => store.help("prun start goes on from what was written"),
        StateError::Changed { .. } => store.help("run the command again"),
        StateError::NotWritten { .. } => {
            store.help("is the disk of the engine full? docker system df shows what is on it")
        }
        StateError::Identity => usage.help("prun operators key prints the public half of a key; age-keygen makes one"),
        StateError::OtherBackup { .. } => usage.help("prun state backup FILE writes one of this project"),
        StateError::NotAKey { .. } => usage.help("prun operators key prints it, on the other machine"),
        StateError::OperatorName => usage.help("for example alice@laptop, or ci"),
        StateError::OperatorExists { .. } => usage.help("prun operators list shows them"),
        StateError::NoOperator { known, .. } => usage.help(format!("there are {}", known.join(", "))),
        StateError::LastOperator { .. } => {
            usage.help("add another one first, or remove the project: prun stop --purge")
        }
        StateError::EarlierOfAnotherEngine { .. } => Diagnostic::error(error.to_string(), Exit::Failed)
            .note("the same project was started on two engines by an older prun, which kept one state for both")
            .help("prun services reset NAME gives the services here new passwords")
            .help("on the other engine nothing needs to be done"),
    }
}

/// Explains why a subcommand cannot do what its command line asks for.
fn command(error: &CommandError) -> Diagnostic {
    let usage = Diagnostic::error(error.to_string(), Exit::Usage);
    let failed = Diagnostic::error(error.to_string(), Exit::Failed);
    match error {
        CommandError::NothingRuns { .. } => failed.help("prun ps shows what runs, prun start starts it"),
        CommandError::InstanceStopped { .. } => failed.help("prun ps shows the instances that run"),
        CommandError::NoProcess { known, .. } => usage.help(format!("there are {}", known.join(", "))),
        CommandError::NothingFailed { .. } => failed.help("prun logs shows what runs"),
        CommandError::ValuesGone { .. } => failed
            .help("prun resume brings them back")
            .help("prun resume --install does so after every start of the engine"),
        CommandError::NoGeneration { kept, .. } => {
            let kept: Vec<String> = kept.iter().map(u64::to_string).collect();
            usage.help(format!("prun generations lists them; kept are {}", kept.join(", ")))
        }
        CommandError::FirstGeneration { .. } => usage.help("prun generations lists what is kept"),
        CommandError::ImageGone { .. } => failed.help("build or pull it again, then prun start"),
        CommandError::NoVariable { .. } => failed.help("prun injected lists the variables"),
        CommandError::NoService { .. } => failed.help("prun services list shows the services"),
        CommandError::UnusedService { used, .. } if used.is_empty() => usage.help("it uses none at all"),
        CommandError::UnusedService { used, .. } => usage.help(format!("it uses {}", used.join(", "))),
        CommandError::ServiceExists { .. } => usage.help("give the new one another name: KIND=NAME"),
        CommandError::KindOfData { .. } => usage.help("give the new one another name"),
        CommandError::OwnAndExternal { .. } => {
            usage.help("give the new one another name, and `primary = true` if it is to own the standard variables")
        }
        CommandError::DatabaseOfData { service, planned, .. } => usage
            .help(format!("databases = [\"{planned}\"] makes it beside the first one"))
            .help(format!("prun services import {service} --database {planned} takes one that is there already")),
        CommandError::ExternalWithoutLogin { secret, .. } => Diagnostic::error(error.to_string(), Exit::SecretMissing)
            .help(format!("--secret id={secret},src=FILE, or pbuild secrets set {secret}")),
        CommandError::NotRotated { service } => usage.help(format!(
            "`admin` of [services.{service}] lets prun make the app's logins; or change the secret and prun start"
        )),
        CommandError::VolumeInUse { container, .. } => {
            usage.note("two servers on one folder destroy the data in it").help(format!("docker stop {container}"))
        }
        CommandError::ServiceStopped { .. } => failed.help("prun start"),
        CommandError::NoDatabase { known, .. } if known.is_empty() => usage.help("leave --database out: it has none"),
        CommandError::NoDatabase { known, .. } => usage.help(format!("there are {}", known.join(", "))),
        CommandError::DumpToTerminal { service } => usage.help(format!("prun services dump {service} >FILE")),
        CommandError::LoadFromTerminal { service } => usage.help(format!("prun services load {service} <FILE")),
        CommandError::HoldsData { service, .. } => usage
            .help(format!("prun services dump {service} >FILE keeps what is there"))
            .help(format!("prun services load --replace {service} <FILE puts the new data in its place")),
        CommandError::DumpOfMongodb { service } => usage.help(format!(
            "mongodump and mongorestore do, in its container; prun services shell {service} looks into it"
        )),
        CommandError::LoadIntoExternal { service } => {
            usage.help(format!("prun services shell {service} <FILE runs a script there"))
        }
        CommandError::ServiceDeclared { service, .. } => usage.help(format!(
            "remove it there and run prun start; then prun services remove {service} --purge removes its data"
        )),
        CommandError::AdoptedVolume { volume } => {
            usage.help(format!("leave --purge out, then run docker volume rm {volume}"))
        }
        CommandError::NotRemoved { .. } => failed.help("see what still uses it: docker ps --all --filter volume=NAME"),
        CommandError::NoVolumeToImport { .. } => usage.help("--volume NAME says which one has the data"),
        CommandError::NoVolumeToReset { .. } => {
            usage.help("prun start makes it; --volume NAME says where data of others lies")
        }
        CommandError::AdministratorPassword { service } => {
            usage.help(format!("one line on standard input: prun services import {service} <FILE"))
        }
        CommandError::ResetOfMongodb { service } => {
            usage.help(format!("prun services import {service}, with its administrator's password"))
        }
        CommandError::NoTerminal => usage.help("leave -t out"),
        CommandError::Detached => usage.help("prun start runs an app in the background"),
        CommandError::NoInit => usage.help("[[init]] in app.toml, then prun start"),
        CommandError::UnknownInit { known, .. } => usage.help(format!("there are {}", known.join(", "))),
        CommandError::Unit { .. } => usage.help(unit::by_hand()),
        CommandError::PagePort { .. } => usage.help("--port takes another one; without it prun takes one that is free"),
        CommandError::NotOnPage { .. } => usage.help("prun ui --project NAME shows another one"),
        CommandError::ErrandUnderWay => usage.help("wait for its end, which the page and the terminal show"),
    }
}

fn kinds() -> String {
    let kinds: Vec<&str> = ServiceKind::ALL.iter().map(|kind| kind.as_str()).collect();
    format!("one of {}", kinds.join(", "))
}

#[cfg(test)]
mod tests {
    use pengine::EngineError;

    use super::*;

    #[test]
    fn an_engine_behind_ssh_is_explained_as_pengine_says() {
        let error = EngineError::Ssh { endpoint: "ssh://nobody@127.0.0.1:1".to_owned(), said: "refused".to_owned() };
        assert_eq!(
            diagnostic(&error.into()).to_string(),
            "error: ssh to ssh://nobody@127.0.0.1:1 failed: refused\n  help: see what `ssh HOST docker version` says\n\
             exit code 30\n"
        );
    }

    #[test]
    fn every_plan_that_cannot_be_followed_says_what_to_change() {
        let flag = || "text".to_owned();
        for error in [
            PlanError::NoImage,
            PlanError::OrderedKind { flag: flag(), kind: flag() },
            PlanError::EnvironmentWithoutValue { flag: flag() },
            PlanError::Volume { flag: flag() },
            PlanError::HealthPort,
        ] {
            let diagnostic = plan(&error);
            assert_eq!(diagnostic.exit(), Some(Exit::Usage));
            assert_eq!(diagnostic.title_and_help().1.len(), 1, "{error}");
        }
    }

    #[test]
    fn a_circle_of_composed_secrets_names_the_line() {
        let names = vec!["A".to_owned(), "A".to_owned()];
        let diagnostic = values(&papp::CompositionError::Circle { names, line: 3 }.into());
        assert_eq!(diagnostic.title_and_help().1, ["break the circle of `${…}` in app.toml:3"]);
    }
}
