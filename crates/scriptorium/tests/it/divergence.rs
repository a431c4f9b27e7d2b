//! Reconciliation: what the index and the exact metadata say of one release is held against each other.
//! Every contradiction is told with both claims; pairs that mean the same are none.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::divergence::{assert_divergent, assert_shape, assert_sources, refusal};
use crate::support::{Answer, Conversation, Lie, Proxy, Release, Reply, Setup, Upstream, each, eventually};

fn lamp() -> Release {
    Release::new("@acme/lamp", "1.0.0")
}

fn lying(lie: Lie) -> (Upstream, Release, Proxy) {
    let (upstream, release) = (Upstream::start(), lamp());
    upstream.publish(&release);
    lie.tell(&upstream, &release);
    let proxy = Setup::before(&upstream).start();
    if matches!(lie, Lie::Refused(..)) {
        // A refusal is worth no question of its own: it is held against an index that is there.
        proxy.client().get(&release.index()).ok();
    }
    (upstream, release, proxy)
}

#[test]
fn a_contradiction_is_a_conflict_that_names_both_sides() {
    each(Lie::ALL, |lie| {
        let (upstream, release, proxy) = lying(lie);
        for target in [release.exact(), release.download()] {
            let problem = assert_divergent(&proxy.client().get(&target), &release, "release", lie.kind());
            let detail = problem["detail"].as_str().unwrap();
            for value in lie.values(&release) {
                assert!(detail.contains(&value), "{lie:?}: {value} is not named in: {detail}");
            }
            if matches!(lie.kind(), "integrity" | "state") {
                assert_sources(&problem["divergence"], ["exact", "index"]);
            }
        }
        assert_eq!(upstream.requests(&release.source()), 0, "{lie:?}: the archive was fetched");
    });
}

#[test]
fn the_claims_are_what_each_side_said() {
    let (_upstream, release, proxy) = lying(Lie::RowIntegrity);
    let problem = proxy.client().get(&release.exact()).problem(409, "inconsistent-registry-state");
    let claims = problem["divergence"]["claims"].as_array().unwrap();
    let said: BTreeSet<_> = claims.iter().map(|claim| claim["says"].as_str().unwrap()).collect();
    let values = Lie::RowIntegrity.values(&release);
    assert_eq!(said.len(), 2);
    for value in &values {
        assert!(
            said.iter().any(|says| says.contains(value.as_str())),
            "{value} is in no claim of {claims:?}"
        );
    }
    for claim in claims {
        assert!(claim["fetched_at"].is_string() && claim["upstream"] == "public", "{claim}");
        let truth = claim["says"].as_str().unwrap().contains(&release.integrity());
        assert_eq!(claim["source"], if truth { "exact" } else { "index" }, "{claim}");
    }
}

#[test]
fn a_contradiction_is_noticed_whichever_side_is_asked_for_first() {
    each(Lie::ALL, |lie| {
        let (_upstream, release, proxy) = lying(lie);
        proxy.client().get(&release.index()).ok();
        assert_divergent(&proxy.client().get(&release.exact()), &release, "release", lie.kind());
        let (_upstream, release, proxy) = lying(lie);
        assert_divergent(&proxy.client().get(&release.download()), &release, "release", lie.kind());
    });
}

#[test]
fn an_open_divergence_is_listed_and_counted() {
    each(Lie::ALL, |lie| {
        let (_upstream, release, proxy) = lying(lie);
        assert!(proxy.divergences().is_empty() && proxy.open_divergences() == 0.0);
        let refused = proxy.client().get(&release.exact()).problem(409, "inconsistent-registry-state");
        let listed = proxy.divergences();
        assert_eq!(listed.len(), 1, "{lie:?}: {listed:?}");
        assert_shape(&listed[0], &release, "release", lie.kind());
        assert_eq!(listed[0]["since"], refused["divergence"]["since"]);
        assert_eq!(listed[0]["claims"], refused["divergence"]["claims"]);
        assert_eq!(proxy.open_divergences(), 1.0, "{lie:?}");
    });
}

#[test]
fn a_lying_release_is_asked_for_twice_and_then_left_alone() {
    each(Lie::ALL, |lie| {
        let (upstream, release, proxy) = lying(lie);
        for _ in 0..5 {
            assert_eq!(proxy.client().get(&release.exact()).status, 409, "{lie:?}");
            assert_eq!(proxy.client().get(&release.download()).status, 409, "{lie:?}");
        }
        let asked = (upstream.requests(&release.exact()), upstream.requests(&release.index()));
        assert_eq!(asked, (2, 2), "{lie:?}: requests for exact metadata and index");
    });
}

/// Asks from thirty connections at once; the upstream answers when every request has been sent.
fn crowd(upstream: &Upstream, proxy: &Proxy, release: &Release, targets: &[String]) -> Vec<Answer> {
    let hold = upstream.hold(&release.exact());
    let mut conversations: Vec<_> = (0..30).map(|_| Conversation::open(proxy.client().0).unwrap()).collect();
    for (conversation, target) in conversations.iter_mut().zip(targets.iter().cycle()) {
        conversation.ask("GET", target, &[]).unwrap();
    }
    eventually("the one request", || (upstream.requests(&release.exact()) > 0).then_some(()));
    hold.release();
    conversations.into_iter().map(|mut conversation| conversation.answer().unwrap()).collect()
}

#[test]
fn a_crowd_before_a_lying_release_asks_no_more_than_one_client() {
    for lie in [Lie::RowIntegrity, Lie::RowState("blocked"), Lie::TwoRows, Lie::Refused("available", 404)] {
        let (upstream, release, proxy) = lying(lie);
        let answers = crowd(&upstream, &proxy, &release, &[release.exact(), release.download()]);
        for answer in answers {
            assert_divergent(&answer, &release, "release", lie.kind());
        }
        let asked = (upstream.requests(&release.exact()), upstream.requests(&release.index()));
        assert_eq!(asked, (2, 2), "{lie:?}: requests for exact metadata and index");
        assert_eq!(upstream.requests(&release.source()), 0);
        assert_eq!(proxy.divergences().len(), 1);
    }
}

/// What the two routes say of one release, and which status the exact route must answer for it.
struct Pair {
    what: &'static str,
    rows: Vec<Value>,
    exact: Reply,
    status: u16,
}

fn agreeing(upstream: &Upstream, release: &Release) -> Vec<Pair> {
    let base = upstream.url();
    let row = |state: &str| release.clone().state(state, "a reason").row(&base);
    let refused = |what, state, status| Pair { what, rows: vec![row(state)], exact: refusal(status), status };
    let unlisted = |what, status| Pair { what, rows: Vec::new(), exact: refusal(status), status };
    let found = |what, row| {
        let exact = Reply::json(&release.metadata(&base));
        Pair { what, rows: vec![row], exact, status: 200 }
    };
    let linked = |what, url: String| {
        let mut row = release.row(&base);
        row["release"]["url"] = url.into();
        found(what, row)
    };
    let mut silent = release.row(&base);
    silent.as_object_mut().unwrap().remove("integrity");
    let encoded = release.exact().replace('@', "%40");
    vec![
        refused("tombstoned and 403", "tombstoned", 403),
        refused("tombstoned and 404", "tombstoned", 404),
        refused("tombstoned and 409", "tombstoned", 409),
        refused("tombstoned and 410", "tombstoned", 410),
        refused("blocked and 403", "blocked", 403),
        refused("blocked and 404", "blocked", 404),
        refused("blocked and 409", "blocked", 409),
        refused("blocked and 410", "blocked", 410),
        refused("unavailable and 404", "unavailable", 404),
        refused("unavailable and 409", "unavailable", 409),
        refused("unavailable and 410", "unavailable", 410),
        unlisted("no row and 404", 404),
        unlisted("no row and 403", 403),
        unlisted("no row and 409", 409),
        unlisted("no row and 410", 410),
        Pair { what: "no row", rows: Vec::new(), exact: Reply::json(&release.metadata(&base)), status: 200 },
        found("a row without integrity", silent),
        linked("a relative link", release.exact()),
        linked("an encoded link", format!("{base}{encoded}")),
        linked("an encoded, relative link", encoded),
        linked("a link to another host", format!("https://volumes.example{}", release.exact())),
    ]
}

/// Asks for everything about a release, twice, and expects no word of a divergence.
fn assert_agreed(proxy: &Proxy, release: &Release, targets: &[String], what: &str, status: u16) {
    for target in [targets, targets].concat() {
        let answer = proxy.client().get(&target);
        assert!(!answer.text().contains("\"divergence\""), "{what}: {target}: {}", answer.text());
        if target == release.exact() {
            assert_eq!(answer.status, status, "{what}: {}", answer.text());
            let own = status == 200 || answer.text().contains("Words of the registry's own.");
            assert!(own, "{what}: {}", answer.text());
        }
        if target == release.download() {
            assert_eq!(answer.status == 200, status == 200, "{what}: {}", answer.text());
        }
    }
    assert_eq!(proxy.divergences(), Vec::<Value>::new(), "{what}");
    assert_eq!(proxy.open_divergences(), 0.0, "{what}");
}

#[test]
fn answers_that_mean_the_same_are_no_divergence() {
    let upstream = Upstream::start();
    let count = agreeing(&upstream, &lamp()).len();
    each(0..count, |number| {
        let (upstream, release) = (Upstream::start(), lamp());
        let Pair { what, rows, exact, status } = agreeing(&upstream, &release).swap_remove(number);
        let other = Release::new(&release.name, "0.9.0");
        upstream.publish(&other);
        upstream.publish(&release);
        upstream.say(&release, rows.clone(), exact);
        let (index, exact, archive) = (release.index(), release.exact(), release.download());
        for targets in [[index.clone(), exact.clone(), archive.clone()], [archive, exact, index]] {
            let proxy = Setup::before(&upstream).start();
            assert_agreed(&proxy, &release, &targets, what, status);
            let shown = proxy.client().get(&release.index()).ok().json();
            let state = shown["items"].as_array().unwrap().iter().find(|row| row["version"] == "1.0.0");
            assert_eq!(state.map(|row| &row["status"]), rows.first().map(|row| &row["status"]), "{what}");
        }
    });
}

#[test]
fn an_index_that_is_not_there_says_nothing_of_a_release() {
    for index in [refusal(404), Reply::failure(500), Reply::document("not JSON")] {
        let (upstream, release) = (Upstream::start(), lamp());
        upstream.publish(&release);
        upstream.reply(&release.index(), index);
        let proxy = Setup::before(&upstream).start();
        assert_agreed(&proxy, &release, &[release.exact(), release.download()], "no index", 200);
    }
}

#[test]
fn a_release_that_is_nowhere_is_no_divergence() {
    let upstream = Upstream::start();
    let proxy = Setup::before(&upstream).start();
    for target in [lamp().index(), lamp().exact(), lamp().download()] {
        proxy.client().get(&target).problem(404, "not-found");
    }
    assert_eq!(proxy.divergences(), Vec::<Value>::new());
}

#[test]
fn an_index_alone_does_not_end_what_exact_metadata_was_part_of() {
    let cases = ["available", "yanked"].map(|state| [false, true].map(|down| (state, down)));
    each(cases.concat(), |(state, down)| {
        let (upstream, release, other) = (Upstream::start(), lamp(), Release::new("@acme/lamp", "1.1.0"));
        upstream.publish(&other);
        upstream.publish(&release);
        Lie::Refused(state, 404).tell(&upstream, &release);
        let mut proxy = Setup::before(&upstream).set("cache.negative_ttl", "0s").start();
        proxy.client().get(&release.index()).ok();
        assert_divergent(&proxy.client().get(&release.exact()), &release, "release", "presence");
        if down {
            upstream.down();
        }
        for _ in 0..2 {
            // The 404 was held in memory, and is gone.
            proxy.restart();
            for _ in 0..2 {
                let index = proxy.client().get(&release.index()).ok().json();
                let rows = index["items"].as_array().unwrap();
                let row = rows.iter().find(|row| row["version"] == "1.0.0").unwrap();
                assert_eq!(row["status"]["state"], "unavailable", "{state}: {row}");
                let open = proxy.divergences();
                assert_eq!(open.len(), 1, "{state}: {open:?}");
                assert_shape(&open[0], &release, "release", "presence");
            }
            assert_divergent(&proxy.client().get(&release.exact()), &release, "release", "presence");
            assert_eq!(proxy.files("divergences").len(), 1, "{state}");
        }
        if !down {
            upstream.publish(&release);
            proxy.restart();
            proxy.client().get(&release.index()).ok();
            proxy.agrees_again();
            proxy.client().get(&release.exact()).ok();
        }
    });
}

#[test]
fn one_release_can_diverge_while_others_of_its_volume_agree() {
    let (upstream, bad, good) = (Upstream::start(), lamp(), Release::new("@acme/lamp", "1.1.0"));
    upstream.publish(&good);
    upstream.publish(&bad);
    Lie::RowIntegrity.tell(&upstream, &bad);
    let proxy = Setup::before(&upstream).start();
    assert_divergent(&proxy.client().get(&bad.exact()), &bad, "release", "integrity");
    assert_eq!(proxy.client().get(&good.exact()).ok().json()["status"], json!({ "state": "available" }));
    assert_eq!(proxy.client().get(&good.download()).ok().body, good.archive());
    assert_eq!(proxy.divergences().len(), 1);
}
