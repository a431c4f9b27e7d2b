//! What registries say about no volume belongs to a mirror: their capabilities, and every page of their list of advisories.

use serde_json::{Value, json};

use super::{house, lamps};
use crate::support::mirror::{Desk, asked, missing, reason};
use crate::support::{Release, Reply, Setup, Upstream};

const LIST: &str = "/api/v1/advisories";
const CAPABILITIES: &str = "/api/v1/capabilities";

/// An advisory about every version of `volume` below 1.1.0.
pub(crate) fn advisory(id: &str, volume: &str) -> Value {
    json!({
        "id": { "local": id }, "source": { "ecosystem": "bibliotheca" },
        "severity": "high", "published": "2026-01-01T00:00:00Z", "updated": "2026-01-01T00:00:00Z",
        "affected": {
            "volume": volume,
            "ranges": [{ "type": "semver", "events": [{ "introduced": "0" }, { "fixed": "1.1.0" }] }],
        },
    })
}

/// Lets a registry list `advisories`, two on a page.
pub(crate) fn list_advisories(upstream: &Upstream, advisories: Vec<Value>) {
    upstream.compute("GET", LIST, move |request| {
        let offset: usize =
            request.query().strip_prefix("offset=").map_or(0, |offset| offset.parse().unwrap());
        let page: Vec<_> = advisories.iter().skip(offset).take(2).collect();
        Reply::json(&json!({ "items": page, "total": advisories.len() })).tagged()
    });
}

pub(crate) fn capabilities() -> Value {
    json!({
        "schemaVersion": "1", "specVersion": "0.1.0-rc.1", "apiVersion": "v1",
        "scopePolicy": { "scopesSupported": true, "scopelessSupported": true, "scopesRequired": false },
        "deliveryModes": ["cdn"],
        "apis": {
            "trustMetadata": true, "versionIndex": true, "releaseUploads": false, "trustUploads": false,
            "advisories": true,
        },
    })
}

#[test]
fn a_sync_asks_for_them_whether_or_not_a_rule_needs_them_and_later_by_conditions() {
    let upstream = house();
    let all = ["AV-1", "AV-2", "AV-3", "AV-4", "AV-5"].map(|id| advisory(id, "bulb"));
    list_advisories(&upstream, all.into());
    upstream.reply(CAPABILITIES, Reply::json(&capabilities()).tagged());
    let desk = Desk::new(&lamps(&upstream));
    let (code, plan) = desk.mirror(&["plan", "ci"]);
    // Three indexes; exact metadata and archive of four releases; capabilities and one page of advisories.
    assert_eq!((code, &plan["requests"]), (0, &json!(3 + 4 + 4 + 2)), "{plan}");
    let (code, sync) = desk.mirror(&["sync", "ci"]);
    // Of the five there are three pages.
    assert_eq!((code, &sync["requests"]), (0, &json!(3 + 4 + 4 + 4)), "{sync}");
    let here = json!([{ "registry": "public", "capabilities": true, "advisories": 5 }]);
    assert_eq!(sync["registries"], here);
    let (code, status) = desk.mirror(&["status", "ci"]);
    assert_eq!((code, &status["registries"]), (0, &here), "{status}");
    asked(&upstream);
    let (code, again) = desk.mirror(&["sync", "ci"]);
    assert_eq!((code, &again["registries"], asked(&upstream)), (0, &here, (3 + 4 + 4, 0, 0)), "{again}");
    assert_eq!(again["fetched"], json!({ "documents": 0, "archives": 0, "bytes": 0 }));
    let (_, plan) = desk.mirror(&["plan", "ci"]);
    assert_eq!((&plan["requests"], &plan["registries"]), (&json!(3 + 4 + 4), &here), "{plan}");
}

#[test]
fn a_registry_without_them_is_noted_and_lacks_nothing() {
    let upstream = house();
    let desk = Desk::new(&lamps(&upstream));
    let (code, sync) = desk.mirror(&["sync", "ci"]);
    assert_eq!((code, missing(&sync).len()), (0, 0), "{sync}");
    assert_eq!(
        sync["registries"],
        json!([{ "registry": "public", "capabilities": false, "advisories": null }])
    );
}

#[test]
fn a_list_that_cannot_be_read_as_a_whole_is_missing_and_the_one_that_is_here_stays() {
    let upstream = house();
    list_advisories(&upstream, vec![advisory("AV-1", "bulb")]);
    let desk = Desk::new(&lamps(&upstream));
    assert_eq!(desk.mirror(&["sync", "ci"]).0, 0);
    upstream.reply_to("GET", LIST, Reply::problem(403, "authorization-failed", "No", "Not for you."));
    let (code, sync) = desk.mirror(&["sync", "ci"]);
    assert_eq!((code, missing(&sync)), (1, vec!["@acme/lamp@1.1.0".to_owned()]), "{sync}");
    let why = reason(&sync, "@acme/lamp@1.1.0");
    assert!(why.contains("list of advisories of its registry public") && why.contains("403"), "{why}");
    assert_eq!(sync["fetched"]["archives"], 0, "it costs the releases nothing");
    assert_eq!(sync["registries"][0]["advisories"], 1, "{sync}");
}

#[test]
fn a_total_that_no_page_bears_out_ends_with_the_first_page_that_brings_nothing_new() {
    let upstream = house();
    let same = json!({ "items": [advisory("AV-1", "bulb")], "total": 1_000_000_000 });
    upstream.reply(LIST, Reply::json(&same));
    let desk = Desk::new(&lamps(&upstream));
    let (code, sync) = desk.mirror(&["sync", "ci"]);
    assert_eq!((code, &sync["registries"][0]["advisories"]), (0, &json!(1)), "{sync}");
    assert_eq!(upstream.requests(LIST), 2);
}

#[test]
fn each_registry_of_a_mirror_is_asked_and_no_other() {
    let [one, other, idle] = [(); 3].map(|()| Upstream::start());
    one.publish(&Release::new("lamp", "1.0.0"));
    other.publish(&Release::new("@corp/bulb", "1.0.0"));
    list_advisories(&one, vec![advisory("AV-1", "lamp")]);
    list_advisories(&other, vec![advisory("AV-2", "@corp/bulb"), advisory("AV-3", "@corp/bulb")]);
    let mut setup = Setup::before(&one).set("upstream.volumes", vec!["lamp"]);
    for (name, upstream) in [("corp", &other), ("idle", &idle)] {
        setup = setup.upstream(name, &upstream.url()).set("upstream.volumes", vec![format!("@{name}/*")]);
    }
    let desk = Desk::new(&setup.mirror("ci", "roots = [\"lamp\", \"@corp/bulb\"]\ntrust = false"));
    let (code, sync) = desk.mirror(&["sync", "ci"]);
    assert_eq!(code, 0, "{sync}");
    let mut counts: Vec<_> = sync["registries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|of| (of["registry"].as_str().unwrap(), of["advisories"].as_u64().unwrap()))
        .collect();
    counts.sort_unstable();
    assert_eq!(counts, [("corp", 2), ("public", 1)]);
    assert!(idle.seen().is_empty());
}

#[test]
fn a_list_that_hangs_holds_up_no_release() {
    let upstream = house();
    let held = upstream.hold(LIST);
    let desk = Desk::new(&lamps(&upstream));
    let sync = desk.command(&["sync", "ci", "--json"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    crate::support::eventually("the question", || (upstream.requests(LIST) == 1).then_some(()));
    assert_eq!(asked(&upstream).2, 4, "every archive came before");
    held.release();
    assert_eq!(sync.wait_with_output().unwrap().status.code(), Some(0));
}
