//! Why there is no solution, in words for an operator.
//!
//! Owns the form of this reason: the facts at the ends of the solver's derivation, each once, those nearest to its
//! conclusion first, bounded in number and length. Must not know how the solver works.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use pubgrub::{DerivationTree, Derived, External};

use super::catalogue::{Catalogue, ReleaseId, VersionSet, VolumeId};

/// The most facts that a reason gives, and the most bytes of one fact.
const MOST_FACTS: usize = 12;
const MOST_BYTES: usize = 200;

type Tree = DerivationTree<VolumeId, VersionSet, String>;
type Fact = External<VolumeId, VersionSet, String>;

/// Says why `root` has no solution.
pub(crate) fn explain(catalogue: &Catalogue, root: ReleaseId, tree: Tree) -> String {
    let (facts, more) = facts(&tree, root, |fact| words(catalogue, root, fact));
    dismantle(tree);
    let mut text = format!("{} has no solution: {}", catalogue.release_name(root), facts.join("; "));
    if more > 0 {
        text.push_str(&format!("; and {more} more facts"));
    }
    text
}

/// The first facts in words, and how many more there are: what releases depend on, those of the root first, before what
/// does not exist. Branches that the tree shares are visited once.
fn facts(tree: &Tree, root: ReleaseId, words: impl Fn(&Fact) -> String) -> (Vec<String>, usize) {
    let (mut facts, mut more) = (Vec::new(), 0);
    let (mut queue, mut visited) = (VecDeque::from([tree]), HashSet::new());
    while let Some(tree) = queue.pop_front() {
        match tree {
            DerivationTree::Derived(Derived { cause1, cause2, .. }) => {
                for cause in [cause1, cause2] {
                    if visited.insert(Arc::as_ptr(cause)) {
                        queue.push_back(cause);
                    }
                }
            }
            // That the root is looked at is no news.
            DerivationTree::External(External::NotRoot(..)) => {}
            DerivationTree::External(_) if facts.len() == MOST_FACTS => more += 1,
            DerivationTree::External(fact) => {
                let told = (rank(fact, root), words(fact));
                if !facts.contains(&told) {
                    facts.push(told);
                }
            }
        }
    }
    facts.sort_by_key(|(rank, _)| *rank);
    (facts.into_iter().map(|(_, words)| words).collect(), more)
}

fn rank(fact: &Fact, root: ReleaseId) -> u8 {
    match fact {
        External::FromDependencyOf(volume, ..) if *volume == root.volume => 0,
        External::FromDependencyOf(..) => 1,
        External::Custom(..) | External::NoVersions(..) | External::NotRoot(..) => 2,
    }
}

/// A deep tree would overflow the stack when it is dropped branch by branch.
fn dismantle(tree: Tree) {
    let mut rest = vec![tree];
    while let Some(tree) = rest.pop() {
        if let DerivationTree::Derived(Derived { cause1, cause2, .. }) = tree {
            rest.extend([cause1, cause2].into_iter().filter_map(Arc::into_inner));
        }
    }
}

fn words(catalogue: &Catalogue, root: ReleaseId, fact: &Fact) -> String {
    let text = match fact {
        External::NotRoot(..) => String::new(),
        External::NoVersions(volume, set) => nothing(catalogue, root, *volume, set),
        External::Custom(volume, set, reason) => {
            format!("{} cannot be used: {reason}", subject(catalogue, root, *volume, set))
        }
        External::FromDependencyOf(volume, set, on, _) => {
            let range = highest(catalogue, root, *volume, set).and_then(|release| {
                let edges = &catalogue.release(release).edges;
                edges.iter().find(|edge| edge.volume == *on).map(|edge| catalogue.range(edge.range).as_str())
            });
            let (subject, on) = (subject(catalogue, root, *volume, set), catalogue.name(*on));
            format!("{subject} depends on {on} {}", range.unwrap_or_default())
        }
    };
    shortened(text)
}

fn nothing(catalogue: &Catalogue, root: ReleaseId, volume: VolumeId, set: &VersionSet) -> String {
    let name = catalogue.name(volume);
    if volume == root.volume {
        return format!("{name} is at {} already", catalogue.version(root));
    }
    let text = match catalogue.missing(volume) {
        Some(why) => why.to_owned(),
        None => format!("no available release of {name} is in {set}"),
    };
    catalogue.noted(volume, text)
}

fn highest(catalogue: &Catalogue, root: ReleaseId, volume: VolumeId, set: &VersionSet) -> Option<ReleaseId> {
    if volume == root.volume { Some(root) } else { catalogue.highest_in(volume, set) }
}

/// The releases of a volume in a set: one, or the lowest and the highest.
fn subject(catalogue: &Catalogue, root: ReleaseId, volume: VolumeId, set: &VersionSet) -> String {
    let name = catalogue.name(volume);
    if volume == root.volume {
        return format!("{name} {}", catalogue.version(root));
    }
    let mut inside = catalogue.candidates(volume).map(|release| catalogue.version(release));
    let inside = inside.by_ref().filter(|version| set.contains(*version));
    let versions: Vec<_> = inside.collect();
    match versions.as_slice() {
        [] => format!("{name} {set}"),
        [only] => format!("{name} {only}"),
        [lowest, .., highest] => format!("{name} {lowest} to {highest}"),
    }
}

/// At most [`MOST_BYTES`], cut between characters.
fn shortened(mut text: String) -> String {
    if text.len() > MOST_BYTES {
        let end = (0..=MOST_BYTES).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}
