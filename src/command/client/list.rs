//! `keywheel client list`

use keywheel_actors::id::ProviderId;
use serde::Serialize;

use crate::clients::ClientSpec;
use crate::command::ending::{Reader, warn};
use crate::command::stdout;
use crate::config::{self, Source};
use crate::exit::Exit;
use crate::ui::screen::say;

/// List the clients
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    enabled: bool,
    tokens: usize,
    models: &'a [String],
    pass_through: Option<Vec<&'a str>>,
    concurrency: Option<u32>,
    windows: usize,
    cost_per_day: Option<String>,
}

impl<'a> Row<'a> {
    fn of(client: &'a ClientSpec) -> Self {
        Self {
            name: &client.name,
            enabled: client.enabled,
            tokens: client.tokens.len(),
            models: &client.models,
            pass_through: client
                .pass_through
                .as_ref()
                .map(|ids| ids.iter().map(ProviderId::as_str).collect()),
            concurrency: client.limits.concurrency,
            windows: client.limits.windows.len(),
            cost_per_day: client.cost_per_day.map(|cost| cost.to_string()),
        }
    }

    fn line(&self) -> String {
        let mut parts = vec![match self.tokens {
            1 => "1 token".to_owned(),
            tokens => format!("{tokens} tokens"),
        }];
        if !self.models.is_empty() {
            parts.push(format!("models {}", self.models.join(", ")));
        }
        match self.pass_through.as_deref() {
            None => {}
            Some([]) => parts.push("no provider by its id".to_owned()),
            Some(ids) => parts.push(format!("by their ids {}", ids.join(", "))),
        }
        if self.windows > 0 {
            parts.push(format!("{} limits", self.windows));
        }
        parts.extend(self.concurrency.map(|calls| format!("{calls} at once")));
        parts.extend(self.cost_per_day.as_ref().map(|cost| format!("{cost} a day")));
        if !self.enabled {
            parts.push("disabled".to_owned());
        }
        format!("{}  {}", self.name, parts.join(" · "))
    }
}

impl Args {
    pub(super) fn run(self, source: &Source) -> anyhow::Result<Exit> {
        let (outline, config) = config::outline_with_wheel(source)?;
        warn(&outline.warnings);
        let rows: Vec<Row<'_>> = config.server.clients.iter().map(Row::of).collect();
        match Reader::of_flag(self.json) {
            Reader::Program => stdout::print_json(&rows)?,
            Reader::Person if rows.is_empty() => {
                say(
                    "there are no clients: whoever reaches the gateway may call\n  hint: keywheel client new NAME --write",
                );
            }
            Reader::Person => {
                let lines: Vec<String> = rows.iter().map(Row::line).collect();
                stdout::print_line(&lines.join("\n"))?;
            }
        }
        Ok(Exit::Done)
    }
}

#[cfg(test)]
mod tests {
    use keywheel_actors::request::Priority;
    use keywheel_actors::spec::Limits;

    use super::*;

    #[test]
    fn a_row_says_what_a_client_may_call() {
        let spec = |models: &[&str], pass_through: Option<&[&str]>| ClientSpec {
            name: "app".to_owned(),
            tokens: Vec::new(),
            models: models.iter().map(|model| (*model).to_owned()).collect(),
            pass_through: pass_through.map(|ids| ids.iter().map(|id| ProviderId::from(*id)).collect()),
            limits: Limits::default(),
            cost_per_day: Some("20".parse().expect("an amount")),
            priority: Priority::High,
            enabled: true,
        };
        for (spec, line) in [
            (spec(&[], None), "app  0 tokens · 20.00 a day"),
            (spec(&["m"], Some(&["a", "b"])), "app  0 tokens · models m · by their ids a, b · 20.00 a day"),
            (spec(&[], Some(&[])), "app  0 tokens · no provider by its id · 20.00 a day"),
        ] {
            assert_eq!(Row::of(&spec).line(), line);
        }
    }
}
