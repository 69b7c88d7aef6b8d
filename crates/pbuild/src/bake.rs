//! `pbuild bake`: the real buildx resolves files, variables, matrices and groups, and pbuild builds the targets
//! together.

use pengine::Environment;
use pscreen::Exit;

use crate::build::{self, Group, Member};
use crate::buildx::Buildx;
use crate::edge::{Edge, Failure};
use crate::plan::{BakeOrder, InnerOrder, Order, TargetOrder, Worker};
use crate::secrets::Secrets;

/// Runs `pbuild bake`.
///
/// # Errors
/// Returns an error if there is no buildx, if the secrets cannot be read, or if the frontend does not answer a
/// question. An error in the bake files is printed here, because its text must be masked.
pub(crate) async fn run(order: BakeOrder, edge: &Edge) -> Result<Exit, Failure> {
    let buildx = Buildx::find(Environment::of_process().docker_folder().as_deref())?;
    if order.worker() == Worker::Buildx {
        return Err(buildx.become_itself(order.whole()).into());
    }
    let targets = match resolve(&buildx, &order, edge).await {
        Ok(targets) => targets,
        // The messages of buildx, and those about the definition, may hold a value that the command line gives.
        Err(failure) => {
            let secrets = Secrets::read_at_hand(&order.sources(), None, edge)?;
            return Ok(failure.report(&edge.redacting(&secrets.redactor).stderr));
        }
    };
    let mut members = Vec::new();
    for target in targets {
        match target.order {
            Order::Build(_) => members.extend(member(target)),
            Order::Ask(_) => match build::run(target.order, edge).await? {
                Exit::Done => {}
                exit => return Ok(exit),
            },
        }
    }
    match members.is_empty() {
        true => Ok(Exit::Done),
        false => Group::of_targets(members, order.metadata_file()).run(edge).await,
    }
}

/// Makes a group member of a target and of its inner targets. Returns `None` for a target that only asks a question.
fn member(target: TargetOrder) -> Option<Member> {
    let TargetOrder { name, secrets, order, inner } = target;
    let Order::Build(order) = order else { return None };
    let inner = inner.into_iter().filter_map(|InnerOrder { context, target }| Some((context, member(target)?)));
    Some(Member { target: Some(name), order: *order, secrets, inner: inner.collect() })
}

async fn resolve(buildx: &Buildx, order: &BakeOrder, edge: &Edge) -> Result<Vec<TargetOrder>, Failure> {
    let printed = edge.cancellation.unless_cancelled(buildx.answer(order.question())).await??;
    Ok(order.targets(&printed, |name| std::env::var(name).ok())?)
}
