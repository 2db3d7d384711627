//! Reads the configuration again when its file changes, at SIGHUP, and when somebody asks.
//!
//! One reload after the other; an invalid file changes nothing and says why.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use keywheel_actors::Wheel;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::changes;
use crate::admin::ReloadRequest;
use crate::config::{self, Config, Source};

/// How often the file is looked at. Looking costs microseconds and notices what announcements of the system
/// miss: replaced symlinks, mounted files, network disks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What tells a file from what it was.
#[derive(Clone, PartialEq, Eq)]
struct Looks {
    changed: Option<SystemTime>,
    bytes: u64,
    inode: u64,
}

impl Looks {
    /// `None` while there is no file, as between the two steps of some editors.
    fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;
        let file = fs::metadata(path).ok()?;
        Some(Self { changed: file.modified().ok(), bytes: file.len(), inode: file.ino() })
    }
}

/// What is watched. It is there before anybody can send a signal or change the file on the strength of an answer.
pub(super) struct Watched {
    path: Option<PathBuf>,
    looks: Option<Looks>,
    hangup: Option<Signal>,
}

impl Watched {
    /// The file at `path`, which looks as it does now.
    pub(super) fn file(path: Option<PathBuf>) -> Self {
        Self { looks: path.as_deref().and_then(Looks::of), path, hangup: None }
    }

    /// And SIGHUP. Call it inside a runtime with its I/O driver on.
    pub(super) fn and_hangup(self) -> Self {
        let hangup = signal(SignalKind::hangup());
        let hangup = hangup.inspect_err(|error| tracing::warn!(%error, "SIGHUP can't be heard")).ok();
        Self { hangup, ..self }
    }
}

/// Reloads until it is aborted. Every configuration that is taken over is told to `tell`.
pub(super) fn spawn(
    source: Source,
    watched: Watched,
    wheel: Wheel,
    tell: watch::Sender<Arc<Config>>,
    requests: mpsc::Receiver<ReloadRequest>,
) -> JoinHandle<()> {
    tokio::spawn(watch_over(source, watched, wheel, tell, requests))
}

async fn watch_over(
    source: Source,
    watched: Watched,
    wheel: Wheel,
    tell: watch::Sender<Arc<Config>>,
    mut requests: mpsc::Receiver<ReloadRequest>,
) {
    let Watched { path, mut looks, mut hangup } = watched;
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let asked = tokio::select! {
            request = requests.recv() => match request {
                Some(request) => Some(request),
                None => return,
            },
            () = heard(&mut hangup) => None,
            _ = look.tick() => match path.as_deref().and_then(Looks::of) {
                now @ Some(_) if now != looks => None,
                Some(_) | None => continue,
            },
        };
        // Before it is read: what changes from here on is noticed later.
        looks = path.as_deref().and_then(Looks::of).or(looks);
        let done = reload(&source, &wheel, &tell).await;
        match &done {
            Ok(changes) => tracing::info!(?changes, "the configuration was read again"),
            Err(problem) => tracing::error!(%problem, "the configuration stays as it was"),
        }
        if let Some(asked) = asked {
            // Whoever asked may have left.
            let _ = asked.send(done);
        }
    }
}

async fn heard(hangup: &mut Option<Signal>) {
    match hangup {
        Some(hangup) => {
            hangup.recv().await;
        }
        None => std::future::pending().await,
    }
}

async fn reload(
    source: &Source,
    wheel: &Wheel,
    tell: &watch::Sender<Arc<Config>>,
) -> Result<Vec<String>, String> {
    let source = source.clone();
    let read = tokio::task::spawn_blocking(move || config::load(&source)).await;
    let mut config = read.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    let before = Arc::clone(&tell.borrow());
    config.wheel.fingerprints = before.wheel.fingerprints.clone();
    // Where the files are can't change while they are open.
    let home = std::mem::replace(&mut config.home, before.home.clone());
    let admin = std::mem::replace(&mut config.admin, before.admin.clone());
    // Another token counts at once. Whether there is one decides who may come in at all, as the address does.
    if let (Some(token), Some(_)) = (&admin.token, &before.admin.token) {
        config.admin.token = Some(token.clone());
    }
    let report = wheel.reload(config.wheel.clone()).await.map_err(|error| error.to_string())?;
    let mut lines = changes::lines(&report, &before, &config);
    if home != config.home || admin != config.admin {
        lines.push("`[state]`, `[admin]` and `[failures]` only at the next start".to_owned());
    }
    tell.send_replace(Arc::new(config));
    Ok(lines)
}
