//! The closures `highest` and `all`: from the dependencies of what is taken to more that is taken, until nothing is new.
//!
//! Owns the walk, which goes on where it waits for an index. Each pair of volume and range is followed once. Must not know
//! solutions.

use std::collections::{HashSet, VecDeque};

use super::bounds::BoundExceeded;
use super::catalogue::{Catalogue, Edge, RangeId, ReleaseId, VolumeId};
use super::taken::{Lacking, Taken, TakenFor};

/// Which of the matches are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Breadth {
    Highest,
    All,
}

/// A walk under way.
#[derive(Debug)]
pub(crate) struct ClosureWalk {
    breadth: Breadth,
    queue: VecDeque<ReleaseId>,
    /// Dependencies on volumes whose index is not here yet.
    parked: Vec<(ReleaseId, Edge)>,
    followed: HashSet<(VolumeId, RangeId)>,
}

impl ClosureWalk {
    /// A walk from what is taken already.
    pub(crate) fn new(breadth: Breadth, start: impl Iterator<Item = ReleaseId>) -> Self {
        Self { breadth, queue: start.collect(), parked: Vec::new(), followed: HashSet::new() }
    }

    /// Goes as far as the known indexes lead, and asks for the others.
    pub(crate) fn go(&mut self, catalogue: &mut Catalogue, taken: &mut Taken) -> Result<(), BoundExceeded> {
        for (release, edge) in std::mem::take(&mut self.parked) {
            self.follow(release, edge, catalogue, taken)?;
        }
        while let Some(release) = self.queue.pop_front() {
            let known = catalogue.release(release);
            if let Some(fault) = &known.fault {
                taken.miss(Lacking::Release(release), fault.to_string());
            }
            for at in 0..known.edges.len() {
                let edge = catalogue.release(release).edges[at];
                self.follow(release, edge, catalogue, taken)?;
            }
        }
        Ok(())
    }

    fn follow(
        &mut self,
        release: ReleaseId,
        edge: Edge,
        catalogue: &mut Catalogue,
        taken: &mut Taken,
    ) -> Result<(), BoundExceeded> {
        if !catalogue.is_answered(edge.volume) {
            self.parked.push((release, edge));
            return catalogue.ask(edge.volume);
        }
        let Some(highest) = catalogue.highest(edge) else {
            let range = catalogue.range(edge.range);
            let why = catalogue.why_nothing(edge.volume, Some(range));
            let dependency = format!("its dependency `{}` {range}", catalogue.name(edge.volume));
            taken.miss(Lacking::Release(release), format!("{dependency} matches nothing: {why}"));
            return Ok(());
        };
        if !self.followed.insert((edge.volume, edge.range)) {
            return Ok(());
        }
        let mut matches = match self.breadth {
            Breadth::Highest => vec![highest],
            Breadth::All => catalogue.matches(edge.volume, catalogue.range(edge.range)).collect(),
        };
        matches.retain(|found| taken.take(*found, TakenFor::DependencyOf(release)));
        self.queue.extend(matches);
        Ok(())
    }
}
