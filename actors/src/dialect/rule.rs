//! Tables that say which signs in an error mean what: one for each dialect, read by one reader.

use super::said::Said;
use crate::outcome::{Reason, Scope};

/// One row: if all these signs hold it means this, and reaches so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule(pub(super) &'static [Sign], pub(super) Reason, pub(super) Scope);

/// Something to be seen in an error. Words are compared without regard to case.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sign {
    /// The status is one of these.
    Status(&'static [u16]),
    /// The status is a 5xx.
    ServerStatus,
    /// There is no status: the error came inside an answer that began with 200.
    NoStatus,
    /// `code`, or one of the finer marks beside it, is one of these.
    Code(&'static [&'static str]),
    /// `type` is one of these.
    Kind(&'static [&'static str]),
    /// The message begins with one of these.
    Opens(&'static [&'static str]),
    /// The message contains one of these.
    Says(&'static [&'static str]),
    /// The message names a limit and a request larger than it.
    AsksMoreThanLimit,
    /// The error names a parameter.
    NamesParam,
}

use Sign::{AsksMoreThanLimit, Code, Kind, NamesParam, NoStatus, Opens, Says, ServerStatus, Status};

/// What an error means by `rules`; the first row whose signs all hold decides. `status` is `None` for one inside an answer that began with 200.
pub(super) fn verdict(rules: &[Rule], said: &Said, status: Option<u16>) -> (Reason, Scope) {
    let message = said.message.to_ascii_lowercase();
    let seen = Seen { said, status, message: &message };
    rules
        .iter()
        .find(|Rule(signs, ..)| signs.iter().all(|sign| seen.shows(*sign)))
        .map_or((Reason::Unclassified, Reason::Unclassified.usual_scope()), |Rule(_, reason, scope)| {
            (*reason, *scope)
        })
}

struct Seen<'a> {
    said: &'a Said,
    status: Option<u16>,
    /// In lower case.
    message: &'a str,
}

impl Seen<'_> {
    fn shows(&self, sign: Sign) -> bool {
        match sign {
            Status(statuses) => self.status.is_some_and(|status| statuses.contains(&status)),
            ServerStatus => self.status.is_some_and(|status| (500..600).contains(&status)),
            NoStatus => self.status.is_none(),
            Code(codes) => self.said.code.iter().chain(&self.said.marks).any(|code| is_one_of(code, codes)),
            Kind(kinds) => self.said.kind.as_ref().is_some_and(|kind| is_one_of(kind, kinds)),
            Opens(phrases) => phrases.iter().any(|phrase| self.message.starts_with(phrase)),
            Says(phrases) => phrases.iter().any(|phrase| self.message.contains(phrase)),
            AsksMoreThanLimit => self.said.asks_more_than_limit(),
            NamesParam => self.said.names_param,
        }
    }
}

fn is_one_of(word: &str, words: &[&str]) -> bool {
    words.iter().any(|other| word.eq_ignore_ascii_case(other))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use serde_json::Value;

    use super::*;
    use crate::dialect::{anthropic, gemini, openai};

    type Reader = fn(&Value) -> Said;

    /// Every table, with the reader of its dialect's errors and the name of its corpus.
    const TABLES: [(&str, &[Rule], Reader); 3] = [
        ("anthropic", anthropic::RULES, anthropic::in_value),
        ("gemini", gemini::RULES, gemini::in_value),
        ("openai", openai::RULES, openai::in_value),
    ];

    #[test]
    fn phrases_are_written_in_the_case_they_are_compared_in() {
        for sign in TABLES.iter().flat_map(|(_, rules, _)| *rules).flat_map(|Rule(signs, ..)| *signs) {
            if let Opens(phrases) | Says(phrases) = sign {
                assert!(phrases.iter().all(|phrase| *phrase == phrase.to_ascii_lowercase()), "{phrases:?}");
            }
        }
    }

    #[test]
    fn a_row_stands_above_every_row_that_asks_for_less() {
        for (name, rules, _) in TABLES {
            for (at, Rule(signs, ..)) in rules.iter().enumerate() {
                let asks_for_all = |Rule(fewer, ..): &&Rule| {
                    fewer
                        .iter()
                        .all(|sign| signs.iter().any(|other| format!("{sign:?}") == format!("{other:?}")))
                };
                let above = rules[..at].iter().find(asks_for_all);
                assert!(above.is_none(), "{name}: {signs:?} is never reached, {above:?} stands above it");
            }
        }
    }

    /// Without it some body of the corpus would mean something else.
    #[test]
    fn every_row_is_needed_and_reached() {
        for (name, rules, in_value) in TABLES {
            let errors = errors_of_the_corpus(name, in_value);
            let is_idle = |at: &usize| {
                let without: Vec<Rule> = [&rules[..*at], &rules[at + 1..]].concat();
                errors
                    .iter()
                    .all(|(said, status)| verdict(rules, said, *status) == verdict(&without, said, *status))
            };
            let idle: Vec<&Rule> = (0..rules.len()).filter(is_idle).map(|at| &rules[at]).collect();
            assert!(idle.is_empty(), "{name}: no body needs {idle:#?}");
        }
    }

    /// What the bodies of a corpus say, with their status; those that came with 200 have the one inside.
    fn errors_of_the_corpus(name: &str, in_value: Reader) -> Vec<(Said, Option<u16>)> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(name);
        let files = fs::read_dir(directory).expect("the corpus is there");
        let cases = files.map(|file| {
            let text = fs::read(file.expect("a readable entry").path()).expect("a readable file");
            serde_json::from_slice::<Value>(&text).expect("a case")
        });
        cases
            .filter(|case| !case["expect"].is_null())
            .map(|case| {
                let said = match &case["body"] {
                    Value::String(text) => Said { message: text.clone(), ..Said::default() },
                    body => in_value(body),
                };
                let status = case["status"].as_u64().and_then(|status| u16::try_from(status).ok());
                let inside = case.pointer("/body/error/code").and_then(Value::as_u64);
                let inside = inside.and_then(|code| u16::try_from(code).ok()).filter(|code| *code >= 400);
                let status = if status == Some(200) { inside } else { status };
                (said, status)
            })
            .collect()
    }
}
