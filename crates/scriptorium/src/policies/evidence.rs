//! The evidence about the releases of one volume: when each was first seen, and what was found out about it.
//!
//! Evidence is about a version with an integrity, so it is true for ever, and nothing of it is taken back. Owns its form, and
//! that of two dates the earlier counts. Must not know rules, nor where evidence comes from or is kept.

use std::collections::BTreeMap;

use archive::ManifestFacts;
use policy::Delivery;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::domain::{Dist, Integrity, Release, Version, VolumeName};

/// The most releases of one volume about which evidence is kept. Beyond that a release counts as seen now.
const MOST: usize = 100_000;

/// The most trees of one version. A registry that replaces a version once is in divergence already.
const MOST_TREES: usize = 16;

/// What is known of one release with one integrity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReleaseEvidence {
    /// When an index, exact metadata or an imported pin showed it first.
    pub(crate) first_seen: Timestamp,
    /// Known once exact metadata was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) delivery: Option<Delivery>,
    /// Known once its archive was verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) manifest: Option<Box<ManifestFacts>>,
    /// The categories with an active attachment; known once its trust detail was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) trust: Option<Box<[String]>>,
}

impl ReleaseEvidence {
    /// A release that was first seen at `at`, of which nothing else is known.
    pub(crate) fn seen(at: Timestamp) -> Self {
        Self { first_seen: at, delivery: None, manifest: None, trust: None }
    }

    /// Bytes of the texts in it.
    fn length(&self) -> usize {
        let of_manifest = self.manifest.as_ref().map_or(0, |manifest| {
            let texts = manifest.component_types.iter().chain(&manifest.licence).chain(&manifest.publisher);
            texts.map(String::len).sum()
        });
        let of_trust: usize = self.trust.iter().flatten().map(String::len).sum();
        of_manifest + of_trust
    }

    /// What both know. The earlier date counts; other facts of `later` replace earlier ones.
    pub(crate) fn joined(self, later: Self) -> Self {
        Self {
            first_seen: self.first_seen.min(later.first_seen),
            delivery: later.delivery.or(self.delivery),
            manifest: later.manifest.or(self.manifest),
            trust: later.trust.or(self.trust),
        }
    }
}

/// How exact metadata says that a release is delivered.
pub(crate) fn delivery_of(release: &Release) -> Option<Delivery> {
    Some(match release.dist.as_ref()? {
        Dist::Cdn { .. } => Delivery::Cdn,
        Dist::Git { .. } => Delivery::Git,
    })
}

/// The trees that were seen under one version. More than one are seldom.
type SeenTrees = Box<[(Integrity, ReleaseEvidence)]>;

/// The evidence about the releases of a volume at one registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredEvidence")]
pub(crate) struct VolumeEvidence {
    volume: VolumeName,
    releases: BTreeMap<Version, SeenTrees>,
    #[serde(skip)]
    count: usize,
}

/// The stored form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredEvidence {
    volume: VolumeName,
    releases: BTreeMap<Version, SeenTrees>,
}

impl From<StoredEvidence> for VolumeEvidence {
    fn from(StoredEvidence { volume, releases }: StoredEvidence) -> Self {
        let count = releases.values().map(|seen| seen.len()).sum();
        Self { volume, releases, count }
    }
}

impl VolumeEvidence {
    /// Nothing is known of the releases of `volume`.
    pub(crate) fn none(volume: VolumeName) -> Self {
        Self { volume, releases: BTreeMap::new(), count: 0 }
    }

    /// The volume.
    pub(super) fn volume(&self) -> &VolumeName {
        &self.volume
    }

    /// What is known of a release with an integrity.
    pub(crate) fn of(&self, version: &Version, integrity: &Integrity) -> Option<&ReleaseEvidence> {
        self.releases.get(version)?.iter().find(|(seen, _)| seen == integrity).map(|(_, evidence)| evidence)
    }

    /// What is known of the release in an index row, which need not name the integrity: then the only one that was seen.
    pub(crate) fn of_row(
        &self,
        version: &Version,
        integrity: Option<&Integrity>,
    ) -> Option<&ReleaseEvidence> {
        match (integrity, &**self.releases.get(version)?) {
            (Some(integrity), _) => self.of(version, integrity),
            (None, [(_, evidence)]) => Some(evidence),
            (None, _) => None,
        }
    }

    /// Whether none of `found` is news.
    pub(super) fn includes_all(&self, found: &[(Version, Integrity, ReleaseEvidence)]) -> bool {
        let is_known = |known: &ReleaseEvidence, found: &ReleaseEvidence| {
            known.first_seen <= found.first_seen && known.clone().joined(found.clone()) == *known
        };
        found.iter().all(|(version, integrity, found)| {
            self.of(version, integrity).is_some_and(|known| is_known(known, found))
        })
    }

    /// Adds evidence. True if that changed anything.
    pub(crate) fn add(&mut self, version: &Version, integrity: &Integrity, found: ReleaseEvidence) -> bool {
        let seen = self
            .releases
            .get_mut(version)
            .and_then(|seen| seen.iter_mut().find(|(seen, _)| seen == integrity));
        if let Some((_, known)) = seen {
            let joined = known.clone().joined(found);
            let is_new = joined != *known;
            *known = joined;
            return is_new;
        }
        let trees = self.releases.get(version).map_or(0, |seen| seen.len());
        if self.count >= MOST || trees >= MOST_TREES {
            return false;
        }
        self.count += 1;
        let seen = self.releases.entry(version.clone()).or_default();
        // Most versions have one tree, for which no more room is taken.
        *seen = std::mem::take(seen).into_iter().chain([(*integrity, found)]).collect();
        true
    }

    /// Adds all that another process found out about the same volume.
    pub(super) fn add_all(&mut self, theirs: &Self) {
        for (version, seen) in &theirs.releases {
            for (integrity, found) in seen {
                self.add(version, integrity, found.clone());
            }
        }
    }

    /// How much memory it takes: 1 for each release, and 1 for each 256 bytes that its manifest and its trust say.
    pub(super) fn weight(&self) -> usize {
        self.releases
            .values()
            .flat_map(|seen| seen.iter())
            .map(|(_, evidence)| 1 + evidence.length() / 256)
            .sum()
    }

    /// Releases about which there is evidence.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn integrity(of: u8) -> Integrity {
        Integrity::new(crate::domain::Sha256::of(&[of]))
    }

    #[test]
    fn of_two_dates_the_earlier_counts_and_no_fact_is_lost() {
        let (version, tree): (Version, _) = ("1.0.0".parse().unwrap(), integrity(1));
        let mut evidence = VolumeEvidence::none("lamp".parse().unwrap());
        assert!(evidence.add(&version, &tree, ReleaseEvidence::seen(Timestamp(7))));
        assert!(!evidence.add(&version, &tree, ReleaseEvidence::seen(Timestamp(9))), "nothing new");
        let found = ReleaseEvidence { delivery: Some(Delivery::Git), ..ReleaseEvidence::seen(Timestamp(8)) };
        assert!(evidence.add(&version, &tree, found));
        assert!(evidence.add(&version, &tree, ReleaseEvidence::seen(Timestamp(5))));
        let expected =
            ReleaseEvidence { delivery: Some(Delivery::Git), ..ReleaseEvidence::seen(Timestamp(5)) };
        assert_eq!(evidence.of(&version, &tree), Some(&expected));
        assert_eq!(evidence.of(&version, &integrity(2)), None, "another integrity is another release");
        let stored = serde_json::to_string(&evidence).unwrap();
        assert_eq!(serde_json::from_str::<VolumeEvidence>(&stored).unwrap(), evidence, "{stored}");
    }

    #[test]
    fn evidence_is_bounded() {
        let mut evidence = VolumeEvidence::none("lamp".parse().unwrap());
        for at in 0..=MOST {
            let version: Version = format!("1.{at}.0").parse().unwrap();
            assert_eq!(evidence.add(&version, &integrity(1), ReleaseEvidence::seen(Timestamp(1))), at < MOST);
        }
        assert_eq!(evidence.count(), MOST);
        let mut evidence = VolumeEvidence::none("lamp".parse().unwrap());
        for at in 0..=MOST_TREES {
            let tree = integrity(u8::try_from(at).unwrap());
            let version: Version = "1.0.0".parse().unwrap();
            let is_new = evidence.add(&version, &tree, ReleaseEvidence::seen(Timestamp(1)));
            assert_eq!(is_new, at < MOST_TREES);
        }
        assert_eq!(evidence.count(), MOST_TREES);
    }

    #[test]
    fn a_release_of_which_much_is_known_weighs_more() {
        let mut evidence = VolumeEvidence::none("lamp".parse().unwrap());
        let component_types = (0..64).map(|number| format!("{number:0>256}")).collect();
        let manifest = ManifestFacts { component_types, ..ManifestFacts::default() };
        let found =
            ReleaseEvidence { manifest: Some(Box::new(manifest)), ..ReleaseEvidence::seen(Timestamp(1)) };
        evidence.add(&"1.0.0".parse().unwrap(), &integrity(1), found);
        evidence.add(&"1.1.0".parse().unwrap(), &integrity(1), ReleaseEvidence::seen(Timestamp(1)));
        assert_eq!((evidence.count(), evidence.weight()), (2, 66));
    }
}
