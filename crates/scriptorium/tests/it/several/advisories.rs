//! Advisories of several registries: the list of all, the list of one volume, and one by its id.

use serde_json::{Value, json};

use super::{ADVISORIES, Registries, is_partial};
use crate::support::{Answer, Reply, Upstream};

fn advisory(id: &str, volume: &str) -> Value {
    json!({ "id": { "local": id }, "severity": "high", "affected": { "volume": volume } })
}

fn list(upstream: &Upstream, advisories: &[Value]) {
    upstream.reply(ADVISORIES, Reply::json(&json!({ "items": advisories })));
}

fn know(upstream: &Upstream, advisory: &Value) {
    let id = advisory["id"]["local"].as_str().unwrap();
    upstream.reply(&of(id), Reply::json(advisory));
}

fn of(id: &str) -> String {
    format!("{ADVISORIES}/{id}")
}

fn ids(answer: &Answer) -> Vec<String> {
    let page = answer.json();
    page["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["id"]["local"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn the_list_of_all_is_each_registrys_of_its_own_volumes() {
    let registries = Registries::start();
    let [a, b, c] = &registries.0;
    list(a, &[advisory("A-1", "@a/x"), advisory("A-2", "@b/x"), advisory("A-3", "@nobody/x")]);
    list(b, &[advisory("B-1", "@b/x"), advisory("B-2", "@a/x"), json!({ "id": { "local": "B-3" } })]);
    list(c, &[]);
    let proxy = registries.setup().start();
    let answer = proxy.client().get(ADVISORIES).ok();
    assert_eq!(ids(&answer), ["A-1", "B-1", "B-3"]);
    assert!(!is_partial(&answer), "{}", answer.cache());
    assert!(proxy.client().get(ADVISORIES).ok().is_hit());
    c.down();
    let other = proxy.client().get(&format!("{ADVISORIES}?since=2026")).ok();
    assert!(is_partial(&other) && ids(&other) == ["A-1", "B-1", "B-3"], "{}", other.cache());
}

#[test]
fn the_list_of_a_volume_is_its_own_registrys() {
    let registries = Registries::start();
    registries.0.iter().for_each(|upstream| list(upstream, &[advisory("X-1", "@b/x")]));
    let proxy = registries.setup().start();
    assert_eq!(ids(&proxy.client().get(&format!("{ADVISORIES}?volume=@b/x")).ok()), ["X-1"]);
    assert_eq!(registries.requests(ADVISORIES), [0, 1, 0]);
}

#[test]
fn a_registry_without_advisories_has_none_to_add() {
    let registries = Registries::start();
    list(&registries.0[1], &[advisory("B-1", "@b/x")]);
    let proxy = registries.setup().start();
    let answer = proxy.client().get(ADVISORIES).ok();
    assert!(!is_partial(&answer) && ids(&answer) == ["B-1"], "{}", answer.cache());
}

#[test]
fn one_advisory_is_asked_of_whose_list_showed_it() {
    for shown_by in [ADVISORIES.to_owned(), format!("{ADVISORIES}?volume=@c/x")] {
        let registries = Registries::start();
        let [a, b, c] = &registries.0;
        list(a, &[advisory("X-1", "@c/x")]);
        list(b, &[]);
        list(c, &[advisory("X-1", "@c/x")]);
        know(c, &advisory("X-1", "@c/x"));
        let mut proxy = registries.setup().start();
        proxy.client().get(&shown_by).ok();
        let answer = proxy.client().get(&of("X-1")).ok();
        assert_eq!(answer.json(), advisory("X-1", "@c/x"));
        assert_eq!(registries.requests(&of("X-1")), [0, 0, 1]);
        if shown_by == ADVISORIES {
            know(c, &advisory("X-2", "@c/x"));
            list(c, &[advisory("X-1", "@c/x"), advisory("X-2", "@c/x")]);
            proxy.restart();
            proxy.client().get(&of("X-1")).ok();
            assert_eq!(registries.requests(&of("X-1")), [0, 0, 1], "a list that was stored shows it too");
        }
    }
}

#[test]
fn one_that_no_list_showed_is_asked_of_each_in_order() {
    let registries = Registries::start();
    let [_, b, c] = &registries.0;
    know(b, &advisory("X-1", "@b/x"));
    know(c, &advisory("X-1", "@c/x"));
    let proxy = registries.setup().start();
    assert_eq!(proxy.client().get(&of("X-1")).ok().json(), advisory("X-1", "@b/x"));
    assert_eq!(registries.requests(&of("X-1")), [1, 1, 0]);
    assert!(proxy.client().get(&of("X-1")).ok().is_hit());
}

#[test]
fn it_is_not_found_when_all_of_them_said_so_and_never_before() {
    let registries = Registries::start();
    let [a, b, _] = &registries.0;
    let proxy = registries.setup().start();
    proxy.client().get(&of("X-1")).problem(404, "not-found");
    assert_eq!(registries.requests(&of("X-1")), [1, 1, 1]);
    a.down();
    proxy.client().get(&of("X-2")).could_not_ask();
    know(b, &advisory("X-3", "@b/x"));
    assert_eq!(proxy.client().get(&of("X-3")).ok().json(), advisory("X-3", "@b/x"));
}

#[test]
fn a_registry_says_nothing_of_anothers_volume() {
    let registries = Registries::start();
    let [a, b, _] = &registries.0;
    know(a, &advisory("X-1", "@b/x"));
    let proxy = registries.setup().start();
    proxy.client().get(&of("X-1")).problem(404, "not-found");
    know(a, &advisory("X-2", "@b/x"));
    know(b, &advisory("X-2", "@b/x"));
    proxy.client().get(&of("X-2")).ok();
    assert_eq!(registries.requests(&of("X-2"))[1], 1);
}
