//! The shape of Anthropic's errors.

use serde_json::Value;

use crate::dialect::said::{Said, text};

/// Reads `{"type":"error","error":{"type","message","details":{"error_code"}}}`, or the inner object alone,
/// which gateways send.
pub(in crate::dialect) fn in_value(value: &Value) -> Said {
    let error = match value.get("error") {
        Some(error) if error.is_object() => error,
        _ => value,
    };
    let word = |pointer| error.pointer(pointer).map(text).filter(|word| !word.is_empty());
    Said {
        message: word("/message").or_else(|| word("/error")).unwrap_or_default(),
        code: word("/details/error_code"),
        kind: word("/type"),
        ..Said::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_error_is_read_with_or_without_its_envelope() {
        let error = json!({"type": "t", "message": "m", "details": {"error_code": "c"}});
        for value in [json!({"type": "error", "error": error, "request_id": "r"}), error] {
            let said = in_value(&value);
            let read = (&*said.message, said.kind.as_deref(), said.code.as_deref());
            assert_eq!(read, ("m", Some("t"), Some("c")), "{value}");
        }
        assert_eq!(in_value(&json!({"error": "m"})).message, "m");
        assert_eq!(in_value(&json!([1])), Said::default());
    }
}
