//! Keys are changed while keywheels die, the one that runs and those that bring the change.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use fastrand::Rng;
use keywheel_actors::clock::Clock;
use serde_json::Value;

use crate::belief::{Belief, Change, Truth, Word};
use crate::house::{House, pause, until};
use crate::support::millis;
use crate::support::program::Program;

const ROUNDS: usize = 60;

/// Keys that the provider knows: one for each change of a round, should all of them add one.
const KEYS: usize = 3 + ROUNDS * CHANGES_MAX;

/// Changes of one round.
const CHANGES_MAX: usize = 3;

/// Is never changed, so that there are always calls.
const STEADY: &str = "k0";

/// A command takes about as long.
const COMMAND: Duration = Duration::from_millis(120);

const CONFIGURED: &str = r#"
# Kim's
[[provider.key]]
name = "k0"
secret = "sk-0"
[[provider.key]]
name = "k1"
secret = "sk-1"
[[provider.key]]
name = "k2"
secret = "sk-2"
"#;

#[test]
fn what_was_acknowledged_holds() {
    let clock = Clock::start();
    let mut story = Story {
        house: House::new(KEYS, CONFIGURED),
        rng: Rng::with_seed(11),
        beliefs: ["k0", "k1", "k2"].map(|name| (name.to_owned(), Belief::configured())).into(),
        silent: BTreeMap::new(),
        added: 3,
        acknowledged: 0,
        killed: 0,
    };
    for round in 0..ROUNDS {
        story.round(round);
    }
    story.assert_nothing_piles_up();
    println!(
        "{ROUNDS} rounds in {:.1} s: {} changes acknowledged, {} commands killed",
        clock.now().since_start().as_secs_f32(),
        story.acknowledged,
        story.killed
    );
    assert!(story.acknowledged > ROUNDS && story.killed > 0, "commands of both kinds");
}

struct Story {
    house: House,
    rng: Rng,
    /// What is known of each key, from what was acknowledged.
    beliefs: BTreeMap<String, Belief>,
    /// Keys that mustn't be called, with the calls that were made before.
    silent: BTreeMap<String, u64>,
    /// Keys that were ever added, the configured ones included.
    added: usize,
    acknowledged: usize,
    killed: usize,
}

impl Story {
    fn round(&mut self, round: usize) {
        let mut batch = self.rng.bool().then(|| self.house.batch());
        if batch.is_some() && self.rng.u8(0..4) > 0 {
            let before = self.house.calls(STEADY);
            until("calls are made", || self.house.calls(STEADY) > before);
        }
        for _ in 0..self.rng.usize(1..=CHANGES_MAX) {
            self.change(&mut batch);
        }
        if let Some(batch) = batch {
            pause(millis(self.rng.u64(0..20)));
            batch.kill();
        }
        self.look(round);
    }

    /// One command, which may be killed, or find the running keywheel killed meanwhile.
    fn change(&mut self, batch: &mut Option<Program>) {
        let change = self.choose();
        let words = change.words();
        if change.may_end_silence() {
            self.silent.remove(change.key());
        }
        let command = self.house.desk.start(&words.split(' ').collect::<Vec<_>>(), &[]);
        let ended = match self.rng.u8(0..10) {
            0..=2 => {
                pause(COMMAND.mul_f32(self.rng.f32()));
                self.killed += 1;
                command.kill()
            }
            3..=4 => {
                pause(COMMAND.mul_f32(self.rng.f32()));
                if let Some(batch) = batch.take() {
                    batch.kill();
                }
                command.end()
            }
            _ => command.end(),
        };
        let told = (ended.code == Some(0)).then(|| ended.summary());
        let belief = self.beliefs.entry(change.key().to_owned()).or_insert_with(Belief::unheard_of);
        belief.hear(&change, told.as_ref());
        self.acknowledged += usize::from(told.is_some());
        if told.is_some() && change.silences() {
            self.wait_for_silence(change.key(), batch.is_some());
        }
    }

    fn choose(&mut self) -> Change {
        let rng = &mut self.rng;
        let mut there: Vec<&String> =
            self.beliefs.iter().filter(|(_, belief)| belief.is_there()).map(|(name, _)| name).collect();
        there.retain(|name| *name != STEADY);
        let key = (*rng.choice(&there).expect("k1 and k2 are never removed")).clone();
        match rng.u8(0..12) {
            0..=2 => Change::Disable(key),
            3..=4 => Change::Enable(key),
            5..=6 => Change::Rest(key),
            7 => Change::Reset(key),
            8 if !["k1", "k2"].contains(&key.as_str()) => Change::Remove(key),
            _ => {
                self.added += 1;
                Change::Add(format!("k{}", self.added - 1))
            }
        }
    }

    /// Calls that were under way when the command returned may still end; more must not begin.
    fn wait_for_silence(&mut self, key: &str, is_running: bool) {
        if is_running {
            until("calls under way end", || {
                let status = self.house.status();
                reported(&status, key).is_none_or(|key| key["in_flight"] == 0)
            });
        }
        self.silent.insert(key.to_owned(), self.house.calls(key));
    }

    /// Nothing runs: everything is as it was acknowledged.
    #[track_caller]
    fn look(&mut self, round: usize) {
        self.house.run("config check").exited(0);
        let status = self.house.status();
        let listed = self.house.told("provider keys list --json");
        let listed = listed["keys"].as_array().expect("a list");
        let memory = self.house.memory();
        for (name, belief) in &mut self.beliefs {
            let row = listed.iter().find(|key| key["key"] == name.as_str());
            let word = Word::remembered(&memory, name);
            let truth = row.map(|row| Truth { enabled: row["enabled"] == true, word });
            assert!(belief.allows(truth), "round {round}: {name} is {truth:?}, not {belief:?}");
            let shown = reported(&status, name).map(|key| key["status"].as_str().expect("a word"));
            assert_eq!(shown, truth.map(Truth::status), "round {round}: {name}");
            belief.settle(truth);
            if !truth.is_some_and(Truth::is_active) {
                let calls = self.house.calls(name);
                let before = *self.silent.entry(name.clone()).or_insert(calls);
                assert_eq!(calls, before, "round {round}: {name} was called, but {truth:?}");
            }
        }
        assert!(listed.iter().all(|key| self.beliefs.contains_key(key["key"].as_str().unwrap_or_default())));
    }

    /// Commands that were killed left files, which the next one that wasn't has cleared away.
    fn assert_nothing_piles_up(&self) {
        self.house.told("provider keys enable --key k1 --json");
        for directory in [".", "keys"] {
            let is_temporary = |name: &String| Path::new(name).extension() == Some("tmp".as_ref());
            let left = names_in(&self.house, directory).filter(is_temporary);
            assert_eq!(left.collect::<Vec<_>>(), [] as [String; 0], "in {directory}");
        }
        // A command that was killed may leave the file of a secret that nobody refers to.
        let there = self.beliefs.values().filter(|belief| belief.is_there()).count();
        let files = names_in(&self.house, "keys").count();
        assert!(files <= there + self.killed, "{files} secrets of {there} keys, and {} kills", self.killed);
        assert!(self.house.desk.read("keywheel.toml").contains("# Kim's"), "comments stay");
    }
}

fn names_in(house: &House, directory: &str) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(house.desk.path(directory)).expect("it is there");
    entries.map(|entry| entry.expect("it can be read").file_name().to_string_lossy().into_owned())
}

/// What `status` says of a key.
fn reported<'a>(status: &'a Value, key: &str) -> Option<&'a Value> {
    status["providers"][0]["keys"].as_array().expect("a list").iter().find(|report| report["name"] == key)
}
