//! What refusals and successes mean, in exact moments.

use super::*;

fn at(millis: u64) -> Moment {
    Moment::after_start(Duration::from_millis(millis))
}

/// One provider and its refusals, in milliseconds. No key was ever accepted unless a story says so.
#[derive(Default)]
struct Story {
    guard: IncidentGuard<char>,
}

impl Story {
    /// A call that began then is refused now, while so many other keys may still be tried.
    fn refused(&mut self, now: u64, key: char, began: u64, others_usable: usize) -> Finding<char> {
        let others = Others { usable: others_usable, asked_at: None };
        self.guard.refused(at(now), key, at(began), None, others)
    }

    /// The call began as soon as the refusal before had come.
    fn refused_at_once(&mut self, now: u64, key: char, others_usable: usize) -> Finding<char> {
        self.refused(now, key, now, others_usable)
    }

    /// A call that began then is accepted now; the keys that get another call for it.
    fn accepted(&mut self, now: u64, key: char, began: u64) -> String {
        self.guard.accepted(at(now), key, at(began)).into_iter().collect()
    }

    /// Four keys are refused within milliseconds, by calls that began at 0.
    fn all_refused() -> Self {
        let mut story = Self::default();
        for (now, key, others_usable) in [(10, 'a', 3), (11, 'b', 2), (12, 'c', 1)] {
            assert_eq!(story.refused(now, key, 0, others_usable), Finding::KeysFault);
        }
        let all = Finding::ProvidersFault(vec!['a', 'b', 'c', 'd']);
        assert_eq!(story.refused(13, 'd', 0, 0), all);
        story
    }
}

#[test]
fn one_bad_key_is_its_own_fault() {
    assert_eq!(Story::default().refused_at_once(1, 'a', 9), Finding::KeysFault);
    assert_eq!(Story::default().refused_at_once(1, 'a', 0), Finding::KeysFault, "even as the only one");
    let mut story = Story::default();
    for now in 1..=3 {
        assert_eq!(story.refused(now, 'a', 0, 49), Finding::KeysFault, "three calls, one key");
    }
    assert_eq!(story.accepted(50, 'b', 4), "", "who is refused alone isn't tried again");
}

#[test]
fn all_keys_refused_is_the_providers_fault() {
    Story::all_refused();
}

#[test]
fn while_an_incident_lasts_no_refusal_says_anything_about_a_key() {
    let mut story = Story::all_refused();
    assert_eq!(story.refused(14, 'b', 0, 4), Finding::Straggler, "it was under way");
    assert_eq!(story.refused(15_020, 'b', 15_000, 4), Finding::Straggler, "a probe in the incident");
    story.guard.over(at(17_050));
    assert_eq!(story.refused(17_060, 'c', 17_049, 4), Finding::Straggler, "it began before that was known");
    assert_eq!(story.refused(17_060, 'c', 17_050, 3), Finding::KeysFault, "its next call disables it");
}

#[test]
fn who_was_refused_in_an_incident_is_known_until_it_is_over() {
    let mut story = Story::all_refused();
    story.refused(14, 'd', 0, 4);
    assert!(story.guard.tried().is_empty(), "nobody has tried since");
    for (now, key) in [(15_020, 'a'), (16_020, 'b'), (17_020, 'a')] {
        story.refused(now, key, now - 20, 4);
    }
    assert_eq!(story.guard.tried(), ['a', 'b']);
    story.guard.forget('a');
    assert_eq!(story.guard.tried(), ['b']);
    story.guard.try_all_again();
    assert!(story.guard.tried().is_empty());
    story.refused(18_020, 'c', 18_000, 4);
    story.guard.over(at(19_000));
    assert!(story.guard.tried().is_empty());
}

#[test]
fn only_an_incident_can_be_over() {
    let mut story = Story::default();
    story.guard.over(at(5));
    assert_eq!(story.refused(6, 'a', 0, 9), Finding::KeysFault);
}

#[test]
fn who_was_refused_with_others_gets_one_call_when_somebody_is_accepted() {
    let mut story = Story::default();
    for (now, key, others_usable) in [(1, 'a', 9), (2, 'b', 8), (3, 'c', 7)] {
        assert_eq!(story.refused(now, key, 0, others_usable), Finding::KeysFault);
    }
    assert_eq!(story.accepted(40, 'd', 0), "", "that call began before all refusals");
    assert_eq!(story.accepted(50, 'd', 3), "abc");
    for (now, key, others_usable) in [(60, 'a', 9), (61, 'b', 8), (62, 'c', 7)] {
        assert_eq!(story.refused(now, key, 51, others_usable), Finding::KeysFault);
    }
    assert_eq!(story.accepted(100, 'd', 63), "", "but only one");
    assert_eq!(story.refused(2_500, 'e', 2_490, 6), Finding::KeysFault, "they were answered for");
    assert_eq!(story.accepted(2_600, 'd', 2_501), "", "one more is refused alone");
}

#[test]
fn a_refusal_that_comes_when_others_serve_again_belongs_to_those_before() {
    let mut story = Story::default();
    assert_eq!(story.refused(10, 'a', 0, 3), Finding::KeysFault);
    assert_eq!(story.accepted(30, 'd', 11), "", "one of four is refused alone");
    assert_eq!(story.refused(40, 'b', 0, 2), Finding::Doubtful(vec!['a', 'b']), "not alone after all");
    assert_eq!(story.refused(50, 'c', 39, 4), Finding::Straggler, "it began before that came out");
    assert_eq!(story.refused(60, 'b', 41, 3), Finding::KeysFault, "and this after it");
}

#[test]
fn a_key_that_is_accepted_after_it_was_refused_clears_all_who_were_refused_with_it() {
    let mut story = Story::default();
    assert_eq!(story.refused(10, 'a', 0, 49), Finding::KeysFault);
    assert_eq!(story.refused(11, 'b', 0, 48), Finding::KeysFault);
    assert_eq!(story.accepted(20, 'b', 0), "", "which of its two calls came first, nobody knows");
    assert_eq!(story.accepted(30, 'b', 5), "ab");
    assert_eq!(story.refused(40, 'c', 0, 49), Finding::Straggler);
    assert_eq!(story.accepted(50, 'a', 31), "", "it has proven itself");
    assert_eq!(story.refused(60, 'a', 55, 49), Finding::KeysFault, "and is like all others again");
}

#[test]
fn a_refusal_that_comes_after_its_key_was_accepted_is_no_fault_of_the_key() {
    let mut story = Story::default();
    assert_eq!(story.accepted(20, 'a', 5), "");
    let mut refused = |began| story.guard.refused(at(30), 'a', at(began), Some(at(5)), Others::default());
    assert_eq!(refused(4), Finding::Doubtful(vec!['a']));

    let mut story = Story::default();
    assert_eq!(story.accepted(20, 'a', 5), "");
    let mut refused = |began| story.guard.refused(at(30), 'a', at(began), Some(at(5)), Others::default());
    assert_eq!(refused(5), Finding::KeysFault, "which came first, nobody knows");
    assert_eq!(refused(6), Finding::KeysFault);
    assert_eq!(refused(4), Finding::KeysFault, "a later call of the same key was refused");
}

#[test]
fn without_any_success_three_of_fifty_are_enough_after_a_while() {
    let mut story = Story::default();
    assert_eq!(story.refused_at_once(1, 'a', 49), Finding::KeysFault);
    assert_eq!(story.refused_at_once(500, 'b', 48), Finding::KeysFault);
    assert_eq!(story.refused_at_once(2_000, 'c', 47), Finding::KeysFault, "a millisecond early");
    let all = Finding::ProvidersFault(vec!['a', 'b', 'c', 'd']);
    assert_eq!(story.refused_at_once(2_001, 'd', 46), all);
}

#[test]
fn a_call_that_began_since_and_isnt_refused_is_waited_for() {
    let asked = |asked_at| Others { usable: 47, asked_at: Some(at(asked_at)) };
    let refused_until = |now: u64, asked_at| {
        let mut story = Story::default();
        assert_eq!(story.refused_at_once(100, 'a', 49), Finding::KeysFault);
        assert_eq!(story.refused_at_once(500, 'b', 48), Finding::KeysFault);
        story.guard.refused(at(now), 'c', at(now), None, asked(asked_at))
    };
    let all = || Finding::ProvidersFault(vec!['a', 'b', 'c']);
    assert_eq!(refused_until(45_099, 100), Finding::KeysFault);
    assert_eq!(refused_until(45_100, 45_000), all(), "for so long, and no longer");
    assert_eq!(refused_until(2_100, 99), all(), "one that began before says nothing about it");
}

#[test]
fn keys_refused_again_one_after_the_other_are_an_incident_if_nobody_is_left() {
    let mut story = Story::default();
    assert_eq!(story.refused(1, 'a', 0, 2), Finding::KeysFault);
    assert_eq!(story.refused(2, 'b', 0, 1), Finding::KeysFault);
    assert_eq!(story.accepted(20, 'c', 3), "ab");
    assert_eq!(story.refused(30, 'a', 21, 2), Finding::KeysFault);
    assert_eq!(story.refused(31, 'b', 21, 1), Finding::KeysFault);
    let all = Finding::ProvidersFault(vec!['a', 'b', 'c']);
    assert_eq!(story.refused(32, 'c', 21, 0), all, "it came back");
}

#[test]
fn a_key_that_is_gone_proves_nothing() {
    let mut story = Story::default();
    assert_eq!(story.refused_at_once(1, 'a', 1), Finding::KeysFault);
    story.guard.forget('a');
    assert_eq!(story.refused_at_once(2, 'b', 0), Finding::KeysFault, "the other one was alone");
}

#[test]
fn refusals_a_minute_apart_dont_add_up() {
    let mut story = Story::default();
    assert_eq!(story.refused_at_once(1, 'a', 2), Finding::KeysFault);
    assert_eq!(story.refused_at_once(61_000, 'b', 1), Finding::KeysFault);
    assert_eq!(story.accepted(61_100, 'c', 61_050), "");
    assert_eq!(story.refused_at_once(122_000, 'c', 0), Finding::KeysFault);
}
