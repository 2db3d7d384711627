//! The shapes of error bodies among those who copy OpenAI.

use serde_json::Value;

use crate::dialect::said::{Said, is_truthy, text};

/// Reads an error of any of these shapes:
///
/// - `{"error":{"message","type","param","code"}}`: OpenAI and most others,
/// - `{"code":"…","error":"…"}`: xAI,
/// - `{"object":"error","message","type","param","code"}`: Mistral; `{"message"}`: Cohere,
/// - `{"detail":…}`: servers made with FastAPI,
/// - `{"type":"error","code","message","param"}`: events of OpenAI's responses,
/// - any of them in an array: Google's compatible endpoint.
pub(in crate::dialect) fn in_value(value: &Value) -> Said {
    let top = value.get(0).unwrap_or(value);
    let error = match top.get("error") {
        Some(error) if error.is_object() => error,
        _ => top,
    };
    let message = [error.get("message"), error.get("error"), error.get("detail")];
    let mut said = Said {
        message: message.into_iter().flatten().map(text).find(|text| !text.is_empty()).unwrap_or_default(),
        code: error.get("code").map(text).filter(|code| !code.is_empty()),
        kind: error.get("type").map(text).filter(|kind| !kind.is_empty()),
        marks: Vec::new(),
        names_param: error.get("param").is_some_and(is_truthy),
    };
    said.marks.extend(error.pointer("/innererror/code").map(text));
    if let Some(metadata) = error.get("metadata") {
        add_metadata(&mut said, metadata);
    }
    said
}

/// OpenRouter's addition to an error.
fn add_metadata(said: &mut Said, metadata: &Value) {
    said.marks.extend(["reason", "limit_source"].iter().filter_map(|key| metadata.get(key)).map(text));
    let kinds = ["reasons", "flagged_input", "patterns"];
    said.marks.extend(kinds.iter().filter(|key| metadata.get(**key).is_some()).map(|key| (*key).to_owned()));
    if let Some(raw) = metadata.get("raw").map(text) {
        said.message = format!("{}: {raw}", said.message);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_shape_is_read() {
        let openai = json!({"error": {"message": "m", "type": "t", "param": "p", "code": "c"}});
        let mistral = json!({"object": "error", "message": "m", "type": "t", "param": null, "code": "3505"});
        let xai = json!({"code": "c", "error": "m"});
        let fast_api = json!({"detail": [{"msg": "field required"}]});
        let google = json!([{"error": {"code": 400, "message": "m", "status": "INVALID_ARGUMENT"}}]);
        let event = json!({"type": "error", "code": "c", "message": "m", "param": null});
        for (value, message, kind, code, names_param) in [
            (openai, "m", Some("t"), Some("c"), true),
            (mistral, "m", Some("t"), Some("3505"), false),
            (xai, "m", None, Some("c"), false),
            (fast_api, r#"[{"msg":"field required"}]"#, None, None, false),
            (google, "m", None, Some("400"), false),
            (event, "m", Some("error"), Some("c"), false),
            (json!({"error": "m"}), "m", None, None, false),
            (json!("m"), "", None, None, false),
        ] {
            let said = in_value(&value);
            let read = (&*said.message, said.kind.as_deref(), said.code.as_deref(), said.names_param);
            assert_eq!(read, (message, kind, code, names_param), "{value}");
        }
    }

    #[test]
    fn a_routers_metadata_gives_marks_and_the_other_providers_words() {
        let said = in_value(&json!({"error": {"code": 402, "message": "m", "metadata":
            {"limit_source": "openrouter_key_limit", "raw": "r", "flagged_input": "x"}}}));
        assert_eq!(said.marks, ["openrouter_key_limit", "flagged_input"]);
        assert_eq!(said.message, "m: r");
        assert_eq!(said.status_inside(), Some(402));
    }
}
