//! `rotation` and `timeouts`: the nearest level wins, field by field.

use std::time::Duration;

use keywheel_actors::spec::{Pick, Rotation, Timeouts};

use super::tree::Node;

/// Failures before a key is `failed`; more is as good as never.
pub(super) const FAILURES_MAX: u64 = 1_000_000;

/// Shorter durations are slips of the unit, and tokio's timers have this grain.
pub(super) const DURATION_MIN: Duration = Duration::from_millis(1);

/// What a `rotation` may say.
pub(super) const ROTATION_FIELDS: [&str; 6] =
    ["pick", "max_failures", "failure_reset", "rate_limit_backoff", "log_failures", "fallback_after"];

/// What `timeouts` may say.
pub(super) const TIMEOUT_FIELDS: [&str; 6] =
    ["connect", "whole_content", "first_content", "first_content_with_fallback", "idle", "total"];

/// Where a `rotation` stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Level {
    /// At the top, or in a provider.
    ManyKeys,
    /// In a key.
    OneKey,
}

/// `inherited` with whatever `node` says otherwise.
pub(super) fn read(node: Option<Node<'_>>, inherited: &Rotation, level: Level) -> Rotation {
    let mut rotation = inherited.clone();
    let fields = node.and_then(|node| node.fields(&ROTATION_FIELDS));
    let Some(fields) = fields else { return rotation };

    if let Some(node) = fields.get("pick") {
        if level == Level::OneKey {
            let hint = "move it to `[provider.rotation]`";
            node.warn("`pick` chooses among keys, so it does nothing in one of them", Some(hint.to_owned()));
        }
        set(&mut rotation.pick, node.choice("pick", &Pick::ALL));
    }
    if let Some(node) = fields.get("max_failures") {
        let failures = node.whole(1..=FAILURES_MAX).and_then(|failures| u32::try_from(failures).ok());
        set(&mut rotation.max_failures, failures);
    }
    let duration = |name| fields.get(name).and_then(|node| node.duration(DURATION_MIN));
    set(&mut rotation.failure_reset, duration("failure_reset"));
    set(&mut rotation.rate_limit_backoff, duration("rate_limit_backoff"));
    set(&mut rotation.log_failures, fields.get("log_failures").and_then(|node| node.switch()));
    if let Some(node) = fields.get("fallback_after") {
        // A nearer level needs a word for what the default is.
        if node.says("never") {
            rotation.fallback_after = None;
        } else {
            set(&mut rotation.fallback_after, node.duration(Duration::ZERO).map(Some));
        }
    }
    rotation
}

/// `inherited` with whatever `node` says otherwise.
pub(super) fn read_timeouts(node: Option<Node<'_>>, inherited: &Timeouts) -> Timeouts {
    let mut timeouts = *inherited;
    let fields = node.and_then(|node| node.fields(&TIMEOUT_FIELDS));
    let Some(fields) = fields else { return timeouts };

    let duration = |name| fields.get(name).and_then(|node| node.duration(DURATION_MIN));
    set(&mut timeouts.connect, duration("connect"));
    set(&mut timeouts.whole_content, duration("whole_content"));
    set(&mut timeouts.first_content, duration("first_content"));
    set(&mut timeouts.first_content_with_fallback, duration("first_content_with_fallback"));
    set(&mut timeouts.idle, duration("idle"));
    set(&mut timeouts.total, duration("total"));
    timeouts
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}
