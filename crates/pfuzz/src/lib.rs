//! The bodies of the fuzz targets, which both the fuzzer and the tests run.
//!
//! A body accepts any bytes, and panics if a promise is broken. The package `fuzz/` calls it with the inputs that
//! libFuzzer generates (`scripts/fuzz`); the test `tests/corpus.rs` calls it with every file of `fuzz/corpus/NAME` in
//! each test run.
//!
//! A new target needs a module in this crate, a row in [`TARGETS`], a file `fuzz/fuzz_targets/NAME.rs` and a few
//! small files in `fuzz/corpus/NAME`. The test reports which of these is missing.

mod archive;
mod challenge;
mod comma_separated;
mod compose;
mod delivered;
mod dockerfile;
mod env_file;
mod expansion;
mod graph;
mod ignore;
mod inside;
mod look;
mod matcher;
mod parts;
mod redactor;
mod sealed;
mod store;

/// One fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The target's name, which is also the name of the binary in `fuzz/fuzz_targets` and of the folder in
    /// `fuzz/corpus`.
    pub name: &'static str,
    /// The target's body.
    pub run: fn(&[u8]),
}

/// Every target, by name. All archive formats have the same body, but a corpus of their own.
pub const TARGETS: &[Target] = &[
    Target { name: "ar", run: inside::run },
    Target { name: "archive", run: archive::archive },
    Target { name: "bzip2", run: inside::run },
    Target { name: "challenge", run: challenge::run },
    Target { name: "comma_separated", run: comma_separated::run },
    Target { name: "compose", run: compose::run },
    Target { name: "cpio", run: inside::run },
    Target { name: "delivered", run: delivered::run },
    Target { name: "dockerfile", run: dockerfile::run },
    Target { name: "documents", run: archive::documents },
    Target { name: "env_file", run: env_file::run },
    Target { name: "expansion", run: expansion::run },
    Target { name: "git_pack", run: inside::run },
    Target { name: "graph", run: graph::run },
    Target { name: "gzip", run: inside::run },
    Target { name: "ignore", run: ignore::run },
    Target { name: "look", run: look::run },
    Target { name: "matcher", run: matcher::run },
    Target { name: "parts", run: parts::run },
    Target { name: "redactor", run: redactor::run },
    Target { name: "sealed", run: sealed::run },
    Target { name: "seven_zip", run: inside::run },
    Target { name: "store", run: store::run },
    Target { name: "tar", run: inside::run },
    Target { name: "xz", run: inside::run },
    Target { name: "zip", run: inside::run },
    Target { name: "zlib", run: inside::run },
    Target { name: "zstd", run: inside::run },
];

/// Runs the target with this name.
///
/// # Panics
///
/// Panics if a promise is broken, which is what a fuzzer looks for, or if there is no such target.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target of that name");
    (target.run)(data);
}
