//! What of the advisories cannot be read, in sentences for operators.
//!
//! Owns how many are named of each source; the others are counted. Must not know what follows from a fault.

use std::fmt;

use policy::UnreadAdvisory;
use tracing::warn;

/// Faults that are named, of one source.
const MOST_NAMED: usize = 20;
/// Volumes that are named, of one advisory.
const MOST_VOLUMES: usize = 5;

/// The faults of one source, as they are found.
#[derive(Debug, Default)]
pub(super) struct FoundFaults {
    named: Vec<String>,
    count: usize,
}

impl FoundFaults {
    /// A file, a folder or a list that cannot be read as a whole.
    pub(super) fn whole(&mut self, source: impl fmt::Display, why: impl fmt::Display) {
        self.add(|| format!("{source} cannot be read: {why}"));
    }

    /// A list that states more advisories than it gives.
    pub(super) fn short(&mut self, source: impl fmt::Display, stated: u64, given: usize) {
        self.add(|| {
            format!(
                "{source}: the list states {stated} advisories and gives {given}; the others do not count"
            )
        });
    }

    /// Advisories of `source` that cannot be read.
    pub(super) fn single<'a>(
        &mut self,
        source: impl fmt::Display,
        unread: impl IntoIterator<Item = &'a UnreadAdvisory>,
    ) {
        for advisory in unread {
            self.add(|| {
                let volumes = advisory.volumes();
                let named: Vec<_> = volumes.iter().take(MOST_VOLUMES).map(ToString::to_string).collect();
                let about = match volumes.len().saturating_sub(MOST_VOLUMES) {
                    0 if named.is_empty() => "which may be about any volume".to_owned(),
                    0 => format!("about {}", named.join(", ")),
                    more => format!("about {} and {more} more", named.join(", ")),
                };
                let (name, place, why) = (advisory.name(), advisory.place(), advisory.why());
                format!("{source}: the advisory `{name}` ({place}) {about}, cannot be read: {why}")
            });
        }
    }

    fn add(&mut self, fault: impl FnOnce() -> String) {
        self.count += 1;
        if self.named.len() < MOST_NAMED {
            self.named.push(fault());
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Tells the log, and gives the sentences.
    pub(super) fn told(self) -> Vec<String> {
        let Self { mut named, count } = self;
        if count > named.len() {
            named.push(format!("{} more cannot be read", count - named.len()));
        }
        for fault in &named {
            warn!("advisories: {fault}");
        }
        named
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_are_named_and_all_are_counted() {
        let unread = |text: &str| UnreadAdvisory::new(text, "items[0]".to_owned(), "because");
        let mut faults = FoundFaults::default();
        faults.single(
            "public",
            &[unread(r#"{"id":{"local":"A-1"},"affected":{"volume":"lamp"}}"#), unread("7")],
        );
        (0..30).for_each(|at| faults.whole(format!("{at}.json"), "no JSON"));
        assert_eq!(faults.count(), 32);
        let told = faults.told();
        assert_eq!(told.len(), MOST_NAMED + 1);
        assert_eq!(told[0], "public: the advisory `A-1` (items[0]) about lamp, cannot be read: because");
        assert_eq!(
            told[1],
            "public: the advisory `items[0]` (items[0]) which may be about any volume, cannot be read: because"
        );
        assert_eq!((&*told[2], &*told[20]), ("0.json cannot be read: no JSON", "12 more cannot be read"));
    }
}
