//! Where a provider listens and how it speaks; which addresses a key may be sent to.

use std::net::IpAddr;
use std::sync::Arc;

use hyper::header::HeaderName;
use keywheel_actors::dialect::Dialect;
use keywheel_actors::upstream::is_off_limits;
use url::{Host, Url};

use super::preset::{self, DIALECTS, PRESETS, Preset, Validity};
use super::tree::{Fields, Node};

/// Headers that mean something else to every server, or to the connection.
const HEADERS_TAKEN: [&str; 7] =
    ["connection", "content-length", "content-type", "cookie", "host", "transfer-encoding", "upgrade"];

/// A provider's two ends of the wire; what is wrong is `None`.
pub(super) struct Endpoint {
    /// The name of its preset.
    pub(super) preset: Option<&'static str>,
    /// The name of its dialect.
    pub(super) dialect_name: Option<&'static str>,
    /// How it speaks.
    pub(super) dialect: Option<Arc<dyn Dialect>>,
    /// Where it listens.
    pub(super) base_url: Option<BaseUrl>,
    /// Where it answers OpenAI's requests too.
    pub(super) openai_path: Option<String>,
    /// How to learn whether a key is good.
    pub(super) validity: Option<Validity>,
}

/// A checked address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct BaseUrl {
    /// Without a trailing slash.
    pub(super) text: String,
    /// Whether what is sent there stays on this machine.
    pub(super) is_loopback: bool,
}

/// Where plain http is fine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PlainText {
    /// The usual rule.
    OnLoopback,
    /// `allow_http = true`: the user vouches for the network between.
    Anywhere,
}

/// Reads `preset`, `dialect`, `base_url`, `allow_http`, `key_header` and `openai_path`.
pub(super) fn read(fields: &Fields<'_>) -> Endpoint {
    let preset =
        fields.get("preset").map(|node| node.choice("preset", &PRESETS.map(|preset| (preset.name, preset))));
    let dialect_node = match preset {
        Some(_) => fields.get("dialect"),
        None => fields.need("dialect", "name a `preset`, or `dialect = \"openai\"` with a `base_url`"),
    };
    let url_node = match preset {
        Some(Some(Preset { base_url: None, base_url_example, .. })) => {
            fields.need("base_url", &format!("for example `base_url = \"{base_url_example}\"`"))
        }
        Some(_) => fields.get("base_url"),
        None => fields.need("base_url", "for example `base_url = \"https://api.example.com/v1\"`"),
    };
    if let (Some(_), Some(node)) = (preset, &dialect_node) {
        node.wrong("`preset` says the dialect already", Some("drop one of the two".to_owned()));
    }
    let plain = match fields.get("allow_http").and_then(|node| node.switch()) {
        Some(true) => PlainText::Anywhere,
        Some(false) | None => PlainText::OnLoopback,
    };

    let preset = preset.flatten();
    let dialect = match &dialect_node {
        Some(node) => node.choice("dialect", &DIALECTS.map(|name| (name, name))),
        None => preset.map(|preset| preset.dialect),
    };
    let key_header = fields.get("key_header").and_then(|node| key_header(&node, dialect));
    let key_header =
        key_header.or_else(|| preset.and_then(|preset| preset.key_header).map(HeaderName::from_static));
    let openai_path = match fields.get("openai_path") {
        Some(node) => openai_path(&node, dialect),
        None => preset.and_then(|preset| preset.openai_path).map(str::to_owned),
    };
    let base_url = match url_node {
        Some(node) => node.text().and_then(|text| {
            check(text, plain).map_err(|(message, hint)| node.wrong(message, hint.map(str::to_owned))).ok()
        }),
        None => preset.and_then(|preset| check(preset.base_url?, plain).ok()),
    };
    let validity = match preset {
        Some(preset) => preset.validity,
        None => dialect.and_then(preset::validity_of_dialect),
    };
    Endpoint {
        preset: preset.map(|preset| preset.name),
        dialect_name: dialect,
        dialect: dialect.and_then(|name| preset::dialect_named(name, key_header)),
        base_url,
        openai_path,
        validity,
    }
}

/// Where a provider that speaks otherwise answers OpenAI's requests, as a path below its address.
fn openai_path(node: &Node<'_>, dialect: Option<&str>) -> Option<String> {
    let path = node.text()?;
    if let Some(dialect @ ("openai" | "http")) = dialect {
        let problem = format!("the dialect `{dialect}` takes OpenAI's requests as they are");
        node.wrong(problem, Some("drop it".to_owned()));
        return None;
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte);
    if !path.is_empty() && (!path.starts_with('/') || path.ends_with('/') || !path.bytes().all(is_plain)) {
        node.wrong("not a path below `base_url`", Some("for example `openai_path = \"/openai\"`".to_owned()));
        return None;
    }
    Some(path.to_owned())
}

/// The header of the key, which only a provider of dialect `http` leaves open.
fn key_header(node: &Node<'_>, dialect: Option<&str>) -> Option<HeaderName> {
    let name = node.text()?;
    if let Some(dialect) = dialect.filter(|dialect| *dialect != "http") {
        let hint = "drop it, or write `dialect = \"http\"`".to_owned();
        node.wrong(format!("the dialect `{dialect}` knows its header itself"), Some(hint));
        return None;
    }
    let example = || Some("for example `key_header = \"x-api-key\"`".to_owned());
    let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
        node.wrong("not the name of a header", example());
        return None;
    };
    if HEADERS_TAKEN.contains(&header.as_str()) {
        node.wrong(format!("`{header}` is no header for a key"), example());
        return None;
    }
    Some(header)
}

/// What is wrong with an address, and a hint. Neither quotes it: it may hold a password.
pub(super) type Refusal = (&'static str, Option<&'static str>);

/// Whether a key may be sent to this address.
///
/// It is parsed as the HTTP client does it, so that both mean the same host by `http://2130706433/`.
pub(super) fn check(text: &str, plain: PlainText) -> Result<BaseUrl, Refusal> {
    const EXAMPLE: Option<&str> = Some("for example `base_url = \"https://api.example.com/v1\"`");
    let Ok(url) = Url::parse(text) else {
        return Err(("not an address", EXAMPLE));
    };
    let (Some(host), "http" | "https") = (url.host(), url.scheme()) else {
        return Err(("must begin with https:// or http://", EXAMPLE));
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err((
            "an address holds no user and no password",
            Some("the key's `secret` is the place for it"),
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(("an address ends with its path: no `?` and no `#`", None));
    }
    if is_off_limits(&host) {
        return Err((
            "a link-local or metadata address, where a machine in a cloud gets its own credentials",
            Some("name the provider's own address"),
        ));
    }
    let is_loopback = is_loopback(&host);
    if url.scheme() == "http" && !is_loopback && plain == PlainText::OnLoopback {
        return Err((
            "plain http would show the key to everybody on the way",
            Some("use https, or write `allow_http = true` if the network in between is yours"),
        ));
    }
    Ok(BaseUrl { text: url.as_str().trim_end_matches('/').to_owned(), is_loopback })
}

/// The address that a host is written as; `None` for a name.
fn address_of(host: &Host<&str>) -> Option<IpAddr> {
    match host {
        Host::Ipv4(address) => Some(IpAddr::V4(*address)),
        // `::ffff:127.0.0.1` goes where `127.0.0.1` goes.
        Host::Ipv6(address) => Some(IpAddr::V6(*address).to_canonical()),
        Host::Domain(_) => None,
    }
}

fn is_loopback(host: &Host<&str>) -> bool {
    match (address_of(host), host) {
        (Some(address), _) => address.is_loopback(),
        // RFC 6761 §6.3: `localhost` and all names below it are loopback.
        (None, Host::Domain(name)) => *name == "localhost" || name.ends_with(".localhost"),
        (None, Host::Ipv4(_) | Host::Ipv6(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> &'static str {
        check(text, PlainText::OnLoopback).expect_err(text).0
    }

    #[test]
    fn plain_http_stays_on_this_machine() {
        for text in
            ["http://127.0.0.1:18080/v1/", "http://localhost/v1", "http://[::1]:9/v1", "http://2130706433"]
        {
            let url = check(text, PlainText::OnLoopback).expect(text);
            assert!(url.is_loopback, "{text}");
            assert!(!url.text.ends_with('/'), "{text}");
        }
        for text in
            ["http://api.example.com/v1", "http://10.0.0.1", "http://0.0.0.0", "http://localhost.example.com"]
        {
            assert_eq!(refusal(text), "plain http would show the key to everybody on the way", "{text}");
            assert!(check(text, PlainText::Anywhere).is_ok(), "{text}");
        }
    }

    #[test]
    fn metadata_is_out_of_reach_however_it_is_spelled() {
        for text in [
            "http://169.254.169.254/latest",
            "https://2852039166/",
            "https://0xa9.0xfe.0xa9.0xfe/",
            "https://[::ffff:169.254.169.254]/",
            "https://[fe80::1]/",
            "https://[fd00:ec2::254]/",
            "https://100.100.100.200/",
            "https://Metadata.Google.Internal./",
        ] {
            let (message, _) = check(text, PlainText::Anywhere).expect_err(text);
            assert!(message.starts_with("a link-local or metadata address"), "{text}: {message}");
        }
    }

    #[test]
    fn an_address_is_a_host_and_a_path() {
        assert_eq!(refusal("api.example.com/v1"), "not an address");
        assert_eq!(refusal("ftp://api.example.com"), "must begin with https:// or http://");
        assert_eq!(refusal("https://me:pw@api.example.com"), "an address holds no user and no password");
        assert_eq!(
            refusal("https://api.example.com/?key=x"),
            "an address ends with its path: no `?` and no `#`"
        );
    }

    #[test]
    fn every_preset_passes() {
        for preset in PRESETS {
            let text = preset.base_url.unwrap_or(preset.base_url_example);
            let url = check(text, PlainText::OnLoopback).expect(preset.name);
            assert_eq!(url.text, text.to_ascii_lowercase());
        }
    }
}
