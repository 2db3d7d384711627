//! Where a request belongs in a trace.
//!
//! Source: W3C Trace Context, level 1, sections 3.2 and 4.

use std::fmt;

/// A place in a trace, as `traceparent` tells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TraceContext {
    /// Of the whole trace.
    pub trace_id: u128,
    /// Of this request in it.
    pub span_id: u64,
    /// Of whoever asked, if it said so.
    pub parent: Option<u64>,
    /// Whether it is recorded.
    pub sampled: bool,
}

impl TraceContext {
    /// Begins a trace; one in so many is recorded.
    fn fresh(one_in: u64) -> Self {
        let sampled = fastrand::u64(0..one_in.max(1)) == 0;
        Self { trace_id: fastrand::u128(1..), span_id: fastrand::u64(1..), parent: None, sampled }
    }

    /// Goes on with the trace that a request brings; begins one where it brings none that can be read, and one in
    /// so many of these is recorded.
    pub fn of(traceparent: Option<&str>, one_in: u64) -> Self {
        traceparent.and_then(parse).map_or_else(
            || Self::fresh(one_in),
            |(trace_id, parent, sampled)| Self {
                trace_id,
                span_id: fastrand::u64(1..),
                parent: Some(parent),
                sampled,
            },
        )
    }

    /// The trace's id, as it is written.
    pub fn trace(&self) -> String {
        format!("{:032x}", self.trace_id)
    }
}

/// As a `traceparent` for whoever is asked next.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, u8::from(self.sampled))
    }
}

/// Trace, parent and whether it is recorded.
fn parse(text: &str) -> Option<(u128, u64, bool)> {
    let mut parts = text.split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |part: &str, digits: usize| {
        part.len() == digits && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_whole = is_hex(version, 2) && is_hex(trace, 32) && is_hex(parent, 16) && is_hex(flags, 2);
    // A later version may have more parts; this one has these.
    if !is_whole || version == "ff" || version == "00" && parts.next().is_some() {
        return None;
    }
    let trace = u128::from_str_radix(trace, 16).ok().filter(|trace| *trace != 0)?;
    let parent = u64::from_str_radix(parent, 16).ok().filter(|parent| *parent != 0)?;
    let flags = u8::from_str_radix(flags, 16).ok()?;
    Some((trace, parent, flags & 1 == 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_trace_goes_on_under_a_span_of_ours() {
        let context = TraceContext::of(Some(GIVEN), 1);
        assert_eq!(context.trace(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!((context.parent, context.sampled), (Some(0x00f0_67aa_0ba9_02b7), true));
        let next = TraceContext::of(Some(&context.to_string()), 1);
        assert_eq!((next.trace_id, next.parent), (context.trace_id, Some(context.span_id)));
        assert!(!TraceContext::of(Some(&GIVEN.replace("-01", "-00")), 1).sampled);
    }

    #[test]
    fn of_traces_that_begin_here_some_are_recorded() {
        fastrand::seed(1);
        let recorded = |one_in| (0..1_000).filter(|_| TraceContext::of(None, one_in).sampled).count();
        assert_eq!(recorded(1), 1_000);
        assert!((50..=160).contains(&recorded(10)));
        assert!(TraceContext::of(Some(GIVEN), 1_000_000).sampled, "whoever began it has decided");
    }

    #[test]
    fn what_cannot_be_read_begins_a_new_one() {
        for wrong in [
            "",
            "00",
            &GIVEN.to_uppercase(),
            &GIVEN.replace("00-4", "ff-4"),
            &format!("{GIVEN}-x"),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceContext::of(Some(wrong), 1).parent, None, "{wrong}");
        }
        assert!(TraceContext::of(Some(&format!("{}-x", GIVEN.replace("00-4", "01-4"))), 1).parent.is_some());
    }
}
