//! Mirrors of a running proxy: its admin port, its schedule, its budget.

use serde_json::{Value, json};

use super::{house, lamps};
use crate::support::mirror::{depending, mirror, missing};
use crate::support::proxy::scriptorium;
use crate::support::{Proxy, Release, Setup, Upstream, eventually};

fn status(proxy: &Proxy) -> Value {
    proxy.admin().get("/admin/v1/mirrors").ok().json()["mirrors"][0].clone()
}

fn metric(proxy: &Proxy, name: &str) -> Option<f64> {
    let text = proxy.admin().get("/metrics").ok().text();
    let start = format!("scriptorium_mirror_{name}{{mirror=\"ci\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&start)?.parse().ok())
}

#[test]
fn a_sync_is_started_once_and_told_by_the_admin_port() {
    let upstream = house();
    let proxy = lamps(&upstream).start();
    assert_eq!((&status(&proxy)["last_success"], metric(&proxy, "running")), (&Value::Null, Some(0.0)));
    let held = upstream.hold(&depending("bulb", "2.0.0", &[]).source());
    let start = || proxy.admin().send("POST", "/admin/v1/mirrors/ci/sync", &[]);
    assert_eq!(start().status, 202);
    assert_eq!(status(&proxy)["running"], true);
    assert_eq!(start().status, 409);
    assert_eq!(metric(&proxy, "running"), Some(1.0));
    held.release();
    eventually("the end of the sync", || (status(&proxy)["running"] == false).then_some(()));
    let said = status(&proxy);
    assert!(said["last_success"].is_string() && missing(&said).is_empty(), "{said}");
    assert_eq!(said["releases"], 4);
    assert_eq!((metric(&proxy, "running"), metric(&proxy, "releases")), (Some(0.0), Some(4.0)));
    assert_eq!(metric(&proxy, "missing"), Some(0.0));
    assert!(metric(&proxy, "last_success_timestamp_seconds").is_some_and(|at| at > 1e9));
}

#[test]
fn its_routes_have_the_doors_protections() {
    let upstream = house();
    let proxy = lamps(&upstream).start();
    let admin = proxy.admin();
    assert_eq!(admin.send("POST", "/admin/v1/mirrors/other/sync", &[]).status, 404);
    assert_eq!(admin.get("/admin/v1/mirrors/ci/sync").status, 405);
    let elsewhere = [("origin", "https://evil.example")];
    assert_eq!(admin.send("POST", "/admin/v1/mirrors/ci/sync", &elsewhere).status, 403);
    let rebound = [("host", "evil.example")];
    assert_eq!(admin.send("POST", "/admin/v1/mirrors/ci/sync", &rebound).status, 421);
    assert_eq!(admin.send("GET", "/admin/v1/mirrors", &rebound).status, 421);
    assert!(upstream.seen().is_empty(), "nothing was started");
    assert_eq!(proxy.client().get("/admin/v1/mirrors").status, 404, "not on the public port");
}

#[test]
fn commands_beside_a_proxy_go_through_it() {
    let upstream = house();
    let proxy = lamps(&upstream).start();
    let (code, plan) = mirror(&proxy.config(), &["plan", "ci"]);
    assert_eq!((code, &plan["releases"]), (0, &json!(4)), "{plan}");
    let (code, sync) = mirror(&proxy.config(), &["sync", "ci"]);
    assert_eq!((code, &sync["fetched"]["archives"]), (0, &json!(4)), "{sync}");
    let (code, told) = mirror(&proxy.config(), &["status"]);
    assert_eq!((code, &told["releases"]), (0, &json!(4)), "{told}");
    assert_eq!(mirror(&proxy.config(), &["verify"]).0, 0);
    // The proxy's own cache has it: nobody asks again.
    upstream.take_seen();
    let bulb = depending("bulb", "2.0.0", &[]);
    assert!(proxy.client().get(&bulb.download()).ok().is_hit());
    assert!(upstream.seen().is_empty());
}

#[test]
fn a_scheduled_mirror_is_synced_without_being_told_and_after_a_restart_only_when_due() {
    let upstream = house();
    let setup =
        Setup::before(&upstream).mirror("ci", "roots = [\"@acme/lamp\"]\ntrust = false\nschedule = \"6h\"");
    let mut proxy = setup.start();
    let synced = |proxy: &Proxy| status(proxy)["last_success"].as_str().map(str::to_owned);
    let first = eventually("a sync by schedule", || synced(&proxy));
    proxy.restart();
    assert_eq!(eventually("its record", || synced(&proxy)), first);
    assert_eq!(status(&proxy)["run"], Value::Null, "none is due");
}

#[test]
fn a_reload_brings_a_mirror_and_takes_it_away() {
    let upstream = house();
    let proxy = Setup::before(&upstream).start();
    assert_eq!(proxy.admin().get("/admin/v1/mirrors").ok().json(), json!({ "mirrors": [] }));
    proxy.reconfigure(|setup| setup.mirror("ci", "roots = [\"wire\"]\ntrust = false"));
    assert_eq!(proxy.reload().status, 200);
    assert_eq!(mirror(&proxy.config(), &["sync"]).0, 0);
    proxy.reconfigure(|setup| setup);
    assert_eq!(proxy.reload().status, 200);
    assert_eq!(proxy.admin().get("/admin/v1/mirrors").ok().json(), json!({ "mirrors": [] }));
    assert_eq!(metric(&proxy, "releases"), None);
}

#[test]
fn a_fifth_of_the_budget_is_the_clients() {
    let upstream = Upstream::start();
    let names: Vec<String> = (0..10).map(|number| format!("v{number}")).collect();
    names.iter().for_each(|name| upstream.publish(&Release::new(name, "1.0.0")));
    let other = Release::new("other", "1.0.0");
    upstream.publish(&other);
    let proxy = Setup::before(&upstream)
        .set("upstream.requests_per_minute", 10)
        .mirror("ci", &format!("roots = {names:?}\ntrust = false"))
        .start();
    assert_eq!(proxy.admin().send("POST", "/admin/v1/mirrors/ci/sync", &[]).status, 202);
    eventually("the sync's share", || (upstream.seen().len() == 8).then_some(()));
    assert_eq!(proxy.client().get(&other.index()).status, 200);
    assert_eq!(upstream.seen().len(), 9);
    assert_eq!(status(&proxy)["running"], true, "it waits for the next minute");
}

#[test]
fn clients_are_served_while_a_sync_runs_and_share_its_fetches() {
    let upstream = house();
    let proxy = lamps(&upstream).start();
    let bulb = depending("bulb", "2.0.0", &[]);
    let held = upstream.hold(&bulb.source());
    assert_eq!(proxy.admin().send("POST", "/admin/v1/mirrors/ci/sync", &[]).status, 202);
    eventually("the sync at work", || (upstream.requests(&bulb.source()) == 1).then_some(()));
    let lamp = Release::new("@acme/lamp", "1.1.0");
    assert_eq!(proxy.client().get(&lamp.download()).ok().body, lamp.archive());
    assert_eq!(
        proxy.client().get(&Release::new("bulb", "3.0.0").download()).status,
        200,
        "it is not of the mirror"
    );
    let client = proxy.client();
    let download = bulb.download();
    let waiting = std::thread::spawn(move || client.get(&download).ok().body);
    held.release();
    assert_eq!(waiting.join().unwrap(), bulb.archive());
    eventually("the end of the sync", || (status(&proxy)["running"] == false).then_some(()));
    assert_eq!(upstream.requests(&bulb.source()), 1, "one fetch for the sync and the client");
    assert!(missing(&status(&proxy)).is_empty());
}

#[test]
fn two_mirrors_that_are_synced_at_once_share_fetches() {
    let upstream = house();
    let keys = "roots = [\"@acme/lamp\"]\ntrust = false";
    let proxy = lamps(&upstream).mirror("other", keys).start();
    let bulb = depending("bulb", "2.0.0", &[]);
    let held = upstream.hold(&bulb.source());
    for name in ["ci", "other"] {
        let started = proxy.admin().send("POST", &format!("/admin/v1/mirrors/{name}/sync"), &[]);
        assert_eq!(started.status, 202);
    }
    let all = |proxy: &Proxy| proxy.admin().get("/admin/v1/mirrors").ok().json()["mirrors"].clone();
    let done = |status: &Value| status["run"]["done"].as_u64() == Some(3);
    eventually("both at the bulb", || all(&proxy).as_array().unwrap().iter().all(done).then_some(()));
    held.release();
    let is_whole = |status: &Value| status["running"] == false && status["last_success"].is_string();
    eventually("both whole", || all(&proxy).as_array().unwrap().iter().all(is_whole).then_some(()));
    for (name, version) in [("@acme/lamp", "1.1.0"), ("bulb", "2.0.0"), ("wire", "1.5.0"), ("wire", "2.0.0")]
    {
        let release = depending(name, version, &[]);
        assert_eq!(upstream.requests(&release.source()), 1, "{name}@{version}");
    }
}

#[test]
fn a_mirror_that_comes_back_by_a_reload_keeps_what_it_had() {
    let upstream = house();
    let proxy = lamps(&upstream).start();
    assert_eq!(mirror(&proxy.config(), &["sync"]).0, 0);
    let with = |setup: Setup| setup;
    proxy.reconfigure(|mut setup| {
        setup.table.remove("mirrors");
        setup
    });
    assert_eq!(proxy.reload().status, 200);
    assert_eq!(proxy.admin().get("/admin/v1/mirrors").ok().json(), json!({ "mirrors": [] }));
    proxy.reconfigure(with);
    assert_eq!(proxy.reload().status, 200);
    eventually("its record", || status(&proxy)["last_success"].is_string().then_some(()));
    assert_eq!(status(&proxy)["releases"], 4);
}

#[test]
fn a_stop_does_not_wait_for_a_sync_and_the_next_one_goes_on() {
    let upstream = house();
    let mut proxy = lamps(&upstream).start();
    let bulb = depending("bulb", "2.0.0", &[]);
    let held = upstream.hold(&bulb.source());
    assert_eq!(proxy.admin().send("POST", "/admin/v1/mirrors/ci/sync", &[]).status, 202);
    eventually("the sync at work", || (upstream.requests(&bulb.source()) == 1).then_some(()));
    proxy.stop();
    held.release();
    proxy.revive();
    assert_eq!(status(&proxy)["running"], false);
    let (code, sync) = mirror(&proxy.config(), &["sync"]);
    assert_eq!((code, &sync["complete"]), (0, &json!(true)), "{sync}");
}

#[test]
fn no_registry_is_asked_while_that_is_forbidden() {
    let upstream = house();
    let proxy = lamps(&upstream).set("cache.offline", true).start();
    for command in ["sync", "plan"] {
        let (code, said) = mirror(&proxy.config(), &[command, "ci"]);
        assert_eq!((code, missing(&said)), (1, vec!["@acme/lamp".to_owned()]), "{said}");
    }
    assert!(upstream.seen().is_empty());
}

/// The digest of the token `open sesame`.
const SESAME: &str = "41ef4bb0b23661e66301aac36066912dac037827b4ae63a7b1165a5aa93ed4eb";

#[test]
fn a_command_beside_a_proxy_that_wants_a_token_says_which_variable_has_it() {
    let upstream = house();
    let proxy = lamps(&upstream).set("server.admin_token_sha256", SESAME).start();
    let run = |arguments: &[&str], token: Option<&str>| {
        let mut command = scriptorium();
        command.arg("mirror").args(arguments).arg("--config").arg(proxy.config());
        command.envs(token.map(|token| ("SCRIPTORIUM_ADMIN_TOKEN", token)));
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned(), output.stdout)
    };
    for arguments in [&["sync"][..], &["sync", "ci", "--json"], &["plan", "ci"], &["status"]] {
        for token in [None, Some(""), Some("open barley"), Some("open\nsesame")] {
            let (code, said, printed) = run(arguments, token);
            assert_eq!(code, Some(1), "{arguments:?} with {token:?}: {said}");
            assert!(said.contains("SCRIPTORIUM_ADMIN_TOKEN"), "{arguments:?} with {token:?}: {said}");
            assert!(!said.contains("barley") && !said.contains("sesame"), "{said}");
            match arguments.contains(&"--json") {
                true => {
                    let told: Value = serde_json::from_slice(&printed).unwrap();
                    assert!(told["error"].as_str().unwrap().contains("SCRIPTORIUM_ADMIN_TOKEN"), "{told}");
                }
                false => assert!(printed.is_empty(), "{arguments:?} with {token:?}"),
            }
        }
    }
    assert!(upstream.seen().is_empty(), "nothing was started");
    let (code, said, _) = run(&["sync"], Some("open sesame"));
    assert_eq!(code, Some(0), "{said}");
    // It reads the store alone and asks nobody.
    assert_eq!(run(&["verify"], None).0, Some(0));
}
