//! Explanations: why a release is answered as it is, on the admin port and by command, without asking
//! anybody else.

use std::process::Output;

use serde_json::Value;

use crate::support::divergence::{assert_shape, refusal};
use crate::support::proxy::scriptorium;
use crate::support::{Lie, Proxy, Release, Setup, Upstream, each, eventually, free_port};

const MEMBERS: [&str; 9] =
    ["volume", "version", "verdict", "index", "exact", "pin", "divergence", "archive", "upstream"];

fn lamp() -> Release {
    Release::new("@acme/lamp", "1.0.0")
}

fn warmed() -> (Upstream, Proxy) {
    let upstream = Upstream::start();
    upstream.publish(&lamp());
    let proxy = Setup::before(&upstream).short_lived().start();
    for target in [lamp().index(), lamp().exact(), lamp().download()] {
        proxy.client().get(&target).ok();
    }
    (upstream, proxy)
}

/// Asserts the shape of an explanation and what it says that the two routes answer.
#[track_caller]
fn assert_explained(explanation: &Value, exact: impl Into<Value>, archive: impl Into<Value>) {
    for member in MEMBERS {
        assert!(explanation.get(member).is_some(), "no {member} in {explanation}");
    }
    assert_eq!((&explanation["volume"], &explanation["version"]), (&"@acme/lamp".into(), &"1.0.0".into()));
    for (route, status) in [("exact", exact.into()), ("archive", archive.into())] {
        let verdict = &explanation["verdict"][route];
        assert_eq!(verdict["status"], status, "{route}: {explanation}");
        for member in ["rule", "why"] {
            let text = verdict[member].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "no {member} of {route} in {explanation}");
        }
    }
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The explanation by command, as text and as JSON.
#[track_caller]
fn by_command(proxy: &Proxy) -> (String, Value) {
    let release = "@acme/lamp@1.0.0";
    let [told, json] = [&[release][..], &[release, "--json"]].map(|arguments| {
        let output = proxy.explain_by_command(arguments);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {errors}");
        text(&output)
    });
    let json = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error} in {json}"));
    (told, json)
}

#[test]
fn a_release_that_is_served_is_explained() {
    let (_upstream, proxy) = warmed();
    for volume in ["@acme/lamp", "%40acme%2Flamp"] {
        let explanation = proxy.explain(volume, "1.0.0");
        assert_explained(&explanation, 200, 200);
        for member in ["index", "exact", "pin", "archive", "upstream"] {
            assert!(!explanation[member].is_null(), "{member} is known: {explanation}");
        }
        assert!(explanation["divergence"].is_null(), "{explanation}");
        assert!(explanation["pin"].to_string().contains(&lamp().integrity()), "{explanation}");
        assert!(explanation["upstream"].to_string().contains("public"), "{explanation}");
    }
}

#[test]
fn a_release_nobody_asked_for_is_explained_as_unknown() {
    let upstream = Upstream::start();
    upstream.publish(&lamp());
    let proxy = Setup::before(&upstream).start();
    let explanation = proxy.explain("@acme/lamp", "1.0.0");
    for member in MEMBERS {
        assert!(explanation.get(member).is_some(), "no {member} in {explanation}");
    }
    for member in ["index", "exact", "pin", "divergence", "archive"] {
        assert!(explanation[member].is_null(), "{member} cannot be known: {explanation}");
    }
    assert_eq!(upstream.connections(), 0, "an explanation asked the registry");
}

#[test]
fn a_refusal_is_explained() {
    let cases = [("blocked", 403), ("tombstoned", 404), ("unavailable", 404)];
    each(cases, |(state, status)| {
        let (upstream, proxy) = warmed();
        upstream.say(&lamp(), [lamp().state(state, "a reason").row(&upstream.url())], refusal(status));
        eventually("the refusal", || (proxy.client().get(&lamp().download()).status == status).then_some(()));
        let explanation = proxy.explain("@acme/lamp", "1.0.0");
        assert_explained(&explanation, status, status);
        assert!(explanation["index"].to_string().contains(state), "{explanation}");
        assert!(explanation["divergence"].is_null(), "{explanation}");
    });
}

#[test]
fn an_old_absence_offline_is_explained_as_it_is_answered() {
    each([("tombstoned", 404), ("unavailable", 404)], |(state, status)| {
        let (upstream, mut proxy) = warmed();
        upstream.say(&lamp(), [lamp().state(state, "a reason").row(&upstream.url())], refusal(404));
        eventually("the absence", || (proxy.client().get(&lamp().exact()).status == 404).then_some(()));
        proxy.client().get(&lamp().index()).ok();
        proxy.restart_as(|setup| setup.set("cache.offline", true));
        for target in [lamp().exact(), lamp().download()] {
            assert_eq!(proxy.client().get(&target).status, status, "{state}: {target}");
        }
        assert_explained(&proxy.explain("@acme/lamp", "1.0.0"), status, status);
    });
}

#[test]
fn a_divergence_is_explained() {
    for lie in [Lie::RowIntegrity, Lie::RowState("blocked"), Lie::TwoRows, Lie::Refused("available", 404)] {
        let (upstream, mut proxy) = warmed();
        lie.tell(&upstream, &lamp());
        eventually("the divergence", || (proxy.client().get(&lamp().download()).status == 409).then_some(()));
        let explanation = proxy.explain("@acme/lamp", "1.0.0");
        assert_explained(&explanation, 409, 409);
        assert_shape(&explanation["divergence"], &lamp(), "release", lie.kind());
        proxy.stop();
        let (told, json) = by_command(&proxy);
        assert!(told.contains("409") && told.contains(lie.kind()), "{lie:?}: {told}");
        assert_explained(&json, 409, 409);
        assert_shape(&json["divergence"], &lamp(), "release", lie.kind());
    }
}

#[test]
fn an_explanation_asks_nobody_however_stale_the_answers_are() {
    let (upstream, mut proxy) = warmed();
    proxy.restart_as(|setup| setup.set("cache.index_ttl", "0s").set("cache.release_ttl", "0s"));
    let seen = upstream.seen().len();
    // What the registry will say is not known, and is not made up.
    assert_explained(&proxy.explain("@acme/lamp", "1.0.0"), Value::Null, Value::Null);
    proxy.explain("@acme/lamp", "9.9.9");
    proxy.explain("nobody-ever-asked-for-it", "1.0.0");
    by_command(&proxy);
    assert_eq!(upstream.seen().len(), seen, "an explanation asked the registry");
}

#[test]
fn bad_questions_are_refused() {
    let (_upstream, proxy) = warmed();
    let queries = [
        "",
        "?",
        "?volume=@acme/lamp",
        "?version=1.0.0",
        "?volume=&version=1.0.0",
        "?volume=Not_A_Name&version=1.0.0",
        "?volume=@acme&version=1.0.0",
        "?volume=@acme/lamp&version=1.0",
        "?volume=@acme/lamp&version=latest",
        "?volume=@acme/lamp&version=",
        "?volume=..%2F..%2Fetc&version=1.0.0",
    ];
    for query in queries {
        proxy.admin().get(&format!("/admin/v1/explain{query}")).problem(400, "validation-failed");
    }
    let target = "/admin/v1/explain?volume=@acme/lamp&version=1.0.0";
    proxy.client().get(target).problem(404, "not-found");
    assert_eq!(proxy.admin().send("POST", target, &[("content-length", "0")]).status, 405);
}

#[test]
fn the_command_explains_beside_a_running_proxy_and_without_one() {
    let (upstream, mut proxy) = warmed();
    let asked = upstream.seen().len();
    for running in [true, false] {
        if !running {
            proxy.stop();
        }
        let (told, json) = by_command(&proxy);
        let verdict = told.lines().next().unwrap_or_default();
        assert!(verdict.contains("200"), "the verdict does not come first: {told}");
        for fact in ["@acme/lamp", "1.0.0", &lamp().integrity()] {
            assert!(told.contains(fact), "running {running}: {fact} is not told in:\n{told}");
        }
        assert_explained(&json, 200, 200);
        assert!(json["pin"].to_string().contains(&lamp().integrity()), "{json}");
        assert!(!json["exact"].is_null() && !json["index"].is_null() && !json["archive"].is_null(), "{json}");
    }
    assert_eq!(upstream.seen().len(), asked, "an explanation asked the registry");
}

#[test]
fn the_command_asks_a_running_proxy_what_it_knows() {
    let upstream = Upstream::start();
    let proxy = Setup::before(&upstream).start();
    // An absence that replaces nothing is kept in memory alone.
    proxy.client().get(&lamp().exact()).problem(404, "not-found");
    let (told, json) = by_command(&proxy);
    assert_explained(&json, 404, 404);
    assert!(told.lines().next().unwrap_or_default().contains("404"), "{told}");
}

#[test]
fn the_command_explains_a_refusal_from_the_store() {
    let (upstream, mut proxy) = warmed();
    upstream.say(&lamp(), [lamp().state("blocked", "malicious").row(&upstream.url())], refusal(403));
    eventually("the block", || (proxy.client().get(&lamp().download()).status == 403).then_some(()));
    proxy.stop();
    let (told, json) = by_command(&proxy);
    assert!(told.lines().next().unwrap_or_default().contains("403"), "{told}");
    assert!(told.contains("blocked"), "{told}");
    assert_explained(&json, 403, 403);
}

#[test]
fn a_change_of_state_is_told_with_its_times_also_after_a_restart() {
    let (upstream, mut proxy) = warmed();
    let turn = |proxy: &Proxy| proxy.explain("@acme/lamp", "1.0.0")["exact"]["turn"].clone();
    assert_eq!(turn(&proxy), Value::Null, "it was always available");
    upstream.say(&lamp(), [lamp().state("blocked", "malicious").row(&upstream.url())], refusal(403));
    eventually("the block", || (proxy.client().get(&lamp().exact()).status == 403).then_some(()));
    let blocked = turn(&proxy);
    assert_eq!((&blocked["from"], &blocked["to"]), (&"available".into(), &"blocked".into()), "{blocked}");
    assert!(blocked["until"].as_str() <= blocked["since"].as_str(), "{blocked}");
    let is_logged = || proxy.log().contains("a registry changed the state of a release").then_some(());
    eventually("the line of the log", is_logged);
    let page = proxy.admin().get("/release/@acme/lamp/1.0.0").ok().text();
    for told in ["still said available", "said blocked for the first time"] {
        assert!(page.contains(told), "{told} is not in {page}");
    }
    // Asked again, the registry says the same; the change is as old as it was.
    proxy.restart();
    proxy.admin().post("/admin/v1/invalidate", r#"{"volume":"@acme/lamp"}"#).ok();
    assert_eq!(proxy.client().get(&lamp().exact()).status, 403);
    assert_eq!(turn(&proxy), blocked);
    upstream.publish(&lamp());
    eventually("the end of the block", || (proxy.client().get(&lamp().exact()).status == 200).then_some(()));
    let freed = turn(&proxy);
    assert_eq!((&freed["from"], &freed["to"]), (&"blocked".into(), &"available".into()), "{freed}");
    proxy.stop();
    let (told, json) = by_command(&proxy);
    assert_eq!(json["exact"]["turn"], freed);
    assert!(told.contains("blocked until") && told.contains("seen available since"), "{told}");
}

#[test]
fn the_command_refuses_what_is_no_release() {
    let (_upstream, proxy) = warmed();
    for release in ["nonsense", "@acme/lamp", "@acme/lamp@", "@acme/lamp@1.0", "@1.0.0", "lamp@^1.0.0", ""] {
        let output = proxy.explain_by_command(&[release]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{release:?}: {errors}");
        assert!(output.stdout.is_empty() && !errors.is_empty(), "{release:?}");
        assert!(!errors.contains("unrecognized subcommand"), "{errors}");
    }
    for arguments in [&["explain"][..], &["explain", "@acme/lamp@1.0.0", "--config", "/no/such/file.toml"]] {
        let output = scriptorium().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn the_command_needs_no_upstream_to_be_named() {
    let (_upstream, mut proxy) = warmed();
    proxy.stop();
    let data = proxy.data();
    let admin = format!("127.0.0.1:{}", free_port());
    let mut command = scriptorium();
    command.env("SCRIPTORIUM_SERVER__ADMIN_LISTEN", admin).args(["explain", "@acme/lamp@1.0.0", "--data"]);
    let output = command.arg(&data).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains(&lamp().integrity()), "{output:?}");
}
