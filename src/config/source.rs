//! Where a configuration comes from, as it was written.

use std::env;
use std::io;
use std::path::{Path, PathBuf};

use super::file;
use super::problem::{Place, Problem};

/// The file's name in the working directory and in the user's configuration directory.
const FILE_NAME: &str = "keywheel.toml";

/// The file of the prototype, which is read in its place.
const LEGACY_FILE_NAME: &str = "providers.json";

/// The variable that names the file.
const FILE_VARIABLE: &str = "KEYWHEEL_CONFIG";

/// 10,000 keys with all their limits fill about 3 MB.
pub(super) const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Everything that a configuration is made of.
///
/// The environment is handed in, so that a test can have its own. It may hold
/// secrets; so this has no `Debug`.
#[derive(Clone, Default)]
pub struct Source {
    /// The file that `--config` names.
    pub file: Option<PathBuf>,
    /// All environment variables.
    pub environment: Vec<(String, String)>,
    /// Paths of fields with values, from `--set rotation.pick=fastest`. Later ones win.
    pub overrides: Vec<(String, String)>,
    /// Where relative paths begin.
    pub working_dir: PathBuf,
}

impl Source {
    /// This process's environment and working directory, with what the flags say.
    ///
    /// # Errors
    /// If the working directory is gone.
    pub fn of_process(file: Option<PathBuf>, overrides: Vec<(String, String)>) -> io::Result<Self> {
        // A variable that isn't UTF-8 is none of ours.
        let environment = env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Ok(Self { file, environment, overrides, working_dir: env::current_dir()? })
    }

    /// The value of a variable.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A path as short as messages can have it.
    pub fn shown(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.working_dir).unwrap_or(path).to_owned()
    }

    /// Where a first configuration goes: to the file that is named, or else into the working directory.
    pub(super) fn path_to_create(&self) -> PathBuf {
        let named = self.variable(FILE_VARIABLE).filter(|path| !path.is_empty()).map(Path::new);
        let named = self.file.as_deref().or(named);
        self.working_dir.join(named.unwrap_or(Path::new(FILE_NAME)))
    }

    /// Where the file may be when nobody names it, first come first served.
    fn usual_paths(&self) -> Vec<PathBuf> {
        let mut paths = vec![self.working_dir.join(FILE_NAME), self.working_dir.join(LEGACY_FILE_NAME)];
        // The XDG Base Directory Specification has relative paths ignored.
        let absolute = |name| self.variable(name).map(Path::new).filter(|path| path.is_absolute());
        let directory = absolute("XDG_CONFIG_HOME")
            .map(Path::to_owned)
            .or_else(|| Some(absolute("HOME")?.join(".config")));
        paths.extend(directory.map(|directory| directory.join("keywheel").join(FILE_NAME)));
        paths
    }
}

/// The file as it was found.
pub(super) struct Written {
    /// Where it is.
    pub(super) path: PathBuf,
    /// What messages call it.
    pub(super) shown: PathBuf,
    /// What it says.
    pub(super) text: String,
    /// Unix permission bits; 0 where there are none.
    pub(super) mode: u32,
}

/// Finds the file and reads it.
///
/// The order: `--config`, `KEYWHEEL_CONFIG`, the working directory, the user's configuration directory.
///
/// # Errors
/// If a file was named and can't be read, or none was and there is none.
pub(super) fn find(source: &Source) -> Result<Written, Problem> {
    let variable = source.variable(FILE_VARIABLE).filter(|path| !path.is_empty());
    if let Some(path) = &source.file {
        return read(source, path)
            .map_err(|error| unreadable(source, path, &error).hinting("`--config` names it"));
    }
    if let Some(path) = variable.map(Path::new) {
        let hint = format!("the variable {FILE_VARIABLE} names it");
        return read(source, path).map_err(|error| unreadable(source, path, &error).hinting(hint));
    }
    let paths = source.usual_paths();
    for path in &paths {
        match read(source, path) {
            Ok(written) => return Ok(written),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(unreadable(source, path, &error)),
        }
    }
    Err(none_found(&paths))
}

fn read(source: &Source, path: &Path) -> io::Result<Written> {
    let path = source.working_dir.join(path);
    let file = file::read(&path, FILE_BYTES_MAX)?;
    Ok(Written { shown: source.shown(&path), path, text: file.text, mode: file.mode })
}

/// What is told of a file that can't be read.
pub(super) fn unreadable(source: &Source, path: &Path, error: &io::Error) -> Problem {
    Problem::new(Place::File(source.shown(path)), format!("can't read the file: {error}"))
}

fn none_found(paths: &[PathBuf]) -> Problem {
    let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    let paths = match paths.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} and {last}", others.join(", ")),
        Some(_) | None => paths.concat(),
    };
    let looked = format!("there is no such file; looked for {paths}");
    Problem::new(Place::Nowhere, looked).hinting(format!(
        "`keywheel config init` writes one, `--config FILE` or {FILE_VARIABLE} names one, `keywheel demo` needs none"
    ))
}
