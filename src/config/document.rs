//! The TOML that is read: the file itself, or what the prototype's file comes to.

use super::ledger::Ledger;
use super::legacy::{self, Conversion, NoConversion, SecretsAs, Weight};
use super::place::FileMap;
use super::problem::{Place, Problem};
use super::source::Written;

/// The TOML of a file.
pub(super) enum Document {
    /// The file's own.
    Own,
    /// Made from another format, in memory only.
    Converted(Conversion),
}

impl Document {
    /// Converts what isn't TOML.
    ///
    /// # Errors
    /// If that can't be converted.
    pub(super) fn of(written: &Written) -> Result<Self, Problem> {
        if !legacy::is_legacy(&written.path) {
            return Ok(Self::Own);
        }
        legacy::convert(&written.text, SecretsAs::Inline).map(Self::Converted).map_err(|error| {
            let file = written.shown.clone();
            let message = error.to_string();
            match error {
                NoConversion::Syntax { line, column, .. } => {
                    Problem::new(Place::Line { file, line, column, field: String::new() }, message)
                }
                NoConversion::NoProvider => Problem::new(Place::File(file), message)
                    .hinting("`keywheel config init` writes a first configuration"),
            }
        })
    }

    /// The text to read.
    pub(super) fn toml<'a>(&'a self, written: &'a Written) -> &'a str {
        match self {
            Self::Own => &written.text,
            Self::Converted(conversion) => &conversion.toml,
        }
    }

    /// Where everything stands in the file.
    ///
    /// # Errors
    /// The first breach of TOML's syntax.
    pub(super) fn map<'a>(&self, written: &'a Written) -> Result<FileMap<'a>, Problem> {
        let shown = written.shown.clone();
        match self {
            Self::Own => FileMap::parse(shown, &written.text),
            Self::Converted(conversion) => {
                Ok(FileMap::converted(shown, &written.text, conversion.places.clone()))
            }
        }
    }

    /// Warns of what became of a converted file.
    pub(super) fn warn(&self, ledger: &Ledger<'_>) {
        let Self::Converted(conversion) = self else { return };
        let of = |weight: Weight| conversion.notes.iter().filter(move |note| note.weight == weight);
        for note in of(Weight::Attention) {
            ledger.warn(Problem::new(ledger.file().at(note.offset, &note.path), note.message.clone()));
        }
        let ignored = match of(Weight::Kept).count() {
            0 => String::new(),
            1 => "; 1 of its fields means nothing here".to_owned(),
            count => format!("; {count} of its fields mean nothing here"),
        };
        let warning = format!("this is the file of the prototype, read as it is{ignored}");
        let hint =
            "`keywheel config migrate` makes a keywheel.toml of it and tells what becomes of each field";
        ledger.warn(Problem::new(ledger.file().whole(), warning).hinting(hint));
    }
}
