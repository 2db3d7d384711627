//! How many jobs a key has asked for, and where each of those promises is.
//!
//! A credit is the right to send one job to the key. It lies in the provider's
//! ready ring, or is spent on a call in flight, or is held back by the key.
//! Whatever the order of messages: ring + in flight + held = the limit.

/// A key's side of the flow control.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Credits {
    limit: u32,
    ring: u32,
    in_flight: u32,
    recall: Recall,
}

/// Whether credits are on their way back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Recall {
    None,
    Pending,
}

impl Credits {
    /// All credits held.
    pub const fn new(limit: u32) -> Self {
        Self { limit, ring: 0, in_flight: 0, recall: Recall::None }
    }

    /// Credits for a successor: nothing in the ring, these calls still under way.
    pub const fn resumed(limit: u32, in_flight: u32) -> Self {
        Self { limit, ring: 0, in_flight, recall: Recall::None }
    }

    /// Calls under way.
    pub const fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Credits lying in the provider's ring, or jobs on their way from there.
    pub const fn in_ring(&self) -> u32 {
        self.ring
    }

    /// Credits that the key keeps back. Zero while a lowered limit is still overdrawn.
    pub const fn held(&self) -> u32 {
        self.limit.saturating_sub(self.ring + self.in_flight)
    }

    /// The limit.
    pub const fn limit(&self) -> u32 {
        self.limit
    }

    /// Changes the limit. What is out beyond a lowered one comes back by itself.
    pub const fn set_limit(&mut self, limit: u32) {
        self.limit = limit;
    }

    /// Credits to give out now, if the quota permits `startable` calls at this moment.
    ///
    /// None while a recall is pending: the two would cross.
    #[must_use = "these credits are in the ring now: they must be sent"]
    pub fn offer(&mut self, startable: u32) -> u32 {
        if self.recall == Recall::Pending {
            return 0;
        }
        let offered = self.held().min(startable.saturating_sub(self.ring));
        self.ring += offered;
        offered
    }

    /// A job came against a credit and will be served.
    pub fn spend(&mut self) {
        self.ring = self.ring.saturating_sub(1);
        self.in_flight += 1;
    }

    /// A job came against a credit and is bounced.
    pub fn bounce(&mut self) {
        self.ring = self.ring.saturating_sub(1);
    }

    /// A call ended.
    pub fn end(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Whether the ring must be told to give credits back; says so once per recall.
    #[must_use = "the provider must be told"]
    pub fn recall(&mut self) -> bool {
        let needed = self.recall == Recall::None && self.ring > 0;
        if needed {
            self.recall = Recall::Pending;
        }
        needed
    }

    /// The ring gave back so many credits. Jobs sent before that have arrived by now.
    pub fn recalled(&mut self, count: u32) {
        self.ring = self.ring.saturating_sub(count);
        self.recall = Recall::None;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn offers_what_quota_and_limit_permit() {
        let mut credits = Credits::new(4);
        assert_eq!(credits.offer(3), 3);
        assert_eq!(credits.offer(3), 0, "three of three are out");
        credits.spend();
        assert_eq!(credits.offer(3), 1, "the limit is four");
        assert_eq!((credits.in_ring(), credits.in_flight(), credits.held()), (3, 1, 0));
    }

    #[test]
    fn a_recall_is_asked_once_and_blocks_offers() {
        let mut credits = Credits::new(2);
        assert_eq!(credits.offer(2), 2);
        assert!(credits.recall());
        assert!(!credits.recall());
        credits.end();
        assert_eq!(credits.offer(2), 0);
        credits.recalled(2);
        assert_eq!(credits.held(), 2);
    }

    /// The provider's side, and the mailboxes between the two.
    #[derive(Default)]
    struct Line {
        to_key: VecDeque<ToKey>,
        to_provider: VecDeque<ToProvider>,
        ring: u32,
    }

    enum ToKey {
        Job,
        Recalled(u32),
    }

    enum ToProvider {
        Ready(u32),
        Withdraw,
    }

    proptest! {
        /// No interleaving of the two mailboxes loses or invents a credit.
        #[test]
        fn no_credit_is_lost(steps in proptest::collection::vec((0u8..7, 0u32..6), 1..400)) {
            const LIMIT: u32 = 5;
            let mut key = Credits::new(LIMIT);
            let mut line = Line::default();
            for (step, number) in steps {
                match step {
                    0 => {
                        let offered = key.offer(number);
                        if offered > 0 {
                            line.to_provider.push_back(ToProvider::Ready(offered));
                        }
                    }
                    1 => if key.recall() {
                        line.to_provider.push_back(ToProvider::Withdraw);
                    },
                    2 => match line.to_provider.pop_front() {
                        Some(ToProvider::Ready(count)) => line.ring += count,
                        Some(ToProvider::Withdraw) => {
                            line.to_key.push_back(ToKey::Recalled(line.ring));
                            line.ring = 0;
                        }
                        None => {}
                    },
                    3 => if line.ring > 0 {
                        line.ring -= 1;
                        line.to_key.push_back(ToKey::Job);
                    },
                    4 | 5 => match line.to_key.pop_front() {
                        Some(ToKey::Job) if number % 2 == 0 => key.spend(),
                        Some(ToKey::Job) => key.bounce(),
                        Some(ToKey::Recalled(count)) => {
                            key.recalled(count);
                            prop_assert_eq!(key.in_ring(), 0, "a recall leaves nothing behind");
                        }
                        None => {}
                    },
                    _ => key.end(),
                }
                prop_assert_eq!(key.in_ring() + key.in_flight() + key.held(), LIMIT);
                let jobs = line.to_key.iter().filter(|message| matches!(message, ToKey::Job)).count();
                let on_the_way: u32 = line.to_provider.iter().map(|message| match message {
                    ToProvider::Ready(count) => *count,
                    ToProvider::Withdraw => 0,
                }).sum();
                let returning: u32 = line.to_key.iter().map(|message| match message {
                    ToKey::Recalled(count) => *count,
                    ToKey::Job => 0,
                }).sum();
                let out = line.ring + u32::try_from(jobs).unwrap() + on_the_way + returning;
                prop_assert_eq!(key.in_ring(), out, "the key knows where its credits are");
            }
        }
    }
}
