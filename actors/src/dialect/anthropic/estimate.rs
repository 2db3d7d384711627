//! How many tokens a request will count for, before it is sent.

use serde::Deserialize;

use crate::dialect::object;
use crate::dialect::weight::Bulk;
use crate::request::Request;

/// The most output that is reckoned beforehand. Anthropic charges what was written and not what was asked
/// for, and since `max_tokens` is required people ask for far more than they get.
const OUTPUT_TOKENS_RECKONED_MAX: u64 = 1_024;

/// The estimate. Zero for what isn't a JSON object.
pub(super) fn tokens(request: &Request) -> u64 {
    let Some(ask) = object::fields_of::<Ask>(&request.body) else { return 0 };
    let output = ask.max_tokens.unwrap_or(0).min(OUTPUT_TOKENS_RECKONED_MAX);
    Bulk::tokens_of(&[ask.messages, ask.system, ask.tools]).saturating_add(output)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Ask {
    messages: Bulk,
    system: Bulk,
    tools: Bulk,
    max_tokens: Option<u64>,
}

#[cfg(test)]
mod tests {
    use ::http::{HeaderMap, Method};
    use bytes::Bytes;

    use super::*;
    use crate::id::Model;
    use crate::request::Delivery;

    fn estimate(body: &str) -> u64 {
        tokens(&Request {
            method: Method::POST,
            path: "/messages".to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            model: Model::from("m"),
            delivery: Delivery::Whole,
        })
    }

    #[test]
    fn prompt_and_a_usual_answer_add_up() {
        // `user`, `abcd` and `abcd`: three tokens.
        let with = |fields: &str| {
            estimate(&format!(
                r#"{{"messages":[{{"role":"user","content":"abcd"}}],"system":"abcd"{fields}}}"#
            ))
        };
        assert_eq!(with(""), 3);
        assert_eq!(with(r#","max_tokens":50"#), 53);
        assert_eq!(with(r#","max_tokens":64000"#), 3 + OUTPUT_TOKENS_RECKONED_MAX);
        assert_eq!(estimate("[1]"), 0);
    }
}
