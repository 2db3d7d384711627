//! Files and directories for their owner alone.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File};
use std::io;
use std::path::Path;

use tempfile::NamedTempFile;

/// Creates a directory with all above it that are missing, for their owner alone.
///
/// # Errors
/// Whatever creating it fails with.
pub(crate) fn create_directory(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(path)
}

/// Ends the names of temporary files.
const SUFFIX: &str = ".tmp";

/// A new file in `directory` that nobody else can read, deleted when it is dropped. It is named after `owner`, the
/// file for whose sake it is written.
///
/// # Errors
/// Whatever creating it fails with.
pub(crate) fn temporary_file(directory: &Path, owner: &OsStr) -> io::Result<NamedTempFile> {
    // The crate gives its files mode 0600.
    tempfile::Builder::new().prefix(&prefix(owner)).suffix(SUFFIX).tempfile_in(directory)
}

/// Deletes temporary files that were written for the sake of `owner` by processes that were killed. Only for whoever
/// holds the lock on it: to nobody else they are leftovers.
pub(crate) fn delete_leftovers(directory: &Path, owner: &OsStr) {
    let prefix = prefix(owner);
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    for name in entries.map(|entry| entry.file_name()) {
        let name_bytes = name.as_encoded_bytes();
        let drawn = name_bytes.strip_prefix(prefix.as_encoded_bytes());
        let drawn = drawn.and_then(|rest| rest.strip_suffix(SUFFIX.as_bytes()));
        // A dot would make it another file's, whose name begins alike.
        if drawn.is_some_and(|drawn| !drawn.contains(&b'.')) {
            // One that can't be deleted does no harm.
            let _ = fs::remove_file(directory.join(&name));
        }
    }
}

fn prefix(owner: &OsStr) -> OsString {
    let mut prefix = OsString::from(".");
    prefix.push(owner);
    prefix.push(".");
    prefix
}

/// Makes new names in a directory survive a power failure.
///
/// # Errors
/// Whatever the disk says.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    // An empty path is the parent of a bare file name.
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    if cfg!(unix) { File::open(path)?.sync_all() } else { fs::metadata(path).map(drop) }
}
