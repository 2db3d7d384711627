//! From a line to a row, whatever its form.
//!
//! Sources of the wrapped forms: OpenAI's Batch API guide, "Prepare your batch file"
//! (<https://platform.openai.com/docs/guides/batch>), and Anthropic's "Batch processing"
//! (<https://docs.anthropic.com/en/docs/build-with-claude/batch-processing>).

use std::borrow::Cow;

use bytes::Bytes;
use keywheel_actors::id::Model;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::address;
use super::form::Form;
use super::hash::RowHash;
use super::members::Members;
use super::reading::Reading;
use super::row::{Rejected, Row};
use super::template::{Filling, Template};
use super::written::WrittenRow;

/// The member of a row that names it.
pub(super) const CUSTOM_ID: &str = "custom_id";

/// The placeholder that stands for what is asked.
pub(super) const PROMPT: &str = "prompt";

/// The placeholder that `--model` fills where the row doesn't.
pub(super) const MODEL: &str = "model";

/// Reads lines as they come.
#[derive(Debug)]
pub(in crate::batch) struct Parser {
    reading: Reading,
    template: Template,
    /// The form of the first line that tells its own: what a line is that doesn't.
    first_form: Option<Form>,
}

/// What a line asks for.
struct Asked {
    path: String,
    model: Model,
    body: Bytes,
}

/// What we must know of a body; the rest is between caller and provider.
#[derive(Deserialize)]
struct BodyHead<'a> {
    #[serde(borrow)]
    model: Option<Cow<'a, str>>,
    stream: Option<bool>,
}

impl Parser {
    pub(in crate::batch) fn new(reading: Reading) -> Self {
        let template = reading.template.clone().unwrap_or_default();
        Self { reading, template, first_form: None }
    }

    /// Reads one line.
    pub(in crate::batch) fn line(&mut self, line: u64, text: &Bytes) -> Result<Row, Rejected> {
        let no_row = |error: &dyn std::fmt::Display| {
            Rejected::invalid(line, None, &format!("not a batch row: {error}"))
        };
        if text.starts_with(b"\"") {
            let value: &RawValue = serde_json::from_slice(text).map_err(|error| no_row(&error))?;
            let asked = self.of_string(value);
            return row(line, None, asked);
        }
        let written: WrittenRow<'_> = serde_json::from_slice(text).map_err(|error| no_row(&error))?;
        let asked = self.of_object(&written, text);
        row(line, written.custom_id, asked)
    }

    /// Puts what `filling` says into the template: a row of line `line`.
    pub(super) fn filled<'a>(
        &self,
        line: u64,
        custom_id: Option<String>,
        filling: impl Fn(&str) -> Option<Filling<'a>>,
    ) -> Result<Row, Rejected> {
        row(line, custom_id, self.fill(filling))
    }

    fn of_string(&self, value: &RawValue) -> Result<Asked, String> {
        match self.reading.form {
            None | Some(Form::Prompt) => self.fill(|name| (name == PROMPT).then(|| value.into())),
            Some(Form::OpenAi | Form::Anthropic | Form::Body | Form::Csv) => {
                Err("a text, where an object is wanted; hint: --input-format prompt takes texts".to_owned())
            }
        }
    }

    fn of_object(&mut self, written: &WrittenRow<'_>, line: &Bytes) -> Result<Asked, String> {
        let told = written.form(self.reading.templating());
        let form = self.reading.form.or(told).or(self.first_form);
        self.first_form = self.first_form.or(told);
        match form {
            Some(Form::OpenAi) => self.of_openai(written, line),
            Some(Form::Anthropic) => self.of_anthropic(written, line),
            Some(Form::Body) => self.of_body(written, line),
            Some(Form::Prompt) => {
                let members: Members<'_> = serde_json::from_slice(line).map_err(|error| error.to_string())?;
                self.fill(|name| members.get(name).map(Filling::from))
            }
            Some(Form::Csv) | None => {
                Err("its form can't be told; hint: give it `body`, `params`, `messages` or \
                                           `prompt`, or say what it is with --input-format"
                    .to_owned())
            }
        }
    }

    fn of_openai(&self, written: &WrittenRow<'_>, line: &Bytes) -> Result<Asked, String> {
        require(written.custom_id.as_ref())?;
        if let Some(method) = text(written.method, "method")?.filter(|method| method != "POST") {
            return Err(format!("`method` is `{method}`; hint: batch rows are `POST`"));
        }
        let Some(url) = text(written.url, "url")? else {
            return Err("`url` is missing; hint: such as `/v1/chat/completions`".to_owned());
        };
        if !url.starts_with('/') {
            return Err(format!(
                "`url` is `{url}`; hint: a path such as `/v1/chat/completions`, the host is the provider's"
            ));
        }
        let (model, body) = self.wrapped(written.body, "body", line)?;
        Ok(Asked { path: address::below_base(&url).to_owned(), model, body })
    }

    fn of_anthropic(&self, written: &WrittenRow<'_>, line: &Bytes) -> Result<Asked, String> {
        require(written.custom_id.as_ref())?;
        let (model, body) = self.wrapped(written.params, "params", line)?;
        Ok(Asked { path: address::MESSAGES.to_owned(), model, body })
    }

    /// The request that stands in a member: a slice of the line, if it names its model.
    fn wrapped(&self, member: Option<&RawValue>, name: &str, line: &Bytes) -> Result<(Model, Bytes), String> {
        let Some(body) = member else {
            return Err(format!("`{name}` is missing; hint: the request as the provider takes it"));
        };
        let head: BodyHead<'_> =
            serde_json::from_str(body.get()).map_err(|error| format!("`{name}` is no request: {error}"))?;
        let prefix = format!("{name}.");
        head.refuse_stream(&prefix)?;
        self.with_model(head.model.as_deref(), &prefix, line.slice_ref(body.get().as_bytes()))
    }

    fn of_body(&self, written: &WrittenRow<'_>, line: &Bytes) -> Result<Asked, String> {
        let model = text(written.model, MODEL)?;
        let stream = (written.stream.map(RawValue::get) == Some("true")).then_some(true);
        BodyHead { model: None, stream }.refuse_stream("")?;
        let body = match written.custom_id {
            // No provider knows the member.
            Some(_) => Bytes::from(members(line)?.without(CUSTOM_ID).written_after(None)),
            None => line.clone(),
        };
        let (model, body) = self.with_model(model.as_deref(), "", body)?;
        let path = match &self.reading.url {
            Some(url) => address::below_base(url).to_owned(),
            None => address::guessed(written, &model, &body)?,
        };
        Ok(Asked { path, model, body })
    }

    fn fill<'a>(&self, filling: impl Fn(&str) -> Option<Filling<'a>>) -> Result<Asked, String> {
        let model = self.reading.model.as_ref().map(|model| Filling::Text(model.as_str().to_owned().into()));
        let body = self.template.fill(|name| {
            let own = filling(name);
            let own = if name == MODEL { own.or_else(|| model.clone()) } else { own };
            own.ok_or_else(|| missing(name))
        })?;
        let head: BodyHead<'_> = serde_json::from_str(&body).map_err(|error| error.to_string())?;
        head.refuse_stream("")?;
        let model = head.model.map(Cow::into_owned);
        let (model, body) = self.with_model(model.as_deref(), "", Bytes::from(body))?;
        let path = address::below_base(self.reading.url.as_deref().unwrap_or(address::CHAT)).to_owned();
        Ok(Asked { path, model, body })
    }

    /// The model of a body; one that names none gets that of `--model`.
    fn with_model(&self, named: Option<&str>, prefix: &str, body: Bytes) -> Result<(Model, Bytes), String> {
        if let Some(model) = named.filter(|model| !model.is_empty()) {
            return Ok((Model::from(model), body));
        }
        let Some(model) = &self.reading.model else {
            return Err(format!(
                "`{prefix}model` is missing; hint: name the model that is to answer, there or with --model"
            ));
        };
        let body = members(&body)?.without(MODEL).written_after(Some((MODEL, model.as_str())));
        Ok((model.clone(), Bytes::from(body)))
    }
}

impl BodyHead<'_> {
    fn refuse_stream(&self, prefix: &str) -> Result<(), String> {
        if self.stream == Some(true) {
            return Err(format!("`{prefix}stream` is true; hint: leave it out, answers are written whole"));
        }
        Ok(())
    }
}

/// The row that a line asks for, or why it can't be asked.
fn row(line: u64, custom_id: Option<String>, asked: Result<Asked, String>) -> Result<Row, Rejected> {
    match asked {
        Ok(Asked { path, model, body }) => {
            let custom_id = custom_id.unwrap_or_else(|| nameless(line));
            let hash = RowHash::of(&custom_id, &path, &body);
            Ok(Row { line, custom_id, hash, path, model, body })
        }
        Err(problem) => Err(Rejected::invalid(line, custom_id, &problem)),
    }
}

/// What a row is called that has no name.
pub(super) fn nameless(line: u64) -> String {
    format!("line-{line}")
}

fn require(custom_id: Option<&String>) -> Result<(), String> {
    match custom_id {
        Some(_) => Ok(()),
        None => Err("`custom_id` is missing; hint: give each row a name of its own".to_owned()),
    }
}

fn missing(name: &str) -> String {
    if name == MODEL {
        return "`model` is missing; hint: name the model that is to answer with --model".to_owned();
    }
    format!("`{name}` is missing; hint: the template has a placeholder of that name")
}

/// A member that must be a text, if it is there.
fn text<'a>(member: Option<&'a RawValue>, name: &str) -> Result<Option<Cow<'a, str>>, String> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

    let Some(member) = member else {
        return Ok(None);
    };
    match serde_json::from_str(member.get()) {
        Ok(Some(Text(text))) => Ok(Some(text)),
        Ok(None) => Ok(None),
        Err(error) => Err(format!("`{name}` is no text: {error}")),
    }
}

fn members(body: &[u8]) -> Result<Members<'_>, String> {
    serde_json::from_slice(body).map_err(|error| format!("not a batch row: {error}"))
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
