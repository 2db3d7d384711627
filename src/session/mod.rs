//! A running keywheel with everything around its wheel: what it remembers, the admin socket, the failure
//! log, and the configuration that may change while it runs.

mod changes;
mod reload;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use anyhow::Context as _;
use keywheel_actors::clock::Clock;
use keywheel_actors::store::{Store, Wall};
use keywheel_actors::upstream::{HttpOptions, Upstream, Wire};
use keywheel_actors::{StartError, Wheel};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use self::reload::Watched;

use crate::admin::{self, Listening, Metrics, Opened, Server, Subject};
use crate::config::{self, Config, Home, Source};
use crate::failures::{self, FailureLogger};

/// Reloads that wait for the one under way; more say the same.
const RELOADS_WAITING_MAX: usize = 8;

/// A running keywheel. Dropped, it answers no more.
#[derive(Debug)]
pub struct Session {
    config: Arc<Config>,
    /// The configuration as it is now.
    configs: watch::Receiver<Arc<Config>>,
    wheel: Wheel,
    /// Answers until it is dropped.
    server: Server,
    reloading: JoinHandle<()>,
    failures: FailureLogger,
}

impl Session {
    /// Starts a wheel as the configuration says, to carry out `verb`. What the configuration warns of, and what
    /// is only of use beside the traffic (state, socket) and can't be had, goes to `warn`.
    ///
    /// # Errors
    /// If the configuration has mistakes, another process runs with the same state, or there is no HTTP client or
    /// no actor system to be had.
    pub fn start(source: &Source, verb: &'static str, mut warn: impl FnMut(&str)) -> anyhow::Result<Self> {
        let Config { home, path, .. } = config::load(source)?;
        let store: Option<Arc<dyn Store>> = match admin::prepare(&home)? {
            Opened::Store(store) => Some(Arc::new(store)),
            Opened::Nothing(why) => {
                warn(&unkept(&home, &why));
                None
            }
        };
        // Whoever changes the configuration from here on finds the state in use, and waits for the socket. So
        // what counts is what it says now.
        let watched = Watched::file(path);
        let mut config = Config { home, ..config::load(source)? };
        for warning in &config.warnings {
            warn(&warning.to_string());
        }
        let upstream = upstream(&config)?;
        match config::fingerprint_key(&config.home) {
            Ok(key) => config.wheel.fingerprints = key,
            Err(error) => warn(&format!("fingerprints of keys will differ after a restart: {error:#}")),
        }
        let wheel = match store {
            Some(store) => match Wheel::remembering(config.wheel.clone(), Arc::clone(&upstream), store) {
                Err(StartError::Store(error)) => {
                    warn(&unkept(&config.home, &error.to_string()));
                    Wheel::start(config.wheel.clone(), upstream)
                }
                started => started,
            },
            None => Wheel::start(config.wheel.clone(), upstream),
        };
        let wheel = wheel.context("can't start the wheel")?;

        let failures = failures::start(&wheel, &config.home.failures);
        let (reload, requests) = mpsc::channel(RELOADS_WAITING_MAX);
        let socket = config.home.socket.clone();
        let config = Arc::new(config);
        let (tell, known) = watch::channel(Arc::clone(&config));
        let runtime = wheel.runtime();
        let _entered = runtime.enter();
        let reloading = reload::spawn(source.clone(), watched.and_hangup(), wheel.clone(), tell, requests);
        let since = Wall::from(Clock::start().today());
        let configs = known.clone();
        let metrics = OnceLock::new();
        let subject = Subject { wheel: wheel.clone(), config: known, reload, verb, since, metrics };
        let mut server = Server::new(subject);
        if let Err(error) = server.on_socket(&socket) {
            warn(&format!("there is no admin socket at {}: {error}", socket.display()));
        }
        if let Some(address) = config.admin.listen {
            let listening = Listening { address, token: config.admin.token.clone() };
            if let Err(error) = server.on_tcp(listening) {
                warn(&format!("there is no dashboard: {:#}", anyhow::Error::from(error)));
            }
        }
        Ok(Self { config, configs, wheel, server, reloading, failures })
    }

    /// The configuration that it began with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The configuration as it is now, and what it becomes.
    pub fn configs(&self) -> watch::Receiver<Arc<Config>> {
        self.configs.clone()
    }

    /// Its wheel.
    pub const fn wheel(&self) -> &Wheel {
        &self.wheel
    }

    /// Where the admin interface is reached over TCP, if it is.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.server.address()
    }

    /// Has the admin interface tell these at `/metrics`.
    pub fn tell_metrics(&self, metrics: Metrics) {
        self.server.tell_metrics(metrics);
    }

    /// Answers no more, and writes what is still to be written. Call it on the wheel's runtime, when the wheel has
    /// been drained.
    pub async fn end(self) {
        self.reloading.abort();
        self.failures.finish().await;
    }
}

fn upstream(config: &Config) -> anyhow::Result<Arc<dyn Upstream>> {
    let connect = config.wheel.providers.iter().map(|provider| provider.timeouts.connect).max();
    let options =
        connect.map_or_else(HttpOptions::default, |connect_timeout| HttpOptions { connect_timeout });
    Ok(Arc::new(Wire::new(options).context("can't set up the HTTP client")?))
}

fn unkept(home: &Home, why: &str) -> String {
    let dir = home.state_dir.display();
    format!(
        "nothing is remembered and nothing kept, for the state in {dir} can't be used: {why}\n  \
         hint: mend that and start again, or say with `[state] dir` where it may be"
    )
}
