//! A key in other people's words: raw, or as JSON, URLs, HTML, hexadecimal digits and base64 write it.
//!
//! Escapes needn't be foreseen one by one: where a text is compared with a key, any byte of the key may
//! stand there escaped in any way. Base64 hides where bytes begin, so its three alignments are computed
//! once; what stood before the key (`Bearer `, a user's name) then doesn't matter.

use std::ops::Range;

use secrecy::zeroize::Zeroizing;

/// A shorter key is looked for as it is only: in base64 it would be found in innocent words.
const ENCODED_BYTES_MIN: usize = 6;

/// Backslashes before an escaped character: JSON inside JSON inside JSON has seven.
const BACKSLASHES_MAX: usize = 8;

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// What the echoes of one key look like. Zeroed on drop.
pub(super) struct Echoes {
    forms: Vec<Form>,
    /// The bytes that an echo may begin with: most places of a text are dismissed by one look.
    starts: Zeroizing<[bool; 256]>,
}

/// One look of the key.
struct Form {
    text: Zeroizing<Vec<u8>>,
    spelling: Spelling,
}

/// How literally a form is to be taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spelling {
    /// To the byte.
    Exact,
    /// Or with escapes.
    Escaped,
    /// Base64: a character on either side may hold bits of the key too.
    Base64 { before: bool, after: bool },
}

impl Echoes {
    /// Of a key that isn't empty.
    pub(super) fn of(key: &[u8]) -> Self {
        let form = |text: &[u8], spelling| Form { text: Zeroizing::new(text.to_vec()), spelling };
        if key.len() < ENCODED_BYTES_MIN {
            return Self::with(vec![form(key, Spelling::Exact)]);
        }
        let mut forms = vec![form(key, Spelling::Escaped)];
        for digits in [b"0123456789abcdef", b"0123456789ABCDEF"] {
            let digit = |half: u8| digits[usize::from(half)];
            let text: Zeroizing<Vec<u8>> =
                Zeroizing::new(key.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect());
            forms.push(form(&text, Spelling::Exact));
        }
        for alignment in 0..3 {
            for alphabet in [STANDARD, URL_SAFE] {
                let encoded = base64_core(key, alignment, alphabet);
                if forms.iter().all(|known| known.text != encoded.text) {
                    forms.push(encoded);
                }
            }
        }
        Self::with(forms)
    }

    fn with(forms: Vec<Form>) -> Self {
        let mut starts = Zeroizing::new([false; 256]);
        for form in &forms {
            starts[usize::from(form.text[0])] = true;
            if form.spelling != Spelling::Exact {
                for opener in [b'\\', b'%', b'&'] {
                    starts[usize::from(opener)] = true;
                }
            }
        }
        Self { forms, starts }
    }

    /// Where the key stands in `text`, in order and apart from each other.
    pub(super) fn find(&self, text: &[u8]) -> Vec<Range<usize>> {
        let mut found: Vec<Range<usize>> = Vec::new();
        let mut at = 0;
        while at < text.len() {
            let echo = self.starts[usize::from(text[at])].then(|| self.echo_at(text, at)).flatten();
            match echo {
                Some(echo) => {
                    at = echo.end;
                    // Never back into what is masked already.
                    let from = found.last().map_or(echo.start, |last| last.end.max(echo.start));
                    found.push(from..echo.end);
                }
                None => at += 1,
            }
        }
        found
    }

    fn echo_at(&self, text: &[u8], at: usize) -> Option<Range<usize>> {
        self.forms.iter().find_map(|form| form.echo_at(text, at))
    }
}

impl Form {
    fn echo_at(&self, text: &[u8], at: usize) -> Option<Range<usize>> {
        let rest = &text[at..];
        let bytes = match self.spelling {
            _ if rest.starts_with(&self.text) => self.text.len(),
            Spelling::Exact => return None,
            Spelling::Escaped | Spelling::Base64 { .. } => escaped_length(rest, &self.text)?,
        };
        let mut echo = at..at + bytes;
        if let Spelling::Base64 { before, after } = self.spelling {
            if before && at > 0 && is_base64(text[at - 1]) {
                echo.start -= 1;
            }
            if after && text.get(echo.end).copied().is_some_and(is_base64) {
                echo.end += 1;
            }
        }
        Some(echo)
    }
}

/// Of `key` behind so many other bytes, the base64 characters that depend on the key alone.
fn base64_core(key: &[u8], alignment: usize, alphabet: &[u8; 64]) -> Form {
    let bits = key.len() * 8;
    // The first bit of the key that begins a character.
    let first = (6 - alignment * 8 % 6) % 6;
    let mut text = Zeroizing::new(Vec::with_capacity(bits / 6));
    let mut bit = first;
    while bit + 6 <= bits {
        let value = (bit..bit + 6).fold(0, |value, bit| (value << 1) | ((key[bit / 8] >> (7 - bit % 8)) & 1));
        text.push(alphabet[usize::from(value)]);
        bit += 6;
    }
    Form { text, spelling: Spelling::Base64 { before: first > 0, after: bit < bits } }
}

const fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')
}

/// How many bytes of `text` spell `wanted`, if it begins with that. A key may look escaped itself, so that
/// there is more than one way to read it; all are followed at once.
fn escaped_length(text: &[u8], wanted: &[u8]) -> Option<usize> {
    let (first, others) = wanted.split_first()?;
    let mut ends: Vec<usize> = spellings(text, *first).collect();
    let mut further = Vec::new();
    for byte in others {
        for at in ends.drain(..) {
            for end in spellings(&text[at..], *byte).map(|bytes| at + bytes) {
                if !further.contains(&end) {
                    further.push(end);
                }
            }
        }
        std::mem::swap(&mut ends, &mut further);
        if ends.is_empty() {
            return None;
        }
    }
    ends.into_iter().max()
}

/// How many bytes of `text` spell `wanted`, if it begins with that: as it is, and escaped.
fn spellings(text: &[u8], wanted: u8) -> impl Iterator<Item = usize> {
    let first = text.first().copied();
    let raw = (first == Some(wanted)).then_some(1);
    let escaped = match first {
        // A form's space.
        Some(b'+') if wanted == b' ' => Some(1),
        Some(b'%') => text.get(1..3).filter(|code| is_code(code, 16, wanted)).map(|_| 3),
        Some(b'\\') => behind_backslashes(text, wanted),
        Some(b'&') => entity(text, wanted),
        Some(_) | None => None,
    };
    raw.into_iter().chain(escaped)
}

/// An escape as JSON has it, however deep the JSON lies inside other JSON.
fn behind_backslashes(text: &[u8], wanted: u8) -> Option<usize> {
    let backslashes = text.iter().take(BACKSLASHES_MAX).take_while(|byte| **byte == b'\\').count();
    let rest = &text[backslashes..];
    match rest.first() {
        Some(b'u') if rest.get(1..5).is_some_and(|code| is_code(code, 16, wanted)) => Some(backslashes + 5),
        _ if wanted == b'\\' => (backslashes >= 2).then_some(2),
        Some(byte) => (*byte == wanted).then_some(backslashes + 1),
        None => None,
    }
}

/// An HTML entity for `wanted`.
fn entity(text: &[u8], wanted: u8) -> Option<usize> {
    /// `&#x0000026;` is the longest that anybody writes.
    const BYTES_MAX: usize = 12;
    let end = text.iter().take(BYTES_MAX).position(|byte| *byte == b';')?;
    let is_it = match &text[1..end] {
        [b'#', b'x' | b'X', code @ ..] => is_code(code, 16, wanted),
        [b'#', code @ ..] => is_code(code, 10, wanted),
        b"amp" => wanted == b'&',
        b"lt" => wanted == b'<',
        b"gt" => wanted == b'>',
        b"quot" => wanted == b'"',
        b"apos" => wanted == b'\'',
        _ => false,
    };
    is_it.then_some(end + 1)
}

fn is_code(digits: &[u8], radix: u32, wanted: u8) -> bool {
    let digits = str::from_utf8(digits).ok();
    digits.is_some_and(|digits| u32::from_str_radix(digits, radix) == Ok(u32::from(wanted)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::secret::Secret;

    const KEY: &str = "sk-a/b+c=d&\"e\\f<0123456789>";

    /// Base64 as the RFC draws it: bits in a row, cut into sixes.
    fn base64(bytes: &[u8], alphabet: &[u8; 64], padded: bool) -> String {
        let mut bits = bytes.iter().map(|byte| format!("{byte:08b}")).collect::<Vec<_>>().concat();
        while !bits.len().is_multiple_of(6) {
            bits.push('0');
        }
        let sixes = (0..bits.len()).step_by(6).map(|at| usize::from_str_radix(&bits[at..at + 6], 2).unwrap());
        let mut text: String = sixes.map(|six| char::from(alphabet[six])).collect();
        while padded && !text.len().is_multiple_of(4) {
            text.push('=');
        }
        text
    }

    fn percent(key: &str, keep: impl Fn(u8) -> bool, upper: bool) -> String {
        let escape = |byte: u8| if upper { format!("%{byte:02X}") } else { format!("%{byte:02x}") };
        key.bytes().map(|byte| if keep(byte) { char::from(byte).to_string() } else { escape(byte) }).collect()
    }

    #[track_caller]
    fn assert_masked(secret: &Secret, echo: &str) {
        let clean = secret.scrub(&format!("before {echo} after"));
        assert_eq!(clean, format!("before {} after", secret.masked()), "of {echo}");
    }

    #[test]
    fn a_key_is_found_however_it_is_escaped() {
        let secret = Secret::new(KEY);
        let json = serde_json::to_string(KEY).unwrap();
        let json_in_json = serde_json::to_string(&json).unwrap();
        let unicode = KEY.bytes().map(|byte| format!("\\u{byte:04x}")).collect::<Vec<_>>().concat();
        let html = KEY.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
        let hexadecimal = KEY.bytes().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
        let echoes = [
            KEY.to_owned(),
            json[1..json.len() - 1].to_owned(),
            json[1..json.len() - 1].replace('/', "\\/"),
            json_in_json[3..json_in_json.len() - 3].to_owned(),
            unicode.to_uppercase().replace("\\U", "\\u"),
            unicode,
            html.replace("&quot;", "&#34;").replace("&lt;", "&#x3C;"),
            html,
            percent(KEY, |_| false, true),
            percent(KEY, |_| false, false),
            percent(KEY, |byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte), true),
            percent(KEY, |byte| byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte), false),
            hexadecimal.to_uppercase(),
            hexadecimal,
        ];
        for echo in echoes {
            assert_masked(&secret, &echo);
        }
    }

    #[test]
    fn a_space_is_found_as_forms_write_it() {
        let secret = Secret::new("Hq7 Vd2Zk=9PwXr");
        assert_masked(&secret, "Hq7+Vd2Zk%3D9PwXr");
        assert_masked(&secret, "Hq7%20Vd2Zk%3d9PwXr");
        assert_eq!(Secret::new("Hq7+Vd2Zk").scrub_bytes(b"Hq7 Vd2Zk"), None);
    }

    #[test]
    fn a_key_is_found_in_base64_whatever_stands_around_it() {
        let secret = Secret::new(KEY);
        for alphabet in [STANDARD, URL_SAFE] {
            assert_masked(&secret, &base64(KEY.as_bytes(), alphabet, false));
            for around in [("Bearer ", ""), ("", ":"), ("user:", ""), ("x", "\n")] {
                for padded in [true, false] {
                    let whole = format!("{}{KEY}{}", around.0, around.1);
                    let clean = secret.scrub(&base64(whole.as_bytes(), alphabet, padded));
                    let (before, after) = clean.split_once(&secret.masked()).expect("masked");
                    assert!(before.len() <= (around.0.len() * 8).div_ceil(6), "{clean}");
                    assert!(after.trim_end_matches('=').len() <= (around.1.len() * 8).div_ceil(6), "{clean}");
                }
            }
        }
    }

    #[test]
    fn a_key_that_looks_escaped_itself_is_found() {
        for key in ["%25%41-abcdef", "a\\u0041bcdef", "&amp;abcdef", "\\\\\\\\abcdef"] {
            assert_masked(&Secret::new(key), key);
        }
    }

    #[test]
    fn echoes_that_touch_are_all_masked() {
        let secret = Secret::new(KEY);
        let encoded = base64(KEY.as_bytes(), STANDARD, false);
        let clean = secret.scrub(&format!("{KEY}{encoded}{KEY}"));
        assert_eq!(clean, secret.masked().repeat(3));
    }

    #[test]
    fn a_short_key_is_looked_for_as_it_is_only() {
        let secret = Secret::new("sk-0");
        assert_eq!(secret.scrub("the key sk-0 is wrong"), "the key ******** is wrong");
        for innocent in ["sk%2d0", "c2stMA", "sk\\u002d0", "s\\k-0"] {
            assert_eq!(secret.scrub(innocent), innocent);
        }
    }

    #[test]
    fn nearly_a_key_is_none() {
        let secret = Secret::new("sk-0123456789");
        for text in
            ["sk-012345678", "sk-012345678%3", "sk-0123456788", "sk%2d012345678\\", "&;&#;&#x;sk-0\\u00"]
        {
            assert_eq!(secret.scrub_bytes(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_encoding_hides_a_key(
            key in "[!-~]{6,90}",
            before in "[ -~]{0,20}",
            after in "[ -~]{0,20}",
        ) {
            let secret = Secret::new(key.clone());
            let credential = format!("Bearer {key}");
            let json = serde_json::to_string(&key).unwrap();
            for echo in [
                key.clone(),
                json[1..json.len() - 1].to_owned(),
                percent(&key, |byte| byte.is_ascii_alphanumeric(), true),
                base64(key.as_bytes(), STANDARD, true),
                base64(credential.as_bytes(), URL_SAFE, true),
            ] {
                let clean = secret.scrub_bytes(format!("{before}{echo}{after}").as_bytes());
                prop_assert!(clean.is_some(), "{echo} of {key}");
            }
        }

        #[test]
        fn other_words_stay_as_they_are(text in "[ -~]{0,200}", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            // No text of printable characters holds a tab.
            let secret = Secret::new("sk-\u{e9}tab-0123456789");
            prop_assert_eq!(secret.scrub(&text), text);
            let _ = secret.scrub_bytes(&bytes);
        }
    }
}
