//! What a key's specification means, at the start and when a reload says it anew.

use std::sync::Arc;

use crate::clock::Moment;
use crate::policy::concurrency::Concurrency;
use crate::policy::key_state::{KeyHealth, Sharing};
use crate::policy::pace::{Learned, Pace};
use crate::policy::quota::Quota;
use crate::spec::{KeySpec, Limits, WindowLimit};

use super::super::kernel::{Me, On};
use super::super::message::{Amend, Amended, Leave, Logging};
use super::{Key, KeyRelic, Stage, Unkept};

/// What a person reads who asks why such a key isn't used.
pub(super) const NOT_ENABLED: &str = "enabled = false";
/// The same, while the last calls of such a key end.
const NOT_NAMED: &str = "it isn't in the configuration any more";

/// What follows from a key's specification alone.
pub(super) struct KeyTerms {
    pub(super) permitted_per_second: Option<f64>,
    pub(super) logging: Logging,
}

impl KeyTerms {
    pub(super) fn of(spec: &KeySpec) -> Self {
        let windows = &spec.limits.windows;
        Self {
            permitted_per_second: Quota::new(windows).permitted_per_second(),
            logging: if spec.rotation.log_failures { Logging::On } else { Logging::Off },
        }
    }
}

/// The windows that a key keeps itself: a group's are kept by the provider, for all its keys together.
pub(super) fn own_windows(spec: &KeySpec) -> &[WindowLimit] {
    match spec.quota_group {
        None => &spec.limits.windows,
        Some(_) => &[],
    }
}

/// The concurrency that those limits tell; what was `learned` counts where nothing is told.
pub(super) fn concurrency_of(limits: &Limits, learned: Option<u32>) -> Concurrency {
    match limits.concurrency {
        Some(limit) => Concurrency::fixed(limit),
        None if limits.windows.is_empty() => Concurrency::learned(learned),
        None => Concurrency::paced(),
    }
}

/// The pace of a key whose limits are told so; what was `learned` counts where none is told.
pub(super) fn pace_of(spec: &KeySpec, learned: Option<Learned>, now: Moment) -> Pace {
    let Limits { windows, concurrency } = &spec.limits;
    if windows.is_empty() && concurrency.is_none() {
        return Pace::unknown(learned, now);
    }
    Pace::declared(Quota::new(windows).permitted_per_second())
}

impl KeyRelic {
    /// Goes on as the configuration says now.
    pub(crate) fn amend(&mut self, amend: &Amend) {
        follow(amend, &mut self.health, &mut self.quota, &mut self.concurrency);
        self.pace.amend(&pace_of(&amend.spec, None, Moment::ZERO));
    }
}

impl Key {
    /// Goes on as the configuration says now.
    fn amend(&mut self, amend: &Amend) {
        follow(amend, &mut self.health, &mut self.quota, &mut self.concurrency);
        let KeyTerms { permitted_per_second, logging } = KeyTerms::of(&amend.spec);
        self.pace.amend(&pace_of(&amend.spec, None, Moment::ZERO));
        self.permitted_per_second = permitted_per_second;
        self.logging = logging;
        self.line = Arc::clone(&amend.line);
        self.unkept = Unkept::Something;
    }
}

/// What the configuration says anew, for all that decides about a key.
fn follow(amend: &Amend, health: &mut KeyHealth, quota: &mut Quota, concurrency: &mut Concurrency) {
    let Amend { spec, line, uses, .. } = amend;
    let sharing = if spec.quota_group.is_some() { Sharing::Grouped } else { Sharing::Alone };
    health.amend(spec.rotation.clone(), sharing);
    if spec.enabled {
        health.configured_on();
    } else {
        health.configured_off(NOT_ENABLED);
    }
    *quota = match uses {
        Some(group) => group.parted(own_windows(spec)),
        None => quota.relimited(own_windows(spec)),
    };
    if line.hub.state.is_some() {
        quota.reserve_long_windows();
    }
    concurrency.amend(&concurrency_of(&spec.limits, None));
}

impl On<Amend> for Key {
    fn on(&mut self, amend: Amend, me: &mut Me<'_, Self>) {
        self.amend(&amend);
        self.flow(me);
        self.tell(Amended { key: self.index, reload: amend.reload });
    }
}

impl On<Leave> for Key {
    fn on(&mut self, Leave { reload }: Leave, me: &mut Me<'_, Self>) {
        self.stage = Stage::Leaving;
        self.health.configured_off(NOT_NAMED);
        self.unkept = Unkept::Something;
        self.tell(Amended { key: self.index, reload });
        self.flow(me);
    }
}
