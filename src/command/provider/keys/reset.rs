//! `keywheel provider keys reset` and `rest`: a word to the keys about their rests.

use std::time::Duration;

use keywheel_actors::id::KeyId;
use keywheel_actors::unit::{format_duration, parse_duration};
use serde::Serialize;

use super::choice::Choice;
use crate::admin::{Answered, Obeyed, Operator, Order};
use crate::command::stdout;
use crate::config::{self, Source};
use crate::exit::{Exit, UsageError};
use crate::ui::screen::say;

/// Forget a key's failures and end its rests, whatever they were for.
///
/// A running keywheel is told; if none runs, what is remembered is changed. A key that the configuration disables
/// stays disabled: see `keywheel provider keys enable`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Reset {
    #[command(flatten)]
    to: To,
}

/// Let a key rest for a while, also across a restart.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Rest {
    #[command(flatten)]
    to: To,

    /// For how long: `90s`, `1h30m`, `1d`
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    duration: Duration,
}

/// Whom an order is for, and how it is confirmed.
#[derive(Clone, Debug, clap::Args)]
struct To {
    #[command(flatten)]
    choice: Choice,

    /// All keys that are selected; needed where `--key` is missing
    #[arg(long)]
    all: bool,

    /// Print what was done as one JSON object
    #[arg(long)]
    json: bool,
}

/// The form of `--json`.
#[derive(Debug, Serialize)]
struct Done {
    key: String,
    done: Obeyed,
}

impl Reset {
    /// Does it.
    ///
    /// # Errors
    /// If there is no such key, or neither a running keywheel nor the state can be told.
    pub(super) fn run(self, source: &Source) -> anyhow::Result<Exit> {
        self.to.order(source, Order::Reset, "is reset")
    }
}

impl Rest {
    /// Does it.
    ///
    /// # Errors
    /// As [`Reset::run`].
    pub(super) fn run(self, source: &Source) -> anyhow::Result<Exit> {
        let done = format!("rests for {}", format_duration(self.duration));
        self.to.order(source, Order::Rest { duration: self.duration }, &done)
    }
}

impl To {
    fn order(&self, source: &Source, order: Order, done: &str) -> anyhow::Result<Exit> {
        let outline = config::outline(source)?;
        if !self.choice.names_a_key() && !self.all {
            let problem = "no key is named".to_owned();
            return Err(
                UsageError { problem, hint: "name one with `--key`, or say `--all`".to_owned() }.into()
            );
        }
        let operator = Operator::of(&outline.home);
        let mut told = Vec::new();
        let mut exit = Exit::Done;
        for id in self.choice.keys(&outline)? {
            // Of a provider that is left out nobody knows the keys, unless one is asked for by its name.
            let takes_part = outline.provider(id.provider.as_str()).is_some_and(|provider| provider.enabled);
            if !takes_part && !self.choice.names_a_key() {
                continue;
            }
            let obeyed = match operator.order(&id, order) {
                Ok(obeyed) => obeyed,
                // The others are told all the same.
                Err(error) => {
                    say(&format!("error: {id}: {error:#}"));
                    exit = Exit::of_error(&error);
                    continue;
                }
            };
            if !self.json {
                say(&sentence(&id, done, &obeyed));
            }
            told.push(Done { key: id.to_string(), done: obeyed });
        }
        if self.json {
            stdout::print_json(&told)?;
        }
        Ok(exit)
    }
}

fn sentence(key: &KeyId, done: &str, obeyed: &Obeyed) -> String {
    let by = match obeyed.answered {
        Answered::Running { pid } => format!(" (told process {pid})"),
        Answered::Durable => " (nothing runs; kept for the next one)".to_owned(),
    };
    match &obeyed.not_durable {
        Some(why) => format!("{key} {done}{by}\nwarning: a restart will forget it: {why}"),
        None => format!("{key} {done}{by}"),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "write numbers with units, such as `90s`, `1h30m` or `1d`".to_owned())
}
