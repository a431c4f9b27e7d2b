//! What is known of volumes: their names, the rows of those whose index was given, and who waits to be asked for.
//!
//! Owns the compact form: names, ranges and releases are numbers, and each range is parsed once. Owns which releases may be
//! taken for a range. Must not know why anybody asks.

mod intake;
mod reasons;

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::ops::Bound;

use archive::{Integrity, LifecycleState, Version, VolumeName};

use super::bounds::{BoundExceeded, SelectionBounds};
use super::range::VersionRange;
pub(crate) use super::range::VersionSet;
use super::selected::ReleaseName;

/// A volume by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct VolumeId(u32);

impl VolumeId {
    /// For tables by volume; below [`Catalogue::volume_count`].
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for VolumeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "volume {}", self.0)
    }
}

/// A range by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct RangeId(u32);

/// A release by number: its place among the rows of its volume, from the lowest version to the highest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ReleaseId {
    pub(crate) volume: VolumeId,
    pub(crate) place: u32,
}

/// What a release depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Edge {
    pub(crate) volume: VolumeId,
    pub(crate) range: RangeId,
}

/// A row that was given.
#[derive(Debug)]
pub(crate) struct KnownRelease {
    pub(crate) version: Version,
    pub(crate) state: LifecycleState,
    pub(crate) integrity: Option<Integrity>,
    pub(crate) edges: Box<[Edge]>,
    /// Why its dependencies cannot be read, if they cannot.
    pub(crate) fault: Option<Box<str>>,
}

#[derive(Debug)]
enum Index {
    Unknown,
    Read {
        releases: Box<[KnownRelease]>,
        /// The places of those that a range may be given: available, and no prerelease that is left out.
        candidates: Box<[u32]>,
    },
    /// There are no rows, and this is why: a sentence.
    Missing(Box<str>),
}

#[derive(Debug)]
struct Volume {
    name: VolumeName,
    asked: bool,
    index: Index,
}

type HighestMatches = HashMap<(VolumeId, RangeId), Option<ReleaseId>>;

/// Everything that is known.
#[derive(Debug)]
pub(crate) struct Catalogue {
    prereleases: bool,
    bounds: SelectionBounds,
    ids: HashMap<VolumeName, VolumeId>,
    volumes: Vec<Volume>,
    /// Prereleases that roots name exactly, each with the set of its builds.
    named: HashMap<VolumeId, Vec<(Version, VersionSet)>>,
    range_ids: HashMap<Box<str>, RangeId>,
    ranges: Vec<VersionRange>,
    /// Asked for and not answered.
    open: BTreeSet<VolumeId>,
    asked: usize,
    rows: usize,
    dependencies: usize,
    /// Why further releases of a volume are not among its rows.
    notes: HashMap<VolumeId, Box<str>>,
    /// What [`Catalogue::highest`] found; rows never change, so it stays true.
    highest: RefCell<HighestMatches>,
}

impl Catalogue {
    pub(crate) fn new(prereleases: bool, bounds: SelectionBounds) -> Self {
        Self {
            prereleases,
            bounds,
            ids: HashMap::new(),
            volumes: Vec::new(),
            named: HashMap::new(),
            range_ids: HashMap::new(),
            ranges: Vec::new(),
            open: BTreeSet::new(),
            asked: 0,
            rows: 0,
            dependencies: 0,
            notes: HashMap::new(),
            highest: RefCell::default(),
        }
    }

    /// How many volumes have a number.
    pub(crate) fn volume_count(&self) -> usize {
        self.volumes.len()
    }

    pub(crate) fn name(&self, volume: VolumeId) -> &VolumeName {
        &self.volumes[volume.index()].name
    }

    pub(crate) fn range(&self, range: RangeId) -> &VersionRange {
        &self.ranges[range.0 as usize]
    }

    /// Whether rows of `volume` were given, or the reason why there are none.
    pub(crate) fn is_answered(&self, volume: VolumeId) -> bool {
        !matches!(self.index(volume), Index::Unknown)
    }

    /// Why there are no rows, if that was the answer.
    pub(crate) fn missing(&self, volume: VolumeId) -> Option<&str> {
        match self.index(volume) {
            Index::Missing(reason) => Some(reason),
            Index::Unknown | Index::Read { .. } => None,
        }
    }

    fn index(&self, volume: VolumeId) -> &Index {
        &self.volumes[volume.index()].index
    }

    /// All rows of a volume, from the lowest version to the highest.
    pub(crate) fn releases(&self, volume: VolumeId) -> &[KnownRelease] {
        match self.index(volume) {
            Index::Read { releases, .. } => releases,
            Index::Unknown | Index::Missing(_) => &[],
        }
    }

    pub(crate) fn release(&self, release: ReleaseId) -> &KnownRelease {
        &self.releases(release.volume)[release.place as usize]
    }

    pub(crate) fn release_name(&self, release: ReleaseId) -> ReleaseName {
        ReleaseName {
            volume: self.name(release.volume).clone(),
            version: self.release(release).version.clone(),
        }
    }

    fn candidate_places(&self, volume: VolumeId) -> &[u32] {
        match self.index(volume) {
            Index::Read { candidates, .. } => candidates,
            Index::Unknown | Index::Missing(_) => &[],
        }
    }

    /// The releases that a range may be given, from the lowest version to the highest.
    pub(crate) fn candidates(&self, volume: VolumeId) -> impl DoubleEndedIterator<Item = ReleaseId> + '_ {
        self.candidate_places(volume).iter().map(move |place| ReleaseId { volume, place: *place })
    }

    /// Those of them that a root takes which names no version: a prerelease that another root names is not among them.
    pub(crate) fn ordinary(&self, volume: VolumeId) -> impl DoubleEndedIterator<Item = ReleaseId> + '_ {
        self.candidates(volume).filter(|release| self.prereleases || self.version(*release).pre.is_empty())
    }

    /// The releases of which a root takes documents only, from the lowest version to the highest.
    pub(crate) fn withheld(&self, volume: VolumeId) -> impl DoubleEndedIterator<Item = ReleaseId> + '_ {
        self.releases(volume).iter().enumerate().filter_map(move |(place, known)| {
            let is_ordinary = self.prereleases || known.version.as_semver().pre.is_empty();
            let place = u32::try_from(place).ok()?;
            (is_ordinary && !known.state.serves_bytes()).then_some(ReleaseId { volume, place })
        })
    }

    /// The candidates that match, from the lowest version to the highest.
    pub(crate) fn matches(
        &self,
        volume: VolumeId,
        range: &VersionRange,
    ) -> impl DoubleEndedIterator<Item = ReleaseId> {
        self.candidates(volume)
            .filter(|release| range.matches(&self.release(*release).version, self.prereleases))
    }

    /// The highest that matches the range of a dependency.
    pub(crate) fn highest(&self, edge: Edge) -> Option<ReleaseId> {
        let key = (edge.volume, edge.range);
        if let Some(found) = self.highest.borrow().get(&key) {
            return *found;
        }
        let found = self.matches(edge.volume, self.range(edge.range)).next_back();
        if self.is_answered(edge.volume) {
            self.highest.borrow_mut().insert(key, found);
        }
        found
    }

    /// What a dependency allows the solver. A prerelease that only a root let in counts for ranges that name one, so that
    /// a resolver with that rule and one without it both find what they take.
    pub(crate) fn set(&self, edge: Edge) -> VersionSet {
        let range = self.range(edge.range);
        let mut set = range.to_set();
        for (version, builds) in self.named.get(&edge.volume).into_iter().flatten() {
            if !range.matches(version, self.prereleases) {
                set = set.intersection(&builds.complement());
            }
        }
        set
    }

    /// Whether a dependency may be given this release.
    pub(crate) fn allows(&self, edge: Edge, release: ReleaseId) -> bool {
        self.range(edge.range).matches(&self.release(release).version, self.prereleases)
    }

    /// The highest candidate in `set`.
    pub(crate) fn highest_in(&self, volume: VolumeId, set: &VersionSet) -> Option<ReleaseId> {
        let places = self.candidate_places(volume);
        let last = set.iter().filter_map(|segment| {
            let (start, end) = self.between(volume, segment);
            places.get(start..end)?.last()
        });
        last.last().map(|place| ReleaseId { volume, place: *place })
    }

    /// How many candidates are in `set`.
    pub(crate) fn count_in(&self, volume: VolumeId, set: &VersionSet) -> usize {
        let segments = set.iter().map(|segment| self.between(volume, segment));
        segments.map(|(start, end)| end.saturating_sub(start)).sum()
    }

    /// Which candidates are in one segment of a set.
    fn between(
        &self,
        volume: VolumeId,
        (from, to): (&Bound<semver::Version>, &Bound<semver::Version>),
    ) -> (usize, usize) {
        let places = self.candidate_places(volume);
        let releases = self.releases(volume);
        let before = |is_before: &dyn Fn(&semver::Version) -> bool| {
            places.partition_point(|place| is_before(releases[*place as usize].version.as_semver()))
        };
        let start = match from {
            Bound::Included(from) => before(&|version| version < from),
            Bound::Excluded(from) => before(&|version| version <= from),
            Bound::Unbounded => 0,
        };
        let end = match to {
            Bound::Included(to) => before(&|version| version <= to),
            Bound::Excluded(to) => before(&|version| version < to),
            Bound::Unbounded => places.len(),
        };
        (start, end)
    }

    /// The release of exactly this version, build metadata included.
    pub(crate) fn with_version(&self, volume: VolumeId, version: &semver::Version) -> Option<ReleaseId> {
        let place = self
            .releases(volume)
            .binary_search_by(|release| release.version.as_semver().cmp(version))
            .ok()?;
        Some(ReleaseId { volume, place: u32::try_from(place).ok()? })
    }

    pub(crate) fn version(&self, release: ReleaseId) -> &semver::Version {
        self.release(release).version.as_semver()
    }

    /// Asks for the index of a volume, unless that was done or it is known.
    pub(crate) fn ask(&mut self, volume: VolumeId) -> Result<(), BoundExceeded> {
        let held = &mut self.volumes[volume.index()];
        if held.asked {
            return Ok(());
        }
        held.asked = true;
        self.asked += 1;
        if self.asked > self.bounds.volumes {
            return Err(BoundExceeded::Volumes(self.bounds.volumes));
        }
        self.open.insert(volume);
        Ok(())
    }

    /// Whether a volume that was asked for is not answered.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.open.is_empty()
    }

    /// The volumes that were asked for and not answered, by name.
    pub(crate) fn open(&self) -> Vec<VolumeName> {
        let mut names: Vec<_> = self.open.iter().map(|volume| self.name(*volume).clone()).collect();
        names.sort_unstable();
        names
    }
}
