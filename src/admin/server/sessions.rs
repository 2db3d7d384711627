//! Browsers that have shown the token, each known by a number of its own: a cookie that leaks is no token.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use keywheel_actors::clock::Moment;
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use ring::rand::{SecureRandom as _, SystemRandom};

/// More browsers than that are no people; the oldest has to show the token again.
const SESSIONS_MAX: usize = 64;

/// A working day, and the evening after it.
pub(super) const SESSION_LIFE: Duration = Duration::from_secs(12 * 3_600);

/// So many bytes can't be guessed.
const NAME_BYTES: usize = 32;

/// Sessions, by the digest of their names: how long a look takes says nothing about a name.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    ends: HashMap<[u8; SHA256_OUTPUT_LEN], Moment>,
}

impl Sessions {
    /// Begins one and gives its name; `None` if the system has no random numbers.
    pub(super) fn begin(&mut self, now: Moment) -> Option<String> {
        self.ends.retain(|_, end| *end > now);
        if self.ends.len() >= SESSIONS_MAX
            && let Some(oldest) = self.ends.iter().min_by_key(|(_, end)| **end).map(|(digest, _)| *digest)
        {
            self.ends.remove(&oldest);
        }
        let mut bytes = [0; NAME_BYTES];
        SystemRandom::new().fill(&mut bytes).ok()?;
        let name = bytes.iter().fold(String::new(), |mut name, byte| {
            // Writing to a String can't fail.
            let _ = write!(name, "{byte:02x}");
            name
        });
        self.ends.insert(digest_of(&name), now + SESSION_LIFE);
        Some(name)
    }

    /// Whether it is one.
    pub(super) fn is_open(&self, name: &str, now: Moment) -> bool {
        self.ends.get(&digest_of(name)).is_some_and(|end| *end > now)
    }

    /// Ends one.
    pub(super) fn end(&mut self, name: &str) {
        self.ends.remove(&digest_of(name));
    }
}

fn digest_of(name: &str) -> [u8; SHA256_OUTPUT_LEN] {
    let mut bytes = [0; SHA256_OUTPUT_LEN];
    bytes.copy_from_slice(digest(&SHA256, name.as_bytes()).as_ref());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_by_time_by_word_and_when_there_are_too_many() {
        let mut sessions = Sessions::default();
        let at = |secs| Moment::after_start(Duration::from_secs(secs));
        let first = sessions.begin(at(0)).unwrap();
        assert_eq!(first.len(), 64);
        assert!(sessions.is_open(&first, at(12 * 3_600 - 1)));
        assert!(!sessions.is_open(&first, at(12 * 3_600)) && !sessions.is_open("", at(0)));

        let second = sessions.begin(at(1)).unwrap();
        assert_ne!(first, second);
        sessions.end(&second);
        assert!(!sessions.is_open(&second, at(1)) && sessions.is_open(&first, at(1)));

        let more: Vec<String> = (0..64).map(|number| sessions.begin(at(2 + number)).unwrap()).collect();
        assert!(!sessions.is_open(&first, at(100)), "the oldest made room");
        assert!(more.iter().all(|name| sessions.is_open(name, at(100))));
    }
}
