//! The watcher that hears how a search goes.

use std::future::Future;

/// Hears how a search goes on.
pub trait Watch: Send + Sync {
    /// Says that the search of this begins: `3 steps and the base image`.
    fn begin(&mut self, what: &str) -> impl Future<Output = ()> + Send;

    /// Says that so many bytes of one image were searched.
    fn moved(&self, bytes: u64) -> impl Future<Output = ()> + Send;

    /// The search has ended, in whatever way.
    fn end(&self) -> impl Future<Output = ()> + Send;
}

/// Nobody waits.
#[derive(Clone, Copy, Debug)]
pub struct NoWatch;

impl Watch for NoWatch {
    async fn begin(&mut self, _: &str) {}

    async fn moved(&self, _: u64) {}

    async fn end(&self) {}
}
