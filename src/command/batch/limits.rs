//! How far a run may go: money, rows and time.

use std::io;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use keywheel_actors::clock::{Clock, Moment};
use keywheel_actors::unit::parse_duration;

use crate::batch::{Budget, DoneBefore, Forecast, Input, Reckoner, RunLimits, forecast};
use crate::config::Config;
use crate::exit::UsageError;
use crate::money::Money;
use crate::ui::bar::bar;
use crate::ui::number::percent;
use crate::ui::screen::Screen;

use super::input::InputArgs;

/// The width of the bar while the input is read, in characters.
const BAR_CELLS: usize = 30;

/// How far it may go.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct LimitArgs {
    /// Only tell what the run would take: rows, tokens, cost, time; no call is made and no file touched
    #[arg(long)]
    pub(super) dry_run: bool,

    /// Take no more rows once this much could be spent, such as 5.00
    ///
    /// Each row under way reserves what it can cost by the prices of the configuration, so that the sum isn't
    /// exceeded if the estimates hold. The same command with a larger sum goes on.
    #[arg(long, value_name = "AMOUNT")]
    max_cost: Option<Money>,

    /// Take at most so many of the rows that aren't done yet
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) max_rows: Option<u64>,

    /// Take no more rows after this time, such as `6h`, `18:30` or `2026-01-02T03:04:05Z`
    ///
    /// A time without a date is the next such time here. Rows under way then are left for the next run.
    #[arg(long, value_name = "WHEN")]
    deadline: Option<String>,
}

impl LimitArgs {
    /// Whether the input has to be looked through for models without a price: there is a budget, and the input
    /// can be read twice.
    pub(super) fn wants_prices(&self, input: &InputArgs) -> bool {
        self.max_cost.is_some() && input.is_file()
    }

    /// Makes sure that a budget can be kept.
    ///
    /// # Errors
    /// [`UsageError`] if a row may be answered by somebody whose price isn't known; if the input can't be read.
    pub(super) fn refuse_unpriced(
        &self,
        input: &InputArgs,
        done: DoneBefore,
        config: &Config,
        screen: &mut Screen,
    ) -> anyhow::Result<()> {
        let forecast = self.forecast(input.open()?, done, config, screen).context("can't read the input")?;
        if forecast.unpriced.is_empty() {
            return Ok(());
        }
        let models = forecast.unpriced.join(", ");
        let problem = format!("--max-cost can't be kept: there is no price for {models}");
        let hint = "add a `[[price]]` for each, by the provider's own name of the model".to_owned();
        Err(UsageError { problem, hint }.into())
    }

    /// What they mean under `config`, now.
    ///
    /// # Errors
    /// [`UsageError`] if a budget can't be kept, or the deadline is no time or over.
    pub(super) fn resolve(&self, config: &Config, clock: Clock) -> Result<RunLimits, UsageError> {
        let cost = self.max_cost.map(|most| budget(most, config)).transpose()?;
        let deadline = match &self.deadline {
            None => Moment::NEVER,
            Some(when) => clock.now() + until(when, &now_here(clock))?,
        };
        Ok(RunLimits { prices: config.prices.clone(), cost, rows_max: self.max_rows, deadline })
    }
}

impl LimitArgs {
    /// What the run would take, with a bar on `screen` while the input is read.
    ///
    /// # Errors
    /// If the input can't be read.
    pub(super) fn forecast(
        &self,
        input: Input,
        done: DoneBefore,
        config: &Config,
        screen: &mut Screen,
    ) -> io::Result<Forecast> {
        let told = |share: f64| match screen {
            Screen::Live(block) => {
                block.show(&[format!("{} reading, {}", bar(share, BAR_CELLS), percent(share, 0))]);
            }
            Screen::Lines | Screen::Json | Screen::Quiet => {}
        };
        let forecast = forecast(input, done, &config.wheel, &config.prices, self.max_rows, told);
        if let Screen::Live(block) = screen {
            block.clear();
        }
        forecast
    }
}

fn budget(most: Money, config: &Config) -> Result<Budget, UsageError> {
    if config.prices.list.is_empty() {
        return Err(UsageError {
            problem: "--max-cost needs prices, and the configuration has none".to_owned(),
            hint: "add a `[[price]]` with `model`, `input` and `output`, per million tokens".to_owned(),
        });
    }
    Ok(Budget { most, reckoner: Reckoner::new(&config.wheel, &config.prices) })
}

/// The date and time of here and now.
fn now_here(clock: Clock) -> Zoned {
    let now = Timestamp::try_from(clock.today()).unwrap_or(Timestamp::UNIX_EPOCH);
    now.to_zoned(TimeZone::system())
}

/// Time from `now` to what somebody wrote as a deadline.
fn until(when: &str, now: &Zoned) -> Result<Duration, UsageError> {
    if let Some(duration) = parse_duration(when) {
        return Ok(duration);
    }
    let Some(end) = time_of(when, now) else {
        return Err(UsageError {
            problem: format!("--deadline: `{when}` is no time"),
            hint: "write `6h`, `18:30`, `2026-01-02 18:30` or `2026-01-02T03:04:05Z`".to_owned(),
        });
    };
    let past = || UsageError {
        problem: format!("--deadline: `{when}` is over"),
        hint: "choose a time to come; `6h` is in six hours".to_owned(),
    };
    SystemTime::from(end).duration_since(SystemTime::from(now.timestamp())).map_err(|_| past())
}

/// A date with its zone; else a date and time of here; else the next such time here.
fn time_of(when: &str, now: &Zoned) -> Option<Timestamp> {
    if let Ok(timestamp) = when.parse::<Timestamp>() {
        return Some(timestamp);
    }
    let zone = now.time_zone();
    if let Ok(date_time) = when.parse::<DateTime>() {
        return Some(date_time.to_zoned(zone.clone()).ok()?.timestamp());
    }
    let time: Time = when.parse().ok()?;
    let today = now.date().to_datetime(time).to_zoned(zone.clone()).ok()?.timestamp();
    if today > now.timestamp() {
        return Some(today);
    }
    let tomorrow = now.date().tomorrow().ok()?.to_datetime(time);
    Some(tomorrow.to_zoned(zone.clone()).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 15:00 in Berlin, on the day before the clocks there go forward.
    fn now() -> Zoned {
        "2026-03-28T15:00:00+01:00[Europe/Berlin]".parse().unwrap()
    }

    fn minutes(when: &str) -> Result<u64, String> {
        until(when, &now()).map(|left| left.as_secs() / 60).map_err(|error| error.problem)
    }

    #[test]
    fn a_deadline_is_a_duration_a_time_or_a_date() {
        assert_eq!(minutes("6h"), Ok(360));
        assert_eq!(minutes("90s"), Ok(1));
        assert_eq!(minutes("18:30"), Ok(210));
        assert_eq!(minutes("14:00"), Ok(22 * 60), "tomorrow, in a night that is an hour shorter");
        assert_eq!(minutes("2026-03-28T16:00"), Ok(60));
        assert_eq!(minutes("2026-03-28 16:00:00"), Ok(60));
        assert_eq!(minutes("2026-03-28T14:01:00Z"), Ok(1));
        assert_eq!(minutes("2026-03-28T18:00:00+04:00"), Ok(0));
    }

    #[test]
    fn what_is_no_time_or_over_is_told() {
        assert_eq!(minutes("soon"), Err("--deadline: `soon` is no time".to_owned()));
        assert_eq!(minutes("6"), Err("--deadline: `6` is no time".to_owned()));
        assert_eq!(
            minutes("2026-03-28T13:59:00Z"),
            Err("--deadline: `2026-03-28T13:59:00Z` is over".to_owned())
        );
    }

    #[test]
    fn a_budget_needs_prices() {
        let refused = budget("5".parse().unwrap(), &Config::default()).unwrap_err();
        assert_eq!(refused.problem, "--max-cost needs prices, and the configuration has none");
    }
}
