//! A registry that cannot be asked costs its own part of an answer, and says so; all of them cost the answer.

use std::time::{Duration, Instant};

use super::{ADVISORIES, CAPABILITIES, Registries, SEARCH, is_partial, names};
use crate::support::{Reply, eventually};

#[test]
fn the_others_answer_and_it_is_marked() {
    let registries = Registries::start();
    registries.find([2, 2, 2]);
    registries.0[1].down();
    let proxy = registries.setup().start();
    for _ in 0..2 {
        let answer = proxy.client().get(SEARCH).ok();
        assert!(is_partial(&answer), "{}", answer.cache());
        assert_eq!(names(&answer), ["@a/r-0", "@c/r-0", "@a/r-1", "@c/r-1"]);
        assert_eq!(answer.json()["total"], 4);
        assert_eq!(answer.header("cache-control"), Some("public, max-age=0"), "nobody keeps it");
    }
    registries.0[1].up();
    let whole = eventually("an answer of all", || {
        Some(proxy.client().get(SEARCH).ok()).filter(|answer| !is_partial(answer))
    });
    assert_eq!(whole.json()["total"], 6);
}

#[test]
fn every_way_of_giving_no_answer_is_one() {
    let answers = [
        Reply::failure(500),
        Reply::failure(503),
        Reply::new(200, "text/html", "<html>"),
        Reply::document(r#"{"items":[]}"#),
        Reply::problem(400, "validation-failed", "Validation failed", "I do not know that filter."),
        Reply::failure(403),
    ];
    for reply in answers {
        let registries = Registries::start();
        registries.find([2, 2, 2]);
        registries.0[0].compute("GET", SEARCH, move |_| reply.clone());
        let proxy = registries.setup().start();
        let answer = proxy.client().get(&format!("{SEARCH}?license=MIT")).ok();
        assert!(is_partial(&answer), "{}", answer.cache());
        assert_eq!(names(&answer).len(), 4);
    }
}

#[test]
fn with_nobody_to_ask_it_is_a_failure() {
    let registries = Registries::start();
    registries.0.iter().for_each(|upstream| upstream.down());
    let proxy = registries.setup().start();
    for target in [SEARCH, ADVISORIES, CAPABILITIES, "/api/v1/advisories/A-1"] {
        proxy.client().get(target).could_not_ask();
    }
}

#[test]
fn where_all_refuse_that_is_the_answer() {
    let registries = Registries::start();
    for upstream in &registries.0 {
        let refusal =
            Reply::problem(400, "validation-failed", "Validation failed", "I do not know that filter.");
        upstream.compute("GET", SEARCH, move |_| refusal.clone());
    }
    let proxy = registries.setup().start();
    proxy.client().get(&format!("{SEARCH}?x=y")).problem(400, "validation-failed");
    proxy.client().get(ADVISORIES).problem(404, "not-found");
}

#[test]
fn one_that_hangs_keeps_nobody_waiting_for_long() {
    let registries = Registries::start();
    registries.find([2, 2, 2]);
    let hold = registries.0[2].hold("/api/v1/search?limit=20&offset=0");
    let proxy = registries.setup().start();
    let started = Instant::now();
    let answer = proxy.client().get(SEARCH).ok();
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert!(is_partial(&answer) && names(&answer).len() == 4, "{}", answer.cache());
    hold.release();
    eventually("what it says after all", || {
        let answer = proxy.client().get(SEARCH).ok();
        (!is_partial(&answer) && names(&answer).len() == 6).then_some(())
    });
    assert_eq!(registries.requests(SEARCH), [1, 1, 1]);
}

#[test]
fn what_is_held_of_it_stands_in() {
    let registries = Registries::start();
    registries.find([2, 2, 2]);
    let proxy = registries.setup().short_lived().start();
    let whole = proxy.client().get(SEARCH).ok();
    registries.0[1].down();
    let stale = eventually("an answer marked stale-if-error", || {
        let answer = proxy.client().get(SEARCH).ok();
        answer.cache().contains("detail=\"stale-if-error\"").then_some(answer)
    });
    assert_eq!(stale.body, whole.body);
}

#[test]
fn offline_and_after_a_restart_it_is_made_of_what_is_held() {
    let registries = Registries::start();
    registries.find([2, 2, 0]);
    let mut proxy = registries.setup().start();
    let whole = proxy.client().get(SEARCH).ok();
    registries.0.iter().for_each(|upstream| upstream.down());
    proxy.restart();
    let again = proxy.client().get(SEARCH).ok();
    assert!(again.is_hit() && again.body == whole.body, "{}", again.cache());
    proxy.restart_as(|setup| setup.set("cache.offline", true));
    let offline = proxy.client().get(SEARCH).ok();
    assert!(offline.cache().contains("detail=\"offline\""), "{}", offline.cache());
    assert_eq!(offline.body, whole.body);
    assert_eq!(proxy.client().get(&format!("{SEARCH}?q=unheard-of")).status, 504);
}

#[test]
fn who_takes_only_what_is_held_takes_no_half() {
    let registries = Registries::start();
    registries.find([2, 2, 2]);
    registries.0[1].down();
    let proxy = registries.setup().start();
    let held_only = || proxy.client().get_with(SEARCH, "cache-control", "only-if-cached");
    proxy.client().get(SEARCH).ok();
    assert_eq!(held_only().status, 504);
    registries.0[1].up();
    eventually("an answer of all", || (!is_partial(&proxy.client().get(SEARCH).ok())).then_some(()));
    assert!(held_only().ok().is_hit());
}

#[test]
fn what_one_of_them_does_not_let_be_kept_is_not_kept() {
    let registries = Registries::start();
    registries.find([2, 2, 0]);
    let page = r#"{"items":[{"name":"@c/x","latestVersion":"1.0.0"}],"total":1,"limit":20,"offset":0}"#;
    let withheld = Reply::document(page).with("cache-control", "no-store");
    registries.0[2].compute("GET", SEARCH, move |_| withheld.clone());
    let proxy = registries.setup().start();
    for times in 1..=2 {
        let answer = proxy.client().get(SEARCH).ok();
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(names(&answer).len(), 5);
        assert_eq!(registries.requests(SEARCH), [1, 1, times]);
    }
}

#[test]
fn another_routing_shows_other_items() {
    let registries = Registries::start();
    registries.find([2, 2, 0]);
    let proxy = registries.setup().start();
    assert_eq!(names(&proxy.client().get(SEARCH).ok()).len(), 4);
    proxy.reconfigure(|setup| {
        let mut setup = setup;
        let upstreams = setup.table["upstreams"].as_array_mut().unwrap();
        upstreams[1]["volumes"] = vec!["@b/r-1"].into();
        setup
    });
    proxy.admin().post("/admin/v1/reload", "").ok();
    let answer = proxy.client().get(SEARCH).ok();
    assert!(answer.is_hit(), "{}", answer.cache());
    assert_eq!(names(&answer), ["@a/r-0", "@a/r-1", "@b/r-1"]);
}
