//! Values that stand where a key should be, as templates and tutorials have them.

/// What such values hold, without case and without what separates words.
const SIGNS: [&str; 14] = [
    "yourapikey",
    "yourkey",
    "yoursecret",
    "yourtoken",
    "apikeyhere",
    "keyhere",
    "placeholder",
    "changeme",
    "replaceme",
    "replacewith",
    "insertkey",
    "insertyour",
    "addyour",
    "enteryour",
];

/// What such values are as a whole.
const WORDS: [&str; 10] =
    ["todo", "tbd", "none", "null", "undefined", "xxx", "apikey", "secret", "example", "dummy"];

/// Whether `value` only holds the place of a key.
pub(super) fn is_placeholder(value: &str) -> bool {
    let plain: String = value.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    let in_brackets = value.starts_with('<') && value.ends_with('>');
    let body = plain.strip_prefix("sk").unwrap_or(&plain);
    let dots_or_x = !value.is_empty() && body.chars().all(|c| c == 'x');
    let is_yours =
        ["key", "token", "secret"].iter().any(|what| plain.starts_with("your") && plain.ends_with(what));
    in_brackets
        || is_yours
        || dots_or_x
        || WORDS.contains(&plain.as_str())
        || SIGNS.iter().any(|sign| plain.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_templates_from_keys() {
        for value in [
            "your-api-key-here",
            "YOUR_OPENAI_API_KEY_HERE",
            "your_groq_api_key",
            "<your key>",
            "sk-xxxxxxxxxxxx",
            "sk-...",
            "xxx",
            "changeme",
            "REPLACE_ME",
            "TODO",
            "${}",
        ] {
            assert!(is_placeholder(value), "{value}");
        }
        for value in [
            "",
            "sk-0",
            "sk-proj-Ab3xxZ",
            "gsk_9f2b7c",
            "AIzaSyA-0123456789abcdef",
            "unused",
            "env:OPENAI_KEY",
        ] {
            assert!(!is_placeholder(value), "{value}");
        }
    }
}
