//! When keys stopped working: a dead key's quota is no quota.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::pending;

use keywheel_actors::board::{Board, KeyState};
use keywheel_actors::clock::{Clock, Moment};
use keywheel_actors::event::{Event, EventKind};
use keywheel_actors::id::KeyId;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// The keys that are out of order, and since when.
#[derive(Clone, Debug, Default)]
pub(in crate::batch) struct Deaths {
    since: BTreeMap<KeyId, Moment>,
}

impl Deaths {
    /// Notes what happens, for as long as it is polled.
    pub(in crate::batch) async fn follow(
        &mut self,
        mut events: broadcast::Receiver<Event>,
        board: &Board,
        clock: Clock,
    ) -> Infallible {
        loop {
            match events.recv().await {
                Ok(event) => self.note_event(&event),
                Err(RecvError::Lagged(_)) => self.catch_up(board, clock.now()),
                Err(RecvError::Closed) => return pending().await,
            }
        }
    }

    /// Since when a key is out of order. `None` if it works, or has been so from the start.
    pub(in crate::batch) fn since(&self, key: &KeyId) -> Option<Moment> {
        self.since.get(key).copied()
    }

    fn note_event(&mut self, event: &Event) {
        match &event.kind {
            EventKind::KeyChanged { key, status } => self.note(key, status.state, event.at),
            EventKind::CallFailed { .. }
            | EventKind::KeyRestarted { .. }
            | EventKind::ProviderRested { .. }
            | EventKind::ProviderResumed { .. }
            | EventKind::ProviderRestarted { .. }
            | EventKind::ProviderLost { .. }
            | EventKind::Reloaded { .. }
            | EventKind::FellBack { .. }
            | EventKind::StateNotKept { .. }
            | EventKind::StateKept => {}
        }
    }

    /// Events were lost: the board tells the state, only the moment is a little late.
    fn catch_up(&mut self, board: &Board, now: Moment) {
        for (key, view) in board.keys() {
            self.note(&key, view.status.state, now);
        }
    }

    /// A key that comes back to life was never dead: what it missed counts against us.
    pub(in crate::batch) fn note(&mut self, key: &KeyId, state: KeyState, at: Moment) {
        match state {
            KeyState::Active | KeyState::RateLimited => {
                self.since.remove(key);
            }
            KeyState::Failed | KeyState::Disabled => {
                self.since.entry(key.clone()).or_insert(at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt as _;
    use keywheel_actors::board::KeyStatus;

    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::after_start(Duration::from_secs(seconds))
    }

    #[test]
    fn a_key_is_dead_from_its_first_failure_until_it_comes_back() {
        let key = KeyId { provider: "p".into(), key: "k".into() };
        let mut deaths = Deaths::default();
        deaths.note(&key, KeyState::RateLimited, at(1));
        assert_eq!(deaths.since(&key), None);
        deaths.note(&key, KeyState::Failed, at(2));
        deaths.note(&key, KeyState::Disabled, at(3));
        assert_eq!(deaths.since(&key), Some(at(2)));
        deaths.note(&key, KeyState::Active, at(4));
        assert_eq!(deaths.since(&key), None);
    }

    #[test]
    fn it_listens_to_changes_of_keys() {
        let key = KeyId { provider: "p".into(), key: "k".into() };
        let (happen, events) = broadcast::channel(4);
        let status = KeyStatus { state: KeyState::Disabled, why: None };
        happen.send(Event { at: at(5), kind: EventKind::KeyChanged { key: key.clone(), status } }).unwrap();
        happen.send(Event { at: at(6), kind: EventKind::KeyRestarted { key: key.clone() } }).unwrap();
        drop(happen);
        let mut deaths = Deaths::default();
        assert!(deaths.follow(events, &Board::default(), Clock::start()).now_or_never().is_none());
        assert_eq!(deaths.since(&key), Some(at(5)));
    }
}
