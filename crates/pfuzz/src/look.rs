//! Fuzzes the messages between a build and the scanner inside the builder.

use plook::wire::{Answer, Answers, Note, Probe, read_mounted_task, read_request, read_task};

/// Checks that a task of any bytes is read or refused, and that the answers do not depend on how their stream is cut.
pub(crate) fn run(data: &[u8]) {
    let _ = read_task(&mut &*data);
    let _ = read_mounted_task(&mut &*data);
    let _ = read_request::<Probe>(&mut &*data);
    let _ = read_request::<Note>(&mut &*data);
    let whole = answers([data]);
    let cut = data.first().map_or(0, |byte| usize::from(*byte)).min(data.len());
    let parts = answers([&data[..cut], &data[cut..]]);
    assert_eq!(whole, parts, "cut at {cut}");
    assert_eq!(whole, answers(data.chunks(1)), "byte by byte");
}

/// Reads the answers up to the first error. Returns true with them if there was an error.
fn answers<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Answer>, bool) {
    let (mut stream, mut seen) = (Answers::default(), Vec::new());
    for part in parts {
        stream.push(part);
        loop {
            match stream.take() {
                Ok(Some(answer)) => seen.push(answer),
                Ok(None) => break,
                Err(_) => return (seen, true),
            }
        }
    }
    (seen, false)
}
