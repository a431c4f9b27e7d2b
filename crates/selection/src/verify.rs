//! Proving from what is held that every root resolves.
//!
//! Owns the catalogue of a resolver that has only the mirror: held releases, and nothing else. Must not know how they are
//! held, nor whether their files are whole.

use archive::VolumeName;

use super::bounds::BoundExceeded;
use super::root::Root;
use super::row::CatalogueRow;
use super::rules::SelectionRules;
use super::selected::Missing;
use super::selector::{NextStep, Selector};

/// What is proved of held releases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Roots that were looked at.
    pub roots: usize,
    /// Held releases that were given.
    pub releases: usize,
    /// Roots that select nothing of what is held, or have no solution within it.
    pub problems: Vec<Missing>,
}

impl Verified {
    /// Whether every root resolves.
    #[must_use]
    pub fn is_proof(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Proves that every root release has a complete solution within what is held. A pattern stands for the held volumes that
/// it matches. `withheld` says why releases that are held may not be used: they are not among the rows. With the closure `none` roots only have to be held, since such a mirror has no dependencies.
///
/// ```
/// use archive::LifecycleState;
/// use selection::{CatalogueRow, SelectionRules, verify};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let lamp = CatalogueRow {
///     version: "1.0.0".parse()?,
///     state: LifecycleState::Available,
///     integrity: None,
///     dependencies: vec![("wire".to_owned(), "^2.0.0".to_owned())],
/// };
/// let verified = verify(vec!["lamp".parse()?], SelectionRules::default(), [("lamp".parse()?, vec![lamp])], |_| None)?;
/// assert!(verified.problems[0].reason.contains("lamp 1.0.0 depends on wire ^2.0.0"));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`BoundExceeded`] names the bound that the proof would exceed.
pub fn verify(
    roots: Vec<Root>,
    rules: SelectionRules,
    held: impl IntoIterator<Item = (VolumeName, Vec<CatalogueRow>)>,
    withheld: impl Fn(&VolumeName) -> Option<String>,
) -> Result<Verified, BoundExceeded> {
    let mut selector = Selector::proving(roots, rules);
    let mut releases = 0;
    let mut names = Vec::new();
    for (name, rows) in held {
        releases += rows.len();
        if !rows.is_empty() {
            if let Some(why) = withheld(&name) {
                selector.note(&name, why);
            }
            selector.answer_volume(&name, Ok(rows))?;
            names.push(name);
        }
    }
    loop {
        match selector.advance()? {
            NextStep::Ask(questions) => {
                for pattern in &questions.patterns {
                    selector.answer_pattern(pattern, Ok(names.clone()))?;
                }
                for name in &questions.volumes {
                    let why = withheld(name).unwrap_or_else(|| format!("no release of `{name}` is held"));
                    selector.answer_nothing(name, why)?;
                }
            }
            NextStep::Done(selection) => {
                return Ok(Verified { roots: selector.root_count(), releases, problems: selection.missing });
            }
        }
    }
}
