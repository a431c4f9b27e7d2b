//! The closure `resolve`: one complete solution for every root release.
//!
//! Owns which root releases still have none. Mostly the highest matches fit together, and then they are the solution, found
//! by walking over them; only where they do not the solver runs. Owns the count of steps. Must not know how a solution is found.

use super::bounds::{BoundExceeded, SelectionBounds};
use super::catalogue::{Catalogue, ReleaseId};
use super::rooting::RootRelease;
use super::scout::Scout;
use super::solver::{Solved, solve};
use super::taken::{Lacking, Taken, TakenFor};

/// How often the solver runs for one root before every index is read that it can meet.
const NARROW_RUNS: u8 = 8;

/// How many releases are walked over for one step of the solver, which costs about as much.
const RELEASES_A_STEP: u64 = 64;

#[derive(Debug)]
struct Pending {
    place: usize,
    runs: u8,
}

/// The search under way.
#[derive(Debug)]
pub(crate) struct SolutionSearch {
    pending: Vec<Pending>,
    scout: Scout,
    choices: Choices,
    steps: u64,
}

impl SolutionSearch {
    pub(crate) fn new(root_releases: usize) -> Self {
        let pending = (0..root_releases).map(|place| Pending { place, runs: 0 }).collect();
        Self { pending, scout: Scout::default(), choices: Choices::default(), steps: 0 }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.pending.is_empty()
    }

    /// Solves as far as the known indexes lead, and asks for the others.
    pub(crate) fn go(
        &mut self,
        roots: &[RootRelease],
        bounds: &SelectionBounds,
        catalogue: &mut Catalogue,
        taken: &mut Taken,
    ) -> Result<(), BoundExceeded> {
        self.scout.go(catalogue)?;
        if catalogue.is_waiting() {
            return Ok(());
        }
        for mut pending in std::mem::take(&mut self.pending) {
            let root = &roots[pending.place];
            match self.solve(root.release, bounds, catalogue)? {
                Solved::Solution(releases) => {
                    for release in releases {
                        taken.take(release, TakenFor::SolutionOf(root.release));
                    }
                }
                Solved::Impossible(reason) => miss(taken, root, &reason),
                Solved::Stopped => {
                    let (name, most) = (catalogue.release_name(root.release), bounds.steps_per_root);
                    miss(
                        taken,
                        root,
                        &format!("{name} has no solution that the solver finds within {most} steps"),
                    );
                }
                Solved::Undecided(_) if pending.runs == NARROW_RUNS => {
                    self.scout.broaden(root.release);
                    pending.runs += 1;
                    self.pending.push(pending);
                }
                Solved::Undecided(unknown) => {
                    for (volume, set) in unknown {
                        self.scout.look_behind(volume, set);
                    }
                    pending.runs = pending.runs.saturating_add(1);
                    self.pending.push(pending);
                }
            }
        }
        self.scout.go(catalogue)
    }

    fn solve(
        &mut self,
        root: ReleaseId,
        bounds: &SelectionBounds,
        catalogue: &Catalogue,
    ) -> Result<Solved, BoundExceeded> {
        let (fit, walked) = self.choices.highest_fit(catalogue, root);
        self.steps += walked.div_ceil(RELEASES_A_STEP);
        let solved = if let Some(releases) = fit {
            Solved::Solution(releases)
        } else {
            let left = bounds.steps.saturating_sub(self.steps);
            let (solved, steps) = solve(catalogue, root, left.min(bounds.steps_per_root));
            self.steps += steps;
            solved
        };
        if self.steps > bounds.steps { Err(BoundExceeded::Steps(bounds.steps)) } else { Ok(solved) }
    }
}

fn miss(taken: &mut Taken, root: &RootRelease, reason: &str) {
    for root in &root.roots {
        taken.miss(Lacking::Root(*root), reason.to_owned());
    }
}

/// Which release of each volume one walk has chosen. The table is kept between walks, and entries of earlier ones do not
/// count, so that a walk costs what it visits.
#[derive(Debug, Default)]
struct Choices {
    table: Vec<(u64, u32)>,
    walk: u64,
}

impl Choices {
    /// The highest matches of `root`, of their dependencies and so on, if they fit together with one version a volume;
    /// and how many were walked over.
    fn highest_fit(&mut self, catalogue: &Catalogue, root: ReleaseId) -> (Option<Vec<ReleaseId>>, u64) {
        self.walk += 1;
        self.table.resize(catalogue.volume_count(), (0, 0));
        self.choose(root);
        let mut chosen = vec![root];
        let mut next = 0;
        while let Some(release) = chosen.get(next).copied() {
            next += 1;
            let known = catalogue.release(release);
            let fits = known.fault.is_none()
                && known.edges.iter().all(|edge| {
                    if let Some(place) = self.chosen(edge.volume.index()) {
                        return catalogue.allows(*edge, ReleaseId { volume: edge.volume, place });
                    }
                    let highest = catalogue.highest(*edge);
                    if let Some(highest) = highest {
                        self.choose(highest);
                        chosen.push(highest);
                    }
                    highest.is_some()
                });
            if !fits {
                return (None, next as u64);
            }
        }
        (Some(chosen), next as u64)
    }

    fn choose(&mut self, release: ReleaseId) {
        self.table[release.volume.index()] = (self.walk, release.place);
    }

    fn chosen(&self, volume: usize) -> Option<u32> {
        let (walk, place) = self.table[volume];
        (walk == self.walk).then_some(place)
    }
}
