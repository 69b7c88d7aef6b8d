//! `pbuild build`: the build without a name, the search, the name.
//!
//! One build is a row of states, and each makes the next. [`Prepared`](prepared::Prepared) knows everything and has
//! started nothing; [`Running`](running::Running) is in the engine's hands; [`Finished`](finished::Finished) has a
//! result that nobody has looked at; [`Examined`](finished::Examined) knows what the search found; only
//! [`Cleared`](cleared::Cleared) can give the image its names and the files their places.

pub(crate) mod ask;
mod cleared;
mod context;
mod doubt;
mod explain;
mod failure;
mod finished;
mod frontend;
mod guard;
mod injection;
mod leftovers;
mod message;
mod metadata_file;
mod offers;
mod outside;
mod prepared;
mod provider;
mod push;
mod report;
mod running;
mod scene;
mod screen;
mod search_line;
mod trace;

use pscreen::Exit;

use crate::edge::{Edge, Failure};
use crate::plan::{BuildOrder, Order};
use crate::secrets::Secrets;
pub(crate) use failure::of_look;
pub(crate) use message::quoted;
use prepared::Prepared;

/// Runs the command.
///
/// # Errors
/// When the build has no result; nothing is tagged then.
pub(crate) async fn run(order: Order, edge: &Edge) -> Result<Exit, Failure> {
    let order = match order {
        Order::Ask(order) => return ask::run(*order, edge).await,
        Order::Build(order) => *order,
    };
    let keys = order.forwarding.keys()?;
    let secrets = Secrets::read(keys, &order.sources, order.manifest.as_ref(), edge)?;
    let edge = &Edge { quiet: order.choices.is_quiet(), ..edge.redacting(&secrets.redactor) };
    // From here on an error may quote the engine, so it is explained behind the redactor.
    match build(order, secrets, edge).await {
        Ok(exit) => Ok(exit),
        Err(failure) => Ok(failure.report(&edge.stderr)),
    }
}

async fn build(order: BuildOrder, secrets: Secrets, edge: &Edge) -> Result<Exit, Failure> {
    let prepared = Prepared::new(order, secrets, edge).await?;
    let cleared = match prepared.has_nothing_to_inject() {
        true => prepared.run_as_docker().await?,
        false => prepared.start().await?.finish().await?.examine().await?.clear().await?,
    };
    cleared.deliver().await
}
