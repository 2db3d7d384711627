//! One line for each key: its status, its pace, and what it did in the last seconds.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use keywheel_actors::board::{Cause, KeyState, KeyStatus, KeyView, ProviderView};
use keywheel_actors::clock::Moment;
use keywheel_actors::id::{KeyId, ProviderId};
use keywheel_actors::outcome::Reason;
use keywheel_actors::unit::format_duration;

use super::fit::cut;
use super::number;
use super::strip::{SLOTS_MAX, Strip};
use super::style::{Colour, Style};

/// Keys with a line of their own; a block must not fill the terminal.
const LINES_MAX: usize = 16;

/// Longer names are cut, so that the strips stay under one another.
const NAME_CHARS_MAX: usize = 24;

/// Longer reasons are cut: `rate_limited 12.3s: quota_used_up` still fits.
const WHY_CHARS_MAX: usize = 34;

/// A shorter strip tells less than the counts beside it: three seconds.
const STRIP_CELLS_MIN: usize = 12;

/// Blanks between two columns.
const GAP: usize = 2;

/// The states in the order of every listing.
const STATES: [KeyState; 4] = [KeyState::Active, KeyState::RateLimited, KeyState::Failed, KeyState::Disabled];

/// The strips of all keys.
#[derive(Clone, Debug, Default)]
pub struct KeyPanel {
    strips: BTreeMap<KeyId, Strip>,
}

impl KeyPanel {
    /// Adds one slot to every strip. Call it once each [`super::strip::SLOT`].
    pub fn tick(&mut self, keys: &[(KeyId, KeyView)]) {
        self.strips.retain(|id, _| keys.iter().any(|(known, _)| known == id));
        for (id, view) in keys {
            self.strips.entry(id.clone()).or_default().tick(view);
        }
    }

    /// The lines: one each for the first keys, and one that tells of the others. None is wider than `width`.
    pub fn lines(&self, keys: &[(KeyId, KeyView)], now: Moment, style: Style, width: usize) -> Vec<String> {
        let shown = &keys[..keys.len().min(LINES_MAX)];
        let several_providers = keys.windows(2).any(|pair| pair[0].0.provider != pair[1].0.provider);
        let idle = Strip::default();
        let rows: Vec<Row<'_>> = shown
            .iter()
            .map(|(id, view)| Row::of(id, view, self.strips.get(id).unwrap_or(&idle), now, several_providers))
            .collect();
        let columns = Columns::of(&rows, width);
        let peak = self.strips.values().map(|strip| strip.peak(columns.strip)).max().unwrap_or(0);
        let mut lines: Vec<String> = rows.iter().map(|row| columns.draw(row, peak, style)).collect();
        let others = &keys[shown.len()..];
        if !others.is_empty() {
            let text = format!("… and {} more: {}", others.len(), states(others));
            lines.push(style.paint(Colour::Grey, &cut(&text, width)));
        }
        lines
    }

    /// Calls that a key ended a second, lately; zero for one that isn't known yet.
    pub fn per_second(&self, key: &KeyId) -> f64 {
        self.strips.get(key).map_or(0.0, Strip::per_second)
    }
}

/// The texts of one key's line.
struct Row<'a> {
    mark: &'static str,
    colour: Colour,
    name: String,
    rate: String,
    calls: String,
    in_flight: String,
    strip: &'a Strip,
    why: String,
}

impl<'a> Row<'a> {
    fn of(id: &KeyId, view: &KeyView, strip: &'a Strip, now: Moment, with_provider: bool) -> Self {
        let (mark, colour) = mark(view.status.state);
        let rate = match view.permitted_per_second {
            Some(permitted) => format!("{:.1}/{permitted:.1} /s", strip.per_second()),
            None => format!("{:.1} /s", strip.per_second()),
        };
        Self {
            mark,
            colour,
            name: name(id, with_provider),
            rate,
            calls: format!("{} calls", number::count(view.counts.calls)),
            in_flight: format!("{} in flight", view.in_flight),
            strip,
            why: cut(&why(&view.status, now), WHY_CHARS_MAX),
        }
    }
}

/// How wide each column is. A column without room is 0 wide and not shown.
struct Columns {
    name: usize,
    rate: usize,
    calls: usize,
    in_flight: usize,
    strip: usize,
    why: usize,
}

impl Columns {
    /// Shares `width` out: the strip has what the others leave, and the counts make way for it.
    fn of(rows: &[Row<'_>], width: usize) -> Self {
        let widest = |text: for<'b> fn(&'b Row<'_>) -> &'b str| {
            rows.iter().map(|row| text(row).chars().count()).max().unwrap_or(0)
        };
        let mut columns = Self {
            name: widest(|row| &row.name),
            rate: widest(|row| &row.rate),
            calls: widest(|row| &row.calls),
            in_flight: widest(|row| &row.in_flight),
            strip: 0,
            why: widest(|row| &row.why),
        };
        if columns.room(width) < STRIP_CELLS_MIN {
            columns.in_flight = 0;
        }
        if columns.room(width) < STRIP_CELLS_MIN {
            columns.calls = 0;
        }
        let room = columns.room(width);
        columns.strip = if room < STRIP_CELLS_MIN { 0 } else { room.min(SLOTS_MAX) };
        // In a terminal this narrow a cut reason is still better than a wrapped line.
        let taken = columns.taken() - if columns.why > 0 { columns.why + GAP } else { 0 };
        columns.why = columns.why.min(width.saturating_sub(taken + GAP));
        columns
    }

    /// Cells left for a strip.
    fn room(&self, width: usize) -> usize {
        width.saturating_sub(self.taken() + GAP)
    }

    fn taken(&self) -> usize {
        let columns = [self.rate, self.calls, self.in_flight, self.strip, self.why];
        2 + self.name + columns.iter().filter(|cells| **cells > 0).map(|cells| cells + GAP).sum::<usize>()
    }

    fn draw(&self, row: &Row<'_>, peak: u64, style: Style) -> String {
        let name = self.name;
        let mut line = format!("{} {:<name$}", style.paint(row.colour, row.mark), row.name);
        let strip = row.strip.draw(peak, self.strip);
        let columns = [
            (self.rate, row.rate.as_str()),
            (self.calls, &row.calls),
            (self.in_flight, &row.in_flight),
            (self.strip, &strip),
        ];
        for (cells, text) in columns {
            if cells > 0 {
                // A line in memory takes any text.
                let _ = write!(line, "  {text:>cells$}");
            }
        }
        if self.why > 0 {
            line.push_str("  ");
            line.push_str(&style.paint(row.colour, &cut(&row.why, self.why)));
        }
        line.trim_end().to_owned()
    }
}

/// One line for each provider that rests as a whole.
pub fn resting_lines(providers: &[(ProviderId, ProviderView)], now: Moment, style: Style) -> Vec<String> {
    providers
        .iter()
        .filter_map(|(id, view)| {
            let until = view.resting_until.filter(|until| *until > now)?;
            Some(style.paint(
                Colour::Red,
                &format!("{id} rests as a whole for {}", format_duration(until.since(now))),
            ))
        })
        .collect()
}

/// How many keys are in which state: `20 active, 3 rate_limited`.
pub fn states(keys: &[(KeyId, KeyView)]) -> String {
    let counted: Vec<String> = STATES
        .iter()
        .map(|state| (state, keys.iter().filter(|(_, view)| view.status.state == *state).count()))
        .filter(|(_, count)| *count > 0)
        .map(|(state, count)| format!("{count} {}", state.as_str()))
        .collect();
    if counted.is_empty() { "none".to_owned() } else { counted.join(", ") }
}

/// Status, time left and cause: `rate_limited 12.3s`, `disabled: bad_credential`. Empty for an active key.
///
/// A key is `rate_limited` because it was throttled; that goes without saying.
pub fn why(status: &KeyStatus, now: Moment) -> String {
    if status.state == KeyState::Active {
        return String::new();
    }
    let mut text = status.state.as_str().to_owned();
    let Some(why) = &status.why else {
        return text;
    };
    if let Some(until) = why.until.filter(|until| !until.is_never()) {
        text.push(' ');
        text.push_str(&format_duration(until.since(now)));
    }
    if why.cause != Cause::Fault(Reason::Throttled) {
        text.push_str(": ");
        text.push_str(why.cause.as_str());
    }
    text
}

/// The mark of a status, and its colour.
pub const fn mark(state: KeyState) -> (&'static str, Colour) {
    match state {
        KeyState::Active => ("●", Colour::Green),
        KeyState::RateLimited => ("◐", Colour::Yellow),
        KeyState::Failed | KeyState::Disabled => ("✗", Colour::Red),
    }
}

fn name(id: &KeyId, with_provider: bool) -> String {
    let whole = if with_provider { id.to_string() } else { id.key.to_string() };
    cut(&whole, NAME_CHARS_MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use keywheel_actors::board::{KeyCounts, Why};
    use keywheel_actors::outcome::Scope;

    use super::*;

    const NOW: Moment = Moment::ZERO;

    fn key(provider: &str, name: &str, status: KeyStatus, succeeded: u64) -> (KeyId, KeyView) {
        let id = KeyId { provider: provider.into(), key: name.into() };
        let counts = KeyCounts { calls: succeeded, succeeded, ..KeyCounts::default() };
        (id, KeyView { status, counts, in_flight: 3, permitted_per_second: Some(25.0), ..KeyView::default() })
    }

    fn resting(state: KeyState, cause: Cause, until: Option<Duration>) -> KeyStatus {
        let why = Why {
            cause,
            scope: Scope::Key,
            until: until.map(Moment::after_start),
            message: "said so".into(),
        };
        KeyStatus { state, why: Some(why) }
    }

    fn throttled() -> KeyStatus {
        resting(KeyState::RateLimited, Cause::Fault(Reason::Throttled), Some(Duration::from_millis(12_300)))
    }

    #[test]
    fn a_line_shows_status_pace_strip_and_why() {
        let before = [key("local", "k0", KeyStatus::default(), 1_200), key("local", "spare", throttled(), 7)];
        let after = [key("local", "k0", KeyStatus::default(), 1_204), key("local", "spare", throttled(), 7)];
        let mut panel = KeyPanel::default();
        panel.tick(&before);
        panel.tick(&after);
        let blank = " ".repeat(SLOTS_MAX - 1);
        assert_eq!(
            panel.lines(&after, NOW, Style::Plain, 200),
            [
                format!("● k0     16.0/25.0 /s  1,204 calls  3 in flight  {blank}█"),
                format!("◐ spare   0.0/25.0 /s      7 calls  3 in flight  {blank}░  rate_limited 12.3s"),
            ]
        );
    }

    #[test]
    fn a_narrow_terminal_keeps_what_matters_and_never_wraps() {
        let mut keys =
            vec![key("local", "k0", KeyStatus::default(), 0), key("local", "spare", throttled(), 0)];
        let mut panel = KeyPanel::default();
        for calls in 0..60 {
            keys[0].1.counts.succeeded = calls;
            panel.tick(&keys);
        }
        let drawn = |width| panel.lines(&keys, NOW, Style::Plain, width);
        assert_eq!(
            drawn(60),
            [
                "● k0     4.0/25.0 /s  ██████████████████",
                "◐ spare  0.0/25.0 /s  ░░░░░░░░░░░░░░░░░░  rate_limited 12.3s",
            ]
        );
        assert_eq!(
            drawn(80),
            [
                "● k0     4.0/25.0 /s  0 calls  3 in flight  ████████████████",
                "◐ spare  0.0/25.0 /s  0 calls  3 in flight  ░░░░░░░░░░░░░░░░  rate_limited 12.3s",
            ]
        );
        assert_eq!(drawn(40)[1], "◐ spare  0.0/25.0 /s  rate_limited 12.3s");
        for width in 30..=200 {
            assert!(drawn(width).iter().all(|line| line.chars().count() <= width), "{width}");
        }
    }

    #[test]
    fn colours_go_with_the_status() {
        let disabled = resting(KeyState::Disabled, Cause::Fault(Reason::BadCredential), None);
        let lines = KeyPanel::default().lines(&[key("local", "k0", disabled, 1)], NOW, Style::Coloured, 200);
        assert!(lines[0].starts_with("\u{1b}[31m✗\u{1b}[0m k0 "), "{}", lines[0]);
        assert!(lines[0].ends_with("\u{1b}[31mdisabled: bad_credential\u{1b}[0m"), "{}", lines[0]);
    }

    #[test]
    fn says_why_and_until_when() {
        let cases = [
            (KeyStatus::default(), ""),
            (throttled(), "rate_limited 12.3s"),
            (
                resting(
                    KeyState::RateLimited,
                    Cause::Fault(Reason::QuotaUsedUp),
                    Some(Duration::from_secs(18_000)),
                ),
                "rate_limited 5h: quota_used_up",
            ),
            (
                resting(KeyState::Failed, Cause::Fault(Reason::MoneyGone), Some(Duration::from_secs(900))),
                "failed 15m: money_gone",
            ),
            (resting(KeyState::Disabled, Cause::Operator, None), "disabled: operator"),
            (KeyStatus { state: KeyState::Disabled, why: None }, "disabled"),
        ];
        for (status, text) in cases {
            assert_eq!(why(&status, NOW), text);
        }
    }

    #[test]
    fn with_several_providers_their_names_are_shown_and_long_ones_cut() {
        let keys = [
            key("openai", "team-a", KeyStatus::default(), 0),
            key("vertex", "a-name-that-goes-on-and-on", KeyStatus::default(), 0),
        ];
        let lines = KeyPanel::default().lines(&keys, NOW, Style::Plain, 200);
        assert!(lines[0].starts_with("● openai/team-a            "), "{}", lines[0]);
        assert!(lines[1].starts_with("● vertex/a-name-that-goes… "), "{}", lines[1]);
    }

    #[test]
    fn beyond_sixteen_keys_the_others_are_counted() {
        let mut keys: Vec<_> =
            (0..36).map(|n| key("local", &format!("k{n:02}"), KeyStatus::default(), 0)).collect();
        for place in [20, 21, 22] {
            keys[place].1.status = throttled();
        }
        keys[30].1.status = resting(KeyState::Disabled, Cause::Operator, None);
        let lines = KeyPanel::default().lines(&keys, NOW, Style::Plain, 200);
        assert_eq!(lines.len(), 17);
        assert_eq!(lines[16], "… and 20 more: 16 active, 3 rate_limited, 1 disabled");
    }

    #[test]
    fn a_provider_that_rests_as_a_whole_has_a_line() {
        let rests = ProviderView {
            resting_until: Some(Moment::after_start(Duration::from_secs(4))),
            ..ProviderView::default()
        };
        let providers = [("a".into(), ProviderView::default()), ("b".into(), rests)];
        assert_eq!(resting_lines(&providers, NOW, Style::Plain), ["b rests as a whole for 4.0s"]);
        let later = Moment::after_start(Duration::from_secs(4));
        assert!(resting_lines(&providers, later, Style::Plain).is_empty());
    }
}
