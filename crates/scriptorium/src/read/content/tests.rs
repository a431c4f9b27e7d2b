//! What is kept of a document, and what it is shown as.

use super::*;
use crate::clock::Timestamp;
use crate::read::document::Document;
use crate::read::envelope::{Envelope, Meta};
use crate::read::keeping::Keeping;
use crate::read::rendition::BodyCoding;

fn index() -> Document {
    document(r#"{"items":[{"version":"1.0.0","status":{"state":"available"},"release":{"url":"x"}}]}"#)
}

fn document(body: &'static str) -> Document {
    let meta = Meta {
        key: String::new(),
        status: 200,
        fetched_at: Timestamp(0),
        upstream_age: 0,
        upstream: String::new(),
        origin: String::new(),
        etag: None,
        at: None,
        keeping: Keeping::default(),
        turn: None,
    };
    Document::new(&DocumentKey::Index("x".parse().unwrap()), Envelope { meta, body: body.into() }).unwrap()
}

#[test]
fn a_rendition_is_kept_for_who_asks_twice_and_for_no_stranger() {
    let document = index();
    let DocumentContent::Found(found) = &*document.content else { panic!("found") };
    let first = found.rendition(["http://", "a"]);
    assert!(first.whole().is_none(), "who asks once may never come again");
    let kept = found.rendition(["http://", "a"]);
    assert!(kept.whole().is_some() && kept.etag == first.etag);
    assert!(Arc::ptr_eq(&kept, &found.rendition(["http://a", ""])));
    assert_ne!(kept.etag, found.rendition(["http://b", ""]).etag);
    for host in 0..100 {
        let host = host.to_string();
        assert!(found.rendition(["http://", &host]).whole().is_none());
        assert!(Arc::ptr_eq(&kept, &found.rendition(["http://", "a"])));
    }
    for host in 0..100 {
        let host = host.to_string();
        let [_, again] = [(); 2].map(|()| found.rendition(["http://", &host]));
        assert!(again.whole().is_some());
    }
    assert_eq!(found.renditions.load().len(), RENDITIONS);
}

#[test]
fn what_has_no_links_is_the_same_for_all() {
    let document = document(r#"{"items":[]}"#);
    let DocumentContent::Found(found) = &*document.content else { panic!("found") };
    let kept = found.rendition(["http://", "a"]);
    assert!(kept.whole().is_some() && Arc::ptr_eq(&kept, &found.rendition(["http://", "b"])));
}

#[tokio::test]
async fn its_weight_covers_all_that_is_kept_of_it() {
    for filler in [10, 1_000, 100_000] {
        let row = r#"{"version":"1.0.0","status":{"state":"yanked","reason":"why"},"release":{"url":"x"}}"#;
        let body = format!(r#"{{"items":[{row}],"filler":"{}"}}"#, "words and ".repeat(filler));
        let coders = Some(Arc::default());
        let document = Document { coders, ..document(body.leak()) };
        let DocumentContent::Found(found) = &*document.content else { panic!("found") };
        let mut held = document.content.body().len();
        for host in ["a".repeat(253), "b".repeat(253)] {
            let [_, rendition] = [(); 2].map(|()| found.rendition(["https://", &host]));
            held += rendition.whole().map_or(0, Bytes::len);
            for coding in BodyCoding::ALL.into_iter().filter(|_| rendition.varies()) {
                while document.body_in(&rendition, coding).is_none() {
                    tokio::task::yield_now().await;
                }
                held += rendition.length.min(document.content.body().len()) / 2;
            }
        }
        assert!(document.weight() as usize >= held, "{filler}: {} of {held}", document.weight());
    }
}

#[test]
fn another_status_changes_what_is_shown_and_nothing_else() {
    let document = index();
    let version = "1.0.0".parse().unwrap();
    let at = document.content.rows().unwrap().of(&version)[0].status_at();
    let shown = |content: &DocumentContent| match content {
        DocumentContent::Found(found) => found.shown().render("http://a"),
        DocumentContent::Refused { .. } => panic!("found"),
    };
    let rows = [(at, r#"{"state":"unavailable"}"#.to_owned())];
    let quarantined = document.content.showing(&rows).unwrap();
    assert!(quarantined.showing(&rows).is_none(), "nothing new");
    let text = String::from_utf8(shown(&quarantined).to_vec()).unwrap();
    assert_eq!(
        text,
        r#"{"items":[{"version":"1.0.0","status":{"state":"unavailable"},"release":{"url":"http://a/api/v1/volumes/x/1.0.0"}}]}"#
    );
    assert_eq!(quarantined.body(), document.content.body(), "what is stored stays the registry's");
    assert_eq!(shown(&quarantined.showing(&[]).unwrap()), shown(&document.content));
}

#[test]
fn uploads_are_advertised_where_they_are_relayed() {
    const SAID: &str = r#"{"schemaVersion":"1","apiVersion":"v1","apis":{ "releaseUploads":true },"uploadProfiles":{"releaseUploads":["http-put"]},"later":1.0}"#;
    let envelope = Envelope { meta: index().meta, body: SAID.into() };
    let document = Document::new(&DocumentKey::Capabilities, envelope).unwrap();
    let shown = |content: &DocumentContent| match content {
        DocumentContent::Found(found) => found.shown().render("http://a"),
        DocumentContent::Refused { .. } => panic!("found"),
    };
    let hidden = SAID.replace("true", "false").replace(r#"["http-put"]"#, "[]");
    assert_eq!(shown(&document.content), hidden);
    assert!(document.content.advertising(OfferedService::default()).is_none());
    let relaying = OfferedService { uploads: true, git_as_cdn: false };
    let advertised = document.content.advertising(relaying).unwrap();
    assert_eq!(shown(&advertised), SAID);
    assert!(advertised.advertising(relaying).is_none());
    assert_eq!(shown(&advertised.advertising(OfferedService::default()).unwrap()), hidden);
}

#[test]
fn a_refusal_without_a_problem_gets_one() {
    for (status, slug) in
        [(404, "not-found"), (403, "authorization-failed"), (409, "inconsistent-registry-state")]
    {
        assert_eq!(refusal(status).kind.unwrap().slug(), slug);
    }
    assert_eq!((refusal(410).kind, refusal(410).status), (None, 410));
}
