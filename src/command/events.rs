//! `keywheel events`: what happens in a running keywheel, as it happens.

use std::io::{self, Write as _};

use anyhow::Context as _;
use jiff::tz::TimeZone;
use tokio::signal::unix::{SignalKind, signal};

use crate::admin::{EventReport, Operator};
use crate::command::engine;
use crate::config::{self, Source};
use crate::exit::{Exit, UsageError};
use crate::ui::happening;

/// Follow what happens in the running keywheel with this configuration: failed calls, keys and providers that rest
/// and serve again, fallbacks, reloads.
///
/// It goes on until that keywheel ends, or until Ctrl-C. Whoever reads too slowly loses the oldest events and is
/// told how many. For what failed before, see `keywheel failures`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Print each event as a line of JSON; dates are milliseconds since 1970
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Follows.
    ///
    /// # Errors
    /// If the configuration has mistakes, nothing runs with it, or what runs can't be understood.
    pub fn run(&self, source: &Source) -> anyhow::Result<Exit> {
        let home = config::outline(source)?.home;
        let style = engine::stdout_style(source);
        let zone = TimeZone::system();
        let text = |event: &EventReport| -> anyhow::Result<String> {
            if self.json {
                return serde_json::to_string(event).context("can't write JSON");
            }
            Ok(happening::line(event, &zone, style))
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(follow(&Operator::of(&home), text))
    }
}

async fn follow(
    operator: &Operator,
    text: impl Fn(&EventReport) -> anyhow::Result<String>,
) -> anyhow::Result<Exit> {
    // Before the first line is printed, so that nobody can be too quick for it.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut happenings = operator.happenings().await?.ok_or_else(|| UsageError {
        problem: "no keywheel runs with this configuration".to_owned(),
        hint: "start one, such as `keywheel serve`, or name its configuration with `--config`".to_owned(),
    })?;
    let mut out = io::stdout();
    loop {
        let event = tokio::select! {
            biased;
            _ = interrupt.recv() => return Ok(Exit::Done),
            event = happenings.next() => event?,
        };
        let Some(event) = event else { return Ok(Exit::Done) };
        match writeln!(out, "{}", text(&event)?).and_then(|()| out.flush()) {
            // Whoever reads has read enough: `keywheel events | head`.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Exit::Done),
            written => written.context("can't write to standard output")?,
        }
    }
}
