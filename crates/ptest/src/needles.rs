//! A search for all forms of all canaries, in bytes and in streams. Compressed streams are unpacked.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read};

use aho_corasick::{AhoCorasick, AhoCorasickKind};

use crate::canary::Canary;
use crate::encode;

/// The most levels of compression that are unpacked.
const DEEPEST: usize = 4;

/// A form of a canary that is searched for.
struct Shape {
    name: String,
    form: &'static str,
}

/// A search for every form of every canary.
pub(crate) struct Needles {
    automaton: AhoCorasick,
    shapes: Vec<Shape>,
}

/// A place where a form was seen: the canary, the form, the offset in its stream, and how that stream was packed.
#[derive(Debug)]
pub(crate) struct Sighting {
    pub(crate) name: String,
    pub(crate) form: &'static str,
    pub(crate) offset: u64,
    pub(crate) packed: &'static str,
}

impl Needles {
    pub(crate) fn new(canaries: &[Canary]) -> Self {
        let mut patterns: BTreeMap<Vec<u8>, Shape> = BTreeMap::new();
        for canary in canaries {
            for (form, bytes) in encode::shapes(canary.value()) {
                patterns.entry(bytes).or_insert_with(|| Shape { name: canary.name().to_owned(), form });
            }
        }
        let (bytes, shapes): (Vec<_>, Vec<_>) = patterns.into_iter().unzip();
        let automaton = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(bytes)
            .expect("a test's canaries fit into an automaton");
        Self { automaton, shapes }
    }

    /// Finds each form of each canary only once, so that a value that occurs a thousand times is one line of the
    /// message.
    pub(crate) fn search(&self, bytes: &[u8]) -> Vec<Sighting> {
        let mut seen = Vec::new();
        self.search_stream(&mut &*bytes, &mut seen).expect("memory is always readable");
        seen
    }

    /// Searches a stream. A stream of gzip or zstd is unpacked and searched, too.
    ///
    /// If a compressed stream is damaged or ends early, its readable part is searched.
    pub(crate) fn search_stream(&self, reader: &mut dyn Read, seen: &mut Vec<Sighting>) -> io::Result<()> {
        // Bytes in memory are copied once for each level of compression. The copies are small next to the files of a
        // sweep.
        self.layer(reader, seen, "", 0)
    }

    fn layer(
        &self,
        reader: &mut dyn Read,
        seen: &mut Vec<Sighting>,
        packed: &'static str,
        depth: usize,
    ) -> io::Result<()> {
        let mut reader = BufReader::with_capacity(256 << 10, reader);
        let magic = reader.fill_buf()?;
        let inner = match magic {
            [0x1f, 0x8b, ..] => "in gzip",
            [0x28, 0xb5, 0x2f, 0xfd, ..] => "in zstd",
            _ => "",
        };
        if inner.is_empty() || depth == DEEPEST {
            return self.bytes(reader, seen, packed);
        }
        // The packed bytes are searched too, because the header of gzip can contain a file name.
        let mut tee = Tee { reader, kept: Vec::new() };
        if inner == "in gzip" {
            self.layer(&mut UntilDamaged(flate2::read::MultiGzDecoder::new(&mut tee)), seen, inner, depth + 1)?;
        } else if let Ok(mut decoder) = zstd::stream::read::Decoder::new(&mut tee) {
            decoder.window_log_max(27)?;
            self.layer(&mut UntilDamaged(decoder), seen, inner, depth + 1)?;
        }
        io::copy(&mut tee, &mut io::sink())?;
        self.bytes(&*tee.kept, seen, packed)
    }

    fn bytes(&self, reader: impl Read, seen: &mut Vec<Sighting>, packed: &'static str) -> io::Result<()> {
        for found in self.automaton.stream_find_iter(reader) {
            let found = found?;
            let shape = &self.shapes[found.pattern().as_usize()];
            // Small or random content is not changed by packing, so it is found twice. It counts as one sighting.
            if !seen.iter().any(|sighting| sighting.name == shape.name && sighting.form == shape.form) {
                seen.push(Sighting {
                    name: shape.name.clone(),
                    form: shape.form,
                    offset: found.start() as u64,
                    packed,
                });
            }
        }
        Ok(())
    }

    /// Replaces every form of a canary in the text by the canary's name.
    pub(crate) fn mask(&self, bytes: &[u8]) -> String {
        let mut out = Vec::with_capacity(bytes.len());
        let mut end = 0;
        for found in self.automaton.find_iter(bytes) {
            out.extend_from_slice(&bytes[end..found.start()]);
            let shape = &self.shapes[found.pattern().as_usize()];
            out.extend_from_slice(format!("[canary {}, {}]", shape.name, shape.form).as_bytes());
            end = found.end();
        }
        out.extend_from_slice(&bytes[end..]);
        String::from_utf8_lossy(&out).into_owned()
    }
}

/// A reader that ends at the first error, because tests write damaged streams on purpose.
struct UntilDamaged<R>(R);

impl<R: Read> Read for UntilDamaged<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(self.0.read(buffer).unwrap_or(0))
    }
}

/// A reader that keeps a copy of the first bytes, enough for the headers of a compressed stream.
struct Tee<R> {
    reader: R,
    kept: Vec<u8>,
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        const KEPT: usize = 64 << 10;
        let count = self.reader.read(buffer)?;
        let room = KEPT.saturating_sub(self.kept.len());
        self.kept.extend_from_slice(&buffer[..count.min(room)]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn needles() -> (Needles, Vec<u8>) {
        let canary = Canary::new("TOKEN", crate::canary::token());
        let value = canary.value().to_vec();
        (Needles::new(&[canary]), value)
    }

    #[test]
    fn compressed_streams_are_opened_also_inside_each_other() {
        let (needles, value) = needles();
        let text = [b"before ".as_slice(), &value, b" after"].concat();
        let zstd = zstd::encode_all(text.as_slice(), 3).unwrap();
        for packed in [gzip(&text), zstd.clone(), gzip(&zstd), [gzip(b"first member"), gzip(&text)].concat()] {
            let seen = needles.search(&packed);
            assert_eq!((seen.len(), seen.first().map(|at| at.form)), (1, Some("as written")));
        }
    }

    #[test]
    fn a_damaged_stream_is_searched_as_far_as_it_goes() {
        let (needles, value) = needles();
        let mut packed = gzip(&value);
        let end = packed.len();
        packed[end - 5] ^= 1;
        assert_eq!(needles.search(&packed).len(), 1);
    }

    #[test]
    fn a_masked_text_holds_no_canary() {
        let (needles, value) = needles();
        let masked = needles.mask(&[b"token=".as_slice(), &value, b";"].concat());
        assert_eq!(masked, "token=[canary TOKEN, as written];");
    }
}
