//! How a secret looks in other people's words. Shares no code with the product: it is the test's own opinion.

/// The alphabets of RFC 4648, sections 4 and 5.
const ALPHABETS: [(&str, &[u8; 64]); 2] = [
    ("base64", b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"),
    ("base64url", b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
];

/// A shorter secret is promised to be hidden as it is only: encoded, it is part of innocent words.
const ENCODED_BYTES_MIN: usize = 6;

/// Every way to write `secret` that a provider, a log or a file may have, by name.
pub(crate) fn written(secret: &str) -> Vec<(&'static str, String)> {
    let mut all = vec![("raw", secret.to_owned())];
    if secret.len() < ENCODED_BYTES_MIN {
        return all;
    }
    all.extend(escaped(secret));
    for (name, alphabet) in ALPHABETS {
        for before in ["", "u:", "Bearer "] {
            let bare = base64(format!("{before}{secret}").as_bytes(), alphabet);
            let padded = format!("{bare}{}", "=".repeat((4 - bare.len() % 4) % 4));
            all.extend([(name, bare), (name, padded)]);
        }
    }
    all
}

/// What to look for: the same, with base64 reduced to what doesn't depend on the words around the secret.
pub(crate) fn sought(secret: &str) -> Vec<(&'static str, String)> {
    let mut all = vec![("raw", secret.to_owned())];
    if secret.len() < ENCODED_BYTES_MIN {
        return all;
    }
    all.extend(escaped(secret));
    for (name, alphabet) in ALPHABETS {
        for before in 0..3 {
            // The first character that the secret alone decides, and the one behind the last.
            let from = (before * 8_usize).div_ceil(6);
            let to = (before + secret.len()) * 8 / 6;
            let whole = base64(&[&vec![0; before], secret.as_bytes()].concat(), alphabet);
            all.push((name, whole[from..to].to_owned()));
        }
    }
    all
}

fn escaped(secret: &str) -> Vec<(&'static str, String)> {
    let json = inside_quotes(&serde_json::to_string(secret).expect("text is JSON"));
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let html = secret.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    vec![
        ("JSON in JSON", inside_quotes(&serde_json::to_string(&json).expect("text is JSON"))),
        ("JSON with \\/", json.replace('/', "\\/")),
        ("JSON with \\u", bytewise(secret, |byte| format!("\\u{byte:04x}"))),
        ("JSON", json),
        ("Rust", inside_quotes(&format!("{secret:?}"))),
        ("URL", percent(secret, is_plain, |byte| format!("%{byte:02X}"))),
        ("URL, lower case", percent(secret, is_plain, |byte| format!("%{byte:02x}"))),
        ("URL, all of it", percent(secret, |_| false, |byte| format!("%{byte:02X}"))),
        ("form", percent(secret, is_plain, |byte| format!("%{byte:02X}")).replace("%20", "+")),
        ("HTML, named", html.replace('"', "&quot;").replace('\'', "&apos;")),
        ("HTML, decimal", html.replace('"', "&#34;").replace('\'', "&#39;")),
        ("HTML, hexadecimal", html.replace('"', "&#x22;").replace('\'', "&#x27;")),
        ("hexadecimal", bytewise(secret, |byte| format!("{byte:02x}"))),
        ("HEXADECIMAL", bytewise(secret, |byte| format!("{byte:02X}"))),
    ]
}

fn inside_quotes(text: &str) -> String {
    text[1..text.len() - 1].to_owned()
}

fn percent(secret: &str, is_plain: impl Fn(u8) -> bool, escape: impl Fn(u8) -> String) -> String {
    bytewise(secret, |byte| if is_plain(byte) { char::from(byte).to_string() } else { escape(byte) })
}

fn bytewise(secret: &str, spell: impl Fn(u8) -> String) -> String {
    secret.bytes().map(spell).collect()
}

/// Without padding.
fn base64(bytes: &[u8], alphabet: &[u8; 64]) -> String {
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let value = |six: &[u8]| (0..6).fold(0, |value, at| value << 1 | six.get(at).copied().unwrap_or(0));
    bits.chunks(6).map(|six| char::from(alphabet[usize::from(value(six))])).collect()
}
