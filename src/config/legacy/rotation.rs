//! `keyRotationConfig`, and the durations of the prototype.

use std::time::Duration;

use keywheel_actors::unit::parse_duration;

use super::bag::{Bag, Found, plain};
use super::desk::Desk;
use super::json::Json;
use super::section::Section;
use crate::config::duration::exact;
use crate::config::rotation::{DURATION_MIN, FAILURES_MAX};
use crate::config::tree::DURATION_MAX;

/// What the strategies of the prototype and its kin are called here.
const STRATEGIES: [(&str, &str); 20] = [
    ("roundrobin", "round_robin"),
    ("sequential", "round_robin"),
    ("weighted", "weighted"),
    ("weightedroundrobin", "weighted"),
    ("leastused", "least_in_flight"),
    ("leastinflight", "least_in_flight"),
    ("leastconnections", "least_in_flight"),
    ("leastrecentlyused", "least_in_flight"),
    ("leastloaded", "least_in_flight"),
    ("fastest", "fastest"),
    ("latency", "fastest"),
    ("lowestlatency", "fastest"),
    ("primaryfirst", "primary_first"),
    ("primary", "primary_first"),
    ("failover", "primary_first"),
    ("fallback", "primary_first"),
    ("priority", "primary_first"),
    ("sticky", "primary_first"),
    ("sticktocurrent", "primary_first"),
    ("current", "primary_first"),
];

/// What a number means behind the end of a name; without one it is milliseconds, as in JavaScript.
const UNITS: [(&str, f64); 10] = [
    ("days", 86_400.0),
    ("hours", 3_600.0),
    ("hrs", 3_600.0),
    ("minutes", 60.0),
    ("mins", 60.0),
    ("seconds", 1.0),
    ("secs", 1.0),
    ("milliseconds", 1e-3),
    ("millis", 1e-3),
    ("ms", 1e-3),
];

/// Reads everything about rotation that is in `bag`; the rest stays there.
pub(super) fn read(section: &mut Section, desk: &mut Desk, bag: &mut Bag<'_>) {
    if let Some(found) = bag.take(desk, &["strategy", "rotationstrategy", "pick", "selectionstrategy"]) {
        read_strategy(section, desk, &found);
    }
    let found = bag.take(desk, &["maxfailures", "maxfailuresbefore*", "failurethreshold", "maxfailurecount"]);
    section.convert(desk, "max_failures", found.as_ref(), "a whole number from 1", |found| {
        let failures = found.json.whole().filter(|failures| (1..=FAILURES_MAX).contains(failures))?;
        i64::try_from(failures).ok()
    });
    for (name, theirs) in [
        ("failure_reset", &["failurereset*"][..]),
        ("rate_limit_backoff", &["ratelimitbackoff*", "ratelimitcooldown*"]),
        ("fallback_after", &["fallbackafter*"]),
    ] {
        let found = bag.take(desk, theirs);
        section.convert(desk, name, found.as_ref(), "a duration", duration);
    }
    let found = bag
        .take(desk, &["enablefailurelogging", "logfailures", "enablelogging", "failurelogging", "logging"]);
    section.convert(desk, "log_failures", found.as_ref(), "true or false", |found| found.json.switch());
    if let Some(found) = bag.take(desk, &["enableautorotation", "autorotate", "autorotation"]) {
        match found.json.switch() {
            Some(true) => desk.told(&found.path, found.json, "keys always rotate here: nothing to write"),
            Some(false) | None => {
                section.comments.push(desk.misfit(&found, "true, and keys always rotate here"));
            }
        }
    }
}

fn read_strategy(section: &mut Section, desk: &mut Desk, found: &Found<'_>) {
    if found.json.text().is_some_and(|text| plain(text) == "random") && !section.has("pick") {
        section.set("pick", "round_robin", found.json.offset);
        desk.told(&found.path, found.json, "`random` became `round_robin`, which spreads as evenly");
        return;
    }
    section.convert(desk, "pick", Some(found), "a strategy that is known here", |found| {
        let said = plain(found.json.text()?);
        STRATEGIES.iter().find(|(theirs, _)| *theirs == said).map(|(_, ours)| *ours)
    });
}

/// A duration as text with units, or as a number in the unit that its name ends with.
pub(super) fn duration(found: &Found<'_>) -> Option<String> {
    let duration = match found.json.text().and_then(parse_duration) {
        Some(duration) => duration,
        None => Duration::try_from_secs_f64(found.json.number()? * unit(found.name)).ok()?,
    };
    (DURATION_MIN..=DURATION_MAX).contains(&duration).then(|| exact(duration))
}

fn unit(name: &str) -> f64 {
    let name = plain(name);
    UNITS.iter().find(|(end, _)| name.ends_with(end)).map_or(1e-3, |(_, seconds)| *seconds)
}

/// All rotation that stands in one record of its own; a text is the strategy alone.
pub(super) fn read_record(section: &mut Section, desk: &mut Desk, found: &Found<'_>) {
    if found.json.text().is_some() {
        read_strategy(section, desk, found);
        return;
    }
    if found.json.members().is_none() {
        section.comments.push(desk.misfit(found, "a record"));
        return;
    }
    let mut bag = Bag::of(&*found.path, found.json);
    read(section, desk, &mut bag);
    section.keep_rest(desk, &mut bag);
}

/// What the prototype did where nothing was said: it kept to a key until that failed.
pub(super) fn as_the_prototype(section: &mut Section, desk: &mut Desk, json: &Json) {
    if !section.has("pick") {
        section.set("pick", "primary_first", json.offset);
        let message = "no strategy is said, so keys are taken as the prototype did: `pick = \"primary_first\"`; \
                       `round_robin` spreads the load";
        desk.told("keyRotationConfig", json, message);
    }
}
