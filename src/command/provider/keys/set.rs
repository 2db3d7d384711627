//! `keywheel provider keys set`

use anyhow::Context as _;

use super::super::flags::FieldFlags;
use super::super::select;
use super::super::tell::Reader;
use super::intake::NewSecretFlags;
use super::newcomer;
use super::row::Row;
use crate::command::ending::Ending;
use crate::config::{self, Editor, KeyFields, Source};
use crate::exit::Exit;

/// Make a key the primary one of its provider, or change what is written of it
///
/// Without a flag that changes something the key becomes the first in order, which `pick = "primary_first"`
/// prefers. A limit of 0 takes the limit away, and so does an empty --quota-group or --models.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keywheel provider keys set --provider openai --key team-b
  keywheel provider keys set --key openai/team-b --weight 3 --rpm 1000
  pass show openai | keywheel provider keys set --key openai/team-b --secret-stdin")]
pub(in super::super) struct Args {
    /// The provider of the key
    #[arg(long, value_name = "ID")]
    provider: Option<String>,
    /// The key: its name, PROVIDER/NAME, or the beginning of its fingerprint
    #[arg(long, value_name = "KEY")]
    key: String,
    /// Make it the first in order, beside other changes
    #[arg(long)]
    primary: bool,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    secret: NewSecretFlags,
    #[command(flatten)]
    fields: FieldFlags,
}

impl Args {
    pub(in super::super) fn run(self, source: &Source) -> anyhow::Result<Exit> {
        let (outline, _) = config::outline_with_mistakes(source)?;
        let (provider, key) = select::key(&outline, self.provider.as_deref(), &self.key)?;
        let (id, name) = (provider.id.to_string(), key.name.to_string());
        let intake = self.secret.take(source)?;
        let is_change = self.fields.say_something() || intake.is_some();

        let mut editor = Editor::open(source)?;
        let outline = editor.outline()?;
        let provider = select::provider(&outline, Some(&id))?;
        if let Some(secret) = intake.as_ref().and_then(|intake| intake.secret(source)) {
            newcomer::admit(provider, Some(&name), &secret)?;
        }
        if is_change {
            let secret = intake.map(|intake| intake.written(editor.path())).transpose()?;
            editor.set_key(&id, &name, &KeyFields { secret, ..self.fields.fields() })?;
        }
        let becomes_primary = self.primary || !is_change;
        if becomes_primary {
            editor.make_primary(&id, &name)?;
        }
        let saved = editor.save()?;

        // Read again: a secret that was replaced in its file is there only now.
        let (after, _) = config::outline_with_mistakes(source)?;
        let provider = after.provider(&id).context("the provider is gone")?;
        let key = provider.key(&name).context("the key is gone")?;
        let what = Row::of(provider, key, select::fingerprints(&saved.home).as_ref());
        let verb = if is_change { "Changed key" } else { "Primary is now" };
        let sentence = format!("{verb} {}.", what.sentence());
        let action = if is_change { "changed" } else { "made_primary" };
        Ending { action, what, sentence, saved, reader: Reader::of_flag(self.json) }.tell()
    }
}
