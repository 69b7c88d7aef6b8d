//! Fuzzes the reader of image archives, and of the documents that describe their content.

use std::io::Read;

use pimage::{Contents, Kind, LooseBlob, Options};

use crate::inside::Trace;

/// Reads the data as an archive that an engine saved, packed or not.
///
/// - The bytes that are shown and the reports do not depend on how the data arrive.
/// - The descriptions of images agree with the blobs.
pub(crate) fn archive(data: &[u8]) {
    let options = Options { largest_blob: 4 << 20, ..Options::default() };
    let read = |chunk| {
        let mut trace = Trace::default();
        let contents = pimage::read(Drip(data, chunk), &options, &mut trace).expect("nobody cancels");
        (trace, contents)
    };
    let (whole, contents) = read(usize::MAX);
    check(&contents);
    let told = told(&contents);
    if !told.contains("limit") {
        let (trace, contents) = read(1 + data.len() % 67);
        assert!(trace == whole, "in small pieces other things are shown");
        assert_eq!(self::told(&contents), told);
    }
}

/// Reads the data as documents: an index, manifests, configurations. Each follows a line with its name in the layout
/// or archive.
pub(crate) fn documents(data: &[u8]) {
    let blobs = data.split(|byte| *byte == 0).take(12).filter_map(|part| {
        let end = part.iter().position(|byte| *byte == b'\n')?;
        let name = String::from_utf8_lossy(&part[..end]).into_owned();
        Some(LooseBlob::of_bytes(name, part[end + 1..].to_vec()))
    });
    let contents = pimage::read_loose(blobs, &Options::default(), &mut Trace::default()).expect("nobody cancels");
    check(&contents);
}

fn check(contents: &Contents) {
    for (at, image) in contents.images().iter().enumerate() {
        for blob in image.manifest().into_iter().chain(image.config()) {
            let is_read = contents.blob(blob).document().is_some();
            assert!(is_read || !contents.problems().is_empty(), "a document is read as one, or missed");
        }
        for (nth, layer) in image.layers().iter().enumerate() {
            match layer.blob() {
                Some(blob) => assert!(contents.uses(blob).contains(&(at, nth)), "a layer knows its image"),
                // A layer without a blob is always reported.
                None => assert!(!contents.problems().is_empty() || image.kind() != Kind::Image),
            }
            let deleted = contents.deleted_in(at, nth, b"file");
            assert!(deleted.is_none_or(|later| later > nth && later < image.layers().len()));
        }
    }
    for (id, blob) in contents.blobs() {
        assert!(!blob.name().contains(char::is_control), "names are printable");
        for (image, layer) in contents.uses(id) {
            assert_eq!(contents.images()[*image].layers()[*layer].blob(), Some(id));
        }
    }
}

fn told(contents: &Contents) -> String {
    let problems = contents.problems().iter().chain(contents.damaged());
    problems.map(|problem| format!("{problem}\n")).collect::<String>() + &format!("{:?}", contents.images())
}

/// A reader that returns at most this many bytes at a time.
struct Drip<'a>(&'a [u8], usize);

impl Read for Drip<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let count = out.len().min(self.1).min(self.0.len());
        out[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}
