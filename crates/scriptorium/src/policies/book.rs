//! The advisories that rules look at: those of each registry, and those of files, which count for every registry.
//!
//! Owns which of them are about a volume of a registry, and when they were last confirmed. Must not know how advisories are
//! fetched or read.

use std::collections::HashMap;
use std::sync::Arc;

use policy::{Advisories, Advisory, AdvisoryFacts, TooManyAdvisories};

use crate::clock::Timestamp;
use crate::domain::{Registry, VolumeName};

/// Everything that one source last said, and when that was last confirmed.
#[derive(Debug, Clone, Default)]
pub(crate) struct BookSource {
    pub(crate) advisories: Vec<Arc<Advisory>>,
    /// None if it never answered.
    pub(crate) confirmed: Option<Timestamp>,
}

/// The advisories in force.
#[derive(Debug, Default)]
pub(crate) struct AdvisoryBook {
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
        let of_files = files.confirmed.filter(|_| is_offline);
        Ok(Self { advisories: Advisories::of(advisories)?, confirmed: registry.confirmed.max(of_files) })
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
        Ok(Self {
            by_registry: registries.into_iter().map(chapter).collect::<Result<_, _>>()?,
            others: Chapter::of(&BookSource::default(), files, is_offline)?,
        })
    }

    /// What is known about a volume of `registry`.
    pub(crate) fn about(&self, registry: &Registry, name: &VolumeName) -> AdvisoryFacts<'_> {
        let Chapter { advisories, confirmed } = self.by_registry.get(registry).unwrap_or(&self.others);
        AdvisoryFacts { about: advisories.about(name), confirmed: confirmed.map(seconds) }
    }
}

/// The second of a moment, in which the crate `policy` counts.
pub(super) fn seconds(at: Timestamp) -> u64 {
    at.0 / 1000
}
