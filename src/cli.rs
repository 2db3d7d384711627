//! The words typed: global flags, and one verb a file in [`crate::command`].

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::process;
use std::str::FromStr;

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser as _};
use tracing_subscriber::EnvFilter;

use crate::command::{batch, client, completions, config, demo, events, failures, man, provider, serve, sim};
use crate::config::Source;
use crate::config::lookalike::hushed;
use crate::descriptors;
use crate::exit::{Exit, UsageError};

/// What goes wrong here. What clients do to their connections actix calls errors too, and anybody can fill a disk with it.
const LOGGED: &str = "error,actix_http=off";

/// Turns many API keys of many providers into one dependable, fast upstream.
#[derive(Debug, clap::Parser)]
#[command(name = "keywheel", version, disable_help_subcommand = true)]
pub struct Cli {
    /// The configuration file; else ./keywheel.toml, else ~/.config/keywheel/keywheel.toml
    #[arg(long, global = true, value_name = "FILE", help_heading = "Global options")]
    config: Option<PathBuf>,

    /// Override one field of the configuration, such as `--set rotation.pick=fastest`
    #[arg(long, global = true, value_name = "PATH=VALUE", help_heading = "Global options")]
    set: Vec<Typed>,

    /// What to log to stderr, as a tracing filter: `info`, or `keywheel=debug,hyper=warn`
    #[arg(
        long,
        global = true,
        value_name = "FILTER",
        env = "KEYWHEEL_LOG",
        default_value = LOGGED,
        help_heading = "Global options"
    )]
    log: String,

    /// How log lines look
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        default_value = "text",
        help_heading = "Global options"
    )]
    log_format: LogFormat,

    #[command(subcommand)]
    verb: Verb,
}

/// What follows a `--set`. It may be a secret, so its `Debug` hides it.
#[derive(Clone)]
struct Typed(String);

impl FromStr for Typed {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Typed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Typed(hidden)")
    }
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum LogFormat {
    /// For people
    Text,
    /// For programs
    Json,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Batch(batch::Args),
    Client(client::Args),
    Config(config::Args),
    Demo(demo::Args),
    Events(events::Args),
    Failures(failures::Args),
    Provider(Box<provider::Args>),
    Serve(serve::Args),
    Sim(sim::Args),
    Completions(completions::Args),
    Man(man::Args),
}

impl Cli {
    /// Takes the words apart, or ends the process with what is wrong with them.
    pub fn of_process() -> Self {
        Self::try_parse().unwrap_or_else(|error| {
            // What is wrong is quoted, and it may be a key that was typed in a wrong place.
            let text = error.render().to_string();
            match hushed(&text) {
                Cow::Borrowed(_) => error.exit(),
                Cow::Owned(text) => {
                    eprint!("{text}");
                    process::exit(error.exit_code())
                }
            }
        })
    }

    /// Does what was asked for and tells, on stderr, what kept it from being done.
    pub fn run(self) -> Exit {
        self.carry_out().unwrap_or_else(|error| {
            eprintln!("{}", hushed(&format!("error: {error:#}")));
            Exit::of_error(&error)
        })
    }

    fn carry_out(self) -> anyhow::Result<Exit> {
        self.start_log()?;
        descriptors::raise_limit();
        let overrides = self.set.iter().map(|Typed(text)| split_override(text)).collect::<Result<_, _>>()?;
        let source =
            Source::of_process(self.config, overrides).context("the working directory can't be found")?;
        match self.verb {
            Verb::Batch(args) => args.run(&source),
            Verb::Client(args) => args.run(&source),
            Verb::Config(args) => args.run(&source),
            Verb::Demo(args) => args.run(&source),
            Verb::Events(args) => args.run(&source),
            Verb::Failures(args) => args.run(&source),
            Verb::Provider(args) => args.run(&source),
            Verb::Serve(args) => args.run(&source),
            Verb::Sim(args) => args.run(),
            Verb::Completions(args) => args.run(Self::command()),
            Verb::Man(args) => args.run(Self::command()),
        }
    }

    fn start_log(&self) -> anyhow::Result<()> {
        let filter = EnvFilter::try_new(&self.log).map_err(|error| UsageError {
            problem: format!("`--log {}` is no filter: {error}", self.log),
            hint: "write a level such as `info`, or `target=level` pairs with commas between".to_owned(),
        })?;
        let builder = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(io::stderr().is_terminal())
            .with_writer(io::stderr);
        match self.log_format {
            LogFormat::Text => builder.init(),
            LogFormat::Json => builder.json().init(),
        }
        Ok(())
    }
}

fn split_override(text: &str) -> Result<(String, String), UsageError> {
    match text.split_once('=') {
        Some((path, value)) => Ok((path.to_owned(), value.to_owned())),
        // What was typed isn't repeated: it may be a secret.
        None => Err(UsageError {
            problem: "a `--set` lacks its `=`".to_owned(),
            hint: "write `--set rotation.pick=fastest`".to_owned(),
        }),
    }
}
