//! Decoders: packed bytes in, unpacked bytes out. A decoder takes no byte beyond the end of its own stream.
//!
//! A decoder's reading fails with [`io::ErrorKind::UnexpectedEof`] where its input ends early, with
//! [`io::ErrorKind::OutOfMemory`] where it would need more memory than it may have, and with anything else where the
//! input is damaged. Whatever was decoded up to that point has been returned.

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
