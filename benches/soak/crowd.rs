//! The clients: they come at an even rate, whatever becomes of those before.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::house::{DEADLINE, House};

/// One of so many streams is left by its client.
const LEAVES: u64 = 50;

/// What all of them have seen so far.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    pub(crate) sent: AtomicU64,
    pub(crate) ended: AtomicU64,
    pub(crate) served: AtomicU64,
}

/// What one client saw.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Saw {
    pub(crate) number: u64,
    pub(crate) status: u16,
    pub(crate) ending: Ending,
    pub(crate) took: Duration,
}

/// How its answer ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    /// Whole.
    Whole,
    /// It was told what went wrong.
    Told,
    /// The client left in the middle.
    Left,
    /// It neither is whole nor tells what went wrong, or it looks whole and isn't. Never to happen.
    Broken,
}

/// Whether a request is for a stream.
pub(crate) const fn is_stream(number: u64) -> bool {
    number % 2 == 1
}

/// The name of a request.
pub(crate) fn name(number: u64) -> String {
    format!("s{number}")
}

/// Sends requests until then, and hears all of them out; they are in the order of their numbers.
pub(crate) async fn come(
    crowd: &Arc<Crowd>,
    house: &House,
    rate: u32,
    end: Instant,
) -> anyhow::Result<Vec<Saw>> {
    let mut ticks = interval(Duration::from_secs(1) / rate.max(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut under_way, mut saw) = (JoinSet::new(), Vec::new());
    let mut number = 0;
    while ticks.tick().await < end {
        under_way.spawn(one(Arc::clone(crowd), house.client.clone(), house.url.clone(), number));
        crowd.sent.fetch_add(1, Relaxed);
        number += 1;
        while let Some(ended) = under_way.try_join_next() {
            saw.push(ended?);
        }
    }
    while let Some(ended) = under_way.join_next().await {
        saw.push(ended?);
    }
    saw.sort_by_key(|saw| saw.number);
    Ok(saw)
}

async fn one(crowd: Arc<Crowd>, client: reqwest::Client, url: String, number: u64) -> Saw {
    let begun = Instant::now();
    let (status, ending) = ask(&client, &url, number).await.unwrap_or((0, Ending::Broken));
    crowd.ended.fetch_add(1, Relaxed);
    crowd.served.fetch_add(u64::from(ending == Ending::Whole), Relaxed);
    Saw { number, status, ending, took: begun.elapsed() }
}

async fn ask(client: &reqwest::Client, url: &str, number: u64) -> reqwest::Result<(u16, Ending)> {
    let is_stream = is_stream(number);
    let message = json!({"role": "user", "content": format!("What about {number}?")});
    let body = json!({"model": "m", "stream": is_stream, "messages": [message]});
    let request = client.post(format!("{url}/v1/chat/completions")).body(body.to_string());
    let request = request
        .header("content-type", "application/json")
        .header("x-request-id", name(number))
        .header("x-keywheel-timeout", DEADLINE.as_secs());
    let answer = request.send().await?;
    let status = answer.status().as_u16();
    if number % LEAVES == 1 && status == 200 {
        return Ok((status, Ending::Left));
    }
    let text = answer.text().await?;
    let has_end = if is_stream { text.ends_with("data: [DONE]\n\n") } else { text.ends_with('}') };
    let ending = match (status == 200 && has_end, text.contains("\"error\"")) {
        (true, false) => Ending::Whole,
        (false, true) => Ending::Told,
        (true, true) | (false, false) => Ending::Broken,
    };
    Ok((status, ending))
}
