//! The table: which signs in an error mean what, and how far it reaches.
//!
//! Read from the top; the first row whose signs all hold decides. Codes and types are the vendors' own
//! words and hold at any status below 500. Phrases can be echoes of what a caller wrote (a model's name, say), so
//! wherever a phrase condemns a key or a group, its row also names the statuses that it is known from.

use crate::dialect::rule::Sign::{
    AsksMoreThanLimit, Code, Kind, NamesParam, NoStatus, Opens, Says, ServerStatus, Status,
};
use crate::dialect::rule::{Rule, Sign};
use crate::outcome::{Reason, Scope};

/// The words of a message about a quota longer than minutes.
const CALENDAR: Sign = Says(&[
    "(rpd)",
    "(tpd)",
    "per day",
    "per-day",
    "per month",
    "/ month",
    "daily limit",
    "weekly limit",
    "monthly limit",
]);

/// The words of a message about a model that is no more.
const GONE: Sign = Says(&[
    "deprecated",
    "decommissioned",
    "no longer available",
    "was removed",
    "has been shut down",
    "retired",
]);

pub(in crate::dialect) const RULES: &[Rule] = &[
    // No capacity. A 5xx is never a key's fault, whatever else it says.
    Rule(
        &[Code(&["server_is_overloaded", "capacity_exceeded", "3505"])],
        Reason::Overloaded,
        Scope::Provider,
    ),
    Rule(
        &[Kind(&["service_unavailable_error", "service_tier_capacity_exceeded", "overloaded_error"])],
        Reason::Overloaded,
        Scope::Provider,
    ),
    // 498 is Groq's flex tier, 529 Anthropic's and its copies'.
    Rule(&[Status(&[498, 503, 529])], Reason::Overloaded, Scope::Provider),
    Rule(&[Code(&["slow_down"])], Reason::SlowDown, Scope::Provider),
    Rule(
        &[Status(&[429]), Says(&["temporarily rate-limited upstream", "experiencing high demand"])],
        Reason::Overloaded,
        Scope::Provider,
    ),
    Rule(&[ServerStatus], Reason::ServerError, Scope::Provider),
    // The provider itself gave up on the request: worth another call, like a 5xx. The SDKs retry 408 too.
    Rule(&[Status(&[408, 499])], Reason::ServerError, Scope::Provider),
    // Money, behind 402, 403 and 429.
    // OpenRouter: too much under way at once for the balance, and it says when to come back.
    Rule(
        &[Code(&["in_flight_budget_exhausted", "openrouter_in_flight_budget"])],
        Reason::Throttled,
        Scope::Group,
    ),
    Rule(&[Code(&["weight_exceeds_budget"])], Reason::NeverFits, Scope::Request),
    Rule(&[Code(&["openrouter_key_limit"])], Reason::MoneyGone, Scope::Key),
    Rule(&[Status(&[402, 403]), Opens(&["key limit exceeded"])], Reason::MoneyGone, Scope::Key),
    // `project_spend_limit_exceeded` reaches the project only, which is what a quota group of keys is then.
    Rule(
        &[Code(&[
            "insufficient_quota",
            "credit_balance_exhausted",
            "organization_spend_limit_exceeded",
            "project_spend_limit_exceeded",
            "organization_usage_limit_exceeded",
            "billing_hard_limit_reached",
            "billing_not_active",
            "blocked_api_access",
        ])],
        Reason::MoneyGone,
        Scope::Group,
    ),
    // OpenAI keeps this type beside new billing codes.
    Rule(&[Kind(&["insufficient_quota"])], Reason::MoneyGone, Scope::Group),
    Rule(
        &[
            Status(&[403, 429]),
            Says(&["account is not active", "used all available credits", "monthly spending limit"]),
        ],
        Reason::MoneyGone,
        Scope::Group,
    ),
    Rule(&[Status(&[402])], Reason::MoneyGone, Scope::Group),
    // The account is banned.
    Rule(
        &[Code(&["account_deactivated", "organization_restricted", "access_terminated"])],
        Reason::AccountBanned,
        Scope::Group,
    ),
    Rule(&[Kind(&["access_terminated"])], Reason::AccountBanned, Scope::Group),
    Rule(
        &[Status(&[401, 403]), Says(&["flagged for potential abuse", "account has been deactivated"])],
        Reason::AccountBanned,
        Scope::Group,
    ),
    // Azure's words for the same.
    Rule(
        &[Status(&[403]), Says(&["resource has been temporarily blocked"])],
        Reason::AccountBanned,
        Scope::Group,
    ),
    // The key is dead. xAI and Google say so with 400.
    Rule(&[Code(&["invalid_api_key"])], Reason::BadCredential, Scope::Key),
    Rule(
        &[Status(&[400, 403]), Opens(&["incorrect api key", "api key not valid", "api key expired"])],
        Reason::BadCredential,
        Scope::Key,
    ),
    Rule(&[Status(&[401])], Reason::BadCredential, Scope::Key),
    // Azure lets its resource be reached from some networks only: as good as no key, until somebody mends it.
    Rule(&[Status(&[403]), Says(&["virtual network/firewall rules"])], Reason::BadCredential, Scope::Key),
    // The region from which we call.
    Rule(&[Code(&["unsupported_country_region_territory"])], Reason::RegionDenied, Scope::Key),
    Rule(
        &[Status(&[400, 403]), Opens(&["user location is not supported"])],
        Reason::RegionDenied,
        Scope::Key,
    ),
    // The model is gone, or not for this key.
    Rule(
        &[Code(&["model_decommissioned", "model_deprecated", "ServiceModelDeprecating"])],
        Reason::ModelGone,
        Scope::Provider,
    ),
    Rule(&[Code(&["model_not_found"]), GONE], Reason::ModelGone, Scope::Provider),
    Rule(&[Status(&[404]), GONE], Reason::ModelGone, Scope::Provider),
    Rule(&[Status(&[410])], Reason::ModelGone, Scope::Provider),
    Rule(
        &[Code(&[
            "model_not_found",
            "model_not_available",
            "model_permission_blocked_org",
            "model_permission_blocked_project",
            "model_terms_required",
            "unknown_model",
            "DeploymentNotFound",
            "1500",
            "3040",
        ])],
        Reason::ModelDenied,
        Scope::Lane,
    ),
    Rule(&[Kind(&["invalid_model", "model_not_found", "unknown_model"])], Reason::ModelDenied, Scope::Lane),
    Rule(
        &[Status(&[400, 403, 404]), Opens(&["your organization must be verified", "model not exist"])],
        Reason::ModelDenied,
        Scope::Lane,
    ),
    // A key restricted to other endpoints: what this one can't do another may.
    Rule(
        &[Status(&[403]), Says(&["insufficient permissions", "missing scopes"])],
        Reason::ModelDenied,
        Scope::Lane,
    ),
    Rule(
        &[
            Status(&[404]),
            Says(&[
                "the model",
                "model '",
                "model \"",
                "model `",
                "model not found",
                "no endpoints found",
                "no allowed providers",
            ]),
        ],
        Reason::ModelDenied,
        Scope::Lane,
    ),
    // The request can never fit: rotation within the same tier is useless.
    Rule(&[Code(&["context_length_exceeded"])], Reason::TooLong, Scope::Request),
    Rule(&[Status(&[413]), Code(&["rate_limit_exceeded"])], Reason::NeverFits, Scope::Request),
    Rule(&[Status(&[429]), AsksMoreThanLimit], Reason::NeverFits, Scope::Request),
    Rule(&[Status(&[429]), Opens(&["request too large"])], Reason::NeverFits, Scope::Request),
    // 403 is Together's.
    Rule(
        &[
            Status(&[400, 403, 413, 422]),
            Says(&[
                "maximum context length",
                "context length exceeded",
                "exceeds the context",
                "context window",
                "prompt is too long",
                "too many tokens",
                "too large for model",
                "`max_new_tokens` must be",
                "exceeds the maximum number of tokens",
            ]),
        ],
        Reason::TooLong,
        Scope::Request,
    ),
    // Refused for what it says.
    Rule(
        &[Code(&[
            "content_policy_violation",
            "content_filter",
            "invalid_prompt",
            "moderation_blocked",
            "ResponsibleAIPolicyViolation",
        ])],
        Reason::PolicyRefused,
        Scope::Request,
    ),
    Rule(
        &[Status(&[403]), Code(&["reasons", "flagged_input", "patterns"])],
        Reason::PolicyRefused,
        Scope::Request,
    ),
    Rule(&[Status(&[403]), Says(&["blocked by guardrail"])], Reason::PolicyRefused, Scope::Request),
    // Too much for a day or a month, then too fast.
    Rule(&[Status(&[429]), CALENDAR], Reason::QuotaUsedUp, Scope::Lane),
    Rule(&[Code(&["rate_limit_exceeded"]), CALENDAR], Reason::QuotaUsedUp, Scope::Lane),
    Rule(&[Code(&["rate_limit_exceeded"])], Reason::Throttled, Scope::Lane),
    Rule(&[Kind(&["requests", "tokens", "rate_limit_error"])], Reason::Throttled, Scope::Lane),
    Rule(&[Status(&[429])], Reason::Throttled, Scope::Lane),
    // The caller's to mend. These statuses speak of the request by their definition (RFC 9110, 4918), and
    // DeepSeek, Groq and Mistral send them without OpenAI's type.
    Rule(&[Kind(&["invalid_request_error"])], Reason::CallerMistake, Scope::Request),
    Rule(&[NamesParam], Reason::CallerMistake, Scope::Request),
    Rule(&[Status(&[400, 409, 413, 422, 424])], Reason::CallerMistake, Scope::Request),
    // The provider had taken key and request before it failed: what is left is its own trouble.
    Rule(&[NoStatus], Reason::ServerError, Scope::Provider),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::rule::verdict;
    use crate::dialect::said::Said;

    fn said(message: &str) -> Said {
        Said { message: message.to_owned(), ..Said::default() }
    }

    #[test]
    fn an_echoed_model_name_condemns_neither_key_nor_group() {
        for phrase in [
            "incorrect api key provided",
            "used all available credits",
            "account is not active",
            "flagged for potential abuse",
            "key limit exceeded",
            "requests per day (rpd)",
        ] {
            for status in [400, 404, 422] {
                let (_, scope) =
                    verdict(RULES, &said(&format!("The model `{phrase}` does not exist.")), Some(status));
                assert!(matches!(scope, Scope::Lane | Scope::Request), "{status} {phrase}: {scope:?}");
            }
        }
    }

    #[test]
    fn a_server_error_is_the_providers_whatever_it_says() {
        let money = Said { code: Some("insufficient_quota".to_owned()), ..said("no money") };
        assert_eq!(verdict(RULES, &money, Some(500)), (Reason::ServerError, Scope::Provider));
        assert_eq!(verdict(RULES, &money, Some(503)), (Reason::Overloaded, Scope::Provider));
    }

    #[test]
    fn what_no_row_knows_is_unclassified() {
        for status in [100, 302, 403, 404, 418] {
            assert_eq!(
                verdict(RULES, &said("?"), Some(status)),
                (Reason::Unclassified, Scope::Key),
                "{status}"
            );
        }
        assert_eq!(verdict(RULES, &said("?"), None), (Reason::ServerError, Scope::Provider));
    }
}
