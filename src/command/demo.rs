//! `keywheel demo`: everything at once, without any key.

use std::fs::File;
use std::io::{self, Cursor, Write};
use std::path::PathBuf;

use anyhow::Context as _;
use keywheel_actors::request::Terms;
use tokio::runtime::Runtime;

use crate::batch::{self, Accounts, Answers, Input, Options, Recorder, RunId, RunLimits, Stop, report};
use crate::command::engine;
use crate::config::Source;
use crate::demo;
use crate::exit::Exit;
use crate::sim::Sim;
use crate::ui::screen::say;

/// Show a batch over ten keys that get throttled, die and recover, in ten seconds and without any key.
///
/// Two simulated providers start inside this process; nothing leaves the machine. `alpha` has ten unequal
/// keys: one is invalid, one runs out of money at 3 s, the busiest is cut to a tenth of its quota at 4 s, and
/// from 5.5 s to 7 s the whole provider is down, while `beta` takes over what it can.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Keep the answers, one JSON object a line
    #[arg(short, long, value_name = "OUT.jsonl")]
    output: Option<PathBuf>,

    /// Print the summary as one line of JSON, the last on stdout
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Plays the demo.
    ///
    /// # Errors
    /// If no port, no thread or no output file is to be had.
    pub fn run(&self, source: &Source) -> anyhow::Result<Exit> {
        let output: Box<dyn Write + Send> = match &self.output {
            Some(path) => {
                Box::new(File::create(path).with_context(|| format!("can't write to {}", path.display()))?)
            }
            None => Box::new(io::sink()),
        };
        // The providers have a runtime of their own, as they would have machines of their own.
        let outside = Runtime::new().context("can't start the simulated providers")?;
        let (home, next_door) = outside
            .block_on(async {
                Ok::<_, io::Error>((Sim::start(demo::home()).await?, Sim::start(demo::next_door()).await?))
            })
            .context("can't start the simulated providers")?;
        let spec = demo::wheel(&home.base_url(), &next_door.base_url());
        let accounts = Accounts::of(&spec);
        let wheel = engine::start(spec)?;
        let style = engine::style(source);

        say(&format!(
            "{} prompts over ten keys of `{}` and two of `{}`, both simulated in this process.",
            demo::PROMPTS,
            demo::HOME,
            demo::NEXT_DOOR
        ));
        say(
            "Watch: k9 is invalid; k4 runs out of money at 3 s; k0 is cut to a tenth at 4 s; alpha is down from 5.5 s to 7 s.\n",
        );
        let rows = demo::rows();
        let bytes_total = rows.len() as u64;
        let input = Input::new(Cursor::new(rows), Some(bytes_total));
        let summary = wheel.runtime().block_on(async {
            let options = Options {
                run: RunId::fixed("demo"),
                window: demo::PROMPTS,
                terms: Terms::default(),
                answers: Answers::default(),
                accounts,
                stop: Stop::on_ctrl_c(),
                recorder: Recorder::default(),
                limits: RunLimits::default(),
            };
            batch::run(options, &wheel, input, batch::Output::stream(output), engine::screen(style)).await
        });
        let summary = summary.context("can't start the batch")?;
        say(&report(&summary, style));
        say(
            "The ideal knows neither of the outage nor of the quota that was cut. `keywheel batch` shows the same for your keys.",
        );
        if self.json {
            println!("{}", serde_json::to_string(&summary).context("can't write the summary")?);
        }
        Ok(summary.exit())
    }
}
