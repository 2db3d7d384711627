//! `[server]` and `[[server.client]]`: how the gateway listens, and for whom.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;
use keywheel_actors::request::{HoldBack, Priority};

use super::ledger::report_repeats;
use super::limits::WrittenLimits;
use super::price;
use super::provider::Provider;
use super::tree::{Fields, Node};
use crate::clients::{ClientSpec, TokenHash};
use crate::exit::UsageError;

/// What `[server]` may say.
pub(super) const FIELDS: [&str; 17] = [
    "listen",
    "client",
    "deadline",
    "hold_back",
    "body_mib_max",
    "upload_mib_max",
    "body_timeout",
    "header_timeout",
    "send_timeout",
    "connections_max",
    "drain_grace",
    "workers",
    "access_log",
    "forward_headers",
    "otlp_endpoint",
    "service_name",
    "trace_one_in",
];

/// What a client may say.
pub(super) const CLIENT_FIELDS: [&str; 8] =
    ["name", "token_hashes", "models", "pass_through", "limits", "cost_per_day", "priority", "enabled"];

/// Larger bodies than this have no place in memory, whatever a machine has of it.
pub(super) const BODY_MIB_MOST: u64 = 1_024;
/// Larger files are no provider's.
pub(super) const UPLOAD_MIB_MOST: u64 = 1 << 20;
/// Each connection has a port of its own.
pub(super) const CONNECTIONS_MOST: u64 = 65_535;
/// More threads than this help no machine.
pub(super) const WORKERS_MOST: u64 = 1_024;

/// Rarer than this nobody would ever see one.
pub(super) const TRACE_ONE_IN_MOST: u64 = 1_000_000;

/// The server looks at its clock twice a second: less than this could be over before it began.
const HEADER_TIMEOUT_LEAST: Duration = Duration::from_secs(1);

/// Less is no sign of a client that is stuck: a lost packet is sent again after as long.
const SEND_TIMEOUT_LEAST: Duration = Duration::from_secs(1);

/// The words of `hold_back`.
pub(super) const HOLD_BACKS: [(&str, HoldBack); 3] =
    [("none", HoldBack::None), ("first_content", HoldBack::FirstContent), ("full", HoldBack::Full)];

/// The words of `priority`.
pub(super) const PRIORITIES: [(&str, Priority); 3] =
    [("high", Priority::High), ("normal", Priority::Normal), ("low", Priority::Low)];

/// How the gateway listens, and for whom.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServerConfig {
    /// Where.
    pub listen: SocketAddr,
    /// Who may call. Empty: whoever reaches it, which is only allowed on loopback.
    pub clients: Vec<ClientSpec>,
    /// How long a request may take in all. Clients may say less, not more.
    pub deadline: Duration,
    /// How much of a stream is held back before its client sees any.
    pub hold_back: HoldBack,
    /// The longest body of a request that is routed.
    pub body_bytes_max: usize,
    /// The longest body of a request to one provider.
    pub upload_bytes_max: u64,
    /// The longest pause inside a request's body.
    pub body_timeout: Duration,
    /// How long the head of a request may take.
    pub header_timeout: Duration,
    /// How long a client may take nothing of its answer before it is left.
    pub send_timeout: Duration,
    /// Connections at once; further ones wait.
    pub connections_max: usize,
    /// How long requests under way may go on when it is to end.
    pub drain_grace: Duration,
    /// Threads that speak with clients.
    pub workers: usize,
    /// Where a line goes for each request that has ended.
    pub access_log: AccessLog,
    /// Headers of clients that providers are sent beside the usual ones.
    pub forward_headers: Vec<HeaderName>,
    /// Where OpenTelemetry's traces and metrics are sent.
    pub otlp_endpoint: Option<String>,
    /// What this gateway is called there.
    pub service_name: String,
    /// Of so many traces that begin here one is recorded.
    pub trace_one_in: u64,
}

/// Where a line goes for each request that has ended.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum AccessLog {
    /// Nowhere.
    #[default]
    Off,
    /// To stderr.
    Stderr,
    /// To this file.
    File(PathBuf),
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            clients: Vec::new(),
            deadline: Duration::from_secs(600),
            hold_back: HoldBack::FirstContent,
            body_bytes_max: 64 << 20,
            upload_bytes_max: 1 << 30,
            body_timeout: Duration::from_secs(30),
            header_timeout: Duration::from_secs(5),
            send_timeout: Duration::from_secs(60),
            connections_max: 4_096,
            drain_grace: Duration::from_secs(30),
            workers: std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            access_log: AccessLog::Off,
            forward_headers: Vec::new(),
            otlp_endpoint: None,
            service_name: "keywheel".to_owned(),
            trace_one_in: 1,
        }
    }
}

impl ServerConfig {
    /// Whether a gateway may listen there: beyond this machine only for known clients.
    ///
    /// # Errors
    /// What is missing.
    pub fn check_exposure(&self, listen: SocketAddr) -> Result<(), UsageError> {
        if listen.ip().is_loopback() || self.clients.iter().any(|client| client.enabled) {
            return Ok(());
        }
        Err(UsageError {
            problem: format!("{listen} can be reached by others, and no client is configured"),
            hint: "`keywheel client new NAME` makes a token and says what to write; or listen on 127.0.0.1"
                .to_owned(),
        })
    }
}

/// Reads `[server]`.
pub(super) fn read(
    node: Option<Node<'_>>,
    directory: &std::path::Path,
    providers: &[Provider<'_>],
) -> ServerConfig {
    let usual = ServerConfig::default();
    let Some(fields) = node.and_then(|node| node.fields(&FIELDS)) else { return usual };
    let at_least =
        |name, least, usual| fields.get(name).and_then(|node| node.duration(least)).unwrap_or(usual);
    let duration = |name, usual| at_least(name, Duration::from_millis(1), usual);
    let whole = |name, most| fields.get(name).and_then(|node| node.whole(1..=most));
    let count = |name, most, usual| {
        whole(name, most).and_then(|number| usize::try_from(number).ok()).unwrap_or(usual)
    };
    let body = whole("body_mib_max", BODY_MIB_MOST).and_then(|mib| usize::try_from(mib << 20).ok());
    let listen = fields.get("listen").and_then(|node| address(&node));
    let text = |name| fields.get(name).and_then(|node| node.text().map(str::to_owned));
    ServerConfig {
        listen: listen.unwrap_or(usual.listen),
        clients: clients(&fields, providers),
        deadline: duration("deadline", usual.deadline),
        hold_back: fields
            .get("hold_back")
            .and_then(|node| node.choice("hold_back", &HOLD_BACKS))
            .unwrap_or(usual.hold_back),
        body_bytes_max: body.unwrap_or(usual.body_bytes_max),
        upload_bytes_max: whole("upload_mib_max", UPLOAD_MIB_MOST)
            .map_or(usual.upload_bytes_max, |mib| mib << 20),
        body_timeout: duration("body_timeout", usual.body_timeout),
        header_timeout: at_least("header_timeout", HEADER_TIMEOUT_LEAST, usual.header_timeout),
        send_timeout: at_least("send_timeout", SEND_TIMEOUT_LEAST, usual.send_timeout),
        connections_max: count("connections_max", CONNECTIONS_MOST, usual.connections_max),
        drain_grace: duration("drain_grace", usual.drain_grace),
        workers: count("workers", WORKERS_MOST, usual.workers),
        access_log: match text("access_log").as_deref() {
            None | Some("off") => AccessLog::Off,
            Some("stderr") => AccessLog::Stderr,
            Some(path) => AccessLog::File(directory.join(path)),
        },
        forward_headers: fields.get("forward_headers").map(|node| forwarded(&node)).unwrap_or_default(),
        otlp_endpoint: fields.get("otlp_endpoint").and_then(|node| endpoint(&node)),
        service_name: text("service_name").unwrap_or(usual.service_name),
        trace_one_in: whole("trace_one_in", TRACE_ONE_IN_MOST).unwrap_or(usual.trace_one_in),
    }
}

/// An address to listen on.
pub(super) fn address(node: &Node<'_>) -> Option<SocketAddr> {
    let address = node.text()?.parse().ok();
    if address.is_none() {
        let hint = "write an IP address and a port, for example \"127.0.0.1:8080\"".to_owned();
        node.wrong("not an address to listen on", Some(hint));
    }
    address
}

fn endpoint(node: &Node<'_>) -> Option<String> {
    let text = node.text()?;
    let is_http = url::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    if !is_http {
        let hint = "for example `otlp_endpoint = \"http://127.0.0.1:4318\"`".to_owned();
        node.wrong("not an address of a collector", Some(hint));
        return None;
    }
    Some(text.trim_end_matches('/').to_owned())
}

/// Headers that carry a client's own credential, or are about the connection: they go nowhere.
const NEVER_FORWARDED: [&str; 17] = [
    // Packed answers can't be judged.
    "accept-encoding",
    "api-key",
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-api-key",
    "x-goog-api-key",
];

fn forwarded(node: &Node<'_>) -> Vec<HeaderName> {
    let mut names = Vec::new();
    for (text, node) in node.texts().unwrap_or_default() {
        match HeaderName::from_bytes(text.as_bytes()) {
            Ok(name) if NEVER_FORWARDED.contains(&name.as_str()) => {
                node.wrong(format!("`{name}` is between a client and this gateway alone"), None);
            }
            Ok(name) => names.push(name),
            Err(_) => node.wrong("not the name of a header", None),
        }
    }
    names
}

fn clients(fields: &Fields<'_>, providers: &[Provider<'_>]) -> Vec<ClientSpec> {
    let nodes = fields.get("client").and_then(|list| list.tables("name")).unwrap_or_default();
    let mut named = Vec::new();
    let mut clients = Vec::new();
    for node in nodes {
        let Some(fields) = node.fields(&CLIENT_FIELDS) else { continue };
        let name = fields.need("name", "for example `name = \"billing\"`");
        if let Some((text, node)) = name.and_then(|node| Some((node.name()?, node))) {
            named.push((text, node));
            clients.push(client(text, &fields, providers));
        }
    }
    report_repeats("client", named.iter().map(|(name, node)| (*name, node)));
    clients
}

fn client(name: &str, fields: &Fields<'_>, providers: &[Provider<'_>]) -> ClientSpec {
    let hint = "`keywheel client new NAME` makes a token and its hash";
    let tokens = fields.need("token_hashes", hint).and_then(|node| {
        let texts = node.texts()?;
        if texts.is_empty() {
            node.wrong("a client needs a token", Some(hint.to_owned()));
        }
        // What stands there instead may be the token itself: it isn't repeated.
        let hash = |(text, node): (&str, Node<'_>)| {
            let hash = text.parse::<TokenHash>();
            hash.map_err(|error| node.wrong(error.to_string(), Some(hint.to_owned()))).ok()
        };
        Some(texts.into_iter().filter_map(hash).collect())
    });
    let models = fields.get("models").and_then(|node| {
        let models = node.texts()?;
        Some(models.into_iter().filter_map(|(text, node)| node.as_model(text).map(str::to_owned)).collect())
    });
    let pass_through = fields.get("pass_through").and_then(|node| {
        let ids = node.texts()?.into_iter();
        Some(ids.filter_map(|(_, node)| price::read_provider(&node, providers)).collect())
    });
    ClientSpec {
        name: name.to_owned(),
        tokens: tokens.unwrap_or_default(),
        models: models.unwrap_or_default(),
        pass_through,
        limits: WrittenLimits::read(fields.get("limits")).resolve(),
        cost_per_day: fields.get("cost_per_day").and_then(|node| node.amount()),
        priority: fields
            .get("priority")
            .and_then(|node| node.choice("priority", &PRIORITIES))
            .unwrap_or(Priority::High),
        enabled: fields.get("enabled").and_then(|node| node.switch()).unwrap_or(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_unknown_is_served_beyond_this_machine() {
        let open = ServerConfig::default();
        let beyond: SocketAddr = "0.0.0.0:8080".parse().expect("an address");
        assert!(open.check_exposure(open.listen).is_ok());
        assert!(open.check_exposure("[::1]:1".parse().expect("an address")).is_ok());
        assert!(open.check_exposure(beyond).is_err());
        let client = ClientSpec {
            name: "a".to_owned(),
            tokens: vec![TokenHash::of("kw")],
            models: Vec::new(),
            pass_through: None,
            limits: keywheel_actors::spec::Limits::default(),
            cost_per_day: None,
            priority: Priority::High,
            enabled: true,
        };
        let known = ServerConfig { clients: vec![client.clone()], ..ServerConfig::default() };
        assert!(known.check_exposure(beyond).is_ok());
        let off = ServerConfig {
            clients: vec![ClientSpec { enabled: false, ..client }],
            ..ServerConfig::default()
        };
        assert!(off.check_exposure(beyond).is_err());
    }
}
