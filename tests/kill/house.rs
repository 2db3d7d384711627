//! What the loops share: a configuration with its state, rows without end, and moments.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::mpsc;
use std::time::Duration;

use keywheel::sim::{Latency, Sim, SimSpec};
use keywheel_actors::clock::Clock;
use keywheel_actors::store::{Disk, Memory, Store as _};
use serde_json::{Value, json};

use crate::support::program::{Desk, Ended, Program};
use crate::support::{PATIENCE, millis};

/// More than any loop has answered.
const ROWS: usize = 20_000;

/// How often something is looked at that nobody announces.
const GLANCE: Duration = Duration::from_millis(2);

/// Where the state is, beside the configuration.
const STATE_FILE: &str = "state/state.redb";

/// A simulated provider without limits, and a desk whose configuration has these keys of it.
pub(crate) struct House {
    pub(crate) sim: Sim,
    pub(crate) desk: Desk,
}

impl House {
    /// With so many keys at the provider, of which the configuration has those of `keys`, in TOML.
    pub(crate) fn new(count: usize, keys: &str) -> Self {
        let latency = Latency::Uniform { from: millis(1), to: millis(15) };
        let sim =
            Sim::start_on_thread(SimSpec::with_keys(count).first_byte(latency)).expect("port 0 is free");
        let config = format!(
            "[state]\ndir = \"state\"\n\n[[provider]]\nid = \"sim\"\ndialect = \"openai\"\nbase_url = \"{}\"\n{keys}",
            sim.base_url()
        );
        let rows: Vec<String> = (0..ROWS).map(row).collect();
        let desk = Desk::new(&config).with("in.jsonl", &rows.join("\n"));
        fs::set_permissions(desk.path("keywheel.toml"), Permissions::from_mode(0o600)).expect("it is ours");
        Self { sim, desk }
    }

    /// Starts to answer rows.
    pub(crate) fn batch(&self) -> Program {
        self.desk.start(
            &["batch", "in.jsonl", "-o", "out.jsonl", "--force", "--quiet", "--concurrency", "64"],
            &[],
        )
    }

    /// Calls that the provider has in its books for a key.
    pub(crate) fn calls(&self, key: &str) -> u64 {
        self.sim.ledger().key(key).expect("the provider knows it").outcomes.values().sum()
    }

    /// Runs these words to their end, which must be a good one; gives the JSON that they print.
    #[track_caller]
    pub(crate) fn told(&self, words: &str) -> Value {
        self.run(words).exited(0).summary()
    }

    /// Runs these words to their end.
    pub(crate) fn run(&self, words: &str) -> Ended {
        self.desk.run(&words.split(' ').collect::<Vec<_>>())
    }

    /// What every key is doing.
    #[track_caller]
    pub(crate) fn status(&self) -> Value {
        self.told("provider keys status --json")
    }

    /// What is remembered, while nothing runs.
    pub(crate) fn memory(&self) -> Memory {
        let path = self.desk.path(STATE_FILE);
        if !path.exists() {
            return Memory::default();
        }
        Disk::open(path).expect("it always opens").load().expect("it can be read")
    }
}

fn row(number: usize) -> String {
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "hello"}]});
    json!({"custom_id": format!("row-{number}"), "method": "POST", "url": "/v1/chat/completions", "body": body})
        .to_string()
}

/// Lets time pass where any moment will do.
pub(crate) fn pause(duration: Duration) {
    let (_nobody_tells, never) = mpsc::channel::<()>();
    never.recv_timeout(duration).expect_err("nobody tells");
}

/// Waits until something holds.
#[track_caller]
pub(crate) fn until(what: &str, holds: impl Fn() -> bool) {
    let clock = Clock::start();
    while !holds() {
        assert!(clock.now().since_start() < PATIENCE, "it never came true: {what}");
        pause(GLANCE);
    }
}
