//! All windows of one key or quota group as one answer.

use std::time::Duration;

use super::bucket::TokenBucket;
use super::log::SlidingLog;
use super::memory::LONG;
use super::reserve::Reserve;
use crate::clock::Moment;
use crate::spec::{Dimension, WindowLimit};
use crate::tokens::Tokens;

/// The most by which a call is held back for the network's sake.
///
/// A call can overtake the jitter of an earlier one and arrive before the
/// provider has refilled, though it left us on time. 25 ms is about the
/// spread of round trips over the public internet; a window of a minute
/// loses 0.04 % by it.
pub const GUARD_MAX: Duration = Duration::from_millis(25);
/// A short window must not lose more than this part of itself to the guard: 1 %.
const GUARD_SHARE_OF_WINDOW: u32 = 100;

/// The windows' own time begins so long before the wheel's: what an earlier process used has its place there.
const PAST: Duration = Duration::from_secs(2 * 86_400);
/// How soon to ask again when only a reservation is missing: about what a disk takes to keep one.
const RESERVE_RETRY: Duration = Duration::from_millis(20);

/// The guard of a window unless said otherwise: [`GUARD_MAX`], or 1 % of a short window.
pub fn default_guard(window: Duration) -> Duration {
    GUARD_MAX.min(window / GUARD_SHARE_OF_WINDOW)
}

/// The windows of a key or a quota group. Without any it is unlimited.
///
/// `now` must not run backwards from one [`take`](Self::take) to the next; if
/// it does, the later moment counts.
#[derive(Clone, Debug)]
pub struct Quota {
    pub(super) windows: Vec<Window>,
    /// The last call's start.
    pub(super) latest: Moment,
    /// The tightest rate of the request windows, per second.
    permitted_per_second: Option<f64>,
}

/// The receipt of a call that a quota let through: to be given back or settled, at most once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Taken {
    at: Moment,
    tokens: Tokens,
}

impl Taken {
    /// When it was taken.
    pub const fn at(self) -> Moment {
        self.at
    }

    /// The tokens that were estimated.
    pub const fn tokens(self) -> Tokens {
        self.tokens
    }
}

/// A call may not start yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no quota of {dimension:?} until {until:?}")]
pub struct NotUntil {
    /// The first moment at which it could; [`Moment::NEVER`] if it is larger than a whole window.
    pub until: Moment,
    /// What it has to wait for.
    pub dimension: Dimension,
}

impl NotUntil {
    /// Whether the call is too large for this quota, however long it waits.
    pub const fn never_fits(&self) -> bool {
        self.until.is_never()
    }
}

impl Quota {
    /// A quota of these windows, each with its [`default_guard`].
    pub fn new(windows: &[WindowLimit]) -> Self {
        Self::build(windows, |limit| default_guard(limit.window))
    }

    /// A quota of these windows with another guard than [`default_guard`].
    ///
    /// A bucket whose burst can't absorb the guard has a shorter one, so that
    /// its long-run rate loses nothing, or 2 % if its burst is one.
    pub fn with_guard(windows: &[WindowLimit], guard: Duration) -> Self {
        Self::build(windows, |_| guard)
    }

    fn build(limits: &[WindowLimit], guard: impl Fn(&WindowLimit) -> Duration) -> Self {
        Self {
            windows: limits.iter().map(|limit| Window::new(limit, guard(limit))).collect(),
            latest: Moment::ZERO,
            permitted_per_second: pace(limits),
        }
    }

    /// How many calls of `tokens_each` could start at `now`; [`u32::MAX`] if nothing limits them.
    pub fn available_calls(&self, now: Moment, tokens_each: Tokens) -> u32 {
        self.windows
            .iter()
            .filter_map(|window| window.room(now).checked_div(window.amount(tokens_each)))
            .min()
            .map_or(u32::MAX, |calls| u32::try_from(calls).unwrap_or(u32::MAX))
    }

    /// How much a call that starts at `now` with a prompt of so many tokens may write; [`u64::MAX`] if nothing limits
    /// that.
    pub fn room_for_output(&self, now: Moment, input_tokens: u64) -> u64 {
        let rooms = self.windows.iter().filter_map(|window| match window.dimension {
            Dimension::Tokens => Some(window.room(now).saturating_sub(input_tokens)),
            Dimension::OutputTokens => Some(window.room(now)),
            Dimension::Requests | Dimension::InputTokens => None,
        });
        rooms.min().unwrap_or(u64::MAX)
    }

    /// Whether a call of `tokens` could start at `now`.
    ///
    /// # Errors
    ///
    /// [`NotUntil`] with the first moment at which it could.
    pub fn check(&self, now: Moment, tokens: Tokens) -> Result<(), NotUntil> {
        let refused = self.latest_window(now, 1, tokens).filter(|refusal| refusal.until > now);
        refused.map_or(Ok(()), Err)
    }

    /// Takes a call of `tokens` that starts at `now`.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check); nothing is taken then.
    pub fn take(&mut self, now: Moment, tokens: Tokens) -> Result<Taken, NotUntil> {
        self.check(now, tokens)?;
        self.latest = self.latest.max(now);
        for window in &mut self.windows {
            let amount = window.amount(tokens);
            window.record(self.latest, amount);
        }
        Ok(Taken { at: self.latest, tokens })
    }

    /// The call was never sent: as if it had never been taken.
    pub fn give_back(&mut self, taken: Taken) {
        for window in &mut self.windows {
            let amount = window.amount(taken.tokens);
            window.correct(taken.at, amount, 0);
        }
    }

    /// The call used `actual_tokens`. More than estimated may overdraw a
    /// window; later calls wait for it.
    pub fn settle(&mut self, taken: Taken, actual_tokens: Tokens) {
        for window in &mut self.windows {
            let (from, to) = (window.amount(taken.tokens), window.amount(actual_tokens));
            if from != to {
                window.correct(taken.at, from, to);
            }
        }
    }

    /// When [`available_calls`](Self::available_calls) next exceeds what it is
    /// at `now`; [`Moment::NEVER`] if it can't.
    pub fn next_call_at(&self, now: Moment, tokens: Tokens) -> Moment {
        let Some(calls) = self.available_calls(now, tokens).checked_add(1) else { return Moment::NEVER };
        self.latest_window(now, u64::from(calls), tokens).map_or(Moment::NEVER, |wait| wait.until)
    }

    /// The pace that the request windows permit: that of the tightest one shorter than an hour, for a day's
    /// limit bounds how many calls there are, not how fast they come. `None` without request windows.
    pub const fn permitted_per_second(&self) -> Option<f64> {
        self.permitted_per_second
    }

    /// The window that lets so many calls start last, and when.
    fn latest_window(&self, now: Moment, calls: u64, tokens: Tokens) -> Option<NotUntil> {
        self.windows
            .iter()
            .map(|window| NotUntil {
                until: window.earliest(now, window.amount(tokens).saturating_mul(calls)),
                dimension: window.dimension,
            })
            .max_by_key(|wait| wait.until)
    }
}

fn pace(limits: &[WindowLimit]) -> Option<f64> {
    let requests = || limits.iter().filter(|limit| limit.dimension == Dimension::Requests);
    let rate = |limit: &WindowLimit| limit.count as f64 / limit.window.as_secs_f64();
    let short = requests().filter(|limit| limit.window < LONG).map(rate).min_by(f64::total_cmp);
    short.or_else(|| requests().map(rate).min_by(f64::total_cmp))
}

/// One limit and how it is kept.
#[derive(Clone, Debug)]
pub(super) struct Window {
    pub(super) dimension: Dimension,
    pub(super) length: Duration,
    kind: Kind,
    /// For a limit whose use must never be forgotten: what may be used before the disk has to hear of more.
    pub(super) reserve: Option<Reserve>,
}

#[derive(Clone, Debug)]
enum Kind {
    Log(SlidingLog),
    Bucket(TokenBucket),
}

impl Window {
    fn new(limit: &WindowLimit, guard: Duration) -> Self {
        let kind = match limit.burst {
            None => Kind::Log(SlidingLog::new(limit.count, limit.window, guard)),
            Some(burst) => Kind::Bucket(TokenBucket::new(limit.count, limit.window, burst, guard)),
        };
        Self { dimension: limit.dimension, length: limit.window, kind, reserve: None }
    }

    /// What a call of `tokens` takes from it.
    pub(super) const fn amount(&self, tokens: Tokens) -> u64 {
        tokens.amount(self.dimension)
    }

    fn room(&self, now: Moment) -> u64 {
        let room = self.granted(now);
        self.reserve.as_ref().map_or(room, |reserve| room.min(reserve.left()))
    }

    /// What the provider grants, reserved or not.
    pub(super) fn granted(&self, now: Moment) -> u64 {
        let now = now + PAST;
        match &self.kind {
            Kind::Log(log) => log.room(now),
            Kind::Bucket(bucket) => bucket.room(now),
        }
    }

    fn earliest(&self, now: Moment, amount: u64) -> Moment {
        let axis = now + PAST;
        let earliest = match &self.kind {
            Kind::Log(log) => log.earliest(axis, amount),
            Kind::Bucket(bucket) => bucket.earliest(axis, amount),
        };
        let earliest = if earliest.is_never() { earliest } else { earliest - PAST };
        match &self.reserve {
            Some(reserve) if reserve.left() < amount => earliest.max(now + RESERVE_RETRY),
            Some(_) | None => earliest,
        }
    }

    fn record(&mut self, now: Moment, amount: u64) {
        self.count(now + PAST, amount);
        if let Some(reserve) = &mut self.reserve {
            reserve.draw(amount);
        }
    }

    /// Counts on the windows' own axis.
    fn count(&mut self, axis: Moment, amount: u64) {
        match &mut self.kind {
            Kind::Log(log) => log.record(axis, amount),
            Kind::Bucket(bucket) => bucket.record(axis, amount),
        }
    }

    fn correct(&mut self, at: Moment, from: u64, to: u64) {
        let at = at + PAST;
        match &mut self.kind {
            Kind::Log(log) => log.correct(at, from, to),
            Kind::Bucket(bucket) => bucket.correct(at, from, to),
        }
        if let Some(reserve) = &mut self.reserve {
            reserve.correct(from, to);
        }
    }

    /// Counts what was used `ago` before `now`; older uses come first.
    pub(super) fn recall(&mut self, now: Moment, ago: Duration, amount: u64) {
        self.count(now + PAST - ago, amount);
    }

    /// Everything that it still counts, oldest first: how long before `now`, and how much.
    pub(super) fn uses(&self, now: Moment) -> Vec<(Duration, u64)> {
        let history = match &self.kind {
            Kind::Log(log) => log.history(),
            Kind::Bucket(bucket) => bucket.history(),
        };
        let now = now + PAST;
        history.iter().map(|entry| (now.since(entry.last), entry.amount)).collect()
    }

    /// Counts what another window of the same dimension has counted, which must look back as far at least.
    pub(super) fn take_over(&mut self, other: &Self) {
        match (&mut self.kind, &other.kind) {
            (Kind::Log(log), Kind::Log(other)) => log.take_over(other.history()),
            (Kind::Log(log), Kind::Bucket(other)) => log.take_over(other.history()),
            (Kind::Bucket(bucket), Kind::Log(other)) => bucket.take_over(other.history()),
            (Kind::Bucket(bucket), Kind::Bucket(other)) => {
                bucket.take_over(other.history());
                bucket.take_over_level(other);
            }
        }
        let whole = self.whole();
        let reserve = other.reserve.filter(|_| other.length == self.length);
        self.reserve = reserve.map(|reserve| reserve.resized(whole));
    }

    /// How much it grants in one go.
    pub(super) fn whole(&self) -> u64 {
        match &self.kind {
            Kind::Log(log) => log.count(),
            Kind::Bucket(bucket) => bucket.burst(),
        }
    }
}
