//! Releases whose trust was asked for in vain a short while ago.
//!
//! Their rows are judged as their exact metadata is. Nobody asks for the metadata of a release whose row is blocked, so that ends by
//! itself. Owns how long that lasts. Must not know rules, nor who asks.

use std::time::Duration;

use ahash::RandomState;

use crate::clock::Timestamp;
use crate::domain::{Purl, Registry, Version, VolumeName};

/// How long a row is judged without trust after that was asked for in vain.
const LASTS: Duration = Duration::from_secs(60);
/// The most releases of which that is remembered.
const MOST: u64 = 100_000;

/// When each release's trust may be asked for again.
#[derive(Debug)]
pub(crate) struct TrustOutages {
    until: moka::sync::Cache<(Registry, Purl), Timestamp, RandomState>,
}

impl Default for TrustOutages {
    fn default() -> Self {
        let until = moka::sync::Cache::builder().max_capacity(MOST);
        Self { until: until.build_with_hasher(RandomState::new()) }
    }
}

impl TrustOutages {
    /// The trust of a release could not be asked at `now`. True if that is news.
    pub(crate) fn begin(
        &self,
        registry: &Registry,
        release: (&VolumeName, &Version),
        now: Timestamp,
    ) -> bool {
        let is_news = self.until(registry, release, now).is_none();
        self.until.insert(subject(registry, release), now.after(LASTS));
        is_news
    }

    /// The trust of a release could be asked. True if that is news.
    pub(crate) fn end(&self, registry: &Registry, release: (&VolumeName, &Version)) -> bool {
        self.until.remove(&subject(registry, release)).is_some()
    }

    /// Until when the trust of a release counts as not to be asked, if it does at `now`.
    pub(crate) fn until(
        &self,
        registry: &Registry,
        release: (&VolumeName, &Version),
        now: Timestamp,
    ) -> Option<Timestamp> {
        self.until.get(&subject(registry, release)).filter(|until| now < *until)
    }
}

fn subject(registry: &Registry, (name, version): (&VolumeName, &Version)) -> (Registry, Purl) {
    (registry.clone(), Purl::new(name, version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_ends_by_itself_and_with_an_answer() {
        let outages = TrustOutages::default();
        let registry = Registry::new("main", "https://registry.example");
        let (name, version): (VolumeName, Version) = ("lamp".parse().unwrap(), "1.0.0".parse().unwrap());
        let release = (&name, &version);
        assert!(outages.begin(&registry, release, Timestamp(0)));
        assert!(!outages.begin(&registry, release, Timestamp(1)), "it lasts");
        assert_eq!(outages.until(&registry, release, Timestamp(60_000)), Some(Timestamp(60_001)));
        assert_eq!(outages.until(&registry, release, Timestamp(60_001)), None);
        assert!(outages.end(&registry, release) && !outages.end(&registry, release));
        assert_eq!(outages.until(&registry, release, Timestamp(2)), None);
    }
}
