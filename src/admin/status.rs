//! Puts a status together: from the board of a running wheel, or from what the last one left.

use keywheel_actors::board::{Cause, KeyCounts, KeyState, KeyView, ProviderView};
use keywheel_actors::clock::Moment;
use keywheel_actors::id::KeyId;
use keywheel_actors::outcome::Scope;
use keywheel_actors::secret::{FingerprintKey, Secret};
use keywheel_actors::spec::{KeySpec, ProviderSpec};
use keywheel_actors::store::{Memory, Wall};
use keywheel_actors::{Keeping, Wheel};

use super::report::{KeyReport, ProviderReport, ProviderState, Source, StatusReport};
use crate::config::{Config, KeyOutline, Outline, ProviderOutline};

/// How providers and keys are right now.
pub(super) fn live(config: &Config, wheel: &Wheel, source: Source) -> StatusReport {
    let clock = wheel.clock();
    let now = clock.now();
    let dated = |moment: Moment| Wall::from(clock.wall(moment));
    let views = wheel.board().providers();
    let providers = config.wheel.providers.iter().map(|provider| {
        let view = views.iter().find(|(id, _)| *id == provider.id).map(|(_, view)| view.clone());
        let view = view.unwrap_or_default();
        let until = view.resting_until.filter(|until| *until > now).map(dated);
        let keys = provider.keys.iter().map(|key| {
            let id = KeyId { provider: provider.id.clone(), key: key.name.clone() };
            let seen = wheel.board().key(&id).unwrap_or_default();
            of_key(key, &config.wheel.fingerprints, &seen, until, dated)
        });
        of_provider(provider, &view, until, keys.collect())
    });
    let providers = providers.chain(config.disabled.iter().map(|id| ProviderReport {
        id: id.to_string(),
        state: ProviderState::Disabled,
        until: None,
        queued: 0,
        in_flight: 0,
        fell_over: 0,
        keys: Vec::new(),
    }));
    StatusReport { source, at: dated(now), not_durable: not_durable(wheel), providers: providers.collect() }
}

fn not_durable(wheel: &Wheel) -> Option<String> {
    match wheel.keeping() {
        Keeping::Durably => None,
        Keeping::Nothing => Some("the state couldn't be used when it began".to_owned()),
        Keeping::Failing { why } => Some(why.to_string()),
    }
}

fn of_provider(
    provider: &ProviderSpec,
    view: &ProviderView,
    until: Option<Wall>,
    keys: Vec<KeyReport>,
) -> ProviderReport {
    ProviderReport {
        id: provider.id.to_string(),
        state: if until.is_some() { ProviderState::Resting } else { ProviderState::Active },
        until,
        queued: view.queued,
        in_flight: view.in_flight,
        fell_over: view.fell_over,
        keys,
    }
}

/// A key that works is blocked all the same while its provider rests.
fn of_key(
    key: &KeySpec,
    fingerprints: &FingerprintKey,
    view: &KeyView,
    provider_rests: Option<Wall>,
    dated: impl Fn(Moment) -> Wall,
) -> KeyReport {
    let why = view.status.why.as_ref();
    let (scope, until) = match why {
        Some(why) => (Some(why.scope), why.until.map(dated)),
        None => (provider_rests.map(|_| Scope::Provider), provider_rests),
    };
    KeyReport {
        name: key.name.to_string(),
        fingerprint: Some(key.secret.fingerprint(fingerprints)),
        masked: Some(key.secret.masked()),
        quota_group: key.quota_group.as_ref().map(ToString::to_string),
        status: view.status.state,
        cause: why.map(|why| why.cause.as_str().to_owned()),
        scope,
        until,
        message: why.map(|why| why.message.to_string()).filter(|message| !message.is_empty()),
        in_flight: view.in_flight,
        concurrency: Some(view.concurrency),
        permitted_per_second: view.permitted_per_second,
        counts: view.counts,
    }
}

/// Adds the keys of providers that the configuration leaves out: a running wheel knows nothing of these.
pub(super) fn with_disabled(
    mut report: StatusReport,
    outline: &Outline,
    fingerprints: Option<&FingerprintKey>,
) -> StatusReport {
    for provider in report.providers.iter_mut().filter(|provider| provider.state == ProviderState::Disabled) {
        let Some(outlined) = outline.provider(&provider.id).filter(|outlined| !outlined.enabled) else {
            continue;
        };
        let keys = outlined.keys.iter();
        provider.keys =
            keys.map(|key| of_memory(outlined, key, &Memory::default(), fingerprints, report.at)).collect();
    }
    report
}

/// What is remembered of the keys of a configuration.
pub(super) fn remembered(
    outline: &Outline,
    memory: &Memory,
    fingerprints: Option<&FingerprintKey>,
    at: Wall,
) -> StatusReport {
    let saved = Some(memory.presence.seen).filter(|seen| *seen > Wall::default());
    let providers = outline.providers.iter().map(|provider| ProviderReport {
        id: provider.id.to_string(),
        state: if provider.enabled { ProviderState::Active } else { ProviderState::Disabled },
        until: None,
        queued: 0,
        in_flight: 0,
        fell_over: 0,
        keys: provider.keys.iter().map(|key| of_memory(provider, key, memory, fingerprints, at)).collect(),
    });
    StatusReport { source: Source::Durable { saved }, at, not_durable: None, providers: providers.collect() }
}

fn of_memory(
    provider: &ProviderOutline,
    key: &KeyOutline,
    memory: &Memory,
    fingerprints: Option<&FingerprintKey>,
    at: Wall,
) -> KeyReport {
    let id = KeyId { provider: provider.id.clone(), key: key.name.clone() };
    let secret = key.secret.as_ref().ok();
    let fingerprint = secret.zip(fingerprints).map(|(secret, key)| secret.fingerprint(key));
    // Another secret under the same name has no past; of one that isn't here nobody can tell.
    let known = memory.keys.get(&id).filter(|known| fingerprint.is_none_or(|now| known.concerns(now)));
    let rests = known.iter().flat_map(|known| &known.rests);
    let worst = rests
        .filter(|rest| rest.until.is_none_or(|until| until > at))
        .max_by_key(|rest| (rest.lane.is_none(), rest.state.severity(), rest.until.is_none(), rest.until));
    let enabled = provider.enabled && key.enabled;
    let (status, cause) = match (enabled, worst) {
        (false, _) => (KeyState::Disabled, Some(Cause::Configuration)),
        (true, Some(rest)) => (rest.state, Some(rest.cause)),
        (true, None) => (KeyState::Active, None),
    };
    let worst = worst.filter(|_| enabled);
    KeyReport {
        name: key.name.to_string(),
        fingerprint,
        masked: secret.map(Secret::masked),
        quota_group: key.quota_group.as_ref().map(ToString::to_string),
        status,
        cause: cause.map(|cause| cause.as_str().to_owned()),
        scope: match worst {
            Some(rest) => Some(rest.scope()),
            None => cause.map(|_| if provider.enabled { Scope::Key } else { Scope::Provider }),
        },
        until: worst.and_then(|rest| rest.until),
        message: worst.map(|rest| rest.message.to_string()).filter(|message| !message.is_empty()),
        in_flight: 0,
        concurrency: known.and_then(|known| known.concurrency),
        permitted_per_second: None,
        counts: KeyCounts::default(),
    }
}
