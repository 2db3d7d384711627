//! Words that look like keys, where nobody expects one: a message that quotes what was written would show it.
//!
//! What is written where secrets belong is never quoted at all. This is for the rest: a key in place of a
//! name, of a flag, of a path.

use std::borrow::Cow;

use keywheel_actors::secret::Secret;

use super::preset::PRESETS;

/// Behind a vendor's prefix there are at least so many characters.
const BEHIND_PREFIX_MIN: usize = 16;

/// The keys of half a dozen vendors begin so.
const SHARED_PREFIX: &str = "sk-";

/// What the tokens begin with that `keywheel client new` makes.
const OWN_PREFIX: &str = "kw-";

/// Keys without a prefix are hexadecimal digits or base62, and at least so long. Names and models of that
/// length have `-`, `_` or `.` in them.
const BARE_CHARS_MIN: usize = 32;

/// `text` with everything masked that looks like a key.
pub(crate) fn hushed(text: &str) -> Cow<'_, str> {
    let mut quiet = String::new();
    let mut told = 0;
    for word in text.split(|c| !is_of_key(c)) {
        // `--sk-…` is a key behind the dashes of a flag.
        let word = word.trim_start_matches('-');
        if looks_secret(word) {
            let at = word.as_ptr() as usize - text.as_ptr() as usize;
            quiet.push_str(&text[told..at]);
            quiet.push_str(&Secret::new(word).masked());
            told = at + word.len();
        }
    }
    if told == 0 {
        return Cow::Borrowed(text);
    }
    quiet.push_str(&text[told..]);
    Cow::Owned(quiet)
}

/// Whether `word` looks as keys of well-known providers do.
pub(crate) fn looks_secret(word: &str) -> bool {
    let is_mixed = word.chars().any(|c| c.is_ascii_digit()) && word.chars().any(|c| c.is_ascii_lowercase());
    is_mixed && word.chars().all(is_of_key) && (has_prefix(word) || is_long_and_bare(word))
}

fn has_prefix(word: &str) -> bool {
    let own = PRESETS.iter().filter_map(|preset| preset.key_prefix);
    own.chain([SHARED_PREFIX, OWN_PREFIX])
        .any(|prefix| word.strip_prefix(prefix).is_some_and(|rest| rest.len() >= BEHIND_PREFIX_MIN))
}

fn is_long_and_bare(word: &str) -> bool {
    word.len() >= BARE_CHARS_MIN && word.chars().all(|c| c.is_ascii_alphanumeric())
}

const fn is_of_key(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_masked_wherever_they_stand() {
        for (text, wanted) in [
            ("there is no key `sk-0123456789abcdefgh`", "there is no key `sk-…efgh`"),
            ("env:gsk_0123456789abcdefghij!", "env:gsk_…ghij!"),
            ("p/AIzaSyA-0123456789abcdef.weight", "p/AIza…cdef.weight"),
            ("unexpected argument '--sk-0123456789abcdefgh'", "unexpected argument '--sk-…efgh'"),
            ("9f3c1be07d52a8464be9d01c7a35f682", "…f682"),
            ("/v1/kw-9f3c1be07d52a8464be9d01c7a35f682/x", "/v1/…f682/x"),
            ("sk-0123456789abcdefgh=sk-0123456789abcdefgh", "sk-…efgh=sk-…efgh"),
        ] {
            assert_eq!(hushed(text), wanted);
        }
    }

    #[test]
    fn what_people_call_things_is_left_alone() {
        for text in [
            "there is no model `claude-3-5-sonnet-20241022-and-some-more-words`",
            "sk-team-2",
            "OPENAI_API_KEY_OF_TEAM_1_AND_OF_TEAM_2",
            "keywheel.toml:3:14: provider.openai.key.team-a: naïve…",
            "thisisoneverylongwordwithoutanydigits",
            "",
        ] {
            assert!(matches!(hushed(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }
}
