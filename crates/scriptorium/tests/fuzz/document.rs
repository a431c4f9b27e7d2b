//! Any route, and any document of a registry: a document's route reads back as itself, and an accepted document stays JSON
//! at every address of this proxy, unchanged except for its links.

use bytes::Bytes;
use scriptorium::facade::ReadRoute;
use serde::de::IgnoredAny;

pub(crate) const WORDS: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\"",
    b"\\u0000",
    b"\\ud800",
    b"null",
    b"1e400",
    b"-0",
    b"\"items\":[",
    b"\"version\":\"1.0.0\"",
    b"\"state\":\"blocked\"",
    b"\"release\":{\"url\":\"x\"}",
    b"\"dist\":{\"source\":\"cdn\"",
    b"\"integrity\":\"sha256-",
    b"%40",
    b"%2F",
    b"@acme/",
    b"?q=",
    b"&limit=1000",
    b"/trust/detail",
    b"\xc3\xa9",
    b"\xff",
];

const ROUTES: [&str; 10] = [
    "/api/v1/index/volumes/@acme/lamp",
    "/api/v1/index/volumes/%40acme/lamp",
    "/api/v1/volumes/lamp/1.0.0-rc.1+build.5",
    "/api/v1/volumes/lamp/1.0.0/trust/summary",
    "/api/v1/volumes/lamp/1.0.0/trust/detail",
    "/api/v1/search?q=lamp&limit=5&offset=0",
    "/api/v1/advisories?volume=%40acme%2Flamp",
    "/api/v1/advisories/ADV-2026-1",
    "/api/v1/capabilities",
    "/archives/@acme/lamp/1.0.0.tar.gz",
];

pub(crate) fn routes() -> Vec<Vec<u8>> {
    ROUTES.map(|route| route.as_bytes().to_vec()).into()
}

pub(crate) fn fuzz_route(data: &[u8]) -> bool {
    let route = std::str::from_utf8(data).ok().and_then(ReadRoute::of);
    if let Some(written) = route.as_ref().and_then(ReadRoute::document) {
        assert_eq!(ReadRoute::of(&written), route, "{written}");
    }
    route.is_some()
}

/// An answer of each kind; `$D` stands for a digest.
const ANSWERS: [(&str, &str); 8] = [
    (
        "/api/v1/index/volumes/lamp",
        r#"{"items":[{"version":"1.0.0","status":{"state":"available"},"integrity":"$D","dependencies":{"oil":"^1.2.0"},"release":{"url":"https://r.example/api/v1/volumes/lamp/1.0.0"}}],"later":[1.0,{}]}"#,
    ),
    (
        "/api/v1/volumes/lamp/1.0.0",
        r#"{"name":"lamp","version":"1.0.0","purl":"pkg:volume/lamp@1.0.0","integrity":"$D","status":{"state":"available"},"dist":{"source":"cdn","mediaType":"application/gzip","url":"https://r.example/x.tar.gz"}}"#,
    ),
    (
        "/api/v1/volumes/lamp/1.0.0/trust/summary",
        r#"{"subject":{"purl":"pkg:volume/lamp@1.0.0","integrity":"$D"},"artifacts":[{"category":"bom","formatsPresent":["cyclonedx"],"present":true}],"detailAvailable":true,"revision":{"revision":"1","updatedAt":"2026-06-01T08:00:00Z"}}"#,
    ),
    (
        "/api/v1/volumes/lamp/1.0.0/trust/detail",
        r#"{"subject":{"purl":"pkg:volume/lamp@1.0.0","integrity":"$D"},"revision":{"revision":"1","updatedAt":"2026-06-01T08:00:00Z"},"attachments":[{"id":"a","category":"bom","format":{"family":"f","mediaType":"a/b"},"artifactDigest":"$D","artifactSize":5,"locator":{"url":"https://r.example/a"},"status":{"state":"active"}}]}"#,
    ),
    (
        "/api/v1/search?q=lamp",
        r#"{"items":[{"name":"lamp","version":"1.0.0","purl":"pkg:volume/lamp@1.0.0"}],"total":1,"limit":20,"offset":0}"#,
    ),
    ("/api/v1/advisories", r#"{"items":[]}"#),
    (
        "/api/v1/capabilities",
        r#"{"schemaVersion":"1","apiVersion":"v1","apis":{"releaseUploads":true},"uploadProfiles":{"releaseUploads":["http-put"]}}"#,
    ),
    (
        "/api/v1/volumes/lamp/1.0.0",
        r#"{"name":"lamp","version":"1.0.0","purl":"pkg:volume/lamp@1.0.0","integrity":"$D","status":{"state":"blocked","reason":"malware"}}"#,
    ),
];

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// The first byte selects the kind of answer, which the other bytes are.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    (0_u8..)
        .zip(ANSWERS)
        .map(|(kind, (_, answer))| [&[kind], answer.replace("$D", DIGEST).as_bytes()].concat())
        .collect()
}

fn question(kind: u8) -> ReadRoute {
    let route = ReadRoute::of(ANSWERS[usize::from(kind) % ANSWERS.len()].0);
    route.filter(|route| route.document().is_some()).expect("a document")
}

pub(crate) fn fuzz(data: &[u8]) -> bool {
    let Some((kind, answer)) = data.split_first() else { return false };
    let body = Bytes::copy_from_slice(answer);
    let Some(checked) = question(*kind).check(&body, "https://r.example") else { return false };
    for base in ["http://a", "https://volumes.corp.example:8443"] {
        let rendered = checked.render(base);
        // A number that no machine can hold is JSON all the same.
        let read = serde_json::from_slice::<IgnoredAny>(&rendered);
        assert!(read.is_ok(), "{read:?} of {:?}", String::from_utf8_lossy(&rendered));
    }
    assert_eq!(checked.original(), &body, "what is stored stays the registry's");
    true
}
