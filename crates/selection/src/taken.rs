//! What a selection has taken so far, and what it found missing.
//!
//! Owns the first reason for each release and the order of the lists at the end. Must not know how releases are found.

use std::collections::HashMap;

use super::catalogue::{Catalogue, ReleaseId};
use super::root::Root;
use super::selected::{Because, Missing, MissingSubject, SelectedRelease};

/// Why a release is taken, in numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum TakenFor {
    /// A root, by its place.
    Root(usize),
    DependencyOf(ReleaseId),
    SolutionOf(ReleaseId),
}

/// Whom a lack concerns, in numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Lacking {
    Root(usize),
    Release(ReleaseId),
}

/// The releases, and what is missing.
#[derive(Debug)]
pub(crate) struct Taken {
    releases: HashMap<ReleaseId, TakenFor>,
    missing: Vec<(Lacking, String)>,
    most_missing: usize,
    /// Told lacks of roots and of releases.
    told: [usize; 2],
    untold: usize,
}

impl Taken {
    /// Nothing yet. At most `most_missing` lacks of roots and as many of releases will be told.
    pub(crate) fn new(most_missing: usize) -> Self {
        Self { releases: HashMap::new(), missing: Vec::new(), most_missing, told: [0; 2], untold: 0 }
    }

    /// Takes a release; says whether it is new.
    pub(crate) fn take(&mut self, release: ReleaseId, reason: TakenFor) -> bool {
        let mut is_new = false;
        self.releases.entry(release).or_insert_with(|| {
            is_new = true;
            reason
        });
        is_new
    }

    pub(crate) fn miss(&mut self, subject: Lacking, reason: String) {
        let told = match subject {
            Lacking::Root(_) => &mut self.told[0],
            Lacking::Release(_) => &mut self.told[1],
        };
        if *told < self.most_missing {
            *told += 1;
            self.missing.push((subject, reason));
        } else {
            self.untold += 1;
        }
    }

    /// How many lacks are not told.
    pub(crate) fn untold(&self) -> usize {
        self.untold
    }

    /// The releases by name and version.
    pub(crate) fn releases(&self, catalogue: &Catalogue, roots: &[Root]) -> Vec<SelectedRelease> {
        let mut order: Vec<_> = self.releases.iter().collect();
        order.sort_unstable_by_key(|(release, _)| (catalogue.name(release.volume), release.place));
        // In one piece: a list that grows is there twice for a moment.
        let mut selected = Vec::with_capacity(order.len());
        selected.extend(order.into_iter().filter_map(|(release, taken_for)| {
            let because = match *taken_for {
                TakenFor::Root(root) => Because::Root(roots.get(root)?.clone()),
                TakenFor::DependencyOf(other) => Because::DependencyOf(catalogue.release_name(other)),
                TakenFor::SolutionOf(root) => Because::SolutionOf(catalogue.release_name(root)),
            };
            let known = catalogue.release(*release);
            let (name, state, integrity) = (catalogue.release_name(*release), known.state, known.integrity);
            Some(SelectedRelease { name, state, integrity, because })
        }));
        selected
    }

    /// What is missing: roots in their order, then releases by name and version.
    pub(crate) fn missing(&self, catalogue: &Catalogue, roots: &[Root]) -> Vec<Missing> {
        let mut order: Vec<_> = self.missing.iter().collect();
        order.sort_by_key(|(subject, reason)| match *subject {
            Lacking::Root(root) => (root, None, reason),
            Lacking::Release(release) => {
                (roots.len(), Some((catalogue.name(release.volume), release.place)), reason)
            }
        });
        let told = order.into_iter().filter_map(|(subject, reason)| {
            let subject = match *subject {
                Lacking::Root(root) => MissingSubject::Root(roots.get(root)?.clone()),
                Lacking::Release(release) => MissingSubject::Release(catalogue.release_name(release)),
            };
            Some(Missing { subject, reason: reason.clone() })
        });
        told.collect()
    }
}
