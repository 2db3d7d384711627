//! Identical rows get one call: across rows that are under way together, and across runs.
//!
//! Rows with the same body queue up behind one another ([`flight`]); the first of them looks on the
//! disk ([`store`]) and asks, the others find its answer. Nothing here can fail a row: whatever is wrong
//! with the disk, the row is asked for as if there were no cache.

mod entry;
mod flight;
mod key;
mod store;

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use hyper::header::HeaderValue;
use hyper::{HeaderMap, StatusCode};
use keywheel_actors::error::{RefusedAnswer, SendError};
use keywheel_actors::id::ProviderId;
use keywheel_actors::outcome::Served;
use keywheel_actors::request::{Request, X_REQUEST_ID};
use keywheel_actors::{Answer, AnswerBody};
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::expect::Expectation;
use super::{Answered, Origin, RowFault};
use flight::Flights;
use key::CacheKey;
use store::{Found, Store};

/// Accesses to the disk at once: enough to keep one busy, few enough threads.
const DISK_ACCESSES_MAX: usize = 8;

/// Answers to identical rows, in a directory.
#[derive(Debug)]
pub struct Cache {
    store: Arc<Store>,
    flights: Flights<Shared>,
    disk: Semaphore,
    stored: AtomicU64,
    unreadable: AtomicU64,
    /// Why nothing is stored any more.
    fault: OnceLock<String>,
}

/// What a cache did in a run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct CacheSummary {
    /// Answers that were stored.
    pub stored: u64,
    /// Entries that were torn, altered or couldn't be read; their rows were asked for.
    pub unreadable: u64,
    /// Why nothing was stored from some moment on.
    pub fault: Option<String>,
}

/// An answer as it is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Kept {
    status: StatusCode,
    /// The provider's name of the call, or ours.
    request_id: String,
    provider: ProviderId,
    body: Bytes,
}

/// What rows with the same body share: an answer, or that no key can change the provider's no.
///
/// Other failures may be over by the next call, so the next row makes it.
#[derive(Clone, Debug)]
enum Shared {
    Answer(Kept),
    Refusal(Box<RefusedAnswer>),
}

impl Cache {
    /// In `directory`, which is created if it is missing. Answers older than `age_max` count as missing.
    ///
    /// # Errors
    /// If the directory can't be had.
    pub fn open(directory: &Path, age_max: Option<Duration>) -> io::Result<Self> {
        Ok(Self {
            store: Arc::new(Store::open(directory, age_max, SystemTime::now())?),
            flights: Flights::default(),
            disk: Semaphore::new(DISK_ACCESSES_MAX),
            stored: AtomicU64::new(0),
            unreadable: AtomicU64::new(0),
            fault: OnceLock::new(),
        })
    }

    /// What it has done so far.
    pub fn summary(&self) -> CacheSummary {
        CacheSummary {
            stored: self.stored.load(Ordering::Relaxed),
            unreadable: self.unreadable.load(Ordering::Relaxed),
            fault: self.fault.get().cloned(),
        }
    }

    /// Answers a row as an identical one was answered, or by `ask`.
    ///
    /// What is on the disk may have been kept by a run that expected something else: it must be as this
    /// one expects.
    pub(super) async fn answer(
        &self,
        request: Request,
        expect: Option<&Expectation>,
        ask: impl AsyncFnOnce(Request) -> Answered,
    ) -> Answered {
        let key = CacheKey::of(&request);
        let seat = self.flights.seat(key);
        let mut shared = seat.turn().await;
        if let Some(shared) = &*shared {
            return shared.answered();
        }
        if let Some(kept) = self.look_up(key).await
            && expect.is_none_or(|expect| expect.check(&kept.body).is_ok())
        {
            return shared.insert(Shared::Answer(kept)).answered();
        }
        let our_id = request.id().unwrap_or_default().to_owned();
        let answered = ask(request).await;
        *shared = Shared::of(&answered, our_id);
        let kept = match &*shared {
            Some(Shared::Answer(kept)) => Some(kept.clone()),
            Some(Shared::Refusal(_)) | None => None,
        };
        // Those who wait needn't wait for the disk too.
        drop(shared);
        if let Some(kept) = kept {
            self.keep(key, kept).await;
        }
        answered
    }

    async fn look_up(&self, key: CacheKey) -> Option<Kept> {
        let store = Arc::clone(&self.store);
        match self.on_disk(move || store.get(key, SystemTime::now())).await {
            Some(Found::Answer(kept)) => Some(kept),
            Some(Found::Nothing) => None,
            Some(Found::Unreadable) | None => {
                self.unreadable.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }

    async fn keep(&self, key: CacheKey, kept: Kept) {
        if self.fault.get().is_some() {
            return;
        }
        let store = Arc::clone(&self.store);
        match self.on_disk(move || store.put(key, &kept, SystemTime::now())).await {
            Some(Ok(())) => {
                self.stored.fetch_add(1, Ordering::Relaxed);
            }
            Some(Err(error)) => self.give_up_storing(error.to_string()),
            None => self.give_up_storing("the thread that writes crashed".to_owned()),
        }
    }

    fn give_up_storing(&self, fault: String) {
        // Several writes may have been under way; one of them is enough to tell.
        if self.fault.set(fault).is_ok() {
            let fault = self.fault.get();
            tracing::warn!(fault, "the cache can't be written: answers are no longer kept in it");
        }
    }

    /// Runs `work` where it may block. `None` if it panicked.
    async fn on_disk<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let _place = self.disk.acquire().await.ok()?;
        spawn_blocking(work).await.ok()
    }
}

impl Shared {
    /// What of a row's end identical rows may have.
    fn of(answered: &Answered, our_id: String) -> Option<Self> {
        match &answered.result {
            Ok(Answer { status, headers, body: AnswerBody::Whole(body), served, .. }) => {
                let named = headers.get(X_REQUEST_ID).and_then(|id| id.to_str().ok());
                Some(Self::Answer(Kept {
                    status: *status,
                    request_id: named.map_or(our_id, str::to_owned),
                    provider: served.provider.clone(),
                    body: body.clone(),
                }))
            }
            Err(RowFault::Sent(SendError::Refused(refused))) => Some(Self::Refusal(refused.clone())),
            Ok(Answer { body: AnswerBody::Stream(_), .. })
            | Err(
                RowFault::Sent(
                    SendError::Unavailable { .. }
                    | SendError::Exhausted { .. }
                    | SendError::DeadlineOver { .. }
                    | SendError::NoRoute { .. }
                    | SendError::QueueFull { .. }
                    | SendError::Draining
                    | SendError::Lost,
                )
                | RowFault::Unexpected(_),
            ) => None,
        }
    }

    /// As it ends another row, for which no call was made and nothing was paid.
    fn answered(&self) -> Answered {
        let result = match self {
            Self::Answer(kept) => Ok(kept.answer()),
            Self::Refusal(refused) => Err(RowFault::Sent(SendError::Refused(refused.clone()))),
        };
        Answered { result, attempts: Vec::new(), thrown_away: Vec::new(), origin: Origin::Cache }
    }
}

impl Kept {
    fn answer(&self) -> Answer {
        let id = HeaderValue::try_from(&self.request_id).ok();
        Answer {
            status: self.status,
            headers: id.map(|id| (X_REQUEST_ID, id)).into_iter().collect::<HeaderMap>(),
            body: AnswerBody::Whole(self.body.clone()),
            served: Served { provider: self.provider.clone(), fell_back: false, attempts: Vec::new() },
            usage: None,
        }
    }
}

#[cfg(test)]
mod tests;
