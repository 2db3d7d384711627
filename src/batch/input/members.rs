//! The members of a JSON object as they were written: names read, values left alone.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members, in their order.
#[derive(Debug)]
pub(super) struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Members<'a> {
    /// The value of a member; of one that is written twice, the last, as JSON parsers have it.
    pub(super) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().rev().find(|(own, _)| own == name).map(|(_, value)| *value)
    }

    /// The same without a member.
    pub(super) fn without(mut self, name: &str) -> Self {
        self.0.retain(|(own, _)| own != name);
        self
    }

    /// The object as text, with `first` before its members; every value is as it was.
    pub(super) fn written_after(&self, first: Option<(&str, &str)>) -> String {
        let first = first.map(|(name, value)| (Cow::Borrowed(name), quoted(value)));
        let first = first.iter().map(|(name, value)| (name, value.as_str()));
        let mut text = String::from("{");
        for (name, value) in first.chain(self.0.iter().map(|(name, value)| (name, value.get()))) {
            if text.len() > 1 {
                text.push(',');
            }
            text.push_str(&quoted(name));
            text.push(':');
            text.push_str(value);
        }
        text.push('}');
        text
    }
}

/// A text as JSON has it.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Collect).map(Self)
    }
}

struct Collect;

/// A name without copying it, where it has no escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Visitor<'de> for Collect {
    type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some((Name(name), value)) = map.next_entry()? {
            members.push((name, value));
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_as_they_were() {
        let text = r#"{ "a" : 1.50, "b\"c": [ 1, 2 ], "a": "\u00e4" }"#;
        let members: Members<'_> = serde_json::from_str(text).unwrap();
        assert_eq!(members.get("a").unwrap().get(), r#""\u00e4""#);
        assert_eq!(
            members.written_after(Some(("model", "m\n"))),
            r#"{"model":"m\n","a":1.50,"b\"c":[ 1, 2 ],"a":"\u00e4"}"#
        );
        assert_eq!(members.without("a").written_after(None), r#"{"b\"c":[ 1, 2 ]}"#);
    }

    #[test]
    fn an_empty_object_takes_a_member() {
        let members: Members<'_> = serde_json::from_str("{ }").unwrap();
        assert_eq!(members.written_after(None), "{}");
        assert_eq!(members.written_after(Some(("model", "m"))), r#"{"model":"m"}"#);
    }
}
