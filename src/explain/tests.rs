//! What an operator reads: every rule of the verdict, and the text form.

use std::time::Duration;

use super::verdict::Known;
use super::*;
use crate::cache::Document;
use crate::cache::envelope::{Envelope, Meta};
use crate::cache::freshness::Freshness;
use crate::cache::keeping::{Cap, CappedBy, Keeping};
use crate::consistency::{About, Kind, Source, Testimony};

const DIGEST: &str = "sha256:f7e51421b3759bf543486409eed53c8eb4b3a06b840c21b1a72269c835c7f9d1";

fn key() -> DocumentKey {
    DocumentKey::Release("@acme/x".parse().unwrap(), "1.0.0".parse().unwrap())
}

fn inspected(state: &str, freshness: Freshness) -> Inspected {
    let body = serde_json::json!({
        "name": "@acme/x", "version": "1.0.0", "purl": "pkg:volume/%40acme/x@1.0.0", "integrity": DIGEST,
        "status": {"state": state}, "dist": {"source": "cdn", "mediaType": "application/gzip", "url": "/x"},
    });
    with_status(200, body.to_string(), freshness)
}

fn with_status(status: u16, body: String, freshness: Freshness) -> Inspected {
    let meta = Meta {
        key: key().to_string(),
        status,
        fetched_at: Timestamp(1_700_000_000_000),
        upstream_age: 0,
        upstream: "public".into(),
        origin: "https://up".into(),
        etag: None,
        at: None,
        keeping: Keeping::default(),
    };
    let document = Document::new(&key(), Envelope { meta, body: body.into() }).unwrap();
    let age = Duration::from_secs(12);
    Inspected { document: document.into(), freshness, age, ttl: 48, settled: true, outdated: false }
}

fn divergence() -> Divergence {
    let claim = |source, says: &str| Testimony {
        source,
        says: says.into(),
        fetched_at: Some(Timestamp(1_700_000_000_000)),
        upstream: Some("public".into()),
    };
    Divergence {
        volume: "@acme/x".parse().unwrap(),
        version: "1.0.0".parse().unwrap(),
        about: About::Release,
        kind: Kind::State,
        claims: [claim(Source::Index, "yanked"), claim(Source::Exact, "available")],
        since: Timestamp(1_700_000_000_000),
        checked_at: Timestamp(1_700_000_000_000),
    }
}

fn registry(up: bool) -> Registry {
    Registry { name: "public".into(), origin: "https://up".into(), up, last_failure: None }
}

fn rules(known: &Known<'_>) -> [(Option<u16>, String); 2] {
    let Verdict { exact, archive } = known.verdict();
    [exact, archive].map(|rule| (rule.status, rule.rule))
}

#[test]
fn every_rule_has_its_case() {
    use Freshness::{Ask, Fresh, Offline, Revalidate};
    let fresh = |state| inspected(state, Fresh);
    let refused = |status, freshness| with_status(status, "{}".into(), freshness);
    let up = registry(true);
    let ask = (None, "ask first");
    for (exact, sealed, offline, of_exact, of_archive) in [
        (fresh("available"), true, false, (Some(200), "fresh"), (Some(200), "sealed")),
        (fresh("yanked"), true, false, (Some(200), "fresh"), (Some(200), "sealed")),
        (fresh("available"), false, false, (Some(200), "fresh"), (None, "fetch")),
        (fresh("blocked"), true, false, (Some(200), "fresh"), (Some(403), "lifecycle")),
        (fresh("tombstoned"), true, false, (Some(200), "fresh"), (Some(404), "lifecycle")),
        (
            inspected("available", Revalidate),
            true,
            false,
            (Some(200), "stale-while-revalidate"),
            (Some(200), "sealed"),
        ),
        (inspected("available", Ask { may_fall_back: true }), true, false, ask, ask),
        (inspected("available", Offline), false, true, (Some(200), "offline"), (Some(504), "offline")),
        (refused(403, Fresh), true, false, (Some(403), "fresh"), (Some(403), "fresh")),
        (refused(404, Ask { may_fall_back: true }), false, false, ask, ask),
        (refused(404, Offline), false, true, (Some(504), "offline"), (Some(504), "offline")),
    ] {
        let known = Known {
            exact: Some(&exact),
            divergence: None,
            sealed,
            pin: None,
            upstream: Some(&up),
            offline,
            refusal: None,
        };
        let expected =
            [of_exact, of_archive].map(|(status, rule): (Option<u16>, &str)| (status, rule.to_owned()));
        assert_eq!(rules(&known), expected);
    }
}

#[test]
fn what_a_registry_says_of_keeping_is_named() {
    let mut exact = inspected("available", Freshness::Fresh);
    let mut document = Document::clone(&exact.document);
    let keeping = Keeping { cap: Some(Cap { seconds: 9, by: CappedBy::SharedMaxAge }), ..Keeping::default() };
    document.meta.keeping = keeping;
    exact.document = document.into();
    let (up, divergence) = (registry(true), None);
    let known = Known {
        exact: Some(&exact),
        divergence,
        sealed: false,
        pin: None,
        upstream: Some(&up),
        offline: false,
        refusal: None,
    };
    assert!(known.verdict().exact.why.ends_with("the registry says s-maxage=9"));
    let json = serde_json::to_value(held(&exact, Said::default())).unwrap();
    assert_eq!(json["keeping"], serde_json::json!({"cap": {"seconds": 9, "by": "s-maxage"}}));
}

#[test]
fn a_divergence_decides_before_all_else_and_nothing_held_is_told_apart() {
    let (exact, open, up) = (inspected("available", Freshness::Fresh), divergence(), registry(true));
    let known = |exact, divergence, upstream, offline| {
        rules(&Known { exact, divergence, sealed: true, pin: None, upstream, offline, refusal: None })[0]
            .clone()
    };
    let rule = |status, rule: &str| (status, rule.to_owned());
    assert_eq!(known(Some(&exact), Some((&open, false)), Some(&up), false), rule(Some(409), "divergent"));
    assert_eq!(known(Some(&exact), Some((&open, true)), Some(&up), false), rule(None, "divergent, due"));
    assert_eq!(known(None, None, Some(&up), false), rule(None, "ask first"));
    assert_eq!(known(None, None, None, false), rule(Some(404), "no upstream"));
    assert_eq!(known(None, None, Some(&up), true), rule(Some(504), "offline"));
}

#[test]
fn the_text_puts_the_verdict_first() {
    let (exact, up) = (inspected("available", Freshness::Fresh), registry(true));
    let known = Known {
        exact: Some(&exact),
        divergence: None,
        sealed: false,
        pin: None,
        upstream: Some(&up),
        offline: false,
        refusal: None,
    };
    let explanation = Explanation {
        volume: "@acme/x".parse().unwrap(),
        version: "1.0.0".parse().unwrap(),
        at: Timestamp(1_700_000_012_000),
        verdict: known.verdict(),
        upstream: Some(up.clone()),
        index: None,
        exact: Some(held(&exact, said(exact.document.content.release().unwrap()))),
        trust_summary: None,
        trust_detail: None,
        pin: None,
        pin_trouble: None,
        other_pins: Vec::new(),
        divergence: Some(divergence()),
        refusal: None,
        archive: None,
    };
    insta::assert_snapshot!("explanation", explanation.to_string());
    let json = serde_json::to_string(&explanation).unwrap();
    assert_eq!(serde_json::from_str::<Explanation>(&json).unwrap(), explanation);
}
