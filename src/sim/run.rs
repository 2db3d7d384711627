//! One run of a provider, from its t = 0 on: everything that changes while it answers.
//!
//! It decides calls and keeps the books. It knows nothing of sockets, and the time is passed in.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use keywheel_actors::clock::Moment;
use keywheel_actors::spec::Counting;

use super::account::{Account, Cost, Gauges, Receipt};
use super::ask::Ask;
use super::books::{REQUESTS_MAX, RequestLog, Tally, millis};
use super::complaint::Complaint;
use super::fault::{FaultRates, Mishap};
use super::latency::Latency;
use super::ledger::{KeyLedger, Ledger, LimitLedger, Outcome, RequestEntry};
use super::script::{Availability, BadChange, Change, Script};
use super::spec::{Charge, Conduct, HeaderStyle, SimSpec};

/// What a call wants.
#[derive(Debug)]
pub(crate) enum Work<'a> {
    /// Something that costs quota.
    Ask(Ask<'a>),
    /// The list of models, or one of them.
    List(Option<&'a str>),
    /// Something that can't be done.
    Nonsense(Complaint),
}

/// One call, read.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) secret: Option<&'a str>,
    pub(crate) request_id: Option<&'a [u8]>,
    pub(crate) work: Work<'a>,
}

/// What becomes of a call.
#[derive(Debug)]
pub(crate) struct Decision {
    /// The call's number, from 0.
    pub(crate) number: u64,
    pub(crate) ruling: Ruling,
}

#[derive(Debug)]
pub(crate) enum Ruling {
    /// Answered after a delay, perhaps with a mishap.
    Taken { delay: Duration, mishap: Option<Mishap>, gauges: Gauges, rng: fastrand::Rng, bill: Option<Bill> },
    /// The models are listed.
    Listed,
    /// Refused at once; `wait` is told if it is known and callers are to be told.
    Refused { complaint: Complaint, gauges: Gauges, wait: Option<Duration> },
    /// Not answered at all.
    HangUp,
}

/// What was taken from an account's limits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bill {
    account: usize,
    receipt: Receipt,
}

/// The state of one run.
#[derive(Debug)]
pub(crate) struct Run {
    spec: Arc<SimSpec>,
    places: HashMap<String, usize>,
    keys: Vec<Key>,
    accounts: Vec<Mutex<Account>>,
    strangers: Tally,
    weather: RwLock<Weather>,
    script: Mutex<Script>,
    /// When the script goes on, in ns: read on every call, where a lock would be felt.
    script_next_nanos: AtomicU64,
    calls: AtomicU64,
    connections_refused: AtomicU64,
    requests: Mutex<RequestLog>,
}

#[derive(Debug)]
struct Key {
    account: usize,
    conduct: RwLock<Conduct>,
    tally: Tally,
}

/// What all calls meet alike.
#[derive(Clone, Copy, Debug)]
struct Weather {
    availability: Availability,
    faults: FaultRates,
    first_byte: Latency,
}

impl Run {
    /// Everything as the spec says it for the start. The spec has no [`SimSpec::mistakes`].
    pub(crate) fn new(spec: Arc<SimSpec>) -> Self {
        let mut accounts = Vec::new();
        let mut groups = BTreeMap::new();
        let mut keys = Vec::with_capacity(spec.keys.len());
        for key in &spec.keys {
            let mut open = || {
                accounts.push(Mutex::new(Account::new(&key.limits)));
                accounts.len() - 1
            };
            let account = match &key.quota_group {
                Some(group) => *groups.entry(group).or_insert_with(open),
                None => open(),
            };
            keys.push(Key { account, conduct: RwLock::new(key.conduct), tally: Tally::default() });
        }
        let script = Script::new(spec.script.clone());
        Self {
            places: spec.keys.iter().enumerate().map(|(place, key)| (key.secret.clone(), place)).collect(),
            keys,
            accounts,
            strangers: Tally::default(),
            weather: RwLock::new(Weather {
                availability: Availability::Up,
                faults: spec.faults,
                first_byte: spec.pace.first_byte,
            }),
            script_next_nanos: AtomicU64::new(nanos(script.next_at())),
            script: Mutex::new(script),
            calls: AtomicU64::new(0),
            connections_refused: AtomicU64::new(0),
            requests: Mutex::new(RequestLog::new(REQUESTS_MAX)),
            spec,
        }
    }

    pub(crate) fn spec(&self) -> &SimSpec {
        &self.spec
    }

    /// Decides a call and enters it into the books.
    pub(crate) fn decide(&self, now: Moment, call: &Call<'_>) -> Decision {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        self.catch_up(now);
        let key = call.secret.and_then(|secret| self.places.get(secret).copied());
        let (outcome, ruling) = self.rule(now, number, key, call);
        self.note(now, key, call.request_id, outcome);
        Decision { number, ruling }
    }

    fn rule(&self, now: Moment, number: u64, place: Option<usize>, call: &Call<'_>) -> (Outcome, Ruling) {
        let weather = *read(&self.weather);
        match weather.availability {
            Availability::Up => {}
            Availability::Failing => return refused(Outcome::Down, Complaint::overloaded()),
            Availability::Refusing => return (Outcome::Refused, Ruling::HangUp),
        }
        let Some(secret) = call.secret else { return refused(Outcome::BadKey, Complaint::no_key()) };
        let Some(place) = place else { return refused(Outcome::BadKey, Complaint::bad_key(secret)) };
        let key = &self.keys[place];
        let conduct = *read(&key.conduct);
        match conduct {
            Conduct::Invalid => return refused(Outcome::BadKey, Complaint::bad_key(secret)),
            Conduct::Disabled => return refused(Outcome::Disabled, Complaint::disabled()),
            Conduct::Valid | Conduct::OutOfMoney => {}
        }
        let ask = match &call.work {
            Work::List(Some(model)) if !self.knows(model) => {
                return refused(Outcome::UnknownModel, Complaint::unknown_model(model));
            }
            Work::List(_) => return (Outcome::Listed, Ruling::Listed),
            Work::Nonsense(complaint) => return refused(Outcome::BadRequest, complaint.clone()),
            Work::Ask(ask) => ask,
        };
        if conduct == Conduct::OutOfMoney {
            return refused(Outcome::MoneyGone, Complaint::money_gone());
        }
        if !ask.model.is_empty() && !self.knows(&ask.model) {
            return refused(Outcome::UnknownModel, Complaint::unknown_model(&ask.model));
        }
        self.admit(now, number, key, ask, &weather)
    }

    fn knows(&self, model: &str) -> bool {
        self.spec.models.is_empty() || self.spec.models.iter().any(|known| known == model)
    }

    fn admit(
        &self,
        now: Moment,
        number: u64,
        key: &Key,
        ask: &Ask<'_>,
        weather: &Weather,
    ) -> (Outcome, Ruling) {
        let mut rng = self.rng(number);
        let mishap = weather.faults.draw(&mut rng);
        let delay = weather.first_byte.draw(&mut rng);
        let outcome = match mishap {
            None => Outcome::Served,
            Some(Mishap::Error) => Outcome::Error,
            Some(Mishap::Overloaded) => Outcome::Overloaded,
            Some(Mishap::Cut) => Outcome::Cut,
            Some(Mishap::Stall(_)) => Outcome::Stalled,
            Some(Mishap::InBand) => Outcome::InBand,
            Some(Mishap::CutShort) => Outcome::CutShort,
        };
        if self.spec.failed_calls == Charge::Free && matches!(outcome, Outcome::Error | Outcome::Overloaded) {
            return (outcome, Ruling::Taken { delay, mishap, gauges: Gauges::default(), rng, bill: None });
        }

        let cost = match self.spec.token_counting {
            Counting::UpFront | Counting::Corrected => ask.cost(),
            Counting::Used => Cost { answer: 0, ..ask.cost() },
        };
        let mut account = lock(&self.accounts[key.account]);
        let admitted = account.admit(now, cost, self.spec.refused_calls);
        let gauges = match self.spec.headers {
            HeaderStyle::OpenAi => account.gauges(now, cost),
            HeaderStyle::RetryAfter | HeaderStyle::HttpDate | HeaderStyle::None => Gauges::default(),
        };
        drop(account);

        let refusal = match admitted {
            Ok(receipt) => {
                key.tally.note_accepted(cost.prompt.saturating_add(cost.answer));
                let bill = Some(Bill { account: key.account, receipt });
                return (outcome, Ruling::Taken { delay, mishap, gauges, rng, bill });
            }
            Err(refusal) => refusal,
        };
        let wait = refusal.until.map(|until| until.since(now));
        let told = wait.filter(|_| self.spec.headers == HeaderStyle::OpenAi);
        let complaint = Complaint::throttled(&ask.model, &refusal, told);
        let outcome = if wait.is_some() { Outcome::Throttled } else { Outcome::TooLarge };
        (outcome, Ruling::Refused { complaint, gauges, wait })
    }

    /// A call has been answered and cost so much: corrects what was reckoned, if such a provider does.
    pub(crate) fn settle(&self, now: Moment, bill: Bill, used: Cost) {
        match self.spec.token_counting {
            Counting::UpFront => {}
            Counting::Corrected | Counting::Used => {
                lock(&self.accounts[bill.account]).settle(now, bill.receipt, used);
            }
        }
    }

    /// The draws of one call: always the same for the same seed and number.
    fn rng(&self, number: u64) -> fastrand::Rng {
        /// An odd number with its bits spread evenly (the golden ratio × 2⁶⁴): neighbours get seeds far apart.
        const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
        fastrand::Rng::with_seed(self.spec.seed ^ number.wrapping_mul(SPREAD))
    }

    fn note(&self, now: Moment, place: Option<usize>, request_id: Option<&[u8]>, outcome: Outcome) {
        let tally = place.map_or(&self.strangers, |place| &self.keys[place].tally);
        tally.note(now, outcome);
        if let Some(id) = request_id {
            let key = place.and_then(|place| u32::try_from(place).ok());
            lock(&self.requests).note(now, id, key, outcome);
        }
    }

    /// Whether a new connection is closed at once; counted if so.
    pub(crate) fn refuses_connection(&self, now: Moment) -> bool {
        self.catch_up(now);
        let refuses = read(&self.weather).availability == Availability::Refusing;
        if refuses {
            self.connections_refused.fetch_add(1, Ordering::Relaxed);
        }
        refuses
    }

    /// Makes a change now.
    ///
    /// # Errors
    /// [`BadChange`] if it is impossible.
    pub(crate) fn change_now(&self, now: Moment, change: Change) -> Result<(), BadChange> {
        if let Some(mistake) = change.mistake(self.keys.len()) {
            return Err(BadChange(mistake));
        }
        self.catch_up(now);
        self.change(now, change);
        Ok(())
    }

    /// Makes the changes of the script that are due. Nobody needs a timer: who looks, sees them made.
    fn catch_up(&self, now: Moment) {
        if nanos(now) < self.script_next_nanos.load(Ordering::Acquire) {
            return;
        }
        let mut script = lock(&self.script);
        while let Some((at, change)) = script.due(now) {
            self.change(at, change);
        }
        self.script_next_nanos.store(nanos(script.next_at()), Ordering::Release);
    }

    fn change(&self, at: Moment, change: Change) {
        match change {
            Change::Conduct { key, conduct } => *write(&self.keys[key].conduct) = conduct,
            Change::Quota { key, factor } => lock(&self.accounts[self.keys[key].account]).scale(at, factor),
            Change::Availability(availability) => write(&self.weather).availability = availability,
            Change::Faults(faults) => write(&self.weather).faults = faults,
            Change::FirstByte(first_byte) => write(&self.weather).first_byte = first_byte,
        }
    }

    /// A copy of the counts.
    pub(crate) fn ledger(&self, now: Moment) -> Ledger {
        self.catch_up(now);
        Ledger {
            at_ms: millis(now),
            calls: self.calls.load(Ordering::Relaxed),
            connections_refused: self.connections_refused.load(Ordering::Relaxed),
            strangers: self.strangers.outcomes(),
            keys: (0..self.keys.len()).map(|place| self.key_ledger(place)).collect(),
            requests_forgotten: lock(&self.requests).forgotten(),
            requests: None,
        }
    }

    /// A copy of the counts and of what happened to every request id.
    pub(crate) fn ledger_with_requests(&self, now: Moment) -> Ledger {
        let mut requests: BTreeMap<String, Vec<RequestEntry>> = BTreeMap::new();
        for (id, line) in lock(&self.requests).lines() {
            let key = line.key.map(|place| self.spec.keys[place as usize].name.clone());
            let entry = RequestEntry { key, outcome: line.outcome, at_ms: line.at_ms() };
            requests.entry(id.into_owned()).or_default().push(entry);
        }
        Ledger { requests: Some(requests), ..self.ledger(now) }
    }

    fn key_ledger(&self, place: usize) -> KeyLedger {
        let (spec, key) = (&self.spec.keys[place], &self.keys[place]);
        let span_ms = key.tally.span_ms();
        let limits = lock(&self.accounts[key.account])
            .limits()
            .map(|(limit, peak)| LimitLedger {
                name: limit.spec().name(),
                count: limit.count(),
                per_ms: u64::try_from(limit.spec().per.as_millis()).unwrap_or(u64::MAX),
                peak: peak.highest(),
                peak_is_exact: peak.is_exact(),
            })
            .collect();
        KeyLedger {
            name: spec.name.clone(),
            quota_group: spec.quota_group.clone(),
            conduct: *read(&key.conduct),
            accepted: key.tally.accepted(),
            tokens: key.tally.tokens(),
            outcomes: key.tally.outcomes(),
            first_ms: span_ms.map(|(first, _)| first),
            last_ms: span_ms.map(|(_, last)| last),
            limits,
        }
    }
}

fn refused(outcome: Outcome, complaint: Complaint) -> (Outcome, Ruling) {
    (outcome, Ruling::Refused { complaint, gauges: Gauges::default(), wait: None })
}

/// Nanoseconds since the start.
fn nanos(moment: Moment) -> u64 {
    u64::try_from(moment.since_start().as_nanos()).unwrap_or(u64::MAX)
}

// A panic elsewhere leaves the books usable: every change to them is complete in itself.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
