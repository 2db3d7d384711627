//! What the actors and their public types say of themselves: streams that break, panics, every `Debug`.

use std::iter;
use std::sync::Arc;

use clap::Parser as _;
use futures_util::StreamExt as _;
use keywheel::cli::Cli;
use keywheel::config::{self, Source};
use keywheel_actors::dialect::{Dialect, Gemini, OpenAi};
use keywheel_actors::id::KeyId;
use keywheel_actors::request::{Delivery, Terms};
use keywheel_actors::secret::Secret;
use keywheel_actors::spec::{CandidateSpec, KeySpec, ProviderSpec, RouteSpec, WheelSpec};
use keywheel_actors::upstream::{Call, HttpOptions, Wire};
use keywheel_actors::{AnswerBody, Wheel};
use tokio::runtime::Runtime;
use tracing_subscriber::filter::LevelFilter;

use crate::parrot::{STREAMS, url_at};
use crate::secrets::SECRETS;
use crate::support::request;

/// Tells the process that lives through it where the parrot is.
pub(crate) const PARROT_VARIABLE: &str = "CANARY_PARROT";

/// So many keys and providers are made to panic.
pub(crate) const CRASHES: usize = 3;

/// Streams every answer to every secret, crashes what can crash, and prints whatever can be printed.
pub(crate) fn live_through_everything(addr: &str) {
    tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_writer(std::io::stderr).init();
    print_types(addr);
    let spec = WheelSpec {
        providers: cases().map(|(id, case, secret)| provider(&id, &url_at(addr, case), secret)).collect(),
        routes: cases().map(|(id, ..)| route(&id)).collect(),
        ..WheelSpec::default()
    };
    println!("{spec:?}\n{spec:#?}");
    Runtime::new().expect("a runtime").block_on(async {
        let upstream = Wire::new(HttpOptions::default()).expect("an HTTP client");
        let wheel = Wheel::start(spec, Arc::new(upstream)).expect("a sound specification");
        let mut events = wheel.events();
        for (id, ..) in cases() {
            stream(&wheel, &id).await;
        }
        for (id, ..) in cases().take(CRASHES) {
            let key = KeyId { provider: id.as_str().into(), key: "k".into() };
            assert!(wheel.crash_key(&key).await, "{id} has a key");
            assert!(wheel.crash_provider(&id.as_str().into()), "{id} is a provider");
            stream(&wheel, &id).await;
        }
        println!("{:?}", wheel.board().keys());
        println!("{:?}", wheel.board().providers());
        let stats = wheel.stats().await.expect("Stats lives");
        println!("{stats:?} {}", serde_json::to_string(&stats).expect("it is JSON"));
        println!("{:?}", wheel.drain(crate::support::millis(100)).await);
        iter::from_fn(|| events.try_recv().ok()).for_each(|event| println!("{event:?}"));
    });
}

/// Every stream to every secret.
fn cases() -> impl Iterator<Item = (String, &'static str, &'static str)> {
    STREAMS.iter().flat_map(|case| {
        SECRETS
            .iter()
            .enumerate()
            .map(move |(number, (_, secret))| (format!("{case}-{number}"), *case, *secret))
    })
}

fn provider(id: &str, url: &str, secret: &str) -> ProviderSpec {
    ProviderSpec::new(id, Arc::new(OpenAi), url).with_key(KeySpec::new("k", Secret::new(secret)))
}

fn route(id: &str) -> RouteSpec {
    let candidate = CandidateSpec { provider: id.into(), model: "m".into() };
    RouteSpec { model: id.into(), candidates: vec![candidate] }
}

async fn stream(wheel: &Wheel, id: &str) {
    let request = keywheel_actors::request::Request { model: id.into(), ..request(id, Delivery::Stream) };
    let answer = wheel.send(request, Terms { attempts_max: 2, ..Terms::default() }).await;
    match answer {
        Err(error) => println!("{error:?}\n{error:#?}\n{error}"),
        Ok(answer) => {
            println!("{answer:?}");
            let AnswerBody::Stream(mut body) = answer.body else { panic!("{id} is no stream") };
            while let Some(piece) = body.next().await {
                println!("{piece:?}");
            }
        }
    }
    println!("the end of {id}");
}

/// Every public type that a secret is in.
fn print_types(addr: &str) {
    for (_, secret) in SECRETS {
        let words = ["keywheel", "--set", secret, "provider", "keys", "add", "--key", secret];
        println!("{:?}", Cli::try_parse_from(words).expect("they are words"));
        let key = Secret::new(secret);
        println!("{key:?} {:?} {}", KeySpec::new("k", key.clone()), key.masked());
        for dialect in [&OpenAi as &dyn Dialect, &Gemini] {
            let mut headers = http::HeaderMap::new();
            dialect.authenticate(&key, &mut headers).expect("it can stand in a header");
            let (method, base_url, path) =
                (http::Method::GET, url_at(addr, "x").into(), "/models".to_owned());
            let key = KeyId { provider: "p".into(), key: "k".into() };
            println!(
                "{headers:?} {:?}",
                Call {
                    key,
                    method,
                    base_url,
                    path,
                    headers: headers.clone(),
                    body: "".into(),
                    upload: None,
                    withdrawn: None
                }
            );
        }
        let directory = tempfile::tempdir().expect("a directory");
        let source = Source {
            working_dir: directory.path().to_owned(),
            environment: vec![("CANARY".to_owned(), secret.to_owned())],
            ..Source::default()
        };
        let text = "[[provider]]\nid = \"p\"\npreset = \"openai\"\napi_key = \"env:CANARY\"\n";
        std::fs::write(directory.path().join("keywheel.toml"), text).expect("it is ours");
        println!("{:?}", config::load(&source).expect("it is in order"));
        println!("{:?} {:?}", config::outline(&source).expect("it is in order"), config::check(&source));
    }
}
