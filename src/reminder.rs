//! Trouble that lasts is worth a word now and then, not one for each time it shows.

use std::time::Duration;

use keywheel_actors::clock::Moment;

/// A disk that stays full is told about once a minute.
const REMIND_EVERY: Duration = Duration::from_secs(60);

/// When some trouble was last told.
#[derive(Debug, Default)]
pub(crate) struct Reminder {
    told_at: Option<Moment>,
}

impl Reminder {
    /// Whether to tell it now; if so, it counts as told.
    pub(crate) fn is_due(&mut self, now: Moment) -> bool {
        let due = self.told_at.is_none_or(|told| now.since(told) >= REMIND_EVERY);
        if due {
            self.told_at = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_told_at_once_and_then_once_a_minute() {
        let mut reminder = Reminder::default();
        let told: Vec<u64> = (0..=150)
            .filter(|second| reminder.is_due(Moment::after_start(Duration::from_secs(*second))))
            .collect();
        assert_eq!(told, [0, 60, 120]);
    }
}
