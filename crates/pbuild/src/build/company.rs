//! What builds that run together share: when their images get names, how many are searched at once, and the common
//! decision about results that leave the builder without passing through pbuild.

use std::sync::Arc;

use tokio::sync::{Semaphore, watch};

/// The number of builds of a group that are searched at the same time. Each search is a process in the builder that
/// unpacks archives and reads whole states; more of them at once take memory and are not faster.
const SEARCHES_AT_ONCE: usize = 2;

/// The time at which the image of a build without secrets gets its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    /// The builder names the image when it is built, as docker does.
    AtOnce,
    /// The image gets its names when all builds of the group are clean.
    Later,
}

/// What the builds of a group share.
#[derive(Debug)]
pub(super) struct Company {
    pub(super) naming: Naming,
    searches: Arc<Semaphore>,
    accord: Option<Accord>,
}

/// The share of one build in its company: the permits for searches, and its vote.
#[derive(Debug, Default)]
pub(crate) struct Seat {
    searches: Option<Arc<Semaphore>>,
    vote: Option<Vote>,
}

impl Company {
    /// Makes a company whose results pbuild itself searches before any of them leaves.
    pub(super) fn new(naming: Naming) -> Self {
        Self { naming, searches: Arc::new(Semaphore::new(SEARCHES_AT_ONCE)), accord: None }
    }

    /// Makes a company of this number of builds whose results the builder itself delivers: no result leaves before
    /// all builds are proven clean.
    pub(super) fn in_accord(naming: Naming, builds: usize) -> Self {
        Self { accord: Some(Accord::new(builds)), ..Self::new(naming) }
    }

    /// Makes the seat of one build.
    pub(super) fn seat(&self) -> Seat {
        Seat { searches: Some(Arc::clone(&self.searches)), vote: self.accord.as_ref().map(Accord::vote) }
    }
}

impl Seat {
    /// Waits until one more search may run. The search counts until the returned permit is dropped.
    pub(super) async fn room(&self) -> Option<tokio::sync::OwnedSemaphorePermit> {
        // The semaphore is never closed, so `acquire_owned` does not fail.
        Arc::clone(self.searches.as_ref()?).acquire_owned().await.ok()
    }

    /// Votes that the result of this build may leave, and waits for the other builds. Returns whether all results may
    /// leave.
    pub(super) async fn agree(&mut self) -> bool {
        match self.vote.take() {
            Some(vote) => vote.agree().await,
            None => true,
        }
    }
}

/// The common decision of the builds: all results leave, or none does.
#[derive(Clone, Debug)]
struct Accord {
    tally: watch::Sender<Tally>,
    builds: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    agreed: usize,
    refused: bool,
}

/// The vote of one build. A build that ends without having agreed has refused.
#[derive(Debug)]
struct Vote {
    accord: Accord,
    agreed: bool,
}

impl Accord {
    fn new(builds: usize) -> Self {
        Self { tally: watch::Sender::new(Tally::default()), builds }
    }

    fn vote(&self) -> Vote {
        Vote { accord: self.clone(), agreed: false }
    }
}

impl Vote {
    async fn agree(mut self) -> bool {
        let mut tally = self.accord.tally.subscribe();
        self.agreed = true;
        self.accord.tally.send_modify(|tally| tally.agreed += 1);
        let builds = self.accord.builds;
        let decided = tally.wait_for(|tally| tally.refused || tally.agreed >= builds).await;
        // `self.accord` holds the sender, so the channel stays open until there is a decision.
        decided.is_ok_and(|tally| !tally.refused)
    }
}

impl Drop for Vote {
    fn drop(&mut self) {
        if !self.agreed {
            self.accord.tally.send_modify(|tally| tally.refused = true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seats(builds: usize) -> Vec<Seat> {
        let company = Company::in_accord(Naming::Later, builds);
        (0..builds).map(|_| company.seat()).collect()
    }

    #[tokio::test]
    async fn all_leave_when_all_agree() {
        let mut seats = seats(3);
        let agreed = futures::future::join_all(seats.iter_mut().map(Seat::agree)).await;
        assert_eq!(agreed, [true; 3]);
        assert!(Company::new(Naming::AtOnce).seat().agree().await, "a build by itself waits for nobody");
    }

    #[tokio::test]
    async fn none_leaves_when_one_ends_in_another_way() {
        let mut seats = seats(3);
        let leaking = seats.pop();
        let waiting = futures::future::join_all(seats.iter_mut().map(Seat::agree));
        let (agreed, ()) = futures::join!(waiting, async { drop(leaking) });
        assert_eq!(agreed, [false; 2]);
    }

    #[tokio::test]
    async fn no_more_are_searched_at_once_than_there_is_room_for() {
        let company = Company::new(Naming::Later);
        let (one, two, three) = (company.seat(), company.seat(), company.seat());
        let (first, _second) = (one.room().await, two.room().await);
        assert!(futures::FutureExt::now_or_never(three.room()).is_none());
        drop(first);
        assert!(three.room().await.is_some());
    }
}
