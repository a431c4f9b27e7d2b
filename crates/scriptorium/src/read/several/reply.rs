//! The reply of one of several registries to a question.

use crate::read::answer::CachedAnswer;
use crate::read::content::{DocumentContent, refusal};
use crate::read::failure::ReadFailure;

/// The reply of one registry.
pub(super) enum RegistryReply {
    /// A document.
    Found(CachedAnswer),
    /// A refusal: the registry has no document for this question.
    Refused(u16, Result<CachedAnswer, ReadFailure>),
    /// The registry could not be asked.
    Unasked(ReadFailure),
}

impl From<Result<CachedAnswer, ReadFailure>> for RegistryReply {
    fn from(answer: Result<CachedAnswer, ReadFailure>) -> Self {
        match answer {
            Ok(answer) => match &*answer.document.content {
                DocumentContent::Found(_) => Self::Found(answer),
                DocumentContent::Refused { problem, .. } => Self::Refused(problem.status, Ok(answer)),
            },
            Err(ReadFailure::Refused(problem)) => {
                Self::Refused(problem.status, Err(ReadFailure::Refused(problem)))
            }
            Err(failure) => Self::Unasked(failure),
        }
    }
}

impl RegistryReply {
    /// The reply of a registry that has nothing to add.
    pub(super) fn absent() -> Self {
        Self::Refused(404, Err(ReadFailure::Refused(Box::new(refusal(404)))))
    }

    /// The same, with our words for a 404.
    pub(super) fn in_our_words(self) -> Self {
        if matches!(self, Self::Refused(404, _)) { Self::absent() } else { self }
    }

    /// The answer if no registry has a document: a registry that cannot be asked counts first, then a refusal, then a 404.
    pub(super) fn none(all: Vec<Self>) -> Result<CachedAnswer, ReadFailure> {
        let weight = |reply: &Self| match reply {
            Self::Unasked(_) => 0,
            Self::Refused(404, _) => 2,
            Self::Refused(..) | Self::Found(_) => 1,
        };
        match all.into_iter().min_by_key(weight) {
            Some(Self::Found(answer)) => Ok(answer),
            Some(Self::Refused(_, answer)) => answer,
            Some(Self::Unasked(failure)) => Err(failure),
            None => Err(ReadFailure::Malformed),
        }
    }
}
