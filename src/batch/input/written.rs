//! A line that is a JSON object, before it is known what it means.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::form::Form;

/// The members by which the forms are told apart. Further ones are left alone.
#[derive(Deserialize)]
pub(super) struct WrittenRow<'a> {
    pub custom_id: Option<String>,
    #[serde(borrow)]
    pub method: Option<&'a RawValue>,
    #[serde(borrow)]
    pub url: Option<&'a RawValue>,
    #[serde(borrow)]
    pub body: Option<&'a RawValue>,
    #[serde(borrow)]
    pub params: Option<&'a RawValue>,
    #[serde(borrow)]
    pub model: Option<&'a RawValue>,
    #[serde(borrow)]
    pub stream: Option<&'a RawValue>,
    #[serde(borrow)]
    pub messages: Option<&'a RawValue>,
    #[serde(borrow)]
    pub contents: Option<&'a RawValue>,
    #[serde(borrow)]
    pub input: Option<&'a RawValue>,
    #[serde(borrow)]
    pub prompt: Option<&'a RawValue>,
}

/// Whether the run has a template of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Templating {
    /// Objects hold the fields of `--template`.
    Own,
    /// Objects with `prompt` are put into the default one.
    Default,
}

impl WrittenRow<'_> {
    /// The form that the object's members tell; `None` if they don't.
    ///
    /// `body` and `params` are what the batch APIs wrap requests in. With a template of its own, any other
    /// object holds fields for it, whatever their names: a field `body` is one too, unless it is an object.
    pub(super) fn form(&self, templating: Templating) -> Option<Form> {
        let wraps = |member: Option<&RawValue>| match templating {
            Templating::Own => self.custom_id.is_some() && member.is_some_and(is_object),
            Templating::Default => member.is_some(),
        };
        if wraps(self.body) {
            return Some(Form::OpenAi);
        }
        if wraps(self.params) {
            return Some(Form::Anthropic);
        }
        if templating == Templating::Own {
            return Some(Form::Prompt);
        }
        if self.messages.is_some() || self.contents.is_some() || self.input.is_some() {
            return Some(Form::Body);
        }
        match (self.prompt, self.model) {
            (Some(_), None) => Some(Form::Prompt),
            // `{"model", "prompt"}` is what `/v1/completions` takes.
            (Some(_) | None, Some(_)) => Some(Form::Body),
            (None, None) => None,
        }
    }
}

fn is_object(value: &RawValue) -> bool {
    value.get().starts_with('{')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(text: &str, templating: Templating) -> Option<Form> {
        serde_json::from_str::<WrittenRow<'_>>(text).unwrap().form(templating)
    }

    #[test]
    fn the_members_tell_the_form() {
        for (text, default, own) in [
            (r#"{"custom_id":"a","body":{}}"#, Some(Form::OpenAi), Some(Form::OpenAi)),
            (r#"{"custom_id":"a","body":"text"}"#, Some(Form::OpenAi), Some(Form::Prompt)),
            (r#"{"body":{}}"#, Some(Form::OpenAi), Some(Form::Prompt)),
            (r#"{"custom_id":"a","params":{}}"#, Some(Form::Anthropic), Some(Form::Anthropic)),
            (r#"{"model":"m","messages":[]}"#, Some(Form::Body), Some(Form::Prompt)),
            (r#"{"messages":[]}"#, Some(Form::Body), Some(Form::Prompt)),
            (r#"{"contents":[]}"#, Some(Form::Body), Some(Form::Prompt)),
            (r#"{"input":""}"#, Some(Form::Body), Some(Form::Prompt)),
            (r#"{"prompt":""}"#, Some(Form::Prompt), Some(Form::Prompt)),
            (r#"{"prompt":"","model":"m"}"#, Some(Form::Body), Some(Form::Prompt)),
            (r#"{"custom_id":"a"}"#, None, Some(Form::Prompt)),
        ] {
            assert_eq!(form(text, Templating::Default), default, "{text}");
            assert_eq!(form(text, Templating::Own), own, "{text}");
        }
    }
}
