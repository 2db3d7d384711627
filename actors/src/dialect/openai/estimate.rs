//! How many tokens a request will count for, before it is sent.
//!
//! Token limits are charged up front from the length of the prompt and the output that was asked for;
//! what was really used is known afterwards. Sources: OpenAI's rate-limit guide and its cookbook's
//! parallel request processor (prompt + n × `max_tokens`); Azure says the same with `best_of`.

use serde::Deserialize;

use crate::dialect::object;
use crate::dialect::weight::Bulk;
use crate::request::Request;

/// Output that is reckoned when the request names no limit: what OpenAI reckons for its limits then.
/// Low on purpose; a high guess would hold keys back that have room.
const OUTPUT_TOKENS_UNSAID: u64 = 16;

/// The estimate. Zero for what isn't a JSON object: a file's length says nothing about tokens.
pub(super) fn tokens(request: &Request) -> u64 {
    let Some(ask) = object::fields_of::<Ask>(&request.body) else { return 0 };
    let prompt = [ask.messages, ask.input, ask.prompt, ask.instructions, ask.tools, ask.functions];
    let output = if request.path.ends_with("/embeddings") {
        0
    } else {
        ask.max_completion_tokens.or(ask.max_output_tokens).or(ask.max_tokens).unwrap_or(OUTPUT_TOKENS_UNSAID)
    };
    let answers = ask.n.max(ask.best_of).unwrap_or(1).max(1);
    Bulk::tokens_of(&prompt).saturating_add(output.saturating_mul(answers))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Ask {
    messages: Bulk,
    input: Bulk,
    prompt: Bulk,
    instructions: Bulk,
    tools: Bulk,
    functions: Bulk,
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

    fn estimate(path: &str, body: &str) -> u64 {
        tokens(&Request {
            method: Method::POST,
            path: path.to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            model: Model::from("m"),
            delivery: Delivery::Whole,
        })
    }

    #[test]
    fn prompt_and_output_add_up() {
        let text = "x".repeat(400);
        for (fields, tokens) in [
            (String::new(), 16),
            (r#","max_tokens":50"#.to_owned(), 50),
            (r#","max_completion_tokens":50,"max_tokens":7,"n":3"#.to_owned(), 150),
            (r#","max_output_tokens":50,"n":0"#.to_owned(), 50),
            (r#","max_tokens":null,"best_of":2"#.to_owned(), 32),
            (r#","max_tokens":18446744073709551615,"n":2"#.to_owned(), u64::MAX),
        ] {
            // 400 bytes of text and the 4 of the role: 101 tokens.
            let body =
                format!(r#"{{"model":"m","messages":[{{"role":"user","content":"{text}"}}]{fields}}}"#);
            assert_eq!(estimate("/chat/completions", &body), 101_u64.saturating_add(tokens), "{fields}");
        }
    }

    #[test]
    fn embeddings_have_no_output() {
        assert_eq!(estimate("/embeddings", r#"{"input":["abcdefgh","ijkl"]}"#), 3);
        assert_eq!(estimate("/embeddings", r#"{"input":[[1,2,3],[4,5]]}"#), 5);
    }

    #[test]
    fn pictures_and_files_count_by_the_piece() {
        let picture = format!("data:image/png;base64,{}", "A".repeat(1 << 20));
        let audio = "A".repeat(1 << 20);
        for data in [picture, audio] {
            let body = format!(r#"{{"input":[{{"image_url":{{"url":"{data}"}}}}]}}"#);
            assert_eq!(estimate("/responses", &body), ATTACHMENT_TOKENS + OUTPUT_TOKENS_UNSAID);
        }
    }

    #[test]
    fn what_is_no_json_object_counts_nothing() {
        for body in ["", "[1]", "{\"messages\":", "--form\r\n", r#"{"messages":"a","max_tokens":-1}"#] {
            assert_eq!(estimate("/chat/completions", body), 0, "{body}");
        }
    }
}
