//! The table: which signs in one of Google's errors mean what, and how far it reaches.
//!
//! Read from the top. Reasons and statuses are Google's own words; phrases stand beside the HTTP statuses
//! that they are known from. Sources: ai.google.dev, "Troubleshooting" and "Rate limits";
//! googleapis' `error_reason.proto`.

use super::shape::{PER_DAY, PER_MINUTE, ZERO};
use crate::dialect::rule::Rule;
use crate::dialect::rule::Sign::{Code, Kind, NoStatus, Opens, Says, ServerStatus, Status};
use crate::outcome::{Reason, Scope};

pub(in crate::dialect) const RULES: &[Rule] = &[
    // No capacity. A 5xx is never a key's fault, whatever else it says.
    Rule(&[Status(&[503])], Reason::Overloaded, Scope::Provider),
    Rule(&[ServerStatus], Reason::ServerError, Scope::Provider),
    Rule(&[Status(&[408, 499])], Reason::ServerError, Scope::Provider),
    // Money.
    Rule(&[Code(&["payment_required", "BILLING_DISABLED"])], Reason::MoneyGone, Scope::Group),
    Rule(&[Status(&[402])], Reason::MoneyGone, Scope::Group),
    Rule(
        &[
            Status(&[403, 429]),
            Says(&[
                "prepayment credits are depleted",
                "monthly spending cap",
                "requires billing to be enabled",
            ]),
        ],
        Reason::MoneyGone,
        Scope::Group,
    ),
    // The project is banned.
    Rule(&[Code(&["CONSUMER_SUSPENDED"])], Reason::AccountBanned, Scope::Group),
    Rule(
        &[Status(&[403]), Says(&["has been suspended", "project has been denied access"])],
        Reason::AccountBanned,
        Scope::Group,
    ),
    // The key is dead, or restricted to other uses. Google says so with 400.
    Rule(
        &[Code(&[
            "API_KEY_INVALID",
            "API_KEY_SERVICE_BLOCKED",
            "API_KEY_IP_ADDRESS_BLOCKED",
            "API_KEY_HTTP_REFERRER_BLOCKED",
        ])],
        Reason::BadCredential,
        Scope::Key,
    ),
    Rule(
        &[Status(&[400]), Opens(&["api key not valid", "api key expired"])],
        Reason::BadCredential,
        Scope::Key,
    ),
    Rule(&[Status(&[403]), Says(&["reported as leaked"])], Reason::BadCredential, Scope::Key),
    // The project has to switch the API on, for all of its keys.
    Rule(&[Code(&["SERVICE_DISABLED"])], Reason::BadCredential, Scope::Group),
    Rule(&[Status(&[403]), Says(&["has not been used in project"])], Reason::BadCredential, Scope::Group),
    Rule(&[Status(&[401])], Reason::BadCredential, Scope::Key),
    Rule(&[Kind(&["UNAUTHENTICATED"])], Reason::BadCredential, Scope::Key),
    // The region from which we call, or the country of the project.
    Rule(
        &[Status(&[400]), Says(&["location is not supported", "free tier is not available in your country"])],
        Reason::RegionDenied,
        Scope::Key,
    ),
    // The model is gone, or not for this project.
    Rule(&[Code(&[ZERO])], Reason::ModelDenied, Scope::Lane),
    Rule(&[Status(&[404]), Opens(&["models/"])], Reason::ModelGone, Scope::Provider),
    Rule(&[Status(&[404]), Says(&["no longer available"])], Reason::ModelGone, Scope::Provider),
    Rule(&[Status(&[403, 404]), Says(&["/models/"])], Reason::ModelDenied, Scope::Lane),
    Rule(&[Status(&[403, 404]), Opens(&["tunedmodels/"])], Reason::ModelDenied, Scope::Lane),
    // The prompt is too long for the model.
    Rule(
        &[Status(&[400]), Says(&["input token count", "exceeds the maximum number of tokens"])],
        Reason::TooLong,
        Scope::Request,
    ),
    // Too much for a day, which counts although the delay beside it is one of seconds; then too fast.
    Rule(&[Code(&[PER_DAY])], Reason::QuotaUsedUp, Scope::Lane),
    Rule(&[Code(&["quota_exceeded"])], Reason::QuotaUsedUp, Scope::Lane),
    Rule(&[Status(&[429]), Says(&["per day"])], Reason::QuotaUsedUp, Scope::Lane),
    Rule(&[Code(&[PER_MINUTE, "too_many_requests"])], Reason::Throttled, Scope::Lane),
    // Without a word on quotas it is the capacity that all share.
    Rule(
        &[Status(&[429]), Opens(&["resource exhausted", "resource has been exhausted"])],
        Reason::Overloaded,
        Scope::Provider,
    ),
    Rule(&[Status(&[429])], Reason::Throttled, Scope::Lane),
    Rule(&[Kind(&["RESOURCE_EXHAUSTED"])], Reason::Throttled, Scope::Lane),
    // The caller's to mend.
    Rule(&[Code(&["invalid_request"])], Reason::CallerMistake, Scope::Request),
    Rule(
        &[Kind(&["INVALID_ARGUMENT", "FAILED_PRECONDITION", "NOT_FOUND"])],
        Reason::CallerMistake,
        Scope::Request,
    ),
    Rule(&[Status(&[400, 409, 413, 422])], Reason::CallerMistake, Scope::Request),
    // The provider had taken key and request before it failed: what is left is its own trouble.
    Rule(&[NoStatus], Reason::ServerError, Scope::Provider),
];
