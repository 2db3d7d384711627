//! `keywheel batch`: the files and flags of a batch run.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use keywheel_actors::request::Terms;
use keywheel_actors::spec::{QUEUE_JOBS_MAX, WheelSpec};

use crate::batch::{self, Accounts, Input, Options, RunId, Stop, Summary, report};
use crate::command::engine;
use crate::config::Source;
use crate::exit::{Exit, UsageError};
use crate::session::Session;
use crate::ui::screen::{Screen, say};
use crate::ui::style::Style;

/// Rows under way at once: enough for a hundred keys whose answers take 20 s each.
const WINDOW_DEFAULT: u32 = 2_048;

/// No provider's queue holds more.
#[expect(clippy::cast_possible_wrap, reason = "a few thousand")]
const WINDOW_MAX: i64 = QUEUE_JOBS_MAX as i64;

/// Answer every row of a JSONL file, as fast as the keys' quotas allow.
///
/// Input and output have the form of OpenAI's Batch API: `{"custom_id", "method", "url", "body"}` a line in,
/// `{"id", "custom_id", "response", "error"}` a line out, in order of completion. Every row gets exactly one
/// line, also one that failed. Ctrl-C takes no new rows and waits for those under way; a second one leaves.
///
/// Exit codes: 0 all rows ok, 1 input, output or the system failed, 2 usage or configuration, 3 some rows
/// failed, 130 interrupted.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The rows, one JSON object a line; `-` is stdin
    #[arg(value_name = "IN.jsonl")]
    input: PathBuf,

    /// Where the answers go; `-` is stdout
    #[arg(short, long, value_name = "OUT.jsonl")]
    output: PathBuf,

    /// Replace OUT.jsonl if it exists
    #[arg(long)]
    force: bool,

    /// Rows handed to the wheel at once
    ///
    /// The keys' own limits decide what is sent; this bounds memory, and what a Ctrl-C waits for.
    #[arg(long, value_name = "ROWS", default_value_t = WINDOW_DEFAULT, value_parser = clap::value_parser!(u32).range(1..=WINDOW_MAX))]
    concurrency: u32,

    /// Calls of a row that may fail by a provider's fault before the row fails
    ///
    /// Throttled calls and dead keys cost a row none of these.
    #[arg(long, value_name = "CALLS", default_value_t = Terms::default().attempts_max, value_parser = clap::value_parser!(u32).range(1..))]
    attempts: u32,

    /// Print the summary as one line of JSON, the last on stdout (on stderr if OUT is `-`)
    #[arg(long)]
    json: bool,

    /// Show neither progress nor the summary for people
    #[arg(short, long)]
    quiet: bool,
}

impl Args {
    /// Runs the batch.
    ///
    /// # Errors
    /// If it can't begin: the configuration, the files, or the actor system. What goes wrong later is told
    /// by the summary and the exit code.
    pub fn run(&self, source: &Source) -> anyhow::Result<Exit> {
        let input = self.open_input()?;
        // Before the output is touched: another run with these keys may be writing it.
        let session = Session::start(source, "batch", |warning| say(&format!("warning: {warning}")))?;
        let accounts = Accounts::of(&session.config().wheel);
        let window = window(self.concurrency, &session.config().wheel);
        let wheel = session.wheel().clone();
        let output = self.open_output()?;
        let style = engine::style(source);
        let screen = if self.quiet { Screen::Quiet } else { engine::screen(style) };

        let summary = wheel.runtime().block_on(async {
            let options = Options {
                run: RunId::random(),
                window,
                terms: Terms { attempts_max: self.attempts, ..Terms::default() },
                accounts,
                stop: Stop::on_ctrl_c(),
            };
            let summary = batch::run(options, &wheel, input, output, screen).await;
            session.end().await;
            summary
        });
        let summary = summary.context("can't start the batch")?;
        self.tell(&summary, style)?;
        Ok(summary.exit())
    }

    fn open_input(&self) -> anyhow::Result<Input<Box<dyn BufRead + Send>>> {
        if is_dash(&self.input) {
            return Ok(Input { reader: Box::new(BufReader::new(io::stdin())), bytes_total: None });
        }
        let cant_read = |problem: &dyn std::fmt::Display| UsageError {
            problem: format!("can't read the rows from {}: {problem}", self.input.display()),
            hint: "give a JSONL file, or `-` for stdin".to_owned(),
        };
        let file = File::open(&self.input).map_err(|error| cant_read(&error))?;
        let kind = file.metadata().map_err(|error| cant_read(&error))?;
        if kind.is_dir() {
            return Err(cant_read(&"it is a directory").into());
        }
        let bytes_total = kind.is_file().then_some(kind.len());
        Ok(Input { reader: Box::new(BufReader::new(file)), bytes_total })
    }

    /// Opens the output before the run, so that a wrong path costs no calls.
    fn open_output(&self) -> anyhow::Result<Box<dyn Write + Send>> {
        if is_dash(&self.output) {
            return Ok(Box::new(io::stdout()));
        }
        if is_same_file(&self.input, &self.output) {
            let problem = format!("{} is the input as well as the output", self.output.display());
            let hint = "choose another name with --output".to_owned();
            return Err(UsageError { problem, hint }.into());
        }
        let mut options = OpenOptions::new();
        options.write(true);
        if self.force {
            options.create(true).truncate(true);
        } else {
            options.create_new(true);
        }
        match options.open(&self.output) {
            Ok(file) => Ok(Box::new(file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let problem = format!("{} exists already", self.output.display());
                let hint = "choose another name with --output, or replace it with --force".to_owned();
                Err(UsageError { problem, hint }.into())
            }
            Err(error) => {
                let problem = format!("can't write to {}: {error}", self.output.display());
                let hint = "check that the directory exists and may be written".to_owned();
                Err(UsageError { problem, hint }.into())
            }
        }
    }

    fn tell(&self, summary: &Summary, style: Style) -> anyhow::Result<()> {
        if !self.quiet {
            say(&report(summary, style));
        }
        if self.json {
            let line = serde_json::to_string(summary).context("can't encode the summary")?;
            if is_dash(&self.output) {
                say(&line);
            } else {
                writeln!(io::stdout(), "{line}").context("can't print the summary")?;
            }
        }
        Ok(())
    }
}

/// Rows at once: no more than the smallest queue holds, for what doesn't fit there would fail.
fn window(wanted: u32, spec: &WheelSpec) -> usize {
    let fits = spec.providers.iter().map(|provider| provider.queue_jobs_max).min();
    (wanted as usize).min(fits.unwrap_or(QUEUE_JOBS_MAX)).max(1)
}

fn is_dash(path: &Path) -> bool {
    path.as_os_str() == OsStr::new("-")
}

/// Whether both paths lead to one file that exists.
fn is_same_file(one: &Path, other: &Path) -> bool {
    match (fs::canonicalize(one), fs::canonicalize(other)) {
        (Ok(one), Ok(other)) => one == other,
        (Ok(_) | Err(_), _) => false,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use keywheel_actors::dialect::OpenAi;
    use keywheel_actors::spec::ProviderSpec;

    use std::sync::Arc;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn args(words: &[&str]) -> Args {
        Cli::try_parse_from([&["batch"], words].concat()).unwrap().args
    }

    fn hint_of<T>(result: anyhow::Result<T>) -> UsageError {
        result.err().unwrap().downcast().unwrap()
    }

    #[test]
    fn defaults_are_what_the_help_says() {
        let args = args(&["in.jsonl", "-o", "out.jsonl"]);
        assert_eq!((args.concurrency, args.attempts), (2_048, 5));
        assert!(!args.force && !args.json && !args.quiet);
        assert!(Cli::try_parse_from(["batch", "in.jsonl"]).is_err(), "an output must be named");
        for nonsense in [["--concurrency", "0"], ["--concurrency", "20000"], ["--attempts", "0"]] {
            let words = [&["batch", "in", "-o", "out"][..], &nonsense[..]].concat();
            assert!(Cli::try_parse_from(words).is_err(), "{nonsense:?}");
        }
    }

    #[test]
    fn an_existing_output_is_only_replaced_by_force() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out.jsonl");
        fs::write(&out, "precious").unwrap();
        let path = out.to_str().unwrap();
        let refused = hint_of(args(&["in.jsonl", "-o", path]).open_output());
        assert_eq!(refused.problem, format!("{path} exists already"));
        assert_eq!(fs::read_to_string(&out).unwrap(), "precious");
        drop(args(&["in.jsonl", "-o", path, "--force"]).open_output().unwrap());
        assert_eq!(fs::read_to_string(&out).unwrap(), "");
    }

    #[test]
    fn the_input_is_never_replaced_not_even_by_force() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("rows.jsonl");
        fs::write(&file, "precious").unwrap();
        let path = file.to_str().unwrap();
        let refused = hint_of(args(&[path, "-o", path, "--force"]).open_output());
        assert!(refused.problem.ends_with("is the input as well as the output"), "{}", refused.problem);
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    }

    #[test]
    fn wrong_paths_are_told_before_anything_is_sent() {
        let dir = tempfile::tempdir().unwrap();
        let nowhere = dir.path().join("no/such/file");
        let nowhere = nowhere.to_str().unwrap();
        let here = dir.path().to_str().unwrap();
        assert!(hint_of(args(&[nowhere, "-o", "x"]).open_input()).problem.contains(nowhere));
        assert!(hint_of(args(&[here, "-o", "x"]).open_input()).problem.ends_with("it is a directory"));
        assert!(hint_of(args(&["-", "-o", nowhere]).open_output()).problem.contains(nowhere));
    }

    #[test]
    fn the_length_of_a_file_is_known_beforehand() {
        let dir = tempfile::tempdir().unwrap();
        let rows = dir.path().join("rows.jsonl");
        fs::write(&rows, "12345").unwrap();
        let input = args(&[rows.to_str().unwrap(), "-o", "x"]).open_input().unwrap();
        assert_eq!(input.bytes_total, Some(5));
        assert_eq!(args(&["-", "-o", "x"]).open_input().unwrap().bytes_total, None);
    }

    #[test]
    fn the_window_fits_the_smallest_queue() {
        let small = ProviderSpec {
            queue_jobs_max: 100,
            ..ProviderSpec::new("p", Arc::new(OpenAi), "http://127.0.0.1:1/v1")
        };
        let spec = WheelSpec { providers: vec![small], ..WheelSpec::default() };
        assert_eq!(window(2_048, &spec), 100);
        assert_eq!(window(7, &spec), 7);
        assert_eq!(window(2_048, &WheelSpec::default()), 2_048);
    }
}
