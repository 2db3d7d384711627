//! How many tokens a prompt will count for, by its length.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Bytes to a token: OpenAI's rule of thumb for English.
///
/// They are counted as JSON, braces and quotes included, as providers reckon that don't run a tokenizer first.
pub(super) const BYTES_PER_TOKEN: u64 = 4;

/// Tokens of a picture or a file sent inside the prompt, whose bytes say nothing about tokens:
/// one of OpenAI's pictures of 1024 × 1024 in high detail.
pub(super) const ATTACHMENT_TOKENS: u64 = 765;

/// Strings without a space that are longer than this are data, not text.
const TEXT_BYTES_WITHOUT_SPACE_MAX: usize = 4_096;

/// What the strings begin with that hold data whatever their length.
const DATA_URL: &str = "data:";

/// Tokens of all these parts of a prompt together, each as JSON.
pub(super) fn tokens_of(parts: &[Option<&RawValue>]) -> u64 {
    let (mut bytes, mut attachments) = (0_u64, 0_u64);
    for json in parts.iter().flatten().map(|part| part.get()) {
        bytes = bytes.saturating_add(json.len() as u64);
        if json.len() > TEXT_BYTES_WITHOUT_SPACE_MAX || json.contains(DATA_URL) {
            let data: Data = serde_json::from_str(json).unwrap_or_default();
            bytes = bytes.saturating_sub(data.bytes);
            attachments = attachments.saturating_add(data.attachments);
        }
    }
    bytes.div_ceil(BYTES_PER_TOKEN).saturating_add(attachments.saturating_mul(ATTACHMENT_TOKENS))
}

/// The data inside a JSON value, found without keeping any of it.
#[derive(Clone, Copy, Default)]
struct Data {
    bytes: u64,
    attachments: u64,
}

impl Data {
    fn and(self, more: Self) -> Self {
        Self { bytes: self.bytes + more.bytes, attachments: self.attachments + more.attachments }
    }
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Find)
    }
}

struct Find;

impl<'de> Visitor<'de> for Find {
    type Value = Data;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Data, E> {
        let is_data = text.starts_with(DATA_URL)
            || text.len() > TEXT_BYTES_WITHOUT_SPACE_MAX
                && !text.as_bytes()[..TEXT_BYTES_WITHOUT_SPACE_MAX].iter().any(u8::is_ascii_whitespace)
                && text.is_ascii();
        Ok(if is_data { Data { bytes: text.len() as u64, attachments: 1 } } else { Data::default() })
    }

    fn visit_u64<E>(self, _: u64) -> Result<Data, E> {
        Ok(Data::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Data, E> {
        Ok(Data::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Data, E> {
        Ok(Data::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Data, E> {
        Ok(Data::default())
    }

    fn visit_unit<E>(self) -> Result<Data, E> {
        Ok(Data::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Data, A::Error> {
        let mut sum = Data::default();
        while let Some(data) = values.next_element()? {
            sum = sum.and(data);
        }
        Ok(sum)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Data, A::Error> {
        let mut sum = Data::default();
        while let Some((_, data)) = fields.next_entry::<IgnoredAny, Data>()? {
            sum = sum.and(data);
        }
        Ok(sum)
    }
}
