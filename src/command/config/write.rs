//! Writing files that may hold secrets: for their owner only, whole or not at all.

use std::io::{self, Write as _};
use std::path::Path;

use crate::private;

/// What becomes of a file that is there already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Existing {
    /// It stays, and nothing is written.
    Keep,
    /// It is replaced.
    Replace,
}

/// Writes a file with mode 0600; missing directories are made.
///
/// # Errors
/// Whatever the file system says; [`io::ErrorKind::AlreadyExists`] for a file that is to be kept.
pub(super) fn write(path: &Path, text: &str, existing: Existing) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    private::create_directory(directory)?;
    // A temporary file has mode 0600 from its first moment, and takes its place in one step.
    let mut file = private::temporary_file(directory, path.file_name().unwrap_or_default())?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    match existing {
        Existing::Keep => file.persist_noclobber(path),
        Existing::Replace => file.persist(path),
    }
    .map(drop)
    .map_err(|refused| refused.error)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_is_its_owners_and_stays_unless_it_is_to_be_replaced() {
        let dir = tempfile::TempDir::new().expect("a directory for the test");
        let path = dir.path().join("deep/er/keywheel.toml");
        write(&path, "one", Existing::Keep).expect("nothing is there");
        let refused = write(&path, "two", Existing::Keep).expect_err("something is there");
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
        write(&path, "three", Existing::Replace).expect("it may be replaced");
        assert_eq!(fs::read_to_string(&path).unwrap(), "three");
        let left = fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(left, 1, "no temporary file is left behind");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}
