//! Runs every input again that the fuzzer found and that was worth keeping.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use pfuzz::TARGETS;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.expect("a readable entry").path()).collect()
}

fn names_in(folder: &Path) -> BTreeSet<String> {
    files_in(folder)
        .iter()
        .filter_map(|path| path.file_stem())
        .map(|name| name.to_string_lossy().into_owned())
        .collect()
}

#[test]
fn every_input_of_every_corpus_keeps_the_promises() {
    for target in TARGETS {
        let folder = fuzz().join("corpus").join(target.name);
        let inputs = files_in(&folder);
        for path in &inputs {
            let data = fs::read(path).unwrap();
            // The test's output names the input, in case it breaks a promise.
            println!("{}", path.display());
            (target.run)(&data);
        }
        assert!(inputs.len() >= 5, "{} has {} inputs", folder.display(), inputs.len());
    }
}

#[test]
fn every_target_has_a_binary_and_a_corpus() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(targets.len(), TARGETS.len(), "each name stands once");
    assert_eq!(targets, names_in(&fuzz().join("fuzz_targets")));
    assert_eq!(targets, names_in(&fuzz().join("corpus")));
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for name in targets {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "fuzz/Cargo.toml lacks {name}");
        let binary = fs::read_to_string(fuzz().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(binary.contains(&format!("pfuzz::run(\"{name}\", data)")), "{name} runs another target");
    }
}
