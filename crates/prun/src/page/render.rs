//! Renders the overview as HTML. The template escapes every text. The overview holds no confidential values, so none
//! can be written.

use maud::{Markup, html};

use crate::page::overview::{Content, Declared, Environment, Generation, Init, Injected, Instance, Overview, Service};

/// The mask of a value. It has the same length for all values, so it does not reveal theirs.
const MASK: &str = "••••••••";

/// Writes the content of the page's `main` element.
#[must_use]
pub(crate) fn html(overview: &Overview) -> String {
    html! {
        (head(overview))
        (environment(&overview.environment))
        (injected(&overview.injected))
        (services(&overview.services))
        (instances(&overview.instances))
        (init(&overview.init))
        (generations(&overview.generations))
    }
    .into_string()
}

fn head(overview: &Overview) -> Markup {
    html! {
        @if overview.projects.len() > 1 {
            nav.projects aria-label="Projects" {
                @for name in &overview.projects {
                    button type="button" id=(format!("project-{name}")) data-project=(name)
                        aria-pressed=(if *name == overview.project { "true" } else { "false" }) { (name) }
                }
            }
        }
        div.head {
            h1 { (overview.project) }
            div.acts {
                button.act type="button" id="restart" data-act="/restart" { "Restart the app" }
                button type="button" id="look" data-look="" { "Look again" }
            }
        }
        @if !overview.facts.is_empty() {
            dl.facts {
                @for (label, fact) in &overview.facts { div { dt { (label) } dd { (fact) } } }
            }
        }
        @if !overview.remarks.is_empty() {
            ul.remarks { @for remark in &overview.remarks { li { (remark) } } }
        }
    }
}

/// Makes a section with a table. On a narrow screen the table becomes a list of cards, so each cell carries its
/// column's label.
fn section(id: &str, title: &str, lead: &str, heads: &[&str], rows: &[Markup], empty: &str) -> Markup {
    html! {
        section aria-labelledby=(id) {
            h2 id=(id) { (title) }
            p.lead { (lead) }
            @if rows.is_empty() {
                p.card.none { (empty) }
            } @else {
                div.card {
                    table role="table" aria-labelledby=(id) {
                        thead role="rowgroup" {
                            tr role="row" {
                                @for head in heads { th role="columnheader" scope="col" { (head) } }
                            }
                        }
                        tbody role="rowgroup" {
                            @for row in rows { tr role="row" { (row) } }
                        }
                    }
                }
            }
        }
    }
}

fn name(text: &str) -> Markup {
    html! { th.name role="rowheader" scope="row" { code { (text) } } }
}

/// Makes a cell. Its label repeats the head of the column, for screens on which the heads are hidden.
fn cell(label: &str, text: &str) -> Markup {
    html! { td.none[text.is_empty()] role="cell" data-label=(label) { @if text.is_empty() { "–" } @else { (text) } } }
}

/// Makes the cells of a hidden value: the mask, and the buttons that show or copy the value.
fn hidden(list: &str, name: &str, length: &str) -> (Markup, Markup) {
    let id = format!("{list}-{name}");
    let value = html! {
        td.value role="cell" data-label="Value" {
            code.mask id=(format!("{id}-value")) { (MASK) }
            " " span.length { (length) }
        }
    };
    let button = |reason: &str, word: &str| {
        html! {
            button type="button" id=(format!("{id}-{reason}")) data-list=(list) data-name=(name) data-reason=(reason)
                aria-label=(format!("{word} {name}")) { (word) }
        }
    };
    (value, html! { (button("reveal", "Reveal")) (button("copy", "Copy")) })
}

fn environment(environment: &Environment) -> Markup {
    let lead = "What you declared, from where each value comes, and how an image is searched for it.";
    let heads = ["Name", "Scope", "From", "State", "Value", "Search", "Do"];
    let title = "Environment secrets";
    match environment {
        Environment::Unknown(why) => section("environment", title, lead, &heads, &[], why),
        Environment::Listed(secrets) => {
            let rows: Vec<Markup> = secrets.iter().map(declared).collect();
            html! {
                (section("environment", title, lead, &heads, &rows, "app.toml declares no secrets."))
                (form(secrets))
            }
        }
    }
}

fn declared(secret: &Declared) -> Markup {
    let (value, look) = hidden("environment", &secret.name, &format!("{} bytes", secret.length));
    html! {
        (name(&secret.name))
        (cell("Scope", &secret.scope))
        (cell("From", &secret.source))
        td role="cell" data-label="State" { span.state.set[secret.is_set].unset[!secret.is_set] { (secret.state) } }
        @if secret.is_set { (value) } @else { (cell("Value", "")) }
        (cell("Search", &secret.search))
        td.acts.many role="cell" data-label="Do" {
            @if secret.is_set { (look) }
            button type="button" id=(format!("environment-{}-set", secret.name)) data-fill=(secret.name)
                aria-label=(format!("Set {}", secret.name)) { "Set" }
        }
    }
}

fn form(secrets: &[Declared]) -> Markup {
    html! {
        form.card.setting id="set" aria-labelledby="set-title" {
            h3 id="set-title" { "Set a secret" }
            p.soft id="set-note" {
                "It is sealed in secrets.age. The app gets it with the next " code { "prun start" } "."
            }
            label for="set-name" { "Name" }
            input id="set-name" name="name" type="text" list="names" required autocomplete="off" autocapitalize="off"
                spellcheck="false" maxlength="255";
            datalist id="names" { @for secret in secrets { option value=(secret.name) {} } }
            label for="set-value" { "Value" }
            input id="set-value" name="value" type="password" required autocomplete="new-password" spellcheck="false"
                aria-describedby="set-note";
            button.act type="submit" id="set-do" { "Set" }
        }
    }
}

fn injected(variables: &[Injected]) -> Markup {
    let rows: Vec<Markup> = variables.iter().map(variable).collect();
    section(
        "injected",
        "Injected secrets",
        "What each instance gets when it starts. No build ever has the values of services.",
        &["Name", "From", "Value", "Age", "Do"],
        &rows,
        "Nothing was started yet: prun start.",
    )
}

fn variable(variable: &Injected) -> Markup {
    let id = format!("injected-{}", variable.name);
    let (value, look) = match &variable.content {
        Content::Public(text) => {
            let value =
                html! { td.value role="cell" data-label="Value" { code id=(format!("{id}-value")) { (text) } } };
            let copy = html! {
                button type="button" id=(format!("{id}-copy")) data-list="injected" data-name=(variable.name)
                    data-reason="copy" aria-label=(format!("Copy {}", variable.name)) { "Copy" }
            };
            (value, copy)
        }
        Content::Confidential(length) => {
            hidden("injected", &variable.name, &pscreen::words::counted(*length, "character"))
        }
        Content::Absent(why) => (cell("Value", why), html! {}),
    };
    html! {
        (name(&variable.name))
        (cell("From", &variable.from))
        (value)
        (cell("Age", &variable.age))
        td.acts role="cell" data-label="Do" { (look) }
    }
}

fn services(services: &[Service]) -> Markup {
    let row = |service: &Service| {
        html! {
            (name(&service.name))
            (cell("Image", &service.image))
            (state(&service.state))
            (cell("Volume", &service.volume))
            (cell("Credential", &service.credential))
            td.acts role="cell" data-label="Do" {
                button.act type="button" id=(format!("rotate-{}", service.name)) data-act="/rotate" data-body=(service.name)
                    aria-label=(format!("Rotate {}", service.name)) { "Rotate" }
            }
        }
    };
    let rows: Vec<Markup> = services.iter().map(row).collect();
    section(
        "services",
        "Services",
        "Rotating gives a service a new credential, replaces the instances, and revokes the old one.",
        &["Name", "Image", "State", "Volume", "Credential", "Do"],
        &rows,
        "The app declares no services.",
    )
}

fn state(text: &str) -> Markup {
    let is_running = text == "running";
    html! { td role="cell" data-label="State" { span.state.set[is_running].unset[!is_running] { (text) } } }
}

fn instances(instances: &[Instance]) -> Markup {
    let row = |instance: &Instance| {
        html! {
            (name(&instance.name)) (cell("What", &instance.what)) (state(&instance.state)) (cell("Since", &instance.since))
        }
    };
    let rows: Vec<Markup> = instances.iter().map(row).collect();
    section(
        "instances",
        "Instances",
        "The containers of the app.",
        &["Name", "What", "State", "Since"],
        &rows,
        "No instance runs: prun start.",
    )
}

fn init(commands: &[Init]) -> Markup {
    let row = |init: &Init| {
        html! { (name(&init.name)) td role="cell" data-label="Command" { code { (init.command) } } (cell("Last result", &init.result)) }
    };
    let rows: Vec<Markup> = commands.iter().map(row).collect();
    section(
        "init",
        "Init commands",
        "What runs before the app, in each new instance.",
        &["Name", "Command", "Last result"],
        &rows,
        "app.toml has no init commands.",
    )
}

fn generations(generations: &[Generation]) -> Markup {
    let row = |one: &Generation| {
        html! {
            (name(&one.number.to_string())) (cell("Made", &one.made)) (cell("By", &one.by)) (cell("Image", &one.image)) (cell("Changed", &one.changed))
        }
    };
    let rows: Vec<Markup> = generations.iter().map(row).collect();
    section(
        "generations",
        "Generations",
        "What was started before; prun rollback goes back.",
        &["Generation", "Made", "Image", "Changed"],
        &rows,
        "Nothing was started yet.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_escaped_and_every_part_of_the_overview_is_there() {
        let hostile = || "<script>alert(\"1\")</script>'".to_owned();
        let overview = Overview {
            projects: vec![hostile(), "shop".to_owned()],
            project: hostile(),
            facts: vec![("Image", hostile())],
            remarks: vec![hostile()],
            environment: Environment::Listed(vec![Declared {
                name: hostile(),
                scope: hostile(),
                source: hostile(),
                state: hostile(),
                is_set: true,
                length: hostile(),
                search: hostile(),
            }]),
            injected: vec![Injected {
                name: hostile(),
                from: hostile(),
                content: Content::Public(hostile()),
                age: hostile(),
            }],
            services: vec![Service {
                name: hostile(),
                image: hostile(),
                state: hostile(),
                volume: hostile(),
                credential: hostile(),
            }],
            instances: vec![Instance { name: hostile(), what: hostile(), state: hostile(), since: hostile() }],
            init: vec![Init { name: hostile(), command: hostile(), result: hostile() }],
            generations: vec![Generation {
                number: 3,
                made: hostile(),
                by: hostile(),
                image: hostile(),
                changed: hostile(),
            }],
        };
        let page = html(&overview);
        assert!(!page.contains("<script>") && !page.contains("\"1\""), "{page}");
        for title in
            ["Environment secrets", "Injected secrets", "Services", "Instances", "Init commands", "Generations"]
        {
            assert!(page.contains(&format!(">{title}</h2>")), "{title}");
        }
        assert!(page.matches("&lt;script&gt;").count() > 30, "{page}");
    }

    #[test]
    fn what_can_be_asked_for_has_buttons_and_nothing_else_does() {
        let injected =
            |name: &str, content| Injected { name: name.to_owned(), from: String::new(), content, age: String::new() };
        let declared = |name: &str, is_set| Declared {
            name: name.to_owned(),
            scope: "both".to_owned(),
            source: String::new(),
            state: String::new(),
            is_set,
            length: "32-63".to_owned(),
            search: "full".to_owned(),
        };
        let page = html(&Overview {
            project: "shop".to_owned(),
            environment: Environment::Listed(vec![declared("SET", true), declared("UNSET", false)]),
            injected: vec![
                injected("DB_HOST", Content::Public("db".to_owned())),
                injected("DB_PASSWORD", Content::Confidential(32)),
                injected("NPM_TOKEN", Content::Absent("build only, not in the container")),
            ],
            ..Overview::default()
        });
        for label in
            ["Reveal SET", "Copy SET", "Set SET", "Set UNSET", "Copy DB_HOST", "Reveal DB_PASSWORD", "Copy DB_PASSWORD"]
        {
            assert!(page.contains(&format!("aria-label=\"{label}\"")), "{label}");
        }
        for label in ["Reveal UNSET", "Copy UNSET", "Reveal DB_HOST", "Reveal NPM_TOKEN", "Copy NPM_TOKEN"] {
            assert!(!page.contains(&format!("aria-label=\"{label}\"")), "{label}");
        }
        assert!(page.contains("32 characters") && page.contains(MASK));
        assert!(!page.contains("<nav"), "one project is no choice");
    }

    #[test]
    fn a_list_that_cannot_be_shown_says_why() {
        let page =
            html(&Overview { environment: Environment::Unknown("no app.toml".to_owned()), ..Overview::default() });
        assert!(page.contains("no app.toml") && !page.contains("<form"));
    }
}
