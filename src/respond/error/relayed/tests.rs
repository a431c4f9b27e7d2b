//! Every problem document about a write, as a client gets it.

use std::fmt::Write;
use std::io;

use http::HeaderMap;
use http::header::CONTENT_LENGTH;

use super::super::{Asked, problem};
use super::*;
use crate::archive::{Excess, ManifestError, Permission, Violation};
use crate::cache::Failure;
use crate::domain::lifecycle::{State, Status};
use crate::domain::{Integrity, Purl, Sha256};
use crate::store::Damage;

fn page(refused: &Refused) -> String {
    let headers = HeaderMap::new();
    let asked = Asked { head: false, headers: &headers, base: ["http://", "here"], path: "/path" };
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
    let archive = |error: ArchiveError| Refused::from(VolumesRefused::from(error));
    let gone = Status { state: State::Tombstoned, reason: None };
    let damage = Damage {
        path: "internal text".to_owned(),
        expected: "internal text".to_owned(),
        found: "internal text".to_owned(),
    };
    let refusals = [
        Refused::NoUpstream(volume()),
        Refused::WritesOff(volume()),
        Refused::Offline,
        CouldNotAsk::Unreachable(crate::upstream::Cause::Refused).into(),
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
        Refused::Busy,
        Refused::OwnShare,
        Refused::TooMany,
        Refused::Lost,
        Refused::TooLarge { limit: 9 },
        Refused::Size { expected: 9, found: 8 },
        Refused::Digest { expected: of("a"), found: of("b") },
        Refused::MediaType { expected: "application/json" },
        Refused::Invalid("version is missing".to_owned()),
        Refused::TwoKeys,
        VolumesRefused::UnknownUpload.into(),
        VolumesRefused::Expired.into(),
        VolumesRefused::NoCredential.into(),
        VolumesRefused::NotTheirs.into(),
        VolumesRefused::UnderWay.into(),
        VolumesRefused::MediaType { expected: "text/x".to_owned() }.into(),
        VolumesRefused::NotGzip.into(),
        VolumesRefused::Subject {
            member: "integrity",
            expected: Integrity::new(of("a")).to_string(),
            found: Integrity::new(of("b")).to_string(),
        }
        .into(),
        VolumesRefused::from(Failure::Offline).into(),
        VolumesRefused::from(Failure::Withdrawn(gone)).into(),
        VolumesRefused::Instruction("its uploadId is none").into(),
        archive(ArchiveError::Source(secret())),
        archive(ArchiveError::Gzip(secret())),
        archive(ArchiveError::Scratch(secret())),
        archive(Violation::Truncated.into()),
        archive(Excess::Unpacked { limit: 9 }.into()),
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
