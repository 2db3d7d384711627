//! Durations as a configuration has them: exact, and in one unit.

use std::time::Duration;

/// `24h`, `60s` or `250ms`: exact to the millisecond, as far as timers go.
pub(super) fn exact(duration: Duration) -> String {
    let millis = duration.as_millis();
    match (millis % 1_000, millis % 3_600_000) {
        (_, 0) => format!("{}h", millis / 3_600_000),
        (0, _) => format!("{}s", millis / 1_000),
        _ => format!("{millis}ms"),
    }
}

#[cfg(test)]
mod tests {
    use keywheel_actors::unit::parse_duration;

    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for (millis, text) in [(1, "1ms"), (1_500, "1500ms"), (90_000, "90s"), (86_400_000, "24h")] {
            let duration = Duration::from_millis(millis);
            assert_eq!(exact(duration), text);
            assert_eq!(parse_duration(text), Some(duration));
        }
    }
}
