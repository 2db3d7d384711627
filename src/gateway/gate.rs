//! What all requests share, and how the gateway begins and ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use keywheel_actors::Wheel;
use tokio::sync::{Notify, watch};

use super::room::Room;
use crate::clients::{Clients, Keeper, Now, Strangers};
use crate::config::{AccessLog, Config};
use crate::telemetry::{AccessLogger, Ended, Metrics, Otlp};
use crate::ui::screen::say;

/// How often what clients have used is kept: a kill forgets no more than the last moments.
const KEEP_EVERY: Duration = Duration::from_secs(1);

/// What all requests share.
#[derive(Debug)]
pub struct Gate {
    /// The running wheel.
    pub(super) wheel: Wheel,
    /// The configuration as it is now.
    pub(super) config: watch::Receiver<Arc<Config>>,
    /// Who may call.
    pub(super) clients: Clients,
    /// For the bodies of all requests under way.
    pub(super) room: Arc<Room>,
    /// `None`: what they used is forgotten at the end.
    keeper: Option<Keeper>,
    metrics: Metrics,
    access: Option<AccessLogger>,
    otlp: Option<Otlp>,
    in_flight: AtomicUsize,
    /// Rings when the last request under way has ended.
    idle: Notify,
    closing: AtomicBool,
}

impl Gate {
    /// A gate before that wheel.
    ///
    /// # Errors
    /// If the access log can't be written.
    pub fn new(
        wheel: Wheel,
        config: watch::Receiver<Arc<Config>>,
        strangers: Strangers,
    ) -> anyhow::Result<Self> {
        let access = match &config.borrow().server.access_log {
            AccessLog::Off => None,
            AccessLog::Stderr => Some(AccessLogger::to_stderr()?),
            AccessLog::File(path) => Some(AccessLogger::to_file(path)?),
        };
        let clients = Clients::new(&config.borrow().server.clients).and(strangers);
        let now = Now::by(wheel.clock());
        let keeper = Keeper::new(&config.borrow().home.state_dir);
        let keeper = match keeper.load() {
            Ok(used) => {
                clients.recall(&used, now);
                Some(keeper)
            }
            Err(error) => {
                say(&format!("warning: what clients use is counted from zero, and not kept: {error:#}"));
                None
            }
        };
        let metrics = Metrics::new();
        metrics.configure(&config.borrow());
        Ok(Self {
            wheel,
            config,
            clients,
            room: Arc::default(),
            keeper,
            metrics,
            access,
            otlp: None,
            in_flight: AtomicUsize::new(0),
            idle: Notify::new(),
            closing: AtomicBool::new(false),
        })
    }

    /// Sends what it does to OpenTelemetry, too.
    pub fn sending(self, otlp: Otlp) -> Self {
        Self { otlp: Some(otlp), ..self }
    }

    /// A request has ended, which began under that configuration.
    pub(super) fn told(&self, ended: &Ended, config: &Config) {
        self.metrics.record(ended);
        if let Some(access) = &self.access {
            access.record(ended);
        }
        if let Some(otlp) = &self.otlp {
            otlp.record(ended, &config.wheel.providers);
        }
    }

    /// All metrics, in Prometheus' form.
    pub async fn metrics(&self) -> String {
        let stats = self.wheel.stats().await.unwrap_or_default();
        self.metrics.text(&self.wheel, &stats, self.in_flight())
    }

    /// Writes what is still to be written; a collector gets it until `hurried`.
    pub async fn finish(self: &Arc<Self>, hurried: impl Future<Output = ()>) {
        if let Err(error) = self.keep_now().await {
            say(&format!("warning: what clients used isn't kept: {error:#}"));
        }
        if let Some(otlp) = &self.otlp {
            tokio::select! {
                () = otlp.finish() => {}
                () = hurried => {}
            }
        }
        if let Some(access) = &self.access {
            access.finish();
        }
    }

    /// Takes over what the configuration says of clients and names, each time when it changes.
    pub async fn follow(&self) {
        let mut config = self.config.clone();
        while config.changed().await.is_ok() {
            let config = Arc::clone(&config.borrow_and_update());
            self.clients.reload(&config.server.clients);
            self.metrics.configure(&config);
        }
    }

    /// Keeps what clients have used, again and again.
    pub async fn keep(self: Arc<Self>) {
        let mut kept = self.clients.changes();
        let mut is_ill = false;
        let mut ticks = tokio::time::interval(KEEP_EVERY);
        loop {
            ticks.tick().await;
            let changes = self.clients.changes();
            if changes == kept {
                continue;
            }
            match self.keep_now().await {
                Ok(()) => (kept, is_ill) = (changes, false),
                Err(error) if !is_ill => {
                    say(&format!("warning: what clients use isn't kept: {error:#}"));
                    is_ill = true;
                }
                Err(_) => {}
            }
        }
    }

    async fn keep_now(self: &Arc<Self>) -> anyhow::Result<()> {
        let gate = Arc::clone(self);
        let written = tokio::task::spawn_blocking(move || {
            let Some(keeper) = &gate.keeper else { return Ok(()) };
            let used = gate.clients.memory(Now::by(gate.wheel.clock()));
            if used.is_empty() { Ok(()) } else { keeper.keep(used) }
        });
        written.await?
    }

    /// Whether it takes requests: not while it ends. A provider that is ill has nothing to do with it.
    pub(super) fn is_ready(&self) -> bool {
        !self.closing.load(Ordering::Acquire)
    }

    /// Says that it is about to end.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    /// Counts a request until what this gives is dropped.
    pub(super) fn enter(self: &Arc<Self>) -> Passage {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        Passage { gate: Arc::clone(self) }
    }

    /// Requests under way.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }

    /// Waits until no request is under way, or for so long.
    pub async fn emptied(&self, within: Duration) {
        let emptied = async {
            loop {
                let rung = self.idle.notified();
                if self.in_flight() == 0 {
                    return;
                }
                rung.await;
            }
        };
        // Whoever reads so slowly is cut off.
        let _ = tokio::time::timeout(within, emptied).await;
    }
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Passage {
    gate: Arc<Gate>,
}

impl Drop for Passage {
    fn drop(&mut self) {
        if self.gate.in_flight.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.gate.idle.notify_waiters();
        }
    }
}
