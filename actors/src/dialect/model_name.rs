//! Puts another model's name into a body without touching anything else in it.
//!
//! Reading and writing the whole body anew would lose what the caller wrote: the order of its fields,
//! the digits of its numbers, and with them the provider's prompt cache.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// `body` with `model` as the value of its top-level `model`, or the very same body where there is
/// nothing to change: the name stands there already, there is no such field, or it isn't a JSON object.
pub(super) fn with_model(body: &Bytes, model: &str) -> Bytes {
    // Nobody could read one: it goes on as it came.
    if model.is_empty() {
        return body.clone();
    }
    let Ok(Top { models, .. }) = serde_json::from_slice::<Top<'_>>(body) else { return body.clone() };
    spliced(body, &models, model)
}

/// The same for a body that is made of `requests`, each with a `model` of its own.
pub(super) fn with_model_in_all(body: &Bytes, model: &str) -> Bytes {
    // Nobody could read one: it goes on as it came.
    if model.is_empty() {
        return body.clone();
    }
    let Ok(Top { mut models, requests }) = serde_json::from_slice::<Top<'_>>(body) else {
        return body.clone();
    };
    for requests in requests {
        let Ok(requests) = serde_json::from_str::<Vec<Top<'_>>>(requests.get()) else { continue };
        models.extend(requests.into_iter().flat_map(|request| request.models));
    }
    models.sort_by_key(|raw| raw.get().as_ptr().addr());
    spliced(body, &models, model)
}

/// `body` with `model` in all these places, which stand in it one behind the other.
fn spliced(body: &Bytes, places: &[&RawValue], model: &str) -> Bytes {
    let is_there =
        |raw: &&RawValue| serde_json::from_str::<Cow<'_, str>>(raw.get()).is_ok_and(|name| name == model);
    if places.iter().all(is_there) {
        return body.clone();
    }
    let name = serde_json::Value::from(model).to_string();
    let mut spliced = BytesMut::with_capacity(body.len() + places.len() * name.len());
    let mut copied = 0;
    for place in places.iter().map(|raw| span_of(raw, body)) {
        spliced.extend_from_slice(&body[copied..place.start]);
        spliced.extend_from_slice(name.as_bytes());
        copied = place.end;
    }
    spliced.extend_from_slice(&body[copied..]);
    spliced.freeze()
}

/// Where `part`, which borrows from `whole`, stands in it.
fn span_of(part: &RawValue, whole: &[u8]) -> Range<usize> {
    let start = part.get().as_ptr().addr() - whole.as_ptr().addr();
    start..start + part.get().len()
}

/// The values of every top-level `model`, and of `requests`. A body with two of them is odd, but which one
/// a provider takes isn't ours to guess.
struct Top<'a> {
    models: Vec<&'a RawValue>,
    requests: Vec<&'a RawValue>,
}

/// A field's name; borrowed unless it holds escapes.
#[derive(Deserialize)]
struct Field<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Top<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Top<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut models = Vec::with_capacity(1);
                let mut requests = Vec::new();
                while let Some(Field(name)) = map.next_key()? {
                    if name == "model" {
                        models.push(map.next_value()?);
                    } else if name == "requests" {
                        requests.push(map.next_value()?);
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Top { models, requests })
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spliced(body: &str, model: &str) -> String {
        let body = with_model(&Bytes::copy_from_slice(body.as_bytes()), model);
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[test]
    fn only_the_name_changes() {
        for (body, result) in [
            (r#"{"model":"fast","n":1.10}"#, r#"{"model":"gpt-4o","n":1.10}"#),
            (
                "{ \"a\" : {\"model\":\"x\"},\n\t\"model\" : \"fast\" }\n",
                "{ \"a\" : {\"model\":\"x\"},\n\t\"model\" : \"gpt-4o\" }\n",
            ),
            (r#"{"mod\u0065l":"fast"}"#, r#"{"mod\u0065l":"gpt-4o"}"#),
            (r#"{"model":null}"#, r#"{"model":"gpt-4o"}"#),
            (r#"{"model":"a","model":"gpt-4o"}"#, r#"{"model":"gpt-4o","model":"gpt-4o"}"#),
            (
                r#"{"m":"\"model\":\"fast\"","é":1e999,"model":"fast"}"#,
                r#"{"m":"\"model\":\"fast\"","é":1e999,"model":"gpt-4o"}"#,
            ),
        ] {
            assert_eq!(spliced(body, "gpt-4o"), result);
        }
        assert_eq!(spliced(r#"{"model":"a"}"#, "say \"hi\"\n"), r#"{"model":"say \"hi\"\n"}"#);
    }

    #[test]
    fn requests_are_looked_into_only_where_a_body_is_made_of_them() {
        let body = Bytes::from_static(br#"{"requests":[{"model":"a"},{"m":1}],"model":"b"}"#);
        assert_eq!(with_model(&body, "g"), &br#"{"requests":[{"model":"a"},{"m":1}],"model":"g"}"#[..]);
        assert_eq!(
            with_model_in_all(&body, "g"),
            &br#"{"requests":[{"model":"g"},{"m":1}],"model":"g"}"#[..]
        );
        let odd = Bytes::from_static(br#"{"requests":{"model":"a"}}"#);
        assert_eq!(with_model_in_all(&odd, "g"), odd);
    }

    #[test]
    fn where_nothing_is_to_change_the_same_bytes_go_on() {
        for body in
            [r#"{"model":"gpt-4o"}"#, r#"{"model":"gpt\u002d4o"}"#, "{}", "[1]", "", "{\"model\":", "--form"]
        {
            let body = Bytes::copy_from_slice(body.as_bytes());
            let same = with_model(&body, "gpt-4o");
            assert_eq!((same.as_ptr(), same.len()), (body.as_ptr(), body.len()));
        }
        assert_eq!(with_model(&Bytes::from_static(b"{\"model\":null}"), ""), "{\"model\":null}");
    }

    proptest! {
        #[test]
        fn the_rest_stays_byte_for_byte(
            before in "[ ,a-z0-9é\\\\\"]{0,30}",
            after in "[ a-zé\\\\\"]{0,30}",
            model in "\\PC{1,12}",
        ) {
            let before = format!(r#"{{ "b":{} , "model": "#, serde_json::Value::from(before));
            let after = format!(r#" , "a":{}}}"#, serde_json::Value::from(after));
            let wanted = format!("{before}{}{after}", serde_json::Value::from(&*model));
            prop_assert_eq!(spliced(&format!("{before}\"old name\"{after}"), &model), wanted);
        }
    }
}
