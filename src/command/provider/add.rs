//! `keywheel provider add`

use super::flags::FieldFlags;
use super::keys::intake::SecretFlags;
use super::list::Row;
use super::tell::Reader;
use crate::command::ending::Ending;
use crate::config::{ConfigError, EditError, Editor, KeyFields, NewProvider, PRESETS, Place, Source};
use crate::exit::{Exit, UsageError};
use crate::ui::screen::say;

/// What the first key is called if nobody says otherwise.
const FIRST_KEY: &str = "key-1";

/// Add a provider
///
/// If its id is the name of a preset, that says everything. Any other provider needs --preset, or --dialect and
/// --base-url. Its first key can be given at once, with the flags of `keys add`.
#[derive(Clone, Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
#[command(after_help = "\
Examples:
  keywheel provider add openai --env OPENAI_API_KEY
  keywheel provider add team-2 --preset openai --stdin < key.txt
  keywheel provider add local --dialect openai --base-url http://127.0.0.1:8000/v1 --key none --inline")]
pub(super) struct Args {
    /// What to call it
    #[arg(value_name = "ID")]
    id: String,
    /// A provider that is known by name
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// How it speaks
    #[arg(long, value_name = "DIALECT")]
    dialect: Option<String>,
    /// Where it listens, version path included
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// Allow plain http beyond loopback
    #[arg(long)]
    allow_http: bool,
    /// How its keys take turns
    #[arg(long, value_name = "PICK")]
    pick: Option<String>,
    /// Leave it out until it is enabled
    #[arg(long)]
    disabled: bool,
    /// Begin a configuration if there is none: the file that --config names, else ./keywheel.toml
    #[arg(long)]
    create: bool,
    /// What to call the first key [default: key-1]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    secret: SecretFlags,
    #[command(flatten)]
    fields: FieldFlags,
}

impl Args {
    pub(super) fn run(self, source: &Source) -> anyhow::Result<Exit> {
        let new = self.provider()?;
        let has_key = self.secret.say_something() || self.fields.say_something() || self.name.is_some();
        let intake = has_key.then(|| self.secret.take(source)).transpose()?;

        let mut editor = if self.create {
            Editor::open_or_create(source)?
        } else {
            Editor::open(source).map_err(hinting_at_create)?
        };
        let is_new = editor.is_new();
        editor.add_provider(&new)?;
        if let Some(intake) = intake {
            let name = self.name.as_deref().unwrap_or(FIRST_KEY);
            let secret = Some(intake.written(editor.path())?);
            editor.add_key(&new.id, name, &KeyFields { secret, ..self.fields.fields() })?;
        }
        let after = editor.outline()?;
        let saved = editor.save()?;

        let id = &new.id;
        let mut sentence = format!("Added provider {id} to {}.", saved.shown.display());
        if is_new {
            sentence = format!("Began {} with provider {id}.", saved.shown.display());
        }
        if !has_key {
            say(&format!(
                "warning: {id} has no key yet, and nothing can run until it has one\n  \
                 hint: keywheel provider keys add --provider {id}"
            ));
        }
        let what = after.provider(id).map(Row::of);
        Ending { action: "added", what, sentence, saved, reader: Reader::of_flag(self.json) }.tell()
    }

    fn provider(&self) -> Result<NewProvider, UsageError> {
        let is_preset = |name: &str| PRESETS.iter().any(|preset| preset.name == name);
        let preset = match (&self.preset, &self.dialect) {
            (Some(preset), _) => Some(preset.clone()),
            (None, None) if is_preset(&self.id) => Some(self.id.clone()),
            (None, _) => None,
        };
        if preset.is_none() && (self.dialect.is_none() || self.base_url.is_none()) {
            let known: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
            return Err(UsageError {
                problem: format!("`{}` is no provider that is known by name", self.id),
                hint: format!(
                    "say how it speaks and where: --dialect openai --base-url URL; or --preset with one of {}",
                    known.join(", ")
                ),
            });
        }
        Ok(NewProvider {
            id: self.id.clone(),
            preset,
            dialect: self.dialect.clone(),
            base_url: self.base_url.clone(),
            pick: self.pick.clone(),
            allow_http: self.allow_http,
            enabled: !self.disabled,
        })
    }
}

/// Only this verb can begin a configuration, so only it says how.
fn hinting_at_create(error: EditError) -> anyhow::Error {
    let is_nowhere =
        |error: &ConfigError| error.problems.iter().any(|problem| problem.place == Place::Nowhere);
    match error {
        EditError::Unreadable(missing) if is_nowhere(&missing) => UsageError {
            problem: "there is no configuration yet".to_owned(),
            hint: "--create begins one in ./keywheel.toml, or where --config says".to_owned(),
        }
        .into(),
        other => other.into(),
    }
}
