//! Writes the new manifest as the text of `app.toml`.

use std::fmt::Write as _;

use super::compose::{InitDraft, ProcessDraft, ServiceDraft};
use super::plan::{Draft, PublicDraft, SecretDraft};

/// Returns the line by which editors with TOML support find the schema of manifests, so that they complete keys and
/// mark mistakes. The line names the schema in the repository that this program was built from; it is empty if the
/// package names no repository.
fn schema_line(repository: &str) -> String {
    match repository.trim_end_matches('/') {
        "" => String::new(),
        repository => {
            format!("#:schema {repository}/raw/v{}/docs/app.schema.json\n", env!("CARGO_PKG_VERSION"))
        }
    }
}

/// Writes the manifest. A comment is on the line of its subject, or above it.
pub(super) fn text(draft: &Draft) -> String {
    let mut page = schema_line(env!("CARGO_PKG_REPOSITORY"));
    page.push_str("# Written by `pbuild new` from this project's files: names, never values.\n");
    line(&mut page, &format!("name = {}", quoted(&draft.name)), "");
    line(&mut page, &format!("image = {}", quoted(&draft.image)), "");
    if !draft.env_files.is_empty() {
        page.push_str("\n# Where the values of the secrets below lie on this machine.\n");
        let files = draft.env_files.iter().map(|file| format!("{{ path = {} }}", quoted(&file.display().to_string())));
        line(&mut page, &format!("env_files = [{}]", files.collect::<Vec<_>>().join(", ")), "");
    }
    build(&mut page, draft);
    if !draft.environment.is_empty() {
        page.push_str(
            "\n[env]                          # public: in the image's steps and the app, never searched for\n",
        );
        let asked: Vec<&str> = draft
            .environment
            .iter()
            .filter(|public| public.value.is_none())
            .map(|public| public.name.as_str())
            .collect();
        if !asked.is_empty() {
            let _ = writeln!(
                page,
                "# Public? Write the value, or let `pbuild new --force --public {}` do it. Secret? Move the name below [secrets].",
                asked.join(",")
            );
        }
        draft.environment.iter().for_each(|public| public_line(&mut page, public));
    }
    if !draft.secrets.is_empty() {
        page.push_str("\n[secrets]\n");
        draft.secrets.iter().for_each(|secret| secret_line(&mut page, secret));
    }
    draft.services.iter().for_each(|service| self::service(&mut page, service));
    draft.init.iter().for_each(|command| init(&mut page, command));
    run(&mut page, draft);
    if !draft.left_out.is_empty() {
        page.push_str("\n# Left out:\n");
        draft.left_out.iter().for_each(|what| {
            let _ = writeln!(page, "#   {}", one_line(what));
        });
    }
    page
}

fn build(page: &mut String, draft: &Draft) {
    let settings = [("context", &draft.context), ("dockerfile", &draft.dockerfile), ("target", &draft.target)];
    let settings: Vec<String> =
        settings.iter().filter_map(|(key, value)| Some(format!("{key} = {}", quoted(value.as_deref()?)))).collect();
    if !settings.is_empty() {
        page.push_str("\n[build]\n");
        settings.iter().for_each(|setting| line(page, setting, ""));
    }
    if !draft.arguments.is_empty() {
        page.push_str("\n[build.args]                   # public: docker writes them into the image's history\n");
        draft.arguments.iter().for_each(|public| public_line(page, public));
    }
}

fn service(page: &mut String, service: &ServiceDraft) {
    let _ = writeln!(page, "\n[services.{}]", service.name);
    line(page, &format!("kind = {}", quoted(service.kind.as_str())), "");
    let settings = [("version", &service.version), ("image", &service.image), ("database", &service.database)];
    for (key, value) in settings {
        if let Some(value) = value {
            line(page, &format!("{key} = {}", quoted(value)), "");
        }
    }
}

fn init(page: &mut String, init: &InitDraft) {
    page.push_str("\n[[init]]                       # before the processes, in each new container, one at a time\n");
    line(page, &format!("name = {}", quoted(&init.name)), "");
    line(page, &format!("command = [{}]", list(&init.command)), "");
}

/// Writes the processes, and what they share. One process needs no table of its own.
fn run(page: &mut String, draft: &Draft) {
    let mut shared = Vec::new();
    match draft.processes.as_slice() {
        [only] if only.memory.is_none() && only.cpus.is_none() => shared = settings(only),
        several => {
            for process in several {
                let _ = writeln!(page, "\n[processes.{}]", process.name);
                settings(process).iter().for_each(|setting| line(page, setting, ""));
            }
        }
    }
    if !draft.volumes.is_empty() {
        let at = shared.iter().position(|setting| setting.starts_with("health")).unwrap_or(shared.len());
        shared.insert(at, format!("volumes = [{}]", list(&draft.volumes)));
    }
    if !shared.is_empty() {
        page.push_str("\n[run]\n");
        shared.iter().for_each(|setting| line(page, setting, ""));
    }
}

fn settings(process: &ProcessDraft) -> Vec<String> {
    let mut settings = Vec::new();
    settings.extend(process.command.as_ref().map(|command| format!("command = [{}]", list(command))));
    settings.extend(process.replicas.map(|count| format!("replicas = {count}")));
    if !process.ports.is_empty() {
        settings.push(format!("ports = [{}]", list(&process.ports)));
    }
    settings.extend(process.memory.as_ref().map(|memory| format!("memory = {}", quoted(memory))));
    settings.extend(process.cpus.as_ref().map(|cpus| format!("cpus = {}", quoted(cpus))));
    settings.extend(process.health.as_ref().map(|command| format!("health = {{ command = [{}] }}", list(command))));
    settings
}

fn public_line(page: &mut String, public: &PublicDraft) {
    match &public.value {
        Some(value) => line(page, &format!("{} = {}", public.name, quoted(value)), &public.why),
        None => line(page, &format!("# {} = \"…\"", public.name), &public.why),
    }
}

fn secret_line(page: &mut String, secret: &SecretDraft) {
    let mark = if secret.active { "" } else { "# " };
    line(page, &format!("{mark}{} = {}", secret.name, secret.entry), &secret.why);
}

/// Writes one setting, with a comment at the end of the line.
fn line(page: &mut String, setting: &str, comment: &str) {
    let _ = if comment.is_empty() {
        writeln!(page, "{setting}")
    } else {
        writeln!(page, "{setting:<30} # {}", one_line(comment))
    };
}

fn list(items: &[String]) -> String {
    items.iter().map(|item| quoted(item)).collect::<Vec<_>>().join(", ")
}

fn quoted(text: &str) -> String {
    toml_edit::Value::from(text).to_string()
}

/// Makes a text fit for a comment, which ends at the end of the line and must not hold control characters.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_that_of_this_version() {
        let line = schema_line("https://git.example/pbuild/");
        assert!(
            line.starts_with("#:schema https://git.example/pbuild/raw/v0.")
                && line.ends_with("/docs/app.schema.json\n")
        );
        assert_eq!(schema_line(""), "");
    }
}
