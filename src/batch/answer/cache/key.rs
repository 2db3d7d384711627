//! By what a row is found in the cache.

use std::fmt;

use keywheel_actors::request::Request;
use ring::digest::{Context, SHA256};

/// Begins what is hashed. Another way to make keys needs another word, or old entries would be found by it.
const SALT: &[u8] = b"keywheel-cache-1";

/// SHA-256 of path, model and body, byte for byte: rows that mean the same in other words are other rows.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct CacheKey([u8; 32]);

impl CacheKey {
    /// Of a request, whoever is to answer it.
    pub(super) fn of(request: &Request) -> Self {
        Self::of_parts(&request.path, request.model.as_str(), &request.body)
    }

    fn of_parts(path: &str, model: &str, body: &[u8]) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(SALT);
        // With its length before each part, no two requests look alike joined.
        for part in [path.as_bytes(), model.as_bytes(), body] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut key = [0; 32];
        key.copy_from_slice(context.finish().as_ref());
        Self(key)
    }

    /// Sixty-four hexadecimal digits: the entry's name.
    pub(super) fn name(&self) -> String {
        hex(&self.0)
    }
}

impl fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CacheKey({})", self.name())
    }
}

/// Two digits a byte.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_key_is_that_of_every_version() {
        assert_eq!(hex(&[0x00, 0x1f, 0xa0]), "001fa0");
        assert_eq!(
            CacheKey::of_parts("/chat/completions", "m", br#"{"model":"m"}"#).name(),
            "ea8ff7646ea6a1a1d1c846a867ec337c81f5b04ed4dad3f928acab98d67389c9"
        );
    }

    proptest! {
        #[test]
        fn equal_requests_have_equal_keys_and_others_have_others(
            one in (".{0,3}", ".{0,3}", prop::collection::vec(any::<u8>(), 0..4)),
            other in (".{0,3}", ".{0,3}", prop::collection::vec(any::<u8>(), 0..4)),
        ) {
            let key = |(path, model, body): &(String, String, Vec<u8>)| CacheKey::of_parts(path, model, body);
            prop_assert_eq!(one == other, key(&one) == key(&other));
            prop_assert_eq!(key(&one), key(&one.clone()));
        }

        #[test]
        fn bytes_that_move_over_a_border_make_another_key(text in "[a-c]{1,8}", at in 0usize..8, to in 0usize..8) {
            let (at, to) = (at.min(text.len()), to.min(text.len()));
            let split = |at: usize| CacheKey::of_parts(&text[..at], &text[at..], b"");
            prop_assert_eq!(at == to, split(at) == split(to));
            let shifted = |at: usize| CacheKey::of_parts("/x", &text[..at], &text.as_bytes()[at..]);
            prop_assert_eq!(at == to, shifted(at) == shifted(to));
        }
    }
}
