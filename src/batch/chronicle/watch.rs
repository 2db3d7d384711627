//! Looks on while a run goes: who rests, and what is permitted.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use keywheel_actors::board::{Board, KeyState, KeyStatus};
use keywheel_actors::clock::{Clock, Moment};
use keywheel_actors::event::{Event, EventKind};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{MissedTickBehavior, interval};

use super::recorder::Recorder;
use crate::batch::books::accounts::{Accounts, Permit};
use crate::batch::books::ledger::Ledger;

/// How often the permitted rate is looked at.
const GLANCE: Duration = Duration::from_millis(250);

/// What the watch reads.
#[derive(Debug)]
pub(in crate::batch) struct Watched<'a> {
    /// The keys and providers.
    pub board: &'a Board,
    /// The keys' counters at the start.
    pub ledger: &'a Ledger,
    /// The limits.
    pub accounts: &'a Accounts,
    /// The clock of the board's moments.
    pub clock: Clock,
}

impl Recorder {
    /// Notes what happens, for as long as it is polled.
    pub(in crate::batch) async fn watch(
        &self,
        mut events: broadcast::Receiver<Event>,
        watched: Watched<'_>,
    ) -> Infallible {
        if !self.is_on() {
            return pending().await;
        }
        let mut glances = interval(GLANCE);
        glances.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.note_keys(watched.board, watched.clock.now());
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Ok(event) => self.note_event(&event),
                    Err(RecvError::Lagged(_)) => self.note_keys(watched.board, watched.clock.now()),
                    Err(RecvError::Closed) => return pending().await,
                },
                _ = glances.tick() => self.note_permitted(&watched),
            }
        }
    }

    fn note_event(&self, event: &Event) {
        let now = event.at;
        match &event.kind {
            EventKind::KeyChanged { key, status } => {
                self.write(|chronicle| chronicle.note_key(key, now, cause_of_rest(status)));
            }
            EventKind::ProviderRested { provider, .. } => {
                self.write(|chronicle| chronicle.note_provider(provider, now, Some("rests as a whole")));
            }
            EventKind::ProviderResumed { provider } => {
                self.write(|chronicle| chronicle.note_provider(provider, now, None));
            }
            EventKind::CallFailed { .. }
            | EventKind::KeyRestarted { .. }
            | EventKind::ProviderRestarted { .. }
            | EventKind::ProviderLost { .. }
            | EventKind::Reloaded { .. }
            | EventKind::FellBack { .. }
            | EventKind::StateNotKept { .. }
            | EventKind::StateKept => {}
        }
    }

    /// At the start, and when events were lost: the board tells the state, only the moment is a little late.
    fn note_keys(&self, board: &Board, now: Moment) {
        self.write(|chronicle| {
            for (key, view) in board.keys() {
                chronicle.note_key(&key, now, cause_of_rest(&view.status));
            }
        });
    }

    fn note_permitted(&self, watched: &Watched<'_>) {
        let (now, keys) = (watched.clock.now(), watched.ledger.keys(watched.board));
        let permits = watched.accounts.permits(&keys, now);
        self.write(|chronicle| {
            if let Some(per_second) = permits.as_deref().and_then(Permit::sum) {
                chronicle.note_permitted(now, per_second);
            }
            for (key, view) in &keys {
                chronicle.note_limit(key, view.permitted_per_second);
            }
        });
    }
}

/// Why a key doesn't work; `None` if it does.
fn cause_of_rest(status: &KeyStatus) -> Option<&'static str> {
    match status.state {
        KeyState::Active => None,
        KeyState::RateLimited | KeyState::Failed | KeyState::Disabled => {
            Some(status.why.as_ref().map_or(status.state.as_str(), |why| why.cause.as_str()))
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use keywheel_actors::board::{Cause, Why};
    use keywheel_actors::outcome::{Reason, Scope};

    use super::super::record::tests::{at, id};
    use super::*;

    fn throttled() -> KeyStatus {
        let why = Why {
            cause: Cause::Fault(Reason::Throttled),
            scope: Scope::Key,
            until: None,
            message: "".into(),
        };
        KeyStatus { state: KeyState::RateLimited, why: Some(why) }
    }

    #[tokio::test]
    async fn keys_and_providers_rest_from_one_event_to_the_next() {
        let recorder = Recorder::on();
        let (happen, events) = broadcast::channel(8);
        let key = |status| EventKind::KeyChanged { key: id("p/a"), status };
        let rested =
            EventKind::ProviderRested { provider: "p".into(), until: at(900), why: "down".to_owned() };
        for (millis, kind) in [
            (10, key(throttled())),
            (40, key(KeyStatus::default())),
            (50, rested),
            (90, EventKind::ProviderResumed { provider: "p".into() }),
        ] {
            happen.send(Event { at: at(millis), kind }).unwrap();
        }
        let watched = Watched {
            board: &Board::default(),
            ledger: &Ledger::default(),
            accounts: &Accounts::default(),
            clock: Clock::start(),
        };
        assert!(recorder.watch(events, watched).now_or_never().is_none());
        let chronicle = recorder.chronicle().unwrap();
        assert_eq!(chronicle.keys()[0].rests.total(), Duration::from_millis(30));
        assert_eq!(chronicle.keys()[0].rests.by_cause()["throttled"], Duration::from_millis(30));
        assert_eq!(chronicle.providers()[&"p".into()].total(), Duration::from_millis(40));
    }
}
