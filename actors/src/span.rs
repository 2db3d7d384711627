//! Where a call stands in its request's trace: each call has a span of its own, and its provider is told that one.

use ::http::{HeaderMap, HeaderName, HeaderValue};

/// Where a trace stands in a request. A caller's span in it is replaced by [`of_call`].
///
/// Source: W3C Trace Context, level 1, section 3.2.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The span of a call whose request has the span `request`; calls are counted from 0, as in
/// [`attempts`](crate::outcome::Served::attempts). It follows from these alone, so that whoever records calls later
/// names the span that the provider was told.
pub const fn of_call(request: u64, number: usize) -> u64 {
    // Steele, Lea and Flood, "Fast splittable pseudorandom number generators": SplitMix64.
    let step = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut mixed = request.wrapping_add(step);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    // Nobody's span is 0.
    if mixed == 0 { 1 } else { mixed }
}

/// Puts the span of the call in the place of the request's, where there is one that can be read.
pub(crate) fn tell(headers: &mut HeaderMap, number: usize) {
    let own = headers.get(TRACEPARENT).and_then(|told| {
        let (ids, flags) = told.to_str().ok()?.rsplit_once('-')?;
        let (trace, request) = ids.rsplit_once('-')?;
        let span = of_call(u64::from_str_radix(request, 16).ok()?, number);
        HeaderValue::try_from(format!("{trace}-{span:016x}-{flags}")).ok()
    });
    if let Some(own) = own {
        headers.insert(TRACEPARENT, own);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(request: &'static str, number: usize) -> HeaderMap {
        let mut headers = HeaderMap::from_iter([(TRACEPARENT, HeaderValue::from_static(request))]);
        tell(&mut headers, number);
        headers
    }

    #[test]
    fn each_call_is_told_a_span_of_its_own_in_the_same_trace() {
        const REQUEST: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        for number in 0..3 {
            let span = of_call(0x00f0_67aa_0ba9_02b7, number);
            let wanted = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{span:016x}-01");
            assert_eq!(told(REQUEST, number)[TRACEPARENT], wanted);
        }
        let spans = std::collections::BTreeSet::from([0, 1, 2].map(|number| of_call(7, number)));
        assert_eq!(spans.len(), 3);
    }

    #[test]
    fn what_is_no_span_stays_as_it_came() {
        for odd in ["", "00", "00-a-xyz-01"] {
            assert_eq!(told(odd, 0)[TRACEPARENT], odd);
        }
        let mut none = HeaderMap::new();
        tell(&mut none, 0);
        assert!(none.is_empty());
    }
}
