//! One complete solution for one root release: each volume once, highest versions first.
//!
//! Owns what the solver library is told of a catalogue. A volume whose index is not known counts as one that fits whatever is
//! asked of it. So "no solution" is final at once, and a solution that has such a volume says which indexes decide.
//! Must not know how indexes are asked for, nor what else is selected.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use pubgrub::{Dependencies, DependencyProvider, PackageResolutionStatistics, PubGrubError};

use super::catalogue::{Catalogue, ReleaseId, VersionSet, VolumeId};
use super::derivation::explain;

/// What one run came to.
#[derive(Debug)]
pub(crate) enum Solved {
    /// The releases, the root among them.
    Solution(Vec<ReleaseId>),
    /// Why there is none.
    Impossible(String),
    /// The unknown volumes of the solution, and what it allows of each.
    Undecided(BTreeMap<VolumeId, VersionSet>),
    /// The run took more steps than it may.
    Stopped,
}

/// Why the library was stopped.
#[derive(Debug, thiserror::Error)]
#[error("stopped")]
struct Halt;

/// What the library may ask during one run.
struct Questioned<'a> {
    catalogue: &'a Catalogue,
    root: ReleaseId,
    steps: Cell<u64>,
    most: u64,
    unknown: RefCell<BTreeMap<VolumeId, VersionSet>>,
    /// The release of each volume that was chosen last; it may have been given up since.
    chosen: RefCell<HashMap<VolumeId, ReleaseId>>,
    /// How many versions of each volume were tried.
    tried: RefCell<HashMap<VolumeId, u64>>,
}

/// The library compares the dependencies of each version with those of all versions of that volume tried before. So many
/// comparisons cost about as much as a step.
const COMPARISONS_A_STEP: u64 = 16;

/// Looks for a solution in at most `most` steps; says how many it took.
pub(crate) fn solve(catalogue: &Catalogue, root: ReleaseId, most: u64) -> (Solved, u64) {
    let (unknown, tried) = (RefCell::default(), RefCell::default());
    let chosen = RefCell::new(HashMap::from([(root.volume, root)]));
    let provider = Questioned { catalogue, root, steps: Cell::new(0), most, unknown, chosen, tried };
    let result = pubgrub::resolve(&provider, root.volume, catalogue.version(root).clone());
    let solved = match result {
        Ok(selected) => {
            let mut unknown = provider.unknown.take();
            unknown.retain(|volume, _| selected.get(volume).is_some());
            if unknown.is_empty() {
                let mut releases: Vec<ReleaseId> = selected
                    .iter()
                    .filter_map(|(volume, version)| catalogue.with_version(*volume, version))
                    .collect();
                releases.sort_unstable();
                Solved::Solution(releases)
            } else {
                Solved::Undecided(unknown)
            }
        }
        Err(PubGrubError::NoSolution(tree)) => Solved::Impossible(explain(catalogue, root, tree)),
        Err(
            PubGrubError::ErrorInShouldCancel(Halt)
            | PubGrubError::ErrorChoosingVersion { source: Halt, .. }
            | PubGrubError::ErrorRetrievingDependencies { source: Halt, .. },
        ) => Solved::Stopped,
    };
    (solved, provider.steps.get())
}

impl DependencyProvider for Questioned<'_> {
    type P = VolumeId;
    type V = semver::Version;
    type VS = VersionSet;
    /// Volumes in many conflicts first, then those with few versions left.
    type Priority = (bool, u32, Reverse<usize>);
    type M = String;
    type Err = Halt;

    fn prioritize(
        &self,
        volume: &VolumeId,
        set: &VersionSet,
        statistics: &PackageResolutionStatistics,
    ) -> Self::Priority {
        let is_known = *volume == self.root.volume || self.catalogue.is_answered(*volume);
        (is_known, statistics.conflict_count(), Reverse(self.catalogue.count_in(*volume, set)))
    }

    fn choose_version(&self, volume: &VolumeId, set: &VersionSet) -> Result<Option<semver::Version>, Halt> {
        let catalogue = self.catalogue;
        if *volume == self.root.volume {
            let version = catalogue.version(self.root);
            return Ok(set.contains(version).then(|| version.clone()));
        }
        if catalogue.is_answered(*volume) {
            let best = self.best(*volume, set);
            if let Some(release) = best {
                self.chosen.borrow_mut().insert(*volume, release);
            }
            return Ok(best.map(|release| catalogue.version(release).clone()));
        }
        self.unknown.borrow_mut().insert(*volume, set.clone());
        Ok(stand_in(set))
    }

    fn get_dependencies(
        &self,
        volume: &VolumeId,
        version: &semver::Version,
    ) -> Result<Dependencies<VolumeId, VersionSet, String>, Halt> {
        let catalogue = self.catalogue;
        let Some(release) = catalogue.with_version(*volume, version) else {
            return Ok(Dependencies::Available(std::iter::empty().collect()));
        };
        let known = catalogue.release(release);
        if let Some(fault) = &known.fault {
            return Ok(Dependencies::Unavailable(fault.to_string()));
        }
        self.charge(*volume, known.edges.len());
        let mut dependencies = Vec::with_capacity(known.edges.len());
        for edge in &known.edges {
            let set = catalogue.set(*edge);
            if edge.volume != *volume {
                dependencies.push((edge.volume, set));
            } else if !set.contains(version) {
                let range = catalogue.range(edge.range);
                return Ok(Dependencies::Unavailable(format!("it depends on its own volume in {range}")));
            }
        }
        Ok(Dependencies::Available(dependencies.into_iter().collect()))
    }

    fn should_cancel(&self) -> Result<(), Halt> {
        self.steps.set(self.steps.get() + 1);
        if self.steps.get() > self.most { Err(Halt) } else { Ok(()) }
    }
}

impl Questioned<'_> {
    /// The highest release in `set` whose dependencies allow what was chosen before, or else the highest. Any release of the
    /// set is right for the library; this one spares it a conflict for each higher one, each of which costs more than the last.
    fn best(&self, volume: VolumeId, set: &VersionSet) -> Option<ReleaseId> {
        let (catalogue, chosen) = (self.catalogue, self.chosen.borrow());
        let agrees = |release: ReleaseId| {
            let known = catalogue.release(release);
            known.fault.is_none()
                && known.edges.iter().all(|edge| {
                    edge.volume == volume
                        || chosen.get(&edge.volume).is_none_or(|other| catalogue.allows(*edge, *other))
                })
        };
        let highest = catalogue.highest_in(volume, set)?;
        if agrees(highest) {
            return Some(highest);
        }
        let mut lower = catalogue.candidates(volume).rev().skip_while(|release| *release >= highest);
        let agreeing = lower.find(|release| set.contains(catalogue.version(*release)) && agrees(*release));
        Some(agreeing.unwrap_or(highest))
    }

    /// Counts the comparisons that the library makes for another version of a volume.
    fn charge(&self, volume: VolumeId, dependencies: usize) {
        let mut tried = self.tried.borrow_mut();
        let before = tried.entry(volume).or_default();
        let comparisons = before.saturating_mul(dependencies as u64);
        *before += 1;
        self.steps.set(self.steps.get() + comparisons / COMPARISONS_A_STEP);
    }
}

/// Some version in `set`. A set of an unknown volume is made of ranges alone, which have a first version or none at all.
fn stand_in(set: &VersionSet) -> Option<semver::Version> {
    set.iter().find_map(|(from, _)| match from {
        Bound::Included(from) => Some(from.clone()),
        Bound::Unbounded => semver::Version::parse("0.0.0-0").ok(),
        Bound::Excluded(_) => None,
    })
}
