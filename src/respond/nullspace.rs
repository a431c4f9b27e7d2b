//! Refusals in the shape of Nullspace's own errors.
//!
//! Owns that shape and the names of what the statuses say. Must not decide statuses: that is [`super::error`].

use serde_json::{Map, Value, json};

use super::error::{DETAIL, Refusal, head};
use super::{Body, Response};

/// Answers a client of Nullspace.
#[must_use]
pub fn nullspace(refusal: &Refusal, request_id: &str) -> Response {
    let problem = &refusal.problem;
    let mut error = Map::new();
    let message = problem.detail.as_deref().unwrap_or(&problem.title);
    error.insert("message".to_owned(), message.into());
    error.insert("code".to_owned(), code(refusal).into());
    if let Some(detail) = problem.extra.get(DETAIL) {
        error.insert(DETAIL.to_owned(), detail.clone());
    }
    error.insert("request_id".to_owned(), request_id.into());
    error.insert("retryable".to_owned(), matches!(problem.status, 429 | 502..=504).into());
    // `error` alone: a second code beside it would keep clients from trying again after a 429.
    let body = json!({ "error": Value::Object(error) }).to_string();
    let mut response = head(problem.status, "application/json", body.len());
    refusal.adorn(response.headers_mut());
    *response.body_mut() = Body::whole(body);
    response
}

/// The name that clients tell failures apart by.
fn code(refusal: &Refusal) -> &'static str {
    refusal.code().unwrap_or(match refusal.problem.status {
        401 => "unauthorized",
        403 => "forbidden",
        404 => "not_found",
        405 => "method_not_allowed",
        408 => "request_timeout",
        409 => "conflict",
        410 => "gone",
        413 => "payload_too_large",
        415 => "unsupported_media_type",
        429 => "rate_limit_exceeded",
        502 | 504 => "upstream_unavailable",
        503 => "temporarily_unavailable",
        507 => "insufficient_storage",
        400..=499 => "invalid_request",
        _ => "internal_error",
    })
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;
    use std::time::Duration;

    use super::*;
    use crate::domain::problem::{Kind, Problem};
    use crate::limit::places::Crowded;
    use crate::relay::{BodyError, NullspaceRefused, Refused, UploadFault};
    use crate::route::RouteError;
    use crate::store::StoreError;
    use crate::upstream::CouldNotAsk;

    fn page(refusal: &Refusal) -> String {
        let response = nullspace(refusal, "id-1");
        let mut page = format!("{}\n", response.status());
        for (name, value) in response.headers().iter().filter(|(name, _)| *name != "content-length") {
            let _ = writeln!(page, "{name}: {}", value.to_str().unwrap());
        }
        let body = response.body().bytes().expect("an error has a body");
        assert_eq!(response.headers()["content-length"], body.len().to_string());
        page + std::str::from_utf8(body).unwrap() + "\n"
    }

    fn of_upload(fault: UploadFault, part: Option<u32>) -> Refused {
        NullspaceRefused::Upload { fault, upload: "u1".to_owned(), part }.into()
    }

    #[test]
    fn errors() {
        let hex = || "0".repeat(64);
        let wait = Duration::from_millis(2_100);
        let text = || "`a` is missing".to_owned();
        let refused: [Refused; 29] = [
            NullspaceRefused::Path.into(),
            NullspaceRefused::Header("Idempotency-Key").into(),
            NullspaceRefused::Coded.into(),
            NullspaceRefused::Unverifiable.into(),
            NullspaceRefused::Manifest(text()).into(),
            NullspaceRefused::Bundle(text()).into(),
            NullspaceRefused::Tar(text()).into(),
            NullspaceRefused::Busy.into(),
            of_upload(UploadFault::PartChecksum(hex()), Some(0)),
            of_upload(UploadFault::PartSize { expected: 4, found: "more".to_owned() }, Some(1)),
            of_upload(UploadFault::PartNumber { count: 4 }, Some(4)),
            of_upload(UploadFault::TooLarge { limit: 9 }, Some(1)),
            of_upload(UploadFault::NoRoom, Some(1)),
            of_upload(UploadFault::WholeChecksum { expected: hex(), found: hex() }, None),
            BodyError::TooLarge { limit: 9 }.into(),
            BodyError::Stalled.into(),
            BodyError::Broken.into(),
            Refused::MediaType { expected: "application/x-tar" },
            Refused::Offline,
            Refused::Busy,
            Refused::OwnShare,
            Refused::TooMany,
            Refused::Lost,
            StoreError::Full.into(),
            StoreError::from(std::io::Error::other("internal text")).into(),
            CouldNotAsk::Unreachable(crate::upstream::Cause::Refused).into(),
            CouldNotAsk::TimedOut.into(),
            CouldNotAsk::Paused { for_: wait }.into(),
            CouldNotAsk::TooLarge { limit: 9 }.into(),
        ];
        let others = [
            Refusal::from(Crowded::Client),
            Refusal::from(Crowded::Proxy),
            Refusal::from(&RouteError::NotFound),
            Refusal::from(Problem::new(Kind::AuthenticationRequired, "a token is needed")),
            Refusal::from(Problem::new(Kind::AuthorizationFailed, "not with this one")),
        ];
        let pages: Vec<_> =
            refused.iter().map(Refusal::from).chain(others).map(|refusal| page(&refusal)).collect();
        let pages = pages.join("\n");
        assert!(!pages.contains("internal text"));
        insta::assert_snapshot!(pages);
    }
}
