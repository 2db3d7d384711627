//! What one key did in the last seconds, one character for each quarter of a second.
//!
//! Strips under one another let a person *see* the rotation: who works, who
//! rests, and who took over.

use std::collections::VecDeque;
use std::time::Duration;

use keywheel_actors::board::{KeyState, KeyView};

/// The time that one character stands for.
pub const SLOT: Duration = Duration::from_millis(250);

/// Characters in a strip: ten seconds, and a line still fits a terminal of 100 columns.
pub const SLOTS_MAX: usize = 40;

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

    /// The most calls that ended in one slot: what the heights of a panel are measured by.
    pub fn peak(&self) -> u64 {
        self.calls().max().unwrap_or(0)
    }

    /// Calls ended a second, over the slots in sight.
    pub fn per_second(&self) -> f64 {
        if self.slots.is_empty() {
            return 0.0;
        }
        self.calls().sum::<u64>() as f64 / (SLOT.as_secs_f64() * self.slots.len() as f64)
    }

    /// The strip, the latest slot last; `peak` calls are the full height.
    pub fn draw(&self, peak: u64) -> String {
        self.slots
            .iter()
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
        assert_eq!(strip.draw(8), "", "what a key did before is no news");
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
        assert_eq!(strip.draw(8), "█▄▁·▁░░✗");
        assert_eq!(strip.peak(), 8);
        assert!((strip.per_second() - 7.0).abs() < 1e-9, "14 calls in 2 s");
    }

    #[test]
    fn every_way_to_end_counts_as_finished() {
        let mut strip = Strip::default();
        strip.tick(&KeyView::default());
        let counts =
            KeyCounts { throttled: 1, failed: 1, cancelled: 1, succeeded: 1, ..KeyCounts::default() };
        strip.tick(&KeyView { counts, ..KeyView::default() });
        assert_eq!(strip.peak(), 4);
    }

    #[test]
    fn keeps_the_last_forty_slots() {
        let mut strip = Strip::default();
        for done in 0..100 {
            strip.tick(&view(done / 50 * 50, KeyState::Active));
        }
        assert_eq!(strip.draw(1).chars().count(), SLOTS_MAX);
        assert_eq!(strip.peak(), 0, "the busy slot is out of sight");
    }

    #[test]
    fn a_single_call_is_seen_beside_a_thousand() {
        assert_eq!(height(1, 1_000), '▁');
        assert_eq!(height(1_000, 1_000), '█');
        assert_eq!(height(5, 0), '█');
    }
}
