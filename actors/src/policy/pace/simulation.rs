//! One key against a provider of any kind, on a simulated clock: how much of the provider's limit it uses and
//! how many calls are rejected for it.
//!
//! The key is what `actor/key` is without messages: health, quota, concurrency and pace, asked in the same order.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, SystemTime};

use super::{Pace, Surprise};
use crate::clock::Moment;
use crate::id::Model;
use crate::outcome::{Fault, Gauge, Gauges, Reason};
use crate::policy::concurrency::Concurrency;
use crate::policy::key_state::{KeyHealth, Sharing};
use crate::policy::quota::Quota;
use crate::spec::{MINUTE, Rotation, WindowLimit};
use crate::tokens::Tokens;

const SECOND: Duration = Duration::from_secs(1);

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn whole(count: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast clamps")]
    let whole = count as u64;
    whole
}

fn rounded_up(wait: Duration, unit: Duration) -> Duration {
    let units = wait.as_nanos().div_ceil(unit.as_nanos());
    unit * u32::try_from(units).expect("not for centuries")
}

/// How long the window has lasted that holds this moment.
fn into_window(now: Moment, per: Duration) -> Duration {
    let nanos = now.since_start().as_nanos() % per.as_nanos();
    Duration::from_nanos(u64::try_from(nanos).expect("less than a window"))
}

/// How a provider counts.
#[derive(Clone, Copy)]
enum Shape {
    Bucket { burst: f64 },
    Sliding,
    Fixed,
}

/// What a provider says beside yes and no.
#[derive(Clone, Copy, PartialEq)]
enum Words {
    /// Gauges whose reset means "until such a request fits, or else until full", and exact hints.
    Gauges,
    /// Gauges of the whole limit whose reset means "until full", and exact hints: OpenAI's.
    FullGauges,
    /// A hint in whole seconds.
    Hints,
    Nothing,
}

#[derive(Clone, Copy)]
struct Provider {
    count: f64,
    per: Duration,
    shape: Shape,
    words: Words,
    /// Rejected calls cost quota.
    counted: bool,
    /// From then on the limit is another one.
    change: Option<(Duration, f64)>,
}

impl Provider {
    fn rpm(count: u64, shape: Shape, words: Words) -> Self {
        Self { count: count as f64, per: MINUTE, shape, words, counted: false, change: None }
    }
}

/// A provider's books.
struct Books {
    provider: Provider,
    level: f64,
    settled: Moment,
    entries: VecDeque<Moment>,
}

impl Books {
    fn new(provider: Provider) -> Self {
        let mut books = Self { provider, level: 0.0, settled: Moment::ZERO, entries: VecDeque::new() };
        books.level = books.capacity();
        books
    }

    fn capacity(&self) -> f64 {
        match self.provider.shape {
            Shape::Bucket { burst } => burst,
            Shape::Sliding | Shape::Fixed => self.provider.count,
        }
    }

    fn per_second(&self) -> f64 {
        self.provider.count / self.provider.per.as_secs_f64()
    }

    fn settle(&mut self, now: Moment) {
        if let Some((at, factor)) = self.provider.change.take_if(|(at, _)| now >= Moment::ZERO + *at) {
            self.settle(Moment::ZERO + at);
            self.provider.count *= factor;
            if let Shape::Bucket { burst } = &mut self.provider.shape {
                *burst = (*burst * factor).round().max(1.0);
            }
        }
        let age = now.since(self.settled).as_secs_f64();
        self.level = (self.level + age * self.per_second()).min(self.capacity());
        self.settled = now;
        let per = self.provider.per;
        let begin = match self.provider.shape {
            Shape::Fixed => now - into_window(now, per),
            Shape::Sliding | Shape::Bucket { .. } => now - per + Duration::from_nanos(1),
        };
        while self.entries.front().is_some_and(|entry| *entry < begin && now.since_start() >= per) {
            self.entries.pop_front();
        }
    }

    fn left(&self) -> f64 {
        match self.provider.shape {
            Shape::Bucket { .. } => self.level + 1e-9,
            Shape::Sliding | Shape::Fixed => self.provider.count - self.entries.len() as f64,
        }
    }

    fn fits_in(&self, now: Moment) -> Duration {
        if self.left() >= 1.0 {
            return Duration::ZERO;
        }
        let per = self.provider.per;
        match self.provider.shape {
            Shape::Bucket { .. } => Duration::from_secs_f64((1.0 - self.level) / self.per_second()),
            Shape::Fixed => per.saturating_sub(into_window(now, per)),
            Shape::Sliding => {
                let excess = self
                    .entries
                    .len()
                    .saturating_sub(usize::try_from(whole(self.provider.count)).expect("few"));
                (self.entries[excess] + per).since(now)
            }
        }
    }

    fn full_in(&self, now: Moment) -> Duration {
        match self.provider.shape {
            Shape::Bucket { burst } => Duration::from_secs_f64((burst - self.level) / self.per_second()),
            Shape::Fixed => self.provider.per,
            Shape::Sliding => {
                self.entries.back().map_or(Duration::ZERO, |last| (*last + self.provider.per).since(now))
            }
        }
    }

    /// Whether a call that arrives now is accepted, and what its answer says.
    fn admit(&mut self, now: Moment) -> (Result<(), Option<Duration>>, Gauges) {
        self.settle(now);
        let fits = self.left() >= 1.0;
        if fits || self.provider.counted {
            self.level = (self.level - 1.0).max(0.0);
            self.entries.push_back(now);
            if self.entries.len() as f64 > self.provider.count {
                self.entries.pop_front();
            }
        }
        let wait = rounded_up(self.fits_in(now), millis(1));
        let reset = match self.provider.words {
            Words::FullGauges => self.full_in(now),
            _ if self.left() >= 1.0 => self.full_in(now),
            _ => wait,
        };
        let gauge = Gauge {
            limit: Some(whole(self.provider.count)),
            remaining: whole(self.left()),
            reset: Some(reset),
        };
        let gauges = match self.provider.words {
            Words::Gauges | Words::FullGauges => Gauges { requests: Some(gauge), ..Gauges::default() },
            Words::Hints | Words::Nothing => Gauges::default(),
        };
        let hint = match self.provider.words {
            Words::Gauges | Words::FullGauges => Some(wait),
            Words::Hints => Some(rounded_up(wait, SECOND)),
            Words::Nothing => None,
        };
        (if fits { Ok(()) } else { Err(hint) }, gauges)
    }
}

enum Happening {
    Arrival { started: Moment },
    Answer { started: Moment, accepted: Result<(), Option<Duration>>, gauges: Gauges },
    Look,
}

/// What came of a run.
#[derive(Debug)]
struct Outcome {
    took: Duration,
    rejected: u64,
}

struct Client {
    health: KeyHealth,
    quota: Quota,
    concurrency: Concurrency,
    pace: Pace,
    in_flight: u32,
    model: Model,
    rng: fastrand::Rng,
}

/// So many rows through one key, all of them there from the beginning.
struct Run {
    provider: Provider,
    declared: Vec<WindowLimit>,
    latency: (Duration, Duration),
    rows: u64,
}

impl Run {
    fn unknown(provider: Provider, rows: u64) -> Self {
        Self { provider, declared: Vec::new(), latency: (millis(40), millis(60)), rows }
    }

    fn taking(self, from: Duration, to: Duration) -> Self {
        Self { latency: (from, to), ..self }
    }

    fn declared(self, window: WindowLimit) -> Self {
        Self { declared: vec![window], ..self }
    }

    fn go(&self, seed: u64) -> Outcome {
        let mut books = Books::new(self.provider);
        let quota = Quota::new(&self.declared);
        let pace = if self.declared.is_empty() {
            Pace::unknown(None, Moment::ZERO)
        } else {
            Pace::declared(quota.permitted_per_second())
        };
        let concurrency =
            if self.declared.is_empty() { Concurrency::learned(None) } else { Concurrency::paced() };
        let mut client = Client {
            health: KeyHealth::new(Rotation::default(), Sharing::Alone),
            quota,
            concurrency,
            pace,
            in_flight: 0,
            model: "m".into(),
            rng: fastrand::Rng::with_seed(seed),
        };
        let mut agenda: BTreeMap<(Moment, u64), Happening> = BTreeMap::new();
        let mut number = 0;
        let mut add = |agenda: &mut BTreeMap<_, _>, at: Moment, what: Happening| {
            number += 1;
            agenda.insert((at, number), what);
        };
        let mut look = Moment::ZERO;
        let (mut waiting, mut served, mut rejected) = (self.rows, 0, 0);
        let mut last = Moment::ZERO;
        loop {
            let next = agenda.first_key_value().map_or(Moment::NEVER, |((at, _), _)| *at);
            let (now, what) = if look <= next {
                (look, Happening::Look)
            } else {
                let ((at, _), what) = agenda.pop_first().expect("there is one");
                (at, what)
            };
            assert!(!now.is_never(), "it came to a standstill");
            match what {
                Happening::Arrival { started } => {
                    let (accepted, gauges) = books.admit(now);
                    let (from, to) = self.latency;
                    let took = match accepted {
                        Ok(()) => from + to.saturating_sub(from).mul_f64(client.rng.f64()),
                        Err(_) => millis(1),
                    };
                    add(&mut agenda, now + took, Happening::Answer { started, accepted, gauges });
                    continue;
                }
                Happening::Answer { started, accepted, gauges } => {
                    if accepted.is_err() {
                        rejected += 1;
                        waiting += 1;
                    } else {
                        served += 1;
                        last = now;
                    }
                    client.settle(started, accepted, &gauges, now);
                }
                Happening::Look => {}
            }
            client.health.wake(now);
            client.concurrency.wake(now);
            for _ in 0..u64::from(client.startable(now)).min(waiting) {
                waiting -= 1;
                client.start(now);
                let arrives = now + Duration::from_micros(200 + client.rng.u64(0..800));
                add(&mut agenda, arrives, Happening::Arrival { started: now });
            }
            if served == self.rows {
                break;
            }
            let wake = client.wake_at(now);
            look = Moment::NEVER;
            if waiting > 0 && !wake.is_never() {
                // Timers have a grain of a millisecond.
                let grain = Duration::from_micros(client.rng.u64(0..1_000));
                look = wake.max(now + Duration::from_micros(1)) + grain;
            }
        }
        Outcome { took: last.since(Moment::ZERO), rejected }
    }
}

impl Client {
    fn startable(&self, now: Moment) -> u32 {
        if self.health.may_serve(now, &self.model).is_err() {
            return 0;
        }
        let free = self.concurrency.limit().saturating_sub(self.in_flight);
        self.quota.available_calls(now, Tokens::NONE).min(self.pace.room(now, 0)).min(free)
    }

    fn start(&mut self, now: Moment) {
        self.quota.take(now, Tokens::NONE).expect("it was asked");
        self.in_flight += 1;
        self.concurrency.started(now);
        self.pace.started(now, 0);
    }

    fn settle(
        &mut self,
        started: Moment,
        accepted: Result<(), Option<Duration>>,
        gauges: &Gauges,
        now: Moment,
    ) {
        let in_flight = self.in_flight;
        self.in_flight -= 1;
        self.concurrency.ended(started);
        self.pace.ended(started, &self.model, 0, gauges);
        let Err(hint) = accepted else {
            self.health.succeeded(started);
            self.concurrency.succeeded(started, in_flight);
            return self.pace.succeeded(now);
        };
        let surprise = self.pace.throttled(started, 0, gauges, now);
        let rest = hint.or_else(|| self.pace.breather());
        let fault = Fault::new(Reason::Throttled, "").resting(rest);
        let rest =
            self.health.failed(now, started, &self.model, &fault, SystemTime::UNIX_EPOCH, &mut self.rng);
        let until = rest.expect("a throttle costs a rest").until;
        self.pace.rests(now, until);
        match surprise {
            Surprise::Expected => {}
            Surprise::Unexplained => {
                self.concurrency.throttled(started, now);
                self.concurrency.suspended(now, self.in_flight);
            }
        }
    }

    fn wake_at(&self, now: Moment) -> Moment {
        let rest = self.health.wake_at().min(self.concurrency.wake_at());
        if self.health.may_serve(now, &self.model).is_err() || self.in_flight >= self.concurrency.limit() {
            return rest;
        }
        let quota = if self.quota.available_calls(now, Tokens::NONE) > 0 {
            now
        } else {
            self.quota.next_call_at(now, Tokens::NONE)
        };
        let pace = if self.pace.room(now, 0) > 0 { now } else { self.pace.next_at(now, 0) };
        rest.min(quota.max(pace))
    }
}

/// The least time in which a provider gives so many.
fn ideal(provider: &Provider, rows: u64) -> f64 {
    let mut books = Books::new(*provider);
    let (mut now, mut given) = (Moment::ZERO, 0);
    while given < rows {
        books.settle(now);
        if books.left() >= 1.0 {
            let (accepted, _) = books.admit(now);
            assert!(accepted.is_ok());
            given += 1;
        } else {
            now += books.fits_in(now) + Duration::from_micros(1);
        }
    }
    now.since_start().as_secs_f64()
}

/// The worst of so many runs with different luck.
const LUCKS: u64 = 20;

/// Every run must use so much of its limit, and be rejected at most so often.
#[track_caller]
fn reaches(run: &Run, utilisation_min: f64, rejected_max: u64) {
    let ideal = ideal(&run.provider, run.rows) + run.latency.0.as_secs_f64();
    for seed in 0..LUCKS {
        let outcome = run.go(seed);
        let utilisation = ideal / outcome.took.as_secs_f64();
        assert!(utilisation >= utilisation_min, "seed {seed}: {utilisation:.3}, {outcome:?}");
        assert!(outcome.rejected <= rejected_max, "seed {seed}: {utilisation:.3}, {outcome:?}");
    }
}

fn bucket(rpm: u64, burst: f64, words: Words) -> Provider {
    Provider::rpm(rpm, Shape::Bucket { burst }, words)
}

fn ten_seconds(count: u64, shape: Shape, words: Words) -> Provider {
    Provider { per: 10 * SECOND, ..Provider::rpm(count, shape, words) }
}

fn declared() -> WindowLimit {
    WindowLimit { burst: Some(5), ..WindowLimit::requests(300, MINUTE) }
}

#[test]
fn headers_end_the_guessing() {
    reaches(&Run::unknown(bucket(300, 5.0, Words::Gauges), 150), 0.99, 0);
    reaches(&Run::unknown(bucket(60, 1.0, Words::Gauges), 60), 0.97, 2);
    reaches(&Run::unknown(bucket(3_000, 50.0, Words::Gauges), 1_500), 0.99, 3);
    reaches(&Run::unknown(bucket(3_000, 5.0, Words::Gauges), 1_500), 0.99, 10);
    reaches(&Run::unknown(bucket(500, 500.0, Words::FullGauges), 750), 0.99, 0);
    reaches(&Run::unknown(bucket(3_000, 3_000.0, Words::FullGauges), 4_500), 0.99, 4);
}

#[test]
fn throttles_teach_the_rate_where_nothing_is_said() {
    let silent = |rpm, burst, rows| Run::unknown(bucket(rpm, burst, Words::Nothing), rows);
    reaches(&silent(300, 5.0, 150), 0.94, 5);
    reaches(&silent(300, 50.0, 200), 0.97, 9);
    reaches(&silent(3_000, 50.0, 1_500), 0.92, 6);
    reaches(&silent(3_000, 5.0, 1_500), 0.92, 4);
    reaches(&silent(300, 1.0, 150), 0.6, 4);
    reaches(&silent(300, 5.0, 300).taking(millis(900), millis(1_100)), 0.95, 12);
    reaches(&Run::unknown(bucket(300, 5.0, Words::Hints), 150), 0.94, 7);
}

#[test]
fn windows_are_used_as_soon_as_they_begin() {
    for shape in [Shape::Fixed, Shape::Sliding] {
        reaches(&Run::unknown(ten_seconds(50, shape, Words::Gauges), 190), 0.9, 10);
    }
    reaches(&Run::unknown(Provider::rpm(60, Shape::Fixed, Words::Hints), 170), 0.95, 6);
}

#[test]
fn rejected_calls_that_cost_quota_teach_as_well() {
    let counted = |words| Provider { counted: true, ..bucket(300, 5.0, words) };
    reaches(&Run::unknown(counted(Words::Gauges), 150), 0.99, 0);
    reaches(&Run::unknown(counted(Words::Nothing), 150), 0.88, 7);
}

#[test]
fn a_quota_that_was_cut_is_followed() {
    let cut = |words| Provider { change: Some((10 * SECOND, 0.1)), ..bucket(300, 5.0, words) };
    reaches(&Run::unknown(cut(Words::Gauges), 70), 0.98, 1);
    reaches(&Run::unknown(cut(Words::Gauges), 70).declared(declared()), 0.98, 1);
    reaches(&Run::unknown(cut(Words::Hints), 70).declared(declared()), 0.7, 17);
    reaches(&Run::unknown(cut(Words::Nothing), 70).declared(declared()), 0.5, 14);
    reaches(&Run::unknown(cut(Words::Nothing), 70), 0.5, 26);
}

#[test]
fn a_quota_that_was_raised_is_followed() {
    let raised = |words| Provider { change: Some((20 * SECOND, 10.0)), ..bucket(60, 5.0, words) };
    reaches(&Run::unknown(raised(Words::Gauges), 600), 0.99, 0);
    reaches(&Run::unknown(raised(Words::Nothing), 600), 0.33, 9);
}

#[test]
fn declared_limits_that_hold_are_used_as_before() {
    reaches(&Run::unknown(bucket(300, 5.0, Words::Nothing), 150).declared(declared()), 0.99, 0);
}

#[test]
fn long_answers_dont_hide_the_rate() {
    let slow = |words| Run::unknown(bucket(300, 5.0, words), 300).taking(9 * SECOND, 11 * SECOND);
    reaches(&slow(Words::Gauges), 0.75, 8);
}
