//! What the command line says about how rows are to be read.

use keywheel_actors::id::Model;

use super::form::{Form, Separator};
use super::template::Template;
use super::written::Templating;

/// How rows are to be read.
#[derive(Clone, Default, Debug)]
pub struct Reading {
    /// The form of every row; if it isn't said, each line tells its own.
    pub form: Option<Form>,
    /// For bodies that name no model, and for the template.
    pub model: Option<Model>,
    /// The path of bodies, prompts and tables, as a provider's URL has it.
    pub url: Option<String>,
    /// What prompts and the rows of tables are put into; by default one message of a user.
    pub template: Option<Template>,
    /// What is special about a table.
    pub table: TableReading,
    /// What becomes of a row whose `custom_id` stood on an earlier line.
    pub on_duplicate: OnDuplicate,
}

/// What is special about a table.
#[derive(Clone, Debug)]
pub struct TableReading {
    /// What stands between two columns.
    pub separator: Separator,
    /// The column that stands for `{{prompt}}`; by default the one of that name.
    pub prompt_column: Option<String>,
    /// The column that names the rows; by default `custom_id`, if there is one.
    pub id_column: Option<String>,
}

/// What becomes of a row whose `custom_id` stood on an earlier line.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, clap::ValueEnum)]
pub enum OnDuplicate {
    /// Nothing is run: a file is looked through before the first call; stdin can't be, there it is fail-row
    #[default]
    Refuse,
    /// The row fails with the code `duplicate_custom_id`
    FailRow,
    /// The row is passed over
    Skip,
    /// The row is run as `ID#2`, the next one as `ID#3`
    Suffix,
}

impl Default for TableReading {
    fn default() -> Self {
        Self { separator: Separator::Comma, prompt_column: None, id_column: None }
    }
}

impl Reading {
    pub(super) fn templating(&self) -> Templating {
        if self.template.is_some() { Templating::Own } else { Templating::Default }
    }
}
