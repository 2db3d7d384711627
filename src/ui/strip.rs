//! What one key did in the last seconds, one character for each quarter of a second.
//!
//! Strips under one another let a person *see* the rotation: who works, who
//! rests, and who took over.

use std::collections::VecDeque;
use std::time::Duration;

use keywheel_actors::board::{KeyState, KeyView};

/// The time that one character stands for.
pub const SLOT: Duration = Duration::from_millis(250);

/// Characters in a strip: half a minute, on a terminal that has the room.
pub const SLOTS_MAX: usize = 120;

/// Slots that a rate looks back: ten seconds.
const RATE_SLOTS: usize = 40;

/// Eight heights, as the block elements have them.
const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The last slots of one key.
#[derive(Clone, Debug, Default)]
pub struct Strip {
    slots: VecDeque<Slot>,
    finished_before: Option<u64>,
}

/// One quarter of a second.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Slot {
    /// So many calls ended.
    Worked(u64),
    /// Ready, but nothing ended.
    Idle,
    /// Resting until a limit frees, or out of order for now.
    Resting,
    /// Switched off.
    Disabled,
}

impl Strip {
    /// Adds the slot that ends now. The first view only sets the mark that later ones are measured from.
    pub fn tick(&mut self, view: &KeyView) {
        let counts = &view.counts;
        let finished = counts.succeeded + counts.throttled + counts.failed + counts.cancelled;
        let Some(before) = self.finished_before.replace(finished) else {
            return;
        };
        if self.slots.len() == SLOTS_MAX {
            self.slots.pop_front();
        }
        self.slots.push_back(match (finished.saturating_sub(before), view.status.state) {
            (0, KeyState::Active) => Slot::Idle,
            (0, KeyState::RateLimited | KeyState::Failed) => Slot::Resting,
            (0, KeyState::Disabled) => Slot::Disabled,
            (calls, KeyState::Active | KeyState::RateLimited | KeyState::Failed | KeyState::Disabled) => {
                Slot::Worked(calls)
            }
        });
    }

    /// The most calls that ended in one of the last `cells` slots: what the heights of a panel are measured by.
    pub fn peak(&self, cells: usize) -> u64 {
        self.calls().skip(self.slots.len().saturating_sub(cells)).max().unwrap_or(0)
    }

    /// Calls ended a second, over the last ten seconds.
    pub fn per_second(&self) -> f64 {
        let slots = self.slots.len().min(RATE_SLOTS);
        if slots == 0 {
            return 0.0;
        }
        let calls: u64 = self.calls().skip(self.slots.len() - slots).sum();
        calls as f64 / (SLOT.as_secs_f64() * slots as f64)
    }

    /// The last `cells` slots, the latest last; `peak` calls are the full height.
    pub fn draw(&self, peak: u64, cells: usize) -> String {
        self.slots
            .iter()
            .skip(self.slots.len().saturating_sub(cells))
            .map(|slot| match slot {
                Slot::Worked(calls) => height(*calls, peak),
                Slot::Idle => '·',
                Slot::Resting => '░',
                Slot::Disabled => '✗',
            })
            .collect()
    }

    fn calls(&self) -> impl Iterator<Item = u64> {
        self.slots.iter().map(|slot| match slot {
            Slot::Worked(calls) => *calls,
            Slot::Idle | Slot::Resting | Slot::Disabled => 0,
        })
    }
}

/// Any call at all is seen; `peak` and more fill the cell.
fn height(calls: u64, peak: u64) -> char {
    let eighths = (calls * 8).div_ceil(peak.max(1)).clamp(1, 8);
    HEIGHTS[usize::try_from(eighths - 1).unwrap_or(HEIGHTS.len() - 1)]
}

#[cfg(test)]
mod tests {
    use keywheel_actors::board::{KeyCounts, KeyStatus};

    use super::*;

    fn view(succeeded: u64, state: KeyState) -> KeyView {
        KeyView {
            status: KeyStatus { state, why: None },
            counts: KeyCounts { calls: succeeded + 3, succeeded, ..KeyCounts::default() },
            ..KeyView::default()
        }
    }

    #[test]
    fn shows_work_rest_and_the_end_of_a_key() {
        let mut strip = Strip::default();
        strip.tick(&view(100, KeyState::Active));
        assert_eq!(strip.draw(8, 40), "", "what a key did before is no news");
        for (succeeded, state) in [
            (108, KeyState::Active),
            (112, KeyState::Active),
            (113, KeyState::Active),
            (113, KeyState::Active),
            (114, KeyState::RateLimited),
            (114, KeyState::RateLimited),
            (114, KeyState::Failed),
            (114, KeyState::Disabled),
        ] {
            strip.tick(&view(succeeded, state));
        }
        assert_eq!(strip.draw(8, 40), "█▄▁·▁░░✗");
        assert_eq!(strip.draw(8, 3), "░░✗");
        assert_eq!((strip.peak(40), strip.peak(4)), (8, 1));
        assert!((strip.per_second() - 7.0).abs() < 1e-9, "14 calls in 2 s");
    }

    #[test]
    fn every_way_to_end_counts_as_finished() {
        let mut strip = Strip::default();
        strip.tick(&KeyView::default());
        let counts =
            KeyCounts { throttled: 1, failed: 1, cancelled: 1, succeeded: 1, ..KeyCounts::default() };
        strip.tick(&KeyView { counts, ..KeyView::default() });
        assert_eq!(strip.peak(40), 4);
    }

    #[test]
    fn keeps_the_last_half_minute_and_rates_the_last_ten_seconds() {
        let mut strip = Strip::default();
        for done in 0..300 {
            strip.tick(&view(done / 250 * 50, KeyState::Active));
        }
        assert_eq!(strip.draw(1, 500).chars().count(), SLOTS_MAX);
        assert_eq!((strip.peak(SLOTS_MAX), strip.peak(40)), (50, 0));
        assert!(strip.per_second().abs() < f64::EPSILON, "that was more than ten seconds ago");
    }

    #[test]
    fn a_single_call_is_seen_beside_a_thousand() {
        assert_eq!(height(1, 1_000), '▁');
        assert_eq!(height(1_000, 1_000), '█');
        assert_eq!(height(5, 0), '█');
    }
}
