//! Errors in the format of the Nullspace API.
//!
//! Owns how a refusal is answered in that format. Must not decide statuses: that is [`super::error`].

use ::nullspace::error_document;

use super::error::{DETAIL, ErrorResponse, head};
use super::{Body, Response};

/// Answers a client of Nullspace.
pub(crate) fn nullspace(refusal: &ErrorResponse, request_id: &str) -> Response {
    let problem = &refusal.problem;
    let message = problem.detail.as_deref().unwrap_or(&problem.title);
    let detail = problem.extra.get(DETAIL);
    let body = error_document(problem.status, refusal.code(), message, detail, request_id);
    let mut response = head(problem.status, "application/json", body.len());
    refusal.adorn(response.headers_mut());
    *response.body_mut() = Body::whole(body);
    response
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;
    use std::time::Duration;

    use super::*;
    use crate::domain::problem::{Problem, ProblemKind};
    use crate::limit::InFlightExceeded;
    use ::nullspace::{NullspaceRefusal, UploadFault};

    use crate::relay::{BodyError, WriteRefusal};
    use crate::route::RouteError;
    use crate::store::StoreError;
    use crate::upstream::CouldNotAsk;

    fn page(refusal: &ErrorResponse) -> String {
        let response = nullspace(refusal, "id-1");
        let mut page = format!("{}\n", response.status());
        for (name, value) in response.headers().iter().filter(|(name, _)| *name != "content-length") {
            let _ = writeln!(page, "{name}: {}", value.to_str().unwrap());
        }
        let body = response.body().bytes().expect("an error has a body");
        assert_eq!(response.headers()["content-length"], body.len().to_string());
        page + std::str::from_utf8(body).unwrap() + "\n"
    }

    fn of_upload(fault: UploadFault, part: Option<u32>) -> WriteRefusal {
        NullspaceRefusal::Upload { fault, upload: "u1".to_owned(), part }.into()
    }

    #[test]
    fn errors() {
        let hex = || "0".repeat(64);
        let wait = Duration::from_millis(2_100);
        let text = || "`a` is missing".to_owned();
        let refused: [WriteRefusal; 29] = [
            NullspaceRefusal::Path.into(),
            NullspaceRefusal::Header("Idempotency-Key").into(),
            NullspaceRefusal::Coded.into(),
            NullspaceRefusal::Unverifiable.into(),
            NullspaceRefusal::Manifest(text()).into(),
            NullspaceRefusal::Bundle(text()).into(),
            NullspaceRefusal::Tar(text()).into(),
            NullspaceRefusal::Busy.into(),
            of_upload(UploadFault::PartChecksum(hex()), Some(0)),
            of_upload(UploadFault::PartSize { expected: 4, found: "more".to_owned() }, Some(1)),
            of_upload(UploadFault::PartNumber { count: 4 }, Some(4)),
            of_upload(UploadFault::TooLarge { limit: 9 }, Some(1)),
            of_upload(UploadFault::NoRoom, Some(1)),
            of_upload(UploadFault::WholeChecksum { expected: hex(), found: hex() }, None),
            BodyError::TooLarge { limit: 9 }.into(),
            BodyError::Stalled.into(),
            BodyError::Broken.into(),
            WriteRefusal::MediaType { expected: "application/x-tar".into() },
            WriteRefusal::Offline,
            WriteRefusal::Busy,
            WriteRefusal::OwnShare,
            WriteRefusal::TooMany,
            WriteRefusal::Lost,
            StoreError::Full.into(),
            StoreError::from(std::io::Error::other("internal text")).into(),
            CouldNotAsk::Unreachable(crate::upstream::ConnectFailure::Refused).into(),
            CouldNotAsk::TimedOut.into(),
            CouldNotAsk::Paused { for_: wait }.into(),
            CouldNotAsk::TooLarge { limit: 9 }.into(),
        ];
        let others = [
            ErrorResponse::from(InFlightExceeded::Client),
            ErrorResponse::from(InFlightExceeded::Proxy),
            ErrorResponse::from(&RouteError::NotFound),
            ErrorResponse::from(Problem::new(ProblemKind::AuthenticationRequired, "a token is needed")),
            ErrorResponse::from(Problem::new(ProblemKind::AuthorizationFailed, "not with this one")),
        ];
        let pages: Vec<_> =
            refused.iter().map(ErrorResponse::from).chain(others).map(|refusal| page(&refusal)).collect();
        let pages = pages.join("\n");
        assert!(!pages.contains("internal text"));
        insta::assert_snapshot!(pages);
    }
}
