//! The static scanner that runs inside the builder: needles in, findings out.
//!
//! Bytes enter on standard input: a [`wire::Task`] with the needles' values, and through the states of a build, each
//! mounted as a folder. What happens: the difference between the states before and after a step is shown to [`pscan`]
//! as the layer that it will be ([`layer`], [`change`]), all layers together as one image ([`search`]). Bytes leave on
//! standard output: what the kernel says the states are made of, the search's report, and a mark of the end
//! ([`wire::Answer`]).
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

pub mod change;
mod cursor;
pub mod layer;
pub mod mounts;
pub mod search;
pub mod wire;

/// Where the builder mounts the states, each in a folder with its number.
pub const STATES: &str = "/states";

/// Where the builder puts the program.
pub const PROGRAM: &str = "/plook";
