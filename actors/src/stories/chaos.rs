//! Properties of the actors together, whatever the interleaving.

use std::collections::HashMap;

use proptest::prelude::*;

use crate::board::KeyState;
use crate::clock::Moment;
use crate::event::EventKind;
use crate::id::KeyName;
use crate::request::Terms;
use crate::spec::{DAY, Limits};
use crate::upstream::Step;
use crate::wheel::KeyCommand;

use super::scenario::{
    Scenario, World, broke, failing, key_id, millis, ok, overloaded, secs, throttled, unauthorized,
};

const KEYS: [&str; 3] = ["a", "b", "c"];

#[derive(Clone, Debug)]
enum Act {
    Send { count: usize, deadline_ms: Option<u64> },
    Script { key: usize, kind: u8 },
    Command { key: usize, command: KeyCommand },
    CrashKey(usize),
    CrashProvider,
    Leave,
    Wait(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let key = 0..KEYS.len();
    let command = prop_oneof![
        Just(KeyCommand::Disable),
        Just(KeyCommand::Enable),
        Just(KeyCommand::Reset),
        Just(KeyCommand::Rest(secs(3))),
    ];
    let act = prop_oneof![
        4 => (1usize..12, proptest::option::of(10u64..8_000))
            .prop_map(|(count, deadline_ms)| Act::Send { count, deadline_ms }),
        6 => (key.clone(), 0u8..8).prop_map(|(key, kind)| Act::Script { key, kind }),
        2 => (key.clone(), command).prop_map(|(key, command)| Act::Command { key, command }),
        1 => key.prop_map(Act::CrashKey),
        1 => Just(Act::CrashProvider),
        1 => Just(Act::Leave),
        4 => (1u64..4_000).prop_map(Act::Wait),
    ];
    proptest::collection::vec(act, 1..40)
}

fn step(kind: u8) -> Step {
    match kind {
        0 => throttled(secs(2)),
        1 => unauthorized(),
        2 => failing(),
        3 => overloaded(),
        4 => broke(),
        5 => Step::refused(),
        6 => Step::answer(418, "?"),
        _ => ok(),
    }
}

/// For each key, the stretches of time in which its published status forbade calls.
async fn play(world: &World, acts: Vec<Act>) -> usize {
    let mut jobs = Vec::new();
    let mut provider_crashes = 0;
    for act in acts {
        match act {
            Act::Send { count, deadline_ms } => {
                for _ in 0..count {
                    let sender = world.clone();
                    let deadline = deadline_ms.map_or(Moment::NEVER, |ms| world.now() + millis(ms));
                    let terms = Terms { deadline, ..Terms::default() };
                    jobs.push((deadline, tokio::spawn(async move { sender.send_with(terms).await })));
                }
            }
            Act::Script { key, kind } => drop(world.upstream.then(KEYS[key], step(kind))),
            Act::Command { key, command } => {
                world.wheel.command(&key_id("p", KEYS[key]), command).await.ok();
            }
            Act::CrashKey(key) => {
                world.wheel.crash_key(&key_id("p", KEYS[key])).await;
            }
            // More of them within a minute are given up, which other stories tell.
            Act::CrashProvider if provider_crashes < 2 => {
                provider_crashes += 1;
                world.wheel.crash_provider(&"p".into());
            }
            Act::CrashProvider => {}
            Act::Leave => {
                if let Some((_, job)) = jobs.pop() {
                    job.abort();
                }
            }
            Act::Wait(ms) => world.advance(millis(ms)).await,
        }
    }
    let count = jobs.len();
    for (deadline, job) in jobs {
        // Nothing in a story rests longer than money that is gone, a day at most, or until a command.
        let ended = tokio::time::timeout(DAY * 3, job).await.expect("every job has an ending");
        let ended = ended.expect("the caller's task lives").ended;
        // A job may have to wait for its provider's restart before somebody can end it.
        let grace = if provider_crashes == 0 { millis(2) } else { secs(1) };
        assert!(ended.since(deadline) <= grace, "no later than its deadline");
    }
    count
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// Every job has one ending, no later than its deadline; no credit is lost; who rests is not used.
    #[test]
    fn whatever_happens_the_promises_hold(acts in acts()) {
        let narrow = Limits { concurrency: Some(3), ..Limits::default() };
        Scenario::keys(KEYS).each_key(|key| key.limits = narrow.clone()).run(|world| async move {
            let began = tokio::time::Instant::now() - world.now().since_start();
            let mut events = world.wheel.events();
            play(&world, acts).await;

            let mut resting: HashMap<KeyName, Vec<(Moment, bool)>> = HashMap::new();
            while let Ok(event) = events.try_recv() {
                if let EventKind::KeyChanged { key, status } = event.kind {
                    let rests = status.state != KeyState::Active;
                    resting.entry(key.key).or_default().push((event.at, rests));
                }
            }
            for (key, at) in world.upstream.calls() {
                let at = Moment::after_start(at - began);
                let changes: &[_] = resting.get(&key).map_or(&[], Vec::as_slice);
                let rested = changes.iter().rfind(|(since, _)| *since < at).is_some_and(|(_, rests)| *rests);
                let resumed = changes.iter().any(|(since, rests)| *since == at && !rests);
                assert!(!rested || resumed, "{key} was called at {at:?} while it rested: {changes:?}");
            }

            // What was scripted and not used is used up, then all keys must serve with all their credits.
            for name in KEYS {
                while world.wheel.command(&key_id("p", name), KeyCommand::Reset).await.is_err() {
                    world.advance(secs(1)).await;
                }
            }
            world.advance(secs(60)).await;
            for _ in 0..300 {
                for name in KEYS {
                    world.wheel.command(&key_id("p", name), KeyCommand::Reset).await.expect("a key");
                }
                world.sent_many(3).await;
                world.advance(secs(20)).await;
                if KEYS.iter().all(|name| world.calls_of(name) > 0) && world.calls().len() > 200 {
                    break;
                }
            }
            world.upstream.otherwise(Step::answer(200, "{}").after(secs(1)));
            let jobs = world.send_many(9);
            world.advance(millis(500)).await;
            let in_flight: u32 = KEYS.iter().map(|name| world.key(name).in_flight).sum();
            assert_eq!(in_flight, 9, "three keys with three credits each");
            for job in jobs {
                assert!(job.await.expect("lives").ending.is_ok());
            }
        });
    }
}
