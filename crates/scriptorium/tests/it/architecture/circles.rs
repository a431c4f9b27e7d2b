//! Circles of files: files that use each other, directly or through others.
//!
//! Owns the resolution of a path to the file that declares what the path names, through modules and the `use` lines
//! that re-export it. A file may use what the modules around it declare: such a use closes no circle. Calls of methods
//! name no path and are not seen. Must not know which circles are allowed.

use std::collections::{BTreeMap, BTreeSet};

use super::source::Source;

/// The files of each circle, sorted.
pub(super) fn find(tree: &[Source]) -> BTreeSet<Vec<&str>> {
    let uses = Tree::of(tree).uses();
    let reached: Vec<BTreeSet<usize>> = (0..tree.len()).map(|file| reach(file, &uses)).collect();
    let circle = |file: usize| {
        let members = reached[file].iter().filter(|other| reached[**other].contains(&file));
        members.map(|member| tree[*member].path.as_str()).collect::<Vec<_>>()
    };
    (0..tree.len()).map(circle).filter(|files| files.len() > 1).collect()
}

/// All files that `file` uses, directly or through others.
fn reach(file: usize, uses: &[BTreeSet<usize>]) -> BTreeSet<usize> {
    let (mut found, mut open) = (BTreeSet::new(), vec![file]);
    while let Some(next) = open.pop() {
        open.extend(uses[next].iter().filter(|used| found.insert(**used)));
    }
    found
}

struct Tree<'a> {
    sources: &'a [Source],
    modules: BTreeMap<&'a [String], usize>,
}

impl<'a> Tree<'a> {
    fn of(sources: &'a [Source]) -> Self {
        // Of the two roots, a program's main file declares nothing that others use.
        let files = sources.iter().enumerate().filter(|(_, source)| source.path != "main.rs");
        let modules = files.map(|(at, source)| (source.module.as_slice(), at)).collect();
        Self { sources, modules }
    }

    /// For each file, the files that it uses directly.
    fn uses(&self) -> Vec<BTreeSet<usize>> {
        let used_by = |(at, source): (usize, &Source)| {
            let paths: BTreeSet<&[String]> = source.named.iter().map(|named| &named.segments[..]).collect();
            let files = paths.iter().filter_map(|path| self.declaring_file(path, source));
            files.filter(|file| *file != at && !self.is_around(*file, source)).collect()
        };
        self.sources.iter().enumerate().map(used_by).collect()
    }

    /// Whether the module of `file` contains that of `source`.
    fn is_around(&self, file: usize, source: &Source) -> bool {
        source.module.starts_with(&self.sources[file].module)
    }

    /// The file that declares what `path` names in `source`; `None` for a path into another crate.
    fn declaring_file(&self, path: &[String], source: &Source) -> Option<usize> {
        let mut path = self.absolute(path, source)?;
        // A chain of re-exports that is longer than the tree comes back to itself.
        for _ in self.sources {
            let depth = (1..=path.len()).rev().find(|depth| self.modules.contains_key(&path[..*depth]))?;
            let file = self.modules[&path[..depth]];
            // What is used of a module that is named alone is named where it is used.
            let import = self.sources[file].imported(path.get(depth)?);
            let Some(target) = import.and_then(|import| self.absolute(import, &self.sources[file])) else {
                return Some(file);
            };
            path = [&target[..], &path[depth + 1..]].concat();
        }
        None
    }

    /// The path from the crate's root. One that does not start there may start at a submodule of the file, or at a name
    /// that the file imports.
    fn absolute(&self, path: &[String], source: &Source) -> Option<Vec<String>> {
        let path = path.strip_suffix(&["self".to_owned()]).unwrap_or(path);
        let first = path.first()?;
        if first == "crate" {
            return Some(path.to_vec());
        }
        let below = [&source.module[..], path].concat();
        if self.modules.contains_key(&below[..=source.module.len()]) {
            return Some(below);
        }
        let import = source.imported(first).filter(|import| import[0] == "crate")?;
        Some([import, &path[1..]].concat())
    }
}
