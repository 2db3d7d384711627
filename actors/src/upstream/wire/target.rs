//! From a base URL to a server, once, and from a call's path to what stands in its request line.
//!
//! Parsing an address is dear (names may be international) and a wheel knows few of them. So each base URL is
//! parsed when it is first met, and a call's path is only looked at: plain ones are taken as they are, others are
//! written as the URL standard says.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::ServerName;
use url::{Host, Position, Url};

use super::super::{LEADS_OUT, TransportError, stays_below};
use super::pool::Shelf;

/// So many base URLs are remembered. Configurations have dozens; beyond this they are all forgotten, and parsed
/// anew when they are met again.
const TARGETS_MAX: usize = 1_024;

/// A server: what a connection leads to.
pub(super) struct Origin {
    pub(super) security: Security,
    pub(super) host: Host<String>,
    pub(super) port: u16,
    /// What the header `host` says: without the port where it is the usual one.
    pub(super) authority: String,
    /// Its idle connections.
    pub(super) idle: Mutex<Shelf>,
}

/// How to speak to a server.
pub(super) enum Security {
    /// As plain text.
    Plain,
    /// By TLS, with a certificate for this name.
    Tls(ServerName<'static>),
}

/// Addresses may hold what a user wants unseen.
impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origin").finish_non_exhaustive()
    }
}

/// Where the calls of one base URL go.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) origin: Arc<Origin>,
    /// The path of the base URL, without a slash at its end: in front of each call's own.
    prefix: String,
    url: Url,
}

impl Target {
    /// What stands in the request line for `path`, in two parts to be written one behind the other.
    ///
    /// # Errors
    /// If `path` is none: it could name another server. Or if it leads out of the base URL by its dots.
    pub(super) fn path<'a>(&'a self, path: &'a str) -> Result<(&'a str, Cow<'a, str>), TransportError> {
        if !path.starts_with('/') {
            return Err(unsendable("its path doesn't begin with a slash"));
        }
        if is_plain(path) {
            return Ok((&self.prefix, Cow::Borrowed(path)));
        }
        let whole = format!("{}{}{path}", &self.url[..Position::BeforePath], self.prefix);
        let url = Url::parse(&whole).map_err(|error| unsendable(&error.to_string()))?;
        if !stays_below(&self.prefix, &url) {
            return Err(unsendable(LEADS_OUT));
        }
        Ok(("", Cow::Owned(url[Position::BeforePath..Position::AfterQuery].to_owned())))
    }
}

/// Whether the URL standard leaves `path` and its query as they are.
fn is_plain(path: &str) -> bool {
    let bytes = path.as_bytes();
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&()*+,;=:@/%?".contains(byte);
    // `/./`, `/../` and their spellings with `%2e`, `%2f` and `%5c` may be resolved.
    let is_dotted = |pair: &[u8]| matches!(pair, b"/." | b"%2" | b"%5");
    bytes.iter().all(is_plain) && !bytes.windows(2).any(is_dotted)
}

/// The servers met so far.
#[derive(Debug, Default)]
pub(super) struct Targets {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    targets: HashMap<Arc<str>, Arc<Target>>,
    /// By scheme, host and port.
    origins: HashMap<String, Arc<Origin>>,
}

impl Targets {
    /// Where calls of this base URL go.
    ///
    /// # Errors
    /// [`TransportError::Unsendable`] if it is no address that calls can be made to.
    pub(super) fn of(&self, base_url: &Arc<str>) -> Result<Arc<Target>, TransportError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(target) = known.targets.get(base_url) {
            return Ok(Arc::clone(target));
        }
        if known.targets.len() >= TARGETS_MAX {
            *known = Known::default();
        }
        let target = Arc::new(known.parse(base_url)?);
        known.targets.insert(Arc::clone(base_url), Arc::clone(&target));
        Ok(target)
    }
}

impl Known {
    fn parse(&mut self, base_url: &str) -> Result<Target, TransportError> {
        let url = Url::parse(base_url).map_err(|error| unsendable(&format!("not an address: {error}")))?;
        let (Some(host), "http" | "https") = (url.host().map(|host| host.to_owned()), url.scheme()) else {
            return Err(unsendable("not an address: it must begin with https:// or http://"));
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(unsendable("the address holds a user or a password"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(unsendable("the base URL doesn't end with its path"));
        }
        let port = url.port_or_known_default().unwrap_or_default();
        let authority = url[Position::BeforeHost..Position::AfterPort].to_owned();
        let security = match url.scheme() {
            "https" => Security::Tls(server_name(&host)?),
            _ => Security::Plain,
        };
        let name = format!("{}://{host}:{port}", url.scheme());
        let origin = self
            .origins
            .entry(name)
            .or_insert_with(|| Arc::new(Origin { security, host, port, authority, idle: Mutex::default() }));
        let prefix = url.path().trim_end_matches('/').to_owned();
        Ok(Target { origin: Arc::clone(origin), prefix, url })
    }
}

fn server_name(host: &Host<String>) -> Result<ServerName<'static>, TransportError> {
    match host {
        Host::Domain(name) => ServerName::try_from(name.trim_end_matches('.').to_owned())
            .map_err(|_| unsendable("the address has a host for which there can't be a certificate")),
        Host::Ipv4(address) => Ok(ServerName::from(std::net::IpAddr::from(*address))),
        Host::Ipv6(address) => Ok(ServerName::from(std::net::IpAddr::from(*address))),
    }
}

fn unsendable(why: &str) -> TransportError {
    TransportError::Unsendable(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(base_url: &str, path: &str) -> String {
        let target = Targets::default().of(&base_url.into()).expect("an address");
        let (prefix, path) = target.path(path).expect("a path");
        format!("{} {prefix}{path}", target.origin.authority)
    }

    #[test]
    fn the_port_is_said_where_it_is_not_the_usual_one() {
        for (base_url, expected) in [
            ("http://127.0.0.1:8080/v1", "127.0.0.1:8080 /v1/chat"),
            ("http://127.0.0.1:80/v1", "127.0.0.1 /v1/chat"),
            ("https://API.Example.com:443", "api.example.com /chat"),
            ("https://api.example.com:80/a/b/", "api.example.com:80 /a/b/chat"),
            ("http://[::1]:81", "[::1]:81 /chat"),
            ("https://[::1]", "[::1] /chat"),
            ("https://bücher.example", "xn--bcher-kva.example /chat"),
        ] {
            assert_eq!(line(base_url, "/chat"), expected);
        }
    }

    #[test]
    fn a_path_is_written_as_the_url_standard_says() {
        for path in [
            "/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
            "/a/../b",
            "/a/%2E%2e/b?c=%2e",
            "/a b/ü?q=\"x\"&y='z'#part",
            "/back\\slash/{id}",
            "/a%20b",
            "//double",
            "/.hidden",
            "/a\tb\n",
        ] {
            let url = Url::parse(&format!("https://h/v1{path}")).expect("an address");
            let expected = format!("h {}", &url[Position::BeforePath..Position::AfterQuery]);
            assert_eq!(line("https://h/v1", path), expected, "{path}");
        }
    }

    #[test]
    fn a_path_never_names_another_server() {
        let target = Targets::default().of(&"https://api.example.com".into()).expect("an address");
        for path in [".evil.example/", "@evil.example/", ":81/", "", "?a=b", "http://evil.example/"] {
            assert!(matches!(target.path(path), Err(TransportError::Unsendable(_))), "{path}");
        }
        let (prefix, path) = target.path("//evil.example/ü").expect("a path");
        assert_eq!((prefix, &*path), ("", "//evil.example/%C3%BC"));
    }

    #[test]
    fn a_path_never_leads_out_of_the_base_url() {
        let target = Targets::default().of(&"https://api.example.com/one/v1/".into()).expect("an address");
        for path in [
            "/../v2/billing",
            "/a/../../v2",
            "/..",
            "/%2e%2E/v2",
            "/.%2e/v2",
            "/..\\v2",
            "/a/..\\..\\v2",
            "/.\t./v2",
            "/../v10/models",
            "/a%2f..%2F..%2f..%2fadmin",
            "/a%5c..",
        ] {
            assert!(matches!(target.path(path), Err(TransportError::Unsendable(_))), "{path}");
        }
        for path in ["/a/../b", "/../v1/b", "/./b", "/a/.."] {
            assert!(target.path(path).is_ok_and(|(_, path)| path.starts_with("/one/v1/")), "{path}");
        }
        assert_eq!(line("https://h", "/a/../../b"), "h /b", "there is nothing above it");
    }

    #[test]
    fn base_urls_on_one_server_share_its_connections() {
        let targets = Targets::default();
        let of = |base_url: &str| targets.of(&base_url.into()).expect("an address");
        assert!(Arc::ptr_eq(&of("http://h/v1").origin, &of("http://H:80/v2").origin));
        assert!(!Arc::ptr_eq(&of("http://h/v1").origin, &of("https://h/v1").origin));
        assert!(!Arc::ptr_eq(&of("http://h/v1").origin, &of("http://h:81/v1").origin));
        assert!(Arc::ptr_eq(&of("http://h/v1"), &of("http://h/v1")));
    }

    #[test]
    fn an_address_that_is_none_is_told_without_being_quoted() {
        for base_url in ["ftp://h", "h", "http://", "https://me:pw@h", "http://h?a=b", "http://h#a", "data:x"]
        {
            let error = Targets::default().of(&base_url.into()).expect_err(base_url);
            assert!(matches!(error, TransportError::Unsendable(_)), "{error}");
            assert!(!error.to_string().contains("pw"), "{error}");
        }
    }
}
