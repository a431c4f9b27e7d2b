//! Learning the indexes that a solver will ask for next, without running the solver for each.
//!
//! Owns the walk from what the solver met to what stands behind it: narrow, along the highest matches, and after too many
//! runs broad, along every candidate. After a broad walk nothing that the solver can meet is unknown, so the number of runs
//! is bounded. Must not know what is selected: nothing is, by this.

use std::collections::{HashSet, VecDeque};

use super::bounds::BoundExceeded;
use super::catalogue::{Catalogue, ReleaseId, VersionSet, VolumeId};

/// A walk under way.
#[derive(Debug, Default)]
pub(crate) struct Scout {
    queue: VecDeque<ReleaseId>,
    /// Volumes whose index is not here yet, and what is wanted of each.
    parked: Vec<(VolumeId, VersionSet)>,
    seen: HashSet<ReleaseId>,
    is_broad: bool,
    seen_wholly: HashSet<VolumeId>,
}

impl Scout {
    /// Looks behind the highest version of `volume` in `set`.
    pub(crate) fn look_behind(&mut self, volume: VolumeId, set: VersionSet) {
        self.parked.push((volume, set));
    }

    /// From now on looks behind every candidate, first of all from `root`.
    pub(crate) fn broaden(&mut self, root: ReleaseId) {
        self.is_broad = true;
        self.queue.push_back(root);
    }

    /// Goes as far as the known indexes lead, and asks for the others.
    pub(crate) fn go(&mut self, catalogue: &mut Catalogue) -> Result<(), BoundExceeded> {
        for (volume, set) in std::mem::take(&mut self.parked) {
            self.arrive(catalogue, volume, set)?;
        }
        while let Some(release) = self.queue.pop_front() {
            for at in 0..catalogue.release(release).edges.len() {
                let edge = catalogue.release(release).edges[at];
                // A volume that was seen wholly leads nowhere new, and its set would cost more than the look.
                if !self.seen_wholly.contains(&edge.volume) {
                    let set = catalogue.set(edge);
                    self.arrive(catalogue, edge.volume, set)?;
                }
            }
        }
        Ok(())
    }

    fn arrive(
        &mut self,
        catalogue: &mut Catalogue,
        volume: VolumeId,
        set: VersionSet,
    ) -> Result<(), BoundExceeded> {
        if !catalogue.is_answered(volume) {
            self.parked.push((volume, set));
            return catalogue.ask(volume);
        }
        if self.is_broad {
            if self.seen_wholly.insert(volume) {
                self.queue.extend(catalogue.candidates(volume));
            }
        } else if let Some(highest) = catalogue.highest_in(volume, &set)
            && self.seen.insert(highest)
        {
            self.queue.push_back(highest);
        }
        Ok(())
    }
}
