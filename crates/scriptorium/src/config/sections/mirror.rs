//! The section `[[mirrors]]`.
//!
//! Owns its keys. Must not know where a value came from, nor how a mirror is brought in.

use std::time::Duration;

use selection::{Closure, Root, RootVersions};

use super::super::declare::section;
use super::super::formats::{Choice, choice, flag, interval, mirror_name, root, root_list};
use super::super::value::RootListFile;

section! {
    pub(crate) struct Mirror requires {
        /// Name of the mirror in commands and metrics.
        name: String, mirror_name().example(r#""ci""#);
    } with {
        /// What the mirror takes: patterns of names ("@acme/*", "tools-*"), which search lists, names ("lint"),
        /// names with versions ("review-agent@^2.0") and exact releases ("tools-x@1.2.3"). A yanked version is
        /// taken only if a root names it exactly.
        roots: Vec<Root> = Vec::new(), root().list().example(r#"["@acme/*", "review-agent@^2.0", "lint"]"#);
        /// Files with more roots, one a line; "#" begins a comment.
        lists: Vec<RootListFile> = Vec::new(), root_list().list().example(r#"["roots.txt"]"#);
        /// Which of the available versions that match a root are taken: "highest" or "all".
        versions: RootVersions = RootVersions::Highest, choice();
        /// Which dependencies are taken too: "none"; "highest", for every dependency the highest available version
        /// that matches, until nothing is new; "all", every available match; "resolve", as "highest", and for
        /// every root release one complete solution, so that a resolver that has only the mirror finds one.
        closure: Closure = Closure::Resolve, choice();
        /// Whether prereleases are taken. Without it one is taken only if a root names it exactly.
        prereleases: bool = false, flag();
        /// Whether trust summaries, details and their artifacts are taken too.
        trust: bool = true, flag();
        /// How often a running proxy syncs the mirror, 10 % more or less. Without it the mirror is synced only by
        /// `scriptorium mirror sync` and the admin port.
        schedule: Option<Duration> = None, interval().optional().example(r#""6h""#);
    }
}

impl Mirror {
    /// All roots: those of the section, then those of the lists in their order.
    pub(crate) fn all_roots(&self) -> Vec<Root> {
        let listed = self.lists.iter().flat_map(RootListFile::roots);
        self.roots.iter().chain(listed).cloned().collect()
    }
}

impl Choice for RootVersions {
    const WORDS: &'static [(&'static str, Self)] = &[("highest", Self::Highest), ("all", Self::All)];
}

impl Choice for Closure {
    const WORDS: &'static [(&'static str, Self)] =
        &[("none", Self::None), ("highest", Self::Highest), ("all", Self::All), ("resolve", Self::Resolve)];
}
