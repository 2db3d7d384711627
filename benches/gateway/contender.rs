//! Who is measured: each in a process of its own, in front of the same simulator.

use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::process::Process;

/// Keys of the gateway; more than enough that none is ever waited for.
const KEYS: usize = 4;
/// Far more than two cores can send.
const LIMITS: &str = "rpm = 60_000_000, burst = 1_000_000, concurrency = 4096";
/// nginx tells nobody when it listens.
const LISTENS_WITHIN: Duration = Duration::from_secs(10);

/// Somebody who passes requests on.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    pub(crate) process: Process,
}

/// The simulator with this scenario.
pub(crate) fn sim(home: &Path, name: &str, scenario: &str) -> anyhow::Result<Contender> {
    let file = home.join(name);
    fs::write(&file, format!("listen = \"127.0.0.1:0\"\n{scenario}"))?;
    let process = Process::start(keywheel(home).args(["sim", "--json", "--scenario"]).arg(&file))?;
    let start: serde_json::Value = serde_json::from_str(&process.line()?)?;
    let base_url = start["base_url"].as_str().context("the simulator doesn't say where it listens")?;
    Ok(Contender { name: "direct", address: address_in(base_url)?, process })
}

/// This bench's own pass-through.
pub(crate) fn bare(sim: SocketAddr) -> anyhow::Result<Contender> {
    let mut command = Command::new(std::env::current_exe()?);
    let process = Process::start(command.args(["--bare", &format!("http://{sim}")]))?;
    Ok(Contender { name: "bare hyper + reqwest", address: address_in(&process.line()?)?, process })
}

/// nginx, if it is installed.
pub(crate) fn nginx(home: &Path, sim: SocketAddr) -> anyhow::Result<Option<Contender>> {
    let found = Command::new("nginx").arg("-v").stderr(Stdio::null()).status();
    if found.is_err() {
        return Ok(None);
    }
    // nginx can't be asked for any free port: somebody else might take this one in the meantime, but who would.
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let home = home.join("nginx");
    fs::create_dir_all(&home)?;
    let config = home.join("nginx.conf");
    fs::write(&config, nginx_config(address, sim))?;
    let mut command = Command::new("nginx");
    command.arg("-p").arg(&home).arg("-c").arg(&config).stderr(Stdio::null());
    let process = Process::start(&mut command)?;
    let begun = Instant::now();
    while TcpStream::connect(address).is_err() {
        anyhow::ensure!(begun.elapsed() < LISTENS_WITHIN, "nginx doesn't listen");
        std::thread::yield_now();
    }
    Ok(Some(Contender { name: "nginx", address, process }))
}

fn nginx_config(address: SocketAddr, sim: SocketAddr) -> String {
    format!(
        "daemon off;\nworker_processes auto;\nworker_rlimit_nofile 16384;\npid nginx.pid;\nerror_log error.log crit;\n\
         events {{ worker_connections 8192; }}\n\
         http {{\n  access_log off;\n  client_body_temp_path body;\n  proxy_temp_path proxy;\n\
         \x20 upstream sim {{ server {sim}; keepalive 1024; keepalive_requests 100000000; }}\n\
         \x20 server {{\n    listen {address};\n    keepalive_requests 100000000;\n    location / {{\n\
         \x20     proxy_pass http://sim;\n      proxy_http_version 1.1;\n      proxy_set_header Connection \"\";\n\
         \x20     proxy_buffering off;\n      proxy_read_timeout 120s;\n    }}\n  }}\n}}\n"
    )
}

/// `keywheel serve`.
pub(crate) fn gateway(home: &Path, sim: SocketAddr) -> anyhow::Result<Contender> {
    start_gateway(home, "gateway", &gateway_config(sim, KEYS, LIMITS, 1))
}

/// The same with this configuration, in a directory of that name.
pub(crate) fn start_gateway(home: &Path, name: &str, config: &str) -> anyhow::Result<Contender> {
    let home = home.join(name);
    fs::create_dir_all(&home)?;
    fs::write(home.join("keywheel.toml"), config)?;
    let mut command = keywheel(&home);
    command.args(["serve", "--listen", "127.0.0.1:0", "--json"]).stderr(fs::File::create(home.join("log"))?);
    let process = Process::start(&mut command)?;
    let start: serde_json::Value = serde_json::from_str(&process.line()?)?;
    let address = start["listening"].as_str().context("the gateway doesn't say where it listens")?;
    Ok(Contender { name: "keywheel serve", address: address_in(address)?, process })
}

/// A configuration with so many keys of the simulator, each with these limits; `weight` changes nothing but the file.
pub(crate) fn gateway_config(sim: SocketAddr, keys: usize, limits: &str, weight: usize) -> String {
    let mut config = format!(
        "[state]\ndir = \"state\"\n[[provider]]\nid = \"sim\"\ndialect = \"openai\"\nbase_url = \"http://{sim}/v1\"\n"
    );
    for key in 0..keys {
        // Writing into a string can't fail.
        let _ = write!(
            config,
            "[[provider.key]]\nname = \"k{key}\"\nsecret = \"env:SIM_KEY_{key}\"\nweight = {weight}\n\
             limits = {{ {limits} }}\n"
        );
    }
    config
}

fn keywheel(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keywheel"));
    command.current_dir(home).env_clear().env("HOME", home);
    command.envs((0..16).map(|key| (format!("SIM_KEY_{key}"), format!("sk-{key}"))));
    command
}

fn address_in(url: &str) -> anyhow::Result<SocketAddr> {
    let host = url.trim_start_matches("http://").split('/').next().unwrap_or_default();
    host.parse().with_context(|| format!("`{url}` is no address"))
}
