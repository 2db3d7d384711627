//! `keywheel batch`: the files and flags of a batch run.
//!
//! Each group of flags is a file of its own, with what it opens or decides.

mod answer;
mod input;
mod limits;
mod output;
mod report;
mod show;

use anyhow::Context as _;
use keywheel_actors::request::Terms;
use keywheel_actors::spec::{QUEUE_JOBS_MAX, WheelSpec};

use crate::batch::html::Setting;
use crate::batch::{self, Accounts, Options, RunId, Stop};
use crate::command::engine;
use crate::config::{self, Source};
use crate::exit::Exit;
use crate::session::Session;
use crate::ui::screen::say;

use answer::AnswerArgs;
use input::{InputArgs, Names};
use limits::LimitArgs;
use output::OutputArgs;
use show::{Reporting, ShowArgs};

/// Rows under way at once: enough for a hundred keys whose answers take 20 s each.
const WINDOW_DEFAULT: u32 = 2_048;

/// No provider's queue holds more.
#[expect(clippy::cast_possible_wrap, reason = "a few thousand")]
const WINDOW_MAX: i64 = QUEUE_JOBS_MAX as i64;

/// Answer every row of a file, as fast as the keys' quotas allow.
///
/// A row is a line of OpenAI's Batch API, `{"custom_id", "method", "url", "body"}`, or of Anthropic's, a bare
/// request, a prompt, or a row of a table. What comes out has the form of OpenAI's Batch API:
/// `{"id", "custom_id", "response", "error"}` a line, in order of completion. Every row gets exactly one
/// line, also one that failed. Ctrl-C takes no new rows and waits for those under way; a second one leaves.
///
/// Exit codes: 0 all rows ok, 1 input, output or the system failed, 2 usage or configuration, 3 some rows
/// failed, 4 stopped by `--max-cost`, `--max-rows` or `--deadline`, 130 interrupted.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    input: InputArgs,

    #[command(flatten)]
    output: OutputArgs,

    /// Rows handed to the wheel at once
    ///
    /// The keys' own limits decide what is sent; this bounds memory, and what a Ctrl-C waits for.
    #[arg(long, value_name = "ROWS", default_value_t = WINDOW_DEFAULT, value_parser = clap::value_parser!(u32).range(1..=WINDOW_MAX))]
    concurrency: u32,

    #[command(flatten)]
    answer: AnswerArgs,

    #[command(flatten)]
    limits: LimitArgs,

    #[command(flatten)]
    show: ShowArgs,
}

impl Args {
    /// Runs the batch.
    ///
    /// # Errors
    /// If it can't begin: the configuration, the files, or the actor system. What goes wrong later is told
    /// by the summary and the exit code.
    pub fn run(&self, source: &Source) -> anyhow::Result<Exit> {
        let style = engine::style(source);
        if self.limits.dry_run {
            return self.dry_run(source);
        }
        let input = self.input.open()?;
        let answers = self.answer.open()?;
        let names = self.input.refuse_duplicates(&mut self.show.screen(style))?;
        // Before the output is touched: another run with these keys may be writing it.
        let session = Session::start(source, "batch", |warning| say(&format!("warning: {warning}")))?;
        let accounts = Accounts::of(&session.config().wheel);
        let window = window(self.concurrency, &session.config().wheel);
        let wheel = session.wheel().clone();
        let limits = self.limits.resolve(session.config(), wheel.clock())?;
        if self.limits.wants_prices(&self.input) {
            let done = self.output.done_before()?;
            let mut screen = self.show.screen(style);
            self.limits.refuse_unpriced(&self.input, done, session.config(), &mut screen)?;
        }
        let options = self.told(window);
        let configured = session.config().path.as_deref();
        let mut taken = self.output.files();
        taken.push((self.input.path().to_owned(), "the input"));
        taken.extend(configured.map(|path| (path.to_owned(), "the configuration")));
        let reporting = self.show.reporting(&taken, &self.subject(), source, options)?;
        let mut output = self.output.open(&self.input, configured)?;
        if names == Names::Distinct {
            output.trust_names();
        }
        if let Some(resumed) = output.resumed() {
            self.output.tell_resumed(resumed);
        }
        let screen = self.show.screen(style);

        let summary = wheel.runtime().block_on(async {
            let options = Options {
                run: RunId::random(),
                window,
                terms: Terms { attempts_max: self.answer.attempts, ..Terms::default() },
                answers,
                accounts,
                stop: Stop::on_ctrl_c(),
                recorder: reporting.as_ref().map(Reporting::recorder).unwrap_or_default(),
                limits,
            };
            let summary = batch::run(options, &wheel, input, output, screen).await;
            session.end().await;
            summary
        });
        let summary = summary.context("can't start the batch")?;
        let reported = reporting.map_or(Ok(()), |reporting| reporting.write(&summary));
        self.show.tell(&summary, &self.output, style)?;
        if let Some(hint) = self.output.way_on(&summary, std::env::args_os()).filter(|_| !self.show.quiet) {
            say(&hint);
        }
        reported?;
        Ok(summary.exit())
    }

    /// What a report is about.
    fn subject(&self) -> String {
        format!("{} → {}", self.input.path().display(), self.output.path().display())
    }

    /// The options of the run that a report tells.
    fn told(&self, window: usize) -> Vec<Setting> {
        let field = |name: &str, value: String| Setting::Field { name: name.to_owned(), value };
        vec![
            field("rows under way at most", window.to_string()),
            field("attempts", self.answer.attempts.to_string()),
        ]
    }

    /// Tells what the run would take.
    fn dry_run(&self, source: &Source) -> anyhow::Result<Exit> {
        let config = config::load(source)?;
        for warning in &config.warnings {
            say(&format!("warning: {warning}"));
        }
        let mut screen = self.show.screen(engine::style(source));
        let input = self.input.open()?;
        let forecast = self
            .limits
            .forecast(input, self.output.done_before()?, &config, &mut screen)
            .context("can't read the input")?;
        self.show.tell_forecast(&forecast)?;
        Ok(Exit::Done)
    }
}

/// Rows at once: no more than the smallest queue holds, for what doesn't fit there would fail.
fn window(wanted: u32, spec: &WheelSpec) -> usize {
    let fits = spec.providers.iter().map(|provider| provider.queue_jobs_max).min();
    (wanted as usize).min(fits.unwrap_or(QUEUE_JOBS_MAX)).max(1)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use clap::Parser;
    use keywheel_actors::dialect::OpenAi;
    use keywheel_actors::spec::ProviderSpec;

    use super::*;
    use crate::exit::UsageError;
    use crate::ui::screen::Screen;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn args(words: &[&str]) -> Args {
        Cli::try_parse_from([&["batch"], words].concat()).unwrap().args
    }

    fn opened(words: &[&str]) -> anyhow::Result<batch::Output> {
        let args = args(words);
        args.output.open(&args.input, None)
    }

    fn hint_of<T>(result: anyhow::Result<T>) -> UsageError {
        result.err().unwrap().downcast().unwrap()
    }

    #[test]
    fn defaults_are_what_the_help_says() {
        let args = args(&["in.jsonl", "-o", "out.jsonl"]);
        assert_eq!((args.concurrency, args.answer.attempts), (2_048, 5));
        assert!(!args.output.force && !args.show.json && !args.show.quiet);
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
        let refused = hint_of(opened(&["in.jsonl", "-o", path]));
        assert_eq!(refused.problem, format!("{path} exists already"));
        assert_eq!(fs::read_to_string(&out).unwrap(), "precious");
        drop(opened(&["in.jsonl", "-o", path, "--force"]).unwrap());
        assert_eq!(fs::read_to_string(&out).unwrap(), "");
    }

    #[test]
    fn the_input_is_never_replaced_not_even_by_force() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("rows.jsonl");
        fs::write(&file, "precious").unwrap();
        let path = file.to_str().unwrap();
        let refused = hint_of(opened(&[path, "-o", path, "--force"]));
        assert!(refused.problem.ends_with("is the input as well as the output"), "{}", refused.problem);
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    }

    #[test]
    fn the_error_file_is_no_file_of_the_output_by_any_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
        for (errors, what) in [("./out.jsonl", "the output"), ("out.jsonl.journal", "the output's journal")] {
            let refused = hint_of(opened(&["-", "-o", &path("out.jsonl"), "--errors", &path(errors)]));
            assert!(refused.problem.ends_with(&format!("is {what} as well as the error file")));
        }
    }

    #[test]
    fn wrong_paths_are_told_before_anything_is_sent() {
        let dir = tempfile::tempdir().unwrap();
        let nowhere = dir.path().join("no/such/file");
        let nowhere = nowhere.to_str().unwrap();
        let here = dir.path().to_str().unwrap();
        assert!(args(&[nowhere, "-o", "x"]).input.open().unwrap_err().problem.contains(nowhere));
        assert!(args(&[here, "-o", "x"]).input.open().unwrap_err().problem.ends_with("it is a directory"));
        assert!(hint_of(opened(&["-", "-o", nowhere])).problem.contains(nowhere));
    }

    /// What is wrong with these rows, by file name, and these flags.
    fn refusal(name: &str, rows: &str, flags: &[&str]) -> Option<UsageError> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(name);
        fs::write(&file, rows).unwrap();
        let args = args(&[&[file.to_str().unwrap(), "-o", "x"], flags].concat());
        args.input.open().map(drop).and_then(|()| args.input.refuse_duplicates(&mut Screen::Quiet)).err()
    }

    #[test]
    fn a_name_that_two_rows_have_is_refused_unless_it_is_said_what_to_do() {
        let rows = "{\"custom_id\":\"a\"}\n{\"custom_id\":\"b\"}\n{\"custom_id\":\"a\"}\n";
        let refused = refusal("in.jsonl", rows, &[]).unwrap();
        assert!(refused.problem.ends_with("to several rows:\n  `a` on lines 1 and 3"), "{}", refused.problem);
        for what in ["fail-row", "skip", "suffix"] {
            assert_eq!(refusal("in.jsonl", rows, &["--on-duplicate", what]), None);
        }
        let table = "key,prompt\na,x\na,y\n";
        let refused = refusal("in.csv", table, &["--model", "m", "--id-column", "key"]).unwrap();
        assert!(refused.problem.ends_with("`a` on lines 2 and 3"), "{}", refused.problem);
        assert_eq!(refusal("in.csv", table, &["--model", "m"]), None, "the rows have no names");
    }

    #[test]
    fn flags_that_do_not_fit_together_are_told_before_anything_is_sent() {
        let problem = |name, flags: &[&str]| refusal(name, "", flags).unwrap().problem;
        assert_eq!(problem("in", &["--column", "a", "--input-format", "body"]), "--column is for tables");
        assert_eq!(
            problem("in.csv", &["--input-format", "csv", "--url", "v1/x"]),
            "--url is `v1/x`, which is no path"
        );
        assert!(problem("in", &["--template", "/no/such"]).starts_with("can't read the template /no/such: "));
        assert!(problem("in.csv", &[]).contains("can't read the header of "));
        assert!(
            problem("in", &["--column", "a"]).contains("can't read the header of "),
            "a table by its flag"
        );
    }

    #[test]
    fn the_length_of_a_file_is_known_beforehand() {
        let dir = tempfile::tempdir().unwrap();
        let rows = dir.path().join("rows.jsonl");
        fs::write(&rows, "12345").unwrap();
        let input = args(&[rows.to_str().unwrap(), "-o", "x"]).input.open().unwrap();
        assert_eq!(input.bytes_total(), Some(5));
        assert_eq!(args(&["-", "-o", "x"]).input.open().unwrap().bytes_total(), None);
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
