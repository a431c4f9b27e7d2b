//! Spans: what a trace shows of a request, of the exchanges with registries for it, of verification and of storage.
//!
//! A span is one of `tracing` with a target of its own, so that the log and the collector each take theirs. Without a
//! collector nobody takes spans, and none is made. Owns how spans are named, and the context that comes with requests and goes
//! on to registries. Must not know what any span means.

use http::HeaderMap;
use opentelemetry::trace::TraceContextExt;
use opentelemetry::{Context, trace::SpanContext};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

mod collector;
mod context;
mod sampling;

use sampling::Stranger;

pub(crate) use collector::{Collector, NoCollector};

/// The target of every span, and of nothing else.
pub(crate) const TARGET: &str = "span";

/// Most bytes of a text in a span. A client chooses some of them, and thousands of spans wait at once.
const LONGEST: usize = 256;

/// Makes a span, a child of the current one.
macro_rules! span {
    ($name:literal $(, $($fields:tt)*)?) => {
        tracing::info_span!(target: $crate::spans::TARGET, $name $(, $($fields)*)?)
    };
}

pub(crate) use span;

/// A text as a span may have it.
pub(crate) fn short(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST)]
}

/// Makes `span` a child of the sender's, if `headers` name that. Only a trusted sender decides that it is traced.
pub(crate) fn follow(span: &Span, headers: &HeaderMap, is_trusted: bool) {
    if let Some(parent) = context::parent(headers) {
        let sender = if is_trusted { Context::new() } else { Context::new().with_value(Stranger) };
        // It fails only for a span that has begun.
        let _ = span.set_parent(sender.with_remote_span_context(parent));
    }
}

/// Gives the current span a name that was not known when it began. `tracing` renames no span.
pub(crate) fn rename(name: &'static str) {
    Context::map_current(|context| context.span().update_name(name));
}

/// Names the current span as the sender, if there is one.
pub(crate) fn send_on(headers: &mut HeaderMap) {
    if let Some(current) = current() {
        context::send(&current, headers);
    }
}

/// The id of the current trace, if there is one.
pub(crate) fn trace_id() -> Option<String> {
    current().map(|span| span.trace_id().to_string())
}

fn current() -> Option<SpanContext> {
    Context::map_current(|context| {
        context.has_active_span().then(|| context.span().span_context().clone()).filter(SpanContext::is_valid)
    })
}
