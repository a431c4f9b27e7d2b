//! The part of the table that is about writes: what a client reads of one that was not relayed.
//!
//! Owns how the faults of an upload are told, which are its sender's, where those of a read are the registry's.

use std::time::Duration;

use http::StatusCode;

use super::{Refusal, SOON, blank, could_not_ask, storage};
use crate::archive::ArchiveError;
use crate::cache::Outcome;
use crate::domain::problem::{Kind, Problem};
use crate::relay::{BodyError, Refused, VolumesRefused};
use crate::store::StoreError;
use crate::upstream::CouldNotAsk;

/// When an unfinished upload may have expired.
const LATER: Duration = Duration::from_secs(60);

impl From<&Refused> for Refusal {
    fn from(refused: &Refused) -> Self {
        let detail = refused.to_string();
        match refused {
            Refused::NoUpstream(_) => Problem::new(Kind::NotFound, detail).into(),
            Refused::WritesOff(_) => Problem::new(Kind::AuthorizationFailed, detail).into(),
            Refused::Offline => blank(StatusCode::GATEWAY_TIMEOUT, detail),
            Refused::CouldNotAsk(reason) => could_not_write(reason, detail),
            Refused::Body(error) => body(error, detail),
            Refused::Storage(error) => storage(error, detail),
            Refused::Busy => {
                Self { retry_after: Some(SOON), ..blank(StatusCode::SERVICE_UNAVAILABLE, detail) }
            }
            Refused::OwnShare => {
                Self { retry_after: Some(SOON), ..Problem::new(Kind::RateLimited, detail).into() }
            }
            Refused::TooMany => {
                Self { retry_after: Some(LATER), ..blank(StatusCode::SERVICE_UNAVAILABLE, detail) }
            }
            Refused::Lost => blank(StatusCode::SERVICE_UNAVAILABLE, detail),
            Refused::TooLarge { .. } => Problem::new(Kind::PayloadTooLarge, detail).into(),
            Refused::Size { .. } | Refused::Digest { .. } => {
                Problem::new(Kind::DigestMismatch, detail).into()
            }
            Refused::MediaType { .. } => Problem::new(Kind::UnsupportedMediaType, detail).into(),
            Refused::Invalid(_) => Problem::new(Kind::ValidationFailed, detail).into(),
            Refused::TwoKeys => Problem::new(Kind::IdempotencyConflict, detail).into(),
            Refused::Volumes(refused) => volumes(refused, detail),
            Refused::Nullspace(refused) => refused.into(),
        }
    }
}

/// A write that was sent may have been done, whatever became of its answer.
fn could_not_write(reason: &CouldNotAsk, detail: String) -> Refusal {
    let unknown = matches!(
        reason,
        CouldNotAsk::TimedOut
            | CouldNotAsk::BrokenBody
            | CouldNotAsk::TooLarge { .. }
            | CouldNotAsk::Unexpected(_)
    );
    let advice = if unknown {
        "; the registry may have done what was asked all the same: look first, or repeat it with its Idempotency-Key"
    } else {
        ""
    };
    Refusal { outcome: sent(reason), ..could_not_ask(reason, detail + advice) }
}

/// What is said of a write that went out, or may have; nothing of one that did not.
fn sent(reason: &CouldNotAsk) -> Option<Outcome> {
    let status = match reason {
        CouldNotAsk::Paused { .. }
        | CouldNotAsk::OverBudget { .. }
        | CouldNotAsk::Busy
        | CouldNotAsk::Forbidden { .. }
        | CouldNotAsk::BadLocator => return None,
        CouldNotAsk::ServerError(status) | CouldNotAsk::Unexpected(status) => Some(*status),
        CouldNotAsk::CredentialRefused => Some(401),
        CouldNotAsk::Unreachable(_)
        | CouldNotAsk::TimedOut
        | CouldNotAsk::BrokenBody
        | CouldNotAsk::Unsent
        | CouldNotAsk::Throttled { .. }
        | CouldNotAsk::TooLarge { .. }
        | CouldNotAsk::UnreadCoding(_)
        | CouldNotAsk::Undecodable(_)
        | CouldNotAsk::TooManyRedirects => None,
    };
    Some(Outcome::Relayed { status })
}

fn body(error: &BodyError, detail: String) -> Refusal {
    match error {
        BodyError::TooLarge { .. } => Problem::new(Kind::PayloadTooLarge, detail).into(),
        BodyError::Stalled => blank(StatusCode::REQUEST_TIMEOUT, detail),
        BodyError::Broken => blank(StatusCode::BAD_REQUEST, detail),
    }
}

fn volumes(refused: &VolumesRefused, detail: String) -> Refusal {
    let kind = match refused {
        VolumesRefused::UnknownUpload => Kind::NotFound,
        VolumesRefused::Expired => Kind::UploadExpired,
        VolumesRefused::NoCredential => {
            let problem = Problem::new(Kind::AuthenticationRequired, detail);
            return Refusal { challenge: true, ..problem.into() };
        }
        VolumesRefused::NotTheirs => Kind::AuthorizationFailed,
        VolumesRefused::UnderWay => {
            let problem = Problem::new(Kind::InvalidUploadState, detail);
            return Refusal { retry_after: Some(SOON), ..problem.into() };
        }
        VolumesRefused::MediaType { .. } | VolumesRefused::NotGzip => Kind::UnsupportedMediaType,
        VolumesRefused::Subject { .. } => Kind::SubjectBindingMismatch,
        // Nothing of it came from the cache, so nothing is said of the cache.
        VolumesRefused::Release(failure) => return Refusal { outcome: None, ..failure.into() },
        VolumesRefused::Archive(error) => return archive(error, detail),
        // The registry took the intent, and its answer cannot be used.
        VolumesRefused::Instruction(_) => {
            let outcome = Some(Outcome::Relayed { status: None });
            return Refusal { outcome, ..blank(StatusCode::BAD_GATEWAY, detail) };
        }
    };
    Problem::new(kind, detail).into()
}

/// An archive that its publisher sent, and can correct.
fn archive(error: &ArchiveError, detail: String) -> Refusal {
    let kind = match error {
        ArchiveError::Source(_) => return blank(StatusCode::BAD_REQUEST, detail),
        ArchiveError::Scratch(_) => return storage(&StoreError::Full, detail),
        ArchiveError::Gzip(_)
        | ArchiveError::Profile(_)
        | ArchiveError::Framing(_)
        | ArchiveError::TooLarge(_) => Kind::InvalidArchive,
        ArchiveError::Digest { .. } => Kind::DigestMismatch,
        ArchiveError::Manifest(_) => Kind::InvalidManifest,
        ArchiveError::Identity { .. } => Kind::IdentityMismatch,
        ArchiveError::Escalation { .. } => Kind::PermissionEscalation,
    };
    Problem::new(kind, detail).into()
}

#[cfg(test)]
mod tests;
