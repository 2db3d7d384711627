//! Every kind of row in every form, as it is written.

use bytes::Bytes;
use hyper::{HeaderMap, StatusCode};
use keywheel_actors::error::{RefusedAnswer, SendError};
use keywheel_actors::outcome::{Fault, Reason, Served};
use keywheel_actors::{Answer, AnswerBody};

use super::*;
use crate::batch::answer::Answered;
use crate::batch::input::Reading;
use crate::batch::input::hash::RowHash;
use crate::batch::input::parse::Parser;
use crate::batch::input::row::{Rejected, Row, RunId};
use crate::batch::output::line::Entry;

const CHAT: &str = r#"{"choices":[{"message":{"content":"first\nsecond \\ \"third\""}}]}"#;
const ANTHROPIC: &str = "{\"type\":\"message\",\n \"content\":[{\"type\":\"text\",\"text\":\"hello\"}]}";
const EMBEDDING: &str = r#"{"data":[{"embedding":[0.5]}]}"#;
const ANTHROPIC_REFUSAL: &str =
    r#"{"type":"error","error":{"type":"invalid_request_error","message":"max_tokens: required"}}"#;
const OPENAI_REFUSAL: &str = r#"{"error":{"message":"too long","code":"context_length_exceeded"}}"#;

fn row(custom_id: &str) -> Row {
    Row {
        line: 3,
        custom_id: custom_id.to_owned(),
        hash: RowHash::default(),
        path: "/chat/completions".to_owned(),
        model: "m".into(),
        body: Bytes::from_static(br#"{"model":"m", "n": 1.50}"#),
    }
}

fn answered(custom_id: &str, body: &'static str) -> OutputLine {
    let answer = Answer {
        status: StatusCode::OK,
        headers: HeaderMap::new(),
        body: AnswerBody::Whole(Bytes::from_static(body.as_bytes())),
        served: Served { provider: "p".into(), fell_back: false, attempts: Vec::new() },
        usage: None,
    };
    OutputLine::answered(&RunId::fixed("r"), row(custom_id), Answered::by_wheel(Ok(answer)))
}

fn failed(custom_id: &str, error: SendError) -> OutputLine {
    OutputLine::answered(&RunId::fixed("r"), row(custom_id), Answered::by_wheel(Err(error)))
}

fn refused(custom_id: &str, body: &'static str) -> OutputLine {
    let refused = RefusedAnswer {
        fault: Fault::new(Reason::CallerMistake, "no").with_status(400),
        status: StatusCode::BAD_REQUEST,
        headers: HeaderMap::new(),
        body: Bytes::from_static(body.as_bytes()),
        attempts: Vec::new(),
    };
    failed(custom_id, SendError::Refused(Box::new(refused)))
}

/// One row of each kind.
fn lines() -> Vec<OutputLine> {
    let bad = Rejected::invalid(9, None, "not a batch row").of_line(Bytes::from_static(b"{\"torn\": \xff"));
    vec![
        answered("chat", CHAT),
        answered("anthropic", ANTHROPIC),
        answered("embedding", EMBEDDING),
        answered("no json", "<p>\nhi"),
        refused("refused by Anthropic", ANTHROPIC_REFUSAL),
        refused("refused by OpenAI", OPENAI_REFUSAL),
        failed("lost", SendError::Lost),
        OutputLine::rejected(&RunId::fixed("r"), bad),
        OutputLine::rejected(&RunId::fixed("r"), Rejected::duplicate(10, "chat".to_owned())),
    ]
}

fn golden(text: impl Fn(Entry) -> Vec<u8>, format: Format) -> String {
    let texts = lines().into_iter().map(|line| text(line.encode(format).unwrap()));
    String::from_utf8(texts.flatten().collect()).unwrap()
}

#[test]
fn every_form_is_as_its_golden_file() {
    insta::with_settings!({ prepend_module_to_snapshot => false, snapshot_path => "golden" }, {
        for format in [Format::OpenAi, Format::Anthropic, Format::Body, Format::Text] {
            let text = golden(|entry| entry.text, format);
            assert_eq!(text.lines().count(), lines().len(), "a line each");
            insta::assert_snapshot!(format.name(), text);
        }
        insta::assert_snapshot!("errors", golden(|entry| entry.error_text, Format::OpenAi));
    });
}

#[test]
fn a_line_of_the_error_file_is_the_row_again() {
    for line in lines() {
        let Entry { error_text, .. } = line.encode(Format::Text).unwrap();
        if line.error().is_none() {
            assert_eq!(error_text, b"");
            continue;
        }
        match Parser::new(Reading::default()).line(1, &Bytes::from(error_text)) {
            Ok(read) => {
                let written = row(line.custom_id.as_deref().unwrap());
                assert_eq!(
                    (&read.custom_id, &read.path, &read.body),
                    (&written.custom_id, &written.path, &written.body)
                );
            }
            Err(rejected) => assert_eq!(rejected.custom_id, line.custom_id, "{}", rejected.message),
        }
    }
}
