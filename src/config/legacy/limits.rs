//! Limits, under the names that people gave them.

use super::bag::Bag;
use super::desk::Desk;
use super::section::Section;
use crate::config::limits::{BURST_BOUNDS, FIELDS};

/// Ours with theirs.
const NAMES: [(&str, &[&str]); 11] = [
    ("rps", &["rps", "requestspersecond"]),
    ("rpm", &["rpm", "requestsperminute", "maxrequestsperminute", "ratelimitperminute"]),
    (
        "rpd",
        &["rpd", "requestsperday", "maxrequestsperday", "maxdailyusage", "dailylimit", "dailyrequestlimit"],
    ),
    ("burst", &["burst", "burstsize"]),
    ("tpm", &["tpm", "tokensperminute", "maxtokensperminute"]),
    ("tpd", &["tpd", "tokensperday", "maxtokensperday"]),
    ("itpm", &["itpm", "inputtokensperminute", "maxinputtokensperminute"]),
    ("itpd", &["itpd", "inputtokensperday", "maxinputtokensperday"]),
    ("otpm", &["otpm", "outputtokensperminute", "maxoutputtokensperminute"]),
    ("otpd", &["otpd", "outputtokensperday", "maxoutputtokensperday"]),
    ("concurrency", &["concurrency", "maxconcurrency", "maxconcurrent", "maxconcurrentrequests"]),
];

/// Records that hold nothing but limits.
const RECORDS: &[&str] = &["limits", "ratelimit", "ratelimits", "quota", "quotas"];

/// Reads the limits in `bag`, and those in records of their own inside it.
pub(super) fn read(section: &mut Section, desk: &mut Desk, bag: &mut Bag<'_>) {
    read_fields(section, desk, bag);
    while let Some(found) = bag.take(desk, RECORDS) {
        if found.json.members().is_none() {
            section.comments.push(desk.misfit(&found, "a record"));
            continue;
        }
        let mut inner = Bag::of(&*found.path, found.json);
        read_fields(section, desk, &mut inner);
        section.keep_rest(desk, &mut inner);
    }
}

fn read_fields(section: &mut Section, desk: &mut Desk, bag: &mut Bag<'_>) {
    for (name, most) in FIELDS {
        let theirs = NAMES.iter().find(|(ours, _)| *ours == name).map_or(&[][..], |(_, theirs)| *theirs);
        let found = bag.take(desk, theirs);
        // A bucket needs a limit that fills it, and holds no more than that grants in its time.
        let most = if name == "burst" { burst_max(section).min(most) } else { most };
        section.convert(desk, name, found.as_ref(), "a whole number from 1", |found| {
            let count = found.json.whole().filter(|count| (1..=most).contains(count))?;
            i64::try_from(count).ok()
        });
    }
}

/// The largest bucket that the limits before it allow; none without one that fills it.
fn burst_max(section: &Section) -> u64 {
    let count = |name: &str| {
        let field = section.fields.iter().find(|field| field.name == name)?;
        field.value.as_integer().and_then(|count| u64::try_from(count).ok())
    };
    if count("rps").or(count("rpm")).is_none() {
        return 0;
    }
    BURST_BOUNDS.iter().filter_map(|(name, times, _)| Some(count(name)? * times)).min().unwrap_or_default()
}
