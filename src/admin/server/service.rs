//! What all connections share.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use futures_util::future::BoxFuture;
use keywheel_actors::Wheel;
use keywheel_actors::store::Wall;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use super::events::STREAMS_MAX;
use crate::admin::history::Recorder;
use crate::config::Config;

/// Asks for the configuration to be read again, and hears what changed or what is wrong with it.
pub type ReloadRequest = oneshot::Sender<Result<Vec<String>, String>>;

/// Puts together what `/metrics` tells, in Prometheus' text format.
pub type Metrics = Arc<dyn Fn() -> BoxFuture<'static, String> + Send + Sync>;

/// What the admin interface tells about and acts on.
pub struct Subject {
    /// The running wheel.
    pub wheel: Wheel,
    /// The configuration that it runs with.
    pub config: watch::Receiver<Arc<Config>>,
    /// Reads the configuration again.
    pub reload: mpsc::Sender<ReloadRequest>,
    /// The verb that is being carried out.
    pub verb: &'static str,
    /// Since when.
    pub since: Wall,
    /// What `/metrics` tells; whoever knows it says so once. Until then there is none.
    pub metrics: OnceLock<Metrics>,
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject")
            .field("verb", &self.verb)
            .field("since", &self.since)
            .finish_non_exhaustive()
    }
}

/// What answers. Shared by all connections.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) subject: Subject,
    pub(super) recorder: Recorder,
    /// Places for readers of events.
    pub(super) streams: Arc<Semaphore>,
    /// Where it listens over TCP.
    pub(super) address: OnceLock<SocketAddr>,
    /// Closed when the server ends.
    pub(super) alive: watch::Receiver<()>,
}

impl Service {
    pub(super) fn new(subject: Subject, alive: watch::Receiver<()>) -> Self {
        let streams = Arc::new(Semaphore::new(STREAMS_MAX));
        Self { subject, recorder: Recorder::default(), streams, address: OnceLock::new(), alive }
    }

    /// Until the server ends.
    pub(super) async fn end(&self) {
        let mut alive = self.alive.clone();
        // Nothing is ever sent; that it can't be any more is the news.
        while alive.changed().await.is_ok() {}
    }
}
