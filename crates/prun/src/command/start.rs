//! The flags of `prun start` and `prun run`, and the requests that they make.

use std::path::Path;

use clap::Args;
use pcli::arguments::SecretArguments;
use psecret::Dialect;

use crate::error::command::CommandError;
use crate::plan::order::{ContainerOrder, Order};
use crate::plan::request::{Attachment, RunRequest, StartRequest, Transport};

/// `prun start`: docker's flags keep docker's spelling and meaning.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct StartArguments {
    /// The app's image [default: `image` of the manifest]
    #[arg(value_name = "IMAGE")]
    pub(crate) image: Option<String>,

    /// The command instead of the image's CMD
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,

    /// Where secrets come from.
    #[command(flatten)]
    pub(crate) secrets: SecretArguments,

    /// The project [default: `name` of app.toml]
    ///
    /// Without a manifest it is the image's name.
    #[arg(long, visible_alias = "name", value_name = "NAME", help_heading = "App")]
    pub(crate) project: Option<String>,

    /// A database or a cache: `KIND[:VERSION][=NAME]`
    ///
    /// Kinds are postgres, mysql, mariadb, redis, valkey, mongodb (repeatable).
    #[arg(long = "service", value_name = "KIND[=NAME]", help_heading = "App")]
    pub(crate) services: Vec<String>,

    /// Publish a port: `[ADDRESS:][HOST:]CONTAINER`
    ///
    /// As docker spells it (repeatable).
    #[arg(short, long = "publish", value_name = "PORT", help_heading = "App")]
    pub(crate) ports: Vec<String>,

    /// How many instances to run
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=100), help_heading = "App")]
    pub(crate) replicas: Option<u32>,

    /// How long it may take to be ready [default: 120]
    ///
    /// In seconds, for each service and each instance.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86400), help_heading = "App")]
    pub(crate) wait: Option<u64>,

    /// The flags of docker run about the container.
    #[command(flatten)]
    pub(crate) container: ContainerArguments,

    /// Show what would be done, and do nothing
    #[arg(long, help_heading = "App")]
    pub(crate) dry_run: bool,
}

/// `prun run`: docker's foreground run.
#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// Pass standard input on to the command
    #[arg(short, long, help_heading = "Container, as docker run has it")]
    pub(crate) interactive: bool,

    /// Give the command a terminal
    #[arg(short, long, help_heading = "Container, as docker run has it")]
    pub(crate) tty: bool,

    /// Remove the container when it ends, as prun run always does
    #[arg(long, help_heading = "Container, as docker run has it")]
    pub(crate) rm: bool,

    /// The flags that prun start has too.
    #[command(flatten)]
    pub(crate) start: StartArguments,
}

/// The flags of `docker run` for a container, in docker's own spelling.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Container, as docker run has it")]
pub(crate) struct ContainerArguments {
    /// Run in the background, as prun start always does
    #[arg(short, long)]
    pub(crate) detach: bool,

    /// A volume or a folder: `SOURCE:TARGET[:ro]`
    ///
    /// Repeatable.
    #[arg(short, long = "volume", value_name = "VOLUME")]
    pub(crate) volumes: Vec<String>,

    /// A public value; a secret is `--secret id=NAME`
    ///
    /// `NAME=VALUE` (repeatable): docker inspect shows it.
    #[arg(short, long = "env", value_name = "NAME=VALUE")]
    pub(crate) environment: Vec<String>,

    /// The working directory
    #[arg(short, long, value_name = "PATH", hide_short_help = true)]
    pub(crate) workdir: Option<String>,

    /// The user: `NAME|ID[:GROUP]`
    #[arg(short, long, value_name = "USER", hide_short_help = true)]
    pub(crate) user: Option<String>,

    /// When the engine starts instances again: no, always, unless-stopped, on-failure or on-failure:COUNT [default:
    /// unless-stopped]
    #[arg(long, value_name = "POLICY", hide_short_help = true)]
    pub(crate) restart: Option<String>,

    /// Join a further network, beside the project's own (repeatable)
    #[arg(long = "network", visible_alias = "net", value_name = "NETWORK", hide_short_help = true)]
    pub(crate) networks: Vec<String>,

    /// The memory limit: bytes, or with b, k, m, g
    #[arg(short, long, value_name = "SIZE", hide_short_help = true)]
    pub(crate) memory: Option<String>,

    /// The number of processors, for example 1.5
    #[arg(long, value_name = "NUMBER", hide_short_help = true)]
    pub(crate) cpus: Option<String>,

    /// Replace the image's entrypoint; its CMD is dropped too
    #[arg(long, value_name = "PROGRAM", hide_short_help = true)]
    pub(crate) entrypoint: Option<String>,

    /// A label: `NAME=VALUE` (repeatable)
    #[arg(short, long = "label", value_name = "NAME=VALUE", hide_short_help = true)]
    pub(crate) labels: Vec<String>,

    /// Forbid writing to the container's root
    #[arg(long, hide_short_help = true)]
    pub(crate) read_only: bool,

    /// Take a capability away (repeatable)
    #[arg(long = "cap-drop", value_name = "CAPABILITY", hide_short_help = true)]
    pub(crate) cap_drop: Vec<String>,

    /// Give a capability (repeatable)
    #[arg(long = "cap-add", value_name = "CAPABILITY", hide_short_help = true)]
    pub(crate) cap_add: Vec<String>,

    /// A small init as process 1, which forwards signals and reaps processes
    #[arg(long, hide_short_help = true)]
    pub(crate) init: bool,
}

impl StartArguments {
    /// Returns what these flags ask for when they are typed in `directory`.
    #[must_use]
    pub(crate) fn request(&self, directory: &Path) -> StartRequest {
        StartRequest {
            order: self.order(directory),
            config: self.secrets.config.clone(),
            sources: self.secrets.sources(Dialect::Docker),
            transport: if self.secrets.require_tls { Transport::Private } else { Transport::Any },
            preview: self.dry_run,
        }
    }

    fn order(&self, directory: &Path) -> Order {
        Order {
            image: self.image.clone(),
            command: self.command.clone(),
            project: self.project.clone(),
            services: self.services.clone(),
            ports: self.ports.clone(),
            replicas: self.replicas,
            wait: self.wait,
            container: self.container.order(),
            directory: Some(directory.to_owned()),
        }
    }
}

impl RunArguments {
    /// Returns what these flags ask for when they are typed in `directory`.
    ///
    /// # Errors
    ///
    /// If the command is to run in the background, which `prun run` cannot.
    pub(crate) fn request(&self, directory: &Path) -> Result<RunRequest, CommandError> {
        if self.start.container.detach {
            return Err(CommandError::Detached);
        }
        let attachment = Attachment { interactive: self.interactive, tty: self.tty };
        Ok(RunRequest { start: self.start.request(directory), attachment })
    }
}

impl ContainerArguments {
    fn order(&self) -> ContainerOrder {
        ContainerOrder {
            volumes: self.volumes.clone(),
            environment: self.environment.clone(),
            workdir: self.workdir.clone(),
            user: self.user.clone(),
            restart: self.restart.clone(),
            networks: self.networks.clone(),
            memory: self.memory.clone(),
            cpus: self.cpus.clone(),
            entrypoint: self.entrypoint.clone(),
            labels: self.labels.clone(),
            read_only: self.read_only,
            cap_drop: self.cap_drop.clone(),
            cap_add: self.cap_add.clone(),
            init: self.init,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::command::{Command, CommandLine};

    #[test]
    fn every_flag_about_the_app_reaches_the_order() {
        let words = "prun start --name shop --service postgres:16=db --publish 8080:80 --replicas 2 --wait 30 --volume data:/data \
                     --env MODE=quick --workdir /srv --user 1000 --restart always --network other --memory 512m --cpus 1.5 \
                     --entrypoint sh --label team=blue --read-only --cap-drop ALL --cap-add CHOWN --init shop:1.4 -c serve";
        let line = CommandLine::try_parse_from(words.split_whitespace()).unwrap();
        let Command::Start(arguments) = line.command else { panic!("start") };
        let order = serde_json::to_value(arguments.order(Path::new("/here"))).unwrap();
        let container = order.get("container").unwrap();
        for (name, value) in order.as_object().unwrap().iter().chain(container.as_object().unwrap()) {
            let empty = value.is_null() || value == &serde_json::json!(false) || value == &serde_json::json!([]);
            assert!(!empty, "{name} is lost");
        }
    }
}
