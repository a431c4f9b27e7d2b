//! The one table from failures to problem documents.
//!
//! A failure of the specification's set has its type. Any other is `about:blank` with a status: 502 for an invalid
//! answer, 503 for try again later, 504 for no answer in time, 507 for no storage left. Only the registry, the routing
//! table or the grammar of names make a 404. Internal error texts never reach a client. Owns this table and the problem
//! response.

use std::time::Duration;

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::{Body, MOST_HEADERS, Response, ResponseContext, cache_status, number};
use crate::access::AccessRefusal;
use crate::base::BaseError;
use crate::consistency::Divergence;
use crate::domain::lifecycle::problem_of;
use crate::domain::problem::{Problem, ProblemKind};
use crate::limit::InFlightExceeded;
use crate::limit::{RateExceeded, RateQuota};
use crate::policies::PolicyRefusal;
use crate::read::{LongReadRefusal, Outcome, ReadFailure};
use crate::route::RouteError;
use crate::store::StoreError;
use crate::upstream::{Again, CouldNotAsk, FailureSide, RequestReach};
use archive::ArchiveError;

mod nullspace;
mod relayed;

pub(super) use nullspace::DETAIL;

/// When a slot that is taken may be free again.
const SOON: Duration = Duration::from_secs(1);

/// The same of a download slot that was waited for in vain.
const LATER: Duration = Duration::from_secs(10);

/// A problem and the headers that go with it.
#[derive(Debug, Clone)]
pub(crate) struct ErrorResponse {
    /// The document.
    pub(crate) problem: Problem,
    retry_after: Option<Duration>,
    allow: Option<&'static str>,
    /// Whether the client is asked for a credential.
    challenge: bool,
    outcome: Option<Outcome>,
    /// Nullspace's code, where the status does not determine it.
    code: Option<&'static str>,
}

impl From<Problem> for ErrorResponse {
    fn from(problem: Problem) -> Self {
        Self { problem, retry_after: None, allow: None, challenge: false, outcome: None, code: None }
    }
}

impl ErrorResponse {
    /// For a route that takes only POST.
    pub(crate) fn post_only() -> Self {
        let detail = "this route takes POST".to_owned();
        Self { allow: Some("POST"), ..blank(StatusCode::METHOD_NOT_ALLOWED, detail) }
    }

    fn after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }
}

impl From<&RouteError> for ErrorResponse {
    fn from(error: &RouteError) -> Self {
        let detail = error.to_string();
        match error {
            RouteError::NotFound => known(ProblemKind::NotFound, detail),
            RouteError::Search(_) | RouteError::Advisories(_) => known(ProblemKind::ValidationFailed, detail),
            RouteError::MethodNotAllowed { allow } => {
                Self { allow: Some(allow), ..blank(StatusCode::METHOD_NOT_ALLOWED, detail) }
            }
        }
    }
}

impl From<AccessRefusal> for ErrorResponse {
    fn from(refusal: AccessRefusal) -> Self {
        let detail = refusal.to_string();
        match refusal {
            AccessRefusal::NoToken => {
                Self { challenge: true, ..known(ProblemKind::AuthenticationRequired, detail) }
            }
            AccessRefusal::NotAllowed => known(ProblemKind::AuthorizationFailed, detail),
        }
    }
}

impl From<&RateExceeded> for ErrorResponse {
    fn from(refused: &RateExceeded) -> Self {
        let RateQuota { limit, window, .. } = refused.quota;
        let detail = format!(
            "this proxy takes {limit} requests in {window} seconds from you; wait as Retry-After says, or ask its \
             operator for a token of a higher class"
        );
        known(ProblemKind::RateLimited, detail).after(refused.retry_after)
    }
}

impl From<InFlightExceeded> for ErrorResponse {
    fn from(exceeded: InFlightExceeded) -> Self {
        let detail = exceeded.to_string();
        let response = match exceeded {
            InFlightExceeded::Client | InFlightExceeded::Downloads => known(ProblemKind::RateLimited, detail),
            InFlightExceeded::Proxy => blank(StatusCode::SERVICE_UNAVAILABLE, detail),
        };
        response.after(SOON)
    }
}

impl From<LongReadRefusal> for ErrorResponse {
    fn from(full: LongReadRefusal) -> Self {
        let response = match full {
            LongReadRefusal::Client => known(ProblemKind::RateLimited, full.to_string()),
            LongReadRefusal::Proxy => blank(StatusCode::SERVICE_UNAVAILABLE, full.to_string()),
        };
        response.after(SOON)
    }
}

impl From<BaseError> for ErrorResponse {
    fn from(error: BaseError) -> Self {
        let detail = error.to_string();
        match error {
            BaseError::NoHost => blank(StatusCode::BAD_REQUEST, detail),
            BaseError::Misdirected => misdirected(&detail),
        }
    }
}

impl From<&ReadFailure> for ErrorResponse {
    fn from(failure: &ReadFailure) -> Self {
        let detail = failure.to_string();
        let refusal = match failure {
            ReadFailure::NoUpstream(_) | ReadFailure::NotAttached(_) => known(ProblemKind::NotFound, detail),
            ReadFailure::Offline | ReadFailure::HeldOnly => blank(StatusCode::GATEWAY_TIMEOUT, detail),
            ReadFailure::CouldNotAsk(reason) | ReadFailure::GitHost(reason) => could_not_ask(reason, detail),
            ReadFailure::NoSlot { .. } => blank(StatusCode::SERVICE_UNAVAILABLE, detail).after(LATER),
            ReadFailure::Malformed | ReadFailure::Repository { .. } => blank(StatusCode::BAD_GATEWAY, detail),
            ReadFailure::Inconsistent(_) | ReadFailure::TooLarge { .. } => {
                known(ProblemKind::InconsistentRegistryState, detail)
            }
            ReadFailure::Divergent(divergence) => divergent(divergence, detail).into(),
            ReadFailure::Refused(problem) | ReadFailure::Gated { problem, .. } => (**problem).clone().into(),
            ReadFailure::Withdrawn(status) => {
                let reason = status.reason.as_deref().map(|reason| format!("; the registry says: {reason}"));
                Problem::new(problem_of(status.state), detail + &reason.unwrap_or_default()).into()
            }
            ReadFailure::Archive(error) => archive(error, detail),
            ReadFailure::RefusedArchive(refusal) => match refusal.divergence() {
                Some(found) => divergent(&found, detail).into(),
                None => Problem::new(refusal.verdict.problem(), detail).into(),
            },
            ReadFailure::Policy(refusal) => policy(refusal, detail).into(),
            ReadFailure::Storage(error) | ReadFailure::Replaced(error) => storage(error, detail),
            ReadFailure::PinLost(_) => blank(StatusCode::BAD_GATEWAY, detail),
            ReadFailure::Crowded => blank(StatusCode::SERVICE_UNAVAILABLE, detail).after(SOON),
            ReadFailure::Lost | ReadFailure::PinUnknown(_) => blank(StatusCode::SERVICE_UNAVAILABLE, detail),
        };
        let outcome = match failure {
            ReadFailure::NoUpstream(_)
            | ReadFailure::NotAttached(_)
            | ReadFailure::HeldOnly
            | ReadFailure::RefusedArchive(_)
            | ReadFailure::Policy(_)
            | ReadFailure::Withdrawn(_) => None,
            ReadFailure::Divergent(_) => Some(Outcome::Divergent),
            _ => Some(Outcome::Failed { stale: false }),
        };
        Self { outcome, ..refusal }
    }
}

fn could_not_ask(reason: &CouldNotAsk, detail: String) -> ErrorResponse {
    let facets = reason.facets();
    let status = status_of(facets.fault, facets.reach, facets.again);
    ErrorResponse { retry_after: reason.retry_after(), ..blank(status, detail) }
}

/// The status of a failure outside the specification's set.
fn status_of(side: FailureSide, reach: RequestReach, again: Again) -> StatusCode {
    match (side, reach, again) {
        // The client was too slow, and may send the same at once.
        (FailureSide::Client, _, Again::AtOnce) => StatusCode::REQUEST_TIMEOUT,
        (FailureSide::Client, _, _) => StatusCode::BAD_REQUEST,
        (_, RequestReach::TimedOut, _) => StatusCode::GATEWAY_TIMEOUT,
        (_, _, Again::Later(_)) => StatusCode::SERVICE_UNAVAILABLE,
        // This proxy asks no registry, by configuration.
        (FailureSide::Proxy, _, _) => StatusCode::GATEWAY_TIMEOUT,
        (_, _, Again::AtOnce | Again::Unknown) => StatusCode::BAD_GATEWAY,
    }
}

fn archive(error: &ArchiveError, detail: String) -> ErrorResponse {
    match error {
        ArchiveError::Source(_) | ArchiveError::Gzip(_) => blank(StatusCode::BAD_GATEWAY, detail),
        ArchiveError::Scratch(_) => blank(StatusCode::INSUFFICIENT_STORAGE, detail),
        ArchiveError::Identity { .. } => known(ProblemKind::IdentityMismatch, detail),
        ArchiveError::Escalation { .. } => known(ProblemKind::AuthorizationFailed, detail),
        ArchiveError::Profile(_)
        | ArchiveError::Framing(_)
        | ArchiveError::TooLarge(_)
        | ArchiveError::Digest { .. }
        | ArchiveError::Manifest(_) => known(ProblemKind::InconsistentRegistryState, detail),
    }
}

/// The problem has both values, when each was fetched and from which upstream.
fn divergent(divergence: &Divergence, detail: String) -> Problem {
    let mut problem = Problem::new(ProblemKind::InconsistentRegistryState, detail);
    problem.extra.insert("divergence".to_owned(), serde_json::json!(divergence));
    problem
}

/// The rule, and until when it counts, beside the words.
fn policy(refusal: &PolicyRefusal, detail: String) -> Problem {
    let mut problem = Problem::new(ProblemKind::AuthorizationFailed, detail);
    let PolicyRefusal(finding) = refusal;
    problem.extra.insert("policy".to_owned(), serde_json::json!(&*finding.rule));
    problem.extra.insert("until".to_owned(), serde_json::json!(finding.until.map(|until| until.to_string())));
    problem
}

fn storage(error: &StoreError, detail: String) -> ErrorResponse {
    match error {
        StoreError::Full | StoreError::TooLarge => blank(StatusCode::INSUFFICIENT_STORAGE, detail),
        StoreError::Corrupt(_) => blank(StatusCode::BAD_GATEWAY, detail),
        StoreError::Denied | StoreError::Missing { .. } | StoreError::Io { .. } => {
            blank(StatusCode::SERVICE_UNAVAILABLE, detail)
        }
    }
}

/// A problem of the specification's set.
fn known(kind: ProblemKind, detail: impl Into<String>) -> ErrorResponse {
    Problem::new(kind, detail).into()
}

/// A problem outside the specification's set.
fn blank(status: StatusCode, detail: String) -> ErrorResponse {
    Problem::blank(status.as_u16(), status.canonical_reason().unwrap_or("Error"), detail).into()
}

/// For a request to a host that this port does not answer for.
pub(crate) fn misdirected(detail: &str) -> ErrorResponse {
    blank(StatusCode::MISDIRECTED_REQUEST, detail.to_owned())
}

/// For the operator: a failure of the storage.
pub(crate) fn storage_failed(error: &StoreError) -> ErrorResponse {
    storage(error, error.to_string())
}

/// For a range that begins past the end of a file of `length` bytes.
pub(super) fn unsatisfiable(length: u64) -> ErrorResponse {
    let detail = format!("the file has {length} bytes; ask for a range that begins before its end");
    blank(StatusCode::RANGE_NOT_SATISFIABLE, detail)
}

/// Answers with a problem document.
pub(crate) fn problem(refusal: &ErrorResponse, asked: ResponseContext<'_>) -> Response {
    let mut response = bare(&refusal.problem, asked);
    refusal.adorn(response.headers_mut());
    response
}

impl ErrorResponse {
    pub(super) fn code(&self) -> Option<&'static str> {
        self.code
    }

    /// Adds the headers of this error.
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

/// A response of a problem document, without further headers.
pub(super) fn bare(problem: &Problem, asked: ResponseContext<'_>) -> Response {
    let body = problem.to_json(asked.path);
    let mut response = head(problem.status, "application/problem+json", body.len());
    if !asked.head {
        *response.body_mut() = Body::whole(body);
    }
    response
}

/// The head of an error response whose body has `length` bytes.
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
