//! The oracle finds what is wrong: a planted answer for each promise, beside the right one.

use bytes::Bytes;
use serde_json::json;

use super::super::ledger::{Exact, Fault, Outage, STANDINGS, Scope, Told};
use super::*;

/// Release 0 as published and told, its ledger and what its clients should see.
struct Scene {
    shelf: std::sync::Arc<Shelf>,
    ledger: Ledger,
}

const NOW: u64 = 2_000_000;

impl Scene {
    fn new() -> Self {
        let mut scene = Self { shelf: Shelf::new(), ledger: Ledger::default() };
        scene.ledger.releases[0].change(STANDINGS[0]);
        scene.tell();
        scene
    }

    /// The registry tells all it knows of the release.
    fn tell(&mut self) {
        self.ledger.orders += 1;
        let release = &mut self.ledger.releases[0];
        let (epoch, order, at) = (release.epoch, self.ledger.orders, NOW - 1000);
        let (rows, exact) = (release.rows(0), release.exact());
        let status = if let Exact::Refused(status) = exact { status } else { 200 };
        release.known.rows = Some(Told { what: rows, epoch, order, at });
        release.known.exact = Some(Told { what: exact, epoch, order, at });
        self.ledger.answered.insert(Route::Exact(0).path(), (at, status));
        self.ledger.answered.insert(Route::Index(0).path(), (at, 200));
    }

    fn judge(&self, route: Route, seen: &Seen) -> Option<Promise> {
        let Self { shelf, ledger } = self;
        let case = Case { shelf, route, before: ledger, after: ledger, now: NOW, offline: false };
        judge(&case, seen).err().map(|broken| broken.promise)
    }

    fn settled(&self, route: Route, seen: &Seen) -> Option<Promise> {
        settled(&self.ledger, route, 700, seen).err().map(|broken| broken.promise)
    }

    fn archive(&self, content: usize) -> Seen {
        Seen { status: 200, body: self.shelf.content(0, content).archive.clone(), ..Seen::default() }
    }

    fn exact(&self, content: usize, state: LifecycleState) -> Seen {
        let json = json!({
            "name": name(0).0, "purl": purl(0), "integrity": self.shelf.content(0, content).integrity,
            "status": { "state": state }, "dist": { "url": format!("{BASE}{}", Route::Archive(0).path()) },
        });
        Seen { status: 200, json, ..Seen::default() }
    }
}

fn refused(status: u16, slug: &str) -> Seen {
    Seen { status, slug: slug.into(), ..Seen::default() }
}

fn index(state: LifecycleState, reason: &str) -> Seen {
    let release = json!({ "url": format!("{BASE}{}", Route::Exact(0).path()) });
    let row =
        json!({ "version": name(0).1, "status": { "state": state, "reason": reason }, "release": release });
    Seen { status: 200, json: json!({ "items": [row] }), ..Seen::default() }
}

#[test]
fn other_bytes_are_found() {
    let scene = Scene::new();
    assert_eq!(scene.judge(Route::Archive(0), &scene.archive(0)), None);
    assert_eq!(scene.judge(Route::Archive(0), &scene.archive(1)), Some(Promise::Bytes));
    let cut = Seen { body: Bytes::from_static(b"\x1f\x8b"), ..scene.archive(0) };
    assert_eq!(scene.judge(Route::Archive(0), &cut), Some(Promise::Bytes));
    assert_eq!(scene.judge(Route::Exact(0), &scene.exact(0, LifecycleState::Available)), None);
    assert_eq!(
        scene.judge(Route::Exact(0), &scene.exact(1, LifecycleState::Available)),
        Some(Promise::Bytes)
    );
}

#[test]
fn what_is_no_longer_true_is_found() {
    let mut scene = Scene::new();
    for (standing, status, slug) in [
        (STANDINGS[2], 404, "not-found"),
        (STANDINGS[3], 403, "authorization-failed"),
        (STANDINGS[5], 409, INCONSISTENT),
    ] {
        scene.ledger.releases[0].change(standing);
        for route in [Route::Exact(0), Route::Archive(0)] {
            assert_eq!(scene.settled(route, &refused(status, slug)), None);
            assert_eq!(scene.settled(route, &scene.archive(0)), Some(Promise::Truth), "{standing:?}");
            assert_eq!(scene.settled(route, &refused(502, "")), Some(Promise::Truth), "{standing:?}");
        }
        assert_eq!(scene.settled(Route::Index(0), &index(standing.0, "")), None);
        assert_eq!(
            scene.settled(Route::Index(0), &index(LifecycleState::Available, "")),
            Some(Promise::Truth)
        );
    }
    scene.ledger.releases[0].change(STANDINGS[1]);
    assert_eq!(scene.settled(Route::Exact(0), &scene.exact(0, LifecycleState::Yanked)), None);
    assert_eq!(
        scene.settled(Route::Exact(0), &scene.exact(0, LifecycleState::Available)),
        Some(Promise::Truth)
    );
}

#[test]
fn age_is_not_freshness() {
    let scene = Scene::new();
    let hit = |cache_status: &str, age| Seen { cache_status: cache_status.into(), age, ..scene.archive(0) };
    assert_eq!(scene.judge(Route::Archive(0), &hit("scriptorium; hit; ttl=299", 1)), None);
    let young = hit("scriptorium; hit; ttl=299", 0);
    assert_eq!(scene.judge(Route::Archive(0), &young), Some(Promise::Freshness));
    let mut old = Scene::new();
    old.ledger.answered.insert(Route::Exact(0).path(), (NOW - 300_000, 200));
    let fresh = hit("scriptorium; hit; ttl=0", 300);
    assert_eq!(old.judge(Route::Archive(0), &fresh), Some(Promise::Freshness));
    let marked = hit("scriptorium; hit; ttl=0; detail=\"stale-while-revalidate\"", 300);
    assert_eq!(old.judge(Route::Archive(0), &marked), None);
}

#[test]
fn every_lie_that_is_believed_is_found_and_so_is_a_false_accusation() {
    let quarantined = || index(LifecycleState::Unavailable, "inconsistent-registry-state: state");
    let conflict = refused(409, INCONSISTENT);
    for lie in [
        Lie::RowIntegrity,
        Lie::RowState(LifecycleState::Yanked),
        Lie::RowLink,
        Lie::DuplicateRow,
        Lie::ExactName,
        Lie::ExactPurl,
        Lie::MissingRelease,
    ] {
        let mut scene = Scene::new();
        let release = &mut scene.ledger.releases[0];
        release.tell(Some(lie));
        scene.tell();
        for route in [Route::Exact(0), Route::Archive(0)] {
            assert_eq!(scene.settled(route, &conflict), None);
            assert_eq!(
                scene.settled(route, &scene.exact(0, LifecycleState::Available)),
                Some(Promise::Lies),
                "{lie:?}"
            );
            assert_eq!(scene.judge(route, &conflict), None);
        }
        assert_eq!(scene.judge(Route::Archive(0), &scene.archive(0)), Some(Promise::Lies), "{lie:?}");
        assert_eq!(scene.settled(Route::Index(0), &quarantined()), None);
        let believed = index(LifecycleState::Available, "");
        assert_eq!(scene.settled(Route::Index(0), &believed), Some(Promise::Lies), "{lie:?}");
    }
    let honest = Scene::new();
    assert_eq!(honest.judge(Route::Exact(0), &conflict), Some(Promise::Lies));
    assert_eq!(honest.judge(Route::Index(0), &quarantined()), Some(Promise::Lies));
}

#[test]
fn what_an_outage_must_not_do_is_found() {
    let mut scene = Scene::new();
    scene.ledger.releases[0].served = true;
    for route in [Route::Exact(0), Route::Archive(0)] {
        assert_eq!(scene.judge(route, &refused(404, "not-found")), Some(Promise::Outage));
        assert_eq!(scene.judge(route, &refused(502, "")), Some(Promise::Outage));
    }
    assert_eq!(scene.judge(Route::Index(0), &refused(404, "not-found")), Some(Promise::Outage));
    scene.ledger.releases[0].change(STANDINGS[3]);
    scene.tell();
    scene.ledger.outage = Some(Outage(Fault::Unreachable, Scope::Everything));
    assert_eq!(scene.judge(Route::Archive(0), &refused(502, "")), None);
    assert_eq!(scene.judge(Route::Archive(0), &scene.archive(0)), Some(Promise::Outage));
}
