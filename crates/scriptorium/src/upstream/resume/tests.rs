//! Downloads that break off, and what registries make of the question for the rest.

use super::super::testing::{Registry, Step, answer};
use super::super::{RegistryClient, TransportError};
use super::*;

type Fields = &'static [(&'static str, &'static str)];

const WHOLE: Fields = &[("content-length", "10"), ("etag", "\"v1\"")];
const UNTAGGED: Fields = &[("content-length", "10")];
const METADATA: &str = "/api/v1/volumes/x/1.0.0";

fn broken(status: u16, fields: Fields, body: &'static str) -> Step {
    Step::Answer(status, fields, vec![Ok(body), Err(TransportError::Broken)])
}

async fn open(upstream: &Arc<RegistryClient>, tries: &RetryAllowance) -> Download {
    upstream
        .download_on(Payload::Archive, "x", METADATA, FetchContext::foreground("id-1"), tries)
        .await
        .unwrap()
}

/// All that comes, and whether it came whole.
async fn read(registry: &Registry, tries: &RetryAllowance) -> (String, bool) {
    let pieces: Vec<_> = open(&registry.upstream(), tries).await.body.collect().await;
    let whole = pieces.iter().all(Result::is_ok);
    (pieces.into_iter().flatten().map(|piece| String::from_utf8(piece.to_vec()).unwrap()).collect(), whole)
}

fn all() -> (String, bool) {
    ("abcdefghij".to_owned(), true)
}

#[tokio::test(start_paused = true)]
async fn the_rest_is_asked_for_and_nothing_else() {
    let registry = Registry::of([
        broken(200, WHOLE, "abcd"),
        broken(206, &[("content-range", "bytes 4-9/10")], "ef"),
        answer(206, &[("content-range", "bytes 6-9/10")], "ghij"),
    ]);
    let tries = RetryAllowance::new(2);
    assert_eq!(read(&registry, &tries).await, all());
    assert_eq!(tries.taken(), 2);
    let asked = registry.asked();
    let ranges: Vec<_> = asked.iter().filter_map(|asked| asked.headers.get("range")).collect();
    assert_eq!(ranges, ["bytes=4-9", "bytes=6-9"]);
    assert!(asked[1..].iter().all(|asked| asked.headers["if-range"] == "\"v1\""));
}

#[tokio::test(start_paused = true)]
async fn without_a_strong_tag_the_length_is_what_parts_are_held_against() {
    for fields in [UNTAGGED, &[("content-length", "10"), ("etag", "W/\"v1\"")]] {
        let registry = Registry::of([
            broken(200, fields, "abcd"),
            answer(206, &[("content-range", "bytes 4-9/10")], "efghij"),
        ]);
        assert_eq!(read(&registry, &RetryAllowance::new(1)).await, all());
        assert!(!registry.asked()[1].headers.contains_key("if-range"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_sends_all_of_it_again_is_read_from_where_it_stood() {
    let registry = Registry::of([
        broken(200, WHOLE, "abcd"),
        Step::Answer(200, WHOLE, vec![Ok("ab"), Ok("cdefg"), Ok("hij")]),
    ]);
    assert_eq!(read(&registry, &RetryAllowance::new(1)).await, all());
}

#[tokio::test(start_paused = true)]
async fn what_is_not_the_rest_of_the_same_leaves_it_broken() {
    for (fields, step) in [
        (WHOLE, answer(206, &[("content-range", "bytes 4-9/11")], "efghij")),
        (UNTAGGED, answer(206, &[("content-range", "bytes 4-9/*")], "efghij")),
        (WHOLE, answer(206, &[("content-range", "bytes 5-9/10")], "fghij")),
        (WHOLE, answer(206, &[("content-range", "bytes 4-9/10"), ("content-encoding", "gzip")], "efghij")),
        (WHOLE, answer(200, &[("content-length", "10"), ("etag", "\"v2\"")], "klmnopqrst")),
        (WHOLE, answer(200, &[("content-length", "11"), ("etag", "\"v1\"")], "klmnopqrstu")),
        (WHOLE, answer(200, &[], "abcdefghij")),
        (WHOLE, answer(416, &[], "")),
        (WHOLE, answer(404, &[], "")),
    ] {
        let registry = Registry::of([broken(200, fields, "abcd"), step]);
        let tries = RetryAllowance::new(1);
        assert_eq!(read(&registry, &tries).await, ("abcd".to_owned(), false));
        assert!(!tries.again(true), "the one try is spent");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_resumed_that_has_no_length_or_did_not_begin_or_was_cut_for_another_reason() {
    for step in [
        broken(200, &[("etag", "\"v1\"")], "abcd"),
        Step::Answer(200, WHOLE, vec![Err(TransportError::Broken)]),
        Step::Answer(200, WHOLE, vec![Ok("abcd"), Err(TransportError::Timeout)]),
    ] {
        let registry = Registry::of([step]);
        let tries = RetryAllowance::new(2);
        assert!(!read(&registry, &tries).await.1);
        assert_eq!((registry.asked().len(), tries.taken()), (1, 0));
    }
    let registry = Registry::of([broken(200, WHOLE, "abcd")]);
    assert!(!read(&registry, &RetryAllowance::new(0)).await.1, "who tries nothing again resumes nothing");
    assert_eq!(registry.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_put_together_is_asked_for_once_more_as_a_whole() {
    let steps = || [broken(200, WHOLE, "abcd"), answer(206, &[("content-range", "bytes 4-9/10")], "efghij")];
    let registry = Registry::of(steps());
    let tries = RetryAllowance::new(1);
    assert_eq!(read(&registry, &tries).await, all());
    assert!(tries.again(true), "its bytes are not to blame yet");
    registry.then([broken(200, WHOLE, "abcd")]);
    assert!(!read(&registry, &tries).await.1, "and are not put together again");
    assert!(!tries.again(false));
    assert!(!RetryAllowance::new(2).again(false), "what came in one piece is judged");
}

#[test]
fn tries_are_counted_together() {
    let tries = RetryAllowance::new(2);
    let other = tries.clone();
    assert!(tries.again(true) && other.again(true) && !tries.again(true));
    assert_eq!(tries.taken(), 2);
}
