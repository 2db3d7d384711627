//! What a migration tells, in words and for programs.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::check::Entry;
use super::contents::counted;
use crate::config::{Conversion, Note, Problem, Weight};

/// What became of a file.
pub(super) struct Report {
    from: PathBuf,
    to: PathBuf,
    providers: usize,
    keys: usize,
    secrets: Vec<PathBuf>,
    /// Each with its line and column in the old file.
    notes: Vec<(Note, usize, usize)>,
    /// What the reader found in the new file.
    pub(super) problems: Vec<Problem>,
}

impl Report {
    /// Of a conversion that may not be written yet; `text` is the old file's.
    pub(super) fn of(
        from: &std::path::Path,
        to: &std::path::Path,
        text: &str,
        conversion: &Conversion,
    ) -> Self {
        let placed = |note: &Note| {
            let before = text.get(..note.offset).unwrap_or_default();
            let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
            (note.clone(), before.matches('\n').count() + 1, column)
        };
        Self {
            from: from.to_owned(),
            to: to.to_owned(),
            providers: conversion.providers,
            keys: conversion.keys,
            secrets: conversion.secrets.iter().map(|secret| secret.path.clone()).collect(),
            notes: conversion.notes.iter().map(placed).collect(),
            problems: Vec::new(),
        }
    }

    fn notes_of(&self, weight: Weight) -> impl Iterator<Item = &(Note, usize, usize)> {
        self.notes.iter().filter(move |(note, ..)| note.weight == weight)
    }

    /// For people.
    pub(super) fn words(&self, is_dry: bool) -> String {
        let (from, to) = (self.from.display(), self.to.display());
        let what = format!("{} with {}", counted(self.providers, "provider"), counted(self.keys, "key"));
        let files = match self.secrets.len() {
            0 => String::new(),
            count => format!(", and {} for the secrets in keys/", counted(count, "file")),
        };
        let verb = if is_dry { "Would write" } else { "Wrote" };
        let mut text = format!("{verb} {to}: {what}{files}.\n");
        let lines = |weight, text: &dyn Fn(&Note) -> String| {
            let notes = self.notes_of(weight);
            notes.fold(String::new(), |all, (note, line, _)| {
                all + &format!("  {from}:{line}: {}\n", text(note))
            })
        };
        let said = |note: &Note| match note.path.as_str() {
            "" => note.message.clone(),
            path => format!("{path}: {}", note.message),
        };
        let kept = |note: &Note| note.path.clone();
        let problems =
            self.problems.iter().fold(String::new(), |all, problem| all + &indented(&problem.to_string()));
        for (title, lines) in [
            ("Needs your attention:", lines(Weight::Attention, &said)),
            ("Before it can be used:", problems),
            ("Changed on the way:", lines(Weight::Told, &said)),
            ("Kept as a comment:", lines(Weight::Kept, &kept)),
        ] {
            if !lines.is_empty() {
                text = format!("{text}\n{title}\n{lines}");
            }
        }
        if is_dry {
            return text;
        }
        let flag = if to.to_string() == "keywheel.toml" { String::new() } else { format!(" --config {to}") };
        format!(
            "{text}\nNext:\n  keywheel config check{flag}\n  then remove {from}: it still holds the keys\n"
        )
    }

    /// For programs; `toml` is what would be written.
    pub(super) fn for_programs(&self, toml: Option<&String>) -> Value {
        let notes = |weight| {
            let notes = self.notes_of(weight).map(|(note, line, column)| {
                json!({ "field": note.path, "line": line, "column": column, "message": note.message })
            });
            notes.collect::<Vec<Value>>()
        };
        json!({
            "from": self.from,
            "to": self.to,
            "written": toml.is_none(),
            "toml": toml,
            "providers": self.providers,
            "keys": self.keys,
            "secrets": self.secrets,
            "attention": notes(Weight::Attention),
            "changed": notes(Weight::Told),
            "kept": notes(Weight::Kept),
            "problems": self.problems.iter().map(Entry::of).collect::<Vec<_>>(),
        })
    }
}

fn indented(text: &str) -> String {
    text.lines().fold(String::new(), |all, line| all + &format!("  {line}\n"))
}
