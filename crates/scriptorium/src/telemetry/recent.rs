//! What was lately, in bounded memory: the history of counts, and how long upstreams took.
//!
//! Owns that both are kept together, beside the metrics. Must not know what either is.

use super::history::CountHistory;
use super::latency::UpstreamLatency;

#[derive(Debug, Default)]
pub(crate) struct RecentPast {
    pub(crate) history: CountHistory,
    pub(crate) latency: UpstreamLatency,
}
