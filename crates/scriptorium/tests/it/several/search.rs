//! Search of several registries: whose turn it is, which page has what, and what it costs.

use std::thread;

use serde_json::json;

use super::{Registries, SEARCH, find, is_partial, names, parameter, result};
use crate::support::{Proxy, Reply};

/// All results, page by page, as a client finds them that goes on until `total`.
fn leaf_through(proxy: &Proxy, limit: usize) -> Vec<String> {
    let (mut found, mut offset, mut total) = (Vec::new(), 0, 1);
    while offset < total {
        let answer = proxy.client().get(&format!("{SEARCH}?limit={limit}&offset={offset}")).ok();
        let page = answer.json();
        assert_eq!((&page["limit"], &page["offset"]), (&json!(limit), &json!(offset)));
        total = usize::try_from(page["total"].as_u64().unwrap()).unwrap();
        let names = names(&answer);
        assert!(names.len() <= limit, "{page}");
        found.extend(names);
        offset += limit;
    }
    found
}

#[test]
fn registries_take_turns_and_the_first_comes_first() {
    let registries = Registries::start();
    registries.find([4, 0, 2]);
    let proxy = registries.setup().start();
    let answer = proxy.client().get(&format!("{SEARCH}?q=lamp")).ok();
    assert_eq!(names(&answer), ["@a/r-0", "@c/r-0", "@a/r-1", "@c/r-1", "@a/r-2", "@a/r-3"]);
    assert_eq!(answer.json()["total"], 6);
    assert!(!is_partial(&answer), "{}", answer.cache());
    let asked: Vec<String> = registries.0.iter().map(|upstream| upstream.seen()[0].target.clone()).collect();
    assert_eq!(asked, vec!["/api/v1/search?q=lamp&limit=20&offset=0"; 3]);
    let again = proxy.client().get(&format!("{SEARCH}?q=lamp")).ok();
    assert!(again.is_hit() && again.body == answer.body, "{}", again.cache());
    assert_eq!(registries.requests(SEARCH), [1, 1, 1]);
}

#[test]
fn pages_of_any_size_show_each_result_once() {
    let registries = Registries::start();
    registries.find([11, 3, 7]);
    let proxy = registries.setup().start();
    let all = leaf_through(&proxy, 100);
    assert_eq!(all.len(), 21);
    for limit in [1, 2, 3, 5, 20] {
        assert_eq!(leaf_through(&proxy, limit), all, "pages of {limit}");
    }
}

#[test]
fn results_that_are_another_registrys_are_dropped_and_still_counted() {
    let registries = Registries::start();
    let foreign = ["@a/x", "@b/stolen", "@nobody/x", "@a/y", "@c/stolen", "@a/z"];
    find(&registries.0[0], foreign.iter().map(|name| result(name)).collect());
    find(&registries.0[1], vec![result("@b/x"), json!({ "latestVersion": "1.0.0" }), result("@b/y")]);
    find(&registries.0[2], vec![]);
    let proxy = registries.setup().start();
    let expected = ["@a/x", "@b/x", "@b/y", "@a/y", "@a/z"];
    for limit in [1, 2, 4, 100] {
        assert_eq!(leaf_through(&proxy, limit), expected, "pages of {limit}");
    }
    assert_eq!(proxy.client().get(SEARCH).ok().json()["total"], 9);
}

#[test]
fn a_page_far_down_costs_three_questions_a_registry() {
    const MANY: usize = 3_000_000_000;
    let registries = Registries::start();
    for (upstream, scope) in registries.0.iter().zip(["a", "b", "c"]) {
        upstream.compute("GET", SEARCH, move |seen| {
            let (offset, limit) = (parameter(&seen.target, "offset"), parameter(&seen.target, "limit"));
            let items: Vec<_> =
                (offset..offset + limit).map(|n| result(&format!("@{scope}/r-{n}"))).collect();
            Reply::json(&json!({ "items": items, "total": MANY, "limit": limit, "offset": offset }))
        });
    }
    let proxy = registries.setup().start();
    let answer = proxy.client().get(&format!("{SEARCH}?limit=100&offset=4000000000")).ok();
    let found = names(&answer);
    assert_eq!(found.len(), 100);
    assert_eq!(found[..4], ["@b/r-1333333333", "@c/r-1333333333", "@a/r-1333333334", "@b/r-1333333334"]);
    assert_eq!(answer.json()["total"], 3 * MANY);
    let asked = registries.requests(SEARCH);
    assert!(asked.iter().all(|asked| *asked <= 3), "{asked:?}");
    let last = proxy.client().get(&format!("{SEARCH}?limit=100&offset=4294967295")).ok();
    assert_eq!(names(&last).len(), 100);
}

#[test]
fn results_keep_their_bytes_and_link_here() {
    let registries = Registries::start();
    registries.find([0, 0, 0]);
    for (upstream, scope) in registries.0.iter().zip(["a", "b"]) {
        let url = format!("{}/api/v1/volumes/@{scope}/x/1.0.0", upstream.url());
        let page = format!(
            r#"{{ "total":1,"items":[ {{"name":"@{scope}/x","latestVersion":"1.0.0", "score":1.10, "release":{{"url":"{url}"}},"e":1e400}} ],"limit":20,"offset":0}}"#
        );
        upstream.compute("GET", SEARCH, move |_| Reply::document(page.clone()));
    }
    let proxy = registries.setup().start();
    let item = |scope: &str| {
        let url = format!("http://{}/api/v1/volumes/@{scope}/x/1.0.0", proxy.authority());
        format!(
            r#"{{"name":"@{scope}/x","latestVersion":"1.0.0", "score":1.10, "release":{{"url":"{url}"}},"e":1e400}}"#
        )
    };
    let expected = format!(r#"{{"items":[{},{}],"total":2,"limit":20,"offset":0}}"#, item("a"), item("b"));
    assert_eq!(proxy.client().get(SEARCH).ok().text(), expected);
}

#[test]
fn it_is_validated_as_one_document() {
    let registries = Registries::start();
    registries.find([30, 30, 30]);
    let proxy = registries.setup().start();
    let first = proxy.client().get(SEARCH).ok();
    let tag = first.header("etag").unwrap().to_owned();
    assert!(!tag.starts_with("W/") && first.header("age").is_some());
    let current = proxy.client().get_with(SEARCH, "if-none-match", &tag);
    assert_eq!((current.status, current.body.len()), (304, 0));
    registries.find([30, 30, 31]);
    let other = proxy.client().get_with(&format!("{SEARCH}?q=other"), "if-none-match", &tag);
    assert_eq!(other.status, 200, "another total is another document");
    let head = proxy.client().head(SEARCH);
    assert_eq!(head.header("etag"), Some(&*tag));
}

#[test]
fn a_crowd_asks_each_registry_once() {
    let registries = Registries::start();
    registries.find([3, 3, 3]);
    let proxy = registries.setup().start();
    let hold = registries.0[1].hold("/api/v1/search?limit=20&offset=0");
    thread::scope(|scope| {
        let crowd: Vec<_> = (0..20).map(|_| scope.spawn(|| proxy.client().get(SEARCH).ok())).collect();
        hold.release();
        for client in crowd {
            assert_eq!(names(&client.join().unwrap()).len(), 9);
        }
    });
    assert_eq!(registries.requests(SEARCH), [1, 1, 1]);
}
