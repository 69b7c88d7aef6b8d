//! The variables, files, configuration and own mounts that steps find on real engines.

use std::collections::BTreeMap;

use pbuildkit::{History, Transform};
use pgateway::Capabilities;
use pllb::{Definition, InjectError, Mode, MountTarget, Plan, PlannedSecret, SecretShape, Step, StepPattern};

use crate::support::{Built, Flavour, builder, dockerfile, run_with, unique};
use crate::values;

/// A transformation that injects a plan and records the steps.
struct Recorded {
    plan: Plan,
    steps: Vec<Step>,
}

impl Transform for Recorded {
    type Error = InjectError;

    fn transform(
        &mut self,
        capabilities: &Capabilities,
        _: Option<&str>,
        definition: Definition,
    ) -> Result<Definition, Self::Error> {
        let with_environment = capabilities.operation(Capabilities::SECRET_ENVIRONMENT);
        let mode = if with_environment { Mode::Environment } else { Mode::Mounts };
        let injected = pllb::inject(definition, &self.plan, mode)?;
        self.steps.extend(injected.steps);
        Ok(injected.definition)
    }
}

async fn built(flavour: Flavour, text: &str, plan: Plan, secrets: &[(&str, &str)]) -> (Built<InjectError>, Vec<Step>) {
    let mut recorded = Recorded { plan, steps: Vec::new() };
    let mut request = dockerfile(text);
    request.secrets = values(secrets);
    request.history = History::Nothing;
    let built = run_with(&builder(flavour).await, request, Some(&mut recorded)).await;
    if let Err(error) = &built.outcome {
        panic!("{flavour:?}: {error}: {}", built.log());
    }
    (built, recorded.steps)
}

#[tokio::test]
async fn steps_of_any_form_and_any_user_find_what_the_plan_says() {
    for flavour in Flavour::ALL {
        let (token, npm, mine, key) = (format!("{}\n'$two\\\n\n", unique()), unique(), unique(), unique());
        let text = format!(
            "FROM busybox\nENV MODE=kept TOKEN=old\nUSER 1234:1234\n\
             RUN echo {0}; printf '[%s]' \"$TOKEN\"; echo \"$(id -u) $REGION $MODE ${{NPM:-none}}\"\n\
             RUN [\"sh\", \"-c\", \"printf '<%s>' \\\"$TOKEN\\\"; echo $0 $1\", \"zero\", \"{0}\"]\n\
             RUN echo {0}; npm() {{ echo \"npm has $NPM\"; }}; \\\n    npm ci\n\
             RUN echo {0}; echo \"file $KEY holds $(cat $KEY), $(cat /run/secrets/npm-token)\"\n\
             RUN --mount=type=secret,id=MINE,target=/tmp/mine,uid=1234 echo {0}; echo \"mine ${{MINE:-none}} $(cat /tmp/mine)\"\n",
            unique()
        );
        let plan = Plan {
            bindings: BTreeMap::new(),
            secrets: vec![
                PlannedSecret::variable("TOKEN"),
                PlannedSecret { steps: vec![StepPattern::new("npm *")], ..PlannedSecret::variable("NPM") },
                PlannedSecret { shape: SecretShape::File, ..PlannedSecret::variable("KEY") },
                PlannedSecret::variable("MINE"),
                PlannedSecret::variable("npm-token"),
            ],
            configuration: vec![("REGION".into(), "eu".into()), ("MODE".into(), "production".into())],
        };
        let secrets = [("TOKEN", &token), ("NPM", &npm), ("KEY", &key), ("MINE", &mine), ("npm-token", &npm)];
        let (built, steps) = built(flavour, &text, plan, &secrets.map(|(name, value)| (name, value.as_str()))).await;
        let log = built.log();
        for line in [
            format!("[{token}]1234 eu kept none\n"),
            format!("<{token}>zero canary-"),
            format!("npm has {npm}\n"),
            format!("file /run/secrets/KEY holds {key}, {npm}\n"),
            format!("mine none {mine}\n"),
        ] {
            assert!(log.contains(&line), "{flavour:?}: {line:?} is not in {log}");
        }

        let offered: Vec<Vec<&str>> =
            steps.iter().map(|step| step.offered.iter().map(String::as_str).collect()).collect();
        let all = vec!["TOKEN", "KEY", "MINE", "npm-token"];
        let with_npm = vec!["TOKEN", "NPM", "KEY", "MINE", "npm-token"];
        let without_mine = vec!["TOKEN", "KEY", "npm-token"];
        assert_eq!(offered, [all.clone(), all.clone(), with_npm, all, without_mine], "{flavour:?}");
        let lines: Vec<_> =
            steps.iter().map(|step| step.source.as_ref().map(|lines| (lines.first, lines.last))).collect();
        assert_eq!(lines, [(4, 4), (5, 5), (6, 7), (8, 8), (9, 9)].map(Some), "{flavour:?}");
        assert_eq!(steps[4].mounted[0].target, MountTarget::File("/tmp/mine".into()));

        // The digests of the report are those in the engine's updates, and the names are the user's own text.
        let mut names = BTreeMap::new();
        for vertex in built.updates.iter().flat_map(|update| &update.vertices) {
            names.insert(vertex.digest.as_str(), vertex.name.as_str());
        }
        for step in &steps {
            let name = names
                .get(step.digest.as_str())
                .unwrap_or_else(|| panic!("{flavour:?}: no step {} {} in {names:#?}", step.digest, step.name));
            assert!(name.contains("RUN") && !name.contains("pbuild_line"), "{flavour:?}: {name}");
        }
    }
}

#[tokio::test]
async fn a_step_whose_name_mentions_a_secret_is_named_by_the_user_alone() {
    for flavour in [Flavour::Modern, Flavour::Containerd] {
        let text = format!("FROM busybox\nRUN <<EOF\necho {}\nprintf 'got %s\\n' \"$TOKEN\"\nEOF\n", unique());
        let token = unique();
        let plan = Plan { secrets: vec![PlannedSecret::variable("TOKEN")], ..Plan::default() };
        let (built, steps) = built(flavour, &text, plan, &[("TOKEN", &token)]).await;
        assert!(built.log().contains(&format!("got {token}\n")), "{flavour:?}: {}", built.log());
        assert_eq!(steps[0].source.as_ref().map(|lines| (lines.first, lines.last)), Some((2, 5)), "{flavour:?}");
        assert!(!built.names().iter().any(|name| name.contains(&token)));
    }
}
