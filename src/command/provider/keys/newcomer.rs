//! What a new key must get past: names that are taken, secrets that are there already, keys of somebody else.

use std::collections::HashSet;

use keywheel_actors::secret::Secret;

use super::foreign;
use crate::config::{KeyOutline, ProviderOutline};
use crate::exit::UsageError;
use crate::ui::screen::say;

/// The key with the same secret, as far as that can be told here.
pub(in super::super) fn twin<'o>(provider: &'o ProviderOutline, secret: &Secret) -> Option<&'o KeyOutline> {
    provider.keys.iter().find(|key| key.secret.as_ref() == Ok(secret))
}

/// Refuses a secret that another key than `own` has, and warns of one that looks out of place.
pub(in super::super) fn admit(
    provider: &ProviderOutline,
    own: Option<&str>,
    secret: &Secret,
) -> Result<(), UsageError> {
    if let Some(twin) = twin(provider, secret).filter(|twin| Some(twin.name.as_str()) != own) {
        return Err(UsageError {
            problem: format!("the key `{}/{}` has the same secret", provider.id, twin.name),
            hint: "the same credential twice gives no more quota; nothing was changed".to_owned(),
        });
    }
    if let Some(warning) = foreign::warning(provider, secret) {
        say(&format!("warning: {warning}"));
    }
    Ok(())
}

/// Gives new keys their names.
pub(in super::super) struct Names {
    taken: HashSet<String>,
    next: usize,
}

impl Names {
    /// For a provider with these keys.
    pub(in super::super) fn of(provider: &ProviderOutline) -> Self {
        let taken = provider.keys.iter().map(|key| key.name.to_string()).collect();
        Self { taken, next: provider.keys.len() + 1 }
    }

    /// Takes a name, unless another key has it.
    pub(in super::super) fn take(&mut self, name: &str) -> bool {
        self.taken.insert(name.to_owned())
    }

    /// The next free `key-N`.
    pub(in super::super) fn choose(&mut self) -> String {
        loop {
            let name = format!("key-{}", self.next);
            self.next += 1;
            if self.taken.insert(name.clone()) {
                return name;
            }
        }
    }
}
