//! A forecast as people read it.

use std::fmt::Write as _;
use std::time::Duration;

use keywheel_actors::spec::Dimension;
use keywheel_actors::unit::format_duration;

use super::survey::{Forecast, ForecastRows};
use super::time::{Bottleneck, ForecastTime};
use crate::batch::budget::gate::OUTPUT_TOKENS_UNSAID;
use crate::ui::number::count;

/// More lines are counted, not named.
const LINES_NAMED_MAX: usize = 10;

/// Each part on a line of its own.
pub fn forecast_text(forecast: &Forecast) -> String {
    let mut lines = vec![rows(&forecast.rows), tokens(forecast), cost(forecast)];
    if let [_, _, ..] = &forecast.by_model[..] {
        lines.extend(forecast.by_model.iter().map(|model| {
            let cost = model.cost.map_or_else(|| "no price".to_owned(), |cost| cost.rounded().to_string());
            format!(
                "        {}/{}: {} rows, {} in, at most {} out, {cost}",
                model.provider,
                model.model,
                count(model.rows),
                count(model.input_tokens),
                count(model.output_tokens),
            )
        }));
    }
    lines.push(time(&forecast.time));
    lines.push("nothing was sent and nothing written".to_owned());
    lines.join("\n")
}

fn rows(rows: &ForecastRows) -> String {
    let mut text = format!("rows    {} to run, {} done before", count(rows.new), count(rows.done_before));
    for (number, what, lines) in [
        (rows.bad, "bad", rows.bad_lines.as_slice()),
        (rows.duplicates, "duplicates", rows.duplicate_lines.as_slice()),
        (rows.beyond_max_rows, "beyond --max-rows", &[]),
        (rows.unserved, "that nobody serves", &[]),
    ] {
        if number > 0 {
            let _ = write!(text, ", {} {what}{}", count(number), named(lines));
        }
    }
    text
}

fn named(lines: &[u64]) -> String {
    let named: Vec<String> = lines.iter().take(LINES_NAMED_MAX).map(u64::to_string).collect();
    match (named.as_slice(), lines.len()) {
        ([], _) => String::new(),
        ([line], _) => format!(" (line {line})"),
        (_, more) if more > LINES_NAMED_MAX => format!(" (lines {}, …)", named.join(", ")),
        (_, _) => format!(" (lines {})", named.join(", ")),
    }
}

fn tokens(forecast: &Forecast) -> String {
    let mut text = format!(
        "tokens  ~{} in, at most ~{} out",
        count(forecast.input_tokens),
        count(forecast.output_tokens)
    );
    if forecast.rows.output_unsaid > 0 {
        let unsaid = count(forecast.rows.output_unsaid);
        let _ = write!(text, " ({unsaid} rows name no maximum: {} each)", count(OUTPUT_TOKENS_UNSAID));
    }
    text
}

fn cost(forecast: &Forecast) -> String {
    let Some(cost) = &forecast.cost else {
        return "cost    unknown: the configuration has no `[[price]]`".to_owned();
    };
    match cost.most {
        Some(most) => format!("cost    at most ~{} {}", most.rounded(), cost.currency),
        None => format!("cost    unknown: no price for {}", forecast.unpriced.join(", ")),
    }
}

fn time(time: &ForecastTime) -> String {
    let Some(least) = time.least_s else {
        return match &time.undeclared[..] {
            [] => "time    unknown".to_owned(),
            keys => format!("time    unknown: no limits declared for {}", keys.join(", ")),
        };
    };
    let mut text = format!("time    at least {}", seconds(least));
    if let Some(bottleneck) = &time.bottleneck {
        let _ = write!(text, ", by {}", bound(bottleneck));
    }
    text
}

fn bound(bottleneck: &Bottleneck) -> String {
    let Bottleneck { provider, limit, accounts, key, another_saves_s } = bottleneck;
    let limit = match limit {
        Dimension::Requests => "requests",
        Dimension::Tokens => "tokens",
        Dimension::InputTokens => "input tokens",
        Dimension::OutputTokens => "output tokens",
    };
    let accounts = if *accounts == 1 { "1 account".to_owned() } else { format!("{accounts} accounts") };
    let mut text = format!("the {limit} that {provider} grants to {accounts}");
    if *another_saves_s > 0.0 {
        let _ = write!(text, "; another key like {key} would save {}", seconds(*another_saves_s));
    }
    text
}

fn seconds(seconds: f64) -> String {
    format_duration(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}
