//! A new secret from wherever somebody has it.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::path::{self, Path, PathBuf};

use anyhow::Context as _;
use keywheel_actors::secret::Secret;

use crate::config::{NewSecret, Source, WrittenSecret};
use crate::exit::UsageError;
use crate::ui::screen::say;

/// Where a new secret comes from. Without any of these it is asked for on the terminal, without an echo.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "The secret (else it is asked for, without an echo)")]
pub(in super::super) struct SecretFlags {
    /// Read it from stdin
    #[arg(long, conflicts_with_all = ["from_file", "env", "key"])]
    stdin: bool,
    /// Refer to this file, or take what it holds with --inline
    #[arg(long, value_name = "PATH", conflicts_with_all = ["env", "key"])]
    from_file: Option<PathBuf>,
    /// Refer to the environment variable of this name
    #[arg(long, value_name = "NAME", conflicts_with_all = ["key", "inline"])]
    env: Option<String>,
    /// The secret itself; process lists and the shell's history keep it
    #[arg(long, value_name = "SECRET")]
    key: Option<NewSecret>,
    /// Write it into the configuration instead of a file of its own in keys/
    #[arg(long)]
    inline: bool,
    /// A secret that was given as a bare word, which is told without being repeated
    #[arg(hide = true)]
    stray: Vec<NewSecret>,
}

impl SecretFlags {
    /// Whether any of them was given.
    pub(in super::super) fn say_something(&self) -> bool {
        let given = self.from_file.is_some() || self.env.is_some() || self.key.is_some();
        given || self.stdin || self.inline || !self.stray.is_empty()
    }

    /// Takes the secret in.
    ///
    /// # Errors
    /// If there is none, or if it is no good.
    pub(in super::super) fn take(self, source: &Source) -> anyhow::Result<Intake> {
        if !self.stray.is_empty() {
            let hint =
                "--stdin reads it, --from-file PATH and --env NAME refer to it; or say nothing and be asked";
            let problem = "a secret isn't given as a bare word";
            return Err(UsageError { problem: problem.to_owned(), hint: hint.to_owned() }.into());
        }
        let place = if self.inline { Place::Inline } else { Place::Stored };
        if self.key.is_some() {
            say(
                "warning: process lists and the shell's history keep this key\n  hint: use --stdin, or be asked for it",
            );
        }
        match (self.env, self.from_file, self.key) {
            (Some(name), _, _) => Ok(Intake::Variable(name)),
            (None, Some(path), _) if place == Place::Stored => {
                Ok(Intake::File(source.working_dir.join(path)))
            }
            (None, Some(path), _) => {
                let what = format!("the file {}", path.display());
                let file = File::open(source.working_dir.join(&path));
                let file = file.with_context(|| format!("can't read {what}"))?;
                Ok(Intake::Value(checked(read(file, &what)?)?, place))
            }
            (None, None, Some(key)) => Ok(Intake::Value(checked(key)?, place)),
            (None, None, None) if self.stdin => {
                Ok(Intake::Value(checked(read(io::stdin(), "stdin")?)?, place))
            }
            (None, None, None) => Ok(Intake::Value(checked(ask()?)?, place)),
        }
    }
}

/// Where the secret comes from that replaces another.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Another secret")]
pub(super) struct NewSecretFlags {
    /// Ask for it, without an echo
    #[arg(long = "secret-prompt", conflicts_with_all = ["stdin", "file", "env"])]
    prompt: bool,
    /// Read it from stdin
    #[arg(long = "secret-stdin", conflicts_with_all = ["file", "env"])]
    stdin: bool,
    /// Refer to this file
    #[arg(long = "secret-file", value_name = "PATH", conflicts_with = "env")]
    file: Option<PathBuf>,
    /// Refer to the environment variable of this name
    #[arg(long = "secret-env", value_name = "NAME")]
    env: Option<String>,
}

impl NewSecretFlags {
    /// Takes the secret in, if there is to be another.
    ///
    /// # Errors
    /// If it is no good.
    pub(super) fn take(&self, source: &Source) -> anyhow::Result<Option<Intake>> {
        if !self.prompt && !self.stdin && self.file.is_none() && self.env.is_none() {
            return Ok(None);
        }
        let flags = SecretFlags {
            stdin: self.stdin,
            from_file: self.file.clone(),
            env: self.env.clone(),
            ..SecretFlags::default()
        };
        flags.take(source).map(Some)
    }
}

/// Where a secret is to be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in super::super) enum Place {
    /// A file of its own.
    Stored,
    /// The configuration.
    Inline,
}

impl Place {
    /// What is written of this secret.
    pub(in super::super) fn of(self, secret: NewSecret) -> WrittenSecret {
        match self {
            Self::Stored => WrittenSecret::Stored(secret),
            Self::Inline => WrittenSecret::Inline(secret),
        }
    }
}

/// A secret, or where it will be found.
#[derive(Debug)]
pub(in super::super) enum Intake {
    /// The secret itself.
    Value(NewSecret, Place),
    /// The name of a variable.
    Variable(String),
    /// A file.
    File(PathBuf),
}

impl Intake {
    /// The secret, as far as it can be had here.
    pub(in super::super) fn secret(&self, source: &Source) -> Option<Secret> {
        match self {
            Self::Value(secret, _) => Some(secret.secret()),
            Self::Variable(name) => {
                let variable = source.environment.iter().find(|(known, _)| known == name);
                variable.map(|(_, value)| Secret::new(value.as_str()))
            }
            Self::File(path) => read(File::open(path).ok()?, "the file").ok().map(|secret| secret.secret()),
        }
    }

    /// What is written of it into the configuration at `config`.
    ///
    /// # Errors
    /// If it refers to a file that isn't there.
    pub(in super::super) fn written(self, config: &Path) -> anyhow::Result<WrittenSecret> {
        match self {
            Self::Value(secret, place) => Ok(place.of(secret)),
            Self::Variable(name) => Ok(WrittenSecret::Reference(format!("env:{name}"))),
            Self::File(path) => {
                if !path.exists() {
                    let problem = format!("there is no file {}", path.display());
                    let hint = "--from-file refers to a file that holds the secret".to_owned();
                    return Err(UsageError { problem, hint }.into());
                }
                // Relative paths begin beside the configuration, not where somebody stands.
                let full = path::absolute(&path).with_context(|| format!("can't use {}", path.display()))?;
                let base = config.parent().map(path::absolute).transpose().unwrap_or_default();
                let shown =
                    base.and_then(|base| full.strip_prefix(base).map(Path::to_owned).ok()).unwrap_or(full);
                Ok(WrittenSecret::Reference(format!("file:{}", shown.display())))
            }
        }
    }
}

fn ask() -> anyhow::Result<NewSecret> {
    if !io::stdin().is_terminal() {
        let problem = "there is no secret, and no terminal to ask on".to_owned();
        let hint = "give it with --stdin, --from-file PATH or --env NAME".to_owned();
        return Err(UsageError { problem, hint }.into());
    }
    let typed = rpassword::prompt_password("Secret (not shown): ").context("can't read the secret")?;
    Ok(NewSecret::of_line(&typed))
}

/// Reads one secret, and no more than one may hold.
fn read(from: impl Read, what: &str) -> anyhow::Result<NewSecret> {
    let mut text = String::new();
    let most = NewSecret::BYTES_MAX;
    let bytes = from.take(most + 1).read_to_string(&mut text);
    let bytes = bytes.with_context(|| format!("can't read the secret from {what}"))? as u64;
    if bytes > most {
        let problem = format!("{what} holds more than the {most} bytes that a secret may have");
        let hint = "`keywheel provider keys import` reads many keys at once".to_owned();
        return Err(UsageError { problem, hint }.into());
    }
    Ok(NewSecret::of_line(&text))
}

/// The secret, if it is any good.
fn checked(secret: NewSecret) -> Result<NewSecret, UsageError> {
    match secret.fault() {
        None => Ok(secret),
        Some(fault) => {
            let problem = format!("the secret {fault}");
            let hint = "nothing was changed; a secret is one line of printable ASCII".to_owned();
            Err(UsageError { problem, hint })
        }
    }
}
