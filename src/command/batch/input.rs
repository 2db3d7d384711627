//! Where the rows come from, and how they are read.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::thread;

use keywheel_actors::id::Model;

use crate::batch::{
    Duplicate, Form, Input, OnDuplicate, Packing, Reading, Separator, Source, TableReading, Template,
    duplicates, table_by_name,
};
use crate::config::lookalike::hushed;
use crate::exit::UsageError;
use crate::ui::bar::bar;
use crate::ui::screen::Screen;

use super::output::is_dash;

/// Bytes that are read at once.
const BUFFER_BYTES: usize = 128 * 1024;

/// The width of the bar while the ids are looked through, in characters.
const BAR_CELLS: usize = 30;

/// More of an id is not quoted.
const ID_CHARS_TOLD_MAX: usize = 60;

/// What the flags stand under in the help.
const HEADING: &str = "Input";

/// What is read.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct InputArgs {
    /// The rows: JSON lines, or a table if its name ends with .csv or .tsv; packed with .gz or .zst; `-` is stdin
    #[arg(value_name = "IN")]
    input: PathBuf,

    /// The form of every row; without it each line tells its own
    #[arg(long, help_heading = HEADING, value_name = "FORM")]
    input_format: Option<Form>,

    /// The column of a table that is the prompt [default: `prompt`]
    #[arg(long, help_heading = HEADING, value_name = "NAME")]
    column: Option<String>,

    /// The column of a table that names the rows [default: `custom_id`, or else their lines]
    #[arg(long, help_heading = HEADING, value_name = "NAME")]
    id_column: Option<String>,

    /// The model for prompts, and for requests that name none
    #[arg(long, help_heading = HEADING, value_name = "MODEL")]
    model: Option<String>,

    /// A JSON request with placeholders such as `{{prompt}}`, for prompts, tables and objects with other fields
    #[arg(long, help_heading = HEADING, value_name = "FILE")]
    template: Option<PathBuf>,

    /// Where requests go that don't say so [default: /v1/chat/completions, or what the request looks like]
    #[arg(long, help_heading = HEADING, value_name = "PATH")]
    url: Option<String>,

    /// What becomes of a row whose `custom_id` stood on an earlier line
    #[arg(long, help_heading = HEADING, value_name = "WHAT", default_value = "refuse")]
    on_duplicate: OnDuplicate,
}

/// What is known of the rows' names before the run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Names {
    /// No two are the same.
    Distinct,
    /// Nobody has looked.
    Unknown,
}

impl InputArgs {
    /// The file, for messages and comparisons.
    pub(super) fn path(&self) -> &Path {
        &self.input
    }

    /// Opens it, as often as it is wanted unless it is stdin.
    ///
    /// # Errors
    /// [`UsageError`] if it can't be read, or if the flags don't fit together.
    pub(super) fn open(&self) -> Result<Input, UsageError> {
        let reading = self.reading()?;
        let name = self.input.display().to_string();
        if is_dash(&self.input) {
            let reader = Box::new(BufReader::with_capacity(BUFFER_BYTES, io::stdin()));
            let source =
                Source { reader, packing: Packing::Plain, name: "stdin".to_owned(), bytes_total: None };
            return Input::open(source, reading);
        }
        let (file, bytes_total) = self.file()?;
        let reader = Box::new(BufReader::with_capacity(BUFFER_BYTES, file));
        Input::open(Source { reader, packing: Packing::of_name(&self.input), name, bytes_total }, reading)
    }

    /// Whether it can be read twice: it is a regular file.
    pub(super) fn is_file(&self) -> bool {
        !is_dash(&self.input) && self.file().is_ok_and(|(_, bytes_total)| bytes_total.is_some())
    }

    /// Makes sure that no two rows have one name, if that is wanted and the input can be read twice.
    ///
    /// # Errors
    /// [`UsageError`] that names the lines.
    pub(super) fn refuse_duplicates(&self, screen: &mut Screen) -> Result<Names, UsageError> {
        match self.on_duplicate {
            OnDuplicate::Refuse => {}
            OnDuplicate::FailRow | OnDuplicate::Skip | OnDuplicate::Suffix => return Ok(Names::Unknown),
        }
        if is_dash(&self.input) {
            return Ok(Names::Unknown);
        }
        let (_, Some(bytes_total)) = self.file()? else {
            return Ok(Names::Unknown);
        };
        // On a thread of its own: what it has held of the heap goes back to the system with it.
        let look = || {
            duplicates(
                || self.open().map_err(io::Error::other),
                |bytes| {
                    if let Screen::Live(block) = screen {
                        let share = bytes as f64 / bytes_total.max(1) as f64;
                        block.show(&[format!(
                            "{} looking for duplicate ids, {:.0} %",
                            bar(share, BAR_CELLS),
                            share * 100.0
                        )]);
                    }
                },
            )
        };
        let found = thread::scope(|scope| scope.spawn(look).join());
        let found = found.unwrap_or_else(|crash| std::panic::resume_unwind(crash));
        if let Screen::Live(block) = screen {
            block.clear();
        }
        let found = found.map_err(|error| self.cant_read(&error))?;
        if found.is_empty() { Ok(Names::Distinct) } else { Err(self.refusal_of(&found)) }
    }

    fn refusal_of(&self, found: &[Duplicate]) -> UsageError {
        let told = found.iter().map(|Duplicate { custom_id, first, second }| {
            let name: String = custom_id.chars().take(ID_CHARS_TOLD_MAX).collect();
            format!("\n  `{}` on lines {first} and {second}", hushed(&name))
        });
        UsageError {
            problem: format!(
                "{} gives one `custom_id` to several rows:{}",
                self.input.display(),
                told.collect::<String>()
            ),
            hint: "answers are told apart by it alone; --on-duplicate fail-row, skip or suffix says what \
                   becomes of the later rows"
                .to_owned(),
        }
    }

    /// The file and, if it is a regular one, its length.
    fn file(&self) -> Result<(File, Option<u64>), UsageError> {
        let file = File::open(&self.input).map_err(|error| self.cant_read(&error))?;
        let kind = file.metadata().map_err(|error| self.cant_read(&error))?;
        if kind.is_dir() {
            return Err(self.cant_read(&"it is a directory"));
        }
        Ok((file, kind.is_file().then_some(kind.len())))
    }

    fn cant_read(&self, problem: &dyn std::fmt::Display) -> UsageError {
        UsageError {
            problem: format!("can't read the rows from {}: {problem}", self.input.display()),
            hint: "give a file of rows, or `-` for stdin".to_owned(),
        }
    }

    fn reading(&self) -> Result<Reading, UsageError> {
        let table_flag = match (&self.column, &self.id_column) {
            (Some(_), _) => Some("--column"),
            (None, Some(_)) => Some("--id-column"),
            (None, None) => None,
        };
        let separator = table_by_name(&self.input);
        let told = self.input_format;
        let form = told.or((table_flag.is_some() || separator.is_some()).then_some(Form::Csv));
        if let (Some(flag), Some(Form::OpenAi | Form::Anthropic | Form::Body | Form::Prompt)) =
            (table_flag, form)
        {
            return Err(UsageError {
                problem: format!("{flag} is for tables"),
                hint: "leave it out, or say --input-format csv".to_owned(),
            });
        }
        if let Some(url) = self.url.as_deref().filter(|url| !url.starts_with('/')) {
            return Err(UsageError {
                problem: format!("--url is `{}`, which is no path", hushed(url)),
                hint: "such as /v1/chat/completions; the host is the provider's".to_owned(),
            });
        }
        let model = self.model.as_deref().filter(|model| !model.is_empty()).map(Model::from);
        let template = self.template.as_deref().map(|path| template(path, model.as_ref())).transpose()?;
        let table = TableReading {
            separator: separator.unwrap_or(Separator::Comma),
            prompt_column: self.column.clone(),
            id_column: self.id_column.clone(),
        };
        let (url, on_duplicate) = (self.url.clone(), self.on_duplicate);
        Ok(Reading { form, model, url, template, table, on_duplicate })
    }
}

fn template(path: &Path, model: Option<&Model>) -> Result<Template, UsageError> {
    let text = fs::read_to_string(path).map_err(|error| UsageError {
        problem: format!("can't read the template {}: {error}", path.display()),
        hint: "give a file with a JSON request".to_owned(),
    })?;
    Template::parse(&text, model).map_err(|problem| UsageError {
        problem: format!("{} can't be a request: {problem}", path.display()),
        hint: r#"such as {"model": "M", "messages": [{"role": "user", "content": "{{prompt}}"}]}"#.to_owned(),
    })
}
