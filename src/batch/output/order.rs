//! The order of the output's lines.

/// The order of the output's lines.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Order {
    /// As rows are answered
    #[default]
    Completion,
    /// As the rows stand in the input
    Input,
}

impl Order {
    /// The word for it on the command line.
    pub(in crate::batch) const fn name(self) -> &'static str {
        match self {
            Self::Completion => "completion",
            Self::Input => "input",
        }
    }
}
