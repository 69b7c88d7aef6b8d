//! Fuzzes the readers of archives and packed files inside of layers, of every format: `pimage::inside`.

use std::io::{self, Read};
use std::ops::ControlFlow;
use std::sync::Arc;

use pimage::{Contents, Entry, Limits, LooseBlob, Options, Stream, Verify, Visitor};

/// The number of bytes that a decoder returns at a time. Limits are checked after each such chunk.
const CHUNK: usize = 256 << 10;

/// Reads the data as a file of a layer, whatever its format is.
///
/// - Every byte of the layer is shown, once and in order, and streams end in the reverse order of their beginnings.
/// - An entry is named after its headers.
/// - The bytes that are shown and the reports do not depend on how the layer arrives, unless a part of it is damaged.
/// - No more is unpacked than the limits allow.
pub(crate) fn run(data: &[u8]) {
    let layer: Arc<[u8]> = layer_of(data).into();
    let (whole, contents) = read(&layer, usize::MAX);
    assert!(whole.streams.first().is_some_and(|stream| stream.bytes == layer[..]), "every byte of the layer is shown");
    assert!(whole.open.is_empty(), "every stream ends");
    let unpacked: usize = whole.streams.iter().skip(1).map(|stream| stream.bytes.len()).sum();
    let most = usize::try_from(limits().layer_bytes).unwrap_or(usize::MAX);
    assert!(unpacked <= most + CHUNK, "{unpacked} bytes");
    let told = told(&contents);
    // The place where a limit is reached or damage is found depends on the chunks, and so do the names of the bytes
    // after it.
    if !told.contains("limit") && contents.damaged().is_empty() {
        for chunk in [1, 2 + data.len() % 61, 700] {
            let (trace, contents) = read(&layer, chunk);
            assert!(trace == whole, "in chunks of {chunk} other things are shown: {}", trace.difference(&whole));
            assert_eq!(self::told(&contents), told, "in chunks of {chunk}");
        }
    }
}

fn limits() -> Limits {
    Limits {
        depth: 4,
        member_bytes: 1 << 20,
        layer_bytes: 2 << 20,
        entries: 500,
        memory: 16 << 20,
        ..Limits::default()
    }
}

fn read(layer: &Arc<[u8]>, chunk: usize) -> (Trace, Contents) {
    let options = Options { verify: Verify::Nothing, inside: limits(), ..Options::default() };
    let bytes = Arc::clone(layer);
    let open =
        move || -> io::Result<Box<dyn Read + Send>> { Ok(Box::new(Drip { bytes: Arc::clone(&bytes), at: 0, chunk })) };
    let blob = LooseBlob::sized("layer".to_owned(), layer.len() as u64, open);
    let mut trace = Trace::default();
    let contents = pimage::read_loose([blob], &options, &mut trace).expect("nobody cancels");
    (trace, contents)
}

/// Returns the reports about content that was not read.
fn told(contents: &Contents) -> String {
    let problems = contents.problems().iter().chain(contents.damaged());
    problems.map(|problem| format!("{problem}\n")).collect()
}

/// Makes a tar with one file.
fn layer_of(data: &[u8]) -> Vec<u8> {
    let mut header = [0; 512];
    header[..4].copy_from_slice(b"file");
    header[100..107].copy_from_slice(b"0000644");
    header[124..135].copy_from_slice(format!("{:011o}", data.len()).as_bytes());
    header[148..156].fill(b' ');
    header[156] = b'0';
    header[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    let mut layer = [&header[..], data].concat();
    layer.resize(layer.len().next_multiple_of(512) + 1024, 0);
    layer
}

/// A reader that returns at most this many bytes at a time.
struct Drip {
    bytes: Arc<[u8]>,
    at: usize,
    chunk: usize,
}

impl Read for Drip {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = out.len().min(self.chunk).min(self.bytes.len() - self.at);
        out[..count].copy_from_slice(&self.bytes[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

/// Everything that was shown to the visitor.
#[derive(Default, PartialEq, Eq)]
pub(crate) struct Trace {
    pub(crate) streams: Vec<Shown>,
    pub(crate) open: Vec<usize>,
}

impl Trace {
    /// Describes the first stream that differs between two traces.
    fn difference(&self, other: &Self) -> String {
        let told = |stream: Option<&Shown>| {
            stream.map(|shown| format!("{}, {} bytes, {:?}", shown.head, shown.bytes.len(), shown.entries))
        };
        let most = self.streams.len().max(other.streams.len());
        let at = (0..most).find(|at| self.streams.get(*at) != other.streams.get(*at)).unwrap_or(most);
        format!("{:?} and {:?}", told(self.streams.get(at)), told(other.streams.get(at)))
    }
}

/// A stream as it was shown.
#[derive(Default, PartialEq, Eq)]
pub(crate) struct Shown {
    head: String,
    pub(crate) bytes: Vec<u8>,
    entries: Vec<String>,
}

impl Visitor for Trace {
    fn begin(&mut self, stream: &Stream<'_>) {
        self.open.push(self.streams.len());
        self.streams.push(Shown { head: format!("{stream:?}"), ..Shown::default() });
    }

    fn entry(&mut self, entry: &Entry<'_>) {
        let stream = &mut self.streams[*self.open.last().expect("an entry lies in a stream")];
        assert!(entry.header_at <= stream.bytes.len() as u64, "{entry:?} is named before it was shown");
        stream.entries.push(format!("{entry:?}"));
    }

    fn bytes(&mut self, level: usize, bytes: &[u8]) -> ControlFlow<()> {
        assert!(!bytes.is_empty());
        self.streams[self.open[level]].bytes.extend_from_slice(bytes);
        ControlFlow::Continue(())
    }

    fn end(&mut self) {
        self.open.pop().expect("a stream that began");
    }
}
