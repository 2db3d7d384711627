//! What is wrong with a configuration: where, what, and what to do about it.
//!
//! A problem never quotes a secret, nor any value that might hold one.

use std::fmt;
use std::path::PathBuf;

use super::lookalike::hushed;

/// A configuration that can't be used, with every mistake that was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigError {
    /// The mistakes: those of the file by line, then variables, then flags. Never empty.
    pub problems: Vec<Problem>,
}

impl std::error::Error for ConfigError {}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem] }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.len() {
            1 => f.write_str("the configuration has 1 mistake")?,
            count => write!(f, "the configuration has {count} mistakes")?,
        }
        for problem in &self.problems {
            write!(f, "\n\n{problem}")?;
        }
        Ok(())
    }
}

/// One mistake, or one thing worth a warning.
///
/// Problems sort by their places.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem at `place` without a hint.
    pub fn new(place: Place, message: impl Into<String>) -> Self {
        Self { place, message: message.into(), hint: None }
    }

    /// Says what to do about it.
    pub fn hinting(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Its parts quote names and words, and a key may stand in the place of one.
        f.write_str(&hushed(&format!("{}: {}", self.place, self.message)))?;
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {}", hushed(hint))?;
        }
        Ok(())
    }
}

/// Where a value, or the lack of one, was written.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Place {
    /// No file was found.
    Nowhere,
    /// A file as a whole.
    File(PathBuf),
    /// A spot in the file.
    Line {
        /// The file, as short as the working directory allows.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column, in characters from 1.
        column: usize,
        /// The path of the field, such as `provider.openai.key.team-a.limits.rpm`.
        field: String,
    },
    /// An environment variable's name.
    Variable(String),
    /// The path that a `--set` names. Its value stays unsaid: it may be a secret.
    Flag(String),
}

impl Place {
    /// The same without the field's path, for a mention beside another place.
    pub(super) fn spot(&self) -> String {
        match self {
            Self::Line { file, line, column, .. } => format!("{}:{line}:{column}", file.display()),
            Self::Nowhere | Self::File(_) | Self::Variable(_) | Self::Flag(_) => self.to_string(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nowhere => f.write_str("keywheel.toml"),
            Self::File(file) => write!(f, "{}", file.display()),
            Self::Line { field, .. } if field.is_empty() => f.write_str(&self.spot()),
            Self::Line { field, .. } => write!(f, "{}: {field}", self.spot()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(path) => write!(f, "--set {path}"),
        }
    }
}
