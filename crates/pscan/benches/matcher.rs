//! Measures only the matcher: it searches a stream like the content of images for 20 and for 1,000 secrets.
//!
//! Run it with `cargo bench -p pscan`. If `PBUILD_BENCH_FILE` is set, the stream is the beginning of this file, such
//! as a layer of the image that `scripts/bench image` makes.

use std::hint::black_box;
use std::io::Read as _;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pscan::{NeedleSet, NeedleSetBuilder, Searcher};
use psecret::{SecretName, UserSecret};

/// The length of the stream: larger than any cache.
const LENGTH: u64 = 256 << 20;

/// The number of bytes that arrive at once.
const CHUNK: usize = 256 << 10;

/// Makes pseudorandom numbers that are the same in each run.
fn numbers(mut state: u64) -> impl Iterator<Item = u64> {
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    })
}

/// Makes secrets of 32 letters and digits.
fn needles(count: u64) -> NeedleSet {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let add = |builder: NeedleSetBuilder, nth: u64| {
        let letters = numbers(nth.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1).skip(8).take(32);
        let value = letters.map(|number| alphabet[(number >> 32) as usize % alphabet.len()]).collect();
        builder.secret(&SecretName::parse(&format!("SECRET_{nth}")).expect("a name"), &UserSecret::new(value))
    };
    (1..=count).fold(NeedleSetBuilder::new(), add).build().expect("so many fit")
}

/// Makes text, code, padding and noise, or reads a file's beginning.
fn stream() -> Vec<u8> {
    if let Some(path) = std::env::var_os("PBUILD_BENCH_FILE") {
        let file = std::fs::File::open(path).expect("PBUILD_BENCH_FILE is readable");
        let mut bytes = Vec::new();
        file.take(LENGTH).read_to_end(&mut bytes).expect("the file is readable");
        return bytes;
    }
    let words: Vec<String> =
        numbers(7).take(500).map(|number| format!("{number:x} ")[..3 + number as usize % 7].to_owned()).collect();
    let mut bytes = Vec::new();
    for number in numbers(11) {
        match number % 4 {
            0 => bytes.extend(numbers(number | 1).take(1024).flat_map(u64::to_le_bytes)),
            1 => bytes.resize(bytes.len() + 4096, 0),
            _ => numbers(number | 1)
                .take(4096)
                .for_each(|word| bytes.extend_from_slice(words[word as usize % 500].as_bytes())),
        }
        if bytes.len() as u64 > LENGTH {
            break;
        }
    }
    bytes
}

fn search(needles: &NeedleSet, bytes: &[u8]) -> u64 {
    let mut hits = 0;
    let mut searcher = Searcher::new(needles);
    for chunk in bytes.chunks(CHUNK) {
        searcher.push(chunk, &mut |_| hits += 1);
    }
    searcher.finish(&mut |_| hits += 1);
    hits
}

fn matcher(criterion: &mut Criterion) {
    let bytes = stream();
    let mut group = criterion.benchmark_group("search");
    group.throughput(Throughput::Bytes(bytes.len() as u64)).sample_size(10);
    for count in [20, 100, 1000] {
        let needles = needles(count);
        group.bench_function(format!("{count} secrets in {} forms", needles.forms()), |bencher| {
            bencher.iter(|| search(&needles, black_box(&bytes)));
        });
    }
    group.finish();
}

criterion_group!(benches, matcher);
criterion_main!(benches);
