//! What one client has used of its limits. Pure: who asks says what time it is.

use std::time::Duration;

use keywheel_actors::clock::{Clock, Moment};
use keywheel_actors::policy::quota::{Extent, Quota, Taken};
use keywheel_actors::policy::sizes::Sizes;
use keywheel_actors::spec::{DAY, Dimension};
use keywheel_actors::store::{Wall, WindowMemory};
use keywheel_actors::tokens::Tokens;
use serde::{Deserialize, Serialize};

use super::ClientSpec;
use crate::money::Money;

/// Nobody knows when a call under way will end; a moment later is a good time to ask again.
const PLACE_FREE_AFTER: Duration = Duration::from_secs(1);

/// What a request is reckoned to take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claim {
    /// What has to be there for it: as much as it may take, or as most do whose request names no maximum. So much it
    /// counts for, if nobody tells what it used.
    pub reckoned: Share,
    /// For a request that names no maximum: what it takes if its answer is as long as the client's longest one of
    /// late. So much is kept for it while it is under way, as far as it is there.
    pub at_length: Option<Share>,
}

/// A part of what a client may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Share {
    /// Tokens.
    pub tokens: Tokens,
    /// Money at most; `None` if the price isn't known.
    pub cost: Option<Money>,
}

impl Share {
    /// Nothing at all.
    pub const NOTHING: Self = Self { tokens: Tokens::NONE, cost: Some(Money::ZERO) };
}

impl Claim {
    /// Of a call that uses nothing that is limited.
    pub const NOTHING: Self = Self { reckoned: Share::NOTHING, at_length: None };
}

/// Why a client may not call now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// The limit that it met, by its name in the configuration.
    pub limit: &'static str,
    /// For its reader.
    pub message: String,
    /// When the same call may be made. `None`: never as it stands.
    pub retry_after: Option<Duration>,
}

/// When it is.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For windows.
    pub moment: Moment,
    /// For days.
    pub date: Wall,
}

impl Now {
    /// By that clock.
    pub fn by(clock: Clock) -> Self {
        Self { moment: clock.now(), date: Wall::from(clock.today()) }
    }

    fn day(self) -> u64 {
        self.date.0 / day_millis()
    }

    fn until_midnight(self) -> Duration {
        Duration::from_millis(day_millis() - self.date.0 % day_millis())
    }
}

/// Days end at midnight UTC.
fn day_millis() -> u64 {
    DAY.as_secs() * 1_000
}

/// What one client has used.
#[derive(Debug)]
pub(super) struct Account {
    quota: Quota,
    in_flight: u32,
    day: u64,
    /// What this day's calls cost, and what those under way may.
    spent: Money,
    reserved: Money,
    /// Its last answers to requests that named no maximum.
    answers: Sizes,
    /// Grows with every change.
    changes: u64,
}

/// What one client has used, for the next process.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct AccountMemory {
    day: u64,
    /// What is under way counts as spent: nobody can say any more what it came to.
    spent: Money,
    windows: Vec<WindowMemory>,
}

/// What was taken for a call: to be settled once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Receipt {
    taken: Taken,
    reserved: Money,
    /// What it counts for if nobody tells what it used.
    reckoned: Share,
    output: Output,
    day: u64,
}

/// Whether a request says how long its answer may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Output {
    Named,
    Unsaid,
}

impl Receipt {
    /// The tokens that it counts for if nobody tells what it used.
    pub(super) const fn reckoned(&self) -> Tokens {
        self.reckoned.tokens
    }
}

impl Account {
    pub(super) fn new(spec: &ClientSpec) -> Self {
        Self {
            quota: Quota::new(&spec.limits.windows),
            in_flight: 0,
            day: 0,
            spent: Money::ZERO,
            reserved: Money::ZERO,
            answers: Sizes::default(),
            changes: 0,
        }
    }

    /// Grows with every change.
    pub(super) const fn changes(&self) -> u64 {
        self.changes
    }

    /// Tokens of its longest answer of late to a request that named no maximum.
    pub(super) fn longest_answer(&self) -> u64 {
        self.answers.most().output
    }

    /// Goes on as the configuration says now: what was used stays used.
    pub(super) fn amend(&mut self, spec: &ClientSpec) {
        self.quota = self.quota.relimited(&spec.limits.windows);
    }

    /// What the next process has to know.
    pub(super) fn memory(&self, now: Now) -> AccountMemory {
        let past = self.quota.past(now.moment, Extent::All);
        AccountMemory {
            day: self.day,
            spent: self.spent + self.reserved,
            windows: past.iter().map(|past| WindowMemory::dated(past, now.date.into())).collect(),
        }
    }

    /// Takes over what an earlier process used.
    pub(super) fn recall(&mut self, memory: &AccountMemory, now: Now) {
        (self.day, self.spent) = (memory.day, memory.spent);
        // Nothing is reserved for clients: how long ago that process ended doesn't matter.
        let past = memory.windows.iter().map(|window| window.seen_from(now.date, Duration::ZERO));
        self.quota.recall(now.moment, &past.collect::<Vec<_>>());
    }

    /// Takes a place among the requests under way.
    pub(super) fn enter(&mut self, spec: &ClientSpec) -> Result<(), Refused> {
        if let Some(limit) = spec.limits.concurrency.filter(|limit| self.in_flight >= *limit) {
            return Err(Refused {
                limit: "concurrency",
                message: format!("`{}` has {limit} requests under way, as many as it may", spec.name),
                retry_after: Some(PLACE_FREE_AFTER),
            });
        }
        self.in_flight += 1;
        Ok(())
    }

    /// Gives such a place back.
    pub(super) fn leave(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Takes what a call is reckoned to use, all of it or nothing.
    pub(super) fn admit(&mut self, spec: &ClientSpec, claim: Claim, now: Now) -> Result<Receipt, Refused> {
        // A clock that is put back gives no day twice.
        if self.day < now.day() {
            (self.day, self.spent) = (now.day(), Money::ZERO);
        }
        let reserved = self.afford(spec, claim, now)?;
        let taken = self.quota.take(now.moment, self.fitting(claim, now)).map_err(|not| {
            let limit = match not.dimension {
                Dimension::Requests => "requests",
                Dimension::Tokens => "tokens",
                Dimension::InputTokens => "input_tokens",
                Dimension::OutputTokens => "output_tokens",
            };
            let (message, retry_after) = if not.never_fits() {
                (format!("the request is larger than the whole limit of {limit} of `{}`", spec.name), None)
            } else {
                let message = format!("the limit of {limit} of `{}` is used up", spec.name);
                (message, Some(not.until.since(now.moment)))
            };
            Refused { limit, message, retry_after }
        })?;
        self.changes += 1;
        self.reserved += reserved;
        let output = if claim.at_length.is_some() { Output::Unsaid } else { Output::Named };
        Ok(Receipt { taken, reserved, reckoned: claim.reckoned, output, day: self.day })
    }

    /// The tokens that are taken for a call: all that it may need, as far as they are there. One long answer must not
    /// keep short ones out of a small limit.
    fn fitting(&self, claim: Claim, now: Now) -> Tokens {
        let reckoned = claim.reckoned.tokens;
        let Some(at_length) = claim.at_length else { return reckoned };
        let room = self.quota.room_for_output(now.moment, reckoned.input);
        Tokens { output: at_length.tokens.output.min(room).max(reckoned.output), ..reckoned }
    }

    fn afford(&self, spec: &ClientSpec, claim: Claim, now: Now) -> Result<Money, Refused> {
        let Some(limit) = spec.cost_per_day else { return Ok(Money::ZERO) };
        let Some(cost) = claim.reckoned.cost else {
            return Err(Refused {
                limit: "cost_per_day",
                message: format!(
                    "`{}` has a limit of cost, and the price of this model isn't known",
                    spec.name
                ),
                retry_after: None,
            });
        };
        if self.spent + self.reserved + cost > limit {
            return Err(Refused {
                limit: "cost_per_day",
                message: format!("the limit of cost of `{}` for today doesn't suffice", spec.name),
                retry_after: (cost <= limit).then(|| now.until_midnight()),
            });
        }
        let left = limit.minus(self.spent).minus(self.reserved);
        let at_length = claim.at_length.and_then(|share| share.cost);
        Ok(at_length.map_or(cost, |at_length| at_length.min(left).max(cost)))
    }

    /// The call used so much; what isn't known counts as it was reckoned.
    pub(super) fn settle(&mut self, receipt: Receipt, tokens: Option<Tokens>, cost: Option<Money>) {
        self.changes += 1;
        self.reserved = self.reserved.minus(receipt.reserved);
        self.quota.settle(receipt.taken, tokens.unwrap_or(receipt.reckoned.tokens));
        if let Some(answer) = tokens.filter(|_| receipt.output == Output::Unsaid) {
            self.answers.note(answer);
        }
        // What belongs to yesterday is over.
        if receipt.day == self.day {
            self.spent += cost.or(receipt.reckoned.cost).unwrap_or_default();
        }
    }

    /// The calls that were made cost nothing: they count as requests alone.
    pub(super) fn forgive(&mut self, receipt: Receipt) {
        let forgiven = Receipt { output: Output::Named, ..receipt };
        self.settle(forgiven, Some(Tokens::NONE), Some(Money::ZERO));
    }

    /// The call was never made: as if nothing had been taken.
    pub(super) fn give_back(&mut self, receipt: Receipt) {
        self.changes += 1;
        self.reserved = self.reserved.minus(receipt.reserved);
        self.quota.give_back(receipt.taken);
    }
}
