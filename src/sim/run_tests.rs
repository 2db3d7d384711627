//! Stories told to one run, with exact times and no sockets.

use std::borrow::Cow;

use keywheel_actors::spec::MINUTE;

use super::super::ask::{Form, Manner};
use super::super::spec::{KeySpec, LimitSpec};
use super::*;

/// What a call met, in a word.
fn send(run: &Run, at_ms: u64, secret: &str) -> Outcome {
    send_as(run, at_ms, secret, None)
}

fn send_as(run: &Run, at_ms: u64, secret: &str, id: Option<&str>) -> Outcome {
    let before = run.ledger(Moment::ZERO);
    let ask = Ask { max_tokens: 9, ..Ask::plain(Cow::Borrowed("m"), "[]", Form::Chat(Manner::Whole)) };
    let request_id = id.map(str::as_bytes);
    run.decide(millis_in(at_ms), &Call { secret: Some(secret), request_id, work: Work::Ask(ask) });
    let after = run.ledger(Moment::ZERO);
    let changed = |outcome: &Outcome| after.count(*outcome) > before.count(*outcome);
    Outcome::ALL.into_iter().find(changed).expect("every call is entered")
}

fn millis_in(ms: u64) -> Moment {
    Moment::after_start(Duration::from_millis(ms))
}

fn run(spec: SimSpec) -> Run {
    assert_eq!(spec.mistakes(), [""; 0]);
    Run::new(Arc::new(spec))
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[test]
fn the_script_of_the_issue_happens_on_time() {
    let spec = SimSpec::with_keys(4)
        .at(secs(2), Change::Conduct { key: 3, conduct: Conduct::Invalid })
        .at(secs(5), Change::Availability(Availability::Failing))
        .at(secs(8), Change::Availability(Availability::Up));
    let run = run(spec);
    assert_eq!(send(&run, 1_999, "sk-3"), Outcome::Served);
    assert_eq!(send(&run, 2_000, "sk-3"), Outcome::BadKey);
    assert_eq!(send(&run, 4_999, "sk-0"), Outcome::Served);
    assert_eq!(send(&run, 5_000, "sk-0"), Outcome::Down);
    assert_eq!(send(&run, 7_999, "sk-0"), Outcome::Down);
    assert_eq!(send(&run, 8_000, "sk-0"), Outcome::Served);
    assert_eq!(send(&run, 8_000, "sk-3"), Outcome::BadKey);
}

#[test]
fn a_quota_is_cut_at_its_time_even_if_nobody_looked_then() {
    let spec = SimSpec::with_keys(2)
        .limited(LimitSpec::requests(10, MINUTE))
        .at(secs(30), Change::Quota { key: 1, factor: 0.1 });
    let run = run(spec);
    assert_eq!(send(&run, 0, "sk-1"), Outcome::Served);
    assert_eq!(send(&run, 40_000, "sk-1"), Outcome::Throttled);
    assert_eq!(send(&run, 60_000, "sk-1"), Outcome::Served);
    assert_eq!(send(&run, 60_001, "sk-1"), Outcome::Throttled);
    assert_eq!((send(&run, 60_001, "sk-0"), send(&run, 60_001, "sk-0")), (Outcome::Served, Outcome::Served));
    let ledger = run.ledger(millis_in(60_001));
    assert_eq!((ledger.keys[1].limits[0].count, ledger.keys[1].limits[0].peak), (1, 1));
}

#[test]
fn keys_of_a_group_share_one_limit() {
    let limit = LimitSpec::requests(2, MINUTE);
    let grouped = |key: KeySpec| key.in_group("org").limited(limit);
    let run = run(SimSpec::with_keys(3).key(0, grouped).key(1, grouped).key(2, |key| key.limited(limit)));
    assert_eq!(send(&run, 0, "sk-0"), Outcome::Served);
    assert_eq!(send(&run, 1, "sk-1"), Outcome::Served);
    assert_eq!(send(&run, 2, "sk-0"), Outcome::Throttled);
    assert_eq!(send(&run, 2, "sk-2"), Outcome::Served);
    let ledger = run.ledger(millis_in(2));
    assert_eq!(ledger.keys.iter().map(|key| key.accepted).collect::<Vec<_>>(), [1, 1, 1]);
    assert_eq!(ledger.keys[1].limits, ledger.keys[0].limits);
    assert_eq!(ledger.keys[0].limits[0].peak, 2);
}

#[test]
fn every_conduct_answers_in_its_way() {
    let run = run(SimSpec::with_keys(3)
        .key(0, |key| key.conducting(Conduct::Invalid))
        .key(1, |key| key.conducting(Conduct::OutOfMoney))
        .key(2, |key| key.conducting(Conduct::Disabled)));
    assert_eq!(send(&run, 0, "sk-0"), Outcome::BadKey);
    assert_eq!(send(&run, 0, "sk-1"), Outcome::MoneyGone);
    assert_eq!(send(&run, 0, "sk-2"), Outcome::Disabled);
    assert_eq!(send(&run, 0, "sk-3"), Outcome::BadKey);
    run.change_now(millis_in(1), Change::Conduct { key: 1, conduct: Conduct::Valid }).unwrap();
    assert_eq!(send(&run, 2, "sk-1"), Outcome::Served);
    assert_eq!(run.ledger(millis_in(2)).strangers, BTreeMap::from([(Outcome::BadKey, 1)]));
}

#[test]
fn an_injected_error_costs_quota_unless_told_otherwise() {
    for (failed_calls, accepted) in [(Charge::Counted, 1), (Charge::Free, 0)] {
        let faults = FaultRates { error: 1.0, ..FaultRates::default() };
        let spec = SimSpec { failed_calls, faults, ..SimSpec::default() };
        let run = run(spec.limited(LimitSpec::requests(5, MINUTE)));
        assert_eq!(send(&run, 0, "sk-0"), Outcome::Error);
        let ledger = run.ledger(Moment::ZERO);
        assert_eq!((ledger.keys[0].accepted, ledger.keys[0].limits[0].peak), (accepted, accepted));
    }
}

#[test]
fn the_same_seed_fails_the_same_calls() {
    let outcomes = |seed| {
        let faults = FaultRates { error: 0.3, cut: 0.2, ..FaultRates::default() };
        let run = run(SimSpec { faults, seed, ..SimSpec::default() });
        (0..50).map(|at| send(&run, at, "sk-0")).collect::<Vec<_>>()
    };
    assert_eq!(outcomes(1), outcomes(1));
    assert_ne!(outcomes(1), outcomes(2));
}

#[test]
fn the_ledger_tells_each_request_ids_way() {
    let run = run(SimSpec::with_keys(2).limited(LimitSpec::requests(1, MINUTE)));
    send_as(&run, 1, "sk-0", Some("a"));
    send_as(&run, 2, "sk-0", Some("b"));
    send_as(&run, 3, "sk-1", Some("b"));
    let ledger = run.ledger_with_requests(millis_in(4));
    let entry = |key: &str, outcome, at_ms| RequestEntry { key: Some(key.to_owned()), outcome, at_ms };
    assert_eq!(ledger.request("a"), [entry("k0", Outcome::Served, 1)]);
    assert_eq!(ledger.request("b"), [entry("k0", Outcome::Throttled, 2), entry("k1", Outcome::Served, 3)]);
    assert_eq!((ledger.at_ms, ledger.calls, ledger.requests_forgotten), (4, 3, 0));
    assert_eq!((ledger.keys[0].first_ms, ledger.keys[0].last_ms), (Some(1), Some(2)));
    // The prompt `[]` is a token, and nine more may be produced.
    assert_eq!((ledger.keys[0].accepted, ledger.keys[0].tokens), (1, 10));
}

#[test]
fn an_impossible_change_is_refused() {
    let run = run(SimSpec::default());
    let refused = run.change_now(Moment::ZERO, Change::Quota { key: 0, factor: -1.0 }).unwrap_err();
    assert_eq!(refused.to_string(), "an event scales a quota by -1, which is no share");
}

#[test]
fn while_refusing_connections_are_closed_and_counted() {
    let run = run(SimSpec::default().at(secs(5), Change::Availability(Availability::Refusing)));
    assert!(!run.refuses_connection(millis_in(4_999)));
    assert!(run.refuses_connection(millis_in(5_000)));
    assert_eq!(send(&run, 5_001, "sk-0"), Outcome::Refused);
    assert_eq!(run.ledger(millis_in(5_001)).connections_refused, 1);
}
