//! `keywheel serve`: a gateway until it is told to end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;

use crate::config::{self, Source};
use crate::exit::Exit;
use crate::gateway::{Gate, Server};
use crate::session::Session;
use crate::ui::screen::say;

/// Answers have ended by then; this is for their last bytes to leave.
const LAST_BYTES: Duration = Duration::from_secs(5);

/// Stand as a gateway in front of the providers, for programs with an OpenAI, Anthropic or Gemini SDK.
///
/// Point `base_url` at `http://127.0.0.1:8080/v1` (OpenAI), or at `http://127.0.0.1:8080` (Anthropic, Gemini). It
/// runs until Ctrl-C or SIGTERM: then it takes nothing new, lets what is under way end, and leaves with 0.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Where to listen; port 0 for any free one [default: `server.listen`, or 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Print where it listens as a line of JSON to stdout
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Serves until it is told to end.
    ///
    /// # Errors
    /// If the configuration is wrong, or it can't listen.
    pub fn run(&self, source: &Source) -> anyhow::Result<Exit> {
        let config = config::load(source)?.server;
        config.check_exposure(self.listen.unwrap_or(config.listen))?;
        let session = Session::start(source, "serve", |warning| say(&format!("warning: {warning}")))?;
        actix_web::rt::System::new().block_on(self.serve(session))
    }

    async fn serve(&self, session: Session) -> anyhow::Result<Exit> {
        let wheel = session.wheel().clone();
        let stopping = super::stopping::signal().context("can't wait for signals")?;
        let config = &session.config().server;
        let gate = Arc::new(Gate::new(wheel.clone(), session.configs())?);
        let server = Server::start(self.listen.unwrap_or(config.listen), config, Arc::clone(&gate))?;
        let following = actix_web::rt::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.follow().await }
        });
        let url = format!("http://{}", server.address());
        if self.json {
            super::stdout::print_json(&json!({"listening": url}))?;
        } else {
            say(&format!("listening on {url}"));
        }
        stopping.await;
        say("draining: nothing new is taken");
        gate.close();
        server.close_the_door().await;
        let drained = wheel.drain(session.config().server.drain_grace).await;
        gate.emptied(LAST_BYTES).await;
        following.abort();
        gate.finish();
        server.stop().await;
        say(&format!("{} requests ended by themselves, {} were cut off", drained.finished, drained.cut_off));
        session.end().await;
        Ok(Exit::Done)
    }
}
