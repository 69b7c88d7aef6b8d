//! The `pbuild` command.
fn main() {}
