//! Which releases a mirror takes: roots, dependency ranges, closures, and solutions.
//!
//! Owns the answer to "what does this mirror select, and why": a pure machine ([`Selector`]) that says which indexes it has
//! to see, is given them, and at the end says what is selected and what is missing. Dependencies of files point down:
//!
//! ```text
//! verify → selector ─┬─ rooting ──┐
//!                    ├─ closure ──┼─ taken ── catalogue ── range
//!                    └─ solutions ┴─ scout, solver ─ derivation
//! ```
//!
//! ```
//! use archive::LifecycleState;
//! use selection::{CatalogueRow, NextStep, SelectionRules, Selector};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // What the registry has; a caller would fetch indexes instead.
//! let row = |version: &str, dependencies: &[(&str, &str)]| CatalogueRow {
//!     version: version.parse().unwrap(),
//!     state: LifecycleState::Available,
//!     integrity: None,
//!     dependencies: dependencies.iter().map(|(name, range)| (name.to_string(), range.to_string())).collect(),
//! };
//! let mut selector = Selector::new(vec!["lamp@^1.0".parse()?], SelectionRules::default());
//! let selection = loop {
//!     match selector.advance()? {
//!         NextStep::Ask(questions) => {
//!             for name in questions.volumes {
//!                 let rows = match name.as_str() {
//!                     "lamp" => Ok(vec![row("1.2.0", &[("wire", "^2.0.0")]), row("2.0.0", &[])]),
//!                     "wire" => Ok(vec![row("2.1.0", &[])]),
//!                     _ => Err("the registry does not have it".to_owned()),
//!                 };
//!                 selector.answer_volume(&name, rows)?;
//!             }
//!         }
//!         NextStep::Done(selection) => break selection,
//!     }
//! };
//! let names: Vec<String> = selection.releases.iter().map(|release| release.name.to_string()).collect();
//! assert_eq!(names, ["lamp@1.2.0", "wire@2.1.0"]);
//! assert!(selection.missing.is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! Must not know where rows come from, how releases are fetched or kept, sockets, storage, or time.

mod bounds;
mod catalogue;
mod closure;
mod derivation;
mod range;
mod root;
mod root_list;
mod rooting;
mod row;
mod rules;
mod scout;
mod selected;
mod selector;
mod solutions;
mod solver;
mod taken;
mod verify;

pub use bounds::{BoundExceeded, SelectionBounds};
pub use range::{InvalidVersionRange, VersionRange};
pub use root::{InvalidRoot, Root, RootKind};
pub use root_list::{InvalidRootList, parse_root_list};
pub use row::CatalogueRow;
pub use rules::{Closure, RootVersions, SelectionRules};
pub use selected::{Because, Missing, MissingSubject, PatternYield, ReleaseName, SelectedRelease, Selection};
pub use selector::{NextStep, Questions, Selector};
pub use verify::{Verified, verify};
