//! A keywheel with its admin interface over TCP, in this process: jobs are sent as a surface sends them.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use keywheel::config::Source;
use keywheel::session::Session;
use keywheel::sim::Sim;
use keywheel_actors::request::{Delivery, Terms};

use super::live::desk_with;
use super::program::Desk;
use super::{PATIENCE, request};

/// A keywheel at work.
pub(crate) struct Running {
    pub(crate) session: Session,
    pub(crate) desk: Desk,
    pub(crate) address: SocketAddr,
}

impl Running {
    /// Over all keys of `sim`, with `head` before them in its configuration.
    pub(crate) fn start(sim: &Sim, head: &str, token: Option<&str>) -> Self {
        Self::again(desk_with(sim, head), "127.0.0.1:0", token)
    }

    /// Over the configuration of `desk`, at an address that may have been another one's.
    pub(crate) fn again(desk: Desk, address: &str, token: Option<&str>) -> Self {
        let said = |name: &str, value: &str| (format!("admin.{name}"), value.to_owned());
        let mut overrides = vec![said("listen", address)];
        overrides.extend(token.map(|token| said("token", token)));
        let source = Source {
            file: Some(desk.path("keywheel.toml")),
            working_dir: desk.path(""),
            overrides,
            ..Source::default()
        };
        let warn = |warning: &str| panic!("{warning}");
        let session = Session::start(&source, "serve", warn).expect("it starts");
        let address = session.admin_address().expect("it listens");
        Self { session, desk, address }
    }

    /// Sends so many jobs, one after the other, and waits for their ends, whatever these are.
    pub(crate) fn send(&self, count: usize) {
        let wheel = self.session.wheel();
        wheel.runtime().block_on(async {
            for number in 0..count {
                let ending = wheel.send(request(&format!("r{number}"), Delivery::Whole), Terms::default());
                let _ = tokio::time::timeout(PATIENCE, ending).await.expect("every job has an ending");
            }
        });
    }

    /// The page's address.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Says these bytes and hears all that is answered.
    pub(crate) fn say(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        // Whoever has heard enough hangs up, and what was said to it last is lost.
        let _ = stream.write_all(bytes);
        let mut heard = Vec::new();
        let _ = stream.read_to_end(&mut heard);
        String::from_utf8_lossy(&heard).into_owned()
    }

    /// A connection that says nothing yet.
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("somebody listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
        stream
    }

    /// Asks with the right host and these headers besides.
    pub(crate) fn ask(&self, line: &str, headers: &[(&str, &str)], body: &str) -> String {
        let mut said = format!("{line} HTTP/1.1\r\nhost: {}\r\n", self.address);
        for (name, value) in headers {
            said.extend([name, ": ", value, "\r\n"]);
        }
        self.say(format!("{said}content-length: {}\r\n\r\n{body}", body.len()).as_bytes())
    }
}
