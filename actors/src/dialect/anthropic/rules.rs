//! The table: which signs in one of Anthropic's errors mean what, and how far it reaches.
//!
//! Read from the top. Types are the vendor's own words; phrases stand beside the statuses that they are
//! known from. Sources: docs.anthropic.com, "Errors" and "Rate limits".

use crate::dialect::rule::Rule;
use crate::dialect::rule::Sign::{Code, Kind, NoStatus, Opens, Says, ServerStatus, Status};
use crate::outcome::{Reason, Scope};

/// The code of the vendor's own monthly limit, which ends with the month.
pub(super) const SPEND_LIMIT: &str = "enforced_spend_limit_reached";

pub(in crate::dialect) const RULES: &[Rule] = &[
    // No capacity, for anybody: another key of any organisation meets the same.
    Rule(&[Kind(&["overloaded_error"])], Reason::Overloaded, Scope::Provider),
    Rule(&[Status(&[503, 529])], Reason::Overloaded, Scope::Provider),
    Rule(&[ServerStatus], Reason::ServerError, Scope::Provider),
    Rule(&[Status(&[408])], Reason::ServerError, Scope::Provider),
    // Money. The vendor answers 429 for its own limit and 400 for those that a customer set or let run dry.
    Rule(&[Code(&[SPEND_LIMIT])], Reason::MoneyGone, Scope::Group),
    Rule(
        &[
            Status(&[400, 403, 429]),
            Opens(&["you have reached your specified", "your credit balance is too low"]),
        ],
        Reason::MoneyGone,
        Scope::Group,
    ),
    Rule(&[Kind(&["billing_error"])], Reason::MoneyGone, Scope::Group),
    Rule(&[Status(&[402])], Reason::MoneyGone, Scope::Group),
    // The account is banned.
    Rule(
        &[Status(&[400, 401, 403]), Opens(&["this organization has been disabled"])],
        Reason::AccountBanned,
        Scope::Group,
    ),
    // The key is dead.
    Rule(&[Kind(&["authentication_error"])], Reason::BadCredential, Scope::Key),
    Rule(&[Status(&[401])], Reason::BadCredential, Scope::Key),
    // The region from which we call: the edge's own words, of another type than the API's.
    Rule(&[Status(&[403]), Opens(&["request not allowed"])], Reason::RegionDenied, Scope::Key),
    // The model is gone, or not for this workspace.
    Rule(&[Kind(&["permission_error"])], Reason::ModelDenied, Scope::Lane),
    Rule(&[Status(&[404]), Opens(&["model:"])], Reason::ModelDenied, Scope::Lane),
    Rule(&[Status(&[404]), Says(&["is not available"])], Reason::ModelDenied, Scope::Lane),
    // The prompt is too long for the model.
    Rule(
        &[Status(&[400, 413]), Says(&["prompt is too long", "exceed context limit"])],
        Reason::TooLong,
        Scope::Request,
    ),
    // Refused for what it says.
    Rule(&[Status(&[400]), Says(&["content filtering policy"])], Reason::PolicyRefused, Scope::Request),
    // Too fast.
    Rule(&[Kind(&["rate_limit_error"])], Reason::Throttled, Scope::Lane),
    Rule(&[Status(&[429])], Reason::Throttled, Scope::Lane),
    // The caller's to mend.
    Rule(
        &[Kind(&["invalid_request_error", "not_found_error", "conflict_error", "request_too_large"])],
        Reason::CallerMistake,
        Scope::Request,
    ),
    Rule(&[Status(&[400, 409, 413, 422])], Reason::CallerMistake, Scope::Request),
    // The provider had taken key and request before it failed: what is left is its own trouble.
    Rule(&[NoStatus], Reason::ServerError, Scope::Provider),
];
