//! The table's part for writes that were not relayed.
//!
//! Owns how a refusal's facets become a response. Must not know the reasons (`relay::refusal`).

use super::{ErrorResponse, blank, known, status_of, storage};
use crate::domain::problem::ProblemKind;
use crate::read::Outcome;
use crate::relay::{RefusalFacets, RefusalKind, WriteRefusal};
use crate::upstream::{Again, RequestReach};

impl From<&WriteRefusal> for ErrorResponse {
    fn from(refused: &WriteRefusal) -> Self {
        let detail = refused.to_string();
        let RefusalFacets { kind, reach, again, .. } = refused.facets();
        let response = match kind {
            RefusalKind::Problem(kind) => {
                let challenge = kind == ProblemKind::AuthenticationRequired;
                Self { challenge, ..known(kind, detail) }
            }
            RefusalKind::Failed(side) => blank(status_of(side, reach, again), detail),
            RefusalKind::Storage(error) => storage(error, detail),
            RefusalKind::Read(failure) => failure.into(),
            RefusalKind::Nullspace(refused) => refused.into(),
        };
        // Reading a document does not count: the cache did not answer this request.
        let outcome = match reach {
            RequestReach::NotSent => None,
            RequestReach::Answered(status) => Some(Outcome::Relayed { status }),
            RequestReach::Unconnected
            | RequestReach::Partial
            | RequestReach::TimedOut
            | RequestReach::BrokenOff => Some(Outcome::Relayed { status: None }),
        };
        let retry_after = match again {
            Again::Later(wait) => wait,
            Again::AtOnce | Again::Unknown => response.retry_after,
        };
        Self { outcome, retry_after, ..response }
    }
}

#[cfg(test)]
mod tests;
