//! Reading small text files, with a limit and with who else may read them.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::path::Path;

/// A file's text and its permission bits.
pub(super) struct TextFile {
    /// What it holds.
    pub(super) text: String,
    /// Unix permission bits; 0, which lets nobody in, where there are none.
    pub(super) mode: u32,
}

/// Reads a text file of at most `bytes_max`.
///
/// The permissions are those of the very file that is read, whatever happens to its name meanwhile.
///
/// # Errors
/// Whatever reading it fails with; also if it is too large or not UTF-8.
pub(super) fn read(path: &Path, bytes_max: u64) -> io::Result<TextFile> {
    let file = File::open(path)?;
    let mode = mode_of(&file.metadata()?);
    let mut text = String::new();
    let bytes = file.take(bytes_max + 1).read_to_string(&mut text)? as u64;
    if bytes > bytes_max {
        return Err(io::Error::other(format!("larger than {bytes_max} bytes")));
    }
    Ok(TextFile { text, mode })
}

#[cfg(unix)]
fn mode_of(metadata: &Metadata) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o777
}

#[cfg(not(unix))]
fn mode_of(_: &Metadata) -> u32 {
    0
}
