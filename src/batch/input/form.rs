//! The forms that rows come in, and how a file's form is known.

use std::path::Path;

use super::packing::Packing;

/// What a line looks like.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Form {
    /// `{"custom_id", "url", "body"}`, as for OpenAI's Batch API
    #[value(name = "openai")]
    OpenAi,
    /// `{"custom_id", "params"}`, as for Anthropic's Message Batches
    Anthropic,
    /// A request body as a provider takes it
    Body,
    /// A JSON text, or an object with `prompt` or with the template's fields
    Prompt,
    /// A table with a header
    Csv,
}

/// What stands between the columns of a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Separator {
    /// `,`
    Comma,
    /// A tab.
    Tab,
}

/// What a file's name says about the table in it: `.csv` or `.tsv`, also before `.gz` and `.zst`.
pub fn table_by_name(path: &Path) -> Option<Separator> {
    let is_packed = Packing::of_name(path) != Packing::Plain;
    let inner = if is_packed { path.file_stem().map(Path::new)? } else { path };
    match inner.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "csv" => Some(Separator::Comma),
        "tsv" => Some(Separator::Tab),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_known_by_its_name() {
        for (name, table) in [
            ("in.csv", Some(Separator::Comma)),
            ("a.b/IN.CSV", Some(Separator::Comma)),
            ("in.csv.gz", Some(Separator::Comma)),
            ("in.tsv.zst", Some(Separator::Tab)),
            ("in.jsonl", None),
            ("csv", None),
            ("in.csv.jsonl", None),
            ("-", None),
        ] {
            assert_eq!(table_by_name(Path::new(name)), table, "{name}");
        }
    }
}
