//! Answers that lead elsewhere. Nobody follows them: a key must not travel to where somebody points it.

use ::http::{HeaderMap, StatusCode, header};
use url::Url;

use crate::outcome::{Fault, Reason};
use crate::request::Delivery;

/// What it means that an answer leads elsewhere; `None` for any other answer.
///
/// A path of our own choosing leads elsewhere where the provider's address is wrong: no key can change that, and
/// another provider may serve. A path of the caller's choosing says nothing about the provider (some servers redirect
/// whoever writes a slash too many).
pub(crate) fn fault_in(status: StatusCode, headers: &HeaderMap, delivery: Delivery) -> Option<Fault> {
    // 304 answers a question about a copy, and leads nowhere.
    if !status.is_redirection() || status == StatusCode::NOT_MODIFIED {
        return None;
    }
    let location = headers.get(header::LOCATION).and_then(|location| location.to_str().ok());
    // The host alone: the rest may hold what the caller sent.
    let host = location.and_then(|location| Url::parse(location).ok()?.host_str().map(str::to_owned));
    let whither = host.map_or_else(|| "elsewhere".to_owned(), |host| format!("to {host}"));
    let (reason, hint) = match delivery {
        Delivery::Whole | Delivery::Stream => {
            (Reason::Unreachable, "write the address that it leads to as `base_url`")
        }
        Delivery::Passed => (Reason::CallerMistake, "ask for the path that it leads to"),
    };
    let says = format!("the address leads {whither}, and keys follow no redirect; hint: {hint}");
    Some(Fault::new(reason, says).with_status(status.as_u16()))
}

#[cfg(test)]
mod tests {
    use ::http::HeaderValue;

    use super::*;
    use crate::outcome::Scope;

    fn fault(status: u16, location: &'static str, delivery: Delivery) -> Option<Fault> {
        let headers = HeaderMap::from_iter([(header::LOCATION, HeaderValue::from_static(location))]);
        fault_in(StatusCode::from_u16(status).unwrap(), &headers, delivery)
    }

    #[test]
    fn a_redirect_is_no_key_s_fault_and_tells_the_host_and_nothing_more() {
        for status in [300, 301, 302, 303, 307, 308] {
            let fault =
                fault(status, "https://user:pw@login.example.com/x?key=sk-1", Delivery::Whole).unwrap();
            assert_eq!((fault.reason, fault.scope), (Reason::Unreachable, Scope::Provider));
            assert_eq!(
                fault.to_string(),
                format!(
                    "unreachable (HTTP {status}): the address leads to login.example.com, and keys follow no redirect; \
                     hint: write the address that it leads to as `base_url`"
                )
            );
        }
        for nowhere in ["/v2/chat", "", "mailto:a@b.example"] {
            let fault = fault(302, nowhere, Delivery::Stream).unwrap();
            assert!(fault.message.starts_with("the address leads elsewhere, "), "{fault}");
        }
    }

    #[test]
    fn a_path_of_the_caller_s_own_says_nothing_about_the_provider() {
        let fault = fault(307, "https://h.example/models", Delivery::Passed).unwrap();
        assert_eq!((fault.reason, fault.scope), (Reason::CallerMistake, Scope::Request));
    }

    #[test]
    fn what_leads_nowhere_is_the_dialect_s_to_judge() {
        for status in [200, 201, 304, 404, 503] {
            assert_eq!(fault(status, "https://h.example/", Delivery::Whole), None, "{status}");
        }
    }
}
