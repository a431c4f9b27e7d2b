//! How long upstreams take to answer, lately.
//!
//! Owns the average, in which the last answers weigh most; the names are those of the configuration, so there are few. Must
//! not know what was asked.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;

/// An answer counts for one part in so many.
const WEIGHT: u32 = 8;

/// By the name of the upstream.
#[derive(Debug, Default)]
pub(crate) struct UpstreamLatency(Mutex<BTreeMap<String, Duration>>);

impl UpstreamLatency {
    pub(super) fn note(&self, upstream: &str, took: Duration) {
        let mut averages = self.0.lock();
        match averages.get_mut(upstream) {
            Some(average) => *average = (*average * (WEIGHT - 1) + took) / WEIGHT,
            None => drop(averages.insert(upstream.to_owned(), took)),
        }
    }

    /// The average of the last answers; `None` if there was none.
    pub(crate) fn of(&self, upstream: &str) -> Option<Duration> {
        self.0.lock().get(upstream).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_answers_weigh_most() {
        let latency = UpstreamLatency::default();
        assert_eq!(latency.of("public"), None);
        latency.note("public", Duration::from_millis(80));
        assert_eq!(latency.of("public"), Some(Duration::from_millis(80)));
        latency.note("public", Duration::from_millis(160));
        assert_eq!(latency.of("public"), Some(Duration::from_millis(90)));
        for _ in 0..100 {
            latency.note("public", Duration::from_millis(160));
        }
        assert!(latency.of("public").unwrap() > Duration::from_millis(159));
        assert_eq!(latency.of("other"), None);
    }
}
