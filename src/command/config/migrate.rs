//! `keywheel config migrate`: the prototype's `providers.json` becomes a `keywheel.toml`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::migration::Report;
use super::write::{self, Existing};
use crate::command::stdout;
use crate::config::{
    self, Conversion, NoConversion, SecretFile, SecretsAs, Source, Weight, convert, is_legacy,
};
use crate::exit::{Exit, UsageError};

/// The prototype's file.
const USUAL_FROM: &str = "providers.json";

/// Where a configuration is looked for first.
const USUAL_TO: &str = "keywheel.toml";

/// Turn the prototype's providers.json into a keywheel.toml, without loss
///
/// Keys go to files in `keys/` beside the configuration that only you can read. What has no counterpart is kept as
/// a comment and listed. The old file stays as it is. Ends with 3 if something needs your attention.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The file of the prototype [default: what --config names, else providers.json]
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Where to write the configuration
    #[arg(long, value_name = "FILE", default_value = USUAL_TO)]
    to: PathBuf,
    /// Write the keys into the configuration instead of files of their own
    #[arg(long)]
    inline: bool,
    /// Print what would be written, with keys masked, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Print one object of JSON: what was written, and what there is to tell
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Converts, writes, and reads what was written.
    ///
    /// # Errors
    /// If there is nothing to convert, if a file is in the way, or if one can't be written.
    pub fn run(self, source: &Source) -> anyhow::Result<Exit> {
        let from = self.from.clone().or_else(|| source.file.clone().filter(|path| is_legacy(path)));
        let from = from.unwrap_or_else(|| USUAL_FROM.into());
        let text = fs::read_to_string(source.working_dir.join(&from)).map_err(|error| UsageError {
            problem: format!("can't read {}: {error}", from.display()),
            hint: "name the prototype's file with --from".to_owned(),
        })?;
        let secrets_as = match (self.inline, self.dry_run) {
            (false, _) => SecretsAs::Files,
            (true, false) => SecretsAs::Inline,
            (true, true) => SecretsAs::Masked,
        };
        let conversion = convert(&text, secrets_as).map_err(|error| refusal(&from, &error))?;
        let mut report = Report::of(&from, &self.to, &text, &conversion);
        if !self.dry_run {
            self.write(source, &conversion)?;
            report.problems = problems(source, &self.to);
        }
        let needs_attention = !report.problems.is_empty()
            || conversion.notes.iter().any(|note| note.weight == Weight::Attention);
        match (self.json, self.dry_run) {
            (true, dry_run) => stdout::print_json(&report.for_programs(dry_run.then_some(&conversion.toml)))?,
            (false, true) => stdout::print(&format!("{}\n{}", conversion.toml, report.words(true)))?,
            (false, false) => stdout::print(&report.words(false))?,
        }
        Ok(if needs_attention { Exit::Attention } else { Exit::Done })
    }

    /// Writes the secrets, then what refers to them.
    fn write(&self, source: &Source, conversion: &Conversion) -> anyhow::Result<()> {
        let to = source.working_dir.join(&self.to);
        let directory = to.parent().unwrap_or(Path::new("."));
        let in_the_way = |path: &Path| UsageError {
            problem: format!("{} is there already", source.shown(path).display()),
            hint: "move it away, or write elsewhere with --to".to_owned(),
        };
        // Nothing is written before it is sure that everything can be.
        if to.exists() {
            return Err(in_the_way(&to).into());
        }
        let others = conversion.secrets.iter().map(|secret| (secret, directory.join(&secret.path)));
        let others: Vec<(&SecretFile, PathBuf)> = others.filter(|(_, path)| path.exists()).collect();
        let has_other = |(secret, path): &&(&SecretFile, PathBuf)| {
            fs::read_to_string(path).ok().is_none_or(|text| text != secret.text())
        };
        if let Some((_, path)) = others.iter().find(has_other) {
            return Err(in_the_way(path).into());
        }
        for secret in &conversion.secrets {
            let path = directory.join(&secret.path);
            let written = match write::write(&path, &secret.text(), Existing::Keep) {
                // A run before this one got so far; it has the same secret.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                written => written,
            };
            written.with_context(|| format!("can't write {}", source.shown(&path).display()))?;
        }
        write::write(&to, &conversion.toml, Existing::Keep)
            .with_context(|| format!("can't write {}", self.to.display()))
    }
}

/// What the reader finds in the file that was written.
fn problems(source: &Source, to: &Path) -> Vec<config::Problem> {
    let source = Source { file: Some(to.to_owned()), overrides: Vec::new(), ..source.clone() };
    config::check(&source).problems
}

fn refusal(from: &Path, error: &NoConversion) -> UsageError {
    let (place, hint) = match error {
        NoConversion::Syntax { line, column, .. } => {
            (format!("{}:{line}:{column}", from.display()), "mend it there, then try again")
        }
        NoConversion::NoProvider => {
            (from.display().to_string(), "`keywheel config init` writes a first configuration")
        }
    };
    UsageError { problem: format!("{place}: {error}"), hint: hint.to_owned() }
}
