//! A request body with placeholders, and how a row's values are put into it.

use std::borrow::Cow;

use keywheel_actors::id::Model;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::members::quoted;

/// What opens and closes a placeholder.
const OPEN: &str = "{{";
const CLOSE: &str = "}}";

/// A request body with placeholders such as `{{prompt}}`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Template {
    pieces: Vec<Piece>,
    tail: String,
}

/// Text, and the placeholder behind it.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Piece {
    text: String,
    name: String,
    place: Place,
}

/// Where a placeholder stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// Inside a JSON string, among other characters of it.
    InString,
    /// Where a value is wanted.
    Bare,
}

/// What is put in the place of a placeholder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Filling<'a> {
    /// A JSON value, as it is written in the row.
    Json(&'a str),
    /// A text, such as a table's cell.
    Text(Cow<'a, str>),
}

impl<'a> From<&'a RawValue> for Filling<'a> {
    fn from(value: &'a RawValue) -> Self {
        Self::Json(value.get())
    }
}

impl Default for Template {
    /// One message of a user.
    fn default() -> Self {
        let text = r#"{"model":"{{model}}","messages":[{"role":"user","content":"{{prompt}}"}]}"#;
        Self::cut(text)
    }
}

impl Template {
    /// Reads a template, and makes sure that it can become a request. A model may be given to bodies that
    /// name none.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence.
    pub fn parse(text: &str, model: Option<&Model>) -> Result<Self, String> {
        let template = Self::cut(text.trim());
        let filled = template.fill(|_| Ok(Filling::Json("0")))?;
        let body: Map<String, Value> =
            serde_json::from_str(&filled).map_err(|error| format!("it is no JSON object: {error}"))?;
        if body.get("stream") == Some(&Value::Bool(true)) {
            return Err("its `stream` is true, but answers are written whole".to_owned());
        }
        if !body.contains_key("model") && model.is_none() {
            return Err("it has no `model`, and there is no --model".to_owned());
        }
        Ok(template)
    }

    /// The names of its placeholders, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().map(|piece| piece.name.as_str())
    }

    /// Cuts the text at its placeholders. Braces that aren't one stay as they are.
    fn cut(text: &str) -> Self {
        let mut pieces = Vec::new();
        let mut piece = String::new();
        let mut place = Place::Bare;
        let mut rest = text;
        while let Some(open) = rest.find(OPEN) {
            let (before, behind) = (&rest[..open], &rest[open + OPEN.len()..]);
            place = place_behind(place, before);
            piece.push_str(before);
            if let Some(name) = name_in(behind) {
                let text = std::mem::take(&mut piece);
                pieces.push(Piece { text, name: name.trim().to_owned(), place });
                rest = &behind[name.len() + CLOSE.len()..];
            } else {
                piece.push('{');
                rest = &rest[open + 1..];
            }
        }
        Self { pieces, tail: piece + rest }
    }

    /// The body with what `filling` says for each name.
    ///
    /// # Errors
    /// What `filling` says, or that a value doesn't fit its place.
    pub(super) fn fill<'a>(
        &self,
        filling: impl Fn(&str) -> Result<Filling<'a>, String>,
    ) -> Result<String, String> {
        let mut body = String::new();
        for Piece { text, name, place } in &self.pieces {
            body.push_str(text);
            let filling = filling(name)?;
            match place {
                Place::InString => body.push_str(&filling.in_string()),
                Place::Bare => body.push_str(filling.bare(name)?),
            }
        }
        body.push_str(&self.tail);
        Ok(body)
    }
}

impl Filling<'_> {
    /// As characters of a JSON string. A value that is a string already has its escapes.
    fn in_string(&self) -> Cow<'_, str> {
        match self {
            Self::Json(json) => match unquoted(json) {
                Some(inner) => Cow::Borrowed(inner),
                None => Cow::Owned(escaped(json)),
            },
            Self::Text(text) => Cow::Owned(escaped(text)),
        }
    }

    /// As a JSON value. A text must be one itself: a number, `true`, a list.
    fn bare(&self, name: &str) -> Result<&str, String> {
        match self {
            Self::Json(json) => Ok(json),
            Self::Text(text) => match serde_json::from_str::<&RawValue>(text) {
                Ok(value) => Ok(value.get()),
                Err(_) => Err(format!(
                    "`{name}` is no JSON value; hint: in the template put quotes round `{{{{{name}}}}}`"
                )),
            },
        }
    }
}

fn escaped(text: &str) -> String {
    let quoted = quoted(text);
    unquoted(&quoted).unwrap_or_default().to_owned()
}

fn unquoted(json: &str) -> Option<&str> {
    json.strip_prefix('"')?.strip_suffix('"')
}

/// The name of a placeholder whose opening stands before `text`.
fn name_in(text: &str) -> Option<&str> {
    let name = &text[..text.find(CLOSE)?];
    let is_name = !name.trim().is_empty() && !name.contains(['{', '}', '"', '\\', '\n']);
    is_name.then_some(name)
}

/// The place at the end of `text`, if it begins in `place`.
fn place_behind(place: Place, text: &str) -> Place {
    let mut place = place;
    let mut is_escaped = false;
    for byte in text.bytes() {
        place = match (place, byte) {
            (Place::Bare, b'"') => Place::InString,
            (Place::InString, b'"') if !is_escaped => Place::Bare,
            (Place::Bare | Place::InString, _) => place,
        };
        is_escaped = byte == b'\\' && !is_escaped;
    }
    place
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filled(template: &str, filling: &Filling<'static>) -> Result<String, String> {
        Template::parse(template, Some(&"m".into()))?.fill(|_| Ok(filling.clone()))
    }

    #[test]
    fn values_take_the_shape_of_their_place() {
        let text = |text| Filling::Text(Cow::Borrowed(text));
        for (template, filling, wanted) in [
            (r#"{"a":"{{x}}"}"#, text("say \"hi\"\n"), r#"{"a":"say \"hi\"\n"}"#),
            (r#"{"a":"<{{ x }}>"}"#, Filling::Json(r#""\u00e4\"""#), r#"{"a":"<\u00e4\">"}"#),
            (r#"{"a":"{{x}}"}"#, Filling::Json(r#"["b"]"#), r#"{"a":"[\"b\"]"}"#),
            (r#"{"a":{{x}}}"#, Filling::Json(r#"["b"]"#), r#"{"a":["b"]}"#),
            (r#"{"a":{{x}}}"#, text(" 1.50 "), r#"{"a":1.50}"#),
            (r#"{"a\"":"{{x}}"}"#, text("\""), r#"{"a\"":"\""}"#),
            (r#"{"a":"\\","b":{{x}}}"#, text("7"), r#"{"a":"\\","b":7}"#),
            (r#"{"a":"{{{x}} }} {{}} {"}"#, text("b"), r#"{"a":"{b }} {{}} {"}"#),
        ] {
            assert_eq!(filled(template, &filling).as_deref(), Ok(wanted), "{template}");
        }
    }

    #[test]
    fn a_text_that_is_no_value_needs_quotes() {
        assert_eq!(
            filled(r#"{"a":{{x}}}"#, &Filling::Text("two words".into())).unwrap_err(),
            "`x` is no JSON value; hint: in the template put quotes round `{{x}}`"
        );
    }

    #[test]
    fn a_template_that_can_never_be_a_body_is_refused() {
        for text in ["", "[]", r#"{"a":"{{x}}""#, r#"{"a":x{{x}}}"#, "{{x}}"] {
            assert!(Template::parse(text, None).unwrap_err().starts_with("it is no JSON object: "), "{text}");
        }
    }

    #[test]
    fn a_template_needs_a_model_and_no_stream() {
        assert!(Template::parse(r#"{"model":"{{m}}"}"#, None).is_ok());
        assert_eq!(Template::parse("{}", None).unwrap_err(), "it has no `model`, and there is no --model");
        let streamed = Template::parse(r#"{"model":"m","stream":true}"#, None);
        assert_eq!(streamed.unwrap_err(), "its `stream` is true, but answers are written whole");
    }

    #[test]
    fn the_default_asks_for_a_model_and_a_prompt() {
        assert_eq!(Template::default().names().collect::<Vec<_>>(), ["model", "prompt"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_text_comes_out_as_it_went_in(text: String) {
            let template = Template::parse(r#"{"a":"<{{x}}>"}"#, Some(&"m".into())).unwrap();
            let body = template.fill(|_| Ok(Filling::Text(text.as_str().into()))).unwrap();
            let body: serde_json::Value = serde_json::from_str(&body).unwrap();
            prop_assert_eq!(body["a"].as_str().unwrap(), format!("<{text}>"));
        }
    }
}
