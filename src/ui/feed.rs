//! The latest happenings, a line each: what a person would want to be told.

use std::collections::{BTreeSet, VecDeque};

use keywheel_actors::board::{KeyState, KeyStatus};
use keywheel_actors::clock::Moment;
use keywheel_actors::event::{Event, EventKind};
use keywheel_actors::id::{KeyId, ProviderId};
use keywheel_actors::unit::format_duration;

use super::style::{Colour, Style};

/// Lines that are kept: a block must not fill the terminal.
const LINES_MAX: usize = 5;

/// The latest happenings.
#[derive(Clone, Debug, Default)]
pub struct Feed {
    lines: VecDeque<Line>,
    out_of_order: BTreeSet<KeyId>,
    helping: BTreeSet<(ProviderId, ProviderId)>,
}

/// One happening.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    at: Moment,
    colour: Colour,
    text: String,
}

impl Line {
    /// As shown to people.
    pub fn draw(&self, style: Style) -> String {
        style.paint(self.colour, &format!("{:>6.1}s  {}", self.at.since_start().as_secs_f64(), self.text))
    }
}

impl Feed {
    /// Takes note of an event; gives its line if it is worth one.
    ///
    /// Throttles come by the hundred and are seen in the strips, so they have none.
    pub fn note(&mut self, event: &Event) -> Option<&Line> {
        let (colour, text) = self.tell(&event.kind, event.at)?;
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back(Line { at: event.at, colour, text });
        self.lines.back()
    }

    /// The lines, the oldest first.
    pub fn lines(&self, style: Style) -> impl Iterator<Item = String> {
        self.lines.iter().map(move |line| line.draw(style))
    }

    fn tell(&mut self, kind: &EventKind, now: Moment) -> Option<(Colour, String)> {
        match kind {
            EventKind::KeyChanged { key, status } => self.tell_key(key, status, now),
            EventKind::KeyRestarted { key } => {
                Some((Colour::Yellow, format!("{key}: its actor crashed and was started again")))
            }
            EventKind::ProviderRested { provider, until, why } => {
                let rest = format_duration(until.since(now));
                Some((Colour::Red, format!("{provider} rests as a whole for {rest}: {}", short(why))))
            }
            EventKind::ProviderResumed { provider } => {
                self.helping.retain(|(from, _)| from != provider);
                Some((Colour::Green, format!("{provider} is well again")))
            }
            EventKind::ProviderRestarted { provider } => {
                Some((Colour::Yellow, format!("{provider}: its actor crashed and was started again")))
            }
            EventKind::ProviderLost { provider } => {
                Some((Colour::Red, format!("{provider}: its actor crashed too often and was given up")))
            }
            EventKind::FellBack { from, to, .. } => self
                .helping
                .insert((from.clone(), to.clone()))
                .then(|| (Colour::Yellow, format!("{to} takes over jobs of {from}"))),
            EventKind::StateNotKept { why } => {
                Some((Colour::Red, format!("the state isn't kept, a restart will forget: {}", short(why))))
            }
            EventKind::StateKept => Some((Colour::Green, "the state is kept again".to_owned())),
            // Whoever reloads tells of it.
            EventKind::CallFailed { .. } | EventKind::Reloaded { .. } => None,
        }
    }

    fn tell_key(&mut self, key: &KeyId, status: &KeyStatus, now: Moment) -> Option<(Colour, String)> {
        match status.state {
            KeyState::Failed | KeyState::Disabled => {
                self.out_of_order.insert(key.clone());
                Some((Colour::Red, format!("{key} is {}", super::keys::why(status, now))))
            }
            KeyState::Active if self.out_of_order.remove(key) => {
                Some((Colour::Green, format!("{key} is active again")))
            }
            KeyState::Active | KeyState::RateLimited => None,
        }
    }
}

/// The beginning of a provider's message: the log has the rest.
fn short(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use keywheel_actors::board::{Cause, Why};
    use keywheel_actors::id::JobId;
    use keywheel_actors::outcome::{Reason, Scope};

    use super::*;

    fn told(feed: &mut Feed, kind: EventKind) -> Option<String> {
        let at = Moment::after_start(Duration::from_millis(2_500));
        feed.note(&Event { at, kind }).map(|line| line.draw(Style::Plain))
    }

    fn key() -> KeyId {
        KeyId { provider: "p".into(), key: "k1".into() }
    }

    fn status(state: KeyState, reason: Reason) -> KeyStatus {
        let why = Why { cause: Cause::Fault(reason), scope: Scope::Key, until: None, message: "".into() };
        KeyStatus { state, why: (state != KeyState::Active).then_some(why) }
    }

    #[test]
    fn a_key_is_told_of_when_it_dies_and_when_it_is_back() {
        let mut feed = Feed::default();
        let dead = status(KeyState::Disabled, Reason::BadCredential);
        let line = told(&mut feed, EventKind::KeyChanged { key: key(), status: dead });
        assert_eq!(line.as_deref(), Some("   2.5s  p/k1 is disabled: bad_credential"));
        let well = || EventKind::KeyChanged { key: key(), status: KeyStatus::default() };
        assert_eq!(told(&mut feed, well()).as_deref(), Some("   2.5s  p/k1 is active again"));
        assert_eq!(told(&mut feed, well()), None);
        let throttled = status(KeyState::RateLimited, Reason::Throttled);
        assert_eq!(told(&mut feed, EventKind::KeyChanged { key: key(), status: throttled }), None);
    }

    #[test]
    fn fallback_is_told_once_until_the_first_provider_is_well() {
        let mut feed = Feed::default();
        let fell = || EventKind::FellBack {
            job: JobId(1),
            from: "p".into(),
            to: "q".into(),
            why: "no key of `p` is free".to_owned(),
        };
        assert_eq!(told(&mut feed, fell()).as_deref(), Some("   2.5s  q takes over jobs of p"));
        assert_eq!(told(&mut feed, fell()), None);
        told(&mut feed, EventKind::ProviderResumed { provider: "p".into() });
        assert!(told(&mut feed, fell()).is_some());
    }

    #[test]
    fn only_the_latest_lines_are_kept() {
        let mut feed = Feed::default();
        for _ in 0..20 {
            told(&mut feed, EventKind::KeyRestarted { key: key() });
        }
        assert_eq!(feed.lines(Style::Plain).count(), LINES_MAX);
    }
}
