//! A closer look at a configuration: every mistake, and what is probably not meant.

use std::path::PathBuf;

use super::lint;
use super::load::{self, Config};
use super::problem::Problem;
use super::secret::Purpose;
use super::source::{self, Source};

/// What was found in a configuration.
#[derive(Clone, Debug)]
pub struct Findings {
    /// The file, as short as messages have it. `None` if there is none.
    pub file: Option<PathBuf>,
    /// The configuration, if there are no mistakes.
    pub config: Option<Config>,
    /// The mistakes, sorted by place.
    pub problems: Vec<Problem>,
    /// What is no mistake, but probably not meant. Without a configuration only a part of it is found.
    pub warnings: Vec<Problem>,
}

/// Reads the configuration as [`load`](super::load()) does, and looks closer.
pub fn check(source: &Source) -> Findings {
    let reading =
        source::find(source).and_then(|written| load::read(source, &written, Purpose::Run, lint::look));
    match reading {
        Ok(reading) => {
            let warnings = reading.config.warnings.clone();
            let file = reading.config.path.as_deref().map(|path| source.shown(path));
            let config = reading.problems.is_empty().then_some(reading.config);
            Findings { file, config, problems: reading.problems, warnings }
        }
        Err(problem) => Findings { file: None, config: None, problems: vec![problem], warnings: Vec::new() },
    }
}
