//! Why a policy is refused.
//!
//! Owns the words, each of which says what to write instead. Must not know how a policy is read.

use crate::place::Place;

/// One error of a policy, with its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {fault}")]
pub struct PolicyError {
    /// Where it is.
    pub place: Place,
    /// What it is.
    pub fault: PolicyFault,
}

/// What is wrong in a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyFault {
    /// The file is no TOML, or a table has another shape.
    #[error("{0}")]
    Shape(String),
    /// A key that must be there is not.
    #[error("missing; expected {expected}")]
    Missing {
        /// What is expected.
        expected: &'static str,
    },
    /// A value is none of those that are expected.
    #[error("expected {expected}, found `{found}`")]
    Value {
        /// What is expected.
        expected: String,
        /// What stands there, shortened.
        found: String,
    },
    /// Two rules have one id.
    #[error("expected an id of its own; the rule at {first} has the same")]
    SharedId {
        /// The rule that was first.
        first: Place,
    },
    /// A rule without a matcher would match everything.
    #[error("expected at least one matcher; write `volumes = [\"*\"]` for a rule on every volume")]
    EmptyMatch,
    /// A list without elements matches nothing or everything.
    #[error("expected at least one element; leave the key out if it does not matter")]
    EmptyList,
    /// The last day of a waiver is over.
    #[error("the waiver ended with {until}; remove it, or write a later day")]
    Expired {
        /// The day.
        until: String,
    },
    /// More than a policy may have.
    #[error("expected at most {most}, found {found}")]
    TooMany {
        /// How many there may be.
        most: usize,
        /// How many there are.
        found: usize,
    },
}

impl PolicyError {
    /// All errors: those of shape, and those that judging the rest found. Where a key was left out for its shape, it is neither
    /// missing, nor is the table empty that it stood in.
    #[must_use]
    pub fn all(mut shapes: Vec<Self>, judged: Vec<Self>) -> Vec<Self> {
        let is_known = |judged: &Self| {
            let is_within = |shape: &Self| {
                let rest = shape.place.key.strip_prefix(&judged.place.key);
                let is_part = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
                shape.place.source == judged.place.source && is_part
            };
            !shapes.iter().any(is_within)
        };
        let judged: Vec<_> = judged.into_iter().filter(is_known).collect();
        shapes.extend(judged);
        shapes
    }
}

impl PolicyFault {
    /// A value that is not what was expected.
    pub(crate) fn value(expected: impl ToString, found: &str) -> Self {
        const SHOWN: usize = 100;
        let mut shown: String =
            found.chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
        if found.chars().nth(SHOWN).is_some() {
            shown.push('…');
        }
        Self::Value { expected: expected.to_string(), found: shown }
    }
}
