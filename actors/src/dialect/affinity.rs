//! Which requests begin alike, so that a provider's prompt cache can serve them.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::object;
use crate::request::Request;

/// So much of a prompt without instructions decides: what providers cache begins at about 1,024 tokens, but
/// prompts that share this much usually share more.
const BYTES: usize = 1_024;

/// What a request's prompt begins with, as a number: equal for requests of one model that begin alike.
///
/// The instructions decide if there are any (`instructions`, `system`, `systemInstruction`, or a first message
/// that isn't the user's), else the first 1,024 bytes of the prompt as JSON, else those of the body.
pub(crate) fn of(request: &Request) -> u64 {
    let ask = object::fields_of::<Ask<'_>>(&request.body).unwrap_or_default();
    let first = || first_instruction(ask.messages.or(ask.input)?);
    let said = ask.instructions.or(ask.system).or(ask.system_instruction).or_else(first);
    let beginning = if let Some(instructions) = said {
        instructions.get().as_bytes()
    } else {
        let prompt = ask.messages.or(ask.input).or(ask.contents).or(ask.prompt);
        let text = prompt.map_or(&*request.body, |prompt| prompt.get().as_bytes());
        &text[..text.len().min(BYTES)]
    };
    hash(hash(START, request.model.as_str().as_bytes()), beginning)
}

/// Both spellings of Google's fields.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Ask<'a> {
    #[serde(borrow)]
    instructions: Option<&'a RawValue>,
    #[serde(borrow)]
    system: Option<&'a RawValue>,
    #[serde(borrow, rename = "systemInstruction", alias = "system_instruction")]
    system_instruction: Option<&'a RawValue>,
    #[serde(borrow)]
    messages: Option<&'a RawValue>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    contents: Option<&'a RawValue>,
    #[serde(borrow)]
    prompt: Option<&'a RawValue>,
}

/// The content of the first message, if it isn't the user's.
fn first_instruction(messages: &RawValue) -> Option<&RawValue> {
    #[derive(Deserialize)]
    struct Message<'a> {
        #[serde(default)]
        role: String,
        #[serde(borrow, default)]
        content: Option<&'a RawValue>,
    }
    let messages: Vec<&RawValue> = serde_json::from_str(messages.get()).ok()?;
    let first: Message<'_> = serde_json::from_str(messages.first()?.get()).ok()?;
    first.content.filter(|_| matches!(first.role.as_str(), "system" | "developer"))
}

/// FNV-1a's offset basis for 64 bits, and its prime.
const START: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// FNV-1a: the same in every process and version, unlike the standard library's.
fn hash(start: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(start, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use ::http::{HeaderMap, Method};

    use super::*;
    use crate::request::Delivery;

    fn affinity(model: &str, body: &str) -> u64 {
        of(&Request {
            method: Method::POST,
            path: "/chat/completions".to_owned(),
            headers: HeaderMap::new(),
            body: body.to_owned().into(),
            model: model.into(),
            delivery: Delivery::Whole,
            to: crate::request::Destination::Routed,
            upload: None,
        })
    }

    #[test]
    fn instructions_decide_and_what_follows_does_not() {
        for with in [
            r#"{"messages":[{"role":"system","content":"SAY"},{"role":"user","content":"ASK"}]}"#,
            r#"{"input":[{"role":"developer","content":[{"text":"SAY"}]},{"role":"user","content":"ASK"}]}"#,
            r#"{"instructions":"SAY","input":"ASK"}"#,
            r#"{"system":"SAY","messages":[{"role":"user","content":"ASK"}]}"#,
            r#"{"systemInstruction":{"parts":[{"text":"SAY"}]},"contents":[{"parts":[{"text":"ASK"}]}]}"#,
        ] {
            let of = |model, say, ask| affinity(model, &with.replace("SAY", say).replace("ASK", ask));
            assert_eq!(of("m", "a", "1"), of("m", "a", "2"), "{with}");
            assert_ne!(of("m", "a", "1"), of("m", "b", "1"), "{with}");
            assert_ne!(of("m", "a", "1"), of("n", "a", "1"), "{with}");
        }
    }

    #[test]
    fn without_instructions_the_beginning_decides() {
        let of =
            |text: &str| affinity("m", &format!(r#"{{"messages":[{{"role":"user","content":"{text}"}}]}}"#));
        let long = "x".repeat(BYTES);
        assert_eq!(of(&format!("{long}1")), of(&format!("{long}2")));
        assert_ne!(of("1"), of("2"));
        assert_eq!(affinity("m", "--form"), affinity("m", "--form"));
        assert_ne!(affinity("m", "--form"), affinity("m", "--mort"));
    }
}
