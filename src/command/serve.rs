//! `keywheel serve`: a gateway until it is told to end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures_util::FutureExt as _;
use serde::Serialize;
use tokio::runtime::Handle;

use crate::clients::Strangers;
use crate::config::{self, Source};
use crate::exit::Exit;
use crate::gateway::{Gate, Server};
use crate::session::Session;
use crate::telemetry::Otlp;
use crate::ui::screen::say;

/// Answers have ended by then; this is for their last bytes to leave.
const LAST_BYTES: Duration = Duration::from_secs(5);

/// The same for who was told twice to end: streams that are read are told of it.
const LAST_BYTES_AT_ONCE: Duration = Duration::from_millis(250);

/// Where programs look for their collector that aren't told otherwise (OpenTelemetry, "OTLP Exporter Configuration").
const COLLECTOR_VARIABLE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// Stand as a gateway in front of the providers, for programs with an OpenAI, Anthropic or Gemini SDK.
///
/// Point `base_url` at `http://127.0.0.1:8080/v1` (OpenAI), or at `http://127.0.0.1:8080` (Anthropic, Gemini). It
/// runs until Ctrl-C or SIGTERM: then it takes nothing new, lets what is under way end, and leaves with 0.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Where to listen; port 0 for any free one [default: `server.listen`, or 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Where the dashboard and the admin interface listen, `/metrics` among it [default: `admin.listen`, or nowhere]
    #[arg(long, value_name = "ADDR")]
    admin: Option<SocketAddr>,
    /// Print where it listens as a line of JSON to stdout
    #[arg(long)]
    json: bool,
}

/// Where it listens, for programs.
#[derive(Debug, Serialize)]
struct Started {
    listening: String,
    admin: Option<String>,
}

impl Args {
    /// Serves until it is told to end.
    ///
    /// # Errors
    /// If the configuration is wrong, or it can't listen.
    pub fn run(&self, source: &Source) -> anyhow::Result<Exit> {
        let mut source = source.clone();
        // As if the configuration said so: there is one admin interface, and it has the token.
        source.overrides.extend(self.admin.map(|address| ("admin.listen".to_owned(), address.to_string())));
        let config = config::load(&source)?.server;
        let told = source.environment.iter().find(|(name, _)| name == COLLECTOR_VARIABLE);
        let told = told.map(|(_, endpoint)| endpoint.trim_end_matches('/').to_owned());
        let collector = config.otlp_endpoint.clone().or(told.filter(|endpoint| !endpoint.is_empty()));
        config.check_exposure(self.listen.unwrap_or(config.listen))?;
        let session = Session::start(&source, "serve", |warning| say(&format!("warning: {warning}")))?;
        if let Some(address) = self.admin.filter(|_| session.admin_address().is_none()) {
            bail!("the dashboard can't listen on {address}");
        }
        actix_web::rt::System::new().block_on(self.serve(session, collector))
    }

    async fn serve(&self, session: Session, collector: Option<String>) -> anyhow::Result<Exit> {
        let wheel = session.wheel().clone();
        let stopping = super::stopping::signal().context("can't wait for signals")?;
        let config = &session.config().server;
        let listen = self.listen.unwrap_or(config.listen);
        let strangers = if listen.ip().is_loopback() { Strangers::Served } else { Strangers::Refused };
        let mut gate = Gate::new(wheel.clone(), session.configs(), strangers)?;
        if let Some(endpoint) = collector {
            gate = gate.sending(Otlp::start(&endpoint, &config.service_name, &Handle::current())?);
        }
        let gate = Arc::new(gate);
        let server = Server::start(listen, config, Arc::clone(&gate))?;
        let following = actix_web::rt::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.follow().await }
        });
        let keeping = actix_web::rt::spawn(Arc::clone(&gate).keep());
        let told = Arc::clone(&gate);
        session.tell_metrics(Arc::new(move || {
            let gate = Arc::clone(&told);
            Box::pin(async move { gate.metrics().await })
        }));
        self.tell(&server, &session)?;
        stopping.await;
        let at_once = super::stopping::signal().context("can't wait for signals")?.shared();
        say("draining: nothing new is taken; once more to end at once");
        gate.close();
        server.close_the_door().await;
        let drained = tokio::select! {
            drained = wheel.drain(session.config().server.drain_grace) => drained,
            () = at_once.clone() => wheel.drain(Duration::ZERO).await,
        };
        let hurried = async {
            at_once.await;
            tokio::time::sleep(LAST_BYTES_AT_ONCE).await;
        }
        .shared();
        tokio::select! {
            () = gate.emptied(LAST_BYTES) => {}
            () = hurried.clone() => {}
        }
        following.abort();
        keeping.abort();
        gate.finish(hurried).await;
        server.stop().await;
        say(&format!("{} requests ended by themselves, {} were cut off", drained.finished, drained.cut_off));
        session.end().await;
        Ok(Exit::Done)
    }

    fn tell(&self, server: &Server, session: &Session) -> anyhow::Result<()> {
        let url = |address: SocketAddr| format!("http://{address}");
        let started = Started { listening: url(server.address()), admin: session.admin_address().map(url) };
        if self.json {
            return super::stdout::print_json(&started);
        }
        say(&format!("listening on {}", started.listening));
        if let Some(admin) = started.admin {
            say(&format!("dashboard on {admin}"));
        }
        Ok(())
    }
}
