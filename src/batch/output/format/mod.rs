//! The forms of a line, a file each.

mod anthropic;
mod bare;
pub(super) mod errors;
mod openai;

use super::line::OutputLine;

/// The form of the output's lines.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Format {
    /// OpenAI's Batch API: `{"id", "custom_id", "response", "error"}`
    #[default]
    #[value(name = "openai")]
    OpenAi,
    /// Anthropic's Message Batches: `{"custom_id", "result"}`
    Anthropic,
    /// The provider's answer alone, or `{"error", "custom_id"}`
    Body,
    /// The model's words alone; a row that failed is an empty line
    Text,
}

impl Format {
    /// The word for it on the command line.
    pub(in crate::batch) const fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Body => "body",
            Self::Text => "text",
        }
    }

    /// The line in OUT, with the line break.
    pub(super) fn line(self, line: &OutputLine) -> serde_json::Result<Vec<u8>> {
        match self {
            Self::OpenAi => openai::line(line),
            Self::Anthropic => anthropic::line(line),
            Self::Body => bare::body(line),
            Self::Text => Ok(bare::text(line)),
        }
    }
}

#[cfg(test)]
mod tests;
