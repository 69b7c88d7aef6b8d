//! Searches an image archive or an OCI layout for the values in a file, as `pbuild audit` does. `scripts/bench`
//! measures this program.
//!
//! usage: audit [--digests] [--flat] FILE IMAGE, with `NAME=value` on each line of FILE
//!
//! The exit code is 0 if the whole image was searched and is clean. With `--flat`, nothing inside of layers is
//! opened, as in tools that search only the bytes of a layer, and this does not count as incomplete.

use std::error::Error;
use std::fs::File;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;

use pscan::{NeedleSetBuilder, Options, Verdict};
use psecret::{SecretName, UserSecret};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut takes = |flag: &str| {
        let is_there = arguments.first().is_some_and(|first| first == flag);
        arguments.drain(..usize::from(is_there));
        is_there
    };
    let mut options = Options::default();
    if !takes("--digests") {
        options.reading.verify = pimage::Verify::Nothing;
    }
    let flat = takes("--flat");
    if flat {
        options.reading.inside.depth = 0;
    }
    let [values, image] = arguments.as_slice() else {
        return Err("usage: audit [--digests] [--flat] FILE IMAGE".into());
    };
    let mut builder = NeedleSetBuilder::new();
    for line in std::fs::read_to_string(values)?.lines() {
        let (name, value) = line.split_once('=').ok_or("a line without `=`")?;
        builder = builder.secret(&SecretName::parse(name)?, &UserSecret::new(value.as_bytes().to_vec()));
    }
    let needles = builder.build()?;
    let mut go_on = |_| ControlFlow::Continue(());
    let report = if Path::new(image).is_dir() {
        pscan::audit_loose(pimage::layout(Path::new(image), None)?, &needles, &options, &mut go_on)?
    } else {
        pscan::audit_file(File::open(image)?, &needles, &options, &mut go_on)?
    };
    writeln!(std::io::stdout(), "{}", report.to_json())?;
    let is_good = match report.verdict() {
        Verdict::Clean => true,
        Verdict::Incomplete => flat,
        Verdict::Leak => false,
    };
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
