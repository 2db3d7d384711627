//! Which failures somebody wants to see.

use jiff::Timestamp;
use keywheel_actors::outcome::Reason;

use super::record::{Entry, Record};

/// What is asked for. Everything, unless said otherwise.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Selection {
    /// Of this provider.
    pub provider: Option<String>,
    /// By keys of this name.
    pub key: Option<String>,
    /// Of this model, as it was sent.
    pub model: Option<String>,
    /// For one of these reasons; none means any.
    pub reasons: Vec<Reason>,
    /// Not before.
    pub since: Option<Timestamp>,
}

impl Selection {
    /// Whether a line belongs to it. Gaps do, for anything may be missing there.
    pub fn takes(&self, record: &Record) -> bool {
        let in_time = self.since.is_none_or(|since| record.at >= since);
        let is =
            |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        in_time
            && match &record.entry {
                Entry::CallFailed(failed) => {
                    is(&self.provider, &failed.provider)
                        && is(&self.key, &failed.key)
                        && is(&self.model, &failed.model)
                        && (self.reasons.is_empty() || self.reasons.contains(&failed.reason))
                }
                Entry::Dropped { .. } => true,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::failed;
    use super::*;

    #[test]
    fn every_wish_must_hold() {
        let record = failed("2026-01-02T03:04:05Z");
        let text = |word: &str| Some(word.to_owned());
        let takes = |selection: Selection| selection.takes(&record);
        let all = Selection::default;
        assert!(takes(all()));
        assert!(takes(Selection { provider: text("openai"), key: text("team-a"), ..all() }));
        assert!(!takes(Selection { provider: text("openai"), key: text("team-b"), ..all() }));
        assert!(!takes(Selection { model: text("gpt-4o"), ..all() }));
        assert!(takes(Selection { reasons: vec![Reason::Cut, Reason::Throttled], ..all() }));
        assert!(!takes(Selection { reasons: vec![Reason::Cut], ..all() }));
        assert!(takes(Selection { since: Some(record.at), ..all() }));
        assert!(!takes(Selection { since: Some("2026-01-02T03:04:05.001Z".parse().unwrap()), ..all() }));
    }

    #[test]
    fn a_gap_is_of_interest_to_everybody() {
        let at = "2026-01-02T03:04:05Z".parse().unwrap();
        let gap = Record { at, entry: Entry::Dropped { count: 1 } };
        assert!(Selection { key: Some("team-a".to_owned()), ..Selection::default() }.takes(&gap));
    }
}
