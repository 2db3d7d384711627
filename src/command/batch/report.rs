//! The report file of a run: its place is checked beforehand, and it is written whole or not at all.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::batch::html::Setting;
use crate::config::{Content, Effective, Resolved, Shown, ValueOrigin};
use crate::exit::UsageError;

use super::output::is_same_file;

/// Begins the name of a report that is being written.
const TEMPORARY_PREFIX: &str = ".keywheel-report-";

/// Where a report will be.
#[derive(Clone, Debug)]
pub(super) struct ReportFile {
    directory: PathBuf,
    path: PathBuf,
}

impl ReportFile {
    /// Checks that it can be written, and that nothing of `taken` is there.
    ///
    /// # Errors
    /// If not.
    pub(super) fn at(path: &Path, taken: &[(PathBuf, &str)]) -> Result<Self, UsageError> {
        let problem = |what: &str| UsageError {
            problem: format!("the report can't be written to {}: {what}", path.display()),
            hint: "name a file with --report, in a directory that exists and may be written".to_owned(),
        };
        let Some(name) = path.file_name().filter(|_| !path.is_dir()) else {
            return Err(problem("it is a directory"));
        };
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            Some(_) | None => PathBuf::from("."),
        };
        let directory = fs::canonicalize(&directory).map_err(|error| problem(&error.to_string()))?;
        let file = Self { path: directory.join(name), directory };
        for (other, what) in taken {
            if is_same_file(other, &file.path) {
                return Err(problem(&format!("it is {what}")));
            }
        }
        file.temporary().map_err(|error| problem(&error.to_string()))?;
        Ok(file)
    }

    /// Writes it; one from before is replaced.
    ///
    /// # Errors
    /// If it can't be; then one from before is still there.
    pub(super) fn write(&self, page: &str) -> io::Result<()> {
        let mut file = self.temporary()?;
        file.write_all(page.as_bytes())?;
        file.persist(&self.path)?;
        Ok(())
    }

    /// Goes by itself unless it is given its name.
    fn temporary(&self) -> io::Result<tempfile::NamedTempFile> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(TEMPORARY_PREFIX);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            // As for any file that a command writes; the user's own mask takes away from it.
            builder.permissions(fs::Permissions::from_mode(0o666));
        }
        builder.tempfile_in(&self.directory)
    }
}

/// A configuration as the report tells it. Secrets are masked, or the reference that is written.
pub(super) fn settings(resolved: &Resolved) -> Vec<Setting> {
    inside(&resolved.top, Told::Everything)
}

/// How much is told of a part.
#[derive(Clone, Copy)]
enum Told {
    Everything,
    /// Hundreds of keys needn't repeat the defaults.
    WhatWasSaid,
}

fn inside(shown: &Shown, told: Told) -> Vec<Setting> {
    match &shown.content {
        Content::Value(_) => Vec::new(),
        Content::Table(inside) => inside.iter().filter_map(|inner| setting(inner, told)).collect(),
        Content::List(items) => items.iter().filter_map(|item| setting(item, Told::WhatWasSaid)).collect(),
    }
}

fn setting(shown: &Shown, told: Told) -> Option<Setting> {
    let name = shown.name.clone();
    if let Content::Value(effective) = &shown.content {
        let is_told = matches!(told, Told::Everything) || effective.origin != ValueOrigin::Usual;
        return value(effective).filter(|_| is_told).map(|value| Setting::Field { name, value });
    }
    let inside = inside(shown, told);
    (!inside.is_empty()).then_some(Setting::Section { name, inside })
}

/// Nothing for what nobody set and nothing stands for.
fn value(effective: &Effective) -> Option<String> {
    let text = match &effective.value {
        Value::Null => return effective.meaning.map(str::to_owned),
        Value::String(text) => text.clone(),
        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => other.to_string(),
    };
    Some(match &effective.masked {
        Some(masked) if *masked != text => format!("{text} ({masked})"),
        Some(_) | None => text,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_wrong_place_is_told_beforehand() {
        let dir = tempfile::tempdir().unwrap();
        let problem =
            |path: &Path, taken: &[(PathBuf, &str)]| ReportFile::at(path, taken).unwrap_err().problem;
        assert!(problem(dir.path(), &[]).ends_with("it is a directory"));
        assert!(problem(&dir.path().join("no/where.html"), &[]).contains("no/where.html: "));
        let out = dir.path().join("out.jsonl");
        assert!(problem(&out, &[(out.clone(), "the output")]).ends_with("it is the output"));
        let roundabout = dir.path().join(".").join("out.jsonl");
        assert!(problem(&roundabout, &[(out.clone(), "the output")]).ends_with("it is the output"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left behind");
    }

    #[test]
    fn a_report_replaces_the_one_before_whatever_it_is_called() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("<b> & \"ü\" report.html");
        fs::write(&path, "old").unwrap();
        let file = ReportFile::at(&path, &[(PathBuf::from("-"), "the output")]).unwrap();
        file.write("new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
