//! What a mirror takes: patterns, lists, and states of releases.

use serde_json::json;

use crate::support::mirror::{Desk, depending, list, missing, reason};
use crate::support::{Release, Reply, Setup, Upstream};

#[test]
fn patterns_are_enumerated_page_by_page() {
    let upstream = Upstream::start();
    let names: Vec<String> = (0..130).map(|number| format!("@acme/v{number}")).collect();
    for name in &names {
        upstream.publish(&Release::new(name, "1.0.0"));
    }
    let others = ["other", "@acme-corp/x"];
    let listed: Vec<&str> = names.iter().map(String::as_str).chain(others).collect();
    list(&upstream, &listed);
    let desk = Desk::new(&Setup::before(&upstream).mirror("ci", "roots = [\"@acme/*\"]\ntrust = false"));
    let (code, sync) = desk.mirror(&["sync"]);
    assert_eq!((code, &sync["releases"]), (0, &json!(130)), "{sync}");
    assert_eq!(upstream.requests("/api/v1/search"), 2);
    assert_eq!(upstream.requests("/api/v1/index/volumes/other"), 0);
}

#[test]
fn a_plan_says_what_search_lists_and_what_it_does_not() {
    let upstream = Upstream::start();
    let names = ["@acme/a", "@acme/b", "@acme/hidden", "lint"];
    names.iter().for_each(|name| upstream.publish(&Release::new(name, "1.0.0")));
    list(&upstream, &["@acme/a", "@acme/b", "lint"]);
    let roots = "roots = [\"@acme/*\", \"@acme/hidden\", \"@other/*\"]\ntrust = false";
    let desk = Desk::new(&Setup::before(&upstream).mirror("ci", roots));
    let (_, plan) = desk.mirror(&["plan", "ci"]);
    let given = json!([{ "pattern": "@acme/*", "names": 2 }, { "pattern": "@other/*", "names": 0 }]);
    assert_eq!((&plan["patterns"], &plan["unlisted"]), (&given, &json!(["@acme/hidden"])), "{plan}");
    assert_eq!(plan["releases"], 3, "{plan}");
    let shown = desk.command(&["plan", "ci"]).output().unwrap();
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("lists 2 names for @acme/*"), "{shown}");
    assert!(shown.contains("does not list @acme/hidden"), "{shown}");
}

#[test]
fn a_release_that_is_delivered_by_git_has_documents_and_no_archive() {
    let upstream = Upstream::start();
    let release = Release::new("lint", "1.0.0");
    let mut metadata = release.metadata("");
    metadata["dist"] = json!({ "source": "git", "repository": "https://git.example/x", "ref": "v1" });
    upstream.say(&release, [release.row(&upstream.url())], Reply::json(&metadata));
    let desk = Desk::new(&Setup::before(&upstream).mirror("ci", "roots = [\"lint\"]\ntrust = false"));
    let (code, sync) = desk.mirror(&["sync"]);
    assert_eq!((code, &sync["complete"], &sync["releases"]), (0, &json!(true), &json!(1)), "{sync}");
    assert_eq!((&sync["fetched"]["archives"], &sync["bytes"]), (&json!(0), &json!(0)), "{sync}");
    upstream.down();
    assert_eq!(desk.mirror(&["verify"]).0, 0);
}

#[test]
fn names_are_routed_like_any_request() {
    let (private, public) = (Upstream::start(), Upstream::start());
    private.publish(&Release::new("@acme/x", "1.0.0"));
    public.publish(&Release::new("lint", "1.0.0"));
    // A registry cannot put a name of another's into a mirror.
    list(&private, &["@acme/x", "lint"]);
    list(&public, &["lint", "@acme/planted", "@acme/x"]);
    let setup = Setup::before(&private)
        .set("upstream.volumes", vec!["@acme/*"])
        .upstream("rest", &public.url())
        .mirror("ci", "roots = [\"*\"]\ntrust = false");
    let (code, sync) = Desk::new(&setup).mirror(&["sync"]);
    assert_eq!((code, &sync["releases"]), (0, &json!(2)), "{sync}");
    assert_eq!(public.requests("/api/v1/index/volumes/@acme/x"), 0);
    assert_eq!(private.requests("/api/v1/index/volumes/lint"), 0);
}

#[test]
fn lists_add_roots_and_each_lack_has_its_reason() {
    let upstream = Upstream::start();
    upstream.publish(&Release::new("lint", "1.0.0"));
    upstream.publish(&depending("tool", "1.0.0", &[("gone", "^1.0.0")]));
    upstream.publish(&Release::new("old", "1.0.0").state("yanked", "superseded"));
    let blocked = Release::new("evil", "1.0.0").state("blocked", "malware");
    let refusal = Reply::problem(403, "authorization-failed", "Blocked", "Malware.");
    upstream.say(&blocked, [blocked.row(&upstream.url())], refusal);
    let keys = "lists = [\"roots.txt\"]\nroots = [\"old@1.0.0\", \"old\"]\ntrust = false";
    let desk = Desk::new(&Setup::before(&upstream).mirror("ci", keys));
    let roots = "# what we build with\nlint@^1\ntool\nevil@1.0.0 # watched\nnowhere\nlint@^9\n";
    std::fs::write(desk.config().with_file_name("roots.txt"), roots).unwrap();
    let (code, sync) = desk.mirror(&["sync"]);
    assert_eq!((code, &sync["complete"]), (1, &json!(false)), "{sync}");
    for whom in ["old", "evil@1.0.0", "nowhere", "lint@^9"] {
        assert!(missing(&sync).contains(&whom.to_owned()), "{whom}: {sync}");
    }
    assert!(reason(&sync, "evil@1.0.0").contains("blocked"), "{sync}");
    assert!(reason(&sync, "nowhere").contains("404"), "{sync}");
    assert!(missing(&sync).iter().any(|whom| whom == "tool@1.0.0" || whom == "tool"), "{sync}");
    // A yanked release comes in because a root names it; a blocked one with its documents only.
    assert_eq!(sync["fetched"]["archives"], 3, "{sync}");
    assert_eq!(upstream.requests(&blocked.source()), 0);
}

#[test]
fn names_that_no_volume_can_have_are_counted_and_named_and_cost_the_others_nothing() {
    let upstream = Upstream::start();
    upstream.publish(&Release::new("lint", "1.0.0"));
    let odd: Vec<String> = (0..30).map(|number| format!("Odd\u{202e} {number}")).collect();
    let all: Vec<&str> = ["lint"].into_iter().chain(odd.iter().map(String::as_str)).collect();
    list(&upstream, &all);
    let desk = Desk::new(&Setup::before(&upstream).mirror("ci", "roots = [\"*\"]\ntrust = false"));
    for command in ["plan", "sync", "status"] {
        let (code, said) = desk.mirror(&[command, "ci"]);
        let remark = &said["search"][0];
        assert_eq!(
            (code, &remark["registry"], &remark["unusable"]),
            (0, &json!("public"), &json!(30)),
            "{said}"
        );
        let names = remark["names"].as_array().unwrap();
        assert_eq!((names.len(), &names[0]), (20, &json!("Odd\\u{202e} 0")), "{said}");
        let shown = desk.command(&[command, "ci"]).output().unwrap();
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        assert!(
            shown.contains("of public lists 30 names that no volume can have: `Odd\\u{202e} 0`"),
            "{shown}"
        );
    }
}

#[test]
fn pages_that_bring_nothing_new_end_a_search_whatever_total_it_states() {
    let upstream = Upstream::start();
    upstream.publish(&Release::new("lint", "1.0.0"));
    let page = json!({ "items": [{ "name": "lint", "latestVersion": "1.0.0" }], "total": 1_000_000_000 });
    upstream.reply("/api/v1/search", Reply::json(&page));
    let desk = Desk::new(&Setup::before(&upstream).mirror("ci", "roots = [\"*\"]\ntrust = false"));
    let (code, sync) = desk.mirror(&["sync", "ci"]);
    assert_eq!((code, &sync["releases"]), (0, &json!(1)), "{sync}");
    assert_eq!(upstream.requests("/api/v1/search"), 2);
    assert_eq!(sync["search"][0]["stated"], 1_000_000_000, "{sync}");
    let shown = desk.command(&["status", "ci"]).output().unwrap();
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("of public states 1000000000 names and lists 2"), "{shown}");
}
