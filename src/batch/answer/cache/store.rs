//! Answers on the disk: a file each, in directories two levels deep.
//!
//! Files appear whole, by renaming, and are never synced: what a power cut tears is noticed when it is
//! read, and asked for again. Several runs may use one directory at once.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::Kept;
use super::entry::{decode, encode};
use super::key::CacheKey;
use crate::private::{create_directory, temporary_file};

/// The longest answer of the wheel is 64 MiB; a longer file is none of ours.
const ENTRY_BYTES_MAX: u64 = 65 << 20;

/// Where files are written before they get their names.
const UNFINISHED: &str = "unfinished";

/// A file that was not finished by then was left by a run that was killed.
const UNFINISHED_AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// A directory with answers.
#[derive(Debug)]
pub(super) struct Store {
    directory: PathBuf,
    age_max: Option<Duration>,
}

/// What lies there under a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Answer(Kept),
    /// Nothing, or an answer that is too old.
    Nothing,
    /// Something that is no answer, or not this one's.
    Unreadable,
}

impl Store {
    /// Creates the directory, for its owner alone, if it is missing.
    pub(super) fn open(directory: &Path, age_max: Option<Duration>, now: SystemTime) -> io::Result<Self> {
        create_directory(directory)?;
        delete_unfinished(&directory.join(UNFINISHED), now);
        Ok(Self { directory: directory.to_owned(), age_max })
    }

    /// Looks for an answer.
    pub(super) fn get(&self, key: CacheKey, now: SystemTime) -> Found {
        let bytes = match read(&self.path(key)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Found::Nothing,
            Err(_) => return Found::Unreadable,
        };
        let Some((kept, at)) = decode(key, &bytes.into()) else { return Found::Unreadable };
        // One from the future, by a clock that was wrong, is new.
        let age = now.duration_since(at).unwrap_or_default();
        if self.age_max.is_some_and(|age_max| age > age_max) { Found::Nothing } else { Found::Answer(kept) }
    }

    /// Keeps an answer, in place of an older one.
    pub(super) fn put(&self, key: CacheKey, kept: &Kept, now: SystemTime) -> io::Result<()> {
        let path = self.path(key);
        let unfinished = self.directory.join(UNFINISHED);
        for directory in path.parent().into_iter().chain([&*unfinished]) {
            create_directory(directory)?;
        }
        let mut file = temporary_file(&unfinished, "answer".as_ref())?;
        file.write_all(&encode(key, kept, now)?)?;
        file.persist(path)?;
        Ok(())
    }

    fn path(&self, key: CacheKey) -> PathBuf {
        let name = key.name();
        self.directory.join(&name[..2]).join(&name[2..4]).join(name)
    }
}

/// All of a file that isn't too long.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(ENTRY_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > ENTRY_BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

/// Deletes what runs that were killed have left. What can't be deleted does no harm.
fn delete_unfinished(directory: &Path, now: SystemTime) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let changed = entry.metadata().and_then(|data| data.modified());
        let age = changed.ok().and_then(|changed| now.duration_since(changed).ok());
        if age.is_some_and(|age| age > UNFINISHED_AGE_MAX) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use bytes::Bytes;
    use hyper::StatusCode;
    use keywheel_actors::request::{Delivery, Request};
    use tempfile::TempDir;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn key(body: &'static str) -> CacheKey {
        CacheKey::of(&Request {
            method: hyper::Method::POST,
            path: "/x".to_owned(),
            headers: hyper::HeaderMap::new(),
            body: Bytes::from_static(body.as_bytes()),
            model: "m".into(),
            delivery: Delivery::Whole,
            to: keywheel_actors::request::Destination::Routed,
            upload: None,
        })
    }

    fn kept() -> Kept {
        Kept {
            status: StatusCode::OK,
            request_id: "req_1".to_owned(),
            provider: "p".into(),
            body: Bytes::from_static(b"{\n\"a\": 1}\n"),
        }
    }

    /// A store with one answer, kept at this moment.
    struct Shelf {
        directory: TempDir,
        store: Store,
        now: SystemTime,
    }

    impl Shelf {
        fn new(age_max: Option<Duration>) -> Self {
            let (directory, now) = (TempDir::new().unwrap(), SystemTime::now());
            let store = Store::open(&directory.path().join("cache"), age_max, now).unwrap();
            store.put(key("a"), &kept(), now).unwrap();
            Self { directory, store, now }
        }

        fn get(&self, body: &'static str) -> Found {
            self.store.get(key(body), self.now)
        }
    }

    #[test]
    fn an_answer_is_found_by_its_row_alone_and_byte_for_byte() {
        let shelf = Shelf::new(None);
        assert_eq!(shelf.get("a"), Found::Answer(kept()));
        assert_eq!(shelf.get("a "), Found::Nothing);
    }

    #[test]
    fn files_are_their_owners_alone() {
        let shelf = Shelf::new(None);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let file = shelf.store.path(key("a"));
        let directories = [&file, file.parent().unwrap(), file.parent().unwrap().parent().unwrap()];
        assert_eq!(directories.map(mode), [0o600, 0o700, 0o700]);
        assert_eq!(mode(&shelf.directory.path().join("cache")), 0o700);
        assert_eq!(fs::read_dir(shelf.store.directory.join(UNFINISHED)).unwrap().count(), 0);
    }

    #[test]
    fn whatever_happened_to_a_file_it_is_never_another_answer() {
        let shelf = Shelf::new(None);
        let path = shelf.store.path(key("a"));
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(shelf.get("a"), Found::Unreadable, "torn after {length} bytes");
        }
        for place in 0..whole.len() {
            let mut altered = whole.clone();
            altered[place] ^= 1;
            fs::write(&path, altered).unwrap();
            assert_eq!(shelf.get("a"), Found::Unreadable, "altered at {place}");
        }
        fs::write(&path, [&whole[..], b" "].concat()).unwrap();
        assert_eq!(shelf.get("a"), Found::Unreadable);
        shelf.store.put(key("a"), &kept(), shelf.now).unwrap();
        assert_eq!(shelf.get("a"), Found::Answer(kept()), "the next answer mends it");
    }

    #[test]
    fn a_file_under_anothers_name_is_no_answer() {
        let shelf = Shelf::new(None);
        let other = shelf.store.path(key("b"));
        fs::create_dir_all(other.parent().unwrap()).unwrap();
        fs::copy(shelf.store.path(key("a")), other).unwrap();
        assert_eq!(shelf.get("b"), Found::Unreadable);
    }

    #[test]
    fn an_answer_may_grow_too_old() {
        let shelf = Shelf::new(Some(HOUR));
        assert_eq!(shelf.store.get(key("a"), shelf.now + HOUR / 2), Found::Answer(kept()));
        assert_eq!(shelf.store.get(key("a"), shelf.now + 2 * HOUR), Found::Nothing);
        let future = shelf.now.checked_sub(2 * HOUR).unwrap();
        assert_eq!(shelf.store.get(key("a"), future), Found::Answer(kept()), "by a clock that was wrong");
    }

    #[test]
    fn what_a_killed_run_left_goes_after_a_day() {
        let shelf = Shelf::new(None);
        let left = shelf.store.directory.join(UNFINISHED).join(".answer.x.tmp");
        fs::write(&left, "half").unwrap();
        let open = |now| Store::open(&shelf.store.directory, None, now).unwrap();
        open(shelf.now + 2 * HOUR);
        assert!(left.exists(), "another run may be writing it");
        open(shelf.now + 25 * HOUR);
        assert!(!left.exists());
    }

    #[test]
    fn a_directory_that_cannot_be_is_told_at_once() {
        let shelf = Shelf::new(None);
        let file = shelf.store.path(key("a"));
        assert!(Store::open(&file, None, shelf.now).is_err());
    }
}
