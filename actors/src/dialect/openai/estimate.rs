//! How many tokens a request will count for, before it is sent.
//!
//! Token limits are charged up front from the length of the prompt and the output that was asked for;
//! what was really used is known afterwards. Sources: OpenAI's rate-limit guide and its cookbook's
//! parallel request processor (prompt + n × `max_tokens`); Azure says the same with `best_of`.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::object;
use crate::request::Request;

/// Bytes of text to a token: OpenAI's rule of thumb for English.
const BYTES_PER_TOKEN: u64 = 4;

/// Output that is reckoned when the request names no limit: what OpenAI reckons for its limits then.
/// Low on purpose; a high guess would hold keys back that have room.
const OUTPUT_TOKENS_UNSAID: u64 = 16;

/// Tokens of a picture or a file sent inside the prompt, whose bytes say nothing about tokens:
/// one of OpenAI's pictures of 1024 × 1024 in high detail.
const ATTACHMENT_TOKENS: u64 = 765;

/// Strings without a space that are longer than this are data, not text.
const TEXT_BYTES_WITHOUT_SPACE_MAX: usize = 4_096;

/// The estimate. Zero for what isn't a JSON object: a file's length says nothing about tokens.
pub(super) fn tokens(request: &Request) -> u64 {
    let Some(ask) = object::fields_of::<Ask>(&request.body) else { return 0 };
    let prompt = [ask.messages, ask.input, ask.prompt, ask.instructions, ask.tools, ask.functions];
    let prompt_bytes = prompt.iter().fold(0_u64, |sum, Bulk(bytes)| sum.saturating_add(*bytes));
    let output = if request.path.ends_with("/embeddings") {
        0
    } else {
        ask.max_completion_tokens.or(ask.max_output_tokens).or(ask.max_tokens).unwrap_or(OUTPUT_TOKENS_UNSAID)
    };
    let answers = ask.n.max(ask.best_of).unwrap_or(1).max(1);
    prompt_bytes.div_ceil(BYTES_PER_TOKEN).saturating_add(output.saturating_mul(answers))
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

/// How much text a JSON value holds, in bytes, without keeping any of it.
///
/// A number counts as one token: prompts may be given as arrays of token ids.
#[derive(Clone, Copy, Default)]
struct Bulk(u64);

impl<'de> Deserialize<'de> for Bulk {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Weigh)
    }
}

struct Weigh;

impl<'de> Visitor<'de> for Weigh {
    type Value = Bulk;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Bulk, E> {
        let is_data = text.starts_with("data:")
            || text.len() > TEXT_BYTES_WITHOUT_SPACE_MAX
                && !text.as_bytes()[..TEXT_BYTES_WITHOUT_SPACE_MAX].iter().any(u8::is_ascii_whitespace)
                && text.is_ascii();
        Ok(Bulk(if is_data { ATTACHMENT_TOKENS * BYTES_PER_TOKEN } else { text.len() as u64 }))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Bulk, E> {
        Ok(Bulk(BYTES_PER_TOKEN))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Bulk, E> {
        Ok(Bulk(BYTES_PER_TOKEN))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Bulk, E> {
        Ok(Bulk(BYTES_PER_TOKEN))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Bulk, E> {
        Ok(Bulk(0))
    }

    fn visit_unit<E>(self) -> Result<Bulk, E> {
        Ok(Bulk(0))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Bulk, A::Error> {
        let mut sum = 0_u64;
        while let Some(Bulk(bytes)) = values.next_element()? {
            sum = sum.saturating_add(bytes);
        }
        Ok(Bulk(sum))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Bulk, A::Error> {
        let mut sum = 0_u64;
        while let Some((_, Bulk(bytes))) = fields.next_entry::<IgnoredAny, Bulk>()? {
            sum = sum.saturating_add(bytes);
        }
        Ok(Bulk(sum))
    }
}

#[cfg(test)]
mod tests {
    use ::http::{HeaderMap, Method};
    use bytes::Bytes;

    use super::*;
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
