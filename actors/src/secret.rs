//! A credential that can't be printed by accident.

mod echo;

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use ring::hmac;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use echo::Echoes;

/// Shorter keys are shown not at all: four of their characters would say too much.
const MASKABLE_CHARS_MIN: usize = 20;

/// Prefixes that say whose key it is and nothing else.
const KNOWN_PREFIXES: [&str; 8] = ["sk-proj-", "sk-ant-", "sk-or-", "gsk_", "xai-", "AIza", "pa-", "sk-"];

/// A provider's key. Zeroed on drop; no `Display`, no `Serialize`, and a `Debug` that hides it. Clones are
/// the same one.
#[derive(Clone)]
pub struct Secret(Arc<Kept>);

struct Kept {
    value: SecretString,
    /// What its echoes look like; made when something failed for the first time.
    echoes: OnceLock<Echoes>,
}

impl Secret {
    /// Takes the key as the user gave it.
    pub fn new(value: impl Into<String>) -> Self {
        Self(Arc::new(Kept { value: SecretString::from(value.into()), echoes: OnceLock::new() }))
    }

    /// The key itself. Called where its header is built and where echoes of it are scrubbed, nowhere else.
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    pub(crate) fn expose(&self) -> &str {
        self.0.value.expose_secret()
    }

    /// How many characters it has.
    pub fn chars(&self) -> usize {
        self.expose().chars().count()
    }

    /// What a person may see of it: a known prefix and the last four characters, or nothing at all.
    pub fn masked(&self) -> String {
        let value = self.expose();
        if value.chars().count() < MASKABLE_CHARS_MIN {
            return "********".to_owned();
        }
        let prefix = KNOWN_PREFIXES.iter().find(|prefix| value.starts_with(**prefix)).unwrap_or(&"");
        let tail: String = value.chars().rev().take(4).collect::<Vec<_>>().into_iter().rev().collect();
        format!("{prefix}…{tail}")
    }

    /// Whether it is the same key.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }

    /// Whether `presented` is this secret. Full digests under a key of the moment are compared, so that the time
    /// it takes says nothing about how much of it is right.
    pub fn matches(&self, presented: &[u8]) -> bool {
        let key = FingerprintKey::default().0;
        hmac::verify(&key, presented, hmac::sign(&key, self.expose().as_bytes()).as_ref()).is_ok()
    }

    /// `bytes` with every occurrence of the key replaced by its mask, also of a key that is escaped as in
    /// JSON, URLs or HTML, or encoded as base64; `None` if there is none.
    pub fn scrub_bytes(&self, bytes: &[u8]) -> Option<Bytes> {
        let key = self.expose().as_bytes();
        // No echo is shorter than the key.
        if key.is_empty() || key.len() > bytes.len() {
            return None;
        }
        let found = self.0.echoes.get_or_init(|| Echoes::of(key)).find(bytes);
        if found.is_empty() {
            return None;
        }
        let mask = self.masked();
        let mut clean = Vec::with_capacity(bytes.len());
        let mut rest = 0;
        for echo in found {
            clean.extend_from_slice(&bytes[rest..echo.start]);
            clean.extend_from_slice(mask.as_bytes());
            rest = echo.end;
        }
        clean.extend_from_slice(&bytes[rest..]);
        Some(clean.into())
    }

    /// `text` with every occurrence of the key replaced by its mask, as [`Secret::scrub_bytes`] finds them.
    pub fn scrub(&self, text: &str) -> String {
        match self.scrub_bytes(text.as_bytes()) {
            Some(clean) => String::from_utf8_lossy(&clean).into_owned(),
            None => text.to_owned(),
        }
    }
}

impl Secret {
    /// What tells this key from others in logs and state, and says nothing about it.
    pub fn fingerprint(&self, key: &FingerprintKey) -> Fingerprint {
        let tag = hmac::sign(&key.0, self.expose().as_bytes());
        let mut short = [0; 6];
        short.copy_from_slice(&tag.as_ref()[..6]);
        Fingerprint(short)
    }
}

/// The key of all fingerprints of one installation: without it nobody can try secrets against a fingerprint.
#[derive(Clone)]
pub struct FingerprintKey(hmac::Key);

impl FingerprintKey {
    /// Bytes of the key: as many as SHA-256 gives.
    pub const BYTES: usize = 32;

    /// Takes the key's bytes, from a random source.
    pub fn new(bytes: &[u8; Self::BYTES]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }
}

/// A key for one process only: fingerprints of the next one differ.
impl Default for FingerprintKey {
    fn default() -> Self {
        Self::new(&std::array::from_fn(|_| fastrand::u8(..)))
    }
}

impl fmt::Debug for FingerprintKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FingerprintKey(hidden)")
    }
}

/// A keyed hash (HMAC-SHA-256) of a secret, cut to 48 bits and shown as 12 hexadecimal digits.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 6]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = NotAFingerprint;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 6];
        if text.len() != 12 || !text.is_ascii() {
            return Err(NotAFingerprint);
        }
        for (index, byte) in bytes.iter_mut().enumerate() {
            let digits = &text[2 * index..2 * index + 2];
            *byte = u8::from_str_radix(digits, 16).map_err(|_| NotAFingerprint)?;
        }
        Ok(Self(bytes))
    }
}

/// What was taken for a fingerprint isn't 12 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a fingerprint has 12 hexadecimal digits")]
pub struct NotAFingerprint;

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for Secret {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_prefix_and_tail_of_a_long_key_only() {
        let long = Secret::new("sk-proj-abcdefghijklmnop1234");
        assert_eq!(long.masked(), "sk-proj-…1234");
        assert_eq!(Secret::new("sk-short").masked(), "********");
        assert_eq!(format!("{long:?}"), "Secret(hidden)");
    }

    #[test]
    fn a_fingerprint_tells_keys_apart_and_depends_on_its_own_key() {
        let here = FingerprintKey::new(&[1; 32]);
        let a = Secret::new("sk-a").fingerprint(&here);
        assert_eq!(a, Secret::new("sk-a").fingerprint(&here));
        assert_ne!(a, Secret::new("sk-b").fingerprint(&here));
        assert_ne!(a, Secret::new("sk-a").fingerprint(&FingerprintKey::new(&[2; 32])));
        assert_eq!(a.to_string().len(), 12);
        assert_eq!(a.to_string().parse(), Ok(a));
        assert_eq!("12345678901g".parse::<Fingerprint>(), Err(NotAFingerprint));
    }

    #[test]
    fn a_secret_is_matched_by_all_of_itself_alone() {
        let secret = Secret::new("sk-abc");
        assert!(secret.matches(b"sk-abc"));
        for other in ["", "sk-ab", "sk-abcd", "sk-abC", "sk-abc\n"] {
            assert!(!secret.matches(other.as_bytes()), "{other:?}");
        }
    }

    #[test]
    fn scrubs_what_a_provider_echoes() {
        let secret = Secret::new("AIzaSyA-0123456789abcdef");
        let said = secret.scrub("Consumer 'api_key:AIzaSyA-0123456789abcdef' has been suspended");
        assert_eq!(said, "Consumer 'api_key:AIza…cdef' has been suspended");
        let raw = secret.scrub_bytes(b"\xff AIzaSyA-0123456789abcdef \xff AIzaSyA-0123456789abcdef");
        assert_eq!(raw.as_deref(), Some(b"\xff AIza\xe2\x80\xa6cdef \xff AIza\xe2\x80\xa6cdef".as_slice()));
        assert_eq!(secret.scrub_bytes(b"nothing here, however long it may be"), None);
    }
}
