//! What a divergence does while it is open, and that it ends by itself: one row set aside, or the whole
//! index refused, until the registry agrees with itself again.

use serde_json::{Value, json};

use crate::support::divergence::{assert_divergent, assert_shape, refusal, replaced};
use crate::support::{Answer, Lie, Proxy, Release, Reply, Setup, Upstream, each, eventually};

fn lamp() -> Release {
    Release::new("@acme/lamp", "1.0.0")
}

/// A registry with three releases that keeps its word, and a proxy whose answers go stale soon.
fn started(change: impl FnOnce(Setup) -> Setup) -> (Upstream, Proxy) {
    let upstream = Upstream::start();
    for version in ["0.9.0", "1.0.0", "1.1.0"] {
        upstream.publish(&Release::new("@acme/lamp", version));
    }
    let proxy = change(Setup::before(&upstream).short_lived()).start();
    proxy.client().get(&lamp().index()).ok();
    (upstream, proxy)
}

fn until_refused(proxy: &Proxy, target: &str) -> Answer {
    eventually("a refusal", || Some(proxy.client().get(target)).filter(|answer| answer.status != 200))
}

fn until_served(proxy: &Proxy, target: &str) -> Answer {
    eventually("an answer", || Some(proxy.client().get(target)).filter(|answer| answer.status == 200))
}

/// The rows of a version in the index as a client sees it.
fn rows(proxy: &Proxy, version: &str) -> Vec<Value> {
    let index = proxy.client().get(&lamp().index()).ok().json();
    let rows = index["items"].as_array().unwrap().iter();
    rows.filter(|row| row["version"] == version).cloned().collect()
}

fn is_quarantined(row: &Value) -> bool {
    is_shown_as(row, "unavailable", "inconsistent-registry-state:")
}

fn is_shown_as(row: &Value, state: &str, why: &str) -> bool {
    row["status"]["state"] == state && row["status"]["reason"].as_str().unwrap_or_default().starts_with(why)
}

/// Whether a row is set aside for this lie: a block is never softened.
fn is_set_aside(row: &Value, lie: Lie) -> bool {
    match lie {
        Lie::RowState("blocked") => is_shown_as(row, "blocked", "inconsistent-registry-state:"),
        Lie::Refused(_, 403) => is_shown_as(row, "blocked", "authorization-failed:"),
        _ => is_quarantined(row),
    }
}

/// A row with odd members in odd spellings.
fn odd_row(version: &str, base: &str, integrity: &str, status: &str) -> String {
    let url = base.to_owned() + &Release::new("@acme/lamp", version).exact();
    format!(
        r#"{{ "zebra":1.10,"apple":[1e400,-0,"\u00e9 \/"], "version" : "{version}", "status":{status},
        "release": {{"url":"{url}","x":null}}, "integrity":"{integrity}", "dependencies":{{"zed":"^1.0.0"}}, "end":0.0 }}"#
    )
}

/// An index of three such rows in two halves; between them stands the status of the row that lies.
fn odd_index(base: &str) -> (String, String) {
    let truth = |version| Release::new("@acme/lamp", version).integrity();
    let fine = r#"{"state":"yanked", "reason":"\u0041", "by":[]}"#;
    let first = odd_row("0.9.0", base, &truth("0.9.0"), fine);
    let lying = odd_row("1.0.0", base, &replaced(&lamp()).integrity(), "STATUS");
    let last = odd_row("1.1.0", base, &truth("1.1.0"), fine);
    let index = format!(r#"{{ "z":1.10, "items" : [ {first} ,{lying}, {last}],"after":[-0] }}"#);
    let (left, right) = index.split_once("STATUS").unwrap();
    (left.to_owned(), right.to_owned())
}

#[test]
fn a_divergent_row_is_set_aside_and_the_rest_stays_byte_for_byte() {
    let (upstream, release) = (Upstream::start(), lamp());
    upstream.publish(&release);
    let status = r#"{ "state" : "available", "since":1.50 }"#;
    let (left, right) = odd_index(&upstream.url());
    upstream.reply(&release.index(), Reply::document(left + status + &right));
    let proxy = Setup::before(&upstream).start();
    let (left, right) = odd_index(&format!("http://{}", proxy.authority()));

    let first = proxy.client().get(&release.index()).ok();
    assert_eq!(first.text(), format!("{left}{status}{right}"), "nothing is known against the row yet");
    assert_divergent(&proxy.client().get(&release.exact()), &release, "release", "integrity");

    let aside = proxy.client().get(&release.index()).ok();
    let shown = aside.text();
    assert!(shown.starts_with(&left) && shown.ends_with(&right), "more than a status changed:\n{shown}");
    let status = &shown[left.len()..shown.len() - right.len()];
    assert!(status.starts_with('{') && status.ends_with('}'), "more than a status changed: {status}");
    let row = json!({ "status": serde_json::from_str::<Value>(status).unwrap() });
    assert!(is_quarantined(&row), "{row}");

    assert_ne!(aside.header("etag"), first.header("etag"), "another body is another entity");
    let tag = first.header("etag").unwrap();
    let again = proxy.client().get_with(&release.index(), "if-none-match", tag);
    assert_eq!(again.status, 200, "a client kept the row that was set aside");
}

#[test]
fn every_divergent_row_is_set_aside_and_no_other() {
    each(Lie::ALL, |lie| {
        let (upstream, proxy) = started(|setup| setup);
        lie.tell(&upstream, &lamp());
        assert_divergent(&until_refused(&proxy, &lamp().exact()), &lamp(), "release", lie.kind());
        let divergent = rows(&proxy, "1.0.0");
        let count = match lie {
            Lie::TwoRows => 2,
            _ => 1,
        };
        assert_eq!(divergent.len(), count, "{lie:?}");
        assert!(divergent.iter().all(|row| is_set_aside(row, lie)), "{lie:?}: {divergent:?}");
        for version in ["0.9.0", "1.1.0"] {
            let other = Release::new("@acme/lamp", version);
            assert_eq!(rows(&proxy, version), [other.row(&format!("http://{}", proxy.authority()))]);
            proxy.client().get(&other.exact()).ok();
            assert_eq!(proxy.client().get(&other.download()).ok().body, other.archive(), "{lie:?}");
        }
    });
}

#[test]
fn a_divergence_ends_when_the_registry_agrees_with_itself_again() {
    each(Lie::ALL, |lie| {
        let (upstream, proxy) = started(|setup| setup);
        let release = lamp();
        assert_eq!(proxy.client().get(&release.download()).ok().body, release.archive());
        lie.tell(&upstream, &release);
        assert_divergent(&until_refused(&proxy, &release.download()), &release, "release", lie.kind());
        assert_divergent(&proxy.client().get(&release.exact()), &release, "release", lie.kind());

        upstream.publish(&release);
        until_served(&proxy, &release.exact());
        assert_eq!(until_served(&proxy, &release.download()).body, release.archive(), "{lie:?}");
        assert_eq!(upstream.requests(&release.source()), 1, "{lie:?}: the archive was here all the time");
        proxy.agrees_again();
        eventually("the row again", || {
            let rows = rows(&proxy, "1.0.0");
            (rows.len() == 1 && rows[0]["status"]["state"] == "available").then_some(())
        });
    });
}

#[test]
fn a_divergence_becomes_the_state_that_the_registry_settles_on() {
    let (upstream, proxy) = started(|setup| setup);
    let release = lamp();
    Lie::RowState("blocked").tell(&upstream, &release);
    assert_divergent(&until_refused(&proxy, &release.exact()), &release, "release", "state");
    let row = release.clone().state("blocked", "malicious").row(&upstream.url());
    upstream.say(&release, [row], refusal(403));
    for target in [release.exact(), release.download()] {
        eventually("the block", || (proxy.client().get(&target).status == 403).then_some(()));
    }
    proxy.agrees_again();
    assert_eq!(rows(&proxy, "1.0.0")[0]["status"]["state"], "blocked");
}

#[test]
fn one_divergence_can_turn_into_another() {
    let (upstream, proxy) = started(|setup| setup);
    let release = lamp();
    Lie::RowIntegrity.tell(&upstream, &release);
    assert_divergent(&until_refused(&proxy, &release.exact()), &release, "release", "integrity");
    Lie::RowState("blocked").tell(&upstream, &release);
    eventually("the other divergence", || {
        let answer = proxy.client().get(&release.exact());
        let problem = answer.problem(409, "inconsistent-registry-state");
        (problem["divergence"]["kind"] == "state").then_some(())
    });
    assert_eq!(proxy.divergences().len(), 1, "what was mended is still listed");
}

#[test]
fn where_failing_is_configured_the_whole_index_is_refused() {
    let (upstream, proxy) = started(|setup| setup.set("consistency.on_divergence", "fail"));
    let release = lamp();
    Lie::RowIntegrity.tell(&upstream, &release);
    assert_divergent(&until_refused(&proxy, &release.exact()), &release, "release", "integrity");
    proxy.client().get(&release.download()).problem(409, "inconsistent-registry-state");
    let refused = until_refused(&proxy, &release.index());
    let problem = refused.problem(409, "inconsistent-registry-state");
    assert!(problem["detail"].as_str().unwrap().contains("1.0.0"), "{problem}");
    assert_eq!(proxy.client().get("/api/v1/index/volumes/other").status, 404, "another volume's index");

    upstream.publish(&release);
    for target in [release.index(), release.exact(), release.download()] {
        until_served(&proxy, &target);
    }
    proxy.agrees_again();
}

#[test]
fn an_open_divergence_outlives_the_process_and_the_registry() {
    for lie in [Lie::RowIntegrity, Lie::RowState("blocked"), Lie::TwoRows, Lie::Refused("available", 404)] {
        let (upstream, mut proxy) = started(|setup| setup);
        let release = lamp();
        proxy.client().get(&release.download()).ok();
        lie.tell(&upstream, &release);
        until_refused(&proxy, &release.download()).problem(409, "inconsistent-registry-state");
        let since = proxy.divergences()[0]["since"].clone();
        upstream.down();
        proxy.restart();
        let listed = proxy.divergences();
        assert_eq!(listed.len(), 1, "{lie:?}");
        assert_shape(&listed[0], &release, "release", lie.kind());
        assert_eq!(listed[0]["since"], since);
        assert_eq!(proxy.open_divergences(), 1.0);
        for target in [release.exact(), release.download()] {
            assert_divergent(&proxy.client().get(&target), &release, "release", lie.kind());
        }
        assert!(rows(&proxy, "1.0.0").iter().all(|row| is_set_aside(row, lie)), "{lie:?}");

        upstream.publish(&release);
        upstream.up();
        assert_eq!(until_served(&proxy, &release.download()).body, release.archive(), "{lie:?}");
        proxy.agrees_again();
    }
}

#[test]
fn a_divergence_that_ended_stays_ended_after_a_restart() {
    let (upstream, mut proxy) = started(|setup| setup);
    Lie::RowIntegrity.tell(&upstream, &lamp());
    until_refused(&proxy, &lamp().exact());
    assert_eq!(proxy.divergences().len(), 1);
    upstream.publish(&lamp());
    until_served(&proxy, &lamp().exact());
    proxy.agrees_again();
    proxy.crash_and_restart();
    proxy.agrees_again();
    proxy.client().get(&lamp().exact()).ok();
}

#[test]
fn divergences_are_for_operators_alone() {
    let (_upstream, proxy) = started(|setup| setup);
    proxy.client().get("/admin/v1/divergences").problem(404, "not-found");
    let refused = proxy.admin().send("POST", "/admin/v1/divergences", &[("content-length", "0")]);
    assert_eq!(refused.status, 405);
}

#[test]
fn many_lies_about_one_volume_cost_few_questions_about_its_index() {
    let (upstream, versions) = (Upstream::start(), 0..12);
    let releases: Vec<_> =
        versions.map(|minor| Release::new("@acme/lamp", &format!("1.{minor}.0"))).collect();
    releases.iter().for_each(|release| upstream.publish(release));
    let proxy = Setup::before(&upstream).start();
    for release in &releases {
        proxy.client().get(&release.exact()).ok();
    }
    assert_eq!(upstream.requests(&lamp().index()), 1);
    for release in &releases {
        upstream.list(&release.name, release.clone().state("yanked", "a lie").row(&upstream.url()));
    }
    proxy.invalidate(&json!({ "volume": "@acme/lamp" }));
    let index = proxy.client().get(&lamp().index()).ok().json();
    assert!(index["items"].as_array().unwrap().iter().all(is_quarantined), "{index}");
    let asked = upstream.requests(&lamp().index());
    assert!((3..=4).contains(&asked), "as it came, and once more for all of them, not {asked} times");
    for release in &releases {
        assert_eq!(upstream.requests(&release.exact()), 2);
    }
    assert_eq!(proxy.divergences().len(), releases.len());
}
