//! The search of a finished image.

mod layers;
mod together;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use pimage::{BlobId, Container, Contents, Digest, Kind, LooseBlob, Part, Problem, Remembered, Vouching};
use psecret::{Form, SecretName};

use crate::ScanError;
use crate::collect::{Collector, Sighting};
use crate::document;
use crate::finding::{Finding, Place};
use crate::needle::NeedleSet;
use crate::report::{NotSearched, Report, Stats};
use crate::search::Searcher;
use crate::show;

/// The options of a search.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How the archive is read.
    pub reading: pimage::Options,
    /// The image's name, for the report.
    pub subject: Option<String>,
    /// The way by which the image's bytes are read, for the report: `archive`, `the engine's own files`.
    pub way: Option<String>,
    /// The memory of layers that earlier audits searched.
    pub memory: Option<Arc<dyn Memory>>,
}

/// How far a search has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The number of unpacked bytes that were searched.
    pub bytes: u64,
}

/// The maximal number of findings in a report; further findings are only counted.
const MOST_FINDINGS: usize = 10_000;

/// Searches an image archive, from a file, a pipe or an engine's stream, for every form of every secret.
///
/// `progress` is called for each chunk, about four times per megabyte. If it returns [`ControlFlow::Break`], the
/// search ends.
///
/// # Errors
///
/// Returns [`ScanError::NothingSearchable`] if there is no needle, and [`ScanError::Cancelled`] if `progress` ended
/// the search. Faults of the archive are not errors: the report has them.
pub fn audit(
    mut source: impl Read,
    needles: &NeedleSet,
    options: &Options,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Report, ScanError> {
    audit_any(Bytes::Archive(&mut source), needles, options, progress)
}

/// Searches an image archive that is a file, several of its blobs at once.
///
/// # Errors
///
/// Returns the same errors as [`audit()`].
pub fn audit_file(
    file: File,
    needles: &NeedleSet,
    options: &Options,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Report, ScanError> {
    audit_any(Bytes::File(file), needles, options, progress)
}

/// Searches the blobs of an image that is not an archive, several at once: a layout's files, or a registry's
/// downloads.
///
/// # Errors
///
/// Returns the same errors as [`audit()`].
pub fn audit_loose(
    blobs: Vec<LooseBlob>,
    needles: &NeedleSet,
    options: &Options,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Report, ScanError> {
    audit_any(Bytes::Loose(blobs), needles, options, progress)
}

/// The source of an image's bytes.
enum Bytes<'a> {
    Archive(&'a mut dyn Read),
    File(File),
    Loose(Vec<LooseBlob>),
}

/// The memory of layers that earlier audits searched for the same needles. It keeps only clean layers, so a layer
/// with a finding is searched again.
///
/// An implementation must keep apart the layers that were searched for other needles or by another version of the
/// search.
pub trait Memory: fmt::Debug + Send + Sync {
    /// Returns the layer with this digest, if it was searched whole and nothing was found in it.
    fn recall(&self, digest: &Digest) -> Option<Remembered>;

    /// Keeps a layer that was searched whole and in which nothing was found.
    fn remember(&self, digest: &Digest, layer: &Remembered);
}

/// Leaves out a blob whose layer is known. A digest counts only if the engine's own store vouches for it or if the
/// blob's bytes have it. A file's name does not count.
fn recalled(blob: LooseBlob, memory: Option<&dyn Memory>) -> LooseBlob {
    let Some((memory, (digest, vouching))) = memory.zip(blob.identity()) else { return blob };
    let Some(known) = memory.recall(digest) else { return blob };
    match vouching == Vouching::Store || blob.holds(digest) {
        true => blob.recalled(known),
        false => blob,
    }
}

/// Keeps the clean layers, under digests that the store vouched for or that were computed while the layers were read.
fn remember(memory: &dyn Memory, contents: &Contents, sightings: &[Sighting], vouched: &HashMap<String, Digest>) {
    let seen: HashSet<BlobId> = sightings.iter().map(|sighting| sighting.blob).collect();
    let broken: Option<HashSet<BlobId>> = contents.problems().iter().map(pimage::Problem::blob).collect();
    // A problem that does not name its blob may be that of any blob, so no layer is kept.
    let Some(broken) = broken else { return };
    for (id, blob) in contents.blobs() {
        if blob.is_recalled() || seen.contains(&id) || broken.contains(&id) || contents.uses(id).is_empty() {
            continue;
        }
        let digest = vouched.get(blob.name()).or(blob.digest());
        if let Some((digest, layer)) = digest.zip(contents.remembered(id)) {
            memory.remember(digest, &layer);
        }
    }
}

/// The results of a search: the contents that were read, and the sightings.
struct Searched {
    contents: Contents,
    sightings: Vec<Sighting>,
    /// The number of sightings that are not in `sightings`, because there were too many.
    not_kept: u64,
    bytes: u64,
}

/// Audits a source of any kind. One compiled function serves all sources. It is compiled in this crate, which is
/// optimized in development builds, too.
fn audit_any(
    source: Bytes<'_>,
    needles: &NeedleSet,
    options: &Options,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Report, ScanError> {
    if needles.is_empty() {
        return Err(ScanError::NothingSearchable);
    }
    let began = Instant::now();
    let reading = &options.reading;
    let mut vouched = HashMap::new();
    let Searched { contents, sightings, not_kept, bytes } = match source {
        Bytes::Archive(archive) => {
            let mut collector = Collector::new(needles, |bytes| progress(Progress { bytes }));
            let contents = pimage::read(archive, reading, &mut collector)?;
            let bytes = collector.bytes();
            let (sightings, not_kept) = collector.take();
            Searched { contents, sightings, not_kept, bytes }
        }
        Bytes::File(file) => {
            together::search(needles, progress, |visitors| pimage::read_file(file, reading, visitors))?
        }
        Bytes::Loose(blobs) => {
            let of_store = |blob: &LooseBlob| {
                let (digest, vouching) = blob.identity()?;
                (vouching == Vouching::Store).then(|| (blob.name().to_owned(), digest.clone()))
            };
            vouched.extend(blobs.iter().filter_map(of_store));
            let blobs = blobs.into_iter().map(|blob| recalled(blob, options.memory.as_deref())).collect();
            together::search(needles, progress, |visitors| pimage::read_loose_together(blobs, reading, visitors))?
        }
    };
    if let Some(memory) = options.memory.as_deref().filter(|_| not_kept == 0) {
        remember(memory, &contents, &sightings, &vouched);
    }
    let mut writer = Writer { needles, contents: &contents, findings: Vec::new(), not_listed: not_kept };
    writer.layers(&sightings);
    writer.documents();
    let Writer { mut findings, not_listed, .. } = writer;
    findings.sort_by_key(|finding| (finding.layer.is_none(), finding.layer));

    let layers = layers::summaries(needles.redactor(), &contents, &findings);
    let images = contents.images().iter().filter(|image| image.kind() == Kind::Image);
    let stats = Stats {
        layers: images.clone().map(|image| image.layers().len()).sum(),
        bytes,
        secrets: needles.secrets(),
        forms: needles.forms(),
        milliseconds: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
    };
    let config = |image: &pimage::Image| {
        let blob = contents.blob(image.config()?);
        vouched.get(blob.name()).or(blob.digest()).map(ToString::to_string)
    };
    let mut image_ids: Vec<String> = images.clone().filter_map(config).collect();
    image_ids.dedup();
    Ok(Report {
        image_ids,
        date: None,
        subject: options.subject.as_deref().map(|subject| show::text(needles.redactor(), subject)),
        platforms: images
            .filter_map(|image| image.platform())
            .map(|text| show::text(needles.redactor(), text))
            .collect(),
        absent: contents.absent_platforms().iter().map(|text| show::text(needles.redactor(), text)).collect(),
        way: options.way.clone(),
        layers,
        searched: needles.secret_names().map(ToString::to_string).collect(),
        findings,
        accepted: Vec::new(),
        stale: Vec::new(),
        not_listed,
        not_searched: not_searched(needles).chain(told(needles, &contents, contents.problems())).collect(),
        damaged: told(needles, &contents, contents.damaged()),
        unprotected: needles.unsearched().to_vec(),
        stats,
    })
}

/// Lists the secrets and parts that should have been searched for but were not.
fn not_searched(needles: &NeedleSet) -> impl Iterator<Item = NotSearched> {
    let told = |why: &String| NotSearched { layer: None, member: None, why: why.clone() };
    needles.incomplete().iter().map(told)
}

/// Describes each problem, with the layer that it concerns.
fn told(needles: &NeedleSet, contents: &Contents, problems: &[Problem]) -> Vec<NotSearched> {
    let told = problems.iter().map(|problem| {
        let layer = problem.blob().and_then(|blob| contents.uses(blob).first()).map(|(_, layer)| layer + 1);
        let member = problem.blob().map(|blob| show::text(needles.redactor(), contents.blob(blob).name()));
        NotSearched { layer, member, why: show::text(needles.redactor(), &problem.to_string()) }
    });
    told.collect()
}

struct Writer<'a> {
    needles: &'a NeedleSet,
    contents: &'a Contents,
    findings: Vec<Finding>,
    not_listed: u64,
}

impl Writer<'_> {
    /// Adds the sightings in streams. Documents are left out, because they are searched again for their pointers.
    fn layers(&mut self, sightings: &[Sighting]) {
        for sighting in sightings {
            let is_document = self.contents.blob(sighting.blob).document().is_some();
            if is_document && sighting.part == Part::Content {
                continue;
            }
            let place = self.place(sighting);
            let path = sighting.entry.as_ref().map(|entry| entry.path.as_slice());
            let container = sighting.entry.as_ref().and_then(|entry| entry.container);
            let seen = Seen { needle: sighting.needle, path, place, container, times: sighting.times };
            self.everywhere(sighting.blob, &seen);
        }
    }

    fn place(&self, sighting: &Sighting) -> Place {
        let redactor = self.needles.redactor();
        let at = sighting.at;
        match (sighting.part, &sighting.entry) {
            (Part::GzipFields, _) => Place::GzipHeader { offset: at },
            (Part::Rest { at: begin }, _) => Place::Packed { offset: begin + at },
            (_, Some(entry)) => {
                let path = entry.shown(redactor);
                if at < entry.content_at {
                    Place::Header { path, offset: at.saturating_sub(entry.header_at) }
                } else if at - entry.content_at < entry.size {
                    Place::File { path, offset: at - entry.content_at }
                } else {
                    Place::Bytes { after: Some(path), offset: at }
                }
            }
            (_, None) if self.contents.uses(sighting.blob).is_empty() => {
                let name = show::text(redactor, self.contents.blob(sighting.blob).name());
                Place::Document { name, pointer: None, offset: at }
            }
            (_, None) => Place::Bytes { after: None, offset: at },
        }
    }

    /// Adds one finding for each layer that a blob is used as, or one finding if it is not a layer.
    fn everywhere(&mut self, blob: BlobId, seen: &Seen<'_>) {
        let uses = self.contents.uses(blob);
        let mut new = self.finding(seen.needle, seen.place.clone(), seen.times);
        new.container = seen.container;
        if uses.is_empty() {
            return self.add(new);
        }
        for (used, (image_at, layer_at)) in uses.iter().enumerate() {
            if self.findings.len() == MOST_FINDINGS {
                self.not_listed += seen.times * (uses.len() - used) as u64;
                return;
            }
            let image = &self.contents.images()[*image_at];
            let layer = &image.layers()[*layer_at];
            let mut finding = new.clone();
            finding.image = self.image_name(*image_at);
            if image.kind() != Kind::Attestation {
                finding.layer = Some(layer_at + 1);
                finding.diff_id = layer.diff_id().map(ToString::to_string);
                finding.instruction = layer.created_by().map(|line| show::instruction(self.needles.redactor(), line));
                finding.deleted_in = seen
                    .path
                    .filter(|_| matches!(seen.place, Place::File { .. } | Place::Header { .. }))
                    .and_then(|path| self.contents.deleted_in(*image_at, *layer_at, path))
                    .map(|later| later + 1);
            }
            self.add(finding);
        }
    }

    fn finding(&self, needle: usize, place: Place, times: u64) -> Finding {
        let found = self.needles.needle(needle);
        let mut names = self.needles.names(found.owner).cloned();
        let secret = names.next().expect("a needle belongs to somebody");
        Finding {
            secret,
            part: self.needles.part(found.owner).map(str::to_owned),
            same_value: names.collect(),
            form: found.form,
            container: None,
            weak: found.whole_token,
            image: None,
            layer: None,
            diff_id: None,
            place,
            instruction: None,
            deleted_in: None,
            times,
            line: None,
        }
    }

    fn add(&mut self, finding: Finding) {
        if self.findings.len() < MOST_FINDINGS {
            self.findings.push(finding);
        } else {
            self.not_listed += finding.times;
        }
    }

    /// Returns the platform of an image, if the archive has images of several platforms.
    fn image_name(&self, image: usize) -> Option<String> {
        let images = self.contents.images();
        let several = images.iter().filter(|image| image.kind() == Kind::Image).count() > 1;
        let platform = images[image].platform().filter(|_| several)?;
        Some(show::text(self.needles.redactor(), platform))
    }

    fn documents(&mut self) {
        let contents = self.contents;
        let (copies, others): (Vec<_>, Vec<_>) =
            contents.blobs().filter(|(_, blob)| blob.document().is_some()).partition(|(id, blob)| {
                // Newer engines keep the copies among the blobs, where no manifest lists them.
                let is_stray = blob.name().starts_with("blobs/") && self.document_name(*id).1.is_none();
                is_stray || is_copy_of_config(blob.name())
            });
        for (id, _) in others {
            self.document(id);
        }
        // A finding in a copy is left out if the configuration itself has the same finding.
        let told: HashSet<(SecretName, String)> = self
            .findings
            .iter()
            .filter_map(|finding| match finding.place() {
                Place::Document { pointer: Some(pointer), .. } => Some((finding.secret().clone(), pointer.clone())),
                _ => None,
            })
            .collect();
        let before = self.findings.len();
        for (id, _) in copies {
            self.document(id);
        }
        let news = self.findings.split_off(before.min(self.findings.len()));
        self.findings.extend(news.into_iter().filter(|finding| match finding.place() {
            Place::Document { pointer: Some(pointer), .. } => {
                let pointer = pointer.replacen("/container_config/", "/config/", 1);
                !told.contains(&(finding.secret().clone(), pointer))
            }
            _ => true,
        }));
    }

    /// Searches a document as bytes, and then each of its strings.
    fn document(&mut self, id: BlobId) {
        let Some(bytes) = self.contents.blob(id).document() else { return };
        let mut raw = Vec::new();
        self.search(bytes, &mut raw);
        let mut decoded: Vec<(usize, u64)> = Vec::new();
        let mut seen: HashMap<(usize, Option<Vec<u8>>), Spot> = HashMap::new();
        let mut order = Vec::new();
        let mut note = |needle: usize, pointer: Option<(Vec<u8>, Option<usize>)>, at: u64| {
            let found = self.needles.needle(needle);
            let (pointer, history) = pointer.map_or((None, None), |(pointer, history)| (Some(pointer), history));
            let key = (self.needles.family(found.owner), pointer.clone());
            let spot = seen.entry(key.clone()).or_insert_with(|| {
                order.push(key);
                Spot { needle, form: found.form, at, history }
            });
            let known = self.needles.needle(spot.needle);
            if (self.needles.rank(found.owner), found.form) < (self.needles.rank(known.owner), spot.form) {
                (spot.needle, spot.form) = (needle, found.form);
            }
        };
        let mut next = 0;
        document::tokens(bytes, &mut |token| {
            let (start, end) = (token.start as u64, token.end as u64);
            let place = || {
                let history = token.pointer.is(0, "history").then(|| token.pointer.index(1)).flatten();
                Some((token.pointer.bytes(), history))
            };
            while let Some((needle, at)) = raw.get(next).filter(|(_, at)| *at < end) {
                note(*needle, if *at >= start { place() } else { None }, *at);
                next += 1;
            }
            if let Some(meant) = &token.decoded {
                decoded.clear();
                self.search(meant, &mut decoded);
                for (needle, _) in &decoded {
                    note(*needle, place(), start);
                }
            }
        });
        for (needle, at) in &raw[next..] {
            note(*needle, None, *at);
        }
        let (name, image) = self.document_name(id);
        for key in order {
            let Some(spot) = seen.remove(&key) else { continue };
            let pointer = key.1.map(|pointer| show::pointer(self.needles.redactor(), &pointer));
            let place = Place::Document { name: name.clone(), pointer, offset: spot.at };
            let mut finding = self.finding(spot.needle, place, 1);
            finding.image = image.and_then(|image| self.image_name(image));
            finding.instruction = image.zip(spot.history).and_then(|(_, line)| self.history_line(id, line));
            self.add(finding);
        }
    }

    /// Searches bytes, and adds the needles in them in the order of their beginnings.
    fn search(&self, bytes: &[u8], found: &mut Vec<(usize, u64)>) {
        let mut searcher = Searcher::new(self.needles);
        searcher.push(bytes, &mut |hit| found.push((hit.needle, hit.start())));
        searcher.finish(&mut |hit| found.push((hit.needle, hit.start())));
        found.sort_by_key(|(_, start)| *start);
    }

    /// Returns a document's name for reports, with the index of the image that it belongs to.
    fn document_name(&self, id: BlobId) -> (String, Option<usize>) {
        let images = self.contents.images();
        for (at, image) in images.iter().enumerate() {
            if image.config() == Some(id) {
                return ("config".to_owned(), Some(at));
            }
            if image.manifest() == Some(id) && image.digest().is_some() {
                return ("manifest".to_owned(), Some(at));
            }
            if image.kind() == Kind::Attestation && image.layers().iter().any(|layer| layer.blob() == Some(id)) {
                return ("attestation".to_owned(), Some(at));
            }
        }
        let name = match self.contents.blob(id).name() {
            "index.json" => "index".to_owned(),
            "manifest.json" => "manifest".to_owned(),
            name => show::text(self.needles.redactor(), name),
        };
        (name, None)
    }

    /// Returns the instruction of a line of the image's history.
    fn history_line(&self, id: BlobId, line: usize) -> Option<String> {
        let document: serde_json::Value = serde_json::from_slice(self.contents.blob(id).document()?).ok()?;
        let created_by = document.get("history")?.get(line)?.get("created_by")?.as_str()?;
        Some(show::instruction(self.needles.redactor(), created_by))
    }
}

/// Whether a member of the archive is a copy of an image's configuration. Old engines put such a copy beside each
/// layer: `<id>/json`.
fn is_copy_of_config(name: &str) -> bool {
    name.strip_suffix("/json").is_some_and(|id| pimage::Digest::from_hex(id).is_some())
}

/// A secret at one place of a blob.
struct Seen<'s> {
    needle: usize,
    /// The file's path in the layer's own tar.
    path: Option<&'s [u8]>,
    place: Place,
    container: Option<Container>,
    times: u64,
}

/// A secret in one string of a document.
struct Spot {
    needle: usize,
    form: Form,
    at: u64,
    /// The line of an image's history that the string belongs to.
    history: Option<usize>,
}

#[cfg(test)]
mod tests;
