//! One line of the log.

use std::fmt;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use keywheel_actors::clock::Clock;
use keywheel_actors::event::{Decision, Event, EventKind, Logging};
use keywheel_actors::outcome::{Reason, Scope};
use keywheel_actors::secret::Fingerprint;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// One line, with its date.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Record {
    /// When it happened.
    #[serde(serialize_with = "in_millis")]
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub entry: Entry,
}

/// What a line tells.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Entry {
    /// A call failed.
    CallFailed(Box<Failed>),
    /// So many events are missing here: they came too fast, or the disk refused them.
    Dropped {
        /// How many.
        count: u64,
    },
}

/// A failed call. Fields are added at will, but none ever holds a body or a secret.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Failed {
    /// The job's number in its process.
    pub job: u64,
    /// Its caller's name of it, in batches `batch-RUN-LINE`.
    pub request_id: Option<Box<str>>,
    /// The how-manieth call of the job, from 1.
    pub attempt: u32,
    /// The provider.
    pub provider: Box<str>,
    /// The model, as sent.
    pub model: Box<str>,
    /// The key's name.
    pub key: Box<str>,
    /// Of the key's secret.
    pub fingerprint: Fingerprint,
    /// What it means.
    pub reason: Reason,
    /// Who pays for it.
    pub scope: Scope,
    /// HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// The provider's own code.
    pub code: Option<Box<str>>,
    /// How long the provider asked to stay away, in milliseconds.
    pub hint_ms: Option<u64>,
    /// What became of the job.
    pub decision: Decision,
    /// Until when the one who pays rests, if it does.
    pub until: Option<Until>,
    /// How long the call took, in milliseconds.
    pub took_ms: u64,
    /// The provider's message, without the key.
    pub message: Box<str>,
}

/// The end of a rest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Until {
    /// Then.
    At(Timestamp),
    /// When somebody does something about it.
    Never,
}

impl Record {
    /// The line for an event; `None` for one that isn't logged.
    pub(super) fn of(event: &Event, clock: Clock) -> Option<Self> {
        let EventKind::CallFailed {
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
            log: Logging::On,
        } = &event.kind
        else {
            return None;
        };
        let until =
            until.map(
                |until| {
                    if until.is_never() { Until::Never } else { Until::At(timestamp(clock.wall(until))) }
                },
            );
        let failed = Failed {
            job: job.0,
            request_id: request_id.clone(),
            attempt: *attempt,
            provider: key.provider.as_str().into(),
            model: model.as_str().into(),
            key: key.key.as_str().into(),
            fingerprint: *fingerprint,
            reason: fault.reason,
            scope: fault.scope,
            status: fault.status,
            code: fault.code.clone(),
            hint_ms: fault.rest.map(millis),
            decision: *decision,
            until,
            took_ms: millis(*took),
            message: fault.message.clone(),
        };
        let at = timestamp(clock.wall(event.at));
        Some(Self { at, entry: Entry::CallFailed(Box::new(failed)) })
    }

    /// The line, its end included.
    ///
    /// # Errors
    /// None that these types can cause; the encoder has an error type all the same.
    pub(super) fn encode(&self) -> serde_json::Result<Vec<u8>> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        Ok(line)
    }
}

/// A date beyond all calendars is as good as the last one.
pub(super) fn timestamp(time: SystemTime) -> Timestamp {
    Timestamp::try_from(time).unwrap_or(Timestamp::MAX)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// RFC 3339 in UTC with exactly three decimals, so that lines sort as text.
fn in_millis<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{at:.3}"))
}

impl fmt::Display for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(at) => write!(f, "{at:.3}"),
            Self::Never => f.write_str("never"),
        }
    }
}

impl Serialize for Until {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Until {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "never" => Ok(Self::Never),
            date => date.parse().map(Self::At).map_err(de::Error::custom),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A failure at this time, for the tests around here.
    pub(in crate::failures) fn failed(at: &str) -> Record {
        let failed = Failed {
            job: 7,
            request_id: Some("batch-00c0ffee-7".into()),
            attempt: 2,
            provider: "openai".into(),
            model: "gpt-4o-mini".into(),
            key: "team-a".into(),
            fingerprint: "0123456789ab".parse().unwrap(),
            reason: Reason::Throttled,
            scope: Scope::Lane,
            status: Some(429),
            code: Some("rate_limit_exceeded".into()),
            hint_ms: Some(30_000),
            decision: Decision::Rotate,
            until: Some(Until::At("2026-01-02T03:04:35.5Z".parse().unwrap())),
            took_ms: 123,
            message: "too fast".into(),
        };
        Record { at: at.parse().unwrap(), entry: Entry::CallFailed(Box::new(failed)) }
    }

    #[test]
    fn a_line_looks_like_this_and_is_read_again() {
        let record = failed("2026-01-02T03:04:05Z");
        let line = String::from_utf8(record.encode().unwrap()).unwrap();
        assert_eq!(
            line,
            concat!(
                r#"{"at":"2026-01-02T03:04:05.000Z","event":"call_failed","job":7,"#,
                r#""request_id":"batch-00c0ffee-7","attempt":2,"provider":"openai","model":"gpt-4o-mini","#,
                r#""key":"team-a","fingerprint":"0123456789ab","reason":"throttled","scope":"lane","#,
                r#""status":429,"code":"rate_limit_exceeded","hint_ms":30000,"decision":"rotate","#,
                r#""until":"2026-01-02T03:04:35.500Z","took_ms":123,"message":"too fast"}"#,
                "\n"
            )
        );
        assert_eq!(serde_json::from_str::<Record>(&line).unwrap(), record);
    }

    #[test]
    fn a_gap_is_a_line_too() {
        let at = "2026-01-02T03:04:05.678Z".parse().unwrap();
        let record = Record { at, entry: Entry::Dropped { count: 3 } };
        let line = String::from_utf8(record.encode().unwrap()).unwrap();
        assert_eq!(line, "{\"at\":\"2026-01-02T03:04:05.678Z\",\"event\":\"dropped\",\"count\":3}\n");
        assert_eq!(serde_json::from_str::<Record>(&line).unwrap(), record);
    }

    #[test]
    fn a_disabled_key_rests_until_never() {
        assert_eq!(serde_json::to_string(&Until::Never).unwrap(), "\"never\"");
        assert_eq!(serde_json::from_str::<Until>("\"never\"").unwrap(), Until::Never);
        assert!(serde_json::from_str::<Until>("\"soon\"").is_err());
    }
}
