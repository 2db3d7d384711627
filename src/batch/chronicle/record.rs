//! The chronicle itself: calls of rows, the state of keys, and the rate that was permitted.

use std::collections::{BTreeMap, HashMap};
use std::ops::AddAssign;

use keywheel_actors::clock::Moment;
use keywheel_actors::id::{KeyId, Model, ProviderId};
use keywheel_actors::outcome::{Attempt, Usage};

use super::flow::{Flow, RowEnd};
use super::latency::{Digits, Latency};
use super::rests::Rests;
use super::timeline::{Axis, Timeline};
use crate::batch::books::tally::CallCounts;

/// Keys with books of their own, 30 kB each at most; the calls of further ones count in the sums alone.
const KEYS_MAX: usize = 256;

/// Models with books of their own.
const MODELS_MAX: usize = 64;

/// What a run records of itself.
#[derive(Clone, Debug)]
pub struct Chronicle {
    start: Moment,
    end: Moment,
    axis: Axis,
    keys: Vec<KeyRecord>,
    places: HashMap<KeyId, usize>,
    work: Timeline<Work>,
    permitted: Timeline<Permitted>,
    latency: Latency,
    flow: Flow,
    models: BTreeMap<(ProviderId, Model), ModelRecord>,
    providers: BTreeMap<ProviderId, Rests>,
}

/// The calls of one key.
#[derive(Clone, Debug)]
pub(in crate::batch) struct KeyRecord {
    /// The key.
    pub id: KeyId,
    /// Its calls by the time that they began.
    pub work: Timeline<Work>,
    /// How long those took that succeeded.
    pub latency: Latency,
    /// When it rested.
    pub rests: Rests,
    /// What its limits permitted when somebody last looked.
    pub permitted_per_second: Option<f64>,
}

/// Calls that began in a bucket of time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(in crate::batch) struct Work {
    /// Succeeded.
    pub ok: u64,
    /// Rejected as too fast, or beyond a quota.
    pub throttled: u64,
    /// Failed otherwise.
    pub failed: u64,
}

/// Samples of the permitted rate.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(in crate::batch) struct Permitted {
    sum: f64,
    samples: u32,
}

/// The calls to one model.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(in crate::batch) struct ModelRecord {
    /// All of them.
    pub calls: u64,
    /// Those that succeeded.
    pub ok: u64,
    /// The tokens of those, as the provider counted them.
    pub usage: Usage,
}

impl Work {
    /// All of them.
    pub(in crate::batch) const fn calls(&self) -> u64 {
        self.ok + self.throttled + self.failed
    }

    fn of(attempt: &Attempt) -> Self {
        let mut counts = CallCounts::default();
        counts.note(attempt);
        let CallCounts { succeeded, throttled, dead_key, provider_fault, refused, cancelled } = counts;
        Self { ok: succeeded, throttled, failed: dead_key + provider_fault + refused + cancelled }
    }
}

impl AddAssign for Work {
    fn add_assign(&mut self, more: Self) {
        self.ok += more.ok;
        self.throttled += more.throttled;
        self.failed += more.failed;
    }
}

impl Permitted {
    /// Calls a second; `None` where nothing is known.
    pub(in crate::batch) fn per_second(self) -> Option<f64> {
        (self.samples > 0).then(|| self.sum / f64::from(self.samples))
    }
}

impl AddAssign for Permitted {
    fn add_assign(&mut self, more: Self) {
        self.sum += more.sum;
        self.samples += more.samples;
    }
}

impl Chronicle {
    /// Of a run that starts now.
    pub(in crate::batch) fn begin(start: Moment) -> Self {
        Self {
            start,
            end: start,
            axis: Axis::default(),
            keys: Vec::new(),
            places: HashMap::new(),
            work: Timeline::default(),
            permitted: Timeline::default(),
            latency: Latency::new(Digits::Three),
            flow: Flow::default(),
            models: BTreeMap::new(),
            providers: BTreeMap::new(),
        }
    }

    /// A row ended so after these calls.
    pub(in crate::batch) fn note_row(&mut self, attempts: &[Attempt], end: RowEnd) {
        for attempt in attempts {
            self.note_call(attempt);
        }
        if attempts.len() > 1 || end == RowEnd::Failed {
            self.flow.note(attempts, end);
        }
    }

    /// A call that succeeded took so many tokens.
    pub(in crate::batch) fn note_usage(&mut self, call: &Attempt, usage: Usage) {
        if let Some(model) = self.model(call) {
            model.usage += usage;
        }
    }

    /// A key is permitted so many calls a second.
    pub(in crate::batch) fn note_limit(&mut self, key: &KeyId, per_second: Option<f64>) {
        if let Some(place) = self.places.get(key) {
            self.keys[*place].permitted_per_second = per_second;
        }
    }

    /// So many calls a second are permitted now.
    pub(in crate::batch) fn note_permitted(&mut self, now: Moment, per_second: f64) {
        let bucket = self.bucket(now);
        self.permitted.add(bucket, Permitted { sum: per_second, samples: 1 });
    }

    /// A key rests from now on, or works again.
    pub(in crate::batch) fn note_key(&mut self, key: &KeyId, now: Moment, rests: Option<&'static str>) {
        self.reach(now);
        if let Some(record) = self.key(key) {
            note(&mut record.rests, now, rests);
        }
    }

    /// A provider rests as a whole from now on, or serves again.
    pub(in crate::batch) fn note_provider(
        &mut self,
        id: &ProviderId,
        now: Moment,
        rests: Option<&'static str>,
    ) {
        self.reach(now);
        note(self.providers.entry(id.clone()).or_default(), now, rests);
    }

    /// The run is over.
    pub(in crate::batch) fn close(&mut self, now: Moment) {
        self.reach(now);
        let end = self.end;
        self.keys.iter_mut().for_each(|record| record.rests.end(end));
        self.providers.values_mut().for_each(|rests| rests.end(end));
    }

    /// When the run started and ended, as far as it has been noted.
    pub(in crate::batch) const fn span(&self) -> (Moment, Moment) {
        (self.start, self.end)
    }

    /// The common width of the buckets.
    pub(in crate::batch) const fn axis(&self) -> Axis {
        self.axis
    }

    /// Each key that was called or changed, in order of appearance.
    pub(in crate::batch) fn keys(&self) -> &[KeyRecord] {
        &self.keys
    }

    /// The calls of all keys.
    pub(in crate::batch) const fn work(&self) -> &Timeline<Work> {
        &self.work
    }

    /// The rate that was permitted.
    pub(in crate::batch) const fn permitted(&self) -> &Timeline<Permitted> {
        &self.permitted
    }

    /// How long the calls took that succeeded.
    pub(in crate::batch) const fn latency(&self) -> &Latency {
        &self.latency
    }

    /// What became of those that didn't.
    pub(in crate::batch) const fn flow(&self) -> &Flow {
        &self.flow
    }

    /// The rows by provider and model.
    pub(in crate::batch) const fn models(&self) -> &BTreeMap<(ProviderId, Model), ModelRecord> {
        &self.models
    }

    /// When providers rested as a whole.
    pub(in crate::batch) const fn providers(&self) -> &BTreeMap<ProviderId, Rests> {
        &self.providers
    }

    fn note_call(&mut self, attempt: &Attempt) {
        self.reach(attempt.started + attempt.took);
        let bucket = self.bucket(attempt.started);
        let work = Work::of(attempt);
        self.work.add(bucket, work);
        let is_ok = attempt.fault.is_none();
        if let Some(model) = self.model(attempt) {
            model.calls += 1;
            model.ok += work.ok;
        }
        if is_ok {
            self.latency.note(attempt.took);
        }
        if let Some(record) = self.key(&attempt.key) {
            record.work.add(bucket, work);
            if is_ok {
                record.latency.note(attempt.took);
            }
        }
    }

    /// The books of a key; none beyond [`KEYS_MAX`].
    fn key(&mut self, id: &KeyId) -> Option<&mut KeyRecord> {
        if let Some(place) = self.places.get(id) {
            return self.keys.get_mut(*place);
        }
        if self.keys.len() >= KEYS_MAX {
            return None;
        }
        self.places.insert(id.clone(), self.keys.len());
        self.keys.push(KeyRecord {
            id: id.clone(),
            work: Timeline::default(),
            latency: Latency::new(Digits::Two),
            rests: Rests::default(),
            permitted_per_second: None,
        });
        self.keys.last_mut()
    }

    fn model(&mut self, attempt: &Attempt) -> Option<&mut ModelRecord> {
        let name = (attempt.key.provider.clone(), attempt.model.clone());
        if !self.models.contains_key(&name) && self.models.len() >= MODELS_MAX {
            return None;
        }
        Some(self.models.entry(name).or_default())
    }

    /// The bucket of a moment, which the axis is stretched to.
    fn bucket(&mut self, moment: Moment) -> usize {
        self.reach(moment);
        let after = moment.since(self.start);
        while self.axis.is_short_of(after) {
            self.axis.double();
            self.work.fold();
            self.permitted.fold();
            self.keys.iter_mut().for_each(|record| record.work.fold());
        }
        self.axis.bucket(after)
    }

    fn reach(&mut self, moment: Moment) {
        self.end = self.end.max(moment);
    }
}

fn note(rests: &mut Rests, now: Moment, cause: Option<&'static str>) {
    match cause {
        Some(cause) => rests.begin(now, cause),
        None => rests.end(now),
    }
}

#[cfg(test)]
pub(in crate::batch) mod tests {
    use std::time::Duration;

    use keywheel_actors::outcome::{Fault, Reason};

    use super::*;

    pub(in crate::batch) fn at(millis: u64) -> Moment {
        Moment::after_start(Duration::from_millis(millis))
    }

    pub(in crate::batch) fn id(name: &str) -> KeyId {
        let (provider, key) = name.split_once('/').unwrap();
        KeyId { provider: provider.into(), key: key.into() }
    }

    /// A call by a key, with its beginning and duration in milliseconds.
    pub(in crate::batch) fn attempt(key: &str, started: u64, took: u64, fault: Option<Reason>) -> Attempt {
        Attempt {
            key: id(key),
            model: "m".into(),
            started: at(started),
            took: Duration::from_millis(took),
            fault: fault.map(|reason| Fault::new(reason, "")),
        }
    }

    #[test]
    fn a_row_is_booked_on_its_keys_its_model_and_its_time() {
        let mut chronicle = Chronicle::begin(at(1_000));
        let usage = Usage { input_tokens: 30, output_tokens: 12, cached_tokens: 0 };
        chronicle.note_row(
            &[attempt("p/a", 1_010, 5, Some(Reason::Throttled)), attempt("p/b", 1_045, 200, None)],
            RowEnd::Ok,
        );
        chronicle.note_usage(&attempt("p/b", 1_045, 200, None), usage);
        chronicle.note_row(&[attempt("p/b", 1_050, 100, Some(Reason::ServerError))], RowEnd::Failed);
        let work = |ok, throttled, failed| Work { ok, throttled, failed };
        assert_eq!(chronicle.work().merged(1), [work(0, 1, 0), work(0, 0, 0), work(1, 0, 1)]);
        let keys: Vec<(String, Work)> =
            chronicle.keys().iter().map(|key| (key.id.to_string(), key.work.total())).collect();
        assert_eq!(keys, [("p/a".to_owned(), work(0, 1, 0)), ("p/b".to_owned(), work(1, 0, 1))]);
        assert_eq!(chronicle.latency().calls(), 1);
        assert_eq!(chronicle.flow().calls().count(), 2);
        let model = chronicle.models()[&("p".into(), "m".into())];
        assert_eq!(model, ModelRecord { calls: 3, ok: 1, usage });
        assert_eq!(chronicle.span(), (at(1_000), at(1_245)));
    }

    #[test]
    fn a_long_run_takes_no_more_room_than_a_short_one() {
        let mut chronicle = Chronicle::begin(at(0));
        for second in 0..100_000 {
            chronicle.note_row(&[attempt("p/a", second * 1_000, 1, None)], RowEnd::Ok);
            chronicle.note_permitted(at(second * 1_000), 5.0);
        }
        assert_eq!(chronicle.axis().width(), Duration::from_millis(20 << 14));
        assert_eq!(chronicle.work().total().ok, 100_000);
        assert_eq!(chronicle.keys()[0].work.merged(1).len(), chronicle.work().merged(1).len());
        assert!(chronicle.work().merged(1).len() <= 600);
        assert_eq!(chronicle.permitted().total().per_second(), Some(5.0));
    }

    #[test]
    fn keys_beyond_the_limit_count_in_the_sums_alone() {
        let mut chronicle = Chronicle::begin(at(0));
        for key in 0..300 {
            chronicle.note_row(&[attempt(&format!("p/{key}"), 0, 1, None)], RowEnd::Ok);
        }
        assert_eq!((chronicle.keys().len(), chronicle.work().total().ok), (KEYS_MAX, 300));
    }

    #[test]
    fn who_still_rests_at_the_end_has_rested_until_then() {
        let mut chronicle = Chronicle::begin(at(0));
        chronicle.note_key(&id("p/a"), at(100), Some("throttled"));
        chronicle.note_provider(&"p".into(), at(200), Some("overloaded"));
        chronicle.close(at(1_000));
        assert_eq!(chronicle.keys()[0].rests.total(), Duration::from_millis(900));
        assert_eq!(chronicle.providers()[&"p".into()].total(), Duration::from_millis(800));
    }
}
