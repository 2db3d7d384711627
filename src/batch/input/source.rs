//! What is read: bytes, how they are packed, and how rows are made of them.

use std::io::BufRead;

use super::form::Form;
use super::meter::{Meter, Metered};
use super::packing::Packing;
use super::reading::Reading;
use super::rows::Rows;
use crate::exit::UsageError;

/// An input that is open.
#[derive(Debug)]
pub struct Input {
    rows: Rows,
    bytes_total: Option<u64>,
}

/// The bytes of an input.
pub struct Source {
    /// Where they come from.
    pub reader: Box<dyn BufRead + Send>,
    /// How they are packed.
    pub packing: Packing,
    /// What the input is called in messages.
    pub name: String,
    /// Its length as it lies on the disk, if it is known.
    pub bytes_total: Option<u64>,
}

impl Input {
    /// Lines, each of which tells its own form.
    pub fn new(reader: impl BufRead + Send + 'static, bytes_total: Option<u64>) -> Self {
        let meter = Meter::default();
        let reader = Box::new(Metered::new(reader, meter.clone()));
        Self { rows: Rows::of_lines(reader, meter, Reading::default()), bytes_total }
    }

    /// Rows as `reading` says. A table's header is read at once.
    ///
    /// # Errors
    /// [`UsageError`] if the bytes can't be read, or if header, template and flags don't fit together.
    pub fn open(source: Source, reading: Reading) -> Result<Self, UsageError> {
        let Source { reader, packing, name, bytes_total } = source;
        let unreadable = |error: std::io::Error| UsageError {
            problem: format!("can't read the rows from {name}: {error}"),
            hint: "a name that ends with .gz or .zst is that of a packed file".to_owned(),
        };
        let meter = Meter::default();
        let reader = packing.unpack(Metered::new(reader, meter.clone())).map_err(unreadable)?;
        let rows = match reading.form {
            Some(Form::Csv) => Rows::of_table(reader, meter, reading, &name)?,
            None | Some(Form::OpenAi | Form::Anthropic | Form::Body | Form::Prompt) => {
                Rows::of_lines(reader, meter, reading)
            }
        };
        Ok(Self { rows: rows.named(name), bytes_total })
    }

    /// Its length as it lies on the disk, if it is known.
    pub const fn bytes_total(&self) -> Option<u64> {
        self.bytes_total
    }

    /// Its rows, one after another; those that can't be sent are among them.
    pub(in crate::batch) fn into_rows(self) -> Rows {
        self.rows
    }
}
