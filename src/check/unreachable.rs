//! Why no answer came, as far as the words of the network tell.

use keywheel_actors::upstream::TransportError;

use super::finding::Finding;
use super::verdict::Verdict;

/// Words in the causes of a failed connection, what they mean, and what to do. The first row that fits holds.
///
/// The words are those of the client, rustls and the operating system.
const CAUSES: [(&[&str], &str, &str); 5] = [
    (
        &["link-local or metadata address"],
        "the name of its host leads to where no key is sent",
        "look for a slip in `base_url`, and at what this machine's name server says of its host",
    ),
    (
        &["dns error", "failed to lookup address"],
        "the name of its host doesn't resolve",
        "look for a slip in `base_url`, and whether this machine has a network",
    ),
    (
        &["certificate", "tls", "handshake"],
        "the connection can't be made secure",
        "look whether `base_url` names the right host and port, and whether a proxy stands in between",
    ),
    (
        &["connection refused"],
        "nobody listens there",
        "look whether the server runs and `base_url` has its port",
    ),
    (
        &["timed out", "deadline has elapsed"],
        "no connection came about in time",
        "look whether a firewall stands in between, or raise `timeouts.connect`",
    ),
];

/// The verdict on a call that failed for `error`.
pub(super) fn verdict(error: &TransportError) -> Verdict {
    let text = error.to_string();
    let unreachable = |why: &str| Verdict::new(Finding::Unreachable, format!("{why} ({text})"));
    match error {
        TransportError::Connect(_) => {
            let words = text.to_ascii_lowercase();
            let known = CAUSES.iter().find(|(signs, ..)| signs.iter().any(|sign| words.contains(sign)));
            match known {
                Some((_, why, advice)) => unreachable(why).advising(advice),
                None => unreachable("no connection comes about"),
            }
        }
        TransportError::Lost(_) | TransportError::Cut(_) => {
            unreachable("the connection broke before the whole answer was there").advising("try again")
        }
        TransportError::Unsendable(_) | TransportError::Withdrawn => {
            unreachable("the call can't be made").advising("look for a slip in `base_url`")
        }
    }
}

/// The verdict on a call that brought nothing in time.
pub(super) fn too_late(limit: &str) -> Verdict {
    Verdict::new(Finding::Unreachable, format!("no answer came within {limit}"))
        .advising("try again in a few minutes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_causes_of_a_failed_connection_are_told_apart() {
        for (cause, start) in [
            (
                "dns error: failed to lookup address information: Name or service not known",
                "the name of its host",
            ),
            (
                "it is a link-local or metadata address, where a machine in a cloud gets its own credentials",
                "the name of its host leads to where no key is sent",
            ),
            ("invalid peer certificate: UnknownIssuer", "the connection can't be made secure"),
            ("tcp connect error: Connection refused (os error 111)", "nobody listens"),
            ("operation timed out", "no connection came about in time"),
            ("tcp connect error: No route to host (os error 113)", "no connection comes about"),
        ] {
            let verdict = verdict(&TransportError::Connect(cause.to_owned()));
            assert_eq!(verdict.finding, Finding::Unreachable);
            assert!(verdict.says.starts_with(start), "{cause}: {}", verdict.says);
            assert!(verdict.says.ends_with(&format!("(can't connect: {cause})")), "{}", verdict.says);
        }
    }
}
