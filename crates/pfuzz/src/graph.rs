//! Fuzzes the reader and editor of BuildKit's graph, on the level of bytes.

use pllb::Definition;
use pllb::wire::{self, Edit, WireError};
use pllb::{Mode, Plan, PlannedSecret, SecretShape, StepPattern, chain, inject};
use prost::Message as _;

/// Checks that the fields of any bytes together are these bytes, up to the first error; that an edit that keeps
/// everything changes nothing; and that a graph of any shape is either injected completely or refused, in each of the
/// two modes.
pub(crate) fn run(data: &[u8]) {
    fields(data);
    let Ok(definition) = Definition::decode(data) else { return };
    let _ = chain(&definition);
    for mode in [Mode::Environment, Mode::Mounts] {
        let Ok(injected) = inject(definition.clone(), &plan(), mode) else { continue };
        assert_eq!(injected.definition.def.len(), definition.def.len(), "no operation goes, and none is added");
        for step in &injected.steps {
            let known = injected.definition.def.iter().any(|bytes| pllb::digest(bytes) == step.digest);
            assert!(known, "a step of no operation");
        }
    }
}

fn fields(data: &[u8]) {
    let (mut raw, mut failed) = (Vec::new(), false);
    for field in wire::fields(data) {
        match field {
            Ok(field) => raw.extend_from_slice(field.raw),
            Err(_) => failed = true,
        }
    }
    assert!(data.starts_with(&raw));
    assert_eq!(!failed, raw.len() == data.len(), "an error, or all of it");
    let kept = wire::rewrite(data, |_| Ok::<_, WireError>(Edit::Keep));
    assert_eq!(kept.ok().as_deref(), (!failed).then_some(data));
    if let Ok(longer) = wire::insert_bytes(data, 2, &[b"more".to_vec()]) {
        let count = |message: &[u8]| wire::fields(message).filter(Result::is_ok).count();
        assert_eq!(count(&longer), count(data) + 1);
    }
}

fn plan() -> Plan {
    Plan {
        bindings: [("TOKEN".to_owned(), "1f".to_owned())].into(),
        secrets: vec![
            PlannedSecret::variable("TOKEN"),
            PlannedSecret { steps: vec![StepPattern::new("npm *")], ..PlannedSecret::variable("NPM") },
            PlannedSecret { shape: SecretShape::File, ..PlannedSecret::variable("KEY") },
        ],
        configuration: vec![("MODE".into(), "production".into())],
    }
}
