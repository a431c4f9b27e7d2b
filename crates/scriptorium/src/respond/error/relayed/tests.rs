//! Every problem document about a write, as a client gets it.

use std::fmt::Write;
use std::io;

use http::HeaderMap;
use http::header::CONTENT_LENGTH;

use super::super::{ResponseContext, problem};
use super::*;
use crate::domain::LifecycleState;
use crate::domain::lifecycle::Status;
use crate::domain::{Integrity, Purl, Sha256};
use crate::read::ReadFailure;
use crate::relay::BodyError;
use crate::store::{Damage, StoreError};
use crate::upstream::CouldNotAsk;
use archive::{ArchiveError, Excess, ManifestError, Permission, Violation};

fn page(refused: &WriteRefusal) -> String {
    let headers = HeaderMap::new();
    let asked = ResponseContext { head: false, headers: &headers, base: ["http://", "here"], path: "/path" };
    let response = problem(&refused.into(), asked);
    let mut page = format!("{}\n", response.status());
    for (name, value) in response.headers().iter().filter(|(name, _)| *name != CONTENT_LENGTH) {
        let _ = writeln!(page, "{name}: {}", value.to_str().unwrap());
    }
    let body = response.body().bytes().expect("a problem has a body");
    page + std::str::from_utf8(body).unwrap() + "\n"
}

fn secret() -> io::Error {
    io::Error::other("internal text")
}

#[test]
fn problem_documents() {
    let volume = || "@acme/x".parse().unwrap();
    let purl = |text: &str| Box::new(text.parse::<Purl>().unwrap());
    let of = |text: &str| Sha256::of(text.as_bytes());
    let archive = |error: ArchiveError| WriteRefusal::from(error);
    let gone = Status { state: LifecycleState::Tombstoned, reason: None };
    let damage = Damage {
        path: "internal text".to_owned(),
        expected: "internal text".to_owned(),
        found: "internal text".to_owned(),
    };
    let refusals = [
        WriteRefusal::NoUpstream(volume()),
        WriteRefusal::WritesOff(volume()),
        WriteRefusal::Offline,
        CouldNotAsk::Unreachable(crate::upstream::ConnectFailure::Refused).into(),
        CouldNotAsk::TimedOut.into(),
        CouldNotAsk::BrokenBody.into(),
        CouldNotAsk::Unexpected(302).into(),
        CouldNotAsk::Busy.into(),
        BodyError::TooLarge { limit: 9 }.into(),
        BodyError::Stalled.into(),
        BodyError::Broken.into(),
        StoreError::Full.into(),
        StoreError::Corrupt(damage).into(),
        StoreError::from(secret()).into(),
        WriteRefusal::Busy,
        WriteRefusal::OwnShare,
        WriteRefusal::TooMany,
        WriteRefusal::Lost,
        WriteRefusal::TooLarge { limit: 9 },
        WriteRefusal::Size { expected: 9, found: 8 },
        WriteRefusal::Digest { expected: of("a"), found: of("b") },
        WriteRefusal::MediaType { expected: "application/json".into() },
        WriteRefusal::Invalid("version is missing".to_owned()),
        WriteRefusal::TwoKeys,
        WriteRefusal::UnknownUpload,
        WriteRefusal::Expired,
        WriteRefusal::NoCredential,
        WriteRefusal::OtherCredential,
        WriteRefusal::UnderWay,
        WriteRefusal::MediaType { expected: "text/x".into() },
        WriteRefusal::NotGzip,
        WriteRefusal::Subject {
            member: "integrity",
            expected: Integrity::new(of("a")).to_string(),
            found: Integrity::new(of("b")).to_string(),
        },
        WriteRefusal::from(ReadFailure::Offline),
        WriteRefusal::from(ReadFailure::Withdrawn(gone)),
        WriteRefusal::Instruction("its uploadId is none"),
        archive(ArchiveError::Source(secret())),
        archive(ArchiveError::Gzip(secret())),
        archive(ArchiveError::Scratch(secret())),
        archive(Violation::Truncated.into()),
        archive(Excess::Unpacked(9).into()),
        archive(ManifestError::Missing.into()),
        archive(ArchiveError::Identity {
            expected: purl("pkg:volume/x@1.0.0"),
            found: purl("pkg:volume/y@1.0.0"),
        }),
        archive(ArchiveError::Escalation { component: "runner".into(), permission: Permission::Shell }),
    ];
    let pages: Vec<_> = refusals.iter().map(page).collect();
    let pages = pages.join("\n");
    assert!(!pages.contains("internal text"));
    insta::assert_snapshot!(pages);
}
