//! What a good configuration contains, in words and for programs.

use comfy_table::{Table, presets};
use keywheel_actors::id::QuotaGroup;
use keywheel_actors::spec::{Dimension, KeySpec, Limits, ProviderSpec};
use serde::Serialize;

use crate::config::Config;
use crate::ui::number::rate;

/// What a configuration contains.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(super) struct Contents {
    /// The providers that take part, as listed.
    pub(super) providers: Vec<ProviderContents>,
    /// Providers that are left out.
    pub(super) disabled: Vec<String>,
    /// Routes of single models.
    pub(super) routes: Vec<RouteContents>,
    /// Who serves every other model, in this order.
    pub(super) fallback_order: Vec<String>,
    /// All of them together.
    pub(super) permitted: Permitted,
}

/// One provider.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(super) struct ProviderContents {
    /// Its id.
    pub(super) id: String,
    /// How it speaks.
    pub(super) dialect: &'static str,
    /// Where it listens.
    pub(super) base_url: String,
    /// All its keys.
    pub(super) keys: usize,
    /// Those that aren't used until somebody enables them.
    pub(super) keys_disabled: usize,
    /// What its keys may do together.
    pub(super) permitted: Permitted,
}

/// What is permitted, as far as limits are declared.
#[derive(Clone, Copy, Default, PartialEq, Debug, Serialize)]
pub(super) struct Permitted {
    /// Accounts of enabled keys: a quota group is one, a key without a group its own.
    pub(super) accounts: usize,
    /// Those without a limit on requests; theirs are learned.
    pub(super) accounts_unknown: usize,
    /// Requests a second that the others permit for long.
    pub(super) requests_per_second: f64,
}

/// One route.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct RouteContents {
    /// The model as callers name it.
    pub(super) model: String,
    /// `provider/model`, in order.
    pub(super) candidates: Vec<String>,
}

impl Contents {
    /// Those of `config`.
    pub(super) fn of(config: &Config) -> Self {
        let wheel = &config.wheel;
        let providers: Vec<_> = wheel.providers.iter().map(ProviderContents::of).collect();
        let routes = wheel.routes.iter().map(|route| RouteContents {
            model: route.model.to_string(),
            candidates: route.candidates.iter().map(|at| format!("{}/{}", at.provider, at.model)).collect(),
        });
        let order = if wheel.fallback_order.is_empty() {
            providers.iter().map(|provider| provider.id.clone()).collect()
        } else {
            wheel.fallback_order.iter().map(ToString::to_string).collect()
        };
        let all = |sum: Permitted, provider: &ProviderContents| sum.and(provider.permitted);
        Self {
            permitted: providers.iter().fold(Permitted::default(), all),
            providers,
            disabled: config.disabled.iter().map(ToString::to_string).collect(),
            routes: routes.collect(),
            fallback_order: order,
        }
    }

    /// For people.
    pub(super) fn words(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        for provider in &self.providers {
            table.add_row([format!(" {}", provider.id), provider.key_words(), provider.permitted.words()]);
        }
        for id in &self.disabled {
            table.add_row([format!(" {id}"), "disabled".to_owned(), String::new()]);
        }
        let routes = self.routes.iter().fold(String::new(), |text, route| {
            text + &format!("  {} → {}\n", route.model, route.candidates.join(", "))
        });
        let models = if self.routes.is_empty() { "every model" } else { "other models" };
        let keys: usize = self.providers.iter().map(|provider| provider.keys - provider.keys_disabled).sum();
        format!(
            "{table}\n\n{routes}  {models} → {order}\n\nIn all {keys} of {providers}: {permitted}\n",
            table = table.trim_fmt(),
            order = self.fallback_order.join(", "),
            keys = counted(keys, "key"),
            providers = counted(self.providers.len(), "provider"),
            permitted = self.permitted.words(),
        )
    }
}

impl ProviderContents {
    fn of(spec: &ProviderSpec) -> Self {
        Self {
            id: spec.id.to_string(),
            dialect: spec.dialect.name(),
            base_url: spec.base_url.clone(),
            keys: spec.keys.len(),
            keys_disabled: spec.keys.iter().filter(|key| !key.enabled).count(),
            permitted: permitted(&spec.keys),
        }
    }

    fn key_words(&self) -> String {
        let keys = counted(self.keys, "key");
        if self.keys_disabled == 0 { keys } else { format!("{keys}, {} disabled", self.keys_disabled) }
    }
}

impl Permitted {
    fn and(self, other: Self) -> Self {
        Self {
            accounts: self.accounts + other.accounts,
            accounts_unknown: self.accounts_unknown + other.accounts_unknown,
            requests_per_second: self.requests_per_second + other.requests_per_second,
        }
    }

    fn words(self) -> String {
        let known = format!("{} requests permitted", rate(self.requests_per_second));
        match self.accounts_unknown {
            0 if self.accounts == 0 => "nothing permitted".to_owned(),
            0 => known,
            unknown if unknown == self.accounts => "limits to be learned".to_owned(),
            unknown => format!("{known}, and what {} of unknown limits gives", counted(unknown, "account")),
        }
    }
}

fn permitted(keys: &[KeySpec]) -> Permitted {
    let mut groups: Vec<&QuotaGroup> = Vec::new();
    let mut sum = Permitted::default();
    for key in keys.iter().filter(|key| key.enabled) {
        if let Some(group) = &key.quota_group {
            if groups.contains(&group) {
                continue;
            }
            groups.push(group);
        }
        let per_second = requests_per_second(&key.limits);
        sum = sum.and(Permitted {
            accounts: 1,
            accounts_unknown: usize::from(per_second.is_none()),
            requests_per_second: per_second.unwrap_or_default(),
        });
    }
    sum
}

/// What the tightest window on requests permits for long.
fn requests_per_second(limits: &Limits) -> Option<f64> {
    let requests = limits.windows.iter().filter(|limit| limit.dimension == Dimension::Requests);
    requests.map(|limit| limit.count as f64 / limit.window.as_secs_f64()).reduce(f64::min)
}

/// `1 key`, `2 keys`.
pub(super) fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
mod tests {
    use keywheel_actors::secret::Secret;
    use keywheel_actors::spec::{DAY, WindowLimit};

    use super::*;

    #[test]
    fn a_group_counts_once_by_its_tightest_window() {
        let limits = Limits::rpm_with_burst(600, 5).and(WindowLimit::requests(86_400, DAY));
        let key = |name: &str| KeySpec::new(name, Secret::new("sk")).limited(limits.clone());
        let grouped = |name: &str| KeySpec { quota_group: Some("org".into()), ..key(name) };
        let off = KeySpec { enabled: false, ..key("off") };
        let unknown = KeySpec::new("unknown", Secret::new("sk"));
        let sum = permitted(&[grouped("a"), grouped("b"), key("c"), off, unknown]);
        assert_eq!(sum, Permitted { accounts: 3, accounts_unknown: 1, requests_per_second: 2.0 });
        assert_eq!(sum.words(), "2.0/s requests permitted, and what 1 account of unknown limits gives");
    }
}
