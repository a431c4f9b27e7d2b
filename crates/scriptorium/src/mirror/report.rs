//! What operators are told of mirrors: the JSON of the commands and of the admin port.
//!
//! Owns its form. Must not know how it was found.

use std::collections::HashMap;

use selection::PatternYield;
use serde::{Deserialize, Serialize};

use super::enumeration::SearchRemark;
use super::notices::{Notice, RegistryNotices};
use super::outlook::Outlook;
use super::record::{MirrorLack, MirrorRecord};
use super::tally::{RunCounts, RunTally};
use crate::clock::Timestamp;

/// What a sync came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SyncReport {
    pub(crate) mirror: String,
    /// Whether all of it is here.
    pub(crate) complete: bool,
    pub(crate) volumes: usize,
    pub(crate) releases: usize,
    /// The bytes of its files.
    pub(crate) bytes: u64,
    pub(crate) requests: u64,
    pub(crate) fetched: Fetches,
    pub(crate) missing: Vec<MirrorLack>,
    /// How many more things are missing than are listed.
    pub(crate) untold: usize,
    /// What the registries said about no volume.
    #[serde(default)]
    pub(crate) registries: Vec<RegistryStatus>,
    /// What is odd about searches.
    #[serde(default)]
    pub(crate) search: Vec<SearchRemark>,
}

/// What is here of a registry's notices.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RegistryStatus {
    pub(crate) registry: String,
    pub(crate) capabilities: bool,
    /// How many advisories it lists; none where it has no list, or that is not here.
    pub(crate) advisories: Option<usize>,
}

impl RegistryStatus {
    fn all(record: &MirrorRecord) -> Vec<Self> {
        let status = |notices: &RegistryNotices| {
            let registry = record.registries.get(notices.registry)?.name().to_owned();
            let advisories = (notices.advisories == Notice::Here).then_some(notices.listed);
            Some(Self { registry, capabilities: notices.capabilities == Notice::Here, advisories })
        };
        record.notices.iter().filter_map(status).collect()
    }
}

/// What came whole from registries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fetches {
    pub(crate) documents: u64,
    pub(crate) archives: u64,
    pub(crate) bytes: u64,
}

impl SyncReport {
    pub(super) fn of(record: &MirrorRecord) -> Self {
        Self {
            mirror: record.name.clone(),
            complete: record.missing.is_empty() && record.untold == 0,
            volumes: 0,
            releases: record.selected.len(),
            bytes: record.bytes(),
            requests: 0,
            fetched: Fetches::default(),
            missing: record.missing.clone(),
            untold: record.untold,
            registries: RegistryStatus::all(record),
            search: record.remarks.clone(),
        }
    }

    /// A sync of the mirror `name` that did not run.
    pub(super) fn not_run(name: &str, missing: Vec<MirrorLack>) -> Self {
        Self {
            mirror: name.to_owned(),
            complete: false,
            volumes: 0,
            releases: 0,
            bytes: 0,
            requests: 0,
            fetched: Fetches::default(),
            missing,
            untold: 0,
            registries: Vec::new(),
            search: Vec::new(),
        }
    }

    /// The same with what the run asked and fetched.
    pub(super) fn counted(self, tally: &RunTally, volumes: usize) -> Self {
        let RunCounts { requests, documents, archives, bytes, .. } = tally.counts();
        Self { volumes, requests, fetched: Fetches { documents, archives, bytes }, ..self }
    }
}

/// What a sync would fetch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PlanReport {
    pub(crate) mirror: String,
    pub(crate) volumes: usize,
    pub(crate) releases: usize,
    /// Bytes of the files of all that is selected, where they are known: of what is here, and of archives whose length an
    /// earlier sync saw. No document says how long an archive is.
    pub(crate) bytes: u64,
    /// Archives whose length is not known.
    pub(crate) bytes_unknown: usize,
    /// Bytes of the files that are here.
    pub(crate) held_bytes: u64,
    pub(crate) requests: u64,
    /// How long the request budgets make them take; 0 where there is none.
    pub(crate) seconds: u64,
    pub(crate) missing: Vec<MirrorLack>,
    pub(crate) untold: usize,
    /// How many names search listed for each pattern.
    pub(crate) patterns: Vec<PatternNames>,
    /// Volumes that exist, that a pattern matches, and that search did not list. They are taken because a root names them.
    pub(crate) unlisted: Vec<String>,
    /// What earlier syncs brought of what registries say about no volume.
    #[serde(default)]
    pub(crate) registries: Vec<RegistryStatus>,
    /// What is odd about searches.
    #[serde(default)]
    pub(crate) search: Vec<SearchRemark>,
    #[serde(skip)]
    pub(super) by_registry: HashMap<String, u64>,
}

/// What search gave for a pattern.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PatternNames {
    pub(crate) pattern: String,
    pub(crate) names: usize,
}

impl From<&PatternYield> for PatternNames {
    fn from(given: &PatternYield) -> Self {
        Self { pattern: given.pattern.to_string(), names: given.names }
    }
}

impl PlanReport {
    /// A plan of the mirror `name` that was not made.
    pub(super) fn not_run(name: &str, missing: Vec<MirrorLack>) -> Self {
        Self { mirror: name.to_owned(), missing, ..Self::default() }
    }

    /// Notes the bytes that are known.
    pub(super) fn weigh(&mut self, outlook: &Outlook) {
        let lengths: Vec<_> = outlook.to_fetch().map(|(_, release)| outlook.length(release)).collect();
        self.releases = outlook.record.selected.len();
        self.registries = RegistryStatus::all(&outlook.record);
        self.held_bytes = outlook.record.bytes();
        self.bytes = self.held_bytes + lengths.iter().flatten().sum::<u64>();
        self.bytes_unknown = lengths.iter().filter(|length| length.is_none()).count();
    }

    pub(super) fn count(&mut self, registry: Option<String>, requests: u64) {
        if let Some(registry) = registry {
            *self.by_registry.entry(registry).or_default() += requests;
        }
    }

    /// The time of the slowest registry. Each is asked `listing` questions besides those that are counted; a fifth of its
    /// budget is the clients'.
    pub(super) fn time<'a>(&self, listing: u64, budgets: impl Iterator<Item = (&'a str, u32)>) -> u64 {
        let time = |(registry, a_minute): (&str, u32)| {
            let requests = self.by_registry.get(registry)? + listing;
            let a_minute = u64::from(a_minute - a_minute.div_ceil(5)).max(1);
            Some((requests * 60).div_ceil(a_minute))
        };
        budgets.filter(|(_, a_minute)| *a_minute > 0).filter_map(time).max().unwrap_or(0)
    }
}

/// How a mirror stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MirrorStatus {
    pub(crate) mirror: String,
    /// When the last complete sync ended, as RFC 3339.
    pub(crate) last_success: Option<String>,
    pub(crate) running: bool,
    /// How many belong to the mirror: what the last sync selected, and what stays of earlier ones until one is complete.
    pub(crate) releases: usize,
    /// The bytes of their files, each file once.
    pub(crate) bytes: u64,
    pub(crate) missing: Vec<MirrorLack>,
    pub(crate) untold: usize,
    /// When the last sync ended.
    pub(crate) last_sync: Option<String>,
    /// What the registries said about no volume.
    #[serde(default)]
    pub(crate) registries: Vec<RegistryStatus>,
    /// What is odd about searches.
    #[serde(default)]
    pub(crate) search: Vec<SearchRemark>,
    /// The run under way, or the last one of this process.
    pub(crate) run: Option<RunStatus>,
    #[serde(skip)]
    pub(super) last_success_at: Option<Timestamp>,
}

/// How far a run is, and what it came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunStatus {
    /// Its number among the runs of this mirror in this process.
    pub(crate) number: u64,
    pub(crate) done: usize,
    pub(crate) of: usize,
    pub(crate) synced: Option<SyncReport>,
    pub(crate) planned: Option<PlanReport>,
}

impl MirrorStatus {
    /// How the mirror `name` stands by its record; without one it was never synced.
    pub(crate) fn of(name: &str, record: Option<&MirrorRecord>) -> Self {
        let mirror = name.to_owned();
        let Some(record) = record else { return Self { mirror, ..Self::default() } };
        Self {
            mirror,
            last_success: record.last_success.map(|at| at.to_string()),
            last_success_at: record.last_success,
            last_sync: Some(record.last_sync.to_string()),
            registries: RegistryStatus::all(record),
            search: record.remarks.clone(),
            releases: record.count(),
            bytes: record.all_bytes(),
            missing: record.missing.clone(),
            untold: record.untold,
            ..Self::default()
        }
    }

    /// Whether it was synced and nothing is missing.
    pub(crate) fn is_whole(&self) -> bool {
        self.last_success.is_some() && self.missing.is_empty() && self.untold == 0
    }
}

/// What is proved of a mirror from its store alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProofReport {
    pub(crate) mirror: String,
    pub(crate) ok: bool,
    pub(crate) roots: usize,
    pub(crate) releases: usize,
    pub(crate) problems: Vec<MirrorLack>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_registry_sets_the_time_and_a_fifth_is_the_clients() {
        let mut plan = PlanReport::default();
        plan.count(Some("slow".to_owned()), 40);
        plan.count(Some("quick".to_owned()), 1000);
        plan.count(None, 7);
        // Eight a minute: forty questions and two pages of search.
        assert_eq!(plan.time(2, [("slow", 10), ("quick", 0)].into_iter()), 42 * 60 / 8);
        assert_eq!(plan.time(0, [("slow", 10), ("quick", 100)].into_iter()), 1000 * 60 / 80);
        assert_eq!(plan.time(2, [("slow", 0), ("other", 1)].into_iter()), 0);
        assert_eq!(plan.time(0, [("slow", 1)].into_iter()), 40 * 60, "one a minute is one a minute");
    }

    #[test]
    fn a_mirror_is_whole_once_it_was_synced_and_nothing_is_missing() {
        assert!(!MirrorStatus::of("ci", None).is_whole());
        let synced = MirrorStatus { last_success: Some("then".to_owned()), ..MirrorStatus::of("ci", None) };
        assert!(synced.is_whole() && !MirrorStatus { untold: 1, ..synced.clone() }.is_whole());
    }
}
