//! The static entrypoint that turns delivered secrets into environment and execs the app.
//!
//! This library makes the program's decisions, without a single system call: it gets bytes and returns values. The
//! program (`entrypoint/`) reads the bytes from the kernel and carries out the decisions. The program needs no
//! runtime and no libc, because it must run in images that have neither. It is one of two places in the workspace where
//! `unsafe` is allowed.
//!
//! Where bytes enter: files on a tmpfs that `prun` has filled ([`environment::parse`], [`init::parse`]), and the
//! arguments ([`Action::parse`]). Where they leave: the environment of the app, through `execve`. Values leave in no
//! other way.
//!
//! ```
//! use pshim::environment;
//!
//! let delivered = environment::parse(b"DB_HOST=db\0DB_PASSWORD=two words\0").unwrap();
//! let merged = environment::merge(&[b"PATH=/bin", b"DB_HOST=localhost"], &delivered);
//! assert_eq!(merged, [&b"PATH=/bin"[..], b"DB_HOST=db", b"DB_PASSWORD=two words"]);
//! ```

#![no_std]

extern crate alloc;

mod action;
pub mod conversation;
pub mod dns;
pub mod environment;
pub mod http;
pub mod init;
pub mod keep;
mod number;
mod prefix;
pub mod program;
pub mod schedule;
pub mod sockets;
pub mod target;

pub use action::{Action, Job, Request, UsageError};
pub use prefix::Prefixer;

/// The path at which the values of one generation are mounted in the app's container.
pub const DELIVERY: &str = "/run/prun";
/// The file with the app's variables.
pub const ENVIRONMENT_FILE: &str = "/run/prun/env";
/// The file with the init commands.
pub const INIT_FILE: &str = "/run/prun/init";
/// An empty file that is written last. If it exists, the files beside it are complete.
pub const READY_FILE: &str = "/run/prun/ready";
/// The path at which this program is mounted in the app's container. A lock on this directory lets only one container
/// at a time run the init commands.
pub const HOME: &str = "/.prun";
/// The beginning of the name of a lock in that directory; the name of a scheduled process follows.
pub const JOB_LOCK: &str = "job-";
/// The path at which the sealed state of a project is mounted in the containers that read or change it.
pub const STATE: &str = "/state";
/// The list of instances that the forwarder reads for each connection.
pub const TARGETS_FILE: &str = "/targets";
/// The first words of the line with which the forwarder says that it leaves an instance out. The instance follows.
pub const LEFT_OUT: &str = "left out: ";

/// The exit code if the program itself fails. Docker uses the same code.
pub const FAILED: u8 = 125;
/// The exit code if the command exists but cannot be run.
pub const NOT_EXECUTABLE: u8 = 126;
/// The exit code if the command does not exist.
pub const NOT_FOUND: u8 = 127;
/// The exit code of an init command that ran out of time. The program `timeout` uses the same code.
pub const TIMED_OUT: u8 = 124;
