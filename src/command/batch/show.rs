//! What of a run is shown, to whom.

use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::Context as _;

use crate::batch::html::{self, Page, Setting};
use crate::batch::{self, Forecast, Recorder, Summary, forecast_text};
use crate::command::engine;
use crate::config::{self, Source};
use crate::ui::screen::{Screen, say};
use crate::ui::style::Style;

use super::output::OutputArgs;
use super::report::{self, ReportFile};

/// What is shown.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ShowArgs {
    /// Print the summary as one line of JSON, the last on stdout (on stderr if OUT is `-`)
    #[arg(long)]
    pub(super) json: bool,

    /// Show neither progress nor the summary for people
    #[arg(short, long)]
    pub(super) quiet: bool,

    /// Print the progress as one JSON object a second on stderr, in place of everything for people
    #[arg(long)]
    json_progress: bool,

    /// Write a report of the run as one HTML page that needs nothing else; one from before is replaced
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
}

/// The report that was asked for, while the run goes.
#[derive(Debug)]
pub(super) struct Reporting {
    file: ReportFile,
    recorder: Recorder,
    subject: String,
    settings: Vec<Setting>,
}

impl ShowArgs {
    /// Where the progress goes.
    pub(super) fn screen(&self, style: Style) -> Screen {
        if self.json_progress {
            return Screen::Json;
        }
        if self.quiet { Screen::Quiet } else { engine::screen(style) }
    }

    /// Prepares the report of `subject`, if one is wanted: a wrong path, or one of `taken`, is told before the run.
    ///
    /// # Errors
    /// If it can't be written.
    pub(super) fn reporting(
        &self,
        taken: &[(PathBuf, &str)],
        subject: &str,
        source: &Source,
        options: Vec<Setting>,
    ) -> anyhow::Result<Option<Reporting>> {
        let Some(path) = &self.report else {
            return Ok(None);
        };
        let file = ReportFile::at(path, taken)?;
        let began = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC");
        let subject = format!("{subject}, {began}");
        let mut settings = vec![Setting::Section { name: "options of the run".to_owned(), inside: options }];
        settings.extend(report::settings(&config::show(source)?));
        Ok(Some(Reporting { file, recorder: Recorder::on(), subject, settings }))
    }

    /// Tells what a run would take: for people on stderr, for programs as a line of JSON on stdout.
    ///
    /// # Errors
    /// If stdout takes nothing.
    pub(super) fn tell_forecast(&self, forecast: &Forecast) -> anyhow::Result<()> {
        if !self.quiet {
            say(&forecast_text(forecast));
        }
        if self.json {
            let line = serde_json::to_string(forecast).context("can't encode the forecast")?;
            writeln!(io::stdout(), "{line}").context("can't print the forecast")?;
        }
        Ok(())
    }

    /// Tells what a run came to.
    ///
    /// # Errors
    /// If stdout takes nothing.
    pub(super) fn tell(&self, summary: &Summary, output: &OutputArgs, style: Style) -> anyhow::Result<()> {
        // Whoever reads JSON from stderr would stumble over a text.
        if !self.quiet && !self.json_progress {
            say(&batch::report(summary, style));
        }
        if self.json {
            let line = serde_json::to_string(summary).context("can't encode the summary")?;
            if output.is_stdout() {
                say(&line);
            } else {
                writeln!(io::stdout(), "{line}").context("can't print the summary")?;
            }
        }
        Ok(())
    }
}

impl Reporting {
    /// Where the run is to be recorded.
    pub(super) fn recorder(&self) -> Recorder {
        self.recorder.clone()
    }

    /// Writes it.
    ///
    /// # Errors
    /// If it can't be written after all.
    pub(super) fn write(&self, summary: &Summary) -> anyhow::Result<()> {
        let Some(chronicle) = self.recorder.chronicle() else {
            return Ok(());
        };
        let page = html::render(&Page {
            summary,
            chronicle: &chronicle,
            subject: &self.subject,
            settings: &self.settings,
        });
        self.file.write(&page).context("can't write the report")
    }
}
