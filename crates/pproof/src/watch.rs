//! The interface by which a caller watches a search.

use std::future::Future;

/// A watcher, which is called with the progress of a search.
pub trait Watch: Send + Sync {
    /// The search begins; `what` is for example `3 steps and the base image`.
    fn begin(&mut self, what: &str) -> impl Future<Output = ()> + Send;

    /// This number of bytes of one image was searched so far.
    fn moved(&self, bytes: u64) -> impl Future<Output = ()> + Send;

    /// The search has ended, with any result.
    fn end(&self) -> impl Future<Output = ()> + Send;
}

/// A watcher that does nothing.
#[derive(Clone, Copy, Debug)]
pub struct NoWatch;

impl Watch for NoWatch {
    async fn begin(&mut self, _: &str) {}

    async fn moved(&self, _: u64) {}

    async fn end(&self) {}
}
