//! What a field is: its name, what it takes, and what holds without it.

use serde_json::Value;

/// One field.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Field {
    /// As it is written.
    pub(in crate::config) name: &'static str,
    /// What it means, in a sentence for people.
    pub(in crate::config) about: &'static str,
    /// What it takes.
    pub(in crate::config) kind: Kind,
    /// What holds where it isn't written.
    pub(in crate::config) usual: Usual,
}

/// What a field takes.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) enum Kind {
    /// A name of at most 64 characters without `/` and spaces.
    Name,
    /// A model's name.
    Model,
    /// An address of http or https.
    Address,
    /// The name of an HTTP header.
    Header,
    /// Any text.
    Text,
    /// A path; relative ones begin where the configuration is.
    Path,
    /// `env:NAME`, `file:PATH` or the value itself.
    Secret,
    /// One of a few words.
    Choice(fn() -> Vec<&'static str>),
    /// `true` or `false`.
    Switch,
    /// A whole number.
    Whole {
        /// The least it may be.
        least: u64,
        /// The most it may be.
        most: u64,
    },
    /// An amount of money: a number of 0 or more, with decimals.
    Amount,
    /// The three capital letters of a currency.
    Currency,
    /// A text such as `"1h30m"`.
    Duration,
    /// A duration, or `"never"`.
    DurationOrNever,
    /// A list of names.
    Names,
    /// A list of texts.
    Texts,
    /// A list of models.
    Models,
    /// A list of `"provider/model"`.
    Candidates,
    /// A table of our names of models with the provider's.
    Aliases,
    /// A table.
    Table(&'static [Field]),
    /// A list of tables.
    Tables(&'static [Field]),
}

/// What holds where a field isn't written.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) enum Usual {
    /// It has to be written.
    Required,
    /// This value.
    Value(fn() -> Value),
    /// No value of its own, but what these words say.
    Words(&'static str),
}
