//! A provider or a key on or off: what `enable` and `disable` share.

use anyhow::bail;
use keywheel_actors::id::KeyId;
use serde::Serialize;

use super::list::Row;
use super::select;
use super::tell::Reader;
use crate::admin::{Answered, Obeyed, Operator, Order};
use crate::command::ending::Ending;
use crate::config::{self, EditError, Editor, KeyFields, Saved, Source};
use crate::exit::Exit;
use crate::ui::screen::say;

/// On or off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Switch {
    On,
    Off,
}

impl Switch {
    const fn is_on(self) -> bool {
        match self {
            Self::On => true,
            Self::Off => false,
        }
    }

    const fn order(self) -> Order {
        match self {
            Self::On => Order::Enable,
            Self::Off => Order::Disable,
        }
    }

    /// The outcome in a word.
    const fn done(self) -> &'static str {
        match self {
            Self::On => "enabled",
            Self::Off => "disabled",
        }
    }
}

/// Switches a provider.
pub(super) fn provider(source: &Source, id: &str, switch: Switch, reader: Reader) -> anyhow::Result<Exit> {
    let (outline, _) = config::outline_with_mistakes(source)?;
    let id = select::provider(&outline, Some(id))?.id.as_str();
    let mut editor = Editor::open(source)?;
    editor.set_provider_enabled(id, switch.is_on())?;
    let after = editor.outline()?;
    let saved = editor.save()?;
    let sentence = format!("Provider {id} is {}.", switch.done());
    let what = after.provider(id).map(Row::of);
    Ending { action: switch.done(), what, sentence, saved, reader }.tell()
}

/// A key that was switched.
#[derive(Serialize)]
struct SwitchedKey {
    provider: String,
    key: String,
    enabled: bool,
    /// Who has heard of it. `None`: nobody could be told.
    told: Option<Obeyed>,
}

/// Switches a key. A running keywheel hears of it first, so that it holds at once, whatever the disk says.
pub(super) fn key(
    source: &Source,
    provider: Option<&str>,
    word: &str,
    switch: Switch,
    reader: Reader,
) -> anyhow::Result<Exit> {
    let (outline, _) = config::outline_with_mistakes(source)?;
    let (provider, key) = select::key(&outline, provider, word)?;
    let id = KeyId { provider: provider.id.clone(), key: key.name.clone() };
    let told = Operator::of(&outline.home).order(&id, switch.order());
    let saved = match (write(source, &id, switch), &told) {
        (Ok(saved), _) => saved,
        (Err(error), Ok(obeyed)) => {
            bail!("{id} is {} {} only: {error}", switch.done(), whose(&obeyed.answered))
        }
        (Err(error), Err(_)) => return Err(error.into()),
    };
    let heard = match &told {
        Ok(Obeyed { not_durable: Some(reason), .. }) => {
            say(&format!("warning: what was remembered of {id} couldn't be written: {reason}"));
            Exit::Done
        }
        Ok(Obeyed { not_durable: None, .. }) => Exit::Done,
        Err(error) => unheard(&id, switch, error),
    };
    let sentence = format!("Key {id} is {}.", switch.done());
    let what = SwitchedKey {
        provider: id.provider.to_string(),
        key: id.key.to_string(),
        enabled: switch.is_on(),
        told: told.ok(),
    };
    let taken_over = Ending { action: switch.done(), what, sentence, saved, reader }.tell()?;
    Ok(if taken_over == Exit::Done { heard } else { taken_over })
}

/// Only the configuration says so. That is enough to keep a key off; to use it again, both must say so.
fn unheard(id: &KeyId, switch: Switch, error: &anyhow::Error) -> Exit {
    match switch {
        Switch::Off => {
            say(&format!("warning: only the configuration says so now: {error:#}"));
            Exit::Done
        }
        Switch::On => {
            say(&format!(
                "error: the configuration enables {id}, but what is remembered of it may still keep it off: \
                 {error:#}\n  hint: try again"
            ));
            Exit::Broken
        }
    }
}

fn write(source: &Source, id: &KeyId, switch: Switch) -> Result<Saved, EditError> {
    let mut editor = Editor::open(source)?;
    let fields = KeyFields { enabled: Some(switch.is_on()), ..KeyFields::default() };
    editor.set_key(id.provider.as_str(), id.key.as_str(), &fields)?;
    editor.save()
}

fn whose(answered: &Answered) -> String {
    match answered {
        Answered::Running { pid } => format!("in the running keywheel (process {pid})"),
        Answered::Durable => "in the durable state".to_owned(),
    }
}
