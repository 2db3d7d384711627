//! One editor at a time.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::error::EditError;

/// The right to edit a file, until it is dropped.
///
/// The lock is a file beside the configuration, because the configuration itself is replaced by each edit. The
/// kernel releases it when its owner dies, and its last owner deletes it.
pub(super) struct Lock {
    path: PathBuf,
    /// Holds the lock as long as it is open.
    _file: File,
}

impl Lock {
    /// Waits at most `wait_max` for the right to edit `target`.
    ///
    /// # Errors
    /// [`EditError::Busy`] if it takes longer, [`EditError::Unwritable`] if no file can be made there.
    pub(super) fn acquire(target: &Path, wait_max: Duration) -> Result<Self, EditError> {
        let mut name = std::ffi::OsString::from(".");
        name.push(target.file_name().unwrap_or_default());
        name.push(".lock");
        let path = target.with_file_name(name);

        // Only with a thread of its own one can give up waiting for the kernel. One that is left behind gets
        // the lock at last, finds nobody to hand it to, and releases it.
        let (hand_over, locked) = mpsc::sync_channel(0);
        let wanted = path.clone();
        thread::spawn(move || {
            if let Err(mpsc::SendError(Ok(_locked))) = hand_over.send(wait_for(&wanted)) {
                let _ = fs::remove_file(&wanted);
            }
        });
        match locked.recv_timeout(wait_max) {
            Ok(Ok(file)) => Ok(Self { path, _file: file }),
            Ok(Err(error)) => Err(EditError::Unwritable { file: target.to_owned(), error }),
            Err(_) => Err(EditError::Busy { file: target.to_owned(), waited: wait_max }),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Still locked: whoever waits for this very file will notice that it is gone. A lock file that can't
        // be deleted does no harm.
        let _ = fs::remove_file(&self.path);
    }
}

fn wait_for(path: &Path) -> io::Result<File> {
    loop {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt as _;
            options.mode(0o600);
        }
        let file = options.open(path)?;
        file.lock()?;
        // The owner before may have deleted it while we waited; then somebody else may have made the next one.
        if is_at(&file, path) {
            return Ok(file);
        }
    }
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    match (file.metadata(), fs::metadata(path)) {
        (Ok(ours), Ok(theirs)) => identity(ours) == identity(theirs),
        (Ok(_) | Err(_), _) => false,
    }
}

#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> bool {
    // A file that is open can't be deleted here.
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_editor_waits_and_gives_up_with_a_message() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("keywheel.toml");
        let first = Lock::acquire(&target, Duration::from_secs(20)).unwrap();
        let told = Lock::acquire(&target, Duration::from_millis(20)).err().unwrap().to_string();
        assert!(told.starts_with("another keywheel has been editing "), "{told}");
        assert!(told.contains(" for 20ms; nothing was changed\n  hint: "), "{told}");
        drop(first);
        drop(Lock::acquire(&target, Duration::from_secs(20)).unwrap());
    }

    #[test]
    fn a_lock_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        drop(Lock::acquire(&directory.path().join("keywheel.toml"), Duration::from_secs(20)).unwrap());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_told() {
        let target = Path::new("/nonexistent/directory/keywheel.toml");
        let error = Lock::acquire(target, Duration::from_secs(20)).err().unwrap();
        assert!(matches!(error, EditError::Unwritable { .. }), "{error}");
        assert!(!error.is_usage());
    }
}
