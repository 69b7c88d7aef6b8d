//! Archives that store their members uncompressed, and files with an archive after a header.

use super::{gzip, xz};
use crate::image::Layer;

/// Makes an ar archive, with GNU's table for long names.
#[must_use]
pub fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = b"!<arch>\n".to_vec();
    let mut table = String::new();
    let mut fields = Vec::new();
    for (name, _) in members {
        if name.len() > 15 {
            fields.push(format!("/{}", table.len()));
            table.push_str(name);
            table.push_str("/\n");
        } else {
            fields.push(format!("{name}/"));
        }
    }
    let mut member = |field: &str, bytes: &[u8]| {
        out.extend_from_slice(
            format!("{field:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 644, bytes.len()).as_bytes(),
        );
        out.extend_from_slice(bytes);
        out.resize(out.len().next_multiple_of(2), b'\n');
    };
    if !table.is_empty() {
        member("//", table.as_bytes());
    }
    for (field, (_, bytes)) in fields.iter().zip(members) {
        member(field, bytes);
    }
    out
}

/// Makes a deb package with one file.
#[must_use]
pub fn deb(path: &str, bytes: &[u8]) -> Vec<u8> {
    let control = gzip(&Layer::new().file("./control", "Package: shop\n").tar());
    let data = xz(&Layer::new().file(path, bytes).tar());
    ar(&[("debian-binary", b"2.0\n"), ("control.tar.gz", &control), ("data.tar.xz", &data)])
}

/// Makes a cpio archive in the format of initial file systems.
#[must_use]
pub fn cpio_newc(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, bytes) in members.iter().copied().chain([("TRAILER!!!", &b""[..])]) {
        let fields = [1, 0o100_644, 0, 0, 1, 0, bytes.len(), 0, 0, 0, 0, name.len() + 1, 0];
        out.extend_from_slice(b"070701");
        for field in fields {
            out.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        out.extend_from_slice(name.as_bytes());
        out.push(0);
        out.resize(out.len().next_multiple_of(4), 0);
        out.extend_from_slice(bytes);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    out
}

/// Makes a cpio archive in the portable format of POSIX.
#[must_use]
pub fn cpio_odc(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, bytes) in members.iter().copied().chain([("TRAILER!!!", &b""[..])]) {
        let head = format!("070707{:06o}{:06o}{:06o}{:06o}{:06o}{:06o}{:06o}", 0, 1, 0o100_644, 0, 0, 1, 0);
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(format!("{:011o}{:06o}{:011o}", 0, name.len() + 1, bytes.len()).as_bytes());
        out.extend_from_slice(name.as_bytes());
        out.push(0);
        out.extend_from_slice(bytes);
    }
    out
}

/// Makes a file in the format of an rpm: a lead, headers, and a packed cpio archive.
#[must_use]
pub fn rpm(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = vec![0xed, 0xab, 0xee, 0xdb, 3, 0];
    out.resize(96, 0);
    for _ in 0..2 {
        out.extend_from_slice(&[0x8e, 0xad, 0xe8, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
    out.extend(gzip(&cpio_newc(members)));
    out
}

/// Makes a program without code: a header, a table of sections, and the appended bytes.
#[must_use]
pub fn elf(appended: &[u8]) -> Vec<u8> {
    let mut out = vec![0x7f, b'E', b'L', b'F', 2, 1, 1];
    out.resize(64, 0);
    out[40] = 128;
    out[58] = 64;
    out[60] = 2;
    out.resize(128 + 2 * 64, 7);
    out.extend_from_slice(appended);
    out
}
