//! When a run will be over, as far as the quota tells.

use std::time::Duration;

use crate::batch::books::accounts::Permit;

/// Time in which `rows` can be sent: each account gives its rate from the moment on that it works.
///
/// `None` if nothing is left to do, or nobody will ever do it.
pub(in crate::batch) fn by_quota(rows: u64, permits: &[Permit]) -> Option<Duration> {
    if rows == 0 {
        return None;
    }
    let mut permits = permits.to_vec();
    permits.sort_by_key(|permit| permit.after);
    let (mut left, mut per_second, mut now) = (rows as f64, 0.0, Duration::ZERO);
    for permit in permits {
        let until_next = permit.after.saturating_sub(now).as_secs_f64();
        if left <= per_second * until_next {
            break;
        }
        left -= per_second * until_next;
        per_second += permit.per_second;
        now = permit.after;
    }
    now.checked_add(by_pace(left, per_second)?)
}

/// Time for `rows` at this pace; `None` at a standstill.
pub(in crate::batch) fn by_pace(rows: f64, per_second: f64) -> Option<Duration> {
    if rows <= 0.0 || per_second <= 0.0 {
        return None;
    }
    Duration::try_from_secs_f64(rows / per_second).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permit(per_second: f64, after_s: u64) -> Permit {
        Permit { per_second, after: Duration::from_secs(after_s) }
    }

    #[test]
    fn keys_that_come_back_later_help_from_then_on() {
        let secs = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(by_quota(100, &[permit(10.0, 0)]), secs(10));
        assert_eq!(by_quota(100, &[permit(30.0, 5), permit(10.0, 0)]), Some(Duration::from_secs_f64(6.25)));
        assert_eq!(by_quota(50, &[permit(30.0, 5), permit(10.0, 0)]), secs(5), "the second comes too late");
        assert_eq!(by_quota(60, &[permit(30.0, 5)]), secs(7), "all rest");
    }

    #[test]
    fn nothing_to_do_and_nobody_to_do_it_have_no_end() {
        assert_eq!(by_quota(0, &[permit(10.0, 0)]), None);
        assert_eq!(by_quota(7, &[]), None);
        assert_eq!(by_quota(7, &[permit(0.0, 3)]), None);
        assert_eq!(by_pace(7.0, 0.0), None);
    }
}
