//! What the configuration says of one client.

use keywheel_actors::id::{Model, ProviderId};
use keywheel_actors::request::Priority;
use keywheel_actors::spec::Limits;

use super::TokenHash;
use crate::money::Money;

/// Who may call, and how much.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientSpec {
    /// Its name, in logs and metrics.
    pub name: String,
    /// The hashes of its tokens: several while it changes from one to the next.
    pub tokens: Vec<TokenHash>,
    /// The models that it may ask for: whole names, or the beginnings of names and `*`. Empty: all.
    pub models: Vec<String>,
    /// The providers that it may call by their ids. `None`: all, or none if it may ask for some models only, for what
    /// providers are called for beside their models is more than those.
    pub pass_through: Option<Vec<ProviderId>>,
    /// How much it may use.
    pub limits: Limits,
    /// What its calls may cost in a day, in the currency of the prices.
    pub cost_per_day: Option<Money>,
    /// The highest priority that its requests may have.
    pub priority: Priority,
    /// Whether it may call at all.
    pub enabled: bool,
}

impl ClientSpec {
    /// Whether it may call that provider by its id.
    pub fn may_pass_to(&self, provider: &ProviderId) -> bool {
        self.pass_through.as_ref().map_or(self.models.is_empty(), |allowed| allowed.contains(provider))
    }

    /// Whether it may ask for that model.
    pub fn may_use(&self, model: &Model) -> bool {
        let is_of = |allowed: &String| match allowed.strip_suffix('*') {
            Some(beginning) => model.as_str().starts_with(beginning),
            None => model.as_str() == allowed,
        };
        self.models.is_empty() || self.models.iter().any(is_of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_bound_to_models_passes_through_to_whom_it_is_told_to() {
        let spec = |models: &[&str], pass_through: Option<&[&str]>| ClientSpec {
            name: "a".to_owned(),
            tokens: Vec::new(),
            models: models.iter().map(|model| (*model).to_owned()).collect(),
            pass_through: pass_through.map(|ids| ids.iter().map(|id| ProviderId::from(*id)).collect()),
            limits: Limits::default(),
            cost_per_day: None,
            priority: Priority::High,
            enabled: true,
        };
        let provider = ProviderId::from("p");
        assert!(spec(&[], None).may_pass_to(&provider));
        assert!(!spec(&["m"], None).may_pass_to(&provider));
        assert!(spec(&["m"], Some(&["p"])).may_pass_to(&provider));
        assert!(!spec(&[], Some(&["q"])).may_pass_to(&provider));
        assert!(!spec(&[], Some(&[])).may_pass_to(&provider));
    }
}
