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

/// What the last reload that nobody had asked for changed.
///
/// Whoever changes a file asks for a reload behind that. If the file was looked at in between, its change would be told to
/// nobody, and whoever asks would hear that it changed nothing.
#[derive(Default)]
struct Untold {
    /// The file as it was read then.
    looks: Option<Looks>,
    changes: Vec<String>,
}

impl Untold {
    /// The changes since somebody was told, for who asks while the file looks like that.
    fn and(&mut self, looks: Option<&Looks>, changes: Vec<String>) -> Vec<String> {
        let Self { looks: then, changes: mut all } = std::mem::take(self);
        if then.as_ref() != looks {
            return changes;
        }
        all.extend(changes);
        all
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
    let mut untold = Untold::default();
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
        match asked {
            // Whoever asked may have left.
            Some(asked) => drop(asked.send(done.map(|changes| untold.and(looks.as_ref(), changes)))),
            None => untold = Untold { looks: looks.clone(), changes: done.unwrap_or_default() },
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

#[cfg(test)]
mod tests {
    use super::*;

    fn file(bytes: u64) -> Looks {
        Looks { changed: None, bytes, inode: 1 }
    }

    fn said(line: &str) -> Vec<String> {
        vec![line.to_owned()]
    }

    #[test]
    fn what_nobody_asked_for_is_told_once_to_who_asks_with_the_same_file() {
        let noticed = || Untold { looks: Some(file(1)), changes: said("added client app") };
        let mut untold = noticed();
        assert_eq!(untold.and(Some(&file(1)), Vec::new()), ["added client app"]);
        assert!(untold.and(Some(&file(1)), Vec::new()).is_empty(), "it has been told");
        assert_eq!(noticed().and(Some(&file(2)), said("changed routes")), ["changed routes"], "another file");
        assert_eq!(noticed().and(Some(&file(1)), said("changed routes")).len(), 2, "a secret's own file");
    }
}
