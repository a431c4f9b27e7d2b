//! Taking rows in: names and ranges become numbers, and what cannot be read becomes a fault of its release.
//!
//! Owns the order of rows and what happens to double ones. Must not know what rows are asked for.

use std::collections::HashSet;

use archive::{LifecycleState, Version, VolumeName};

use super::{Catalogue, Edge, Index, KnownRelease, RangeId, Volume, VolumeId};
use crate::bounds::BoundExceeded;
use crate::range::{self, InvalidVersionRange, VersionRange};
use crate::row::CatalogueRow;

impl Catalogue {
    /// The number of a volume. A catalogue holds fewer names than a `u32` counts, since dependencies are bounded.
    pub(crate) fn intern(&mut self, name: &VolumeName) -> VolumeId {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let id = VolumeId(u32::try_from(self.volumes.len()).unwrap_or(u32::MAX));
        self.ids.insert(name.clone(), id);
        self.volumes.push(Volume { name: name.clone(), asked: false, index: Index::Unknown });
        id
    }

    /// Lets a prerelease take part that a root names. Must be said before the volume's rows are given.
    pub(crate) fn let_in(&mut self, volume: VolumeId, version: &Version) {
        if !version.as_semver().pre.is_empty() && !self.prereleases {
            self.named.entry(volume).or_default().push((version.clone(), range::builds(version)));
        }
    }

    /// Notes why further releases of `volume` are not among its rows.
    pub(crate) fn note(&mut self, volume: VolumeId, why: String) {
        self.notes.insert(volume, why.into());
    }

    /// Takes the rows of a volume, or the sentence that says why there are none. The first answer counts; whether it was asked for does not.
    pub(crate) fn answer(
        &mut self,
        volume: VolumeId,
        answer: Result<Vec<CatalogueRow>, String>,
    ) -> Result<(), BoundExceeded> {
        self.ask(volume)?;
        if self.is_answered(volume) {
            return Ok(());
        }
        let index = match answer {
            Err(why) => Index::Missing(why.into()),
            Ok(rows) => self.read(volume, rows)?,
        };
        self.volumes[volume.0 as usize].index = index;
        self.open.remove(&volume);
        Ok(())
    }

    fn read(&mut self, volume: VolumeId, mut rows: Vec<CatalogueRow>) -> Result<Index, BoundExceeded> {
        self.rows += rows.len();
        if self.rows > self.bounds.rows {
            return Err(BoundExceeded::Rows(self.bounds.rows));
        }
        self.dependencies += rows.iter().map(|row| row.dependencies.len()).sum::<usize>();
        if self.dependencies > self.bounds.dependencies {
            return Err(BoundExceeded::Dependencies(self.bounds.dependencies));
        }
        // Of two rows for one version the more restrictive one counts: a block is never softened.
        rows.sort_by(|one, other| one.version.cmp(&other.version).then(other.state.cmp(&one.state)));
        rows.dedup_by(|later, earlier| later.version == earlier.version);
        let releases: Box<[KnownRelease]> = rows.into_iter().map(|row| self.known(row)).collect();
        let candidates = (0_u32..).zip(&releases).filter(|(_, release)| self.takes_part(volume, release));
        let candidates = candidates.map(|(place, _)| place).collect();
        Ok(Index::Read { releases, candidates })
    }

    fn takes_part(&self, volume: VolumeId, release: &KnownRelease) -> bool {
        let version = release.version.as_semver();
        let is_named =
            || self.named.get(&volume).into_iter().flatten().any(|(_, builds)| builds.contains(version));
        release.state == LifecycleState::Available
            && (version.pre.is_empty() || self.prereleases || is_named())
    }

    fn known(&mut self, row: CatalogueRow) -> KnownRelease {
        let (edges, fault) = match self.edges(&row.dependencies) {
            Ok(edges) => (edges, None),
            Err(fault) => (Box::default(), Some(fault.into())),
        };
        KnownRelease { version: row.version, state: row.state, integrity: row.integrity, edges, fault }
    }

    fn edges(&mut self, dependencies: &[(String, String)]) -> Result<Box<[Edge]>, String> {
        let mut edges = Vec::with_capacity(dependencies.len());
        let mut seen = HashSet::with_capacity(dependencies.len());
        for (name, range) in dependencies {
            let volume: VolumeName = name.parse().map_err(|invalid| {
                format!("its dependency `{}` has no valid name: {invalid}", excerpt(name))
            })?;
            let range = self.intern_range(range).map_err(|invalid| {
                format!("the range `{}` of its dependency `{volume}`: {invalid}", excerpt(range))
            })?;
            let volume = self.intern(&volume);
            if !seen.insert(volume) {
                return Err(format!("its dependency `{name}` is listed twice"));
            }
            edges.push(Edge { volume, range });
        }
        Ok(edges.into())
    }

    fn intern_range(&mut self, text: &str) -> Result<RangeId, InvalidVersionRange> {
        if let Some(id) = self.range_ids.get(text) {
            return Ok(*id);
        }
        let id = RangeId(u32::try_from(self.ranges.len()).unwrap_or(u32::MAX));
        self.ranges.push(VersionRange::of_dependency(text)?);
        self.range_ids.insert(text.into(), id);
        Ok(id)
    }
}

/// The start of a registry's text, for one line of a message.
fn excerpt(text: &str) -> String {
    text.chars().take(120).flat_map(char::escape_debug).collect()
}
