//! Embeddings: one vector for each input, as numbers or as their bytes.

use bytes::Bytes;
use serde_json::value::RawValue;

use super::super::ask::{Ask, Encoding};
use super::json::{write_all, write_json_string};
use super::scribe::{Scribe, checksum};

/// Numbers of an embedding: enough to tell two apart.
pub(super) const EMBEDDING_DIMENSIONS: usize = 8;

impl Scribe {
    /// One vector for each input.
    pub(crate) fn embeddings(ask: &Ask<'_>, encoding: Encoding) -> Bytes {
        let inputs = inputs(ask.prompt);
        let mut body = Vec::with_capacity(256 + inputs.len() * 256);
        body.extend_from_slice(br#"{"object":"list","data":["#);
        for (index, input) in inputs.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let vector = vector(input);
            let vector = match encoding {
                // Numbers of 32 bits, which eighths of a byte are exactly, print short.
                Encoding::Numbers => format!("{vector:?}"),
                Encoding::Base64 => {
                    let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
                    format!(r#""{}""#, base64(&bytes))
                }
            };
            write_all(
                &mut body,
                format_args!(r#"{comma}{{"object":"embedding","index":{index},"embedding":{vector}}}"#),
            );
        }
        body.extend_from_slice(br#"],"model":"#);
        write_json_string(&mut body, &ask.model);
        let tokens = ask.prompt_tokens();
        write_all(
            &mut body,
            format_args!(r#","usage":{{"prompt_tokens":{tokens},"total_tokens":{tokens}}}}}"#),
        );
        body.into()
    }
}

fn vector(input: &str) -> [f32; EMBEDDING_DIMENSIONS] {
    checksum(input.as_bytes()).to_be_bytes().map(|byte| f32::from(byte) / 256.0)
}

/// The inputs of a call for embeddings: one text, several texts, or one text given as token numbers.
fn inputs(input: &str) -> Vec<&str> {
    match serde_json::from_str::<Vec<&RawValue>>(input) {
        Ok(several) if several.first().is_some_and(|first| first.get().starts_with(['"', '['])) => {
            several.into_iter().map(RawValue::get).collect()
        }
        Ok(_) | Err(_) => vec![input],
    }
}

/// Source: RFC 4648 §4, with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, place| (bits << 8) | usize::from(*group.get(place).unwrap_or(&0)));
        for digit in 0..4 {
            let is_padding = digit > group.len();
            text.push(if is_padding { '=' } else { DIGITS[(bits >> (18 - 6 * digit)) & 63].into() });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::scribe::tests::json;
    use super::*;

    #[test]
    fn embeddings_come_one_for_each_input() {
        for (input, count) in
            [(json!("a"), 1), (json!(["a", "b"]), 2), (json!([1, 2, 3]), 1), (json!([[1], [2]]), 2)]
        {
            let body = json!({"model": "e", "input": input}).to_string();
            let ask = Ask::embeddings(body.as_bytes()).unwrap();
            let answer = json(&Scribe::embeddings(&ask, Encoding::Numbers));
            let data = answer["data"].as_array().unwrap();
            assert_eq!(data.len(), count);
            assert_eq!(data[0]["embedding"].as_array().unwrap().len(), EMBEDDING_DIMENSIONS);
            if count == 2 {
                assert_ne!(data[0]["embedding"], data[1]["embedding"]);
            }
        }
    }

    #[test]
    fn bytes_are_written_in_base64() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
