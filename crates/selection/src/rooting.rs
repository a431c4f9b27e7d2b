//! From roots to root releases.
//!
//! Owns what each form of root selects, and what is said of one that selects nothing. Must not know dependencies.

use std::collections::{HashMap, HashSet};

use archive::{LifecycleState, Version, VolumePattern};

use super::catalogue::{Catalogue, ReleaseId, VolumeId};
use super::range::VersionRange;
use super::root::{Root, RootKind};
use super::rules::RootVersions;
use super::taken::{Lacking, Taken, TakenFor};

/// A pattern, and what search said: the volumes, or the reason why it could not be asked.
#[derive(Debug)]
pub(crate) struct Enumeration {
    pub(crate) pattern: VolumePattern,
    pub(crate) answer: Option<Result<Vec<VolumeId>, String>>,
}

/// A release that a root selects and whose dependencies count, with the places of all roots that do.
#[derive(Debug)]
pub(crate) struct RootRelease {
    pub(crate) release: ReleaseId,
    pub(crate) roots: Vec<usize>,
}

/// The selection of the roots, under way.
pub(crate) struct Rooting<'a> {
    catalogue: &'a Catalogue,
    versions: RootVersions,
    /// Whether rows are what is held, and not what registries list.
    is_proof: bool,
    taken: &'a mut Taken,
    found: Vec<RootRelease>,
    places: HashMap<ReleaseId, usize>,
}

/// Selects the root releases, in the order of the roots. All volumes that they name or list must be answered.
pub(crate) fn select(
    catalogue: &Catalogue,
    roots: &[Root],
    ids: &[Option<VolumeId>],
    enumerations: &[Enumeration],
    (versions, is_proof): (RootVersions, bool),
    taken: &mut Taken,
) -> Vec<RootRelease> {
    let mut rooting =
        Rooting { catalogue, versions, is_proof, taken, found: Vec::new(), places: HashMap::new() };
    for (at, (root, volume)) in roots.iter().zip(ids).enumerate() {
        match (root.kind(), *volume) {
            (RootKind::Pattern(pattern), _) => {
                let answer = enumerations.iter().find(|held| held.pattern == *pattern);
                rooting.pattern(at, answer.and_then(|held| held.answer.as_ref()));
            }
            (RootKind::Name(_), Some(volume)) => rooting.range(at, volume, None),
            (RootKind::Range(_, range), Some(volume)) => rooting.range(at, volume, Some(range)),
            (RootKind::Exact(_, version), Some(volume)) => rooting.exact(at, volume, version),
            (_, None) => {}
        }
    }
    rooting.found
}

impl Rooting<'_> {
    fn take(&mut self, root: usize, release: ReleaseId) {
        self.taken.take(release, TakenFor::Root(root));
        if let Some(place) = self.places.get(&release) {
            let roots = &mut self.found[*place].roots;
            if !roots.contains(&root) {
                roots.push(root);
            }
        } else {
            self.places.insert(release, self.found.len());
            self.found.push(RootRelease { release, roots: vec![root] });
        }
    }

    fn miss(&mut self, root: usize, reason: String) {
        self.taken.miss(Lacking::Root(root), reason);
    }

    /// Takes what `versions` says; says whether there was anything with files. Where there is none, what is withheld is taken
    /// instead: its documents tell a site without the registry that it is.
    fn choose(&mut self, root: usize, volume: VolumeId, range: Option<&VersionRange>) -> bool {
        let catalogue = self.catalogue;
        let chosen = self.of_matching(range, catalogue.ordinary(volume));
        for release in &chosen {
            self.take(root, *release);
        }
        if chosen.is_empty() {
            for release in self.of_matching(range, catalogue.withheld(volume)) {
                self.taken.take(release, TakenFor::Root(root));
            }
        }
        !chosen.is_empty()
    }

    /// The releases that `range` contains, as many as `versions` says.
    fn of_matching(
        &self,
        range: Option<&VersionRange>,
        releases: impl DoubleEndedIterator<Item = ReleaseId>,
    ) -> Vec<ReleaseId> {
        let contains = |release: &ReleaseId| {
            range.is_none_or(|range| range.contains(&self.catalogue.release(*release).version))
        };
        let mut matching = releases.filter(contains);
        match self.versions {
            RootVersions::Highest => matching.next_back().into_iter().collect(),
            RootVersions::All => matching.collect(),
        }
    }

    fn range(&mut self, root: usize, volume: VolumeId, range: Option<&VersionRange>) {
        if !self.choose(root, volume, range) {
            self.miss(root, self.catalogue.why_nothing(volume, range));
        }
    }

    /// A volume that a pattern lists may have nothing to take; one whose index tells nothing at all is a lack.
    fn pattern(&mut self, root: usize, answer: Option<&Result<Vec<VolumeId>, String>>) {
        let volumes = match answer {
            Some(Ok(volumes)) => volumes.as_slice(),
            Some(Err(reason)) => return self.miss(root, format!("search cannot list its volumes: {reason}")),
            None => &[],
        };
        let (mut any, mut told) = (false, false);
        for volume in volumes {
            any |= self.choose(root, *volume, None);
            if self.catalogue.releases(*volume).is_empty() {
                self.miss(root, self.catalogue.why_nothing(*volume, None));
                told = true;
            }
        }
        if !any && !told {
            let reason = match volumes.len() {
                0 if self.is_proof => "nothing that is held matches it".to_owned(),
                0 => "search lists no volume that it matches".to_owned(),
                count if self.is_proof => {
                    format!("of the {count} volumes that are held and match it, none has a release to serve")
                }
                count => {
                    format!("search lists {count} volumes that it matches, and none has a release to take")
                }
            };
            self.miss(root, reason);
        }
    }

    fn exact(&mut self, root: usize, volume: VolumeId, version: &Version) {
        let catalogue = self.catalogue;
        let Some(release) = named(catalogue, volume, version) else {
            let reason = match catalogue.releases(volume) {
                [] => catalogue.why_nothing(volume, None),
                _ => {
                    let name = catalogue.name(volume);
                    let text = match self.is_proof {
                        true => format!("`{name}` {version} is not held"),
                        false => format!("the index of `{name}` does not list {version}"),
                    };
                    catalogue.noted(volume, text)
                }
            };
            return self.miss(root, reason);
        };
        let known = catalogue.release(release);
        match known.state {
            LifecycleState::Available | LifecycleState::Yanked => self.take(root, release),
            LifecycleState::Blocked | LifecycleState::Tombstoned | LifecycleState::Unavailable => {
                self.taken.take(release, TakenFor::Root(root));
                let name = catalogue.release_name(release);
                self.miss(root, format!("{name} is {}: documents only", known.state));
            }
        }
    }
}

/// The release of this version, or else the best of those that differ in build metadata alone: the least restricted, and
/// of these the highest.
fn named(catalogue: &Catalogue, volume: VolumeId, version: &Version) -> Option<ReleaseId> {
    let wanted = version.as_semver();
    let same = catalogue.with_version(volume, wanted);
    if same.is_some() || !wanted.build.is_empty() {
        return same;
    }
    let releases = catalogue.releases(volume);
    let start = releases.partition_point(|known| known.version.as_semver() < wanted);
    let alike = (start..releases.len()).take_while(|place| {
        releases[*place].version.as_semver().cmp_precedence(wanted) == std::cmp::Ordering::Equal
    });
    let best = alike.max_by_key(|place| (std::cmp::Reverse(releases[*place].state), *place))?;
    Some(ReleaseId { volume, place: u32::try_from(best).ok()? })
}

/// Volumes that roots name, that exist, and that search did not list for a pattern which matches them.
pub(crate) fn unlisted(
    catalogue: &Catalogue,
    ids: &[Option<VolumeId>],
    enumerations: &[Enumeration],
) -> Vec<VolumeId> {
    let listings = enumerations.iter().filter_map(|held| {
        let volumes: HashSet<VolumeId> = held.answer.as_ref()?.as_ref().ok()?.iter().copied().collect();
        Some((&held.pattern, volumes))
    });
    let listings: Vec<_> = listings.collect();
    let missing = |volume: &VolumeId| {
        let name = catalogue.name(*volume);
        listings.iter().any(|(pattern, listed)| pattern.matches(name) && !listed.contains(volume))
    };
    let named = ids.iter().flatten().copied().filter(|volume| !catalogue.releases(*volume).is_empty());
    let mut volumes: Vec<VolumeId> = named.filter(missing).collect();
    volumes.sort_unstable_by_key(|volume| catalogue.name(*volume));
    volumes.dedup();
    volumes
}
