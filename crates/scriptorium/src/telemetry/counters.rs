//! Counters and durations for the hit path: each thread counts for itself, and whoever reads the metrics gets the sum.
//!
//! A thread writes to memory that no other thread writes to until the metrics are read. Owns what each thread has counted.
//! Must not know what is counted.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ahash::RandomState;
use crossbeam_utils::CachePadded;
use parking_lot::Mutex;
use prometheus::core::{Collector, Desc};
use prometheus::local::{LocalHistogram, LocalIntCounter};
use prometheus::proto::MetricFamily;
use prometheus::{Histogram, IntCounter, IntCounterVec};
use thread_local::ThreadLocal;

/// What each thread has of something.
type OfThreads<T> = Arc<ThreadLocal<CachePadded<Mutex<T>>>>;

/// Two labels from closed sets and, in some families, a status.
type Key = ([&'static str; 2], Option<u16>);

/// A family of counters.
#[derive(Debug, Clone)]
pub(super) struct Counters {
    family: IntCounterVec,
    threads: OfThreads<HashMap<Key, LocalIntCounter, RandomState>>,
}

impl Counters {
    pub(super) fn new(family: IntCounterVec) -> Self {
        Self { family, threads: Arc::default() }
    }

    pub(super) fn count(&self, labels: [&'static str; 2], status: Option<u16>) {
        let mut counters = self.threads.get_or_default().lock();
        let counter = counters.entry((labels, status));
        counter.or_insert_with_key(|key| self.resolve(*key).local()).inc();
    }

    fn resolve(&self, ([first, second], status): Key) -> IntCounter {
        match status {
            Some(status) => self.family.with_label_values(&[first, second, &status.to_string()]),
            None => self.family.with_label_values(&[first, second]),
        }
    }
}

impl Collector for Counters {
    fn desc(&self) -> Vec<&Desc> {
        self.family.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        for thread in &*self.threads {
            thread.lock().values().for_each(LocalIntCounter::flush);
        }
        self.family.collect()
    }
}

/// A histogram of durations in seconds.
#[derive(Debug, Clone)]
pub(super) struct Durations {
    histogram: Histogram,
    threads: OfThreads<LocalHistogram>,
}

impl Durations {
    pub(super) fn new(histogram: Histogram) -> Self {
        Self { histogram, threads: Arc::default() }
    }

    pub(super) fn count(&self, duration: Duration) {
        let thread = self.threads.get_or(|| CachePadded::new(Mutex::new(self.histogram.local())));
        thread.lock().observe(duration.as_secs_f64());
    }

    /// How many there were.
    pub(super) fn counted(&self) -> u64 {
        self.flush();
        self.histogram.get_sample_count()
    }

    fn flush(&self) {
        for thread in &*self.threads {
            thread.lock().flush();
        }
    }
}

impl Collector for Durations {
    fn desc(&self) -> Vec<&Desc> {
        self.histogram.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.flush();
        self.histogram.collect()
    }
}
