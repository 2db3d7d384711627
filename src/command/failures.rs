//! `keywheel failures`: what the failure log tells.

use std::collections::VecDeque;
use std::io::{self, BufWriter, Stdout, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use keywheel_actors::outcome::Reason;
use keywheel_actors::unit::parse_duration;
use tokio::signal::unix::{SignalKind, signal};

use crate::command::engine;
use crate::config::suggest::instead_of;
use crate::config::{self, Source};
use crate::exit::{Exit, UsageError};
use crate::failures::{Follower, Line, Record, Selection, Summary, read_all, show};
use crate::ui::style::Style;

/// Soon enough for people, and next to nothing for the disk.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Show the calls that failed, from the log that every run with this configuration writes.
///
/// The oldest come first. Lines that can't be read, such as those that a crash tore, are skipped and counted
/// on stderr.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Only of this provider
    #[arg(long, value_name = "ID")]
    provider: Option<String>,

    /// Only by keys of this name
    #[arg(long, value_name = "NAME")]
    key: Option<String>,

    /// Only of this model, by the provider's own name
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,

    /// Only for this reason, such as `throttled`; may be given several times
    #[arg(long, value_name = "REASON")]
    reason: Vec<String>,

    /// Only since then: `2h` ago, or a date such as `2026-01-02T03:04:05Z`
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,

    /// Only the last so many
    #[arg(short = 'n', long, value_name = "COUNT", conflicts_with = "summary")]
    limit: Option<usize>,

    /// Go on with what fails from now on, until Ctrl-C
    #[arg(short, long, conflicts_with = "summary")]
    follow: bool,

    /// Count by reason and key instead
    #[arg(long)]
    summary: bool,

    /// Print the lines of the log as they are, in JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Shows them.
    ///
    /// # Errors
    /// If the words or the configuration are wrong, or the log can't be read.
    pub fn run(&self, source: &Source) -> anyhow::Result<Exit> {
        let selection = self.selection(Timestamp::now())?;
        let log = config::outline(source)?.home.failures;
        // Lines are in files of their own day; one that is older has none of them.
        let from = selection.since.map(|since| since.to_zoned(TimeZone::UTC).date());
        let style = engine::stdout_style(source);
        let done = if self.summary {
            self.summarize(&log.dir, from, &selection)
        } else {
            self.list(&log.dir, from, Printer::new(self, selection, style))
        };
        match done {
            // Whoever reads has read enough: `keywheel failures | head`.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Done),
            done => {
                done.with_context(|| format!("can't show the failures in {}", log.dir.display()))?;
                Ok(Exit::Done)
            }
        }
    }

    fn selection(&self, now: Timestamp) -> Result<Selection, UsageError> {
        Ok(Selection {
            provider: self.provider.clone(),
            key: self.key.clone(),
            model: self.model.clone(),
            reasons: self.reason.iter().map(|word| reason(word)).collect::<Result<_, _>>()?,
            since: self.since.as_deref().map(|text| moment(text, now)).transpose()?,
        })
    }

    fn summarize(&self, dir: &Path, from: Option<Date>, selection: &Selection) -> io::Result<()> {
        let mut summary = Summary::default();
        let mut foreign = 0;
        read_all(dir, from, &mut |line| {
            match line {
                Line::Ours { record, .. } if selection.takes(&record) => summary.count(&record),
                Line::Ours { .. } => {}
                Line::Foreign => foreign += 1,
            }
            Ok(())
        })?;
        let mut out = io::stdout();
        if self.json {
            writeln!(out, "{}", serde_json::to_string(&summary)?)?;
        } else {
            writeln!(out, "{}", summary.table())?;
            if summary.missing > 0 {
                writeln!(out, "\n{} events are missing in the log", summary.missing)?;
            }
        }
        tell_foreign(foreign);
        Ok(())
    }

    fn list(&self, dir: &Path, from: Option<Date>, mut printer: Printer) -> io::Result<()> {
        if self.follow {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(follow(Follower::new(dir, from), &mut printer))?;
        } else {
            read_all(dir, from, &mut |line| printer.take(line))?;
            printer.catch_up()?;
            if printer.shown == 0 {
                eprintln!("no such failure is logged in {}", dir.display());
            }
        }
        tell_foreign(printer.foreign);
        Ok(())
    }
}

/// Prints what comes until somebody presses Ctrl-C.
async fn follow(mut follower: Follower, printer: &mut Printer) -> io::Result<()> {
    // Before the first line is printed, so that nobody can be too quick for it.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut look = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            biased;
            _ = interrupt.recv() => return Ok(()),
            _ = look.tick() => {
                follower.read(&mut |line| printer.take(line))?;
                printer.catch_up()?;
            }
        }
    }
}

/// Prints lines, or holds the last ones back until it is known that they are the last.
struct Printer {
    selection: Selection,
    json: bool,
    zone: TimeZone,
    style: Style,
    out: BufWriter<Stdout>,
    /// Lines held back, and how many at most. `None` once they are printed, or if nobody wants a limit.
    held: Option<(VecDeque<String>, usize)>,
    shown: u64,
    foreign: u64,
}

impl Printer {
    fn new(args: &Args, selection: Selection, style: Style) -> Self {
        Self {
            selection,
            json: args.json,
            zone: TimeZone::system(),
            style,
            out: BufWriter::new(io::stdout()),
            held: args.limit.map(|limit| (VecDeque::new(), limit)),
            shown: 0,
            foreign: 0,
        }
    }

    fn take(&mut self, line: Line<'_>) -> io::Result<()> {
        match line {
            Line::Foreign => self.foreign += 1,
            Line::Ours { text, record } if self.selection.takes(&record) => {
                let text = self.text(text, &record);
                match &mut self.held {
                    Some((held, limit)) => {
                        held.push_back(text);
                        if held.len() > *limit {
                            held.pop_front();
                        }
                    }
                    None => self.print(&text)?,
                }
            }
            Line::Ours { .. } => {}
        }
        Ok(())
    }

    fn text(&self, line: &str, record: &Record) -> String {
        if self.json { line.to_owned() } else { show(record, &self.zone, self.style) }
    }

    fn print(&mut self, text: &str) -> io::Result<()> {
        self.shown += 1;
        writeln!(self.out, "{text}")
    }

    /// The end of what is there has been reached.
    fn catch_up(&mut self) -> io::Result<()> {
        if let Some((held, _)) = self.held.take() {
            for text in held {
                self.print(&text)?;
            }
        }
        self.out.flush()
    }
}

fn tell_foreign(lines: u64) {
    if lines > 0 {
        eprintln!("{lines} lines could not be read and were skipped");
    }
}

fn reason(word: &str) -> Result<Reason, UsageError> {
    let known = Reason::ALL.into_iter().find(|reason| reason.as_str() == word);
    known.ok_or_else(|| UsageError {
        problem: format!("`--reason {word}` is none that the log knows"),
        hint: instead_of(word, Reason::ALL.map(Reason::as_str)),
    })
}

fn moment(text: &str, now: Timestamp) -> Result<Timestamp, UsageError> {
    if let Some(ago) = parse_duration(text) {
        return Ok(now.checked_sub(ago).unwrap_or(Timestamp::MIN));
    }
    text.parse().map_err(|_| UsageError {
        problem: format!("`--since {text}` is neither a time ago nor a date"),
        hint: "write `2h` or `30m`, or a date with its zone such as `2026-01-02T03:04:05Z`".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn selection(words: &[&str]) -> Result<Selection, UsageError> {
        let args = Cli::try_parse_from([&["failures"], words].concat()).unwrap().args;
        args.selection("2026-01-02T12:00:00Z".parse().unwrap())
    }

    #[test]
    fn words_become_a_selection() {
        let found = selection(&["--reason", "cut", "--reason", "throttled", "--since", "2h", "--key", "a"]);
        let expected = Selection {
            key: Some("a".to_owned()),
            reasons: vec![Reason::Cut, Reason::Throttled],
            since: Some("2026-01-02T10:00:00Z".parse().unwrap()),
            ..Selection::default()
        };
        assert_eq!(found, Ok(expected));
        let found = selection(&["--since", "2026-01-02T03:04:05+02:00"]).unwrap();
        assert_eq!(found.since, Some("2026-01-02T01:04:05Z".parse().unwrap()));
        assert_eq!(
            selection(&["--since", "400000d"]).unwrap().since.map(|at| at < Timestamp::UNIX_EPOCH),
            Some(true)
        );
    }

    #[test]
    fn wrong_words_are_told_with_a_hint() {
        let wrong = selection(&["--reason", "trottled"]).unwrap_err();
        assert_eq!(wrong.hint, "did you mean `throttled`?");
        let wrong = selection(&["--since", "yesterday"]).unwrap_err();
        assert!(wrong.problem.contains("yesterday") && wrong.hint.contains("2h"), "{wrong}");
    }

    #[test]
    fn a_summary_neither_follows_nor_ends_early() {
        for other in [["--summary", "--follow"].as_slice(), &["--summary", "--limit", "3"]] {
            assert!(Cli::try_parse_from([&["failures"], other].concat()).is_err());
        }
    }
}
