//! Sends spans to a collector, over gRPC.
//!
//! A collector that is away, slow or hostile costs its spans and nothing else. At most [`MOST`] spans wait; the others are
//! dropped and counted. A batch has [`PATIENCE`] to be taken. The log says when the collector begins to fail and when it takes
//! spans again, however often it fails between. Owns these bounds and the threads. Must not know what a span is about.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use opentelemetry::trace::{Link, SpanKind, TraceId, TraceState, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::tonic_types::transport::{Certificate, ClientTlsConfig};
use opentelemetry_otlp::{
    ExporterBuildError, SpanExporter as OtlpExporter, WithExportConfig, WithTonicConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SamplingDecision, SamplingResult, SdkTracerProvider,
    ShouldSample, Span, SpanData, SpanExporter, SpanLimits, SpanProcessor,
};
use prometheus::IntCounterVec;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::time::timeout;
use tracing::{Subscriber, info, warn};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::registry::LookupSpan;
use url::Url;

use super::{TARGET, sampling, short};
use crate::config::{PemFile, Telemetry};

/// Most spans that wait for the collector. With the longest texts in them they take a few MiB.
const MOST: usize = 2048;

/// Spans that are sent together.
const BATCH: usize = 512;

/// How long a span waits for others.
const AGE: Duration = Duration::from_secs(1);

/// How long a batch may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the end of the process waits for the last spans to be taken.
const FAREWELL: Duration = Duration::from_millis(900);

/// Why nothing can be sent to a collector.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoCollector {
    #[error("telemetry.otlp: {0}")]
    Exporter(#[from] ExporterBuildError),
    #[error("telemetry.otlp: no thread can be started to send spans: {0}")]
    Thread(#[from] io::Error),
}

/// The way to a collector. When this is dropped, the spans that wait are sent, if they are taken at once.
#[derive(Debug)]
pub(crate) struct Collector {
    provider: SdkTracerProvider,
    /// `None` once it was shut down.
    runtime: Option<Runtime>,
}

impl Collector {
    /// Starts to send to the collector of `settings`, if they name one. `counted` has the label "outcome".
    ///
    /// # Errors
    /// [`NoCollector`] if it cannot be sent to. One that does not answer is no error.
    pub(crate) fn start(settings: &Telemetry, counted: &IntCounterVec) -> Result<Option<Self>, NoCollector> {
        let Some(url) = &settings.otlp else { return Ok(None) };
        let runtime =
            Builder::new_multi_thread().worker_threads(1).thread_name("spans").enable_all().build()?;
        let exporter = {
            // The connection belongs to this runtime.
            let _within = runtime.enter();
            exporter(url, settings)?
        };
        let waiting = Arc::new(AtomicUsize::new(0));
        let exporter = BoundedExporter {
            exporter: Arc::new(exporter),
            runtime: runtime.handle().clone(),
            waiting: Arc::clone(&waiting),
            counted: counted.clone(),
            fails: AtomicBool::new(false),
        };
        let bounds = BatchConfigBuilder::default()
            .with_max_queue_size(MOST)
            .with_max_export_batch_size(BATCH)
            .with_scheduled_delay(AGE)
            .build();
        let batches = BatchSpanProcessor::builder(exporter).with_batch_config(bounds).build();
        let about = [KeyValue::new("service.version", env!("CARGO_PKG_VERSION"))];
        let about = Resource::builder_empty().with_service_name("scriptorium").with_attributes(about).build();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(BoundedSpans { batches, waiting, counted: counted.clone() })
            .with_sampler(SampledShare(settings.sample))
            // Otherwise variables of the environment would say how much of a span is kept.
            .with_span_limits(SpanLimits::default())
            .with_resource(about)
            .build();
        Ok(Some(Self { provider, runtime: Some(runtime) }))
    }

    /// Whether the collector of `settings` takes spans: it is sent none.
    ///
    /// # Errors
    /// What it or the library says, in a bounded text.
    pub(crate) async fn prove(settings: &Telemetry) -> Result<(), String> {
        let Some(url) = &settings.otlp else { return Ok(()) };
        let exporter = exporter(url, settings).map_err(|error| error.to_string())?;
        match timeout(PATIENCE, exporter.export(Vec::new())).await {
            Ok(sent) => sent.map_err(|error| short(&error.to_string()).to_owned()),
            Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
        }
    }

    /// What takes spans from `tracing`.
    pub(crate) fn layer<S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync>(
        &self,
    ) -> impl Layer<S> + Send + Sync + use<S> {
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("scriptorium"))
            .with_location(false)
            .with_threads(false)
            .with_level(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(Targets::new().with_target(TARGET, LevelFilter::INFO))
    }
}

fn exporter(url: &Url, settings: &Telemetry) -> Result<OtlpExporter, NoCollector> {
    let builder = OtlpExporter::builder().with_tonic().with_endpoint(url.as_str()).with_timeout(PATIENCE);
    let builder = match url.scheme() {
        "https" => builder.with_tls_config(authorities(settings.ca_file.as_ref())),
        _ => builder,
    };
    Ok(builder.build()?)
}

/// Whom the collector's certificate must be from: the machine's authorities, and those of `ca_file`.
fn authorities(ca_file: Option<&PemFile>) -> ClientTlsConfig {
    let machine = ClientTlsConfig::new().with_enabled_roots();
    match ca_file {
        Some(file) => machine.ca_certificate(Certificate::from_pem(file.contents())),
        None => machine,
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        // What is not taken by then is lost.
        let _ = self.provider.shutdown_with_timeout(FAREWELL);
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Traces this share of the requests about which no trusted sender decided.
#[derive(Debug, Clone)]
struct SampledShare(f64);

impl ShouldSample for SampledShare {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        _: TraceId,
        _: &str,
        _: &SpanKind,
        _: &[KeyValue],
        _: &[Link],
    ) -> SamplingResult {
        let decision = match sampling::is_traced(self.0, parent) {
            true => SamplingDecision::RecordAndSample,
            false => SamplingDecision::Drop,
        };
        SamplingResult { decision, attributes: Vec::new(), trace_state: TraceState::NONE }
    }
}

/// Puts spans that ended where they wait for the collector, if there is room.
#[derive(Debug)]
struct BoundedSpans {
    batches: BatchSpanProcessor,
    /// Spans that wait or are being sent.
    waiting: Arc<AtomicUsize>,
    counted: IntCounterVec,
}

impl SpanProcessor for BoundedSpans {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= MOST {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return self.counted.with_label_values(&["dropped"]).inc();
        }
        self.batches.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.batches.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.batches.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.batches.set_resource(resource);
    }
}

/// Sends batches, and says once that it cannot.
#[derive(Debug)]
struct BoundedExporter {
    exporter: Arc<OtlpExporter>,
    runtime: Handle,
    waiting: Arc<AtomicUsize>,
    counted: IntCounterVec,
    /// Whether the last batch was lost.
    fails: AtomicBool,
}

impl BoundedExporter {
    fn note(&self, spans: usize, sent: &OTelSdkResult) {
        let outcome = if sent.is_ok() { "sent" } else { "lost" };
        self.counted.with_label_values(&[outcome]).inc_by(spans as u64);
        match (sent, self.fails.swap(sent.is_err(), Ordering::Relaxed)) {
            (Err(error), false) => {
                // Words of the collector may be in it.
                let error = error.to_string();
                warn!(error = short(&error), "the collector takes no spans; they are lost until it does");
            }
            (Ok(()), true) => info!("the collector takes spans again"),
            (Err(_), true) | (Ok(()), false) => {}
        }
    }
}

impl SpanExporter for BoundedExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let (exporter, spans) = (Arc::clone(&self.exporter), batch.len());
        // The thread that waits here has no clock of tokio's.
        let sending = self.runtime.spawn(async move { timeout(PATIENCE, exporter.export(batch)).await });
        let sent = match sending.await {
            Ok(Ok(sent)) => sent,
            Ok(Err(_)) => Err(OTelSdkError::Timeout(PATIENCE)),
            Err(ended) => Err(OTelSdkError::InternalFailure(ended.to_string())),
        };
        self.waiting.fetch_sub(spans, Ordering::Relaxed);
        self.note(spans, &sent);
        // The processor would log each failure.
        Ok(())
    }

    fn set_resource(&mut self, resource: &Resource) {
        if let Some(exporter) = Arc::get_mut(&mut self.exporter) {
            exporter.set_resource(resource);
        }
    }
}
