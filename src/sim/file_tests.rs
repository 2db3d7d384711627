//! What is written is what is meant, and mistakes are told.

use std::fmt::Write as _;

use keywheel_actors::spec::{DAY, MINUTE};

use super::*;

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn mistakes(text: &str) -> Vec<String> {
    match parse(text) {
        Err(FileError::Mistakes(mistakes)) => mistakes,
        other => panic!("no list of mistakes: {other:?}"),
    }
}

#[test]
fn the_example_of_the_documentation_is_understood() {
    let documentation = include_str!("../../docs/sim.md");
    let (_, rest) = documentation.split_once("```toml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let spec = parse(example).unwrap();

    assert_eq!(spec.listen, "127.0.0.1:18080".parse().unwrap());
    assert_eq!(
        (spec.seed, spec.headers, &*spec.models),
        (1, HeaderStyle::OpenAi, &["gpt-4o-mini".to_owned()][..])
    );
    assert_eq!((spec.refused_calls, spec.failed_calls), (Charge::Free, Charge::Counted));
    assert_eq!(spec.pace.first_byte, Latency::LogNormal { median: secs(1) / 20, p99: secs(2) / 5 });
    assert_eq!((spec.faults.error, spec.faults.stall_for), (0.02, secs(30)));

    let names: Vec<_> = spec.keys.iter().map(|key| (&*key.name, &*key.secret)).collect();
    assert_eq!(
        names,
        [
            ("k0", "sk-0"),
            ("k1", "sk-1"),
            ("k2", "sk-2"),
            ("team-a", "sk-a"),
            ("team-b", "sk-b"),
            ("old", "sk-old")
        ]
    );
    let bucket = LimitSpec::requests(300, MINUTE).shaped(Shape::TokenBucket { burst: 5 });
    assert_eq!(spec.keys[0].limits, [bucket]);
    assert_eq!(
        spec.keys[3].limits,
        [
            LimitSpec::requests(500, MINUTE),
            LimitSpec::tokens(200_000, MINUTE),
            LimitSpec::requests(10_000, DAY).shaped(Shape::FixedWindow),
        ]
    );
    assert_eq!(spec.keys[4].quota_group.as_deref(), Some("org-1"));
    assert_eq!(spec.keys[5].conduct, Conduct::Invalid);

    let event = |at, change| Event { at: secs(at), change };
    assert_eq!(
        spec.script,
        [
            event(2, Change::Conduct { key: 2, conduct: Conduct::Invalid }),
            event(3, Change::Quota { key: 1, factor: 0.1 }),
            event(5, Change::Availability(Availability::Failing)),
            event(8, Change::Availability(Availability::Up)),
            event(10, Change::Faults(FaultRates { cut: 0.1, ..FaultRates::default() })),
            event(12, Change::Faults(spec.faults)),
            event(12, Change::FirstByte(Latency::Fixed(secs(1)))),
        ]
    );
}

#[test]
fn what_is_left_out_has_its_default() {
    assert_eq!(parse("[[key]]").unwrap(), SimSpec::default());
    let bucket = parse("[[key]]\nlimits = [{ requests = 60, per = '1m', window = 'token_bucket' }]").unwrap();
    assert_eq!(bucket.keys[0].limits[0].shape, Shape::TokenBucket { burst: 60 });
}

#[test]
fn an_unknown_field_is_named_with_its_line() {
    let error = parse("seed = 1\n[[key]]\nsecrets = 'x'\n").unwrap_err().to_string();
    assert!(error.contains("line 3") && error.contains("unknown field `secrets`"), "{error}");
    assert!(error.contains("hint: "), "{error}");
    let error = parse("[[key]]\nlimits = [{ requests = 1, per = '60' }]").unwrap_err().to_string();
    assert!(error.contains("`60` is no duration"), "{error}");
}

#[test]
fn all_mistakes_of_a_file_are_told_at_once() {
    let mut text = String::from(
        "[[key]]\nlimits = [{ per = '1m' }, { tokens = 5, per = '1m', burst = 1, window = 'fixed' }]\n\
         [[key]]\nrepeat = 2\nname = 'x'\n",
    );
    for event in [
        "at = '1s'",
        "at = '1s'\nquota = 0.5",
        "at = '1s'\nkey = 'y'\nquota = 0.5",
        "at = '1s'\nkey = 'k0'\nquota = 0.5\nconduct = 'valid'",
        "at = '2s'\nuntil = '1s'\nprovider = 'refusing'",
        "at = '2s'\nkey = 'k0'\nprovider = 'refusing'",
    ] {
        let _ = writeln!(text, "[[event]]\n{event}");
    }
    assert_eq!(
        mistakes(&text),
        [
            "a limit of [[key]] 1 needs one of `requests`, `tokens`, `input_tokens`, `output_tokens`",
            "a limit of [[key]] 1 has a `burst`, which only a token bucket has",
            "a [[key]] with `repeat` can't have one `name` or `secret` for all",
            "[[event]] 1 needs exactly one of `conduct`, `quota`, `provider`, `faults`, `first_byte`",
            "[[event]] 2 needs the name of a `key`",
            "[[event]] 3 names the key `y`, which isn't there",
            "[[event]] 4 needs exactly one of `conduct`, `quota`, `provider`, `faults`, `first_byte`",
            "[[event]] 5 ends before it begins",
            "[[event]] 6 names a `key`, but changes the whole provider",
            "two keys are named `x`",
        ]
    );
    let none = "there are no keys, so nobody could call";
    assert_eq!(mistakes(""), [none]);
    assert_eq!(mistakes("[[key]]\nrepeat = 1_000_001"), ["[[key]] 1 makes more than 1000000 keys", none]);
}
