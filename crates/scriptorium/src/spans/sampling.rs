//! Which requests are traced: all whose sender says so and is trusted, and of the others a share.
//!
//! ```text
//! the sender of the request                    traced
//! none                                         one in so many
//! says that it does not trace                  no
//! says that it traces, and is trusted          yes
//! says that it traces, and is anybody          one in so many
//! ```
//! Whatever a request causes obeys what was decided for it. Chance decides and not the trace's id, since clients choose that.
//! Owns this table. Must not know who is trusted.

use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt;

/// In the context of a sender that nobody trusts.
pub(super) struct Stranger;

/// Whether a span below `parent` is traced, where `share` of the requests are about which no trusted sender decided.
pub(super) fn is_traced(share: f64, parent: Option<&Context>) -> bool {
    let draw = || fastrand::f64() < share;
    let known = parent.filter(|parent| parent.span().span_context().is_valid());
    let Some(parent) = known else { return draw() };
    let (span, stranger) = (parent.span(), parent.get::<Stranger>().is_some());
    let sender = span.span_context();
    sender.is_sampled() && (!sender.is_remote() || !stranger || draw())
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

    use super::*;

    /// How many of a thousand are traced.
    fn traced(share: f64, parent: Option<&Context>) -> usize {
        (0..1000).filter(|_| is_traced(share, parent)).count()
    }

    fn sender(is_sampled: bool, is_remote: bool, is_trusted: bool) -> Context {
        let flags = if is_sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
        // A client chooses the id, also one that every ratio of ids lets through.
        let (trace, span) = (TraceId::from(1), SpanId::from(1));
        let span = SpanContext::new(trace, span, flags, is_remote, TraceState::NONE);
        let context = if is_trusted { Context::new() } else { Context::new().with_value(Stranger) };
        context.with_remote_span_context(span)
    }

    #[test]
    fn the_table() {
        for (parent, none, half, all) in [
            (None, 0, 500, 1000),
            (Some(sender(false, true, false)), 0, 0, 0),
            (Some(sender(false, true, true)), 0, 0, 0),
            (Some(sender(true, true, true)), 1000, 1000, 1000),
            (Some(sender(true, true, false)), 0, 500, 1000),
            // What a request causes, whoever sent it.
            (Some(sender(true, false, false)), 1000, 1000, 1000),
            (Some(sender(false, false, false)), 0, 0, 0),
        ] {
            let parent = parent.as_ref();
            assert_eq!((traced(0.0, parent), traced(1.0, parent)), (none, all), "{parent:?}");
            assert!(traced(0.5, parent).abs_diff(half) < 200, "{parent:?}");
        }
    }
}
