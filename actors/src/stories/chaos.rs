//! Properties of the actors together, whatever the interleaving.

use std::collections::HashMap;

use futures_util::StreamExt as _;
use futures_util::future::join;
use proptest::bool::weighted;
use proptest::prelude::*;

use crate::actor::waiting::Hands;
use crate::board::KeyState;
use crate::clock::Moment;
use crate::error::SendError;
use crate::event::EventKind;
use crate::id::{KeyId, KeyName};
use crate::request::{Delivery, Terms};
use crate::secret::Secret;
use crate::spec::{DAY, KeySpec, Limits, ProviderSpec, WheelSpec, WindowLimit};
use crate::upstream::{Piece, Step};
use crate::wheel::{Answer, AnswerBody, KeyCommand};

use super::scenario::{
    Scenario, Seen, World, broke, failing, key, key_id, millis, ok, overloaded, request, secs, throttled,
    unauthorized,
};

const KEYS: [&str; 3] = ["a", "b", "c"];
/// Those of the provider `p`, and those of `q`, which only reloads bring.
const ALL_KEYS: [&str; 5] = ["a", "b", "c", "d", "e"];

#[derive(Clone, Debug)]
enum Act {
    Send {
        count: usize,
        deadline_ms: Option<u64>,
    },
    Script {
        key: usize,
        kind: u8,
    },
    Command {
        key: usize,
        command: KeyCommand,
    },
    CrashKey(usize),
    CrashProvider(bool),
    Reload(Plan),
    /// A reload that comes while something crashes.
    ReloadAmidst {
        plan: Plan,
        key: Option<usize>,
    },
    Leave,
    Wait(u64),
}

/// A configuration, as far as it differs from case to case.
#[derive(Clone, Debug)]
struct Plan {
    /// Whether `p` and `q` are there; if neither is, `p` is.
    providers: [bool; 2],
    /// Of each key whether it is there, whether it is enabled, which secret it has, and its limits.
    keys: [(bool, bool, u8, u8); 5],
    moved: bool,
    reversed: bool,
}

impl Plan {
    fn spec(&self, start: &WheelSpec) -> WheelSpec {
        let [p, q] = self.providers;
        let provider = |id: &str, keys: std::ops::Range<usize>| {
            let mut provider = ProviderSpec { id: id.into(), keys: Vec::new(), ..start.providers[0].clone() };
            provider.keys = keys.filter_map(|index| self.key(index)).collect();
            if self.moved {
                provider.base_url.push_str("/moved");
            }
            if self.reversed {
                provider.keys.reverse();
            }
            provider
        };
        let there = [(p || !q).then(|| provider("p", 0..3)), q.then(|| provider("q", 3..5))];
        WheelSpec { providers: there.into_iter().flatten().collect(), ..start.clone() }
    }

    fn key(&self, index: usize) -> Option<KeySpec> {
        let (there, enabled, secret, limits) = self.keys[index];
        let mut key = key(ALL_KEYS[index]);
        key.enabled = enabled;
        key.secret = Secret::new(format!("sk-{secret}-{}", key.name));
        key.limits = match limits {
            0 => Limits::default(),
            1 => Limits::default().and(WindowLimit::requests(5, secs(2))),
            2 => Limits { concurrency: Some(3), ..Limits::default() },
            _ => Limits { concurrency: Some(1), ..Limits::default().and(WindowLimit::requests(9, secs(5))) },
        };
        if limits >= 4 {
            key.quota_group = Some(format!("org-{}", limits % 2).as_str().into());
            key.limits = Limits::default().and(WindowLimit::requests(7, secs(3)));
        }
        there.then_some(key)
    }

    /// Those who must not be called under it.
    fn absent(&self) -> Vec<&'static str> {
        let [p, q] = self.providers;
        let absent = |index: &usize| {
            let there = if *index < 3 { p || !q } else { q };
            !there || !self.keys[*index].0 || !self.keys[*index].1
        };
        (0..5).filter(absent).map(|index| ALL_KEYS[index]).collect()
    }
}

fn plan() -> impl Strategy<Value = Plan> {
    let key = (weighted(0.7), weighted(0.8), 0u8..2, 0u8..6);
    (
        proptest::array::uniform2(any::<bool>()),
        [key.clone(), key.clone(), key.clone(), key.clone(), key],
        weighted(0.1),
        any::<bool>(),
    )
        .prop_map(|(providers, keys, moved, reversed)| Plan { providers, keys, moved, reversed })
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let key = 0..ALL_KEYS.len();
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
        1 => key.clone().prop_map(Act::CrashKey),
        1 => any::<bool>().prop_map(Act::CrashProvider),
        2 => plan().prop_map(Act::Reload),
        1 => (plan(), proptest::option::of(key)).prop_map(|(plan, key)| Act::ReloadAmidst { plan, key }),
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

/// Takes two seconds from its first event to its last.
fn slow_stream() -> Step {
    let event = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hello\"}}]}\n\n";
    let say = |text: &'static str| Piece::Bytes(millis(400), text.into());
    Step::stream(vec![say(event), say(event), say(event), say(event), say(event), say("data: [DONE]\n\n")])
}

/// More crashes of a provider within a minute give it up, which other stories tell.
const PROVIDER_CRASHES_MAX: usize = 2;

/// A story while it is played.
struct Play<'a> {
    world: &'a World,
    /// As it was told last.
    spec: WheelSpec,
    crashes: HashMap<&'static str, usize>,
    /// Who must not be called any more, by whose word, with the calls that were made before.
    barred: Vec<(&'static str, Word, usize)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Operator,
    Configuration,
}

fn id_of(index: usize) -> KeyId {
    key_id(if index < KEYS.len() { "p" } else { "q" }, ALL_KEYS[index])
}

impl Play<'_> {
    fn bar(&mut self, name: &'static str, word: Word) {
        self.barred.push((name, word, self.world.calls_of(name)));
    }

    /// Nobody was called who must not be.
    fn check(&self) {
        for (name, _, before) in &self.barred {
            assert_eq!(self.world.calls_of(name), *before, "`{name}` was called though it must not be");
        }
    }

    async fn command(&mut self, index: usize, command: KeyCommand) {
        let name = ALL_KEYS[index];
        self.check();
        // From here on it may be called, perhaps before the command returns.
        if matches!(command, KeyCommand::Enable | KeyCommand::Reset) {
            self.barred.retain(|(barred, ..)| *barred != name);
        }
        let obeyed = self.world.wheel.command(&id_of(index), command).await;
        if obeyed.is_ok() && command == KeyCommand::Disable {
            self.bar(name, Word::Operator);
        }
    }

    fn crash_provider(&mut self, id: &'static str) {
        let crashes = self.crashes.entry(id).or_default();
        if *crashes < PROVIDER_CRASHES_MAX {
            *crashes += 1;
            self.world.wheel.crash_provider(&id.into());
        }
    }

    async fn reload(&mut self, plan: &Plan) {
        self.check();
        let before = std::mem::replace(&mut self.spec, plan.spec(&self.world.spec));
        // An operator's word is about a key, and a configuration about all.
        let spec = &self.spec;
        self.barred.retain(|(name, word, _)| *word == Word::Operator && stays(name, &before, spec));
        self.world.wheel.reload(spec.clone()).await.expect("a sound specification");
        for name in plan.absent() {
            self.bar(name, Word::Configuration);
        }
    }
}

/// Whether it is the same key in both configurations.
fn stays(name: &str, before: &WheelSpec, after: &WheelSpec) -> bool {
    let find = |spec: &WheelSpec| {
        let keys =
            spec.providers.iter().flat_map(|provider| provider.keys.iter().map(move |key| (provider, key)));
        let mut keys = keys.map(|(provider, key)| (provider.base_url.clone(), key.clone()));
        keys.find(|(_, key)| key.name.as_str() == name)
    };
    match (find(before), find(after)) {
        (Some((old, before)), Some((new, after))) => old == new && before.secret.is(&after.secret),
        (None, _) | (_, None) => false,
    }
}

/// What the jobs of a story are.
#[derive(Clone, Copy)]
enum Jobs {
    Whole,
    /// Read as they come.
    Streams,
}

impl Jobs {
    /// Sends one, and waits for all of its answer.
    async fn send(self, world: World, terms: Terms, hands: Hands) -> Seen {
        let request = match self {
            Self::Whole => request(Delivery::Whole),
            Self::Streams => request(Delivery::Stream),
        };
        let mut ending = match hands {
            Hands::Ours => world.wheel.send(request, terms).await,
            Hands::TheCallers => world.wheel.send_here(request, terms).await,
        };
        if let Ok(Answer { body: AnswerBody::Stream(body), .. }) = &mut ending {
            while let Some(Ok(_)) = body.next().await {}
        }
        Seen { ending, ended: world.now() }
    }
}

async fn play(world: &World, acts: Vec<Act>, kind: Jobs) {
    let mut jobs = Vec::new();
    let mut play =
        Play { world, spec: WheelSpec::clone(&world.spec), crashes: HashMap::new(), barred: Vec::new() };
    for act in acts {
        match act {
            Act::Send { count, deadline_ms } => {
                for number in 0..count {
                    let sender = world.clone();
                    let deadline = deadline_ms.map_or(Moment::NEVER, |ms| world.now() + millis(ms));
                    let terms = Terms { deadline, ..Terms::default() };
                    // Every other caller makes its calls itself.
                    let hands = [Hands::Ours, Hands::TheCallers][number % 2];
                    jobs.push((deadline, tokio::spawn(kind.send(sender, terms, hands))));
                }
            }
            Act::Script { key, kind } => drop(world.upstream.then(ALL_KEYS[key], step(kind))),
            Act::Command { key, command } => play.command(key, command).await,
            Act::CrashKey(key) => drop(world.wheel.crash_key(&id_of(key)).await),
            Act::CrashProvider(other) => play.crash_provider(if other { "q" } else { "p" }),
            Act::Reload(plan) => play.reload(&plan).await,
            Act::ReloadAmidst { plan, key: Some(key) } => {
                let id = id_of(key);
                join(world.wheel.crash_key(&id), play.reload(&plan)).await;
            }
            Act::ReloadAmidst { plan, key: None } => {
                play.crash_provider("p");
                play.reload(&plan).await;
            }
            Act::Leave => {
                if let Some((_, job)) = jobs.pop() {
                    job.abort();
                }
            }
            Act::Wait(ms) => world.advance(millis(ms)).await,
        }
    }
    for (deadline, job) in jobs {
        // Nothing in a story rests longer than money that is gone, a day at most, or until a command.
        let seen = tokio::time::timeout(DAY * 3, job).await.expect("every job has an ending");
        let seen = seen.expect("the caller's task lives");
        // A job may have to wait for its provider's restart before somebody can end it.
        let grace = if play.crashes.is_empty() { millis(2) } else { secs(1) };
        assert!(seen.ended.since(deadline) <= grace, "no later than its deadline");
        assert!(!matches!(seen.ending, Err(SendError::NoRoute { .. })), "somebody is always there");
    }
    play.check();
}

/// Three keys with three calls at once each.
fn narrow() -> Scenario {
    let narrow = Limits { concurrency: Some(3), ..Limits::default() };
    Scenario::keys(KEYS).each_key(|key| key.limits = narrow.clone())
}

/// What was scripted and not used is used up, then all keys must serve with all their credits.
async fn all_serve_with_all_their_credits(world: &World) {
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
    // Throttles have taught a key a pace, which it outgrows when it has time; a credit that is lost never comes back.
    for _ in 0..100 {
        let jobs = world.send_many(9);
        world.advance(millis(500)).await;
        let in_flight: u32 = KEYS.iter().map(|name| world.key(name).in_flight).sum();
        for job in jobs {
            assert!(job.await.expect("lives").ending.is_ok());
        }
        if in_flight == 9 {
            return;
        }
        world.advance(secs(600)).await;
    }
    panic!("three keys with three credits each");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// Every job has one ending, no later than its deadline; no credit is lost; who rests is not used.
    #[test]
    fn whatever_happens_the_promises_hold(acts in acts()) {
        narrow().run(|world| async move {
            let began = tokio::time::Instant::now() - world.now().since_start();
            let mut events = world.wheel.events();
            play(&world, acts, Jobs::Whole).await;

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

            // Back to the beginning; who isn't in it ends and is gone.
            world.reload(|_| {}).await;
            world.advance(secs(60)).await;
            let keys: Vec<_> = world.wheel.board().keys().into_iter().map(|(id, _)| id).collect();
            assert_eq!(keys, KEYS.map(|name| key_id("p", name)));
            assert_eq!(world.wheel.board().providers().len(), 1);

            all_serve_with_all_their_credits(&world).await;
        });
    }

    /// Nor is whoever is disabled, by a call whose connection stands only then.
    #[test]
    fn however_long_connections_take_nobody_is_called_who_is_disabled(acts in acts()) {
        let slow = narrow().otherwise(ok().connected_after(millis(300)));
        slow.run(|world| async move { play(&world, acts, Jobs::Whole).await });
    }

    /// The same of streams, which hold a credit while they are read and end at their deadline, whole or not.
    #[test]
    fn whatever_happens_streams_end_and_give_their_credits_back(acts in acts()) {
        narrow().otherwise(slow_stream()).run(|world| async move {
            play(&world, acts, Jobs::Streams).await;
            world.reload(|_| {}).await;
            world.advance(secs(60)).await;
            all_serve_with_all_their_credits(&world).await;
        });
    }
}
