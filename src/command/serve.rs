//! `keywheel serve`: a gateway until it is told to end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;

use crate::config::Source;
use crate::exit::Exit;
use crate::gateway::{Gate, Listening, Server, Settings};
use crate::session::Session;
use crate::ui::screen::say;

/// Stand as a gateway in front of the providers, for programs with an OpenAI, Anthropic or Gemini SDK.
///
/// Point `base_url` at `http://127.0.0.1:8080/v1` (OpenAI), or at `http://127.0.0.1:8080` (Anthropic, Gemini). It
/// runs until Ctrl-C or SIGTERM: then it takes nothing new, lets what is under way end, and leaves with 0.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Where to listen; port 0 for any free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
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
        let session = Session::start(source, "serve", |warning| say(&format!("warning: {warning}")))?;
        actix_web::rt::System::new().block_on(self.serve(session))
    }

    async fn serve(&self, session: Session) -> anyhow::Result<Exit> {
        let wheel = session.wheel().clone();
        let stopping = super::stopping::signal().context("can't wait for signals")?;
        let settings = Settings {
            deadline: Duration::from_secs(600),
            body_bytes_max: 64 << 20,
            body_timeout: Duration::from_secs(30),
        };
        let gate = Arc::new(Gate::new(wheel.clone(), session.configs(), settings));
        let listening = Listening {
            listen: self.listen,
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            connections_max: 4_096,
            header_timeout: Duration::from_secs(5),
        };
        let server = Server::start(&listening, Arc::clone(&gate))?;
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
        let drained = wheel.drain(Duration::from_secs(30)).await;
        gate.emptied(Duration::from_secs(5)).await;
        server.stop().await;
        say(&format!("{} requests ended by themselves, {} were cut off", drained.finished, drained.cut_off));
        session.end().await;
        Ok(Exit::Done)
    }
}
