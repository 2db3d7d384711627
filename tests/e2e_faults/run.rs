//! A gateway over some providers, what its clients saw, and the join of the three ledgers.

use std::collections::HashMap;
use std::fmt;
use std::thread;

use keywheel::sim::{Sim, SimSpec, provider_toml};
use reqwest::Response;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::support::gateway::Gateway;
use crate::support::live::{STATE, start};
use crate::support::program::Desk;

/// A provider that writes down the calls it has.
pub(crate) trait Books {
    /// All of them, and how many each request had by its name.
    fn calls(&self) -> (usize, HashMap<String, usize>);
}

impl Books for Sim {
    fn calls(&self) -> (usize, HashMap<String, usize>) {
        let ledger = self.ledger_with_requests();
        let requests = ledger.requests.into_iter().flatten();
        let total = usize::try_from(ledger.calls).expect("few");
        (total, requests.map(|(id, entries)| (id, entries.len())).collect())
    }
}

/// What one client saw.
pub(crate) struct Saw {
    pub(crate) id: String,
    pub(crate) status: u16,
    pub(crate) is_whole: bool,
}

impl Saw {
    /// Hears an answer out: it is whole, or says what went wrong, and never both.
    pub(crate) async fn of(id: String, is_stream: bool, answer: Response) -> Self {
        let status = answer.status().as_u16();
        let text = answer.text().await.expect("a body that ends");
        let is_whole = if is_stream { text.contains("[DONE]") } else { text.ends_with('}') };
        let has_error = text.contains("\"error\"");
        assert!(!(status == 200 && is_whole && has_error), "it looks whole: {text}");
        assert!(is_whole && status == 200 || has_error, "nothing tells what went wrong: {text}");
        Self { id, status, is_whole: status == 200 && is_whole }
    }
}

/// What became of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Figures {
    pub(crate) requests: usize,
    pub(crate) served: usize,
    pub(crate) calls: usize,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requests, served, calls } = self;
        write!(f, "{requests} requests, {served} served, {calls} calls")
    }
}

/// A gateway over providers `p0`, `p1`, … in this order.
pub(crate) struct Run<P = Sim> {
    pub(crate) gateway: Gateway,
    pub(crate) desk: Desk,
    pub(crate) providers: Vec<P>,
    pub(crate) saw: Vec<Saw>,
    begun: usize,
}

impl Run {
    /// Over simulated providers, with these words besides.
    pub(crate) fn start(specs: Vec<SimSpec>, words: &[&str]) -> Self {
        let sims: Vec<Sim> = specs.into_iter().map(start).collect();
        let named = sims.iter().enumerate().map(|(number, sim)| {
            provider_toml(&sim.base_url(), sim.spec()).replace("id = \"sim\"", &format!("id = \"p{number}\""))
        });
        let config = named.collect::<String>();
        Self::over(sims, &config, words)
    }
}

impl<P: Books> Run<P> {
    /// Over these providers, whose configuration is `config`.
    pub(crate) fn over(providers: Vec<P>, config: &str, words: &[&str]) -> Self {
        Self::at(Desk::new(&format!("{STATE}{config}")), providers, words, &[])
    }

    /// Over these providers at a desk that has their configuration, with these words and variables besides.
    pub(crate) fn at(desk: Desk, providers: Vec<P>, words: &[&str], environment: &[(&str, &str)]) -> Self {
        let words = [&["--set", "server.access_log=access.jsonl"], words].concat();
        let gateway = Gateway::start_in(&desk, &words, environment);
        Self { gateway, desk, providers, saw: Vec::new(), begun: 0 }
    }

    /// Sends so many at once, every other one a stream, and hears them all out. Tells how many were served.
    pub(crate) async fn send(&mut self, count: usize) -> usize {
        let all = self.begin(count);
        self.hear_out(all).await
    }

    /// Sends so many at once, every other one a stream.
    pub(crate) fn begin(&mut self, count: usize) -> JoinSet<Saw> {
        let mut all = JoinSet::new();
        for number in 0..count {
            let id = format!("r{}-{number}", self.begun);
            let is_stream = number % 2 == 1;
            let request = if is_stream { self.gateway.stream(&id) } else { self.gateway.chat(&id) };
            all.spawn(async move {
                Saw::of(id, is_stream, request.send().await.expect("every request has an answer")).await
            });
        }
        self.begun += count;
        all
    }

    /// Hears out what was begun. Tells how many were served.
    pub(crate) async fn hear_out(&mut self, all: JoinSet<Saw>) -> usize {
        let saw = all.join_all().await;
        let served = saw.iter().filter(|saw| saw.is_whole).count();
        self.saw.extend(saw);
        served
    }

    /// Ends the gateway, joins the ledgers and prints the figures.
    pub(crate) async fn join(self) -> Figures {
        let metrics = self.gateway.metrics().await;
        self.gateway.terminate().exited(0);
        let log = self.desk.read("access.jsonl");
        let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(lines.len(), self.saw.len(), "one line a request");
        let books: Vec<_> = self.providers.iter().map(P::calls).collect();
        let mut calls = 0;
        for Saw { id, status, is_whole } in &self.saw {
            let line = lines.iter().find(|line| line["request_id"] == **id).expect("it is logged");
            assert_eq!(line["status"], *status, "{line}");
            assert_eq!(line["ending"] == "served", *is_whole, "{line}");
            let seen: usize = books.iter().filter_map(|(_, by_request)| by_request.get(id)).sum();
            assert!(line["attempts"].as_u64() >= Some(seen as u64), "{line}");
            calls += seen;
        }
        assert_eq!(books.iter().map(|(all, _)| all).sum::<usize>(), calls, "no call is nobody's");
        let served = self.saw.iter().filter(|saw| saw.is_whole).count();
        let counted = metrics
            .lines()
            .filter(|line| line.starts_with("keywheel_requests_total{") && line.contains("ending=\"served\""))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok())
            .sum::<usize>();
        assert_eq!(counted, served, "what is published is what happened");
        let figures = Figures { requests: self.saw.len(), served, calls };
        println!("{}: {figures}", thread::current().name().unwrap_or("a run"));
        figures
    }
}
