//! Traces and metrics for OpenTelemetry, sent by OTLP over HTTP.
//!
//! Names follow the semantic conventions for generative AI where they exist. Nothing waits for a collector: what it
//! can't take in time is left out.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use keywheel_actors::id::KeyId;
use keywheel_actors::span;
use keywheel_actors::spec::ProviderSpec;
use keywheel_actors::upstream::{Call, HttpOptions, Upstream as _, Wire};
use opentelemetry::metrics::{Histogram, MeterProvider as _};
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{
    MetricExporter, Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks};
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;

use super::semantics::{self, Vendors};
use super::{Ended, Ending};

/// Spans that wait for the collector; those beyond are left out.
const WAITING_MAX: usize = 8_192;
/// Spans in one message.
const BATCH_MAX: usize = 512;
/// How long the first span of a message waits for others.
const BATCH_WAIT: Duration = Duration::from_secs(1);
/// A collector that takes longer is as good as none.
const COLLECTOR_WITHIN: Duration = Duration::from_secs(5);
/// How often metrics are sent.
const METRICS_EVERY: Duration = Duration::from_secs(30);
/// What is still to be sent at the end may take so long.
const LAST_WITHIN: Duration = Duration::from_secs(2);

/// Bounds of `gen_ai.client.operation.duration`, in seconds, as the conventions have them.
const DURATIONS: [f64; 14] =
    [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
/// Bounds of `http.server.request.duration`, in seconds: those of the conventions, and further ones, for models
/// think longer than pages are built.
const REQUESTS: [f64; 18] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 30.0, 60.0, 120.0, 600.0,
];
/// Bounds of `gen_ai.client.token.usage`, as the conventions have them.
const TOKENS: [f64; 14] = [
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

/// Sends what requests came to.
#[derive(Debug)]
pub struct Otlp {
    spans: mpsc::Sender<SpanData>,
    /// Ends the sending, when what waits has been sent.
    end: Arc<Notify>,
    sending: Mutex<Option<JoinHandle<()>>>,
    meters: SdkMeterProvider,
    requests: Histogram<f64>,
    calls: Histogram<f64>,
    tokens: Histogram<u64>,
    scope: InstrumentationScope,
}

impl Otlp {
    /// Sends to the collector at `endpoint`, from tasks on `runtime`.
    ///
    /// # Errors
    /// If there can't be a client for it.
    pub fn start(endpoint: &str, service_name: &str, runtime: &Handle) -> anyhow::Result<Self> {
        let wire = Wire::new(HttpOptions { connect_timeout: COLLECTOR_WITHIN })?;
        let collector: Arc<dyn HttpClient> = Arc::new(Collector { wire, runtime: runtime.clone() });
        let resource = Resource::builder().with_service_name(service_name.to_owned()).build();
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_shared_http_client(Arc::clone(&collector))
            .with_protocol(Protocol::HttpJson)
            .with_endpoint(format!("{endpoint}/v1/traces"))
            .with_timeout(COLLECTOR_WITHIN)
            .build()
            .context("can't send traces")?;
        exporter.set_resource(&resource);
        let metrics = MetricExporter::builder()
            .with_http()
            .with_shared_http_client(collector)
            .with_protocol(Protocol::HttpJson)
            .with_endpoint(format!("{endpoint}/v1/metrics"))
            .with_timeout(COLLECTOR_WITHIN)
            .build()
            .context("can't send metrics")?;
        let reader = PeriodicReader::builder(metrics).with_interval(METRICS_EVERY).build();
        let meters = SdkMeterProvider::builder().with_reader(reader).with_resource(resource).build();
        let meter = meters.meter("keywheel");
        let requests = meter
            .f64_histogram("http.server.request.duration")
            .with_unit("s")
            .with_description("From a request's coming to its end")
            .with_boundaries(REQUESTS.to_vec())
            .build();
        let calls = meter
            .f64_histogram("gen_ai.client.operation.duration")
            .with_unit("s")
            .with_description("From the beginning of a call to a provider to its end")
            .with_boundaries(DURATIONS.to_vec())
            .build();
        let tokens = meter
            .u64_histogram("gen_ai.client.token.usage")
            .with_unit("{token}")
            .with_description("Tokens that providers told of")
            .with_boundaries(TOKENS.to_vec())
            .build();
        let (spans, waiting) = mpsc::channel(WAITING_MAX);
        let end = Arc::new(Notify::new());
        let sending = Mutex::new(Some(runtime.spawn(send(waiting, exporter, Arc::clone(&end)))));
        let scope = InstrumentationScope::builder("keywheel").with_version(env!("CARGO_PKG_VERSION")).build();
        Ok(Self { spans, end, sending, meters, requests, calls, tokens, scope })
    }

    /// A request has ended.
    pub fn record(&self, ended: &Ended, providers: &[ProviderSpec]) {
        let vendors = Vendors::of(providers);
        self.requests.record(ended.took.as_secs_f64(), &semantics::of_request(ended));
        for attempt in &ended.attempts {
            let took = semantics::took(ended, attempt).as_secs_f64();
            self.calls.record(took, &semantics::of_call(ended, attempt, &vendors));
        }
        if let Some(usage) = ended.usage
            && let Some(serving) = ended.attempts.last()
        {
            let shared = semantics::of_call(ended, serving, &vendors);
            for (kind, tokens) in [("input", usage.input_tokens), ("output", usage.output_tokens)] {
                let mut attributes = shared.clone();
                attributes.push(KeyValue::new("gen_ai.token.type", kind));
                self.tokens.record(tokens, &attributes);
            }
        }
        if ended.trace.sampled {
            // A collector that is too slow gets less.
            let _ = self.spans.try_send(self.of_request(ended, &vendors));
            for attempt in 0..ended.attempts.len() {
                let _ = self.spans.try_send(self.of_attempt(ended, attempt, &vendors));
            }
        }
    }

    fn of_request(&self, ended: &Ended, vendors: &Vendors<'_>) -> SpanData {
        let mut attributes = semantics::of_request(ended);
        attributes.extend(semantics::of_generation(ended, vendors));
        attributes.push(KeyValue::new("url.path", ended.path.clone()));
        attributes.push(KeyValue::new("keywheel.request_id", ended.request_id.clone()));
        attributes.push(KeyValue::new("keywheel.attempts", count(ended.attempts.len() as u64)));
        attributes.push(KeyValue::new("keywheel.fallback", ended.fell_back));
        if let Some(peer) = ended.peer {
            attributes.push(KeyValue::new("client.address", peer.to_string()));
        }
        if let Some(client) = &ended.client {
            attributes.push(KeyValue::new("keywheel.client", client.to_string()));
        }
        if let Some(usage) = ended.usage {
            attributes.push(KeyValue::new("gen_ai.usage.input_tokens", count(usage.input_tokens)));
            attributes.push(KeyValue::new("gen_ai.usage.output_tokens", count(usage.output_tokens)));
        }
        let status = match ended.ending {
            Ending::Served | Ending::ClientGone => Status::Unset,
            Ending::Refused | Ending::Failed | Ending::Cut => {
                Status::error(ended.code.clone().unwrap_or_else(|| ended.ending.as_str().to_owned()))
            }
        };
        let began = SystemTime::from(ended.at);
        SpanData {
            span_context: context(ended, ended.trace.span_id),
            parent_span_id: SpanId::from(ended.trace.parent.unwrap_or_default()),
            parent_span_is_remote: true,
            span_kind: SpanKind::Server,
            name: semantics::name(ended).into(),
            start_time: began,
            end_time: began + ended.took,
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status,
            instrumentation_scope: self.scope.clone(),
        }
    }

    fn of_attempt(&self, ended: &Ended, index: usize, vendors: &Vendors<'_>) -> SpanData {
        let attempt = &ended.attempts[index];
        let began = SystemTime::from(ended.at) + attempt.started.since(ended.began);
        let mut attributes = semantics::of_call(ended, attempt, vendors);
        attributes.push(KeyValue::new("keywheel.key", attempt.key.key.to_string()));
        if attempt.fault.is_some() {
            attributes.push(KeyValue::new("gen_ai.request.model", attempt.model.to_string()));
        }
        let status = match &attempt.fault {
            Some(fault) => Status::error(fault.reason.as_str()),
            None => Status::Unset,
        };
        SpanData {
            span_context: context(ended, span::of_call(ended.trace.span_id, index)),
            parent_span_id: SpanId::from(ended.trace.span_id),
            parent_span_is_remote: false,
            span_kind: SpanKind::Client,
            name: format!("{} {}", semantics::operation(ended.surface), attempt.model).into(),
            start_time: began,
            end_time: began + semantics::took(ended, attempt),
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status,
            instrumentation_scope: self.scope.clone(),
        }
    }

    /// Sends what still waits.
    pub async fn finish(&self) {
        self.end.notify_one();
        let sending = self.sending.lock().unwrap_or_else(PoisonError::into_inner).take();
        let meters = self.meters.clone();
        let (told, metrics) = oneshot::channel();
        // Not on the runtime, which would wait for it at its end.
        let last = thread::Builder::new().name("keywheel-meters".to_owned());
        if let Err(error) = last.spawn(move || told.send(meters.shutdown())) {
            tracing::warn!(%error, "metrics can't be sent");
        }
        let last = async {
            if let Some(sending) = sending {
                // A collector that isn't there gets nothing.
                let _ = sending.await;
            }
            if let Ok(Err(error)) = metrics.await {
                tracing::warn!(%error, "metrics can't be sent");
            }
        };
        if tokio::time::timeout(LAST_WITHIN, last).await.is_err() {
            tracing::warn!("the collector didn't take the last traces and metrics in time");
        }
    }
}

fn context(ended: &Ended, span_id: u64) -> SpanContext {
    SpanContext::new(
        TraceId::from(ended.trace.trace_id),
        SpanId::from(span_id),
        TraceFlags::SAMPLED,
        false,
        TraceState::NONE,
    )
}

fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

async fn send(mut waiting: mpsc::Receiver<SpanData>, exporter: SpanExporter, end: Arc<Notify>) {
    let mut has_failed = false;
    let mut is_ending = false;
    while !is_ending || !waiting.is_empty() {
        let mut batch = Vec::new();
        tokio::select! {
            () = end.notified(), if !is_ending => is_ending = true,
            _ = waiting.recv_many(&mut batch, BATCH_MAX) => {}
        }
        if batch.is_empty() {
            continue;
        }
        if !is_ending && batch.len() < BATCH_MAX {
            // Others may be on their way.
            let until_end = tokio::time::timeout(BATCH_WAIT, end.notified()).await;
            is_ending = until_end.is_ok();
        }
        while batch.len() < BATCH_MAX
            && let Ok(span) = waiting.try_recv()
        {
            batch.push(span);
        }
        match exporter.export(batch).await {
            Ok(()) => has_failed = false,
            // Said once, until it works again.
            Err(error) if !has_failed => {
                has_failed = true;
                tracing::warn!(%error, "traces can't be sent");
            }
            Err(_) => {}
        }
    }
}

/// Speaks with the collector by our own client, on the runtime that has its sockets.
#[derive(Debug)]
struct Collector {
    wire: Wire,
    runtime: Handle,
}

#[async_trait::async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = request.into_parts();
        let scheme = parts.uri.scheme_str().unwrap_or("http");
        let authority = parts.uri.authority().map_or("", |authority| authority.as_str());
        let call = Call {
            key: KeyId { provider: "otlp".into(), key: "collector".into() },
            method: parts.method,
            base_url: format!("{scheme}://{authority}").into(),
            path: parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            headers: parts.headers,
            body,
            upload: None,
            withdrawn: None,
        };
        let wire = self.wire.clone();
        let exchange = async move {
            let answer = wire.call(call).await?;
            let status = answer.status;
            let body = answer.body.map(|piece| piece.map(Vec::from)).try_concat().await?;
            Ok::<_, HttpError>((status, body))
        };
        // Whoever sends metrics has no runtime to wait on.
        let exchange = self.runtime.spawn(async { tokio::time::timeout(COLLECTOR_WITHIN, exchange).await });
        let (status, body) = exchange.await???;
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = status;
        Ok(response)
    }
}
