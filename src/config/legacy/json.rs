//! JSON in which every value knows where it stands, and every member is kept.
//!
//! A map would forget the first of two members of one name, and the order.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A value with its place.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Json {
    /// Byte offset in the text.
    pub(super) offset: usize,
    /// What is there.
    pub(super) kind: JsonKind,
}

/// What JSON has.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum JsonKind {
    /// `null`
    Null,
    /// `true` or `false`
    Switch(bool),
    /// As it is written.
    Number(String),
    /// Without its quotes.
    Text(String),
    /// `[…]`
    List(Vec<Json>),
    /// `{…}`, as written.
    Record(Vec<(String, Json)>),
}

impl Json {
    /// Reads a whole text.
    ///
    /// # Errors
    /// The first breach of JSON's syntax. Its message quotes nothing of the text.
    pub(super) fn parse(text: &str) -> Result<Self, serde_json::Error> {
        let raw: &RawValue = serde_json::from_str(text)?;
        Self::of(raw, text)
    }

    fn of(raw: &RawValue, whole: &str) -> Result<Self, serde_json::Error> {
        let text = raw.get();
        // The raw value is a part of the whole text, so its place is the distance of their beginnings.
        let offset = text.as_ptr() as usize - whole.as_ptr() as usize;
        let kind = match text.as_bytes().first() {
            Some(b'{') => {
                let Members(members) = serde_json::from_str(text)?;
                let members = members.into_iter().map(|(name, raw)| Ok((name, Self::of(raw, whole)?)));
                JsonKind::Record(members.collect::<Result<_, serde_json::Error>>()?)
            }
            Some(b'[') => {
                let items: Vec<&RawValue> = serde_json::from_str(text)?;
                let items = items.into_iter().map(|raw| Self::of(raw, whole));
                JsonKind::List(items.collect::<Result<_, serde_json::Error>>()?)
            }
            Some(b'"') => JsonKind::Text(serde_json::from_str(text)?),
            Some(b't' | b'f') => JsonKind::Switch(serde_json::from_str(text)?),
            Some(b'n') => JsonKind::Null,
            Some(_) | None => JsonKind::Number(text.to_owned()),
        };
        Ok(Self { offset, kind })
    }

    /// Whether nothing is said: `null`, or text of white space.
    pub(super) fn is_nothing(&self) -> bool {
        match &self.kind {
            JsonKind::Null => true,
            JsonKind::Text(text) => text.trim().is_empty(),
            JsonKind::Switch(_) | JsonKind::Number(_) | JsonKind::List(_) | JsonKind::Record(_) => false,
        }
    }

    /// The text, if it is one.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.kind {
            JsonKind::Text(text) => Some(text.trim()),
            JsonKind::Null
            | JsonKind::Switch(_)
            | JsonKind::Number(_)
            | JsonKind::List(_)
            | JsonKind::Record(_) => None,
        }
    }

    /// The members, if it is a record.
    pub(super) fn members(&self) -> Option<&[(String, Self)]> {
        match &self.kind {
            JsonKind::Record(members) => Some(members),
            JsonKind::Null
            | JsonKind::Switch(_)
            | JsonKind::Number(_)
            | JsonKind::Text(_)
            | JsonKind::List(_) => None,
        }
    }

    /// The items, if it is a list.
    pub(super) fn items(&self) -> Option<&[Self]> {
        match &self.kind {
            JsonKind::List(items) => Some(items),
            JsonKind::Null
            | JsonKind::Switch(_)
            | JsonKind::Number(_)
            | JsonKind::Text(_)
            | JsonKind::Record(_) => None,
        }
    }

    /// A number, in quotes or without.
    pub(super) fn number(&self) -> Option<f64> {
        let text = match &self.kind {
            JsonKind::Number(text) | JsonKind::Text(text) => text,
            JsonKind::Null | JsonKind::Switch(_) | JsonKind::List(_) | JsonKind::Record(_) => return None,
        };
        text.trim().replace('_', "").parse().ok().filter(|number: &f64| number.is_finite())
    }

    /// A whole number from 0, in quotes or without.
    pub(super) fn whole(&self) -> Option<u64> {
        /// Up to here every whole number is one of an `f64`'s too.
        const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
        let number =
            self.number().filter(|number| number.fract() == 0.0 && (0.0..=EXACT_MAX).contains(number));
        // The text of such a number has no fraction and no exponent.
        number.and_then(|number| format!("{number:.0}").parse().ok())
    }

    /// True or false, in quotes or without, or as 1 and 0.
    pub(super) fn switch(&self) -> Option<bool> {
        let word = match &self.kind {
            JsonKind::Switch(on) => return Some(*on),
            JsonKind::Number(text) | JsonKind::Text(text) => text.trim().to_lowercase(),
            JsonKind::Null | JsonKind::List(_) | JsonKind::Record(_) => return None,
        };
        match word.as_str() {
            "true" | "yes" | "on" | "1" => Some(true),
            "false" | "no" | "off" | "0" => Some(false),
            _ => None,
        }
    }
}

/// A record's members in order, also those of one name.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a record")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(All)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_places_order_and_members_of_one_name() {
        let text = " {\"b\": 1, \"a\": [true, \"\\u00e9\"], \"b\": null}";
        let json = Json::parse(text).expect("this is JSON");
        let members = json.members().expect("a record");
        let names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["b", "a", "b"]);
        let items = members[1].1.items().expect("a list");
        assert_eq!(&text[items[1].offset..][..4], "\"\\u0");
        assert_eq!(items[1].text(), Some("é"));
        assert_eq!((json.offset, members[2].1.is_nothing()), (1, true));
        assert!(Json::parse("{\"a\": }").is_err());
    }

    #[test]
    fn numbers_and_switches_are_read_liberally() {
        let of = |text: &str| Json::parse(text).expect("this is JSON");
        assert_eq!(of("\" 1_000 \"").whole(), Some(1_000));
        assert_eq!(of("5.0").whole(), Some(5));
        assert_eq!(of("5.5").whole(), None);
        assert_eq!(of("-1").whole(), None);
        assert_eq!(of("1e300").whole(), None);
        assert_eq!(
            (of("0").switch(), of("\"Yes\"").switch(), of("2").switch()),
            (Some(false), Some(true), None)
        );
    }
}
