//! OpenTelemetry: what the phases of a round and some of the requests took, sent to a collector over OTLP (`specs/operate.md`).
//!
//! Off unless the environment names a collector. A collector that is away or hangs costs spans, never time: they are queued without
//! waiting, a full queue drops them, and one thread of its own sends them.

mod phases;
mod requests;
mod watched;

use std::sync::OnceLock;
use std::time::Duration;

use client::cli::Advice;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::Registry;

pub use requests::{Request, request};

/// Whether the environment asks for an export.
#[must_use]
pub fn is_wanted() -> bool {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let is_disabled = set("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    !is_disabled && ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"].into_iter().any(|name| set(name).is_some())
}

/// What turns the phases that the log's trace names into spans; `None` where no export is wanted.
#[must_use]
pub fn listener() -> Option<impl Layer<Registry> + Send + Sync> {
    is_wanted().then(phases::listener)
}

/// Begins to export, where that is wanted. Call it outside a runtime.
///
/// # Errors
/// If the environment asks for what cannot be had.
pub fn start(origin: &str) -> anyhow::Result<()> {
    if !is_wanted() {
        return Ok(());
    }
    let protocol =
        ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"].into_iter().find_map(|name| std::env::var(name).ok());
    if let Some(other) = protocol.filter(|protocol| protocol != "http/protobuf") {
        let hint = "set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf, or leave it away, and name the collector's HTTP port (4318)";
        return Err(Advice::new(format!("spans are not sent over {other}"), hint).into());
    }
    let exporter = SpanExporter::builder().with_http().with_protocol(Protocol::HttpBinary).build().map_err(|error| {
        let hint = "give OTEL_EXPORTER_OTLP_ENDPOINT as a URL, such as http://127.0.0.1:4318";
        Advice::new(format!("the collector cannot be used: {error}"), hint)
    })?;
    let provider =
        SdkTracerProvider::builder().with_batch_exporter(watched::Watched::new(exporter)).with_resource(resource(origin)).build();
    if EXPORT.set(Export { tracer: provider.tracer("tally-log"), provider }).is_ok() {
        tracing::info!("spans are sent to the collector that the environment names");
    }
    Ok(())
}

/// Sends what is queued, and gives up after a short time: the log's end waits for no collector.
pub fn stop() {
    if let Some(export) = EXPORT.get() {
        // What is lost is lost; the exporter has said so.
        let _ = export.provider.shutdown_with_timeout(PATIENCE);
    }
}

fn resource(origin: &str) -> Resource {
    let mut resource = Resource::builder().with_attributes([
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("tally.log.origin", origin.to_owned()),
    ]);
    if std::env::var("OTEL_SERVICE_NAME").is_err() {
        resource = resource.with_service_name("tally-log");
    }
    resource.build()
}

struct Export {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

/// One process has one export, whatever number of logs it serves.
static EXPORT: OnceLock<Export> = OnceLock::new();
/// For the last spans at the end.
const PATIENCE: Duration = Duration::from_secs(2);
