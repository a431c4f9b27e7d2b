//! Every problem document that this proxy makes, as a client gets it.

use crate::store::Damage;
use std::fmt::Write;
use std::io;
use std::sync::Arc;

use http::HeaderMap;

use super::*;
use crate::clock::Timestamp;
use crate::consistency::{self, About, ClaimSource, Testimony};
use crate::domain::LifecycleState;
use crate::domain::advisories::InvalidAdvisoryQuery;
use crate::domain::lifecycle::Status;
use crate::domain::{Integrity, Purl, Sha256};
use archive::{Excess, ManifestError, Violation};

fn page(refusal: &ErrorResponse) -> String {
    let headers = HeaderMap::new();
    let asked = ResponseContext { head: false, headers: &headers, base: ["http://", "here"], path: "/path" };
    let response = problem(refusal, asked);
    let mut page = format!("{}\n", response.status());
    for (name, value) in response.headers().iter().filter(|(name, _)| *name != CONTENT_LENGTH) {
        let _ = writeln!(page, "{name}: {}", value.to_str().unwrap());
    }
    let body = response.body().bytes().expect("a problem has a body");
    page + std::str::from_utf8(body).unwrap() + "\n"
}

fn withdrawn(state: LifecycleState) -> ReadFailure {
    ReadFailure::Withdrawn(Status { state, reason: Some("because".to_owned()) })
}

fn of_archive(error: ArchiveError) -> ReadFailure {
    ReadFailure::Archive(Arc::new(error))
}

fn diverging(pinned: &Integrity, found: &Integrity) -> Divergence {
    let testimony = |source, says: &Integrity| Testimony {
        source,
        says: says.to_string(),
        fetched_at: Some(Timestamp(1_700_000_000_000)),
        upstream: Some("public".to_owned()),
    };
    Divergence {
        volume: "@acme/x".parse().unwrap(),
        version: "1.0.0".parse().unwrap(),
        about: About::Release,
        kind: consistency::DifferenceKind::IntegrityChanged,
        claims: [testimony(ClaimSource::Exact, found), testimony(ClaimSource::Pin, pinned)],
        since: Timestamp(1_700_000_000_000),
        checked_at: Timestamp(1_700_000_000_123),
    }
}

fn secret() -> io::Error {
    io::Error::other("internal text")
}

#[test]
fn problem_documents() {
    let integrity = |of: &str| Integrity::new(Sha256::of(of.as_bytes()));
    let purl = |text: &str| Box::new(text.parse::<Purl>().unwrap());
    let wait = Duration::from_millis(2_100);
    let failures = [
        ReadFailure::NoUpstream("@acme/x".parse().unwrap()),
        ReadFailure::Offline,
        ReadFailure::NoSlot { registry: "public".to_owned() },
        CouldNotAsk::Unreachable(crate::upstream::ConnectFailure::Refused).into(),
        CouldNotAsk::TimedOut.into(),
        CouldNotAsk::BrokenBody.into(),
        CouldNotAsk::Unsent.into(),
        CouldNotAsk::ServerError(500).into(),
        CouldNotAsk::Throttled { retry_after: Some(wait) }.into(),
        CouldNotAsk::Throttled { retry_after: None }.into(),
        CouldNotAsk::Paused { for_: wait }.into(),
        CouldNotAsk::OverBudget { for_: wait }.into(),
        CouldNotAsk::Busy.into(),
        CouldNotAsk::CredentialRefused.into(),
        CouldNotAsk::BadLocator.into(),
        CouldNotAsk::TooLarge { limit: 9 }.into(),
        CouldNotAsk::Unexpected(418).into(),
        CouldNotAsk::TooManyRedirects.into(),
        ReadFailure::Malformed,
        ReadFailure::Inconsistent("name is y, expected x".to_owned()),
        ReadFailure::Divergent(Arc::new(diverging(&integrity("a"), &integrity("b")))),
        ReadFailure::Refused(Box::new(Problem::new(ProblemKind::ValidationFailed, "the registry's words"))),
        withdrawn(LifecycleState::Blocked),
        withdrawn(LifecycleState::Tombstoned),
        withdrawn(LifecycleState::Unavailable),
        ReadFailure::Repository { why: "it speaks another form".to_owned(), is_gone: false },
        ReadFailure::NotAttached(Sha256::of(b"a")),
        of_archive(ArchiveError::Source(secret())),
        of_archive(ArchiveError::Gzip(secret())),
        of_archive(ArchiveError::Scratch(secret())),
        of_archive(Violation::Truncated.into()),
        of_archive(Excess::Unpacked(9).into()),
        of_archive(ManifestError::Missing.into()),
        of_archive(ArchiveError::Digest { expected: integrity("a"), found: integrity("b") }),
        of_archive(ArchiveError::Identity {
            expected: purl("pkg:volume/x@1.0.0"),
            found: purl("pkg:volume/y@1.0.0"),
        }),
        ReadFailure::TooLarge { limit: 9 },
        StoreError::Full.into(),
        StoreError::Denied.into(),
        StoreError::Corrupt(Damage {
            path: "internal path".to_owned(),
            expected: "internal text".to_owned(),
            found: "internal text".to_owned(),
        })
        .into(),
        StoreError::from(secret()).into(),
        ReadFailure::Crowded,
        ReadFailure::Lost,
    ];
    let routes = [
        RouteError::NotFound,
        RouteError::MethodNotAllowed { allow: "GET, HEAD, DELETE" },
        RouteError::Advisories(InvalidAdvisoryQuery::Volume),
    ];
    let pages: Vec<_> = failures
        .iter()
        .map(ErrorResponse::from)
        .chain(routes.iter().map(ErrorResponse::from))
        .chain([BaseError::NoHost, BaseError::Misdirected].map(ErrorResponse::from))
        .map(|refusal| page(&refusal))
        .collect();
    let pages = pages.join("\n");
    assert!(!pages.contains("internal text"));
    insta::assert_snapshot!(pages);
}
