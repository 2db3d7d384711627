//! What a reload changed, as whoever asked for it is told.
//!
//! A change that nobody is told of looks as if it had been overheard: the first client closes the gateway to all
//! others.

use std::fmt::Display;

use keywheel_actors::{Differences, ReloadReport};

use crate::clients::ClientSpec;
use crate::config::{Config, ServerConfig};

/// What is different in `after`, a line each. `report` says it of providers and keys.
pub(super) fn lines(report: &ReloadReport, before: &Config, after: &Config) -> Vec<String> {
    let mut lines: Vec<String> = different("provider", &report.providers).collect();
    lines.extend(different("key", &report.keys));
    let routes = |config: &Config| (config.wheel.routes.clone(), config.wheel.fallback_order.clone());
    if routes(after) != routes(before) {
        lines.push("changed routes".to_owned());
    }
    if after.prices != before.prices {
        lines.push("changed prices".to_owned());
    }
    lines.extend(different("client", &clients(&before.server.clients, &after.server.clients)));
    let ((counts_now, counts_later), (counted, started)) = (parts(&after.server), parts(&before.server));
    if counts_now != counted {
        lines.push("changed `[server]`".to_owned());
    }
    if counts_later != started {
        lines.push("the rest of `[server]` only at the next start".to_owned());
    }
    if after.admin.token != before.admin.token {
        lines.push("changed the admin token".to_owned());
    }
    lines
}

fn different<T: Display>(what: &str, differences: &Differences<T>) -> impl Iterator<Item = String> {
    let Differences { added, removed, changed } = differences;
    let told = [("added", added), ("removed", removed), ("changed", changed)];
    told.into_iter()
        .flat_map(move |(how, names)| names.iter().map(move |name| format!("{how} {what} {name}")))
}

fn clients<'a>(before: &'a [ClientSpec], after: &'a [ClientSpec]) -> Differences<&'a str> {
    let named = |clients: &'a [ClientSpec], name: &str| clients.iter().find(|client| client.name == name);
    let mut differences = Differences::default();
    for client in after {
        match named(before, &client.name) {
            None => differences.added.push(client.name.as_str()),
            Some(before) if before != client => differences.changed.push(client.name.as_str()),
            Some(_) => {}
        }
    }
    let gone = before.iter().filter(|client| named(after, &client.name).is_none());
    differences.removed.extend(gone.map(|client| client.name.as_str()));
    differences
}

/// What counts from a reload on, beside the clients; and what a running gateway has bound, started or handed on already.
fn parts(server: &ServerConfig) -> (impl PartialEq, impl PartialEq) {
    let ServerConfig {
        listen,
        clients: _,
        deadline,
        hold_back,
        body_bytes_max,
        upload_bytes_max,
        bodies_bytes_max,
        body_timeout,
        header_timeout,
        send_timeout,
        connections_max,
        drain_grace,
        workers,
        access_log,
        forward_headers,
        otlp_endpoint,
        service_name,
        trace_one_in,
    } = server;
    let bodies = (body_bytes_max, upload_bytes_max, bodies_bytes_max, body_timeout);
    (
        (deadline, hold_back, bodies, drain_grace, forward_headers, trace_one_in),
        (
            listen,
            header_timeout,
            send_timeout,
            connections_max,
            workers,
            access_log,
            otlp_endpoint,
            service_name,
        ),
    )
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use keywheel_actors::request::Priority;
    use keywheel_actors::spec::Limits;

    use super::*;

    fn client(name: &str) -> ClientSpec {
        ClientSpec {
            name: name.to_owned(),
            tokens: Vec::new(),
            models: Vec::new(),
            pass_through: None,
            limits: Limits::default(),
            cost_per_day: None,
            priority: Priority::High,
            enabled: true,
        }
    }

    fn told(before: ServerConfig, after: ServerConfig) -> Vec<String> {
        let of = |server| Config { server, ..Config::default() };
        lines(&ReloadReport::default(), &of(before), &of(after))
    }

    #[test]
    fn who_may_call_is_told_by_name() {
        let serving =
            |clients: &[ClientSpec]| ServerConfig { clients: clients.to_vec(), ..Default::default() };
        let one = serving(&[client("app")]);
        assert_eq!(told(serving(&[]), one.clone()), ["added client app"]);
        let bound = ClientSpec { models: vec!["fast".to_owned()], ..client("app") };
        let other = serving(&[bound, client("billing")]);
        assert_eq!(told(one.clone(), other.clone()), ["added client billing", "changed client app"]);
        assert_eq!(told(other, one.clone()), ["removed client billing", "changed client app"]);
        assert!(told(one.clone(), one).is_empty());
    }

    #[test]
    fn what_counts_at_once_is_told_from_what_waits_for_the_next_start() {
        let now = || ServerConfig { deadline: Duration::from_secs(1), ..Default::default() };
        let later = || ServerConfig { listen: SocketAddr::from(([127, 0, 0, 1], 1)), ..Default::default() };
        assert_eq!(told(ServerConfig::default(), now()), ["changed `[server]`"]);
        let rest = "the rest of `[server]` only at the next start";
        assert_eq!(told(ServerConfig::default(), later()), [rest]);
        assert_eq!(told(now(), later()), ["changed `[server]`", rest]);
    }
}
