//! Use that is written down before it happens.
//!
//! A process that is killed can't say what it used. So a day's limit is used
//! out of reservations: a block is kept durably as used, and only then may it
//! be. Whatever happens next, the memory is never less than the use.

/// A limit of 100 or more is reserved in blocks of a hundredth: that much is lost by a crash at most.
const BLOCKS: u64 = 100;

/// What may be used of one window before the disk has to hear of more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Reserve {
    block: u64,
    /// Reserved and not used; negative when a call used more than was expected of it.
    left: i64,
    /// Asked for, and not kept yet.
    asked: u64,
}

impl Reserve {
    /// Nothing is reserved yet of a window that grants `whole`.
    pub(super) fn of(whole: u64) -> Self {
        Self { block: (whole / BLOCKS).max(1), left: 0, asked: 0 }
    }

    /// The same reservation for a window that grants `whole` from now on.
    pub(super) fn resized(self, whole: u64) -> Self {
        Self { block: Self::of(whole).block, ..self }
    }

    /// What may be used now.
    pub(super) fn left(&self) -> u64 {
        u64::try_from(self.left).unwrap_or(0)
    }

    /// Uses it.
    pub(super) fn draw(&mut self, amount: u64) {
        self.left = self.left.saturating_sub_unsigned(amount);
    }

    /// What was used as `from` was `to`.
    pub(super) fn correct(&mut self, from: u64, to: u64) {
        self.left = self.left.saturating_add_unsigned(from).saturating_sub_unsigned(to);
    }

    /// Whether more should be asked for now, so that calls of `amount` needn't wait.
    pub(super) fn is_low(&self, amount: u64) -> bool {
        self.asked == 0 && self.left() < (self.block / 2).max(amount.saturating_mul(2)).max(1)
    }

    /// Asks for more, enough for calls of `amount`, but for no more than the window grants.
    pub(super) fn ask(&mut self, amount: u64, granted: u64) {
        let debt = self.left.min(0).unsigned_abs();
        let block = self.block.max(amount.saturating_mul(4));
        self.asked = block.min(granted.saturating_sub(self.left())).saturating_add(debt);
    }

    /// What was asked for is kept.
    pub(super) fn granted(&mut self) {
        self.left = self.left.saturating_add_unsigned(std::mem::take(&mut self.asked));
    }

    /// Whoever asked is gone, and will never hear.
    pub(super) const fn forget_asked(&mut self) {
        self.asked = 0;
    }

    /// What must be kept as used beside what was used.
    pub(super) fn ahead(&self) -> u64 {
        self.left().saturating_add(self.asked)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Use(u64),
        Correct(u64, u64),
        AskIfLow(u64),
        Kept,
        AskerDies,
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (1..50_u64).prop_map(Step::Use),
            (1..50_u64, 1..50_u64).prop_map(|(from, to)| Step::Correct(from, to)),
            (1..50_u64).prop_map(Step::AskIfLow),
            Just(Step::Kept),
            Just(Step::AskerDies),
        ]
    }

    proptest! {
        /// Calls that use no more than expected: what the disk knows covers what was used, at every step.
        #[test]
        fn a_crash_never_undercounts(whole in 1..5_000_u64, steps in prop::collection::vec(any_step(), 0..200)) {
            let mut reserve = Reserve::of(whole);
            let (mut used, mut on_disk, mut on_its_way) = (0_u64, 0_u64, None);
            for step in steps {
                match step {
                    Step::Use(amount) if amount <= reserve.left() => {
                        reserve.draw(amount);
                        used += amount;
                    }
                    Step::Correct(from, to) if to <= from && from <= used => {
                        reserve.correct(from, to);
                        used = used - from + to;
                    }
                    Step::AskIfLow(amount) if reserve.is_low(amount) => {
                        reserve.ask(amount, u64::MAX);
                        on_its_way = Some(used + reserve.ahead());
                    }
                    Step::Kept => {
                        if let Some(kept) = on_its_way.take() {
                            on_disk = kept;
                            reserve.granted();
                        }
                    }
                    Step::AskerDies => {
                        on_its_way = None;
                        reserve.forget_asked();
                    }
                    Step::Use(_) | Step::Correct(..) | Step::AskIfLow(_) => {}
                }
                prop_assert!(used <= on_disk, "{used} used, {on_disk} kept");
            }
        }
    }

    #[test]
    fn a_call_larger_than_a_block_gets_its_block() {
        let mut reserve = Reserve::of(1_000);
        assert!(reserve.is_low(400));
        reserve.ask(400, 100_000);
        assert!(!reserve.is_low(400), "asked already");
        reserve.granted();
        assert_eq!(reserve.left(), 1_600);
    }
}
