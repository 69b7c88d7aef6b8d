//! From hits to sightings: what lies at one place is one.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::ControlFlow;

use pimage::{BlobId, Entry, Part, Visitor};
use psecret::Form;

use crate::needle::NeedleSet;
use crate::search::{Hit, Searcher};

/// Sightings past this number are counted and not kept.
const MOST_SIGHTINGS: usize = 10_000;
/// Spots of one secret that a later hit may still enlarge: more than the longest keys have lines.
const MOST_OPEN: usize = 1024;
/// Of a path so much is kept: that of Linux (`PATH_MAX`).
const LONGEST_PATH: usize = 4096;

/// How far the order of hits may differ from that of their ends in the stream.
const DISORDER: u64 = 4096;

/// Spots that wait for their entry to be named: as many as one chunk of the reader can hold. Behind a tar's end, where
/// nothing is named any more, the oldest are counted to the last entry.
const MOST_WAITING: usize = 1 << 16;

/// A secret in one form in one file: where first, and how many times.
#[derive(Debug)]
pub(crate) struct Sighting {
    pub(crate) blob: BlobId,
    pub(crate) part: Part,
    /// The needle that was seen; it tells owner and form.
    pub(crate) needle: usize,
    /// The offset in the stream.
    pub(crate) at: u64,
    pub(crate) entry: Option<Named>,
    pub(crate) times: u64,
}

/// What a tar header named.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) path: Vec<u8>,
    pub(crate) header_at: u64,
    pub(crate) content_at: u64,
    pub(crate) size: u64,
}

impl Named {
    fn end(&self) -> u64 {
        self.content_at.saturating_add(self.size)
    }
}

/// Overlapping hits of one secret.
#[derive(Clone, Copy)]
struct Spot {
    needle: usize,
    form: Form,
    start: u64,
    end: u64,
}

/// What a collector is told meanwhile, and whether it may go on.
pub(crate) type Watch<'a> = dyn FnMut(u64) -> ControlFlow<()> + 'a;

/// Searches every stream of an archive.
pub(crate) struct Collector<'n, 'w> {
    needles: &'n NeedleSet,
    searcher: Searcher<'n>,
    watch: &'w mut Watch<'w>,
    bytes: u64,
    stream: Option<(BlobId, Part)>,
    entry: Option<Named>,
    /// The spots of each owner that a later hit may still enlarge or swallow, in order: the lines of a key are seen
    /// before the key is.
    open: HashMap<usize, VecDeque<Spot>>,
    /// Spots of which the entry is not yet named.
    waiting: BTreeMap<(u64, usize), Spot>,
    /// Where each owner and form was seen in the current entry.
    here: HashMap<(usize, Form), Option<usize>>,
    pub(crate) sightings: Vec<Sighting>,
    pub(crate) not_kept: u64,
}

impl<'n, 'w> Collector<'n, 'w> {
    pub(crate) fn new(needles: &'n NeedleSet, watch: &'w mut Watch<'w>) -> Self {
        Self {
            needles,
            searcher: needles.searcher(),
            watch,
            bytes: 0,
            stream: None,
            entry: None,
            open: HashMap::new(),
            waiting: BTreeMap::new(),
            here: HashMap::new(),
            sightings: Vec::new(),
            not_kept: 0,
        }
    }

    /// Every byte searched.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn hit(&mut self, hit: &Hit<'_>) {
        let new = Spot { needle: hit.needle, form: hit.form(), start: hit.start(), end: hit.end() };
        let spots = self.open.entry(hit.owner()).or_default();
        let mut new = new;
        spots.retain(|spot| {
            let apart = new.end <= spot.start || spot.end <= new.start;
            if !apart {
                new.start = new.start.min(spot.start);
                new.end = new.end.max(spot.end);
                if spot.form <= new.form {
                    (new.form, new.needle) = (spot.form, spot.needle);
                }
            }
            apart
        });
        let place = spots.partition_point(|spot| spot.start < new.start);
        spots.insert(place, new);
        // Hits come nearly in the order of their ends: what lies this far behind, none of them reaches any more.
        let reach = self.needles.longest_of(hit.owner()) + DISORDER;
        let mut closed = Vec::new();
        while let Some(first) = spots.pop_front_if(|first| first.end + reach < new.end) {
            closed.push(first);
        }
        if spots.len() > MOST_OPEN {
            closed.extend(spots.drain(..MOST_OPEN / 2));
        }
        for spot in closed {
            self.close(spot);
        }
    }

    /// A spot is final: it belongs to the current entry, or waits for a later one to be named.
    fn close(&mut self, spot: Spot) {
        let belongs_here = self.entry.as_ref().is_some_and(|entry| spot.start < entry.end());
        if belongs_here {
            self.count(spot);
        } else {
            if self.waiting.len() == MOST_WAITING
                && let Some((_, oldest)) = self.waiting.pop_first()
            {
                self.count(oldest);
            }
            self.waiting.insert((spot.start, spot.needle), spot);
        }
    }

    /// Counts every spot that begins before the offset to the current entry.
    fn settle(&mut self, before: u64) {
        let later = self.waiting.split_off(&(before, 0));
        let mut ready: Vec<Spot> = std::mem::replace(&mut self.waiting, later).into_values().collect();
        for spots in self.open.values_mut() {
            while let Some(spot) = spots.pop_front_if(|spot| spot.start < before) {
                ready.push(spot);
            }
        }
        ready.sort_by_key(|spot| (spot.start, spot.needle));
        for spot in ready {
            self.count(spot);
        }
    }

    fn count(&mut self, spot: Spot) {
        let Some((blob, part)) = self.stream else { return };
        let owner = self.needles.needle(spot.needle).owner;
        match self.here.get(&(owner, spot.form)) {
            Some(Some(index)) => {
                let sighting = &mut self.sightings[*index];
                sighting.times += 1;
                sighting.at = sighting.at.min(spot.start);
            }
            Some(None) => self.not_kept += 1,
            None if self.sightings.len() == MOST_SIGHTINGS => {
                self.not_kept += 1;
                self.here.insert((owner, spot.form), None);
            }
            None => {
                self.here.insert((owner, spot.form), Some(self.sightings.len()));
                let entry = self.entry.clone();
                self.sightings.push(Sighting { blob, part, needle: spot.needle, at: spot.start, entry, times: 1 });
            }
        }
    }
}

impl Visitor for Collector<'_, '_> {
    fn begin(&mut self, blob: BlobId, _: &str, part: Part) {
        self.stream = Some((blob, part));
        self.searcher = self.needles.searcher();
    }

    fn entry(&mut self, entry: &Entry<'_>) {
        self.settle(entry.header_at);
        self.here.clear();
        self.entry = Some(Named {
            path: entry.path[..entry.path.len().min(LONGEST_PATH)].to_vec(),
            header_at: entry.header_at,
            content_at: entry.content_at,
            size: entry.size,
        });
    }

    fn bytes(&mut self, bytes: &[u8]) -> ControlFlow<()> {
        let mut hits = Vec::new();
        self.searcher.push(bytes, &mut |hit| hits.push(hit));
        for hit in &hits {
            self.hit(hit);
        }
        self.bytes += bytes.len() as u64;
        (self.watch)(self.bytes)
    }

    fn end(&mut self) {
        let mut hits = Vec::new();
        self.searcher.finish(&mut |hit| hits.push(hit));
        for hit in &hits {
            self.hit(hit);
        }
        self.settle(u64::MAX);
        self.here.clear();
        self.entry = None;
        self.stream = None;
    }
}
