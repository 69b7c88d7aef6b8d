//! Compares the redactor's speed with that of memcpy: 100 secrets in all their forms, on one core, over the same
//! bytes in the same run.
//!
//! `cargo bench -p psecret` prints each text's speed and, at the end, its ratio to memcpy. The bench makes the same
//! texts each time, so the figures of two versions can be compared.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use psecret::{Redactor, RedactorBuilder, SecretName, UserSecret};

/// The length of each text: more than a core's own caches hold, as in a long log.
const LENGTH: usize = 8 * 1024 * 1024;

/// The number of bytes that a stream gets at once.
const PIECE: usize = 32 * 1024;

/// How often each text is redacted and copied for the ratios: so often that at least one turn is not disturbed by
/// other programs.
const TURNS: usize = 50;

/// A generator of random numbers: Marsaglia's xorshift.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.next() % most as u64).expect("less than most")
    }

    fn text(&mut self, letters: &[u8], length: usize) -> Vec<u8> {
        (0..length).map(|_| letters[self.below(letters.len())]).collect()
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

const HEX: &[u8] = b"0123456789abcdef";
const BASE64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const TOKEN: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const PASSWORD: &[u8] = b"abcdefghijkmnopqrstuvwxyz23456789!$%&/()=?+*#-_.:,;<>\"'\\@ ";

/// Makes the values that people typically have: tokens with and without a known beginning, keys in hex and base64,
/// passwords, a PEM key.
fn values() -> Vec<Vec<u8>> {
    let mut random = Random(0x5eed_0004);
    let mut value = |number: usize| match number % 10 {
        0 => [b"ghp_", &*random.text(TOKEN, 36)].concat(),
        1 => [b"sk_live_", &*random.text(TOKEN, 24)].concat(),
        2 => [b"npm_", &*random.text(TOKEN, 36)].concat(),
        3 => random.text(HEX, 32),
        4 => random.text(HEX, 64),
        5 => random.text(BASE64, 44),
        6 => random.text(PASSWORD, 12),
        7 => random.text(PASSWORD, 20),
        8 if number == 8 => {
            let lines: Vec<Vec<u8>> = (0..26).map(|_| random.text(BASE64, 64)).collect();
            [b"-----BEGIN PRIVATE KEY-----\n", &*lines.join(&b"\n"[..]), b"\n-----END PRIVATE KEY-----\n"].concat()
        }
        _ => random.text(TOKEN, 32),
    };
    (0..100).map(&mut value).collect()
}

fn redactor(values: &[Vec<u8>]) -> Redactor {
    let builder = values.iter().enumerate().fold(RedactorBuilder::new(), |builder, (number, value)| {
        let name = SecretName::parse(&format!("SECRET_{number}")).expect("a name");
        builder.secret(&name, &UserSecret::new(value.clone()))
    });
    builder.build().expect("they fit")
}

/// Writes lines like those of apt, npm, pip, a compiler, a test runner and docker.
fn build_log(random: &mut Random, colours: bool) -> Vec<u8> {
    let words =
        ["libssl3", "zlib1g", "python3-minimal", "@babel/core", "lodash", "requests", "tokio", "serde_json", "openssl"];
    let files = [
        "src/main.c",
        "lib/parser/expression.ts",
        "app/models/order.rb",
        "internal/server/handler.go",
        "tests/unit/test_api.py",
    ];
    let mut log = Vec::with_capacity(LENGTH + 256);
    let mut second = 0;
    while log.len() < LENGTH {
        second += random.below(3);
        let (word, file) = (random.pick(&words), random.pick(&files));
        let (one, two) = (random.below(500), random.below(90_000));
        let line = match random.below(12) {
            0 => format!(
                "Get:{one} http://archive.example/debian bookworm/main amd64 {word} amd64 3.0.{one}-1~deb12u2 [{two} kB]\n"
            ),
            1 => format!(
                "Unpacking {word}:amd64 (2.{one}.{two}-1+b1) over (2.{one}.1-1) ...\nSetting up {word}:amd64 (2.{one}.{two}-1+b1) ...\n"
            ),
            2 => format!(
                "npm http fetch GET 200 https://registry.npmjs.org/{word}/-/{word}-4.{one}.1.tgz {two}ms (cache miss)\n"
            ),
            3 => format!("  Downloading {word}-2.{one}.0-py3-none-any.whl.metadata ({one} kB)\n"),
            4 => format!("[{one}/{two}] Building CXX object CMakeFiles/app.dir/{file}.o\n"),
            5 => format!(
                "{file}:{one}:{}: warning: comparison of integer expressions of different signedness: 'int' and 'size_t' [-Wsign-compare]\n",
                one % 80
            ),
            6 => format!("   Compiling {word} v1.{one}.{}\n", two % 100),
            7 => {
                format!("#12 sha256:{} {one}B / {two}B 0.{one}s done\n", String::from_utf8_lossy(&random.text(HEX, 64)))
            }
            8 => format!("ok {two} - {file} returns the order that was asked for ({one} ms)\n"),
            9 => format!(
                "2026-11-24T10:{:02}:{:02}.{one:03}Z INFO  request finished method=GET path=/api/orders/{two} status=200 duration_ms={one}\n",
                second / 60 % 60,
                second % 60
            ),
            10 if colours => format!("\x1b[32m✓\x1b[0m built in {one}ms, {two} modules transformed.\n"),
            _ => format!(
                "added {two} packages, and audited {two} packages in {one}s\n{one} packages are looking for funding\n"
            ),
        };
        log.extend_from_slice(line.as_bytes());
    }
    log
}

/// Repeats pieces that are hard on the search: almost nothing of the text is masked, or almost all of it.
fn repeat(random: &mut Random, mut piece: impl FnMut(&mut Random) -> Vec<u8>) -> Vec<u8> {
    let mut text = Vec::with_capacity(LENGTH + 4096);
    while text.len() < LENGTH {
        text.extend_from_slice(&piece(random));
    }
    text
}

fn texts(values: &[Vec<u8>]) -> Vec<(&'static str, Vec<u8>)> {
    let mut random = Random(0x5eed_0005);
    let random = &mut random;
    let beginning = |random: &mut Random, of: &[Vec<u8>]| {
        let value = &of[random.below(of.len())];
        [&value[..value.len().min(7)], b" "].concat()
    };
    vec![
        ("build log", build_log(random, false)),
        ("build log with colours", build_log(random, true)),
        ("base64 in lines of 76", repeat(random, |random| [&*random.text(BASE64, 76), b"\n"].concat())),
        ("hex without end", repeat(random, |random| random.text(HEX, 4096))),
        (
            "colours and carriage returns",
            repeat(random, |random| {
                format!("\r\x1b[K\x1b[36m{:3}%\x1b[0m downloading layer", random.below(100)).into_bytes()
            }),
        ),
        ("beginnings of values", repeat(random, |random| beginning(random, values))),
        (
            "a value in each line",
            repeat(random, |random| {
                let value = &values[random.below(values.len())];
                [b"the token is ", &value[..value.len().min(64)], b", or was\n"].concat()
            }),
        ),
    ]
}

fn pass(redactor: &Redactor, text: &[u8]) -> usize {
    let mut stream = redactor.stream();
    let length: usize = text.chunks(PIECE).map(|piece| black_box(stream.push(piece)).len()).sum();
    length + stream.finish().len()
}

fn copy(text: &[u8], to: &mut [u8]) {
    for (from, to) in text.chunks(PIECE).zip(to.chunks_mut(PIECE)) {
        to.copy_from_slice(black_box(from));
        black_box(to);
    }
}

fn speeds(criterion: &mut Criterion) {
    let values = values();
    let redactor = redactor(&values);
    let mut group = criterion.benchmark_group("redactor");
    group.sample_size(20).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    for (name, text) in texts(&values) {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_with_input(BenchmarkId::new("redact", name), &text, |bencher, text| {
            bencher.iter(|| pass(&redactor, text));
        });
        if name == "build log" {
            let mut to = vec![0; text.len()];
            group.bench_with_input(BenchmarkId::new("memcpy", name), &text, |bencher, text| {
                bencher.iter(|| copy(text, &mut to));
            });
        }
    }
    group.finish();
}

/// Measures the redactor and memcpy by turns, so that a machine that is busy for a while slows both of them.
fn ratios(_: &mut Criterion) {
    let values = values();
    let redactor = redactor(&values);
    println!("\n{redactor:?} of {} secrets; the best of {TURNS} turns each", values.len());
    for (name, text) in texts(&values) {
        let mut to = vec![0; text.len()];
        let (mut redacting, mut copying) = (Duration::MAX, Duration::MAX);
        for _ in 0..TURNS {
            let began = Instant::now();
            black_box(pass(&redactor, &text));
            redacting = redacting.min(began.elapsed());
            let began = Instant::now();
            copy(&text, &mut to);
            copying = copying.min(began.elapsed());
        }
        let speed = |time: Duration| text.len() as f64 / time.as_secs_f64() / 1e6;
        println!(
            "{name:30} {:7.0} MB/s   memcpy {:7.0} MB/s   {:.3} of memcpy",
            speed(redacting),
            speed(copying),
            copying.as_secs_f64() / redacting.as_secs_f64()
        );
    }
}

criterion_group!(benches, speeds, ratios);

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
}
