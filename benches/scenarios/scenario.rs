//! The scenarios: keys, what is wrong with them, and what must be reached all the same.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use keywheel::batch::KeyCapacity;
use keywheel::sim::{Conduct, FaultRates, Latency, LimitSpec, Shape, SimSpec};
use keywheel_actors::dialect::OpenAi;
use keywheel_actors::secret::Secret;
use keywheel_actors::spec::{KeySpec, Limits, MINUTE, ProviderSpec, WheelSpec};

/// Requests a minute of every key.
const RPM: u64 = 300;
/// Its bucket.
const BURST: u64 = 5;
const LATENCY: Latency = Latency::Uniform { from: Duration::from_millis(40), to: Duration::from_millis(60) };

/// One scenario.
pub(crate) struct Scenario {
    /// Its name, as given on the command line.
    pub(crate) name: &'static str,
    /// What it is, in a sentence.
    pub(crate) about: &'static str,
    /// Rows of the batch.
    pub(crate) rows: u64,
    /// Keys of the provider.
    keys: usize,
    /// Those that are answered with 401.
    pub(crate) dead_keys: &'static [usize],
    /// Share of calls that fail with 500 and cost quota.
    error_share: f64,
    told: Told,
    /// What must be reached. `None`: shown for information.
    pub(crate) target: Option<Target>,
}

/// Whether the wheel knows the keys' limits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    /// They are declared.
    Limits,
    /// They are to be learned from headers.
    Nothing,
}

/// What must be reached. No row may be lost in any case.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    /// Ideal by real makespan.
    pub(crate) utilisation_min: f64,
    /// Rejected calls for each served one.
    pub(crate) waste_max: Option<f64>,
    /// Calls on each dead key.
    pub(crate) dead_key_calls_max: Option<u64>,
}

/// All of them.
pub(crate) const SCENARIOS: [Scenario; 4] = [
    Scenario {
        name: "A",
        about: "10 keys of 300 RPM with burst 5, 1,500 rows, 40 to 60 ms: about 30 s",
        rows: 1_500,
        keys: 10,
        dead_keys: &[],
        error_share: 0.0,
        told: Told::Limits,
        target: Some(Target { utilisation_min: 0.99, waste_max: Some(0.005), dead_key_calls_max: None }),
    },
    Scenario {
        name: "C",
        about: "as A, 2 of the keys answer 401, 2 % of calls fail with 500: about 38 s",
        rows: 1_500,
        keys: 10,
        dead_keys: &[3, 7],
        error_share: 0.02,
        told: Told::Limits,
        target: Some(Target { utilisation_min: 0.985, waste_max: None, dead_key_calls_max: Some(3) }),
    },
    Scenario {
        name: "B",
        about: "one such key, 150 rows: about 30 s",
        rows: 150,
        keys: 1,
        dead_keys: &[],
        error_share: 0.0,
        told: Told::Limits,
        target: Some(Target { utilisation_min: 0.98, waste_max: Some(0.01), dead_key_calls_max: None }),
    },
    Scenario {
        name: "D",
        about: "as A, but nobody told us the limits",
        rows: 1_500,
        keys: 10,
        dead_keys: &[],
        error_share: 0.0,
        told: Told::Nothing,
        target: None,
    },
];

impl Scenario {
    /// The provider.
    pub(crate) fn sim(&self) -> SimSpec {
        let bucket = LimitSpec::requests(RPM, MINUTE).shaped(Shape::TokenBucket { burst: BURST });
        let sim = SimSpec {
            faults: FaultRates { error: self.error_share, ..FaultRates::default() },
            seed: 1,
            ..SimSpec::with_keys(self.keys)
        };
        let sim = sim.limited(bucket).first_byte(LATENCY);
        self.dead_keys.iter().fold(sim, |sim, dead| sim.key(*dead, |key| key.conducting(Conduct::Invalid)))
    }

    /// The wheel over it.
    pub(crate) fn wheel(&self, base_url: &str) -> WheelSpec {
        let limits = match self.told {
            Told::Limits => Limits::rpm_with_burst(RPM, BURST),
            Told::Nothing => Limits::default(),
        };
        let provider =
            (0..self.keys).fold(ProviderSpec::new("sim", Arc::new(OpenAi), base_url), |provider, number| {
                let key = KeySpec::new(format!("k{number}"), Secret::new(format!("sk-{number}")));
                provider.with_key(key.limited(limits.clone()))
            });
        WheelSpec { providers: vec![provider], seed: Some(1), ..WheelSpec::default() }
    }

    /// What the keys that work can give, by the provider's own limits.
    pub(crate) fn capacities(&self) -> Vec<KeyCapacity> {
        let limits = Limits::rpm_with_burst(RPM, BURST);
        vec![KeyCapacity { limits, dead_from: None }; self.keys - self.dead_keys.len()]
    }

    /// The rows as lines of OpenAI's Batch API.
    pub(crate) fn input(&self) -> String {
        let mut lines = String::new();
        for row in 0..self.rows {
            let body = serde_json::json!({
                "model": "m",
                "messages": [{ "role": "user", "content": format!("What is {row} times {row}?") }],
            });
            let line = serde_json::json!({
                "custom_id": custom_id(row),
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": body,
            });
            // Writing into a string can't fail.
            let _ = writeln!(lines, "{line}");
        }
        lines
    }
}

/// The id of a row, counted from 0.
pub(crate) fn custom_id(row: u64) -> String {
    format!("row-{row}")
}
