//! The two simulated providers of the demo, what befalls them, and the wheel that lives with it.

use std::sync::Arc;
use std::time::Duration;

use keywheel_actors::dialect::OpenAi;
use keywheel_actors::secret::Secret;
use keywheel_actors::spec::{KeySpec, Limits, ProviderSpec, WheelSpec};

use crate::sim::{self, Availability, Change, Conduct, Latency, LimitSpec, Shape, SimSpec};

/// The provider that is asked first.
pub const HOME: &str = "alpha";
/// The provider to fall back to.
pub const NEXT_DOOR: &str = "beta";

/// Requests a minute and burst of each key. The last one is invalid.
const KEYS: [(u64, u64); 10] =
    [(600, 10), (480, 8), (420, 7), (360, 6), (300, 5), (240, 4), (180, 3), (120, 2), (90, 2), (300, 5)];
const INVALID: usize = 9;
/// The busiest key is cut to a tenth half-way; its provider doesn't tell, it just throttles.
const CUT: (usize, Duration) = (0, Duration::from_secs(4));
/// This key's account runs out of money.
const BROKE: (usize, Duration) = (4, Duration::from_secs(3));
/// The whole provider fails for a while.
const DOWN: (Duration, Duration) = (Duration::from_millis(5_500), Duration::from_secs(7));
/// Requests a minute and burst of each key next door.
const KEYS_NEXT_DOOR: [(u64, u64); 2] = [(900, 6), (600, 4)];

const MINUTE: Duration = keywheel_actors::spec::MINUTE;

fn latency() -> Latency {
    Latency::Uniform { from: Duration::from_millis(60), to: Duration::from_millis(180) }
}

fn limited(keys: &[(u64, u64)]) -> SimSpec {
    let mut spec = SimSpec::with_keys(keys.len()).first_byte(latency());
    for (index, (rpm, burst)) in keys.iter().enumerate() {
        let limit = LimitSpec::requests(*rpm, MINUTE).shaped(Shape::TokenBucket { burst: *burst });
        spec = spec.key(index, |mut key: sim::KeySpec| {
            key.limits.push(limit);
            key
        });
    }
    spec
}

/// The first provider and its accidents.
pub fn home() -> SimSpec {
    limited(&KEYS)
        .key(INVALID, |key| key.conducting(Conduct::Invalid))
        .at(BROKE.1, Change::Conduct { key: BROKE.0, conduct: Conduct::OutOfMoney })
        .at(CUT.1, Change::Quota { key: CUT.0, factor: 0.1 })
        .at(DOWN.0, Change::Availability(Availability::Failing))
        .at(DOWN.1, Change::Availability(Availability::Up))
}

/// The second provider: smaller, and well all the time.
pub fn next_door() -> SimSpec {
    limited(&KEYS_NEXT_DOOR)
}

/// A wheel over both, told of the limits as they were sold.
pub fn wheel(home_url: &str, next_door_url: &str) -> WheelSpec {
    let provider = |id: &str, url: &str, keys: &[(u64, u64)]| {
        let provider = ProviderSpec::new(id, Arc::new(OpenAi), url);
        keys.iter().enumerate().fold(provider, |provider, (index, (rpm, burst))| {
            let key = KeySpec::new(format!("k{index}"), Secret::new(format!("sk-{index}")));
            provider.with_key(key.limited(Limits::rpm_with_burst(*rpm, *burst)))
        })
    };
    let providers =
        vec![provider(HOME, home_url, &KEYS), provider(NEXT_DOOR, next_door_url, &KEYS_NEXT_DOOR)];
    WheelSpec { providers, seed: Some(1), ..WheelSpec::default() }
}
