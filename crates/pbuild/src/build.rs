//! `pbuild build`: builds an image without a name, searches it, and names it.
//!
//! One build is a row of states, and each state makes the next one. [`Prepared`](prepared::Prepared) knows everything
//! and has started nothing. [`Running`](running::Running) is a build that the engine carries out, and
//! [`Ended`](running::Ended) one that the engine has ended. [`Finished`](finished::Finished) has a result that was
//! not searched yet. [`Examined`](finished::Examined) knows what the search found. Only [`Cleared`](cleared::Cleared)
//! can give the image its names and the files their places. Several builds go from state to state together
//! ([`group`]), so that no result leaves before all results are clean.

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
mod local_state;
mod message;
mod metadata_file;
mod nodes;
mod offers;
mod outside;
mod prepared;
mod provenance;
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

/// Runs `pbuild build`.
///
/// # Errors
/// Returns an error if the secrets cannot be read, or if the frontend does not answer a question. A build prints
/// every later failure itself, because its text must be masked.
pub(crate) async fn run(order: Order, edge: &Edge) -> Result<Exit, Failure> {
    match order {
        Order::Ask(order) => ask::run(*order, edge).await,
        Order::Build(order) => Group::of_one(*order).run(edge).await,
    }
}
