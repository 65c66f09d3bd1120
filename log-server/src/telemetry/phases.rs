//! A round as a span, and each of its phases as one below it, made of what the log's trace says (`phase=Stage`).

use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use opentelemetry::Context;
use opentelemetry::trace::{Span as _, SpanBuilder, TraceContextExt as _};
use opentelemetry_sdk::trace::Span;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{Targets, filter_fn};
use tracing_subscriber::layer::{self, Layer};
use tracing_subscriber::registry::LookupSpan;

use super::EXPORT;
use crate::ledger::Phase;

/// Hears the phases and nothing else, so that no other trace point costs more than before.
pub(super) fn listener<S: Subscriber + for<'a> LookupSpan<'a>>() -> impl Layer<S> + Send + Sync {
    let phases = Targets::new().with_target("tally_log::ledger", Level::TRACE);
    Phases::default().with_filter(filter_fn(|metadata| metadata.fields().field("phase").is_some())).with_filter(phases)
}

/// The round that is under way, and its present phase.
#[derive(Default)]
struct Phases {
    round: Mutex<Option<Round>>,
}

struct Round {
    span: Context,
    phase: Option<Span>,
}

impl<S: Subscriber> Layer<S> for Phases {
    fn on_event(&self, event: &Event<'_>, _: layer::Context<'_, S>) {
        let Some(export) = EXPORT.get() else { return };
        let mut name = PhaseName::default();
        event.record(&mut name);
        let now = SystemTime::now();
        let start = |name: &'static str, parent: &Context| {
            SpanBuilder::from_name(name).with_start_time(now).start_with_context(&export.tracer, parent)
        };
        let mut round = self.round.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(phase) = round.as_mut().and_then(|round| round.phase.as_mut()) {
            phase.end_with_timestamp(now);
        }
        // Waiting for entries belongs to no round.
        let named = Phase::ALL.into_iter().find(|phase| name.0 == format!("{phase:?}")).filter(|phase| *phase != Phase::Collect);
        let Some(phase) = named else {
            if let Some(ended) = round.take() {
                ended.span.span().end_with_timestamp(now);
            }
            return;
        };
        let round = round.get_or_insert_with(|| Round { span: Context::new().with_span(start("round", &Context::new())), phase: None });
        round.phase = Some(start(span_name(phase), &round.span));
    }
}

#[derive(Default)]
struct PhaseName(String);

impl Visit for PhaseName {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "phase" {
            self.0 = format!("{value:?}");
        }
    }
}

const fn span_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Collect => "collect",
        Phase::Verify => "verify",
        Phase::Stage => "stage",
        Phase::Commit => "commit",
        Phase::Spread => "spread",
        Phase::Cosign => "cosign",
        Phase::Publish => "publish",
        Phase::Finish => "finish",
    }
}
