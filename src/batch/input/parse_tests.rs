//! Every form of a row, and what becomes of it.

use keywheel_actors::id::Model;

use super::*;

/// What becomes of lines: `ID PATH MODEL BODY`, or the problem.
fn read(reading: Reading, lines: &[&str]) -> Vec<String> {
    let mut parser = Parser::new(reading);
    let told = (1..).zip(lines).map(|(number, line)| {
        match parser.line(number, &Bytes::copy_from_slice(line.as_bytes())) {
            Ok(row) => {
                let body = str::from_utf8(&row.body).unwrap();
                format!("{} {} {} {body}", row.custom_id, row.path, row.model)
            }
            Err(rejected) => rejected.message,
        }
    });
    told.collect()
}

fn as_it_comes(line: &str) -> String {
    read(Reading::default(), &[line]).remove(0)
}

fn with_model() -> Reading {
    Reading { model: Some(Model::from("M")), ..Reading::default() }
}

#[test]
fn every_form_is_known_by_its_members() {
    for (line, wanted) in [
        (
            r#"{"custom_id":"a","method":"POST","url":"/v1/embeddings","body":{ "model" : "m", "n": 1.50 }}"#,
            r#"a /embeddings m { "model" : "m", "n": 1.50 }"#,
        ),
        (
            r#"{"custom_id":"a","params":{"model":"m","max_tokens": 9}}"#,
            r#"a /messages m {"model":"m","max_tokens": 9}"#,
        ),
        (r#"{"model":"m", "messages":[]}"#, r#"line-1 /chat/completions m {"model":"m", "messages":[]}"#),
        (r#"{"model":"m","prompt":"x"}"#, r#"line-1 /completions m {"model":"m","prompt":"x"}"#),
        (
            r#"{"model":"embed-1","input":"x"}"#,
            r#"line-1 /embeddings embed-1 {"model":"embed-1","input":"x"}"#,
        ),
        (
            r#"{"model":"models/g","contents":[]}"#,
            r#"line-1 /models/g:generateContent models/g {"model":"models/g","contents":[]}"#,
        ),
        (
            r#"{"custom_id":"a", "model":"m", "messages":[ 1.0 ]}"#,
            r#"a /chat/completions m {"model":"m","messages":[ 1.0 ]}"#,
        ),
    ] {
        assert_eq!(as_it_comes(line), wanted);
    }
}

#[test]
fn a_body_is_a_slice_of_its_line() {
    for line in [
        r#"{"custom_id":"a","url":"/v1/x","body":{"model":"m"}}"#,
        r#"{"custom_id":"a","params":{"model":"m"}}"#,
        r#"{"model":"m","messages":[]}"#,
    ] {
        let bytes = Bytes::from_static(line.as_bytes());
        let row = Parser::new(Reading::default()).line(1, &bytes).unwrap();
        assert!(bytes.as_ptr_range().contains(&row.body.as_ptr()), "{line}");
    }
}

#[test]
fn prompts_are_put_into_a_message() {
    let lines =
        [r#""say \"hi\"\u0021""#, r#"{"prompt":"x","custom_id":"a"}"#, r#"{"prompt":5}"#, r#"{"other":"x"}"#];
    assert_eq!(
        read(with_model(), &lines),
        [
            r#"line-1 /chat/completions M {"model":"M","messages":[{"role":"user","content":"say \"hi\"\u0021"}]}"#,
            r#"a /chat/completions M {"model":"M","messages":[{"role":"user","content":"x"}]}"#,
            r#"line-3 /chat/completions M {"model":"M","messages":[{"role":"user","content":"5"}]}"#,
            "line 4: `prompt` is missing; hint: the template has a placeholder of that name",
        ]
    );
}

#[test]
fn a_template_takes_fields_of_any_name() {
    let text = r#"{"messages":[{"role":"user","content":"{{q}} in {{lang}}"}],"n":{{n}}}"#;
    let template = Template::parse(text, Some(&Model::from("M"))).unwrap();
    let reading = Reading { template: Some(template), url: Some("/v1/messages".to_owned()), ..with_model() };
    let lines = [
        r#"{"q":"why","lang":"de","n":2,"body":"left alone"}"#,
        r#"{"custom_id":"a","url":"/v1/x","body":{"model":"m"}}"#,
        r#"{"q":"why","n":1}"#,
    ];
    assert_eq!(
        read(reading, &lines),
        [
            r#"line-1 /messages M {"model":"M","messages":[{"role":"user","content":"why in de"}],"n":2}"#,
            r#"a /x m {"model":"m"}"#,
            "line 3: `lang` is missing; hint: the template has a placeholder of that name",
        ]
    );
}

#[test]
fn a_missing_model_is_filled_in() {
    let lines = [
        r#"{"messages":[]}"#,
        r#"{"model":"","messages":[]}"#,
        r#"{"custom_id":"a","params":{"x":1}}"#,
        r#"{"model":"m","messages":[]}"#,
    ];
    assert_eq!(
        read(with_model(), &lines),
        [
            r#"line-1 /chat/completions M {"model":"M","messages":[]}"#,
            r#"line-2 /chat/completions M {"model":"M","messages":[]}"#,
            r#"a /messages M {"model":"M","x":1}"#,
            r#"line-4 /chat/completions m {"model":"m","messages":[]}"#,
        ]
    );
}

#[test]
fn a_mixed_file_is_read_line_by_line() {
    let lines = [
        r#"{"custom_id":"a","url":"/v1/x","body":{"model":"m"}}"#,
        r#"{"custom_id":"b","params":{"model":"m"}}"#,
        r#""x""#,
        r#"{"custom_id":"c"}"#,
        "[]",
    ];
    let told = read(with_model(), &lines);
    assert_eq!(told[..2], [r#"a /x m {"model":"m"}"#, r#"b /messages m {"model":"m"}"#]);
    assert!(told[2].starts_with("line-3 /chat/completions M "), "{}", told[2]);
    // A line that doesn't tell is taken for what the first one was.
    assert_eq!(told[3], "line 4: `url` is missing; hint: such as `/v1/chat/completions`");
    assert!(told[4].starts_with("line 5: not a batch row: "), "{}", told[4]);
}

#[test]
fn a_form_that_is_said_counts_for_every_line() {
    let forced = |form| Reading { form: Some(form), ..with_model() };
    let line = r#"{"model":"m","prompt":"x","custom_id":"a"}"#;
    assert_eq!(
        read(forced(Form::Prompt), &[line]),
        [r#"a /chat/completions m {"model":"m","messages":[{"role":"user","content":"x"}]}"#]
    );
    assert_eq!(
        read(forced(Form::Body), &[line, r#""x""#]),
        [
            r#"a /completions m {"model":"m","prompt":"x"}"#,
            "line 2: a text, where an object is wanted; hint: --input-format prompt takes texts",
        ]
    );
    assert!(read(forced(Form::OpenAi), &[line])[0].starts_with("line 1: `url` is missing"));
    assert!(read(forced(Form::Anthropic), &[line])[0].starts_with("line 1: `params` is missing"));
}

#[test]
fn an_address_that_is_said_comes_before_one_that_is_guessed() {
    let reading = || Reading { url: Some("/v1/responses".to_owned()), ..with_model() };
    let told = read(reading(), &[r#"{"model":"m","input":"x"}"#, r#""x""#]);
    assert_eq!(told[0], r#"line-1 /responses m {"model":"m","input":"x"}"#);
    assert!(told[1].starts_with("line-2 /responses M "), "{}", told[1]);
}

#[test]
fn says_what_is_wrong_and_on_which_line() {
    for (line, start) in [
        (r#"{"url":"/v1/x","body":{"model":"m"}}"#, "line 1: `custom_id` is missing"),
        (r#"{"params":{"model":"m"}}"#, "line 1: `custom_id` is missing"),
        (
            r#"{"custom_id":"a","method":"GET","url":"/v1/x","body":{"model":"m"}}"#,
            "line 1: `method` is `GET`",
        ),
        (r#"{"custom_id":"a","body":{"model":"m"}}"#, "line 1: `url` is missing"),
        (r#"{"custom_id":"a","url":7,"body":{"model":"m"}}"#, "line 1: `url` is no text: "),
        (
            r#"{"custom_id":"a","url":"https://h/v1/x","body":{"model":"m"}}"#,
            "line 1: `url` is `https://h/v1/x`",
        ),
        (r#"{"custom_id":"a","url":"/v1/x","body":[1]}"#, "line 1: `body` is no request: "),
        (r#"{"custom_id":"a","url":"/v1/x","body":{}}"#, "line 1: `body.model` is missing"),
        (r#"{"custom_id":"a","url":"/v1/x","body":{"model":""}}"#, "line 1: `body.model` is missing"),
        (
            r#"{"custom_id":"a","url":"/v1/x","body":{"model":"m","stream":true}}"#,
            "line 1: `body.stream` is true; hint: leave it out, answers are written whole",
        ),
        (r#"{"custom_id":"a","params":{"model":"m","stream":true}}"#, "line 1: `params.stream` is true"),
        (r#"{"model":"m","messages":[],"stream":true}"#, "line 1: `stream` is true"),
        (r#"{"messages":[]}"#, "line 1: `model` is missing"),
        (
            r#"{"prompt":"x"}"#,
            "line 1: `model` is missing; hint: name the model that is to answer with --model",
        ),
        (
            r#"{"model":"m","input":"x"}"#,
            "line 1: `input` may be meant for /v1/embeddings or for /v1/responses",
        ),
        (r#"{"custom_id":"a","url":"/v1/x"}"#, "line 1: its form can't be told"),
        ("not json", "line 1: not a batch row: "),
        ("\"open", "line 1: not a batch row: "),
    ] {
        let message = as_it_comes(line);
        assert!(message.starts_with(start), "{message}");
    }
}

#[test]
fn an_invalid_row_keeps_its_name_if_it_has_one() {
    let mut parser = Parser::new(Reading::default());
    let named = parser.line(1, &Bytes::from_static(br#"{"custom_id":"a","url":"/v1/x"}"#)).unwrap_err();
    assert_eq!((named.custom_id.as_deref(), named.code), (Some("a"), "invalid_line"));
    assert_eq!(parser.line(2, &Bytes::from_static(b"{")).unwrap_err().custom_id, None);
}
