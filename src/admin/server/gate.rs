//! Who may ask what over TCP.
//!
//! A browser lends its hands to every page it shows, and loopback addresses are within its reach. So a request has
//! to be meant for this address (a foreign name that leads here is the trick of DNS rebinding), must not come from
//! another page, and, where there is a token, has to show it or the session that it was exchanged for.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use hyper::header::{self, AsHeaderName, HeaderValue};
use hyper::http::uri::Authority;
use hyper::{HeaderMap, Method, Uri};
use keywheel_actors::clock::Moment;
use keywheel_actors::secret::Secret;
use tokio::sync::Semaphore;

use super::orders::is_json;
use super::route::Place;
use super::sessions::Sessions;

/// Port of an address that names none.
const HTTP_PORT: u16 = 80;

/// So many of those who show a wrong token wait at once; they are few among a listener's connections.
pub(super) const BAD_TOKENS_MAX: usize = 32;

/// Why a request isn't answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Turned {
    /// It isn't what browsers and clients send.
    Garbled(&'static str),
    /// It comes from another page, or was meant for another address.
    Foreign(&'static str),
    /// It would change something and isn't JSON.
    NotJson,
    /// It shows neither token nor session.
    NoToken,
    /// It shows another token.
    BadToken,
}

/// What keeps others out.
#[derive(Debug)]
pub(super) struct Gate {
    address: SocketAddr,
    token: Mutex<Option<Secret>>,
    sessions: Mutex<Sessions>,
    /// Places for those who showed a wrong token.
    pub(super) resting: Semaphore,
}

impl Gate {
    pub(super) fn new(address: SocketAddr, token: Option<Secret>) -> Self {
        let resting = Semaphore::new(BAD_TOKENS_MAX);
        Self { address, token: Mutex::new(token), sessions: Mutex::default(), resting }
    }

    /// Takes over another token in place of the one that there is. What the old one began is over.
    pub(super) fn renew(&self, token: &Secret) {
        let mut own = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        if own.as_ref().is_some_and(|own| own != token) {
            *own = Some(token.clone());
            *self.sessions() = Sessions::default();
        }
    }

    /// The token as it is now.
    fn token(&self) -> Option<Secret> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a request may go on.
    ///
    /// # Errors
    /// Why it may not.
    pub(super) fn check(
        &self,
        place: Option<Place>,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        now: Moment,
    ) -> Result<(), Turned> {
        if uri.authority().is_some() {
            return Err(Turned::Garbled("this is no proxy"));
        }
        let host = sole(headers, header::HOST)?.ok_or(Turned::Garbled("a request names its host"))?;
        let token = self.token();
        if token.is_none() && !self.is_us(host) {
            return Err(Turned::Foreign("without a token only loopback addresses are answered"));
        }
        let origin = sole(headers, header::ORIGIN)?;
        if !origin.is_none_or(|origin| is_of(origin, host)) || !is_own_page(place, method, headers) {
            return Err(Turned::Foreign("other pages aren't answered"));
        }
        // What doesn't read changes something, or is refused for its method later.
        let reads = *method == Method::GET || *method == Method::HEAD;
        if !reads && !is_json(headers) {
            return Err(Turned::NotJson);
        }
        let Some(token) = token else { return Ok(()) };
        if place.is_some_and(Place::is_public) {
            return Ok(());
        }
        if let Some(shown) = sole(headers, header::AUTHORIZATION)? {
            return if bearer(shown).is_some_and(|shown| token.matches(shown)) {
                Ok(())
            } else {
                Err(Turned::BadToken)
            };
        }
        let session = self.session(headers).ok_or(Turned::NoToken)?;
        if !self.sessions().is_open(session, now) {
            return Err(Turned::NoToken);
        }
        // Browsers say where a change comes from.
        if !reads && origin.is_none() {
            return Err(Turned::Foreign("a change by a browser says where it comes from"));
        }
        Ok(())
    }

    /// Exchanges the token for a session; gives the cookie.
    pub(super) fn log_in(&self, shown: &str, headers: &HeaderMap, now: Moment) -> Result<String, Turned> {
        let Some(token) = self.token() else { return Err(Turned::Foreign("there is no token here")) };
        if !token.matches(shown.as_bytes()) {
            return Err(Turned::BadToken);
        }
        let name = self.sessions().begin(now).ok_or(Turned::Garbled("there are no random numbers"))?;
        let life = super::sessions::SESSION_LIFE.as_secs();
        Ok(self.cookie(&name, life, headers))
    }

    /// Ends the session of a request; gives the cookie that forgets it.
    pub(super) fn log_out(&self, headers: &HeaderMap) -> String {
        if let Some(session) = self.session(headers) {
            self.sessions().end(session);
        }
        self.cookie("", 0, headers)
    }

    fn cookie(&self, value: &str, life_secs: u64, headers: &HeaderMap) -> String {
        // Behind something that speaks TLS the browser says so.
        let is_https =
            headers.get(header::ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https:"));
        let secure = if is_https { "; Secure" } else { "" };
        let name = self.cookie_name();
        format!("{name}={value}; HttpOnly; SameSite=Strict; Path=/; Max-Age={life_secs}{secure}")
    }

    /// Cookies know no ports, and there may be another keywheel on this machine.
    fn cookie_name(&self) -> String {
        format!("keywheel-{}", self.address.port())
    }

    fn session<'h>(&self, headers: &'h HeaderMap) -> Option<&'h str> {
        let name = self.cookie_name();
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
        let mut pairs =
            cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
    }

    /// A session counts or doesn't; there is nothing in between that a panic could leave.
    fn sessions(&self) -> std::sync::MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether `host` is a loopback name or address, with our port.
    fn is_us(&self, host: &str) -> bool {
        let Ok(host) = host.parse::<Authority>() else { return false };
        let name = host.host().trim_start_matches('[').trim_end_matches(']');
        let is_loopback = name.eq_ignore_ascii_case("localhost")
            || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        is_loopback
            && !host.as_str().contains('@')
            && host.port_u16().unwrap_or(HTTP_PORT) == self.address.port()
    }
}

/// A header that may be there once.
fn sole(headers: &HeaderMap, name: impl AsHeaderName) -> Result<Option<&str>, Turned> {
    let mut values = headers.get_all(name).iter();
    let value = values.next();
    if values.next().is_some() {
        return Err(Turned::Garbled("a header is there twice"));
    }
    value.map(HeaderValue::to_str).transpose().map_err(|_| Turned::Garbled("a header isn't text"))
}

/// Whether `origin` is the page that `host` gave. Whatever speaks TLS before us leaves the host as it is.
fn is_of(origin: &str, host: &str) -> bool {
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
}

/// Browsers also say so of what has no origin, such as pictures. A link to the page itself may be anywhere.
fn is_own_page(place: Option<Place>, method: &Method, headers: &HeaderMap) -> bool {
    let is_page = place.is_some_and(Place::is_page) && *method == Method::GET;
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    is_page || matches!(site, None | Some(b"same-origin" | b"none"))
}

fn bearer(shown: &str) -> Option<&[u8]> {
    let (scheme, token) = shown.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().as_bytes())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hyper::header::HeaderName;

    use super::*;

    const NOW: Moment = Moment::ZERO;

    fn gate(token: Option<&str>) -> Gate {
        Gate::new("127.0.0.1:9090".parse().unwrap(), token.map(Secret::new))
    }

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| -> (HeaderName, HeaderValue) {
            (name.parse().unwrap(), value.parse().unwrap())
        };
        let mut headers = HeaderMap::new();
        pairs.iter().map(pair).for_each(|(name, value)| _ = headers.append(name, value));
        headers
    }

    fn get(gate: &Gate, pairs: &[(&str, &str)]) -> Result<(), Turned> {
        gate.check(Some(Place::Status), &Method::GET, &"/v1/status".parse().unwrap(), &headers(pairs), NOW)
    }

    fn post(gate: &Gate, pairs: &[(&str, &str)]) -> Result<(), Turned> {
        gate.check(Some(Place::Order), &Method::POST, &"/v1/order".parse().unwrap(), &headers(pairs), NOW)
    }

    #[test]
    fn without_a_token_only_loopback_names_with_the_port_are_answered() {
        let gate = gate(None);
        for host in ["127.0.0.1:9090", "localhost:9090", "LOCALHOST:9090", "[::1]:9090", "127.8.0.1:9090"] {
            assert_eq!(get(&gate, &[("host", host)]), Ok(()), "{host}");
        }
        for host in [
            "evil.example:9090",
            "127.0.0.1",
            "127.0.0.1:9091",
            "localhost.evil.example:9090",
            "127.0.0.1.nip.io:9090",
            "0.0.0.0:9090",
            "10.0.0.1:9090",
            "user@localhost:9090",
            "",
        ] {
            assert!(matches!(get(&gate, &[("host", host)]), Err(Turned::Foreign(_))), "{host}");
        }
        assert!(matches!(get(&gate, &[]), Err(Turned::Garbled(_))));
        let twice = [("host", "localhost:9090"), ("host", "localhost:9090")];
        assert!(matches!(get(&gate, &twice), Err(Turned::Garbled(_))));
        let proxied = "http://localhost:9090/v1/status".parse().unwrap();
        let checked = gate.check(
            Some(Place::Status),
            &Method::GET,
            &proxied,
            &headers(&[("host", "localhost:9090")]),
            NOW,
        );
        assert!(matches!(checked, Err(Turned::Garbled(_))));
    }

    #[test]
    fn other_pages_are_not_answered() {
        for gate in [gate(None), gate(Some("t"))] {
            for (name, value) in [
                ("origin", "http://evil.example"),
                ("origin", "http://localhost:9091"),
                ("origin", "http://127.0.0.1:9090"),
                ("origin", "null"),
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-site", "same-site"),
            ] {
                let pairs = [("host", "localhost:9090"), ("authorization", "Bearer t"), (name, value)];
                assert!(matches!(get(&gate, &pairs), Err(Turned::Foreign(_))), "{name} {value}");
            }
            let own = [
                ("host", "localhost:9090"),
                ("authorization", "Bearer t"),
                ("origin", "http://localhost:9090"),
                ("sec-fetch-site", "same-origin"),
            ];
            assert_eq!(get(&gate, &own), Ok(()));
        }
        let linked = headers(&[("host", "localhost:9090"), ("sec-fetch-site", "cross-site")]);
        let page = Place::at("/");
        assert_eq!(gate(None).check(page, &Method::GET, &"/".parse().unwrap(), &linked, NOW), Ok(()));
    }

    #[test]
    fn a_change_is_json() {
        let gate = gate(None);
        let host = ("host", "localhost:9090");
        for kind in ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data", ""] {
            assert_eq!(post(&gate, &[host, ("content-type", kind)]), Err(Turned::NotJson), "{kind}");
        }
        assert_eq!(post(&gate, &[host]), Err(Turned::NotJson));
        for kind in ["application/json", "application/json; charset=utf-8"] {
            assert_eq!(post(&gate, &[host, ("content-type", kind)]), Ok(()), "{kind}");
        }
    }

    #[test]
    fn the_token_opens_and_nothing_like_it_does() {
        let gate = gate(Some("correct horse"));
        let with = |shown: &str| get(&gate, &[("host", "any.example"), ("authorization", shown)]);
        assert_eq!(with("Bearer correct horse"), Ok(()));
        assert_eq!(with("bearer correct horse"), Ok(()));
        for shown in ["Bearer correct", "Bearer", "Bearer ", "Basic correct horse", "correct horse"] {
            assert_eq!(with(shown), Err(Turned::BadToken), "{shown}");
        }
        assert_eq!(get(&gate, &[("host", "any.example")]), Err(Turned::NoToken));
        let nowhere =
            gate.check(None, &Method::GET, &"/x".parse().unwrap(), &headers(&[("host", "any.example")]), NOW);
        assert_eq!(nowhere, Err(Turned::NoToken), "what there is nobody learns");
    }

    #[test]
    fn another_token_takes_the_place_of_one_and_ends_its_sessions() {
        let gate = gate(Some("correct horse"));
        let from = headers(&[("host", "h:1"), ("origin", "http://h:1")]);
        let cookie = gate.log_in("correct horse", &from, NOW).unwrap();
        let shown = [("host", "h:1"), ("cookie", cookie.split(';').next().unwrap())];
        gate.renew(&Secret::new("correct horse"));
        assert_eq!(get(&gate, &shown), Ok(()), "it is the same");
        gate.renew(&Secret::new("battery staple"));
        assert_eq!(get(&gate, &shown), Err(Turned::NoToken));
        let with = |shown: &str| get(&gate, &[("host", "h:1"), ("authorization", shown)]);
        assert_eq!(with("Bearer battery staple"), Ok(()));
        assert_eq!(with("Bearer correct horse"), Err(Turned::BadToken));
    }

    #[test]
    fn a_session_is_a_cookie_that_isnt_the_token() {
        let gate = gate(Some("correct horse"));
        let from = headers(&[("host", "h:1"), ("origin", "http://h:1")]);
        assert_eq!(gate.log_in("wrong", &from, NOW), Err(Turned::BadToken));
        let cookie = gate.log_in("correct horse", &from, NOW).unwrap();
        assert!(cookie.ends_with("; HttpOnly; SameSite=Strict; Path=/; Max-Age=43200"), "{cookie}");
        assert!(cookie.starts_with("keywheel-9090=") && !cookie.contains("horse"), "{cookie}");
        let pair = cookie.split(';').next().unwrap();
        let sent = format!("other=1; {pair}");
        let shown = [("host", "h:1"), ("cookie", &*sent)];
        assert_eq!(get(&gate, &shown), Ok(()));
        let json = ("content-type", "application/json");
        assert!(matches!(post(&gate, &[&shown[..], &[json]].concat()), Err(Turned::Foreign(_))));
        assert_eq!(post(&gate, &[&shown[..], &[json, ("origin", "http://h:1")]].concat()), Ok(()));
        let late = Moment::after_start(Duration::from_secs(12 * 3_600));
        let uri = "/v1/status".parse().unwrap();
        let checked = gate.check(Some(Place::Status), &Method::GET, &uri, &headers(&shown), late);
        assert_eq!(checked, Err(Turned::NoToken));
        assert!(gate.log_out(&headers(&shown)).contains("Max-Age=0"));
        assert_eq!(get(&gate, &shown), Err(Turned::NoToken));

        let tls = headers(&[("host", "h"), ("origin", "https://h")]);
        assert!(gate.log_in("correct horse", &tls, NOW).unwrap().ends_with("; Secure"));
    }
}
