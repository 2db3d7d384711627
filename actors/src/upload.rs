//! A body that is sent as it comes: too long to be kept, and so sent once.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;

type Source = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// What follows the first bytes of a body. Clones are of the same one.
#[derive(Clone)]
pub struct Upload {
    inner: Arc<Inner>,
}

struct Inner {
    length: Option<u64>,
    is_spent: AtomicBool,
    is_whole: AtomicBool,
    source: Mutex<Source>,
}

impl Upload {
    /// What `source` brings; its `length` in bytes, if that is known.
    pub fn new(source: impl Stream<Item = io::Result<Bytes>> + Send + 'static, length: Option<u64>) -> Self {
        let inner = Inner {
            length,
            is_spent: AtomicBool::new(false),
            is_whole: AtomicBool::new(false),
            source: Mutex::new(Box::pin(source)),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Its length in bytes, if that is known.
    pub fn length(&self) -> Option<u64> {
        self.inner.length
    }

    /// Whether any of it has been taken: then it can't be sent again.
    pub fn is_spent(&self) -> bool {
        self.inner.is_spent.load(Ordering::Acquire)
    }

    /// Whether all of it has been taken.
    pub fn is_whole(&self) -> bool {
        self.inner.is_whole.load(Ordering::Acquire)
    }

    /// The next piece.
    pub(crate) fn poll_piece(&self, task: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let mut source = self.inner.source.lock().unwrap_or_else(PoisonError::into_inner);
        let polled = source.as_mut().poll_next(task);
        if polled.is_ready() {
            self.inner.is_spent.store(true, Ordering::Release);
        }
        if matches!(polled, Poll::Ready(None)) {
            self.inner.is_whole.store(true, Ordering::Release);
        }
        polled
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").field("length", &self.inner.length).finish_non_exhaustive()
    }
}
