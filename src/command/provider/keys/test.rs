//! `keywheel provider keys test`: asks each provider whether its keys are good.

use keywheel_actors::spec::{KeySpec, ProviderSpec};

use super::super::tell::Reader;
use super::super::tested::{self, Desk};
use crate::check;
use crate::config::Source;
use crate::exit::{Exit, UsageError};

/// Test keys with a call that costs nothing; exit code 3 if one isn't valid
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// Only the keys of this provider
    #[arg(long, value_name = "ID")]
    provider: Option<String>,
    /// Only the keys of this name, also disabled ones; may be repeated
    #[arg(long, value_name = "NAME")]
    key: Vec<String>,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Tests and tells.
    pub(super) fn run(self, source: &Source) -> anyhow::Result<Exit> {
        let desk = Desk::open(source)?;
        let providers = match &self.provider {
            Some(id) => vec![desk.provider(id)?],
            None => desk.config.wheel.providers.iter().collect(),
        };
        let here: Vec<String> = self.key.iter().filter(|name| !desk.misses(name)).cloned().collect();
        let keys =
            if here.is_empty() && !self.key.is_empty() { Vec::new() } else { select(&providers, &here)? };
        let missing = desk.tell_missing(|key| {
            self.provider.as_ref().is_none_or(|id| key.provider.as_str() == id)
                && (self.key.is_empty() || self.key.iter().any(|name| key.key.as_str() == name))
        });
        let tests = desk.run(keys.len(), async |upstream, progress| {
            check::each_key(upstream, &keys, &desk.config.validity, progress).await
        })?;
        tested::tell(&tests, missing, source, Reader::of_flag(self.json))
    }
}

/// The keys of these names, or all that may be used.
fn select<'a>(
    providers: &[&'a ProviderSpec],
    names: &[String],
) -> Result<Vec<(&'a ProviderSpec, &'a KeySpec)>, UsageError> {
    let all = || providers.iter().flat_map(|provider| provider.keys.iter().map(|key| (*provider, key)));
    if let Some(unknown) = names.iter().find(|name| !all().any(|(_, key)| key.name.as_str() == name.as_str()))
    {
        return Err(UsageError {
            problem: format!("there is no key `{unknown}`"),
            hint: tested::choose_among(all().map(|(_, key)| key.name.as_str())),
        });
    }
    let is_wanted = |key: &KeySpec| {
        if names.is_empty() { key.enabled } else { names.iter().any(|name| key.name.as_str() == name) }
    };
    Ok(all().filter(|(_, key)| is_wanted(key)).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use keywheel_actors::dialect::OpenAi;
    use keywheel_actors::secret::Secret;

    use super::*;

    fn provider(id: &str) -> ProviderSpec {
        let key = |name: &str, enabled| KeySpec { enabled, ..KeySpec::new(name, Secret::new("k")) };
        ProviderSpec::new(id, Arc::new(OpenAi), "http://127.0.0.1:1")
            .with_key(key("on", true))
            .with_key(key("off", false))
    }

    #[test]
    fn all_keys_in_use_or_those_that_are_named() {
        let (a, b) = (provider("a"), provider("b"));
        let selected = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let keys = select(&[&a, &b], &names)?;
            Ok::<_, UsageError>(
                keys.iter()
                    .map(|(provider, key)| format!("{}/{}", provider.id, key.name))
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(selected(&[]).unwrap(), ["a/on", "b/on"]);
        assert_eq!(selected(&["off"]).unwrap(), ["a/off", "b/off"]);
        assert_eq!(
            selected(&["none"]).unwrap_err().to_string(),
            "there is no key `none`\n  hint: choose among on, off"
        );
    }
}
