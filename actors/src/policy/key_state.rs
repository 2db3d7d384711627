//! When a key must rest, why, how far, and until when.
//!
//! | fault | rest | scope | until |
//! |---|---|---|---|
//! | bad credential | disabled | key | somebody enables it (or the provider turns out to be at fault) |
//! | account banned | disabled | group | somebody enables it |
//! | money gone | failed | group | the date named, else a probe after 15 min, 1 h, 6 h, 24 h |
//! | throttled, hint | rate_limited | lane or group | the hint, plus up to 5 % jitter |
//! | throttled, no hint | rate_limited | lane or group | 1 s · 2ⁿ up to `rate_limit_backoff` |
//! | quota used up | rate_limited | lane or group | the hint, else the next midnight UTC |
//! | model denied | failed | lane | 24 h |
//! | region denied | failed | key | 24 h |
//! | unclassified | – | key | from the `max_failures`-th on: failed, 1 min · 2ⁿ up to 1 h |
//! | anything of the provider, the request or ours | – | | never the key's fault |

mod memory;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::board::{Cause, KeyState, KeyStatus, Why};
use crate::clock::Moment;
use crate::id::Model;
use crate::outcome::{Fault, Reason, Scope};
use crate::spec::{DAY, Rotation};

pub use memory::{HealthPast, RestPast};

use super::backoff::{Backoff, Jitter, jitter_on_hint, money_probe_after};

/// How long a model stays off a key that may not use it: rights change by hand, so rarely within a day.
const PARKED: Duration = DAY;
/// Rests of a key that failed for no known reason.
const FAILED: Backoff =
    Backoff { base: Duration::from_secs(60), max: Duration::from_secs(3_600), jitter: Jitter::Equal };

/// One reason to rest.
#[derive(Clone, PartialEq, Debug)]
pub struct Rest {
    /// What rests.
    pub reach: Reach,
    /// The public status that follows.
    pub state: KeyState,
    /// Why.
    pub cause: Cause,
    /// Until when; [`Moment::NEVER`] until somebody acts.
    pub until: Moment,
    /// The provider's message.
    pub message: Box<str>,
}

/// What a rest covers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reach {
    /// The key.
    Key,
    /// Its quota group, for all models.
    Group,
    /// One model on this key.
    Lane(Model),
    /// One model on its quota group.
    GroupLane(Model),
}

impl Reach {
    fn covers(&self, model: &Model) -> bool {
        match self {
            Self::Key | Self::Group => true,
            Self::Lane(lane) | Self::GroupLane(lane) => lane == model,
        }
    }

    /// Whether the other keys of the quota group must hear of it.
    pub const fn is_shared(&self) -> bool {
        match self {
            Self::Group | Self::GroupLane(_) => true,
            Self::Key | Self::Lane(_) => false,
        }
    }

    /// The same for a key that shares its limits so.
    fn among(self, sharing: Sharing) -> Self {
        match (self, sharing) {
            (Self::Group, Sharing::Alone) => Self::Key,
            (Self::GroupLane(model), Sharing::Alone) => Self::Lane(model),
            (reach, Sharing::Alone | Sharing::Grouped) => reach,
        }
    }

    const fn is_whole(&self) -> bool {
        match self {
            Self::Key | Self::Group => true,
            Self::Lane(_) | Self::GroupLane(_) => false,
        }
    }

    const fn scope(&self) -> Scope {
        match self {
            Self::Key => Scope::Key,
            Self::Group => Scope::Group,
            Self::Lane(_) | Self::GroupLane(_) => Scope::Lane,
        }
    }
}

/// Whether a key shares its account's limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sharing {
    /// Its limits are its own.
    Alone,
    /// Other keys use the same account.
    Grouped,
}

/// The health of one key.
#[derive(Clone, Debug)]
pub struct KeyHealth {
    rules: Rotation,
    sharing: Sharing,
    rests: Vec<Rest>,
    strikes: u32,
    struck_at: Moment,
    throttles: u32,
    throttled_at: Moment,
    money_probes: u32,
    /// When it was last found to have no money.
    broke_at: Moment,
    /// When all was last forgiven. What calls say that began before holds against nobody.
    forgiven_at: Moment,
    /// When the latest call began whose credential was refused.
    refused_from: Moment,
}

impl KeyHealth {
    /// A healthy key.
    pub const fn new(rules: Rotation, sharing: Sharing) -> Self {
        Self {
            rules,
            sharing,
            rests: Vec::new(),
            strikes: 0,
            struck_at: Moment::ZERO,
            throttles: 0,
            throttled_at: Moment::ZERO,
            money_probes: 0,
            broke_at: Moment::ZERO,
            forgiven_at: Moment::ZERO,
            refused_from: Moment::ZERO,
        }
    }

    /// A call of `model` that began at `started` failed. Gives the rest that follows, already imposed.
    ///
    /// `today` is the calendar's date, for quotas that end at midnight.
    pub fn failed(
        &mut self,
        now: Moment,
        started: Moment,
        model: &Model,
        fault: &Fault,
        today: SystemTime,
        rng: &mut fastrand::Rng,
    ) -> Option<Rest> {
        if started < self.forgiven_at && !is_timed(fault.reason) {
            return None;
        }
        let (state, until) = match fault.reason {
            Reason::BadCredential => {
                self.refused_from = self.refused_from.max(started);
                (KeyState::Disabled, Moment::NEVER)
            }
            Reason::AccountBanned => (KeyState::Disabled, Moment::NEVER),
            Reason::MoneyGone => (KeyState::Failed, now + self.money_rest(now, fault, rng)),
            Reason::Throttled => (KeyState::RateLimited, now + self.throttle_rest(now, started, fault, rng)),
            Reason::QuotaUsedUp => {
                let rest = fault.rest.unwrap_or_else(|| until_midnight(today));
                (KeyState::RateLimited, now + jitter_on_hint(rest, rng))
            }
            Reason::ModelDenied | Reason::RegionDenied => {
                (KeyState::Failed, now + fault.rest.unwrap_or(PARKED))
            }
            Reason::Unclassified => (KeyState::Failed, now + self.strike(now, rng)?),
            Reason::SlowDown
            | Reason::Overloaded
            | Reason::ServerError
            | Reason::Unreachable
            | Reason::Stalled
            | Reason::Cut
            | Reason::ModelGone
            | Reason::TooLong
            | Reason::NeverFits
            | Reason::PolicyRefused
            | Reason::CallerMistake
            | Reason::CallerGone
            | Reason::DeadlineOver
            | Reason::Stopped => return None,
        };
        let rest = Rest {
            reach: self.reach(fault.scope, model)?,
            state,
            cause: Cause::Fault(fault.reason),
            until,
            message: fault.message.clone(),
        };
        self.impose(rest.clone());
        Some(rest)
    }

    /// A call that began at `started` succeeded: what was counted against the key is forgotten. One that was under
    /// way when no money was left says nothing about money.
    pub fn succeeded(&mut self, started: Moment) {
        self.strikes = 0;
        self.throttles = 0;
        if started > self.broke_at {
            self.money_probes = 0;
        }
    }

    /// Imposes a rest. One that reaches as far already is never shortened, nor a severe one made mild.
    pub fn impose(&mut self, rest: Rest) {
        // What is lifted by whoever said it stands apart, or it would take with it what others said.
        let alike = |known: &&mut Rest| {
            known.reach == rest.reach
                && known.cause != Cause::Configuration
                && is_of_credential(known.cause) == is_of_credential(rest.cause)
        };
        let Some(known) = self.rests.iter_mut().find(alike) else {
            return self.rests.push(rest);
        };
        let until = known.until.max(rest.until);
        let severer = rest.state.severity() > known.state.severity();
        let longer = rest.state.severity() == known.state.severity() && rest.until > known.until;
        // An operator's word stays the reason whatever else befalls the key.
        if rest.cause == Cause::Operator || (known.cause != Cause::Operator && (severer || longer)) {
            let state = if severer { rest.state } else { known.state };
            *known = Rest { state, ..rest };
        } else if severer {
            known.state = rest.state;
        }
        known.until = until;
    }

    /// The configuration disables the key, until it or somebody says otherwise.
    pub fn configured_off(&mut self, message: &str) {
        self.configured_on();
        self.rests.push(Rest {
            reach: Reach::Key,
            state: KeyState::Disabled,
            cause: Cause::Configuration,
            until: Moment::NEVER,
            message: message.into(),
        });
    }

    /// The configuration has nothing against the key. What others have imposed stays.
    pub fn configured_on(&mut self) {
        self.rests.retain(|rest| rest.cause != Cause::Configuration);
    }

    /// Goes on under other rules. What was said of a group that the key has left concerns the key alone.
    pub fn amend(&mut self, rules: Rotation, sharing: Sharing) {
        self.rules = rules;
        self.sharing = sharing;
        for mut rest in std::mem::take(&mut self.rests) {
            rest.reach = rest.reach.among(sharing);
            match rest.cause {
                Cause::Configuration => self.rests.push(rest),
                Cause::Fault(_) | Cause::Operator => self.impose(rest),
            }
        }
    }

    /// Ends the rests whose time has come. Gives whether any did.
    pub fn wake(&mut self, now: Moment) -> bool {
        let before = self.rests.len();
        self.rests.retain(|rest| rest.until > now);
        self.rests.len() < before
    }

    /// Ends every rest and forgets every failure, of calls under way too; what the configuration disables stays
    /// disabled.
    pub fn reset(&mut self, now: Moment) {
        self.rests.retain(|rest| rest.cause == Cause::Configuration);
        self.strikes = 0;
        self.throttles = 0;
        self.money_probes = 0;
        self.forgiven_at = now;
    }

    /// Uses the key again, whatever it was and whoever said so.
    pub fn enable(&mut self, now: Moment) {
        self.configured_on();
        self.reset(now);
    }

    /// Ends the rest that blamed the key for refusals that were the provider's fault: those of calls that
    /// began before. Gives whether there was one.
    pub fn reinstate(&mut self, began_before: Moment) -> bool {
        let before = self.rests.len();
        if self.refused_from < began_before {
            self.rests.retain(|rest| !is_of_credential(rest.cause));
        }
        self.rests.len() < before
    }

    /// Whether a call of `model` may start.
    ///
    /// # Errors
    /// The moment when it may, as far as is known.
    pub fn may_serve(&self, now: Moment, model: &Model) -> Result<(), Moment> {
        match self.latest(now, |reach| reach.covers(model)) {
            Some(rest) => Err(rest.until),
            None => Ok(()),
        }
    }

    /// Until when no model at all may be called. `None`: some may be called now.
    pub fn rests_until(&self, now: Moment) -> Option<Moment> {
        self.latest(now, Reach::is_whole).map(|rest| rest.until)
    }

    /// The lanes that rest, each with its end.
    pub fn resting_lanes(&self, now: Moment) -> impl Iterator<Item = (&Model, Moment, Cause)> {
        self.rests.iter().filter_map(move |rest| match &rest.reach {
            Reach::Lane(model) | Reach::GroupLane(model) if rest.until > now => {
                Some((model, rest.until, rest.cause))
            }
            Reach::Lane(_) | Reach::GroupLane(_) | Reach::Key | Reach::Group => None,
        })
    }

    /// The earliest end of a rest.
    pub fn wake_at(&self) -> Moment {
        self.rests.iter().map(|rest| rest.until).min().unwrap_or(Moment::NEVER)
    }

    /// The public status: the severest rest, and among those the longest. Of two that are alike an operator's word is
    /// the reason.
    pub fn status(&self, now: Moment) -> KeyStatus {
        let worst = self.rests.iter().filter(|rest| rest.until > now).max_by_key(|rest| {
            let is_operators = rest.cause == Cause::Operator;
            (rest.reach.is_whole(), rest.state.severity(), rest.until, is_operators)
        });
        worst.map_or_else(KeyStatus::default, |rest| KeyStatus {
            state: rest.state,
            why: Some(Why {
                cause: rest.cause,
                scope: rest.reach.scope(),
                until: (!rest.until.is_never()).then_some(rest.until),
                message: rest.message.clone(),
            }),
        })
    }

    fn latest(&self, now: Moment, covered: impl Fn(&Reach) -> bool) -> Option<&Rest> {
        self.rests
            .iter()
            .filter(|rest| rest.until > now && covered(&rest.reach))
            .max_by_key(|rest| rest.until)
    }

    fn reach(&self, scope: Scope, model: &Model) -> Option<Reach> {
        match (scope, self.sharing) {
            (Scope::Key, _) | (Scope::Group, Sharing::Alone) => Some(Reach::Key),
            (Scope::Group, Sharing::Grouped) => Some(Reach::Group),
            (Scope::Lane, Sharing::Alone) => Some(Reach::Lane(model.clone())),
            (Scope::Lane, Sharing::Grouped) => Some(Reach::GroupLane(model.clone())),
            (Scope::Provider | Scope::Request | Scope::Us, _) => None,
        }
    }

    /// A hint is never shortened. Without one, or with one that didn't help, the rest doubles, once per wave of throttles: calls that
    /// were under way when the first of them was throttled say nothing new.
    fn throttle_rest(
        &mut self,
        now: Moment,
        started: Moment,
        fault: &Fault,
        rng: &mut fastrand::Rng,
    ) -> Duration {
        if self.throttles == 0 || started > self.throttled_at {
            self.throttles = self.throttles.saturating_add(1);
            self.throttled_at = now;
        }
        let backoff = Backoff::throttled_without_hint(self.rules.rate_limit_backoff);
        match (fault.rest, self.throttles) {
            (None, throttles) => backoff.delay(throttles.saturating_sub(1), rng),
            (Some(hint), 0..=1) => jitter_on_hint(hint, rng),
            // The hint was kept and it was throttled all the same: hints of nothing must not hammer on.
            (Some(hint), throttles) => jitter_on_hint(hint, rng).max(backoff.delay(throttles - 2, rng)),
        }
    }

    fn money_rest(&mut self, now: Moment, fault: &Fault, rng: &mut fastrand::Rng) -> Duration {
        self.broke_at = now;
        let probe = self.money_probes;
        self.money_probes = self.money_probes.saturating_add(1);
        match fault.rest {
            Some(hint) => jitter_on_hint(hint, rng),
            None => money_probe_after(probe),
        }
    }

    /// Counts an unclassified failure; gives a rest from the `max_failures`-th on.
    fn strike(&mut self, now: Moment, rng: &mut fastrand::Rng) -> Option<Duration> {
        if now.since(self.struck_at) > self.rules.failure_reset {
            self.strikes = 0;
        }
        self.struck_at = now;
        self.strikes = self.strikes.saturating_add(1);
        let beyond = self.strikes.checked_sub(self.rules.max_failures)?;
        Some(FAILED.delay(beyond, rng))
    }
}

/// Whether the key was refused, which an incident of its provider takes back.
fn is_of_credential(cause: Cause) -> bool {
    cause == Cause::Fault(Reason::BadCredential)
}

/// Whether such a fault is about how much was asked within some time. That stays so whatever was forgiven.
fn is_timed(reason: Reason) -> bool {
    matches!(reason, Reason::Throttled | Reason::QuotaUsedUp)
}

/// Providers that name no zone reset their daily quotas at midnight UTC.
fn until_midnight(today: SystemTime) -> Duration {
    let since_epoch = today.duration_since(UNIX_EPOCH).unwrap_or_default();
    Duration::from_secs(DAY.as_secs() - since_epoch.as_secs() % DAY.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::after_start(Duration::from_secs(seconds))
    }

    /// Tells stories about one key; every call is of the model `m` unless said otherwise.
    struct Story {
        health: KeyHealth,
        now: Moment,
        rng: fastrand::Rng,
    }

    impl Story {
        fn of(sharing: Sharing) -> Self {
            Self {
                health: KeyHealth::new(Rotation::default(), sharing),
                now: at(0),
                rng: fastrand::Rng::with_seed(7),
            }
        }

        fn alone() -> Self {
            Self::of(Sharing::Alone)
        }

        fn advance(&mut self, seconds: u64) -> &mut Self {
            self.now += Duration::from_secs(seconds);
            self.health.wake(self.now);
            self
        }

        fn fails(&mut self, fault: &Fault) -> Option<Rest> {
            self.fails_begun(self.now, fault)
        }

        fn fails_begun(&mut self, started: Moment, fault: &Fault) -> Option<Rest> {
            let noon = UNIX_EPOCH + DAY * 20_000 + DAY / 2;
            self.health.failed(self.now, started, &"m".into(), fault, noon, &mut self.rng)
        }

        fn state(&self) -> KeyState {
            self.health.status(self.now).state
        }

        fn serves(&self, model: &str) -> bool {
            self.health.may_serve(self.now, &model.into()).is_ok()
        }
    }

    fn throttled(rest: Option<u64>) -> Fault {
        Fault::new(Reason::Throttled, "too fast").resting(rest.map(Duration::from_secs))
    }

    #[test]
    fn a_dead_key_is_disabled_at_the_first_call() {
        let mut story = Story::alone();
        story.fails(&Fault::new(Reason::BadCredential, "revoked"));
        assert_eq!(story.state(), KeyState::Disabled);
        story.advance(1_000_000);
        assert!(!story.serves("m"), "time doesn't mend it");
        story.health.reset(story.now);
        assert!(story.serves("m"));
    }

    #[test]
    fn blame_is_taken_back_for_the_calls_of_an_incident_and_no_later_one() {
        let mut story = Story::alone();
        let refused = Fault::new(Reason::BadCredential, "no such key");
        story.fails_begun(at(5), &refused);
        assert!(!story.health.reinstate(at(5)), "that incident was over before");
        assert!(story.health.reinstate(at(6)) && story.serves("m"));
        story.fails_begun(at(8), &refused);
        story.fails_begun(at(6), &refused);
        assert!(!story.health.reinstate(at(7)), "its last call was its own");
        assert_eq!(story.state(), KeyState::Disabled);
    }

    #[test]
    fn a_hint_is_kept_with_a_little_jitter_and_never_shortened() {
        let mut story = Story::alone();
        let rest = story.fails(&throttled(Some(7_200))).expect("rests");
        assert!(rest.until >= at(7_200) && rest.until <= at(7_201), "{:?}", rest.until);
        story.fails(&throttled(Some(1)));
        story.advance(7_199);
        assert!(!story.serves("m"), "a later, shorter hint doesn't shorten the rest");
        story.advance(2);
        assert!(story.serves("m"));
    }

    #[test]
    fn the_configuration_lifts_what_it_said_and_nothing_else() {
        let mut story = Story::alone();
        story.health.configured_off("enabled = false");
        story.health.impose(Rest {
            reach: Reach::Key,
            state: KeyState::Disabled,
            cause: Cause::Operator,
            until: Moment::NEVER,
            message: "by command".into(),
        });
        story.health.configured_on();
        assert!(!story.serves("m"), "an operator's word stays");
        story.health.configured_off("enabled = false");
        story.health.reset(story.now);
        assert!(!story.serves("m"), "a reset ends what has happened, not what is wanted");
        story.health.enable(story.now);
        assert!(story.serves("m"), "and this ends both");
        story.health.configured_off("enabled = false");
        story.health.configured_on();
        assert!(story.serves("m"));
    }

    #[test]
    fn a_key_that_leaves_its_group_takes_the_rest_with_it() {
        let mut story = Story::of(Sharing::Grouped);
        story.fails(&Fault::new(Reason::MoneyGone, "empty"));
        story.health.amend(Rotation::default(), Sharing::Alone);
        assert!(!story.serves("m"));
        let why = story.health.status(story.now).why.expect("it rests");
        assert_eq!(why.scope, Scope::Key);
    }

    #[test]
    fn a_throttle_concerns_its_lane_only() {
        let mut story = Story::alone();
        story.fails(&throttled(Some(30)));
        assert!(!story.serves("m") && story.serves("other"));
        assert_eq!(story.state(), KeyState::RateLimited);
        assert_eq!(story.health.rests_until(story.now), None);
        let rest = Story::of(Sharing::Grouped).fails(&throttled(Some(30))).expect("rests");
        assert_eq!(rest.reach, Reach::GroupLane("m".into()));
    }

    #[test]
    fn backoff_doubles_per_wave_and_a_success_resets_it() {
        let mut story = Story::alone();
        let bounds = [(0.5, 1.0), (1.0, 2.0), (2.0, 4.0), (4.0, 8.0)];
        for (low, high) in bounds {
            let began = story.now;
            let rest = story.fails(&throttled(None)).expect("rests").until.since(story.now).as_secs_f64();
            assert!((low..=high).contains(&rest), "{rest} is not in {low}..{high}");
            let straggler = story.fails_begun(began, &throttled(None)).expect("rests");
            assert!(straggler.until.since(story.now).as_secs_f64() <= high, "a straggler of the same wave");
            story.advance(10);
        }
        story.health.succeeded(story.now);
        let rest = story.fails(&throttled(None)).expect("rests");
        assert!(rest.until.since(story.now) <= Duration::from_secs(1));
    }

    #[test]
    fn money_gone_is_probed_ever_more_rarely() {
        let mut story = Story::of(Sharing::Grouped);
        for minutes in [15, 60, 360, 1_440, 1_440] {
            let rest = story.fails(&Fault::new(Reason::MoneyGone, "no credit")).expect("rests");
            assert_eq!(rest.until.since(story.now), Duration::from_secs(minutes * 60));
            assert_eq!((rest.reach, rest.state), (Reach::Group, KeyState::Failed));
            story.advance(minutes * 60);
            assert!(story.serves("m"), "the next call is the probe");
        }
    }

    #[test]
    fn only_a_call_that_began_later_shows_that_there_is_money_again() {
        let broke = Fault::new(Reason::MoneyGone, "no credit");
        for (began, minutes) in [(at(0), 60), (at(1), 60), (at(2), 15)] {
            let mut story = Story::alone();
            story.advance(1).fails(&broke);
            story.advance(901).health.succeeded(began);
            let rest = story.fails(&broke).expect("rests").until.since(story.now);
            assert_eq!(rest, Duration::from_secs(minutes * 60), "{began:?}");
        }
    }

    #[test]
    fn what_was_under_way_when_a_key_was_reset_is_forgiven_too() {
        for reason in [
            Reason::BadCredential,
            Reason::AccountBanned,
            Reason::MoneyGone,
            Reason::ModelDenied,
            Reason::RegionDenied,
        ] {
            let mut story = Story::alone();
            story.advance(5).health.reset(at(5));
            assert_eq!(story.fails_begun(at(4), &Fault::new(reason, "late")), None, "{reason}");
            assert!(story.serves("m"), "{reason}");
            assert!(story.fails_begun(at(5), &Fault::new(reason, "new")).is_some(), "{reason}");
        }
        let mut story = Story::alone();
        story.advance(5).health.enable(at(5));
        assert!(
            story.fails_begun(at(4), &throttled(Some(30))).is_some(),
            "the time to wait is still to come"
        );
    }

    #[test]
    fn a_days_quota_ends_at_midnight_unless_the_provider_says_otherwise() {
        let mut story = Story::alone();
        let rest = story.fails(&Fault::new(Reason::QuotaUsedUp, "daily limit")).expect("rests");
        assert!(rest.until >= at(43_200) && rest.until <= at(43_201));
    }

    #[test]
    fn unclassified_failures_count_up_to_a_threshold_within_a_window() {
        let mut story = Story::alone();
        let odd = Fault::new(Reason::Unclassified, "?");
        for _ in 0..4 {
            assert_eq!(story.fails(&odd), None);
        }
        story.advance(86_401);
        assert_eq!(story.fails(&odd), None, "the four are forgotten");
        for _ in 0..3 {
            story.fails(&odd);
        }
        assert_eq!(story.state(), KeyState::Active);
        let rest = story.fails(&odd).expect("the fifth in the window");
        assert_eq!((rest.state, rest.reach), (KeyState::Failed, Reach::Key));
    }

    #[test]
    fn what_others_did_never_costs_the_key() {
        let mut story = Story::alone();
        for reason in Reason::ALL {
            let fault = Fault::new(reason, "");
            if matches!(fault.scope, Scope::Provider | Scope::Request | Scope::Us) {
                for _ in 0..20 {
                    assert_eq!(story.fails(&fault), None, "{reason}");
                }
            }
        }
        assert_eq!(story.state(), KeyState::Active);
    }

    #[test]
    fn what_an_incident_said_is_taken_back_beside_what_others_said() {
        let rest = |cause| Rest {
            reach: Reach::Key,
            state: KeyState::RateLimited,
            cause,
            until: at(60),
            message: "".into(),
        };
        let refused = Fault::new(Reason::BadCredential, "no such key");
        for cause in [Cause::Operator, Cause::Fault(Reason::Unclassified)] {
            for said_at in [0, 1] {
                let mut story = Story::alone();
                for turn in 0..2 {
                    if turn == said_at {
                        story.health.impose(rest(cause));
                    } else {
                        story.fails(&refused);
                    }
                }
                assert_eq!(story.state(), KeyState::Disabled);
                story.health.reinstate(at(1));
                assert!(!story.serves("m"), "{cause:?} said that it is to rest");
                story.advance(60);
                assert!(story.serves("m"), "{cause:?} said until when");
            }
        }
    }

    #[test]
    fn an_operators_word_outweighs_a_throttle() {
        let mut story = Story::alone();
        story.health.impose(Rest {
            reach: Reach::Key,
            state: KeyState::Disabled,
            cause: Cause::Operator,
            until: Moment::NEVER,
            message: "".into(),
        });
        story.fails(&throttled(Some(1)).reaching(Scope::Key));
        story.health.reinstate(Moment::NEVER);
        story.advance(10);
        assert_eq!(story.state(), KeyState::Disabled);
    }
}
