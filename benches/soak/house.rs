//! The gateway and its two providers.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use keywheel::sim::{FaultRates, HeaderStyle, Latency, LimitSpec, Pace, Shape, Sim, SimSpec, provider_toml};
use keywheel_actors::spec::MINUTE;
use serde_json::Value;
use tempfile::TempDir;

use crate::process::Process;

/// How long clients wait.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
/// Keys of the ill provider.
pub(crate) const ILL_KEYS: usize = 6;
/// What is said before the providers: answers that stall are given up after a second.
const HEAD: &str = "[state]\ndir = \"state\"\n[server]\naccess_log = \"access.jsonl\"\n\
                    [timeouts]\nidle = \"1s\"\nwhole_content = \"1s\"\nfirst_content_with_fallback = \"1s\"\n";

/// Three calls of ten fail. A stall is longer than anybody waits.
const FAULTS: FaultRates = FaultRates {
    error: 0.12,
    overloaded: 0.05,
    cut: 0.05,
    stall: 0.03,
    in_band: 0.05,
    cut_short: 0.0,
    stall_for: Duration::from_secs(5),
};

/// All that runs.
pub(crate) struct House {
    home: TempDir,
    pub(crate) gateway: Process,
    /// Where requests go.
    pub(crate) url: String,
    /// Where its admin interface is.
    pub(crate) admin: String,
    pub(crate) client: reqwest::Client,
    pub(crate) ill: Sim,
    pub(crate) well: Sim,
}

impl House {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let pace = Pace {
            first_byte: Latency::Uniform { from: Duration::from_millis(10), to: Duration::from_millis(80) },
            chunk_gap: Latency::Uniform { from: Duration::ZERO, to: Duration::from_millis(10) },
            ..Pace::default()
        };
        // Nobody tells the gateway of these.
        let unsaid = LimitSpec::requests(30, Duration::from_secs(1));
        let ill = SimSpec {
            pace,
            faults: FAULTS,
            headers: HeaderStyle::RetryAfter,
            ..SimSpec::with_keys(ILL_KEYS)
        };
        let ill = Sim::start_on_thread(ill.limited(unsaid))?;
        let said = LimitSpec::requests(6_000, MINUTE).shaped(Shape::TokenBucket { burst: 50 });
        let well = Sim::start_on_thread(SimSpec { pace, ..SimSpec::with_keys(4) }.limited(said))?;
        let home = tempfile::tempdir().context("no directory for the run")?;
        fs::write(home.path().join("keywheel.toml"), config(&ill, &well, None))?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_keywheel"));
        command.current_dir(home.path()).env_clear().env("HOME", home.path());
        command.args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--json"]);
        command.stderr(File::create(home.path().join("log"))?);
        let gateway = Process::start(&mut command)?;
        let start: Value = serde_json::from_str(&gateway.line()?)?;
        let of = |name: &str| {
            let url = start[name].as_str().with_context(|| format!("the gateway doesn't tell its `{name}`"));
            url.map(str::to_owned)
        };
        let (url, admin) = (of("listening")?, of("admin")?);
        // Longer than the gateway may take: what ends later is noticed.
        let client = reqwest::Client::builder().timeout(2 * DEADLINE).tcp_nodelay(true).build()?;
        Ok(Self { home, gateway, url, admin, client, ill, well })
    }

    /// The configuration without one of the ill provider's keys.
    pub(crate) fn without(&self, key: usize) -> String {
        config(&self.ill, &self.well, Some(key))
    }

    /// Replaces the configuration in one step.
    pub(crate) fn configure(&self, text: &str) -> anyhow::Result<()> {
        let next = self.path("next.toml");
        fs::write(&next, text)?;
        Ok(fs::rename(next, self.path("keywheel.toml"))?)
    }

    /// Asks the admin interface; gives the status and the text.
    pub(crate) async fn ask_admin(&self, path: &str, body: Option<String>) -> anyhow::Result<(u16, String)> {
        let url = format!("{}{path}", self.admin);
        let request = match body {
            Some(body) => self.client.post(url).header("content-type", "application/json").body(body),
            None => self.client.get(url),
        };
        let answer = request.send().await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Ends the gateway as an operator does, and waits for that.
    pub(crate) fn end(&self) -> anyhow::Result<()> {
        self.gateway.signal("TERM")?;
        while self.gateway.line().is_ok() {}
        Ok(())
    }
}

fn config(ill: &Sim, well: &Sim, without: Option<usize>) -> String {
    let provider = |sim: &Sim, id: &str, without: Option<usize>| {
        let mut spec = sim.spec().clone();
        if let Some(key) = without {
            spec.keys.remove(key);
        }
        provider_toml(&sim.base_url(), &spec).replacen("\"sim\"", &format!("\"{id}\""), 1)
    };
    format!("{HEAD}{}{}", provider(ill, "ill", without), provider(well, "well", None))
}
