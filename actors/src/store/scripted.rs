//! A store in memory, whose disk can be full: for tests of what is built on it.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Changes, Memory, Store, StoreError};

/// Keeps everything in memory; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Scripted {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    memory: Memory,
    broken: Option<String>,
    saves: usize,
}

impl Scripted {
    /// From now on nothing can be kept, for this reason; `None` mends it.
    pub fn breaks(&self, why: Option<&str>) {
        self.with(|inner| inner.broken = why.map(str::to_owned));
    }

    /// What the next process would remember.
    pub fn memory(&self) -> Memory {
        self.with(|inner| inner.memory.clone())
    }

    /// How often something was kept.
    pub fn saves(&self) -> usize {
        self.with(|inner| inner.saves)
    }

    fn with<T>(&self, look: impl FnOnce(&mut Inner) -> T) -> T {
        look(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Store for Scripted {
    fn load(&self) -> Result<Memory, StoreError> {
        Ok(self.memory())
    }

    fn save(&self, changes: &Changes) -> Result<(), StoreError> {
        self.with(|inner| {
            if let Some(why) = &inner.broken {
                return Err(StoreError::Failed(why.as_str().into()));
            }
            inner.memory.apply(changes);
            inner.saves += 1;
            Ok(())
        })
    }
}
