//! The static scanner that runs inside the builder: needles in, findings out.
//!
//! Bytes enter on standard input: a [`wire::Task`] with the needles' values, and through the states of a build, each
//! mounted as a folder. What happens: the difference between the states before and after a step is shown to [`pscan`]
//! as the layer that it will be ([`layer`], [`change`]), all layers together as one image ([`search`]). Bytes leave on
//! standard output: what the kernel says the states are made of, the search's report, and a mark of the end
//! ([`wire::Answer`]).
//!
//! A frontend of a build has no values, and has them mounted into the scanner's container from the client's session
//! ([`SECRETS`]). The scanner then says which of them are there ([`probe`]), and searches for those. Facts leave the
//! container, keyed digests and findings with every value masked; values do not. What the builder remembers from build
//! to build lies in a folder of its own ([`kept`]); it can be lost or forged, so that it may make work and never a
//! verdict. The one thing there that spares work, the list of clean bases ([`bases`]), is sealed with the values.
//!
//! The same program is mounted into steps whose output is to be masked, and runs their commands ([`mask`]).
//!
//! The program decides nothing: whether what it was shown is the image that the build made, its caller proves from the
//! lists of layers that it sends along. It opens regular files and folders and nothing else, follows no link, and needs
//! no stack for the depth of a tree.
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

/// Where the builder mounts the states, each in a folder with its number.
pub const STATES: &str = "/states";

/// Where the builder puts the program.
pub const PROGRAM: &str = "/plook";

/// Where secrets are mounted, each as a file with its number.
pub const SECRETS: &str = "/run/pbuild/secrets";

/// The client's key of digests among them.
pub const KEY: &str = "key";

/// Where the builder keeps its folder.
pub const KEPT: &str = "/var/lib/pbuild";
