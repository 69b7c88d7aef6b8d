//! The static scanner that runs inside the builder: it gets secrets, and returns findings.
//!
//! A [`wire::Task`] with the secrets' values enters on standard input. The states of a build enter as folders, in
//! which the builder mounts them. The scanner presents the difference between the states before and after each step
//! to [`pscan`] as the layer that it will be ([`layer`], [`change`]), and all layers together as one image
//! ([`search`]). It answers on standard output with the layers of each state, as the kernel lists them, with the
//! search's report, and with a mark of the end ([`wire::Answer`]).
//!
//! The frontend image does not have the values: they are mounted into the scanner's container from the client's
//! session ([`SECRETS`]). In this case the scanner first reports which of the secrets are present ([`probe`]), and
//! then searches for those. Facts, keyed digests, and findings with every value masked leave the container; values do
//! not. What the builder remembers from build to build is in a folder of its own ([`kept`]). This folder can be lost
//! or forged, so it may only cause more work, and never a result. The one part of it that saves work, the list of
//! clean bases ([`bases`]), is sealed with the values.
//!
//! The same program is mounted into steps whose output is masked, and runs their commands ([`mask`]).
//!
//! The scanner decides nothing: its caller proves, from the lists of layers in the answer, that the states are those
//! of the image that the build made. The scanner opens only regular files and folders, follows no link, and does not
//! recurse, so a deep tree cannot exhaust its stack.
//!
//! ```
//! use plook::mounts;
//!
//! let line = "40 30 0:50 / /states/0 rw - overlay overlay rw,lowerdir=/l/B:/l/A,upperdir=/u,workdir=/w\n";
//! assert_eq!(mounts::layers_below(line, b"/states/0"), Some(vec!["/l/B".to_owned(), "/l/A".to_owned()]));
//! ```

pub mod bases;
pub mod change;
mod cursor;
pub mod kept;
pub mod layer;
pub mod mask;
pub mod mounts;
pub mod probe;
pub mod program;
pub mod search;
pub mod wire;

/// The folder in which the builder mounts the states, each in a folder with its number.
pub const STATES: &str = "/states";

/// The path of the program in the builder.
pub const PROGRAM: &str = "/plook";

/// The folder with the mounted secrets, each in a file with its number.
pub const SECRETS: &str = "/run/pbuild/secrets";

/// The name of the file with the client's key for digests, in the same folder.
pub const KEY: &str = "key";

/// The folder that the builder keeps.
pub const KEPT: &str = "/var/lib/pbuild";
