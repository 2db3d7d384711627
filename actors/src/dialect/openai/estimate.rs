//! What a request says about its tokens, before it is sent.
//!
//! Token limits are charged up front from the length of the prompt and the output that was asked for.
//! Sources: OpenAI's rate-limit guide and its cookbook's parallel request processor (prompt + n ×
//! `max_tokens`); Azure says the same with `best_of`.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::dialect::{object, weight};
use crate::request::Request;
use crate::tokens::Estimate;

/// The estimate. Nothing for what isn't a JSON object: a file's length says nothing about tokens.
pub(super) fn tokens(request: &Request) -> Estimate {
    let Some(ask) = object::fields_of::<Ask<'_>>(&request.body) else { return Estimate::NOTHING };
    let prompt = [ask.messages, ask.input, ask.prompt, ask.instructions, ask.tools, ask.functions];
    let output_max = if request.path.ends_with("/embeddings") {
        Some(0)
    } else {
        ask.max_completion_tokens.or(ask.max_output_tokens).or(ask.max_tokens)
    };
    Estimate {
        input: weight::tokens_of(&prompt),
        output_max,
        answers: ask.n.max(ask.best_of).unwrap_or(1).max(1),
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Ask<'a> {
    #[serde(borrow)]
    messages: Option<&'a RawValue>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    prompt: Option<&'a RawValue>,
    #[serde(borrow)]
    instructions: Option<&'a RawValue>,
    #[serde(borrow)]
    tools: Option<&'a RawValue>,
    #[serde(borrow)]
    functions: Option<&'a RawValue>,
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    max_output_tokens: Option<u64>,
    n: Option<u64>,
    best_of: Option<u64>,
}

#[cfg(test)]
mod tests {
    use ::http::{HeaderMap, Method};
    use bytes::Bytes;

    use super::*;
    use crate::dialect::weight::ATTACHMENT_TOKENS;
    use crate::id::Model;
    use crate::request::Delivery;

    fn estimate(path: &str, body: &str) -> Estimate {
        tokens(&Request {
            method: Method::POST,
            path: path.to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            model: Model::from("m"),
            delivery: Delivery::Whole,
            to: crate::request::Destination::Routed,
            upload: None,
        })
    }

    #[test]
    fn the_prompt_is_weighed_and_the_output_is_what_was_asked_for() {
        let text = "x".repeat(400);
        for (fields, output_max, answers) in [
            (String::new(), None, 1),
            (r#","max_tokens":50"#.to_owned(), Some(50), 1),
            (r#","max_completion_tokens":50,"max_tokens":7,"n":3"#.to_owned(), Some(50), 3),
            (r#","max_output_tokens":50,"n":0"#.to_owned(), Some(50), 1),
            (r#","max_tokens":null,"best_of":2"#.to_owned(), None, 2),
            (r#","max_tokens":18446744073709551615,"n":2"#.to_owned(), Some(u64::MAX), 2),
        ] {
            // 400 bytes of text and 31 of JSON around it.
            let messages = format!(r#"[{{"role":"user","content":"{text}"}}]"#);
            let body = format!(r#"{{"model":"m","messages":{messages}{fields}}}"#);
            let found = estimate("/chat/completions", &body);
            assert_eq!(found, Estimate { input: 108, output_max, answers }, "{fields}");
            assert_eq!(found.input, messages.len().div_ceil(4) as u64, "a quarter of the JSON");
        }
    }

    #[test]
    fn answers_multiply_and_never_overflow() {
        let most = |body: &str| estimate("/chat/completions", body).most();
        assert_eq!(most(r#"{"max_tokens":50,"n":3}"#), Some(150));
        assert_eq!(most(r#"{"max_tokens":18446744073709551615,"n":2}"#), Some(u64::MAX));
        assert_eq!(most(r#"{"n":2}"#), None);
    }

    #[test]
    fn embeddings_have_no_output() {
        let none = |input| Estimate { input, output_max: Some(0), answers: 1 };
        assert_eq!(estimate("/embeddings", r#"{"input":["abcdefgh","ijkl"]}"#), none(5));
        assert_eq!(estimate("/embeddings", r#"{"input":[[1001,2002],[40005]]}"#), none(6));
    }

    #[test]
    fn pictures_and_files_count_by_the_piece() {
        let picture = format!("data:image/png;base64,{}", "A".repeat(1 << 20));
        let audio = "A".repeat(1 << 20);
        for data in [picture.as_str(), audio.as_str(), "data:image/png;base64,AAAA"] {
            let body = format!(r#"{{"input":[{{"image_url":{{"url":"{data}"}}}}]}}"#);
            // 27 bytes of JSON around it.
            assert_eq!(estimate("/responses", &body).input, ATTACHMENT_TOKENS + 7);
        }
    }

    #[test]
    fn what_is_no_json_object_counts_nothing() {
        for body in ["", "[1]", "{\"messages\":", "--form\r\n", r#"{"messages":"a","max_tokens":-1}"#] {
            assert_eq!(estimate("/chat/completions", body), Estimate::NOTHING, "{body}");
        }
    }
}
