//! The machine: from roots and rules to a selection, by way of questions.
//!
//! Owns the order of the stages. Each stage goes as far as the answers lead, and the next one begins when nothing is open.
//! So the outcome depends on the answers and not on their order. Must not know how a question is answered.

use archive::{VolumeName, VolumePattern};

use super::bounds::BoundExceeded;
use super::catalogue::{Catalogue, VolumeId};
use super::closure::{Breadth, ClosureWalk};
use super::root::{Root, RootKind};
use super::rooting::{self, Enumeration, RootRelease};
use super::row::CatalogueRow;
use super::rules::{Closure, SelectionRules};
use super::selected::{PatternYield, Selection};
use super::solutions::SolutionSearch;
use super::taken::Taken;

/// What has to be known before the selection goes on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Questions {
    /// Volumes whose index has to be read, by name.
    pub volumes: Vec<VolumeName>,
    /// Patterns whose volumes search has to list.
    pub patterns: Vec<VolumePattern>,
}

/// Where a selection stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextStep {
    /// These questions are open.
    Ask(Questions),
    /// Nothing more is needed.
    Done(Selection),
}

#[derive(Debug)]
enum Stage {
    /// The volumes that roots name, and patterns.
    Roots,
    Closure(ClosureWalk),
    Solutions(SolutionSearch),
    Finished,
}

/// A selection under way. The caller asks [`Selector::advance`], answers what it says, and repeats that until it is done.
#[derive(Debug)]
pub struct Selector {
    roots: Vec<Root>,
    /// The volume that each root names.
    ids: Vec<Option<VolumeId>>,
    rules: SelectionRules,
    catalogue: Catalogue,
    enumerations: Vec<Enumeration>,
    root_releases: Vec<RootRelease>,
    taken: Taken,
    stage: Stage,
    /// Whether solutions are all that is looked for.
    is_proof: bool,
}

impl Selector {
    /// A selection of what `roots` ask for. A root that is given twice counts once.
    #[must_use]
    pub fn new(mut roots: Vec<Root>, rules: SelectionRules) -> Self {
        let mut seen = std::collections::HashSet::new();
        roots.retain(|root| seen.insert(root.as_str().to_owned()));
        let mut catalogue = Catalogue::new(rules.prereleases, rules.bounds.clone());
        let ids = roots.iter().map(|root| root.volume().map(|name| catalogue.intern(name))).collect();
        let mut enumerations: Vec<Enumeration> = Vec::new();
        for root in &roots {
            match root.kind() {
                RootKind::Pattern(pattern) => {
                    enumerations.push(Enumeration { pattern: pattern.clone(), answer: None });
                }
                RootKind::Exact(name, version) => {
                    let volume = catalogue.intern(name);
                    catalogue.let_in(volume, version);
                }
                RootKind::Name(_) | RootKind::Range(..) => {}
            }
        }
        let (root_releases, taken, stage) = (Vec::new(), Taken::new(rules.bounds.missing), Stage::Roots);
        Self { roots, ids, rules, catalogue, enumerations, root_releases, taken, stage, is_proof: false }
    }

    /// Looks for a solution of every root release and for nothing else.
    pub(crate) fn proving(roots: Vec<Root>, rules: SelectionRules) -> Self {
        Self { is_proof: true, ..Self::new(roots, rules) }
    }

    /// How many different roots there are.
    pub(crate) fn root_count(&self) -> usize {
        self.roots.len()
    }

    /// Says what is needed next, or what is selected. The same questions come again until all of them are answered.
    ///
    /// # Errors
    /// [`BoundExceeded`] names the bound that this selection would exceed; it ends there.
    pub fn advance(&mut self) -> Result<NextStep, BoundExceeded> {
        if matches!(self.stage, Stage::Roots) {
            for volume in self.ids.iter().flatten() {
                self.catalogue.ask(*volume)?;
            }
        }
        loop {
            let questions = self.questions();
            if questions != Questions::default() {
                return Ok(NextStep::Ask(questions));
            }
            let next = match &mut self.stage {
                Stage::Roots => Some(self.after_roots()),
                Stage::Closure(walk) => {
                    walk.go(&mut self.catalogue, &mut self.taken)?;
                    (!self.catalogue.is_waiting()).then(|| self.after_closure())
                }
                Stage::Solutions(search) => {
                    let (roots, bounds) = (&self.root_releases, &self.rules.bounds);
                    search.go(roots, bounds, &mut self.catalogue, &mut self.taken)?;
                    search.is_done().then_some(Stage::Finished)
                }
                Stage::Finished => return Ok(NextStep::Done(self.selection())),
            };
            if let Some(next) = next {
                self.stage = next;
                if matches!(self.stage, Stage::Finished) {
                    // Nobody looks at them any more, and the selection takes as much memory.
                    self.root_releases = Vec::new();
                }
            }
        }
    }

    fn questions(&self) -> Questions {
        let open = self.enumerations.iter().filter(|held| held.answer.is_none());
        let patterns = open.map(|held| held.pattern.clone()).collect();
        Questions { volumes: self.catalogue.open(), patterns }
    }

    /// Gives the rows of a volume, or the reason why its index could not be read. The first answer counts. Rows may be
    /// given before they are asked for.
    ///
    /// # Errors
    /// [`BoundExceeded`] when the rows are too many.
    pub fn answer_volume(
        &mut self,
        name: &VolumeName,
        answer: Result<Vec<CatalogueRow>, String>,
    ) -> Result<(), BoundExceeded> {
        let why = |reason| format!("the index of `{name}` cannot be read: {reason}");
        let volume = self.catalogue.intern(name);
        self.catalogue.answer(volume, answer.map_err(why))
    }

    /// Says that a volume has no rows, by a sentence.
    pub(crate) fn answer_nothing(&mut self, name: &VolumeName, why: String) -> Result<(), BoundExceeded> {
        let volume = self.catalogue.intern(name);
        self.catalogue.answer(volume, Err(why))
    }

    /// Says why further releases of a volume are not among its rows.
    pub(crate) fn note(&mut self, name: &VolumeName, why: String) {
        let volume = self.catalogue.intern(name);
        self.catalogue.note(volume, why);
    }

    /// Gives the names that search lists for a pattern, or the reason why it could not be asked. Names that do not match,
    /// and double ones, do not count.
    ///
    /// # Errors
    /// [`BoundExceeded`] when the names are too many.
    pub fn answer_pattern(
        &mut self,
        pattern: &VolumePattern,
        answer: Result<Vec<VolumeName>, String>,
    ) -> Result<(), BoundExceeded> {
        let unanswered =
            self.enumerations.iter_mut().find(|held| held.pattern == *pattern && held.answer.is_none());
        let Some(enumeration) = unanswered else { return Ok(()) };
        let catalogue = &mut self.catalogue;
        let answer = answer.map(|mut names| {
            names.retain(|name| pattern.matches(name));
            names.sort_unstable();
            names.dedup();
            names.iter().map(|name| catalogue.intern(name)).collect::<Vec<_>>()
        });
        for volume in answer.iter().flatten() {
            catalogue.ask(*volume)?;
        }
        enumeration.answer = Some(answer);
        Ok(())
    }

    fn select_roots(&mut self) {
        let Self { roots, ids, rules, catalogue, enumerations, taken, is_proof, .. } = self;
        let how = (rules.versions, *is_proof);
        self.root_releases = rooting::select(catalogue, roots, ids, enumerations, how, taken);
    }

    fn after_roots(&mut self) -> Stage {
        self.select_roots();
        let breadth = match self.rules.closure {
            Closure::None => return Stage::Finished,
            _ if self.is_proof => return self.solutions(),
            Closure::Highest | Closure::Resolve => Breadth::Highest,
            Closure::All => Breadth::All,
        };
        Stage::Closure(ClosureWalk::new(breadth, self.root_releases.iter().map(|root| root.release)))
    }

    fn after_closure(&self) -> Stage {
        match self.rules.closure {
            Closure::Resolve => self.solutions(),
            Closure::None | Closure::Highest | Closure::All => Stage::Finished,
        }
    }

    fn solutions(&self) -> Stage {
        Stage::Solutions(SolutionSearch::new(self.root_releases.len()))
    }

    fn selection(&self) -> Selection {
        let (catalogue, roots) = (&self.catalogue, &self.roots);
        let patterns = self.enumerations.iter().map(|held| {
            let names = held.answer.as_ref().and_then(|answer| answer.as_ref().ok()).map_or(0, Vec::len);
            PatternYield { pattern: held.pattern.clone(), names }
        });
        let unlisted = rooting::unlisted(catalogue, &self.ids, &self.enumerations);
        Selection {
            releases: self.taken.releases(catalogue, roots),
            missing: self.taken.missing(catalogue, roots),
            untold: self.taken.untold(),
            patterns: patterns.collect(),
            unlisted: unlisted.into_iter().map(|volume| catalogue.name(volume).clone()).collect(),
        }
    }
}
