//! The duty to report how a call ended, and the report on its way.
//!
//! Neither can be lost: a slip that is dropped reports, and a letter that nobody opens finds another reader.

use std::sync::Arc;

use crate::policy::pick::KeyIndex;

use super::call::Line;
use super::kernel::Ref;
use super::key::Key;
use super::message::{End, Forward, Outcome, Stray};

/// The duty to report how a call ended. Dropped unfilled it reports a cancelled one.
pub(crate) struct Slip {
    outcome: Option<Outcome>,
    key: Ref<Key>,
    line: Arc<Line>,
}

impl Slip {
    pub(crate) fn new(outcome: Outcome, key: Ref<Key>, line: Arc<Line>) -> Self {
        Self { outcome: Some(outcome), key, line }
    }

    /// Notes what is known before the end.
    pub(crate) fn note(&mut self, note: impl FnOnce(&mut Outcome)) {
        if let Some(outcome) = &mut self.outcome {
            note(outcome);
        }
    }

    /// Reports the end.
    pub(crate) fn settle(mut self, end: End) {
        self.send(end);
    }

    fn send(&mut self, end: End) {
        let Some(mut outcome) = self.outcome.take() else { return };
        outcome.took = self.line.hub.clock.now().since(outcome.made.started);
        outcome.end = end;
        // If the key is gone the letter comes back in the error and, dropped, goes to its successor.
        let _ = self.key.tell(OutcomeLetter::new(outcome, Arc::clone(&self.line)));
    }
}

impl Drop for Slip {
    fn drop(&mut self) {
        self.send(End::Cancelled);
    }
}

/// An outcome in the mail. Dropped unopened it goes to the key's successor.
pub(crate) struct OutcomeLetter {
    outcome: Option<Outcome>,
    line: Arc<Line>,
}

impl OutcomeLetter {
    pub(crate) fn new(outcome: Outcome, line: Arc<Line>) -> Self {
        Self { outcome: Some(outcome), line }
    }

    /// Whether it is of the key of that line, and not of one that had its place before.
    pub(crate) fn is_of(&self, line: &Line) -> bool {
        self.line.is_of(line)
    }

    /// Whose call it was.
    pub(crate) fn key(&self) -> Option<KeyIndex> {
        self.outcome.as_ref().map(|outcome| outcome.key)
    }

    /// Takes the outcome out; from here on its holder answers for it.
    pub(crate) fn open(mut self) -> Option<Outcome> {
        self.outcome.take()
    }
}

impl Drop for OutcomeLetter {
    fn drop(&mut self) {
        let Some(outcome) = self.outcome.take() else { return };
        let letter = Self::new(outcome, Arc::clone(&self.line));
        let provider = self.line.key.provider.clone();
        let forward = Forward { provider, message: Stray(letter) };
        // By way of Root: the provider itself may be the one that is crashing.
        if let Err(Forward { message: Stray(letter), .. }) = self.line.hub.root.tell(forward) {
            // Without Root the wheel is stopping, and nobody counts any more.
            drop(letter.open());
        }
    }
}
