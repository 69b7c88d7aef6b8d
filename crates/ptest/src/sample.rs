//! Samples of the process table, taken every few milliseconds, of a tool and all of its children.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

const PERIOD: Duration = Duration::from_millis(5);

/// A thread that samples a process and its descendants until it is stopped.
pub(crate) struct Sampler {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<BTreeSet<Sample>>,
}

/// The content of a file in `/proc`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Sample {
    /// The name of the file: `cmdline` or `environ`.
    pub(crate) file: &'static str,
    /// The short name of the program.
    pub(crate) program: String,
    /// The content of the file.
    pub(crate) bytes: Vec<u8>,
}

impl Sampler {
    pub(crate) fn start(process: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut samples = BTreeSet::new();
            while !stopped.load(Ordering::Relaxed) {
                look(process, &mut samples);
                thread::sleep(PERIOD);
            }
            samples
        });
        Self { stop, thread }
    }

    pub(crate) fn finish(self) -> BTreeSet<Sample> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the sampler reads files alone")
    }
}

/// Takes a sample. Processes may end meanwhile, so no failed read is an error.
fn look(root: u32, samples: &mut BTreeSet<Sample>) {
    let mut open = vec![root];
    while let Some(process) = open.pop() {
        let folder = format!("/proc/{process}");
        let program = fs::read_to_string(format!("{folder}/comm")).unwrap_or_default().trim().to_owned();
        for file in ["cmdline", "environ"] {
            let bytes = fs::read(format!("{folder}/{file}")).unwrap_or_default();
            if !bytes.is_empty() {
                samples.insert(Sample { file, program: program.clone(), bytes });
            }
        }
        for task in fs::read_dir(format!("{folder}/task")).into_iter().flatten().flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            open.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
    }
}
