//! The durable state as a file: an embedded database, one process at a time.
//!
//! Each save is one transaction that is synced before it counts, so a kill at
//! any moment leaves the state as it was before or after it. Values are JSON:
//! a field that a later version adds has its default when it is missing.

use std::fmt;
use std::fs::{OpenOptions, TryLockError};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use redb::{
    Database, DatabaseError, ReadOnlyDatabase, ReadTransaction, ReadableDatabase as _, ReadableTable as _,
    StorageError, TableDefinition, TableError, WriteTransaction,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Changes, GroupId, Memory, Presence, Store, StoreError};
use crate::id::KeyId;

/// The number of this format; a file with a higher one is left alone.
const FORMAT: u64 = 1;

const KEYS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("keys");
const GROUPS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("groups");
const STATS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("stats");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const META_FORMAT: &str = "format";
const META_PRESENCE: &str = "presence";

/// 10,000 keys fill some megabytes; more cache gains nothing.
const CACHE_BYTES: usize = 8 << 20;

/// A database begins with so many bytes that say what it is. They are written last, when all else is on the disk.
const MAGIC_BYTES: usize = 9;

/// A database file.
pub struct Disk {
    path: PathBuf,
    /// `None` after a failure: the next use opens it anew.
    open: Mutex<Option<Open>>,
}

enum Open {
    Writable(Database),
    /// Nothing can be kept, for this reason.
    ReadOnly(ReadOnlyDatabase, String),
}

impl Disk {
    /// Opens or creates the file; its directory must be there. Where it can be read but not written,
    /// everything is remembered and nothing kept: [`Store::save`] then fails and says why.
    ///
    /// # Errors
    /// [`StoreError::InUse`] while another process has it open, [`StoreError::TooNew`] for a later format.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = path.into();
        let open = match open_writable(&path) {
            Ok(database) => Open::Writable(database),
            Err(error @ (StoreError::InUse | StoreError::TooNew { .. })) => return Err(error),
            Err(error) => match redb::Builder::new().set_cache_size(CACHE_BYTES).open_read_only(&path) {
                Ok(database) => Open::ReadOnly(database, error.to_string()),
                Err(DatabaseError::DatabaseAlreadyOpen) => return Err(StoreError::InUse),
                // Why it can't be written is what must be mended first.
                Err(_) => return Err(error),
            },
        };
        let disk = Self { path, open: Mutex::new(Some(open)) };
        disk.check_format()?;
        Ok(disk)
    }

    fn check_format(&self) -> Result<(), StoreError> {
        let found = self.read(|transaction| match transaction.open_table(META) {
            Ok(table) => Ok(table.get(META_FORMAT).map_err(failed)?.map(|value| value.value().to_vec())),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(failed(error)),
        })?;
        let Some(found) = found else { return Ok(()) };
        let found = decode(&found)?;
        if found > FORMAT { Err(StoreError::TooNew { found, known: FORMAT }) } else { Ok(()) }
    }

    fn read<T>(&self, look: impl FnOnce(&ReadTransaction) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = match reopened(&mut open, &self.path)? {
            Open::Writable(database) => database.begin_read(),
            Open::ReadOnly(database, _) => database.begin_read(),
        };
        look(&transaction.map_err(failed)?)
    }
}

/// The database, opened anew if a failure closed it.
fn reopened<'a>(open: &'a mut Option<Open>, path: &Path) -> Result<&'a mut Open, StoreError> {
    if open.is_none() {
        *open = Some(Open::Writable(open_writable(path)?));
    }
    open.as_mut().ok_or(StoreError::InUse)
}

fn open_writable(path: &Path) -> Result<Database, StoreError> {
    create_private(path).map_err(failed)?;
    let create = || redb::Builder::new().set_cache_size(CACHE_BYTES).create(path);
    let opened = match create() {
        Err(error) if is_no_database(&error) && clear_unfinished(path)? => create(),
        opened => opened,
    };
    opened.map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => StoreError::InUse,
        error => failed(error),
    })
}

fn is_no_database(error: &DatabaseError) -> bool {
    matches!(error, DatabaseError::Storage(StorageError::Io(error)) if error.kind() == io::ErrorKind::InvalidData)
}

/// Empties a file whose maker was killed before it was a database: nothing was ever kept in it. False if it is
/// something else, which is left alone.
fn clear_unfinished(path: &Path) -> Result<bool, StoreError> {
    let mut file = OpenOptions::new().read(true).write(true).open(path).map_err(failed)?;
    // Somebody else may be making it right now; whoever does holds this lock.
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(StoreError::InUse),
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    let mut magic = [0; MAGIC_BYTES];
    if file.read_exact(&mut magic).is_err() || magic != [0; MAGIC_BYTES] {
        return Ok(false);
    }
    file.set_len(0).map_err(failed)?;
    Ok(true)
}

/// Sees to it that the file is there, and that only its owner may read it.
fn create_private(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

impl Store for Disk {
    fn load(&self) -> Result<Memory, StoreError> {
        self.read(|transaction| {
            let mut memory = Memory::default();
            each(transaction, KEYS, |name, value| {
                if let Some(key) = key_named(name) {
                    memory.keys.insert(key, decode(value)?);
                }
                Ok(())
            })?;
            each(transaction, GROUPS, |name, value| {
                if let Some((provider, group)) = name.split_once('/') {
                    let group = GroupId { provider: provider.into(), group: group.into() };
                    memory.groups.insert(group, decode(value)?);
                }
                Ok(())
            })?;
            each(transaction, STATS, |name, value| {
                if let Some(key) = key_named(name) {
                    memory.stats.insert(key, decode(value)?);
                }
                Ok(())
            })?;
            each(transaction, META, |name, value| {
                if name == META_PRESENCE {
                    memory.presence = decode::<Presence>(value)?;
                }
                Ok(())
            })?;
            Ok(memory)
        })
    }

    fn save(&self, changes: &Changes) -> Result<(), StoreError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let saved = match reopened(&mut open, &self.path)? {
            Open::Writable(database) => database
                .begin_write()
                .map_err(failed)
                .and_then(|transaction| write(&transaction, changes).map(|()| transaction))
                .and_then(|transaction| transaction.commit().map_err(failed)),
            Open::ReadOnly(_, why) => return Err(StoreError::Failed(why.as_str().into())),
        };
        if saved.is_err() {
            // After an I/O error the database refuses everything until it is opened again.
            *open = None;
        }
        saved
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").field("path", &self.path).finish_non_exhaustive()
    }
}

fn write(transaction: &WriteTransaction, changes: &Changes) -> Result<(), StoreError> {
    let keys = changes.keys.iter().map(|(key, value)| (key.to_string(), value.as_ref()));
    put(transaction, KEYS, keys)?;
    let groups = changes.groups.iter();
    let groups = groups.map(|(id, value)| (format!("{}/{}", id.provider, id.group), value.as_ref()));
    put(transaction, GROUPS, groups)?;
    let stats = changes.stats.iter().map(|(key, value)| (key.to_string(), value.as_ref()));
    put(transaction, STATS, stats)?;
    let presence = changes.presence.as_ref().map(|presence| (META_PRESENCE.to_owned(), Some(presence)));
    put(transaction, META, presence.into_iter())?;
    put(transaction, META, [(META_FORMAT.to_owned(), Some(&FORMAT))].into_iter())
}

fn put<'v, T: Serialize + 'v>(
    transaction: &WriteTransaction,
    table: TableDefinition<'_, &str, &[u8]>,
    rows: impl Iterator<Item = (String, Option<&'v T>)>,
) -> Result<(), StoreError> {
    let mut table = transaction.open_table(table).map_err(failed)?;
    for (name, value) in rows {
        match value {
            Some(value) => {
                let value = serde_json::to_vec(value).map_err(failed)?;
                table.insert(name.as_str(), value.as_slice()).map_err(failed)?;
            }
            None => drop(table.remove(name.as_str()).map_err(failed)?),
        }
    }
    Ok(())
}

/// Shows every row of a table that may not be there yet.
fn each(
    transaction: &ReadTransaction,
    table: TableDefinition<'_, &str, &[u8]>,
    mut show: impl FnMut(&str, &[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let table = match transaction.open_table(table) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    for row in table.iter().map_err(failed)? {
        let (name, value) = row.map_err(failed)?;
        show(name.value(), value.value())?;
    }
    Ok(())
}

/// Neither a provider's id nor a key's name holds a slash.
fn key_named(name: &str) -> Option<KeyId> {
    let (provider, key) = name.split_once('/')?;
    Some(KeyId { provider: provider.into(), key: key.into() })
}

fn decode<T: DeserializeOwned>(value: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(value).map_err(failed)
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Failed(Box::new(error))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::{KeyMemory, Wall};
    use super::*;

    fn key(name: &str) -> KeyId {
        KeyId { provider: "p".into(), key: name.into() }
    }

    fn strikes(strikes: u32) -> KeyMemory {
        KeyMemory { strikes, ..KeyMemory::default() }
    }

    fn change(name: &str, memory: Option<KeyMemory>) -> Changes {
        Changes { keys: BTreeMap::from([(key(name), memory)]), ..Changes::default() }
    }

    #[test]
    fn what_was_saved_is_there_when_it_is_opened_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.redb");
        let seen = Presence { seen: Wall(17), closed: true };
        {
            let disk = Disk::open(&path).unwrap();
            assert_eq!(disk.load().unwrap(), Memory::default());
            disk.save(&change("a", Some(strikes(1)))).unwrap();
            disk.save(&change("b", Some(strikes(2)))).unwrap();
            disk.save(&change("a", None)).unwrap();
            disk.save(&Changes { presence: Some(seen), ..Changes::default() }).unwrap();
        }
        let memory = Disk::open(&path).unwrap().load().unwrap();
        assert_eq!(memory.keys, BTreeMap::from([(key("b"), strikes(2))]));
        assert_eq!(memory.presence, seen);
    }

    #[test]
    fn one_process_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.redb");
        let first = Disk::open(&path).unwrap();
        assert!(matches!(Disk::open(&path), Err(StoreError::InUse)));
        drop(first);
        assert!(Disk::open(&path).is_ok());
    }

    #[test]
    fn a_later_format_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.redb");
        let disk = Disk::open(&path).unwrap();
        {
            let open = disk.open.lock().unwrap();
            let Some(Open::Writable(database)) = open.as_ref() else { unreachable!("just created") };
            let transaction = database.begin_write().unwrap();
            put(&transaction, META, [(META_FORMAT.to_owned(), Some(&(FORMAT + 1)))].into_iter()).unwrap();
            transaction.commit().unwrap();
        }
        drop(disk);
        let refused = Disk::open(&path).err();
        assert!(matches!(refused, Some(StoreError::TooNew { found: 2, known: 1 })), "{refused:?}");
    }

    #[test]
    #[cfg(unix)]
    fn only_its_owner_may_read_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.redb");
        drop(Disk::open(&path).unwrap());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_whose_maker_was_killed_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.redb");
        drop(Disk::open(&path).unwrap());
        let mut unfinished = std::fs::read(&path).unwrap();
        unfinished[..MAGIC_BYTES].fill(0);
        std::fs::write(&path, unfinished).unwrap();
        let disk = Disk::open(&path).unwrap();
        assert!(matches!(Disk::open(&path), Err(StoreError::InUse)), "it is locked as ever");
        disk.save(&change("a", Some(strikes(1)))).unwrap();
        drop(disk);
        let memory = Disk::open(&path).unwrap().load().unwrap();
        assert_eq!(memory.keys, BTreeMap::from([(key("a"), strikes(1))]));
    }

    #[test]
    fn what_is_no_database_is_refused_with_a_reason() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.redb");
        std::fs::write(&path, "this is no database at all, however long it may be").unwrap();
        assert!(matches!(Disk::open(&path), Err(StoreError::Failed(_))));
    }
}
