//! What a gateway must know of a body that it passes on as it is: the model, and whether a stream is wanted.

use std::borrow::Cow;
use std::fmt;

use keywheel_actors::id::Model;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// What a JSON body says at its top.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Peeked {
    pub(super) model: Option<Model>,
    /// Further ones to ask if that one can't serve, as OpenRouter has them.
    pub(super) fallbacks: Fallbacks,
    pub(super) streamed: Streamed,
}

/// The models of a field `models`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Fallbacks {
    Named(Vec<Model>),
    /// There is such a field, but it is no list of names.
    Unreadable,
}

impl Default for Fallbacks {
    fn default() -> Self {
        Self::Named(Vec::new())
    }
}

impl Fallbacks {
    fn and(self, value: &RawValue) -> Self {
        let more = serde_json::from_str::<Option<Vec<Name<'_>>>>(value.get());
        match (self, more) {
            (Self::Named(mut named), Ok(more)) => {
                named.extend(more.into_iter().flatten().map(|Name(name)| Model::from(name.into_owned())));
                Self::Named(named)
            }
            (Self::Named(_) | Self::Unreadable, _) => Self::Unreadable,
        }
    }
}

/// Whether a stream is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum Streamed {
    #[default]
    No,
    Yes,
}

impl Peeked {
    /// Looks into `body` without keeping any of it.
    ///
    /// # Errors
    /// What is wrong with it, for its writer: it is no JSON object, or one that can be read in two ways.
    pub(super) fn into(body: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(body).map_err(|error| format!("the body can't be understood: {error}"))
    }
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Peeked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Top)
    }
}

struct Top;

impl<'de> Visitor<'de> for Top {
    type Value = Peeked;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Peeked, A::Error> {
        let mut peeked = Peeked::default();
        let mut streams = 0;
        while let Some(Name(name)) = fields.next_key()? {
            match &*name {
                // Whom the client means and whom the provider bills must be the same.
                "model" if peeked.model.is_some() => return Err(twice("model")),
                "model" => {
                    let Name(model) = fields.next_value()?;
                    peeked.model = Some(Model::from(model.into_owned()));
                }
                // Whichever of two counts: all of them have to be allowed.
                "models" => peeked.fallbacks = peeked.fallbacks.and(fields.next_value()?),
                "stream" => {
                    streams += 1;
                    if streams > 1 {
                        return Err(twice("stream"));
                    }
                    if fields.next_value::<Option<bool>>()? == Some(true) {
                        peeked.streamed = Streamed::Yes;
                    }
                }
                _ => drop(fields.next_value::<IgnoredAny>()?),
            }
        }
        Ok(peeked)
    }
}

fn twice<E: serde::de::Error>(field: &str) -> E {
    E::custom(format_args!("`{field}` stands in it twice"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_and_the_wish_for_a_stream_are_found_anywhere_at_the_top() {
        let body = br#"{"messages":[{"model":"no","stream":true}],"mod\u0065l":"yes","stream":false}"#;
        let wanted = Peeked { model: Some("yes".into()), ..Peeked::default() };
        assert_eq!(Peeked::into(body), Ok(wanted));
        assert_eq!(Peeked::into(br#"{"stream":true}"#).map(|peeked| peeked.streamed), Ok(Streamed::Yes));
        assert_eq!(Peeked::into(br#"{"stream":null}"#), Ok(Peeked::default()));
    }

    #[test]
    fn models_to_fall_back_to_are_found_wherever_they_stand() {
        let named =
            |models: &[&str]| Fallbacks::Named(models.iter().map(|model| Model::from(*model)).collect());
        for (body, wanted) in [
            (r#"{"model":"a"}"#, named(&[])),
            (r#"{"models":null}"#, named(&[])),
            (r#"{"models":["b","c"],"model":"a","mod\u0065ls":["d"]}"#, named(&["b", "c", "d"])),
            (r#"{"models":"b"}"#, Fallbacks::Unreadable),
            (r#"{"models":[{"id":"b"}],"models":[]}"#, Fallbacks::Unreadable),
        ] {
            assert_eq!(Peeked::into(body.as_bytes()).expect(body).fallbacks, wanted, "{body}");
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for (body, word) in [
            (r#"{"model":"a","model":"b"}"#, "twice"),
            (r#"{"stream":false,"stream":true}"#, "twice"),
            (r#"["model"]"#, "object"),
            (r#"{"model":7}"#, "string"),
            (r#"{"stream":"yes"}"#, "boolean"),
            (r#"{"model":"a"} x"#, "trailing"),
            ("", "EOF"),
        ] {
            let error = Peeked::into(body.as_bytes()).expect_err(body);
            assert!(error.contains(word), "{body}: {error}");
        }
    }
}
