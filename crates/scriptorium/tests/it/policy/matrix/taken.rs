//! What a mirror takes and a bundle carries of the table: what clients are given, and word of the rest.

use std::fs;

use serde_json::Value;

use super::expected::Action;
use super::ground::{Case, Standing, cases, registry, remember, rules};
use super::matchers::Known;
use crate::support::crossing::Luggage;
use crate::support::mirror::{Desk, missing, reason};
use crate::support::{Setup, Upstream, each};

const MODES: [&str; 2] = ["enforce", "audit"];

/// The releases that a rule with `action` refuses.
fn refused<'a>(cases: &'a [Case], action: Action, mode: &str) -> Vec<&'a Case> {
    let is_refused = |case: &&Case| {
        mode == "enforce" && case.done(action, Known::AfterArchive).is_some_and(|done| done.action.refuses())
    };
    cases.iter().filter(is_refused).collect()
}

/// Whom the missing things concern, each once.
fn lacking(report: &Value) -> Vec<String> {
    let mut lacking = missing(report);
    lacking.dedup();
    lacking
}

fn names(cases: &[&Case]) -> Vec<String> {
    let mut names: Vec<String> = cases.iter().map(|case| case.named()).collect();
    names.sort();
    names
}

/// A mirror of all `cases`, each named with its version.
fn desk(upstream: &Upstream, cases: &[Case]) -> (Desk, Setup) {
    let roots: Vec<String> = cases.iter().map(|case| format!("\"{}\"", case.named())).collect();
    let setup = Setup::before(upstream).mirror("ci", &format!("roots = [{}]", roots.join(", ")));
    let desk = Desk::new(&setup);
    remember(&desk.data(), cases.iter());
    (desk, setup)
}

/// The manifest of a new bundle, the releases whose archives it carries, and those whose pins.
fn exported(desk: &Desk, name: &str) -> (Value, Vec<String>, Vec<String>) {
    let luggage = Luggage::new();
    luggage.key("corp");
    let (to, key) = (luggage.at(name), luggage.at("corp.key"));
    let output = desk.command(&["export", "ci", "--to", &to, "--key", &key, "--json"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let manifest = fs::read_to_string(luggage.path(name).join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    let of =
        |item: &Value| format!("{}@{}", item["volume"].as_str().unwrap(), item["version"].as_str().unwrap());
    let files = manifest["files"].as_array().unwrap().iter();
    let mut archives: Vec<String> = files.filter(|file| file["kind"] == "archive").map(of).collect();
    archives.sort();
    let mut pins: Vec<String> = manifest["pins"].as_array().unwrap().iter().map(of).collect();
    pins.sort();
    (manifest, archives, pins)
}

#[test]
fn a_mirror_takes_what_no_rule_refuses_and_a_bundle_carries_it() {
    let cases = cases("mirrored", &Standing::ALL);
    let upstream = registry(cases.iter());
    let combinations = Action::ALL.into_iter().flat_map(|action| MODES.map(|mode| (action, mode)));
    each(combinations, |(action, mode)| {
        let (desk, setup) = desk(&upstream, &cases);
        desk.configure(&setup.policy(mode, &rules(action, cases.iter())));
        let (code, sync) = desk.mirror(&["sync"]);
        let refused = refused(&cases, action, mode);
        assert_eq!(lacking(&sync), names(&refused), "{sync}");
        assert_eq!(code, i32::from(!refused.is_empty()), "{sync}");
        for case in &refused {
            let told = reason(&sync, &case.named());
            assert!(told.contains(case.matcher.id) || told.contains("blocked"), "{told}");
        }
        let (manifest, archives, pins) = exported(&desk, "bundle");
        assert_eq!(lacking(&manifest), names(&refused), "{manifest}");
        let carried: Vec<&Case> =
            cases.iter().filter(|case| !names(&refused).contains(&case.named())).collect();
        assert_eq!(pins, names(&carried));
        let with_archive: Vec<&Case> = carried.into_iter().filter(|case| !case.is_by_git()).collect();
        assert_eq!(archives, names(&with_archive));
    });
}

#[test]
fn a_bundle_leaves_out_what_was_mirrored_before_there_was_a_rule() {
    let cases = cases("before", &Standing::ALL);
    let upstream = registry(cases.iter());
    let (desk, setup) = desk(&upstream, &cases);
    let (code, sync) = desk.mirror(&["sync"]);
    assert_eq!((code, missing(&sync).len()), (0, 0), "{sync}");
    upstream.down();
    for action in Action::ALL {
        for mode in MODES {
            desk.configure(&setup.clone().policy(mode, &rules(action, cases.iter())));
            // The sync brought the advisories though no rule looked at them.
            let refused = refused(&cases, action, mode);
            let (manifest, archives, _) = exported(&desk, &format!("{action:?}-{mode}"));
            assert_eq!(lacking(&manifest), names(&refused), "{action:?} {mode}");
            for case in &refused {
                let told = reason(&manifest, &case.named());
                let says = format!("policy:{0}: ask {0}@corp.example", case.matcher.id);
                assert!(told.contains(&says), "{told}");
                assert!(!archives.contains(&case.named()));
                let exact = case.release.exact();
                let documents = manifest["documents"].as_array().unwrap();
                let carries =
                    documents.iter().any(|document| document["route"].as_str().unwrap().starts_with(&*exact));
                assert!(!carries, "documents about {}", case.named());
            }
            assert_eq!(archives.len() + refused.len(), cases.iter().filter(|case| !case.is_by_git()).count());
        }
    }
}
