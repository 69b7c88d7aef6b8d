//! The `prun` command.
fn main() {}
