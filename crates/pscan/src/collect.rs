//! Makes sightings of hits: overlapping hits of one secret are one sighting.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::ControlFlow;

use pimage::{BlobId, Container, Entry, Part, Stream, Visitor};
use psecret::{Form, Redactor};

use crate::needle::NeedleSet;
use crate::search::{Hit, Searcher};
use crate::show;

/// The maximal number of sightings that are kept; further sightings are only counted.
const MOST_SIGHTINGS: usize = 10_000;
/// The maximal number of spots of one secret that wait for later hits to enlarge them: more than the longest keys
/// have lines.
const MOST_OPEN: usize = 1024;
/// The maximal length of a path that is kept: that of Linux (`PATH_MAX`).
const LONGEST_PATH: usize = 4096;

/// How far the order of hits may differ from the order of their ends in the stream, in bytes.
const DISORDER: u64 = 4096;

/// The maximal number of spots that wait for their entry to be named: as many as one chunk of the reader can contain.
/// After a tar's end, where no more entries are named, the oldest spots are counted to the last entry.
const MOST_WAITING: usize = 1 << 16;

/// A secret in one form in one file, with its first offset and the number of times that it was seen.
#[derive(Debug)]
pub(crate) struct Sighting {
    pub(crate) blob: BlobId,
    pub(crate) part: Part,
    /// The needle that was seen; it determines the owner and the form.
    pub(crate) needle: usize,
    /// The number of streams around this stream.
    pub(crate) level: usize,
    /// The offset in the stream.
    pub(crate) at: u64,
    pub(crate) entry: Option<Named>,
    pub(crate) times: u64,
}

/// An entry that a header named, or that a stream was unpacked from.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    /// The file's path in the layer.
    pub(crate) path: Vec<u8>,
    /// The members inside of the file, with `!` between them.
    pub(crate) inside: Vec<u8>,
    pub(crate) container: Option<Container>,
    pub(crate) header_at: u64,
    pub(crate) content_at: u64,
    pub(crate) size: u64,
}

impl Named {
    /// Returns the file and the members inside of it as text for reports.
    pub(crate) fn shown(&self, redactor: &Redactor) -> String {
        let Self { path, inside, .. } = self;
        match (path.is_empty(), inside.is_empty()) {
            (_, true) => show::path(redactor, path),
            (true, false) => show::path(redactor, inside),
            // The two are redacted together, because a value may be cut by the mark between them.
            (false, false) => show::path(redactor, &[path, b"!".as_slice(), inside].concat()),
        }
    }
}

/// Overlapping hits of one secret, as one range.
#[derive(Clone, Copy)]
struct Spot {
    needle: usize,
    form: Form,
    start: u64,
    end: u64,
}

/// A visitor that searches every stream of an archive. It calls `watch` with the number of bytes, and `watch` returns
/// whether the search continues.
pub(crate) struct Collector<'n, W> {
    needles: &'n NeedleSet,
    watch: W,
    bytes: u64,
    /// The searches of the streams that have begun, by their level. Those from `level` on have ended and are used
    /// again for later streams.
    tracks: Vec<Track<'n>>,
    level: usize,
    found: Found,
}

/// The sightings so far.
#[derive(Default)]
struct Found {
    sightings: Vec<Sighting>,
    not_kept: u64,
}

/// The search of one stream.
struct Track<'n> {
    needles: &'n NeedleSet,
    searcher: Searcher<'n>,
    blob: BlobId,
    part: Part,
    level: usize,
    /// The number of bytes of the stream that were read.
    shown: u64,
    /// The entries that were named, in order, as far back as a hit may still begin. A hit is reported after its end,
    /// when the reader may have named the next entries already.
    named: VecDeque<Named>,
    /// The length of the longest needle of each secret that was seen.
    reach: HashMap<usize, u64>,
    /// The spots of each secret that a later hit may still enlarge or include, in order: the lines of a key are seen
    /// before the whole key is.
    open: HashMap<usize, VecDeque<Spot>>,
    /// The spots whose entry is not named yet.
    waiting: BTreeMap<(u64, usize), Spot>,
    /// The index of the sighting of each owner and form in an entry; the first two numbers are the offset and the
    /// size of the entry's content.
    here: HashMap<(u64, u64, usize, Form), Option<usize>>,
}

impl<'n, W: FnMut(u64) -> ControlFlow<()>> Collector<'n, W> {
    pub(crate) fn new(needles: &'n NeedleSet, watch: W) -> Self {
        Self { needles, watch, bytes: 0, tracks: Vec::new(), level: 0, found: Found::default() }
    }

    /// Returns the number of bytes that were searched.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes out the sightings, and the number of sightings that were not kept.
    pub(crate) fn take(&mut self) -> (Vec<Sighting>, u64) {
        let Found { sightings, not_kept } = std::mem::take(&mut self.found);
        (innermost(self.needles, sightings), not_kept)
    }
}

/// Drops the sightings in packed bytes that were also seen in the unpacked stream. Packers leave short texts
/// unchanged, so one leak is seen twice; the innermost place describes it best.
fn innermost(needles: &NeedleSet, sightings: Vec<Sighting>) -> Vec<Sighting> {
    let key = |sighting: &Sighting| {
        let path = sighting.entry.as_ref().map(|entry| entry.path.clone()).unwrap_or_default();
        (sighting.blob, needles.family(needles.needle(sighting.needle).owner), path)
    };
    let mut deepest: HashMap<_, Vec<(usize, Vec<u8>)>> = HashMap::new();
    for sighting in sightings.iter().filter(|sighting| sighting.level > 0) {
        let inside = sighting.entry.as_ref().map(|entry| entry.inside.clone()).unwrap_or_default();
        deepest.entry(key(sighting)).or_default().push((sighting.level, inside));
    }
    let leads_to = |outer: &[u8], inner: &[u8]| {
        inner.strip_prefix(outer).is_some_and(|rest| outer.is_empty() || rest.is_empty() || rest.starts_with(b"!"))
    };
    let told_deeper = |sighting: &Sighting| {
        let Some(entry) = &sighting.entry else { return false };
        let deeper = deepest.get(&key(sighting)).map(Vec::as_slice).unwrap_or_default();
        sighting.at >= entry.content_at
            && deeper.iter().any(|(level, inside)| *level > sighting.level && leads_to(&entry.inside, inside))
    };
    let told: Vec<bool> = sightings.iter().map(told_deeper).collect();
    sightings.into_iter().zip(told).filter_map(|(sighting, told)| (!told).then_some(sighting)).collect()
}

impl Found {
    fn count(&mut self, track: &mut Track<'_>, spot: Spot) {
        let entry = track.entry_of(spot.start);
        let (begin, size) = entry.map_or((0, 0), |entry| (entry.content_at, entry.size));
        let key = (begin, size, track.needles.needle(spot.needle).owner, spot.form);
        match track.here.get(&key) {
            Some(Some(index)) => {
                let sighting = &mut self.sightings[*index];
                sighting.times += 1;
                sighting.at = sighting.at.min(spot.start);
            }
            Some(None) => self.not_kept += 1,
            None if self.sightings.len() == MOST_SIGHTINGS => {
                self.not_kept += 1;
                track.here.insert(key, None);
            }
            None => {
                let (needle, at, entry) = (spot.needle, spot.start, entry.cloned());
                track.here.insert(key, Some(self.sightings.len()));
                let &mut Track { blob, part, level, .. } = track;
                self.sightings.push(Sighting { blob, part, needle, level, at, entry, times: 1 });
            }
        }
    }
}

impl Track<'_> {
    fn hit(&mut self, hit: &Hit<'_>, found: &mut Found) {
        let mut new = Spot { needle: hit.needle, form: hit.form(), start: hit.start(), end: hit.end() };
        let (needles, family) = (self.needles, self.needles.family(hit.owner()));
        let worth = |spot: &Spot| (needles.rank(needles.needle(spot.needle).owner), spot.form);
        let spots = self.open.entry(family).or_default();
        spots.retain(|spot| {
            let apart = new.end <= spot.start || spot.end <= new.start;
            if !apart {
                new.start = new.start.min(spot.start);
                new.end = new.end.max(spot.end);
                if worth(spot) <= worth(&new) {
                    (new.form, new.needle) = (spot.form, spot.needle);
                }
            }
            apart
        });
        let place = spots.partition_point(|spot| spot.start < new.start);
        spots.insert(place, new);
        // Hits come almost in the order of their ends, so no later hit reaches a spot that is this far back.
        let reach = self.reach.entry(family).or_insert_with(|| needles.longest_of(family)).saturating_add(DISORDER);
        let mut closed = Vec::new();
        while let Some(first) = spots.pop_front_if(|first| first.end + reach < new.end) {
            closed.push(first);
        }
        if spots.len() > MOST_OPEN {
            closed.extend(spots.drain(..MOST_OPEN / 2));
        }
        for spot in closed {
            self.close(spot, found);
        }
    }

    /// Holds a spot that no later hit can reach until its entry is named. An archive that begins inside the current
    /// entry may still name it. If too many spots wait, the oldest one is counted at once.
    fn close(&mut self, spot: Spot, found: &mut Found) {
        if self.waiting.len() == MOST_WAITING
            && let Some((_, oldest)) = self.waiting.pop_first()
        {
            found.count(self, oldest);
        }
        self.waiting.insert((spot.start, spot.needle), spot);
    }

    /// Finds the entry that an offset belongs to.
    fn entry_of(&self, at: u64) -> Option<&Named> {
        let later = self.named.partition_point(|named| named.header_at <= at);
        later.checked_sub(1).and_then(|nth| self.named.get(nth))
    }

    fn name(&mut self, named: Named, found: &mut Found) {
        // All hits that begin before this offset have been reported.
        let told = self.shown.saturating_sub(self.needles.longest() as u64 + DISORDER).min(named.header_at);
        self.settle(told, found);
        while self.named.get(1).is_some_and(|second| second.header_at <= told) {
            self.named.pop_front();
        }
        if self.here.len() > MOST_OPEN {
            let first = self.named.front().map_or(0, |named| named.content_at);
            self.here.retain(|(begin, ..), _| *begin >= first);
        }
        self.named.push_back(named);
    }

    /// Counts every spot that begins before the offset, for the entry that it belongs to.
    fn settle(&mut self, before: u64, found: &mut Found) {
        let later = self.waiting.split_off(&(before, 0));
        let mut ready: Vec<Spot> = std::mem::replace(&mut self.waiting, later).into_values().collect();
        for spots in self.open.values_mut() {
            while let Some(spot) = spots.pop_front_if(|spot| spot.start < before) {
                ready.push(spot);
            }
        }
        ready.sort_by_key(|spot| (spot.start, spot.needle));
        for spot in ready {
            found.count(self, spot);
        }
    }

    fn search(&mut self, bytes: &[u8], found: &mut Found) {
        let mut hits = Vec::new();
        self.shown += bytes.len() as u64;
        self.searcher.push(bytes, &mut |hit| hits.push(hit));
        for hit in &hits {
            self.hit(hit, found);
        }
    }

    fn end(&mut self, found: &mut Found) {
        let mut hits = Vec::new();
        self.searcher.finish(&mut |hit| hits.push(hit));
        for hit in &hits {
            self.hit(hit, found);
        }
        self.settle(u64::MAX, found);
        self.here.clear();
        self.named.clear();
        self.shown = 0;
    }
}

impl<W: FnMut(u64) -> ControlFlow<()>> Visitor for Collector<'_, W> {
    fn begin(&mut self, stream: &Stream<'_>) {
        let entry = match stream.part {
            Part::Inside(container) => Some(Named {
                path: kept(stream.path),
                inside: kept(stream.inside),
                container: Some(container),
                header_at: 0,
                content_at: 0,
                size: u64::MAX,
            }),
            _ => None,
        };
        match self.tracks.get_mut(self.level) {
            Some(track) => {
                (track.blob, track.part) = (stream.blob, stream.part);
                track.named.extend(entry);
            }
            None => self.tracks.push(Track {
                needles: self.needles,
                searcher: Searcher::new(self.needles),
                blob: stream.blob,
                part: stream.part,
                level: self.level,
                shown: 0,
                named: entry.into_iter().collect(),
                reach: HashMap::new(),
                open: HashMap::new(),
                waiting: BTreeMap::new(),
                here: HashMap::new(),
            }),
        }
        self.level += 1;
    }

    fn entry(&mut self, entry: &Entry<'_>) {
        let Some(track) = self.level.checked_sub(1).and_then(|level| self.tracks.get_mut(level)) else { return };
        let named = Named {
            path: kept(entry.path),
            inside: kept(entry.inside),
            container: entry.container,
            header_at: entry.header_at,
            content_at: entry.content_at,
            size: entry.size,
        };
        track.name(named, &mut self.found);
    }

    fn bytes(&mut self, level: usize, bytes: &[u8]) -> ControlFlow<()> {
        if let Some(track) = self.tracks.get_mut(level) {
            track.search(bytes, &mut self.found);
        }
        self.bytes += bytes.len() as u64;
        (self.watch)(self.bytes)
    }

    fn end(&mut self) {
        self.level = self.level.saturating_sub(1);
        if let Some(track) = self.tracks.get_mut(self.level) {
            track.end(&mut self.found);
        }
    }
}

fn kept(path: &[u8]) -> Vec<u8> {
    path[..path.len().min(LONGEST_PATH)].to_vec()
}
