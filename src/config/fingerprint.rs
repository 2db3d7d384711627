//! The key of all fingerprints that are made with one configuration.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::Context as _;
use keywheel_actors::secret::FingerprintKey;
use ring::rand::{SecureRandom as _, SystemRandom};

use super::home::Home;
use crate::private;

/// The file's name in the state directory.
const FILE_NAME: &str = "fingerprint.key";

/// The key of this home's fingerprints, which is made when it is first needed.
///
/// # Errors
/// If it can't be read or written, or if the file holds something else.
pub fn fingerprint_key(home: &Home) -> anyhow::Result<FingerprintKey> {
    let path = home.state_dir.join(FILE_NAME);
    let bytes = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => create(&path),
        read => read,
    };
    let bytes = bytes.with_context(|| format!("can't use the key of fingerprints in {}", path.display()))?;
    let bytes = <[u8; FingerprintKey::BYTES]>::try_from(bytes.as_slice()).map_err(|_| {
        let (path, bytes) = (path.display(), FingerprintKey::BYTES);
        anyhow::anyhow!(
            "{path} isn't a key of {bytes} bytes\n  hint: delete it; all fingerprints will change"
        )
    })?;
    Ok(FingerprintKey::new(&bytes))
}

/// Of two processes that create it at once one wins, and both use its bytes.
fn create(path: &Path) -> io::Result<Vec<u8>> {
    let directory = path.parent().unwrap_or(Path::new(""));
    private::create_directory(directory)?;
    let mut bytes = vec![0; FingerprintKey::BYTES];
    SystemRandom::new().fill(&mut bytes).map_err(|_| io::Error::other("no random numbers to be had"))?;
    let mut file = private::temporary_file(directory, FILE_NAME.as_ref())?;
    file.write_all(&bytes)?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => {
            private::sync_directory(directory)?;
            Ok(bytes)
        }
        Err(lost) if lost.error.kind() == io::ErrorKind::AlreadyExists => fs::read(path),
        Err(lost) => Err(lost.error),
    }
}

#[cfg(test)]
mod tests {
    use keywheel_actors::secret::Secret;

    use super::*;

    fn home(directory: &Path) -> Home {
        Home { state_dir: directory.join("state/here"), ..Home::default() }
    }

    #[test]
    fn the_key_is_made_once_and_kept_to_its_owner() {
        let directory = tempfile::tempdir().unwrap();
        let home = home(directory.path());
        let secret = Secret::new("sk-a");
        let first = secret.fingerprint(&fingerprint_key(&home).unwrap());
        assert_eq!(secret.fingerprint(&fingerprint_key(&home).unwrap()), first);
        let path = home.state_dir.join(FILE_NAME);
        assert_eq!(fs::read(&path).unwrap().len(), 32);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(&path), mode(&home.state_dir)), (0o600, 0o700));
        }
    }

    #[test]
    fn many_that_make_it_at_once_agree() {
        let directory = tempfile::tempdir().unwrap();
        let home = home(directory.path());
        let seen: Vec<String> = std::thread::scope(|scope| {
            let asking: Vec<_> = (0..8)
                .map(|_| {
                    let home = &home;
                    scope.spawn(move || {
                        Secret::new("sk-a").fingerprint(&fingerprint_key(home).unwrap()).to_string()
                    })
                })
                .collect();
            asking.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(seen.iter().all(|fingerprint| *fingerprint == seen[0]), "{seen:?}");
    }

    #[test]
    fn what_is_no_key_is_told_with_a_hint() {
        let directory = tempfile::tempdir().unwrap();
        let home = home(directory.path());
        fs::create_dir_all(&home.state_dir).unwrap();
        fs::write(home.state_dir.join(FILE_NAME), "short").unwrap();
        let error = fingerprint_key(&home).unwrap_err().to_string();
        assert!(error.contains("isn't a key of 32 bytes\n  hint: delete it"), "{error}");
    }
}
