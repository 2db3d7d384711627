//! The room in memory for the bodies of all requests under way.
//!
//! Each body has its own bound, but thousands of clients may send at once, and slowly. What they have sent is counted
//! as it comes, until the last who needs it has let go of it; beyond the bound a request is told to come back. To wait
//! instead would end in a knot: all have half of their body in, and none gets room for the other half.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix_web::http::StatusCode;
use bytes::Bytes;

use super::refusal::{Refusal, Retry};

/// Room is free as soon as any request has been answered.
const FREE_AFTER: Duration = Duration::from_secs(1);

/// How much of it is taken.
#[derive(Debug, Default)]
pub(super) struct Room {
    taken_bytes: AtomicUsize,
}

impl Room {
    /// The place of one body, empty yet, while there may be so much of all.
    pub(super) fn place(self: &Arc<Self>, bytes_max: usize) -> Place {
        Place { room: Arc::clone(self), bytes: 0, bytes_max }
    }
}

/// What one body takes of it, until this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    room: Arc<Room>,
    bytes: usize,
    /// Of all bodies.
    bytes_max: usize,
}

impl Place {
    /// Looks whether so much would fit, so that what can't is refused before it is sent.
    ///
    /// # Errors
    /// If it wouldn't.
    pub(super) fn look_for(&self, bytes: u64) -> Result<(), Refusal> {
        let free = self.bytes_max.saturating_sub(self.room.taken_bytes.load(Ordering::Relaxed));
        if bytes > free as u64 { Err(full()) } else { Ok(()) }
    }

    /// Takes so much more.
    ///
    /// # Errors
    /// If it isn't free.
    pub(super) fn take(&mut self, bytes: usize) -> Result<(), Refusal> {
        let fitting = |taken: usize| taken.checked_add(bytes).filter(|taken| *taken <= self.bytes_max);
        let taken = self.room.taken_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fitting);
        taken.map_err(|_| full())?;
        self.bytes += bytes;
        Ok(())
    }

    /// Is held by this body, until its last copy is dropped.
    pub(super) fn held_by(self, body: Bytes) -> Bytes {
        if body.is_empty() { body } else { Bytes::from_owner(Held { body, _place: self }) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.taken_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A body, and its place.
struct Held {
    body: Bytes,
    _place: Place,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

fn full() -> Refusal {
    let message = "the bodies of the requests under way take all the memory they may have";
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "bodies_full", message).retrying(Retry::After(FREE_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_its_place_until_its_last_copy_is_gone() {
        let room = Arc::new(Room::default());
        let mut first = room.place(10);
        assert_eq!(first.take(6), Ok(()));
        let copy = first.held_by(Bytes::from_static(b"sixsix")).slice(0..1);

        let mut second = room.place(10);
        assert_eq!(second.look_for(4), Ok(()));
        assert_eq!(second.look_for(5), Err(full()));
        assert_eq!(second.take(5), Err(full()));
        assert_eq!(second.take(4), Ok(()));
        assert_eq!(room.place(10).take(1), Err(full()));

        drop(second);
        assert_eq!(room.place(10).look_for(4), Ok(()));
        drop(copy);
        assert_eq!(room.place(10).look_for(10), Ok(()));
    }

    #[test]
    fn a_bound_that_became_smaller_takes_nothing_away() {
        let room = Arc::new(Room::default());
        let mut first = room.place(10);
        assert_eq!(first.take(8), Ok(()));
        let mut second = room.place(5);
        assert_eq!((second.look_for(1), second.take(1)), (Err(full()), Err(full())));
    }
}
