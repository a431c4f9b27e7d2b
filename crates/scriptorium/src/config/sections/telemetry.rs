//! The section `[telemetry]`.
//!
//! Owns its keys. Must not know where a value came from, nor how spans are sent.

use url::Url;

use super::super::declare::section;
use super::super::formats::{authorities, collector_url, share};
use super::super::value::PemFile;

section! {
    pub(crate) struct Telemetry {
        /// Collector that is sent the spans of requests, by OTLP over gRPC. If it is not given, there are no spans, and a client's
        /// `traceparent` goes nowhere.
        otlp: Option<Url> = None, collector_url().optional().example(r#""http://127.0.0.1:4317""#), Restart;
        /// PEM file of certificate authorities for an https:// collector, trusted in addition to the machine's.
        ca_file: Option<PemFile> = None, authorities().optional().example(r#""corp-ca.pem""#), Restart;
        /// Share of requests that have spans. A request that a trusted proxy traces has them whatever the share, and one whose
        /// `traceparent` says that it is not traced has none.
        sample: f64 = 1.0, share(), Restart;
    }
}
