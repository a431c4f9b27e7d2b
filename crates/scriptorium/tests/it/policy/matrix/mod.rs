//! Every matcher, with every action, on every route to a release, in both modes, waived or not: one description of each, and the
//! answers computed from a plain table.

mod expected;
mod ground;
mod matchers;
mod routes;
mod taken;
mod tried;

use std::process::Stdio;

use serde_json::Value;

use crate::support::proxy::scriptorium;
use crate::support::{Proxy, Setup, Upstream, each, eventually};

use expected::{Action, Done, is_right};
use ground::{Case, Standing, cases, registry, remember, rules};
use matchers::Known;
use routes::Route;

/// Releases by the route on which they are asked for first; and those of which everything is known before there are rules in force.
struct Table {
    first: Vec<(Route, Vec<Case>)>,
    known: Vec<Case>,
}

impl Table {
    fn new() -> Self {
        let first = [Standing::Holds, Standing::HoldsNot, Standing::Waived];
        Self {
            first: Route::ALL.map(|route| (route, cases(&route.word(), &first))).into(),
            known: cases("known", &Standing::ALL),
        }
    }

    fn all(&self) -> impl Iterator<Item = &Case> + Clone {
        self.first.iter().flat_map(|(_, cases)| cases).chain(&self.known)
    }
}

#[track_caller]
fn check(proxy: &Proxy, route: Route, case: &Case, done: Option<Done<'_>>, when: &str) {
    let seen = route.ask(proxy, &case.release);
    assert!(
        is_right(route, done, case.is_by_git(), &seen),
        "{} {when}, on {route:?}: {seen:?}, although {done:?}",
        case.named()
    );
}

/// A proxy that knows which releases are old, with rules that are only counted.
fn audited(upstream: &Upstream, table: &Table, rules: &str) -> Proxy {
    let mut proxy = Setup::before(upstream).set("server.threads", 1).start();
    proxy.stop();
    remember(&proxy.data(), table.all());
    proxy.revive();
    proxy.restart_as(|setup| setup.policy("audit", rules));
    eventually("advisories that are in force", || {
        proxy.log().contains("advisories are in force").then_some(())
    });
    proxy
}

fn switch(proxy: &Proxy, mode: &str, rules: &str) {
    proxy.reconfigure(|setup| setup.policy(mode, rules));
    proxy.reload().ok();
}

/// What `explain` says of a release of which everything is known.
fn explained(proxy: &Proxy, case: &Case, done: Option<Done<'_>>) {
    let told = proxy.explain(&case.release.name, &case.release.version);
    let is_refused = done.is_some_and(|done| done.action.refuses());
    assert_eq!(told["verdict"]["exact"]["status"], if is_refused { 403 } else { 200 }, "{told}");
    assert_eq!(told["verdict"]["exact"]["rule"] == "policy", is_refused, "{told}");
    let rules = told["policy"].as_array().unwrap();
    let rule = rules.iter().find(|rule| rule["rule"] == case.matcher.id).unwrap();
    assert_eq!(rule["applies"], done.is_some(), "{}: {rule}", case.named());
    let others = rules.iter().filter(|rule| rule["rule"] != case.matcher.id);
    others.for_each(|other| assert_eq!(other["applies"], false, "{}: {other}", case.named()));
    let is_waived = matches!(case.standing, Standing::Waived | Standing::WaivedInVain);
    assert_eq!(rule["waiver"].is_string(), is_waived, "{}: {rule}", case.named());
}

/// What `policy test` says of it, beside a proxy that has ended.
fn tested(proxy: &Proxy, case: &Case, done: Option<Done<'_>>) {
    let mut command = scriptorium();
    command.args(["policy", "test", &case.named(), "--json", "--config"]).arg(proxy.config());
    let output = command.stdin(Stdio::null()).output().unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let is_refused = done.is_some_and(|done| done.action.refuses());
    assert_eq!(output.status.code(), Some(i32::from(is_refused)), "{told}");
    assert_eq!(told["refused"], is_refused, "{told}");
    let decides = done.map(|done| (done.rule, done.action.word()));
    let told_decides =
        told["decides"].as_object().map(|by| (by["rule"].as_str().unwrap(), by["action"].as_str().unwrap()));
    assert_eq!(told_decides, decides, "{told}");
    assert_eq!(told["unknown"], serde_json::json!([]), "{told}");
}

#[test]
fn every_matcher_with_every_action_on_every_route() {
    let table = Table::new();
    let upstream = registry(table.all());
    each(Action::ALL, |action| {
        let rules = rules(action, table.all());
        let mut proxy = audited(&upstream, &table, &rules);
        // An audit changes no answer, asked for the first time or again.
        for case in &table.known {
            for route in Route::ALL.into_iter().chain([Route::Row]) {
                check(&proxy, route, case, None, "audited");
            }
        }
        let found = || proxy.client().get("/api/v1/search?limit=100").ok().json();
        let before = found();
        assert!(before["items"].as_array().is_some_and(|items| items.len() == 100), "{before}");
        switch(&proxy, "enforce", &rules);
        assert_eq!(found(), before, "search is for discovery, and no rule is about it");
        // What is known by then is obeyed at once, cached and with the validator of before.
        for case in &table.known {
            let done = case.done(action, Known::AfterArchive);
            Route::ALL.into_iter().for_each(|route| check(&proxy, route, case, done, "after the reload"));
            explained(&proxy, case, done);
        }
        // What was never asked for is judged by what asking makes known, and the same when it is asked for again.
        for (route, cases) in &table.first {
            for case in cases {
                let done = case.done(action, route.knows());
                check(&proxy, *route, case, done, "asked for first");
                check(&proxy, *route, case, done, "asked for again");
            }
        }
        proxy.stop();
        each(table.known.iter().map(Named), |Named(case)| {
            tested(&proxy, case, case.done(action, Known::AfterArchive));
        });
        // It was started with rules that are only counted.
        proxy.revive();
        for case in &table.known {
            check(&proxy, Route::Exact, case, None, "audited again");
            check(&proxy, Route::Row, case, None, "audited again");
        }
    });
}

/// A case that is called by its name.
struct Named<'a>(&'a Case);

impl std::fmt::Debug for Named<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.named())
    }
}
