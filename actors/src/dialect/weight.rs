//! How many tokens a text will count for, by its length.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Bytes of text to a token: OpenAI's rule of thumb for English.
const BYTES_PER_TOKEN: u64 = 4;

/// Tokens of a picture or a file sent inside the prompt, whose bytes say nothing about tokens:
/// one of OpenAI's pictures of 1024 × 1024 in high detail.
pub(super) const ATTACHMENT_TOKENS: u64 = 765;

/// Strings without a space that are longer than this are data, not text.
const TEXT_BYTES_WITHOUT_SPACE_MAX: usize = 4_096;

/// How much text a JSON value holds, in bytes, without keeping any of it.
///
/// A number counts as one token: prompts may be given as arrays of token ids.
#[derive(Clone, Copy, Default)]
pub(super) struct Bulk(u64);

impl Bulk {
    /// Tokens of all these together.
    pub(super) fn tokens_of(parts: &[Self]) -> u64 {
        let bytes = parts.iter().fold(0_u64, |sum, Self(bytes)| sum.saturating_add(*bytes));
        bytes.div_ceil(BYTES_PER_TOKEN)
    }
}

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
