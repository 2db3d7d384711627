//! `[admin]`, as far as it is about more than a socket file: who reaches a running keywheel over the network.

use std::net::SocketAddr;

use keywheel_actors::secret::Secret;

use super::secret::{Purpose, Vault, Written, fetch};
use super::server;
use super::tree::{Fields, Node};

/// What `[admin]` may say.
pub(super) const FIELDS: [&str; 3] = ["socket", "listen", "token"];

/// Shorter ones can be guessed by trying.
const TOKEN_CHARS_MIN: usize = 20;

/// Who reaches a running keywheel over the network.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AdminConfig {
    /// Where it listens beside its socket file.
    pub listen: Option<SocketAddr>,
    /// What whoever comes there must show.
    pub token: Option<Secret>,
}

/// Reads `listen` and `token` of `[admin]`.
pub(super) fn read(top: &Fields<'_>, vault: Vault<'_>) -> AdminConfig {
    let Some(fields) = top.get("admin").and_then(|node| node.fields(&FIELDS)) else {
        return AdminConfig::default();
    };
    let listen = fields.get("listen").and_then(|node| Some((server::address(&node)?, node)));
    let token = fields.get("token");
    if let (Some((address, node)), None) = (&listen, &token)
        && !address.ip().is_loopback()
    {
        let hint = "write `token = \"file:PATH\"`, or listen on 127.0.0.1".to_owned();
        node.wrong("others can reach it, and there is no `token`", Some(hint));
    }
    AdminConfig {
        listen: listen.map(|(address, _)| address),
        token: token.and_then(|node| read_token(&node, vault)),
    }
}

fn read_token(node: &Node<'_>, vault: Vault<'_>) -> Option<Secret> {
    let fetched = match (fetch(Written::of(node.text()?), vault), vault.purpose) {
        (Ok(fetched), _) => fetched.secret,
        (Err(unfetched), Purpose::Run) => {
            unfetched.report(node);
            return None;
        }
        // Who looks after the configuration has no need of it.
        (Err(_), Purpose::LookAfter) => return None,
    };
    if fetched.chars() < TOKEN_CHARS_MIN {
        let hint = "`openssl rand -hex 32` makes a good one".to_owned();
        node.wrong(format!("a token has at least {TOKEN_CHARS_MIN} characters"), Some(hint));
        return None;
    }
    Some(fetched)
}
