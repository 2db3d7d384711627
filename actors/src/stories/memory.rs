//! What a restart must not forget: kept when it happens, remembered for what is left of it.

use crate::board::{Cause, KeyState};
use crate::event::EventKind;
use crate::outcome::Reason;
use crate::request::{Patience, Terms};
use crate::secret::Secret;
use crate::spec::{DAY, Limits, MINUTE, WindowLimit};
use crate::store::{Changes, Presence, Scripted, Store as _, Wall};
use crate::wheel::{Keeping, Kept, KeyCommand};

use super::scenario::{Scenario, World, broke, key_id, millis, secs, throttled, unauthorized};

/// Terms of a job that doesn't wait for a quota.
fn at_once(world: &World) -> Terms {
    Terms { deadline: world.now() + secs(1), patience: Patience::Interactive, ..Terms::default() }
}

async fn served(world: &World, jobs: usize) -> usize {
    let mut served = 0;
    for _ in 0..jobs {
        served += usize::from(world.send_with(at_once(world)).await.ending.is_ok());
    }
    served
}

#[test]
fn a_dead_key_stays_dead_though_the_process_was_killed() {
    let store = Scripted::default();
    Scenario::keys(["a", "b"]).upstream("a", [unauthorized()]).remembering(&store, 0.0, |world| async move {
        world.send().await.served_by("b");
        world.settle().await;
        assert_eq!(world.state("a"), KeyState::Disabled);
    });
    Scenario::keys(["a", "b"]).remembering(&store, 100.0, |world| async move {
        world.send().await.served_by("b");
        world.send().await.served_by("b");
        let why = world.key("a").status.why.expect("a reason");
        assert_eq!((why.cause, &*why.message), (Cause::Fault(Reason::BadCredential), "wrong key"));
        assert_eq!(world.calls_of("a"), 0);
    });
}

#[test]
fn a_rest_goes_on_for_what_is_left_of_it() {
    let store = Scripted::default();
    Scenario::keys(["a", "b"]).upstream("a", [throttled(secs(7_200))]).remembering(
        &store,
        0.0,
        |world| async move {
            world.send().await.served_by("b");
            world.settle().await;
        },
    );
    let an_hour = 1.0 / 24.0;
    Scenario::keys(["a", "b"]).remembering(&store, an_hour, |world| async move {
        world.send().await.served_by("b");
        assert_eq!(world.state("a"), KeyState::RateLimited);
        world.advance(secs(3_598)).await;
        assert_eq!(world.state("a"), KeyState::RateLimited);
        world.advance(secs(3)).await;
        assert_eq!(world.state("a"), KeyState::Active);
    });
    Scenario::keys(["a", "b"]).remembering(&store, 3.0 * an_hour, |world| async move {
        world.settle().await;
        assert_eq!(world.state("a"), KeyState::Active);
    });
}

#[test]
fn another_secret_under_the_same_name_has_no_past() {
    let store = Scripted::default();
    Scenario::keys(["a"]).upstream("a", [broke()]).remembering(&store, 0.0, |world| async move {
        world.send_with(at_once(&world)).await.error();
        world.settle().await;
    });
    Scenario::keys(["a"]).each_key(|key| key.secret = Secret::new("sk-new")).remembering(
        &store,
        0.0,
        |world| async move {
            world.settle().await;
            assert_eq!(world.state("a"), KeyState::Active);
        },
    );
    Scenario::keys(["a"]).remembering(&store, 0.0, |world| async move {
        world.settle().await;
        assert_eq!(world.state("a"), KeyState::Failed);
    });
}

#[test]
fn a_command_says_whether_it_is_kept_and_holds_either_way() {
    let store = Scripted::default();
    let disk = store.clone();
    Scenario::keys(["a", "b"]).remembering(&store, 0.0, |world| async move {
        let mut events = world.wheel.events();
        let disable = world.wheel.command(&key_id("p", "a"), KeyCommand::Disable).await;
        assert_eq!(disable, Ok(Kept::Durably));
        assert_eq!(disk.memory().keys[&key_id("p", "a")].rests[0].cause, Cause::Operator);

        disk.breaks(Some("no space left"));
        let disable = world.wheel.command(&key_id("p", "b"), KeyCommand::Disable).await;
        assert_eq!(disable, Ok(Kept::InMemory { why: "no space left".into() }));
        assert_eq!(world.state("b"), KeyState::Disabled);
        assert_eq!(world.wheel.keeping(), Keeping::Failing { why: "no space left".into() });

        disk.breaks(None);
        world.advance(secs(11)).await;
        assert_eq!(world.wheel.keeping(), Keeping::Durably);
        assert_eq!(disk.memory().keys[&key_id("p", "b")].rests[0].state, KeyState::Disabled);
        let mut told = Vec::new();
        while let Ok(event) = events.try_recv() {
            match event.kind {
                EventKind::StateNotKept { .. } => told.push("failing"),
                EventKind::StateKept => told.push("kept"),
                _ => {}
            }
        }
        assert_eq!(told, ["failing", "kept"]);
    });
}

#[test]
fn a_days_quota_is_never_forgotten_by_a_kill() {
    let store = Scripted::default();
    let daily = || {
        Scenario::keys(["a"])
            .each_key(|key| key.limits = Limits::default().and(WindowLimit::requests(10, DAY)))
    };
    let first = daily().remembering(&store, 0.0, |world| async move { served(&world, 6).await });
    let second = daily().remembering(&store, 0.1, |world| async move { served(&world, 20).await });
    let third = daily().remembering(&store, 0.2, |world| async move { served(&world, 20).await });
    assert_eq!(first, 6);
    assert!((2..=4).contains(&second), "at most a few reserved ones are lost: {second}");
    assert_eq!(third, 0);
    let next_day = daily().remembering(&store, 1.3, |world| async move { served(&world, 20).await });
    assert_eq!(next_day, 10);
}

#[test]
fn a_groups_day_is_remembered_too() {
    let store = Scripted::default();
    let grouped = || {
        Scenario::keys(["a", "b"]).each_key(|key| {
            key.quota_group = Some("org".into());
            key.limits = Limits::default().and(WindowLimit::requests(10, DAY));
        })
    };
    let first = grouped().remembering(&store, 0.0, |world| async move {
        let first = served(&world, 7).await;
        world.wheel.drain(secs(1)).await;
        first
    });
    let second = grouped().remembering(&store, 0.1, |world| async move { served(&world, 20).await });
    assert_eq!((first, second), (7, 3), "after a clean end nothing is lost");
}

#[test]
fn a_full_disk_stops_no_traffic() {
    let store = Scripted::default();
    store.breaks(Some("read-only"));
    let limits = Limits::default().and(WindowLimit::requests(10, DAY));
    Scenario::keys(["a"]).each_key(|key| key.limits = limits.clone()).remembering(
        &store,
        0.0,
        |world| async move {
            assert_eq!(served(&world, 20).await, 10);
        },
    );
}

#[test]
fn a_minute_used_up_by_a_killed_process_is_waited_for() {
    let store = Scripted::default();
    let minutely = || {
        Scenario::keys(["a"])
            .each_key(|key| key.limits = Limits::default().and(WindowLimit::requests(5, MINUTE)))
    };
    minutely().remembering(&store, 0.0, |world| async move { assert_eq!(served(&world, 5).await, 5) });
    minutely().remembering(&store, 0.0, |world| async move {
        assert_eq!(served(&world, 1).await, 0);
        world.advance(secs(61)).await;
        assert_eq!(served(&world, 9).await, 5);
        world.wheel.drain(secs(1)).await;
    });
    let three_minutes = 3.0 / 1_440.0;
    minutely().remembering(&store, three_minutes, |world| async move {
        assert_eq!(served(&world, 9).await, 5, "a clean end leaves what was used, and that is over");
    });
}

#[test]
fn a_calendar_that_was_set_back_prolongs_nothing() {
    let store = Scripted::default();
    Scenario::keys(["a", "b"]).upstream("a", [throttled(secs(100))]).remembering(
        &store,
        50.0,
        |world| async move {
            world.send().await.served_by("b");
            world.settle().await;
        },
    );
    Scenario::keys(["a", "b"]).remembering(&store, 1.0, |world| async move {
        world.advance(secs(102)).await;
        assert_eq!(world.state("a"), KeyState::Active);
    });
}

#[test]
fn a_calendar_that_was_ahead_for_a_while_gives_no_day_twice() {
    let store = Scripted::default();
    let daily = || {
        Scenario::keys(["a"])
            .each_key(|key| key.limits = Limits::default().and(WindowLimit::requests(10, DAY)))
    };
    let first = daily().remembering(&store, 0.0, |world| async move { served(&world, 20).await });
    let ahead = Wall(store.memory().presence.seen.0 + 86_400_000);
    let presence = Some(Presence { seen: ahead, closed: false });
    store.save(&Changes { presence, ..Changes::default() }).expect("it isn't broken");
    let second = daily().remembering(&store, 0.1, |world| async move { served(&world, 20).await });
    assert_eq!((first, second), (10, 0));
    let next_day = daily().remembering(&store, 1.2, |world| async move { served(&world, 20).await });
    assert_eq!(next_day, 10);
}

#[test]
fn a_drain_closes_the_state() {
    let store = Scripted::default();
    let disk = store.clone();
    Scenario::keys(["a"]).remembering(&store, 0.0, |world| async move {
        world.send().await.served_by("a");
        world.advance(millis(10)).await;
        let open = disk.memory().presence;
        assert!(!open.closed && open.seen > Wall::default());
        world.wheel.drain(secs(1)).await;
        assert!(disk.memory().presence.closed);
        assert_eq!(disk.memory().stats[&key_id("p", "a")].succeeded, 1);
    });
}

#[test]
fn an_orderly_end_keeps_every_count() {
    let store = Scripted::default();
    // A save may be under way when the end comes, or none: each round is another chance.
    for round in 1..=40 {
        Scenario::keys(["a", "b"]).remembering(&store, 0.0, |world| async move {
            world.send().await;
            world.wheel.drain(secs(1)).await;
        });
        let counted: u64 = store.memory().stats.values().map(|stats| stats.calls).sum();
        assert_eq!(counted, round);
        assert!(store.memory().presence.closed);
    }
}

#[test]
fn a_key_that_is_named_again_has_its_minute_behind_it() {
    let store = Scripted::default();
    let minutely = Limits::default().and(WindowLimit::requests(5, MINUTE));
    let scenario = Scenario::keys(["a", "b"]).each_key(|key| key.limits = minutely.clone());
    scenario.remembering(&store, 0.0, |world| async move {
        assert_eq!(served(&world, 10).await, 10);
        world.reload(|spec| drop(spec.providers[0].keys.remove(0))).await;
        world.settle().await;
        world.reload(|_| ()).await;
        assert_eq!(served(&world, 1).await, 0);
        world.advance(MINUTE).await;
        assert_eq!(served(&world, 11).await, 10);
    });
}
