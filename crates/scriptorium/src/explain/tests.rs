//! The output of `explain`: every rule of the verdict, and the text form.

use std::time::Duration;

use super::*;
use crate::consistency::{About, ClaimSource, DifferenceKind, Testimony};
use policy::{MissingFact, PolicyAction};

use super::awaited::AwaitingRule;
use crate::domain::LifecycleState;
use crate::policies::PolicyFinding;
use crate::read::Document;
use crate::read::decision::HeldFacts;
use crate::read::envelope::{Envelope, Meta};
use crate::read::freshness::Freshness;
use crate::read::keeping::{Cap, CappedBy, Keeping};

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
        turn: None,
    };
    let document = Document::new(&key(), Envelope { meta, body: body.into() }).unwrap();
    let age = Duration::from_secs(12);
    let facts = HeldFacts { freshness, is_settled: true, is_absence: document.is_absence() };
    Inspected { document: document.into(), facts, age, ttl: 48, outdated: false, is_judged: false }
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
        kind: DifferenceKind::State,
        claims: [claim(ClaimSource::Index, "yanked"), claim(ClaimSource::Exact, "available")],
        since: Timestamp(1_700_000_000_000),
        checked_at: Timestamp(1_700_000_000_000),
    }
}

fn registry(up: bool) -> ExplainedRegistry {
    ExplainedRegistry {
        name: "public".into(),
        origin: "https://up".into(),
        up,
        over_budget_seconds: None,
        last_failure: None,
    }
}

/// A release of which so much is held, at a registry that is up.
fn known(exact: Option<Inspected>, is_archive_held: bool, offline: bool) -> ReleaseFacts {
    let archive = is_archive_held.then(|| HeldArchive {
        length: 7,
        sha256: Sha256::of(b"archive"),
        identity: "pkg:volume/%40acme/x@1.0.0".into(),
    });
    let (divergence, row, refusal) = (None, None, None);
    ReleaseFacts {
        exact,
        divergence,
        archive,
        is_elsewhere: false,
        pin: Ok(None),
        row,
        upstream: Some(registry(true)),
        offline,
        refusal,
        policy: None,
        awaiting: Vec::new(),
    }
}

fn rules(known: &ReleaseFacts) -> [(Option<u16>, String); 2] {
    let ReleaseVerdict { exact, archive } = known.verdict();
    [exact, archive].map(|rule| (rule.status, rule.rule))
}

#[test]
fn every_rule_has_its_case() {
    use Freshness::{Fresh, IfError, WhileRevalidate};
    let fresh = |state| inspected(state, Fresh);
    let refused = |status, freshness| with_status(status, "{}".into(), freshness);
    let ask = (None, "ask first");
    for (exact, sealed, offline, of_exact, of_archive) in [
        (fresh("available"), true, false, (Some(200), "fresh"), (Some(200), "sealed")),
        (fresh("yanked"), true, false, (Some(200), "fresh"), (Some(200), "sealed")),
        (fresh("available"), false, false, (Some(200), "fresh"), (None, "fetch")),
        (fresh("blocked"), true, false, (Some(200), "fresh"), (Some(403), "lifecycle")),
        (fresh("tombstoned"), true, false, (Some(200), "fresh"), (Some(404), "lifecycle")),
        (
            inspected("available", WhileRevalidate),
            true,
            false,
            (Some(200), "stale-while-revalidate"),
            (Some(200), "sealed"),
        ),
        (inspected("available", IfError), true, false, ask, ask),
        (inspected("available", IfError), false, true, (Some(200), "offline"), (Some(504), "offline")),
        (refused(403, Fresh), true, false, (Some(403), "fresh"), (Some(403), "fresh")),
        (refused(404, IfError), false, false, ask, ask),
        (refused(404, IfError), false, true, (Some(504), "offline"), (Some(504), "offline")),
    ] {
        let expected =
            [of_exact, of_archive].map(|(status, rule): (Option<u16>, &str)| (status, rule.to_owned()));
        assert_eq!(rules(&known(Some(exact), sealed, offline)), expected);
    }
}

#[test]
fn what_a_rule_has_to_know_first_is_told_and_no_status_is_promised() {
    let judged = "policy, to be judged";
    let (trust, manifest) = (MissingFact::Trust, MissingFact::Manifest);
    for (facts, sealed, of_exact, of_archive) in [
        (vec![trust], true, (None, judged), (None, judged)),
        (vec![trust], false, (None, judged), (None, judged)),
        (vec![manifest], true, (Some(200), "fresh"), (None, judged)),
        (vec![manifest], false, (Some(200), "fresh"), (None, "fetch")),
        (vec![trust, manifest], true, (Some(200), "fresh"), (None, judged)),
    ] {
        let mut known = known(Some(inspected("available", Freshness::Fresh)), sealed, false);
        let rule = AwaitingRule { rule: "no-shell".to_owned(), facts: facts.iter().copied().collect() };
        known.awaiting = vec![rule];
        let expected =
            [of_exact, of_archive].map(|(status, rule): (Option<u16>, &str)| (status, rule.to_owned()));
        assert_eq!(rules(&known), expected, "{facts:?}");
        let archive = known.verdict().archive;
        assert!(archive.why.contains("`no-shell`"), "{facts:?}");
        assert_eq!(archive.waits_for.len(), facts.len(), "{facts:?}");
    }
}

#[test]
fn what_the_policy_refuses_is_refused_and_says_why() {
    let finding = |action, is_enforced| PolicyFinding {
        rule: "too-new".into(),
        action,
        reason: "policy:too-new: ask us".to_owned(),
        until: None,
        lacks: None,
        is_enforced,
    };
    for (action, is_enforced, expected) in [
        (PolicyAction::Deny, true, (Some(403), "policy")),
        (PolicyAction::Hold, true, (Some(403), "policy")),
        (PolicyAction::Discourage, true, (Some(200), "fresh")),
        (PolicyAction::Deny, false, (Some(200), "fresh")),
    ] {
        let mut known = known(Some(inspected("available", Freshness::Fresh)), true, false);
        known.policy = Some(Arc::new(finding(action, is_enforced)));
        let [(status, rule), (of_archive, _)] = rules(&known);
        assert_eq!((status, &*rule), expected, "{action}");
        assert_eq!(of_archive, expected.0, "{action}");
    }
}

#[test]
fn an_old_absence_offline_is_what_the_last_row_says() {
    for (state, status) in [
        (LifecycleState::Tombstoned, 404),
        (LifecycleState::Unavailable, 404),
        (LifecycleState::Blocked, 403),
    ] {
        let row = || Some(Status { state, reason: None });
        for is_held in [false, true] {
            let absence = || is_held.then(|| with_status(404, "{}".into(), Freshness::Expired));
            let rules = |row, offline| rules(&ReleaseFacts { row, ..known(absence(), true, offline) });
            let rule = |status, rule: &str| [(status, rule.to_owned()), (status, rule.to_owned())];
            assert_eq!(rules(row(), true), rule(Some(status), "row withdrawn"), "{state}");
            assert_eq!(rules(None, true), rule(Some(504), "offline"));
            assert_eq!(rules(row(), false), rule(None, "ask first"));
        }
    }
}

#[test]
fn what_a_registry_says_of_keeping_is_named() {
    let mut exact = inspected("available", Freshness::Fresh);
    let mut document = Document::clone(&exact.document);
    let keeping = Keeping { cap: Some(Cap { seconds: 9, by: CappedBy::SharedMaxAge }), ..Keeping::default() };
    document.meta.keeping = keeping;
    exact.document = document.into();
    let json = serde_json::to_value(held(&exact, DocumentSays::default())).unwrap();
    let verdict = known(Some(exact), false, false).verdict();
    assert!(verdict.exact.why.ends_with("the registry says s-maxage=9"));
    assert_eq!(json["keeping"], serde_json::json!({"cap": {"seconds": 9, "by": "s-maxage"}}));
}

#[test]
fn a_divergence_decides_before_all_else_and_nothing_held_is_told_apart() {
    let diverges = |due| {
        let (exact, divergence) =
            (inspected("available", Freshness::Fresh), Some((divergence().into(), due)));
        rules(&ReleaseFacts { divergence, ..known(Some(exact), true, false) })[0].clone()
    };
    let nothing =
        |upstream, offline| rules(&ReleaseFacts { upstream, ..known(None, true, offline) })[0].clone();
    let rule = |status, rule: &str| (status, rule.to_owned());
    assert_eq!(diverges(false), rule(Some(409), "divergent"));
    assert_eq!(diverges(true), rule(None, "divergent, due"));
    assert_eq!(nothing(Some(registry(true)), false), rule(None, "ask first"));
    assert_eq!(nothing(None, false), rule(Some(404), "no upstream"));
    assert_eq!(nothing(Some(registry(true)), true), rule(Some(504), "offline"));
}

#[test]
fn the_text_puts_the_verdict_first() {
    let exact = inspected("available", Freshness::Fresh);
    let explained = held(&exact, said(exact.document.content.release().unwrap()));
    let explanation = Explanation {
        volume: "@acme/x".parse().unwrap(),
        version: "1.0.0".parse().unwrap(),
        at: Timestamp(1_700_000_012_000),
        verdict: known(Some(exact), false, false).verdict(),
        upstream: Some(registry(true)),
        index: None,
        exact: Some(explained),
        trust_summary: None,
        trust_detail: None,
        pin: None,
        pin_trouble: None,
        other_pins: Vec::new(),
        divergence: Some(divergence()),
        refusal: None,
        archive: None,
        policy: Vec::new(),
    };
    insta::assert_snapshot!("explanation", explanation.to_string());
    let json = serde_json::to_string(&explanation).unwrap();
    assert_eq!(serde_json::from_str::<Explanation>(&json).unwrap(), explanation);
}
