//! `limits`: what a provider told us it grants to a key or a quota group.

use std::collections::BTreeMap;
use std::time::Duration;

use keywheel_actors::spec::{DAY, Dimension, Limits, MINUTE, WindowLimit};

use super::tree::Node;

/// The window of RPS.
const SECOND: Duration = Duration::from_secs(1);

/// Windows in the order of [`Limits::windows`].
const WINDOWS: [(&str, Dimension, Duration); 9] = [
    ("rps", Dimension::Requests, SECOND),
    ("rpm", Dimension::Requests, MINUTE),
    ("rpd", Dimension::Requests, DAY),
    ("tpm", Dimension::Tokens, MINUTE),
    ("tpd", Dimension::Tokens, DAY),
    ("itpm", Dimension::InputTokens, MINUTE),
    ("itpd", Dimension::InputTokens, DAY),
    ("otpm", Dimension::OutputTokens, MINUTE),
    ("otpd", Dimension::OutputTokens, DAY),
];

/// All fields with the most that each takes.
///
/// Counts end where no provider grants more and no sum overflows; concurrency
/// ends where a machine has no more ports for one address.
pub(super) const FIELDS: [(&str, u64); 11] = [
    ("rps", 1_000_000_000_000),
    ("rpm", 1_000_000_000_000),
    ("rpd", 1_000_000_000_000),
    ("burst", 1_000_000_000_000),
    ("tpm", 1_000_000_000_000),
    ("tpd", 1_000_000_000_000),
    ("itpm", 1_000_000_000_000),
    ("itpd", 1_000_000_000_000),
    ("otpm", 1_000_000_000_000),
    ("otpd", 1_000_000_000_000),
    ("concurrency", 65_535),
];

/// What a burst may not exceed: a limit, times what, in which time.
///
/// A larger bucket would grant at once what the limit grants in that time.
pub(super) const BURST_BOUNDS: [(&str, u64, &str); 3] =
    [("rps", 60, "minute"), ("rpm", 1, "minute"), ("rpd", 1, "day")];

/// `limits` as written, each with its place.
#[derive(Clone, Default)]
pub(super) struct WrittenLimits<'a> {
    counts: BTreeMap<&'static str, (u64, Node<'a>)>,
}

impl<'a> WrittenLimits<'a> {
    /// Reads a `limits` table.
    pub(super) fn read(node: Option<Node<'a>>) -> Self {
        let mut written = Self::default();
        if let Some(fields) = node.and_then(|node| node.fields(&FIELDS.map(|(name, _)| name))) {
            for (name, most) in FIELDS {
                if let Some(node) = fields.get(name)
                    && let Some(count) = node.whole(1..=most)
                {
                    written.counts.insert(name, (count, node));
                }
            }
        }
        written
    }

    /// Takes from `other` what isn't said here.
    pub(super) fn fill_from(&mut self, other: &Self) {
        for (name, count) in &other.counts {
            self.counts.entry(name).or_insert_with(|| count.clone());
        }
    }

    /// Notes every field that `other`, a key of the same quota group, says differently.
    pub(super) fn report_contradictions(&self, other: &Self, group: &str) {
        for (name, (count, node)) in &other.counts {
            if let Some((before, first)) = self.counts.get(name).filter(|(before, _)| before != count) {
                let message =
                    format!("{count} contradicts the {before} of another key in quota group `{group}`");
                let first = first.place().spot();
                node.wrong(message, Some(format!("they share one account's limits; first at {first}")));
            }
        }
    }

    /// The limits as the wheel takes them.
    pub(super) fn resolve(&self) -> Limits {
        let burst = self.burst();
        let bucket = if self.count("rps").is_some() { "rps" } else { "rpm" };
        let windows = WINDOWS
            .iter()
            .filter_map(|(name, dimension, window)| {
                let burst = burst.filter(|_| *name == bucket);
                Some(WindowLimit { dimension: *dimension, count: self.count(name)?, window: *window, burst })
            })
            .collect();
        let concurrency = self.count("concurrency").and_then(|calls| u32::try_from(calls).ok());
        Limits { windows, concurrency }
    }

    /// What is said, by name.
    pub(super) fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.counts.iter().map(|(name, (count, _))| (*name, *count)).collect()
    }

    fn count(&self, name: &str) -> Option<u64> {
        self.counts.get(name).map(|(count, _)| *count)
    }

    /// The size of the token bucket, after noting what can't be.
    fn burst(&self) -> Option<u64> {
        let (burst, node) = self.counts.get("burst")?;
        if self.count("rps").or(self.count("rpm")).is_none() {
            node.wrong("`burst` is the size of a bucket for `rps` or `rpm`, and neither is there", None);
        }
        for (name, times, time) in BURST_BOUNDS {
            if let Some(count) = self.count(name).filter(|count| *burst > count * times) {
                let hint = format!("write at most {}, or leave `burst` out", count * times);
                node.wrong(
                    format!("a burst of {burst} is more than {name} = {count} grants in a {time}"),
                    Some(hint),
                );
            }
        }
        Some(*burst)
    }
}
