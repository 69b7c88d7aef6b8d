//! `pbuild build`: the build without a name, the search, the name.
//!
//! One build is a row of states, and each makes the next. [`Prepared`](prepared::Prepared) knows everything and has
//! started nothing; [`Running`](running::Running) is in the engine's hands; [`Ended`](running::Ended) is not any more;
//! [`Finished`](finished::Finished) has a result that nobody has looked at; [`Examined`](finished::Examined) knows what
//! the search found; only [`Cleared`](cleared::Cleared) can give the image its names and the files their places.
//! Several builds walk together, state by state ([`group`]), so that nothing of them leaves before all are clean.

pub(crate) mod ask;
mod cleared;
mod company;
mod context;
mod doubt;
mod explain;
mod failure;
mod finished;
mod frontend;
mod git_context;
mod group;
mod guard;
mod injected;
mod injection;
mod inner;
mod joined_push;
mod leftovers;
mod message;
mod metadata_file;
mod nodes;
mod offers;
mod outside;
mod prepared;
mod provider;
mod push;
mod readings;
mod report;
mod running;
mod scene;
mod screen;
mod search_line;
mod sent;
mod stages;
mod trace;

use pscreen::Exit;

use crate::edge::{Edge, Failure};
use crate::plan::Order;
pub(crate) use failure::of_look;
pub(crate) use group::Group;
pub(crate) use message::quoted;
pub(crate) use readings::Member;

/// Runs the command.
///
/// # Errors
/// When the build has no result; nothing is tagged then.
pub(crate) async fn run(order: Order, edge: &Edge) -> Result<Exit, Failure> {
    match order {
        Order::Ask(order) => ask::run(*order, edge).await,
        Order::Build(order) => Group::of_one(*order).run(edge).await,
    }
}
