//! What a request says about its tokens, before it is sent.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::dialect::{object, weight};
use crate::request::Request;
use crate::tokens::Estimate;

/// The estimate. Nothing for what isn't a JSON object.
pub(super) fn tokens(request: &Request) -> Estimate {
    let Some(ask) = object::fields_of::<Ask<'_>>(&request.body) else { return Estimate::NOTHING };
    let input = weight::tokens_of(&[ask.messages, ask.system, ask.tools]);
    // Without `max_tokens`, which is required, nothing is written: such as when tokens are counted.
    Estimate { input, output_max: Some(ask.max_tokens.unwrap_or(0)), answers: 1 }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Ask<'a> {
    #[serde(borrow)]
    messages: Option<&'a RawValue>,
    #[serde(borrow)]
    system: Option<&'a RawValue>,
    #[serde(borrow)]
    tools: Option<&'a RawValue>,
    max_tokens: Option<u64>,
}

#[cfg(test)]
mod tests {
    use ::http::{HeaderMap, Method};
    use bytes::Bytes;

    use super::*;
    use crate::id::Model;
    use crate::request::Delivery;

    fn estimate(body: &str) -> Estimate {
        tokens(&Request {
            method: Method::POST,
            path: "/messages".to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            model: Model::from("m"),
            delivery: Delivery::Whole,
            to: crate::request::Destination::Routed,
            upload: None,
        })
    }

    #[test]
    fn prompt_and_maximum_are_told_apart() {
        // 34 bytes of messages and 6 of system: ten tokens.
        let with = |fields: &str| {
            let found = estimate(&format!(
                r#"{{"messages":[{{"role":"user","content":"abc"}}],"system":"abcd"{fields}}}"#
            ));
            (found.input, found.most())
        };
        assert_eq!(with(""), (10, Some(0)));
        assert_eq!(with(r#","max_tokens":64000"#), (10, Some(64_000)));
        assert_eq!(estimate("[1]"), Estimate::NOTHING);
    }
}
