//! The section `[telemetry]`.
//!
//! Owns its keys. Must not know where a value came from, nor how spans are sent.

use url::Url;

use super::super::declare::section;
use super::super::formats::{collector_url, share};

section! {
    pub(crate) struct Telemetry {
        /// Collector that is sent the spans of requests, by OTLP over gRPC. If it is not given, there are no spans, and a client's
        /// `traceparent` goes nowhere.
        otlp: Option<Url> = None, collector_url().optional().example(r#""http://127.0.0.1:4317""#), Restart;
        /// Share of requests that have spans, where a request's own `traceparent` does not say whether it has.
        sample: f64 = 1.0, share(), Restart;
    }
}
