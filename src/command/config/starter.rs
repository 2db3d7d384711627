//! The text of a first configuration, with examples of everything else as comments.

use std::fmt::Write as _;

use crate::config::{KeyNeed, Preset, usual_variable};

const HEAD: &str = r"# Keywheel's configuration. Every field: docs/configuration.md.
# Completion in editors: `keywheel config schema > keywheel.schema.json`, and as the first line of this file
#     #:schema ./keywheel.schema.json
# What it comes to, and where each value is from: `keywheel config show`.

";

const ROTATION: &str = r#"
# [rotation]                              # also per provider and per key; the nearest wins
# pick = "round_robin"                    # weighted | least_in_flight | fastest | primary_first | sticky
# max_failures = 5                        # unclassified failures in a row that make a key fail
# failure_reset = "24h"                   # failures older than this are forgotten
# rate_limit_backoff = "60s"              # longest rest after a throttle that named none
# fallback_after = "2s"                   # don't wait longer for a resting key if another provider can serve
"#;

const SURFACES: &str = r#"
# What a million tokens cost, for `keywheel batch --max-cost` and the clients' `cost_per_day`:
# [[price]]
# model = "its-own-name*"
# input = 0.15
# output = 0.60

# The gateway, `keywheel serve`. Who may call it, and how much: `keywheel client new NAME --write`.
# [server]
# listen = "127.0.0.1:8080"               # beyond this machine only with a client
# access_log = "stderr"                   # or a file

# Its dashboard, and metrics for Prometheus.
# [admin]
# listen = "127.0.0.1:9090"               # beyond this machine only with a `token`
"#;

/// A preset as it stands in the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Starter {
    preset: Preset,
    /// Where its key is. `None`: a server on this machine, which asks for none.
    pub(super) variable: Option<String>,
}

impl Starter {
    /// With the variable that the vendor's own tools read.
    pub(super) fn of(preset: Preset) -> Self {
        let variable = match preset.key_need {
            KeyNeed::Own => Some(preset.variable.map_or_else(|| usual_variable(preset.name), str::to_owned)),
            KeyNeed::AnyText => None,
        };
        Self { preset, variable }
    }

    /// What callers see of it.
    pub(super) const fn name(&self) -> &'static str {
        self.preset.name
    }

    fn write(&self, text: &mut String) {
        let name = self.preset.name;
        let address = match self.preset.base_url {
            Some(_) => String::new(),
            None => format!("base_url = \"{}\"   # yours\n", self.preset.base_url_example),
        };
        let secret = match &self.variable {
            Some(variable) => {
                format!("secret = \"env:{variable}\"{:pad$}# or file:PATH", "", pad = pad(variable))
            }
            None => "secret = \"unused\"                       # a server on this machine asks for none"
                .to_owned(),
        };
        // Writing to a String can't fail.
        let _ = write!(
            text,
            "\n[[provider]]\nid = \"{name}\"\npreset = \"{name}\"\n{address}# models = {{ \"fast\" = \"its-own-name\" }}    \
             # our name = its name; others pass unchanged\n\n[[provider.key]]\nname = \"key-1\"\n{secret}\n\
             # limits = {{ rpm = 500, tpm = 200_000, concurrency = 32 }}    # what is unknown is learned\n"
        );
    }
}

/// The whole file.
pub(super) fn text(providers: &[Starter]) -> String {
    let names: Vec<String> = providers.iter().map(|provider| format!("\"{}\"", provider.name())).collect();
    let mut text = HEAD.to_owned();
    // Writing to a String can't fail.
    let _ = writeln!(
        text,
        "# Who serves a model without a route, in this order.\nfallback_order = [{}]",
        names.join(", ")
    );
    text.push_str(ROTATION);
    for provider in providers {
        provider.write(&mut text);
    }
    let first = providers.first().map_or("openai", Starter::name);
    let _ = write!(
        text,
        "\n# More keys of a provider stand below its first. Keys of one account share its limits:\n\
         # [[provider.key]]\n# name = \"key-2\"\n# secret = \"file:keys/{first}.key-2\"\n\
         # quota_group = \"org-1\"\n# weight = 2                              # under pick = \"weighted\"\n\
         # enabled = false\n\n\
         # The candidates for one model, by the providers' own names:\n\
         # [[route]]\n# model = \"fast\"\n# candidates = [\"{first}/its-own-name\"]\n"
    );
    text.push_str(SURFACES);
    text
}

/// As many spaces as bring a comment behind `secret = "env:…"` to its column.
fn pad(variable: &str) -> usize {
    const COLUMN: usize = 40;
    let taken = "secret = \"env:\"".len() + variable.len();
    COLUMN.saturating_sub(taken).max(2)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::{PRESETS, Source, check};

    #[test]
    fn every_preset_makes_a_good_file_without_a_warning() {
        for preset in PRESETS {
            let starter = Starter::of(preset);
            let dir = tempfile::TempDir::new().expect("a directory for the test");
            fs::write(dir.path().join("keywheel.toml"), text(std::slice::from_ref(&starter))).unwrap();
            let key = |variable| (variable, "sk-starter".to_owned());
            let environment = starter.variable.into_iter().map(key).collect();
            let source = Source { environment, working_dir: dir.path().to_owned(), ..Source::default() };
            let findings = check(&source);
            assert_eq!((findings.problems, findings.warnings), (vec![], vec![]), "{}", preset.name);
        }
    }

    /// Who takes the `# ` away from an example wants it to work.
    #[test]
    fn its_examples_are_good_too() {
        let whole = text(&[Starter::of(PRESETS[0])]);
        let examples: String = whole
            .lines()
            .map(|line| line.strip_prefix("# ").filter(|rest| is_toml(rest)).unwrap_or(line))
            .fold(String::new(), |text, line| text + line + "\n");
        let dir = tempfile::TempDir::new().expect("a directory for the test");
        let file = examples.replace("file:keys/openai.key-2", "env:SECOND");
        fs::write(dir.path().join("keywheel.toml"), &file).unwrap();
        let environment = [("OPENAI_API_KEY", "sk-1"), ("SECOND", "sk-2")];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let source = Source { environment, working_dir: dir.path().to_owned(), ..Source::default() };
        let findings = check(&source);
        assert_eq!(findings.problems, [], "{file}");
        let config = findings.config.expect("there are no mistakes");
        assert_eq!((config.wheel.providers[0].keys.len(), config.wheel.routes.len()), (2, 1));
        assert_eq!(config.admin.listen.map(|listen| listen.port()), Some(9090));
    }

    fn is_toml(line: &str) -> bool {
        line.starts_with('[') || line.split_once(" = ").is_some_and(|(name, _)| !name.contains(' '))
    }
}
