//! The advisories that rules look at: those of each registry, and those of files, which count for every registry.
//!
//! Owns which of them are about a volume of a registry, and when they were last confirmed. Must not know how advisories are
//! fetched or read.

use std::collections::HashMap;
use std::sync::Arc;

use policy::{Advisories, Advisory, AdvisoryFacts, TooManyAdvisories, UnreadAdvisory};

use crate::clock::Timestamp;
use crate::domain::{Registry, VolumeName};

/// Everything that one source last said, and when that was last confirmed.
#[derive(Debug, Clone, Default)]
pub(crate) struct BookSource {
    pub(crate) advisories: Vec<Arc<Advisory>>,
    /// Those that cannot be read. What else can be told of them may be among the others too.
    pub(crate) unread: Vec<Arc<UnreadAdvisory>>,
    /// None if it never answered.
    pub(crate) confirmed: Option<Timestamp>,
    /// How much cannot be read, and what, in sentences for operators.
    pub(crate) fault_count: usize,
    pub(crate) faults: Vec<String>,
}

/// The advisories in force.
#[derive(Debug, Default)]
pub(crate) struct AdvisoryBook {
    faults: Vec<String>,
    /// How much of the list of each registry, and of the files, cannot be read.
    unread: (Vec<(Registry, usize)>, usize),
    by_registry: HashMap<Registry, Chapter>,
    /// For a registry of which nothing is known.
    others: Chapter,
}

/// The advisories that count for one registry.
#[derive(Debug, Default)]
struct Chapter {
    advisories: Advisories,
    confirmed: Option<Timestamp>,
}

impl Chapter {
    /// The registry confirms its advisories. Files confirm them only for a proxy that asks no registry.
    fn of(registry: &BookSource, files: &BookSource, is_offline: bool) -> Result<Self, TooManyAdvisories> {
        let advisories = registry.advisories.iter().chain(&files.advisories).cloned();
        let unread = registry.unread.iter().chain(&files.unread).cloned();
        let of_files = files.confirmed.filter(|_| is_offline);
        Ok(Self {
            advisories: Advisories::of(advisories)?.with_unread(unread)?,
            confirmed: registry.confirmed.max(of_files),
        })
    }
}

impl AdvisoryBook {
    /// The book of what registries and `files` say.
    ///
    /// # Errors
    /// [`TooManyAdvisories`] when there are more of one registry than memory should hold.
    pub(crate) fn of<'a>(
        registries: impl IntoIterator<Item = (&'a Registry, &'a BookSource)>,
        files: &BookSource,
        is_offline: bool,
    ) -> Result<Self, TooManyAdvisories> {
        let chapter = |(registry, source): (&Registry, &BookSource)| {
            Ok((registry.clone(), Chapter::of(source, files, is_offline)?))
        };
        let registries: Vec<_> = registries.into_iter().collect();
        let of_registries = registries.iter().flat_map(|(_, source)| &source.faults);
        Ok(Self {
            unread: (
                registries
                    .iter()
                    .map(|(registry, source)| ((*registry).clone(), source.fault_count))
                    .collect(),
                files.fault_count,
            ),
            faults: of_registries.chain(&files.faults).cloned().collect(),
            by_registry: registries.into_iter().map(chapter).collect::<Result<_, _>>()?,
            others: Chapter::of(&BookSource::default(), files, is_offline)?,
        })
    }

    /// What cannot be read, in sentences for operators.
    pub(crate) fn faults(&self) -> &[String] {
        &self.faults
    }

    /// How much of the list of each registry, and of the files, cannot be read.
    pub(crate) fn unread(&self) -> (impl Iterator<Item = (&str, usize)>, usize) {
        let (of_registries, of_files) = &self.unread;
        (of_registries.iter().map(|(registry, count)| (registry.name(), *count)), *of_files)
    }

    /// What is known about a volume of `registry`.
    pub(crate) fn about(&self, registry: &Registry, name: &VolumeName) -> AdvisoryFacts<'_> {
        let Chapter { advisories, confirmed } = self.by_registry.get(registry).unwrap_or(&self.others);
        AdvisoryFacts {
            about: advisories.about(name),
            unread: advisories.unread_about(name),
            unread_about_any: advisories.unread_about_any(),
            confirmed: confirmed.map(seconds),
        }
    }
}

/// The second of a moment, in which the crate `policy` counts.
pub(super) fn seconds(at: Timestamp) -> u64 {
    at.0 / 1000
}
