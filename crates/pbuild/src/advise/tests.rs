//! Tests of the conclusions that steps lead to.

use super::*;

fn step(command: &str) -> Step {
    Step {
        digest: String::new(),
        name: format!("RUN {command}"),
        command: command.to_owned(),
        source: None,
        offered: Vec::new(),
        mounted: Vec::new(),
    }
}

fn advice(name: &str, now: &[&str], steps: &[Step]) -> Advice {
    let now = now.iter().map(|text| (*text).to_owned()).collect();
    advise(&OfferedSecret { name: name.to_owned(), now, entry: None }, steps)
}

#[test]
fn each_secret_gets_its_verdict() {
    let mut mounting = step("cat /run/secrets/MOUNTED");
    let target = MountTarget::File("/run/secrets/MOUNTED".to_owned());
    mounting.mounted.push(pllb::MountedSecret { id: "MOUNTED".to_owned(), optional: false, target });
    let steps = [step("npm ci"), step("curl -H \"X: $TOKEN\" h"), step("make all"), mounting];
    let found = advice("NPM_TOKEN", &[], &steps);
    assert_eq!((found.verdict, found.steps.as_slice()), (AdviceConclusion::Narrow, &["npm *".to_owned()][..]));
    assert_eq!(found.line.as_deref(), Some("NPM_TOKEN = { scope = \"build\", steps = [\"npm *\"] }"));
    assert_eq!(advice("NPM_TOKEN", &["npm ci"], &steps).verdict, AdviceConclusion::Good);
    assert_eq!(advice("NPM_TOKEN", &["npm ci", "make *"], &steps).verdict, AdviceConclusion::Narrow);
    assert_eq!(advice("TOKEN", &[], &steps).steps, ["curl *"]);
    assert_eq!(advice("MOUNTED", &[], &steps).verdict, AdviceConclusion::Mounted);
    assert_eq!(advice("OTHER", &[], &steps).verdict, AdviceConclusion::Unmentioned);
    assert_eq!(advice("TOKEN", &[], &steps[1..2]).verdict, AdviceConclusion::Good);
}
