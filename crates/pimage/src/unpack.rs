//! Decoders of packed bytes. A decoder consumes no byte after the end of its own stream.
//!
//! Reading from a decoder fails with [`io::ErrorKind::UnexpectedEof`] if its input ends early, with
//! [`io::ErrorKind::OutOfMemory`] if it would need more memory than it may use, and with any other error if the input
//! is damaged. All bytes that were decoded before are returned first.

mod bzip2;
mod gzip;
mod inflate;
mod lzma;
mod pump;
mod zstd;

use std::io;

pub(crate) use bzip2::{Bzip2, is_bzip2};
pub(crate) use gzip::Gzip;
pub(crate) use inflate::{deflate, zlib};
pub(crate) use lzma::{lzip, lzip_memory, lzma, lzma_memory, xz, xz_memory, zip_lzma};
pub(crate) use pump::Pump;
pub(crate) use zstd::{FrameHeader, Zstd, is_frame};

fn early() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}

fn damaged() -> io::Error {
    io::ErrorKind::InvalidData.into()
}
