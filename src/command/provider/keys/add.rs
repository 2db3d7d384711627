//! `keywheel provider keys add`

use anyhow::Context as _;

use super::super::flags::FieldFlags;
use super::super::select;
use super::super::tell::Reader;
use super::intake::SecretFlags;
use super::newcomer::{self, Names};
use super::row::Row;
use crate::command::ending::Ending;
use crate::config::{self, Editor, KeyFields, Source};
use crate::exit::{Exit, UsageError};
use crate::ui::screen::say;

/// Add a key to a provider
///
/// The secret is asked for without an echo, or comes from stdin, a file or a variable. Unless it is a reference
/// already, it is stored in a file of its own in keys/ beside the configuration, which only its owner can read.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keywheel provider keys add --provider openai --name team-b --rpm 500
  pass show openai | keywheel provider keys add --provider openai --stdin
  keywheel provider keys add --provider openai --env OPENAI_KEY_B --quota-group org-1 --weight 2")]
pub(in super::super) struct Args {
    /// The provider to add it to; may be left out if there is only one
    #[arg(long, value_name = "ID")]
    provider: Option<String>,
    /// What to call it [default: the next free key-N]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Don't use it until it is enabled
    #[arg(long)]
    disabled: bool,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    secret: SecretFlags,
    #[command(flatten)]
    fields: FieldFlags,
}

impl Args {
    pub(in super::super) fn run(self, source: &Source) -> anyhow::Result<Exit> {
        let outline = config::outline(source)?;
        let id = select::provider(&outline, self.provider.as_deref())?.id.clone();
        let intake = self.secret.take(source)?;

        let mut editor = Editor::open(source)?;
        let outline = editor.outline()?;
        let provider = select::provider(&outline, Some(id.as_str()))?;
        match intake.secret(source) {
            Some(secret) => newcomer::admit(provider, None, &secret)?,
            None => say("warning: the secret can't be had in this shell, so it is taken on trust"),
        }
        let mut names = Names::of(provider);
        let name = match self.name {
            Some(name) if names.take(&name) => name,
            Some(name) => {
                let problem = format!("there is a key `{id}/{name}` already");
                let hint =
                    "choose another --name, or change that key with `keywheel provider keys set`".to_owned();
                return Err(UsageError { problem, hint }.into());
            }
            None => names.choose(),
        };
        let fields = KeyFields {
            secret: Some(intake.written(editor.path())?),
            enabled: self.disabled.then_some(false),
            ..self.fields.fields()
        };
        editor.add_key(id.as_str(), &name, &fields)?;
        let after = editor.outline()?;
        let saved = editor.save()?;

        let provider = after.provider(id.as_str()).context("the provider is gone")?;
        let key = provider.key(&name).context("the key is gone")?;
        let what = Row::of(provider, key, select::fingerprints(&saved.home).as_ref());
        let sentence = format!("Added key {}.", what.sentence());
        Ending { action: "added", what, sentence, saved, reader: Reader::of_flag(self.json) }.tell()
    }
}
