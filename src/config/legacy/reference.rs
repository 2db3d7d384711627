//! What stands where a key should be.

use crate::config::placeholder::is_placeholder;

/// A key's value, understood.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Reference {
    /// It is in this variable.
    Variable(String),
    /// It is in this file.
    File(String),
    /// The key itself.
    Literal(String),
    /// Only the place of a key.
    Placeholder,
    /// Nothing that can stand in an HTTP header.
    Unusable(String),
}

impl Reference {
    /// Understands `${NAME}`, `$NAME`, `%NAME%`, `process.env.NAME`, `env:NAME`, `file:PATH`; else it is the key.
    pub(super) fn of(text: &str) -> Self {
        let text = text.trim();
        let inside = |open: &str, close: &str| text.strip_prefix(open)?.strip_suffix(close);
        let variable = inside("${", "}")
            .or_else(|| inside("%", "%"))
            .or_else(|| inside("{{", "}}"))
            .or_else(|| text.strip_prefix("process.env."))
            .or_else(|| inside("process.env[\"", "\"]"))
            .or_else(|| inside("process.env['", "']"))
            .or_else(|| text.strip_prefix("env:"))
            .or_else(|| text.strip_prefix('$'))
            .map(str::trim)
            .map(|name| name.strip_prefix("process.env.").unwrap_or(name))
            .filter(|name| is_variable(name));
        if let Some(name) = variable {
            return Self::Variable(name.to_owned());
        }
        match text.strip_prefix("file:") {
            Some(path) if !path.is_empty() => Self::File(path.to_owned()),
            _ if is_placeholder(text) => Self::Placeholder,
            // What begins so would be taken for a reference, so it can't be a value.
            _ if text.starts_with(['$', '%']) || text.starts_with("env:") || text.starts_with("file:") => {
                Self::Unusable(text.to_owned())
            }
            _ if text.chars().all(|c| matches!(c, '\x20'..='\x7e')) => Self::Literal(text.to_owned()),
            _ => Self::Unusable(text.to_owned()),
        }
    }
}

fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_known_in_every_dress() {
        for text in [
            "${KEY_A}",
            "$KEY_A",
            "%KEY_A%",
            "{{ KEY_A }}",
            "env:KEY_A",
            "process.env.KEY_A",
            "${process.env.KEY_A}",
            "process.env['KEY_A']",
            " env:KEY_A\n",
        ] {
            assert!(Reference::of(text) == Reference::Variable("KEY_A".to_owned()), "{text}");
        }
    }

    #[test]
    fn keys_placeholders_and_the_rest_are_told_apart() {
        assert!(Reference::of("sk-a ") == Reference::Literal("sk-a".to_owned()));
        assert!(Reference::of("file:keys/a") == Reference::File("keys/a".to_owned()));
        assert!(Reference::of("your-api-key-here") == Reference::Placeholder);
        for text in ["${A:-b}", "env:a b", "sk-\u{e9}", "a\nb", "file:"] {
            assert!(matches!(Reference::of(text), Reference::Unusable(_)), "{text}");
        }
    }
}
