//! The least time in which a simulated provider lets so many calls through, from its own specification.

use std::time::Duration;

use keywheel::sim::{Change, Conduct, KeySpec, Latency, LimitSpec, Shape, SimSpec};
use keywheel_actors::spec::Dimension;

/// The least time in which the keys that work can have made `calls` and the last of them be answered.
///
/// A bucket gives its burst at once and the rest at its rate; after a change of its quota it goes on at the new rate,
/// and what it held is taken as kept. A window gives its count whenever it begins. A quota that changes is reckoned
/// for buckets only: windows keep theirs.
///
/// `None` if the keys can never make so many.
pub(crate) fn ideal(calls: u64, sim: &SimSpec) -> Option<Duration> {
    least(Dimension::Requests, calls, sim)
}

/// The same for calls that take so many tokens together, however those are shared out among the keys: as if a call
/// could be cut into pieces.
pub(crate) fn ideal_of_tokens(tokens: u64, sim: &SimSpec) -> Option<Duration> {
    least(Dimension::Tokens, tokens, sim)
}

fn least(dimension: Dimension, amount: u64, sim: &SimSpec) -> Option<Duration> {
    let enough = |nanos: u64| {
        let keys = sim.keys.iter().enumerate();
        let of_keys = keys.map(|(index, key)| capacity(sim, dimension, index, key, nanos));
        of_keys.sum::<u64>() >= amount
    };
    let (mut too_early, mut in_time) = (0, nanos_of(Duration::from_secs(365 * 86_400)));
    if !enough(in_time) {
        return None;
    }
    while in_time - too_early > 1 {
        let middle = too_early + (in_time - too_early) / 2;
        if enough(middle) {
            in_time = middle;
        } else {
            too_early = middle;
        }
    }
    Some(Duration::from_nanos(in_time) + shortest(sim.pace.first_byte))
}

fn capacity(sim: &SimSpec, dimension: Dimension, index: usize, key: &KeySpec, nanos: u64) -> u64 {
    if key.conduct != Conduct::Valid {
        return 0;
    }
    let limits = key.limits.iter().filter(|limit| limit.dimension == dimension);
    limits.map(|limit| given(sim, index, limit, nanos)).min().unwrap_or(u64::MAX / 1_000_000)
}

/// What one limit lets through until then.
fn given(sim: &SimSpec, index: usize, limit: &LimitSpec, nanos: u64) -> u64 {
    let per = limit.per.as_nanos() as f64;
    match limit.shape {
        Shape::FixedWindow | Shape::SlidingWindow => limit.count * (nanos / nanos_of(limit.per) + 1),
        Shape::TokenBucket { burst } => {
            let (mut sum, mut from, mut factor) = (burst as f64, 0, 1.0);
            for event in &sim.script {
                if let Change::Quota { key, factor: next } = event.change
                    && key == index
                {
                    let at = nanos_of(event.at).min(nanos);
                    sum += (at - from) as f64 * limit.count as f64 * factor / per;
                    (from, factor) = (at, next);
                }
            }
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast clamps")]
            let given = (sum + (nanos - from) as f64 * limit.count as f64 * factor / per) as u64;
            given
        }
    }
}

fn shortest(latency: Latency) -> Duration {
    match latency {
        Latency::Fixed(latency) | Latency::Uniform { from: latency, .. } => latency,
        Latency::LogNormal { .. } => Duration::ZERO,
    }
}

fn nanos_of(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
