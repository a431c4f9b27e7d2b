//! The one table from failures to problem documents.
//!
//! A failure of the specification's set keeps its type; anything else is `about:blank` with the status of
//! what happened: 502 a broken answer, 503 told to wait, 504 no answer in time, 507 no room. "Not found" is
//! said only when the registry, the routing table or the grammar said so. Error texts from inside never
//! reach a client. Owns this table and the problem response.

use std::time::Duration;

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::{Asked, Body, MOST_HEADERS, Response, cache_status, number};
use crate::archive::ArchiveError;
use crate::base::BaseError;
use crate::cache::{Failure, Full, Outcome};
use crate::consistency::Divergence;
use crate::domain::problem::{Kind, Problem};
use crate::limit::places::Crowded;
use crate::limit::{Quota, Refused};
use crate::route::RouteError;
use crate::store::StoreError;
use crate::upstream::CouldNotAsk;

mod nullspace;
mod relayed;

pub(super) use nullspace::DETAIL;

/// When a place may be free again that is taken now.
const SOON: Duration = Duration::from_secs(1);

/// When a turn may be free again for which somebody waited in vain.
const LATER: Duration = Duration::from_secs(10);

/// A problem and the headers that go with it.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The document.
    pub problem: Problem,
    retry_after: Option<Duration>,
    allow: Option<&'static str>,
    /// Whether a credential is asked for.
    challenge: bool,
    outcome: Option<Outcome>,
    /// What Nullspace calls it, where its status does not say enough.
    code: Option<&'static str>,
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self { problem, retry_after: None, allow: None, challenge: false, outcome: None, code: None }
    }
}

impl Refusal {
    /// A route that takes POST and nothing else.
    #[must_use]
    pub fn post_only() -> Self {
        let detail = "this route takes POST".to_owned();
        Self { allow: Some("POST"), ..blank(StatusCode::METHOD_NOT_ALLOWED, detail) }
    }
}

impl From<&RouteError> for Refusal {
    fn from(error: &RouteError) -> Self {
        let detail = error.to_string();
        match error {
            RouteError::NotFound => Problem::new(Kind::NotFound, detail).into(),
            RouteError::Search(_) | RouteError::Advisories(_) => {
                Problem::new(Kind::ValidationFailed, detail).into()
            }
            RouteError::MethodNotAllowed { allow } => {
                Self { allow: Some(allow), ..blank(StatusCode::METHOD_NOT_ALLOWED, detail) }
            }
        }
    }
}

impl From<&Refused> for Refusal {
    fn from(refused: &Refused) -> Self {
        let Quota { limit, window, .. } = refused.quota;
        let detail = format!(
            "this proxy takes {limit} requests in {window} seconds from you; wait as Retry-After says, or ask its \
             operator for a token of a higher class"
        );
        Self { retry_after: Some(refused.retry_after), ..Problem::new(Kind::RateLimited, detail).into() }
    }
}

impl From<Crowded> for Refusal {
    fn from(crowded: Crowded) -> Self {
        let refusal = match crowded {
            Crowded::Client => {
                let detail = "you have too many requests under way at once; wait for some of them to end";
                Problem::new(Kind::RateLimited, detail).into()
            }
            Crowded::Downloads => {
                let detail = "you are being sent as many archives at once as one client may be; wait for some of them to \
                              end";
                Problem::new(Kind::RateLimited, detail).into()
            }
            Crowded::Proxy => {
                let detail = "this proxy has as many requests under way as it takes; try again shortly";
                blank(StatusCode::SERVICE_UNAVAILABLE, detail.to_owned())
            }
        };
        Self { retry_after: Some(SOON), ..refusal }
    }
}

impl From<Full> for Refusal {
    fn from(full: Full) -> Self {
        let refusal = match full {
            Full::Client => Problem::new(Kind::RateLimited, full.to_string()).into(),
            Full::Proxy => blank(StatusCode::SERVICE_UNAVAILABLE, full.to_string()),
        };
        Self { retry_after: Some(SOON), ..refusal }
    }
}

impl From<BaseError> for Refusal {
    fn from(error: BaseError) -> Self {
        let detail = error.to_string();
        match error {
            BaseError::NoHost => blank(StatusCode::BAD_REQUEST, detail),
            BaseError::Misdirected => misdirected(&detail),
        }
    }
}

impl From<&Failure> for Refusal {
    fn from(failure: &Failure) -> Self {
        let detail = failure.to_string();
        let refusal = match failure {
            Failure::NoUpstream(_) | Failure::DeliveredByGit | Failure::NotAttached(_) => {
                Problem::new(Kind::NotFound, detail).into()
            }
            Failure::Offline | Failure::HeldOnly => blank(StatusCode::GATEWAY_TIMEOUT, detail),
            Failure::CouldNotAsk(reason) => could_not_ask(reason, detail),
            Failure::NoTurn { .. } => {
                Self { retry_after: Some(LATER), ..blank(StatusCode::SERVICE_UNAVAILABLE, detail) }
            }
            Failure::Malformed => blank(StatusCode::BAD_GATEWAY, detail),
            Failure::Inconsistent(_) | Failure::TooLarge { .. } => {
                Problem::new(Kind::InconsistentRegistryState, detail).into()
            }
            Failure::Divergent(divergence) => divergent(divergence, detail).into(),
            Failure::Refused(problem) | Failure::Gated { problem, .. } => (**problem).clone().into(),
            Failure::Withdrawn(status) => {
                let reason = status.reason.as_deref().map(|reason| format!("; the registry says: {reason}"));
                Problem::new(status.state.refusal(), detail + &reason.unwrap_or_default()).into()
            }
            Failure::Archive(error) => archive(error, detail),
            Failure::RefusedArchive(refusal) => Problem::new(refusal.verdict.problem(), detail).into(),
            Failure::Storage(error) | Failure::Replaced(error) => storage(error, detail),
            Failure::PinLost(_) => blank(StatusCode::BAD_GATEWAY, detail),
            Failure::Crowded => {
                Self { retry_after: Some(SOON), ..blank(StatusCode::SERVICE_UNAVAILABLE, detail) }
            }
            Failure::Lost | Failure::PinUnknown(_) => blank(StatusCode::SERVICE_UNAVAILABLE, detail),
        };
        let outcome = match failure {
            Failure::NoUpstream(_)
            | Failure::DeliveredByGit
            | Failure::NotAttached(_)
            | Failure::HeldOnly
            | Failure::RefusedArchive(_)
            | Failure::Withdrawn(_) => None,
            Failure::Divergent(_) => Some(Outcome::Divergent),
            _ => Some(Outcome::Failed { stale: false }),
        };
        Self { outcome, ..refusal }
    }
}

fn could_not_ask(reason: &CouldNotAsk, detail: String) -> Refusal {
    let status = match reason {
        CouldNotAsk::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        CouldNotAsk::Unsent => StatusCode::BAD_REQUEST,
        CouldNotAsk::Throttled { .. }
        | CouldNotAsk::Paused { .. }
        | CouldNotAsk::OverBudget { .. }
        | CouldNotAsk::Busy => StatusCode::SERVICE_UNAVAILABLE,
        CouldNotAsk::Unreachable(_)
        | CouldNotAsk::BrokenBody
        | CouldNotAsk::ServerError(_)
        | CouldNotAsk::CredentialRefused
        | CouldNotAsk::Forbidden { .. }
        | CouldNotAsk::BadLocator
        | CouldNotAsk::TooLarge { .. }
        | CouldNotAsk::Unexpected(_)
        | CouldNotAsk::UnreadCoding(_)
        | CouldNotAsk::Undecodable(_)
        | CouldNotAsk::TooManyRedirects => StatusCode::BAD_GATEWAY,
    };
    Refusal { retry_after: reason.retry_after(), ..blank(status, detail) }
}

fn archive(error: &ArchiveError, detail: String) -> Refusal {
    match error {
        ArchiveError::Source(_) | ArchiveError::Gzip(_) => blank(StatusCode::BAD_GATEWAY, detail),
        ArchiveError::Scratch(_) => blank(StatusCode::INSUFFICIENT_STORAGE, detail),
        ArchiveError::Identity { .. } => Problem::new(Kind::IdentityMismatch, detail).into(),
        ArchiveError::Escalation { .. } => Problem::new(Kind::AuthorizationFailed, detail).into(),
        ArchiveError::Profile(_)
        | ArchiveError::Framing(_)
        | ArchiveError::TooLarge(_)
        | ArchiveError::Digest { .. }
        | ArchiveError::Manifest(_) => Problem::new(Kind::InconsistentRegistryState, detail).into(),
    }
}

/// Both values, when each was fetched and from which upstream, for people and for programs.
fn divergent(divergence: &Divergence, detail: String) -> Problem {
    let mut problem = Problem::new(Kind::InconsistentRegistryState, detail);
    problem.extra.insert("divergence".to_owned(), serde_json::json!(divergence));
    problem
}

fn storage(error: &StoreError, detail: String) -> Refusal {
    match error {
        StoreError::Full | StoreError::TooLarge => blank(StatusCode::INSUFFICIENT_STORAGE, detail),
        StoreError::Corrupt(_) => blank(StatusCode::BAD_GATEWAY, detail),
        StoreError::Denied | StoreError::Missing { .. } | StoreError::Io { .. } => {
            blank(StatusCode::SERVICE_UNAVAILABLE, detail)
        }
    }
}

/// A problem outside the specification's set.
fn blank(status: StatusCode, detail: String) -> Refusal {
    Problem::blank(status.as_u16(), status.canonical_reason().unwrap_or("Error"), detail).into()
}

/// A request for a host that is not answered for, with which to ask instead.
#[must_use]
pub fn misdirected(detail: &str) -> Refusal {
    blank(StatusCode::MISDIRECTED_REQUEST, detail.to_owned())
}

/// What the storage failed at, for an operator.
#[must_use]
pub fn storage_failed(error: &StoreError) -> Refusal {
    storage(error, error.to_string())
}

/// A range that begins past the end of a file of `length` bytes.
pub(super) fn unsatisfiable(length: u64) -> Refusal {
    let detail = format!("the file has {length} bytes; ask for a range that begins before its end");
    blank(StatusCode::RANGE_NOT_SATISFIABLE, detail)
}

/// Answers with a problem document.
#[must_use]
pub fn problem(refusal: &Refusal, asked: Asked<'_>) -> Response {
    let mut response = bare(&refusal.problem, asked);
    refusal.adorn(response.headers_mut());
    response
}

impl Refusal {
    /// What Nullspace calls it, where its status does not say enough.
    pub(super) fn code(&self) -> Option<&'static str> {
        self.code
    }

    /// Adds the headers that go with it.
    pub(super) fn adorn(&self, headers: &mut HeaderMap) {
        if let Some(wait) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_millis().div_ceil(1000).max(1) as u64));
        }
        if let Some(methods) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(methods));
        }
        if self.challenge {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(outcome) = self.outcome {
            cache_status(headers, outcome);
        }
    }
}

/// Answers with a problem document that no other headers go with.
pub(super) fn bare(problem: &Problem, asked: Asked<'_>) -> Response {
    let body = problem.to_json(asked.path);
    let mut response = head(problem.status, "application/problem+json", body.len());
    if !asked.head {
        *response.body_mut() = Body::whole(body);
    }
    response
}

/// An error of a media type, without its body of `length` bytes.
pub(super) fn head(status: u16, media_type: &'static str, length: usize) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    let headers = response.headers_mut();
    headers.reserve(MOST_HEADERS);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CONTENT_LENGTH, number(length as u64));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests;
