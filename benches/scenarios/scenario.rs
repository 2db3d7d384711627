//! The scenarios: keys, what is wrong with them, and what must be reached all the same.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use keywheel::sim::{Change, Charge, Conduct, FaultRates, HeaderStyle, Latency, LimitSpec, Shape, SimSpec};
use keywheel_actors::dialect::OpenAi;
use keywheel_actors::secret::Secret;
use keywheel_actors::spec::{Counting, DAY, KeySpec, Limits, MINUTE, ProviderSpec, WheelSpec, WindowLimit};

/// Requests a minute of every key.
const RPM: u64 = 300;
/// Its bucket.
const BURST: u64 = 5;
const LATENCY: Latency = Latency::Uniform { from: Duration::from_millis(40), to: Duration::from_millis(60) };

/// Tokens a minute of every key, where tokens bound the run.
const TPM: u64 = 120_000;
/// Their bucket.
const TOKENS_AT_ONCE: u64 = 5_000;
/// How many tokens the rows of such a run ask for, and how many of each twenty: half for the prompt, half for the
/// answer.
const SIZES: [(u64, u64); 3] = [(2_500, 1), (800, 5), (200, 14)];
/// Bytes to a token.
const BYTES_PER_TOKEN: u64 = 4;

/// One scenario.
pub(crate) struct Scenario {
    /// Its name, as given on the command line.
    pub(crate) name: &'static str,
    /// What it is, in a sentence.
    pub(crate) about: &'static str,
    /// Rows of the batch.
    pub(crate) rows: u64,
    /// Those that are answered with 401.
    pub(crate) dead_keys: &'static [usize],
    /// The provider. Its keys `k0`, `k1`, … have the secrets `sk-0`, `sk-1`, ….
    sim: fn() -> SimSpec,
    told: Told,
    /// What must be reached. `None`: shown for information.
    pub(crate) target: Option<Target>,
}

/// What the wheel knows of the keys' limits.
#[derive(Clone, Copy)]
enum Told {
    /// They are declared.
    Limits(fn() -> Limits),
    /// They are to be learned.
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
pub(crate) const SCENARIOS: [Scenario; 14] = [
    Scenario {
        name: "A",
        about: "10 keys of 300 RPM with burst 5, 1,500 rows, 40 to 60 ms: about 30 s",
        rows: 1_500,
        dead_keys: &[],
        sim: ten,
        told: Told::Limits(declared),
        target: Some(Target { utilisation_min: 0.99, waste_max: Some(0.005), dead_key_calls_max: None }),
    },
    Scenario {
        name: "C",
        about: "as A, 2 of the keys answer 401, 2 % of calls fail with 500: about 38 s",
        rows: 1_500,
        dead_keys: &[3, 7],
        sim: two_dead,
        told: Told::Limits(declared),
        target: Some(Target { utilisation_min: 0.985, waste_max: None, dead_key_calls_max: Some(3) }),
    },
    Scenario {
        name: "B",
        about: "one such key, 150 rows: about 30 s",
        rows: 150,
        dead_keys: &[],
        sim: one,
        told: Told::Limits(declared),
        target: Some(Target { utilisation_min: 0.98, waste_max: Some(0.01), dead_key_calls_max: None }),
    },
    Scenario {
        name: "D",
        about: "as A, but nobody told us the limits; headers do",
        rows: 1_500,
        dead_keys: &[],
        sim: ten,
        told: Told::Nothing,
        target: Some(Target { utilisation_min: 0.95, waste_max: Some(0.05), dead_key_calls_max: None }),
    },
    Scenario {
        name: "silent",
        about: "as A, but nobody tells the limits, not even how long to wait",
        rows: 1_500,
        dead_keys: &[],
        sim: silent,
        told: Told::Nothing,
        target: Some(Target { utilisation_min: 0.88, waste_max: Some(0.05), dead_key_calls_max: None }),
    },
    Scenario {
        name: "cut",
        about: "as D, and after 10 s half of the keys have a tenth of their quota left",
        rows: 1_200,
        dead_keys: &[],
        sim: cut,
        told: Told::Nothing,
        target: Some(Target { utilisation_min: 0.95, waste_max: Some(0.05), dead_key_calls_max: None }),
    },
    Scenario {
        name: "cut-declared",
        about: "the same, with limits declared that are too high then",
        rows: 1_200,
        dead_keys: &[],
        sim: cut,
        told: Told::Limits(declared),
        target: Some(Target { utilisation_min: 0.95, waste_max: Some(0.05), dead_key_calls_max: None }),
    },
    Scenario {
        name: "unequal",
        about: "10 keys from 60 to 3,000 RPM, not told",
        rows: 3_000,
        dead_keys: &[],
        sim: unequal,
        told: Told::Nothing,
        target: Some(Target { utilisation_min: 0.95, waste_max: Some(0.05), dead_key_calls_max: None }),
    },
    Scenario {
        name: "counted",
        about: "as D, but rejected calls cost quota",
        rows: 1_500,
        dead_keys: &[],
        sim: counted,
        told: Told::Nothing,
        target: Some(Target { utilisation_min: 0.95, waste_max: Some(0.05), dead_key_calls_max: None }),
    },
    Scenario {
        name: "slow",
        about: "10 s until each answer, 500 in flight, limits declared",
        rows: 2_000,
        dead_keys: &[],
        sim: slow,
        told: Told::Limits(declared),
        target: Some(Target { utilisation_min: 0.95, waste_max: Some(0.05), dead_key_calls_max: None }),
    },
    Scenario {
        name: "fixed",
        about: "10 keys of 50 calls in each 10 s, by the clock, not told; the last window has 40 to spare",
        rows: 1_960,
        dead_keys: &[],
        sim: fixed,
        told: Told::Nothing,
        target: Some(Target { utilisation_min: 0.95, waste_max: None, dead_key_calls_max: None }),
    },
    Scenario {
        name: "day",
        about: "as D, and one key may make 40 calls a day",
        rows: 1_300,
        dead_keys: &[],
        sim: day,
        told: Told::Nothing,
        target: Some(Target { utilisation_min: 0.95, waste_max: Some(0.05), dead_key_calls_max: None }),
    },
    Scenario {
        name: "tokens",
        about: "10 keys of 120,000 TPM with 5,000 at once; rows of 200, 800 and 2,500 tokens, reckoned up front",
        rows: 1_400,
        dead_keys: &[],
        sim: tokens,
        told: Told::Limits(declared_tokens),
        target: Some(Target { utilisation_min: 0.95, waste_max: Some(0.01), dead_key_calls_max: None }),
    },
    Scenario {
        name: "tokens-corrected",
        about: "as tokens, but what answers leave of their maximum is given back",
        rows: 2_600,
        dead_keys: &[],
        sim: tokens_corrected,
        told: Told::Limits(declared_tokens),
        target: Some(Target { utilisation_min: 0.95, waste_max: Some(0.01), dead_key_calls_max: None }),
    },
];

fn declared() -> Limits {
    Limits::rpm_with_burst(RPM, BURST)
}

fn declared_tokens() -> Limits {
    Limits::default().and(WindowLimit { burst: Some(TOKENS_AT_ONCE), ..WindowLimit::tokens(TPM, MINUTE) })
}

fn tokens() -> SimSpec {
    let shape = Shape::TokenBucket { burst: TOKENS_AT_ONCE };
    keys(10).limited(LimitSpec::tokens(TPM, MINUTE).shaped(shape))
}

fn tokens_corrected() -> SimSpec {
    SimSpec { token_counting: Counting::Corrected, ..tokens() }
}

fn bucket(rpm: u64, burst: u64) -> LimitSpec {
    LimitSpec::requests(rpm, MINUTE).shaped(Shape::TokenBucket { burst })
}

fn keys(count: usize) -> SimSpec {
    SimSpec { seed: 1, ..SimSpec::with_keys(count) }.first_byte(LATENCY)
}

fn ten() -> SimSpec {
    keys(10).limited(bucket(RPM, BURST))
}

fn one() -> SimSpec {
    keys(1).limited(bucket(RPM, BURST))
}

fn two_dead() -> SimSpec {
    let sim = SimSpec { faults: FaultRates { error: 0.02, ..FaultRates::default() }, ..ten() };
    [3, 7].into_iter().fold(sim, |sim, dead| sim.key(dead, |key| key.conducting(Conduct::Invalid)))
}

fn silent() -> SimSpec {
    SimSpec { headers: HeaderStyle::None, ..ten() }
}

fn cut() -> SimSpec {
    (0..5).fold(ten(), |sim, key| sim.at(Duration::from_secs(10), Change::Quota { key, factor: 0.1 }))
}

fn unequal() -> SimSpec {
    const RPMS: [u64; 10] = [60, 60, 120, 120, 300, 300, 600, 600, 1_500, 3_000];
    let each = |sim: SimSpec, (index, rpm): (usize, &u64)| {
        sim.key(index, |key| key.limited(bucket(*rpm, (rpm / 60).max(1))))
    };
    RPMS.iter().enumerate().fold(keys(RPMS.len()), each)
}

fn counted() -> SimSpec {
    SimSpec { refused_calls: Charge::Counted, ..ten() }
}

fn slow() -> SimSpec {
    ten().first_byte(Latency::Fixed(Duration::from_secs(10)))
}

fn fixed() -> SimSpec {
    keys(10).limited(LimitSpec::requests(50, Duration::from_secs(10)).shaped(Shape::FixedWindow))
}

fn day() -> SimSpec {
    ten().key(0, |key| key.limited(LimitSpec::requests(40, DAY).shaped(Shape::FixedWindow)))
}

impl Scenario {
    /// The provider.
    pub(crate) fn sim(&self) -> SimSpec {
        (self.sim)()
    }

    /// The wheel over it.
    pub(crate) fn wheel(&self, base_url: &str) -> WheelSpec {
        let limits = match self.told {
            Told::Limits(limits) => limits(),
            Told::Nothing => Limits::default(),
        };
        let numbers = 0..self.sim().keys.len();
        let provider =
            numbers.fold(ProviderSpec::new("sim", Arc::new(OpenAi), base_url), |provider, number| {
                let key = KeySpec::new(format!("k{number}"), Secret::new(format!("sk-{number}")));
                provider.with_key(key.limited(limits.clone()))
            });
        let provider = ProviderSpec { counting: self.sim().token_counting, ..provider };
        WheelSpec { providers: vec![provider], seed: Some(1), ..WheelSpec::default() }
    }

    /// Whether tokens bound the run, so that rows are to be of many sizes.
    fn is_bound_by_tokens(&self) -> bool {
        let sim = self.sim();
        sim.keys.iter().flat_map(|key| &key.limits).any(|limit| limit.dimension.is_of_tokens())
    }

    /// The tokens that a row asks for, in a run that tokens bound. Sizes are mixed evenly: 7 is prime to 20.
    pub(crate) fn tokens_asked(&self, row: u64) -> u64 {
        if !self.is_bound_by_tokens() {
            return 0;
        }
        let mut place = row * 7 % SIZES.iter().map(|(_, share)| share).sum::<u64>();
        for (tokens, share) in SIZES {
            if place < share {
                return tokens;
            }
            place -= share;
        }
        0
    }

    fn body(&self, row: u64) -> serde_json::Value {
        let question = format!("What is {row} times {row}?");
        let messages = |text: &str| serde_json::json!([{ "role": "user", "content": text }]);
        let half = self.tokens_asked(row) / 2;
        if half == 0 {
            return serde_json::json!({ "model": "m", "messages": messages(&question) });
        }
        let bare = messages(&question).to_string().len();
        let bytes = usize::try_from(half * BYTES_PER_TOKEN).unwrap_or(0);
        let text = format!("{question}{}", " so".repeat(bytes.saturating_sub(bare)).split_at(bytes - bare).0);
        serde_json::json!({ "model": "m", "messages": messages(&text), "max_tokens": half })
    }

    /// The rows as lines of OpenAI's Batch API.
    pub(crate) fn input(&self) -> String {
        let mut lines = String::new();
        for row in 0..self.rows {
            let body = self.body(row);
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
