//! A search by several threads. The calling thread waits, reports their progress, and stops them if the caller wants
//! it.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use pimage::{Cancelled, Contents};

use super::{Progress, Searched};
use crate::ScanError;
use crate::collect::Collector;
use crate::needle::NeedleSet;

/// The maximal number of threads. More threads would need more memory than an audit may use, because a decoder's
/// window can have 128 MiB.
const MOST_THREADS: usize = 2;

/// The time between two reports of the progress.
const TICK: Duration = Duration::from_millis(20);

type Watch<'a> = Box<dyn FnMut(u64) -> ControlFlow<()> + Send + 'a>;

/// Reads the image with one collector for each thread.
pub(super) fn search(
    needles: &NeedleSet,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    read: impl FnOnce(&mut [Collector<'_, Watch<'_>>]) -> Result<Contents, Cancelled> + Send,
) -> Result<Searched, ScanError> {
    let (total, stopped) = (AtomicU64::new(0), AtomicBool::new(false));
    let watch = || -> Watch<'_> {
        let (total, stopped) = (&total, &stopped);
        let mut told = 0;
        Box::new(move |bytes| {
            total.fetch_add(bytes - told, Ordering::Relaxed);
            told = bytes;
            if stopped.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
    };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
    let mut collectors: Vec<_> = (0..threads).map(|_| Collector::new(needles, watch())).collect();
    let (done, is_done) = mpsc::channel::<()>();
    let contents = thread::scope(|scope| {
        let collectors = &mut collectors;
        let reading = scope.spawn(move || {
            let contents = read(collectors);
            drop(done);
            contents
        });
        let mut tell = || {
            if progress(Progress { bytes: total.load(Ordering::Relaxed) }).is_break() {
                stopped.store(true, Ordering::Relaxed);
            }
        };
        // Nothing is sent through the channel. It closes when the reading ends, even by a panic.
        while is_done.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
            tell();
        }
        tell();
        reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })?;
    if stopped.load(Ordering::Relaxed) {
        return Err(ScanError::Cancelled);
    }
    let bytes = collectors.iter().map(Collector::bytes).sum();
    let (mut sightings, mut not_kept) = (Vec::new(), 0);
    for collector in &mut collectors {
        let (seen, more) = collector.take();
        sightings.extend(seen);
        not_kept += more;
    }
    sightings.sort_by_key(|sighting| sighting.blob);
    Ok(Searched { contents, sightings, not_kept, bytes })
}
