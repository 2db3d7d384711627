//! What the configuration says of one client.

use keywheel_actors::id::Model;
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
    /// Whether it may ask for that model.
    pub fn may_use(&self, model: &Model) -> bool {
        let is_of = |allowed: &String| match allowed.strip_suffix('*') {
            Some(beginning) => model.as_str().starts_with(beginning),
            None => model.as_str() == allowed,
        };
        self.models.is_empty() || self.models.iter().any(is_of)
    }
}
