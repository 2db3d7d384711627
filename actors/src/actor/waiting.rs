//! What a caller waits with: for his job's ending, and for calls that he makes himself meanwhile.
//!
//! A call is a task of its own on the wheel's runtime, unless its caller is there to poll it: then the key hands
//! it to him, and neither the call nor its answer crosses from one thread to another.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::FutureExt;
use tokio::sync::oneshot;

use crate::error::SendError;

use super::job::Ending;

/// Who makes a job's calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Hands {
    /// Tasks on the wheel's runtime.
    Ours,
    /// Whoever waits for the job, where he waits.
    TheCallers,
}

/// What comes to whoever waits.
pub(crate) enum Word {
    /// The last of it.
    End(Ending),
    /// A call to make, and where the word after it will come. Dropped unread, nobody listens there any more when the
    /// call is dropped: its job knows then that nobody waits.
    Make { next: oneshot::Receiver<Word>, call: Errand },
}

/// A call that its caller makes. One that panics has lost its job, which looks after itself.
pub(crate) type Errand = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Waits for a job's ending and makes its calls. Dropped, it takes the job back.
pub(crate) struct Waiting {
    /// Goes first, so that a call that is dropped with it finds that nobody waits.
    word: oneshot::Receiver<Word>,
    call: Option<Errand>,
}

impl Waiting {
    pub(crate) const fn new(word: oneshot::Receiver<Word>) -> Self {
        Self { word, call: None }
    }
}

impl Future for Waiting {
    type Output = Ending;

    fn poll(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Ending> {
        let this = self.get_mut();
        loop {
            if let Some(call) = &mut this.call {
                ready!(call.as_mut().poll(task));
                this.call = None;
            }
            match ready!(this.word.poll_unpin(task)) {
                Ok(Word::End(ending)) => return Poll::Ready(ending),
                Ok(Word::Make { next, call }) => {
                    this.word = next;
                    this.call = Some(call);
                }
                Err(_) => return Poll::Ready(Err(SendError::Lost)),
            }
        }
    }
}

/// Makes an errand of a call.
pub(crate) fn errand(call: impl Future<Output = ()> + Send + 'static) -> Errand {
    // What it held has said of itself what became of it while it was unwound.
    Box::pin(AssertUnwindSafe(call).catch_unwind().map(drop))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// A job in a call's hands that notes, when it is dropped, whether anybody still waits for it.
    struct Left {
        reply: oneshot::Sender<Word>,
        awaited: Arc<AtomicBool>,
    }

    impl Drop for Left {
        fn drop(&mut self) {
            self.awaited.store(!self.reply.is_closed(), Ordering::Relaxed);
        }
    }

    /// A caller that has been given a call that never ends, and what it notes when it is dropped.
    fn given() -> (Waiting, Arc<AtomicBool>) {
        let (reply, word) = oneshot::channel();
        let (last, next) = oneshot::channel();
        let awaited = Arc::new(AtomicBool::new(true));
        let left = Left { reply: last, awaited: Arc::clone(&awaited) };
        let call = errand(async move {
            let _left = left;
            std::future::pending::<()>().await;
        });
        assert!(reply.send(Word::Make { next, call }).is_ok());
        (Waiting::new(word), awaited)
    }

    #[test]
    fn a_call_that_is_dropped_with_its_caller_finds_that_nobody_waits() {
        let (mut waiting, awaited) = given();
        assert!((&mut waiting).now_or_never().is_none());
        drop(waiting);
        assert!(!awaited.load(Ordering::Relaxed), "begun");

        let (waiting, awaited) = given();
        drop(waiting);
        assert!(!awaited.load(Ordering::Relaxed), "never begun");
    }
}
