//! From the wheel's events to the files, on a thread of its own.

use std::io;
use std::thread;

use keywheel_actors::Wheel;
use keywheel_actors::clock::{Clock, Moment};
use keywheel_actors::event::Event;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::oneshot;

use super::record::{Entry, Record, timestamp};
use super::write::Files;
use crate::config::FailureLog;
use crate::reminder::Reminder;

/// A log that is being written. It holds the wheel, so end it before you wait for the wheel's end.
///
/// Dropped without [`FailureLogger::finish`] it writes what is pending all the same, but nobody waits for it.
#[derive(Debug)]
pub struct FailureLogger {
    /// `None`: nothing is logged.
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    wheel: Wheel,
    stop: oneshot::Sender<()>,
    /// Told by the thread when everything is written; dropped if it panics. The wheel's runtime may have ended by
    /// then, so nothing of it is needed to wait.
    written: oneshot::Receiver<()>,
}

/// Logs the failures of `wheel` from now on, where and if `log` says so.
///
/// The wheel keeps some thousands of events for a log that is behind; beyond that the oldest are dropped and
/// a line tells how many. Whatever becomes of the log, no request waits for it or fails by it.
pub fn start(wheel: &Wheel, log: &FailureLog) -> FailureLogger {
    if !log.enabled {
        return FailureLogger { running: None };
    }
    let (stop, stopped) = oneshot::channel();
    let (runtime, events) = (wheel.runtime(), wheel.events());
    let journal = Journal::new(log, wheel.clock());
    let (tell_written, written) = oneshot::channel();
    let work = move || {
        runtime.block_on(follow(events, stopped, journal));
        // Nobody may be waiting.
        let _ = tell_written.send(());
    };
    match thread::Builder::new().name("keywheel-failures".to_owned()).spawn(work) {
        Ok(_) => FailureLogger { running: Some(Running { wheel: wheel.clone(), stop, written }) },
        Err(error) => {
            tracing::error!(%error, "failures aren't logged: there is no thread for it");
            FailureLogger { running: None }
        }
    }
}

impl FailureLogger {
    /// Writes what has happened up to now and ends.
    ///
    /// Call it on a runtime, before the wheel is gone.
    pub async fn finish(self) {
        let Some(Running { wheel, stop, written }) = self.running else { return };
        // Once Stats has answered, what it was told before is among the events. A wheel that has stopped
        // has nothing more to tell.
        let _ = wheel.stats().await;
        drop(stop);
        if written.await.is_err() {
            tracing::error!("the failure log ended badly");
        }
    }
}

/// Until somebody says stop and nothing is pending. It runs on a thread of its own, which may wait for disks.
async fn follow(
    mut events: broadcast::Receiver<Event>,
    mut stop: oneshot::Receiver<()>,
    mut journal: Journal,
) {
    loop {
        tokio::select! {
            biased;
            event = events.recv() => match event {
                Ok(event) => journal.note(&event),
                Err(RecvError::Lagged(count)) => journal.missing += count,
                Err(RecvError::Closed) => break,
            },
            // Whether it was said or its sender is gone.
            _ = &mut stop => break,
        }
    }
    journal.close();
}

/// The files, and what they lack.
#[derive(Debug)]
struct Journal {
    files: Files,
    clock: Clock,
    /// Events that no line tells of.
    missing: u64,
    reminder: Reminder,
}

impl Journal {
    fn new(log: &FailureLog, clock: Clock) -> Self {
        Self { files: Files::new(log), clock, missing: 0, reminder: Reminder::default() }
    }

    fn note(&mut self, event: &Event) {
        let Some(record) = Record::of(event, self.clock) else { return };
        let written = self.own_up(event.at).and_then(|()| self.append(&record));
        if let Err(error) = written {
            self.missing += 1;
            self.complain(&error);
        }
    }

    /// A line for what is missing, so that a gap can't be taken for quiet.
    fn own_up(&mut self, at: Moment) -> io::Result<()> {
        if self.missing == 0 {
            return Ok(());
        }
        let count = self.missing;
        let at = timestamp(self.clock.wall(at));
        self.append(&Record { at, entry: Entry::Dropped { count } })?;
        self.missing = 0;
        tracing::warn!(count, "events are missing in the failure log");
        Ok(())
    }

    fn append(&mut self, record: &Record) -> io::Result<()> {
        let line = record.encode()?;
        self.files.append(record.at, &line)
    }

    fn complain(&mut self, error: &io::Error) {
        if self.reminder.is_due(self.clock.now()) {
            tracing::error!(%error, missing = self.missing, "failures can't be logged");
        }
    }

    fn close(mut self) {
        if let Err(error) = self.own_up(self.clock.now()) {
            tracing::error!(%error, missing = self.missing, "the failure log ends incomplete");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Duration;

    use hyper::{HeaderMap, Method};
    use keywheel_actors::dialect::OpenAi;
    use keywheel_actors::request::{Delivery, Request, Terms};
    use keywheel_actors::secret::Secret;
    use keywheel_actors::spec::{KeySpec, ProviderSpec, WheelSpec};
    use keywheel_actors::upstream::{Scripted, Step};

    use super::super::read::{Line, read_all};
    use super::super::record::Failed;
    use super::*;

    fn log(dir: &Path) -> FailureLog {
        FailureLog { dir: dir.join("failures"), ..FailureLog::default() }
    }

    /// A wheel whose key `a` is refused and whose key `b` serves; `quiet` isn't to be logged.
    fn wheel(quiet: Option<&str>) -> Wheel {
        let upstream = Scripted::always(Step::answer(200, r#"{"choices":[]}"#));
        upstream.then("a", Step::answer(401, r#"{"error":{"message":"wrong key sk-a-0123456789"}}"#));
        let key = |name: &str| {
            let mut key = KeySpec::new(name, Secret::new(format!("sk-{name}-0123456789")));
            key.rotation.log_failures = quiet != Some(name);
            key
        };
        let provider = ProviderSpec::new("p", Arc::new(OpenAi), "http://127.0.0.1:9/v1");
        let provider = provider.with_key(key("a")).with_key(key("b"));
        let spec = WheelSpec { providers: vec![provider], seed: Some(1), ..WheelSpec::default() };
        Wheel::start(spec, Arc::new(upstream)).unwrap()
    }

    fn request() -> Request {
        Request {
            method: Method::POST,
            path: "/chat/completions".to_owned(),
            headers: HeaderMap::new(),
            body: r#"{"model":"m"}"#.into(),
            model: "m".into(),
            delivery: Delivery::Whole,
            to: keywheel_actors::request::Destination::Routed,
            upload: None,
        }
    }

    fn lines(log: &FailureLog) -> Vec<Entry> {
        let mut entries = Vec::new();
        read_all(&log.dir, None, &mut |line| {
            let Line::Ours { record, .. } = line else { panic!("a foreign line") };
            entries.push(record.entry);
            Ok(())
        })
        .unwrap();
        entries
    }

    /// Runs one job, with the log on from before it until after it.
    fn logged(wheel: &Wheel, log: &FailureLog) {
        wheel.runtime().block_on(async {
            let logger = start(wheel, log);
            wheel.send(request(), Terms::default()).await.unwrap();
            logger.finish().await;
        });
    }

    #[test]
    fn what_failed_before_the_end_is_in_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let log = log(dir.path());
        logged(&wheel(None), &log);
        let entries = lines(&log);
        let [Entry::CallFailed(failed)] = entries.as_slice() else { panic!("{entries:?}") };
        let Failed { key, status, message, .. } = &**failed;
        assert_eq!((&**key, *status, &**message), ("a", Some(401), "wrong key ********"));
    }

    #[test]
    fn a_wheel_that_has_ended_takes_nothing_of_the_log_along() {
        let dir = tempfile::tempdir().unwrap();
        let log = log(dir.path());
        let wheel = wheel(None);
        let elsewhere = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let logger = elsewhere.block_on(async {
            let logger = start(&wheel, &log);
            wheel.send(request(), Terms::default()).await.unwrap();
            wheel.drain(Duration::from_secs(5)).await;
            logger
        });
        // The runtime ends soon after the actors; then it takes no more tasks.
        while elsewhere.block_on(async { wheel.runtime().spawn_blocking(|| ()).await.is_ok() }) {
            thread::yield_now();
        }
        elsewhere.block_on(logger.finish());
        assert!(matches!(lines(&log).as_slice(), [Entry::CallFailed(_)]));
    }

    #[test]
    fn what_nobody_wants_to_log_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let quiet = log(dir.path());
        logged(&wheel(Some("a")), &quiet);
        assert_eq!(lines(&quiet), []);
        let off = FailureLog { enabled: false, ..log(dir.path()) };
        logged(&wheel(None), &off);
        assert!(!off.dir.exists());
    }

    /// An event that is logged.
    fn failure(wheel: &Wheel) -> Event {
        wheel.runtime().block_on(async {
            let mut events = wheel.events();
            wheel.send(request(), Terms::default()).await.unwrap();
            loop {
                let event = events.recv().await.unwrap();
                if Record::of(&event, wheel.clock()).is_some() {
                    return event;
                }
            }
        })
    }

    #[test]
    fn a_disk_that_refuses_leaves_a_gap_that_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let log = log(dir.path());
        let wheel = wheel(None);
        let event = failure(&wheel);
        let mut journal = Journal::new(&log, wheel.clock());
        fs::write(&log.dir, "in the way").unwrap();
        (0..3).for_each(|_| journal.note(&event));
        journal.missing += 4;
        fs::remove_file(&log.dir).unwrap();
        journal.note(&event);
        journal.missing += 1;
        journal.close();
        let entries = lines(&log);
        assert_eq!(entries[0], Entry::Dropped { count: 7 });
        assert!(matches!(entries[1], Entry::CallFailed(_)));
        assert_eq!(entries[2..], [Entry::Dropped { count: 1 }]);
    }
}
