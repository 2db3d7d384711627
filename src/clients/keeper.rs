//! What clients have used, in a file, so that a restart gives nobody its day again.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::AccountMemory;
use crate::private;

/// Its name in the state directory.
const FILE_NAME: &str = "clients.json";

/// The form of the file. What another form says isn't understood.
const FORM: u32 = 1;

/// The file, for its only writer.
#[derive(Debug)]
pub struct Keeper {
    path: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
struct File {
    form: u32,
    clients: BTreeMap<String, AccountMemory>,
}

impl Keeper {
    /// In that directory.
    pub fn new(state_dir: &Path) -> Self {
        Self { path: state_dir.join(FILE_NAME) }
    }

    /// What an earlier process left, by the names of clients.
    ///
    /// # Errors
    /// If there is something that can't be read: what was used isn't known then.
    pub fn load(&self) -> anyhow::Result<BTreeMap<String, AccountMemory>> {
        if let Some(directory) = self.path.parent() {
            private::delete_leftovers(directory, FILE_NAME.as_ref());
        }
        let read = match fs::read(&self.path) {
            Ok(bytes) => read(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(error) => Err(error),
        };
        read.with_context(|| format!("can't read {} (to begin anew, delete it)", self.path.display()))
    }

    /// Keeps this. Whoever reads the file sees all of what was, or all of what is.
    ///
    /// # Errors
    /// If it can't be written: what was kept before stays.
    pub fn keep(&self, clients: BTreeMap<String, AccountMemory>) -> anyhow::Result<()> {
        self.write(clients).with_context(|| format!("can't write {}", self.path.display()))
    }

    fn write(&self, clients: BTreeMap<String, AccountMemory>) -> io::Result<()> {
        let directory = self.path.parent().unwrap_or(Path::new(""));
        private::create_directory(directory)?;
        let mut file = private::temporary_file(directory, FILE_NAME.as_ref())?;
        file.write_all(&serde_json::to_vec(&File { form: FORM, clients })?)?;
        file.persist(&self.path).map_err(|failed| failed.error)?;
        Ok(())
    }
}

fn read(bytes: &[u8]) -> io::Result<BTreeMap<String, AccountMemory>> {
    let file: File = serde_json::from_slice(bytes)?;
    if file.form != FORM {
        return Err(io::Error::other(format!("it was written by another version (form {})", file.form)));
    }
    Ok(file.clients)
}

#[cfg(test)]
mod tests {
    use keywheel_actors::clock::Moment;
    use keywheel_actors::store::Wall;

    use super::*;
    use crate::clients::{ClientSpec, Clients, Now};

    fn used() -> BTreeMap<String, AccountMemory> {
        let spec = ClientSpec {
            name: "a".to_owned(),
            tokens: Vec::new(),
            models: Vec::new(),
            pass_through: None,
            limits: keywheel_actors::spec::Limits::default(),
            cost_per_day: Some("1".parse().expect("an amount")),
            priority: keywheel_actors::request::Priority::High,
            enabled: true,
        };
        Clients::new(&[spec]).memory(Now { moment: Moment::ZERO, date: Wall(0) })
    }

    #[test]
    fn what_is_kept_is_there_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let state_dir = directory.path().join("state");
        let keeper = Keeper::new(&state_dir);
        assert!(keeper.load().expect("nothing is there yet").is_empty());
        keeper.keep(used()).expect("it can be written");
        assert_eq!(Keeper::new(&state_dir).load().expect("it can be read"), used());
        assert_eq!(fs::read_dir(&state_dir).expect("it is there").count(), 1, "nothing is left over");
    }

    #[test]
    fn what_cannot_be_read_is_said_and_not_taken_for_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        for text in ["", "{", r#"{"form":2,"clients":{}}"#] {
            fs::write(directory.path().join(FILE_NAME), text).expect("the directory is ours");
            assert!(Keeper::new(directory.path()).load().is_err(), "{text}");
        }
    }
}
