//! One at a time: rows that ask for the same wait for the first of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Mutex as Turns, MutexGuard as Turn};

use super::key::CacheKey;

/// The queues, one for each key that some row is asking for: never more than there are rows under way.
#[derive(Debug)]
pub(super) struct Flights<T> {
    queues: Mutex<HashMap<CacheKey, Queue<T>>>,
}

/// A place where something will lie that all who come for it may take.
#[derive(Debug)]
struct Queue<T> {
    rows: usize,
    shared: Arc<Turns<Option<T>>>,
}

/// A row's seat in a queue. The queue goes with the last of them, and what it shared.
#[derive(Debug)]
pub(super) struct Seat<'a, T> {
    flights: &'a Flights<T>,
    key: CacheKey,
    shared: Arc<Turns<Option<T>>>,
}

impl<T> Default for Flights<T> {
    fn default() -> Self {
        Self { queues: Mutex::default() }
    }
}

impl<T> Flights<T> {
    /// Joins the queue for `key`.
    pub(super) fn seat(&self, key: CacheKey) -> Seat<'_, T> {
        let mut queues = self.queues();
        let queue = queues.entry(key).or_insert_with(|| Queue { rows: 0, shared: Arc::default() });
        queue.rows += 1;
        Seat { flights: self, key, shared: Arc::clone(&queue.shared) }
    }

    fn queues(&self) -> MutexGuard<'_, HashMap<CacheKey, Queue<T>>> {
        // Nothing panics while it is held, and counts are whole between any two lines.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Seat<'_, T> {
    /// Waits until all who came before have left or have had their turn.
    pub(super) async fn turn(&self) -> Turn<'_, Option<T>> {
        self.shared.lock().await
    }
}

impl<T> Drop for Seat<'_, T> {
    fn drop(&mut self) {
        let mut queues = self.flights.queues();
        if let Some(queue) = queues.get_mut(&self.key) {
            queue.rows -= 1;
            if queue.rows == 0 {
                queues.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use keywheel_actors::request::{Delivery, Request};

    use super::*;

    fn key(model: &str) -> CacheKey {
        CacheKey::of(&Request {
            method: hyper::Method::POST,
            path: "/x".to_owned(),
            headers: hyper::HeaderMap::new(),
            body: bytes::Bytes::new(),
            model: model.into(),
            delivery: Delivery::Whole,
            to: keywheel_actors::request::Destination::Routed,
            upload: None,
        })
    }

    #[tokio::test]
    async fn the_second_sees_what_the_first_left() {
        let flights = Flights::default();
        let (first, second) = (flights.seat(key("a")), flights.seat(key("a")));
        let mut turn = first.turn().await;
        assert!(second.turn().now_or_never().is_none(), "it is the first one's turn");
        assert_eq!(turn.replace(88), None);
        drop(turn);
        drop(first);
        assert_eq!(*second.turn().await, Some(88), "it stays while somebody is there");
        drop(second);
        assert_eq!(*flights.seat(key("a")).turn().await, None, "and goes with the last one");
    }

    #[tokio::test]
    async fn there_are_queues_for_rows_under_way_only() {
        let flights: Flights<u32> = Flights::default();
        let seats: Vec<_> = ["a", "b", "a", "c"].map(|model| flights.seat(key(model))).into();
        assert_eq!(flights.queues().len(), 3);
        let waiting = seats[2].turn();
        drop(waiting);
        drop(seats);
        assert_eq!(flights.queues().len(), 0);
    }
}
