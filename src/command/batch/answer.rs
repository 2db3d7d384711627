//! What counts as an answer, and where answers are kept.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use keywheel_actors::request::Terms;
use keywheel_actors::unit::parse_duration;

use crate::batch::{Answers, Cache, Expectation};
use crate::exit::UsageError;

/// How rows are answered.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct AnswerArgs {
    /// Calls of a row that may fail by a provider's fault before the row fails
    ///
    /// Throttled calls and dead keys cost a row none of these; an answer that isn't what --expect says costs one.
    #[arg(long, value_name = "CALLS", default_value_t = Terms::default().attempts_max, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) attempts: u32,

    /// What each answer's text must be: `json`, or `schema=FILE` for JSON that satisfies a JSON schema
    ///
    /// Any other answer is paid for, thrown away and asked for again while the row has attempts left. A code
    /// fence around the JSON is not JSON.
    #[arg(long, value_name = "WHAT", value_parser = read_expect)]
    expect: Option<Expect>,

    /// Keep answers in this directory, and call once for rows with the same path, model and body
    ///
    /// Rows that are identical byte for byte share one call, in this run and in later ones.
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,

    /// Take no answers from the cache that are older, such as `12h`
    #[arg(long, value_name = "TIME", requires = "cache", value_parser = read_age)]
    cache_ttl: Option<Duration>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Expect {
    Json,
    Schema(PathBuf),
}

impl AnswerArgs {
    /// Reads the schema and opens the cache.
    ///
    /// # Errors
    /// [`UsageError`] if either can't be used.
    pub(super) fn open(&self) -> Result<Answers, UsageError> {
        let expect = self.expect.as_ref().map(Expect::read).transpose()?.map(Arc::new);
        let cache = self.cache.as_ref().map(|directory| {
            Cache::open(directory, self.cache_ttl).map_err(|error| UsageError {
                problem: format!("can't keep answers in {}: {error}", directory.display()),
                hint: "give --cache a directory that may be written".to_owned(),
            })
        });
        Ok(Answers { expect, cache: cache.transpose()?.map(Arc::new) })
    }
}

impl Expect {
    fn read(&self) -> Result<Expectation, UsageError> {
        match self {
            Self::Json => Ok(Expectation::json()),
            Self::Schema(path) => Expectation::schema(path).map_err(|error| UsageError {
                problem: error.to_string(),
                hint:
                    "--expect schema=FILE takes a JSON schema; what it refers to must be in files beside it"
                        .to_owned(),
            }),
        }
    }
}

fn read_expect(text: &str) -> Result<Expect, String> {
    match text.split_once('=') {
        None if text == "json" => Ok(Expect::Json),
        Some(("schema", path)) if !path.is_empty() => Ok(Expect::Schema(path.into())),
        Some(_) | None => Err("`json` or `schema=FILE`".to_owned()),
    }
}

fn read_age(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "a time such as `90s`, `12h` or `7d`".to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: AnswerArgs,
    }

    fn args(words: &[&str]) -> Option<AnswerArgs> {
        Cli::try_parse_from([&["answer"], words].concat()).ok().map(|cli| cli.args)
    }

    #[test]
    fn only_what_is_known_can_be_expected() {
        let expect = |text| args(&["--expect", text]).map(|args| args.expect);
        assert_eq!(expect("json"), Some(Some(Expect::Json)));
        assert_eq!(expect("schema=a=b.json"), Some(Some(Expect::Schema("a=b.json".into()))));
        for nonsense in ["", "yaml", "schema", "schema=", "json=x"] {
            assert_eq!(expect(nonsense), None, "{nonsense}");
        }
        assert!(args(&["--cache-ttl", "1h"]).is_none(), "an age needs a cache");
        let age = args(&["--cache", "x", "--cache-ttl", "12h"]).unwrap().cache_ttl;
        assert_eq!(age, Some(Duration::from_secs(12 * 3_600)));
    }

    #[test]
    fn what_cannot_be_used_is_told_before_anything_is_sent() {
        let directory = tempfile::tempdir().unwrap();
        let broken = directory.path().join("broken.json");
        fs::write(&broken, r#"{"type":"colour"}"#).unwrap();
        let expect = format!("schema={}", broken.display());
        let told = args(&["--expect", &expect]).unwrap().open().unwrap_err();
        assert!(told.problem.contains("broken.json is not a schema that can be used"), "{told}");
        let told = args(&["--cache", broken.to_str().unwrap()]).unwrap().open().unwrap_err();
        assert!(told.problem.starts_with("can't keep answers in "), "{told}");
        let none = args(&[]).unwrap().open().unwrap();
        assert!(none.expect.is_none() && none.cache.is_none());
    }
}
