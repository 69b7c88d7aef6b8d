//! Searches the states below a folder as the scanner does in a builder. This program is for profiling.
//!
//! usage: look FILE STATES, with `NAME=value` on each line of FILE, and the mounted base image at STATES/0

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use plook::search;
use plook::wire::{Base, Task, VERSION, WholeTask};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [values, states] = arguments.as_slice() else { return Err("usage: look FILE STATES".into()) };
    let text = std::fs::read_to_string(values)?;
    let (mut secrets, mut values) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let (name, value) = line.split_once('=').ok_or("a line without `=`")?;
        secrets.push(name.to_owned());
        values.push(psecret::UserSecret::new(value.as_bytes().to_vec()));
    }
    let base = Some(Base { state: 0, known: None });
    let parts = BTreeMap::new();
    let documents = vec!["config".to_owned()];
    let task = Task { version: VERSION, secrets, parts, documents, base, layers: Vec::new() };
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    let documents = vec![b"{}".to_vec()];
    search::run(WholeTask { task, values, documents }, Path::new(states), &mounts, &mut std::io::sink())?;
    Ok(())
}
