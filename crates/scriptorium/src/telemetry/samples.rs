//! The numbers that `/metrics` shows, for whoever shows them in another form.
//!
//! They come out of the registry of metrics, so both forms agree. Owns the reading. Must not know what a number means.

use std::collections::BTreeMap;

use prometheus::proto::{Metric, MetricFamily, MetricType};

use super::{Counted, Metrics, SpanCounts};

/// What stands before the name of every metric.
const PREFIX: &str = "scriptorium_";

/// All counters and gauges at one moment.
pub(crate) struct Samples(Vec<MetricFamily>);

impl Metrics {
    /// What `/metrics` would show now.
    pub(crate) fn samples(&self) -> Samples {
        Samples(self.registry.gather())
    }

    /// Puts what was counted so far into the history. `minute` is counted since 1970.
    pub(crate) fn note_history(&self, minute: u64) {
        self.recent.history.note(minute, self.samples().counts());
    }
}

impl Samples {
    /// The family `name` summed by one of its labels.
    pub(crate) fn by_label(&self, name: &str, label: &str) -> BTreeMap<&str, u64> {
        let mut sums = BTreeMap::new();
        for (metric, value) in self.family(name) {
            if let Some(of) = label_of(metric, label) {
                *sums.entry(of).or_default() += value;
            }
        }
        sums
    }

    /// The samples of the family `name` that have this label, by another label.
    pub(crate) fn of(&self, name: &str, (label, is): (&str, &str), by: &str) -> BTreeMap<&str, u64> {
        let mut sums = BTreeMap::new();
        for (metric, value) in self.family(name).filter(|(metric, _)| label_of(metric, label) == Some(is)) {
            if let Some(by) = label_of(metric, by) {
                *sums.entry(by).or_default() += value;
            }
        }
        sums
    }

    /// The sum of the family `name`.
    pub(crate) fn total(&self, name: &str) -> u64 {
        self.family(name).map(|(_, value)| value).sum()
    }

    fn family<'a>(&'a self, name: &str) -> impl Iterator<Item = (&'a Metric, u64)> + use<'a> {
        let named = |family: &&MetricFamily| family.name().strip_prefix(PREFIX) == Some(name);
        let family = self.0.iter().find(named);
        let value = |family: &MetricFamily, metric: &Metric| match family.get_field_type() {
            MetricType::COUNTER => metric.get_counter().get_value(),
            MetricType::GAUGE => metric.get_gauge().get_value(),
            MetricType::SUMMARY | MetricType::UNTYPED | MetricType::HISTOGRAM => 0.0,
        };
        family.into_iter().flat_map(move |family| {
            family.get_metric().iter().map(move |metric| (metric, value(family, metric) as u64))
        })
    }

    fn counts(&self) -> SpanCounts {
        let mut counts = SpanCounts::default();
        for (outcome, count) in self.by_label("cache_lookups_total", "outcome") {
            counts.add(Counted::of_outcome(outcome), count);
        }
        for (class, count) in self.by_label("requests_total", "class") {
            counts.add(Counted::of_class(class), count);
        }
        counts.add(Counted::Damage, self.total("integrity_failures_total"));
        counts
    }
}

fn label_of<'a>(metric: &'a Metric, label: &str) -> Option<&'a str> {
    metric.get_label().iter().find(|held| held.name() == label).map(|held| held.value())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_samples_are_the_numbers_of_the_metrics() {
        let metrics = Metrics::new().unwrap();
        for (resource, outcome) in
            [("index", "hit"), ("archive", "hit"), ("index", "stale-if-error"), ("index", "x")]
        {
            metrics.cache_lookup(resource, outcome);
        }
        metrics.request("index", "ci", 200, Duration::ZERO);
        metrics.upstream_budget_left("public", 7);
        metrics.integrity_failure("read");
        let samples = metrics.samples();
        assert_eq!(samples.by_label("cache_lookups_total", "outcome")["hit"], 2);
        assert_eq!(samples.of("cache_lookups_total", ("resource", "index"), "outcome")["hit"], 1);
        assert_eq!(samples.of("upstream_budget_left", ("upstream", "public"), "upstream")["public"], 7);
        assert!(samples.of("upstream_budget_left", ("upstream", "other"), "upstream").is_empty());
        let counts = samples.counts();
        let counted =
            [Counted::Hit, Counted::Stale, Counted::Miss, Counted::Refused, Counted::Ci, Counted::Damage];
        assert_eq!(counted.map(|what| counts.of(what)), [2, 1, 1, 0, 1, 1]);
    }
}
