//! A day's quota is used up in many lives, none of which ends by itself.

use std::time::Duration;

use fastrand::Rng;
use keywheel_actors::clock::Clock;
use keywheel_actors::id::KeyId;
use keywheel_actors::spec::DAY;
use keywheel_actors::store::{GroupId, WindowMemory};

use crate::house::{House, pause, until};
use crate::support::millis;

const ROUNDS: u64 = 40;

/// Calls a day, for the key alone and for the group.
const RPD: u64 = 900;

/// What a crash may cost beside calls under way: a block is a hundredth, and half a block is left at most when the
/// next one is asked for.
const BLOCK: u64 = RPD / 100;
const AHEAD_MAX: u64 = BLOCK + BLOCK / 2;

/// Calls under way at once, for each key.
const CONCURRENCY: u64 = 4;

/// Calls of one round at most, by all keys.
const CALLS_MAX: u64 = 20;

/// As long as a process takes to make its first call.
const BEGINNING: Duration = Duration::from_millis(200);

const KEYS: &str = r#"
[[provider.key]]
name = "k0"
secret = "sk-0"
limits = { rpd = 900, concurrency = 4 }
[[provider.key]]
name = "k1"
secret = "sk-1"
quota_group = "org"
limits = { rpd = 900, concurrency = 4 }
[[provider.key]]
name = "k2"
secret = "sk-2"
quota_group = "org"
limits = { rpd = 900, concurrency = 4 }
"#;

/// What was used of one account's day.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Use {
    /// By the provider's books.
    made: u64,
    /// By what the next process will remember.
    remembered: u64,
}

#[test]
fn a_days_quota_is_never_undercounted_and_hardly_wasted() {
    let (clock, mut rng) = (Clock::start(), Rng::with_seed(10));
    let house = House::new(3, KEYS);
    let mut rounds = 0;
    while rounds < ROUNDS && accounts(&house).iter().all(|account| account.remembered + 80 < RPD) {
        let before = house.sim.ledger().calls;
        let batch = house.batch();
        if rng.u8(0..4) == 0 {
            pause(BEGINNING.mul_f32(rng.f32()));
        } else {
            let calls = rng.u64(1..=CALLS_MAX);
            until("calls are made", || house.sim.ledger().calls >= before + calls);
            pause(millis(rng.u64(0..10)));
        }
        batch.kill();
        rounds += 1;
        house.status();
        for (used, keys) in accounts(&house).iter().zip([1, 2]) {
            let wasted_max = rounds * (AHEAD_MAX + keys * CONCURRENCY);
            assert!(used.made <= used.remembered, "undercounted in round {rounds}: {used:?}");
            assert!(used.remembered - used.made <= wasted_max, "wasted in round {rounds}: {used:?}");
        }
    }
    let left = accounts(&house);

    // What is left is used to the last call, in one life.
    let batch = house.batch();
    let used_up = |house: &House| {
        let made = accounts_made(house);
        made.iter().zip(left).all(|(made, left)| made - left.made == RPD - left.remembered)
    };
    until("everything is used", || used_up(&house));
    batch.kill();
    assert!(accounts(&house).iter().all(|used| used.remembered == RPD), "{:?}", accounts(&house));

    // The next one finds nothing, and waits.
    let batch = house.batch();
    until("it waits", || {
        let status = house.status();
        status["source"]["kind"] == "live" && status["providers"][0]["queued"].as_u64() > Some(0)
    });
    batch.kill();
    assert!(used_up(&house), "more than was granted: {:?}", accounts(&house));
    println!("{rounds} kills in {:.1} s, then {left:?}", clock.now().since_start().as_secs_f32());
    assert!(rounds >= ROUNDS / 2, "the quota was used up after {rounds} rounds");
}

/// The key alone, and the group.
fn accounts(house: &House) -> [Use; 2] {
    let memory = house.memory();
    let provider = || "sim".into();
    let key = memory.keys.get(&KeyId { provider: provider(), key: "k0".into() });
    let group = memory.groups.get(&GroupId { provider: provider(), group: "org".into() });
    let remembered =
        [key.map_or(0, |key| counted(&key.windows)), group.map_or(0, |group| counted(&group.windows))];
    let [alone, together] = accounts_made(house);
    [Use { made: alone, remembered: remembered[0] }, Use { made: together, remembered: remembered[1] }]
}

fn accounts_made(house: &House) -> [u64; 2] {
    [house.calls("k0"), house.calls("k1") + house.calls("k2")]
}

/// What counts as used of the day after a kill.
fn counted(windows: &[WindowMemory]) -> u64 {
    let days = windows.iter().filter(|window| window.window == DAY);
    days.map(|day| day.ahead + day.uses.iter().map(|(_, amount)| amount).sum::<u64>()).sum()
}
