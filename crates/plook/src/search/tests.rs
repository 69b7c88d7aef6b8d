use std::fs;
use std::os::unix::fs::symlink;

use pscan::{Place, Report, Verdict};
use tempfile::TempDir;

use super::*;
use crate::wire::{Answers, Base, Layer as Step};

const VALUE: &str = "t0ken-of-the-search";

/// States in a folder, with the kernel's lines about their mounts.
struct States {
    folder: TempDir,
    mountinfo: String,
}

impl States {
    fn new(count: usize) -> Self {
        let folder = TempDir::new().unwrap();
        let mut mountinfo = String::new();
        for state in 0..count {
            let path = folder.path().join(state.to_string());
            fs::create_dir(&path).unwrap();
            let layers: Vec<String> = (0..state + 2).rev().map(|layer| format!("/l/{layer}")).collect();
            mountinfo +=
                &format!("1 0 0:1 / {} rw - overlay overlay rw,lowerdir={}\n", path.display(), layers.join(":"));
        }
        Self { folder, mountinfo }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn search(&self, task: Task, documents: Vec<Vec<u8>>) -> Result<Vec<Answer>, SearchError> {
        let values = vec![UserSecret::new(VALUE.as_bytes().to_vec())];
        let mut out = Vec::new();
        run(WholeTask { task, values, documents }, self.folder.path(), &self.mountinfo, &mut out)?;
        let mut stream = Answers::default();
        stream.push(&out);
        let mut answers = Vec::new();
        while let Some(answer) = stream.take().unwrap() {
            answers.push(answer);
        }
        assert!(stream.is_empty());
        Ok(answers)
    }
}

fn task(base: Option<Base>, layers: &[(Option<usize>, usize)]) -> Task {
    Task {
        version: wire::VERSION,
        secrets: vec!["TOKEN".into()],
        parts: Default::default(),
        documents: vec!["config".into()],
        base,
        layers: layers.iter().map(|(before, after)| Step { before: *before, after: *after, covering: None }).collect(),
    }
}

fn report(answers: &[Answer]) -> (Report, bool) {
    let value = pscan::NeedleSetBuilder::new()
        .secret(&SecretName::parse("TOKEN").unwrap(), &UserSecret::new(VALUE.as_bytes().to_vec()))
        .build()
        .unwrap();
    let found = answers.iter().find_map(|answer| match answer {
        Answer::Report { report, base_known } => Some((Report::from_json(report, &value).unwrap(), *base_known)),
        _ => None,
    });
    found.unwrap()
}

#[test]
fn what_each_step_made_is_found_in_the_layer_that_it_will_be() {
    let states = States::new(2);
    fs::write(states.path("0/base"), format!("x{VALUE}")).unwrap();
    fs::create_dir(states.path("1/etc")).unwrap();
    fs::write(states.path("1/etc/app"), format!("url={VALUE}\n")).unwrap();
    symlink(format!("/srv/{VALUE}"), states.path("1/link")).unwrap();
    let task = task(Some(Base { state: 0, known: None }), &[(Some(0), 1)]);
    let config = format!(r#"{{"config":{{"Env":["A={VALUE}"]}}}}"#);
    let answers = states.search(task, vec![config.into_bytes()]).unwrap();
    let made_of = |layers: &[&str]| Some(layers.iter().map(|layer| (*layer).to_owned()).collect());
    assert_eq!(
        answers[0],
        Answer::States { layers: vec![made_of(&["/l/1", "/l/0"]), made_of(&["/l/2", "/l/1", "/l/0"])] }
    );
    assert_eq!(answers.last(), Some(&Answer::End { answers: answers.len() as u64 - 1 }));
    let (report, base_known) = report(&answers);
    assert!(!base_known);
    let places: Vec<_> = report.findings().iter().map(|finding| (finding.layer(), finding.place().clone())).collect();
    let (layer, place) = &places[0];
    assert!(matches!(layer, Some(1 | 2)) && *place == Place::File { path: "/base".into(), offset: 1 }, "{places:?}");
    assert_eq!(places[1], (Some(3), Place::File { path: "/etc/app".into(), offset: 4 }));
    assert!(matches!(&places[2], (Some(3), Place::Header { path, .. }) if path == "/link"), "{places:?}");
    assert!(matches!(&places[3], (None, Place::Document { name, .. }) if name == "config"), "{places:?}");
    assert!(report.not_searched().is_empty(), "{:?}", report.not_searched());
}

#[test]
fn a_base_that_is_known_to_be_clean_is_not_searched_again_and_another_one_is() {
    let states = States::new(2);
    fs::write(states.path("0/base"), VALUE).unwrap();
    for (known, searched) in [(vec!["/l/1".to_owned(), "/l/0".to_owned()], false), (vec!["/l/9".to_owned()], true)] {
        let base = Base { state: 0, known: Some(known) };
        let answers = states.search(task(Some(base), &[]), vec![b"{}".to_vec()]).unwrap();
        let (report, base_known) = report(&answers);
        assert_eq!(
            (base_known, report.verdict()),
            if searched { (false, Verdict::Leak) } else { (true, Verdict::Clean) }
        );
    }
}

#[test]
fn a_state_that_cannot_be_read_is_never_clean() {
    let states = States::new(1);
    let answers = states.search(task(None, &[(Some(0), 7)]), vec![b"{}".to_vec()]).unwrap();
    assert_eq!(report(&answers).0.verdict(), Verdict::Incomplete);
}

#[test]
fn a_file_that_a_later_step_removed_is_told_as_such() {
    let states = States::new(3);
    fs::write(states.path("1/.netrc"), VALUE).unwrap();
    let answers = states.search(task(None, &[(Some(0), 1), (Some(1), 2)]), vec![b"{}".to_vec()]).unwrap();
    let (report, _) = report(&answers);
    assert_eq!(report.findings()[0].deleted_in(), Some(2));
}

#[test]
fn a_configuration_that_is_none_ends_the_search() {
    let states = States::new(1);
    for configuration in [&b"["[..], b"[]", b""] {
        let answers = states.search(task(None, &[(None, 0)]), vec![configuration.to_vec()]);
        assert!(matches!(answers, Err(SearchError::Configuration)));
    }
}

#[test]
fn nothing_to_search_for_is_no_search() {
    let states = States::new(1);
    let mut out = Vec::new();
    let task = Task { secrets: Vec::new(), ..task(None, &[(None, 0)]) };
    let whole = WholeTask { task, values: Vec::new(), documents: vec![b"{}".to_vec()] };
    assert!(matches!(run(whole, states.folder.path(), "", &mut out), Err(SearchError::Scan(_))));
}

#[test]
fn no_answer_holds_a_value_not_even_in_a_path() {
    let states = States::new(2);
    fs::create_dir(states.path(&format!("1/{VALUE}"))).unwrap();
    fs::write(states.path(&format!("1/{VALUE}/app")), VALUE).unwrap();
    symlink(VALUE, states.path("1/link")).unwrap();
    let config = format!(r#"{{"history":[{{"created_by":"RUN echo {VALUE}"}}],"config":{{"Env":["A={VALUE}"]}}}}"#);
    let answers = states.search(task(None, &[(Some(0), 1)]), vec![config.into_bytes()]).unwrap();
    assert_eq!(report(&answers).0.verdict(), Verdict::Leak);
    let said = serde_json::to_string(&answers).unwrap();
    assert!(said.contains("***TOKEN***/app"), "{said}");
    assert!(!said.contains(VALUE), "an answer holds the value");
}

#[test]
fn mounted_values_are_those_that_were_probed() {
    let (secrets, kept) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    fs::write(secrets.path().join("0"), VALUE).unwrap();
    let asked = wire::Probe {
        version: wire::VERSION,
        secrets: vec!["TOKEN".into()],
        parts: Default::default(),
        bases: Vec::new(),
    };
    let probed = probe::probe(&asked, secrets.path(), kept.path()).unwrap();
    let mounted =
        MountedValues { check_key: probed.check_key.clone(), checks: vec![probed.secrets[0].clone().unwrap().check] };
    let task = task(None, &[(None, 0)]);
    let values = |mounted: &MountedValues| mounted_values(&task, mounted, secrets.path());
    assert_eq!(values(&mounted).unwrap().len(), 1);
    assert!(matches!(values(&MountedValues::default()), Err(SearchError::Changed)), "a value without a digest");
    fs::write(secrets.path().join("0"), "another value").unwrap();
    assert!(matches!(values(&mounted), Err(SearchError::Changed)));
    fs::remove_file(secrets.path().join("0")).unwrap();
    assert!(matches!(values(&mounted), Err(SearchError::Changed)));
}
