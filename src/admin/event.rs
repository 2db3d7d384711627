//! What happened, as the admin interface tells it: with dates, and with names that stay.

use std::time::Duration;

use keywheel_actors::board::KeyState;
use keywheel_actors::clock::{Clock, Moment};
use keywheel_actors::event::{Decision, Event, EventKind};
use keywheel_actors::id::KeyId;
use keywheel_actors::outcome::{Reason, Scope};
use keywheel_actors::secret::Fingerprint;
use keywheel_actors::store::Wall;
use keywheel_actors::{Differences, ReloadReport};
use serde::{Deserialize, Serialize};

/// Something that happened.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct EventReport {
    /// When.
    pub at: Wall,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// A call failed.
    CallFailed(Box<FailureReport>),
    /// A key's status changed.
    KeyChanged(Box<KeyChange>),
    /// A key's actor crashed and was started again.
    KeyRestarted {
        /// The key's provider.
        provider: String,
        /// The key.
        key: String,
    },
    /// A provider rests as a whole.
    ProviderRested {
        /// The provider.
        provider: String,
        /// Until when. `None`: until somebody acts.
        until: Option<Wall>,
        /// Why.
        why: String,
    },
    /// A provider serves again.
    ProviderResumed {
        /// The provider.
        provider: String,
    },
    /// A provider's actor crashed and was started again.
    ProviderRestarted {
        /// The provider.
        provider: String,
    },
    /// A provider's actor crashed too often and was given up.
    ProviderLost {
        /// The provider.
        provider: String,
    },
    /// The configuration was read again and holds.
    Reloaded {
        /// Providers that came, went and changed.
        providers: Changes,
        /// Keys that came, went and changed, as `provider/key`.
        keys: Changes,
    },
    /// A job moved along its route.
    FellBack {
        /// The job's number in its process.
        job: u64,
        /// From this provider.
        from: String,
        /// To that one.
        to: String,
        /// Why.
        why: String,
    },
    /// What happens can't be kept: a restart will forget it.
    StateNotKept {
        /// Why.
        why: String,
    },
    /// What happens is kept again.
    StateKept,
    /// The process takes nothing new and is about to end. The last event.
    Draining,
    /// Whoever reads was too slow: so many of the oldest events are missing here.
    Lost {
        /// How many.
        count: u64,
    },
}

/// A failed call. None of its fields ever holds a body or a secret.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct FailureReport {
    /// The job's number in its process.
    pub job: u64,
    /// Its caller's name of it.
    pub request_id: Option<String>,
    /// The how-manieth call of the job, from 1.
    pub attempt: u32,
    /// The provider.
    pub provider: String,
    /// The key's name.
    pub key: String,
    /// Of the key's secret.
    pub fingerprint: Fingerprint,
    /// The model, as sent.
    pub model: String,
    /// What it means.
    pub reason: Reason,
    /// Who pays for it.
    pub scope: Scope,
    /// HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// The provider's own code.
    pub code: Option<String>,
    /// How long the provider asked to stay away, in milliseconds.
    pub hint_ms: Option<u64>,
    /// What became of the job.
    pub decision: Decision,
    /// Whether the one who pays rests.
    pub rests: bool,
    /// Until when. `None` if it doesn't rest, or until somebody acts.
    pub until: Option<Wall>,
    /// How long the call took, in milliseconds.
    pub took_ms: u64,
    /// The provider's message, without the key.
    pub message: String,
}

/// What a key is now.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct KeyChange {
    /// Its provider.
    pub provider: String,
    /// Its name.
    pub key: String,
    /// One of the four statuses.
    pub status: KeyState,
    /// Why, unless it is active.
    pub cause: Option<String>,
    /// What is blocked.
    pub scope: Option<Scope>,
    /// Until when. `None`: until somebody acts, or not blocked at all.
    pub until: Option<Wall>,
    /// The provider's message, scrubbed.
    pub message: Option<String>,
}

/// What came, went and changed.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Changes {
    /// What came.
    pub added: Vec<String>,
    /// What went.
    pub removed: Vec<String>,
    /// What changed.
    pub changed: Vec<String>,
}

impl Changes {
    fn of<T: ToString>(differences: &Differences<T>) -> Self {
        let names = |names: &[T]| names.iter().map(ToString::to_string).collect();
        Self {
            added: names(&differences.added),
            removed: names(&differences.removed),
            changed: names(&differences.changed),
        }
    }
}

impl EventReport {
    /// Tells of `event`, whose moments are of `clock`.
    pub(super) fn of(event: &Event, clock: Clock) -> Self {
        Self { at: dated(event.at, clock), what: What::of(&event.kind, clock) }
    }

    /// Tells of the end.
    pub(super) fn draining(clock: Clock) -> Self {
        Self { at: Wall::from(clock.today()), what: What::Draining }
    }

    /// Tells of a gap.
    pub(super) fn lost(count: u64, clock: Clock) -> Self {
        Self { at: Wall::from(clock.today()), what: What::Lost { count } }
    }
}

impl What {
    fn of(kind: &EventKind, clock: Clock) -> Self {
        match kind {
            EventKind::CallFailed {
                job,
                request_id,
                attempt,
                key,
                fingerprint,
                model,
                fault,
                decision,
                until,
                took,
                log: _,
            } => Self::CallFailed(Box::new(FailureReport {
                job: job.0,
                request_id: request_id.as_deref().map(str::to_owned),
                attempt: *attempt,
                provider: key.provider.to_string(),
                key: key.key.to_string(),
                fingerprint: *fingerprint,
                model: model.to_string(),
                reason: fault.reason,
                scope: fault.scope,
                status: fault.status,
                code: fault.code.as_deref().map(str::to_owned),
                hint_ms: fault.rest.map(millis),
                decision: *decision,
                rests: until.is_some(),
                until: until.and_then(|until| ending(until, clock)),
                took_ms: millis(*took),
                message: fault.message.to_string(),
            })),
            EventKind::KeyChanged { key, status } => {
                let why = status.why.as_ref();
                Self::KeyChanged(Box::new(KeyChange {
                    provider: key.provider.to_string(),
                    key: key.key.to_string(),
                    status: status.state,
                    cause: why.map(|why| why.cause.as_str().to_owned()),
                    scope: why.map(|why| why.scope),
                    until: why.and_then(|why| why.until).and_then(|until| ending(until, clock)),
                    message: why.map(|why| why.message.to_string()).filter(|message| !message.is_empty()),
                }))
            }
            EventKind::KeyRestarted { key: KeyId { provider, key } } => {
                Self::KeyRestarted { provider: provider.to_string(), key: key.to_string() }
            }
            EventKind::ProviderRested { provider, until, why } => Self::ProviderRested {
                provider: provider.to_string(),
                until: ending(*until, clock),
                why: why.clone(),
            },
            EventKind::ProviderResumed { provider } => {
                Self::ProviderResumed { provider: provider.to_string() }
            }
            EventKind::ProviderRestarted { provider } => {
                Self::ProviderRestarted { provider: provider.to_string() }
            }
            EventKind::ProviderLost { provider } => Self::ProviderLost { provider: provider.to_string() },
            EventKind::Reloaded { report: ReloadReport { providers, keys } } => {
                Self::Reloaded { providers: Changes::of(providers), keys: Changes::of(keys) }
            }
            EventKind::FellBack { job, from, to, why } => {
                Self::FellBack { job: job.0, from: from.to_string(), to: to.to_string(), why: why.clone() }
            }
            EventKind::StateNotKept { why } => Self::StateNotKept { why: why.clone() },
            EventKind::StateKept => Self::StateKept,
        }
    }
}

fn dated(moment: Moment, clock: Clock) -> Wall {
    Wall::from(clock.wall(moment))
}

/// When a rest ends by itself.
fn ending(until: Moment, clock: Clock) -> Option<Wall> {
    if until.is_never() { None } else { Some(dated(until, clock)) }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use keywheel_actors::event::Logging;
    use keywheel_actors::id::JobId;
    use keywheel_actors::outcome::Fault;

    use super::*;

    fn key() -> KeyId {
        KeyId { provider: "openai".into(), key: "team-a".into() }
    }

    #[test]
    fn a_failure_looks_like_this_and_is_read_again() {
        let fault =
            Fault::new(Reason::BadCredential, "wrong key").with_status(401).with_code(Some("invalid"));
        let kind = EventKind::CallFailed {
            job: JobId(7),
            request_id: Some("r-7".into()),
            attempt: 2,
            key: key(),
            fingerprint: "0123456789ab".parse().unwrap(),
            model: "m".into(),
            fault,
            decision: Decision::Rotate,
            until: Some(Moment::NEVER),
            took: Duration::from_micros(12_900),
            log: Logging::Off,
        };
        let report = EventReport { at: Wall(1_000), what: What::of(&kind, Clock::start()) };
        let line = serde_json::to_string(&report).unwrap();
        assert_eq!(
            line,
            concat!(
                r#"{"at":1000,"event":"call_failed","job":7,"request_id":"r-7","attempt":2,"#,
                r#""provider":"openai","key":"team-a","fingerprint":"0123456789ab","model":"m","#,
                r#""reason":"bad_credential","scope":"key","status":401,"code":"invalid","hint_ms":null,"#,
                r#""decision":"rotate","rests":true,"until":null,"took_ms":12,"message":"wrong key"}"#,
            )
        );
        assert_eq!(serde_json::from_str::<EventReport>(&line).unwrap(), report);
    }

    #[test]
    fn the_other_events_keep_their_names() {
        let clock = Clock::start();
        let (provider, why) = (key().provider, "because".to_owned());
        let told = |kind: EventKind| serde_json::to_string(&What::of(&kind, clock)).unwrap();
        let rested =
            EventKind::ProviderRested { provider: provider.clone(), until: Moment::NEVER, why: why.clone() };
        for (kind, expected) in [
            (
                EventKind::KeyRestarted { key: key() },
                r#"{"event":"key_restarted","provider":"openai","key":"team-a"}"#,
            ),
            (rested, r#"{"event":"provider_rested","provider":"openai","until":null,"why":"because"}"#),
            (
                EventKind::ProviderResumed { provider: provider.clone() },
                r#"{"event":"provider_resumed","provider":"openai"}"#,
            ),
            (
                EventKind::ProviderRestarted { provider: provider.clone() },
                r#"{"event":"provider_restarted","provider":"openai"}"#,
            ),
            (
                EventKind::ProviderLost { provider: provider.clone() },
                r#"{"event":"provider_lost","provider":"openai"}"#,
            ),
            (
                EventKind::FellBack { job: JobId(1), from: provider, to: "b".into(), why },
                r#"{"event":"fell_back","job":1,"from":"openai","to":"b","why":"because"}"#,
            ),
            (EventKind::StateKept, r#"{"event":"state_kept"}"#),
        ] {
            assert_eq!(told(kind), expected);
        }
        let lost = serde_json::to_string(&What::Lost { count: 3 }).unwrap();
        assert_eq!(lost, r#"{"event":"lost","count":3}"#);
    }
}
