//! From what an answer means to what a person should know and do.

use keywheel_actors::outcome::{Fault, Reason};
use keywheel_actors::unit::format_duration;

use super::finding::Finding;

/// What a test found, in words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// What was found.
    pub finding: Finding,
    /// What the answer means.
    pub says: String,
    /// What to do about it.
    pub advice: Option<&'static str>,
}

impl Verdict {
    /// A verdict that needs no advice.
    pub(super) fn new(finding: Finding, says: impl Into<String>) -> Self {
        Self { finding, says: says.into(), advice: None }
    }

    /// Says what to do.
    pub(super) fn advising(mut self, advice: &'static str) -> Self {
        self.advice = Some(advice);
        self
    }

    /// The provider takes the key.
    pub(super) fn valid() -> Self {
        Self::new(Finding::Valid, "the provider takes this key")
    }

    /// Nothing is known that could be asked.
    pub(super) fn untestable() -> Self {
        Self::new(Finding::Untestable, "nothing is known that such a provider answers for free")
            .advising("send one real request, for example with `keywheel batch`")
    }

    /// What a fault in the answer means for the key. The fault's message ends up in it, so it has to be
    /// scrubbed by now.
    pub(super) fn of_fault(fault: &Fault) -> Self {
        if fault.status == Some(404) {
            return Self::not_found(fault);
        }
        match fault.reason {
            Reason::BadCredential => Self::because(
                Finding::WrongKey,
                "the provider refuses this key: it is wrong, revoked, expired or restricted",
                fault,
            )
            .advising("make a new key at the provider, then change this one's `secret`"),
            Reason::AccountBanned => {
                Self::because(Finding::AccountBanned, "the account behind this key is banned", fault)
                    .advising("ask the provider's support; keys of other accounts still work")
            }
            Reason::MoneyGone => Self::because(
                Finding::NoMoney,
                "the provider knows this key, but its account has no money or has reached a spending limit",
                fault,
            )
            .advising("top the account up or raise its limit; then it works again by itself"),
            Reason::Throttled | Reason::SlowDown => Self::because(
                Finding::Throttled,
                &format!("the key is good, but the provider asks to wait{}", resting(fault)),
                fault,
            ),
            Reason::QuotaUsedUp => Self::because(
                Finding::QuotaUsedUp,
                &format!("the key is good, but its quota is used up{}", resting(fault)),
                fault,
            ),
            Reason::RegionDenied => Self::because(
                Finding::RegionDenied,
                "the provider doesn't serve the region of this machine",
                fault,
            )
            .advising("call from elsewhere, or leave this provider out"),
            Reason::ModelDenied | Reason::ModelGone => Self::because(
                Finding::RightMissing,
                "the provider knows this key, but the key may not do what this test does",
                fault,
            )
            .advising("give the key the right to list models, or send one real request to be sure"),
            Reason::Overloaded | Reason::ServerError | Reason::Stalled | Reason::Cut => Self::because(
                Finding::ProviderIll,
                "the provider is in trouble, which says nothing of this key",
                fault,
            )
            .advising("try again in a few minutes"),
            Reason::Unreachable => {
                Self::because(Finding::Unreachable, "the provider can't be reached", fault)
            }
            Reason::TooLong
            | Reason::NeverFits
            | Reason::PolicyRefused
            | Reason::CallerMistake
            | Reason::CallerGone
            | Reason::DeadlineOver
            | Reason::Stopped
            | Reason::Unclassified => {
                Self::because(Finding::Unclear, "the answer says nothing that is known of this key", fault)
                    .advising("look whether `preset` or `dialect` is the one of this provider")
            }
        }
    }

    fn not_found(fault: &Fault) -> Self {
        Self::because(Finding::NotFound, "there is no such address at this provider", fault)
            .advising("look whether `base_url` is right: most end with a version, such as `/v1`")
    }

    /// `sentence`, with the provider's own words behind it.
    fn because(finding: Finding, sentence: &str, fault: &Fault) -> Self {
        let status = fault.status.map_or_else(String::new, |status| format!(" (HTTP {status})"));
        Self::new(finding, format!("{sentence}: “{}”{status}", fault.message.trim()))
    }
}

fn resting(fault: &Fault) -> String {
    fault.rest.map_or_else(String::new, |rest| format!(" for {}", format_duration(rest)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::check::Standing;

    #[test]
    fn every_reason_has_its_standing() {
        for reason in Reason::ALL {
            let standing = Verdict::of_fault(&Fault::new(reason, "m")).finding.standing();
            let wanted = match reason {
                Reason::Throttled | Reason::SlowDown | Reason::QuotaUsedUp => Standing::Valid,
                Reason::BadCredential | Reason::AccountBanned | Reason::MoneyGone | Reason::RegionDenied => {
                    Standing::Invalid
                }
                _ => Standing::Unknown,
            };
            assert_eq!(standing, wanted, "{reason}");
        }
    }

    #[test]
    fn a_sentence_ends_with_the_providers_own_words() {
        let fault = Fault::new(Reason::Throttled, "Slow down. ").with_status(429);
        let verdict = Verdict::of_fault(&fault.resting(Some(Duration::from_secs(90))));
        assert_eq!(
            verdict.says,
            "the key is good, but the provider asks to wait for 1m 30s: “Slow down.” (HTTP 429)"
        );
    }
}
